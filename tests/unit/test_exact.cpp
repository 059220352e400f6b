// SPDX-License-Identifier: BSD-3-Clause
// Exact laws on enumerated spaces.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/exact.hpp>

#include "reference/brute_force.hpp"
#include "reference/harness.hpp"
#include "reference/noise.hpp"

namespace saltus {
namespace {

using namespace reference;

/// A law over all sequences of the data states, as one over the whole space, without embed(): [state sequences].
std::vector<double> some_start(StateSpace const& space, Generator const& g) {
  std::vector<double> p(space.size(), 0.0);
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    bool masked = false;
    for (token_t const x : space.tokens(i)) masked = masked || x == g.mask();
    if (!masked && scramble(i) > 0.2) sum += p[i] = scramble(i + 1000);
  }
  for (double& x : p) x /= sum;
  return p;
}

struct Case {
  Generator generator;
  int length;
};
std::vector<Case> cases() {
  return {{Generator::absorbing(3), 3}, {Generator::absorbing(4, 0), 2}, {Generator::absorbing(3, 1), 4},
          {Generator::uniform(3), 3},   {Generator::uniform(2), 5},      {Generator::uniform(1), 2}};
}

void expect_same(std::vector<double> const& got, std::vector<double> const& expected, double tolerance) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], tolerance) << i;
}

TEST(StateSpace, NumbersSequencesWithTheFirstSiteMostSignificant) {
  StateSpace const space(3, 4);
  EXPECT_EQ(space.size(), 81u);
  EXPECT_EQ(space.tokens(0), (std::vector<token_t>{0, 0, 0, 0}));
  EXPECT_EQ(space.tokens(1), (std::vector<token_t>{0, 0, 0, 1}));
  EXPECT_EQ(space.tokens(27 + 2 * 9 + 0 + 2), (std::vector<token_t>{1, 2, 0, 2}));
  auto const all = all_sequences(3, 4);
  for (std::size_t i = 0; i < space.size(); ++i) {
    EXPECT_EQ(space.tokens(i), all[i]);
    EXPECT_EQ(space.index(all[i].data()), i);
  }
  EXPECT_EQ(StateSpace(1, 7).size(), 1u);
  EXPECT_EQ(StateSpace(100, 4).size(), 100'000'000u);
}

TEST(StateSpace, RefusesTooManySequences) {
  EXPECT_TRUE(says(message_of<UserError>([] { StateSpace(101, 4); }), {"101^4", "1e8"}));
  EXPECT_TRUE(says(message_of<UserError>([] { StateSpace(2'000'000'000, 200); }), {"too many"}));
  EXPECT_TRUE(says(message_of<UserError>([] { StateSpace(0, 3); }), {"at least 1"}));
  EXPECT_TRUE(says(message_of<UserError>([] { StateSpace(3, 0); }), {"at least 1"}));
}

TEST(StateSpace, EmbedsLawsOfDataAroundTheMask) {
  std::vector<double> const data{0.1, 0.2, 0.3, 0.4};  // 00 01 10 11
  // mask 0: tokens 1 and 2; mask 1: 0 and 2; mask 2: 0 and 1. Entries of 3 x 3 sequences.
  EXPECT_EQ(StateSpace(3, 2).embed(data, Generator::absorbing(3, 0)),
            (std::vector<double>{0, 0, 0, 0, 0.1, 0.2, 0, 0.3, 0.4}));
  EXPECT_EQ(StateSpace(3, 2).embed(data, Generator::absorbing(3, 1)),
            (std::vector<double>{0.1, 0, 0.2, 0, 0, 0, 0.3, 0, 0.4}));
  EXPECT_EQ(StateSpace(3, 2).embed(data, Generator::absorbing(3, 2)),
            (std::vector<double>{0.1, 0.2, 0, 0.3, 0.4, 0, 0, 0, 0}));
  EXPECT_EQ(StateSpace(2, 2).embed(data, Generator::uniform(2)), data);
}

TEST(Exact, SiteTransitionIsTheKernelBetweenTwoTimes) {
  for (Noise const& noise : all_noises()) {
    for (Case const& c : cases()) {
      double const s = 0.3 * noise.end, t = 0.7 * noise.end;
      auto const n = static_cast<std::size_t>(c.generator.states());
      Reals scaled(n * n);
      auto const total = static_cast<long double>(Real(noise.total(t) - noise.total(s)));
      for (std::size_t i = 0; i < n * n; ++i) {
        scaled[i] = total * static_cast<long double>(
                                c.generator.rate(static_cast<token_t>(i / n), static_cast<token_t>(i % n)));
      }
      Reals const expected = exponential_of(scaled, n);
      auto const got = site_transition(c.generator, noise.schedule(), s, t);
      for (std::size_t i = 0; i < n * n; ++i) EXPECT_NEAR(got[i], static_cast<double>(expected[i]), 1e-13);
    }
  }
}

TEST(Exact, ForwardLawIsTheSumOverAllPathsOfSites) {
  for (Noise const& noise : all_noises()) {
    for (Case const& c : cases()) {
      StateSpace const space(c.generator.states(), c.length);
      auto const p0 = some_start(space, c.generator);
      double const t = 0.6 * noise.end;
      auto const alpha = static_cast<double>(noise.alpha(t));
      std::vector<double> expected(space.size(), 0.0);
      for (std::size_t i = 0; i < space.size(); ++i) {
        auto const x = space.tokens(i);
        for (std::size_t j = 0; j < space.size(); ++j) {
          auto const y = space.tokens(j);
          double p = p0[i];
          for (std::size_t l = 0; l < x.size(); ++l) {  // A§3.1, 3.2
            if (c.generator.mask()) {
              p *= x[l] == c.generator.mask() ? y[l] == x[l]
                                              : (y[l] == c.generator.mask() ? 1 - alpha : (y[l] == x[l] ? alpha : 0));
            } else {
              p *= (1 - alpha) / c.generator.states() + (x[l] == y[l] ? alpha : 0);
            }
          }
          expected[j] += p;
        }
      }
      expect_same(forward_law(space, p0, c.generator, noise.schedule(), t), expected, 1e-13);
    }
  }
}

TEST(Exact, ContextProbabilitiesAreSumsOverWhatIsMasked) {
  for (Case const& c : cases()) {
    if (!c.generator.mask()) continue;
    StateSpace const space(c.generator.states(), c.length);
    auto const p0 = some_start(space, c.generator);
    std::vector<double> expected(space.size(), 0.0);
    for (std::size_t i = 0; i < space.size(); ++i) {
      auto const x = space.tokens(i);
      for (std::size_t j = 0; j < space.size(); ++j) {
        auto const y = space.tokens(j);
        bool agrees = true;
        for (std::size_t l = 0; l < x.size(); ++l) agrees = agrees && (x[l] == c.generator.mask() || x[l] == y[l]);
        if (agrees) expected[i] += p0[j];
      }
    }
    expect_same(context_probabilities(space, p0, c.generator), expected, 1e-14);
  }
}

TEST(Exact, PushSitesTakesAKernelForEachSite) {
  StateSpace const space(2, 2);
  // site 0 by {.9 .1; .2 .8}, site 1 by {.5 .5; 0 1}, from 01 and 10
  expect_same(push_sites(space, {0, 0.25, 0.75, 0}, {0.9, 0.1, 0.2, 0.8, 0.5, 0.5, 0, 1}),
              {0.75 * 0.2 * 0.5, 0.25 * 0.9 + 0.75 * 0.2 * 0.5, 0.75 * 0.8 * 0.5, 0.25 * 0.1 + 0.75 * 0.8 * 0.5}, 1e-15);
}

TEST(Exact, PushSitesMovesEverySite) {
  StateSpace const space(2, 2);
  // K = {.9 .1; .2 .8} on 01: p(00) = .9 .2, p(01) = .9 .8, p(10) = .1 .2, p(11) = .1 .8
  auto const got = push_sites(space, {0, 1, 0, 0}, {0.9, 0.1, 0.2, 0.8});
  expect_same(got, {0.18, 0.72, 0.02, 0.08}, 1e-15);
}

TEST(Exact, ReverseStepTakesTheForwardLawToAnEarlierOne) {
  for (Noise const& noise : all_noises()) {
    for (Case const& c : cases()) {
      StateSpace const space(c.generator.states(), c.length);
      auto const p0 = some_start(space, c.generator);
      NoiseSchedule const schedule = noise.schedule();
      double const t = 0.8 * noise.end;
      auto const p_t = forward_law(space, p0, c.generator, schedule, t);
      for (double const part : {0.999, 0.5, 0.0}) {
        SCOPED_TRACE(schedule.describe() + ", " + c.generator.name() + ", part " + std::to_string(part));
        double const s = part * t;
        expect_same(reverse_step(space, p0, c.generator, schedule, {t, s}, p_t),
                    forward_law(space, p0, c.generator, schedule, s), 1e-13);
      }
    }
  }
}

// From single states too, where no averaging hides an error: Bayes' rule over all pairs.
TEST(Exact, ReverseStepFromASingleState) {
  Noise const noise{Noise::Kind::cosine, 1e-3};
  for (Case const& c : cases()) {
    StateSpace const space(c.generator.states(), c.length);
    auto const p0 = some_start(space, c.generator);
    NoiseSchedule const schedule = noise.schedule();
    auto const p_s = forward_law(space, p0, c.generator, schedule, 0.3),
               p_t = forward_law(space, p0, c.generator, schedule, 0.8);
    double const r = static_cast<double>(Real(noise.alpha(0.8) / noise.alpha(0.3)));
    for (std::size_t j = 0; j < space.size(); j += 3) {
      if (p_t[j] == 0) continue;
      auto const y = space.tokens(j);
      std::vector<double> start(space.size(), 0.0), expected(space.size());
      start[j] = 1;
      for (std::size_t i = 0; i < space.size(); ++i) {
        auto const x = space.tokens(i);
        double p = p_s[i] / p_t[j];
        for (std::size_t l = 0; l < x.size(); ++l) p *= c.generator.transition(x[l], y[l], r, 1 - r);
        expected[i] = p;
      }
      expect_same(reverse_step(space, p0, c.generator, schedule, {0.8, 0.3}, start), expected, 1e-13);
    }
  }
}

TEST(Exact, TwoReverseStepsAreOne) {
  for (Noise const& noise : all_noises()) {
    for (Case const& c : cases()) {
      StateSpace const space(c.generator.states(), c.length);
      auto const p0 = some_start(space, c.generator);
      NoiseSchedule const schedule = noise.schedule();
      double const t = 0.9 * noise.end, u = 0.5 * noise.end, s = 0.1 * noise.end;
      auto law = forward_law(space, p0, c.generator, schedule, t);
      for (std::size_t i = 0; i < law.size(); ++i) law[i] *= scramble(i + 5);  // any law that p_t dominates
      auto const two = reverse_step(space, p0, c.generator, schedule, {u, s},
                                    reverse_step(space, p0, c.generator, schedule, {t, u}, law));
      expect_same(two, reverse_step(space, p0, c.generator, schedule, {t, s}, law), 1e-13);
    }
  }
}

TEST(Exact, ReverseStepRefusesUnreachableStates) {
  StateSpace const space(3, 1);
  auto const noise = NoiseSchedule::log_linear();
  EXPECT_TRUE(says(message_of<UserError>(
                       [&] { reverse_step(space, {1, 0, 0}, Generator::absorbing(3), noise, {0.5, 0.2}, {0, 1, 0}); }),
                   {"cannot reach"}));
}

TEST(Exact, DistancesByHand) {
  // Not {.5, .5, 0, 0}: g++ 12.2 with AVX-512 stores that constant as four times .5.
  std::vector<double> const p{0.5, 0, 0.5, 0}, q{0.25, 0.25, 0.25, 0.25};
  EXPECT_EQ(total_variation(p, q), 0.5);
  EXPECT_EQ(total_variation(q, p), 0.5);
  EXPECT_EQ(total_variation(p, p), 0);
  EXPECT_EQ(total_variation({1, 0}, {0, 1}), 1);
  EXPECT_NEAR(kl_divergence(p, q), std::log(2), 1e-15);
  EXPECT_EQ(kl_divergence(q, p), std::numeric_limits<double>::infinity());
  EXPECT_EQ(kl_divergence(p, p), 0);
  EXPECT_NEAR(kl_divergence({0.75, 0.25}, {0.5, 0.5}), 0.75 * std::log(1.5) - 0.25 * std::log(2), 1e-15);
  // Small ones keep their digits: p = 1/2 +- e has 2 e^2 to the leading order, with nothing of the third.
  double const e = 0x1p-27;
  EXPECT_NEAR(kl_divergence({0.5 + e, 0.5 - e}, {0.5, 0.5}) / (2 * e * e), 1, 1e-7);
  EXPECT_NEAR(entropy(q), std::log(4), 1e-15);
  EXPECT_NEAR(entropy(p), std::log(2), 1e-15);
  EXPECT_EQ(entropy({1, 0}), 0);
}

}  // namespace
}  // namespace saltus
