// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

#include <saltus/ctmc/fast_log.hpp>

#include "reference/harness.hpp"

namespace saltus {
namespace {

using namespace reference;

// Distance from the true logarithm in units of the last place of the true value.
double ulps(double u) {
  long double const truth = std::log(static_cast<long double>(u));
  double const rounded = static_cast<double>(truth);
  double const ulp = std::abs(std::nextafter(rounded, -std::numeric_limits<double>::infinity()) - rounded);
  return static_cast<double>(std::abs(static_cast<long double>(log_unit(u)) - truth) / static_cast<long double>(ulp));
}

TEST(FastLog, WithinThreeUnitsOfTheLastPlace) {
  static_assert(std::numeric_limits<long double>::digits >= 64, "the reference needs more digits than double has");
  double worst = 0, where = 0;
  auto const look = [&](double u) {
    double const off = ulps(u);
    if (off > worst) worst = off, where = u;
  };
  for (std::uint64_t i = 0; i < 1'000'000; ++i) {
    double const v = scramble(i);
    look(std::exp2(-53 * v));                                      // evenly over the exponents
    look(static_cast<double>((i * 9'007'199'255) + 1) * 0x1p-53);  // multiples of 2^-53, as draws are
    look(1 - v * std::exp2(-static_cast<double>(i % 53)));         // near 1 at every scale
    look(std::min(1.0, std::sqrt(0.5) * (1 + (v - 0.5) * 1e-6)));  // where the exponent is cut
  }
  EXPECT_LT(worst, 3) << "at " << where;
  RecordProperty("worst_ulps", std::to_string(worst));
}

TEST(FastLog, PowersOfTwoAndTheirNeighbours) {
  EXPECT_EQ(log_unit(1), 0);
  EXPECT_LT(ulps(std::nextafter(1.0, 0.0)), 3);
  for (int k = 1; k <= 1000; ++k) {
    double const p = std::ldexp(1.0, -k);
    EXPECT_LT(ulps(p), 3) << k;
    EXPECT_LT(ulps(std::nextafter(p, 1.0)), 3) << k;
    EXPECT_LT(ulps(std::nextafter(p, 0.0)), 3) << k;
  }
}

TEST(FastLog, IsNeverAboveZeroAndFallsTowardsZero) {
  double before = 0;
  for (std::uint64_t k = 0; k < 2000; ++k) {
    double const now = log_unit(1 - static_cast<double>(k) * 0x1p-53);
    EXPECT_LE(now, before);
    before = now;
  }
}

// Waiting times: finite and above 0 whatever the bits, since 0 / 0 would stop a clock.
TEST(FastLog, ExponentialsAreFiniteAndAboveZero) {
  EXPECT_GT(exponential_from(~std::uint64_t{0}), 0);
  EXPECT_LT(exponential_from(~std::uint64_t{0}), 0x1p-52);
  EXPECT_NEAR(exponential_from(0), 53 * std::log(2.0), 1e-14);
  for (std::uint64_t i = 0; i < 1'000'000; ++i) {
    std::uint64_t const bits = static_cast<std::uint64_t>(scramble(i) * 0x1p53) << (i % 12);
    double const e = exponential_from(bits);
    ASSERT_TRUE(e > 0 && e <= 53 * std::log(2.0) + 1e-13) << bits;
  }
  // the low bits do not count; a larger word is a shorter wait
  EXPECT_EQ(exponential_from(std::uint64_t{5} << 12), exponential_from((std::uint64_t{5} << 12) + 1023));
  EXPECT_GT(exponential_from(std::uint64_t{5} << 12), exponential_from(std::uint64_t{6} << 12));
}

// The loop that paths run through is the same function: compiled for vectors it must give the same numbers.
TEST(FastLog, VectorisedLoopsGiveTheSame) {
  constexpr int n = 4096;
  static double in[n], out[n];
  for (int i = 0; i < n; ++i) in[i] = std::exp2(-60 * scramble(static_cast<std::uint64_t>(i) + 77));
#pragma omp simd
  for (int i = 0; i < n; ++i) out[i] = log_unit(in[i]);
  for (int i = 0; i < n; ++i) {
    EXPECT_LT(std::abs(out[i] - std::log(in[i])), 4e-16 * std::abs(std::log(in[i]))) << in[i];
  }
}

}  // namespace
}  // namespace saltus
