// SPDX-License-Identifier: BSD-3-Clause
// Laws of noised sequences against sums over every clean sequence.
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/exact.hpp>
#include <saltus/models/hidden_markov.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/noised.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

#include "reference/brute_force.hpp"
#include "reference/harness.hpp"

namespace saltus {
namespace {

using namespace reference;
using Law = std::shared_ptr<SequenceLaw const>;

constexpr int V = 3, L = 4;

std::vector<double> some_rows(std::size_t count, std::size_t states, std::uint64_t seed) {
  std::vector<double> p;
  for (std::size_t r = 0; r < count; ++r) {
    double sum = 0;
    for (std::size_t y = 0; y < states; ++y) {
      double const u = scramble(seed * 10'007 + r * 101 + y);
      p.push_back(u < 0.3 && y != r % states ? 0 : u + 0.05);
      sum += p.back();
    }
    for (std::size_t y = 0; y < states; ++y) p[p.size() - 1 - y] /= sum;
  }
  return p;
}

struct Case {
  Law law;
  Reals joint;            ///< of all_sequences(V, L)
  std::string noised_is;  ///< name of the noised law
};

std::vector<Case> cases() {
  auto const clean = all_sequences(V, L);
  std::vector<Case> out;
  for (std::size_t const matrices : {1u, 3u}) {
    auto const first = some_rows(1, V, 1), next = some_rows(matrices * V, V, 2);
    out.push_back(
        {std::make_shared<MarkovChain>(L, V, first, next), chain_law(clean, V, first, next), "hidden_markov"});
    auto const start = some_rows(1, 2, 3), moves = some_rows(matrices * 2, 2, 4),
               shows = some_rows(matrices == 1 ? 2 : L * 2, V, 5);
    out.push_back({std::make_shared<HiddenMarkov>(L, V, start, moves, shows), hidden_law(clean, V, start, moves, shows),
                   "hidden_markov"});
  }
  auto const sites = some_rows(L, V, 6), table = some_rows(1, clean.size(), 7);
  Reals product;
  for (auto const& x : clean) {
    long double p = 1;
    for (std::size_t l = 0; l < L; ++l) p *= sites[l * V + static_cast<std::size_t>(x[l])];
    product.push_back(p);
  }
  out.push_back({std::make_shared<ProductLaw>(L, V, sites), product, "product"});
  out.push_back({std::make_shared<TableLaw>(L, V, table), Reals(table.begin(), table.end()), "table"});
  return out;
}

SparseRates lazy_cycle() { return {{0, 1, 3, 4}, {1, 0, 2, 0}, {0.5, 0.25, 1, 2}}; }

std::vector<Generator> generators() {
  return {Generator::uniform(V), Generator::path(V), Generator::gaussian_target(V, 2, 3),
          Generator::dense("cycle", V, {-1, 1, 0, 0, -1, 1, 1, 0, -1}), Generator::sparse("lazy cycle", lazy_cycle())};
}

/// p_t(y) = sum over x of p_0(x) times the product of P(x^l, y^l), P by a series in long double.
Reals pushed(Reals const& joint, Generator const& generator, long double total) {
  Reals q(V * V);
  for (std::size_t i = 0; i < q.size(); ++i) {
    q[i] = total * static_cast<long double>(generator.rate(static_cast<token_t>(i / V), static_cast<token_t>(i % V)));
  }
  Reals const p = exponential_of(q, V);
  auto const all = all_sequences(V, L);
  Reals law(all.size(), 0);
  for (std::size_t j = 0; j < all.size(); ++j) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      long double weight = joint[i];
      for (std::size_t l = 0; l < L; ++l) {
        weight *= p[static_cast<std::size_t>(all[i][l]) * V + static_cast<std::size_t>(all[j][l])];
      }
      law[j] += weight;
    }
  }
  return law;
}

void expect_law(SequenceLaw const& law, Reals const& expected) {
  auto const all = all_sequences(V, L);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_NEAR(std::exp(law.log_likelihood(all[i])), static_cast<double>(expected[i]), 1e-13);
  }
}

TEST(Noised, IsTheSumOverCleanSequences) {
  auto const noise = NoiseSchedule::constant(1.5, 4);
  for (Case const& c : cases()) {
    for (Generator const& generator : generators()) {
      for (double const t : {0.0, 0.1, 1.0, 4.0}) {
        auto const law = noised(c.law, generator, noise, t);
        SCOPED_TRACE(c.law->name() + ", " + generator.name() + ", t=" + std::to_string(t));
        EXPECT_EQ(law->name(), c.noised_is);
        EXPECT_EQ(law->length(), L);
        EXPECT_EQ(law->states(), V);
        expect_law(*law, pushed(c.joint, generator, 1.5L * static_cast<long double>(t)));
      }
    }
  }
}

TEST(Noised, IsTheForwardLaw) {
  StateSpace const space(V, L);
  for (Case const& c : cases()) {
    // geometric noise has noised at t = 0
    for (auto const& noise : {NoiseSchedule::geometric(0.1, 3), NoiseSchedule::log_linear(), NoiseSchedule::linear()}) {
      for (double const t : {0.0, 0.4, 1.0}) {
        auto const expected = forward_law(space, {c.joint.begin(), c.joint.end()}, Generator::uniform(V), noise, t);
        expect_law(*noised(c.law, Generator::uniform(V), noise, t), Reals(expected.begin(), expected.end()));
      }
    }
  }
}

TEST(Noised, TwiceIsOnceForLonger) {
  auto const noise = NoiseSchedule::constant(1, 5);
  for (Case const& c : cases()) {
    for (Generator const& generator : generators()) {
      auto const once = noised(c.law, generator, noise, 0.7);
      auto const twice = noised(noised(c.law, generator, noise, 0.3), generator, noise, 0.4);
      for (auto const& x : all_sequences(V, L)) {
        EXPECT_NEAR(std::exp(twice->log_likelihood(x)), std::exp(once->log_likelihood(x)), 1e-14);
      }
    }
  }
}

// A law that noised() does not know.
class StrangeLaw final : public SequenceLaw {
 public:
  std::string name() const override { return "strange"; }
  int states() const override { return V; }
  int length() const override { return L; }
  double log_likelihood(std::span<token_t const>) const override { return 0; }
  double entropy() const override { return 0; }
  std::vector<double> site_marginals() const override { return {}; }
  std::vector<double> pair_marginals() const override { return {}; }
  std::vector<double> triple_marginals() const override { return {}; }
  void draw(std::uint64_t, std::uint64_t, std::span<token_t>) const override {}

 private:
  std::shared_ptr<ScoreModel> make_denoiser(Generator const&, bool) const override { return nullptr; }
};

TEST(Noised, Errors) {
  Law const law = cases().front().law;
  auto const message = [&](Law const& start, Generator const& generator, NoiseSchedule const& noise, double t) {
    return message_of<UserError>([&] { noised(start, generator, noise, t); });
  };
  auto const noise = NoiseSchedule::log_linear();
  EXPECT_TRUE(says(message(law, Generator::absorbing(V + 1), noise, 0.5), {"without a mask", "'absorbing'"}));
  EXPECT_TRUE(
      says(message(law, Generator::population({1, 0, 1, 1}), noise, 0.5), {"last state", "'immigration_death'"}));
  EXPECT_TRUE(says(message(law, Generator::path(V + 1), noise, 0.5), {"'chain' has 3 states", "(path) has 4"}));
  EXPECT_TRUE(says(message(law, Generator::uniform(V), noise, 1.5), {"between 0 and", "1", "got 1.5"}));
  EXPECT_TRUE(says(message(law, Generator::uniform(V), noise, -0.1), {"got -0.1"}));
  EXPECT_TRUE(says(message(law, Generator::path(V), NoiseSchedule::linear(), 1), {"infinite at t = 1", "'path'"}));
  EXPECT_TRUE(says(message(std::make_shared<StrangeLaw>(), Generator::path(V), noise, 0.5),
                   {"'strange'", "chain, hidden_markov, product and table"}));
}

}  // namespace
}  // namespace saltus
