// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include <saltus/learnable/block_sweep.hpp>

namespace saltus {

/// What one sweep found; vectors are [steps], or empty where a method does not have them.
struct SweepRecord {
  std::vector<double> phi, phi_error, power, reveal, reveal_error;
  std::vector<double> state;  ///< [steps, bins]: StateFactors::phi
  std::vector<double> extra;  ///< a method's own numbers
  std::vector<std::int64_t> clamps;
  double objective = 0;
};

/// The sweeps of one method so far: kept for the caller after each, taken up again from what was kept, and averaged.
class SweepLog {
 public:
  /// UserError if `hooks.resume` is of another method, process or plan.
  SweepLog(std::string method, Process const& process, DistillPlan const& plan, DistillHooks const& hooks);

  int done() const { return static_cast<int>(sweeps_.size()); }
  std::vector<SweepRecord> const& sweeps() const { return sweeps_; }
  /// Also tells the caller.
  void add(SweepRecord record);
  /// Mean over the sweeps before and `now` of one of their numbers: what later steps of a sweep go by.
  double mean_with(std::vector<double> SweepRecord::*numbers, std::size_t i, double now) const;
  /// Tells the caller the share of the work that is done; `within` of the sweep under way.
  void tell(double within) const;

  /// Means over sweeps, errors by sqrt(sum e^2) / sweeps; method, base, times, objective, clamps and trajectories.
  Schedule schedule(TimeGrid const& grid, bool forced_last) const;

 private:
  std::string text() const;
  std::string method_, plan_text_;
  DistillPlan plan_;
  DistillHooks const& hooks_;
  std::vector<SweepRecord> sweeps_;
};

}  // namespace saltus
