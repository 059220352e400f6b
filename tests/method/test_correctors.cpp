// SPDX-License-Identifier: BSD-3-Clause
// Correctors against what they must leave as it is (A§8, A§13.15), and the step of flow matching against its formula.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/exact.hpp>
#include <saltus/ctmc/visit_field.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/table.hpp>

#include "reference/brute_force.hpp"
#include "reference/harness.hpp"
#include "reference/site_law.hpp"
#include "reference/stored_scores.hpp"
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace reference;
using namespace statistics;

struct Kind {
  std::string name;
  Generator generator;
  TableLaw law;
};
std::vector<Kind> kinds() {
  return {{"absorbing", Generator::absorbing(4), TableLaw::neighbours(3, 3, 5)},
          {"uniform", Generator::uniform(3), TableLaw::neighbours(3, 3, 5)},
          {"gaussian_target", Generator::gaussian_target(4, 1.5, 2), TableLaw::neighbours(2, 4, 5)}};
}

// -------------------------------------------------------------------------------------------------- forward-backward

// The rates of the corrector's field at every state, [state][site][token].
template <class Field>
void read_rates(Field const& field, int rows, int length, int states, std::vector<double>& out) {
  for (int b = 0; b < rows; ++b) {
    for (int l = 0; l < length; ++l) {
      if (!field.active(b, l)) continue;
      auto const row = field.row(b, l);
      token_t const own = field.tokens(b, l);
      typename Field::Row::Scratch scratch;
      RowSums const sums = row.scan(own, scratch);
      Weights const w = field.rates(field.coeff(b), sums);
      double total = 0;
      for (int y = 0; y < states; ++y) {
        double const rate = y == own ? 0 : std::max(0.0, w.slope * row.value(y, scratch) + w.offset);
        out[static_cast<std::size_t>((b * length + l) * states + y)] = rate;
        total += rate;
      }
      EXPECT_NEAR(row.weigh(own, w, sums, scratch), total, 1e-12 * (1 + total));
    }
  }
}

TEST(ForwardBackward, RatesLeaveTheLawAsItIs) {
  ExecSpace const exec;
  for (Kind const& kind : kinds()) {
    SCOPED_TRACE(kind.name);
    auto const noise = NoiseSchedule::constant(1.3, 2);
    double const t = 0.8;
    int const states = kind.generator.states(), length = kind.law.length();
    StateSpace const space(states, length);
    auto const p0 = space.embed(enumerate(kind.law), kind.generator);
    auto const p = forward_law(space, p0, kind.generator, noise, t);
    Process process = Process::reverse(kind.generator, noise, kind.law.denoiser(kind.generator));
    auto const integrator = make_integrator("tweedie+forward_backward");
    StepTable const table(exec, process, TimeGrid::from_points({1, t}), step_options(*integrator, process));
    Rows rows;
    for (std::size_t i = 0; i < space.size(); ++i) {
      if (p[i] > 0) rows.push_back(space.tokens(i));
    }
    State const state = to_state(rows, t);
    process.reserve({state.batch(), state.length()}, 1);
    process.refresh(exec, state, 0);
    exec.fence();
    std::vector<double> rates(rows.size() * static_cast<std::size_t>(length * states), 0.0);
    visit_corrector_field(process, state, table.step(0).part(1), 0, [&](auto const& field) {
      read_rates(field, state.batch(), length, states, rates);
    });
    // Flow into and out of every state; and with the reverse rates 1 % too high as a control.
    std::vector<double> net(space.size(), 0), control(space.size(), 0);
    double gross = 0;
    for (std::size_t b = 0; b < rows.size(); ++b) {
      std::size_t const from = space.index(rows[b].data());
      for (int l = 0; l < length; ++l) {
        for (token_t y = 0; y < states; ++y) {
          auto to = rows[b];
          auto const site = static_cast<std::size_t>(l);
          double const rate = rates[(b * static_cast<std::size_t>(length) + site) * static_cast<std::size_t>(states) + static_cast<std::size_t>(y)];
          if (rate == 0) continue;
          double const forward = noise.rate(t) * kind.generator.rate(to[site], y), off = rate + 0.01 * (rate - forward);
          to[site] = y;
          std::size_t const i = space.index(to.data());
          net[from] -= p[from] * rate;
          net[i] += p[from] * rate;
          control[from] -= p[from] * off;
          control[i] += p[from] * off;
          gross += p[from] * rate;
        }
      }
    }
    EXPECT_GT(gross, 0.5);
    double largest = 0, seen = 0;
    for (double const x : net) largest = std::max(largest, std::abs(x));
    for (double const x : control) seen = std::max(seen, std::abs(x));
    EXPECT_LT(largest, 1e-12);
    EXPECT_GT(seen, 1e-5);
  }
}

// A leap: first jump of those rates over scale x step, at the time that the predictor has reached, and again `steps` times.
TEST(ForwardBackward, MasksTokensAgainAtTheRateOfTheNoise) {
  auto const noise = NoiseSchedule::cosine();
  double const from = 0.8, to = 0.5, scale = 0.4;
  constexpr int length = 10, samples = 20'000;
  Process process = Process::reverse(Generator::absorbing(3), noise,
                                     std::make_shared<StoredScores<double>>(
                                         ScoreKind::x0_leave_in, token_t{2}, std::vector<std::vector<double>>{{0.25, 0.75, 0}}));
  auto const integrator = make_integrator("tweedie+forward_backward:scale=" + std::to_string(scale));
  SampleReport report;
  SamplePlan const plan{.grid = TimeGrid::from_points({from, to}),
                        .seed = 5,
                        .samples = samples,
                        .length = length,
                        .start = fixed_start(Sequence(length, 1))};
  HostTokens const tokens = sample(ExecSpace(), process, *integrator, plan, &report);
  double const h = scale * (from - to), again = -std::expm1(-h * noise.rate(to));
  auto const masks = std::count(tokens.data(), tokens.data() + tokens.size(), token_t{2});
  auto const n = static_cast<std::int64_t>(tokens.size());
  EXPECT_TRUE(accepts(binomial_p_value(masks, n, again)));
  EXPECT_LT(binomial_p_value(masks, n, 1.05 * again), false_alarm);
  EXPECT_EQ(report.evaluations, 2);

  // entry: only in the last part of the run
  auto const late = make_integrator("tweedie+forward_backward:entry=0.4");
  HostTokens const kept = sample(ExecSpace(), process, *late, plan, &report);
  EXPECT_EQ(std::count(kept.data(), kept.data() + kept.size(), token_t{2}), 0);
  EXPECT_EQ(report.evaluations, 1);
}

// ---------------------------------------------------------------------------------------------------------- remasking

// With one sequence for data, a site is masked or holds its token: q(x_s | x_0) asks for P(masked) = 1 - alpha_s.
struct MaskChain {
  std::vector<double> masked;  // after each step
  double again = 0;            // the largest probability of masking again
};
MaskChain mask_chain(std::string const& method, NoiseSchedule const& noise, TimeGrid const& grid) {
  ExecSpace const exec;
  Process process = Process::reverse(Generator::absorbing(3), noise,
                                     std::make_shared<StoredScores<double>>(
                                         ScoreKind::x0_leave_in, token_t{2}, std::vector<std::vector<double>>{{0, 1, 0}}));
  auto const integrator = make_integrator(method);
  EXPECT_TRUE(integrator->info().has_site_law);
  EXPECT_EQ(integrator->info().stages, 1);
  StepTable const table(exec, process, grid, step_options(*integrator, process));
  State const state = to_state({{2}, {1}}, grid.point(0));
  process.reserve({2, 1}, 1);
  MaskChain chain;
  double masked = noise.lost(grid.point(0));
  for (int k = 0; k < table.steps(); ++k) {
    process.refresh(exec, state, 0);
    SiteProbabilities const law("law", 2, 3);  // from the mask, and from the token
    integrator->site_probabilities(exec, process, state, table.step(k), all_sites(2, 1), law);
    exec.fence();
    EXPECT_NEAR(law(0, 1) + law(0, 2), 1, 1e-15);
    EXPECT_NEAR(law(1, 1) + law(1, 2), 1, 1e-15);
    chain.again = std::max(chain.again, law(1, 2));
    masked = masked * law(0, 2) + (1 - masked) * law(1, 2);
    chain.masked.push_back(masked);
  }
  return chain;
}

TEST(Remasking, LeavesTheMarginalsAsTheyAre) {
  for (auto const& noise : {NoiseSchedule::log_linear(), NoiseSchedule::cosine(), NoiseSchedule::constant(1, 3)}) {
    TimeGrid const grid = TimeGrid::uniform(noise.end(), 0, 8);
    for (std::string const method : {"tweedie+remasking:eta=0.03", "tweedie+remasking:eta=1",
                                     "tweedie+remasking:variant=rescale,eta=0.5", "tweedie+remasking:variant=rescale"}) {
      SCOPED_TRACE(method + ", " + noise.describe());
      MaskChain const chain = mask_chain(method, noise, grid);
      for (int k = 0; k < grid.steps(); ++k)
        EXPECT_NEAR(chain.masked[static_cast<std::size_t>(k)], noise.lost(grid.point(k + 1)), 1e-12) << "step " << k;
      EXPECT_GT(chain.again, 0.01);
    }
  }
}

// A§8.4: alpha falls to alpha_on, waits there while tokens are exchanged, and goes on to 1.
TEST(Remasking, TheLoopKeepsToItsOwnSchedule) {
  auto const noise = NoiseSchedule::log_linear();
  TimeGrid const grid = TimeGrid::uniform(1, 0, 20);
  MaskChain const chain = mask_chain("tweedie+remasking:variant=loop,on=0.6,off=0.2,alpha_on=0.8,eta=0.05", noise, grid);
  for (int k = 0; k < grid.steps(); ++k) {
    double const t = grid.point(k + 1);
    double const alpha = t > 0.6 ? (1 - t) * 0.8 / 0.4 : t > 0.2 ? 0.8 : 1 - t * 0.2 / 0.2;
    EXPECT_NEAR(chain.masked[static_cast<std::size_t>(k)], 1 - alpha, 1e-9) << "t = " << t;
  }
  EXPECT_NEAR(chain.again, 0.05, 1e-12);
}

// The sampler does the same, and a step that reveals every mask leaves none, also where the noise does not end at 0.
TEST(Remasking, IsSampledWithThoseMarginals) {
  constexpr int length = 10, samples = 20'000;
  auto const noise = NoiseSchedule::geometric(1e-2, 3);
  Process process = Process::reverse(Generator::absorbing(3), noise,
                                     std::make_shared<StoredScores<float>>(
                                         ScoreKind::x0_leave_in, token_t{2}, std::vector<std::vector<double>>{{0, 1, 0}}));
  auto const integrator = make_integrator("tweedie+remasking:variant=rescale,eta=0.7");
  SamplePlan plan{.grid = TimeGrid::from_points({1, 0.7, 0.5, 0.3}), .seed = 6, .samples = samples, .length = length};
  HostTokens const tokens = sample(ExecSpace(), process, *integrator, plan);
  // all masks at the start instead of lost(T) of them
  double masked = 1;
  for (int k = 0; k < 3; ++k) {
    double const from = noise.lost(plan.grid.point(k)), to = noise.lost(plan.grid.point(k + 1));
    double const sigma = 0.7 * std::min(1.0, to / (1 - from));
    masked = masked * (to - sigma * (1 - from)) / from + (1 - masked) * sigma;
  }
  auto const masks = std::count(tokens.data(), tokens.data() + tokens.size(), token_t{2});
  auto const n = static_cast<std::int64_t>(tokens.size());
  EXPECT_TRUE(accepts(binomial_p_value(masks, n, masked)));
  EXPECT_LT(binomial_p_value(masks, n, 1.05 * masked), false_alarm);
  for (std::string const variant : {"cap", "rescale", "confidence", "loop"}) {
    auto const to_data = make_integrator("tweedie+remasking:variant=" + variant);
    plan = make_plan(process, *to_data, 4, length);
    plan.samples = 2000;
    HostTokens const data = sample(ExecSpace(), process, *to_data, plan);
    EXPECT_EQ(std::count(data.data(), data.data() + data.size(), token_t{2}), 0) << variant;
  }
}

// ----------------------------------------------------------------------------------------------------------- informed

// At a high temperature sites are chosen without regard to their tokens, and one at a time is a Gibbs sampler with random
// scan: the law given which sites are masked stays. All at once does not leave it, but follows the law written down here.
TEST(Informed, OneSiteAtATimeIsAGibbsSampler) {
  constexpr std::size_t samples = 400'000;
  constexpr token_t m = 2;
  // x^0 and x^2 agree four times in five
  TableLaw const law(3, 2, {0.3, 0.1, 0.05, 0.05, 0.02, 0.08, 0.05, 0.35});
  Generator const generator = Generator::absorbing(3);
  Process process = Process::reverse(generator, NoiseSchedule::log_linear(), law.denoiser(generator, true));
  // p(x^0, x^2) where site 1 is masked; [x^0, x^2]
  std::vector<double> p(4, 0);
  for (std::size_t i = 0; i < 8; ++i) p[(i >> 2) * 2 + (i & 1)] += law.probabilities()[i];
  Rows start;
  for (std::size_t b = 0; b < samples; ++b) {
    start.emplace_back(3);
    law.draw(9, b, start.back());
    start.back()[1] = m;
  }
  auto const run = [&](std::string const& method, std::uint64_t seed) {
    auto const integrator = make_integrator(method);
    EXPECT_EQ(integrator->refuses(process), "");
    ExecSpace const exec;
    StepTable const table(exec, process, TimeGrid::from_points({0.8, 0.5}), step_options(*integrator, process));
    State state = to_state(start, 0.8);
    state.frozen = to_frozen(std::vector<std::vector<int>>(samples, {0, 1, 0}));
    Extents const extents{static_cast<int>(samples), 3};
    process.reserve(extents, integrator->info().slots);
    CounterView const counters("counters", integrator->reserve(process, extents));
    integrator->advance(exec, process, state, table.step(0), StreamKey{seed, 0}, counters);
    exec.fence();
    std::vector<std::int64_t> counts(4, 0);
    std::int64_t changed = 0;
    Rows const rows = to_rows(state.tokens);
    for (std::size_t b = 0; b < samples; ++b) {
      EXPECT_EQ(rows[b][1], m);
      ++counts[static_cast<std::size_t>(rows[b][0] * 2 + rows[b][2])];
      changed += rows[b] != start[b];
    }
    EXPECT_GT(changed, static_cast<std::int64_t>(samples) / 5);
    return counts;
  };
  auto const one = run("tweedie+informed:k=1,steps=3,temperature=1e9", 1);
  EXPECT_TRUE(accepts(g_test(one, p)));
  EXPECT_TRUE(rejects(g_test(one, five_percent_off(p))));
  EXPECT_GT(power(p, five_percent_off(p), samples), 1 - missed_alarm);

  std::vector<double> both(4, 0);  // each site given the other's token before
  auto const left = [&](std::size_t y, std::size_t z) { return p[y * 2 + z] / (p[z] + p[2 + z]); };
  auto const right = [&](std::size_t y, std::size_t z) { return p[z * 2 + y] / (p[2 * z] + p[2 * z + 1]); };
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) both[j] += p[i] * left(j >> 1, i & 1) * right(j & 1, i >> 1);
  }
  auto const all = run("tweedie+informed:k=2,temperature=1e9", 2);
  EXPECT_TRUE(accepts(g_test(all, both)));
  EXPECT_GT(power(both, p, samples), 1 - missed_alarm);
  EXPECT_TRUE(rejects(g_test(all, p)));
}

// Nested correctors draw numbers of their own: with the same ones, a second corrector would redraw independent sites to what
// the first has drawn.
TEST(Correctors, NestedOnesDrawOtherNumbers) {
  TableLaw const law = TableLaw::neighbours(4, 3, 0);
  Generator const generator = Generator::absorbing(4);
  Process process = Process::reverse(generator, NoiseSchedule::log_linear(), law.denoiser(generator, true));
  auto const run = [&](std::string const& method) {
    auto const integrator = make_integrator(method);
    SamplePlan const plan{.grid = TimeGrid::from_points({0.8, 0.5}), .seed = 3, .samples = 50, .length = 4,
                          .start = fixed_start({0, 1, 2, 1})};
    HostTokens const tokens = sample(ExecSpace(), process, *integrator, plan);
    return std::vector<token_t>(tokens.data(), tokens.data() + tokens.size());
  };
  auto const once = run("tweedie+informed:k=4");
  EXPECT_EQ(run("tweedie+informed:k=4"), once);
  EXPECT_NE(run("tweedie+informed:k=4+informed:k=4"), once);
  EXPECT_NE(run("tweedie+informed:k=4,steps=2"), once);
}

// ------------------------------------------------------------------------------------------------------ flow matching

// A clean token from p(x_0 | x_t) is taken over with probability 1 - exp(-h kappa'/(1 - kappa)), kappa = alpha; always in a
// step that ends without noise (A§7).
TEST(FlowMatching, FollowsItsFormula) {
  Noise const noises[] = {{Noise::Kind::cosine, 1e-3}, {Noise::Kind::constant, 1.3, 0, 2}};
  for (bool const masked : {true, false}) {
    for (Noise const& noise : noises) {
      for (ScoreKind const kind : {ScoreKind::x0_leave_in, ScoreKind::x0_leave_one_out, ScoreKind::score, ScoreKind::log_score}) {
        for (double const to : {0.3, 0.0}) {
          for (double const phi : {1.0, 1.2}) {
            int const states = 4, own = masked ? 3 : 1;
            double const from = 0.8;
            StepNoise const n(noise, from, to);
            Reals clean{0.5L, 0.2L, 0.3L, masked ? 0 : 0.15L};
            long double const sum = std::accumulate(clean.begin(), clean.end(), 0.0L);
            for (long double& x : clean) x /= sum;
            auto const row = row_of_kind(kind, clean, own, masked ? std::optional<int>(3) : std::nullopt, n);
            std::vector<double> numbers(row.begin(), row.end());
            if (masked) numbers[3] = kind == ScoreKind::log_score ? 0 : 0.5;  // means nothing
            Generator const generator = masked ? Generator::absorbing(states) : Generator::uniform(states);
            Process process = Process::reverse(generator, noise.schedule(),
                                               std::make_shared<StoredScores<double>>(
                                                   kind, masked ? std::optional<token_t>(3) : std::nullopt,
                                                   std::vector<std::vector<double>>{numbers}),
                                               masked);
            Reals posterior = clean;  // leave-in: pL(k) P(k, own)
            if (!masked) {
              for (std::size_t k = 0; k < posterior.size(); ++k)
                posterior[k] *= n.lost_from / states + (static_cast<int>(k) == own ? n.alpha_from : 0);
            }
            long double const norm = std::accumulate(posterior.begin(), posterior.end(), 0.0L);
            long double const take = n.lost_to == 0 ? 1 : 1 - std::exp(-n.duration * phi * n.hazard);
            auto const integrator = make_integrator("flow_matching");
            auto const laws = site_laws(process, *integrator, to_state({{own}}, from),
                                        one_step(noise.schedule(), {from, to}, phi));
            for (std::size_t y = 0; y < 4; ++y) {
              long double const p = static_cast<int>(y) == own ? 1 - take * (1 - posterior[y] / norm) : take * posterior[y] / norm;
              EXPECT_NEAR(laws[0][0][y], static_cast<double>(p), 1e-12)
                  << masked << ", kind " << static_cast<int>(kind) << ", to " << to << ", token " << y;
            }
          }
        }
      }
    }
  }
  auto const integrator = make_integrator("flow_matching");
  TableLaw const law = TableLaw::neighbours(2, 3, 1);
  Generator const dense = Generator::gaussian_target(3, 1.5, 2);
  EXPECT_NE(integrator->refuses(Process::reverse(dense, NoiseSchedule::cosine(), law.denoiser(dense))), "");
}

}  // namespace
}  // namespace saltus
