// SPDX-License-Identifier: BSD-3-Clause
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/exact.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/scheduled.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>

#include "reference/harness.hpp"

namespace saltus {
namespace {

using namespace reference;

constexpr int states = 3, length = 6;
// Rows of different entropies, so that features differ from row to row.
MarkovChain chain(int sites = length) { return {sites, states, {0.6, 0.3, 0.1}, {0.1, 0.8, 0.1, 0.02, 0.02, 0.96, 0.3, 0.3, 0.4}}; }

Process make_process(bool masked, SequenceLaw const& law, NoiseSchedule const& noise = NoiseSchedule::log_linear()) {
  Generator const generator = masked ? Generator::absorbing(law.states() + 1) : Generator::uniform(law.states());
  return Process::reverse(generator, noise, law.denoiser(generator));
}

// From the end of the noise in steps of different lengths.
Schedule make_schedule(std::string const& base, bool masked) {
  return {.base = base, .times = {1, 0.7, 0.5, 0.2, masked ? 0 : 0.01}, .forced_last = masked};
}

HostTokens run(Schedule const& schedule, Process& process, std::uint64_t seed = 7, int batch = 64, std::size_t samples = 200) {
  auto const integrator = make_scheduled(schedule, process);
  SamplePlan plan = make_plan(schedule, process, length);
  plan.samples = samples;
  plan.seed = seed;
  plan.batch = batch;
  return sample(ExecSpace(), process, *integrator, plan);
}

std::size_t differences(HostTokens const& a, HostTokens const& b) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) count += a.data()[i] != b.data()[i];
  return count;
}

TEST(Scheduled, BinsOfOneFactorAreThatFactorTokenForToken) {
  for (bool const masked : {true, false}) {
    Process process = make_process(masked, chain());
    for (char const* const base : {"euler", "exponential", "tau_leaping", "tweedie", "tweedie:categorical=gumbel_eps"}) {
      SCOPED_TRACE(std::string(base) + (masked ? ", masked" : ", uniform"));
      Schedule plain = make_schedule(base, masked), by_state = plain;
      plain.phi = {1.3, 0.6, 0.8, 1.1};
      by_state.state = StateFactors{{0.3, 0.6}, {0.4, 0.8}, {}};
      for (double const phi : plain.phi) by_state.state->phi.insert(by_state.state->phi.end(), 9, phi);
      if (std::string(base).find("gumbel") != std::string::npos) {
        EXPECT_NE(message_of<UserError>([&] { run(by_state, process); }).find("with a law by site"), std::string::npos);
        continue;
      }
      HostTokens const tokens = run(plain, process);
      EXPECT_EQ(differences(tokens, run(by_state, process)), 0u);
      by_state.state->phi[masked ? 17 : 10] = 1.5;  // of a bin that is seldom empty in the second step
      EXPECT_GT(differences(tokens, run(by_state, process)), 0u);
    }
  }
}

// [batch]: the features of each row, from a law whose sites are known each on its own.
TEST(Scheduled, FeaturesAreSharesAndEntropies) {
  std::vector<double> const p{0.5, 0.3, 0.2, 0.9, 0.05, 0.05, 1, 0, 0};
  ProductLaw const law(3, 3, p);
  for (bool const masked : {true, false}) {
    Process process = make_process(masked, law);
    Rows const rows = masked ? Rows{{3, 3, 3}, {3, 1, 3}, {0, 1, 2}, {0, 3, 0}} : Rows{{0, 0, 0}, {1, 2, 1}, {2, 1, 0}};
    State state = to_state(rows, 0.5);
    state.frozen = to_frozen(masked ? std::vector<std::vector<int>>{{0, 0, 0}, {1, 0, 0}, {0, 0, 0}, {0, 0, 0}}
                                    : std::vector<std::vector<int>>{{0, 0, 0}, {1, 0, 0}, {1, 1, 1}});
    auto const frozen = Kokkos::create_mirror_view_and_copy(HostSpace(), state.frozen);
    StepTable const table(ExecSpace(), process, TimeGrid::from_points({0.5, 0.4}));
    process.reserve({state.batch(), 3}, 1);
    process.refresh(ExecSpace(), state, 0);
    FeatureView const features("test::features", rows.size());
    state_features(ExecSpace(), process, state, table.step(0), 0, SiteEntropies("test::work", rows.size(), 3), features);
    auto const got = Kokkos::create_mirror_view_and_copy(HostSpace(), features);
    FeatureView const shares_only("test::features", rows.size());
    state_features(ExecSpace(), process, state, table.step(0), 0, {}, shares_only);
    auto const without = Kokkos::create_mirror_view_and_copy(HostSpace(), shares_only);
    for (std::size_t b = 0; b < rows.size(); ++b) {
      int moving = 0;
      double sum = 0;
      for (std::size_t l = 0; l < 3; ++l) {
        token_t const own = rows[b][l];
        if (frozen(b, l) || (masked && own != 3)) continue;
        ++moving;
        double others = 0;
        for (token_t y = 0; y < 3; ++y) others += y == own ? 0 : p[3 * l + static_cast<std::size_t>(y)];
        for (token_t y = 0; y < 3; ++y) {
          double const q = y == own || others == 0 ? 0 : p[3 * l + static_cast<std::size_t>(y)] / others;
          if (q > 0) sum -= q * std::log(q);
        }
      }
      EXPECT_DOUBLE_EQ(got(b).share, masked ? moving / 3.0 : 0) << b;
      EXPECT_NEAR(got(b).entropy, moving ? sum / moving : 0, 1e-12) << b;
      EXPECT_EQ(without(b).share, got(b).share);
      EXPECT_EQ(without(b).entropy, 0);
    }
  }
}

struct SixBins {
  StateBins bins;
  Kokkos::View<int*, MemorySpace> out;
  KOKKOS_FUNCTION void operator()(int) const {
    out(0) = bins({0, 0});
    out(1) = bins({0.2499, 1.5});
    out(2) = bins({0.25, 1.4999});
    out(3) = bins({0.4999, 2});
    out(4) = bins({0.5, 0});
    out(5) = bins({1, 99});
  }
};

TEST(Scheduled, BinsHaveTheirLowerEdges) {
  StateBins const bins(ExecSpace(), {{0.25, 0.5}, {1.5}, {}});
  ASSERT_EQ(bins.count(), 6);
  Kokkos::View<int*, MemorySpace> const out("test::bins", 6);
  Kokkos::parallel_for(Kokkos::RangePolicy<ExecSpace>(0, 1), SixBins{bins, out});
  auto const got = Kokkos::create_mirror_view_and_copy(HostSpace(), out);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(got(static_cast<std::size_t>(i)), i);
  EXPECT_EQ(StateBins(ExecSpace(), {}).count(), 1);
}

// Rows of one batch in different bins: the laws of their sites, and what is drawn with the same numbers.
TEST(Scheduled, EachRowHasTheFactorOfItsBin) {
  Process process = make_process(true, chain());
  Schedule const first{.base = "tweedie", .times = {1, 0.5}, .phi = {0.4}}, second{.base = "tweedie", .times = {1, 0.5}, .phi = {1.7}};
  Schedule by_state{.base = "tweedie", .times = {1, 0.5}};
  by_state.state = StateFactors{{0.5}, {}, {0.4, 1.7}};
  Rows rows;
  std::vector<bool> above;
  for (std::size_t b = 0; b < 40; ++b) {
    rows.emplace_back();
    int masks = 0;
    for (std::size_t l = 0; l < length; ++l) {
      bool const mask = scramble(100 * b + l) < 0.5;
      masks += mask;
      rows.back().push_back(mask ? states : static_cast<token_t>(states * scramble(777 + 100 * b + l)));
    }
    above.push_back(masks >= length / 2);  // exactly half lies in the bin above
  }
  auto const laws_of = [&](Schedule const& schedule) {
    auto const integrator = make_scheduled(schedule, process);
    return site_laws(process, *integrator, to_state(rows, 1),
                     StepTable(ExecSpace(), process, TimeGrid::from_points(schedule.times), {.phi = schedule.phi}));
  };
  auto const after = [&](Schedule const& schedule) {
    auto const integrator = make_scheduled(schedule, process);
    State const state = to_state(rows, 1);
    advance_once(process, *integrator, state,
                 StepTable(ExecSpace(), process, TimeGrid::from_points(schedule.times), {.phi = schedule.phi}));
    return to_rows(state.tokens);
  };
  SiteLaws const one = laws_of(first), other = laws_of(second), both = laws_of(by_state);
  Rows const tokens_one = after(first), tokens_other = after(second), tokens_both = after(by_state);
  int differ = 0;
  for (std::size_t b = 0; b < rows.size(); ++b) {
    EXPECT_EQ(both[b], above[b] ? other[b] : one[b]) << b;
    EXPECT_EQ(tokens_both[b], above[b] ? tokens_other[b] : tokens_one[b]) << b;
    differ += tokens_one[b] != tokens_other[b];
  }
  EXPECT_GT(differ, 5) << "the two factors must do different things";
}

TEST(Scheduled, AForcedStepRevealsWhateverTheBinSays) {
  Process process = make_process(true, chain());
  Schedule schedule{.base = "tweedie", .times = {1, 0}, .forced_last = true};
  schedule.state = StateFactors{{0.5}, {}, {0.1, 0.1}};
  HostTokens const tokens = run(schedule, process);
  for (std::size_t i = 0; i < tokens.size(); ++i) ASSERT_LT(tokens.data()[i], states);
}

TEST(Scheduled, StepsOfDifferentBasesAreThoseBasesByHand) {
  Process process = make_process(true, chain());
  Schedule schedule = make_schedule("euler", true);
  schedule.bases = {"euler", "tweedie_trapezoidal", "tweedie_trapezoidal:split=0.3", "tweedie"};
  schedule.phi = {1.2, 0.9, 0.7, 1};
  EXPECT_EQ(evaluations(schedule), 6);
  constexpr std::size_t samples = 50;
  SampleReport report;
  SamplePlan plan = make_plan(schedule, process, length);
  plan.seed = 3;
  plan.samples = samples;
  auto const integrator = make_scheduled(schedule, process);
  HostTokens const tokens = sample(ExecSpace(), process, *integrator, plan, &report);
  EXPECT_EQ(report.evaluations, 6);

  State const state{Tokens("test::tokens", samples, length), Times("test::time", samples), {}, 0};
  Kokkos::deep_copy(state.time, 1.0);
  draw_prior(ExecSpace(), process, state, plan.seed);
  for (int k = 0; k < schedule.steps(); ++k) {
    auto const i = static_cast<std::size_t>(k);
    auto const base = make_integrator(schedule.bases[i]);
    advance_once(process, *base, state,
                 one_step(process, *base, {schedule.times[i], schedule.times[i + 1]}, schedule.phi[i], 1, k + 1 == schedule.steps()),
                 plan.seed, k);
  }
  Rows const rows = to_rows(state.tokens);
  for (std::size_t b = 0; b < samples; ++b) {
    for (std::size_t l = 0; l < length; ++l) ASSERT_EQ(rows[b][l], tokens(b, l)) << b << ' ' << l;
  }
}

TEST(Scheduled, ResultsDoNotDependOnTheBatch) {
  for (bool const masked : {true, false}) {
    Process process = make_process(masked, chain());
    Schedule schedule = make_schedule("tweedie", masked);
    schedule.state = StateFactors{{0.3, 0.6}, {0.4, 0.8}, {}};
    for (std::size_t i = 0; i < 36; ++i) schedule.state->phi.push_back(0.5 + scramble(i));
    HostTokens const tokens = run(schedule, process);
    for (int const batch : {1, 7, 200}) EXPECT_EQ(differences(tokens, run(schedule, process, 7, batch)), 0u) << batch;
    EXPECT_GT(differences(tokens, run(schedule, process, 8)), 0u);
  }
}

// A§12.7-6: of scores that know no time only reveal probabilities matter, u_k = phi (lost_k - lost_k+1) / lost_k for tweedie and
// phi h hazard for euler: factors on a uniform grid are a grid of lost_k+1 = (1 - u_k) lost_k without them.
TEST(Scheduled, FactorsAndTimesAreRedundantForMaskedScoresWithoutTime) {
  constexpr int sites = 3;
  NoiseSchedule const noise = NoiseSchedule::parse("cosine");
  Process process = make_process(true, chain(sites), noise);
  StateSpace const space(states + 1, sites);
  Schedule with_phi{.base = "euler", .times = {0.95, 0.8, 0.65, 0.5, 0}, .phi = {1.4, 0.7, 1.2, 1}, .forced_last = true};
  Schedule retimed{.base = "tweedie", .times = {0.95}, .forced_last = true};
  double lost = noise.lost(0.95);
  for (std::size_t k = 0; k < 3; ++k) {
    StepCoeff const c = noise.coefficients({with_phi.times[k], with_phi.times[k + 1]});
    double const u = with_phi.phi[k] * c.duration * c.hazard;
    ASSERT_LT(u, 0.9);
    retimed.times.push_back(noise.time_at_lost(lost *= 1 - u));
  }
  retimed.times.push_back(0);
  auto const law_of = [&](Schedule const& schedule) {
    auto const integrator = make_scheduled(schedule, process);
    SamplePlan const plan = make_plan(schedule, process, sites);
    return output_law(ExecSpace(), process, *integrator, space, prior_law(process, space), plan.grid, plan.forced_last, plan.phi);
  };
  auto const apart = [](std::vector<double> const& p, std::vector<double> const& q) {
    double tv = 0;
    for (std::size_t i = 0; i < p.size(); ++i) tv += std::abs(p[i] - q[i]) / 2;
    return tv;
  };
  auto const law = law_of(with_phi);
  EXPECT_LT(apart(law, law_of(retimed)), 1e-12);
  Schedule off = retimed;  // 5 % in one time
  off.times[2] *= 1.05;
  EXPECT_GT(apart(law, law_of(off)), 1e-4);
  Schedule plain = with_phi;
  plain.phi.clear();
  EXPECT_GT(apart(law, law_of(plain)), 1e-3);
}

TEST(Scheduled, ExactLawsGoByTheBinsToo) {
  constexpr int sites = 2;
  Process process = make_process(true, chain(sites));
  StateSpace const space(states + 1, sites);
  Schedule schedule{.base = "euler", .times = {1, 0.5, 0.25}};
  schedule.state = StateFactors{{0.75}, {}, {1, 0.8, 0.5, 1.5}};  // [step][bin]
  auto const integrator = make_scheduled(schedule, process);
  auto const law = output_law(ExecSpace(), process, *integrator, space, prior_law(process, space),
                              TimeGrid::from_points(schedule.times));
  // Both masked: u = 0.8 * 0.5 and, if still so, 1.5 * 0.25 / 0.5; with one mask left 0.5 * 0.25 / 0.5.
  double const u0 = 0.4, both = 0.75, one = 0.25;
  double masks[3] = {};
  for (std::size_t i = 0; i < law.size(); ++i) {
    auto const x = space.tokens(i);
    masks[(x[0] == states) + (x[1] == states)] += law[i];
  }
  double const none_yet = (1 - u0) * (1 - u0), half = 2 * u0 * (1 - u0);
  EXPECT_NEAR(masks[2], none_yet * (1 - both) * (1 - both), 1e-12);
  EXPECT_NEAR(masks[1], none_yet * 2 * both * (1 - both) + half * (1 - one), 1e-12);
}

TEST(Scheduled, Refusals) {
  Process process = make_process(true, chain());
  auto const refusal = [&](Schedule const& schedule) {
    return message_of<UserError>([&] { make_scheduled(schedule, process); });
  };
  Schedule schedule = make_schedule("first_hitting", true);
  EXPECT_NE(refusal(schedule).find("'first_hitting' chooses its own steps"), std::string::npos);
  schedule = make_schedule("top_k:counts=uniform", true);
  EXPECT_NO_THROW(make_scheduled(schedule, process)) << "times alone are fine";
  schedule.phi = {1, 1, 1, 2};
  EXPECT_NE(refusal(schedule).find("'top_k:counts=uniform' ignores the factors"), std::string::npos);
  schedule = make_schedule("tweedie_trapezoidal", true);
  schedule.state = StateFactors{{}, {}, {1, 1, 1, 1}};
  EXPECT_NE(refusal(schedule).find("one stage"), std::string::npos);
  schedule = make_schedule("euler", true);
  schedule.phi = {1, 1, 1, 1};
  schedule.bases = {"euler", "euler", "euler", "k_gillespie"};
  EXPECT_NE(refusal(schedule).find("k_gillespie"), std::string::npos);
  schedule.phi = {};
  schedule.bases.back() = "tweedie+remasking:variant=confidence";
  EXPECT_NE(refusal(schedule).find("from step to step"), std::string::npos);
  schedule.bases.assign(4, schedule.bases.back());
  EXPECT_NO_THROW(make_scheduled(schedule, process)) << "all steps are its own";
  schedule.phi = {1, 1, 1, 1};
  schedule.bases = {"euler", "euler", "euler", "tweedie"};
  auto const integrator = make_scheduled(schedule, process);
  SamplePlan plan = make_plan(schedule, process, length);
  plan.grid = TimeGrid::uniform(1, 0, 4);
  EXPECT_NE(message_of<UserError>([&] { sample(ExecSpace(), process, *integrator, plan); }).find("no other grid"), std::string::npos);
  schedule.phi = {1};
  EXPECT_NE(refusal(schedule).find("'phi' needs 4 numbers"), std::string::npos);
}

}  // namespace
}  // namespace saltus
