// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/registry.hpp>

#include <algorithm>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/methods.hpp>

namespace saltus {
namespace {
struct Entry {
  char const* name;
  std::unique_ptr<Integrator> (*make)(Parameters const&);
};
constexpr Entry entries[] = {
#define SALTUS_INTEGRATOR(name) {#name, &make_##name},
#include <saltus/integrators/integrators.def>
#undef SALTUS_INTEGRATOR
};
}  // namespace

std::vector<Part> Integrator::parts(NoiseSchedule const&, Interval) const { return {}; }

void Integrator::site_probabilities(ExecSpace const&, Process const&, State const&, Step const&,
                                    SiteProbabilities const&) const {
  throw UserError("the integrator '" + info().name + "' has no law by site, so its exact law cannot be computed");
}

void Integrator::second_probabilities(ExecSpace const&, Process const&, State const&, Step const&,
                                      Kokkos::View<int const* [2], Kokkos::LayoutRight, MemorySpace> const&,
                                      SiteProbabilities const&) const {
  internal_error("the integrator '" + info().name + "' has no second stage");
}

std::vector<Integrator::Kernel> Integrator::kernels(Step const& step) const {
  if (!info().has_site_law) return {};
  return {{this, step}};
}

StepOptions step_options(Integrator const& integrator, Process const& process) {
  return {.transitions = integrator.info().uses_transitions,
          .parts = [&integrator, noise = process.noise()](Interval interval) { return integrator.parts(noise, interval); }};
}

void Integrator::follow(ExecSpace const&, Process&, State const&, PathPlan const&, StreamKey, CounterView const&) {
  throw UserError("the integrator '" + info().name + "' follows no paths, so it knows no jump times; gillespie and uniformization do");
}

std::vector<std::string> integrator_names() {
  std::vector<std::string> names;
  for (auto const& entry : entries) names.emplace_back(entry.name);
  std::sort(names.begin(), names.end());
  return names;
}

std::unique_ptr<Integrator> make_integrator(std::string_view name) {
  Parameters const parameters = Parameters::parse("integrator", name);
  for (auto const& entry : entries) {
    if (entry.name == parameters.name()) return entry.make(parameters);
  }
  throw UserError(unknown_name("integrator", parameters.name(), integrator_names()));
}

std::unique_ptr<Integrator> make_integrator(std::string_view name, Process const& process) {
  auto integrator = make_integrator(name);
  std::string const why = integrator->refuses(process);
  if (why.empty()) return integrator;
  std::string others;
  for (auto const& entry : entries) {
    if (make_integrator(entry.name)->refuses(process).empty()) others += (others.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw UserError("the integrator '" + std::string(name) + "' " + why + "; these would do: " + others + ".");
}

}  // namespace saltus
