// SPDX-License-Identifier: BSD-3-Clause
// The run around an integrator: plans, counts, observers, sinks, errors and the registry.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

#include "reference/harness.hpp"
#include "reference/stored_scores.hpp"
#include "reference/twins.hpp"

namespace saltus {
namespace {

using namespace reference;

MarkovChain chain(int length) { return {length, 3, {0.5, 0.3, 0.2}, {0.7, 0.2, 0.1, 0.1, 0.8, 0.1, 0.3, 0.3, 0.4}}; }

Process masked(int length, NoiseSchedule const& noise = NoiseSchedule::log_linear()) {
  return Process::reverse(Generator::absorbing(4), noise, chain(length).denoiser(Generator::absorbing(4)));
}
Process uniform(int length) {
  return Process::reverse(Generator::uniform(3), NoiseSchedule::log_linear(),
                          chain(length).denoiser(Generator::uniform(3)));
}

Rows to_rows(HostTokens const& tokens) {
  Rows rows(tokens.extent(0), std::vector<token_t>(tokens.extent(1)));
  for (std::size_t b = 0; b < rows.size(); ++b) {
    for (std::size_t l = 0; l < rows[b].size(); ++l) rows[b][l] = tokens(b, l);
  }
  return rows;
}

Start fill_with(token_t token) {
  return [token](ExecSpace const& exec, State const& state) { Kokkos::deep_copy(exec, state.tokens, token); };
}

// ---------------------------------------------------------------------------------------------------------- plans

TEST(Sampler, PlansOfReverseProcesses) {
  auto const tweedie = make_integrator("tweedie"), gillespie = make_integrator("gillespie");
  SamplePlan const steps = make_plan(masked(5), *tweedie, 8, 5);
  EXPECT_EQ(steps.grid.steps(), 8);
  EXPECT_EQ(steps.grid.point(0), 1);
  EXPECT_EQ(steps.grid.point(8), 0);
  EXPECT_TRUE(steps.forced_last);
  EXPECT_EQ(steps.length, 5);
  SamplePlan const events = make_plan(masked(5), *gillespie, 8, 5);
  EXPECT_EQ(events.grid.steps(), 1);
  EXPECT_EQ(events.grid.point(1), 0);
  SamplePlan const early = make_plan(uniform(5), *tweedie, 8, 5);
  EXPECT_EQ(early.grid.point(8), default_end_time);
  EXPECT_FALSE(early.forced_last);
  EXPECT_EQ(make_plan(uniform(5), *tweedie, 8, 5, 0.25).grid.point(8), 0.25);
  EXPECT_EQ(make_plan(masked(5, NoiseSchedule::constant(2, 3)), *tweedie, 8, 5).grid.point(0), 3);
}

// ---------------------------------------------------------------------------------------------------------- counts

TEST(Sampler, CountsOfFixedStepMethods) {
  for (auto const* const name : {"euler", "tweedie"}) {
    auto const integrator = make_integrator(name);
    for (int const batch : {1, 4, 100}) {
      Process process = masked(7);
      SamplePlan plan = make_plan(process, *integrator, 5, 7);
      plan.samples = 10;
      plan.batch = batch;
      SampleReport report;
      auto const rows = to_rows(sample(ExecSpace(), process, *integrator, plan, &report));
      EXPECT_EQ(report.samples, 10u);
      EXPECT_EQ(report.evaluations, 5) << name;
      EXPECT_EQ(report.max_evaluations, 5) << name;
      EXPECT_EQ(report.jumps, 70) << name << ": every mask is revealed once";
      EXPECT_EQ(report.clamps, 0) << name;
      EXPECT_GT(report.seconds, 0);
      for (auto const& row : rows) {
        for (token_t const y : row) EXPECT_TRUE(y >= 0 && y < 3) << y;
      }
    }
  }
}

TEST(Sampler, ExactMaskedMethodsAskOncePerSite) {
  for (std::string const name : {"first_hitting", "gillespie", "next_reaction", "thinning"}) {
    SCOPED_TRACE(name);
    auto const integrator = make_integrator(name);
    for (int const batch : {1, 4, 100}) {
      Process process = masked(7);
      SamplePlan plan = make_plan(process, *integrator, 5, 7);
      plan.samples = 10;
      plan.batch = batch;
      SampleReport report;
      auto const rows = to_rows(sample(ExecSpace(), process, *integrator, plan, &report));
      EXPECT_EQ(report.evaluations, 7);
      EXPECT_EQ(report.max_evaluations, 7);
      EXPECT_EQ(report.jumps, 70);
      EXPECT_EQ(report.violations, 0);
      for (auto const& row : rows) {
        for (token_t const y : row) EXPECT_TRUE(y >= 0 && y < 3) << y;
      }
    }
  }
}

// "The last step reveals every remaining mask", also where the noise does not begin at 0 (A§2: geometric).
TEST(Sampler, NoMaskIsLeftByAForcedEnd) {
  for (auto const& name : integrator_names()) {
    for (auto const& noise : {NoiseSchedule::log_linear(0.3), NoiseSchedule::cosine(), NoiseSchedule::constant(2, 3),
                              NoiseSchedule::geometric(0.5, 2)}) {
      Process process = masked(40, noise);
      auto const integrator = make_integrator(name);
      if (!integrator->refuses(process).empty()) continue;
      SamplePlan plan = make_plan(process, *integrator, 4, 40);
      plan.samples = 20;
      SampleReport report;
      auto const rows = to_rows(sample(ExecSpace(), process, *integrator, plan, &report));
      std::size_t masks = 0;
      for (auto const& row : rows) masks += static_cast<std::size_t>(std::count(row.begin(), row.end(), 3));
      EXPECT_EQ(masks, 0u) << name << ", " << noise.describe();
      EXPECT_EQ(report.jumps, 20 * 40) << name << ", " << noise.describe();
    }
  }
}

TEST(Sampler, ForwardRunsAskNothing) {
  for (auto const& name : integrator_names()) {
    for (bool const absorbing : {true, false}) {
      Process process =
          Process::forward(absorbing ? Generator::absorbing(3) : Generator::uniform(3), NoiseSchedule::constant(50, 1));
      auto const integrator = make_integrator(name);
      if (!integrator->refuses(process).empty()) continue;
      SamplePlan plan{.grid = TimeGrid::uniform(0, 1, name == "gillespie" ? 1 : 200),
                      .samples = 9,
                      .length = 70,
                      .batch = 4,
                      .start = fill_with(1)};
      SampleReport report;
      auto const rows = to_rows(sample(ExecSpace(), process, *integrator, plan, &report));
      EXPECT_EQ(report.evaluations, 0) << name;
      EXPECT_EQ(report.max_evaluations, 0) << name;
      if (absorbing) {  // exp(-50) of a token being left
        EXPECT_EQ(rows, Rows(9, std::vector<token_t>(70, 2))) << name;
        EXPECT_EQ(report.jumps, 9 * 70) << name;
      } else {
        // 630 sites jump 50 * 2/3 times each: 21,000 +- 5 sigma; Euler and Tweedie see at most one jump a step
        EXPECT_GT(report.jumps, name == "gillespie" ? 20'275 : 15'000) << name;
        EXPECT_LT(report.jumps, 21'725) << name;
      }
    }
  }
}

TEST(Sampler, ClampsAreReported) {
  auto const model =
      std::make_shared<StoredScores<double>>(ScoreKind::score, 2, std::vector<std::vector<double>>{{3, 1, 0}});
  Process process = Process::reverse(Generator::absorbing(3), NoiseSchedule::constant(), model);
  SamplePlan const plan{.grid = TimeGrid::from_points({1, 0.5}), .samples = 3, .length = 4};
  SampleReport report;
  sample(ExecSpace(), process, *make_integrator("euler"), plan, &report);
  EXPECT_EQ(report.clamps, 12);  // h sigma sum s = 2
  EXPECT_EQ(model->evaluations, 1);
  EXPECT_EQ(model->rows, 3);
}

// ---------------------------------------------------------------------------------------------------------- order

TEST(Sampler, SinkGetsBatchesInOrder) {
  Process process = masked(3);
  auto const integrator = make_integrator("tweedie");
  SamplePlan plan = make_plan(process, *integrator, 2, 3);
  plan.samples = 11;
  plan.batch = 4;
  plan.first_sample = (std::uint64_t{1} << 33) + 5;
  std::vector<std::uint64_t> firsts;
  std::vector<std::size_t> sizes, done;
  Rows rows;
  sample(
      ExecSpace(), process, *integrator, plan,
      [&](std::uint64_t first, HostTokens const& tokens) {
        firsts.push_back(first);
        sizes.push_back(tokens.extent(0));
        for (auto& row : to_rows(tokens)) rows.push_back(std::move(row));
      },
      {}, [&](std::size_t n) { done.push_back(n); });
  EXPECT_EQ(firsts, (std::vector<std::uint64_t>{plan.first_sample, plan.first_sample + 4, plan.first_sample + 8}));
  EXPECT_EQ(sizes, (std::vector<std::size_t>{4, 4, 3}));
  EXPECT_EQ(done, (std::vector<std::size_t>{4, 8, 11}));
  EXPECT_EQ(rows, to_rows(sample(ExecSpace(), process, *integrator, plan)));  // into memory: the same
}

struct Recorder : StepObserver {
  int every;
  std::vector<int> steps;
  std::vector<double> times, clocks;
  std::vector<std::size_t> rows;
  explicit Recorder(int n) : every(n) {}
  int cadence() const override { return every; }
  void observe(ExecSpace const& exec, StepEvent const& event, State const& state) override {
    steps.push_back(event.step);
    EXPECT_EQ(event.steps, 7);
    times.push_back(event.time);
    exec.fence();
    clocks.push_back(Kokkos::create_mirror_view_and_copy(HostSpace(), state.time)(0));
    rows.push_back(state.tokens.extent(0));
  }
};

TEST(Sampler, ObserversSeeEverySoManyStepsAndTheLast) {
  for (auto const* const name : {"euler", "tweedie"}) {
    Process process = masked(3);
    auto const integrator = make_integrator(name);
    SamplePlan plan = make_plan(process, *integrator, 7, 3);
    plan.samples = 5;
    plan.batch = 3;
    Recorder all(1), third(3), seventh(7), never(100);
    StepObserver* const observers[] = {&all, &third, &seventh, &never};
    sample(ExecSpace(), process, *integrator, plan, [](std::uint64_t, HostTokens const&) {}, observers);
    EXPECT_EQ(all.steps, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6}));  // two batches
    EXPECT_EQ(third.steps, (std::vector<int>{2, 5, 6, 2, 5, 6}));
    EXPECT_EQ(seventh.steps, (std::vector<int>{6, 6}));
    EXPECT_EQ(never.steps, (std::vector<int>{6, 6}));
    EXPECT_EQ(never.rows, (std::vector<std::size_t>{3, 2}));
    for (std::size_t i = 0; i < all.times.size(); ++i) {
      EXPECT_EQ(all.times[i], plan.grid.point(all.steps[i] + 1));
      EXPECT_EQ(all.clocks[i], all.times[i]) << name;
    }
  }
}

TEST(Sampler, DependsOnSeedAndGlobalIndexAlone) {
  for (auto const& name : integrator_names()) {
    for (bool const is_masked : {true, false}) {
      Process const asked = is_masked ? masked(70) : uniform(70);
      if (!make_integrator(name)->refuses(asked).empty()) continue;
      auto const drawn = [&](std::uint64_t seed, std::size_t samples, int batch, std::uint64_t first) {
        Process process = is_masked ? masked(70) : uniform(70);
        auto const integrator = make_integrator(name);
        SamplePlan plan = make_plan(process, *integrator, 3, 70);
        plan.seed = seed;
        plan.samples = samples;
        plan.batch = batch;
        plan.first_sample = first;
        return to_rows(sample(ExecSpace(), process, *integrator, plan));
      };
      auto const all = drawn(5, 9, 256, 0);
      EXPECT_EQ(drawn(5, 9, 2, 0), all) << name;
      EXPECT_EQ(drawn(5, 4, 3, 5), Rows(all.begin() + 5, all.end())) << name;
      EXPECT_EQ(std::set<std::vector<token_t>>(all.begin(), all.end()).size(), 9u) << name;
      EXPECT_NE(drawn(6, 9, 256, 0), all) << name;
      EXPECT_NE(drawn(5, 1, 256, std::uint64_t{1} << 32)[0], all[0]) << name;
    }
  }
}

TEST(Sampler, PriorsOfReverseProcesses) {
  ExecSpace const exec;
  State state{Tokens("test::tokens", 3, 700), Times("test::time", 3), {}, 17};
  draw_prior(exec, masked(700), state, 1);
  EXPECT_EQ(reference::to_rows(state.tokens), Rows(3, std::vector<token_t>(700, 3)));
  draw_prior(exec, uniform(700), state, 1);
  auto const rows = reference::to_rows(state.tokens);
  std::vector<int> count(3, 0);
  for (auto const& row : rows) {
    for (token_t const y : row) {
      ASSERT_TRUE(y >= 0 && y < 3);
      ++count[static_cast<std::size_t>(y)];
    }
  }
  for (int const n : count) EXPECT_NEAR(n, 700, 5 * std::sqrt(2100 * 2.0 / 9));
  EXPECT_NE(rows[0], rows[1]);
  state.first_sample = 18;  // rows are named by their global index
  draw_prior(exec, uniform(700), state, 1);
  EXPECT_EQ(reference::to_rows(state.tokens)[0], rows[1]);
  draw_prior(exec, uniform(700), state, 2);
  EXPECT_NE(reference::to_rows(state.tokens)[0], rows[1]);
  EXPECT_TRUE(says(message_of<UserError>([&] {
                     draw_prior(exec, Process::forward(Generator::uniform(3), NoiseSchedule::cosine()), state, 1);
                   }),
                   {"forward", "start"}));
}

// ---------------------------------------------------------------------------------------------------------- errors

// Site 2 of 4 has bad scores. Fixed steps: all sites of the first batch; the event-driven method gets there too.
TEST(Sampler, NumericalErrorsNameStepSampleAndSite) {
  double const nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<std::vector<double>> const rows{{1, 1, 0}, {1, 1, 0}, {1, nan, 0}, {1, 1, 0}};
  for (auto const& name : integrator_names()) {
    auto const model = std::make_shared<StoredScores<float>>(ScoreKind::x0_leave_one_out, 2, rows);
    Process process = Process::reverse(Generator::absorbing(3), NoiseSchedule::log_linear(), model);
    SamplePlan const plan{
        .grid = TimeGrid::from_points({1, 0}), .samples = 4, .length = 4, .batch = 3, .first_sample = 40, .forced_last = true};
    if (!make_integrator(name)->refuses(process).empty()) continue;
    IntegratorInfo const info = make_integrator(name)->info();
    int calls = 0;
    auto const message = message_of<NumericalError>([&] {
      sample(ExecSpace(), process, *make_integrator(name), plan, [&](std::uint64_t, HostTokens const&) { ++calls; });
    });
    EXPECT_TRUE(says(message, {"'stored'", "sample 4", "site 2"})) << name;
    // Steps of a method's own are counted on their own, and a second stage finds the same site again.
    if (info.evaluations == 1) {
      EXPECT_TRUE(says(message, {"step 0", "sample 40", "3 in this batch"})) << name;
    }
    EXPECT_EQ(calls, 0) << name;
  }
}

// A model that goes wrong late: the batch before has been handed over, and the step is the right one.
class LateNan final : public ScoreModel {
 public:
  explicit LateNan(int good) : good_(good) {
    for (auto const kind : {false, true}) {
      scores_.emplace_back(std::make_shared<StoredScores<double>>(
          ScoreKind::score, std::nullopt,
          std::vector<std::vector<double>>{{1, kind ? std::numeric_limits<double>::quiet_NaN() : 1,
                                            kind ? std::numeric_limits<double>::quiet_NaN() : 1}}));
    }
  }
  ModelInfo info() const override { return scores_[0]->info(); }
  void reserve(Extents, int) override {}
  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    return scores_[calls_++ < good_ ? 0 : 1]->evaluate(exec, query, slot);
  }

 private:
  int good_, calls_ = 0;
  std::vector<std::shared_ptr<StoredScores<double>>> scores_;
};

TEST(Sampler, NumericalErrorsNameTheFirstBadStep) {
  Process process = Process::reverse(Generator::uniform(3), NoiseSchedule::log_linear(), std::make_shared<LateNan>(8));
  SamplePlan const plan{.grid = TimeGrid::uniform(1, 0.1, 5), .samples = 6, .length = 150, .batch = 2};
  std::vector<std::uint64_t> handed_over;
  auto const message = message_of<NumericalError>([&] {
    sample(ExecSpace(), process, *make_integrator("euler"), plan,
           [&](std::uint64_t first, HostTokens const&) { handed_over.push_back(first); });
  });
  EXPECT_TRUE(says(message, {"step 3", "sample 2", "site 0", "600 in this batch"}));  // steps 3 and 4 of 2 x 150 sites
  EXPECT_EQ(handed_over, std::vector<std::uint64_t>{0});
}

// ---------------------------------------------------------------------------------------------------------- laws

// The law of a run is that of its steps one after the other; for independent sites Tweedie is exact (A§13.9).
TEST(Sampler, OutputLawOfIndependentSitesIsTheirs) {
  std::vector<double> const p{0.1, 0.2, 0.7, 0.5, 0.25, 0.25};
  ProductLaw const law(2, 3, p);
  std::vector<double> joint;
  for (std::size_t i = 0; i < 9; ++i) joint.push_back(p[i / 3] * p[3 + i % 3]);
  ExecSpace const exec;
  auto const noise = NoiseSchedule::cosine();
  for (int const steps : {1, 3}) {
    for (auto const& generator : {Generator::absorbing(4), Generator::uniform(3)}) {
      Process process = Process::reverse(generator, noise, law.denoiser(generator));
      StateSpace const space(generator.states(), 2);
      auto const p0 = space.embed(joint, generator);
      double const end = generator.mask() ? 0 : 0.01;
      auto const got = output_law(exec, process, *make_integrator("tweedie"), space,
                                  forward_law(space, p0, generator, noise, 1), TimeGrid::uniform(1, end, steps));
      auto const expected = forward_law(space, p0, generator, noise, end);
      for (std::size_t i = 0; i < got.size(); ++i)
        EXPECT_NEAR(got[i], expected[i], 1e-13) << generator.name() << ", " << steps;
    }
  }
}

// ---------------------------------------------------------------------------------------------------------- registry

TEST(Registry, EveryIntegratorIsDescribed) {
  auto const names = integrator_names();
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  for (auto const* const known : {"euler", "gillespie", "tweedie"})
    EXPECT_EQ(std::count(names.begin(), names.end(), known), 1) << known;
  for (auto const& name : names) {
    auto const integrator = make_integrator(name);
    IntegratorInfo const& info = integrator->info();
    EXPECT_EQ(info.name, name);
    EXPECT_GT(info.summary.size(), 20u) << name;
    EXPECT_EQ(info.summary.find('\n'), std::string::npos) << name;
    EXPECT_TRUE(info.reference.find("doi:") != std::string::npos || info.reference.find("arXiv:") != std::string::npos)
        << name;
    bool const biased = std::count(reference::twins.begin(), reference::twins.end(), name) > 0;
    EXPECT_TRUE(info.exact || info.weak_order > 0 || biased) << name << " says nothing of its accuracy";
    EXPECT_GE(info.slots, 1) << name;
    EXPECT_LE(info.slots, 2) << name;
    EXPECT_GE(info.host_syncs, info.evaluations == 0 ? -1 : 0) << name;
    // A method that refuses some process says in info() what it needs.
    bool refuses = false;
    for (Process const& process :
         {masked(3), uniform(3), Process::forward(Generator::uniform(3), NoiseSchedule::cosine()),
          Process::forward(Generator::absorbing(3), NoiseSchedule::cosine())}) {
      refuses = refuses || !integrator->refuses(process).empty();
    }
    EXPECT_EQ(info.needs.empty(), !refuses) << name;
  }
}

TEST(Registry, UnknownNamesGetTheNearest) {
  EXPECT_TRUE(says(message_of<UserError>([] { make_integrator("tweedi"); }),
                   {"unknown integrator 'tweedi'", "did you mean tweedie", "euler, exponential, first_hitting, fixed_count"}));
  EXPECT_TRUE(says(message_of<UserError>([] { make_integrator(""); }), {"integrator", "the name is missing"}));
  EXPECT_TRUE(says(message_of<UserError>([] { make_integrator("eulr", masked(3)); }), {"did you mean euler"}));
}

TEST(Registry, RefusalsNameWhatWouldDo) {
  auto const message = message_of<UserError>([] { make_integrator("gillespie", uniform(3)); });
  EXPECT_TRUE(
      says(message, {"'gillespie'", "needs a masked reverse process or a forward process", "euler", "tweedie"}));
  auto const others = message.substr(message.find("would do"));
  EXPECT_EQ(others.find("gillespie"), std::string::npos) << message;
  EXPECT_NO_THROW(make_integrator("gillespie", masked(3)));
  // The run refuses too, for those who come without the registry.
  Process process = uniform(3);
  auto const gillespie = make_integrator("gillespie");
  SamplePlan const plan{.grid = TimeGrid::from_points({1, 0.5}), .length = 3};
  EXPECT_TRUE(
      says(message_of<UserError>([&] { sample(ExecSpace(), process, *gillespie, plan); }), {"'gillespie'", "needs"}));
}

}  // namespace
}  // namespace saltus
