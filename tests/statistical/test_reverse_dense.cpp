// SPDX-License-Identifier: BSD-3-Clause
// Reverse processes of reversible matrices, with the exact scores of a table: rates and laws against Bayes' rule by
// enumeration, samples against the methods' own laws, and the order in which these laws approach the exact one.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include <gtest/gtest.h>
#include <boost/math/distributions/poisson.hpp>

#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>
#include "reference/harness.hpp"
#include "reference/stored_scores.hpp"
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace statistics;
using Law = std::vector<double>;

struct Setting {
  Generator generator;
  int length;
  NoiseSchedule noise;
  double strength = 3;

  std::string describe() const {
    return generator.name() + " " + std::to_string(generator.states()) + ", " + std::to_string(length) + " sites, " +
           noise.describe();
  }
  TableLaw law() const { return TableLaw::neighbours(length, generator.states(), strength); }
  StateSpace space() const { return {generator.states(), length}; }
  Law data() const { return law().probabilities(); }
  Process process() const { return Process::reverse(generator, noise, law().denoiser(generator)); }
  Law at(double t) const { return forward_law(space(), data(), generator, noise, t); }
};

// Noise such that little is left at the end, and a time well inside.
std::vector<Setting> settings() {
  return {{Generator::gaussian_target(3, 1.5, 1.2), 2, NoiseSchedule::constant(1, 2)},
          {Generator::gaussian_target(5, 1.5, 1.5), 2, NoiseSchedule::exponential(10, 0.2)},
          {Generator::path(4), 2, NoiseSchedule::cosine()}};
}
TimeGrid grid_of(Setting const& s, int steps) {
  return TimeGrid::uniform(0.8 * s.noise.end(), 0.2 * s.noise.end(), steps);
}

constexpr char const* methods[] = {"euler", "exponential", "tweedie", "tau_leaping:rule=first",
                                   "tau_leaping:rule=reject"};

double largest_difference(Law const& a, Law const& b) {
  EXPECT_EQ(a.size(), b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

// ----------------------------------------------------------------------------------------------- rates, one by one

// R(x; y) = sigma Q(y, x) p_t(x with y)/p_t(x), with p_t summed up from its definition.
TEST(ReverseDense, RatesAreBayesRule) {
  for (auto const& s : settings()) {
    SCOPED_TRACE(s.describe());
    double const t = 0.6 * s.noise.end(), h = 1e-3;
    auto const space = s.space();
    auto const n = static_cast<std::size_t>(s.generator.states()), length = static_cast<std::size_t>(s.length);
    Law const p0 = s.data(), kernel = s.generator.transition_matrix(s.noise.total(t));
    Law p(space.size(), 0.0);
    for (std::size_t i = 0; i < p.size(); ++i) {
      auto const x = space.tokens(i);
      for (std::size_t j = 0; j < p.size(); ++j) {
        auto const clean = space.tokens(j);
        double term = p0[j];
        for (std::size_t l = 0; l < length; ++l)
          term *= kernel[static_cast<std::size_t>(clean[l]) * n + static_cast<std::size_t>(x[l])];
        p[i] += term;
      }
    }
    reference::Rows rows;
    for (std::size_t i = 0; i < p.size(); ++i) rows.push_back(space.tokens(i));
    Process process = s.process();
    auto const euler = make_integrator("euler");
    StepTable const table(ExecSpace(), process, TimeGrid::from_points({t, t - h}));
    auto const laws = reference::site_laws(process, *euler, reference::to_state(rows, t), table);
    for (std::size_t i = 0; i < p.size(); ++i) {
      for (std::size_t l = 0; l < length; ++l) {
        auto x = rows[i];
        token_t const own = x[l];
        double leave = 0;
        for (token_t y = 0; y < s.generator.states(); ++y) {
          if (y == own) continue;
          x[l] = y;
          double const rate = s.noise.rate(t) * s.generator.rate(y, own) * p[space.index(x.data())] / p[i];
          leave += rate;
          EXPECT_NEAR(laws[i][l][static_cast<std::size_t>(y)] / h, rate, 1e-10 * std::max(1.0, rate))
              << i << " " << l << " " << y;
        }
        EXPECT_NEAR(1 - laws[i][l][static_cast<std::size_t>(own)], h * leave, 1e-13);
      }
    }
    // p_t R_t = - dp_t/dt: one small step back is one small step of time (A§13.15)
    Law const back = push_law(ExecSpace(), process, *euler, space, p, table.step(0)), earlier = s.at(t - h);
    Law const now = p;
    double const moved = largest_difference(earlier, now);
    EXPECT_GT(moved, 1e-6);
    EXPECT_LT(largest_difference(back, earlier), 0.02 * moved);
  }
}

// A law that looks at the site itself says the same (pI(k) proportional to pL(k) P(k, own)).
TEST(ReverseDense, LeaveInLawsGiveTheSameRates) {
  auto const g = Generator::gaussian_target(4, 1.5, 1.5);
  NoiseSchedule const noise = NoiseSchedule::constant(1, 2);
  double const t = 0.7;
  Law const law{0.1, 0.25, 0.6, 0.05}, kernel = g.transition_matrix(t);
  auto const table_of = [&](Process const& process) {
    return StepTable(ExecSpace(), process, TimeGrid::from_points({t, 0.5}));
  };
  for (token_t own = 0; own < 4; ++own) {
    Law inside = law;
    double sum = 0;
    for (std::size_t k = 0; k < 4; ++k) sum += inside[k] *= kernel[k * 4 + static_cast<std::size_t>(own)];
    for (double& p : inside) p /= sum;
    Law logarithms;
    auto const make = [&](ScoreKind kind, Law const& row) {
      return Process::reverse(
          g, noise, std::make_shared<reference::StoredScores<double>>(kind, std::nullopt, std::vector<Law>{row}));
    };
    Process out = make(ScoreKind::x0_leave_one_out, law), in = make(ScoreKind::x0_leave_in, inside);
    for (char const* const method : {"euler", "tweedie"}) {
      auto const integrator = make_integrator(method);
      auto const a = reference::site_laws(out, *integrator, reference::to_state({{own}}, t), table_of(out))[0][0];
      auto const b = reference::site_laws(in, *integrator, reference::to_state({{own}}, t), table_of(in))[0][0];
      EXPECT_LT(largest_difference(a, b), 1e-14) << method << own;
    }
  }
}

// -------------------------------------------------------------------------------------------------- laws and samples

TEST(ReverseDense, SamplesFollowTheLawOfTheMethod) {
  std::uint64_t seed = 1000;
  for (auto const& s : settings()) {
    for (char const* const method : methods) {
      SCOPED_TRACE(s.describe() + ", " + method);
      auto const integrator = make_integrator(method);
      Process process = s.process();
      std::vector<token_t> const start{0, 2};
      // so short that the rates on the way still show at its end
      TimeGrid const grid = TimeGrid::uniform(0.4 * s.noise.end(), 0.25 * s.noise.end(), 3);
      auto const law_of = [&](double phi) {
        return output_law(ExecSpace(), process, *integrator, s.space(), point_law(s.space(), start), grid, false,
                          Law(3, phi));
      };
      auto const law = law_of(1), wrong = law_of(1.05);
      SamplePlan const plan{.grid = grid,
                            .seed = ++seed,
                            .samples = 300'000,
                            .length = s.length,
                            .batch = 20'000,
                            .start = fixed_start(start)};
      auto const counts = count_sequences(s.space(), sample(ExecSpace(), process, *integrator, plan));
      EXPECT_TRUE(accepts(g_test(counts, law)));
      EXPECT_GT(power(law, wrong, 300'000), 1 - missed_alarm);
      EXPECT_TRUE(rejects(g_test(counts, wrong)));
    }
  }
}

// The prior is the stationary law, site by site.
TEST(ReverseDense, RunsStartFromTheStationaryLaw) {
  auto const g = Generator::gaussian_target(5, 1.5, 1.2);
  ProductLaw const law(2, 5, {0.1, 0.2, 0.3, 0.2, 0.2, 0.6, 0.1, 0.1, 0.1, 0.1});
  Process process = Process::reverse(g, NoiseSchedule::constant(1, 2), law.denoiser(g));
  State const state{Tokens("test::tokens", 200'000, 2), Times("test::time", 200'000), {}, 0};
  draw_prior(ExecSpace(), process, state, 1100);
  Kokkos::fence();
  auto const tokens = Kokkos::create_mirror_view_and_copy(HostSpace(), state.tokens);
  double norm = 0;
  Law pi;
  for (int i = 0; i < 5; ++i) norm += pi.emplace_back(std::exp(-(i - 1.5) * (i - 1.5) / (2 * 1.2 * 1.2)));
  Law both;
  for (double const p : pi) {
    for (double const q : pi) both.push_back(p * q / (norm * norm));
  }
  auto const counts = count_sequences(StateSpace(5, 2), tokens);
  EXPECT_TRUE(accepts(g_test(counts, both)));
  ASSERT_GT(power(both, five_percent_off(both), 200'000), 1 - missed_alarm);
  EXPECT_TRUE(rejects(g_test(counts, five_percent_off(both))));
}

// A§13.9: sites that are independent need no small steps; Euler does.
TEST(ReverseDense, TweedieIsExactForProductLaws) {
  for (auto const& g : {Generator::gaussian_target(5, 1.5, 1.5), Generator::path(5)}) {
    SCOPED_TRACE(g.name());
    ProductLaw const law(2, 5, {0.1, 0.2, 0.3, 0.25, 0.15, 0.6, 0.1, 0.05, 0.2, 0.05});
    StateSpace const space(5, 2);
    NoiseSchedule const noise = NoiseSchedule::exponential(10, 0.3);
    Law const p0 = enumerate(law), from = forward_law(space, p0, g, noise, 0.9),
              to = forward_law(space, p0, g, noise, 0.1);
    Process process = Process::reverse(g, noise, law.denoiser(g));
    for (int const steps : {1, 2, 7}) {
      auto const out = output_law(ExecSpace(), process, *make_integrator("tweedie"), space, from,
                                  TimeGrid::uniform(0.9, 0.1, steps));
      EXPECT_LT(largest_difference(out, to), 1e-12) << steps;
    }
    auto const euler =
        output_law(ExecSpace(), process, *make_integrator("euler"), space, from, TimeGrid::uniform(0.9, 0.1, 7));
    EXPECT_GT(largest_difference(euler, to), 1e-4);
    // down to no noise at all
    auto const data =
        output_law(ExecSpace(), process, *make_integrator("tweedie"), space, from, TimeGrid::uniform(0.9, 0, 3));
    EXPECT_LT(largest_difference(data, p0), 1e-12);
  }
}

// Where sites depend on each other the error of each of them halves with the step.
TEST(ReverseDense, ConvergesInFirstOrder) {
  for (auto const& s : settings()) {
    Law const from = s.at(grid_of(s, 1).point(0)), to = s.at(grid_of(s, 1).point(1));
    for (char const* const method : methods) {
      SCOPED_TRACE(s.describe() + ", " + method);
      auto const error = [&](int steps) {
        Process process = s.process();
        return total_variation(
            output_law(ExecSpace(), process, *make_integrator(method), s.space(), from, grid_of(s, steps)), to);
      };
      double const coarse = error(128), fine = error(256);
      EXPECT_GT(fine, 1e-7);
      EXPECT_NEAR(std::log2(coarse / fine), 1, 0.12) << coarse << " " << fine;
    }
    // from one state: the exact law is that of Bayes' rule
    std::vector<token_t> const x{1, 2};
    Law const start = point_law(s.space(), x);
    Law const exact = reverse_step(s.space(), s.data(), s.generator, s.noise,
                                   {grid_of(s, 1).point(0), grid_of(s, 1).point(1)}, start);
    Process process = s.process();
    auto const tweedie =
        output_law(ExecSpace(), process, *make_integrator("tweedie"), s.space(), start, grid_of(s, 512));
    EXPECT_LT(total_variation(tweedie, exact), 5e-3);
  }
}

// ---------------------------------------------------------------------------------------------- ordinal tau-leaping

// One site: x + the sum of n_y (y - x), n_y ~ Pois(h R(x; y)), cut off at the ends.
Law leap_row(std::size_t n, std::size_t x, std::function<double(std::size_t)> const& mean) {
  constexpr std::ptrdiff_t reach = 200;
  Law by(2 * reach + 1, 0.0);
  by[reach] = 1;
  for (std::size_t y = 0; y < n; ++y) {
    if (y == x || !(mean(y) > 0)) continue;
    boost::math::poisson const count(mean(y));
    Law pmf, next(by.size(), 0.0);
    for (int k = 0; k < 40; ++k) pmf.push_back(boost::math::pdf(count, k));
    for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(by.size()); ++i) {
      if (by[static_cast<std::size_t>(i)] == 0) continue;
      for (int k = 0; k < 40; ++k) {
        std::ptrdiff_t const to = i + k * (static_cast<std::ptrdiff_t>(y) - static_cast<std::ptrdiff_t>(x));
        if (to >= 0 && to <= 2 * reach)
          next[static_cast<std::size_t>(to)] += by[static_cast<std::size_t>(i)] * pmf[static_cast<std::size_t>(k)];
      }
    }
    by = next;
  }
  Law out(n, 0.0);
  for (std::ptrdiff_t i = 0; i <= 2 * reach; ++i) {
    out[static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(x) + i - reach, 0,
                                                            static_cast<std::ptrdiff_t>(n) - 1))] +=
        by[static_cast<std::size_t>(i)];
  }
  return out;
}

TEST(ReverseDense, OrdinalTauLeapingConvergesToTheExactLaw) {
  auto const g = Generator::gaussian_target(5, 1.5, 1.5);
  NoiseSchedule const noise = NoiseSchedule::exponential(10, 0.2);
  Law const p0{0.5, 0.05, 0.05, 0.1, 0.3};
  StateSpace const space(5, 1);
  double const from = 0.8, to = 0.2;
  auto const p = [&](double t) { return forward_law(space, p0, g, noise, t); };
  Law const exact = reverse_step(space, p0, g, noise, {from, to}, point_law(space, {1}));
  auto const law_of = [&](int steps, double speed) {
    Law law = point_law(space, {1});
    double const h = (from - to) / steps;
    for (int k = 0; k < steps; ++k) {
      double const t = from - k * h;
      Law const now = p(t);
      Law next(5, 0.0);
      for (std::size_t x = 0; x < 5; ++x) {
        Law const row = leap_row(5, x, [&](std::size_t y) {
          return speed * h * noise.rate(t) * g.rate(static_cast<token_t>(y), static_cast<token_t>(x)) * now[y] / now[x];
        });
        for (std::size_t y = 0; y < 5; ++y) next[y] += law[x] * row[y];
      }
      law = next;
    }
    return law;
  };
  Process process = Process::reverse(g, noise, TableLaw(1, 5, p0).denoiser(g));
  auto const ordinal = make_integrator("tau_leaping:rule=ordinal");
  for (int const steps : {1, 6}) {
    SamplePlan const plan{.grid = TimeGrid::uniform(from, to, steps),
                          .seed = 1200 + static_cast<std::uint64_t>(steps),
                          .samples = 400'000,
                          .length = 1,
                          .batch = 50'000,
                          .start = fixed_start({1})};
    auto const counts = count_sequences(space, sample(ExecSpace(), process, *ordinal, plan));
    auto const law = law_of(steps, 1), wrong = law_of(steps, 1.05);
    EXPECT_TRUE(accepts(g_test(counts, law))) << steps;
    ASSERT_GT(power(law, wrong, 400'000), 1 - missed_alarm);
    EXPECT_TRUE(rejects(g_test(counts, wrong)));
  }
  // that law, and so the samples, come to the exact one in first order
  double const coarse = total_variation(law_of(64, 1), exact), fine = total_variation(law_of(128, 1), exact);
  EXPECT_NEAR(std::log2(coarse / fine), 1, 0.15) << coarse << " " << fine;
}

}  // namespace
}  // namespace saltus
