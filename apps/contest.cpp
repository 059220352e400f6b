// SPDX-License-Identifier: BSD-3-Clause
#include "contest.hpp"

#include <algorithm>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/models/product.hpp>

namespace saltus::app {
namespace {

// Sites are independent under a forward process, so its law at a time is a product.
std::shared_ptr<SequenceLaw const> forward_product(ForwardProblem const& problem, double time) {
  auto const n = static_cast<std::size_t>(problem.named.generator.states()),
             length = static_cast<std::size_t>(problem.length);
  require(problem.named.generator.is_bounded(),
          "compare needs a generator with a largest state; '" + problem.named.generator.name() + "' has none");
  require(n <= 4096, "compare needs the exact law and so a generator of at most 4096 states, got " + std::to_string(n));
  std::vector<double> const start = problem.start_laws();
  std::vector<double> law;
  for (std::size_t l = 0; l < length; ++l) {
    double const multiplier =
        problem.site_rates.empty()
            ? 1
            : problem.site_rates.multiplier[static_cast<std::size_t>(problem.site_rates.category[l])];
    auto const site = problem.named.generator.push(
        {start.begin() + static_cast<std::ptrdiff_t>(l * n), start.begin() + static_cast<std::ptrdiff_t>((l + 1) * n)},
        multiplier * problem.noise.total_between(0, time));
    law.insert(law.end(), site.begin(), site.end());
  }
  return std::make_shared<ProductLaw>(problem.length, static_cast<int>(n), std::move(law));
}

// The grid of a plan in `steps` steps, everything else as in `base`.
SamplePlan plan_for(SamplePlan base, Contest const& contest, Integrator const& integrator, int steps, double end) {
  if (contest.forward) {
    base.grid = TimeGrid::uniform(0, end, steps);
    return base;
  }
  SamplePlan const made = make_plan(contest.process, integrator, steps, base.length, end);
  base.grid = made.grid;
  base.forced_last = made.forced_last;
  return base;
}

std::vector<Entrant> entrants(Contest const& contest, Subject const& subject, SamplePlan const& base) {
  std::vector<Entrant> all;
  for (auto const& method : subject.methods) {
    auto const integrator = make_integrator(method, contest.process);
    IntegratorInfo const& info = integrator->info();
    bool const exact = info.exact || (contest.forward && info.exact_forward);
    bool const own_steps = info.evaluations == 0 || (contest.forward && exact);
    auto const add = [&](int steps, std::string label, bool pictured) {
      std::replace_if(label.begin(), label.end(), [](char c) { return c == ':' || c == '='; }, '_');
      all.push_back({.integrator = method,
                     .exact = exact,
                     .own_steps = own_steps,
                     .steps = steps,
                     .plan = plan_for(base, contest, *integrator, steps, subject.time),
                     .pictured = pictured,
                     .label = std::move(label)});
    };
    if (own_steps) {
      add(1, method, true);
      continue;
    }
    for (std::int64_t const nfe : subject.budgets) {
      require(nfe % info.evaluations == 0, "'" + method + "' makes " + std::to_string(info.evaluations) +
                                               " evaluations a step, so --nfe must be a multiple of it; got " +
                                               std::to_string(nfe));
      add(static_cast<int>(nfe / info.evaluations),
          method + (contest.forward ? "_steps" : "_nfe") + std::to_string(nfe),
          nfe == std::ranges::min(subject.budgets));
    }
  }
  return all;
}

}  // namespace

Subject read_subject(Options const& options) {
  Subject subject{.seed = options.seed("seed"),
                  .samples = static_cast<std::size_t>(options.integer("samples", 2, 1'000'000'000)),
                  .batch = static_cast<int>(options.integer("batch", 1, 1 << 24)),
                  .methods = options.list("integrators"),
                  .budgets = options.integers("nfe", 1, 1'000'000),
                  .reverse = {},
                  .forward = {}};
  for (auto const& method : subject.methods) make_integrator(method);
  bool const forward =
      !options.given("model") && !options.given("data") && (options.has("generator") || options.has("process"));
  for (char const* const other : {"process", "site-rates", "start", "times", "length", "fix-diagonal", "normalise"}) {
    require(
        forward || !options.has(other),
        "--" + std::string(other) +
            " is for comparing on a forward process: leave --model and --data away and give --generator or --process");
  }
  if (!forward) {
    subject.reverse.emplace(read_problem(options));
    return subject;
  }
  subject.forward.emplace(read_forward(options));
  auto const times = read_times(options);
  require(times.size() == 1 && times[0] > 0, "compare looks at one time above 0: --times T");
  subject.time = times[0];
  print_notes(options, subject.forward->named.notes);
  return subject;
}

Contest make_contest(Subject const& subject, Options const& options) {
  auto const& forward = subject.forward;
  auto const& reverse = subject.reverse;
  Contest contest{.process = forward ? forward->process() : reverse->process(),
                  .law = forward ? forward_product(*forward, subject.time) : reverse->final_law(),
                  .alphabet = subject.alphabet(),
                  .forward = forward.has_value(),
                  .title = forward ? forward->named.description + " from " + forward->start_text +
                                         " to t = " + to_text(subject.time)
                                   : reverse->source,
                  .rank = forward ? Metric::tv_site : Metric::tv_pair,
                  .header = forward ? run_header(options, *forward) : run_header(options, *reverse),
                  .entrants = {}};
  SamplePlan const base{.grid = TimeGrid::uniform(0, 1, 1),
                        .seed = subject.seed,
                        .samples = subject.samples,
                        .length = contest.law->length(),
                        .batch = subject.batch,
                        // The starts' random numbers must not be those of the perfect samplers.
                        .start = forward ? forward->start(subject.seed) : reverse->exact_start(subject.seed ^ 0x5A17u)};
  contest.entrants = entrants(contest, subject, base);
  return contest;
}

}  // namespace saltus::app
