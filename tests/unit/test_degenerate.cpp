// SPDX-License-Identifier: BSD-3-Clause
// The smallest and the emptiest of everything, and requests that cannot be met.
#include <limits>
#include <memory>
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

namespace saltus {
namespace {

using namespace reference;

auto const noise = NoiseSchedule::log_linear();

std::vector<std::shared_ptr<SequenceLaw const>> laws(int length, int states) {
  auto const n = static_cast<std::size_t>(states);
  std::vector<double> const row(n, 1.0 / states);
  std::vector<double> matrix, sites;
  for (std::size_t x = 0; x < n; ++x) matrix.insert(matrix.end(), row.begin(), row.end());
  for (int l = 0; l < length; ++l) sites.insert(sites.end(), row.begin(), row.end());
  return {std::make_shared<MarkovChain>(length, states, row, matrix),
          std::make_shared<ProductLaw>(length, states, sites),
          std::make_shared<TableLaw>(TableLaw::neighbours(length, states, 1))};
}

/// Every process on `states` data states that an integrator can advance: of each law, masked and uniform, and forward.
std::vector<Process> processes(int length, int states) {
  std::vector<Process> out{Process::forward(Generator::absorbing(states + 1), noise),
                           Process::forward(Generator::uniform(states), noise)};
  for (auto const& law : laws(length, states)) {
    out.push_back(
        Process::reverse(Generator::absorbing(states + 1), noise, law->denoiser(Generator::absorbing(states + 1))));
    out.push_back(Process::reverse(Generator::uniform(states), noise, law->denoiser(Generator::uniform(states))));
  }
  return out;
}

TEST(Degenerate, OneStateNeverMoves) {
  for (int const length : {1, 5}) {
    for (Process& process : processes(length, 1)) {
      if (process.is_masked()) continue;
      for (auto const& name : integrator_names()) {
        auto const integrator = make_integrator(name);
        if (!integrator->refuses(process).empty()) continue;
        State const state = to_state({std::vector<token_t>(static_cast<std::size_t>(length), 0)}, 0.5);
        Interval const interval = process.is_reverse() ? Interval{0.5, 0.1} : Interval{0.1, 0.5};
        Counters const counters = advance_once(process, *integrator, state, one_step(process, *integrator, interval));
        EXPECT_EQ(counters.jumps, 0) << name;
        EXPECT_EQ(counters.bad_scores, 0) << name;
        EXPECT_EQ(to_rows(state.tokens)[0], std::vector<token_t>(static_cast<std::size_t>(length), 0));
        if (integrator->info().has_site_law) {
          auto const law = site_laws(process, *integrator, state, one_step(process, *integrator, interval));
          EXPECT_EQ(law[0][0], std::vector<double>{1}) << name;
        }
      }
    }
  }
}

// One token and the mask: masks become the token, at the rate of the schedule.
TEST(Degenerate, OneTokenAndTheMask) {
  for (int const length : {1, 5}) {
    for (Process& process : processes(length, 1)) {
      if (!process.is_masked() || !process.is_reverse()) continue;
      for (auto const& name : integrator_names()) {
        SampleReport report;
        auto const integrator = make_integrator(name);
        if (!integrator->refuses(process).empty()) continue;
        SamplePlan plan = make_plan(process, *integrator, 3, length);
        plan.samples = 4;
        auto const tokens = sample(ExecSpace(), process, *integrator, plan, &report);
        for (std::size_t i = 0; i < tokens.size(); ++i) EXPECT_EQ(tokens.data()[i], 0) << name;
        EXPECT_EQ(report.jumps, 4 * length) << name;
      }
      auto const law = site_laws(process, *make_integrator("tweedie"),
                                 to_state({std::vector<token_t>(static_cast<std::size_t>(length), 1)}, 0.5),
                                 one_step(noise, {0.5, 0.375}));
      EXPECT_EQ(law[0][0], (std::vector<double>{0.25, 0.75}));
    }
  }
}

TEST(Degenerate, OneSite) {
  for (Process& process : processes(1, 3)) {
    for (auto const& name : integrator_names()) {
      auto const integrator = make_integrator(name);
      if (!integrator->refuses(process).empty()) continue;
      State const state = to_state({{0}, {process.is_masked() ? 3 : 2}}, 0.5);
      Counters const counters = advance_once(
          process, *integrator, state,
          one_step(process, *integrator, process.is_reverse() ? Interval{0.5, 0} : Interval{0, 0.5}));
      EXPECT_EQ(counters.bad_scores, 0) << name;
      for (auto const& row : to_rows(state.tokens)) {
        EXPECT_GE(row[0], 0);
        EXPECT_LT(row[0], process.generator().states());
      }
    }
  }
}

TEST(Degenerate, EmptyBatches) {
  ExecSpace const exec;
  for (int const reserved : {0, 4}) {
    for (Process& process : processes(3, 2)) {
      for (auto const& name : integrator_names()) {
        auto const integrator = make_integrator(name);
        if (!integrator->refuses(process).empty()) continue;
        process.reserve({reserved, 3}, 1);
        CounterView const counters("test::counters", integrator->reserve(process, {reserved, 3}));
        State const state{Tokens("test::tokens", 0, 3), Times("test::time", 0), {}, 0};
        Interval const interval = process.is_reverse() ? Interval{0.5, 0.25} : Interval{0.25, 0.5};
        StepTable const table = one_step(process, *integrator, interval);
        EXPECT_NO_THROW(integrator->advance(exec, process, state, table.step(0), StreamKey{}, counters))
            << name << ", reserved " << reserved;
        exec.fence();
      }
    }
  }
}

TEST(Degenerate, NothingToDo) {
  for (Process& process : processes(3, 2)) {
    Interval const interval = process.is_reverse() ? Interval{0.5, 0} : Interval{0, 0.5};
    // What cannot move: all masks of a forward process, all tokens of a reverse one; or everything frozen.
    token_t const still = process.is_reverse() ? 1 : 2;
    for (auto const& name : integrator_names()) {
      auto const integrator = make_integrator(name);
      if (!integrator->refuses(process).empty()) continue;
      if (process.is_masked()) {
        State const state = to_state(Rows(2, std::vector<token_t>(3, still)), interval.from);
        Counters const counters = advance_once(process, *integrator, state, one_step(process, *integrator, interval));
        EXPECT_EQ(counters.jumps + counters.bad_scores + counters.evaluations, 0) << name;
        EXPECT_EQ(to_rows(state.tokens), Rows(2, std::vector<token_t>(3, still))) << name;
      }
      token_t const moving = process.is_masked() && process.is_reverse() ? 2 : 1;
      State frozen = to_state(Rows(2, std::vector<token_t>(3, moving)), interval.from);
      frozen.frozen = to_frozen({{1, 1, 1}, {1, 1, 1}});
      Counters const counters = advance_once(process, *integrator, frozen, one_step(process, *integrator, interval));
      EXPECT_EQ(counters.jumps + counters.bad_scores + counters.evaluations, 0) << name;
      EXPECT_EQ(to_rows(frozen.tokens), Rows(2, std::vector<token_t>(3, moving))) << name;
      auto const time = Kokkos::create_mirror_view_and_copy(HostSpace(), frozen.time);
      EXPECT_EQ(time(0), interval.to) << name << ": the clock stood still";
      EXPECT_EQ(time(1), interval.to) << name;
    }
  }
}

TEST(Degenerate, TinySteps) {
  for (Process& process : processes(3, 2)) {
    for (double const at : {1.0, 0.5, 1e-5}) {
      Interval const interval = process.is_reverse() ? Interval{at, at - 1e-12} : Interval{at - 1e-12, at};
      for (auto const& name : integrator_names()) {
        token_t const start = process.is_masked() && process.is_reverse() ? 2 : 1;
        State const state = to_state(Rows(50, std::vector<token_t>(3, start)), interval.from);
        auto const integrator = make_integrator(name);
        if (!integrator->refuses(process).empty()) continue;
        Counters const counters = advance_once(process, *integrator, state, one_step(process, *integrator, interval));
        EXPECT_EQ(counters.bad_scores, 0) << name << " at " << at;
        // 150 sites with rates up to 1e5 and 1e3: fewer than 2e-5 jumps are expected, unless steps count their reveals
        if (integrator->info().takes_phi) {
          EXPECT_EQ(counters.jumps, 0) << name << " at " << at;
        }
        if (!integrator->info().has_site_law) continue;
        SiteLaws const all = site_laws(process, *integrator, state, one_step(process, *integrator, interval));
        for (auto const& site : all[0]) {
          double sum = 0;
          for (double const p : site) {
            EXPECT_GE(p, 0);
            sum += p;
          }
          EXPECT_NEAR(sum, 1, 1e-15) << name << " at " << at;
        }
      }
    }
  }
}

TEST(Degenerate, NoSamples) {
  for (Process& process : processes(3, 2)) {
    if (!process.is_reverse()) continue;
    for (auto const& name : integrator_names()) {
      auto const integrator = make_integrator(name);
      if (!integrator->refuses(process).empty()) continue;
      SamplePlan plan = make_plan(process, *integrator, 3, 3);
      plan.samples = 0;
      SampleReport const report = sample(ExecSpace(), process, *integrator, plan, [](std::uint64_t, HostTokens const&) {
        ADD_FAILURE() << "the sink was called";
      });
      EXPECT_EQ(report.samples, 0u);
      EXPECT_EQ(report.jumps, 0);
      EXPECT_EQ(report.evaluations, 0);
      EXPECT_EQ(sample(ExecSpace(), process, *integrator, plan).extent(0), 0u);
    }
  }
}

// ----------------------------------------------------------------------------------------------------- refusals

template <class Action>
std::string refused(Action const& action) {
  return message_of<UserError>(action);
}

Process masked_process(int length = 3) {
  return Process::reverse(Generator::absorbing(3), noise, laws(length, 2)[0]->denoiser(Generator::absorbing(3)));
}
void run(Process process, SamplePlan const& plan, char const* name = "tweedie") {
  sample(ExecSpace(), process, *make_integrator(name), plan);
}

TEST(Degenerate, PlansThatDoNotFitTheProcess) {
  auto const down = TimeGrid::from_points({0.75, 0.25}), up = TimeGrid::from_points({0.25, 0.75});
  auto const forward = Process::forward(Generator::absorbing(3), noise);
  EXPECT_TRUE(says(refused([&] { run(masked_process(), {.grid = up, .length = 3}); }),
                   {"reverse", "decreasing", "0.25", "0.75"}));
  EXPECT_TRUE(
      says(refused([&] { run(forward, {.grid = down, .length = 3}); }), {"forward", "increasing", "0.75", "0.25"}));
  EXPECT_TRUE(
      says(refused([&] { run(masked_process(), {.grid = down, .length = 3, .batch = 0}); }), {"batch", "got 0"}));
  EXPECT_TRUE(says(refused([&] { run(masked_process(), {.grid = down, .length = 0}); }), {"at least 1 site", "got 0"}));
  EXPECT_TRUE(says(refused([&] { run(masked_process(), {.grid = down, .length = 4}); }), {"length 3", "4"}));
  EXPECT_TRUE(says(refused([&] { run(masked_process(), {.grid = down, .length = 3, .phi = {1, 1}}); }),
                   {"phi", "expected 1", "got 2"}));
  EXPECT_TRUE(says(refused([&] { run(masked_process(), {.grid = down, .length = 3, .power = {1, 1, 1}}); }),
                   {"power", "expected 1", "got 3"}));
  EXPECT_TRUE(says(refused([&] { run(masked_process(), {.grid = TimeGrid::from_points({1.5, 0}), .length = 3}); }),
                   {"grid", "t = 1", "1.5"}));
  // A forward run without a start.
  EXPECT_TRUE(says(refused([&] { run(forward, {.grid = up, .length = 3}); }), {"forward", "start"}));
  EXPECT_TRUE(says(refused([&] { make_plan(forward, *make_integrator("euler"), 4, 3); }), {"reverse"}));
  EXPECT_TRUE(says(refused([&] { make_plan(masked_process(), *make_integrator("euler"), 0, 3); }), {"steps", "got 0"}));
  EXPECT_TRUE(
      says(refused([&] { make_plan(masked_process(), *make_integrator("gillespie"), -1, 3); }), {"steps", "got -1"}));
}

// Factors that are not numbers or below 0 are mistakes of the caller, not of the model.
TEST(Degenerate, FactorsThatAreNotFactors) {
  auto const down = TimeGrid::from_points({0.75, 0.25});
  EXPECT_TRUE(says(refused([&] { run(masked_process(), {.grid = down, .length = 3, .phi = {-1}}); }), {"phi", "-1"}));
  EXPECT_TRUE(
      says(refused([&] { run(masked_process(), {.grid = down, .length = 3, .power = {-2}}); }), {"power", "-2"}));
  for (double const wrong : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    EXPECT_TRUE(says(refused([&] { run(masked_process(), {.grid = down, .length = 3, .phi = {wrong}}); }), {"phi"}))
        << wrong;
    EXPECT_TRUE(says(refused([&] { run(masked_process(), {.grid = down, .length = 3, .power = {wrong}}); }), {"power"}))
        << wrong;
  }
}

TEST(Degenerate, ModelsThatDoNotFitTheGenerator) {
  auto const model = laws(3, 2)[0]->denoiser(Generator::absorbing(3));
  EXPECT_TRUE(says(refused([&] { Process::reverse(Generator::absorbing(3), noise, nullptr); }), {"model"}));
  EXPECT_TRUE(
      says(refused([&] { Process::reverse(Generator::absorbing(4), noise, model); }), {"chain", "3 states", "4"}));
  EXPECT_TRUE(says(refused([&] { Process::reverse(Generator::uniform(3), noise, model); }),
                   {"chain", "mask 2", "uniform", "no mask"}));
  EXPECT_TRUE(says(refused([&] { Process::reverse(Generator::absorbing(3, 0), noise, model); }),
                   {"chain", "mask 2", "mask 0"}));
}

TEST(Degenerate, LawsOfMethodsWithoutASiteLaw) {
  Process process = masked_process();
  StateSpace const space(3, 3);
  std::vector<double> start(space.size(), 0.0);
  start.back() = 1;
  StepTable const table = one_step(noise, {0.5, 0.25});
  EXPECT_TRUE(says(refused([&] {
                     push_law(ExecSpace(), process, *make_integrator("gillespie"), space, start, table.step(0));
                   }),
                   {"gillespie", "by site"}));
}

}  // namespace
}  // namespace saltus
