// SPDX-License-Identifier: BSD-3-Clause
#include <cmath>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>

#include "checkpoint.hpp"
#include "forward.hpp"
#include "infilling.hpp"
#include "methods.hpp"
#include "progress.hpp"
#include "reweighting.hpp"
#include "schedules.hpp"
#include "step_rules.hpp"

namespace saltus::app {

int run_sample(Options const& options, KokkosArguments kokkos) {
  auto const samples = static_cast<std::size_t>(options.integer("samples", 1, 1'000'000'000'000));
  int const steps = static_cast<int>(options.integer("steps", 1, 1'000'000));
  int const batch = static_cast<int>(options.integer("batch", 1, 1 << 24));
  std::uint64_t const seed = options.seed("seed");
  auto const schedules = read_schedules(options);
  require(schedules.size() <= 1, "sample takes one --schedule, got " + std::to_string(schedules.size()));
  Schedule const* const schedule = schedules.empty() ? nullptr : &schedules[0].schedule;
  for (char const* const other : {"integrator", "steps", "grid", "last", "categorical"}) {
    require(!schedule || !options.changed(other),
            "a schedule brings its integrators, steps and end: leave --" + std::string(other) + " away with --schedule");
  }
  auto const methods = schedule ? integrators_of(*schedule) : read_methods(options);
  std::string const path = options.has("out") ? options.text("out") : "-";
  require_distinct_outputs(options, {"out", "summary", "checkpoint"});
  Problem const problem = read_problem(options, methods);
  if (schedule) check_fit(schedules[0], problem, options);
  StepRules rules(options, problem);
  Alphabet const& symbols = problem.model.alphabet;
  std::optional<Template> fixed;
  if (options.has("template")) {
    fixed = read_template(options.text("template"), symbols, problem.length());
    if (!problem.masked())
      print_notes(options, {"without a mask the tokens of a template are taken for noisy ones that happen to stay; "
                            "infilling is exact under absorbing noise"});
  }
  SequenceFormat const format = output_format(options, symbols, path);
  bool const leaves_masks = schedule ? problem.masked() && !schedule->forced_last : rules.leaves_masks();
  Alphabet const alphabet = leaves_masks ? with_mask(symbols) : symbols;
  require(!rules.own_steps() || !options.changed("steps"), "--grid " + options.text("grid") + " has " +
                                                             std::to_string(rules.own_steps().value_or(0)) +
                                                             " steps of its own: leave --steps away");

  KokkosSession const session(options, std::move(kokkos));
  Process process = problem.process();
  auto const integrator = schedule ? make_scheduled(*schedule, process) : make_integrator(methods[0], process);
  std::string const name = schedule ? schedules[0].name : methods[0];
  std::string const profile = rules.estimate_profile(process);
  if (!profile.empty()) print_notes(options, {profile});
  SamplePlan plan = schedule ? make_plan(*schedule, process, problem.length()) : rules.plan(process, *integrator, steps);
  plan.seed = seed;
  plan.samples = samples;
  plan.batch = batch;
  plan.fixed = fixed;
  auto const reweighting = read_reweighting(options, problem, plan);
  Ranks& ranks = Ranks::world();
  require(!reweighting || !ranks.several(), "--particles runs as one rank, and a launcher started " + std::to_string(ranks.size()));
  require(!options.has("checkpoint") || !reweighting,
          "--checkpoint is for samples that do not depend on each other, not for --particles");
  std::unique_ptr<Checkpoint> checkpoint;
  // Outputs are opened before anything runs: what cannot be written is a usage error.
  std::optional<SequenceWriter> writer;
  bool written = false;  // broken off between the last rename and the end: all is there
  try {
    if (ranks.first() && options.has("summary")) check_writable(options.text("summary"));
    checkpoint = open_checkpoint(options, ranks, [&] {
      Json run = identity(options, {"template", "schedule", "grid", "generator", "noise", "condition"});
      run["model hash"] = model_of(problem).hash;
      return run;
    });
    written = checkpoint && checkpoint->is_finished(path, samples);
    if (checkpoint && !written) {
      writer.emplace(path, format, alphabet, samples, problem.length(),
                     SequenceWriter::Kept{checkpoint->report().samples, checkpoint->output("bytes", std::uint64_t{0})});
    } else if (ranks.first() && !checkpoint) {
      writer.emplace(path, format, alphabet, samples, problem.length());
    }
  } catch (OutputError const& e) {
    throw UserError(e.what());
  }
  written = ranks.share(std::uint64_t{written}) != 0;

  SampleReport report;
  Json weights = Json::object();
  std::int64_t network_rows = checkpoint ? checkpoint->output("rows_evaluated", std::int64_t{0}) : 0;
  if (reweighting) {
    ProgressLine line(options, name, samples);
    ParticleReport const done = run_reweighting(process, *integrator, *reweighting, *writer,
                                                [&](std::size_t results) { line(results); }, weights);
    report = {.samples = done.results, .evaluations = done.evaluations,
              .max_evaluations = static_cast<std::int64_t>(std::ceil(done.evaluations)), .jumps = done.jumps,
              .clamps = done.clamps, .seconds = done.seconds};
    network_rows = std::max<std::int64_t>(process.model()->rows_evaluated(), 0);
  } else if (written) {
    if (checkpoint) report = checkpoint->report();
  } else {
    ProgressLine line(options, name, samples);
    auto const sync = [&] { return Json{{"bytes", writer->sync().bytes}, {"rows_evaluated", network_rows}}; };
    report = run_with(checkpoint.get(), ranks, plan, sync, [&](SamplePlan const& rest, auto const& after) {
      return sample_by_ranks(ranks, process, *integrator, rest,
                             [&](std::uint64_t, HostTokens const& rows) { writer->append({rows.data(), rows.size()}); },
                             [&](std::size_t done) { line(samples - rest.samples + done); }, &network_rows, after);
    });
  }
  if (!ranks.first()) return 0;
  count_networks(report, process);
  if (writer) writer->commit();
  if (checkpoint) checkpoint->remove();
  if (options.has("summary")) {
    Json summary = run_header(options, problem);
    if (!profile.empty()) summary["model"]["information_profile"] = profile;
    summary["integrator"] = methods[0];
    if (schedule) {
      summary["schedule"] = {{"file", schedules[0].file}, {"method", schedule->method}, {"integrators", methods}, {"steps", schedule->steps()}};
      for (char const* const unused : {"integrator", "steps", "grid", "categorical"}) summary["parameters"].erase(unused);
      summary.erase("integrator");
    }
    summary["samples"] = report.samples;
    summary["nfe"] = report.evaluations;
    summary["max_nfe"] = report.max_evaluations;
    summary["jumps"] = report.jumps;
    summary["clamps"] = report.clamps;
    if (process.model()->rows_evaluated() >= 0)  // fewer than nfe where rows did not change
      summary["network_evaluations"] = static_cast<double>(network_rows) / static_cast<double>(report.samples);
    summary["violations"] = report.violations;
    summary.update(weights);
    summary["timings"] = {{"fit_seconds", problem.seconds},
                          {"sample_seconds", report.seconds},
                          {"samples_per_second", static_cast<double>(report.samples) / report.seconds}};
    write_text(options.text("summary"), json_text(summary));
  }
  return 0;
}

}  // namespace saltus::app
