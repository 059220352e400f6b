// SPDX-License-Identifier: BSD-3-Clause
// Kneser-Ney models against the formulas of Chen and Goodman written out over maps, and by hand.
#include <cmath>
#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/models/kneser_ney.hpp>

namespace saltus {
namespace {

using Tokens = std::vector<token_t>;
using Word = std::vector<int>;  // oldest first; -1 begins, `states` ends

KneserNey fit(std::vector<Tokens> const& data, int states, int order, bool ends) {
  std::vector<std::span<token_t const>> rows(data.begin(), data.end());
  return KneserNey::fit(rows, states, order, ends);
}

// Straight from the paper: every sum runs over the whole vocabulary.
class Brute {
 public:
  Brute(std::vector<Tokens> const& data, int states, int order, bool ends)
      : counts_(static_cast<std::size_t>(order) + 1),
        discounts_(counts_.size()),
        vocabulary_(states + (ends ? 1 : 0)),
        order_(order) {
    for (auto const& tokens : data) {
      Word padded(static_cast<std::size_t>(order - 1), -1);
      padded.insert(padded.end(), tokens.begin(), tokens.end());
      if (ends) padded.push_back(states);
      for (auto i = padded.begin(); padded.end() - i >= order; ++i) counts_.back()[Word(i, i + order)] += 1;
    }
    for (int k = order - 1; k >= 1; --k) {
      for (auto const& [word, count] : of(k + 1))
        counts_[static_cast<std::size_t>(k)][Word(word.begin() + 1, word.end())] += 1;
    }
    for (int k = 1; k <= order; ++k) {
      double n[5] = {};
      for (auto const& [word, count] : of(k)) {
        if (count <= 4) ++n[static_cast<int>(count)];
      }
      double const y = n[1] / (n[1] + 2 * n[2]);
      std::vector<double> d{1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]};
      bool fine = n[1] > 0 && n[2] > 0 && n[3] > 0 && n[4] > 0;
      for (int i = 0; i < 3; ++i)
        fine = fine && d[static_cast<std::size_t>(i)] > 0 && d[static_cast<std::size_t>(i)] <= i + 1;
      (fine ? usual : unusual) += 1;
      discounts_[static_cast<std::size_t>(k)] = fine ? d : std::vector<double>{0.5, 1, 1.5};
    }
  }

  double probability(Tokens const& before, int next) const {
    Word context(static_cast<std::size_t>(order_ - 1), -1);
    context.insert(context.end(), before.begin(), before.end());
    return p(order_, Word(context.end() - (order_ - 1), context.end()), next);
  }

  int usual = 0, unusual = 0;  // orders whose discounts are the paper's; that are too poor for them

 private:
  std::map<Word, double> const& of(int k) const { return counts_[static_cast<std::size_t>(k)]; }
  double count(int k, Word word, int next) const {
    word.push_back(next);
    auto const found = of(k).find(word);
    return found == of(k).end() ? 0 : found->second;
  }
  double discount(int k, double count) const {
    if (count == 0) return 0;
    return discounts_[static_cast<std::size_t>(k)][count == 1 ? 0 : count == 2 ? 1 : 2];
  }
  double p(int k, Word const& h, int next) const {
    if (k == 0) return 1.0 / vocabulary_;
    double const shorter = p(k - 1, k == 1 ? Word() : Word(h.begin() + 1, h.end()), next);
    double total = 0, kept = 0;
    for (int w = 0; w < vocabulary_; ++w) {
      total += count(k, h, w);
      kept += discount(k, count(k, h, w));
    }
    if (total == 0) return shorter;
    double const c = count(k, h, next);
    return (c - discount(k, c)) / total + kept / total * shorter;
  }

  std::vector<std::map<Word, double>> counts_;
  std::vector<std::vector<double>> discounts_;
  int vocabulary_, order_;
};

// Sequences in which a token depends on the two before it, so that all orders matter.
std::vector<Tokens> some_data(int states, int count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Tokens> data;
  for (int b = 0; b < count; ++b) {
    Tokens x;
    for (unsigned l = random() % 14; l > 0; --l) {
      unsigned const last = x.empty() ? 0 : static_cast<unsigned>(x.back()),
                     before = x.size() < 2 ? 1 : static_cast<unsigned>(x[x.size() - 2]);
      unsigned const drawn = random() % 4 ? (2 * last + before) % 3 : random();
      x.push_back(static_cast<token_t>(drawn % static_cast<unsigned>(states - 1)));  // the last state never occurs
    }
    data.push_back(x);
  }
  return data;
}

TEST(KneserNey, EqualsTheFormulasOverMaps) {
  int usual = 0, unusual = 0;
  for (bool const ends : {true, false}) {
    for (int const states : {4, 9}) {
      for (int order = 1; order <= 5; ++order) {
        auto const data = some_data(states, 60, 7);
        KneserNey const model = fit(data, states, order, ends);
        Brute const brute(data, states, order, ends);
        usual += brute.usual;
        unusual += brute.unusual;
        ASSERT_EQ(model.vocabulary(), states + (ends ? 1 : 0));
        auto contexts = some_data(states, 25, 8);  // some seen, some not
        contexts.push_back({static_cast<token_t>(states - 1), 0});
        for (auto const& context : contexts) {
          double sum = 0;
          for (token_t next = 0; next < model.vocabulary(); ++next) {
            double const p = model.probability(context, next);
            EXPECT_NEAR(p, brute.probability(context, next), 1e-13) << "order " << order << ", states " << states;
            EXPECT_GT(p, 0);
            sum += p;
          }
          EXPECT_NEAR(sum, 1, 1e-12);
        }
      }
    }
  }
  EXPECT_GT(usual, 4);  // both kinds of discounts were tried
  EXPECT_GT(unusual, 4);
}

TEST(KneserNey, SequencesMultiplyTheirTokens) {
  for (bool const ends : {true, false}) {
    KneserNey const model = fit(some_data(5, 80, 3), 5, 4, ends);
    for (auto const& x : some_data(5, 20, 4)) {
      double expected = 0;
      for (std::size_t l = 0; l < x.size(); ++l) expected += std::log(model.probability(std::span(x).first(l), x[l]));
      if (ends) expected += std::log(model.probability(x, 5));
      EXPECT_NEAR(model.log_probability(x), expected, 1e-12);
    }
  }
}

TEST(KneserNey, OrderOneByHand) {
  // Counts 2, 1, 0: too poor for discounts of their own, so 1/2 and 1. What they keep is (1/2 + 1)/3 = 1/2.
  KneserNey const poor = fit({{0, 0, 1}}, 3, 1, false);
  EXPECT_NEAR(poor.probability({}, 0), 1.0 / 3 + 1.0 / 6, 1e-15);
  EXPECT_NEAR(poor.probability({}, 1), 0.5 / 3 + 1.0 / 6, 1e-15);
  EXPECT_NEAR(poor.probability({}, 2), 1.0 / 6, 1e-15);
  // n_1 = 4, n_2 = 2, n_3 = n_4 = 1: Y = 1/2, discounts 1 - 2/4, 2 - 3/4, 3 - 2; they keep 2 + 2.5 + 2 of 15.
  KneserNey const rich = fit({{0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 7, 7, 7, 7}}, 9, 1, false);
  EXPECT_NEAR(rich.discounts(1)[0], 0.5, 1e-15);
  EXPECT_NEAR(rich.discounts(1)[1], 1.25, 1e-15);
  EXPECT_NEAR(rich.discounts(1)[2], 1, 1e-15);
  double const spread = 6.5 / 15 / 9;
  EXPECT_NEAR(rich.probability({}, 3), 0.5 / 15 + spread, 1e-15);
  EXPECT_NEAR(rich.probability({}, 4), 0.75 / 15 + spread, 1e-15);
  EXPECT_NEAR(rich.probability({}, 7), 3.0 / 15 + spread, 1e-15);
  EXPECT_NEAR(rich.probability({}, 8), spread, 1e-15);
}

TEST(KneserNey, OrderTwoByHand) {
  // Each of a, b and the end follows one symbol, so p_1 = 1/3. Pairs are seen twice: (2 - 1)/2 + 1/2 of p_1.
  KneserNey const model = fit({{0, 1}, {0, 1}}, 2, 2, true);
  Tokens const a{0}, b{1};
  EXPECT_NEAR(model.probability({}, 0), 2.0 / 3, 1e-15);
  EXPECT_NEAR(model.probability({}, 1), 1.0 / 6, 1e-15);
  EXPECT_NEAR(model.probability(a, 1), 2.0 / 3, 1e-15);
  EXPECT_NEAR(model.probability(a, 2), 1.0 / 6, 1e-15);
  EXPECT_NEAR(model.probability(b, 2), 2.0 / 3, 1e-15);
  EXPECT_NEAR(model.log_probability(Tokens{0, 1}), 3 * std::log(2.0 / 3), 1e-14);
}

// Keys of 64 bits in full, and the orders that fit.
TEST(KneserNey, LargeAlphabets) {
  EXPECT_EQ(KneserNey::largest_order(1021), 6);
  EXPECT_EQ(KneserNey::largest_order(1022), 5);
  EXPECT_EQ(KneserNey::largest_order(65533), 4);
  EXPECT_EQ(KneserNey::largest_order(65534), 3);
  int const states = 65533;
  token_t const last = states - 1;
  std::vector<Tokens> const data{{last, last, last, last, last, 0, last}, {last, 7, last, last}};
  KneserNey const model = fit(data, states, 4, true);
  Brute const brute(data, states, 4, true);
  for (Tokens const& context : {Tokens{}, Tokens{last, last, last}, Tokens{last, last, last, last}, Tokens{last, 7}}) {
    for (token_t const next : {last, token_t{0}, token_t{7}, static_cast<token_t>(states)})
      EXPECT_NEAR(model.probability(context, next), brute.probability(context, next), 1e-13);
  }
}

TEST(KneserNey, WhatIsRefused) {
  EXPECT_THROW(fit({{0}}, 2, 7, false), UserError);
  EXPECT_THROW(fit({{0}}, 2, 0, false), UserError);
  EXPECT_THROW(fit({{}}, 2, 2, false), UserError);
  EXPECT_NO_THROW(fit({{}}, 2, 2, true));  // an empty sequence has an end
}

}  // namespace
}  // namespace saltus
