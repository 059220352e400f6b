// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>
#include <cstdio>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>

#include "by_ranks.hpp"
#include "check.hpp"
#include "contest.hpp"
#include "law_runs.hpp"
#include "output_folder.hpp"
#include "progress.hpp"
#include "report.hpp"
#include "results.hpp"

namespace saltus::app {
namespace {

constexpr int null_replicates = 100;
constexpr double family_error = 1e-3;
constexpr int network_reference_steps = 256;
constexpr double network_band_error = 0.05;

// Networks are judged by such a run whether it is asked for or not. 0: none.
int reference_steps(Subject const& subject, Options const& options) {
  if (options.has("reference")) return static_cast<int>(options.integer("reference", 1, 1'000'000));
  return subject.reverse && subject.reverse->model.network ? network_reference_steps : 0;
}

// Sequences of a run of many steps of the same grid and end, for models whose law nobody knows; where it is all that runs
// are judged by, twice as many, so that one half tells how far a perfect sampler lies from the other.
std::vector<token_t> reference_tokens(Contest& contest, Subject const& subject, Options const& options) {
  int const steps = reference_steps(subject, options);
  auto const tweedie = make_integrator("tweedie", contest.process);
  SamplePlan plan = subject.rules->plan(contest.process, *tweedie, steps);
  plan.samples = subject.samples * (contest.law ? 1 : 2);
  plan.batch = contest.entrants.front().plan.batch;
  plan.start = contest.entrants.front().plan.start;
  plan.seed = subject.seed ^ 0x0EFE'12E4'CE00'0000u;  // other numbers than those of any run
  ProgressLine line(options, "reference", plan.samples);
  std::vector<token_t> tokens;
  sample_by_ranks(
      Ranks::world(), contest.process, *tweedie, plan,
      [&](std::uint64_t, HostTokens const& rows) {
        tokens.insert(tokens.end(), rows.data(), rows.data() + rows.size());
      },
      [&](std::size_t done) { line(done); });
  return tokens;
}

// What a network's runs are measured by: the distances of network_metrics() from the reference run, and the entropy.
std::vector<Metric> network_metrics(int length) {
  return length > 1 ? std::vector{Metric::tv_site, Metric::tv_pair, Metric::token_entropy}
                    : std::vector{Metric::tv_site, Metric::token_entropy};
}
TwoSampleDistance const& distance(TwoSample const& found, Metric metric) {
  return *std::ranges::find(found.distances, spec_of(metric).name, &TwoSampleDistance::name);
}
std::vector<Estimate> estimates_of(TwoSample const& found) {
  std::vector<Estimate> estimates{distance(found, Metric::tv_site).estimate};
  if (std::ranges::find(found.distances, "tv_pair", &TwoSampleDistance::name) != found.distances.end())
    estimates.push_back(distance(found, Metric::tv_pair).estimate);
  estimates.push_back(found.first_entropy);
  return estimates;
}
// How far the two halves of a reference run lie apart when they are dealt at random.
std::vector<NullBand> reference_bands(Contest const& contest, std::span<token_t const> first, std::span<token_t const> second,
                                      double error, std::uint64_t seed) {
  TwoSample const halves = compare_samples(contest.tokens, contest.length, first, second, {.error = error, .seed = seed});
  std::vector<NullBand> bands{distance(halves, Metric::tv_site).null};
  if (contest.length > 1) bands.push_back(distance(halves, Metric::tv_pair).null);
  // Two means of as many sequences each differ by sqrt 2 of an interval's half width.
  Estimate const& e = halves.second_entropy;
  double const half = std::sqrt(2.0) * (e.high - e.low) / 2;
  bands.push_back({e.value, e.value - half, e.value + half});
  return bands;
}

// The sequences of one entrant, at the first rank.
std::vector<token_t> entrant_tokens(Contest& contest, Entrant const& entrant, Integrator& integrator, Options const& options, SampleReport& report) {
  std::vector<token_t> tokens;
  if (Ranks::world().first()) tokens.reserve(entrant.plan.samples * static_cast<std::size_t>(contest.length));
  ProgressLine line(options, entrant.label, entrant.plan.samples);
  report = sample_by_ranks(
      Ranks::world(), contest.process, integrator, entrant.plan,
      [&](std::uint64_t, HostTokens const& rows) { tokens.insert(tokens.end(), rows.data(), rows.data() + rows.size()); },
      [&](std::size_t done) { line(done); });
  return tokens;
}

// What a rank other than the first does for run_all(): its share of all sequences, in the same order.
void help_run_all(Contest& contest, Subject const& subject, Options const& options) {
  if (reference_steps(subject, options) > 0) reference_tokens(contest, subject, options);
  for (auto const& entrant : contest.entrants) {
    SampleReport report;
    entrant_tokens(contest, entrant, *make_method(entrant, contest.process), options, report);
  }
}

Run run_entrant(Contest& contest, Entrant const& entrant, std::vector<token_t> const& reference, Options const& options,
                OutputFolder const& folder) {
  auto const integrator = make_method(entrant, contest.process);
  std::size_t const samples = entrant.plan.samples, length = static_cast<std::size_t>(contest.length);
  SequenceFormat const format = output_format(options, contest.alphabet, "");
  SequenceWriter writer(folder.path("samples/" + entrant.label + ending(format)), format, contest.alphabet, samples,
                        contest.length);
  Run run{.integrator = entrant.integrator, .exact = entrant.exact, .own_steps = entrant.own_steps};
  std::vector<token_t> const tokens = entrant_tokens(contest, entrant, *integrator, options, run.report);
  writer.append(tokens);
  writer.commit();
  run.steps = entrant.own_steps && !contest.forward ? run.report.evaluations : entrant.steps;
  count_networks(run.report, contest.process);
  // A forward process evaluates no network: its column counts steps.
  if (contest.forward) run.report.evaluations = entrant.own_steps ? 0 : entrant.steps;
  if (contest.law) run.estimates = measure(*contest.law, tokens, samples);
  if (!reference.empty()) {
    TwoSample const found = compare_samples(contest.tokens, contest.length, tokens, reference, {.seed = entrant.plan.seed});
    run.apart = found.distances;
    if (!contest.law) run.estimates = estimates_of(found);
  }
  if (entrant.pictured) run.sites = site_frequencies(tokens, length, static_cast<std::size_t>(contest.tokens));
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
                  .entropy = contest.law ? contest.law->entropy() : NAN,  // an estimate takes its time
                  .sites = contest.law ? contest.law->site_marginals() : std::vector<double>(),
                  .rank = contest.rank,
                  .metrics = contest.exact_law ? exact_metrics(!contest.forward && subject.reverse->masked())
                             : contest.law     ? metrics_for(*contest.law)
                                               : network_metrics(contest.length),
                  .bands = {},
                  .methods = {},
                  .left_out = contest.left_out,
                  .runs = {}};
  auto methods = subject.methods;
  for (auto const& named : subject.schedules) methods.push_back(named.name);
  for (auto const& method : methods) {
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
    if (contest.law) results.bands = null_bands(*contest.law, subject.samples, null_replicates, results.band_error, ~subject.seed);
    results.reference = reference_steps(subject, options);
    std::vector<token_t> reference = results.reference > 0 ? reference_tokens(contest, subject, options) : std::vector<token_t>();
    if (!contest.law) {
      auto const half = static_cast<std::ptrdiff_t>(reference.size() / 2);
      std::span const all(reference);
      results.band_error = network_band_error;
      results.bands = reference_bands(contest, all.first(static_cast<std::size_t>(half)), all.subspan(static_cast<std::size_t>(half)),
                                      results.band_error, ~subject.seed);
      reference.erase(reference.begin(), reference.begin() + half);
      results.sites = site_frequencies(reference, static_cast<std::size_t>(contest.length), static_cast<std::size_t>(contest.tokens));
    }
    for (auto const& entrant : contest.entrants)
      results.runs.push_back(run_entrant(contest, entrant, reference, options, folder));
  }
  std::size_t const rank = results.position(contest.rank);
  std::stable_sort(results.runs.begin(), results.runs.end(),
                   [&](Run const& a, Run const& b) { return a.estimates[rank].value < b.estimates[rank].value; });
  return results;
}

std::string fixed_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

void print_sampled(Results const& results, Contest const& contest, Options const& options) {
  std::string const judge = contest.law ? "entropy of the law " + fixed_text(results.entropy) + " nats a sequence"
                                        : "judged by a reference run of " + std::to_string(results.reference) + " tweedie steps";
  std::printf("%s\nnoise %s; %zu sequences a row, seed %s; %s\n\n", results.title.c_str(),
              contest.process.noise().describe().c_str(), results.samples, options.text("seed").c_str(), judge.c_str());
  print_table(comparison_table(
      results, {Metric::tv_pair, Metric::tv_site, Metric::nll, Metric::token_entropy, Metric::impossible_transitions}));
  if (!contest.law) {
    std::printf("\nErrors are total variation from the frequencies of the reference run, mean over pairs (sites), with 95 %% intervals.\n"
                "The last row is how far another reference run lies from it, with 95 %% bands. Read errors beside the entropy.\n");
    return;
  }
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
void print_reference(Results const& results) {
  if (results.runs.empty() || results.runs[0].apart.empty()) return;
  std::printf("\nBeside a reference run of %s tweedie steps: distance (p value of equal laws, by permutations)\n\n",
              std::to_string(results.reference).c_str());
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
    print_reference(results);
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
  require_outside(options, "summary", "out");
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
  Ranks& ranks = Ranks::world();
  require(!ranks.several() || !contest.exact_law, "--law exact runs as one rank, and a launcher started " + std::to_string(ranks.size()));
  if (!ranks.first()) {
    help_run_all(contest, subject, options);
    return 0;
  }
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
