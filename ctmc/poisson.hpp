// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/ctmc/random.hpp>

namespace saltus {

/// As many random words as one site of one step may need, from a stream of its own (Role::count).
class SiteStream {
 public:
  KOKKOS_FUNCTION SiteStream(StreamKey key, std::uint64_t sample, std::uint32_t site)
      : key_{key.draw(sample, Role::count, site).event, 0} {}
  /// The next pair.
  KOKKOS_FUNCTION RandomPair next() { return key_.at(count_++).draw(0, Role::count, 0); }
  KOKKOS_FUNCTION double uniform() { return uniform53(next().event); }

 private:
  StreamKey key_;
  std::uint32_t count_ = 0;
};

/// The largest mean at which the tails of poisson() are right: beyond, its test for rejection cancels.
inline constexpr double most_poisson_mean = 1e12;

/// A Poisson count with this mean, 0 <= mean <= most_poisson_mean: by inversion below 10, by transformed rejection with squeeze above
/// (PTRS; Hörmann 1993, doi:10.1016/0167-6687(93)90997-4).
KOKKOS_INLINE_FUNCTION std::int64_t poisson(double mean, SiteStream& stream) {
  if (!(mean > 0)) return 0;
  if (mean < 10) {
    // From the far side, so that small means keep all their digits: no event unless u < 1 - exp(-mean).
    double rest = -Kokkos::expm1(-mean) - stream.uniform(), p = Kokkos::exp(-mean);
    std::int64_t n = 0;
    while (rest > 0 && n < 200) {
      ++n;
      p *= mean / static_cast<double>(n);
      rest -= p;
    }
    return n;
  }
  double const b = 0.931 + 2.53 * Kokkos::sqrt(mean), a = -0.059 + 0.02483 * b;
  double const inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), squeeze = 0.9277 - 3.6224 / (b - 2);
  double const log_mean = Kokkos::log(mean);
  while (true) {
    RandomPair const pair = stream.next();
    double const u = uniform53(pair.event) - 0.5, v = 1 - uniform53(pair.target);
    double const us = 0.5 - Kokkos::abs(u);
    double const k = Kokkos::floor((2 * a / us + b) * u + mean + 0.43);
    if (us >= 0.07 && v <= squeeze) return static_cast<std::int64_t>(k);
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (Kokkos::log(v * inverse_alpha / (a / (us * us) + b)) <= k * log_mean - mean - Kokkos::lgamma(k + 1)) {
      return static_cast<std::int64_t>(k);
    }
  }
}

}  // namespace saltus
