// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cstdio>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>

#include "check.hpp"
#include "contest.hpp"
#include "law_runs.hpp"
#include "output_folder.hpp"
#include "report.hpp"
#include "results.hpp"

namespace saltus::app {
namespace {

constexpr int null_replicates = 100;
constexpr double family_error = 1e-3;

// Sequences of a run of many steps of the same grid and end, for models whose law nobody knows.
std::vector<token_t> reference_tokens(Contest& contest, Subject const& subject, Options const& options) {
  int const steps = static_cast<int>(options.integer("reference", 1, 1'000'000));
  auto const tweedie = make_integrator("tweedie", contest.process);
  SamplePlan plan = subject.rules->plan(contest.process, *tweedie, steps);
  plan.samples = subject.samples;
  plan.batch = contest.entrants.front().plan.batch;
  plan.start = contest.entrants.front().plan.start;
  plan.seed = subject.seed ^ 0x0EFE'12E4'CE00'0000u;  // other numbers than those of any run
  ProgressLine line(options, "reference", subject.samples);
  std::vector<token_t> tokens;
  sample(
      ExecSpace(), contest.process, *tweedie, plan,
      [&](std::uint64_t, HostTokens const& rows) {
        tokens.insert(tokens.end(), rows.data(), rows.data() + rows.size());
      },
      {}, [&](std::size_t done) { line(done); });
  return tokens;
}

Run run_entrant(Contest& contest, Entrant const& entrant, std::vector<token_t> const& reference, Options const& options,
                OutputFolder const& folder) {
  auto const integrator = make_integrator(entrant.integrator, contest.process);
  std::size_t const samples = entrant.plan.samples, length = static_cast<std::size_t>(contest.law->length());
  SequenceFormat const format = output_format(options, contest.alphabet, "");
  SequenceWriter writer(folder.path("samples/" + entrant.label + ending(format)), format, contest.alphabet, samples,
                        contest.law->length());
  std::vector<token_t> tokens;
  tokens.reserve(samples * length);
  Run run{.integrator = entrant.integrator, .exact = entrant.exact, .own_steps = entrant.own_steps};
  {
    ProgressLine line(options, entrant.label, samples);
    run.report = sample(
        ExecSpace(), contest.process, *integrator, entrant.plan,
        [&](std::uint64_t, HostTokens const& rows) {
          tokens.insert(tokens.end(), rows.data(), rows.data() + rows.size());
        },
        {}, [&](std::size_t done) { line(done); });
  }
  writer.append(tokens);
  writer.commit();
  run.steps = entrant.own_steps && !contest.forward ? run.report.evaluations : entrant.steps;
  count_networks(run.report, contest.process);
  // A forward process evaluates no network: its column counts steps.
  if (contest.forward) run.report.evaluations = entrant.own_steps ? 0 : entrant.steps;
  run.estimates = measure(*contest.law, tokens, samples);
  if (!reference.empty()) {
    run.apart = compare_samples(contest.law->states(), contest.law->length(), tokens, reference,
                                {.seed = entrant.plan.seed})
                    .distances;
  }
  if (entrant.pictured) run.sites = site_frequencies(tokens, length, static_cast<std::size_t>(contest.law->states()));
  return run;
}

Results run_all(Contest& contest, Subject const& subject, Options const& options, OutputFolder const& folder) {
  Results results{.title = contest.title,
                  .header = contest.header,
                  .command = options.call(),
                  .alphabet = contest.alphabet,
                  .forward = contest.forward,
                  .exact_law = contest.exact_law,
                  .samples = contest.exact_law ? 0 : subject.samples,
                  .entropy = contest.law->entropy(),  // an estimate takes its time
                  .sites = contest.law->site_marginals(),
                  .rank = contest.rank,
                  .metrics = contest.exact_law ? exact_metrics(!contest.forward && subject.reverse->masked())
                                               : metrics_for(*contest.law),
                  .bands = {},
                  .methods = {},
                  .left_out = contest.left_out,
                  .runs = {}};
  for (auto const& method : subject.methods) {
    auto const is_it = [&](Entrant const& entrant) { return entrant.integrator == method; };
    if (std::ranges::any_of(contest.entrants, is_it)) results.methods.push_back(method);
  }
  if (contest.exact_law) {
    results.runs = run_laws(contest, subject, options);
  } else {
    // A family error over everything that is asserted of exact methods.
    auto const claims = std::max<std::ptrdiff_t>(1, std::ranges::count_if(contest.entrants, &Entrant::exact));
    results.replicates = null_replicates;
    results.family_error = family_error;
    results.band_error = family_error / (static_cast<double>(claims) * static_cast<double>(results.metrics.size()));
    // The perfect samplers' random numbers are of a role of their own; another seed keeps them apart from the runs' all
    // the same.
    results.bands = null_bands(*contest.law, subject.samples, null_replicates, results.band_error, ~subject.seed);
    std::vector<token_t> const reference =
        options.has("reference") ? reference_tokens(contest, subject, options) : std::vector<token_t>();
    for (auto const& entrant : contest.entrants)
      results.runs.push_back(run_entrant(contest, entrant, reference, options, folder));
  }
  std::size_t const rank = results.position(contest.rank);
  std::stable_sort(results.runs.begin(), results.runs.end(),
                   [&](Run const& a, Run const& b) { return a.estimates[rank].value < b.estimates[rank].value; });
  return results;
}

void print_sampled(Results const& results, Contest const& contest, Options const& options) {
  std::printf("%s\nnoise %s; %zu sequences a row, seed %s; entropy of the law %.4f nats a sequence\n\n",
              results.title.c_str(), contest.process.noise().describe().c_str(), results.samples,
              options.text("seed").c_str(), results.entropy);
  print_table(comparison_table(
      results, {Metric::tv_pair, Metric::tv_site, Metric::nll, Metric::token_entropy, Metric::impossible_transitions}));
  std::printf(
      "\nErrors are total variation from the exact laws, mean over pairs (sites), with 95 %% intervals. "
      "Sampling noise alone\ngives a perfect sampler the last row (%d simulated; "
      "one more leaves a band with probability %.1g, all bands together %g).\n",
      results.replicates, results.band_error, results.family_error);
  for (auto const& run : results.runs) {
    if (run.exact)
      std::printf(
          "%s claims to be exact and lies %s.\n", run.integrator.c_str(),
          results.inside(run) ? "inside all bands" : "OUTSIDE a band: see null_low and null_high in results.csv");
  }
}

// What the two-sample statistics say of runs beside a reference run.
void print_reference(Results const& results, Options const& options) {
  if (results.runs.empty() || results.runs[0].apart.empty()) return;
  std::printf("\nBeside a reference run of %s tweedie steps: distance (p value of equal laws, by permutations)\n\n",
              options.text("reference").c_str());
  Table table;
  table.head = {"integrator", "NFE"};
  for (auto const& d : results.runs[0].apart) table.head.push_back(d.name);
  for (auto const& run : results.runs) {
    std::vector<std::string> row{run.integrator, evaluations(run).dump()};
    for (auto const& d : run.apart) {
      char text[48];
      std::snprintf(text, sizeof text, "%.4f (%.3f)", d.estimate.value, d.p_value);
      row.emplace_back(text);
    }
    table.rows.push_back(std::move(row));
  }
  print_table(table);
}

void print_exact(Results const& results, Contest const& contest) {
  std::printf("%s\nnoise %s; exact laws of the sequences; entropy of the law %.4f nats a sequence\n\n",
              results.title.c_str(), contest.process.noise().describe().c_str(), results.entropy);
  print_table(comparison_table(results, results.metrics));
  std::printf(
      "\nErrors are computed, not sampled: total variation, and divergences in nats (to twelve digits in results.csv).\n");
  for (auto const& [method, why] : results.left_out) std::printf("%s %s.\n", method.c_str(), why.c_str());
}

void print_results(Results const& results, Contest const& contest, Options const& options, OutputFolder const& folder) {
  if (results.exact_law) {
    print_exact(results, contest);
  } else {
    print_sampled(results, contest, options);
    print_reference(results, options);
  }
  std::printf("\nreport    %s\nresults   %s, %s\n", folder.final_path("report.html").c_str(),
              folder.final_path("results.csv").c_str(), folder.final_path("results.json").c_str());
  if (!results.exact_law) std::printf("sequences %s\n", folder.final_path("samples").c_str());
  if (options.has("data")) std::printf("model     %s (use it with --model)\n", folder.final_path("model").c_str());
}

std::string reasons(Contest const& contest) {
  std::string text;
  for (auto const& [method, why] : contest.left_out) text += (text.empty() ? "" : "; ") + method + " " + why;
  return text;
}

// Whether some entrant has something to check.
bool has_claims(Contest const& contest) {
  return std::ranges::any_of(contest.entrants, [&](Entrant const& entrant) {
    auto const finer = [&](Entrant const& other) {
      return other.integrator == entrant.integrator && other.steps > entrant.steps;
    };
    return entrant.exact ||
           (contest.exact_law && entrant.weak_order > 0 && std::ranges::any_of(contest.entrants, finer));
  });
}

}  // namespace

int run_compare(Options const& options, KokkosArguments kokkos) {
  require(options.has("out"), "compare writes a folder: name it with --out DIR");
  Subject subject = read_subject(options);
  require(!options.has("reference") || (subject.reverse && options.text("law") != "exact"),
          "--reference is for sampled runs of a reverse process: leave it away with --law exact or on a forward process");
  require(!options.has("reference") || !subject.rules->own_steps(),
          "--reference takes more steps of the same grid, but --grid " + options.text("grid") +
              " has steps of its own: take a grid by name");
  output_format(options, subject.alphabet(), "");

  KokkosSession const session(options, std::move(kokkos));
  Contest contest = make_contest(subject, options);
  bool const check = options.flag("check");
  require(!contest.entrants.empty(), "--law exact has nothing to compute: " + reasons(contest));
  require(!check || has_claims(contest), "--check has nothing to check: none of " + options.text("integrators") +
                                             " claims to be exact on this process" +
                                             (contest.exact_law ? ", or an order at two numbers of steps" : "") +
                                             (subject.reverse && !subject.reverse->decoration.text.empty()
                                                  ? " with a decorated model"
                                                  : ""));
  std::optional<OutputFolder> folder;
  try {
    if (options.has("summary")) check_writable(options.text("summary"));
    folder.emplace(options.text("out"));
  } catch (OutputError const& e) {
    throw UserError(e.what());
  }

  Results const results = run_all(contest, subject, options, *folder);
  Json json = results_json(results);
  write_text(folder->path("results.csv"), results_csv(results));
  write_text(folder->path("results.json"), json_text(json, 1));
  write_report(results, *folder);
  if (options.has("data")) save_law(folder->path("model"), {subject.reverse->model.law, subject.reverse->model.alphabet}, subject.reverse->model.source);
  folder->commit();
  if (options.has("summary")) {
    json.erase("rows");
    write_text(options.text("summary"), json_text(json));
  }
  if (!options.flag("quiet")) print_results(results, contest, options, *folder);
  if (check) require_claims(results);
  return 0;
}

}  // namespace saltus::app
