// SPDX-License-Identifier: BSD-3-Clause
// Truncated races of published code (A§5.1): the closed form and its table, and that the sampler races so.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/integrators/site_law.hpp>

#include "reference/harness.hpp"
#include "reference/stored_scores.hpp"
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace statistics;
using Reals = std::vector<long double>;

// Zipf's law as in A§5.1, ranks from 0.
Reals zipf(int n) {
  Reals p;
  for (int r = 0; r < n; ++r) p.push_back(std::pow(r + 2.7L, -1.1L));
  long double const sum = std::accumulate(p.begin(), p.end(), 0.0L);
  for (long double& x : p) x /= sum;
  return p;
}

// P(i wins) where each races with time (eps + Exp(1)) / p_i: the closed form of A§5.1, p sorted increasing.
Reals truncated_race(Reals const& p, long double eps) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](auto i, auto j) { return p[i] < p[j]; });
  Reals tail(p.size() + 1, 0), law(p.size(), 0);
  for (std::size_t i = p.size(); i-- > 0;) tail[i] = tail[i + 1] + p[order[i]];
  long double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    long double const shift = static_cast<long double>(p.size() - i) * eps, a = tail[i];
    long double const upper = std::exp(shift - a * eps / p[order[i]]);
    long double const lower = i == 0 ? 0 : std::exp(shift - a * eps / p[order[i - 1]]);
    sum += (upper - lower) / a;
    law[order[i]] = p[order[i]] * sum;
  }
  return law;
}

// Tokens with the share f of the mass, and the mask with the rest.
Reals with_mask(Reals p, long double f) {
  for (long double& x : p) x *= f;
  if (f < 1) p.push_back(1 - f);
  return p;
}

struct Effect {
  double entropy, factor;  // of the accepted token; realised over nominal probability to unmask
};
Effect effect(Reals const& p, long double f, long double eps) {
  Reals law = truncated_race(with_mask(p, f), eps);
  EXPECT_NEAR(static_cast<double>(std::accumulate(law.begin(), law.end(), 0.0L)), 1, 1e-9);
  law.resize(p.size());
  long double const unmask = std::accumulate(law.begin(), law.end(), 0.0L);
  long double h = 0;
  for (long double const x : law) h -= x > 0 ? x / unmask * std::log(x / unmask) : 0;
  return {static_cast<double>(h), static_cast<double>(unmask / f)};
}

TEST(Races, TheClosedFormGivesTheTableOfTheReference) {
  Reals const p = zipf(50257);
  struct Row {
    long double eps;
    Effect cells[4];
  };
  Row const rows[] = {{std::ldexp(1.0L, -53), {{7.253, 1}, {7.253, 1}, {7.253, 1}, {7.253, 1}}},
                      {std::ldexp(1.0L, -24), {{7.237, 1}, {7.134, 0.981}, {6.617, 0.895}, {5.396, 0.698}}},
                      {1e-6L, {{7.025, 1}, {6.317, 0.864}, {5.375, 0.697}, {3.952, 0.442}}}};
  for (Row const& row : rows) {
    long double const shares[] = {1, 1 / 8.0L, 1 / 64.0L, 1 / 1024.0L};
    for (int i = 0; i < 4; ++i) {
      Effect const e = effect(p, shares[i], row.eps);
      EXPECT_NEAR(e.entropy, row.cells[i].entropy, 6e-4) << static_cast<double>(row.eps) << ", column " << i;
      EXPECT_NEAR(e.factor, row.cells[i].factor, 6e-4) << static_cast<double>(row.eps) << ", column " << i;
    }
  }
}

// The closed form itself against its integral, on a small law.
TEST(Races, TheClosedFormIsTheIntegral) {
  Reals const p{0.55L, 0.3L, 0.1L, 0.05L};
  long double const eps = 0.07L;
  Reals const law = truncated_race(p, eps);
  for (std::size_t i = 0; i < p.size(); ++i) {
    long double sum = 0;
    int const steps = 400'000;
    long double const start = eps / p[i], width = 60.0L / steps;
    for (int k = 0; k < steps; ++k) {
      long double const u = start + (k + 0.5L) * width;
      long double exponent = 0;
      for (long double const q : p) exponent -= std::max(0.0L, q * u - eps);
      sum += p[i] * std::exp(exponent) * width;
    }
    EXPECT_NEAR(static_cast<double>(law[i]), static_cast<double>(sum), 1e-7);
  }
}

// Times are eps + Exp(1), with eps = 2^-24 or 1e-6, down to the resolution of the 32 bits that make them.
TEST(Races, TimesHaveTheTruncatedLaw) {
  for (Categorical const c : {Categorical::gumbel32, Categorical::gumbel_eps}) {
    double const eps = c == Categorical::gumbel32 ? 0x1p-24 : 1e-6;
    // gumbel_eps mixes eps into the uniform, so that times have an upper end, -ln eps, as well
    long double const mixed = c == Categorical::gumbel32 ? 0 : 1e-6L;
    double const shortest = race_time(c, 0xFFFFFFFFu);
    EXPECT_GE(shortest, eps * (1 - 1e-7));
    EXPECT_LT(shortest, eps + 0x1p-32);
    for (double const x : {0.5, 2.0, 10.0, 1e3, 1e6, 1e7}) {
      double const time = eps * (1 + x);
      // times fall as bits rise: count those below
      std::uint64_t low = 0, high = std::uint64_t{1} << 32;
      while (low < high) {
        std::uint64_t const middle = (low + high) / 2;
        if (race_time(c, static_cast<std::uint32_t>(middle)) < time) {
          high = middle;
        } else {
          low = middle + 1;
        }
      }
      double const below = static_cast<double>((std::uint64_t{1} << 32) - low) * 0x1p-32;
      long double const survival = (std::exp(-static_cast<long double>(eps) * x) - mixed) / (1 - mixed);
      EXPECT_NEAR(below, static_cast<double>(1 - survival), 0x1p-31) << "x = " << x;
    }
  }
}

// One site of a large vocabulary, a step of probability 1/10 to unmask.
TEST(Races, TheSamplerUnmasksLessWithThemAndNotWithout) {
  constexpr int tokens = 20'000, samples = 16'000;
  constexpr double f = 0.1;
  Reals const p = zipf(tokens);
  std::vector<double> row(p.begin(), p.end());
  row.push_back(0);
  Process process = Process::reverse(Generator::absorbing(tokens + 1), NoiseSchedule::log_linear(),
                                     std::make_shared<reference::StoredScores<double>>(
                                         ScoreKind::x0_leave_in, token_t{tokens}, std::vector<std::vector<double>>{row}));
  auto const unmasked = [&](std::string const& method, int n) {
    auto const integrator = make_integrator(method);
    SamplePlan const plan{.grid = TimeGrid::from_points({0.5, 0.5 * (1 - f)}),
                          .seed = 8,
                          .samples = static_cast<std::size_t>(n),
                          .length = 1};
    HostTokens const x = sample(ExecSpace(), process, *integrator, plan);
    return n - std::count(x.data(), x.data() + x.size(), token_t{tokens});
  };
  double const less = f * effect(p, f, 1e-6L).factor;
  EXPECT_LT(less, 0.93 * f);
  std::int64_t const raced = unmasked("tweedie:categorical=gumbel_eps", samples);
  EXPECT_TRUE(accepts(binomial_p_value(raced, samples, less)));
  EXPECT_LT(binomial_p_value(raced, samples, f), 1e-4) << "the effect does not show";
  std::int64_t const exact = unmasked("tweedie", 200'000);
  EXPECT_TRUE(accepts(binomial_p_value(exact, 200'000, f)));
  EXPECT_LT(binomial_p_value(exact, 200'000, 0.95 * f), false_alarm);
}

}  // namespace
}  // namespace saltus
