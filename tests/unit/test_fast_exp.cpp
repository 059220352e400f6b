// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

#include <saltus/ctmc/fast_exp.hpp>
#include <saltus/ctmc/types.hpp>

namespace saltus {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// Distance in units of the last place of the true value, which is std::exp in double (its own error is 1e-9 of these).
double ulps(float x) {
  double const exact = std::exp(static_cast<double>(x));
  double const ulp = std::ldexp(1.0, std::ilogb(exact) - 23);
  return std::abs(static_cast<double>(exp_bounded(x)) - exact) / ulp;
}

struct WorstOf {
  std::uint32_t sign, stride;
  KOKKOS_FUNCTION void operator()(std::int64_t i, double& worst) const {
    double const error = ulps(std::bit_cast<float>(sign | static_cast<std::uint32_t>(i) * stride));
    worst = error > worst ? error : worst;
  }
};

// Every 91st bit pattern of [-87, 88]: 24.6 million arguments, in every binade at the same relative spacing.
TEST(FastExp, ErrorIsAtMostTwoUlp) {
  constexpr std::uint32_t stride = 91;
  std::uint32_t const highest[2] = {std::bit_cast<std::uint32_t>(88.0f), std::bit_cast<std::uint32_t>(87.0f)};
  std::int64_t arguments = 0;
  for (std::uint32_t negative = 0; negative < 2; ++negative) {
    std::int64_t const count = highest[negative] / stride + 1;
    double worst = 0;
    Kokkos::parallel_reduce(
        Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace, Kokkos::IndexType<std::int64_t>>(0, count),
        WorstOf{negative << 31, stride}, Kokkos::Max<double>(worst));
    EXPECT_LE(worst, 2.0) << (negative ? "negative" : "positive");
    EXPECT_GT(worst, 0.3) << "better than rounding to float can be: the measurement is broken";
    arguments += count;
  }
  EXPECT_GE(arguments, 20'000'000);
}

// Below -87 the true value sinks under the smallest normal number: that is all that may be lost, and nothing is
// negative.
TEST(FastExp, FadesOutBetweenMinus87AndMinus88) {
  for (float x = -87.0f; x > -88.0f; x = std::nextafterf(x, -infinity)) {
    double const got = exp_bounded(x), exact = std::exp(static_cast<double>(x));
    ASSERT_TRUE(got >= 0 && std::abs(got - exact) <= static_cast<double>(std::numeric_limits<float>::min()))
        << x << ": " << got;
  }
}

// All arguments around the points where the range reduction changes its integer.
TEST(FastExp, ErrorAtTheSeamsOfTheRangeReduction) {
  for (int k = -125; k <= 126; ++k) {
    for (double const half : {0.0, 0.5}) {
      auto const seam = static_cast<float>((k + half) * std::log(2.0));
      if (seam < -87 || seam > 88) continue;
      float x = seam;
      for (int i = 0; i < 200; ++i) x = std::nextafterf(x, -infinity);
      for (int i = 0; i < 400; ++i, x = std::nextafterf(x, infinity)) {
        if (x >= -87 && x <= 88) {
          ASSERT_LE(ulps(x), 2.0) << x;
        }
      }
    }
  }
}

TEST(FastExp, CoarsePowersOfTwo) {
  double worst = 0;
  for (std::int64_t i = 0; i <= 2'530'000; ++i) {
    float const t = -126.0f + static_cast<float>(i) * 1e-4f;
    if (t > 127) break;
    double const exact = std::exp2(static_cast<double>(t));
    worst = std::max(worst, std::abs(static_cast<double>(exp2_coarse(t)) / exact - 1));
  }
  EXPECT_LE(worst, 4e-6);
  EXPECT_GT(worst, 1e-7) << "better than the polynomial can be: the measurement is broken";
  for (float const low : {-127.0f, -1e30f, -infinity}) EXPECT_NEAR(exp2_coarse(low) * 0x1p126f, 1, 4e-6);
  for (float const high : {127.5f, 1e30f, infinity, std::numeric_limits<float>::quiet_NaN()}) EXPECT_GE(exp2_coarse(high), 0x1.ffffp126f);
}

TEST(FastExp, Specials) {
  EXPECT_TRUE(std::isnan(exp_bounded(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(exp_bounded(-std::numeric_limits<float>::quiet_NaN())));
  EXPECT_EQ(exp_bounded(0.0f), 1.0f);
  EXPECT_EQ(exp_bounded(-0.0f), 1.0f);
  EXPECT_EQ(exp_bounded(-infinity), 0.0f);
  EXPECT_EQ(exp_bounded(-88.0f), 0.0f);
  EXPECT_EQ(exp_bounded(std::nextafterf(-88.0f, -infinity)), 0.0f);
  EXPECT_EQ(exp_bounded(-1e30f), 0.0f);
  EXPECT_GT(exp_bounded(-87.0f), 0.0f);
  for (float const x : {std::nextafterf(88.0f, infinity), 89.0f, 1e30f, infinity}) {
    EXPECT_EQ(exp_bounded(x), exp_bounded(88.0f)) << x;
  }
  EXPECT_TRUE(std::isfinite(exp_bounded(infinity)));
}

}  // namespace
}  // namespace saltus
