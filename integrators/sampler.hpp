// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include <saltus/integrators/integrator.hpp>
#include <saltus/integrators/last_step.hpp>
#include <saltus/integrators/observer.hpp>

namespace saltus {

/// Default end of the time grid of reverse processes that do not end at 0 (A§2).
inline constexpr double default_end_time = 1e-5;

/// Fills tokens with the start of a run; time is set by the sampler. Asynchronous on exec.
using Start = std::function<void(ExecSpace const& exec, State const& state)>;
/// Takes finished rows: `first_sample` is the global index of row 0.
using Sink = std::function<void(std::uint64_t first_sample, HostTokens const& tokens)>;
/// Called after each batch with the number of samples done; may be empty.
using Progress = std::function<void(std::size_t done)>;

/// Positions that a run is given and keeps: infilling. Exact for masked processes, whose revealed tokens are clean; without
/// a mask the fixed tokens are taken for noisy ones that happen to stay.
struct Template {
  std::vector<token_t> tokens;       ///< [length]; those of free sites mean nothing
  std::vector<std::uint8_t> fixed;   ///< [length]; 1: fixed
};

/// Everything that one sampling run is made of besides process and integrator.
struct SamplePlan {
  TimeGrid grid;
  std::uint64_t seed = 0;
  std::size_t samples = 1;
  int length = 1;
  int batch = 256;                 ///< rows at a time; results do not depend on it
  std::uint64_t first_sample = 0;  ///< global index of the first sample
  std::vector<double> phi{};       ///< learned factor of each step; empty: 1
  std::vector<double> power{};     ///< learned power of the score of each step; empty: 1
  bool forced_last = false;        ///< masked: the last step reveals every remaining mask (A§7.3, folded)
  LastStep last = LastStep::none;  ///< after the grid, at the cost of one more evaluation
  Start start{};                   ///< empty: the process' own prior
  std::optional<Template> fixed{}; ///< sites that keep a token
};

/// The plan of a reverse process in `steps` steps of the named grid (make_grid()): T to 0 for a masked one (with
/// forced_last), T to `end` otherwise. Methods that choose their own steps need no grid and get a single interval.
SamplePlan make_plan(Process const& process, Integrator const& integrator, int steps, int length,
                     double end = default_end_time, std::string const& grid = "uniform");

struct SampleReport {
  std::size_t samples = 0;
  double evaluations = 0;             ///< mean number of network evaluations of a sample
  std::int64_t max_evaluations = 0;   ///< the largest
  std::int64_t jumps = 0;
  std::int64_t clamps = 0;
  std::int64_t violations = 0;        ///< events whose rate exceeded the bound of thinning or uniformization
  double seconds = 0;                 ///< wall clock of the whole run
};

/// The prior of a reverse process: all masks, or independent tokens from the stationary law of the generator. UserError on a forward process.
void draw_prior(ExecSpace const& exec, Process const& process, State const& state, std::uint64_t seed);

/// Carries one batch through all steps of `table`: the step loop. No allocation, fence or host copy but those that the
/// integrator declares and observers make. `counters` as Integrator::reserve() sizes it; only added to.
void advance_all(ExecSpace const& exec, Process& process, Integrator& integrator, StepTable const& table,
                 State const& state, std::uint64_t seed, CounterView const& counters,
                 std::span<StepObserver* const> observers = {});

/// Draws plan.samples sequences, batch by batch, and hands them to `sink` in order. All memory is allocated before the
/// first step. Throws NumericalError that names step, sample and site at the first batch with scores that are not
/// finite; batches before it have been handed over.
/// Determinism: a sample depends on the seed, its global index and the grid alone.
SampleReport sample(ExecSpace const& exec, Process& process, Integrator& integrator, SamplePlan const& plan,
                    Sink const& sink, std::span<StepObserver* const> observers = {}, Progress const& progress = {});

/// The same into memory: [samples, length].
HostTokens sample(ExecSpace const& exec, Process& process, Integrator& integrator, SamplePlan const& plan,
                  SampleReport* report = nullptr);

}  // namespace saltus
