// SPDX-License-Identifier: BSD-3-Clause
// Orders and inequalities of A§7, A§9.3 and A§14, from exact laws: no sampling. The laws are
// p(x) proportional to 1 + rho #{l: x_l = x_(l+1)} with rho = .2 (weak) and 5 (strong).
#include <cmath>
#include <memory>

#include <gtest/gtest.h>

#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/models/information_profile.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/table.hpp>

namespace saltus {
namespace {

constexpr int tokens = 3;
constexpr double weak = 0.2, strong = 5;

struct Problem {
  bool masked;
  int length;
  double strength;
  NoiseSchedule noise;
  double from, to;

  LawReport run(std::string const& method, int steps) const {
    TableLaw const law = TableLaw::neighbours(length, tokens, strength);
    Generator const q = masked ? Generator::absorbing(tokens + 1) : Generator::uniform(tokens);
    Process process = Process::reverse(q, noise, law.denoiser(q));
    StateSpace const space(q.states(), length);
    LawPlan plan{.grid = TimeGrid::uniform(from, to, steps), .data = enumerate(law),
                 .forced_last = masked && to == 0};
    // Without a mask from the exact law at the start, so that what is seen is the method's error.
    if (!masked) plan.start = forward_law(space, space.embed(plan.data, q), q, noise, from);
    return law_report(ExecSpace(), process, *make_integrator(method, process), space, plan);
  }
  double tv(std::string const& method, int steps) const { return run(method, steps).tv; }
  double order(std::string const& method, int steps) const {
    return std::log2(tv(method, steps) / tv(method, 2 * steps));
  }
};

// The setting of A§14: constant rate, T = 3, down to .05.
Problem constant_rate(bool masked, double strength) {
  return {masked, 2, strength, NoiseSchedule::constant(1, 3), 3, 0.05};
}
Problem to_data(int length, double strength, NoiseSchedule const& noise) {
  return {true, length, strength, noise, noise.end(), 0};
}

// -------------------------------------------------------------------------------------------- tweedie_trapezoidal, A§7.6

TEST(Orders, TweedieTrapezoidalIsExactForTwoSites) {
  for (auto const& noise : {NoiseSchedule::linear(), NoiseSchedule::cosine2()}) {
    for (int const steps : {1, 2, 4, 8, 32}) {
      for (char const* const method : {"tweedie_trapezoidal", "tweedie_trapezoidal:split=0.35"}) {
        auto const report = to_data(2, weak, noise).run(method, steps);
        EXPECT_LT(report.tv, 1e-14) << method << ", " << steps << " steps, " << noise.describe();
        EXPECT_GT(to_data(2, weak, noise).tv("tweedie", steps), 1e-4);  // what it takes away
      }
    }
  }
}

TEST(Orders, TweedieTrapezoidalIsOfOrderTwoForThreeSites) {
  for (auto const& noise : {NoiseSchedule::linear(), NoiseSchedule::cosine2()}) {
    Problem const problem = to_data(3, weak, noise);
    for (int const steps : {4, 8, 16}) {
      EXPECT_NEAR(problem.order("tweedie_trapezoidal", steps), 2, 0.1) << steps << ", " << noise.describe();
      EXPECT_NEAR(problem.order("tweedie", steps), 1, 0.15) << steps << ", " << noise.describe();
    }
    for (int const steps : {4, 8, 16, 32}) {
      EXPECT_GE(problem.tv("tweedie", steps) / problem.tv("tweedie_trapezoidal", steps), 100)
          << steps << ", " << noise.describe();
      // at equal numbers of evaluations, two a step
      EXPECT_GE(problem.tv("tweedie", 2 * steps) / problem.tv("tweedie_trapezoidal", steps), 50)
          << steps << ", " << noise.describe();
    }
  }
}

// Where weights are clamped it falls back to order one, below tweedie still.
TEST(Orders, TweedieTrapezoidalOnStrongDependence) {
  Problem const problem = to_data(2, strong, NoiseSchedule::linear());
  for (int const steps : {8, 16, 32}) {
    EXPECT_NEAR(problem.order("tweedie_trapezoidal", steps), 1, 0.1) << steps;
    EXPECT_GT(problem.tv("tweedie", steps) / problem.tv("tweedie_trapezoidal", steps), 3) << steps;
  }
}

// ----------------------------------------------------------------------------------------------- the table of A§14

TEST(Orders, AbsorbingWeakDependence) {
  Problem const problem = constant_rate(true, weak);
  EXPECT_NEAR(problem.order("theta_trapezoidal", 64), 2, 0.1);
  EXPECT_NEAR(problem.order("theta_trapezoidal", 128), 2, 0.1);
  EXPECT_NEAR(problem.order("theta_trapezoidal:rule=reject", 128), 1, 0.2);
  EXPECT_NEAR(problem.order("euler", 128), 1, 0.1);
  EXPECT_NEAR(problem.order("tweedie", 128), 1, 0.05);
  EXPECT_NEAR(problem.order("exponential", 128), 1, 0.1);
  EXPECT_NEAR(problem.order("theta_rk2", 128), 1, 0.1);
  EXPECT_NEAR(problem.order("theta_rk2:theta=0.33", 128), 1, 0.15);
  double const early = problem.order("theta_rk2:repair=own", 64), late = problem.order("theta_rk2:repair=own", 128);
  EXPECT_GT(early, 1.7);
  EXPECT_GT(late, early);  // still rising
}

TEST(Orders, AbsorbingStrongDependence) {
  Problem const problem = constant_rate(true, strong);
  for (char const* const method : {"euler", "exponential", "tau_leaping:rule=reject", "tweedie"}) {
    EXPECT_NEAR(problem.order(method, 128), 1, 0.12) << method;
  }
  double const order = problem.order("theta_trapezoidal", 128);
  EXPECT_GT(order, 1.05);  // clamped: between one and two, falling
  EXPECT_LT(order, 1.9);
  EXPECT_LT(order, problem.order("theta_trapezoidal", 32));
}

TEST(Orders, UniformNoise) {
  for (double const strength : {weak, strong}) {
    Problem const problem = constant_rate(false, strength);
    for (char const* const method : {"euler", "exponential", "tau_leaping:rule=reject", "tweedie", "theta_rk2"}) {
      EXPECT_NEAR(problem.order(method, 128), 1, 0.1) << method << ", strength " << strength;
    }
    // Several jumps of a site in a step cost O(h^2) a step: no second order here.
    double const order = problem.order("theta_trapezoidal", 128);
    EXPECT_GT(order, 0.95) << strength;
    EXPECT_LT(order, 1.7) << strength;
  }
}

// --------------------------------------------------------------------------------------------- inequalities of A§7

TEST(Orders, InequalitiesOnAbsorbingNoise) {
  for (double const strength : {weak, strong}) {
    Problem const problem = constant_rate(true, strength);
    for (int const steps : {32, 128}) {
      SCOPED_TRACE(std::to_string(strength) + ", " + std::to_string(steps));
      double const tweedie = problem.tv("tweedie", steps), euler = problem.tv("euler", steps),
                   first = problem.tv("exponential", steps), reject = problem.tv("tau_leaping:rule=reject", steps);
      EXPECT_LT(tweedie, euler);  // smallest constant
      EXPECT_LT(euler, first);    // exponential is biased low for masks
      EXPECT_NEAR(reject / first, 2, 0.3);  // rejecting several jumps: twice the bias
      EXPECT_LT(problem.tv("theta_trapezoidal", steps), problem.tv("theta_trapezoidal:rule=reject", steps));
      EXPECT_LT(problem.tv("theta_rk2:repair=own", steps), problem.tv("theta_rk2", steps));
    }
  }
}

// Path divergences bound those of the output, and their parts add up, for methods of one and of two stages.
TEST(Orders, PathDivergence) {
  for (double const strength : {weak, strong}) {
    for (bool const masked : {true, false}) {
      Problem const problem = constant_rate(masked, strength);
      for (char const* const method :
           {"tweedie", "euler", "theta_trapezoidal", "theta_rk2:repair=own", "tweedie_trapezoidal", "fixed_count"}) {
        if (!masked && (std::string(method) == "tweedie_trapezoidal" || std::string(method) == "fixed_count")) continue;
        auto const report = problem.run(method, 16);
        ASSERT_TRUE(report.path_kl) << method;
        EXPECT_GE(*report.path_kl, report.kl - 1e-13) << method;
        EXPECT_GE(report.kl, 2 * report.tv * report.tv) << method;  // Pinsker
        if (masked && report.discretisation) {
          EXPECT_NEAR(*report.discretisation + *report.factorisation, *report.path_kl, 1e-12) << method;
        }
      }
    }
  }
}

// ------------------------------------------------------------------------------------- blocks of the cyclic chain, A§9.3

TEST(Orders, OptimalBlocksOfTheCyclicChain) {
  std::vector<double> transitions(16, 0.0);
  for (std::size_t x = 0; x < 4; ++x) {
    transitions[x * 4 + x] = 0.7;
    transitions[x * 4 + (x + 1) % 4] = 0.3;
  }
  MarkovChain const chain(8, 4, std::vector<double>(4, 0.25), transitions);
  Generator const q = Generator::absorbing(5);
  NoiseSchedule const noise = NoiseSchedule::linear();
  StateSpace const space(5, 8);
  Process process = Process::reverse(q, noise, chain.denoiser(q));
  std::vector<double> const data = enumerate(chain), profile = information_profile(chain);
  auto const cost = [&](std::string const& method, TimeGrid const& grid) {
    auto const report = law_report(ExecSpace(), process, *make_integrator(method), space,
                                   {.grid = grid, .data = data, .forced_last = true});
    return report.path_kl.value();
  };
  struct Expected {
    std::vector<int> blocks;
    double optimal, equal, binomial;
  };
  for (auto const& [blocks, optimal, equal, binomial] :
       {Expected{{3, 5}, 1.756283, 2.068863, 2.396806}, Expected{{1, 2, 2, 3}, 0.481452, 0.632776, 1.108578}}) {
    int const steps = static_cast<int>(blocks.size());
    EXPECT_EQ(optimal_blocks(profile, steps), blocks);
    TimeGrid const grid = block_grid(noise, 1, blocks), uniform = TimeGrid::uniform(1, 0, steps);
    EXPECT_NEAR(cost("fixed_count", grid), optimal, 6e-7);
    EXPECT_NEAR(cost("fixed_count", uniform), equal, 6e-7);
    EXPECT_NEAR(cost("k_gillespie", uniform), equal, 6e-7);
    EXPECT_NEAR(cost("tweedie", uniform), binomial, 6e-7);
    EXPECT_LT(optimal, equal);
  }
}

}  // namespace
}  // namespace saltus
