// SPDX-License-Identifier: BSD-3-Clause
// Forward processes of every structure: exact methods against transition matrices and closed forms (A§13), methods with
// fixed steps against their own laws multiplied out by hand, Poisson numbers, holding times, trees and standard errors.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>

#include <gtest/gtest.h>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/poisson.hpp>
#include <boost/math/special_functions/beta.hpp>

#include <saltus/ctmc/parameters.hpp>
#include <saltus/ctmc/poisson.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/simulate.hpp>
#include <saltus/integrators/statistics.hpp>
#include <saltus/integrators/tree.hpp>
#include "reference/brute_force.hpp"
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace statistics;
using Law = std::vector<double>;

// ------------------------------------------------------------------------------------------------------- generators

using Rate = std::function<double(std::size_t, std::size_t)>;

Generator dense(std::string name, std::size_t n, Rate const& rate, bool ordinal = false) {
  std::vector<double> q(n * n, 0.0);
  for (std::size_t x = 0; x < n; ++x) {
    for (std::size_t y = 0; y < n; ++y) {
      if (x != y) q[x * n + y] = rate(x, y), q[x * n + x] -= q[x * n + y];
    }
  }
  return Generator::dense(std::move(name), static_cast<int>(n), q, ordinal);
}
Generator sparse(std::string name, std::size_t n, Rate const& rate) {
  SparseRates rates;
  rates.row_begin.push_back(0);
  for (std::size_t x = 0; x < n; ++x) {
    for (std::size_t y = 0; y < n; ++y) {
      if (x == y || rate(x, y) == 0) continue;
      rates.column.push_back(static_cast<token_t>(y));
      rates.rate.push_back(rate(x, y));
    }
    rates.row_begin.push_back(static_cast<std::int64_t>(rates.column.size()));
  }
  return Generator::sparse(std::move(name), rates);
}

Generator hky85() {
  static double const pi[] = {0.1, 0.2, 0.3, 0.4};
  return dense("hky85", 4, [](auto x, auto y) { return pi[y] * (x % 2 == y % 2 ? 5.0 : 1.5); });
}
Generator cyclic(double speed = 1) {
  return dense("cyclic", 4, [=](auto x, auto y) {
    return speed * (y == (x + 1) % 4 ? 1 + 0.3 * static_cast<double>(x) : (y == (x + 2) % 4 ? 0.2 : 0));
  });
}
// Five states that lead to one another and a sixth that nothing leaves.
Generator leaking() {
  return sparse("leaking", 6, [](std::size_t x, std::size_t y) -> double {
    if (x == 5) return 0;
    if (y == 5) return x % 2 == 0 ? 0.2 : 0;
    return y == (x + 1) % 5 ? 1 : (y == (3 * x + 1) % 5 ? 0.6 : 0);
  });
}
std::vector<Generator> structures() {
  return {hky85(), cyclic(), leaking(), Generator::path(5), Generator::gaussian_target(5, 1.5, 1.2)};
}

// exp(total Q), from the rates alone.
Law transition(Generator const& g, double total) {
  auto const n = static_cast<std::size_t>(g.states());
  reference::Reals q(n * n);
  for (std::size_t i = 0; i < n * n; ++i) {
    q[i] = static_cast<long double>(total) * g.rate(static_cast<token_t>(i / n), static_cast<token_t>(i % n));
  }
  auto const p = reference::exponential_of(q, n);
  Law out(n * n);
  for (std::size_t i = 0; i < n * n; ++i) out[i] = p[i] < 1e-17L ? 0 : static_cast<double>(p[i]);
  return out;
}
Law row_of(Law const& matrix, std::size_t n, token_t x) {
  auto const begin = matrix.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(x) * n);
  return {begin, begin + static_cast<std::ptrdiff_t>(n)};
}
Law multiply(Law const& a, Law const& b, std::size_t n) {
  Law c(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < n; ++k) {
      for (std::size_t j = 0; j < n; ++j) c[i * n + j] += a[i * n + k] * b[k * n + j];
    }
  }
  return c;
}
// The joint law of independent things, the first most significant.
Law product(std::vector<Law> const& laws) {
  Law out{1};
  for (auto const& law : laws) {
    Law longer;
    for (double const p : out) {
      for (double const q : law) longer.push_back(p * q);
    }
    out = std::move(longer);
  }
  return out;
}

// How often every combination of tokens occurs: the times are the most significant digits, then the sites. States
// beyond `cells` count as the last.
std::vector<std::int64_t> counts_of(Process& process, Integrator& integrator, SimulationPlan const& plan,
                                    std::size_t cells, SampleReport* report = nullptr) {
  std::size_t size = 1;
  for (std::size_t i = 0; i < plan.times.size() * static_cast<std::size_t>(plan.length); ++i) size *= cells;
  std::vector<std::int64_t> counts(size, 0);
  auto const done = simulate(ExecSpace(), process, integrator, plan, [&](Sight const& sight) {
    for (std::size_t b = 0; b < sight.rows; ++b) {
      std::size_t index = 0;
      for (std::size_t i = 0; i < sight.tokens.extent(0); ++i) {
        for (std::size_t l = 0; l < sight.tokens.extent(2); ++l) {
          index = index * cells + std::min(static_cast<std::size_t>(sight.tokens(i, b, l)), cells - 1);
        }
      }
      ++counts[index];
    }
  });
  if (report) *report = done;
  return counts;
}

// Accepts the law, and rejects the wrong one as often as it must.
void hold(std::vector<std::int64_t> const& counts, Law const& law, Law const& wrong) {
  EXPECT_TRUE(accepts(g_test(counts, law)));
  auto const n = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  EXPECT_GT(power(law, wrong, n), 1 - missed_alarm);
  EXPECT_TRUE(rejects(g_test(counts, wrong)));
}

std::unique_ptr<Integrator> tau_leaping(std::string const& rule) { return make_integrator("tau_leaping:rule=" + rule); }

// ----------------------------------------------------------------------------------------------------- exact methods

constexpr char const* exact_methods[] = {"gillespie", "uniformization", "tweedie"};

// Noise that changes in time, and sites with rates of their own, one of which stands still.
TEST(Forward, SitesWithRatesOfTheirOwn) {
  NoiseSchedule const noise = NoiseSchedule::cosine();
  auto const alpha = [](double t) { return 1e-3 + (1 - 1e-3) * std::cos(std::acos(-1.0) * t / 2); };
  double const total = std::log(alpha(0.1) / alpha(0.7));
  SiteRates const rates{{0, 0.6, 1.7}, {1, 0, 2}};
  std::uint64_t seed = 100;
  auto all = structures();
  all.push_back(Generator::uniform(4));
  all.push_back(Generator::absorbing(4));
  for (auto const& g : all) {
    auto const n = static_cast<std::size_t>(g.states());
    auto const law_at = [&](double t) {
      return product(
          {row_of(transition(g, 0.6 * t), n, 0), row_of(transition(g, 0), n, 2), row_of(transition(g, 1.7 * t), n, 1)});
    };
    for (char const* const method : exact_methods) {
      SCOPED_TRACE(g.name() + ", " + method);
      Process process = Process::forward(g, noise, rates);
      SimulationPlan const plan{.from = 0.1,
                                .times = {0.7},
                                .seed = ++seed,
                                .samples = 400'000,
                                .length = 3,
                                .batch = 50'000,
                                .start = start_from_rows({0, 2, 1}, 3)};
      hold(counts_of(process, *make_integrator(method), plan, n), law_at(total), law_at(1.05 * total));
    }
  }
}

// Two looks at one path.
TEST(Forward, TwoTimesOfAPath) {
  std::uint64_t seed = 200;
  for (auto const& g : structures()) {
    auto const n = static_cast<std::size_t>(g.states());
    auto const law_of = [&](double speed) {
      Law const first = row_of(transition(g, 0.35 * speed), n, 1), step = transition(g, 0.5 * speed);
      Law law;
      for (std::size_t a = 0; a < n; ++a) {
        for (std::size_t b = 0; b < n; ++b) law.push_back(first[a] * step[a * n + b]);
      }
      return law;
    };
    for (char const* const method : exact_methods) {
      SCOPED_TRACE(g.name() + ", " + method);
      Process process = Process::forward(g, NoiseSchedule::constant(0.5, 3));
      SimulationPlan const plan{.from = 0.2,
                                .times = {0.9, 1.9},
                                .seed = ++seed,
                                .samples = 400'000,
                                .batch = 100'000,
                                .start = start_from_rows({1}, 1)};
      hold(counts_of(process, *make_integrator(method), plan, n), law_of(1), law_of(1.05));
    }
  }
}

// ------------------------------------------------------------------------------------------------------ populations

// counts of independent sums
Law convolve(Law const& a, Law const& b, std::size_t cells) {
  Law c(cells, 0.0);
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < b.size(); ++j) c[std::min(i + j, cells - 1)] += a[i] * b[j];
  }
  return c;
}
Law normalised(Law law) {
  double const sum = std::accumulate(law.begin(), law.end(), 0.0);
  EXPECT_NEAR(sum, 1, 1e-9);
  for (double& p : law) p /= sum;
  return law;
}
Law binomial(int n, double p) {
  Law law;
  boost::math::binomial const b(n, p);
  for (int k = 0; k <= n; ++k) law.push_back(boost::math::pdf(b, k));
  return law;
}
Law poisson_law(double mean, std::size_t cells) {
  Law law(cells);
  boost::math::poisson const p(mean);
  for (std::size_t k = 0; k + 1 < cells; ++k) law[k] = boost::math::pdf(p, static_cast<double>(k));
  law.back() = boost::math::cdf(boost::math::complement(p, static_cast<double>(cells) - 2));
  return law;
}

// A§13.5: those who were there and have not died, and those who have come and not died. With batches of k, a batch that
// came at time s has Bin(k, e^(-mu (t - s))) left at t: batches that leave j arrive at rate nu/(mu j) P(Beta(j, k - j +
// 1) > e^(-mu t)), which compounds to a law by Panjer's recursion.
Law immigration_death(double nu, double mu, int batch, int start, double t, std::size_t cells) {
  double const kept = std::exp(-mu * t);
  std::vector<double> arrivals(static_cast<std::size_t>(batch) + 1, 0.0);
  double all = 0;
  for (int j = 1; j <= batch; ++j)
    all += arrivals[static_cast<std::size_t>(j)] = nu / (mu * j) * boost::math::ibetac(j, batch - j + 1, kept);
  Law come(cells, 0.0);
  come[0] = std::exp(-all);
  double sum = come[0];
  for (std::size_t n = 1; n + 1 < cells; ++n) {
    for (std::size_t j = 1; j < arrivals.size() && j <= n; ++j)
      come[n] += static_cast<double>(j) / static_cast<double>(n) * arrivals[j] * come[n - j];
    sum += come[n];
  }
  come.back() = std::max(0.0, 1 - sum);
  return normalised(convolve(binomial(start, kept), come, cells));
}

Law linear_birth_death(double lambda, double mu, double t, std::size_t cells) {  // A§13.6
  double const e = std::exp((lambda - mu) * t), p0 = mu * (e - 1) / (lambda * e - mu),
               b = lambda * (e - 1) / (lambda * e - mu);
  Law law{p0};
  for (std::size_t n = 1; n + 1 < cells; ++n)
    law.push_back((1 - p0) * (1 - b) * std::pow(b, static_cast<double>(n) - 1));
  law.push_back((1 - p0) * std::pow(b, static_cast<double>(cells) - 2));
  return normalised(law);
}

std::vector<std::int64_t> population(PopulationRates const& rates, char const* method, token_t start, double t,
                                     std::size_t cells, std::uint64_t seed,
                                     NoiseSchedule const& noise = NoiseSchedule::constant(1, 100)) {
  Process process = Process::forward(Generator::population(rates), noise);
  SimulationPlan const plan{
      .times = {t}, .seed = seed, .samples = 400'000, .batch = 100'000, .start = start_from_rows({start}, 1)};
  return counts_of(process, *make_integrator(method), plan, cells);
}

TEST(Populations, ImmigrationAndDeath) {
  // the closed law against another road to it: a plain Poisson number where batches are single
  Law const closed = immigration_death(3, 0.5, 1, 0, 1.5, 40), plain = poisson_law(6 * -std::expm1(-0.75), 40);
  for (std::size_t i = 0; i < 40; ++i) EXPECT_NEAR(closed[i], plain[i], 1e-13);
  hold(population({.immigration = 3, .death = 0.5}, "gillespie", 7, 1.5, 40, 301),
       immigration_death(3, 0.5, 1, 7, 1.5, 40), immigration_death(3, 0.5 * 1.05, 1, 7, 1.5, 40));
  hold(population({.immigration = 1.2, .death = 2}, "gillespie", 20, 0.4, 40, 302),
       immigration_death(1.2, 2, 1, 20, 0.4, 40), immigration_death(1.2, 2 * 1.03, 1, 20, 0.4, 40));
  // in batches, and under noise whose integral is t^2
  NoiseSchedule const ramp = NoiseSchedule::polynomial(2);  // sigma_bar = -log(1 - t^2)
  double const t = std::sqrt(-std::expm1(-1.1));
  hold(population({.immigration = 0.8, .death = 1, .batch = 5}, "gillespie", 2, t, 60, 303, ramp),
       immigration_death(0.8, 1, 5, 2, 1.1, 60), immigration_death(0.8, 1.05, 5, 2, 1.1, 60));
  hold(population({.immigration = 0.3, .death = 0.2, .batch = 30}, "gillespie", 0, 3, 200, 304),
       immigration_death(0.3, 0.2, 30, 0, 3, 200), immigration_death(0.3, 0.2 * 1.05, 30, 0, 3, 200));
}

TEST(Populations, LinearBirthAndDeath) {
  hold(population({.birth = 1.3, .death = 0.7}, "gillespie", 1, 1.2, 80, 311), linear_birth_death(1.3, 0.7, 1.2, 80),
       linear_birth_death(1.3 * 1.03, 0.7, 1.2, 80));
  hold(population({.birth = 0.5, .death = 1}, "gillespie", 1, 2, 40, 312), linear_birth_death(0.5, 1, 2, 40),
       linear_birth_death(0.5, 1.05, 2, 40));
}

// ------------------------------------------------------------------------------------------------ fixed steps, by hand

// P(leaves) of a site within a step from h x rate x exit, and the targets by their rates.
Law one_site(std::string const& method, Generator const& g, double scale) {
  auto const n = static_cast<std::size_t>(g.states());
  Law m(n * n, 0.0);
  for (std::size_t x = 0; x < n; ++x) {
    double const exit = g.exit_rate(static_cast<token_t>(x)), a = scale * exit;
    double const leave = method == "euler" ? a : (method == "reject" ? a * std::exp(-a) : -std::expm1(-a));
    EXPECT_LE(leave, 1);
    for (std::size_t y = 0; y < n; ++y) {
      if (y != x && exit > 0) m[x * n + y] = leave * g.rate(static_cast<token_t>(x), static_cast<token_t>(y)) / exit;
    }
    m[x * n + x] = 1 - leave;
  }
  return m;
}
std::unique_ptr<Integrator> by_name(std::string const& method) {
  return method == "first" || method == "reject" ? tau_leaping(method) : make_integrator(method);
}

TEST(FixedSteps, OwnLawsMultipliedOutByHand) {
  constexpr int steps = 4;
  double const from = 0.1, h = 0.1, pi = std::acos(-1.0);
  auto const sigma = [&](double t) {
    return pi / 2 * (1 - 1e-3) * std::sin(pi * t / 2) / (1e-3 + (1 - 1e-3) * std::cos(pi * t / 2));
  };
  SiteRates const rates{{0, 0.6, 1.7}, {1, 0, 2}};
  std::uint64_t seed = 400;
  for (auto const& g :
       {cyclic(), leaking(), Generator::gaussian_target(5, 1.5, 1.2), Generator::uniform(4), Generator::absorbing(4)}) {
    auto const n = static_cast<std::size_t>(g.states());
    for (std::string const method : {"euler", "exponential", "first", "reject"}) {
      SCOPED_TRACE(g.name() + ", " + method);
      auto const site = [&](double multiplier) {
        Law m = transition(g, 0);
        for (int k = 0; k < steps; ++k) m = multiply(m, one_site(method, g, multiplier * h * sigma(from + k * h)), n);
        return m;
      };
      auto const law_at = [&](double speed) {
        return product({row_of(site(0.6 * speed), n, 0), row_of(site(0), n, 2), row_of(site(1.7 * speed), n, 1)});
      };
      Process process = Process::forward(g, NoiseSchedule::cosine(), rates);
      auto const integrator = by_name(method);
      SimulationPlan const plan{.from = from,
                                .times = {from + steps * h},
                                .step = h,
                                .seed = ++seed,
                                .samples = 400'000,
                                .length = 3,
                                .batch = 50'000,
                                .start = start_from_rows({0, 2, 1}, 3)};
      hold(counts_of(process, *integrator, plan, n), law_at(1), law_at(1.05));
      // the same that the library says of itself
      StateSpace const space(g.states(), 3);
      auto const own = output_law(ExecSpace(), process, *integrator, space, point_law(space, {0, 2, 1}),
                                  simulation_grid(from, plan.times, h));
      Law const hand = law_at(1);
      for (std::size_t i = 0; i < own.size(); ++i) EXPECT_NEAR(own[i], hand[i], 1e-14);
    }
  }
}

// The error halves with the step.
TEST(FixedSteps, WeakOrderIsOne) {
  for (auto const& g : {cyclic(), leaking(), hky85()}) {
    StateSpace const space(g.states(), 1);
    Process process = Process::forward(g, NoiseSchedule::cosine());
    auto const exact = push_sites(space, point_law(space, {0}), site_transition(g, process.noise(), 0.1, 0.8));
    for (std::string const method : {"euler", "exponential", "first", "reject"}) {
      SCOPED_TRACE(g.name() + ", " + method);
      auto const error = [&](int steps) {
        return total_variation(output_law(ExecSpace(), process, *by_name(method), space, point_law(space, {0}),
                                          TimeGrid::uniform(0.1, 0.8, steps)),
                               exact);
      };
      double const coarse = error(128), fine = error(256);
      EXPECT_GT(fine, 1e-6);
      EXPECT_NEAR(std::log2(coarse / fine), 1, 0.1);
    }
  }
}

// ------------------------------------------------------------------------------------------------- ordinal tau-leaping

// x + the sum of n_y (y - x) with n_y ~ Pois(mean_y), cut off at the ends: convolutions over displacements.
struct Leap {
  Law law;         // of the state
  double clamped;  // probability that it was cut off
};
Leap leap(std::size_t n, std::size_t x, std::function<double(std::size_t)> const& mean) {
  constexpr std::size_t reach = 150;
  Law by(2 * reach + 1, 0.0);
  by[reach] = 1;
  for (std::size_t y = 0; y < n; ++y) {
    if (y == x || mean(y) == 0) continue;
    Law const count = poisson_law(mean(y), 60);
    Law next(by.size(), 0.0);
    std::ptrdiff_t const d = static_cast<std::ptrdiff_t>(y) - static_cast<std::ptrdiff_t>(x);
    for (std::size_t i = 0; i < by.size(); ++i) {
      for (std::size_t k = 0; k < count.size(); ++k) {
        std::ptrdiff_t const to = static_cast<std::ptrdiff_t>(i) + d * static_cast<std::ptrdiff_t>(k);
        if (by[i] * count[k] > 0)
          next[static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(to, 0, 2 * reach))] += by[i] * count[k];
      }
    }
    by = next;
  }
  Leap out{Law(n, 0.0), 0};
  for (std::size_t i = 0; i < by.size(); ++i) {
    std::ptrdiff_t const to = static_cast<std::ptrdiff_t>(x + i) - static_cast<std::ptrdiff_t>(reach),
                         last = static_cast<std::ptrdiff_t>(n) - 1;
    if (to < 0 || to > last) out.clamped += by[i];
    out.law[static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(to, 0, last))] += by[i];
  }
  return out;
}
Law leap_matrix(Generator const& g, double scale) {
  auto const n = static_cast<std::size_t>(g.states());
  Law m;
  for (std::size_t x = 0; x < n; ++x) {
    Law const row =
        leap(n, x, [&](std::size_t y) { return scale * g.rate(static_cast<token_t>(x), static_cast<token_t>(y)); }).law;
    m.insert(m.end(), row.begin(), row.end());
  }
  return m;
}

TEST(OrdinalTauLeaping, StepsFollowTheConvolution) {
  auto const ordinal = tau_leaping("ordinal");
  std::uint64_t seed = 500;
  for (auto const& g : {Generator::path(5), Generator::gaussian_target(6, 1.5, 1.2), Generator::path(3)}) {
    auto const n = static_cast<std::size_t>(g.states());
    for (int const steps : {1, 3}) {
      SCOPED_TRACE(g.name() + ", steps " + std::to_string(steps));
      double const h = 0.4 / steps;
      auto const law_of = [&](double speed) {
        Law m = leap_matrix(g, 2 * h * speed);
        for (int k = 1; k < steps; ++k) m = multiply(m, leap_matrix(g, 2 * h * speed), n);
        return row_of(m, n, 1);
      };
      Process process = Process::forward(g, NoiseSchedule::constant(2, 10));
      SimulationPlan const plan{.times = {steps * h},
                                .step = h,
                                .seed = ++seed,
                                .samples = 1'000'000,
                                .batch = 100'000,
                                .start = start_from_rows({1}, 1)};
      SampleReport report;
      auto const counts = counts_of(process, *ordinal, plan, n, &report);
      hold(counts, law_of(1), law_of(1.05));
      if (steps > 1) continue;
      double const clamped =
          leap(n, 1, [&](std::size_t y) { return 2 * h * g.rate(1, static_cast<token_t>(y)); }).clamped;
      EXPECT_TRUE(accepts(binomial_p_value(report.clamps, 1'000'000, clamped), "cut off"));
      EXPECT_LT(binomial_p_value(report.clamps, 1'000'000, 1.05 * clamped), false_alarm);
    }
  }
}

// n + Pois(h nu) - Pois(h mu n), but not below 0.
TEST(OrdinalTauLeaping, PopulationsStayAboveZero) {
  constexpr std::size_t cells = 40;
  auto const step = [&](double nu, double mu, std::size_t start, double& clamped) {
    Law const in = poisson_law(nu, cells), out = poisson_law(mu * static_cast<double>(start), cells);
    Law law(cells, 0.0);
    clamped = 0;
    for (std::size_t i = 0; i < cells; ++i) {
      for (std::size_t j = 0; j < cells; ++j) {
        if (start + i < j) clamped += in[i] * out[j];
        law[start + i < j ? 0 : std::min(start + i - j, cells - 1)] += in[i] * out[j];
      }
    }
    return normalised(law);
  };
  Process process =
      Process::forward(Generator::population({.immigration = 1.5, .death = 0.8}), NoiseSchedule::constant(1, 10));
  SimulationPlan const plan{
      .times = {0.7}, .seed = 511, .samples = 1'000'000, .batch = 100'000, .start = start_from_rows({4}, 1)};
  SampleReport report;
  auto const counts = counts_of(process, *tau_leaping("ordinal"), plan, cells, &report);
  double clamped = 0, unused = 0;
  Law const law = step(0.7 * 1.5, 0.7 * 0.8, 4, clamped), wrong = step(0.7 * 1.5, 0.7 * 0.8 * 1.05, 4, unused);
  hold(counts, law, wrong);
  EXPECT_TRUE(accepts(binomial_p_value(report.clamps, 1'000'000, clamped), "below zero"));
  EXPECT_LT(binomial_p_value(report.clamps, 1'000'000, 1.05 * clamped), false_alarm);
}

// -------------------------------------------------------------------------------------------------------- Poisson

std::vector<std::int64_t> draw_counts(double mean, std::size_t draws, std::uint64_t seed) {
  std::vector<std::int64_t> out(draws);
  for (std::size_t i = 0; i < draws; ++i) {
    SiteStream stream(StreamKey{seed, 3}, i, static_cast<std::uint32_t>(i % 7));
    out[i] = poisson(mean, stream);
  }
  return out;
}
// Equal cells over eight standard deviations on each side; the first and the last hold the rest.
struct Cells {
  std::int64_t first, width;
  std::size_t cells;
  std::size_t of(std::int64_t k) const {
    std::int64_t const i = k < first ? 0 : 1 + (k - first) / width;
    return std::min(static_cast<std::size_t>(i), cells - 1);
  }
  Law law(double mean) const {
    boost::math::poisson const p(mean);
    Law out;
    double below = 0;
    for (std::size_t i = 0; i + 1 < cells; ++i) {
      // cell i ends before this number
      auto const end = static_cast<double>(first + static_cast<std::int64_t>(i) * width);
      if (i == 0 && end <= 0) {
        out.push_back(0);
        continue;
      }
      if (width == 1 && i > 0) {
        out.push_back(boost::math::pdf(p, end - 1));
        continue;
      }
      double const to = boost::math::cdf(p, end - 1);
      out.push_back(to - below);
      below = to;
    }
    out.push_back(std::max(0.0, 1 - std::accumulate(out.begin(), out.end(), 0.0)));
    return out;
  }
};

TEST(Poisson, FollowsItsLaw) {
  std::uint64_t seed = 600;
  for (double const mean : {0.1, 1.0, 3.0, 9.99, 10.0, 10.01, 37.0, 1e3, 1e6, 1e9}) {
    SCOPED_TRACE(mean);
    double const deviation = std::sqrt(mean);
    auto const first = static_cast<std::int64_t>(std::max(0.0, std::floor(mean - 8 * deviation)));
    auto const width = std::max<std::int64_t>(1, static_cast<std::int64_t>(deviation / 8));
    Cells const cells{
        first, width,
        static_cast<std::size_t>((mean + 8 * deviation + 5 - static_cast<double>(first)) / static_cast<double>(width)) +
            2};
    auto const numbers = draw_counts(mean, 1'000'000, ++seed);
    std::vector<std::int64_t> counts(cells.cells, 0);
    for (auto const k : numbers) ++counts[cells.of(k)];
    // a mean that is off by two hundredths of a standard deviation
    hold(counts, cells.law(mean), cells.law(mean + 0.02 * deviation));
  }
}

// Rare events keep their digits.
TEST(Poisson, RareEvents) {
  constexpr std::size_t draws = 20'000'000;
  double const mean = 1e-5;
  auto const numbers = draw_counts(mean, draws, 620);
  auto const events = static_cast<std::int64_t>(draws) - std::count(numbers.begin(), numbers.end(), 0);
  EXPECT_TRUE(accepts(binomial_p_value(events, draws, -std::expm1(-mean)), std::to_string(events)));
  EXPECT_LT(binomial_p_value(events, draws, 1.6 * mean), false_alarm);
  // There is an event exactly if the stream's first uniform lies under 1 - exp(-mean): seen from both sides of the mean
  // that each stream puts there, and of the smallest among all these streams, for a mean near 1e-8.
  auto const threshold = [](std::uint64_t i) {
    return -std::log1p(-SiteStream(StreamKey{620, 3}, i, static_cast<std::uint32_t>(i % 7)).uniform());
  };
  std::uint64_t least = 0;
  double smallest = threshold(0);
  for (std::uint64_t i = 0; i < draws; ++i) {
    // the numbers have told which streams have small uniforms
    if (numbers[i] == 0) continue;
    if (double const at = threshold(i); at < smallest) smallest = at, least = i;
  }
  EXPECT_LT(smallest, 1e-6);
  for (std::uint64_t i = 0; i <= 1000; ++i) {
    std::uint64_t const sample = i == 1000 ? least : i;
    double const at = threshold(sample);
    if (at > 9.9) continue;
    for (double const off : {-1e-9, 1e-9}) {
      SiteStream copy(StreamKey{620, 3}, sample, static_cast<std::uint32_t>(sample % 7));
      EXPECT_EQ(poisson(at * (1 + off), copy) > 0, off > 0) << at;
    }
  }
  SiteStream const stream(StreamKey{620, 3}, 0, 0);
  SiteStream copy = stream;
  EXPECT_EQ(poisson(0, copy), 0);
}

// ------------------------------------------------------------------------------------------------------ holding times

// 0 -> 1 -> 2 -> 3 at rates 1e12, 1, 1e-12: each holding time is exponential although one clock counts all three.
TEST(Paths, HoldingTimesAcrossTwentyFourDecades) {
  double const rate[] = {1e12, 1, 1e-12};
  auto const g = dense("stiff", 4, [&](std::size_t x, std::size_t y) { return y == x + 1 ? rate[x] : 0; });
  Process process = Process::forward(g, NoiseSchedule::constant(1, std::numeric_limits<double>::infinity()));
  constexpr std::size_t samples = 100'000, cells = 20;
  SimulationPlan plan{.times = {},
                      .seed = 701,
                      .samples = samples,
                      .batch = 20'000,
                      .start = start_from_rows({0}, 1),
                      .record_jumps = true};
  // windows that grow keep the digits of what happens early
  for (double t = 1e-15; t < 1e14; t *= 4) plan.times.push_back(t);
  std::vector<std::vector<std::int64_t>> counts(3, std::vector<std::int64_t>(cells, 0));
  std::size_t seen = 0;
  simulate(ExecSpace(), process, *make_integrator("gillespie"), plan, [&](Sight const& sight) {
    double before = 0;
    for (auto const& r : sight.records) {
      if (r.from == 0) before = 0;
      double const u = -std::expm1(-rate[r.from] * (r.time - before));
      ++counts[static_cast<std::size_t>(r.from)][std::min(static_cast<std::size_t>(u * cells), cells - 1)];
      before = r.time;
      ++seen;
    }
  });
  EXPECT_EQ(seen, 3 * samples);  // the last window ends at 5e13 holding times or more
  Law const alike(cells, 1.0 / cells);
  Law wrong;  // rates 5 % higher
  for (std::size_t i = 0; i < cells; ++i) {
    auto const below = [&](std::size_t k) { return -std::expm1(1.05 * std::log1p(-static_cast<double>(k) / cells)); };
    wrong.push_back((i + 1 == cells ? 1 : below(i + 1)) - below(i));
  }
  for (auto const& c : counts) hold(c, alike, wrong);
}

// A billion jumps: their number is a Poisson number of known mean, in each path and in all.
TEST(Paths, TheClockDoesNotDriftInABillionJumps) {
  constexpr std::size_t samples = 32;
  constexpr int length = 16;
  double const time = 2e6;
  auto const g = dense("switch", 2, [](auto, auto) { return 1.0; });
  Process process = Process::forward(g, NoiseSchedule::constant(1, time));
  SimulationPlan const plan{.times = {time},
                            .seed = 711,
                            .samples = samples,
                            .length = length,
                            .start = start_from_rows(std::vector<token_t>(length, 0), length),
                            .count_jumps = true};
  double sum = 0, squares = 0;
  simulate(ExecSpace(), process, *make_integrator("gillespie"), plan, [&](Sight const& sight) {
    for (std::size_t b = 0; b < sight.rows; ++b) {
      for (std::size_t l = 0; l < static_cast<std::size_t>(length); ++l) {
        auto const jumps = static_cast<double>(sight.jumps(0, b, l));
        EXPECT_EQ(sight.jumps(0, b, l) % 2, sight.tokens(0, b, l));
        sum += jumps;
        squares += (jumps - time) * (jumps - time) / time;
      }
    }
  });
  double const paths = samples * length, mean = paths * time, deviation = std::sqrt(mean);
  EXPECT_GT(sum, 1e9);
  EXPECT_TRUE(accepts(normal_p_value((sum - mean) / deviation), std::to_string(sum)));
  EXPECT_LT(normal_p_value((sum - mean * (1 + 4e-4)) / deviation), false_alarm);  // 13 deviations
  boost::math::chi_squared const chi(paths);
  auto const two_sided = [&](double s) {
    return 2 * std::min(boost::math::cdf(chi, s), boost::math::cdf(boost::math::complement(chi, s)));
  };
  EXPECT_TRUE(accepts(two_sided(squares), "dispersion " + std::to_string(squares / paths)));
  EXPECT_LT(two_sided(1.8 * squares), false_alarm);
  EXPECT_LT(two_sided(squares / 1.8), false_alarm);
}

// ------------------------------------------------------------------------------------------------------- statistics

// Over many runs the deviations from the truth are as large as the errors say.
TEST(PathStatistics, StandardErrorsCover) {
  auto const g = cyclic();
  double const t = 0.6;
  constexpr int runs = 200, samples = 2000, length = 3;
  Law const p = row_of(transition(g, t), 4, 0);
  double mean = 0, square = 0;
  for (std::size_t y = 0; y < 4; ++y) {
    mean += p[y] * static_cast<double>(y);
    square += p[y] * static_cast<double>(y * y);
  }
  // expected jumps: the integral of the exit rate along the law (Simpson)
  double jumps = 0;
  constexpr int pieces = 200;
  for (int k = 0; k <= pieces; ++k) {
    Law const now = row_of(transition(g, t * k / pieces), 4, 0);
    double exit = 0;
    for (std::size_t y = 0; y < 4; ++y) exit += now[y] * g.exit_rate(static_cast<token_t>(y));
    jumps += exit * t / pieces / 3 * (k == 0 || k == pieces ? 1 : (k % 2 == 1 ? 4 : 2));
  }
  double const truth[4] = {mean, std::sqrt(square - mean * mean), jumps, p[1]};
  Process process = Process::forward(g, NoiseSchedule::constant());
  auto const gillespie = make_integrator("gillespie");
  char const* const names[4] = {"mean", "deviation", "jumps", "occupancy"};
  double chi_square[4] = {}, bias[4] = {};
  for (int run = 0; run < runs; ++run) {
    SimulationPlan const plan{.times = {t},
                              .seed = static_cast<std::uint64_t>(800 + run),
                              .samples = samples,
                              .length = length,
                              .batch = 700,
                              .start = start_from_rows({0, 0, 0}, length),
                              .count_jumps = true};
    PathStatistics statistics(1, length, 4);
    simulate(ExecSpace(), process, *gillespie, plan, [&](Sight const& sight) { statistics.add(sight); });
    Averaged const seen[4] = {statistics.mean(0), statistics.deviation(0), statistics.jumps(0),
                              statistics.occupancy(0, 1)};
    for (int i = 0; i < 4; ++i) {
      double const z = (seen[i].value - truth[i]) / seen[i].error;
      chi_square[i] += z * z;
      bias[i] += z / std::sqrt(runs);
    }
  }
  boost::math::chi_squared const chi(runs);
  auto const two_sided = [&](double s) {
    return 2 * std::min(boost::math::cdf(chi, s), boost::math::cdf(boost::math::complement(chi, s)));
  };
  for (int i = 0; i < 4; ++i) {
    SCOPED_TRACE(names[i]);
    EXPECT_TRUE(accepts(two_sided(chi_square[i]), "variance of z " + std::to_string(chi_square[i] / runs)));
    EXPECT_TRUE(accepts(normal_p_value(bias[i]), "mean of z " + std::to_string(bias[i])));
    // errors that are half, or twice, as large as they should be
    EXPECT_LT(two_sided(4 * chi_square[i]), false_alarm);
    EXPECT_LT(two_sided(chi_square[i] / 4), false_alarm);
  }
}

// ------------------------------------------------------------------------------------------------------------ trees

// ((a: 0.3, b: 0.5): 0.4, c: 0.2) from a root in state 0: p(a, b, c) sums over the inner node.
TEST(Trees, LeavesFollowTheProductOfMatrices) {
  Branches const tree{{-1, 0, 0, 1, 1}, {0, 0.4, 0.2, 0.3, 0.5}};
  auto const g = cyclic();
  std::uint64_t seed = 900;
  for (std::string const method : {"gillespie", "uniformization", "tweedie", "euler"}) {
    SCOPED_TRACE(method);
    // Branches as long as this: of euler, in steps of at most 0.1 and so of that length.
    auto const branch = [&](double length) {
      if (method != "euler") return transition(g, length);
      Law m = transition(g, 0);
      auto const steps = static_cast<int>(std::lround(length / 0.1));
      for (int k = 0; k < steps; ++k) m = multiply(m, one_site("euler", g, length / steps), 4);
      return m;
    };
    auto const law_of = [&](double longer) {
      Law const inner = row_of(branch(0.4), 4, 0), a = branch(0.3), b = branch(0.5), c = row_of(branch(0.2), 4, 0);
      Law const slow = row_of(transition(g, 0.2 * longer), 4, 0);
      Law law;
      for (std::size_t z = 0; z < 4; ++z) {  // leaves in the order of their nodes: c is node 2, a 3, b 4
        for (std::size_t x = 0; x < 4; ++x) {
          for (std::size_t y = 0; y < 4; ++y) {
            double p = 0;
            for (std::size_t k = 0; k < 4; ++k) p += inner[k] * a[k * 4 + x] * b[k * 4 + y];
            law.push_back((longer == 1 ? c : slow)[z] * p);
          }
        }
      }
      return law;
    };
    Process process = Process::forward(g, NoiseSchedule::constant(1, 10));
    TreePlan const plan{.step = method == "euler" ? 0.1 : 0,
                        .seed = ++seed,
                        .samples = 300'000,
                        .batch = 50'000,
                        .start = start_from_rows({0}, 1),
                        .keep = {}};
    std::vector<std::int64_t> counts(64, 0);
    simulate_tree(ExecSpace(), process, *make_integrator(method), tree, plan,
                  [&](std::uint64_t, std::size_t rows, std::vector<int> const& nodes, auto const& tokens) {
                    EXPECT_EQ(nodes, (std::vector<int>{2, 3, 4}));
                    for (std::size_t b = 0; b < rows; ++b)
                      ++counts[static_cast<std::size_t>(16 * tokens(0, b, 0) + 4 * tokens(1, b, 0) + tokens(2, b, 0))];
                  });
    hold(counts, law_of(1), law_of(1.1));
  }
}

}  // namespace
}  // namespace saltus
