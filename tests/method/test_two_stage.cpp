// SPDX-License-Identifier: BSD-3-Clause
// One step of the methods of two stages and of those that reveal a fixed number of masks: laws of the sites and sampled
// frequencies against the formulas of A§6.5 and A§7.4-7.6 in long double, multiplied out here.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/exact.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/table.hpp>

#include "reference/brute_force.hpp"
#include "reference/harness.hpp"
#include "reference/stored_scores.hpp"
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace reference;
using namespace statistics;
using Laws = std::vector<Reals>;  // [site][state]

long double positive(long double x) { return x > 0 ? x : 0; }
long double total_of(Reals const& w) {
  long double sum = 0;
  for (long double const x : w) sum += x;
  return sum;
}

// A reverse process of which the test knows everything: from a table of the data, or from stored scores.
struct World {
  std::string name;
  Generator generator;
  NoiseSchedule noise;
  std::size_t length;
  std::function<std::shared_ptr<ScoreModel>()> model;
  Reals law{};                                // of the data sequences, or
  std::vector<std::vector<double>> scores{};  // what the model says whatever the tokens

  Process process() const { return Process::reverse(generator, noise, model()); }
  bool masked() const { return generator.mask().has_value(); }
  std::size_t states() const { return static_cast<std::size_t>(generator.states()); }
  bool can_move(Sequence const& x, std::size_t l) const { return !masked() || x[l] == *generator.mask(); }

  // p(x_0^l = . | x_t without site l)
  Reals clean(Sequence const& x, std::size_t l, double t) const {
    std::vector<double> const p = generator.transition_matrix(noise.total(t));
    return leave_one_out(all_sequences(generator.data_states(), static_cast<int>(length)), law, x, l,
                         generator.data_states(), [&](token_t clean, token_t seen) {
                           return static_cast<long double>(
                               p[static_cast<std::size_t>(clean) * states() + static_cast<std::size_t>(seen)]);
                         });
  }
  // A§1, 4.1: R(x; l, y) = sigma Q(y, x^l) (pL P)_y / (pL P)_(x^l); 0 for the own token.
  Laws rates(Sequence const& x, double t) const {
    std::vector<double> const p = generator.transition_matrix(noise.total(t));
    Laws all(length, Reals(states(), 0));
    for (std::size_t l = 0; l < length; ++l) {
      if (!can_move(x, l)) continue;
      auto const own = static_cast<std::size_t>(x[l]);
      Reals seen(states(), 0);
      if (scores.empty()) {
        Reals const posterior = clean(x, l, t);
        for (std::size_t y = 0; y < states(); ++y) {
          for (std::size_t k = 0; k < posterior.size(); ++k) seen[y] += posterior[k] * p[k * states() + y];
        }
      } else {
        for (std::size_t y = 0; y < states(); ++y) seen[y] = y == own ? 1 : static_cast<long double>(scores[l][y]);
      }
      for (std::size_t y = 0; y < states(); ++y) {
        if (y != own) all[l][y] = noise.rate(t) * generator.rate(static_cast<token_t>(y), x[l]) * seen[y] / seen[own];
      }
    }
    return all;
  }
};

World table_world(std::string const& kind, double strength, NoiseSchedule const& noise, int length = 3) {
  TableLaw const law = TableLaw::neighbours(length, 3, strength);
  Generator const generator = kind == "absorbing" ? Generator::absorbing(4)
                              : kind == "uniform" ? Generator::uniform(3)
                                                  : Generator::gaussian_target(3, 1.5, 2);
  return {kind + ", strength " + std::to_string(strength), generator, noise, static_cast<std::size_t>(length),
          [=] { return law.denoiser(generator); }, Reals(law.probabilities().begin(), law.probabilities().end())};
}

// Scores that are not normalised, in single precision.
World score_world(NoiseSchedule const& noise) {
  std::vector<std::vector<double>> const scores{{0.25, 0.5, 1.25, 0}, {1, 0.125, 0.5, 7}, {0.75, 0.75, 0, 1}};
  return {"scores", Generator::absorbing(4), noise, 3,
          [=] { return std::make_shared<StoredScores<float>>(ScoreKind::score, token_t{3}, scores); }, {}, scores};
}

// What one step does, stage by stage, as A§7 has it.
struct Scheme {
  std::string method;
  double share;  // theta, or split
  enum { trapezoidal, midpoint, tweedie } kind;
  bool reject = false, repair = false;
};

struct Passage {
  Sequence x;
  double from, to;
  bool forced = false;
  double between(World const& w, Scheme const& s) const {
    if (s.kind != Scheme::tweedie) return from + s.share * (to - from);
    return w.noise.time_at_lost(w.noise.lost(from) + s.share * (w.noise.lost(to) - w.noise.lost(from)));
  }
};

// Targets by weight and a probability to go.
Reals go(Reals const& weights, long double probability, token_t own) {
  Reals law(weights.size(), 0);
  long double const sum = total_of(weights);
  for (std::size_t y = 0; y < law.size(); ++y) law[y] = probability > 0 ? probability * weights[y] / sum : 0;
  law[static_cast<std::size_t>(own)] += 1 - probability;
  return law;
}
Reals leap(Reals const& rates, long double duration, bool reject, token_t own) {
  long double const mean = duration * total_of(rates);
  return go(rates, reject ? mean * std::exp(-mean) : -std::expm1(-mean), own);
}

Laws first_stage(World const& w, Scheme const& s, Passage const& step) {
  Laws laws;
  double const rho = step.between(w, s);
  Laws const r0 = w.rates(step.x, step.from);
  for (std::size_t l = 0; l < w.length; ++l) {
    if (s.kind != Scheme::tweedie) {
      laws.push_back(leap(r0[l], step.from - rho, s.reject, step.x[l]));
    } else {
      // normalised scores: the schedule's probability; else A§7.1's (e^dsb - 1) s_y
      long double const u = w.scores.empty() ? 1 - w.noise.lost(rho) / static_cast<long double>(w.noise.lost(step.from))
                                             : std::expm1(w.noise.total_between(rho, step.from)) * total_of(r0[l]) /
                                                   w.noise.rate(step.from);
      laws.push_back(go(r0[l], w.can_move(step.x, l) ? u : 0, step.x[l]));
    }
  }
  return laws;
}

Laws second_stage(World const& w, Scheme const& s, Passage const& step, Sequence const& star) {
  Laws laws;
  double const rho = step.between(w, s);
  Laws const r0 = w.rates(step.x, step.from), r1 = w.rates(star, rho);
  long double const a1 = 1 / (2 * static_cast<long double>(s.share) * (1 - s.share)), a2 = a1 - 1;
  for (std::size_t l = 0; l < w.length; ++l) {
    bool const moved = star[l] != step.x[l];
    bool const forced = step.forced && w.masked();
    Reals weights(w.states(), 0);
    token_t own = star[l];
    if (s.kind == Scheme::midpoint) {  // again from the start, over the whole step
      own = step.x[l];
      for (std::size_t y = 0; y < weights.size(); ++y) {
        if (static_cast<int>(y) == own) continue;
        weights[y] = moved && s.repair ? r0[l][y]
                                       : positive((1 - 1 / (2 * static_cast<long double>(s.share))) * r0[l][y] +
                                                  r1[l][y] / (2 * static_cast<long double>(s.share)));
      }
      if (forced && w.can_move(step.x, l)) {
        laws.push_back(go(total_of(weights) > 0 ? weights : moved ? r0[l] : r1[l], 1, own));
      } else {
        laws.push_back(leap(weights, step.from - step.to, s.reject, own));
      }
      continue;
    }
    Reals first = r0[l], second = r1[l];
    if (s.kind == Scheme::tweedie) {  // laws of the token
      for (Reals* const r : {&first, &second}) {
        long double const sum = total_of(*r);
        for (long double& x : *r) x /= sum > 0 ? sum : 1;
      }
    }
    for (std::size_t y = 0; y < weights.size(); ++y)
      weights[y] = moved ? second[y] : positive(a1 * second[y] - a2 * first[y]);
    if (forced && w.can_move(star, l)) {
      laws.push_back(go(total_of(weights) > 0 ? weights : second, 1, own));
    } else if (s.kind == Scheme::tweedie) {
      long double const u = w.scores.empty() ? 1 - w.noise.lost(step.to) / static_cast<long double>(w.noise.lost(rho))
                                             : std::expm1(w.noise.total_between(step.to, rho)) * total_of(r1[l]) /
                                                   w.noise.rate(rho);
      laws.push_back(go(total_of(weights) > 0 ? weights : second, w.can_move(star, l) ? u : 0, own));
    } else {
      laws.push_back(leap(weights, rho - step.to, s.reject, own));
    }
  }
  return laws;
}

long double product(Laws const& laws, Sequence const& y) {
  long double p = 1;
  for (std::size_t l = 0; l < y.size(); ++l) p *= laws[l][static_cast<std::size_t>(y[l])];
  return p;
}

struct Trial {
  World world;
  Scheme scheme;
  Passage step;
};

StepTable table_of(Trial const& t, Process const& process, Integrator const& integrator) {
  StepOptions options = step_options(integrator, process);
  options.forced_last = t.step.forced;
  return {ExecSpace(), process, TimeGrid::from_points({t.step.from, t.step.to}), options};
}

std::string describe(Trial const& t) {
  return t.scheme.method + " on " + t.world.name + " with " + t.world.noise.describe() + (t.step.forced ? ", forced" : "");
}

std::vector<Trial> trials() {
  token_t const m = 3;
  auto const cosine = NoiseSchedule::cosine(), constant = NoiseSchedule::constant(1.3, 2), linear = NoiseSchedule::log_linear();
  World const weak = table_world("absorbing", 0.2, cosine), strong = table_world("absorbing", 5, constant),
              uniform = table_world("uniform", 5, constant), dense = table_world("gaussian", 5, constant, 2),
              scores = score_world(linear);
  Passage const inside{{m, 1, m}, 0.8, 0.3}, all{{m, m, m}, 0.9, 0.35}, last{{m, m, m}, 0.7, 0, true},
      last_one{{m, 0, m}, 0.7, 0, true}, plain{{0, 1, 1}, 0.9, 0.4}, two{{0, 2}, 0.9, 0.4};
  auto const trap = [](std::string const& rest, double theta) {
    return Scheme{"theta_trapezoidal:theta=" + std::to_string(theta) + rest, theta, Scheme::trapezoidal, !rest.empty()};
  };
  auto const rk2 = [](double theta, bool repair, bool reject) {
    return Scheme{"theta_rk2:theta=" + std::to_string(theta) + (repair ? ",repair=own" : "") + (reject ? ",rule=reject" : ""),
                  theta, Scheme::midpoint, reject, repair};
  };
  auto const twee = [](double split) {
    return Scheme{"tweedie_trapezoidal:split=" + std::to_string(split), split, Scheme::tweedie};
  };
  return {{weak, trap("", 0.5), all},       {strong, trap("", 0.4), inside},          {strong, trap("", 0.5), last},
          {uniform, trap("", 0.5), plain},  {dense, trap("", 0.35), two},             {strong, trap(",rule=reject", 0.5), all},
          {scores, trap("", 0.5), all},     {weak, rk2(0.5, false, false), inside},   {strong, rk2(0.3, true, false), all},
          {strong, rk2(0.4, false, false), last_one}, {strong, rk2(0.5, false, false), last},
          {uniform, rk2(0.5, false, true), plain},    {uniform, rk2(0.3, true, false), plain},
          {dense, rk2(0.6, false, false), two},       {scores, rk2(0.4, true, false), last},
          {weak, twee(0.5), all},           {strong, twee(0.3), inside},              {strong, twee(0.6), last},
          {scores, twee(0.5), {{m, m, m}, 0.5, 0.35}}};
}

// What the library says of its two stages, entry by entry.
TEST(TwoStageLaws, AreThoseOfTheFormulas) {
  ExecSpace const exec;
  bool clamped = false;
  for (Trial const& t : trials()) {
    SCOPED_TRACE(describe(t));
    World const& w = t.world;
    Process process = w.process();
    auto const integrator = make_integrator(t.scheme.method);
    ASSERT_EQ(integrator->refuses(process), "");
    StepTable const table = table_of(t, process, *integrator);
    // Row 0: the state at the start; the others: where the first stage may lead.
    Laws const first = first_stage(w, t.scheme, t.step);
    Rows rows{t.step.x};
    for (auto const& y : all_sequences(w.generator.states(), static_cast<int>(w.length))) {
      if (product(first, y) > 0) rows.push_back(y);
    }
    State const state = to_state(rows, t.step.from);
    process.reserve({state.batch(), state.length()}, 2);
    process.refresh(exec, state, 0);
    SiteProbabilities const out("out", rows.size() * w.length, w.states());
    SiteList const sites = all_sites(rows.size(), w.length);
    integrator->site_probabilities(exec, process, state, table.step(0), sites, out);
    exec.fence();
    double const tolerance = w.scores.empty() ? 1e-12 : 1e-6;
    for (std::size_t l = 0; l < w.length; ++l) {
      for (std::size_t y = 0; y < w.states(); ++y)
        EXPECT_NEAR(out(l, y), static_cast<double>(first[l][y]), tolerance) << "site " << l << ", token " << y;
    }
    Kokkos::deep_copy(state.time, t.step.between(w, t.scheme));
    process.refresh(exec, state, 1);
    Kokkos::View<int* [2], Kokkos::LayoutRight, MemorySpace> const pairs("pairs", rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) pairs(i, 1) = static_cast<int>(i);
    integrator->second_probabilities(exec, process, state, table.step(0), pairs, sites, out);
    exec.fence();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      Laws const second = second_stage(w, t.scheme, t.step, rows[i]);
      for (std::size_t l = 0; l < w.length; ++l) {
        for (std::size_t y = 0; y < w.states(); ++y) {
          clamped |= second[l][y] == 0;
          EXPECT_NEAR(out(i * w.length + l, y), static_cast<double>(second[l][y]), tolerance)
              << "from row " << i << ", site " << l << ", token " << y;
        }
      }
    }
    if (HasFailure()) return;
  }
  EXPECT_TRUE(clamped);
}

// What the sampler does with a step.
TEST(TwoStageLaws, AreSampled) {
  constexpr std::size_t samples = 150'000;
  std::uint64_t seed = 100;
  std::int64_t clamps = 0;
  for (Trial const& t : trials()) {
    SCOPED_TRACE(describe(t));
    World const& w = t.world;
    auto const sequences = all_sequences(w.generator.states(), static_cast<int>(w.length));
    Laws const first = first_stage(w, t.scheme, t.step);
    std::vector<double> law(sequences.size(), 0);
    for (auto const& star : sequences) {
      long double const p = product(first, star);
      if (p == 0) continue;
      Laws const second = second_stage(w, t.scheme, t.step, star);
      for (std::size_t i = 0; i < law.size(); ++i) law[i] += static_cast<double>(p * product(second, sequences[i]));
    }
    Process process = w.process();
    auto const integrator = make_integrator(t.scheme.method);
    SampleReport report;
    SamplePlan const plan{.grid = TimeGrid::from_points({t.step.from, t.step.to}),
                          .seed = ++seed,
                          .samples = samples,
                          .length = static_cast<int>(w.length),
                          .batch = 50'000,
                          .forced_last = t.step.forced,
                          .start = fixed_start(t.step.x)};
    StateSpace const space(w.generator.states(), static_cast<int>(w.length));
    auto const counts = count_sequences(space, sample(ExecSpace(), process, *integrator, plan, &report));
    clamps += report.clamps;
    EXPECT_TRUE(accepts(g_test(counts, law)));
    auto const wrong = five_percent_off(law);
    EXPECT_GT(power(law, wrong, samples), 1 - missed_alarm);
    EXPECT_TRUE(rejects(g_test(counts, wrong)));
    EXPECT_EQ(report.evaluations, 2);
  }
  EXPECT_GT(clamps, 0);  // combinations that were negative are counted
}

// ------------------------------------------------------------------------------------------------ a fixed number of reveals

// The law of the number of reveals of n sites: floor or ceil.
Reals rounded(long double mean, std::size_t most) {
  Reals law(most + 1, 0);
  auto const low = static_cast<std::size_t>(mean);
  law[low] += 1 - (mean - static_cast<long double>(low));
  if (low < most) law[low + 1] += mean - static_cast<long double>(low);
  return law;
}

TEST(FixedCounts, RevealTheirNumberAndEverySetAlike) {
  constexpr std::size_t n = 5, samples = 100'000;
  constexpr token_t m = 2;
  auto const noise = NoiseSchedule::cosine();
  double const from = 0.9, to = 0.55;
  long double const share = n * (1 - static_cast<long double>(noise.lost(to)) / noise.lost(from));
  // two stages: the share of the first part of the masks, then that of the second of those left
  long double const middle = noise.lost(from) + 0.3L * (noise.lost(to) - static_cast<long double>(noise.lost(from)));
  Reals const first = rounded(n * (1 - middle / noise.lost(from)), n);
  Reals both(n + 1, 0);
  for (std::size_t i = 0; i <= n; ++i) {
    Reals const second = rounded(static_cast<long double>(n - i) * (1 - noise.lost(to) / middle), n);
    for (std::size_t j = 0; i + j <= n; ++j) both[i + j] += first[i] * second[j];
  }
  Reals two(n + 1, 0), three(n + 1, 0);
  two[2] = three[3] = 1;
  struct Run {
    std::string method;
    int steps;  // the first of these is taken
    Reals number;
  };
  std::vector<Run> const runs{{"fixed_count", 1, rounded(share, n)},
                              {"fixed_count:counts=uniform", 3, two},
                              {"k_gillespie", 2, three},
                              {"tweedie_trapezoidal:counts=fixed,split=0.3", 1, both}};
  std::uint64_t seed = 40;
  for (Run const& run : runs) {
    SCOPED_TRACE(run.method);
    Process process = Process::reverse(Generator::absorbing(m + 1), noise,
                                       std::make_shared<StoredScores<float>>(
                                           ScoreKind::x0_leave_in, m, std::vector<std::vector<double>>{{0.3, 0.7, 9}}));
    auto const integrator = make_integrator(run.method);
    std::vector<double> points{from, to};
    for (int k = 1; k < run.steps; ++k) points.push_back(to - 0.1 * k);
    // One step alone: its coefficients, and how many steps would be left.
    ExecSpace const exec;
    StepTable const table(exec, process, TimeGrid::from_points(points), step_options(*integrator, process));
    State const state = to_state(Rows(samples, Sequence(n, m)), from);
    Extents const extents{static_cast<int>(samples), n};
    process.reserve(extents, integrator->info().slots);
    CounterView const counters("counters", integrator->reserve(process, extents));
    integrator->advance(exec, process, state, table.step(0), StreamKey{++seed, 0}, counters);
    exec.fence();
    std::vector<std::int64_t> sets(std::size_t{1} << n, 0);
    for (auto const& row : to_rows(state.tokens)) {
      std::size_t set = 0;
      for (std::size_t l = 0; l < n; ++l) set |= (row[l] == m ? std::size_t{0} : std::size_t{1}) << l;
      ++sets[set];
    }
    std::vector<double> law(sets.size(), 0);
    for (std::size_t set = 0; set < law.size(); ++set) {
      int const size = __builtin_popcountll(set);
      double const subsets = std::round(std::exp(std::lgamma(n + 1.0) - std::lgamma(size + 1.0) - std::lgamma(n - size + 1.0)));
      law[set] = static_cast<double>(run.number[static_cast<std::size_t>(size)]) / subsets;
    }
    EXPECT_TRUE(accepts(g_test(sets, law)));
    EXPECT_TRUE(rejects(g_test(sets, five_percent_off(law))));
    EXPECT_GT(power(law, five_percent_off(law), samples), 1 - missed_alarm);
  }
}

}  // namespace
}  // namespace saltus
