// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cstdio>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/generators.hpp>
#include <saltus/ctmc/version.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/models/torch_library.hpp>

#include "manual.hpp"
#include "problem.hpp"
#include "ranks.hpp"

namespace saltus::app {
namespace {

constexpr std::size_t page = 80;

// `text` in lines of at most `page` columns; the first one begins with `head`, all of them are indented by `left`.
void print_wrapped(std::string const& head, std::size_t left, std::string const& text) {
  std::string line = head;
  line.resize(std::max(left, head.size() + (head.empty() ? 0 : 1)), ' ');
  bool bare = true;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t const end = std::min(text.find(' ', begin), text.size());
    if (!bare && line.size() + 1 + end - begin > page) {
      std::printf("%s\n", line.c_str());
      line.assign(left, ' ');
      bare = true;
    }
    line += (bare ? "" : " ") + text.substr(begin, end - begin);
    bare = false;
    begin = end + 1;
  }
  std::printf("%s\n", line.c_str());
}

std::string counted(int count, std::string const& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

std::string claim(IntegratorInfo const& info) {
  if (info.exact) return "exact";
  std::string text = info.weak_order > 0 ? "order " + to_text(info.weak_order) : "no order";
  return text + (info.exact_forward ? ", forwards exact" : "");
}

std::string cost(IntegratorInfo const& info) {
  std::string text = info.evaluations == 0 ? "evaluations as its events or steps need them"
                                           : counted(info.evaluations, "evaluation") + " a step";
  text += ", " + counted(info.slots, "slot") + ", ";
  if (info.host_syncs == 0) return text + "no fence";
  if (info.host_syncs < 0) return text + "a fence for each of its own steps";
  return text + counted(info.host_syncs, "fence") + (info.evaluations == 0 ? " an interval" : " a step");
}

std::string correction_cost(IntegratorInfo const& info) {
  return (info.evaluations == 0 ? "no evaluation" : counted(info.evaluations, "evaluation")) + " more a step";
}

// What a method declares, in full.
void print_details(std::vector<IntegratorInfo> const& infos, std::string (*bill)(IntegratorInfo const&), bool claims) {
  constexpr std::size_t left = 12;
  for (auto const& info : infos) {
    std::printf("\n%s\n", info.name.c_str());
    print_wrapped("  what", left, info.summary);
    if (claims) print_wrapped("  claim", left, claim(info));
    print_wrapped("  cost", left, bill(info));
    print_wrapped("  exact law", left, info.has_site_law ? "yes" : "no");
    if (!info.needs.empty()) print_wrapped("  needs", left, info.needs);
    print_wrapped("  from", left, info.reference);
  }
}

Json details(std::vector<IntegratorInfo> const& infos) {
  Json all = Json::array();
  for (auto const& info : infos) {
    all.push_back({{"name", info.name},
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
  return all;
}

Json corrector_details(std::vector<IntegratorInfo> const& infos) {
  Json all = Json::array();
  for (auto const& info : infos) {
    all.push_back({{"name", info.name},
                   {"summary", info.summary},
                   {"reference", info.reference},
                   {"more_evaluations_per_step", info.evaluations},
                   {"has_site_law", info.has_site_law},
                   {"needs", info.needs}});
  }
  return all;
}

Json distiller_details(std::vector<DistillerInfo> const& infos) {
  Json all = Json::array();
  for (auto const& info : infos)
    all.push_back({{"name", info.name}, {"summary", info.summary}, {"reference", info.reference}, {"bases", info.bases}});
  return all;
}

}  // namespace

int run_info(Options const& options) {
  if (options.flag("man") || options.has("completion")) {
    std::fputs((options.flag("man") ? manual_page() : completion(options.text("completion"))).c_str(), stdout);
    return 0;
  }
  std::vector<IntegratorInfo> methods, correctors;
  for (auto const& name : integrator_names()) methods.push_back(make_integrator(name)->info());
  for (auto const& name : corrector_names()) correctors.push_back(corrector_info(name));
  std::vector<DistillerInfo> distillers;
  for (auto const& name : distiller_names()) distillers.push_back(make_distiller(name)->info());
  bool const in_full = options.flag("integrators");
  if (options.flag("json")) {
    Json const listed{{"integrator_details", details(methods)}, {"corrector_details", corrector_details(correctors)}};
    Json json;
    if (!in_full) {
      json = {{"version", version()},
              {"git_state", git_state()},
              {"build_type", build_type()},
              {"compiler", compiler()},
              {"kokkos", kokkos_version()},
              {"backend", backend()},
              {"adapters", {{"torch", adapter_file(torch_adapter)}, {"mpi", adapter_file(mpi_adapter)}}},
              {"integrators", integrator_names()},
              {"correctors", corrector_names()},
              {"distillers", distiller_details(distillers)},
              {"models", model_names()},
              {"generators", generator_names()},
              {"noise_schedules", NoiseSchedule::names()}};
    }
    json.update(listed);
    std::printf("%s\n", json.dump(2).c_str());
    return 0;
  }
  if (in_full) {
    print_wrapped("", 0,
                  "Methods, named with parameters as in top_k:score=margin,temperature=0.5. The claim is about the law "
                  "of the samples, given exact scores: exact, or an error that falls like steps^(-order).");
    print_details(methods, cost, true);
    std::printf("\n");
    print_wrapped("", 0, "Correctors, around a method that takes steps, as in tweedie+remasking:variant=cap,eta=0.02; "
                         "an exact law needs one of the method too:");
    print_details(correctors, correction_cost, false);
    return 0;
  }
  std::printf("saltus %s (%s, %s, %s)\n", version().c_str(), git_state().c_str(), build_type().c_str(),
              compiler().c_str());
  std::printf("Kokkos %s, backend %s\n", kokkos_version().c_str(), backend().c_str());
  auto const there = [](AdapterLibrary const& library) { return adapter_file(library).empty() ? "not in this build" : "there"; };
  std::printf("adapters: LibTorch (networks) %s, MPI (several ranks) %s\n", there(torch_adapter), there(mpi_adapter));
  constexpr std::size_t left = 23;
  std::printf("\nIntegrators (in full: saltus info --integrators):\n");
  for (auto const& info : methods) print_wrapped("  " + info.name, left, info.summary);
  std::printf("\nCorrectors (METHOD+CORRECTOR):\n");
  for (auto const& info : correctors) print_wrapped("  " + info.name, left, info.summary);
  std::printf("\nMethods that learn schedules (saltus distill --method):\n");
  for (auto const& info : distillers) print_wrapped("  " + info.name, left, info.summary);
  std::printf("\n");
  auto const print_names = [](std::string const& what, std::vector<std::string> const& names, std::string const& last) {
    std::string text;
    for (auto const& name : names) text += name + (last.empty() && name == names.back() ? "" : ", ");
    print_wrapped(what, 17, text + last);
  };
  print_names("Models:", model_names(), "a folder with a model.json, or table:FILE");
  print_names("Generators:", generator_names(), "or a file");
  print_names("Noise schedules:", NoiseSchedule::names(), "");
  return 0;
}

}  // namespace saltus::app
