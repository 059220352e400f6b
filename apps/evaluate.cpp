// SPDX-License-Identifier: BSD-3-Clause
#include <cstdio>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>

#include "evaluation.hpp"
#include "problem.hpp"

namespace saltus::app {

int run_evaluate(Options const& options, KokkosArguments kokkos) {
  require(options.has("samples"), "evaluate judges samples: name their file with --samples FILE");
  require(options.has("reference"), "evaluate needs sequences to compare with: name their file with --reference FILE");
  require_outside(options, "json", "out");
  EvaluationData const data = read_evaluation(options);
  KokkosSession const session(options, std::move(kokkos));
  std::optional<OutputFolder> folder;
  try {
    if (options.has("json")) check_writable(options.text("json"));
    if (options.has("out")) folder.emplace(options.text("out"));
  } catch (OutputError const& e) {
    throw UserError(e.what());
  }

  Evaluation const evaluation = evaluate(data, options);
  std::string const json = json_text(evaluation_json(evaluation, data, options), 1);
  if (options.has("json")) write_text(options.text("json"), json);
  if (folder) {
    write_text(folder->path("results.csv"), evaluation_csv(evaluation));
    write_text(folder->path("results.json"), json);
    write_text(folder->path("report.html"), evaluation_page(evaluation, data, options));
    folder->commit();
  }
  if (options.flag("quiet")) return 0;
  print_evaluation(evaluation);
  if (folder)
    std::printf("\nreport  %s\nresults %s, %s\n", folder->final_path("report.html").c_str(),
                folder->final_path("results.csv").c_str(), folder->final_path("results.json").c_str());
  return 0;
}

}  // namespace saltus::app
