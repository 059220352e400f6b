// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/exact_law.hpp>

#include <saltus/ctmc/error.hpp>

namespace saltus {
namespace {
// Adds weight * product of the sites' laws to `out`, skipping impossible targets.
void multiply_out(StateSpace const& space, double const* sites, double weight, int l, std::size_t index,
                  std::vector<double>& out) {
  if (l == space.length()) {
    out[index] += weight;
    return;
  }
  for (int y = 0; y < space.states(); ++y) {
    double const p = sites[l * space.states() + y];
    if (p != 0) multiply_out(space, sites, weight * p, l + 1, index * static_cast<std::size_t>(space.states()) + static_cast<std::size_t>(y), out);
  }
}
}  // namespace

std::vector<double> push_law(ExecSpace const& exec, Process& process, Integrator const& integrator,
                             StateSpace const& space, std::vector<double> const& law, Step const& step, double time) {
  require(integrator.info().has_site_law, "the integrator '" + integrator.info().name +
                                              "' has no law by site, so its exact law cannot be computed");
  SALTUS_ASSERT(law.size() == space.size());
  std::vector<std::size_t> reachable;
  for (std::size_t i = 0; i < law.size(); ++i) {
    if (law[i] > 0) reachable.push_back(i);
  }
  auto const rows = reachable.size(), length = static_cast<std::size_t>(space.length()),
             states = static_cast<std::size_t>(space.states());
  State const state{Tokens("saltus::integrators::law::tokens", rows, length), Times("saltus::integrators::law::time", rows), {}, 0};
  auto const tokens = Kokkos::create_mirror_view(state.tokens);
  for (std::size_t b = 0; b < rows; ++b) space.tokens(reachable[b], &tokens(b, 0));
  Kokkos::deep_copy(exec, state.tokens, tokens);
  Kokkos::deep_copy(exec, state.time, time);
  process.reserve({static_cast<int>(rows), space.length()}, 1);
  process.refresh(exec, state, 0);
  SiteProbabilities const sites("saltus::integrators::law::sites", rows, length, states);
  integrator.site_probabilities(exec, process, state, step, sites);
  auto const host = Kokkos::create_mirror_view(sites);
  Kokkos::deep_copy(exec, host, sites);
  exec.fence("saltus::integrators: the laws of the sites are read on the host");
  std::vector<double> out(space.size(), 0.0);
  for (std::size_t b = 0; b < rows; ++b) {
    multiply_out(space, host.data() + b * length * states, law[reachable[b]], 0, 0, out);
  }
  return out;
}

std::vector<double> output_law(ExecSpace const& exec, Process& process, Integrator const& integrator,
                               StateSpace const& space, std::vector<double> law, TimeGrid const& grid, bool forced_last,
                               std::vector<double> const& phi) {
  StepOptions options = step_options(integrator, process);
  options.phi = phi;
  options.forced_last = forced_last;
  StepTable const table(exec, process, grid, options);
  for (int k = 0; k < table.steps(); ++k) {
    law = push_law(exec, process, integrator, space, law, table.step(k), table.host(k).from);
  }
  return law;
}

}  // namespace saltus
