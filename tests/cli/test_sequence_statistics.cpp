// SPDX-License-Identifier: BSD-3-Clause
// What saltus evaluate measures: by hand, and against loops that are written out.
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>

#include "sequence_statistics.hpp"

namespace saltus::app {
namespace {

using Tokens = std::vector<token_t>;
using Set = std::vector<Tokens>;

Sequences views(Set const& set) { return {set.begin(), set.end()}; }

Set random_set(std::size_t count, std::size_t shortest, std::size_t longest, int states, unsigned seed) {
  std::mt19937 random(seed);
  Set set(count);
  for (auto& x : set) {
    x.resize(shortest + random() % (longest - shortest + 1));
    for (auto& token : x) token = static_cast<token_t>(random() % static_cast<unsigned>(states));
  }
  return set;
}

// A chain whose tokens stay with probability 0.7.
Set chain_set(std::size_t count, std::size_t length, int states, unsigned seed) {
  std::mt19937 random(seed);
  Set set(count, Tokens(length));
  for (auto& x : set) {
    for (std::size_t l = 0; l < length; ++l) {
      x[l] = l > 0 && random() % 10 < 7 ? x[l - 1] : static_cast<token_t>(random() % static_cast<unsigned>(states));
    }
  }
  return set;
}

// Every site drawn again, evenly, with probability `share`.
Set redrawn(Set set, double share, int states, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform;
  for (auto& x : set) {
    for (auto& token : x) {
      if (uniform(random) < share) token = static_cast<token_t>(random() % static_cast<unsigned>(states));
    }
  }
  return set;
}

int levenshtein(Tokens const& a, Tokens const& b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = static_cast<int>(i + j);
      } else {
        d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      }
    }
  }
  return d[a.size()][b.size()];
}

TEST(SequenceStatistics, IntervalsWithoutWidth) {
  for (std::size_t const count : {1u, 3u, 100000u}) {
    auto const e = mean_of(std::vector<double>(count, 0.7));
    EXPECT_EQ(std::vector({e.value, e.low, e.high}), std::vector(3, 0.7)) << count;
  }
  constexpr double infinite = std::numeric_limits<double>::infinity();  // the loss of an impossible sequence
  auto const e = mean_of(std::vector<double>{1, infinite, 2});
  EXPECT_EQ(std::vector({e.value, e.low, e.high}), std::vector(3, infinite));
}

// Of a mean it is the variance of the mean.
TEST(SequenceStatistics, JackknifeOfAMean) {
  std::vector<double> const values{1, 2, 3, 6};
  std::vector<double> left_out;
  for (double const v : values) left_out.push_back((12 - v) / 3);
  EXPECT_NEAR(jackknife_variance(left_out), (4 + 1 + 0 + 9) / 3.0 / 4, 1e-14);
  EXPECT_EQ(jackknife_variance(std::vector<double>{5}), 0);
}

TEST(SequenceStatistics, MeansAndShares) {
  std::vector<double> const values{1, 2, 3, 6};
  auto const mean = mean_of(values);
  EXPECT_DOUBLE_EQ(mean.value, 3);
  double const error = std::sqrt((4 + 1 + 0 + 9) / 3.0 / 4);
  EXPECT_NEAR(mean.high - mean.value, 1.959963984540054 * error, 1e-14);
  EXPECT_NEAR(mean.value - mean.low, mean.high - mean.value, 1e-14);
  // Over ones, a ratio of sums is a mean.
  auto const ratio = ratio_of(values, std::vector<double>(4, 1));
  EXPECT_DOUBLE_EQ(ratio.value, mean.value);
  EXPECT_NEAR(ratio.high, mean.high, 1e-14);
  auto const exact = ratio_of(std::vector<double>{2, 4, 6}, std::vector<double>{1, 2, 3});
  EXPECT_DOUBLE_EQ(exact.value, 2);
  EXPECT_DOUBLE_EQ(exact.low, exact.high);
  // The ends of Wilson's interval are the shares q whose z statistic is the quantile.
  auto const share = share_of(3, 20);
  EXPECT_DOUBLE_EQ(share.value, 0.15);
  for (double const q : {share.low, share.high})
    EXPECT_NEAR(std::abs(0.15 - q) / std::sqrt(q * (1 - q) / 20), 1.959963984540054, 1e-12);
  EXPECT_EQ(share_of(0, 5).low, 0);
  EXPECT_EQ(share_of(5, 5).high, 1);
  EXPECT_THROW(share_of(0, 0), UserError);
  EXPECT_EQ(median_of({3, 1, 2}), 2);
  EXPECT_EQ(median_of({3, 1, 2, 10}), 2.5);
}

TEST(SequenceStatistics, EntropiesByHand) {
  Set const set{{0, 0, 1, 1}, {}, {2, 2, 2}, {0, 1, 1, 1}};
  auto const found = token_entropies(views(set), 3);
  EXPECT_NEAR(found[0], std::log(2.0), 1e-15);
  EXPECT_EQ(found[1], 0);
  EXPECT_EQ(found[2], 0);
  EXPECT_NEAR(found[3], -0.25 * std::log(0.25) - 0.75 * std::log(0.75), 1e-15);
  // Of all eleven tokens 3, 5 and 3.
  double const p[] = {3 / 11.0, 5 / 11.0, 3 / 11.0};
  double entropy = 0;
  for (double const q : p) entropy -= q * std::log(q);
  EXPECT_NEAR(entropy_of(word_histogram(views(set), 3, 1)), entropy, 1e-14);
}

TEST(SequenceStatistics, HistogramsByHand) {
  Set const x{{0, 1, 0}, {1}}, y{{1, 1}, {}};
  auto const words = word_histogram(views(x), 3, 2);  // 01, 10
  EXPECT_EQ(words.total, 2);
  EXPECT_EQ(words.cells, (decltype(words.cells){{1, 1}, {3, 1}}));
  EXPECT_EQ(words.share(3), 0.5);
  EXPECT_EQ(words.share(2), 0);
  auto const others = word_histogram(views(y), 3, 2);  // 11
  EXPECT_DOUBLE_EQ(total_variation(words, others), 1);
  EXPECT_NEAR(jensen_shannon(words, others), std::log(2.0), 1e-15);
  // Tokens: (1/2, 1/2) against (0, 1).
  auto const a = word_histogram(views(x), 3, 1), b = word_histogram(views(y), 3, 1);
  EXPECT_DOUBLE_EQ(total_variation(a, b), 0.5);
  EXPECT_NEAR(jensen_shannon(a, b), 0.5 * (0.5 * std::log(2.0) + 0.5 * std::log(2 / 3.0) + std::log(4 / 3.0)), 1e-15);
  EXPECT_EQ(total_variation(a, a), 0);
  // Longer than the sequences: nothing to count.
  // Words of four of 10,004 tokens: what stood before is no part of them, though its number times 10,004^4 would not fit.
  Set const long_words{{10003, 5, 6, 7, 8}, {17, 5, 6, 7, 8}};
  EXPECT_EQ(word_histogram(views(long_words), 10004, 4).cells.size(), 3u);  // two that begin the sequences, and one
  auto const none = word_histogram(views(y), 3, 4);
  EXPECT_EQ(none.total, 0);
  EXPECT_EQ(total_variation(none, none), 0);
  EXPECT_EQ(total_variation(none, a), 1);
  EXPECT_EQ(length_histogram(views(x)).cells, (decltype(words.cells){{1, 1}, {3, 1}}));

  Set const all = random_set(50, 0, 9, 4, 1);
  Set const first(all.begin(), all.begin() + 20), rest(all.begin() + 20, all.end());
  for (int k = 1; k <= 4; ++k) {
    auto const left = without(word_histogram(views(all), 4, k), word_histogram(views(first), 4, k));
    auto const direct = word_histogram(views(rest), 4, k);
    EXPECT_EQ(left.cells, direct.cells);
    EXPECT_EQ(left.total, direct.total);
  }
}

TEST(SequenceStatistics, DistinctAndNovel) {
  Set const x{{0, 1}, {0, 1}, {0}, {}, {2, 2}}, y{{0, 1}, {2}, {}};
  EXPECT_EQ(distinct(views(x)), 4u);
  EXPECT_EQ(novel(views(x), views(y)), 2u);  // {0} and {2, 2}
  EXPECT_EQ(novel(views(x), {}), 5u);
}

// Blocks of 64 tokens are full, begun and not there.
TEST(SequenceStatistics, EditDistancesEqualTheTable) {
  for (int const states : {2, 5}) {
    Set set = random_set(12, 0, 210, states, 11);
    for (std::size_t const length :
         {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{65}, std::size_t{128}})
      set.push_back(random_set(1, length, length, states, 12)[0]);
    for (std::size_t i = 0; i < 6; ++i) set.push_back(redrawn({set[i]}, 0.1, states, 13)[0]);
    EditDistance edits(states);
    for (auto const& x : set) {
      edits.set(x);
      for (auto const& y : set) {
        int const expected = levenshtein(x, y);
        EXPECT_EQ(edits.to(y, 1000), expected);
        EXPECT_EQ(edits.to(y, expected), expected);
        if (expected > 0) {
          EXPECT_GE(edits.to(y, expected - 1), expected);
        }
      }
    }
  }
}

TEST(SequenceStatistics, NearestNeighbours) {
  Set const others = random_set(60, 0, 30, 3, 21);
  Set queries = random_set(40, 0, 40, 3, 22);
  queries.push_back(others[5]);
  auto const found = nearest_distances(views(queries), views(others), 3, false);
  for (std::size_t q = 0; q < queries.size(); ++q) {
    int best = 1000;
    for (auto const& other : others) best = std::min(best, levenshtein(queries[q], other));
    EXPECT_EQ(found[q], best) << q;
  }
  EXPECT_EQ(found.back(), 0);
  Set const rows = random_set(30, 17, 17, 4, 23), lines = random_set(20, 17, 17, 4, 24);
  auto const differing = nearest_distances(views(lines), views(rows), 4, true);
  for (std::size_t q = 0; q < lines.size(); ++q) {
    int best = 1000;
    for (auto const& row : rows) {
      int count = 0;
      for (std::size_t l = 0; l < row.size(); ++l) count += row[l] != lines[q][l];
      best = std::min(best, count);
    }
    EXPECT_EQ(differing[q], best);
  }
}

// Pearson's r and the slope over vectors, as they stand in any book.
std::pair<double, double> fitted_line(std::vector<double> const& x, std::vector<double> const& y) {
  double const n = static_cast<double>(x.size());
  double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) mx += x[i] / n, my += y[i] / n;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mx) * (x[i] - mx);
    yy += (y[i] - my) * (y[i] - my);
    xy += (x[i] - mx) * (y[i] - my);
  }
  return {xy / std::sqrt(xx * yy), xy / xx};
}

struct Alignment {
  std::vector<double> sites, pairs;
};
Alignment counted(Set const& set, std::size_t states) {
  double const n = static_cast<double>(set.size());
  auto const f = [&](std::size_t i, std::size_t a) {
    double count = 0;
    for (auto const& x : set) count += x[i] == static_cast<token_t>(a);
    return count / n;
  };
  Alignment out;
  for (std::size_t i = 0; i < set[0].size(); ++i) {
    for (std::size_t a = 0; a < states; ++a) out.sites.push_back(f(i, a));
  }
  for (std::size_t i = 0; i < set[0].size(); ++i) {
    for (std::size_t j = i + 1; j < set[0].size(); ++j) {
      for (std::size_t a = 0; a < states; ++a) {
        for (std::size_t b = 0; b < states; ++b) {
          double count = 0;
          for (auto const& x : set) count += x[i] == static_cast<token_t>(a) && x[j] == static_cast<token_t>(b);
          out.pairs.push_back(count / n - f(i, a) * f(j, b));
        }
      }
    }
  }
  return out;
}

TEST(SequenceStatistics, AlignmentsEqualTheFormulas) {
  int const states = 3;
  Set const samples = chain_set(47, 6, states, 31), reference = chain_set(60, 6, states, 32);
  auto const found = compare_alignments(views(samples), views(reference), 6, states);
  auto const own = counted(samples, 3), real = counted(reference, 3);
  EXPECT_NEAR(found.sites.value, fitted_line(real.sites, own.sites).first, 1e-12);
  EXPECT_NEAR(found.pairs.value, fitted_line(real.pairs, own.pairs).first, 1e-12);
  EXPECT_NEAR(found.slope.value, fitted_line(real.pairs, own.pairs).second, 1e-12);
  // The jackknife, a group left out at a time.
  std::vector<double> left;
  for (std::size_t g = 0; g < 10; ++g) {
    Set kept;
    for (std::size_t b = 0; b < samples.size(); ++b) {
      if (b % 10 != g) kept.push_back(samples[b]);
    }
    left.push_back(fitted_line(real.pairs, counted(kept, 3).pairs).first);
  }
  double mean = 0, squares = 0;
  for (double const r : left) mean += r / 10;
  for (double const r : left) squares += (r - mean) * (r - mean);
  EXPECT_NEAR(found.pairs.high - found.pairs.value, 1.959963984540054 * std::sqrt(0.9 * squares), 1e-10);
  // The picture holds every pair of sites and tokens once.
  std::uint64_t total = 0;
  for (auto const c : found.picture) total += c;
  EXPECT_EQ(total, real.pairs.size());

  auto const same = compare_alignments(views(reference), views(reference), 6, states);
  EXPECT_NEAR(same.pairs.value, 1, 1e-12);
  EXPECT_NEAR(same.slope.value, 1, 1e-12);
  EXPECT_NEAR(same.sites.value, 1, 1e-12);
}

// Redrawing a share e of the sites multiplies every C by (1 - e)^2, which the slope sees and r does not.
TEST(SequenceStatistics, RedrawnSitesFlattenTheCorrelations) {
  int const states = 4;
  Set const reference = chain_set(20000, 8, states, 41);
  auto const fine = compare_alignments(views(chain_set(20000, 8, states, 42)), views(reference), 8, states);
  auto const off = compare_alignments(views(redrawn(chain_set(20000, 8, states, 43), 0.05, states, 44)),
                                      views(reference), 8, states);
  EXPECT_GT(fine.pairs.value, 0.99);
  EXPECT_LT(fine.slope.low, 1);
  EXPECT_GT(fine.slope.high, 0.99);
  EXPECT_NEAR(off.slope.value, 0.95 * 0.95, 4 * (off.slope.high - off.slope.value));
  EXPECT_LT(off.slope.high, fine.slope.low);  // told apart
}

// Total variation of equal laws is what parts of one set have; 5 % of sites redrawn are told apart.
TEST(SequenceStatistics, WordsTellFivePercentApart) {
  int const states = 4;
  Set const reference = chain_set(8000, 20, states, 51), same = chain_set(2000, 20, states, 52);
  auto const all = word_histogram(views(reference), states, 2);
  auto const distance = [&](Set const& set) { return total_variation(word_histogram(views(set), states, 2), all); };
  double largest = 0;
  for (std::size_t r = 0; r < 4; ++r) {
    Set const part(reference.begin() + static_cast<std::ptrdiff_t>(2000 * r),
                   reference.begin() + static_cast<std::ptrdiff_t>(2000 * (r + 1)));
    auto const own = word_histogram(views(part), states, 2);
    largest = std::max(largest, total_variation(own, without(all, own)));
  }
  EXPECT_LT(distance(same), 2 * largest);
  EXPECT_GT(distance(redrawn(same, 0.05, states, 53)), 2 * largest);
}

}  // namespace
}  // namespace saltus::app
