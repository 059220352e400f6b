// SPDX-License-Identifier: BSD-3-Clause
// The kernels as cases of Google Benchmark, to filter, repeat and compare (its tools/compare.py) while one works on them:
//   build/release/tests/perf/benchmarks --benchmark_filter=tweedie --benchmark_repetitions=5
// items_per_second counts sites (events, transitions); bytes_per_second the scores of a step, whether it reads all of them or not.
#include <benchmark/benchmark.h>

#include <saltus/integrators/simulate.hpp>

#include "timing.hpp"

namespace {

using namespace saltus;

struct Scores {
  char const* name;
  ScoreKind kind;
  bool masked;
  ScalarType type = ScalarType::f32;
};
constexpr Scores kinds[] = {{"log_scores", ScoreKind::log_score, true},
                            {"log_scores_bf16", ScoreKind::log_score, true, ScalarType::bf16},
                            {"law", ScoreKind::x0_leave_one_out, true},
                            {"uniform_log_scores", ScoreKind::log_score, false}};

// A step at which a site jumps with probability 1/16.
void step(benchmark::State& state, char const* method, Scores const& scores, int states) {
  ExecSpace const exec;
  int const batch = states > 1000 ? 2 : 64, length = states > 1000 ? 1024 : 256;
  // Methods of two stages read two evaluations, which differ a little.
  std::vector<StoredScores::Scores> stored;
  for (std::uint64_t const seed : {1, 2}) stored.push_back(scores_like_a_network(exec, batch, length, states, scores.kind, seed));
  auto process = Process::reverse(scores.masked ? Generator::absorbing(states) : Generator::uniform(states), NoiseSchedule::log_linear(),
                                  std::make_shared<StoredScores>(stored, scores.kind, scores.masked, scores.type));
  timing::TimedStep timed(exec, process, method, {batch, length}, {0.5, 0.46875});
  for (auto _ : state) state.SetIterationTime(timed(1));
  std::int64_t const sites = std::int64_t{batch} * length;
  state.SetItemsProcessed(state.iterations() * sites);
  state.SetBytesProcessed(state.iterations() * sites * states * static_cast<std::int64_t>(scalar_size(scores.type)));
}

void plain_sum(benchmark::State& state, int states) {
  ExecSpace const exec;
  auto const stored = scores_like_a_network(exec, 2, 1024, states, ScoreKind::log_score);
  for (auto _ : state) state.SetIterationTime(timing::plain_sum(exec, stored));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(stored.size() * sizeof(float)));
}

// Sites that change by rates up to time 1: events for methods that go from event to event, else transitions.
void forward(benchmark::State& state, char const* method, Generator const& generator) {
  Process process = Process::forward(generator, NoiseSchedule::constant(1.0));
  auto const integrator = make_integrator(method, process);
  SimulationPlan plan;
  plan.times = {1.0};
  plan.samples = 64;
  plan.length = 4096;
  plan.start = start_from_rows(std::vector<token_t>(4096, 0), 4096);
  std::int64_t items = 0;
  for (auto _ : state) {
    SampleReport const report = simulate(ExecSpace(), process, *integrator, plan, [](Sight const&) {});
    state.SetIterationTime(report.seconds);
    items += integrator->follows_paths(process) ? report.jumps : std::int64_t{64} * 4096;
    plan.first_sample += 64;
  }
  state.SetItemsProcessed(items);
}

void add_cases() {
  auto const add = [](std::string const& name, auto&& run) {
    benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->Unit(benchmark::kMicrosecond);
  };
  for (int const states : {5, 21, 33, 50258}) {
    for (Scores const& scores : kinds) {
      for (char const* const method : {"euler", "tweedie"}) {
        add(std::string("step/") + method + "/" + scores.name + "/S" + std::to_string(states),
            [=, &scores](benchmark::State& state) { step(state, method, scores, states); });
      }
    }
    for (char const* const method : {"tau_leaping", "fixed_count", "tweedie_trapezoidal", "theta_trapezoidal"}) {
      add(std::string("step/") + method + "/law/S" + std::to_string(states), [=](benchmark::State& state) { step(state, method, kinds[2], states); });
    }
  }
  add("plain_sum/S50258", [](benchmark::State& state) { plain_sum(state, 50258); });
  for (char const* const method : {"gillespie", "uniformization", "tweedie"}) {
    for (int const states : {4, 20}) {
      add(std::string("forward/") + method + "/uniform/S" + std::to_string(states),
          [=](benchmark::State& state) { forward(state, method, Generator::uniform(states)); });
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  Kokkos::ScopeGuard const guard(Kokkos::InitializationSettings().set_disable_warnings(true));
  add_cases();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
