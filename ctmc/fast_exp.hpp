// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <bit>
#include <cstdint>

#include <Kokkos_Core.hpp>

namespace saltus {

/// exp(x) in single precision, written so that compilers vectorise a loop over it. At most 2 ulp off for -87 <= x <= 88;
/// 0 below (the true value is under the smallest normal number), exp(88) above; NaN gives NaN.
/// Range reduction by Cody and Waite; the polynomial of degree 6 is a minimax fit of the relative error on |r| <= ln2/2
/// (3e-9 before rounding). tests/unit/test_fast_exp.cpp measures the error over all arguments.
KOKKOS_FORCEINLINE_FUNCTION float exp_bounded(float x) {
  constexpr float log2e = 0x1.715476p+0f, ln2_high = 0x1.62e400p-1f, ln2_low = 0x1.7f7d1cp-20f;
  constexpr float rounder = 0x1.8p23f;  // adding it rounds to an integer, held in the low bits of the sum
  x = x > 88.0f ? 88.0f : x;
  float const shifted = x * log2e + rounder;
  float const n = shifted - rounder;
  float const r = (x - n * ln2_high) - n * ln2_low;
  float p = 0x1.6a2434p-10f;
  p = p * r + 0x1.1239e2p-7f;
  p = p * r + 0x1.5558f2p-5f;
  p = p * r + 0x1.555492p-3f;
  p = p * r + 0x1.fffffcp-2f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // 2^n through the exponent bits; a product, so that NaN stays NaN
  float const power = std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) + 127u) << 23);
  return x < -87.0f ? 0.0f : p * power;
}

}  // namespace saltus
