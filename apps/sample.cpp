// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>

#include "problem.hpp"

namespace saltus::app {

int run_sample(Options const& options, KokkosArguments kokkos) {
  auto const samples = static_cast<std::size_t>(options.integer("samples", 1, 1'000'000'000'000));
  int const steps = static_cast<int>(options.integer("steps", 1, 1'000'000));
  int const batch = static_cast<int>(options.integer("batch", 1, 1 << 24));
  std::uint64_t const seed = options.seed("seed");
  make_integrator(options.text("integrator"));
  std::string const path = options.has("out") ? options.text("out") : "-";
  Problem const problem = read_problem(options);
  SequenceFormat const format = output_format(options, problem.named.alphabet, path);

  KokkosSession const session(options, std::move(kokkos));
  Process process = problem.process();
  auto const integrator = make_integrator(options.text("integrator"), process);
  // Outputs are opened before anything runs: what cannot be written is a usage error.
  std::optional<SequenceWriter> writer;
  try {
    if (options.has("summary")) check_writable(options.text("summary"));
    writer.emplace(path, format, problem.named.alphabet, samples, problem.law().length());
  } catch (OutputError const& e) {
    throw UserError(e.what());
  }
  SamplePlan plan = make_plan(process, *integrator, steps, problem.law().length());
  plan.seed = seed;
  plan.samples = samples;
  plan.batch = batch;

  SampleReport report;
  {
    ProgressLine line(options, integrator->info().name, samples);
    report = sample(
        ExecSpace(), process, *integrator, plan,
        [&](std::uint64_t, HostTokens const& rows) { writer->append({rows.data(), rows.size()}); }, {},
        [&](std::size_t done) { line(done); });
  }
  writer->commit();
  if (options.has("summary")) {
    Json summary = run_header(options, problem);
    summary["integrator"] = integrator->info().name;
    summary["samples"] = report.samples;
    summary["nfe"] = report.evaluations;
    summary["max_nfe"] = report.max_evaluations;
    summary["jumps"] = report.jumps;
    summary["clamps"] = report.clamps;
    summary["timings"] = {{"fit_seconds", problem.seconds},
                          {"sample_seconds", report.seconds},
                          {"samples_per_second", static_cast<double>(report.samples) / report.seconds}};
    write_text(options.text("summary"), json_text(summary));
  }
  return 0;
}

}  // namespace saltus::app
