// SPDX-License-Identifier: BSD-3-Clause
// Numbers of 16 bits: their values by definition, rounding against the compiler's own, and steps that read them in place.
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/field.hpp>
#include <saltus/ctmc/stored.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/stored_scores.hpp>

namespace {

using namespace saltus;

TEST(Stored, EveryFloat16HasItsValue) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    float const got = Float16{static_cast<std::uint16_t>(bits)};
    int const exponent = static_cast<int>(bits >> 10 & 31), fraction = static_cast<int>(bits & 1023);
    float const sign = bits & 0x8000u ? -1.0f : 1.0f;
    if (exponent == 31) {
      EXPECT_TRUE(fraction ? std::isnan(got) : got == sign * std::numeric_limits<float>::infinity()) << bits;
      continue;
    }
    float const expected = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                         : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
    EXPECT_EQ(got, sign * expected) << bits;
    EXPECT_EQ(std::signbit(got), (bits & 0x8000u) != 0) << bits;
    EXPECT_EQ(Float16::nearest(got).bits, bits);
  }
}

TEST(Stored, EveryBFloat16HasItsValue) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    float const got = BFloat16{static_cast<std::uint16_t>(bits)};
    int const exponent = static_cast<int>(bits >> 7 & 255), fraction = static_cast<int>(bits & 127);
    float const sign = bits & 0x8000u ? -1.0f : 1.0f;
    if (exponent == 255) {
      EXPECT_TRUE(fraction ? std::isnan(got) : got == sign * std::numeric_limits<float>::infinity()) << bits;
      continue;
    }
    float const expected = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -133)
                                         : std::ldexp(static_cast<float>(128 + fraction), exponent - 134);
    EXPECT_EQ(got, sign * expected) << bits;
    EXPECT_EQ(BFloat16::nearest(got).bits, bits);
  }
}

// The nearest of all finite values, the even one of two.
template <class Narrow>
void rounds_to_nearest() {
  StreamKey const key{17, 0};
  for (std::uint32_t i = 0; i < 200000; ++i) {
    RandomPair const u = key.draw(i, Role::target, 0);
    float const x = static_cast<float>((uniform53(u.event) - 0.5) * std::exp2(40 * (uniform53(u.target) - 0.7)));
    Narrow const near = Narrow::nearest(x);
    if (std::isinf(static_cast<float>(near))) {
      EXPECT_GE(std::abs(x), 65520.0f);
      continue;
    }
    for (int const other : {-1, 1}) {
      float const beside = Narrow{static_cast<std::uint16_t>(near.bits + other)};
      if (!std::isfinite(beside) || std::signbit(beside) != std::signbit(x)) continue;
      double const mine = std::abs(static_cast<double>(x) - static_cast<float>(near)), theirs = std::abs(static_cast<double>(x) - beside);
      EXPECT_TRUE(mine < theirs || (mine == theirs && near.bits % 2 == 0)) << x;
    }
  }
  EXPECT_TRUE(std::isnan(static_cast<float>(Narrow::nearest(std::nanf("")))));
}
TEST(Stored, RoundsToNearest) {
  rounds_to_nearest<Float16>();
  rounds_to_nearest<BFloat16>();
}

// A step from 16 bits is the step from the same numbers in 32, token for token: nothing else about them matters.
class Narrow : public testing::TestWithParam<std::tuple<char const*, int, ScoreKind, ScalarType>> {};

TEST_P(Narrow, StepsAreThoseOfTheSameNumbersInSinglePrecision) {
  auto const [method, states, kind, type] = GetParam();
  ExecSpace const exec;
  int const batch = 3, length = states > 500 ? 40 : 60;
  // Log-scores serve as logits.
  StoredScores::Scores const narrow =
      scores_like_a_network(exec, batch, length, states, is_logits(kind) ? ScoreKind::log_score : kind);
  // What the 16 bits say, in 32.
  StoredScores::Scores const wide("wide", narrow.extent(0), narrow.extent(1), narrow.extent(2));
  exec.fence();
  auto const from = Kokkos::create_mirror_view_and_copy(HostSpace(), narrow);
  auto const to = Kokkos::create_mirror_view(wide);
  int changed = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    float const x = from.data()[i];
    to.data()[i] = type == ScalarType::bf16 ? static_cast<float>(BFloat16::nearest(x)) : static_cast<float>(Float16::nearest(x));
    changed += to.data()[i] != x;
  }
  Kokkos::deep_copy(wide, to);
  ASSERT_GT(changed, static_cast<int>(from.size() / 2));
  auto const tokens = [&](StoredScores::Scores const& scores, ScalarType stored) {
    Process process = Process::reverse(Generator::absorbing(states), NoiseSchedule::log_linear(),
                                       std::make_shared<StoredScores>(std::vector{scores, scores}, kind, true, stored));
    auto const integrator = make_integrator(method, process);
    SamplePlan plan = make_plan(process, *integrator, 6, length);
    plan.samples = static_cast<std::size_t>(batch);
    plan.batch = batch;
    plan.seed = 5;
    return sample(exec, process, *integrator, plan);
  };
  auto const expected = tokens(wide, ScalarType::f32), got = tokens(narrow, type), other = tokens(narrow, ScalarType::f32);
  int different = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got.data()[i], expected.data()[i]) << i;
    different += other.data()[i] != expected.data()[i];
  }
  // The control: rounding does change some tokens where there are many.
  if (states > 500 && type == ScalarType::bf16) {
    EXPECT_GT(different, 0);
  }
}

// Sums of a long row: infinite entries are nothing, large ones are shifted, and no NaN is lost, whatever its sign.
TEST(Stored, LongLogarithmicRows) {
  constexpr int states = 3001, own = states - 1;
  for (ScalarType const type : {ScalarType::f16, ScalarType::bf16}) {
    for (float const base : {-7.0f, 60.0f, 300.0f, -300.0f}) {
      std::vector<std::uint16_t> numbers(states);
      double sum = 0;
      auto const put = [&](int y, float v) {
        numbers[static_cast<std::size_t>(y)] = type == ScalarType::bf16 ? BFloat16::nearest(v).bits : Float16::nearest(v).bits;
      };
      double top = -1e9;
      std::vector<double> there;
      for (int y = 0; y < states; ++y) {
        float const v = y % 5 == 0 ? -std::numeric_limits<float>::infinity() : base + static_cast<float>(y % 17) / 4;
        put(y, v);
        float const stored = Stored<float>(numbers.data(), type)[y];
        if (y != own && std::isfinite(stored)) there.push_back(stored);
        if (y != own) top = std::max(top, static_cast<double>(stored));
      }
      for (double const v : there) sum += std::exp(v - top);
      ScoreRow<float> const row{Stored<float>(numbers.data(), type), states, ScoreKind::x0_logits_leave_one_out, 1.0f, false};
      Partials<float> scratch;
      row.scan(own, scratch);
      EXPECT_NEAR(std::log(scratch.total) + static_cast<double>(scratch.shift), std::log(sum) + top, 1e-5 + 1e-7 * std::abs(top)) << base;
      for (std::uint16_t const nan : {0x7fc0, 0xffc0, 0x7fff, 0xffff}) {
        auto const kept = std::exchange(numbers[1234], nan);
        RowSums const sums = row.scan(own, scratch);
        EXPECT_FALSE(std::isfinite(sums.others)) << base << ' ' << nan;
        numbers[1234] = kept;
      }
      // An infinite entry is found wherever it is, and a row without any weight is nothing.
      for (std::size_t const at : {std::size_t{0}, std::size_t{1500}, std::size_t{2990}}) {
        std::uint16_t const infinite = type == ScalarType::bf16 ? 0x7f80 : 0x7c00;
        auto const kept = std::exchange(numbers[at], infinite);
        EXPECT_FALSE(std::isfinite(row.scan(own, scratch).others)) << base << ' ' << at;
        numbers[at] = kept;
      }
      std::vector<std::uint16_t> const nothing(states, type == ScalarType::bf16 ? 0xff80 : 0xfc00);
      ScoreRow<float> const empty{Stored<float>(nothing.data(), type), states, ScoreKind::x0_logits_leave_one_out, 1.0f, false};
      EXPECT_EQ(empty.scan(own, scratch).others, 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Stored, Narrow,
    testing::Combine(testing::Values("euler", "tweedie", "tau_leaping", "fixed_count", "top_k", "theta_trapezoidal", "tweedie_trapezoidal", "first_hitting"),
                     testing::Values(5, 33, 700), testing::Values(ScoreKind::x0_leave_one_out, ScoreKind::x0_logits_leave_one_out),
                     testing::Values(ScalarType::f16, ScalarType::bf16)));

}  // namespace
