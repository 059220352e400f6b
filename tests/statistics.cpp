// SPDX-License-Identifier: BSD-3-Clause
#include "statistics.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/non_central_chi_squared.hpp>
#include <boost/math/distributions/normal.hpp>

namespace saltus::statistics {

std::vector<int> merged_cells(std::span<double const> law, double n, int& groups) {
  std::vector<std::size_t> order(law.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto i, auto j) { return law[i] < law[j]; });
  std::vector<int> group(law.size(), -1);
  groups = 0;
  double pool = 0;
  for (std::size_t const i : order) {
    if (law[i] == 0) continue;
    group[i] = groups;
    pool += n * law[i];
    if (pool >= smallest_expectation) {
      ++groups;
      pool = 0;
    }
  }
  if (pool > 0) {  // the largest cells are small too: the rest joins the group before it
    if (groups == 0) {
      ++groups;
    } else {
      std::replace(group.begin(), group.end(), groups, groups - 1);
    }
  }
  return group;
}

Fit g_test(std::span<std::int64_t const> counts, std::span<double const> law) {
  EXPECT_EQ(counts.size(), law.size());
  EXPECT_NEAR(std::accumulate(law.begin(), law.end(), 0.0), 1.0, 1e-9);
  auto const n = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  int groups = 0;
  auto const group = merged_cells(law, n, groups);
  std::vector<double> seen(static_cast<std::size_t>(groups), 0.0), expected(seen);
  for (std::size_t i = 0; i < law.size(); ++i) {
    if (group[i] < 0) {
      if (counts[i] != 0) return {0, INFINITY, groups - 1, "cell " + std::to_string(i) + " is impossible"};
      continue;
    }
    seen[static_cast<std::size_t>(group[i])] += static_cast<double>(counts[i]);
    expected[static_cast<std::size_t>(group[i])] += n * law[i];
  }
  if (groups < 2) return {1, 0, 0, "one cell"};
  double g = 0, worst = 0;
  std::size_t at = 0;
  for (std::size_t k = 0; k < seen.size(); ++k) {
    // written so that every term is positive: s ln(s/e) - (s - e)
    g += 2 * ((seen[k] > 0 ? seen[k] * std::log(seen[k] / expected[k]) : 0) - (seen[k] - expected[k]));
    double const z = std::abs(seen[k] - expected[k]) / std::sqrt(expected[k]);
    if (z > worst) worst = z, at = k;
  }
  auto const cell =
      static_cast<std::size_t>(std::find(group.begin(), group.end(), static_cast<int>(at)) - group.begin());
  boost::math::chi_squared const chi(groups - 1);
  return {boost::math::cdf(boost::math::complement(chi, std::max(g, 0.0))), g, groups - 1,
          "cell " + std::to_string(cell) + ": " + std::to_string(seen[at]) + " seen, " + std::to_string(expected[at]) +
              " expected"};
}

double power(std::span<double const> truth, std::span<double const> law, double n) {
  int groups = 0;
  auto const group = merged_cells(law, n, groups);
  std::vector<double> p(static_cast<std::size_t>(groups), 0.0), q(p);
  for (std::size_t i = 0; i < law.size(); ++i) {
    if (group[i] < 0 && truth[i] > 0) return 1 - std::exp(n * std::log1p(-truth[i]));
    if (group[i] < 0) continue;
    p[static_cast<std::size_t>(group[i])] += truth[i];
    q[static_cast<std::size_t>(group[i])] += law[i];
  }
  if (groups < 2) return 0;
  double const parameter = 2 * n * kl_divergence(p, q);
  boost::math::chi_squared const chi(groups - 1);
  double const threshold = boost::math::quantile(boost::math::complement(chi, false_alarm));
  // Far out the normal approximation is certain, and the series of boost would be long.
  if (parameter > 2000 + 4 * threshold) return 1;
  return boost::math::cdf(
      boost::math::complement(boost::math::non_central_chi_squared(groups - 1, parameter), threshold));
}

double normal_p_value(double z) {
  return 2 * boost::math::cdf(boost::math::complement(boost::math::normal(), std::abs(z)));
}

double binomial_p_value(std::int64_t k, std::int64_t n, double p) {
  boost::math::binomial const law(static_cast<double>(n), p);
  auto const count = static_cast<double>(k);
  double const below = boost::math::cdf(law, count);
  double const above = k == 0 ? 1 : boost::math::cdf(boost::math::complement(law, count - 1));
  return std::min(1.0, 2 * std::min(below, above));
}

::testing::AssertionResult accepts(double p_value, std::string const& what) {
  ++assertions;
  if (p_value >= false_alarm) return ::testing::AssertionSuccess() << "p = " << p_value << " (" << what << ")";
  return ::testing::AssertionFailure() << "p = " << p_value << " < " << false_alarm << " (" << what << ")";
}

::testing::AssertionResult accepts(Fit const& fit) {
  return accepts(fit.p_value, "G = " + std::to_string(fit.statistic) + " on " + std::to_string(fit.freedom) +
                                  " degrees of freedom; " + fit.why);
}

::testing::AssertionResult rejects(Fit const& fit) {
  if (fit.p_value < false_alarm) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "a wrong sampler passes: p = " << fit.p_value << ", G = " << fit.statistic
                                       << " on " << fit.freedom << " degrees of freedom";
}

std::vector<std::int64_t> count_sequences(StateSpace const& space, HostTokens const& tokens) {
  std::vector<std::int64_t> counts(space.size(), 0);
  for (std::size_t b = 0; b < tokens.extent(0); ++b) ++counts[space.index(&tokens(b, 0))];
  return counts;
}

std::vector<double> point_law(StateSpace const& space, std::vector<token_t> const& x) {
  std::vector<double> p(space.size(), 0.0);
  p[space.index(x.data())] = 1;
  return p;
}

Start fixed_start(std::vector<token_t> x) {
  return [x = std::move(x)](ExecSpace const& exec, State const& state) {
    HostTokens const host("start", state.tokens.extent(0), state.tokens.extent(1));
    for (std::size_t b = 0; b < host.extent(0); ++b) std::copy(x.begin(), x.end(), &host(b, 0));
    Kokkos::deep_copy(exec, state.tokens, host);
    exec.fence();
  };
}

std::vector<double> five_percent_off(std::vector<double> law) {
  double sum = 0;
  bool up = true;
  for (double& p : law) {
    if (p == 0) continue;
    p *= up ? 1.05 : 0.95;
    up = !up;
    sum += p;
  }
  for (double& p : law) p /= sum;
  return law;
}

}  // namespace saltus::statistics
