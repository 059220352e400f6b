// SPDX-License-Identifier: BSD-3-Clause
#include <cmath>
#include <cstdio>

#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/scheduled.hpp>
#include <saltus/models/markov_chain.hpp>

int main() {
  using namespace saltus;
  Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  MarkovChain const law = MarkovChain::countdown(4, 8);
  Generator const generator = Generator::absorbing(4 + 1);
  Process process = Process::reverse(generator, NoiseSchedule::parse("constant:rate=1,end=3"), law.denoiser(generator));
  DistillPlan const plan{.base = "euler", .steps = 4, .teacher_steps = 64, .length = law.length()};
  Schedule const schedule = make_distiller("lsd")->distill(ExecSpace(), process, plan, {});  // or read_schedule(path)
  auto const integrator = make_scheduled(schedule, process);
  SamplePlan run = make_plan(schedule, process, law.length());
  run.samples = 1000;
  HostTokens const x = sample(ExecSpace(), process, *integrator, run);
  int broken = 0;
  for (int b = 0; b < 1000; ++b) broken += std::isinf(law.log_likelihood({&x(b, 0), 8}));
  std::printf("phi %.2f %.2f %.2f; %d of 1000 break the rule\n", schedule.phi[0], schedule.phi[1], schedule.phi[2], broken);
}
