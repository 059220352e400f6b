// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/path_kl.hpp>
#include <saltus/learnable/schedule_file.hpp>
#include <saltus/models/json_file.hpp>

#include "by_ranks.hpp"
#include "checkpoint.hpp"
#include "distill_report.hpp"
#include "progress.hpp"
#include "schedules.hpp"

namespace saltus::app {
namespace {

namespace fs = std::filesystem;

// Without what --relax adds to it.
std::string method_text(Options const& options) {
  std::string method = options.text("method");
  if (options.has("relax")) method += (method.find(':') == method.npos ? ":relax=" : ",relax=") + options.text("relax");
  return method;
}

// The steps of the student, and that its base is one to learn for.
int steps_for(Options const& options, Integrator const& base, int networks) {
  auto const nfe = options.integer("nfe", 1, 1'000'000);
  IntegratorInfo const& info = base.info();
  std::string const& name = options.text("base");
  require(info.evaluations > 0, "--base " + name + " chooses its own steps: there is nothing to learn for it");
  require(info.takes_phi, "--base " + name + " ignores phi, the factors that are learned; take one that reveals by its rates: "
                              "euler, exponential, tau_leaping, tweedie or tweedie_trapezoidal");
  int const cost = info.evaluations * networks;
  require(nfe % cost == 0, "--base " + name + " makes " + std::to_string(cost) + " evaluations a step, so --nfe must be a multiple of it; got " +
                               std::to_string(nfe));
  return static_cast<int>(nfe / cost);
}

// What a broken-off run and the one that goes on with it must share.
Json identity(DistillPlan const& plan, std::string const& method, Schedule::Model const& model, std::string const& precision) {
  return {{"method", method},
          {"base", plan.base},
          {"steps", plan.steps},
          {"teacher", plan.teacher},
          {"teacher-steps", plan.teacher_steps},
          {"trajectories", plan.trajectories},
          {"sweeps", plan.sweeps},
          {"seed", plan.seed},
          {"length", plan.length},
          {"model", model.hash},
          {"generator", model.generator},
          {"noise", model.noise},
          {"precision", precision}};
}

// The state that a broken-off run left, or nothing.
std::string resumed(Options const& options, std::string const& partial, Json const& here) {
  bool const there = fs::exists(partial);
  if (!options.flag("resume")) {
    require(!there, "'" + partial + "' holds a run that was broken off: go on with --resume, or remove it");
    return "";
  }
  require(there, "--resume: there is no '" + partial + "' to go on with");
  Json json;
  try {
    json = parse_json(read_file(partial), "--resume: '" + partial + "'");
    require_same_run(partial, json.at("run"), here);
    return json.at("state").get<std::string>();
  } catch (Json::exception const& e) {
    throw UserError("--resume: '" + partial + "' is none of this program's files: " + e.what());
  }
}

// Share, objective and time left.
class Progress {
 public:
  Progress(Options const& options, std::string method) : text_(options), method_(std::move(method)), start_(now()) {}
  void operator()(double share, double objective) {
    if (first_ < 0) first_ = share;  // of a run that goes on
    if (!text_.due()) return;
    char numbers[64] = "";
    if (!std::isnan(objective)) std::snprintf(numbers, sizeof numbers, "  objective %.5g", objective);
    std::string line = method_ + "  " + std::to_string(static_cast<int>(100 * share)) + "%" + numbers;
    if (share > first_) line += "  " + clock_text((now() - start_) * (1 - share) / (share - first_)) + " left";
    text_.show(line);
  }

 private:
  ProgressText text_;
  std::string method_;
  double start_, first_ = -1;
};

// The base as it is: phi = 1, steps of equal length.
Schedule untrained(Schedule const& learned) {
  Schedule plain;
  plain.base = learned.base;
  TimeGrid const grid = TimeGrid::uniform(learned.times.front(), learned.times.back(), learned.steps());
  plain.times.assign(grid.points().begin(), grid.points().end());
  plain.forced_last = learned.forced_last;
  return plain;
}

constexpr std::uint64_t held_out = 0xB0A7'DED0'0000'0000u;  // trajectories that nothing is learned from
constexpr double most_law_transitions = 1e8;               // a second or so

// KL of the data's law from that of the output where sequences can be enumerated in a moment, else NaN.
double output_kl(Problem const& problem, Process& process, Schedule const& schedule) {
  constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  if (!problem.model.law || !problem.decoration.text.empty()) return unknown;
  if (std::pow(problem.generator.states(), problem.length()) > 1e5) return unknown;
  auto const integrator = make_scheduled(schedule, process);
  if (!integrator->info().has_site_law) return unknown;
  StateSpace const space(problem.generator.states(), problem.length());
  std::vector<double> const data = enumerate(*problem.model.law);
  LawPlan plan{.grid = TimeGrid::from_points(schedule.times),
               .data = data,
               .phi = schedule.phi,
               .power = schedule.power,
               .forced_last = schedule.forced_last,
               .limit = most_law_transitions};
  if (!problem.masked()) plan.start = forward_law(space, space.embed(data, problem.generator), problem.generator, problem.noise, problem.noise.end());
  if (count_transitions(ExecSpace(), process, *integrator, space, plan) > most_law_transitions) return unknown;
  return law_report(ExecSpace(), process, *integrator, space, plan).kl;
}

void judge(Distilled& distilled, Problem const& problem, Process& process, DistillPlan const& plan) {
  Schedule& learned = distilled.schedule;
  Schedule const plain = untrained(learned);
  if (!learned.after) {  // unless the method knows them itself
    try {
      TeacherPlan const teacher{.integrator = plan.teacher,
                                .steps = plan.teacher_steps,
                                .length = plan.length,
                                .trajectories = plan.trajectories,
                                .batch = plan.batch,
                                .memory = plan.memory,
                                .seed = plan.seed ^ held_out};
      auto const both = path_kls(ExecSpace(), process, {plain, learned}, teacher);
      learned.before = both[0];
      learned.after = both[1];
    } catch (UserError const& e) {  // no law of one stage
      distilled.no_path_kl = e.what();
    }
  }
  distilled.output_before = output_kl(problem, process, plain);
  distilled.output_after = output_kl(problem, process, learned);
}

void print_distilled(Distilled const& distilled, std::string const& out, std::string const& report) {
  Schedule const& s = distilled.schedule;
  std::printf("%s for %d steps of %s on %s, from %d steps of %s (%zu trajectories, %.3g s)\n\n", s.method.c_str(), s.steps(),
              s.base.c_str(), s.model.name.c_str(), s.teacher.steps, s.teacher.integrator.c_str(), s.trajectories, distilled.seconds);
  print_table(step_table(s));
  Table const table = before_after_table(distilled);
  if (!table.rows.empty()) {
    std::printf("\n");
    print_table(table);
  }
  if (!distilled.no_path_kl.empty()) std::printf("\nNo path KL: %s\n", distilled.no_path_kl.c_str());
  if (!s.note.empty()) std::printf("\n%s\n", s.note.c_str());
  if (!masked(s) && Parameters::parse("method", s.method).name() != "lsd_plus") {
    std::printf("\nWithout a mask factors may harm, and the times of jys as well (a site may jump again within a step): hold this schedule against its base\n"
                "with compare. What has helped are times by --method lsd_plus, with --base tweedie.\n");
  }
  std::printf("\nschedule  %s (use it with sample --schedule and compare --schedule)\nreport    %s\n", out.c_str(), report.c_str());
}

}  // namespace

int run_distill(Options const& options, KokkosArguments kokkos) {
  require(options.has("out"), "distill writes a schedule: name it with --out FILE");
  std::string const out = options.text("out"), partial = out + ".partial";
  std::string const method = method_text(options);
  auto const distiller = make_distiller(method);
  std::string const& name = distiller->info().name;
  DistillPlan plan{.base = options.text("base"),
                   .teacher = options.text("teacher"),
                   .teacher_steps = static_cast<int>(options.integer("teacher-steps", 1, 1'000'000)),
                   .trajectories = static_cast<std::size_t>(options.integer("trajectories", 1, 1'000'000'000)),
                   .sweeps = static_cast<int>(options.integer("sweeps", 1, 1'000'000)),
                   .batch = static_cast<int>(options.integer("batch", 1, 1 << 24)),
                   .memory = static_cast<std::size_t>(options.integer("memory", 1, 1 << 24)) << 20,
                   .seed = options.seed("seed")};
  auto const base = make_integrator(plan.base);
  std::string const kind = plan.base.substr(0, plan.base.find(':'));
  auto const& bases = distiller->info().bases;
  Problem const problem = read_problem(options, {plan.base, plan.teacher});

  KokkosSession const session(options, std::move(kokkos));
  Process process = problem.process(true);
  int const networks = process.model()->info().evaluations;
  plan.steps = steps_for(options, *base, networks);
  plan.length = problem.length();
  plan.end = problem.masked() ? 0 : default_end_time;
  if (std::ranges::find(bases, kind) == bases.end()) throw UserError(unknown_name("base for --method " + name, kind, bases));
  require(plan.steps <= plan.teacher_steps, "--nfe " + options.text("nfe") + " takes " + std::to_string(plan.steps) + " steps of " + plan.base +
                                                ", more than the " + std::to_string(plan.teacher_steps) +
                                                " of the teacher's grid; take more with --teacher-steps, or fewer evaluations");
  if (std::string const why = distiller->refuses(process, plan); !why.empty()) throw UserError("--method " + name + " " + why);
  Schedule::Model const model = model_of(problem);
  Json const here = identity(plan, method, model, options.text("precision"));
  // Every rank learns the same, from the same numbers; the first one alone reads what was kept, and writes.
  Ranks& ranks = Ranks::world();
  DistillHooks hooks{.resume = ranks.share(ranks.first() ? resumed(options, partial, here) : std::string())};
  std::string const stem = fs::path(out).extension() == ".json" ? fs::path(out).replace_extension().string() : out;
  std::optional<OutputFolder> folder;
  if (ranks.first()) try {
    check_writable(out);
    check_writable(partial);
    folder.emplace(options.has("report") ? options.text("report") : stem + "_report");
  } catch (OutputError const& e) {
    throw UserError(e.what());
  }

  Distilled distilled{.schedule = {}, .command = options.call(), .header = run_header(options, problem), .nfe = plan.steps * base->info().evaluations * networks, .no_path_kl = {}};
  double const start = now();
  {
    Progress progress(options, name);
    hooks.progress = [&](double share, double objective) { progress(share, objective); };
    if (ranks.first()) hooks.save = [&](std::string const& state) { write_text(partial, json_text({{"run", here}, {"state", state}})); };
    distilled.schedule = distiller->distill(ExecSpace(), process, plan, hooks);
  }
  distilled.seconds = now() - start;
  Schedule& schedule = distilled.schedule;
  if (schedule.method.empty()) schedule.method = method;
  schedule.model = model;
  schedule.teacher = {plan.teacher, plan.teacher_steps};
  schedule.seed = plan.seed;
  judge(distilled, problem, process, plan);
  if (!ranks.first()) return 0;
  write_schedule(out, schedule);
  write_report(distilled, *folder);
  folder->commit();
  std::error_code ignored;
  fs::remove(partial, ignored);
  if (!options.flag("quiet")) print_distilled(distilled, out, folder->final_path("report.html"));
  return 0;
}

}  // namespace saltus::app
