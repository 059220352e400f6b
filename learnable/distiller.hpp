// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <saltus/ctmc/parameters.hpp>
#include <saltus/ctmc/process.hpp>
#include <saltus/learnable/schedule.hpp>

namespace saltus {

/// What a schedule is learned from.
struct DistillPlan {
  std::string base = "euler";      ///< integrator of the student
  int steps = 8;                   ///< M, of the student
  std::string teacher = "tweedie"; ///< integrator of the teacher: one stage, with a law by site
  int teacher_steps = 256;         ///< N, on a uniform grid
  int length = 1;                  ///< sites
  double end = 0;                  ///< end of both grids (make_plan(): 0 for a masked process)
  std::size_t trajectories = 512;  ///< of the teacher, a sweep
  int sweeps = 3;
  int batch = 64;                  ///< rows at a time; results do not depend on it but for the order of sums
  std::size_t memory = std::size_t{1} << 30;  ///< bytes for statistics; batches are cut to fit
  std::uint64_t seed = 1;
};

/// What the caller is told and may keep.
struct DistillHooks {
  /// Share done in [0, 1], and the objective so far (NaN: none yet).
  std::function<void(double share, double objective)> progress{};
  /// After each sweep: everything that `resume` needs, an opaque text.
  std::function<void(std::string const& state)> save{};
  std::string resume{};  ///< such a text: go on after its sweep; empty: from the start
};

struct DistillerInfo {
  std::string name, summary, reference;
  std::vector<std::string> bases{};  ///< integrators that it can learn for
};

/// Learns a schedule. Deterministic: the plan and the process alone decide the result.
class Distiller {
 public:
  virtual ~Distiller() = default;
  virtual DistillerInfo const& info() const = 0;
  /// Empty if it can learn for this process and plan; else why not, with the remedy.
  virtual std::string refuses(Process const& process, DistillPlan const& plan) const = 0;
  /// times, phi, power, state and what was learned on the way; the caller fills in model, teacher, seed and path KLs.
  /// Throws NumericalError that names the step where statistics are not finite.
  virtual Schedule distill(ExecSpace const& exec, Process& process, DistillPlan const& plan,
                           DistillHooks const& hooks) const = 0;
};

#define SALTUS_DISTILLER(name) std::unique_ptr<Distiller> make_##name(Parameters const& parameters);
#include <saltus/learnable/distillers.def>
#undef SALTUS_DISTILLER

/// The names in distillers.def, in alphabetical order.
std::vector<std::string> distiller_names();
/// By name with parameters ("lsd:mode=paper,distance=l2"); UserError with the nearest names.
std::unique_ptr<Distiller> make_distiller(std::string_view name);

}  // namespace saltus
