// SPDX-License-Identifier: BSD-3-Clause
#include <cstdio>

#include <saltus/ctmc/io/generators.hpp>
#include <saltus/ctmc/version.hpp>
#include <saltus/integrators/registry.hpp>

#include "problem.hpp"

namespace saltus::app {

int run_info(Options const& options) {
  std::vector<IntegratorInfo> infos;
  for (auto const& name : integrator_names()) infos.push_back(make_integrator(name)->info());
  if (options.flag("json")) {
    Json details = Json::array();
    for (auto const& info : infos) {
      details.push_back({{"name", info.name},
                         {"summary", info.summary},
                         {"reference", info.reference},
                         {"exact", info.exact},
                         {"exact_forward", info.exact || info.exact_forward},
                         {"weak_order", info.weak_order},
                         {"evaluations_per_step", info.evaluations},
                         {"slots", info.slots},
                         {"host_syncs_per_step", info.host_syncs},
                         {"has_site_law", info.has_site_law},
                         {"needs", info.needs}});
    }
    Json const json{{"version", version()},
                    {"git_state", git_state()},
                    {"build_type", build_type()},
                    {"compiler", compiler()},
                    {"kokkos", kokkos_version()},
                    {"backend", backend()},
                    {"integrators", integrator_names()},
                    {"models", model_names()},
                    {"generators", generator_names()},
                    {"noise_schedules", NoiseSchedule::names()},
                    {"integrator_details", details}};
    std::printf("%s\n", json.dump(2).c_str());
    return 0;
  }
  std::printf("saltus %s (%s, %s, %s)\n", version().c_str(), git_state().c_str(), build_type().c_str(),
              compiler().c_str());
  std::printf("Kokkos %s, backend %s\n\nIntegrators:\n", kokkos_version().c_str(), backend().c_str());
  for (auto const& info : infos) {
    std::printf("  %-14s %s\n", info.name.c_str(), info.summary.c_str());
    std::string const cost =
        info.evaluations == 0
            ? "one evaluation an event"
            : std::to_string(info.evaluations) + (info.evaluations == 1 ? " evaluation a step" : " evaluations a step");
    std::printf("  %-14s %s%s%s\n  %-14s %s\n", "", cost.c_str(), info.needs.empty() ? "" : "; needs ",
                info.needs.c_str(), "", info.reference.c_str());
  }
  std::printf("\nModels: ");
  for (auto const& name : model_names()) std::printf("%s, ", name.c_str());
  std::printf("or a folder with a model.json\nGenerators:");
  for (auto const& name : generator_names()) std::printf(" %s", name.c_str());
  std::printf(", or a file\nNoise schedules:");
  for (auto const& name : NoiseSchedule::names()) std::printf(" %s", name.c_str());
  std::printf("\n");
  return 0;
}

}  // namespace saltus::app
