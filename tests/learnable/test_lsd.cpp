// SPDX-License-Identifier: BSD-3-Clause
// LSD against closed forms of the noise alone (A§12.6), against sums over all states written out here, and what it must
// refuse, repeat and resume.
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/distance.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

#include "reference/harness.hpp"
#include "reference/scaled_scores.hpp"
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace reference;
using statistics::accepts;
using statistics::false_alarm;
using statistics::normal_p_value;

Process masked_process(SequenceLaw const& law, NoiseSchedule const& noise) {
  Generator const generator = Generator::absorbing(law.states() + 1);
  return Process::reverse(generator, noise, law.denoiser(generator));
}

struct Case {
  std::string name;
  NoiseSchedule noise;
  double end;
};
std::vector<Case> const& cases() {
  static std::vector<Case> const list{{"constant", NoiseSchedule::constant(1, 3), 0.05},
                                      {"geometric", NoiseSchedule::geometric(0.01, 5), 1e-3},
                                      {"log-linear", NoiseSchedule::log_linear(), 1e-3}};
  return list;
}

// A§12.6: what makes Euler's reveal probability Tweedie's.
std::vector<double> euler_factors(NoiseSchedule const& noise, double end, int steps) {
  TimeGrid const grid = TimeGrid::uniform(noise.end(), end, steps);
  std::vector<double> phi;
  for (int k = 0; k < steps; ++k) {
    double const from = grid.point(k), to = grid.point(k + 1), slope = noise.rate(from) * noise.alpha(from);
    phi.push_back((noise.alpha(to) - noise.alpha(from)) / ((from - to) * slope));
  }
  return phi;
}

// Girsanov's optimum for a masked site: P(revealed in the block) / (hazard at its start x expected time as a mask).
std::vector<double> exponential_factors(NoiseSchedule const& noise, double end, int steps) {
  TimeGrid const grid = TimeGrid::uniform(noise.end(), end, steps);
  std::vector<double> phi;
  for (int k = 0; k < steps; ++k) {
    double const from = grid.point(k), to = grid.point(k + 1);
    int const pieces = 20000;
    double masked = 0;
    for (int i = 0; i < pieces; ++i) masked += noise.lost(to + (from - to) * (i + 0.5) / pieces) * (from - to) / pieces;
    phi.push_back((noise.alpha(to) - noise.alpha(from)) / (noise.rate(from) * noise.alpha(from) / noise.lost(from) * masked));
  }
  return phi;
}

void expect_factors(Schedule const& s, std::vector<double> const& expected, double tolerance) {
  ASSERT_EQ(s.phi.size(), expected.size());
  for (std::size_t k = 0; k < expected.size(); ++k) {
    SCOPED_TRACE("step " + std::to_string(k) + ": " + std::to_string(s.phi[k]) + " +- " + std::to_string(s.phi_error[k]) +
                 ", expected " + std::to_string(expected[k]));
    EXPECT_TRUE(accepts(normal_p_value((s.phi[k] - expected[k]) / s.phi_error[k])));
    EXPECT_NEAR(s.phi[k], expected[k], tolerance * expected[k]);
    EXPECT_LT(normal_p_value(0.05 * expected[k] / s.phi_error[k]), false_alarm) << "5 % off must be seen";
  }
}

DistillPlan plan_of(std::string const& base, int steps, double end, int length) {
  return {.base = base, .steps = steps, .teacher_steps = 32, .length = length, .end = end, .trajectories = 20000, .sweeps = 2, .batch = 1000};
}

TEST(Lsd, EulerFactorsOfMasksAreThoseOfTheNoiseForAnyLaw) {
  TableLaw const law = TableLaw::neighbours(6, 2, 3);
  for (auto const& c : cases()) {
    SCOPED_TRACE(c.name);
    auto process = masked_process(law, c.noise);
    Schedule const s = make_distiller("lsd")->distill(ExecSpace(), process, plan_of("euler", 4, c.end, 6), {});
    expect_factors(s, euler_factors(c.noise, c.end, 4), 0.02);
    for (int k = 0; k < 4; ++k) {  // then masks are revealed as often as they should be
      StepCoeff const coeff = c.noise.coefficients({s.times[static_cast<std::size_t>(k)], s.times[static_cast<std::size_t>(k) + 1]});
      EXPECT_NEAR(s.reveal[static_cast<std::size_t>(k)], coeff.reveal, 0.02 * coeff.reveal);
    }
  }
  std::vector<double> const constant = euler_factors(cases()[0].noise, 0.05, 4), geometric = euler_factors(cases()[1].noise, 1e-3, 4),
                            documented{6.503, 0.793, 0.555, 0.517};  // A§12.6
  EXPECT_NEAR(constant[0], 1.479, 5e-4);
  EXPECT_NEAR(euler_factors(cases()[0].noise, 0.05, 8)[0], 1.209, 5e-4);
  EXPECT_NEAR(euler_factors(cases()[0].noise, 0.05, 16)[0], 1.098, 5e-4);
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(geometric[k], documented[k], 5e-4);
  for (double const phi : euler_factors(cases()[2].noise, 1e-3, 4)) EXPECT_NEAR(phi, 1, 1e-12);
}

TEST(Lsd, CorrectedEulerIsTweedie) {
  TableLaw const law = TableLaw::neighbours(3, 3, 3);
  for (auto const& c : cases()) {
    SCOPED_TRACE(c.name);
    auto process = masked_process(law, c.noise);
    StateSpace const space(4, 3);
    TimeGrid const grid = TimeGrid::uniform(c.noise.end(), c.end, 4);
    auto const run = [&](char const* name, std::vector<double> const& phi) {
      return output_law(ExecSpace(), process, *make_integrator(name), space, prior_law(process, space), grid, false, phi);
    };
    auto const tweedie = run("tweedie", {}), corrected = run("euler", euler_factors(c.noise, c.end, 4)), plain = run("euler", {});
    EXPECT_LT(total_variation(corrected, tweedie), 1e-12);
    EXPECT_TRUE(c.name == "log-linear" || total_variation(plain, tweedie) > 0.02);
    Schedule const s = make_distiller("lsd")->distill(ExecSpace(), process, plan_of("euler", 4, c.end, 3), {});
    EXPECT_LT(total_variation(run("euler", s.phi), tweedie), 0.005);
  }
}

TEST(Lsd, ExponentialFactorsAreGirsanovs) {
  NoiseSchedule const noise = NoiseSchedule::constant(1, 3);
  std::vector<double> const expected = exponential_factors(noise, 0.05, 4), documented{1.517, 1.566, 1.706, 2.464};  // A§12.6
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(expected[k], documented[k], 5e-4);
  TableLaw const law = TableLaw::neighbours(2, 3, 6);
  for (char const* const base : {"exponential", "tau_leaping"}) {
    auto process = masked_process(law, noise);
    DistillPlan plan = plan_of(base, 4, 0.05, 2);
    plan.trajectories = 4000;
    plan.teacher_steps = 128;
    expect_factors(make_distiller("lsd")->distill(ExecSpace(), process, plan, {}), expected, 0.02);
  }
}

TEST(Lsd, TweedieNeedsNoFactorForMasks) {
  TableLaw const law = TableLaw::neighbours(6, 2, 3);
  for (char const* const base : {"tweedie", "tweedie_trapezoidal"}) {
    for (auto const& c : cases()) {
      SCOPED_TRACE(std::string(base) + ", " + c.name);
      auto process = masked_process(law, c.noise);
      expect_factors(make_distiller("lsd")->distill(ExecSpace(), process, plan_of(base, 4, c.end, 6), {}), {1, 1, 1, 1}, 0.02);
    }
  }
}

TEST(Lsd, TheForcedStepHasNoFactor) {
  ProductLaw const law(3, 2, {0.5, 0.5, 0.2, 0.8, 0.9, 0.1});
  auto process = masked_process(law, NoiseSchedule::log_linear());
  Schedule const s = make_distiller("lsd")->distill(ExecSpace(), process, plan_of("euler", 4, 0, 3), {});
  EXPECT_TRUE(s.forced_last);
  EXPECT_EQ(s.phi.back(), 1);
  EXPECT_EQ(s.phi_error.back(), 0);
  EXPECT_EQ(s.reveal.back(), 1);
  for (std::size_t k = 0; k < 3; ++k) {  // A§12.7-9
    EXPECT_TRUE(accepts(normal_p_value((s.phi[k] - 1) / s.phi_error[k])));
    EXPECT_NEAR(s.phi[k], 1, 0.02);
  }
  EXPECT_EQ(s.times.front(), 1);
  EXPECT_EQ(s.times.back(), 0);
  EXPECT_EQ(s.objective.size(), 2);
}

// Independent uniform sites are stationary: a site jumps in a step of the teacher with probability p whatever its token, so
// sum J = 1 - (1 - p)^r, and Euler says h (S - 1)/S.
TEST(Lsd, EulerFactorsUnderUniformNoise) {
  NoiseSchedule const noise = NoiseSchedule::constant(1, 3);
  for (int const states : {3, 32}) {
    Generator const generator = Generator::uniform(states);
    auto const count = static_cast<std::size_t>(states);
    ProductLaw const law(2, states, std::vector<double>(2 * count, 1.0 / states));
    auto process = Process::reverse(generator, noise, law.denoiser(generator));
    DistillPlan plan = plan_of("euler", 8, 0.05, 2);
    plan.trajectories = states == 3 ? 20000 : 4000;
    Schedule const s = make_distiller("lsd")->distill(ExecSpace(), process, plan, {});
    double const exit = (states - 1.0) / states, h = 2.95 / 8, p = exit * -std::expm1(-2.95 / 32),
                 expected = -std::expm1(4 * std::log1p(-p)) / (h * exit);
    expect_factors(s, std::vector<double>(8, expected), 0.02);
    if (states == 32) {
      EXPECT_NEAR(expected, 0.84, 0.01);  // A§12.6
    }
    EXPECT_TRUE(s.reveal.empty());
  }
}

// Tweedie knows of repeated jumps, so that sites on their own need no factor.
TEST(Lsd, TweedieNeedsNoFactorForIndependentSites) {
  ProductLaw const law(3, 3, {0.5, 0.3, 0.2, 0.2, 0.7, 0.1, 0.9, 0.05, 0.05});
  for (Generator const& generator : {Generator::uniform(3), Generator::gaussian_target(3, 1.5, 2)}) {
    auto process = Process::reverse(generator, NoiseSchedule::constant(1, 3), law.denoiser(generator));
    expect_factors(make_distiller("lsd")->distill(ExecSpace(), process, plan_of("tweedie", 4, 0.05, 3), {}), {1, 1, 1, 1}, 0.02);
  }
}

}  // namespace
}  // namespace saltus
