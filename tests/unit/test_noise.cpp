// SPDX-License-Identifier: BSD-3-Clause
// Noise schedules against the table of A§2 in 50 digits (tests/reference/noise.hpp).
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>

#include "reference/harness.hpp"
#include "reference/noise.hpp"

namespace saltus {
namespace {

using namespace reference;

constexpr double epsilon = std::numeric_limits<double>::epsilon();

std::vector<double> times_of(Noise const& noise) {
  std::vector<double> times{1e-12, 1e-9, 1e-5, 1e-3};
  for (double const x : {0.013, 0.25, 0.5, 0.77, 0.9, 0.999, 1.0}) times.push_back(x * noise.end);
  return times;
}

testing::AssertionResult close(double got, Real const& expected, double relative) {
  Real const error = abs(Real(got) - expected);
  if (error <= relative * abs(expected)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << got << ", expected " << expected.str(20) << ", relative error "
                                     << static_cast<double>(error / abs(expected));
}

TEST(NoiseSchedule, MatchesTheTable) {
  for (Noise const& noise : all_noises()) {
    NoiseSchedule const schedule = noise.schedule();
    EXPECT_EQ(schedule.end(), noise.end);
    for (double const t : times_of(noise)) {
      SCOPED_TRACE(schedule.describe() + ", t=" + std::to_string(t));
      EXPECT_TRUE(close(schedule.total(t), noise.total(t), 1e-13));
      EXPECT_TRUE(close(schedule.alpha(t), noise.alpha(t), 1e-12));  // the floor: eps/1e-3
      EXPECT_TRUE(close(schedule.lost(t), 1 - noise.alpha(t), 1e-13));
      EXPECT_TRUE(close(schedule.rate(t), noise.rate(t), 1e-12));
      EXPECT_NEAR(schedule.lost(t) + schedule.alpha(t), 1, 2 * epsilon);
      EXPECT_NEAR(schedule.alpha(t), std::exp(-schedule.total(t)), 1e-14);
    }
  }
}

TEST(NoiseSchedule, RateIsTheSlopeOfTheTotal) {
  for (Noise const& noise : all_noises()) {
    NoiseSchedule const schedule = noise.schedule();
    for (double const x : {0.1, 0.4, 0.8}) {
      double const t = x * noise.end, h = 1e-5;
      double const slope = (schedule.total(t + h) - schedule.total(t - h)) / (2 * h);
      EXPECT_NEAR(slope / schedule.rate(t), 1, 1e-8) << schedule.describe() << ", t=" << t;
    }
  }
}

TEST(NoiseSchedule, StartsWithoutNoiseButForGeometric) {
  for (Noise const& noise : all_noises()) {
    NoiseSchedule const schedule = noise.schedule();
    bool const geometric = noise.kind == Noise::Kind::geometric;
    EXPECT_EQ(schedule.total(0), geometric ? noise.a : 0.0) << schedule.describe();
    EXPECT_EQ(schedule.lost(0) == 0, !geometric) << schedule.describe();
  }
}

// The inverses are as good as their slope allows: the noise itself is known to one rounding.
TEST(NoiseSchedule, InversesRoundTrip) {
  for (Noise const& noise : all_noises()) {
    NoiseSchedule const schedule = noise.schedule();
    auto times = times_of(noise);
    times.push_back(0);
    times.push_back(std::nextafter(noise.end, 0));
    for (double const t : times) {
      SCOPED_TRACE(schedule.describe() + ", t=" + std::to_string(t));
      double const slope = schedule.alpha(t) * schedule.rate(t);  // d lost/dt
      // cosine: the slope vanishes at 0 together with lost ~ t^2
      double const of_lost = t == 0 && slope == 0 ? 0 : epsilon * schedule.lost(t) / slope;
      EXPECT_NEAR(schedule.time_at_lost(schedule.lost(t)), t, 8 * (of_lost + epsilon * t));
      double const total = schedule.total(t);
      double const of_total = t == 0 && slope == 0 ? 0 : epsilon * total / schedule.rate(t);
      EXPECT_NEAR(schedule.time_at_total(total), t, 8 * (of_total + of_lost + epsilon * t));
    }
  }
}

TEST(NoiseSchedule, InversesStayWithinTheEnds) {
  for (Noise const& noise : all_noises()) {
    NoiseSchedule const schedule = noise.schedule();
    SCOPED_TRACE(schedule.describe());
    EXPECT_EQ(schedule.time_at_total(std::numeric_limits<double>::infinity()), noise.end);
    EXPECT_EQ(schedule.time_at_total(1e3), noise.end);
    EXPECT_EQ(schedule.time_at_lost(1), noise.end);
    EXPECT_EQ(schedule.time_at_lost(0), 0);
    EXPECT_EQ(schedule.time_at_total(0), 0);
    if (noise.kind == Noise::Kind::geometric) {
      EXPECT_EQ(schedule.time_at_total(noise.a / 2), 0);  // before the start
    }
  }
}

TEST(NoiseSchedule, TotalBetweenDoesNotCancel) {
  for (Noise const& noise : all_noises()) {
    NoiseSchedule const schedule = noise.schedule();
    for (double const t : times_of(noise)) {
      for (double const h : {1e-12, 1e-9, 1e-4, 0.2 * noise.end}) {
        if (h > t) continue;
        double const s = t - h;  // rounded: the oracle takes the rounded value
        SCOPED_TRACE(schedule.describe() + ", t=" + std::to_string(t) + ", h=" + std::to_string(h));
        EXPECT_TRUE(close(schedule.total_between(s, t), noise.total(t) - noise.total(s), 1e-12));
      }
      EXPECT_EQ(schedule.total_between(t, t), 0);
    }
  }
}

TEST(NoiseSchedule, CoefficientsOfReverseAndForwardSteps) {
  for (Noise const& noise : all_noises()) {
    NoiseSchedule const schedule = noise.schedule();
    for (double const late : times_of(noise)) {
      for (double const part : {0.0, 0.4, 0.999999}) {
        double const early = part * late;
        Real const a = noise.alpha(late), b = noise.alpha(early), delta = noise.total(late) - noise.total(early);
        SCOPED_TRACE(schedule.describe() + ", " + std::to_string(late) + " and " + std::to_string(early));
        StepCoeff const down = schedule.coefficients({late, early});
        EXPECT_TRUE(close(down.reveal, (b - a) / (1 - a), 1e-12));
        EXPECT_TRUE(close(down.hazard, noise.rate(late) * a / (1 - a), 1e-12));
        EXPECT_TRUE(close(down.rate, noise.rate(late), 1e-12));
        StepCoeff const up = schedule.coefficients({early, late});
        // sigma(0) = 0 for the cosine; the derivative of the oracle is good to 1e-32
        EXPECT_NEAR(up.rate, static_cast<double>(noise.rate(early)), 1e-12 * (1 + up.rate));
        for (StepCoeff const& c : {down, up}) {
          EXPECT_TRUE(close(c.delta, delta, 1e-12));
          EXPECT_TRUE(close(c.lost, 1 - exp(-delta), 1e-12));
          EXPECT_TRUE(close(c.growth, exp(delta) - 1, 1e-11));  // delta up to 20 in the exponent
          EXPECT_TRUE(close(c.retention, a / b, 1e-12));
          EXPECT_EQ(c.duration, late - early);
          EXPECT_EQ(c.phi, 1);
          EXPECT_EQ(c.power, 1);
          EXPECT_FALSE(c.forced);
        }
        EXPECT_EQ(down.from, late);
        EXPECT_EQ(down.to, early);
        EXPECT_TRUE(close(down.alpha_from, a, 1e-12));
        EXPECT_TRUE(close(down.alpha_to, b, 1e-12));
        EXPECT_TRUE(close(down.lost_from, 1 - a, 1e-12));
        EXPECT_NEAR(down.lost_to, static_cast<double>(1 - b), 1e-13 * static_cast<double>(1 - b));
        EXPECT_EQ(up.alpha_from, down.alpha_to);
        EXPECT_EQ(up.lost_to, down.lost_from);
      }
    }
  }
}

// A§7.1: for the log-linear schedule the probability of a reveal is h/t, whatever the floor; to 0 it is 1 for all that
// start without noise.
TEST(NoiseSchedule, RevealOfLogLinearIsExact) {
  for (double const floor : {1e-3, 0.3}) {
    NoiseSchedule const schedule = NoiseSchedule::log_linear(floor);
    EXPECT_EQ(schedule.coefficients({1, 0.75}).reveal, 0.25);
    EXPECT_EQ(schedule.coefficients({0.375, 0.25}).reveal, 1.0 / 3);
    EXPECT_EQ(schedule.coefficients({1e-12, 0.75e-12}).reveal, (1e-12 - 0.75e-12) / 1e-12);
    EXPECT_EQ(schedule.coefficients({0.25, 0.125}).hazard, 4);
  }
  for (Noise const& noise : all_noises()) {
    double const reveal = noise.schedule().coefficients({noise.end * 0.3, 0}).reveal;
    if (noise.kind == Noise::Kind::geometric) {
      EXPECT_LT(reveal, 1);
    } else {
      EXPECT_EQ(reveal, 1);
    }
  }
}

TEST(NoiseSchedule, ParseAndDescribeRoundTrip) {
  for (Noise const& noise : all_noises()) {
    std::string const text = noise.schedule().describe();
    NoiseSchedule const again = NoiseSchedule::parse(text);
    EXPECT_EQ(again.describe(), text);
    for (double const x : {0.0, 0.3, 1.0})
      EXPECT_EQ(again.total(x * noise.end), noise.schedule().total(x * noise.end)) << text;
    EXPECT_EQ(again.end(), noise.end);
  }
  EXPECT_EQ(NoiseSchedule::log_linear(0.1).describe(), "log_linear:floor=0.1");
  EXPECT_EQ(NoiseSchedule::constant(2, 3).describe(), "constant:rate=2,end=3");
  EXPECT_EQ(NoiseSchedule::geometric(0.5, 20).describe(), "geometric:min=0.5,max=20");
}

TEST(NoiseSchedule, ParseFillsInDefaults) {
  EXPECT_EQ(NoiseSchedule::parse("cosine").describe(), "cosine:floor=0.001");
  EXPECT_EQ(NoiseSchedule::parse("log_linear").describe(), "log_linear:floor=0.001");
  EXPECT_EQ(NoiseSchedule::parse("constant").describe(), "constant:rate=1,end=1");
  EXPECT_EQ(NoiseSchedule::parse("constant:end=4").describe(), "constant:rate=1,end=4");
  EXPECT_EQ(NoiseSchedule::parse("geometric:max=5").describe(), "geometric:min=0.001,max=5");
  EXPECT_EQ(NoiseSchedule::names(), (std::vector<std::string>{"constant", "cosine", "geometric", "log_linear"}));
  for (auto const& name : NoiseSchedule::names())
    EXPECT_TRUE(NoiseSchedule::parse(name).describe().starts_with(name + ":"));
}

TEST(NoiseSchedule, MessagesOfParse) {
  auto const message = [](char const* text) { return message_of<UserError>([&] { NoiseSchedule::parse(text); }); };
  EXPECT_TRUE(says(message("cosin"), {"noise", "'cosin'", "did you mean cosine", "log_linear"}));
  EXPECT_TRUE(says(message("constant:speed=2"), {"constant", "'speed'", "end, rate"}));
  EXPECT_TRUE(says(message("constant:rate"), {"constant", "name=value", "'rate'"}));
  EXPECT_TRUE(says(message("constant:rate=fast"), {"'rate'", "number", "'fast'"}));
  EXPECT_TRUE(says(message("constant:rate=2x"), {"'rate'", "'2x'"}));
  EXPECT_TRUE(says(message("constant:rate=,end=1"), {"'rate'", "''"}));
  EXPECT_TRUE(says(message("constant:rate=0"), {"rate above 0", "got 0"}));
  EXPECT_TRUE(says(message("constant:rate=nan"), {"rate above 0", "nan"}));
  EXPECT_TRUE(says(message("constant:end=-1"), {"end above 0", "-1"}));
  EXPECT_TRUE(says(message("constant:end=inf"), {"end above 0", "inf"}));
  EXPECT_TRUE(says(message("cosine:floor=1"), {"floor", "between 0 and 1", "got 1"}));
  EXPECT_TRUE(says(message("log_linear:floor=0"), {"floor", "got 0"}));
  EXPECT_TRUE(says(message("geometric:min=2"), {"0 < min < max", "min=2", "max=1"}));
  EXPECT_TRUE(says(message("geometric:max=inf"), {"0 < min < max", "inf"}));
  message("");
}

}  // namespace
}  // namespace saltus
