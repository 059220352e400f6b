// SPDX-License-Identifier: BSD-3-Clause
// Dense and sparse generators against closed forms (A§3, 13) and against uniformization summed in long double.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/generator.hpp>

#include "reference/brute_force.hpp"
#include "reference/harness.hpp"

namespace saltus {
namespace {

using namespace reference;

// Rates off the diagonal -> a matrix with it.
std::vector<double> complete(std::size_t n, std::function<double(std::size_t, std::size_t)> const& rate) {
  std::vector<double> q(n * n, 0.0);
  for (std::size_t x = 0; x < n; ++x) {
    for (std::size_t y = 0; y < n; ++y) {
      if (x == y) continue;
      q[x * n + y] = rate(x, y);
      q[x * n + x] -= q[x * n + y];
    }
  }
  return q;
}

Generator dense(std::size_t n, std::function<double(std::size_t, std::size_t)> const& rate) {
  return Generator::dense("test", static_cast<int>(n), complete(n, rate));
}

Generator as_sparse(Generator const& g) {
  SparseRates rates;
  rates.row_begin.push_back(0);
  for (token_t x = 0; x < g.states(); ++x) {
    for (token_t y = 0; y < g.states(); ++y) {
      if (x == y || g.rate(x, y) == 0) continue;
      rates.column.push_back(y);
      rates.rate.push_back(g.rate(x, y));
    }
    rates.row_begin.push_back(static_cast<std::int64_t>(rates.column.size()));
  }
  return Generator::sparse("test", rates);
}

// Nothing of it is its own transpose; 0 -> n - 1 -> ... and more in one direction than in the other.
Generator one_way(std::size_t n) {
  return dense(n, [n](std::size_t x, std::size_t y) {
    return y == (x + 1) % n ? 1 + 0.3 * static_cast<double>(x) : (y == (x + 2) % n ? 0.2 : (x == y + 1 ? 0.05 : 0));
  });
}
Generator random_dense(std::size_t n, std::uint64_t seed, double share) {
  return dense(n, [=](std::size_t x, std::size_t y) {
    std::uint64_t const at = (seed * 1000 + x) * 1000 + y;
    return y == (x + 1) % n || scramble(at) < share ? 0.01 + scramble(at + 500'000'000) : 0;
  });
}

std::vector<Generator> bounded() {
  std::vector<Generator> all{Generator::path(2),
                             Generator::path(7),
                             Generator::gaussian_target(4, 2, 1.5),
                             Generator::gaussian_target(9),
                             one_way(3),
                             one_way(8),
                             random_dense(6, 1, 0.4),
                             random_dense(40, 2, 0.2),
                             Generator::uniform(5),
                             Generator::absorbing(5)};
  all.push_back(dense(4, [](auto x, auto y) { return y == x + 1 ? 2.0 : 0.0; }));  // a chain that ends
  std::size_t const kinds = all.size();
  for (std::size_t i = 0; i < kinds; ++i) all.push_back(as_sparse(all[i]));
  return all;
}

// A§3.5 (b): positive terms only, so that long double keeps its digits.
Reals series(Generator const& g, long double total) {
  auto const n = static_cast<std::size_t>(g.states());
  long double bound = 0;
  for (token_t x = 0; x < g.states(); ++x) bound = std::max(bound, -static_cast<long double>(g.rate(x, x)));
  Reals step(n * n), term(n * n, 0), sum(n * n, 0);
  for (std::size_t i = 0; i < n * n; ++i) {
    step[i] = (i / n == i % n ? 1 : 0) +
              (bound > 0 ? g.rate(static_cast<token_t>(i / n), static_cast<token_t>(i % n)) / bound : 0);
  }
  for (std::size_t x = 0; x < n; ++x) term[x * n + x] = 1;
  long double const mean = bound * total;
  long double weight = std::exp(-mean);
  for (int k = 0; k < mean + 40 * std::sqrt(mean) + 60; ++k) {
    for (std::size_t i = 0; i < n * n; ++i) sum[i] += weight * term[i];
    term = multiply(term, step, n);
    weight *= mean / (k + 1);
  }
  return sum;
}

void expect_near(std::vector<double> const& p, Reals const& expected, double tolerance) {
  ASSERT_EQ(p.size(), expected.size());
  for (std::size_t i = 0; i < p.size(); ++i)
    EXPECT_NEAR(p[i], static_cast<double>(expected[i]), tolerance) << "entry " << i;
}

TEST(GeneratorKinds, TransitionsAreTheUniformizationSeries) {
  for (auto const& g : bounded()) {
    for (double const total : {0.0, 1e-6, 0.05, 0.7, 3.0, 30.0}) {
      SCOPED_TRACE(g.name() + " " + std::to_string(g.states()) + ", total " + std::to_string(total));
      expect_near(g.transition_matrix(total), series(g, total), 1e-13);
    }
  }
}

TEST(GeneratorKinds, TransitionsAreLawsAndMultiply) {
  for (auto const& g : bounded()) {
    auto const n = static_cast<std::size_t>(g.states());
    SCOPED_TRACE(g.name() + " " + std::to_string(n));
    auto const s = g.transition_matrix(0.3), t = g.transition_matrix(1.1), both = g.transition_matrix(1.4);
    for (auto const* const p : {&s, &t, &both}) {
      for (std::size_t x = 0; x < n; ++x) {
        double sum = 0;
        for (std::size_t y = 0; y < n; ++y) {
          EXPECT_GE((*p)[x * n + y], 0);
          sum += (*p)[x * n + y];
        }
        EXPECT_NEAR(sum, 1, 1e-14);
      }
    }
    expect_near(both, multiply(Reals(s.begin(), s.end()), Reals(t.begin(), t.end()), n), 1e-13);
    // the test sees 5 % more time
    double off = 0;
    auto const more = g.transition_matrix(1.05 * 1.4);
    for (std::size_t i = 0; i < n * n; ++i) off = std::max(off, std::abs(more[i] - both[i]));
    EXPECT_GT(off, 1e-6);
  }
}

// ------------------------------------------------------------------------------------------------- closed forms

TEST(GeneratorKinds, TwoStates) {  // A§13.1
  double const a = 0.7, b = 2.9;
  auto const g = dense(2, [=](auto x, auto) { return x == 0 ? a : b; });
  for (double const t : {1e-9, 0.1, 1.0, 12.0}) {
    for (auto const& kind : {g, as_sparse(g)}) {
      auto const p = kind.transition_matrix(t);
      EXPECT_NEAR(p[1], -a / (a + b) * std::expm1(-(a + b) * t), 1e-15);
      EXPECT_NEAR(p[2], -b / (a + b) * std::expm1(-(a + b) * t), 1e-15);
    }
  }
}

TEST(GeneratorKinds, JukesCantor) {  // A§13.2
  auto const g = dense(4, [](auto, auto) { return 1.0 / 3; });
  for (double const t : {0.01, 0.6, 5.0}) {
    auto const p = g.transition_matrix(t);
    for (std::size_t i = 0; i < 16; ++i) {
      EXPECT_NEAR(p[i], i / 4 == i % 4 ? 0.25 + 0.75 * std::exp(-4 * t / 3) : 0.25 - 0.25 * std::exp(-4 * t / 3),
                  3e-15);
    }
  }
}

TEST(GeneratorKinds, Hky85) {  // A§13.3; states A, C, G, T: purines are even
  double const pi[4] = {0.1, 0.2, 0.3, 0.4}, kappa = 3.5;
  auto const raw = [&](std::size_t x, std::size_t y) { return pi[y] * (x % 2 == y % 2 ? kappa : 1.0); };
  double mean = 0;
  for (std::size_t x = 0; x < 4; ++x) {
    for (std::size_t y = 0; y < 4; ++y) mean += x == y ? 0 : pi[x] * raw(x, y);
  }
  double const beta = 1 / mean;
  auto const g = dense(4, [&](auto x, auto y) { return beta * raw(x, y); });
  EXPECT_TRUE(g.reversible());
  EXPECT_NEAR(g.mean_rate(), 1, 1e-14);
  for (double const t : {0.001, 0.4, 3.0}) {
    auto const p = g.transition_matrix(t);
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t j = 0; j < 4; ++j) {
        double const group = j % 2 == 0 ? pi[0] + pi[2] : pi[1] + pi[3], a = 1 + group * (kappa - 1);
        double const slow = std::exp(-beta * t), fast = std::exp(-beta * a * t);
        double const expected = i == j ? pi[j] + pi[j] * (1 / group - 1) * slow + (group - pi[j]) / group * fast
                                : i % 2 == j % 2 ? pi[j] + pi[j] * (1 / group - 1) * slow - pi[j] / group * fast
                                                 : pi[j] * (1 - slow);
        EXPECT_NEAR(p[i * 4 + j], expected, 5e-15) << i << j;
      }
    }
  }
}

TEST(GeneratorKinds, PathIsACosineSum) {  // A§3.3
  for (int const states : {2, 5, 16}) {
    for (double const total : {0.02, 1.0, 9.0}) {
      auto const p = Generator::path(states).transition_matrix(total);
      for (int i = 0; i < states; ++i) {
        for (int j = 0; j < states; ++j) {
          long double sum = 1.0L / states;
          for (int k = 1; k < states; ++k) {
            long double const w = std::acos(-1.0L) * k / states;
            sum += 2.0L / states * std::cos(w * (i + 0.5L)) * std::cos(w * (j + 0.5L)) *
                   std::exp(total * (-2 + 2 * std::cos(w)));
          }
          EXPECT_NEAR(p[static_cast<std::size_t>(i * states + j)], static_cast<double>(sum), 1e-14);
        }
      }
    }
  }
}

TEST(GeneratorKinds, GaussianTarget) {  // A§3.4
  for (int const states : {2, 3, 4, 5, 8, 31}) {
    double const rate_sigma = 2.5, target_sigma = 3;
    auto const g = Generator::gaussian_target(states, rate_sigma, target_sigma);
    EXPECT_TRUE(g.reversible());
    EXPECT_TRUE(g.ordinal());
    std::vector<double> pi;
    double sum = 0;
    for (int i = 0; i < states; ++i) {
      double const d = (i + 1) - states / 2.0;
      sum += pi.emplace_back(std::exp(-d * d / (2 * target_sigma * target_sigma)));
    }
    auto const law = g.stationary();
    for (int i = 0; i < states; ++i) {
      EXPECT_NEAR(law[static_cast<std::size_t>(i)], pi[static_cast<std::size_t>(i)] / sum, 1e-14);
      for (int j = 0; j < states; ++j) {
        if (i == j) continue;
        double const there = pi[static_cast<std::size_t>(i)] * g.rate(i, j),
                     back = pi[static_cast<std::size_t>(j)] * g.rate(j, i);
        EXPECT_NEAR(there, back, 1e-15 * std::max(1.0, there));
        // inward rates have the width that was asked for: from an end to j, past k = |i - j| - 1 others
        int const k = std::abs(i - j) - 1;
        bool const inward = i < states / 2 ? j > i && j < states - i : i > states / 2 && j > states - 1 - i && j < i;
        double const width = std::exp(-k * k / (rate_sigma * rate_sigma));
        EXPECT_TRUE(!inward || std::abs(g.rate(i, j) - width) < 1e-15) << states << ": " << i << j;
      }
    }
    // what has lost its memory follows the target
    auto const p = g.transition_matrix(1e6);
    for (std::size_t i = 0; i < p.size(); ++i) EXPECT_NEAR(p[i], law[i % law.size()], 1e-12);
  }
}

// ------------------------------------------------------------------------------------------------------ laws

TEST(GeneratorKinds, PushIsTheMatrixForEveryKind) {
  for (auto const& g : bounded()) {
    auto const n = static_cast<std::size_t>(g.states());
    SCOPED_TRACE(g.name() + " " + std::to_string(n));
    std::vector<double> law(n);
    double norm = 0;
    for (std::size_t x = 0; x < n; ++x) norm += law[x] = x % 3 == 1 ? 0 : scramble(x);
    for (double& p : law) p /= norm;
    for (double const total : {0.0, 1e-7, 0.4, 20.0}) {
      Reals const p = series(g, total);
      auto const pushed = g.push(law, total);
      for (std::size_t y = 0; y < n; ++y) {
        long double expected = 0;
        for (std::size_t x = 0; x < n; ++x) expected += law[x] * p[x * n + y];
        EXPECT_NEAR(pushed[y], static_cast<double>(expected), 1e-13) << total;
      }
    }
  }
}

// Pieces of uniformization: e^(-L t) would underflow in one.
TEST(GeneratorKinds, PushOverLongTimes) {
  auto const g = as_sparse(one_way(8));
  std::vector<double> law(8, 0.0);
  law[3] = 1;
  auto const pi = g.stationary();
  for (double const total : {200.0, 1000.0, 20'000.0}) {
    auto const pushed = g.push(law, total);
    EXPECT_NEAR(std::accumulate(pushed.begin(), pushed.end(), 0.0), 1, 1e-14);
    for (std::size_t y = 0; y < 8; ++y) EXPECT_NEAR(pushed[y], pi[y], 1e-13);
  }
  // the mass is kept, whatever it is, and a generator without jumps moves nothing
  law[3] = 0.25;
  auto const less = g.push(law, 3);
  EXPECT_NEAR(std::accumulate(less.begin(), less.end(), 0.0), 0.25, 1e-15);
  auto const still = Generator::sparse("still", {{0, 0, 0}, {}, {}});
  EXPECT_EQ(still.push({0.25, 0.75}, 7), (std::vector<double>{0.25, 0.75}));
}

// Birth and death on a path: pi follows from ratios of rates, which may be as far apart as they like.
TEST(GeneratorKinds, StationaryLawKeepsItsDigits) {
  constexpr std::size_t n = 12;
  auto const up = [](std::size_t x) { return std::pow(10.0, 12 - 24 * scramble(x)); };
  auto const down = [](std::size_t x) { return std::pow(10.0, 12 - 24 * scramble(x + 100)); };
  auto const g =
      dense(n, [&](std::size_t x, std::size_t y) { return y == x + 1 ? up(x) : (x == y + 1 ? down(x) : 0); });
  std::vector<long double> pi{1};
  for (std::size_t x = 1; x < n; ++x) pi.push_back(pi.back() * up(x - 1) / down(x));
  long double const sum = std::accumulate(pi.begin(), pi.end(), 0.0L);
  for (auto const& kind : {g, as_sparse(g)}) {
    auto const law = kind.stationary();
    for (std::size_t x = 0; x < n; ++x) EXPECT_NEAR(law[x] / static_cast<double>(pi[x] / sum), 1, 1e-13) << x;
  }
  // round a cycle: the law is inverse to the rates
  auto const cycle = dense(n, [&](std::size_t x, std::size_t y) { return y == (x + 1) % n ? up(x) : 0; });
  long double inverse = 0;
  for (std::size_t x = 0; x < n; ++x) inverse += 1 / static_cast<long double>(up(x));
  auto const law = as_sparse(cycle).stationary();
  for (std::size_t x = 0; x < n; ++x) EXPECT_NEAR(law[x] * up(x) * static_cast<double>(inverse), 1, 1e-13) << x;
}

TEST(GeneratorKinds, StationaryLawIsStationary) {
  for (auto const& g : bounded()) {
    SCOPED_TRACE(g.name() + " " + std::to_string(g.states()));
    auto const pi = g.stationary(), later = g.push(pi, 0.9);
    double jumps = 0;
    for (std::size_t x = 0; x < pi.size(); ++x) {
      EXPECT_NEAR(later[x], pi[x], 2e-14);
      jumps += pi[x] * g.exit_rate(static_cast<token_t>(x));
    }
    EXPECT_NEAR(g.mean_rate(), jumps, 1e-14 * std::max(1.0, jumps));
  }
}

TEST(GeneratorKinds, ClosedClasses) {
  struct Case {
    std::vector<std::vector<int>> targets;
    int classes;
    bool irreducible;
  };
  std::vector<Case> const cases{
      {{{1}, {2}, {0}}, 1, true},        // a cycle
      {{{1}, {0}, {0}}, 1, false},       // 2 is transient
      {{{1}, {0}, {3}, {2}}, 2, false},  // two pairs
      {{{}, {}, {}}, 3, false},          // nothing moves
      {{{1, 2}, {}, {}}, 2, false},      // two ends
      {{{1}, {2}, {3}, {2}}, 1, false},  // a lasso
      {{{1}, {2, 3}, {0}, {4}, {3}}, 1, false},
      {{{4}, {0}, {1}, {2}, {3}}, 1, true},  // against the order of the numbers
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(i);
    auto const& c = cases[i];
    auto const g = dense(c.targets.size(), [&](std::size_t x, std::size_t y) {
      return std::count(c.targets[x].begin(), c.targets[x].end(), static_cast<int>(y)) ? 0.5 : 0.0;
    });
    for (auto const& kind : {g, as_sparse(g)}) {
      EXPECT_EQ(kind.closed_classes(), c.classes);
      EXPECT_EQ(kind.irreducible(), c.irreducible);
      if (c.classes == 1) continue;
      EXPECT_TRUE(
          says(message_of<UserError>([&] { kind.stationary(); }), {"closed classes", std::to_string(c.classes)}));
    }
  }
  // transient states have no mass
  auto const law = dense(3, [](auto x, auto y) { return y + 1 == x || (x == 0 && y == 1) ? 1.0 : 0.0; }).stationary();
  EXPECT_NEAR(law[0], 0.5, 1e-15);
  EXPECT_NEAR(law[1], 0.5, 1e-15);
  EXPECT_EQ(law[2], 0);
  // a chain too long for recursion
  SparseRates chain;
  constexpr token_t n = 300'000;
  for (token_t x = 0; x < n; ++x) {
    chain.row_begin.push_back(x);
    chain.column.push_back(x + 1 < n ? x + 1 : 0);
    chain.rate.push_back(1);
  }
  chain.row_begin.push_back(n);
  EXPECT_TRUE(Generator::sparse("chain", chain).irreducible());
}

TEST(GeneratorKinds, ReversibleMeansDetailedBalance) {
  EXPECT_TRUE(Generator::path(6).reversible());
  EXPECT_TRUE(dense(2, [](auto x, auto) { return x == 0 ? 1e-9 : 1e3; }).reversible());
  EXPECT_FALSE(one_way(5).reversible());
  EXPECT_FALSE(as_sparse(Generator::path(6)).reversible());
  EXPECT_SAYS(message_of<UserError>([] { one_way(3).spectrum(); }), "reversible");
}

// Two states that change places fast, and a slow way round over two more, in one direction only: its flow is small
// beside the fast one, but over long times it is all that matters.
TEST(GeneratorKinds, ASlowCycleIsNotReversible) {
  auto const g = dense(4, [](std::size_t x, std::size_t y) {
    if (x + y == 1) return 1000.0;
    return y == (x + 1) % 4 ? 1e-8 : 0.0;
  });
  EXPECT_FALSE(g.reversible());
  // from state 2 one goes to 3 first; in the time of one slow jump most of what has left is there and not in {0, 1}
  auto const p = g.transition_matrix(1e6);
  EXPECT_NEAR(p[2 * 4 + 3], 0.01 * std::exp(-0.01), 1e-6);
  // twelve decades between the fastest rate and the time leave too few digits
  EXPECT_SAYS(message_of<UserError>([&] { g.transition_matrix(1e8); }), "'gillespie' does without");
}

TEST(GeneratorKinds, ScaledIsAnotherClock) {
  for (auto const& g : {one_way(4), as_sparse(one_way(4)), Generator::path(5)}) {
    auto const fast = g.scaled(2.5);
    EXPECT_NEAR(fast.max_exit_rate(), 2.5 * g.max_exit_rate(), 1e-14);
    expect_near(fast.transition_matrix(0.4), series(g, 1.0L), 1e-13);
    EXPECT_NEAR(fast.mean_rate(), 2.5 * g.mean_rate(), 1e-13);
  }
}

TEST(GeneratorKinds, SparseHasTheRatesOfDense) {
  for (auto const& g : {one_way(6), random_dense(40, 3, 0.1)}) {
    auto const sparse = as_sparse(g);
    for (token_t x = 0; x < g.states(); ++x) {
      EXPECT_NEAR(sparse.exit_rate(x), g.exit_rate(x), 1e-15 * g.exit_rate(x));
      for (token_t y = 0; y < g.states(); ++y) {
        EXPECT_TRUE(x == y || sparse.rate(x, y) == g.rate(x, y)) << x << " " << y;
      }
    }
    EXPECT_EQ(sparse.max_exit_rate(), g.max_exit_rate());
  }
}

TEST(GeneratorKinds, PopulationRates) {
  auto const g = Generator::population({.immigration = 2, .birth = 0.5, .death = 3, .batch = 4});
  EXPECT_EQ(g.rate(7, 11), 2 + 3.5);
  EXPECT_EQ(g.rate(7, 6), 21);
  EXPECT_EQ(g.rate(7, 8), 0);
  EXPECT_EQ(g.exit_rate(7), 26.5);
  EXPECT_EQ(g.rate(0, 4), 2);
  EXPECT_EQ(g.exit_rate(0), 2);
  EXPECT_FALSE(g.is_bounded());
  EXPECT_TRUE(std::isinf(g.max_exit_rate()));
  EXPECT_SAYS(message_of<UserError>([&] { g.transition_matrix(1); }), "no largest state");
  EXPECT_SAYS(message_of<UserError>([&] { g.stationary(); }), "no largest state");
}

TEST(GeneratorKinds, RefusesWhatIsNotOne) {
  auto const message = [](auto const& make) { return message_of<UserError>(make); };
  EXPECT_TRUE(says(message([] { Generator::dense("d", 2, {-1, 1, 2, -2.1}); }), {"'d'", "state 1", "sum to 0"}));
  EXPECT_TRUE(says(message([] { Generator::dense("d", 2, {1, -1, 2, -2}); }), {"state 0 to state 1", "-1"}));
  EXPECT_TRUE(says(message([] { Generator::dense("d", 2, {-1, std::nan(""), 2, -2}); }), {"state 0 to state 1"}));
  EXPECT_TRUE(says(message([] { Generator::sparse("s", {{0, 1, 2}, {1, 1}, {1, 1}}); }), {"'s'", "row 1"}));
  EXPECT_TRUE(
      says(message([] { Generator::sparse("s", {{0, 1, 2}, {1, 0}, {1, INFINITY}}); }), {"state 1 to state 0"}));
  EXPECT_TRUE(says(message([] { Generator::sparse("s", {{0, 1, 3}, {1, 0}, {1, 1}}); }), {"cover its entries"}));
  EXPECT_TRUE(says(message([] { Generator::population({.birth = -1}); }), {"at least 0", "-1"}));
  EXPECT_TRUE(says(message([] { Generator::population({.immigration = 1, .batch = 0}); }), {"batch", "0"}));
  EXPECT_TRUE(says(message([] { Generator::path(1); }), {"at least 2 states"}));
  EXPECT_TRUE(says(message([] { one_way(3).scaled(0); }), {"above 0"}));
}

}  // namespace
}  // namespace saltus
