// SPDX-License-Identifier: BSD-3-Clause
// Draws three sequences from two laws through the public headers alone, and looks at them.
#include <cstdio>

#include <saltus/saltus.hpp>

namespace {

bool draws(saltus::SequenceLaw const& law, char const* method) {
  using namespace saltus;
  auto const generator = Generator::absorbing(law.states() + 1);
  Process process = Process::reverse(generator, NoiseSchedule::cosine(), law.denoiser(generator));
  auto const integrator = make_integrator(method, process);
  SamplePlan plan = make_plan(process, *integrator, 4, law.length());
  plan.samples = 3;
  HostTokens const tokens = sample(ExecSpace(), process, *integrator, plan);
  bool good = tokens.extent(0) == 3 && tokens.extent(1) == static_cast<std::size_t>(law.length());
  for (token_t const* token = tokens.data(); token != tokens.data() + tokens.size(); ++token) {
    good = good && *token >= 0 && *token < law.states();
  }
  std::printf("%s, %s: %s\n", law.name().c_str(), method, good ? "good" : "WRONG");
  return good;
}

}  // namespace

int main() {
  Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_num_threads(2).set_disable_warnings(true));
  std::printf("saltus %s\n", saltus::version().c_str());
  bool good = !saltus::version().empty() && saltus::integrator_names().size() >= 3;
  for (char const* method : {"gillespie", "tweedie"}) {
    good = draws(saltus::MarkovChain::countdown(8, 20), method) && good;
    good = draws(saltus::ProductLaw(2, 3, {0.2, 0.3, 0.5, 1, 0, 0}), method) && good;
  }
  // Link-time contact with the parts that the sampler does not use.
  try {
    saltus::load_law("no such folder");
    good = false;
  } catch (saltus::UserError const&) {
  }
  return good ? 0 : 1;
}
