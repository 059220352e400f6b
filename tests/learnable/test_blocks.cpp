// SPDX-License-Identifier: BSD-3-Clause
// Parallel-reveal blocks: A§9.3, exact laws, and profiles estimated from the model.
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/blocks.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/path_kl.hpp>
#include <saltus/models/information_profile.hpp>
#include <saltus/models/markov_chain.hpp>

#include "reference/cyclic.hpp"
#include "reference/harness.hpp"

namespace saltus {
namespace {

using namespace reference;

struct Case {
  int steps;
  std::string note;
  double best, equal;  // equal < 0: not published
};
std::vector<Case> const published{{2, "sites a step: 3 5", 1.756283, 2.068863},
                                  {3, "sites a step: 2 2 4", 0.898755, -1},
                                  {4, "sites a step: 1 2 2 3", 0.481452, 0.632776}};

TEST(Blocks, OfTheCyclicChain) {
  auto const profile = information_profile(cyclic(8));
  for (auto const& noise : {NoiseSchedule::log_linear(), NoiseSchedule::cosine()}) {
    for (auto const& [steps, note, best, equal] : published) {
      Schedule const found = block_schedule(noise, profile, steps, "fixed_count");
      EXPECT_EQ(found.note, note);
      EXPECT_NEAR(found.after->value, best, 5.1e-7);
      EXPECT_EQ(found.after->factorisation, found.after->value);
      EXPECT_EQ(found.after->error, 0);
      if (equal > 0) {
        EXPECT_NEAR(found.before->value, equal, 5.1e-7);
      }
      EXPECT_TRUE(found.forced_last);
      EXPECT_EQ(found.steps(), steps);
      for (int k = 0; k < steps; ++k) {  // the times reveal these shares
        auto const at = static_cast<std::size_t>(k);
        EXPECT_NEAR(found.reveal[at], noise.coefficients({found.times[at], found.times[at + 1]}).reveal, 1e-12);
      }
      Schedule const binomial = block_schedule(noise, profile, steps, "tweedie");
      EXPECT_EQ(binomial.times, found.times);
      EXPECT_NEAR(binomial.after->value, binomial_cost(profile, found.reveal), 1e-12);
    }
  }
}

// The costs are path divergences of runs with these times.
TEST(Blocks, CostsAreThoseOfTheRuns) {
  MarkovChain const chain = cyclic(5);
  Generator const generator = Generator::absorbing(5);
  auto const noise = NoiseSchedule::cosine();
  Process process = Process::reverse(generator, noise, chain.denoiser(generator));
  for (std::string const base : {"fixed_count", "tweedie"}) {
    Schedule const found = block_schedule(noise, information_profile(chain), 3, base);
    LawReport const report =
        law_report(ExecSpace(), process, *make_integrator(base, process), StateSpace(5, 5),
                   {.grid = TimeGrid::from_points(found.times), .data = enumerate(chain), .forced_last = true});
    EXPECT_NEAR(found.after->value, *report.path_kl, 1e-9) << base;
  }
}

TEST(Blocks, FromTheModel) {
  MarkovChain const chain = cyclic(8);
  Generator const generator = Generator::absorbing(5);
  Process process = Process::reverse(generator, NoiseSchedule::log_linear(), chain.denoiser(generator));
  auto const blocks = make_distiller("blocks");
  std::vector<std::string> states;
  for (auto const& [steps, note, best, equal] : published) {
    DistillPlan const plan{.base = "fixed_count", .steps = steps, .length = 8, .trajectories = 2000, .seed = 4};
    Schedule const found =
        blocks->distill(ExecSpace(), process, plan, {.save = [&](std::string const& s) { states.push_back(s); }});
    EXPECT_EQ(found.note, note);
    EXPECT_GT(found.after->error, 0);
    EXPECT_LT(found.after->error, 0.05);
    EXPECT_NEAR(found.after->value, best, 4 * found.after->error);
    EXPECT_GT(std::abs(found.after->value - 1.2 * best), 4 * found.after->error);  // control
    EXPECT_GT(found.before->value, found.after->value);
    ASSERT_EQ(states.size(), 8U);
    Schedule const again = blocks->distill(ExecSpace(), process, plan, {.resume = states[5]});
    EXPECT_EQ(again.after->value, found.after->value);
    EXPECT_EQ(again.after->error, found.after->error);
    Schedule const whole = blocks->distill(ExecSpace(), process, plan, {.resume = states[7]});
    EXPECT_EQ(whole.times, found.times);
    EXPECT_EQ(whole.after->error, found.after->error);
    states.clear();
  }
}

TEST(Blocks, Refusals) {
  MarkovChain const chain = cyclic(5);
  Generator const absorbing = Generator::absorbing(5), uniform = Generator::uniform(4);
  Process masked = Process::reverse(absorbing, NoiseSchedule::log_linear(), chain.denoiser(absorbing));
  Process plain = Process::reverse(uniform, NoiseSchedule::log_linear(), chain.denoiser(uniform));
  auto const why = [](Process const& process, DistillPlan const& plan) {
    return make_distiller("blocks")->refuses(process, plan);
  };
  EXPECT_EQ(why(masked, {.base = "tweedie", .steps = 5, .length = 5}), "");
  EXPECT_TRUE(says(why(plain, {.base = "tweedie", .steps = 3, .length = 5}), {"masked", "lsd_plus"}));
  EXPECT_TRUE(says(why(masked, {.base = "tweedie", .steps = 6, .length = 5}), {"between 1 and 5", "got 6"}));
  EXPECT_TRUE(says(why(masked, {.base = "euler", .steps = 3, .length = 5}), {"fixed_count", "'euler'"}));
  EXPECT_TRUE(says(why(masked, {.base = "fixed_count:counts=uniform", .steps = 3, .length = 5}), {"counts=share"}));
  EXPECT_TRUE(says(why(masked, {.base = "tweedie", .steps = 3, .length = 5, .end = 0.1}), {"t = 0", "0.1"}));
  EXPECT_TRUE(
      says(why(masked, {.base = "tweedie", .steps = 3, .length = 5, .trajectories = 3}), {"at least 16", "got 3"}));
  EXPECT_SAYS(message_of<UserError>([&] {
                make_distiller("blocks")->distill(ExecSpace(), masked, {.base = "tweedie", .steps = 3, .length = 5},
                                                  {.resume = "lsd_plus 3"});
              }),
              "another run");
}

}  // namespace
}  // namespace saltus
