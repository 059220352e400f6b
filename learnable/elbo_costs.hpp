// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <saltus/learnable/distiller.hpp>

namespace saltus {

/// What every step of tweedie between two of some times costs in the evidence bound of discrete diffusion (Austin et al. 2021,
/// arXiv:2107.03006, eq. 1; chosen by dynamic programming: Watson et al. 2021, arXiv:2106.03802), for reverse processes without
/// a mask. Sequences x_0 of the teacher get noise by the forward process at all times; a step from t to s then costs
///   E sum over sites of ln q(x_t | x_s) - ln p(x_s | x_t),
/// q the forward transition, p the law of the step. Summed over the steps of a schedule this is, up to a number that is the
/// same for all schedules, the KL of the states at its times from those of the student: an upper bound on the KL of their
/// outputs. Unlike first jumps (path_kl()) it knows all jumps of a site within a step.
class ElboCosts {
 public:
  static constexpr int groups = 8;  ///< of trajectories, for standard errors

  /// `times` fall from the start of the noise to plan.end. `all` trajectories are to come. UserError where plan.memory holds
  /// not even one trajectory.
  ElboCosts(ExecSpace const& exec, Process& process, DistillPlan const& plan, std::vector<double> times, std::size_t all);
  ~ElboCosts();

  /// Trajectories from `first` on: at most as many as fit, none beyond `last`; how many it were. A trajectory's terms do not
  /// depend on the others. NumericalError that names the times where they are not finite.
  std::size_t add(std::size_t first, std::size_t last);

  /// Everything that was summed up, [groups, steps], to be kept and put back.
  std::vector<double>& sums() { return sums_; }

  /// Nats of the step between two of the times, summed over the trajectories of one group or (-1) all; infinite if the student
  /// never does what happened.
  double operator()(int from, int to, int group = -1) const;

 private:
  std::size_t pair(int from, int to) const;
  struct Work;
  std::unique_ptr<Work> work_;
  int count_;  // of times, less one
  std::vector<double> sums_;
};

}  // namespace saltus
