// SPDX-License-Identifier: BSD-3-Clause
// Forward simulation, one line of numbers a case; versus_others.py runs it beside other programs.
//   forward_bench events SAMPLES        birth-death of DSMTS case 00001 with a 51-point grid of observations
//   forward_bench transitions STATES    exact transition sampling of LENGTH x BATCH sites
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <saltus/ctmc/process.hpp>
#include <saltus/integrators/registry.hpp>

using namespace saltus;

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const kokkos(argc, argv);
  ExecSpace const exec;
  if (argc < 3) return 2;
  int const n = std::atoi(argv[2]);
  if (std::strcmp(argv[1], "events") == 0) {
    Process process = Process::forward(Generator::population({0, 0.1, 0.11, 1}), NoiseSchedule::constant(1, 50));
    auto const gillespie = make_integrator("gillespie", process);
    Tokens const tokens("t", static_cast<std::size_t>(n), 1);
    State const state{tokens, Times("time", static_cast<std::size_t>(n)), {}, 0};
    PathPlan plan;
    Kokkos::View<double*, MemorySpace> windows("w", 51), totals("tot", 51);
    for (int w = 0; w < 51; ++w) windows(w) = w == 0 ? 0 : 1, totals(w) = w;
    plan.windows = windows;
    plan.totals = totals;
    plan.tokens = decltype(plan.tokens)("obs", 51, static_cast<std::size_t>(n), 1);
    CounterView const counters("c", gillespie->reserve(process, {n, 1}));
    for (int repeat = 0; repeat < 5; ++repeat) {
      Kokkos::deep_copy(tokens, 100);
      Kokkos::deep_copy(counters, Counters{});
      Kokkos::Timer timer;
      gillespie->follow(exec, process, state, plan, {static_cast<std::uint64_t>(repeat), 0}, counters);
      exec.fence();
      double const s = timer.seconds();
      double jumps = 0;
      for (std::size_t i = 0; i < counters.extent(0); ++i) jumps += static_cast<double>(counters(i).jumps);
      double mean = 0;
      for (int b = 0; b < n; ++b) mean += tokens(b, 0);
      std::printf("events %.4g s %.4g  M events/s %.1f  mean %.3f\n", jumps, s, jumps / s / 1e6, mean / n);
    }
    return 0;
  }
  std::vector<double> q(static_cast<std::size_t>(n) * static_cast<std::size_t>(n));
  for (int x = 0; x < n; ++x) {
    double sum = 0;
    for (int y = 0; y < n; ++y) sum += q[static_cast<std::size_t>(x * n + y)] = x == y ? 0 : 1.0 / (1 + (x + y) % 5);
    q[static_cast<std::size_t>(x * n + x)] = -sum;
  }
  Process process = Process::forward(Generator::dense("bench", n, q), NoiseSchedule::constant(1, 1));
  auto const tweedie = make_integrator("tweedie", process);
  int const batch = 1000, length = 1000;
  State const state{Tokens("t", batch, length), Times("time", batch), {}, 0};
  CounterView const counters("c", tweedie->reserve(process, {batch, length}));
  for (int repeat = 0; repeat < 8; ++repeat) {
    Kokkos::Timer timer;
    StepTable const table(exec, process, TimeGrid::uniform(0, 0.3 / n, 1), {}, {}, false, true);
    tweedie->advance(exec, process, state, table.step(0, repeat), {1, 0}, counters);
    exec.fence();
    std::printf("M site-branches/s %.1f\n", 1e-6 * batch * length / timer.seconds());
  }
}
