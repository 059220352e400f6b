// SPDX-License-Identifier: BSD-3-Clause
// Dimerisation of 20 molecules, 2P <-> P2: a sparse generator on the number of dimers, followed by exact methods and
// by Euler steps. Which of them draw from the law of the process? oracle.py derives every number printed here.
#include <cmath>
#include <cstdio>
#include <vector>

#include <saltus/ctmc/exact.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/simulate.hpp>

using namespace saltus;

int main() {
  Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  constexpr int states = 11, samples = 100'000;
  constexpr double time = 1;
  // Row n: n -> n - 1 at rate 0.2 n, n -> n + 1 at rate 0.01 P (P - 1) / 2 with P = 20 - 2n single molecules.
  SparseRates rates{{0}, {}, {}};
  for (int n = 0; n < states; ++n) {
    if (n > 0) {
      rates.column.push_back(n - 1);
      rates.rate.push_back(0.2 * n);
    }
    if (n < states - 1) {
      rates.column.push_back(n + 1);
      rates.rate.push_back(0.01 * (20 - 2 * n) * (19 - 2 * n) / 2);
    }
    rates.row_begin.push_back(static_cast<std::int64_t>(rates.column.size()));
  }
  Generator const generator = Generator::sparse("dimerisation", rates, true);
  Process process = Process::forward(generator, NoiseSchedule::constant(1, time));
  std::vector<double> start(states, 0.0);
  start[0] = 1;
  std::vector<double> const law = generator.push(start, time);

  // See example 02: a correct sampler is further from its law than this with probability at most 1e-9.
  double const cells = states, draws = samples;
  double const tolerance = std::sqrt(cells / draws) / 2 + std::sqrt(std::log(1e9) / (2 * draws));
  double mean = 0;
  for (int n = 0; n < states; ++n) mean += n * law[static_cast<std::size_t>(n)];
  std::printf("%.6f dimers at t = 1 in the mean\n", mean);
  std::printf("method          steps  error of its law  samples follow the process\n");
  struct Run {
    char const* method;
    int steps;  // 0: none
  };
  for (auto const [method, steps] : {Run{"gillespie", 0}, Run{"uniformization", 0}, Run{"tweedie", 1}, Run{"euler", 2},
                                     Run{"euler", 4}, Run{"euler", 8}}) {
    auto const integrator = make_integrator(method, process);
    SimulationPlan plan;
    plan.times = {time};
    plan.step = integrator->follows_paths(process) ? 0 : time / steps;
    plan.samples = samples;
    plan.start = start_from_rows({0}, 1);
    std::vector<double> shares(states, 0.0);
    simulate(ExecSpace(), process, *integrator, plan, [&](Sight const& sight) {
      for (std::size_t b = 0; b < sight.rows; ++b) shares[static_cast<std::size_t>(sight.tokens(0, b, 0))] += 1 / draws;
    });
    std::vector<double> own = law;  // Euler: (1 + h Q) in each step; the others are exact
    if (integrator->info().name == "euler") {
      own = start;
      for (int k = 0; k < steps; ++k) {
        std::vector<double> const before = own;
        for (token_t x = 0; x < states; ++x) {
          double const mass = before[static_cast<std::size_t>(x)] * time / steps;
          for (token_t y = 0; y < states; ++y) own[static_cast<std::size_t>(y)] += mass * generator.rate(x, y);
        }
      }
    }
    char const* const follow = total_variation(shares, law) < tolerance ? "yes" : "no";
    std::printf("%-14s  %5d  %16.6f  %27s\n", method, steps, total_variation(own, law), follow);
  }
}
