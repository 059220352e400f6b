// SPDX-License-Identifier: BSD-3-Clause
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/generator.hpp>

#include "reference/brute_force.hpp"
#include "reference/harness.hpp"

namespace saltus {
namespace {

using namespace reference;

std::vector<Generator> generators() {
  return {Generator::absorbing(2),    Generator::absorbing(2, 0), Generator::absorbing(5), Generator::absorbing(5, 0),
          Generator::absorbing(5, 2), Generator::uniform(1),      Generator::uniform(2),   Generator::uniform(7)};
}

TEST(Generator, SaysWhatItIs) {
  EXPECT_EQ(Generator::absorbing(5).mask(), std::optional<token_t>(4));
  EXPECT_EQ(Generator::absorbing(5, 0).mask(), std::optional<token_t>(0));
  EXPECT_EQ(Generator::absorbing(5).data_states(), 4);
  EXPECT_EQ(Generator::uniform(5).data_states(), 5);
  EXPECT_FALSE(Generator::uniform(5).mask().has_value());
  EXPECT_EQ(Generator::absorbing(5).name(), "absorbing");
  EXPECT_EQ(Generator::uniform(5).name(), "uniform");
  EXPECT_EQ(Generator::uniform(5).kind(), Generator::Kind::uniform);
  EXPECT_EQ(Generator::absorbing(5).kind(), Generator::Kind::absorbing);
}

TEST(Generator, RatesByHand) {
  auto const absorbing = Generator::absorbing(3, 1);
  std::vector<double> const q{-1, 1, 0, 0, 0, 0, 0, 1, -1};
  for (token_t x = 0; x < 3; ++x) {
    for (token_t y = 0; y < 3; ++y) {
      EXPECT_EQ(absorbing.rate(x, y), q[static_cast<std::size_t>(3 * x + y)]) << x << y;
      EXPECT_EQ(Generator::uniform(4).rate(x, y), x == y ? -0.75 : 0.25) << x << y;
    }
  }
}

TEST(Generator, RowsOfRatesSumToZeroAndOfTransitionsToOne) {
  for (auto const& g : generators()) {
    for (token_t x = 0; x < g.states(); ++x) {
      double rates = 0, probabilities = 0;
      for (token_t y = 0; y < g.states(); ++y) {
        rates += g.rate(x, y);
        probabilities += g.transition(x, y, std::exp(-0.4), -std::expm1(-0.4));
        if (x != y) {
          EXPECT_GE(g.rate(x, y), 0);
        }
        EXPECT_EQ(g.transition(x, y, 1, 0), x == y ? 1 : 0);
      }
      EXPECT_NEAR(rates, 0, 1e-15);
      EXPECT_NEAR(probabilities, 1, 1e-15);
    }
  }
}

TEST(Generator, TransitionsAreTheExponentialOfTheRates) {
  for (auto const& g : generators()) {
    auto const n = static_cast<std::size_t>(g.states());
    for (double const total : {1e-6, 0.3, 4.0, 25.0}) {
      Reals scaled(n * n);
      for (std::size_t i = 0; i < n * n; ++i) {
        scaled[i] = static_cast<long double>(total) *
                    static_cast<long double>(g.rate(static_cast<token_t>(i / n), static_cast<token_t>(i % n)));
      }
      Reals const expected = exponential_of(scaled, n);
      for (std::size_t i = 0; i < n * n; ++i) {
        double const p = g.transition(static_cast<token_t>(i / n), static_cast<token_t>(i % n), std::exp(-total),
                                      -std::expm1(-total));
        EXPECT_NEAR(p, static_cast<double>(expected[i]), 1e-13)
            << g.name() << n << ", total " << total << ", entry " << i;
      }
    }
  }
}

// A§13.1: rates a = b = 1/2 between two states: P01 = a/(a+b) (1 - exp(-(a+b) t)).
TEST(Generator, TwoStateChain) {
  for (double const t : {0.1, 2.0}) {
    EXPECT_NEAR(Generator::uniform(2).transition(0, 1, std::exp(-t), -std::expm1(-t)), 0.5 * (1 - std::exp(-t)), 1e-15);
  }
}

// A§13.2: JC69 has off-diagonal rates 1/3, so it is uniform noise on 4 states at sigma_bar = 4t/3.
TEST(Generator, JukesCantor) {
  for (double const t : {0.1, 2.0}) {
    double const total = 4 * t / 3;
    EXPECT_NEAR(Generator::uniform(4).transition(2, 2, std::exp(-total), -std::expm1(-total)),
                0.25 + 0.75 * std::exp(-4 * t / 3), 1e-15);
    EXPECT_NEAR(Generator::uniform(4).transition(2, 0, std::exp(-total), -std::expm1(-total)),
                0.25 - 0.25 * std::exp(-4 * t / 3), 1e-15);
  }
}

TEST(Generator, SmallProbabilitiesDoNotCancel) {
  EXPECT_NEAR(Generator::uniform(4).transition(0, 1, std::exp(-1e-18), -std::expm1(-1e-18)) / 0.25e-18, 1, 1e-14);
  EXPECT_NEAR(Generator::absorbing(4).transition(0, 3, std::exp(-1e-18), -std::expm1(-1e-18)) / 1e-18, 1, 1e-14);
}

TEST(Generator, RefusesWhatIsNotOne) {
  auto const message = [](auto const& make) { return message_of<UserError>(make); };
  EXPECT_TRUE(says(message([] { Generator::absorbing(1); }), {"at least 2 states", "got 1"}));
  EXPECT_TRUE(says(message([] { Generator::absorbing(4, 4); }), {"0 to 3", "got 4"}));
  EXPECT_TRUE(says(message([] { Generator::absorbing(4, -1); }), {"0 to 3", "got -1"}));
  EXPECT_TRUE(says(message([] { Generator::uniform(0); }), {"at least 1 state", "got 0"}));
}

}  // namespace
}  // namespace saltus
