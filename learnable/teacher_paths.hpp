// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <saltus/integrators/integrator.hpp>
#include <saltus/learnable/masses.hpp>

namespace saltus {

/// step_law(), where paths have a law of it: UserError also for tau_leaping with another rule than the first jump.
StepLaw path_law(std::string_view base);

/// What paths of a teacher are drawn for a statistic.
struct TeacherPlan {
  std::string integrator =
      "tweedie";    ///< one stage, with a law by site that path_law() knows; or exact, see TeacherPaths
  int steps = 256;  ///< N
  int length = 1;   ///< sites
  std::size_t trajectories = 512;
  int batch = 64;                             ///< rows at a time; results do not depend on it
  std::size_t memory = std::size_t{1} << 30;  ///< bytes for statistics; batches are cut to fit
  std::uint64_t seed = 1;
};

/// Rows of a teacher on their way through a grid, one batch at a time, for statistics that look at every step before it
/// is taken. Row r is sample r of the stream `seed`: the same whatever the batch.
///
/// A masked process may have an exact teacher (first_hitting): it draws the clean sequence, and each site is masked
/// until a time of its own, as the reverse process has it given the clean sequence. Its paths are those of the process
/// itself whatever the grid, and never impossible; its law in a step is taken to be that of tweedie.
class TeacherPaths {
 public:
  /// Before step j of the grid: the state at its start, with its evaluation in slot 0 of the process.
  using Look = std::function<void(State const& state, int j)>;

  /// Allocates for batches of `batch` rows. `forced_last` as in SamplePlan. UserError unless the integrator suits.
  TeacherPaths(ExecSpace const& exec, Process& process, std::string const& integrator, TimeGrid const& grid, int length,
               int batch, std::uint64_t seed, bool forced_last);

  int steps() const { return table_.steps(); }
  /// Of the jumps in a step.
  StepLaw law() const { return law_; }
  Step step(int j) const { return table_.step(j); }
  StepCoeff const& host(int j) const { return table_.host(j); }

  /// Draws rows first .. first + rows - 1 of at most `batch`. Waits for the end; NumericalError as sample().
  void follow(std::uint64_t first, int rows, Look const& look);

 private:
  ExecSpace exec_;
  Process& process_;
  std::unique_ptr<Integrator> integrator_;
  StepLaw law_;
  bool exact_;
  StepTable table_;
  std::optional<StepTable> whole_;  // exact: from the start to the data
  std::uint64_t seed_;
  Tokens tokens_, clean_;
  Times time_;
  CounterView counters_;
  CounterView::HostMirror host_counters_;
};

/// The rows of which `bytes` each fit into `memory`, at most `batch`; UserError that opens with `what` unless one does.
int rows_that_fit(std::string const& what, double bytes, std::size_t memory, int batch);

}  // namespace saltus
