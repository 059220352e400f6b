// SPDX-License-Identifier: BSD-3-Clause
#include <cmath>
#include <cstdio>

#include <saltus/saltus.hpp>

int main() {
  using namespace saltus;
  Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  MarkovChain const law = MarkovChain::countdown(4, 8);  // 4 states, 8 sites: x > 0 is followed by x - 1
  Generator const generator = Generator::absorbing(4 + 1);
  Process process = Process::reverse(generator, NoiseSchedule::log_linear(), law.denoiser(generator));
  for (char const* name : {"gillespie", "tweedie"}) {
    auto const integrator = make_integrator(name, process);
    SamplePlan plan = make_plan(process, *integrator, 4, law.length());  // 4 steps, where there are steps
    plan.samples = 1000;
    SampleReport report;
    HostTokens const x = sample(ExecSpace(), process, *integrator, plan, &report);
    int broken = 0;
    for (int b = 0; b < 1000; ++b) broken += std::isinf(law.log_likelihood({&x(b, 0), 8}));
    std::printf("%-9s %.0f evaluations a sequence, %3d of 1000 break the rule\n", name, report.evaluations, broken);
  }
}
