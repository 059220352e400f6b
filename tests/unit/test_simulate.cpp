// SPDX-License-Identifier: BSD-3-Clause
// Paths, looks, records, statistics and trees, apart from their laws (tests/statistical/test_forward.cpp).
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/fast_log.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/simulate.hpp>
#include <saltus/integrators/statistics.hpp>
#include <saltus/integrators/tree.hpp>

#include "reference/harness.hpp"
#include "reference/instances.hpp"

namespace saltus {
namespace {

using namespace reference;

constexpr int length = 7;
double const infinity = std::numeric_limits<double>::infinity();

Generator cyclic() {
  std::vector<double> q(16, 0.0);
  for (std::size_t x = 0; x < 4; ++x) {
    q[x * 4 + (x + 1) % 4] = 1 + 0.3 * static_cast<double>(x);
    q[x * 4 + (x + 2) % 4] = 0.2;
    q[x * 4 + x] = -q[x * 4 + (x + 1) % 4] - 0.2;
  }
  return Generator::dense("cyclic", 4, q);
}
Generator leaking() {  // nothing leaves state 3
  return Generator::sparse("leaking", {{0, 2, 4, 6, 6}, {1, 3, 0, 2, 0, 1}, {1, 0.2, 0.4, 2, 1.5, 1}});
}
std::vector<Generator> generators() {
  return {Generator::absorbing(5),
          Generator::uniform(4),
          cyclic(),
          leaking(),
          Generator::path(4),
          Generator::gaussian_target(6, 1.5, 2),
          Generator::population({.immigration = 1.5, .birth = 0.2, .death = 0.4, .batch = 2})};
}
std::vector<token_t> ramp() {
  std::vector<token_t> x(length);
  for (int l = 0; l < length; ++l) x[static_cast<std::size_t>(l)] = l % 4;
  return x;
}
SiteRates site_rates() { return {{0, 0.5, 1.5}, {1, 2, 0, 1, 2, 2, 1}}; }

// Everything that a run shows, sample by sample.
struct Run {
  std::vector<std::vector<token_t>> tokens;      // [times][samples x length]
  std::vector<std::vector<std::int64_t>> jumps;  // [times][samples x length]
  std::vector<JumpRecord> records;
  SampleReport report;
};
Run run(Process& process, Integrator& integrator, SimulationPlan const& plan, ExecSpace const& exec = ExecSpace()) {
  Run out;
  out.tokens.resize(plan.times.size());
  out.jumps.resize(plan.times.size());
  std::uint64_t expected = plan.first_sample;
  out.report = simulate(exec, process, integrator, plan, [&](Sight const& sight) {
    EXPECT_EQ(sight.first_sample, expected);
    expected += sight.rows;
    for (std::size_t i = 0; i < plan.times.size(); ++i) {
      for (std::size_t b = 0; b < sight.rows; ++b) {
        for (std::size_t l = 0; l < static_cast<std::size_t>(plan.length); ++l) {
          out.tokens[i].push_back(sight.tokens(i, b, l));
          if (plan.count_jumps) out.jumps[i].push_back(sight.jumps(i, b, l));
        }
      }
    }
    out.records.insert(out.records.end(), sight.records.begin(), sight.records.end());
  });
  EXPECT_EQ(expected, plan.first_sample + plan.samples);
  return out;
}
SimulationPlan plan_of(std::vector<double> times) {
  return {.times = std::move(times),
          .seed = 5,
          .samples = 150,
          .length = length,
          .batch = 64,
          .start = start_from_rows(ramp(), length),
          .count_jumps = true};
}
bool same(std::vector<JumpRecord> const& a, std::vector<JumpRecord> const& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](JumpRecord const& i, JumpRecord const& j) {
    return i.sample == j.sample && i.time == j.time && i.site == j.site && i.from == j.from && i.to == j.to;
  });
}

constexpr char const* path_methods[] = {"gillespie", "next_reaction", "uniformization"};
std::vector<std::string> all_methods() {
  return {"gillespie",
          "next_reaction",
          "uniformization",
          "euler",
          "exponential",
          "tweedie",
          "tau_leaping",
          "tau_leaping:rule=reject",
          "tau_leaping:rule=ordinal"};
}

template <class Check>
void each_path(Check const& check) {
  for (auto const& g : generators()) {
    for (bool const scaled : {false, true}) {
      for (char const* const method : path_methods) {
        Process process = Process::forward(g, NoiseSchedule::cosine(), scaled ? site_rates() : SiteRates{});
        auto const integrator = make_integrator(method);
        if (!integrator->refuses(process).empty()) continue;
        SCOPED_TRACE(g.name() + (scaled ? ", scaled, " : ", ") + method);
        check(process, *integrator);
      }
    }
  }
}

// ------------------------------------------------------------------------------------------------------------ looks

TEST(Simulate, WhereOneLooksChangesNothing) {
  each_path([](Process& process, Integrator& integrator) {
    auto const once = run(process, integrator, plan_of({0.9}));
    auto const often = run(process, integrator, plan_of({0, 0.1, 0.2, 0.30001, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}));
    EXPECT_EQ(once.tokens[0], often.tokens[9]);
    EXPECT_EQ(once.jumps[0], often.jumps[9]);
    EXPECT_EQ(once.report.jumps, often.report.jumps);
    EXPECT_EQ(once.report.jumps, std::accumulate(once.jumps[0].begin(), once.jumps[0].end(), std::int64_t{0}));
    EXPECT_GT(once.report.jumps, 100);
    // the first look is at the start
    auto const x = ramp();
    for (std::size_t i = 0; i < often.tokens[0].size(); ++i) {
      ASSERT_EQ(often.tokens[0][i], x[i % x.size()]);
      ASSERT_EQ(often.jumps[0][i], 0);
    }
    // a run of one step is the same path
    Tokens const tokens = to_tokens(Rows(150, x), length);
    State const state{tokens, Times("test::time", 150), {}, 0};
    StepTable const table(ExecSpace(), process, TimeGrid::from_points({0, 0.9}));
    advance_once(process, integrator, state, table, 5);
    auto const rows = to_rows(tokens);
    for (std::size_t b = 0; b < rows.size(); ++b) {
      for (std::size_t l = 0; l < x.size(); ++l) ASSERT_EQ(rows[b][l], once.tokens[0][b * x.size() + l]);
    }
  });
}

TEST(Simulate, RecordsReplayToWhatIsSeen) {
  each_path([](Process& process, Integrator& integrator) {
    std::vector<double> const times{0.2, 0.45, 0.9};
    SimulationPlan plan = plan_of(times);
    plan.record_jumps = true;
    plan.first_sample = (std::uint64_t{1} << 32) - 70;
    auto const seen = run(process, integrator, plan);
    ASSERT_EQ(static_cast<std::int64_t>(seen.records.size()), seen.report.jumps);
    auto const x = ramp();
    std::vector<token_t> now;
    for (std::size_t b = 0; b < plan.samples; ++b) now.insert(now.end(), x.begin(), x.end());
    std::vector<std::int64_t> count(now.size(), 0);
    for (std::size_t i = 1; i < seen.records.size(); ++i) {
      auto const &a = seen.records[i - 1], &b = seen.records[i];
      ASSERT_TRUE(a.sample < b.sample || (a.sample == b.sample && a.time <= b.time));
    }
    for (std::size_t look = 0; look < times.size(); ++look) {
      for (auto const& r : seen.records) {
        bool const here = r.time <= times[look] && (look == 0 || r.time > times[look - 1]);
        ASSERT_TRUE(r.time > 0 && r.time <= 0.9);
        if (!here) continue;
        std::size_t const at = (r.sample - plan.first_sample) * x.size() + static_cast<std::size_t>(r.site);
        ASSERT_EQ(now[at], r.from);
        ASSERT_NE(r.from, r.to);
        ASSERT_GT(process.generator().rate(r.from, r.to), 0);
        now[at] = r.to;
        ++count[at];
      }
      ASSERT_EQ(now, seen.tokens[look]);
      ASSERT_EQ(count, seen.jumps[look]);
    }
    // without records, and in other batches, the same
    plan.record_jumps = false;
    EXPECT_EQ(run(process, integrator, plan).tokens, seen.tokens);
    plan.record_jumps = true;
    plan.batch = 7;
    EXPECT_TRUE(same(run(process, integrator, plan).records, seen.records));
  });
}

TEST(Simulate, SamplesDependOnTheSeedAndTheirIndexAlone) {
  for (auto const& g : generators()) {
    for (auto const& method : all_methods()) {
      SCOPED_TRACE(g.name() + ", " + method);
      Process process = Process::forward(g, NoiseSchedule::cosine(), site_rates());
      auto const integrator = make_integrator(method);
      if (!integrator->refuses(process).empty()) continue;
      SimulationPlan plan = plan_of({0.3, 0.9});
      plan.step = 0.1;
      plan.count_jumps = false;
      auto const whole = run(process, *integrator, plan);
      for (int const batch : {1, 33, 1000}) {
        plan.batch = batch;
        EXPECT_EQ(run(process, *integrator, plan).tokens, whole.tokens) << batch;
      }
      EXPECT_EQ(run(process, *integrator, plan, reference::another_instance()).tokens, whole.tokens);
      plan.first_sample = 100;
      plan.samples = 50;
      auto const later = run(process, *integrator, plan);
      EXPECT_TRUE(std::equal(later.tokens[1].begin(), later.tokens[1].end(), whole.tokens[1].begin() + 100 * length));
      ++plan.seed;
      EXPECT_NE(run(process, *integrator, plan).tokens, later.tokens);
    }
  }
}

// The clock of a long path against the sum of its waiting times, from the same random numbers, in long double.
TEST(Simulate, TheClockOfAMillionJumps) {
  Process process =
      Process::forward(Generator::dense("switch", 2, {-1, 1, 1, -1}), NoiseSchedule::constant(1, infinity));
  double const time = 1e6;
  SimulationPlan const plan{
      .times = {time}, .seed = 17, .samples = 1, .start = start_from_rows({0}, 1), .record_jumps = true};
  auto const seen = run(process, *make_integrator("gillespie"), plan);
  std::uint64_t const stream = StreamKey{17, 0}.derived().seed;
  long double sum = 0;
  double worst = 0;
  for (std::size_t k = 0; k < seen.records.size(); ++k) {
    sum += exponential_from(StreamKey::draw(stream, 0, Role::event, 0, static_cast<std::uint32_t>(k)).event);
    worst = std::max(worst, std::abs(static_cast<double>(static_cast<long double>(seen.records[k].time) - sum)));
  }
  EXPECT_GT(seen.records.size(), 990'000u);
  EXPECT_LT(worst, 1e-12 * time);
  EXPECT_NEAR(seen.records.back().time / static_cast<double>(sum), 1, 1e-12);
}

// ----------------------------------------------------------------------------------------------------- what stands
// still

TEST(Simulate, FrozenSitesDoNotMove) {
  for (auto const& g : generators()) {
    for (auto const& method : all_methods()) {
      SCOPED_TRACE(g.name() + ", " + method);
      Process process = Process::forward(g, NoiseSchedule::constant(1, 5));
      auto const integrator = make_integrator(method);
      if (!integrator->refuses(process).empty()) continue;
      State state = to_state(Rows(40, ramp()), 0);
      std::vector<std::vector<int>> frozen(40, std::vector<int>(length, 0));
      for (std::size_t b = 0; b < 40; ++b) frozen[b][b % length] = frozen[b][(b + 2) % length] = 1;
      state.frozen = to_frozen(frozen);
      StepTable const table(ExecSpace(), process, TimeGrid::from_points({0, 0.5}),
                            step_options(*integrator, process));
      auto const count = advance_once(process, *integrator, state, table);
      EXPECT_GT(count.jumps, 0);
      auto const rows = to_rows(state.tokens);
      auto const time = Kokkos::create_mirror_view_and_copy(HostSpace(), state.time);
      auto const x = ramp();
      for (std::size_t b = 0; b < 40; ++b) {
        EXPECT_EQ(time(b), 0.5);
        for (std::size_t l = 0; l < x.size(); ++l) {
          EXPECT_TRUE(!frozen[b][l] || rows[b][l] == x[l]);
        }
      }
      if (!integrator->follows_paths(process)) continue;
      // follow(): the same, seen at the end of both windows, and the frozen sites have no jumps
      State again = to_state(Rows(40, x), 0);
      again.frozen = state.frozen;
      PathPlan plan;
      Kokkos::View<double*, MemorySpace> const windows("test::windows", 2);
      Kokkos::deep_copy(windows, 0.25);
      plan.windows = windows;
      plan.tokens = decltype(plan.tokens)("test::tokens", 2, 40, length);
      plan.jumps = decltype(plan.jumps)("test::jumps", 2, 40, length);
      CounterView const counters("test::counters", integrator->reserve(process, {40, length}));
      integrator->follow(ExecSpace(), process, again, plan, StreamKey{1, 0}, counters);
      Kokkos::fence();
      EXPECT_EQ(to_rows(again.tokens), rows);
      auto const tokens = Kokkos::create_mirror_view_and_copy(HostSpace(), plan.tokens);
      auto const jumps = Kokkos::create_mirror_view_and_copy(HostSpace(), plan.jumps);
      for (std::size_t b = 0; b < 40; ++b) {
        for (std::size_t l = 0; l < x.size(); ++l) {
          EXPECT_EQ(tokens(1, b, l), rows[b][l]);
          EXPECT_LE(jumps(0, b, l), jumps(1, b, l));
          if (!frozen[b][l]) continue;
          EXPECT_EQ(tokens(0, b, l), x[l]);
          EXPECT_EQ(jumps(1, b, l), 0);
        }
      }
    }
  }
}

// Without anywhere to go a path ends, and the run with it.
TEST(Simulate, ZeroRatesStop) {
  std::vector<std::pair<Generator, token_t>> const cases{{Generator::dense("still", 3, std::vector<double>(9, 0.0)), 1},
                                                         {Generator::sparse("still", {{0, 0, 0}, {}, {}}), 1},
                                                         {Generator::absorbing(3), 2},
                                                         {Generator::uniform(1), 0},
                                                         {leaking(), 3},
                                                         {Generator::population({.birth = 2, .death = 1}), 0}};
  for (auto const& [g, x] : cases) {
    for (auto const& method : all_methods()) {
      SCOPED_TRACE(g.name() + ", " + method);
      Process process = Process::forward(g, NoiseSchedule::constant(1, 100));
      auto const integrator = make_integrator(method);
      if (!integrator->refuses(process).empty()) continue;
      SimulationPlan const plan{.times = {1, 100}, .samples = 70, .length = 2, .start = start_from_rows({x, x}, 2)};
      auto const seen = run(process, *integrator, plan);
      EXPECT_EQ(seen.report.jumps, 0);
      for (auto const& tokens : seen.tokens) EXPECT_EQ(std::count(tokens.begin(), tokens.end(), x), 140);
    }
  }
}

TEST(Simulate, APopulationThatGrowsTooLargeIsAnError) {
  for (PopulationRates const rates :
       {PopulationRates{.birth = 1}, PopulationRates{.immigration = 1e6, .batch = 100'000}}) {
    Process process = Process::forward(Generator::population(rates), NoiseSchedule::constant(1, 1));
    SimulationPlan plan{.times = {1e-3}, .samples = 3, .start = start_from_rows({1'999'999'000}, 1)};
    auto const gillespie = make_integrator("gillespie");
    auto const message = message_of<NumericalError>([&] { run(process, *gillespie, plan); });
    EXPECT_TRUE(says(message, {"3 paths", "beyond 2e9"})) << message;
    plan.times = {1e-15};  // nobody is born that early
    EXPECT_EQ(run(process, *gillespie, plan).report.jumps, 0);
  }
}

TEST(Simulate, LeapsTooLongForNumbersAreAnError) {
  Process process = Process::forward(Generator::population({.immigration = 1e16}), NoiseSchedule::constant(1, 1));
  SimulationPlan const plan{.times = {1}, .samples = 3, .start = start_from_rows({5}, 1)};
  auto const ordinal = make_integrator("tau_leaping:rule=ordinal");
  auto const message = message_of<NumericalError>([&] { run(process, *ordinal, plan); });
  EXPECT_TRUE(says(message, {"immigration_death", "step 0, sample 0, site 0", "shorter steps"})) << message;
}

// -------------------------------------------------------------------------------------------------------- plans

TEST(Simulate, GridsPassThroughEveryLook) {
  auto const points = [](TimeGrid const& grid) {
    std::vector<double> p;
    for (int k = 0; k <= grid.steps(); ++k) p.push_back(grid.point(k));
    return p;
  };
  EXPECT_EQ(points(simulation_grid(0, {1, 2.5}, 0)), (std::vector<double>{0, 1, 2.5}));
  EXPECT_EQ(points(simulation_grid(1, {1, 2}, 0.5)), (std::vector<double>{1, 1.5, 2}));
  auto const fine = points(simulation_grid(0.25, {0.5, 1.75}, 0.1));
  EXPECT_EQ(fine.size(), 1u + 3 + 13);
  EXPECT_EQ(fine[3], 0.5);
  EXPECT_EQ(fine.back(), 1.75);
  for (std::size_t i = 1; i < fine.size(); ++i) EXPECT_LE(fine[i] - fine[i - 1], 0.1 + 1e-12);
  // a length that is a multiple of the step but for rounding takes no step more
  EXPECT_EQ(simulation_grid(0, {0.3}, 0.1).steps(), 3);
  EXPECT_EQ(simulation_grid(0, {2}, 5).steps(), 1);
  EXPECT_SAYS(message_of<UserError>([] { simulation_grid(1, {0.5}, 0); }), "0.5 after 1");
  EXPECT_SAYS(message_of<UserError>([] { simulation_grid(0, {1, 1}, 0); }), "increase");
  EXPECT_SAYS(message_of<UserError>([] { simulation_grid(0, {}, 0); }), "at least one time");
  EXPECT_SAYS(message_of<UserError>([] { simulation_grid(0, {1}, -1); }), "at least 0");
}

TEST(Simulate, Starts) {
  // rows in turn, by global index
  Process process = Process::forward(cyclic(), NoiseSchedule::constant());
  SimulationPlan plan{.times = {0},
                      .samples = 10,
                      .length = 2,
                      .batch = 4,
                      .first_sample = 4,
                      .start = start_from_rows({0, 1, 2, 3, 3, 3}, 2)};
  auto const gillespie = make_integrator("gillespie"), euler = make_integrator("euler");
  std::vector<token_t> const rows{0, 1, 2, 3, 3, 3};
  for (auto const* const integrator : {gillespie.get(), euler.get()}) {
    auto const seen = run(process, *const_cast<Integrator*>(integrator), plan);
    for (std::size_t b = 0; b < 10; ++b) {
      for (std::size_t l = 0; l < 2; ++l) EXPECT_EQ(seen.tokens[0][2 * b + l], rows[(b + 4) % 3 * 2 + l]);
    }
  }
  // laws, one for each site: impossible states do not occur
  plan.start = start_from_laws({0.5, 0, 0.5, 0, 0, 0, 0, 1}, 4, 3);
  plan.samples = 1000;
  auto const seen = run(process, *gillespie, plan).tokens[0];
  std::map<token_t, int> first;
  for (std::size_t b = 0; b < 1000; ++b) {
    ++first[seen[2 * b]];
    ASSERT_EQ(seen[2 * b + 1], 3);
  }
  EXPECT_EQ(first.size(), 2u);
  EXPECT_NEAR(first[0], 500, 100);
  EXPECT_NEAR(first[2], 500, 100);
  EXPECT_SAYS(message_of<UserError>([] { start_from_laws({0.5, 0.4}, 2, 0); }), "sums to 0.9");
  EXPECT_SAYS(message_of<UserError>([] { start_from_laws({1.5, -0.5}, 2, 0); }), "negative");
  EXPECT_SAYS(message_of<UserError>([] { start_from_laws({1, 0, 0}, 2, 0); }), "2 probabilities");
  EXPECT_SAYS(message_of<UserError>([] { start_from_rows({1, 0, 0}, 2); }), "length");
  plan.start = start_from_laws({1, 0, 1, 0, 1, 0}, 2, 0);
  EXPECT_SAYS(message_of<UserError>([&] { run(process, *gillespie, plan); }), "3 sites");
}

TEST(Simulate, RefusesWhatItCannotDo) {
  Process process = Process::forward(cyclic(), NoiseSchedule::cosine());
  auto const euler = make_integrator("euler"), gillespie = make_integrator("gillespie");
  auto const message = [&](Integrator& integrator, SimulationPlan const& plan) {
    return message_of<UserError>([&] { run(process, integrator, plan); });
  };
  EXPECT_TRUE(says(message(*euler, plan_of({0.5})), {"'euler'", "no single jumps"}));
  EXPECT_SAYS(message(*gillespie, plan_of({0.5, 2})), "t = 2");
  SimulationPlan plan = plan_of({0.5});
  plan.start = {};
  EXPECT_SAYS(message(*gillespie, plan), "start");
  Process scaled = Process::forward(cyclic(), NoiseSchedule::cosine(), {{1}, {0, 0}});
  EXPECT_TRUE(says(message_of<UserError>([&] { run(scaled, *gillespie, plan_of({0.5})); }), {"2 sites", "7"}));
  // where the noise has an infinite integral, a path would never end
  Process endless = Process::forward(cyclic(), NoiseSchedule::linear());
  EXPECT_SAYS(message_of<UserError>([&] { run(endless, *gillespie, plan_of({1})); }), "infinite at t = 1");
  EXPECT_SAYS(message_of<UserError>([&] {
                StepTable(ExecSpace(), endless, TimeGrid::from_points({0, 1}));
              }),
              "infinite at t = 1");
  SimulationPlan strange = plan_of({0.5});
  strange.start = start_from_rows(std::vector<token_t>(static_cast<std::size_t>(strange.length), 99), strange.length);
  EXPECT_SAYS(message(*gillespie, strange), "not states");
  Branches const tree{{-1, 0, 0}, {0, 0.1, 0.2}};
  TreePlan on_tree;
  on_tree.length = plan_of({0.5}).length;
  on_tree.start = plan_of({0.5}).start;
  auto const grown = [&](Process& p, TreePlan const& plan_of_tree) {
    return message_of<UserError>([&] {
      simulate_tree(ExecSpace(), p, *gillespie, tree, plan_of_tree, [](auto, auto, auto const&, auto const&) {});
    });
  };
  EXPECT_SAYS(grown(process, on_tree), "constant noise");
  Process constant = Process::forward(cyclic(), NoiseSchedule::constant());
  on_tree.keep = {true};
  EXPECT_SAYS(grown(constant, on_tree), "values of keep");
}

// ------------------------------------------------------------------------------------------------------- statistics

TEST(PathStatisticsUnit, AgreesWithTwoPasses) {
  constexpr std::size_t times = 3, rows = 40, batches = 5, sites = 4;
  for (double const centre : {3.0, 1e9}) {
    double const spread = 2;
    PathStatistics statistics(times, sites, 8);
    std::vector<std::vector<std::vector<double>>> x(times), jumps(times);  // [time][sample][site]
    for (std::size_t batch = 0; batch < batches; ++batch) {
      // larger than it is full: what lies behind the rows must not count
      Sight::Array<token_t> const tokens("test::tokens", times, rows + 3, sites);
      Sight::Array<std::int64_t> const counted("test::jumps", times, rows + 3, sites);
      Kokkos::deep_copy(tokens, 12345);
      Kokkos::deep_copy(counted, 99999);
      std::size_t const used = batch + 1 == batches ? rows - 11 : rows;
      for (std::size_t i = 0; i < times; ++i) {
        for (std::size_t b = 0; b < used; ++b) {
          std::vector<double> values, counts;
          double const shared = scramble(b + 1000 * batch + 100'000 * i);  // sites of a sample resemble each other
          for (std::size_t l = 0; l < sites; ++l) {
            double const u = scramble(((batch * 100 + b) * 10 + l) * 10 + i);
            tokens(i, b, l) = static_cast<token_t>(
                std::floor(centre + spread * (u + shared) * static_cast<double>(i + 1)) - (centre < 10 ? 3 : 0));
            counted(i, b, l) = static_cast<std::int64_t>(20 * u);
            values.push_back(tokens(i, b, l));
            counts.push_back(static_cast<double>(counted(i, b, l)));
          }
          x[i].push_back(values);
          jumps[i].push_back(counts);
        }
      }
      statistics.add({batch * rows, used, tokens, counted, {}});
    }
    std::size_t const n = batches * rows - 11;
    ASSERT_EQ(statistics.samples(), n);
    // mean of the samples' means, and its error from their spread
    auto const averaged = [&](std::vector<std::vector<double>> const& of, auto const& function) {
      std::vector<long double> means;
      for (auto const& sample : of) {
        long double sum = 0;
        for (double const v : sample) sum += function(v);
        means.push_back(sum / sites);
      }
      long double const mean = std::accumulate(means.begin(), means.end(), 0.0L) / static_cast<long double>(n);
      long double squares = 0;
      for (auto const m : means) squares += (m - mean) * (m - mean);
      return std::pair{mean, std::sqrt(squares / static_cast<long double>(n) / static_cast<long double>(n - 1))};
    };
    auto const expect = [&](Averaged const& seen, std::pair<long double, long double> const& expected,
                            double tolerance) {
      EXPECT_NEAR(seen.value, static_cast<double>(expected.first), tolerance);
      EXPECT_NEAR(seen.error, static_cast<double>(expected.second),
                  1e-9 * static_cast<double>(expected.second) + 1e-15);
    };
    for (std::size_t i = 0; i < times; ++i) {
      SCOPED_TRACE(std::to_string(centre) + ", time " + std::to_string(i));
      auto const mean = averaged(x[i], [](double v) { return static_cast<long double>(v); });
      expect(statistics.mean(i), mean, 1e-14 * centre);
      auto const square = averaged(x[i], [&](double v) { return (v - mean.first) * (v - mean.first); });
      long double const all = static_cast<long double>(n * sites),
                        deviation = std::sqrt(square.first * all / (all - 1));
      expect(statistics.deviation(i), {deviation, square.second / (2 * deviation)}, 1e-12);
      expect(statistics.jumps(i), averaged(jumps[i], [](double v) { return static_cast<long double>(v); }), 1e-12);
      for (int state = 0; state < 8; ++state) {
        expect(statistics.occupancy(i, state), averaged(x[i], [&](double v) { return v == state ? 1.0L : 0.0L; }),
               1e-14);
      }
    }
  }
}

TEST(PathStatisticsUnit, FewSamples) {
  Sight::Array<token_t> const tokens("test::tokens", 1, 1, 1);
  tokens(0, 0, 0) = 6;
  PathStatistics one(1, 1, 0);
  one.add({0, 1, tokens, {}, {}});
  EXPECT_EQ(one.mean(0).value, 6);
  EXPECT_EQ(one.mean(0).error, 0);
  EXPECT_EQ(one.deviation(0).value, 0);
  one.add({1, 1, tokens, {}, {}});
  EXPECT_EQ(one.mean(0).value, 6);
  EXPECT_EQ(one.deviation(0).value, 0);
  EXPECT_EQ(one.deviation(0).error, 0);
}

// ------------------------------------------------------------------------------------------------------------ trees

struct Grown {
  std::vector<int> nodes;
  std::map<int, std::vector<token_t>> tokens;  // [node][samples x length]
};
Grown grow(Process& process, Integrator& integrator, Branches const& tree, TreePlan const& plan,
           ExecSpace const& exec = ExecSpace()) {
  Grown out;
  std::uint64_t expected = plan.first_sample;
  auto const report =
      simulate_tree(exec, process, integrator, tree, plan,
                    [&](std::uint64_t first, std::size_t rows, std::vector<int> const& nodes, auto const& tokens) {
                      EXPECT_EQ(first, expected);
                      expected += rows;
                      out.nodes = nodes;
                      for (std::size_t k = 0; k < nodes.size(); ++k) {
                        for (std::size_t b = 0; b < rows; ++b) {
                          for (std::size_t l = 0; l < tokens.extent(2); ++l)
                            out.tokens[nodes[k]].push_back(tokens(k, b, l));
                        }
                      }
                    });
  EXPECT_EQ(report.samples, plan.samples);
  return out;
}

// 0 - 1 - 3 - 5 ... with a leaf at every inner node
Branches caterpillar(int inner) {
  Branches tree{{-1}, {0}};
  int node = 0;
  for (int i = 0; i < inner; ++i) {
    tree.parent.insert(tree.parent.end(), {node, node});
    tree.length.insert(tree.length.end(), {0.1, 0.05 + 0.1 * i});
    node = static_cast<int>(tree.parent.size()) - 2;
  }
  return tree;
}
Branches balanced(int depth) {
  Branches tree{{-1}, {0}};
  for (int node = 1; node < (2 << depth) - 1; ++node) {
    tree.parent.push_back((node - 1) / 2);
    tree.length.push_back(0.2);
  }
  return tree;
}
TreePlan tree_plan() {
  return {.seed = 9, .samples = 37, .length = length, .start = start_from_rows(ramp(), length), .keep = {}};
}

TEST(Trees, DoNotDependOnBatchesOrThreads) {
  for (Branches const& tree : {caterpillar(4), balanced(3)}) {
    for (auto const& g : generators()) {
      for (auto const& method : all_methods()) {
        SCOPED_TRACE(g.name() + ", " + method);
        Process process = Process::forward(g, NoiseSchedule::constant(1, 10), site_rates());
        auto const integrator = make_integrator(method);
        if (!integrator->refuses(process).empty()) continue;
        TreePlan plan = tree_plan();
        plan.step = 0.07;
        auto const whole = grow(process, *integrator, tree, plan);
        for (int const batch : {1, 10, 100}) {
          plan.batch = batch;
          EXPECT_EQ(grow(process, *integrator, tree, plan).tokens, whole.tokens) << batch;
        }
        EXPECT_EQ(grow(process, *integrator, tree, plan, reference::another_instance()).tokens, whole.tokens);
        // keeping more nodes changes nothing of the leaves
        plan.keep.assign(tree.parent.size(), true);
        auto const all = grow(process, *integrator, tree, plan);
        EXPECT_EQ(all.nodes.size(), tree.parent.size());
        EXPECT_TRUE(std::is_sorted(all.nodes.begin(), all.nodes.end()));
        EXPECT_TRUE(std::is_sorted(whole.nodes.begin(), whole.nodes.end()));
        for (auto const& [node, tokens] : whole.tokens) EXPECT_EQ(all.tokens.at(node), tokens) << node;
        // a run may begin at any sample
        plan.first_sample = 20;
        plan.samples = 17;
        for (auto const& [node, tokens] : grow(process, *integrator, tree, plan).tokens) {
          EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), all.tokens.at(node).begin() + 20 * length)) << node;
        }
      }
    }
  }
}

TEST(Trees, BranchesHaveNumbersOfTheirOwn) {
  // two pairs of sisters; branches without length copy, and the others all differ
  Branches const tree{{-1, 0, 0, 1, 1, 2, 2}, {7, 0.5, 0.5, 0, 0.5, 0.5, 0}};
  Process process = Process::forward(cyclic(), NoiseSchedule::constant(1, 10));
  auto const gillespie = make_integrator("gillespie");
  TreePlan plan = tree_plan();
  plan.keep.assign(7, true);
  auto const grown = grow(process, *gillespie, tree, plan).tokens;
  auto const x = ramp();
  for (std::size_t i = 0; i < grown.at(0).size(); ++i) ASSERT_EQ(grown.at(0)[i], x[i % x.size()]);
  EXPECT_EQ(grown.at(1), grown.at(3));
  EXPECT_EQ(grown.at(2), grown.at(6));
  EXPECT_NE(grown.at(0), grown.at(1));
  EXPECT_NE(grown.at(1), grown.at(2));
  EXPECT_NE(grown.at(3), grown.at(4));
  EXPECT_NE(grown.at(4), grown.at(5));
  // a single node
  Branches const root{{-1}, {0}};
  plan.keep.clear();
  auto const alone = grow(process, *gillespie, root, plan);
  EXPECT_EQ(alone.nodes, (std::vector<int>{0}));
  EXPECT_EQ(alone.tokens.at(0), grown.at(0));
}

TEST(Trees, RefusesWhatIsNoTree) {
  Process process = Process::forward(cyclic(), NoiseSchedule::constant(1, 10));
  auto const gillespie = make_integrator("gillespie");
  auto const message = [&](Branches const& tree) {
    return message_of<UserError>([&] { grow(process, *gillespie, tree, tree_plan()); });
  };
  EXPECT_SAYS(message({{}, {}}), "root");
  EXPECT_SAYS(message({{-1, 0}, {0}}), "root");
  EXPECT_SAYS(message({{-1, 2, 0}, {0, 1, 1}}), "after its parent");
  EXPECT_SAYS(message({{-1, -1}, {0, 1}}), "after its parent");
  EXPECT_SAYS(message({{-1, 0}, {0, -1}}), "at least 0");
}

}  // namespace
}  // namespace saltus
