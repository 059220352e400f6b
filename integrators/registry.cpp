// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/registry.hpp>

#include <algorithm>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/corrector.hpp>
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/site_law.hpp>

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
struct CorrectorEntry {
  char const* name;
  std::unique_ptr<Integrator> (*make)(std::unique_ptr<Integrator>, Parameters const&);
};
constexpr CorrectorEntry correctors[] = {
#define SALTUS_CORRECTOR(name) {#name, &correct_##name},
#include <saltus/integrators/correctors.def>
#undef SALTUS_CORRECTOR
};

// The end of a method's or corrector's text: a plus sign that a name follows (not an exponent).
std::size_t end_of_part(std::string_view text) {
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    char const next = text[i + 1];
    if (text[i] == '+' && ((next >= 'a' && next <= 'z') || next == '_')) return i;
  }
  return text.size();
}

bool begins_with_method(std::string_view item) {
  std::string_view const name = item.substr(0, item.find_first_of(":+"));
  return std::any_of(std::begin(entries), std::end(entries), [&](Entry const& entry) { return entry.name == name; });
}
}  // namespace

std::vector<Part> Integrator::parts(NoiseSchedule const&, Interval) const { return {}; }

void Integrator::site_probabilities(ExecSpace const&, Process const&, State const&, Step const&, SiteList const&,
                                    SiteProbabilities const&) const {
  throw UserError("the integrator '" + info().name + "' has no law by site, so its exact law cannot be computed");
}

void Integrator::second_probabilities(ExecSpace const&, Process const&, State const&, Step const&,
                                      Kokkos::View<int const* [2], Kokkos::LayoutRight, MemorySpace> const&,
                                      SiteList const&, SiteProbabilities const&) const {
  internal_error("the integrator '" + info().name + "' has no second stage");
}

void Integrator::move(ExecSpace const&, Process&, State const&, Step const&, StreamKey, CounterView const&) {
  throw UserError("the integrator '" + info().name + "' does not move from a given evaluation; methods of one stage with a law by site do");
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
  throw UserError("the integrator '" + info().name + "' follows no paths, so it knows no jump times; gillespie, next_reaction and uniformization do");
}

Categorical parse_categorical(Parameters const& parameters) {
  std::string const text = parameters.text("categorical", "exact");
  if (text == "exact") return Categorical::exact;
  if (text == "gumbel32") return Categorical::gumbel32;
  if (text == "gumbel_eps") return Categorical::gumbel_eps;
  throw UserError(unknown_name("value of categorical", text, {"exact", "gumbel32", "gumbel_eps"}));
}

std::vector<std::string> integrator_names() {
  std::vector<std::string> names;
  for (auto const& entry : entries) names.emplace_back(entry.name);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> corrector_names() {
  std::vector<std::string> names;
  for (auto const& entry : correctors) names.emplace_back(entry.name);
  std::sort(names.begin(), names.end());
  return names;
}

IntegratorInfo corrector_info(std::string_view name) {
  IntegratorInfo info = make_integrator("tweedie+" + std::string(name))->info();
  info.name = name;
  info.evaluations -= 1;
  return info;
}

std::vector<std::string> split_integrators(std::string_view list) {
  std::vector<std::string> methods;
  while (true) {
    auto const comma = list.find(',');
    std::string const item(list.substr(0, comma));
    if (!methods.empty() && !begins_with_method(item) && item.find('=') != item.npos) {
      methods.back() += "," + item;
    } else {
      methods.push_back(item);
    }
    if (comma == list.npos) return methods;
    list.remove_prefix(comma + 1);
  }
}

std::unique_ptr<Integrator> make_integrator(std::string_view name) {
  auto end = end_of_part(name);
  Parameters const parameters = Parameters::parse("integrator", name.substr(0, end));
  std::unique_ptr<Integrator> integrator;
  for (auto const& entry : entries) {
    if (entry.name == parameters.name()) integrator = entry.make(parameters);
  }
  if (!integrator) throw UserError(unknown_name("integrator", parameters.name(), integrator_names()));
  while (end < name.size()) {
    name.remove_prefix(end + 1);
    end = end_of_part(name);
    Parameters const more = Parameters::parse("corrector", name.substr(0, end));
    auto const found = std::find_if(std::begin(correctors), std::end(correctors),
                                    [&](CorrectorEntry const& entry) { return entry.name == more.name(); });
    if (found == std::end(correctors)) throw UserError(unknown_name("corrector", more.name(), corrector_names()));
    integrator = found->make(std::move(integrator), more);
  }
  return integrator;
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
