// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/exact.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/sequence_law.hpp>

/// What the statistical tests share. One probability of a false alarm holds for the whole suite and is split evenly
/// over its assertions; each assertion compares a p-value with its share, so no test has a tolerance of its own. Every
/// test has a negative control: samples of a slightly wrong law, which the same function must reject, with a sample
/// size for which power() says that it does.
namespace saltus::statistics {

/// A correct library fails the suite for one choice of all seeds in a thousand.
inline constexpr double suite_false_alarm = 1e-3;
/// The most statistical assertions that the suite may hold; main programs check it (Budget below).
inline constexpr int suite_assertions = 2000;
/// What a p-value is compared with.
inline constexpr double false_alarm = suite_false_alarm / suite_assertions;
/// Probability that a negative control misses the wrong sampler; sample sizes are chosen for it.
inline constexpr double missed_alarm = 1e-6;
/// Cells expected to hold fewer samples are merged.
inline constexpr double smallest_expectation = 20;

inline int assertions = 0;

/// Fails a program that makes more statistical assertions than the false-alarm probability was split for.
class Budget : public ::testing::Environment {
 public:
  void TearDown() override { EXPECT_LE(assertions, suite_assertions); }
};
inline ::testing::Environment* const budget = ::testing::AddGlobalTestEnvironment(new Budget);

struct Fit {
  double p_value;
  double statistic;
  int freedom;      ///< degrees of freedom
  std::string why;  ///< the cell that disagrees most
};

/// Cells of small expectation merged into one (with the next smallest until it is large enough): the group of each
/// cell. It depends on the law and n alone, so merging does not change the law of the statistic. Cells of probability 0
/// get group -1.
std::vector<int> merged_cells(std::span<double const> law, double n, int& groups);

/// Likelihood-ratio (G) test of counts against a law given completely. G and not Pearson's sum of squares: at p-values
/// of 1e-6 the tail of G still follows chi-square for cells of 20, since exp(-G/2) is Chernoff's bound on the counts,
/// whereas Pearson's sum is then too large too often. A count in a cell of probability 0 gives p = 0.
Fit g_test(std::span<std::int64_t const> counts, std::span<double const> law);

/// Probability that g_test() of n samples of `truth` against `law` rejects: G is then noncentral chi-square with
/// parameter 2 n KL(truth, law) over the merged cells.
double power(std::span<double const> truth, std::span<double const> law, double n);

/// Two-sided p-value of a standard normal.
double normal_p_value(double z);

/// Two-sided exact p-value of k successes in n trials of probability p.
double binomial_p_value(std::int64_t k, std::int64_t n, double p);

/// The assertions: a p-value against its share of the suite's false alarms.
::testing::AssertionResult accepts(double p_value, std::string const& what = {});

::testing::AssertionResult accepts(Fit const& fit);

/// Of a negative control.
::testing::AssertionResult rejects(Fit const& fit);

/// How often each sequence of the space occurs.
std::vector<std::int64_t> count_sequences(StateSpace const& space, HostTokens const& tokens);

/// The law with all mass on one sequence.
std::vector<double> point_law(StateSpace const& space, std::vector<token_t> const& x);

/// Every sample starts at x.
Start fixed_start(std::vector<token_t> x);

/// The law with every other cell 5 % too likely and the rest too rare: what a negative control puts for the expected
/// one.
std::vector<double> five_percent_off(std::vector<double> law);

}  // namespace saltus::statistics
