// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include <Kokkos_Core.hpp>

namespace saltus {

/// ln u for 0 < u <= 1, u not subnormal: within 3 units in the last place, and vectorised inside loops, which the C
/// library's is not. u = 2^k m with m in [sqrt(1/2), sqrt(2)) and ln m = 2 atanh(s), s = (m - 1)/(m + 1), by its series:
/// s^2 <= 0.0295, so that 11 terms leave a remainder under 1e-17.
KOKKOS_FORCEINLINE_FUNCTION double log_unit(double u) {
  auto const bits = Kokkos::bit_cast<std::int64_t>(u);
  constexpr std::int64_t root_half = 0x3FE6A09E667F3BCD;  // sqrt(1/2)
  std::int64_t const shift = (bits - root_half) & ~((std::int64_t{1} << 52) - 1);
  double const m = Kokkos::bit_cast<double>(bits - shift);
  double const k = static_cast<double>(static_cast<std::int32_t>(shift >> 52));
  double const f = m - 1, s = f / (2 + f), z = s * s;
  double series = 1.0 / 23;
  series = series * z + 1.0 / 21;
  series = series * z + 1.0 / 19;
  series = series * z + 1.0 / 17;
  series = series * z + 1.0 / 15;
  series = series * z + 1.0 / 13;
  series = series * z + 1.0 / 11;
  series = series * z + 1.0 / 9;
  series = series * z + 1.0 / 7;
  series = series * z + 1.0 / 5;
  series = series * z + 1.0 / 3;
  return k * 0.6931471805599453094 + 2 * (s + s * z * series);
}

/// Standard exponential from 64 random bits, by inversion of a uniform strictly between 0 and 1 (the middles of 2^52
/// intervals), so that it is never 0 (a waiting time of 0/0 would stop a clock) and at most 53 ln 2.
KOKKOS_FORCEINLINE_FUNCTION double exponential_from(std::uint64_t bits) {
  return -log_unit((static_cast<double>(bits >> 12) + 0.5) * 0x1.0p-52);
}

}  // namespace saltus
