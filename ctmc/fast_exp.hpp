// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include <Kokkos_Core.hpp>

namespace saltus {

/// exp(x) in single precision, written so that compilers vectorise a loop over it. At most 2 ulp off for -87 <= x <= 88;
/// exp(88) above; from -87 down the result leaves the normal numbers and is exactly 0 from -88 on; NaN gives NaN.
/// Range reduction by Cody and Waite; the polynomial of degree 6 is a minimax fit of the relative error on |r| <= ln2/2
/// (3e-9 before rounding). tests/unit/test_fast_exp.cpp measures the error over all arguments.
KOKKOS_FORCEINLINE_FUNCTION float exp_bounded(float x) {
  constexpr float log2e = 0x1.715476p+0f, ln2_high = 0x1.62e400p-1f, ln2_low = 0x1.7f7d1cp-20f;
  constexpr float rounder = 0x1.8p23f;  // adding it rounds to an integer, held in the low bits of the sum
  // Clamped to [-88, 88] through integers, which need no care for NaN: negative floats grow with their bits as unsigned
  // numbers, positive ones as signed numbers. At -88 the power of two below is 2^-127, whose bits are those of 0.
  std::uint32_t const bits = Kokkos::bit_cast<std::uint32_t>(x);
  std::uint32_t const above = bits < 0xC2B00000u ? bits : 0xC2B00000u;
  std::int32_t const inside = static_cast<std::int32_t>(above) < 0x42B00000 ? static_cast<std::int32_t>(above) : 0x42B00000;
  float const y = Kokkos::bit_cast<float>(inside);
  float const shifted = y * log2e + rounder;
  float const n = shifted - rounder;
  float const r = (y - n * ln2_high) - n * ln2_low;
  float p = 0x1.6a2434p-10f;
  p = p * r + 0x1.1239e2p-7f;
  p = p * r + 0x1.5558f2p-5f;
  p = p * r + 0x1.555492p-3f;
  p = p * r + 0x1.fffffcp-2f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // 2^n through the exponent bits
  float const power = Kokkos::bit_cast<float>((Kokkos::bit_cast<std::uint32_t>(shifted) + 127u) << 23);
  return x == x ? p * power : x;
}

/// 2^t for numbers that are rough themselves, as those of 16 bits: at most 4e-6 off (relative) for -126 <= t <= 127; 2^-126
/// below, and 2^127 above and for NaN. Fewer operations than exp_bounded(). The polynomial of degree 4 is a minimax fit of the
/// relative error on |r| <= 1/2. tests/unit/test_fast_exp.cpp measures the error.
KOKKOS_FORCEINLINE_FUNCTION float exp2_coarse(float t) {
  constexpr float rounder = 0x1.8p23f + 127.0f;  // the low bits of the sum are the exponent's
  float const below = t < 127.0f ? t : 127.0f;
  std::uint32_t const bits = Kokkos::bit_cast<std::uint32_t>(below);
  float const y = Kokkos::bit_cast<float>(bits < 0xC2FC0000u ? bits : 0xC2FC0000u);
  float const shifted = y + rounder;
  float const r = y - (shifted - rounder);
  float p = 0x1.3997d4p-7f;
  p = p * r + 0x1.ca1442p-5f;
  p = p * r + 0x1.ec06dap-3f;
  p = p * r + 0x1.62e0dcp-1f;
  p = p * r + 0x1.ffffe8p-1f;
  return p * Kokkos::bit_cast<float>(Kokkos::bit_cast<std::uint32_t>(shifted) << 23);
}

}  // namespace saltus
