// SPDX-License-Identifier: BSD-3-Clause
#include "contest.hpp"

#include <algorithm>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/models/product.hpp>

#include "methods.hpp"

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

std::string title_of(Problem const& problem) {
  std::string const& changes = problem.decoration.text;
  return problem.model.source + (changes.empty() ? ""
          : problem.model.law ? "; decorated: " + changes + "; judged by the law without that"
                              : "; decorated: " + changes);
}

// The plan of `steps` steps, with what all plans share in `base`.
SamplePlan plan_for(SamplePlan base, Contest const& contest, Subject const& subject, Integrator const& integrator,
                    int steps) {
  if (contest.forward) {
    base.grid = TimeGrid::uniform(0, subject.time, steps);
    return base;
  }
  SamplePlan const made = subject.rules->plan(contest.process, integrator, steps);
  base.grid = made.grid;
  base.forced_last = made.forced_last;
  base.last = made.last;
  return base;
}

// Numbers of steps of a method that takes `cost` network evaluations for each.
std::vector<int> numbers_of_steps(Subject const& subject, std::string const& method, int cost) {
  if (subject.rules && subject.rules->own_steps()) return {*subject.rules->own_steps()};
  std::vector<int> steps;
  for (std::int64_t const nfe : subject.budgets) {
    require(nfe % cost == 0, "'" + method + "' makes " + std::to_string(cost) +
                                 " evaluations a step, so --nfe must be a multiple of it; got " + std::to_string(nfe));
    steps.push_back(static_cast<int>(nfe / cost));
  }
  return steps;
}

// Why the law of a method cannot be computed, or need not be; empty: it takes part.
std::string left_out(IntegratorInfo const& info, bool exact) {
  if (info.has_site_law) return "";
  return exact ? "is exact: its error is 0 and is not computed" : "has no law by site, so its exact law is not known";
}

void add_entrants(Contest& contest, Subject const& subject, SamplePlan const& base) {
  // A claim is about the law of the process itself, where it usually ends.
  bool const claims = contest.forward || (contest.law && subject.reverse->decoration.text.empty() &&
                                          (contest.exact_law || !subject.rules->unusual()));
  bool const orders = claims && (contest.forward || subject.rules->refines());
  int const networks = contest.forward ? 1 : contest.process.model()->info().evaluations,
            after = contest.forward ? 0 : subject.rules->last_evaluations();
  for (auto const& method : subject.methods) {
    auto const integrator = make_integrator(method, contest.process);
    IntegratorInfo const& info = integrator->info();
    bool const exact = claims && (info.exact || (contest.forward && info.exact_forward));
    bool const own_steps = info.evaluations == 0 || (contest.forward && exact);
    if (std::string why = contest.exact_law ? left_out(info, exact) : ""; !why.empty()) {
      contest.left_out.emplace_back(method, std::move(why));
      continue;
    }
    int const cost = networks * info.evaluations;
    auto const add = [&](int steps, std::string const& budget, bool pictured) {
      contest.entrants.push_back({.integrator = method,
                                  .exact = exact,
                                  .own_steps = own_steps,
                                  .weak_order = orders ? info.weak_order : 0,
                                  .steps = steps,
                                  .plan = plan_for(base, contest, subject, *integrator, steps),
                                  .pictured = pictured,
                                  .label = file_name(method) + budget});
    };
    if (own_steps) {
      add(1, "", true);
      continue;
    }
    auto const numbers = numbers_of_steps(subject, method, cost);
    for (int const steps : numbers) {
      add(steps,
          contest.forward ? "_steps" + std::to_string(steps)
                          : "_nfe" + std::to_string(steps * cost + networks * after),
          steps == std::ranges::min(numbers));
    }
  }
}

void add_schedules(Contest& contest, Subject const& subject, SamplePlan const& base) {
  for (auto const& named : subject.schedules) {
    Schedule const& schedule = named.schedule;
    IntegratorInfo const info = make_scheduled(schedule, contest.process)->info();
    if (contest.exact_law && !info.has_site_law) {
      contest.left_out.emplace_back(named.name, left_out(info, false));
      continue;
    }
    SamplePlan const made = make_plan(schedule, contest.process, contest.length);
    SamplePlan plan = base;
    plan.grid = made.grid;
    plan.phi = made.phi;
    plan.power = made.power;
    plan.forced_last = made.forced_last;
    int const nfe = evaluations(schedule) * contest.process.model()->info().evaluations;
    contest.entrants.push_back({.integrator = named.name,
                                .schedule = &schedule,
                                .steps = schedule.steps(),
                                .plan = std::move(plan),
                                .pictured = true,
                                .label = file_name(named.name) + "_nfe" + std::to_string(nfe)});
    contest.header["schedules"][named.name] = named.file + ": " + schedule.method;
  }
}

// Takes the defaults of options that this comparison has no use for out of its parameters.
void drop_unused(Contest& contest, Subject const& subject, Options const& options) {
  std::vector<std::string> unused;
  auto const add = [&](bool because, std::initializer_list<char const*> names) {
    if (because) unused.insert(unused.end(), names.begin(), names.end());
  };
  add(contest.exact_law, {"samples", "batch"});
  add(contest.exact_law && !contest.forward, {"seed"});  // site rates may be drawn
  add(!contest.exact_law, {"most-transitions"});
  add(contest.forward, {"model", "grid", "categorical", "device", "precision"});
  add(!options.has("data"), {"pseudo-count"});
  add((subject.rules && subject.rules->own_steps()) || std::ranges::all_of(contest.entrants, &Entrant::own_steps), {"nfe"});
  for (auto const& name : unused) {
    if (options.given(name)) continue;
    contest.header["parameters"].erase(name);
    if (name == "seed") contest.header.erase(name);
  }
}

bool exact_law(Options const& options) {
  std::string const& law = options.text("law");
  if (law != "sampled" && law != "exact") throw UserError(unknown_name("law", law, {"exact", "sampled"}));
  bool const exact = law == "exact";
  for (char const* const other : {"samples", "seed", "batch", "format"})
    require(!exact || !options.changed(other),
            "--" + std::string(other) + " is for --law sampled; exact laws draw nothing");
  require(exact || !options.changed("most-transitions"), "--most-transitions is for --law exact");
  return exact;
}

}  // namespace

std::unique_ptr<Integrator> make_method(Entrant const& entrant, Process const& process) {
  return entrant.schedule ? make_scheduled(*entrant.schedule, process) : make_integrator(entrant.integrator, process);
}

Subject read_subject(Options const& options) {
  Subject subject{.seed = options.seed("seed"),
                  .samples = static_cast<std::size_t>(options.integer("samples", 2, 1'000'000'000)),
                  .batch = static_cast<int>(options.integer("batch", 1, 1 << 24)),
                  .exact_law = exact_law(options),
                  .methods = read_methods(options),
                  .budgets = options.integers("nfe", 1, 1'000'000),
                  .schedules = read_schedules(options),
                  .reverse = {},
                  .rules = {},
                  .forward = {}};
  bool const forward =
      !options.given("model") && !options.given("data") && (options.has("generator") || options.has("process"));
  for (char const* const other : {"process", "site-rates", "start", "times", "length", "fix-diagonal", "normalise"}) {
    require(
        forward || !options.has(other),
        "--" + std::string(other) +
            " is for comparing on a forward process: leave --model and --data away and give --generator or --process");
  }
  for (char const* const other : {"guide", "guide-weight", "guidance", "temperature", "top-tokens", "nucleus", "grid",
                                  "last", "categorical"}) {
    require(!forward || !options.changed(other),
            "--" + std::string(other) + " is for comparing on a reverse process: give --model or --data");
  }
  require(!forward || subject.schedules.empty(), "--schedule is for comparing on a reverse process: give --model or --data");
  for (auto const& named : subject.schedules) {
    require(std::ranges::find(subject.methods, named.name) == subject.methods.end(),
            "the schedule " + named.file + " would be called like the method '" + named.name + "'; rename the file");
  }
  if (!forward) {
    auto methods = subject.methods;
    for (auto const& named : subject.schedules) {
      auto const more = integrators_of(named.schedule);
      methods.insert(methods.end(), more.begin(), more.end());
    }
    subject.reverse.emplace(read_problem(options, methods));
    for (auto const& named : subject.schedules) {
      check_fit(named, *subject.reverse, options);
      require(subject.exact_law || !subject.reverse->masked() || named.schedule.forced_last,
              "the schedule " + named.file + " may leave masks, and compare measures whole sequences");
    }
    subject.rules.emplace(options, *subject.reverse);
    require(subject.exact_law || !subject.rules->leaves_masks(),
            "--last none leaves masks, and compare measures whole sequences: take fold, sample or argmax");
    require(!subject.exact_law || subject.rules->last_evaluations() == 0,
            "--law exact ends with the grid: take --last fold or none, not " + options.text("last"));
    if (subject.exact_law) subject.reverse->law("--law exact");
    require(!subject.rules->own_steps() || !options.changed("nfe"),
            "--grid " + options.text("grid") + " has " + std::to_string(subject.rules->own_steps().value_or(0)) +
                " steps of its own: leave --nfe away");
    return subject;
  }
  subject.forward.emplace(read_forward(options));
  auto const times = read_times(options);
  require(times.size() == 1 && times[0] > 0, "compare looks at one time above 0: --times T");
  subject.time = times[0];
  print_notes(options, subject.forward->named.notes);
  return subject;
}

Contest make_contest(Subject& subject, Options const& options) {
  auto const& forward = subject.forward;
  auto const& reverse = subject.reverse;
  Contest contest{.process = forward ? forward->process() : reverse->process(),
                  .law = forward                                ? forward_product(*forward, subject.time)
                         : subject.rules->last_evaluations() > 0 ? reverse->model.law  // the last step goes to t = 0
                                                                 : reverse->final_law(),
                  .length = forward ? forward->length : reverse->length(),
                  .tokens = subject.alphabet().size(),
                  .alphabet = subject.alphabet(),
                  .forward = forward.has_value(),
                  .title = forward ? forward->named.description + " from " + forward->start_text +
                                         " to t = " + to_text(subject.time)
                                   : title_of(*reverse),
                  .rank = subject.exact_law ? Metric::tv : forward ? Metric::tv_site : Metric::tv_pair,
                  .exact_law = subject.exact_law,
                  .header = forward ? run_header(options, *forward) : run_header(options, *reverse),
                  .entrants = {}};
  if (std::string const profile = forward ? "" : subject.rules->estimate_profile(contest.process); !profile.empty()) {
    print_notes(options, {profile});
    contest.header["model"]["information_profile"] = profile;
  }
  SamplePlan const base{.grid = TimeGrid::uniform(0, 1, 1),
                        .seed = subject.seed,
                        .samples = subject.samples,
                        .length = contest.length,
                        .batch = subject.batch,
                        // The starts' random numbers must not be those of the perfect samplers.
                        .start = forward ? forward->start(subject.seed) : reverse->exact_start(subject.seed ^ 0x5A17u)};
  add_entrants(contest, subject, base);
  add_schedules(contest, subject, base);
  drop_unused(contest, subject, options);
  return contest;
}

}  // namespace saltus::app
