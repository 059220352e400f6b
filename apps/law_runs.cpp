// SPDX-License-Identifier: BSD-3-Clause
#include "law_runs.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/exact_law.hpp>

namespace saltus::app {
namespace {

// [sequences]: p of each.
std::vector<double> enumerated(SequenceLaw const& law) {
  StateSpace const space(law.states(), law.length());
  std::vector<double> p(space.size());
  Kokkos::parallel_for("saltus::apps::enumerated", Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace>(0, p.size()),
                       [&](std::size_t i) { p[i] = std::exp(law.log_likelihood(space.tokens(i))); });
  Kokkos::DefaultHostExecutionSpace().fence("saltus::apps: laws are read on the host");
  return p;
}

std::vector<double> product_of_sites(StateSpace const& space, std::vector<double> const& sites) {
  std::vector<double> p{1};
  auto const states = static_cast<std::size_t>(space.states());
  for (std::size_t l = 0; l * states < sites.size(); ++l) {
    std::vector<double> longer;
    for (double const head : p) {
      for (std::size_t y = 0; y < states; ++y) longer.push_back(head * sites[l * states + y]);
    }
    p = std::move(longer);
  }
  return p;
}

// [length, data states]: the law of each site; nothing if a mask is left anywhere.
std::vector<double> site_laws(StateSpace const& space, std::vector<double> const& law, Generator const& generator) {
  auto const length = static_cast<std::size_t>(space.length()),
             data = static_cast<std::size_t>(generator.data_states());
  std::vector<double> sites(length * data, 0.0);
  std::vector<token_t> x(length);
  for (std::size_t i = 0; i < law.size(); ++i) {
    if (law[i] == 0) continue;
    space.tokens(i, x.data());
    for (std::size_t l = 0; l < length; ++l) {
      if (static_cast<std::size_t>(x[l]) >= data) return {};
      sites[l * data + static_cast<std::size_t>(x[l])] += law[i];
    }
  }
  return sites;
}

// What the engine promises, and no more: below 1e-13 there is only rounding.
double twelve_digits(double value) {
  if (std::abs(value) < 1e-13) return 0;
  char text[32];
  std::snprintf(text, sizeof text, "%.12g", value);
  return std::strtod(text, nullptr);
}

Estimate known(double value) {
  double const v = twelve_digits(value);
  return {v, v, v};
}

std::vector<Estimate> estimates(LawReport const& report, std::vector<Metric> const& metrics) {
  constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  std::vector<Estimate> all;
  for (Metric const metric : metrics) {
    switch (metric) {
      case Metric::tv: all.push_back(known(report.tv)); break;
      case Metric::kl: all.push_back(known(report.kl)); break;
      case Metric::reverse_kl: all.push_back(known(report.reverse_kl)); break;
      case Metric::path_kl: all.push_back(known(report.path_kl.value_or(unknown))); break;
      case Metric::path_kl_discretisation: all.push_back(known(report.discretisation.value_or(unknown))); break;
      case Metric::path_kl_factorisation: all.push_back(known(report.factorisation.value_or(unknown))); break;
      default: internal_error("a metric of sequences");
    }
  }
  return all;
}

// Of the network for a sample.
double evaluations(ExecSpace const& exec, Process const& process, Integrator const& integrator, LawPlan const& plan) {
  if (!process.is_reverse()) return 0;
  StepOptions options = step_options(integrator, process);
  options.forced_last = plan.forced_last;
  StepTable const table(exec, process, plan.grid, options);
  int count = 0;
  for (int k = 0; k < table.steps(); ++k) {
    for (auto const& kernel : integrator.kernels(table.step(k))) count += kernel.integrator->info().evaluations;
  }
  return count * process.model()->info().evaluations;
}

double limit_of(Options const& options) {
  double const limit = options.number("most-transitions");
  require(limit > 0, "--most-transitions must be a number above 0, got " + options.text("most-transitions"));
  return limit;
}

}  // namespace

std::vector<Run> run_laws(Contest& contest, Subject const& subject, Options const& options) {
  double const limit = limit_of(options);
  Generator const& generator = contest.process.generator();
  StateSpace const space(generator.states(), contest.law->length());
  std::vector<double> start, data;
  if (contest.forward) {
    start = product_of_sites(space, subject.forward->start_laws());
  } else {
    data = enumerated(subject.reverse->law("--law exact"));
    NoiseSchedule const& noise = contest.process.noise();
    if (!subject.reverse->masked())
      start = forward_law(space, space.embed(data, generator), generator, noise, noise.end());
  }
  ExecSpace const exec;
  std::vector<LawPlan> plans;
  double transitions = 0;
  for (auto const& entrant : contest.entrants) {
    plans.push_back({.grid = entrant.plan.grid,
                     .start = start,
                     .data = data,
                     .phi = entrant.plan.phi,
                     .power = entrant.plan.power,
                     .forced_last = entrant.plan.forced_last,
                     .limit = std::numeric_limits<double>::infinity()});
    transitions += count_transitions(exec, contest.process, *make_method(entrant, contest.process), space, plans.back());
  }
  require(transitions <= limit, "the exact laws need " + to_text(transitions) +
                                    " transitions, more than --most-transitions " + options.text("most-transitions") +
                                    " (2e10 take a minute on 2 cores): compare fewer methods or steps, or raise it");
  auto const metrics = exact_metrics(!contest.forward && subject.reverse->masked());
  std::vector<Run> runs;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    Entrant const& entrant = contest.entrants[i];
    auto const integrator = make_method(entrant, contest.process);
    Kokkos::Timer const timer;
    LawReport const report = law_report(exec, contest.process, *integrator, space, plans[i]);
    Run run{.integrator = entrant.integrator,
            .exact = entrant.exact,
            .own_steps = entrant.own_steps,
            .weak_order = entrant.weak_order,
            .steps = static_cast<double>(entrant.steps),
            .transitions = report.transitions,
            .estimates = estimates(report, metrics)};
    run.report.evaluations = evaluations(exec, contest.process, *integrator, plans[i]);
    if (contest.forward && !entrant.own_steps) run.report.evaluations = entrant.steps;  // which it has instead
    run.report.seconds = timer.seconds();
    if (entrant.pictured) run.sites = site_laws(space, report.law, generator);
    runs.push_back(std::move(run));
  }
  return runs;
}

}  // namespace saltus::app
