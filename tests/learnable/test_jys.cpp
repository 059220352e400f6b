// SPDX-License-Identifier: BSD-3-Clause
// JYS: time points by golden section (A§11, 17.16) against closed forms and exact path KLs.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/path_kl.hpp>
#include <saltus/models/information_profile.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>

#include "reference/cyclic.hpp"
#include "reference/harness.hpp"
#include "reference/learned.hpp"

namespace saltus {
namespace {

using namespace reference;

// Independent tokens, w = 1, u = 0: t ln(1/t) is largest at 1/e, t (ln(1/t) - 1 + t) at .20319, and without the
// artefact no point is worth anything.
TEST(Jys, IndependentTokens) {
  std::vector<double> sites;
  for (int l = 0; l < 32; ++l) sites.insert(sites.end(), {0.5, 0.25, 0.25});
  ProductLaw const law(32, 3, sites);
  Generator const generator = Generator::absorbing(4);
  Process process = Process::reverse(generator, NoiseSchedule::linear(), law.denoiser(generator));
  DistillPlan const plan{
      .base = "euler", .steps = 2, .teacher_steps = 2, .length = 32, .trajectories = 4096, .batch = 4096};
  Schedule const released = learned(process, plan, "jys:objective=released");
  Schedule const full = learned(process, plan, "jys:objective=full,refine=0");
  Schedule const bound = learned(process, plan, "jys");
  ASSERT_EQ(released.times.size(), 3U);
  EXPECT_NEAR(released.times[1], std::exp(-1), 0.03);
  EXPECT_NEAR(released.objective[0], 32 * std::exp(-1), 0.1);
  EXPECT_NEAR(full.times[1], 0.20319, 0.03);
  double const t = 0.20319;
  EXPECT_NEAR(full.objective[0], 32 * t * (-std::log(t) - 1 + t), 0.1);
  EXPECT_DOUBLE_EQ(bound.times[1], 0.5);
  EXPECT_EQ(bound.objective[0], 0);
  EXPECT_TRUE(bound.forced_last);
  EXPECT_TRUE(bound.phi.empty());
  // The middle is that of the noise.
  Process curved = Process::reverse(generator, NoiseSchedule::polynomial(2), law.denoiser(generator));
  EXPECT_NEAR(learned(curved, plan, "jys").times[1], std::sqrt(0.5), 1e-12);
}

TEST(Jys, ApproachesTheBestTimesOfAChain) {
  MarkovChain const chain = cyclic(8);
  Generator const generator = Generator::absorbing(5);
  auto const profile = information_profile(chain);
  for (auto const& noise : {NoiseSchedule::linear(), NoiseSchedule::cosine2()}) {
    Process process = Process::reverse(generator, noise, chain.denoiser(generator));
    for (int const steps : {2, 4, 5}) {
      DistillPlan const plan{.base = "tweedie",
                             .steps = steps,
                             .teacher = "first_hitting",
                             .teacher_steps = 2,
                             .length = 8,
                             .trajectories = 2048,
                             .batch = 2048};
      Schedule const found = learned(process, plan, "jys");
      ASSERT_EQ(found.steps(), steps);
      double const cost = exact_cost(profile, noise, found.times);
      auto const points = TimeGrid::uniform(1, 0, steps);
      double const uniform = exact_cost(profile, noise, {points.points().begin(), points.points().end()});
      // The best in alpha, by coordinate descent on the exact cost.
      std::vector<double> best(found.times);
      double step = 0.02, least = cost;
      while (step > 1e-4) {
        bool moved = false;
        for (std::size_t k = 1; k + 1 < best.size(); ++k) {
          for (double const by : {step, -step}) {
            auto there = best;
            there[k] += by;
            if (!(there[k] < there[k - 1] && there[k] > there[k + 1])) continue;
            double const here = exact_cost(profile, noise, there);
            if (here < least) {
              least = here;
              best = there;
              moved = true;
            }
          }
        }
        if (!moved) step /= 2;
      }
      SCOPED_TRACE(noise.describe() + ", M " + std::to_string(steps) + ": found " + to_text(cost) + ", best " +
                   to_text(least) + ", uniform " + to_text(uniform));
      EXPECT_LT(cost, uniform);
      EXPECT_LT(cost - least, 0.2 * (uniform - least));
      // What the first point is worth is what the path KL loses by it.
      if (steps == 2) {
        double const whole = exact_cost(profile, noise, {1, 0});
        EXPECT_NEAR(found.objective[0], whole - cost, 0.03 * (whole - cost));
        EXPECT_GT(std::abs(found.objective[0] - 1.2 * (whole - cost)), 0.1 * (whole - cost));  // control
      }
      if (steps == 4) {
        Schedule const plain = learned(process, plan, "jys:refine=0");
        EXPECT_EQ(plain.objective.size(), 2U);
        EXPECT_LT(cost, exact_cost(profile, noise, plain.times) + 0.02 * uniform);
      }
    }
  }
}

TEST(Jys, WithoutAMask) {
  MarkovChain const chain(4, 3, {0.6, 0.3, 0.1}, {0.8, 0.1, 0.1, 0.1, 0.8, 0.1, 0.2, 0.2, 0.6});
  Generator const uniform = Generator::uniform(3);
  auto const noise = NoiseSchedule::constant(1, 3);
  Process process = Process::reverse(uniform, noise, chain.denoiser(uniform));
  TeacherPlan const teacher{.steps = 256, .length = 4, .trajectories = 1000, .batch = 1000};
  DistillPlan const plan{.base = "exponential",
                         .steps = 4,
                         .teacher_steps = 64,
                         .length = 4,
                         .end = 0.01,
                         .trajectories = 2048,
                         .batch = 1024};
  Schedule const found = learned(process, plan, "jys");
  ASSERT_EQ(found.steps(), 4);
  EXPECT_FALSE(found.forced_last);
  EXPECT_TRUE(found.reveal.empty());
  Schedule even{.method = "none", .base = "exponential", .bases = {}, .times = {}, .phi = {}, .power = {}};
  auto const points = TimeGrid::uniform(3, 0.01, 4);
  even.times.assign(points.points().begin(), points.points().end());
  PathKl const learnt = path_kl(ExecSpace(), process, found, teacher),
               plain = path_kl(ExecSpace(), process, even, teacher);
  EXPECT_LT(learnt.value + 4 * learnt.error, plain.value);

  // The same generator as a matrix: the same rates, and other random numbers.
  std::vector<double> matrix(9, 1.0 / 3);
  for (std::size_t x = 0; x < 3; ++x) matrix[x * 4] = -2.0 / 3;
  Generator const dense = Generator::dense("twin", 3, matrix);
  Process twin = Process::reverse(dense, noise, chain.denoiser(dense));
  Schedule const other = learned(twin, plan, "jys");
  for (std::size_t k = 1; k < 4; ++k) EXPECT_NEAR(other.times[k], found.times[k], 0.25) << k;
  PathKl const same = path_kl(ExecSpace(), process, other, teacher);
  EXPECT_NEAR(same.value, learnt.value, 0.1 * learnt.value);
}

TEST(Jys, Resumes) {
  MarkovChain const chain = cyclic(6);
  Generator const generator = Generator::absorbing(5);
  Process process = Process::reverse(generator, NoiseSchedule::linear(), chain.denoiser(generator));
  DistillPlan plan{.base = "tweedie", .steps = 4, .teacher_steps = 16, .length = 6, .trajectories = 100, .batch = 64};
  std::vector<std::string> states;
  double share = 0;
  Schedule const whole = learned(
      process, plan, "jys",
      {.progress = [&](double s, double) { share = s; }, .save = [&](std::string const& s) { states.push_back(s); }});
  ASSERT_GE(states.size(), 3U);
  EXPECT_EQ(share, 1);
  for (auto const& state : states) {
    Schedule const again = learned(process, plan, "jys", {.resume = state});
    EXPECT_EQ(again.times, whole.times);
    EXPECT_EQ(again.objective, whole.objective);
  }
  plan.batch = 13;
  EXPECT_EQ(learned(process, plan, "jys").times, whole.times);
  plan.seed = 9;
  EXPECT_SAYS(message_of<UserError>([&] { learned(process, plan, "jys", {.resume = states[0]}); }), "another run");
}

TEST(Jys, Refusals) {
  MarkovChain const chain = cyclic(5);
  Generator const generator = Generator::absorbing(5);
  Process process = Process::reverse(generator, NoiseSchedule::log_linear(), chain.denoiser(generator));
  auto const why = [&](std::string const& base, int steps) {
    return make_distiller("jys")->refuses(process, {.base = base, .steps = steps, .length = 5});
  };
  EXPECT_EQ(why("tweedie_trapezoidal", 8), "");
  EXPECT_SAYS(why("gillespie", 8), "'gillespie'");
  EXPECT_SAYS(why("tweedie", 0), "at least 1 step");
  EXPECT_SAYS(message_of<UserError>([] { make_distiller("jys:objective=relased"); }), "released");
  EXPECT_EQ(learned(process, {.base = "tweedie", .steps = 1, .teacher_steps = 4, .length = 5, .trajectories = 8}, "jys")
                .times,
            (std::vector<double>{1, 0}));
}

}  // namespace
}  // namespace saltus
