// SPDX-License-Identifier: BSD-3-Clause
// Holds the method of the guide docs/add-an-integrator.md against its own definition and its samples against its law.
// Exit code 1 if something is wrong.
#include <cmath>
#include <cstdio>

#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/table.hpp>

using namespace saltus;

namespace {
int failures = 0;
void check(bool holds, char const* what, double value) {
  std::printf("%s: %s (%.3g)\n", holds ? "ok" : "WRONG", what, value);
  failures += !holds;
}
}  // namespace

int main() {
  Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  TableLaw const law = TableLaw::neighbours(2, 3, 9);
  Generator const generator = Generator::absorbing(4);
  StateSpace const space(4, 2);
  Process process = Process::reverse(generator, NoiseSchedule::log_linear(), law.denoiser(generator));
  auto const integrator = make_integrator("exponential");
  std::vector<double> masks(space.size(), 0.0);
  masks.back() = 1;

  // From t = 1 to 1/2 the hazard of log-linear noise at the start is 1/t = 1: a site stays masked with exp(-1/2).
  auto const grid = TimeGrid::from_points({1, 0.5});
  double const both_masked = output_law(ExecSpace(), process, *integrator, space, masks, grid).back();
  check(std::abs(both_masked - std::exp(-1.0)) < 1e-14, "two sites stay masked with probability exp(-1)", both_masked);

  SamplePlan plan = make_plan(process, *integrator, 3, 2);
  plan.samples = 100'000;
  plan.batch = 100'000;
  auto const own = output_law(ExecSpace(), process, *integrator, space, masks, plan.grid, plan.forced_last);
  HostTokens const x = sample(ExecSpace(), process, *integrator, plan);
  std::vector<double> shares(space.size(), 0.0);
  for (std::size_t b = 0; b < plan.samples; ++b) shares[space.index(&x(b, 0))] += 1.0 / static_cast<double>(plan.samples);
  // A correct sampler exceeds this bound with probability at most 1e-9 (derived in examples/02_exact_against_sampled).
  double const n = static_cast<double>(plan.samples), bound = std::sqrt(9 / n) / 2 + std::sqrt(std::log(1e9) / (2 * n));
  double const distance = total_variation(shares, own);
  check(distance < bound, "total variation of samples from the method's own law", distance);
  double const error = total_variation(own, space.embed(law.probabilities(), generator));
  check(error > 2 * bound, "total variation of the method's law from the data", error);
  return failures > 0;
}
