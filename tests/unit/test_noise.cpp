// SPDX-License-Identifier: BSD-3-Clause
// Noise schedules against the table of A§2 in 100 digits (tests/reference/noise.hpp).
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <type_traits>
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
  for (double const x : {0.013, 0.25, 0.5, 0.77, 0.9, 0.999}) times.push_back(x * noise.end);
  if (!noise.ends_infinite()) times.push_back(noise.end);  // see LinearAndPolynomialAtTheEnd
  return times;
}

testing::AssertionResult close(double got, Real const& expected, double relative, double absolute = 0) {
  Real const error = abs(Real(got) - expected);
  if (error <= relative * abs(expected) + absolute) return testing::AssertionSuccess();
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
      // 0 at the end of the cosines
      EXPECT_TRUE(close(schedule.rate(t), noise.rate(t), 1e-12, t == noise.end ? 1e-20 : 0));
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
      EXPECT_NEAR(slope, schedule.rate(t), 1e-8 * schedule.rate(t)) << schedule.describe() << ", t=" << t;
    }
  }
}

TEST(NoiseSchedule, StartsWithoutNoiseButForSome) {
  for (Noise const& noise : all_noises()) {
    NoiseSchedule const schedule = noise.schedule();
    EXPECT_EQ(schedule.total(0) == 0, !noise.starts_noisy()) << schedule.describe();
    EXPECT_EQ(schedule.lost(0) == 0, !noise.starts_noisy()) << schedule.describe();
    EXPECT_EQ(schedule.alpha(0) == 1, !noise.starts_noisy()) << schedule.describe();
  }
  EXPECT_EQ(NoiseSchedule::geometric(0.01, 2).total(0), 0.01);
  EXPECT_EQ(NoiseSchedule::md4_cosine(0.01).lost(0), 0.01);
  EXPECT_EQ(NoiseSchedule::piecewise_linear({0, 1}, {0.25, 3}).total(0), 0.25);
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
      if (noise.kind == Noise::Kind::table && slope == 0) continue;  // see FlatPiecesOfATable
      // cosine: the slope vanishes at 0 together with lost ~ t^2
      double const of_lost = t == 0 && slope == 0 ? 0 : epsilon * schedule.lost(t) / slope;
      EXPECT_NEAR(schedule.time_at_lost(schedule.lost(t)), t, 8 * (of_lost + epsilon * t));
      double const total = schedule.total(t);
      double const of_total = t == 0 && slope == 0 ? 0 : epsilon * total / schedule.rate(t);
      EXPECT_NEAR(schedule.time_at_total(total), t, 8 * (of_total + (noise.by_total() ? 0 : of_lost) + epsilon * t));
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
    EXPECT_EQ(schedule.time_at_total(schedule.total(0) / 2), 0);  // before the start of those that start noisy
    EXPECT_EQ(schedule.time_at_lost(schedule.lost(0) / 2), 0);
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
        double const nought = late == noise.end ? 1e-20 : 0;
        EXPECT_TRUE(close(down.hazard, noise.rate(late) * a / (1 - a), 1e-12, nought));
        EXPECT_TRUE(close(down.rate, noise.rate(late), 1e-12, nought));
        StepCoeff const up = schedule.coefficients({early, late});
        // sigma(0) = 0 for some; a power of a negative number has no value
        if (early > 0 || noise.kind != Noise::Kind::polynomial) {
          EXPECT_NEAR(up.rate, static_cast<double>(noise.rate(early)), 1e-12 * (1 + up.rate));
        }
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
    if (noise.starts_noisy()) {
      EXPECT_LT(reveal, 1);
    } else {
      EXPECT_EQ(reveal, 1);
    }
  }
}

TEST(NoiseSchedule, RevealOfLinearIsExact) {
  NoiseSchedule const schedule = NoiseSchedule::linear();
  EXPECT_EQ(schedule.coefficients({0.375, 0.25}).reveal, 1.0 / 3);
  for (double const from : {1e-12, 0.1, 0.7, 1.0}) {
    for (double const part : {0.0, 0.3, 0.9}) {
      StepCoeff const c = schedule.coefficients({from, part * from});
      EXPECT_EQ(c.reveal, (from - part * from) / from);
      EXPECT_EQ(c.hazard, 1 / from);
      EXPECT_EQ(c.lost_from, from);
    }
  }
}

TEST(NoiseSchedule, LinearAndPolynomialAtTheEnd) {
  double const infinity = std::numeric_limits<double>::infinity();
  for (NoiseSchedule const& schedule :
       {NoiseSchedule::linear(), NoiseSchedule::polynomial(3), NoiseSchedule::polynomial(0.5)}) {
    SCOPED_TRACE(schedule.describe());
    EXPECT_EQ(schedule.lost(1), 1);
    EXPECT_EQ(schedule.alpha(1), 0);
    EXPECT_EQ(schedule.total(1), infinity);
    EXPECT_EQ(schedule.rate(1), infinity);
    EXPECT_EQ(schedule.total_between(0.5, 1), infinity);
    EXPECT_EQ(schedule.total_between(1, 1), 0);
    EXPECT_EQ(schedule.time_at_total(infinity), 1);
    EXPECT_EQ(schedule.time_at_lost(1), 1);
    StepCoeff const c = schedule.coefficients({1, 0.5});
    EXPECT_EQ(c.retention, 0);
    EXPECT_EQ(c.lost, 1);
    EXPECT_EQ(c.reveal, schedule.alpha(0.5));
    StepCoeff const none = schedule.coefficients({1, 1});
    EXPECT_EQ(none.reveal, 0);
    EXPECT_EQ(none.retention, 1);
  }
  // -alpha'/(1 - alpha) = k/t
  EXPECT_EQ(NoiseSchedule::linear().coefficients({1, 0.5}).hazard, 1);
  EXPECT_EQ(NoiseSchedule::polynomial(3).coefficients({1, 0.5}).hazard, 3);
  EXPECT_EQ(NoiseSchedule::polynomial(0.5).rate(0), infinity);
  EXPECT_EQ(NoiseSchedule::polynomial(2).rate(0), 0);
  EXPECT_EQ(NoiseSchedule::polynomial(1).rate(0), 1);
}

TEST(NoiseSchedule, DefaultsOfTauLdr) {
  EXPECT_NEAR(NoiseSchedule::exponential().total(1), 297, 1e-12 * 297);  // A§2
  EXPECT_NEAR(NoiseSchedule::exponential().rate(0), 3 * std::log(100.0), 1e-14);
  EXPECT_NEAR(NoiseSchedule::geometric2().total(1), 4999.5, 1e-12 * 4999.5);
  EXPECT_NEAR(NoiseSchedule::geometric2().rate(1), 1e4 * std::log(100.0), 1e-8);
  // 128 other states at rate 0.03 each are uniform noise at rate 129 x 0.03
  EXPECT_NEAR(NoiseSchedule::constant(129 * 0.03).alpha(1), std::exp(-3.87), 1e-15);
}

TEST(NoiseSchedule, ConstantWithoutEnd) {
  double const infinity = std::numeric_limits<double>::infinity();
  NoiseSchedule const schedule = NoiseSchedule::parse("constant:rate=2,end=inf");
  EXPECT_EQ(schedule.describe(), "constant:rate=2,end=inf");
  EXPECT_EQ(schedule.end(), infinity);
  EXPECT_EQ(schedule.total(1e6), 2e6);
  EXPECT_EQ(schedule.total_between(1e6, 1e6 + 1), 2);
  EXPECT_EQ(schedule.time_at_total(2e6), 1e6);
  EXPECT_EQ(schedule.time_at_total(infinity), infinity);
  EXPECT_EQ(schedule.total(infinity), infinity);
  EXPECT_EQ(schedule.lost(infinity), 1);
}

TEST(NoiseSchedule, FlatPiecesOfATable) {
  NoiseSchedule const schedule = NoiseSchedule::piecewise_linear({0, 1, 2, 4, 5}, {0, 0, 3, 3, 4});
  EXPECT_EQ(schedule.end(), 5);
  EXPECT_EQ(schedule.total(0.5), 0);
  EXPECT_EQ(schedule.lost(1), 0);
  EXPECT_EQ(schedule.total(1.5), 1.5);
  EXPECT_EQ(schedule.total(3), 3);
  EXPECT_EQ(schedule.total(4.5), 3.5);
  EXPECT_EQ(schedule.total(5), 4);
  EXPECT_EQ(schedule.total_between(0.5, 4.5), 3.5);
  EXPECT_EQ(schedule.total_between(2.5, 3.5), 0);
  EXPECT_EQ(schedule.total_between(1, 2), 3);
  // the earliest time
  EXPECT_EQ(schedule.time_at_total(0), 0);
  EXPECT_EQ(schedule.time_at_total(3), 2);
  EXPECT_EQ(schedule.time_at_total(3.5), 4.5);
  EXPECT_EQ(schedule.time_at_total(1e-9), 1 + 1e-9 / 3);
  EXPECT_EQ(schedule.time_at_total(4), 5);
  EXPECT_EQ(schedule.time_at_total(4.1), 5);
  // at a point: the piece that ends there, and for a step the piece that it goes into
  EXPECT_EQ(schedule.rate(2), 3);
  EXPECT_EQ(schedule.rate(3), 0);
  EXPECT_EQ(schedule.coefficients({2, 1.5}).rate, 3);
  EXPECT_EQ(schedule.coefficients({2, 3}).rate, 0);
  EXPECT_EQ(schedule.coefficients({0, 0.5}).rate, 0);
  EXPECT_EQ(schedule.coefficients({1, 2}).rate, 3);
  EXPECT_EQ(schedule.coefficients({4, 2}).rate, 0);
  EXPECT_EQ(schedule.coefficients({4, 2}).reveal, 0);
  EXPECT_EQ(schedule.coefficients({4, 5}).rate, 1);
  EXPECT_EQ(schedule.coefficients({5, 4}).rate, 1);
  // where nothing can be masked, whatever is masked is revealed
  EXPECT_EQ(schedule.coefficients({0.75, 0.5}).reveal, 1);
  EXPECT_EQ(schedule.coefficients({0.75, 0.5}).hazard, std::numeric_limits<double>::infinity());
}

TEST(NoiseSchedule, LargestTable) {
  std::vector<double> times, totals;
  for (int i = 0; i < NoiseSchedule::max_points; ++i) {
    times.push_back(i / 7.0);
    totals.push_back(0.01 * i * i);
  }
  NoiseSchedule const schedule = NoiseSchedule::piecewise_linear(times, totals);
  for (std::size_t i = 0; i < times.size(); ++i) {
    EXPECT_NEAR(schedule.total(times[i]), totals[i], 4 * epsilon * totals[i]);
    if (i == 0) continue;
    double const middle = (times[i - 1] + times[i]) / 2, half = (totals[i - 1] + totals[i]) / 2;
    EXPECT_NEAR(schedule.total(middle), half, 1e-13 * half);
    EXPECT_NEAR(schedule.time_at_total(half), middle, 1e-13 * middle);
    EXPECT_NEAR(schedule.rate(middle), 0.07 * (2 * static_cast<double>(i) - 1), 1e-11);
  }
  EXPECT_EQ(NoiseSchedule::parse(schedule.describe()).describe(), schedule.describe());
}

// Kernels hold schedules by value.
static_assert(std::is_trivially_copyable_v<NoiseSchedule>);

struct InverseKernel {
  NoiseSchedule noise;
  Kokkos::View<double*, MemorySpace> values;
  KOKKOS_FUNCTION void operator()(int i) const { values(i) = noise.time_at_total(noise.total(noise.end() * i / 100)); }
};

TEST(NoiseSchedule, WorksInKernels) {
  for (Noise const& noise : all_noises()) {
    Kokkos::View<double*, MemorySpace> const values("test::values", 100);
    Kokkos::parallel_for("test::noise", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(0, 100),
                         InverseKernel{noise.schedule(), values});
    auto const host = Kokkos::create_mirror_view_and_copy(HostSpace(), values);
    NoiseSchedule const schedule = noise.schedule();
    for (int i = 0; i < 100; ++i) {
      EXPECT_NEAR(host(static_cast<std::size_t>(i)), schedule.time_at_total(schedule.total(noise.end * i / 100)), 1e-9)
          << schedule.describe();
    }
  }
}

std::string file_of(std::string const& text) {
  std::string const path = testing::TempDir() + "saltus_noise_table.txt";
  std::ofstream(path) << text;
  return path;
}

TEST(NoiseSchedule, ReadsTables) {
  std::string const path = file_of("# t sigma_bar\n0 0\n\n  0.5,0.25 # half\r\n1\t2e0");
  EXPECT_EQ(NoiseSchedule::read(path).describe(), "table:times=0,0.5,1,totals=0,0.25,2");
  EXPECT_EQ(NoiseSchedule::parse("table:file=" + path).describe(), "table:times=0,0.5,1,totals=0,0.25,2");
  auto const message = [](std::string const& text) {
    std::string const file = file_of(text);
    return message_of<UserError>([&] { NoiseSchedule::read(file); });
  };
  EXPECT_TRUE(says(message("0 0\n1 x\n"), {"saltus_noise_table.txt, line 2", "number", "'x'"}));
  EXPECT_TRUE(says(message("0 0\n\n1 2 3\n"), {"line 3", "two numbers", "got 3"}));
  EXPECT_TRUE(says(message("0 0\n1\n"), {"line 2", "two numbers", "got 1"}));
  EXPECT_TRUE(says(message(""), {"saltus_noise_table.txt", "2 to 256 points", "got 0"}));
  EXPECT_TRUE(says(message("0 0\n1 -1\n"), {"saltus_noise_table.txt", "point 1", "got -1 after 0"}));
  EXPECT_TRUE(says(message_of<UserError>([] { NoiseSchedule::parse("table:file=/no/such/file"); }), {"/no/such/file"}));
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
  EXPECT_EQ(NoiseSchedule::geometric2(0.5, 20).describe(), "geometric2:min=0.5,max=20");
  EXPECT_EQ(NoiseSchedule::exponential(1000, 0.5).describe(), "exponential:base=1000,scale=0.5");
  EXPECT_EQ(NoiseSchedule::linear().describe(), "linear");
  EXPECT_EQ(NoiseSchedule::parse("table:totals=0,0.1,2,times=0,1,3").describe(), "table:times=0,1,3,totals=0,0.1,2");
}

TEST(NoiseSchedule, ParseFillsInDefaults) {
  EXPECT_EQ(NoiseSchedule::parse("cosine").describe(), "cosine:floor=0.001");
  EXPECT_EQ(NoiseSchedule::parse("log_linear").describe(), "log_linear:floor=0.001");
  EXPECT_EQ(NoiseSchedule::parse("constant").describe(), "constant:rate=1,end=1");
  EXPECT_EQ(NoiseSchedule::parse("constant:end=4").describe(), "constant:rate=1,end=4");
  EXPECT_EQ(NoiseSchedule::parse("geometric:max=5").describe(), "geometric:min=0.001,max=5");
  EXPECT_EQ(NoiseSchedule::parse("cosine2").describe(), "cosine2:floor=0.001");
  EXPECT_EQ(NoiseSchedule::parse("md4_cosine").describe(), "md4_cosine:floor=1e-04");
  EXPECT_EQ(NoiseSchedule::parse("polynomial").describe(), "polynomial:power=2");
  EXPECT_EQ(NoiseSchedule::parse("geometric2").describe(), "geometric2:min=1,max=100");
  EXPECT_EQ(NoiseSchedule::parse("exponential").describe(), "exponential:base=100,scale=3");
  EXPECT_EQ(NoiseSchedule::names(),
            (std::vector<std::string>{"constant", "cosine", "cosine2", "exponential", "geometric", "geometric2",
                                      "linear", "log_linear", "md4_cosine", "polynomial", "table"}));
  for (auto const& name : NoiseSchedule::names()) {
    if (name == "table") continue;  // has no default
    EXPECT_TRUE(NoiseSchedule::parse(name).describe().starts_with(name));
  }
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
  EXPECT_TRUE(says(message("constant:end=nan"), {"end above 0", "nan"}));
  EXPECT_TRUE(says(message("constant:rate=inf"), {"rate above 0", "inf"}));
  EXPECT_TRUE(says(message("constant:rate=1,rate=2"), {"'rate'", "twice"}));
  EXPECT_TRUE(says(message("constant:rate=1,2"), {"'rate'", "one value", "2"}));
  EXPECT_TRUE(says(message("linear:floor=1"), {"linear", "'floor'"}));
  EXPECT_TRUE(says(message("cosine2:floor=0"), {"floor", "between 0 and 1", "got 0"}));
  EXPECT_TRUE(says(message("md4_cosine:floor=0.5"), {"floor", "between 0 and 0.5", "got 0.5"}));
  EXPECT_TRUE(says(message("polynomial:power=0"), {"power above 0", "got 0"}));
  EXPECT_TRUE(says(message("exponential:base=1"), {"base above 1", "got 1"}));
  EXPECT_TRUE(says(message("exponential:scale=-1"), {"scale above 0", "-1"}));
  EXPECT_TRUE(says(message("geometric2:min=100"), {"0 < min < max", "min=100", "max=100"}));
  EXPECT_TRUE(says(message("table"), {"table:file=PATH", "times=", "'table'"}));
  EXPECT_TRUE(says(message("table:times=0,1"), {"totals="}));
  EXPECT_TRUE(says(message("table:file=a,times=0,1,totals=0,1"), {"table:file=PATH or"}));
  EXPECT_TRUE(says(message("table:times=0,1,totals=0"), {"2 times and 1 totals"}));
  EXPECT_TRUE(says(message("table:times=0,totals=0"), {"2 to 256 points", "got 1"}));
  EXPECT_TRUE(says(message("table:times=1,2,totals=0,1"), {"point 0", "start at t = 0", "got 1"}));
  EXPECT_TRUE(says(message("table:times=0,1,1,totals=0,1,2"), {"point 2", "times that rise", "got 1 after 1"}));
  EXPECT_TRUE(says(message("table:times=0,1,inf,totals=0,1,2"), {"point 2", "inf after 1"}));
  EXPECT_TRUE(says(message("table:times=0,1,totals=-1,1"), {"point 0", "at least 0", "got -1"}));
  EXPECT_TRUE(says(message("table:times=0,1,2,totals=0,2,1"), {"point 2", "never fall", "got 1 after 2"}));
  EXPECT_TRUE(says(message("table:times=0,1,totals=0,nan"), {"point 1", "nan"}));
  EXPECT_TRUE(says(message("table:times=0,1,totals=2,2"), {"rise somewhere", "got only 2"}));
  EXPECT_TRUE(says(message("cosine:floor=1"), {"floor", "between 0 and 1", "got 1"}));
  EXPECT_TRUE(says(message("log_linear:floor=0"), {"floor", "got 0"}));
  EXPECT_TRUE(says(message("geometric:min=2"), {"0 < min < max", "min=2", "max=1"}));
  EXPECT_TRUE(says(message("geometric:max=inf"), {"0 < min < max", "inf"}));
  message("");
}

}  // namespace
}  // namespace saltus
