// SPDX-License-Identifier: BSD-3-Clause
#include <cstdio>

#include <saltus/ctmc/generator.hpp>
#include <saltus/ctmc/noise_schedule.hpp>
#include <saltus/ctmc/process.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/simulate.hpp>

int main() {
  using namespace saltus;
  Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  // A gate that opens at rate 2 and closes at rate 1: rows sum to 0.
  Generator const gate = Generator::dense("gate", 2, {-2, 2, 1, -1});
  Process process = Process::forward(gate, NoiseSchedule::parse("constant:rate=1,end=inf"));
  auto const integrator = make_integrator("gillespie", process);
  SimulationPlan plan;
  plan.times = {5};
  plan.samples = 100000;
  plan.start = start_from_rows({0}, 1);
  std::size_t open = 0;
  simulate(ExecSpace(), process, *integrator, plan, [&](Sight const& sight) {
    for (std::size_t b = 0; b < sight.rows; ++b) open += sight.tokens(0, b, 0) == 1;
  });
  std::printf("open: %.3f, in the stationary law %.3f\n", static_cast<double>(open) / 1e5, gate.stationary()[1]);
  return open > 66000 && open < 67300 ? 0 : 1;
}
