// SPDX-License-Identifier: BSD-3-Clause
// Event-driven methods of reverse processes beyond what test_registry.cpp runs: scores that are not normalised, bounds
// other than the exact one, and first_hitting's groups.
#include <cmath>
#include <memory>

#include <gtest/gtest.h>

#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>
#include "reference/scaled_scores.hpp"
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace statistics;

constexpr int length = 2, data_states = 3;
constexpr std::size_t samples = 300'000;
std::vector<double> const clean{0.85, 0.1, 0.05};
auto const noise = NoiseSchedule::constant(1, 3);  // sigma_bar is the time
Interval const interval{2.1, 0.3};

struct Setting {
  bool masked;
  Generator generator() const {
    return masked ? Generator::absorbing(data_states + 1) : Generator::uniform(data_states);
  }
  StateSpace space() const { return {generator().states(), length}; }
  std::vector<token_t> start() const {
    return masked ? std::vector<token_t>(length, data_states) : std::vector<token_t>{1, 2};
  }
  std::vector<double> data() const {
    std::vector<double> p;
    for (int l = 0; l < length; ++l) p.insert(p.end(), clean.begin(), clean.end());
    return space().embed(enumerate(ProductLaw(length, data_states, p)), generator());
  }
  /// The law at the end when all rates are `factor` times those of the process: integrated from its generator, site by
  /// site and with Runge and Kutta's method, R(x, y) = factor Q(y, x) p_t(y)/p_t(x) (A§1).
  std::vector<double> law(double factor) const {
    StateSpace const states = space();
    Generator const q = generator();
    auto const slope = [&](double t, std::vector<double> const& law) {
      auto const p = forward_law(states, data(), q, noise, t);
      std::vector<double> out(law.size(), 0.0);
      for (std::size_t i = 0; i < law.size(); ++i) {
        if (law[i] == 0) continue;
        auto y = states.tokens(i);
        for (auto& token : y) {
          token_t const own = token;
          for (token = 0; token < q.states(); ++token) {
            if (token == own) continue;
            std::size_t const j = states.index(y.data());
            double const flow = law[i] * factor * q.rate(token, own) * p[j] / p[i];
            out[i] -= flow;
            out[j] += flow;
          }
          token = own;
        }
      }
      return out;
    };
    auto const moved = [](std::vector<double> x, std::vector<double> const& by, double h) {
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += h * by[i];
      return x;
    };
    int const steps = 300;
    double const h = (interval.from - interval.to) / steps;
    auto out = point_law(states, start());
    for (int k = 0; k < steps; ++k) {
      double const t = interval.from - k * h;
      auto const a = slope(t, out), b = slope(t - h / 2, moved(out, a, h / 2)),
                 c = slope(t - h / 2, moved(out, b, h / 2)), d = slope(t - h, moved(out, c, h));
      out = moved(moved(moved(moved(out, a, h / 6), b, h / 3), c, h / 3), d, h / 6);
    }
    return out;
  }
  std::vector<std::int64_t> sampled(std::string const& method, double factor, std::uint64_t seed,
                                    SampleReport* report = nullptr) const {
    Process process =
        Process::reverse(generator(), noise, std::make_shared<reference::ScaledScores>(generator(), clean, factor));
    SamplePlan const plan{.grid = TimeGrid::from_points({interval.from, 1, interval.to}),
                          .seed = seed,
                          .samples = samples,
                          .length = length,
                          .batch = 50'000,
                          .start = fixed_start(start())};
    return count_sequences(space(), sample(ExecSpace(), process, *make_integrator(method, process), plan, report));
  }
};

TEST(Bounds, TheIntegratedLawIsTheExactOne) {
  for (bool const masked : {true, false}) {
    Setting const s{masked};
    auto const exact =
        reverse_step(s.space(), s.data(), s.generator(), noise, interval, point_law(s.space(), s.start()));
    EXPECT_LT(total_variation(s.law(1), exact), 1e-9) << masked;
  }
}

// Rates 1.5 times as large, under bounds that hold: any of them gives the law of that process.
TEST(Bounds, ThinningFollowsTheRatesOfTheScores) {
  std::uint64_t seed = 500;
  for (bool const masked : {true, false}) {
    Setting const s{masked};
    auto const law = s.law(1), faster = s.law(1.5);
    ASSERT_GT(power(faster, law, samples), 1 - missed_alarm);
    for (std::string const method : {"thinning", "uniformization"}) {
      if (masked && method == "uniformization") continue;
      SCOPED_TRACE(method + (masked ? ", masked" : ", uniform"));
      SampleReport report;
      auto const exact = s.sampled(method + ":bound=1.3,policy=error", 1, ++seed);
      EXPECT_TRUE(accepts(g_test(exact, law)));
      EXPECT_TRUE(rejects(g_test(exact, five_percent_off(law))));
      auto const scaled = s.sampled(method + ":bound=1.6", 1.5, ++seed, &report);
      EXPECT_TRUE(accepts(g_test(scaled, faster)));
      EXPECT_TRUE(rejects(g_test(scaled, law)));
      EXPECT_EQ(report.violations, 0);
      if (masked) {  // the candidates of a site are a Poisson process until the first that happens: 1.6/1.5 a reveal
        EXPECT_GT(report.evaluations * samples, 1.05 * static_cast<double>(report.jumps));
      }
      // cut off at the bound of exact scores it is another law, between the two
      EXPECT_TRUE(rejects(g_test(s.sampled(method, 1.5, ++seed, &report), faster)));
      EXPECT_GT(report.violations, 0);
    }
    // With masks, cut off, it is the process of exact scores: every candidate happens.
    if (masked) {
      EXPECT_TRUE(accepts(g_test(s.sampled("thinning", 1.5, ++seed), law)));
    }
  }
}

// ------------------------------------------------------------------------------------------------- first_hitting:calls

std::vector<std::int64_t> generated(SequenceLaw const& law, std::string const& method, std::uint64_t seed) {
  Generator const generator = Generator::absorbing(law.states() + 1);
  Process process = Process::reverse(generator, NoiseSchedule::cosine(), law.denoiser(generator));
  auto const integrator = make_integrator(method);
  SamplePlan plan = make_plan(process, *integrator, 1, law.length());
  plan.seed = seed;
  plan.samples = samples;
  plan.batch = 50'000;
  return count_sequences(StateSpace(law.states(), law.length()), sample(ExecSpace(), process, *integrator, plan));
}

// Sites do not depend on each other: one evaluation for all is as good as one for each.
TEST(FirstHitting, OneCallIsExactOnProducts) {
  ProductLaw const law(3, 3, {0.5, 0.3, 0.2, 0.1, 0.15, 0.75, 0.25, 0.35, 0.4});
  auto const counts = generated(law, "first_hitting:calls=1", 520);
  EXPECT_TRUE(accepts(g_test(counts, enumerate(law))));
  EXPECT_TRUE(rejects(g_test(counts, five_percent_off(enumerate(law)))));
}

// Two sites in one call are independent; three in two calls: any of them first, the others independent given it.
TEST(FirstHitting, CallsFollowTheirOwnLaw) {
  for (int const sites : {2, 3}) {
    TableLaw const law = TableLaw::neighbours(sites, 3, 5);
    StateSpace const space(3, sites);
    auto const p = enumerate(law);
    // sum of p over the sequences that agree with x at the sites of `set`
    auto const mass = [&](std::size_t i, unsigned set) {
      double sum = 0;
      auto const x = space.tokens(i);
      for (std::size_t j = 0; j < p.size(); ++j) {
        auto const y = space.tokens(j);
        bool agree = true;
        for (std::size_t l = 0; l < x.size(); ++l) agree = agree && (!(set >> l & 1) || x[l] == y[l]);
        if (agree) sum += p[j];
      }
      return sum;
    };
    std::vector<double> expected(p.size(), 0.0);
    for (std::size_t i = 0; i < p.size(); ++i) {
      if (sites == 2) {
        expected[i] = mass(i, 1) * mass(i, 2);
        continue;
      }
      for (unsigned const first : {1u, 2u, 4u}) {
        double product = mass(i, first) / 3;
        for (unsigned const other : {1u, 2u, 4u}) {
          if (other != first) product *= mass(i, first | other) / mass(i, first);
        }
        expected[i] += product;
      }
    }
    ASSERT_GT(power(expected, p, samples), 1 - missed_alarm) << sites;
    auto const counts = generated(law, "first_hitting:calls=" + std::to_string(sites - 1), 530);
    EXPECT_TRUE(accepts(g_test(counts, expected))) << sites;
    EXPECT_TRUE(rejects(g_test(counts, p))) << sites;
    EXPECT_TRUE(rejects(g_test(counts, five_percent_off(expected)))) << sites;
  }
}

}  // namespace
}  // namespace saltus
