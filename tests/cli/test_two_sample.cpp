// SPDX-License-Identifier: BSD-3-Clause
// Two sets of sequences compared: by hand, against enumerated permutations, and the laws of p-values.
#include <algorithm>
#include <cmath>
#include <map>

#include <boost/math/distributions/binomial.hpp>
#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

#include "reference/messages.hpp"
#include "statistics.hpp"
#include "two_sample.hpp"

namespace saltus::app {
namespace {

namespace stats = saltus::statistics;
using Sequences = std::vector<token_t>;

TwoSampleDistance const& distance(TwoSample const& result, std::string const& name) {
  for (auto const& d : result.distances) {
    if (d.name == name) return d;
  }
  throw InternalError("no distance " + name);
}

Sequences draws(SequenceLaw const& law, std::size_t count, std::uint64_t seed) {
  auto const length = static_cast<std::size_t>(law.length());
  Sequences tokens(count * length);
  for (std::size_t b = 0; b < count; ++b) law.draw(seed, b, std::span(tokens).subspan(b * length, length));
  return tokens;
}

TEST(TwoSample, ByHand) {
  Sequences const x{0, 0, 0, 1}, y{1, 1, 1, 1};
  int const permutations = 4000;
  auto const found = compare_samples(2, 2, x, y, {.permutations = permutations, .seed = 3});
  ASSERT_EQ(found.distances.size(), 5u);  // site, pair, 1mer, 2mer, mmd2: a length of 2 has no longer words
  // Site 0: (1, 0) against (0, 1); site 1: (1/2, 1/2) against (0, 1). Pairs and 2-mers: 00, 01 against 11 only.
  EXPECT_DOUBLE_EQ(distance(found, "tv_site").estimate.value, 0.75);
  EXPECT_DOUBLE_EQ(distance(found, "tv_1mer").estimate.value, 0.75);
  EXPECT_DOUBLE_EQ(distance(found, "tv_pair").estimate.value, 1);
  EXPECT_DOUBLE_EQ(distance(found, "tv_2mer").estimate.value, 1);
  // The six Hamming distances are 1 | 2 2 1 1 | 0: median 1. Within x e^-1, within y 1, across 2 e^-2 + 2 e^-1.
  EXPECT_EQ(found.kernel_scale, 1);
  EXPECT_NEAR(distance(found, "mmd2").estimate.value, 1 - std::exp(-2), 1e-14);
  EXPECT_NEAR(found.first_entropy.value, std::log(2.0) / 2, 1e-14);
  EXPECT_EQ(found.second_entropy.value, 0);
  // Of the six ways to deal, two are the one seen or its mirror image. In the four others, {00,11|01,11} and the like,
  // each set gets one 11, and every distance is smaller.
  for (auto const& d : found.distances) {
    auto const as_large = static_cast<std::int64_t>(std::llround(d.p_value * (permutations + 1))) - 1;
    EXPECT_TRUE(stats::accepts(stats::binomial_p_value(as_large, permutations, 1.0 / 3), d.name));
    EXPECT_LT(stats::binomial_p_value(as_large, permutations, 1.0 / 2), stats::false_alarm);
  }
  // e^-2 + e^-1 - 2 (1 + 2 e^-1 + e^-2)/4 = e^-2/2 - 1/2 in those four.
  double const other = (std::exp(-2) - 1) / 2, own = 1 - std::exp(-2);
  auto const& null = distance(found, "mmd2").null;
  EXPECT_NEAR(null.low, other, 1e-14);
  EXPECT_NEAR(null.high, own, 1e-14);
  EXPECT_NEAR(null.mean, own / 3 + 2 * other / 3, 6 * (own - other) * std::sqrt(2.0 / 9 / permutations));
}

TEST(TwoSample, JackknifeOfAMeanIsItsStandardError) {
  // One site, two states, the second set all of token 0: the distance is the share of token 1, a mean. 20 groups of one
  // sequence: the jackknife gives the standard error of the mean, and the second set adds nothing.
  Sequences const y(20, 0);
  Sequences x = y;
  for (std::size_t i = 0; i < 7; ++i) x[3 * i] = 1;
  auto const found = compare_samples(2, 1, x, y, {.permutations = 10});
  double const p = 7.0 / 20, half = 1.959963984540054 * std::sqrt(p * (1 - p) / 19);
  for (char const* const name : {"tv_site", "tv_1mer"}) {
    auto const& e = distance(found, name).estimate;
    EXPECT_NEAR(e.value, p, 1e-14);
    EXPECT_NEAR(e.low, p - half, 1e-12);
    EXPECT_NEAR(e.high, p + half, 1e-12);
  }
}

// Of mmd2, by leaving groups out for real.
TEST(TwoSample, JackknifeOfTheKernelLeavesGroupsOut) {
  auto const law = TableLaw::neighbours(5, 3, 2);
  std::size_t const n = 40, m = 60, length = 5;
  auto const x = draws(law, n, 1), y = draws(law, m, 2);
  auto const found = compare_samples(3, 5, x, y, {.permutations = 1});
  auto const mmd = [&](Sequences const& a, Sequences const& b) {
    auto const kernel = [&](token_t const* u, token_t const* v) {
      int d = 0;
      for (std::size_t l = 0; l < length; ++l) d += u[l] != v[l];
      return std::exp(-d / found.kernel_scale);
    };
    std::size_t const p = a.size() / length, q = b.size() / length;
    double xx = 0, yy = 0, xy = 0;
    for (std::size_t i = 0; i < p; ++i) {
      for (std::size_t j = 0; j < p; ++j) xx += i == j ? 0 : kernel(&a[i * length], &a[j * length]);
      for (std::size_t j = 0; j < q; ++j) xy += kernel(&a[i * length], &b[j * length]);
    }
    for (std::size_t i = 0; i < q; ++i) {
      for (std::size_t j = 0; j < q; ++j) yy += i == j ? 0 : kernel(&b[i * length], &b[j * length]);
    }
    auto const s = static_cast<double>(p), t = static_cast<double>(q);
    return xx / (s * (s - 1)) + yy / (t * (t - 1)) - 2 * xy / (s * t);
  };
  double variance = 0;
  for (bool const first : {true, false}) {
    Sequences const& set = first ? x : y;
    std::size_t const size = set.size() / 20;
    std::vector<double> left;
    for (std::size_t g = 0; g < 20; ++g) {
      Sequences rest = set;
      auto const at = rest.begin() + static_cast<std::ptrdiff_t>(g * size);
      rest.erase(at, at + static_cast<std::ptrdiff_t>(size));
      left.push_back(first ? mmd(rest, y) : mmd(x, rest));
    }
    double const mean = std::accumulate(left.begin(), left.end(), 0.0) / 20;
    for (double const v : left) variance += 19.0 / 20 * (v - mean) * (v - mean);
  }
  auto const& e = distance(found, "mmd2").estimate;
  EXPECT_NEAR(e.value, mmd(x, y), 1e-12);
  EXPECT_NEAR(e.high - e.value, 1.959963984540054 * std::sqrt(variance), 1e-10);
  EXPECT_NEAR(e.value - e.low, e.high - e.value, 1e-14);
}

TEST(TwoSample, EqualSetsAndHashedTables) {
  // 50,000 states: pairs and longer words are hashed. Each sequence comes twice.
  Sequences x(200 * 6);
  for (std::size_t b = 0; b < 200; ++b) {
    for (std::size_t l = 0; l < 6; ++l) x[b * 6 + l] = static_cast<token_t>(((b / 2 * 6 + l) * 7919) % 50'000);
  }
  auto const same = compare_samples(50'000, 6, x, x, {.permutations = 20});
  for (auto const& d : same.distances) {
    if (d.name == "mmd2") continue;
    EXPECT_EQ(d.estimate.value, 0) << d.name;
    EXPECT_EQ(d.p_value, 1) << d.name;
  }
  // Sets without a token in common: distance 1, but for chance meetings of hashed words (at most 1200^2/2^20 of them).
  Sequences y = x;
  for (auto& token : y) token = (token + 25'000) % 50'000;
  auto const apart = compare_samples(50'000, 6, x, y, {.permutations = 20});
  for (auto const& d : apart.distances) {
    if (d.name != "mmd2") {
      EXPECT_GT(d.estimate.value, 0.98) << d.name;
    }
    EXPECT_LT(d.p_value, 0.05 + 1e-9) << d.name;
  }
}

TEST(TwoSample, DependsOnTheSeedAlone) {
  auto const law = TableLaw::neighbours(6, 3, 1);
  auto const x = draws(law, 70, 1), y = draws(law, 50, 2);
  auto const values = [&](std::uint64_t seed) {
    std::vector<double> all;
    for (auto const& d : compare_samples(3, 6, x, y, {.permutations = 50, .seed = seed}).distances) {
      all.insert(all.end(), {d.estimate.value, d.null.mean, d.null.low, d.null.high, d.p_value});
    }
    return all;
  };
  EXPECT_EQ(values(1), values(1));
  EXPECT_NE(values(1), values(2));
}

// Kolmogorov's test that values are uniform on [0, 1].
double uniform_p_value(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  auto const n = static_cast<double>(values.size());
  double d = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    d = std::max({d, values[i] - static_cast<double>(i) / n, (static_cast<double>(i) + 1) / n - values[i]});
  }
  double p = 0;
  for (int j = 1; j < 100; ++j) p += 2 * (j % 2 == 1 ? 1 : -1) * std::exp(-2 * j * j * n * d * d);
  return std::clamp(p, 0.0, 1.0);
}

// p-values of all distances over repetitions, by name, made continuous: of a p-value that takes the values i/(1 + P),
// p - u/(1 + P) is uniform if there are no ties.
std::map<std::string, std::vector<double>> p_values(SequenceLaw const& a, SequenceLaw const& b, std::size_t n, std::size_t m,
                                                    int repetitions, std::uint64_t seed) {
  std::map<std::string, std::vector<double>> out;
  for (int r = 0; r < repetitions; ++r) {
    std::uint64_t const s = seed + 3 * static_cast<std::uint64_t>(r);
    auto const found = compare_samples(a.states(), a.length(), draws(a, n, s), draws(b, m, s + 1),
                                       {.permutations = 199, .seed = s + 2});
    double const u = uniform53(StreamKey{s, 1}.draw(0, Role::permute, 7).event);
    for (auto const& d : found.distances) out[d.name].push_back(d.p_value - u / 200);
  }
  return out;
}

// Independent sites, two states; token 1 with probability p.
ProductLaw coins(int length, double p) {
  std::vector<double> table;
  for (int l = 0; l < length; ++l) table.insert(table.end(), {1 - p, p});
  return {length, 2, table};
}

TEST(TwoSample, PValuesOfEqualLawsAreUniform) {
  auto const law = TableLaw::neighbours(6, 3, 2);
  auto const found = p_values(law, law, 40, 60, 200, 1000);
  EXPECT_TRUE(stats::accepts(uniform_p_value(found.at("mmd2")), "mmd2"));
  // Ties make the p-values of total variations larger, never smaller.
  boost::math::binomial const most(200, 0.1);
  for (auto const& [name, values] : found) {
    auto const low = std::count_if(values.begin(), values.end(), [](double p) { return p <= 0.1; });
    EXPECT_TRUE(stats::accepts(low == 0 ? 1 : boost::math::cdf(boost::math::complement(most, static_cast<double>(low) - 1)), name));
  }
  // Control: laws that differ do not give uniform values, even in sets as small as these.
  auto const wrong = p_values(coins(20, 0.5), coins(20, 0.6), 40, 60, 200, 9000);
  for (auto const& [name, values] : wrong) EXPECT_LT(uniform_p_value(values), stats::false_alarm) << name;
}

// Power at level 5 % for sets of 500 sequences of 20 sites whose tokens are 10 % off (.5 against .55): all of 20
// repetitions see it, which a power below 1/2 would do once in a million times.
TEST(TwoSample, TokensTenPerCentOffAreDetected) {
  for (auto const& [name, values] : p_values(coins(20, 0.5), coins(20, 0.55), 500, 500, 20, 20'000)) {
    EXPECT_EQ(std::count_if(values.begin(), values.end(), [](double p) { return p <= 0.05; }), 20) << name;
  }
}

TEST(TwoSample, BadInputIsNamed) {
  Sequences const x{0, 1, 1, 0}, bad{0, 1, 2, 0};
  auto const message = [&](int length, Sequences const& a, Sequences const& b, TwoSampleOptions const& options = {}) {
    return reference::message_of<UserError>([&] { compare_samples(2, length, a, b, options); });
  };
  EXPECT_SAYS(message(2, x, bad), "expected tokens from 0 to 1, got 2");
  EXPECT_SAYS(message(3, x, x), "at least 2 sequences of length 3");
  EXPECT_SAYS(message(4, x, x), "at least 2 sequences of length 4");
  EXPECT_SAYS(message(2, x, x, {.permutations = 0}), "at least 1 permutation");
  EXPECT_SAYS(message(2, x, x, {.error = 1}), "between 0 and 1");
  EXPECT_SAYS(message(2, x, x, {.kernel_rows = 1}), "at least 2 sequences a side");
}

}  // namespace
}  // namespace saltus::app
