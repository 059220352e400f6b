// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <saltus/learnable/block_sweep.hpp>

/// How far phi B is from J, and the phi that is nearest (A§12.5).
namespace saltus {

enum class Distance {
  gkl,         ///< generalised KL: sum J / sum B; the two may be of different paths
  l2squared,   ///< <J, B> / <B, B>
  l2,          ///< mean over trajectories of |J - phi B|, by weighted least squares repeated
  l1,          ///< the median of J / B weighted by B
  log_squared  ///< exp(mean of ln(J / B)), over entries where both are positive
};
/// gkl, l2squared, l2, l1, log_squared; UserError with the nearest names.
Distance parse_distance(std::string const& name);
std::string distance_name(Distance distance);

/// Factors are clipped to this range (A§12.6).
inline constexpr double least_phi = 0.1, most_phi = 10;

/// Weighted histograms of ln(J / B), which medians are read from, in groups of trajectories: [groups, bins].
struct RatioHistogram {
  static constexpr int bins = 4096;  ///< between the ends of the range of phi, and one more at each end
  std::vector<double> weights;
  RatioHistogram() = default;
  explicit RatioHistogram(std::size_t groups) : weights(groups * (bins + 2), 0.0) {}
};
/// Groups of trajectories for standard errors: at most 32, of neighbours.
std::size_t group_count(std::size_t trajectories);
std::size_t group_of(std::size_t trajectory, std::size_t trajectories);
/// Adds a batch whose row 0 is trajectory `first` of `trajectories`; entries at the own token are left out.
void add_ratios(ExecSpace const& exec, Tokens const& own, SiteMasses const& teacher, SiteMasses const& student,
                std::size_t first, std::size_t trajectories, RatioHistogram& to);

/// A factor with its standard error, by leaving out one group of trajectories after the other (jackknife).
struct Factor {
  double phi = 1, error = 0;
};
/// The nearest factor, clipped; 1 if J or B is 0 throughout. `law` two_stage: the phi at which both stages together
/// reveal sum J, gkl only. `ratios` for l1 alone.
Factor nearest_factor(Distance distance, StepLaw law, std::vector<BlockSums> const& rows,
                      RatioHistogram const& ratios = {});

}  // namespace saltus
