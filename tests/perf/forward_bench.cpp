// SPDX-License-Identifier: BSD-3-Clause
// Exact transition sampling (tweedie on a forward process) of 1000 x 1000 sites over one branch, with the tables of the
// branch: forward_bench transitions STATES prints million site-branches a second, eight times.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <saltus/ctmc/process.hpp>
#include <saltus/integrators/registry.hpp>

using namespace saltus;

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  ExecSpace const exec;
  if (argc != 3 || std::strcmp(argv[1], "transitions") != 0) {
    std::fputs("usage: forward_bench transitions STATES\n", stderr);
    return 2;
  }
  int const n = std::atoi(argv[2]);
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
    StepTable const table(exec, process, TimeGrid::uniform(0, 0.3 / n, 1), {.transitions = true});
    tweedie->advance(exec, process, state, table.step(0, repeat), {1, 0}, counters);
    exec.fence();
    std::printf("M site-branches/s %.1f\n", 1e-6 * batch * length / timer.seconds());
  }
}
