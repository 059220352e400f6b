// SPDX-License-Identifier: BSD-3-Clause
// Event-driven methods of reverse processes: which rows they read, groups of sites, the envelope of thinning, bounds that
// scores break.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/integrators/uniform_envelope.hpp>

#include "reference/harness.hpp"
#include "reference/scaled_scores.hpp"
#include "reference/stored_scores.hpp"

namespace saltus {
namespace {

using namespace reference;

constexpr token_t mask = 3;

// ------------------------------------------------------------------------------------------------------------ reading

// Gives the row that it was asked for, and NaN everywhere else. Counts how often each row was asked for.
class OneRow final : public ScoreModel {
 public:
  ModelInfo info() const override {
    return {"one row", mask + 1, mask, ScoreKind::x0_leave_one_out, TimeInput::none, 0, false};
  }
  void reserve(Extents extents, int) override {
    scores_ = decltype(scores_)("test::scores", static_cast<std::size_t>(extents.batch),
                                static_cast<std::size_t>(extents.length), mask + 1);
    asked.assign(static_cast<std::size_t>(extents.batch),
                 std::vector<int>(static_cast<std::size_t>(extents.length), 0));
  }
  Evaluation evaluate(ExecSpace const& exec, Query const& query, int) override {
    exec.fence();
    auto const site = Kokkos::create_mirror_view_and_copy(HostSpace(), query.only_site);
    auto const host = Kokkos::create_mirror_view(scores_);
    Kokkos::deep_copy(host, std::numeric_limits<double>::quiet_NaN());
    for (std::size_t b = 0; b < site.extent(0); ++b) {
      if (site(b) == Query::no_site) continue;
      EXPECT_GE(site(b), 0) << "asked for all sites";
      auto const l = static_cast<std::size_t>(site(b));
      ++asked[b][l];
      for (std::size_t y = 0; y <= mask; ++y) host(b, l, y) = y == mask ? 0 : 1;
    }
    Kokkos::deep_copy(scores_, host);
    return {ScalarType::f64, scores_.data(), static_cast<std::int64_t>(scores_.stride(0)),
            static_cast<std::int64_t>(scores_.stride(1)), mask + 1, ScoreKind::x0_leave_one_out};
  }
  std::vector<std::vector<int>> asked;  // [row][site]

 private:
  Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace> scores_;
};

// An event reads one row of the evaluation that was made for it: reading another would meet NaN, which is an error.
TEST(Events, ReadOneRowPerRevealedSite) {
  for (std::string const name : {"first_hitting", "gillespie", "next_reaction", "thinning"}) {
    SCOPED_TRACE(name);
    auto const model = std::make_shared<OneRow>();
    Process process = Process::reverse(Generator::absorbing(mask + 1), NoiseSchedule::cosine(), model);
    State const state = to_state(Rows(20, {mask, 0, mask, mask, 1, mask, mask}), 0.9);
    auto const integrator = make_integrator(name);
    Counters const counters =
        advance_once(process, *integrator, state, one_step(NoiseSchedule::cosine(), {0.9, 0.5}));
    EXPECT_EQ(counters.bad_scores, 0);
    EXPECT_EQ(counters.jumps, counters.evaluations);
    EXPECT_GT(counters.jumps, 20);  // of 100 masks 57 are expected to go
    EXPECT_LT(counters.jumps, 90);
    Rows const rows = to_rows(state.tokens);
    for (std::size_t b = 0; b < rows.size(); ++b) {
      for (std::size_t l = 0; l < 7; ++l) {
        bool const revealed = l != 1 && l != 4 && rows[b][l] != mask;
        EXPECT_EQ(model->asked[b][l], revealed ? 1 : 0) << b << ", " << l;
      }
    }
  }
}

// ------------------------------------------------------------------------------------------------------------- groups

TEST(FirstHitting, GroupsShareAnEvaluation) {
  for (int const calls : {1, 2, 3, 6, 7, 100}) {
    auto const integrator = make_integrator("first_hitting:calls=" + std::to_string(calls));
    EXPECT_FALSE(integrator->info().exact);
    auto const model = std::make_shared<StoredScores<float>>(ScoreKind::x0_leave_one_out, mask,
                                                             std::vector<std::vector<double>>{{1, 2, 3, 0}});
    Process process = Process::reverse(Generator::absorbing(mask + 1), NoiseSchedule::cosine(), model);
    for (bool const forced : {false, true}) {
      // 7, 2 and no masks: min(calls, masks) evaluations
      State const state = to_state({Rows::value_type(7, mask), {0, 1, mask, mask, 2, 2, 2}, Rows::value_type(7, 1)}, 1);
      Counters const counters = advance_once(
          process, *integrator, state, one_step(NoiseSchedule::cosine(), {1, forced ? 0.5 : 0}, 1, 1, forced));
      EXPECT_EQ(counters.jumps, 9);
      EXPECT_EQ(counters.evaluations, std::min(calls, 7) + std::min(calls, 2)) << calls;
      for (auto const& row : to_rows(state.tokens)) EXPECT_EQ(std::count(row.begin(), row.end(), mask), 0);
    }
    EXPECT_EQ(model->evaluations, 2 * std::min(calls, 7));
  }
  EXPECT_TRUE(says(message_of<UserError>([] { make_integrator("first_hitting:calls=0"); }), {"calls", "0"}));
  EXPECT_TRUE(says(message_of<UserError>([] { make_integrator("first_hitting:cals=2"); }), {"calls"}));
}

// With a group for each site the tokens are those of the method without groups.
TEST(FirstHitting, GroupsOfOneSiteAreTheExactMethod) {
  auto const model = std::make_shared<StoredScores<double>>(ScoreKind::x0_leave_one_out, mask,
                                                            std::vector<std::vector<double>>{{1, 2, 3, 0}});
  Process process = Process::reverse(Generator::absorbing(mask + 1), NoiseSchedule::cosine(), model);
  auto const tokens = [&](std::string const& name) {
    State const state = to_state(Rows(30, Rows::value_type(9, mask)), 1);
    advance_once(process, *make_integrator(name), state, one_step(NoiseSchedule::cosine(), {1, 0.3}));
    return to_rows(state.tokens);
  };
  EXPECT_EQ(tokens("first_hitting"), tokens("first_hitting:calls=9"));
}

// ----------------------------------------------------------------------------------------------------------- envelope

TEST(Envelope, ItsDerivativeIsTheBound) {
  for (int const states : {2, 3, 20, 50257}) {
    for (double const tau : {1e-6, 1e-3, 0.1, 1.0, 5.0, 30.0}) {
      double const h = 1e-4 * tau, s = states;
      auto const f = [&](double at) { return detail::uniform_envelope(at, states); };
      // central differences of fourth order
      double const slope = (8 * (f(tau + h) - f(tau - h)) - (f(tau + 2 * h) - f(tau - 2 * h))) / (12 * h);
      double const bound = (s - 1 + std::exp(-tau)) / (s * -std::expm1(-tau));
      EXPECT_NEAR(slope / bound, 1, 1e-9) << states << ", " << tau;
    }
  }
}

TEST(Envelope, TheInverseInverts) {
  for (int const states : {2, 3, 20, 50257}) {
    double largest = 0;
    for (double tau = 1e-15; tau < 700; tau *= 1.37) {
      for (double const further : {1.0, 1.0001, 2.0, 1e3, 1e12}) {
        double const above = std::min(tau * further, 750.0);
        double const back = detail::uniform_envelope_inverse(detail::uniform_envelope(tau, states), above, states);
        largest = std::max(largest, std::abs(back / tau - 1));
      }
    }
    EXPECT_LT(largest, 1e-13) << states;
  }
  // S = 2: F = ln(2 sinh(tau/2)), so the inverse is a closed form.
  for (double const f : {-30.0, -3.0, -0.1, 0.0, 0.7, 4.0}) {
    EXPECT_NEAR(detail::uniform_envelope_inverse(f, 100, 2) / (2 * std::asinh(std::exp(f) / 2)), 1, 1e-13) << f;
  }
}

// ------------------------------------------------------------------------------------------------------------- bounds

SampleReport run(Process& process, std::string const& name, std::size_t samples = 200) {
  auto const integrator = make_integrator(name, process);
  SamplePlan const plan{.grid = TimeGrid::from_points({0.9, 0.2}), .samples = samples, .length = 5};
  SampleReport report;
  sample(ExecSpace(), process, *integrator, plan, &report);
  return report;
}

// Exact scores touch the bound of a masked process at every candidate, and that of a uniform one where the data are one
// sequence; 1.5 times as large, they break it.
TEST(Bounds, BrokenOnesAreCountedOrStopTheRun) {
  for (bool const masked : {true, false}) {
    Generator const generator = masked ? Generator::absorbing(mask + 1) : Generator::uniform(mask);
    auto const process = [&](double factor) {
      return Process::reverse(generator, NoiseSchedule::cosine(),
                              std::make_shared<ScaledScores>(generator, std::vector<double>{1, 0, 0}, factor));
    };
    for (std::string const name : {"thinning", "uniformization"}) {
      if (!make_integrator(name)->refuses(process(1)).empty()) continue;
      SCOPED_TRACE(name + (masked ? ", masked" : ", uniform"));
      Process exact = process(1), large = process(1.5);
      EXPECT_EQ(run(exact, name).violations, 0);
      EXPECT_NO_THROW(run(exact, name + ":policy=error"));
      SampleReport const clipped = run(large, name);
      EXPECT_GT(clipped.violations, 100);
      EXPECT_LE(clipped.violations, clipped.jumps);
      EXPECT_EQ(clipped.clamps, 0);
      EXPECT_EQ(run(large, name + ":policy=clip").violations, clipped.violations);
      EXPECT_TRUE(says(message_of<NumericalError>([&] { run(large, name + ":policy=error"); }),
                       {"'scaled'", "bound", "step 0", "sample", "site", "bound=1.5", "policy=clip"}));
      SampleReport const wide = run(large, name + ":bound=1.6,policy=error");
      EXPECT_EQ(wide.violations, 0);
      if (name == "thinning") {  // candidates happen with probability 1.5/1.6
        EXPECT_GT(wide.evaluations * 200, static_cast<double>(wide.jumps) * 1.02);
      }
    }
  }
}

TEST(Bounds, WrongOptionsAreRefused) {
  for (std::string const name : {"thinning", "uniformization"}) {
    for (std::string const wrong : {"0", "-1", "inf", "nan"}) {
      EXPECT_TRUE(says(message_of<UserError>([&] { make_integrator(name + ":bound=" + wrong); }), {name, "bound"}))
          << wrong;
    }
    EXPECT_TRUE(says(message_of<UserError>([&] { make_integrator(name + ":policy=eror"); }), {"did you mean error"}));
    EXPECT_TRUE(says(message_of<UserError>([&] { make_integrator(name + ":bond=2"); }), {"bound"}));
  }
}

// Scores that are not normalised have a hazard of their own: no integral in closed form.
TEST(NextReaction, RefusesWhatItCannotIntegrate) {
  Generator const absorbing = Generator::absorbing(mask + 1), uniform = Generator::uniform(mask);
  auto const model = [](Generator const& g) {
    return std::make_shared<ScaledScores>(g, std::vector<double>{0.2, 0.3, 0.5}, 1);
  };
  auto const noise = NoiseSchedule::cosine();
  EXPECT_TRUE(says(message_of<UserError>([&] {
                     make_integrator("next_reaction", Process::reverse(absorbing, noise, model(absorbing)));
                   }),
                   {"needs rates with an integral in closed form", "normalised"}));
  EXPECT_NO_THROW(make_integrator("next_reaction", Process::reverse(absorbing, noise, model(absorbing), true)));
  EXPECT_TRUE(says(message_of<UserError>([&] {
                     make_integrator("next_reaction", Process::reverse(uniform, noise, model(uniform)));
                   }),
                   {"closed form"}));
}

// Where sigma_bar(T) is infinite the candidates start where nothing of the data is left.
TEST(Events, InfiniteNoiseHasAnEnd) {
  Generator const generator = Generator::uniform(mask);
  Process process =
      Process::reverse(generator, NoiseSchedule::linear(),
                       std::make_shared<ScaledScores>(generator, std::vector<double>{0.2, 0.3, 0.5}, 1));
  for (std::string const name : {"thinning", "uniformization"}) {
    auto const integrator = make_integrator(name);
    SamplePlan plan = make_plan(process, *integrator, 1, 5);
    plan.samples = 10;
    SampleReport report;
    sample(ExecSpace(), process, *integrator, plan, &report);
    EXPECT_GT(report.jumps, 0) << name;
  }
}

// NaN scores end the run with an error also where a step reveals every mask.
TEST(Events, BadScoresEndAForcedStep) {
  auto const nan = std::numeric_limits<double>::quiet_NaN();
  auto const model =
      std::make_shared<StoredScores<double>>(ScoreKind::score, mask, std::vector<std::vector<double>>{{nan, 1, 1, 0}});
  Process process = Process::reverse(Generator::absorbing(mask + 1), NoiseSchedule::cosine(), model);
  for (std::string const name : {"first_hitting", "gillespie", "thinning"}) {
    auto const integrator = make_integrator(name);
    SamplePlan plan = make_plan(process, *integrator, 1, 5);
    plan.samples = 10;
    EXPECT_TRUE(
        says(message_of<NumericalError>([&] { sample(ExecSpace(), process, *integrator, plan); }), {"not finite"}))
        << name;
  }
}

}  // namespace
}  // namespace saltus
