// SPDX-License-Identifier: BSD-3-Clause
// Two dependent sites, three states, cosine noise: the exact output law of two fixed-step methods at several numbers of
// steps, and of samples of all methods whether they agree with it. oracle.py derives every number printed here.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/table.hpp>

using namespace saltus;

namespace {

constexpr std::size_t samples = 100'000;

// The largest total variation between a law with `cells` entries and `samples` draws from it that is not yet an alarm.
// Its mean is at most sqrt(cells / samples) / 2 (Cauchy-Schwarz), and one draw moves it by at most 1 / samples, so that
// it exceeds its mean by e with probability at most exp(-2 samples e^2) (McDiarmid): here 1e-9.
double tolerance(double cells) {
  double const n = samples;
  return std::sqrt(cells / n) / 2 + std::sqrt(std::log(1e9) / (2 * n));
}

// Shares of the sequences of `space` among samples.
std::vector<double> sampled_law(StateSpace const& space, Process& process, Integrator& integrator, int steps) {
  SamplePlan plan = make_plan(process, integrator, steps, space.length());
  plan.samples = samples;
  plan.batch = samples;
  HostTokens const x = sample(ExecSpace(), process, integrator, plan);
  std::vector<double> shares(space.size(), 0.0);
  for (std::size_t b = 0; b < samples; ++b) shares[space.index(&x(b, 0))] += 1.0 / samples;
  return shares;
}

char const* agree(std::vector<double> const& shares, std::vector<double> const& law) {
  auto const cells = static_cast<double>(std::count_if(law.begin(), law.end(), [](double p) { return p > 0; }));
  return total_variation(shares, law) < tolerance(cells) ? "yes" : "no";
}

}  // namespace

int main() {
  Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  // p(x, y) proportional to 1 + 9 [x = y]: its total variation from the product of its marginals is 1/2.
  TableLaw const law = TableLaw::neighbours(2, 3, 9);
  Generator const generator = Generator::absorbing(law.states() + 1);
  StateSpace const space(generator.states(), law.length());
  std::vector<double> const data = space.embed(law.probabilities(), generator);
  std::vector<double> masks(space.size(), 0.0);
  masks.back() = 1;  // the mask is the last state

  Process process = Process::reverse(generator, NoiseSchedule::cosine(), law.denoiser(generator));
  auto const exact = make_integrator("gillespie", process);
  std::printf("method     steps  error of the law  samples follow it  samples follow the data\n");
  for (char const* name : {"euler", "tweedie"}) {
    auto const integrator = make_integrator(name, process);
    for (int const steps : {1, 2, 4, 8, 16}) {
      SamplePlan const plan = make_plan(process, *integrator, steps, law.length());
      auto const out = output_law(ExecSpace(), process, *integrator, space, masks, plan.grid, plan.forced_last);
      auto const shares = sampled_law(space, process, *integrator, steps);
      std::printf("%-9s  %5d  %16.6f  %17s  %23s\n", name, steps, total_variation(out, data), agree(shares, out),
                  agree(shares, data));
    }
  }
  auto const shares = sampled_law(space, process, *exact, 1);
  std::printf("%-9s  %5s  %16.6f  %17s  %23s\n", "gillespie", "-", 0.0, agree(shares, data), agree(shares, data));
}
