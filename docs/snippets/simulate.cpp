// SPDX-License-Identifier: BSD-3-Clause
#include <cmath>
#include <cstdio>

#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/statistics.hpp>

int main() {
  using namespace saltus;
  Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  Process process = Process::forward(Generator::population({.birth = 0.1, .death = 0.11}), NoiseSchedule::constant(1, 50));
  SimulationPlan plan;
  plan.times = {10, 20, 50};
  plan.samples = 10'000;
  plan.start = start_from_rows({100}, 1);
  PathStatistics statistics(plan.times.size(), 1, 0);
  simulate(ExecSpace(), process, *make_integrator("gillespie", process), plan, [&](Sight const& sight) { statistics.add(sight); });
  auto const [mean, error] = statistics.mean(2);
  std::printf("%.3f +- %.3f at t = 50; exactly %.3f\n", mean, error, 100 * std::exp(-0.01 * 50));
  return std::abs(mean - 100 * std::exp(-0.01 * 50)) < 5 * error ? 0 : 1;
}
