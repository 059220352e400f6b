// SPDX-License-Identifier: BSD-3-Clause
// The metrics of 'compare' against hand computation, and the coverage of their intervals and null bands.
#include <array>
#include <cmath>

#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <gtest/gtest.h>

#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>

#include "metrics.hpp"
#include "statistics.hpp"

namespace saltus::app {
namespace {

namespace stats = saltus::statistics;
using Sequences = std::vector<token_t>;

std::size_t at(Metric metric) {
  for (std::size_t m = 0; m < metric_table().size(); ++m) {
    if (metric_table()[m].metric == metric) return m;
  }
  ADD_FAILURE() << "not in the table";
  return 0;
}

// What a perfect sampler of `law` gives: sequences first, first + 1, ... of a seed.
Sequences draws(SequenceLaw const& law, std::size_t count, std::uint64_t seed) {
  auto const length = static_cast<std::size_t>(law.length());
  Sequences tokens(count * length);
  for (std::size_t b = 0; b < count; ++b) law.draw(seed, b, std::span(tokens).subspan(b * length, length));
  return tokens;
}

// A chain with no symmetry, every transition possible.
MarkovChain some_chain(int length, int states) {
  auto const n = static_cast<std::size_t>(states);
  std::vector<double> initial(n), transitions(n * n);
  auto const fill = [&](std::span<double> p, double shift) {
    double sum = 0;
    for (std::size_t y = 0; y < n; ++y) sum += p[y] = 1.5 + std::sin(shift + 2.4 * static_cast<double>(y));
    for (double& value : p) value /= sum;
  };
  fill(initial, 0.3);
  for (std::size_t x = 0; x < n; ++x) fill(std::span(transitions).subspan(x * n, n), 1.7 * static_cast<double>(x));
  return {length, states, initial, transitions};
}

// E|K/n - p| of a binomial K.
double mean_distance(std::size_t n, double p) {
  auto const count = static_cast<double>(n);
  boost::math::binomial const law(count, p);
  double sum = 0;
  for (double k = 0; k <= count; ++k) sum += pdf(law, k) * std::abs(k / count - p);
  return sum;
}

// Expected total variation of a perfect sampler, mean over blocks.
double mean_tv_of_perfect(std::vector<double> const& p, std::size_t block, std::size_t count) {
  double sum = 0;
  for (double const value : p) sum += mean_distance(count, value);
  return sum / 2 / (static_cast<double>(p.size()) / static_cast<double>(block));
}

double token_entropy(std::span<token_t const> x, int states) {
  double h = 0;
  for (token_t y = 0; y < states; ++y) {
    auto const k = static_cast<double>(std::count(x.begin(), x.end(), y)) / static_cast<double>(x.size());
    h -= k > 0 ? k * std::log(k) : 0;
  }
  return h;
}

// Coverage that Student's t with g - 1 degrees of freedom gives intervals of `half` standard errors from g groups.
double normal_coverage(int g, double half = 1.959963984540054) {
  boost::math::students_t const t(g - 1);
  return 1 - 2 * boost::math::cdf(boost::math::complement(t, half));
}

bool contains(Estimate const& e, double truth) { return e.low <= truth && truth <= e.high; }
bool inside(NullBand const& band, Estimate const& e) { return band.low <= e.value && e.value <= band.high; }

// Whether k intervals of `trials` cover their truth as often as intervals from g groups should.
testing::AssertionResult covers(int k, int trials, int g, Metric metric) {
  double const share = normal_coverage(g);
  // Negative control: intervals a fifth too narrow would be seen.
  auto const narrow = static_cast<std::int64_t>(trials * normal_coverage(g, 0.8 * 1.959963984540054));
  EXPECT_LT(stats::binomial_p_value(narrow, trials, share), stats::false_alarm);
  return stats::accepts(stats::binomial_p_value(k, trials, share),
                        metric_table()[at(metric)].name + (": " + std::to_string(k)) + " of " + std::to_string(trials));
}

constexpr std::size_t of_sequences = 6;

TEST(Metrics, TableIsInOrderAndNamed) {
  std::vector<std::string> names;
  for (auto const& spec : metric_table()) {
    names.emplace_back(spec.name);
    EXPECT_FALSE(std::string(spec.help).empty());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"tv_site", "tv_pair", "tv_triple", "nll", "token_entropy",
                                              "impossible_transitions", "tv", "kl", "reverse_kl", "path_kl",
                                              "path_kl_discretisation", "path_kl_factorisation"}));
  EXPECT_EQ(exact_metrics(false), (std::vector{Metric::tv, Metric::kl, Metric::reverse_kl, Metric::path_kl}));
  EXPECT_EQ(exact_metrics(true), (std::vector{Metric::tv, Metric::kl, Metric::reverse_kl, Metric::path_kl,
                                              Metric::path_kl_discretisation, Metric::path_kl_factorisation}));
  for (auto const& spec : metric_table()) EXPECT_EQ(spec_of(spec.metric).name, spec.name);
}

// Where the triples of a law are too many to count, they are left out everywhere, and only they.
TEST(Metrics, TriplesOfLargeLawsAreLeftOut) {
  auto const all = metrics_for(some_chain(3, 110));  // 110^3 3 < 4e6 < 111^3 3
  EXPECT_EQ(all.size(), of_sequences);
  MarkovChain const large = some_chain(3, 111);
  auto const metrics = metrics_for(large);
  EXPECT_EQ(metrics, (std::vector{Metric::tv_site, Metric::tv_pair, Metric::nll, Metric::token_entropy,
                                  Metric::impossible_transitions}));
  auto const found = measure(large, Sequences{1, 2, 3, 4, 5, 6}, 2);
  ASSERT_EQ(found.size(), metrics.size());
  EXPECT_NEAR(found[2].value, -(large.log_likelihood(Sequences{1, 2, 3}) + large.log_likelihood(Sequences{4, 5, 6})) / 2,
              1e-12);
  auto const bands = null_bands(large, 2, 3, 0.05, 1);
  ASSERT_EQ(bands.size(), metrics.size());
  EXPECT_DOUBLE_EQ(bands[2].mean, large.entropy());
}

TEST(Metrics, TriplesByHand) {
  // Independent sites with p(0) = 1/2, 1/4, 1/2, 1/2. Triples of the sites 0-2: 0xx and 1xx the same 1/16 for x0x,
  // 3/16 for x1x; of the sites 1-3: 1/16 for 0xx, 3/16 for 1xx.
  ProductLaw const law(4, 2, {0.5, 0.5, 0.25, 0.75, 0.5, 0.5, 0.5, 0.5});
  Sequences const tokens{0, 0, 0, 0, 0, 1, 1, 0};
  // Triples 000 and 011, each half; 000 and 110, each half: each time two differ by 7/16 and 5/16, the rest is as much.
  EXPECT_DOUBLE_EQ(measure(law, tokens, 2)[at(Metric::tv_triple)].value, 7.0 / 16 + 5.0 / 16);
  EXPECT_EQ(measure(ProductLaw(2, 2, {0.5, 0.5, 0.5, 0.5}), Sequences{0, 1}, 1)[at(Metric::tv_triple)].value, 0);
}

TEST(Metrics, SiteFrequenciesByHand) {
  EXPECT_EQ(site_frequencies(Sequences{0, 2, 1, 2, 0, 2, 0, 1}, 2, 3),
            (std::vector<double>{0.75, 0.25, 0, 0, 0.25, 0.75}));
}

TEST(Metrics, ByHand) {
  // Two sites of two states: p(0) = 1/2, then 1/4. Pairs 00, 01, 10, 11: 1/8, 3/8, 1/8, 3/8.
  ProductLaw const law(2, 2, {0.5, 0.5, 0.25, 0.75});
  Sequences const tokens{0, 0, 0, 1, 1, 1, 0, 1};
  auto const found = measure(law, tokens, 4);
  ASSERT_EQ(found.size(), of_sequences);
  // Site 0 has 0 three times in four, site 1 once in four; the pairs come 1, 2, 0, 1 times.
  EXPECT_DOUBLE_EQ(found[at(Metric::tv_site)].value, (0.25 + 0) / 2);
  EXPECT_DOUBLE_EQ(found[at(Metric::tv_pair)].value, (0.125 + 0.125 + 0.125 + 0.125) / 2);
  double const ln2 = std::log(2.0), a = 3 * ln2, b = 3 * ln2 - std::log(3.0);  // -ln 1/8, -ln 3/8
  EXPECT_NEAR(found[at(Metric::nll)].value, (a + 3 * b) / 4, 1e-14);
  EXPECT_NEAR(found[at(Metric::token_entropy)].value, ln2 / 2, 1e-14);
  EXPECT_EQ(found[at(Metric::impossible_transitions)].value, 0);
  // Normal intervals: of (a, b, b, b) the variance is (a - b)^2/4, of (0, ln 2, 0, ln 2) it is ln(2)^2/3.
  double const z = 1.959963984540054;
  auto const &nll = found[at(Metric::nll)], &entropy = found[at(Metric::token_entropy)];
  EXPECT_NEAR(nll.high - nll.value, z * (a - b) / 2 / 2, 1e-12);
  EXPECT_NEAR(entropy.value - entropy.low, z * ln2 / std::sqrt(3.0) / 2, 1e-12);
  // Jackknife: with fewer sequences than groups each group is one sequence. Without the first, second, third, fourth
  // the shares of 0 are 2/3, 2/3, 1, 2/3 at site 0 and 0, 1/3, 1/3, 1/3 at site 1.
  std::array const left_out{(1.0 / 6 + 1.0 / 4) / 2, (1.0 / 6 + 1.0 / 12) / 2, (1.0 / 2 + 1.0 / 12) / 2,
                            (1.0 / 6 + 1.0 / 12) / 2};
  double mean = 0, squares = 0;
  for (double const v : left_out) mean += v / 4;
  for (double const v : left_out) squares += (v - mean) * (v - mean);
  double const half = z * std::sqrt(3.0 / 4 * squares);
  EXPECT_NEAR(found[at(Metric::tv_site)].high, 0.125 + half, 1e-12);
  EXPECT_NEAR(found[at(Metric::tv_site)].low, std::max(0.0, 0.125 - half), 1e-12);
}

TEST(Metrics, SequencesThatTheLawForbids) {
  // Starts with 0; 1 is followed by 0. Pair (1, 1) is impossible from site 1 on; nothing is said of what follows a
  // token that cannot be where it is.
  MarkovChain const law(3, 2, {1, 0}, {0.5, 0.5, 1, 0});
  Sequences const tokens{0, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0};
  auto const all = measure(law, tokens, 4);
  EXPECT_DOUBLE_EQ(all[at(Metric::impossible_transitions)].value, 1.0 / 8);
  for (double const value : {all[at(Metric::nll)].value, all[at(Metric::nll)].low, all[at(Metric::nll)].high}) {
    EXPECT_EQ(value, std::numeric_limits<double>::infinity());
  }
  // Clustered by sequence: shares 0, 0, 1/2, 0.
  double const half = 1.959963984540054 * std::sqrt(1.0 / 16 / 4);
  EXPECT_NEAR(all[at(Metric::impossible_transitions)].high, 1.0 / 8 + half, 1e-12);
  EXPECT_EQ(all[at(Metric::impossible_transitions)].low, 0);
  // The first two are possible: 1/4 and 1/2.
  auto const possible = measure(law, std::span(tokens).first(6), 2);
  EXPECT_EQ(possible[at(Metric::impossible_transitions)].value, 0);
  EXPECT_NEAR(possible[at(Metric::nll)].value, 1.5 * std::log(2.0), 1e-14);
  // The third alone has a forbidden pair, the fourth alone a forbidden start.
  for (std::size_t b : {2u, 3u}) {
    auto const one = measure(law, std::span(tokens).subspan(b * 3, 3), 1);
    EXPECT_EQ(one[at(Metric::nll)].value, std::numeric_limits<double>::infinity());
    EXPECT_EQ(one[at(Metric::impossible_transitions)].value, b == 2 ? 0.5 : 0);
  }
}

TEST(Metrics, OneSite) {
  ProductLaw const law(1, 2, {0.25, 0.75});
  auto const found = measure(law, Sequences{0, 1}, 2);
  EXPECT_DOUBLE_EQ(found[at(Metric::tv_site)].value, 0.25);
  EXPECT_EQ(found[at(Metric::tv_pair)].value, 0);
  EXPECT_EQ(found[at(Metric::token_entropy)].value, 0);
  EXPECT_EQ(found[at(Metric::impossible_transitions)].value, 0);
}

TEST(Metrics, RepeatedSequencesHaveNoError) {
  // Every sequence of the space as often as the law says: errors vanish and nll is the entropy.
  ProductLaw const law(2, 2, {0.5, 0.5, 0.25, 0.75});
  Sequences tokens;
  for (int copy = 0; copy < 5; ++copy) {
    for (token_t const y : {0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1}) tokens.push_back(y);
  }
  auto const found = measure(law, tokens, 40);
  EXPECT_NEAR(found[at(Metric::tv_site)].value, 0, 1e-15);
  EXPECT_NEAR(found[at(Metric::tv_pair)].value, 0, 1e-15);
  EXPECT_NEAR(found[at(Metric::nll)].value, law.entropy(), 1e-12);
}

// The intervals of a wrong sampler cover its true errors. Away from zero, total variation is smooth in the shares, and
// the jackknife over 20 groups gives Student's t with 19 degrees of freedom against 1.96; the others are normal.
TEST(Metrics, IntervalsCoverTheErrorsOfAWrongSampler) {
  constexpr int trials = 1000;
  constexpr std::size_t count = 2000;
  ProductLaw const law(3, 2, std::vector<double>(6, 0.5)), wrong(3, 2, {0.7, 0.3, 0.7, 0.3, 0.7, 0.3});
  // Exact errors: shares 0.7 against 0.5; pairs 0.49, 0.21, 0.21, 0.09 against 0.25, each more than 4 standard
  // deviations of a share away from it.
  double const truth_site = 0.2, truth_pair = 0.24;
  // Triples 0.343, 3 of 0.147, 3 of 0.063 and 0.027 against 0.125; the nearest more than 2.7 standard deviations away.
  double const truth_triple = 0.343 - 0.125 + 3 * (0.147 - 0.125);
  ASSERT_GT(0.25 - 0.21, 4 * std::sqrt(0.21 * 0.79 / count));
  double const ln3 = std::log(3.0), entropy21 = ln3 - 2.0 / 3 * std::log(2.0);  // of the histogram (2, 1)
  double const truth_entropy = 3 * 0.7 * 0.3 * entropy21;  // 2 + 1 of either kind: 3 p q (p + q)
  int site = 0, pair = 0, triple = 0, tokens = 0;
  for (int k = 0; k < trials; ++k) {
    auto const found = measure(law, draws(wrong, count, 1000 + static_cast<std::uint64_t>(k)), count);
    site += contains(found[at(Metric::tv_site)], truth_site);
    pair += contains(found[at(Metric::tv_pair)], truth_pair);
    triple += contains(found[at(Metric::tv_triple)], truth_triple);
    tokens += contains(found[at(Metric::token_entropy)], truth_entropy);
    // Every sequence is as likely as any other under `law`.
    EXPECT_NEAR(found[at(Metric::nll)].value, 3 * std::log(2.0), 1e-9);
  }
  EXPECT_TRUE(covers(site, trials, 20, Metric::tv_site));
  EXPECT_TRUE(covers(pair, trials, 20, Metric::tv_pair));
  EXPECT_TRUE(covers(triple, trials, 20, Metric::tv_triple));
  EXPECT_TRUE(covers(tokens, trials, count, Metric::token_entropy));
}

// The share of forbidden pairs of a sampler that draws sites independently, from a law that forbids (1, 1).
TEST(Metrics, IntervalsCoverTheShareOfForbiddenPairs) {
  constexpr int trials = 1000;
  constexpr std::size_t count = 500;
  MarkovChain const law(4, 2, {0.5, 0.5}, {0.5, 0.5, 1, 0});
  ProductLaw const wrong(4, 2, {0.6, 0.4, 0.6, 0.4, 0.6, 0.4, 0.6, 0.4});
  int covered = 0;
  for (int k = 0; k < trials; ++k) {
    auto const found = measure(law, draws(wrong, count, 77 + static_cast<std::uint64_t>(k)), count);
    covered += contains(found[at(Metric::impossible_transitions)], 0.4 * 0.4);
  }
  EXPECT_TRUE(covers(covered, trials, count, Metric::impossible_transitions));
}

// Of a perfect sampler: nll covers the entropy, token entropy its exact mean (by enumeration), and total variation the
// mean that sampling noise gives it (binomial sums). Where shares scatter around the law, |share - law| has its kink and
// the jackknife overestimates its spread, so that those intervals may cover more often than they say, never less.
TEST(Metrics, IntervalsCoverForPerfectSamples) {
  constexpr int trials = 1000;
  constexpr std::size_t count = 1000;
  MarkovChain const law = some_chain(5, 4);
  StateSpace const space(4, 5);
  double mean_entropy = 0;
  for (std::size_t i = 0; i < space.size(); ++i) {
    auto const x = space.tokens(i);
    mean_entropy += std::exp(law.log_likelihood(x)) * token_entropy(x, 4);
  }
  double const site_mean = mean_tv_of_perfect(law.site_marginals(), 4, count);
  double const pair_mean = mean_tv_of_perfect(law.pair_marginals(), 16, count);
  double const triple_mean = mean_tv_of_perfect(law.triple_marginals(), 64, count);
  int nll = 0, tokens = 0, site = 0, pair = 0, triple = 0;
  for (int k = 0; k < trials; ++k) {
    auto const found = measure(law, draws(law, count, 5000 + static_cast<std::uint64_t>(k)), count);
    nll += contains(found[at(Metric::nll)], law.entropy());
    tokens += contains(found[at(Metric::token_entropy)], mean_entropy);
    site += contains(found[at(Metric::tv_site)], site_mean);
    pair += contains(found[at(Metric::tv_pair)], pair_mean);
    triple += contains(found[at(Metric::tv_triple)], triple_mean);
  }
  EXPECT_TRUE(covers(nll, trials, count, Metric::nll));
  EXPECT_TRUE(covers(tokens, trials, count, Metric::token_entropy));
  boost::math::binomial const nominal(trials, normal_coverage(20));
  for (int const k : {site, pair, triple}) EXPECT_TRUE(stats::accepts(cdf(nominal, k), std::to_string(k) + " covered"));
  // Negative control: intervals of half the width would not cover often enough.
  EXPECT_LT(cdf(nominal, std::floor(trials * normal_coverage(20, 0.5 * 1.959963984540054))), stats::false_alarm);
}

TEST(NullBands, AreAFunctionOfTheSeed) {
  MarkovChain const law = some_chain(6, 3);
  auto const first = null_bands(law, 50, 10, 0.05, 3), again = null_bands(law, 50, 10, 0.05, 3);
  auto const other = null_bands(law, 50, 10, 0.05, 4);
  ASSERT_EQ(first.size(), of_sequences);
  for (std::size_t m = 0; m < first.size(); ++m) {
    EXPECT_EQ(first[m].mean, again[m].mean);
    EXPECT_EQ(first[m].low, again[m].low);
    EXPECT_EQ(first[m].high, again[m].high);
  }
  EXPECT_NE(first[at(Metric::tv_site)].mean, other[at(Metric::tv_site)].mean);
  EXPECT_NE(first[at(Metric::nll)].high, other[at(Metric::nll)].high);
  // A smaller error makes wider bands, in the ratio of the quantiles.
  boost::math::students_t const t(9);
  auto const wide = null_bands(law, 50, 10, 1e-4, 3);
  double const ratio = quantile(complement(t, 5e-5)) / quantile(complement(t, 0.025));
  for (Metric const metric : {Metric::tv_pair, Metric::nll, Metric::token_entropy}) {
    std::size_t const m = at(metric);
    EXPECT_NEAR((wide[m].high - wide[m].mean) / (first[m].high - first[m].mean), ratio, 1e-6 * ratio);
  }
}

// The centres against theory: entropy for nll, binomial sums for total variation.
TEST(NullBands, LieAroundExactMeans) {
  constexpr std::size_t count = 300;
  constexpr int replicates = 400;
  MarkovChain const law = some_chain(6, 3);
  auto const bands = null_bands(law, count, replicates, 0.05, 11);
  EXPECT_DOUBLE_EQ(bands[at(Metric::nll)].mean, law.entropy());
  EXPECT_EQ(bands[at(Metric::impossible_transitions)].low, 0);
  EXPECT_EQ(bands[at(Metric::impossible_transitions)].high, 0);
  boost::math::students_t const t(replicates - 1);
  auto const check = [&](Metric metric, double exact) {
    auto const& band = bands[at(metric)];
    // half = quantile * sd * sqrt(1 + 1/n), and the mean of n replicates errs by sd/sqrt(n).
    double const sd = (band.high - band.mean) / quantile(complement(t, 0.025)) / std::sqrt(1 + 1.0 / replicates);
    double const z = (band.mean - exact) / sd * std::sqrt(replicates);
    EXPECT_TRUE(stats::accepts(stats::normal_p_value(z), metric_table()[at(metric)].name));
    return sd;
  };
  check(Metric::tv_site, mean_tv_of_perfect(law.site_marginals(), 3, count));
  check(Metric::tv_triple, mean_tv_of_perfect(law.triple_marginals(), 27, count));
  double const sd = check(Metric::tv_pair, mean_tv_of_perfect(law.pair_marginals(), 9, count));
  // Negative control: a bias of half a standard deviation of one sampler would be seen.
  EXPECT_LT(stats::normal_p_value(0.5 * std::sqrt(replicates)), stats::false_alarm);
  EXPECT_GT(sd, 0);
}

// One more perfect sampler leaves a band with the stated probability: over many bands, each with a fresh sampler.
void check_bands(int trials, int replicates, double error) {
  constexpr std::size_t count = 150;
  MarkovChain const law = some_chain(6, 4);
  std::vector<int> outside(metric_table().size(), 0);
  for (int k = 0; k < trials; ++k) {
    auto const seed = static_cast<std::uint64_t>(2 * k);
    auto const bands = null_bands(law, count, replicates, error, seed);
    auto const found = measure(law, draws(law, count, seed + 1), count);
    for (std::size_t m = 0; m < bands.size(); ++m) outside[m] += !inside(bands[m], found[m]);
  }
  for (Metric const metric :
       {Metric::tv_site, Metric::tv_pair, Metric::tv_triple, Metric::nll, Metric::token_entropy}) {
    int const k = outside[at(metric)];
    EXPECT_TRUE(stats::accepts(stats::binomial_p_value(k, trials, error),
                               std::string(metric_table()[at(metric)].name) + ": " + std::to_string(k) + " outside"));
  }
  EXPECT_EQ(outside[at(Metric::impossible_transitions)], 0);
}

TEST(NullBands, CoverPerfectSamplers) {
  check_bands(2000, 20, 0.05);
  // Negative control: half or twice the stated error would be seen.
  EXPECT_LT(stats::binomial_p_value(50, 2000, 0.05), stats::false_alarm);
  EXPECT_LT(stats::binomial_p_value(200, 2000, 0.05), stats::false_alarm);
}

// With few replicates it shows whether the noise of the band's own centre is counted: without the factor sqrt(1 + 1/3),
// or with it for nll, whose centre is known, the error would not be 0.2.
TEST(NullBands, CoverWithFewReplicates) {
  constexpr int trials = 6000;
  check_bands(trials, 3, 0.2);
  boost::math::students_t const t(2);
  double const q = quantile(complement(t, 0.1)), factor = std::sqrt(1 + 1.0 / 3);
  for (double const wrong : {q / factor, q * factor}) {
    auto const k = static_cast<std::int64_t>(trials * 2 * boost::math::cdf(boost::math::complement(t, wrong)));
    EXPECT_LT(stats::binomial_p_value(k, trials, 0.2), stats::false_alarm);
  }
}

// Negative control, at the error that 'compare' uses: every other probability 5 % too large, the rest too small.
TEST(NullBands, AWrongSamplerLiesOutside) {
  constexpr std::size_t count = 20000;
  constexpr double error = 1e-3 / 5;
  constexpr int length = 8, states = 4;
  std::vector<double> p, q;
  for (int l = 0; l < length; ++l) {
    std::vector<double> const site{0.4, 0.3, 0.2, 0.1};
    auto const off = stats::five_percent_off(site);
    p.insert(p.end(), site.begin(), site.end());
    q.insert(q.end(), off.begin(), off.end());
  }
  ProductLaw const law(length, states, p), wrong(length, states, q);
  auto const bands = null_bands(law, count, 100, error, 21);
  auto const good = measure(law, draws(law, count, 22), count), bad = measure(law, draws(wrong, count, 23), count);
  for (Metric const metric : {Metric::tv_site, Metric::tv_pair, Metric::tv_triple}) {
    std::size_t const m = at(metric);
    EXPECT_TRUE(inside(bands[m], good[m])) << metric_table()[m].name;
    EXPECT_GT(bad[m].value, bands[m].high) << metric_table()[m].name;
  }
  // nll goes to the cross-entropy; both it and its distance from the band come from the two laws.
  double cross = 0;
  for (std::size_t i = 0; i < p.size(); ++i) cross -= q[i] * std::log(p[i]);
  std::size_t const m = at(Metric::nll);
  EXPECT_TRUE(inside(bands[m], good[m]));
  EXPECT_NEAR(bad[m].value, cross, bands[m].high - bands[m].mean);
  // Error bars of the wrong sampler and the band do not touch in total variation.
  EXPECT_GT(bad[at(Metric::tv_site)].low, bands[at(Metric::tv_site)].high);
}

}  // namespace
}  // namespace saltus::app
