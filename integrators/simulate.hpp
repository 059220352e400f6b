// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <vector>

#include <saltus/integrators/sampler.hpp>

namespace saltus {

/// Everything that a simulation of a forward process is made of besides process and integrator.
struct SimulationPlan {
  double from = 0;
  std::vector<double> times;       ///< where to look: strictly increasing, the first at `from` or later
  double step = 0;                 ///< longest step of a fixed-step method; 0: one step from look to look
  std::uint64_t seed = 0;
  std::size_t samples = 1;
  int length = 1;
  int batch = 4096;                ///< samples at a time; results do not depend on it
  std::uint64_t first_sample = 0;  ///< global index of the first sample
  Start start;                     ///< required
  bool count_jumps = false;        ///< numbers of jumps too; methods that follow paths only
  bool record_jumps = false;       ///< every jump; methods that follow paths only
};

/// What was seen of one batch.
struct Sight {
  template <class T>
  using Array = Kokkos::View<T***, Kokkos::LayoutRight, HostSpace>;
  std::uint64_t first_sample;
  std::size_t rows;
  Array<token_t const> tokens;      ///< [times, >= rows, length]
  Array<std::int64_t const> jumps;  ///< [times, >= rows, length], since `from`; empty unless counted
  std::vector<JumpRecord> records;  ///< by sample, time and site; empty unless recorded
};
using SightSink = std::function<void(Sight const& sight)>;

/// Starts. `rows` [count, length]: sample i starts from row i mod count. `laws` [1 or length, states]: independent sites.
Start start_from_rows(std::vector<token_t> const& rows, int length);
Start start_from_laws(std::vector<double> const& laws, int states, std::uint64_t seed);

/// The times of a simulation's steps: `from`, the times, and between them steps of at most `step` (0: none).
TimeGrid simulation_grid(double from, std::vector<double> const& times, double step);

/// Carries plan.samples samples forward and hands over what is seen, batch by batch, in order. Methods that follow paths
/// (gillespie, uniformization) do so in one go: where one looks changes nothing. Others go step by step.
/// Errors as sample(). Determinism: a sample depends on the seed, its global index and, for fixed-step methods, the grid.
SampleReport simulate(ExecSpace const& exec, Process& process, Integrator& integrator, SimulationPlan const& plan,
                      SightSink const& sink, Progress const& progress = {});

}  // namespace saltus
