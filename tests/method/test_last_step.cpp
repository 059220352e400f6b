// SPDX-License-Identifier: BSD-3-Clause
// The step after the grid (A§7.3), against the posterior by Bayes' rule: token for token.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/table.hpp>

#include "reference/brute_force.hpp"
#include "reference/harness.hpp"
#include "reference/methods.hpp"
#include "reference/stored_scores.hpp"

namespace saltus {
namespace {

using namespace reference;

struct World {
  std::string name;
  Generator generator;
  TableLaw law;
};

TableLaw some_table(int length, int states) {
  std::size_t size = 1;
  for (int l = 0; l < length; ++l) size *= static_cast<std::size_t>(states);
  std::vector<double> p(size);
  double sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum += p[i] = 0.01 + std::pow(scramble(i + 40), 3);
  for (double& x : p) x /= sum;
  return {length, states, p};
}

// p(x_0^l = . | x_t), all of x_t; of a mask without the mask itself.
Reals posterior(World const& w, NoiseSchedule const& noise, Sequence const& x, std::size_t l, double t) {
  int const states = w.generator.states(), clean = w.generator.data_states();
  auto const n = static_cast<std::size_t>(states);
  std::vector<double> const p = w.generator.transition_matrix(noise.total(t));
  auto const seen = [&](token_t a, token_t b) {
    return static_cast<long double>(p[static_cast<std::size_t>(a) * n + static_cast<std::size_t>(b)]);
  };
  Reals const weights(w.law.probabilities().begin(), w.law.probabilities().end());
  Reals law = leave_one_out(all_sequences(clean, static_cast<int>(x.size())), weights, x, l, clean, seen);
  long double sum = 0;
  for (std::size_t k = 0; k < law.size(); ++k) sum += law[k] *= seen(static_cast<token_t>(k), x[l]);
  for (long double& y : law) y /= sum;
  return law;
}

TEST(LastStep, DrawsOrTakesTheLikeliestCleanToken) {
  std::vector<World> const worlds{{"absorbing", Generator::absorbing(4), some_table(3, 3)},
                                  {"uniform", Generator::uniform(3), some_table(3, 3)},
                                  {"gaussian_target", Generator::gaussian_target(5, 2, 3), some_table(2, 5)}};
  for (World const& w : worlds) {
    for (auto const& noise : {NoiseSchedule::cosine(), NoiseSchedule::constant(1.3, 2)}) {
      SCOPED_TRACE(w.name + ", " + noise.describe());
      double const end = 0.35;
      Process process = Process::reverse(w.generator, noise, w.law.denoiser(w.generator));
      auto const integrator = make_integrator("tweedie");
      SamplePlan plan{.grid = TimeGrid::from_points({noise.end(), 0.6, end}), .seed = 9, .samples = 300,
                      .length = w.law.length(), .batch = 128, .first_sample = 11};
      SampleReport report;
      HostTokens const before = sample(ExecSpace(), process, *integrator, plan, &report);
      EXPECT_EQ(report.evaluations, 2);
      plan.last = LastStep::argmax;
      HostTokens const likeliest = sample(ExecSpace(), process, *integrator, plan, &report);
      EXPECT_EQ(report.evaluations, 3);
      plan.last = LastStep::sample;
      HostTokens const drawn = sample(ExecSpace(), process, *integrator, plan, &report);
      EXPECT_EQ(report.evaluations, 3);
      int changed = 0, different = 0;
      for (std::size_t b = 0; b < 300; ++b) {
        Sequence const x(&before(b, 0), &before(b, 0) + w.law.length());
        for (std::size_t l = 0; l < x.size(); ++l) {
          bool const revealed = w.generator.mask() && x[l] != *w.generator.mask();
          Reals law = posterior(w, noise, x, l, end);
          token_t most = revealed ? x[l] : static_cast<token_t>(argmax_of(law)), token = x[l];
          if (!revealed) {
            // the random numbers of the step after the last
            RandomPair const random = StreamKey{9, 2}.draw(11 + b, Role::step, static_cast<std::uint32_t>(l));
            if (x[l] < static_cast<token_t>(law.size())) law[static_cast<std::size_t>(x[l])] = 0;
            long double sum = 0;
            for (long double const y : law) sum += y;
            if (uniform_of(random.event) < sum) token = draw_from(law, uniform_of(random.target));
          }
          EXPECT_EQ(likeliest(b, l), most) << "sample " << b << ", site " << l;
          EXPECT_EQ(drawn(b, l), token) << "sample " << b << ", site " << l;
          changed += most != x[l];
          different += most != token;
        }
      }
      EXPECT_GT(changed, 20);
      EXPECT_GT(different, 5);
    }
  }
}

// Scores of networks in single precision, masked: the largest of them; the mask's own entry means nothing.
TEST(LastStep, TakesTheLargestScore) {
  std::vector<std::vector<double>> const scores{{0.5, 2, 1, 9}, {3, 0.5, 3, 9}, {0.25, 0, 0.5, 9}};
  for (ScoreKind const kind : {ScoreKind::score, ScoreKind::log_score, ScoreKind::x0_leave_in}) {
    Process process = Process::reverse(Generator::absorbing(4), NoiseSchedule::log_linear(),
                                       std::make_shared<StoredScores<float>>(kind, token_t{3}, scores));
    auto const integrator = make_integrator("euler");
    SamplePlan plan{.grid = TimeGrid::from_points({0.2, 0.19}), .samples = 20, .length = 3};
    HostTokens const before = sample(ExecSpace(), process, *integrator, plan);
    plan.last = LastStep::argmax;
    HostTokens const tokens = sample(ExecSpace(), process, *integrator, plan);
    token_t const likeliest[] = {1, 0, 2};  // the first of equals
    int masks = 0;
    for (std::size_t b = 0; b < 20; ++b) {
      for (std::size_t l = 0; l < 3; ++l) {
        EXPECT_EQ(tokens(b, l), before(b, l) == 3 ? likeliest[l] : before(b, l));
        masks += before(b, l) == 3;
      }
    }
    EXPECT_GE(masks, 20);
  }
}

// Nothing is left as it is in silence: a row without a target is an error, and so is one that is not finite.
TEST(LastStep, RowsWithoutATargetAreErrors) {
  for (double const bad : {0.0, std::numeric_limits<double>::quiet_NaN()}) {
    Process process = Process::reverse(Generator::absorbing(3), NoiseSchedule::log_linear(),
                                       std::make_shared<StoredScores<double>>(
                                           ScoreKind::score, token_t{2},
                                           std::vector<std::vector<double>>{{1, 1, 0}, {bad, 0, 0}}));
    auto const argmax = make_last_step(LastStep::argmax);
    State const state = to_state({{2, 2}}, 0.3);
    Counters const count = advance_once(process, *argmax, state, one_step(process.noise(), {0.3, 0}, 1, 1, true));
    EXPECT_EQ(count.bad_scores, 1);
    EXPECT_EQ(count.bad_site, 1);
    EXPECT_EQ(to_rows(state.tokens)[0][1], 2);
    EXPECT_NE(to_rows(state.tokens)[0][0], 2);
  }
}

TEST(LastStep, NeedsAGridThatEndsAboveZero) {
  World const w{"", Generator::absorbing(4), some_table(2, 3)};
  Process process = Process::reverse(w.generator, NoiseSchedule::cosine(), w.law.denoiser(w.generator));
  SamplePlan plan = make_plan(process, *make_integrator("tweedie"), 3, 2);
  plan.last = LastStep::argmax;
  EXPECT_TRUE(says(message_of<UserError>([&] { sample(ExecSpace(), process, *make_integrator("tweedie"), plan); }),
                   {"last step", "above 0"}));
}

}  // namespace
}  // namespace saltus
