// SPDX-License-Identifier: BSD-3-Clause
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/models/product.hpp>

#include "forward.hpp"
#include "metrics.hpp"

namespace saltus::app {
namespace {

namespace fs = std::filesystem;

// What a comparison runs and judges by: a reverse process with its data, or a forward one at a time.
struct Contest {
  Process process;
  std::shared_ptr<SequenceLaw const> law;  // what an exact method draws from
  Alphabet alphabet;
  SamplePlan plan;                         // without grid; its start may be empty
  double end;                              // reverse: where steps end; forward: the time
  bool forward;
  std::string title;
  Metric rank;
};

constexpr int null_replicates = 100;
constexpr double family_error = 1e-3;

struct Run {
  std::string integrator;
  bool exact = false;
  int steps = 1;
  SampleReport report{};
  std::vector<Estimate> estimates{};
};

// A folder that appears, or changes, only when everything in it is there: files are written to a sibling and then moved.
class OutputFolder {
 public:
  explicit OutputFolder(fs::path target) : target_(std::move(target)) {
    while (target_.has_relative_path() && !target_.has_filename()) target_ = target_.parent_path();
    std::error_code error;
    if (fs::exists(target_) && !fs::is_directory(target_))
      throw OutputError("--out '" + target_.string() + "' is a file; give a folder");
    if (fs::exists(target_)) check_writable((target_ / "results.csv").string());
    for (fs::path p = target_.parent_path(); !p.empty() && !fs::exists(p); p = p.parent_path()) made_.push_back(p);
    parts_ = target_.parent_path() / ("." + target_.filename().string() + ".tmp-" + std::to_string(getpid()));
    fs::create_directories(parts_, error);
    if (error) {
      clear();
      throw OutputError("cannot make the folder '" + target_.string() + "': " + error.message());
    }
  }
  ~OutputFolder() { clear(); }
  OutputFolder(OutputFolder const&) = delete;
  OutputFolder& operator=(OutputFolder const&) = delete;

  std::string path(std::string const& name) const {
    fs::path const path = parts_ / name;
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    return path.string();
  }
  std::string final_path(std::string const& name) const { return (target_ / name).string(); }

  void commit() {
    try {
      std::vector<fs::path> files;
      for (auto const& entry : fs::recursive_directory_iterator(parts_)) {
        if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), parts_));
      }
      for (auto const& file : files) {
        fs::create_directories((target_ / file).parent_path());
        fs::rename(parts_ / file, target_ / file);
      }
    } catch (fs::filesystem_error const& e) {
      throw OutputError("cannot put the results into '" + target_.string() + "': " + e.code().message());
    }
  }

 private:
  void clear() noexcept {
    std::error_code ignored;
    fs::remove_all(parts_, ignored);
    for (auto const& folder : made_) fs::remove(folder, ignored);  // those above it that are still empty
  }

  fs::path target_, parts_;
  std::vector<fs::path> made_;  // parents that were not there, innermost first
};

std::string number(double value) { return to_text(value); }
std::string number(std::int64_t value) { return std::to_string(value); }

// Mean evaluations of a sample: a whole number where it is one.
Json evaluations(Run const& run) {
  double const mean = run.report.evaluations;
  return mean == std::round(mean) ? Json(static_cast<std::int64_t>(mean)) : Json(mean);
}

std::string shown(char const* format, double value) {
  if (!std::isfinite(value)) return "inf";
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string shown(Estimate const& e, char const* format, double center = 0) {
  if (!std::isfinite(e.value)) return shown(format, e.value);
  return shown(format, e.value - center) + " [" + shown(format, e.low - center) + ", " +
         shown(format, e.high - center) + "]";
}

void print_table(std::vector<std::vector<std::string>> const& rows) {
  std::vector<std::size_t> widths(rows[0].size());
  for (auto const& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      std::string const pad(widths[i] - rows[r][i].size(), ' ');
      line += (i ? "  " : "") + (i == 0 ? rows[r][i] + pad : pad + rows[r][i]);
    }
    std::printf("%s\n", line.substr(0, line.find_last_not_of(' ') + 1).c_str());
    if (r == 0) std::printf("%s\n", std::string(line.size(), '-').c_str());
  }
}

std::size_t position(Metric metric) {
  for (std::size_t m = 0; m < metric_table().size(); ++m) {
    if (metric_table()[m].metric == metric) return m;
  }
  internal_error("a metric that is not in the table");
}

// Of one integrator: the grid of a plan in `steps` steps.
SamplePlan plan_for(Contest const& contest, Integrator const& integrator, int steps) {
  SamplePlan plan = contest.plan;
  int const intervals =
      integrator.info().evaluations == 0 || (contest.forward && integrator.info().exact_forward) ? 1 : steps;
  if (contest.forward) {
    plan.grid = TimeGrid::uniform(0, contest.end, intervals);
    return plan;
  }
  SamplePlan const made = make_plan(contest.process, integrator, steps, plan.length, contest.end);
  plan.grid = made.grid;
  plan.forced_last = made.forced_last;
  return plan;
}

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

}  // namespace

int run_compare(Options const& options, KokkosArguments kokkos) {
  auto const samples = static_cast<std::size_t>(options.integer("samples", 2, 1'000'000'000));
  int const batch = static_cast<int>(options.integer("batch", 1, 1 << 24));
  auto const budgets = options.integers("nfe", 1, 1'000'000);
  auto const methods = options.list("integrators");
  for (auto const& method : methods) make_integrator(method);
  std::uint64_t const seed = options.seed("seed");
  require(options.has("out"), "compare writes a folder: name it with --out DIR");
  bool const forward =
      !options.given("model") && !options.given("data") && (options.has("generator") || options.has("process"));
  for (char const* const other : {"process", "site-rates", "start", "times", "length", "fix-diagonal", "normalise"}) {
    require(
        forward || !options.has(other),
        "--" + std::string(other) +
            " is for comparing on a forward process: leave --model and --data away and give --generator or --process");
  }
  std::optional<Problem> problem;
  std::optional<ForwardProblem> forward_problem;
  double time = default_end_time;
  if (forward) {
    forward_problem.emplace(read_forward(options));
    auto const times = read_times(options);
    require(times.size() == 1 && times[0] > 0, "compare looks at one time above 0: --times T");
    time = times[0];
    print_notes(options, forward_problem->named.notes);
  } else {
    problem.emplace(read_problem(options));
  }
  Alphabet const& alphabet = forward ? forward_problem->named.alphabet : problem->named.alphabet;
  SequenceFormat const format = output_format(options, alphabet, "");

  KokkosSession const session(options, std::move(kokkos));
  Contest contest =
      forward
          ? Contest{forward_problem->process(),
                    forward_product(*forward_problem, time),
                    alphabet,
                    {.grid = TimeGrid::uniform(0, time, 1)},
                    time,
                    true,
                    forward_problem->named.description + " from " + forward_problem->start_text +
                        " to t = " + to_text(time),
                    Metric::tv_site}
          : Contest{
                problem->process(), problem->final_law(), alphabet, {.grid = TimeGrid::uniform(1, 0, 1)}, time, false,
                problem->source,    Metric::tv_pair};
  contest.plan.seed = seed;
  contest.plan.samples = samples;
  contest.plan.batch = batch;
  contest.plan.length = contest.law->length();
  // The starts' random numbers must not be those of the perfect samplers below.
  contest.plan.start = forward ? forward_problem->start(seed) : problem->exact_start(seed ^ 0x5A17u);
  Process& process = contest.process;
  SequenceLaw const& law = *contest.law;
  double const entropy = law.entropy();  // an estimate takes its time
  std::vector<Run> runs;
  int exact_runs = 0;
  for (auto const& method : methods) {
    IntegratorInfo const info = make_integrator(method, process)->info();
    bool const exact = info.exact || (forward && info.exact_forward);
    exact_runs += exact;
    if (info.evaluations == 0 || (forward && exact)) {
      runs.push_back({.integrator = method, .exact = exact});
      continue;
    }
    for (std::int64_t const nfe : budgets) {
      require(nfe % info.evaluations == 0, "'" + method + "' makes " + std::to_string(info.evaluations) +
                                               " evaluations a step, so --nfe must be a multiple of it; got " +
                                               std::to_string(nfe));
      runs.push_back({.integrator = method, .exact = exact, .steps = static_cast<int>(nfe / info.evaluations)});
    }
  }
  std::optional<OutputFolder> folder;
  try {
    if (options.has("summary")) check_writable(options.text("summary"));
    folder.emplace(options.text("out"));
  } catch (OutputError const& e) {
    throw UserError(e.what());
  }

  // A family error over everything that is asserted of exact methods.
  double const error = family_error / std::max<double>(1, exact_runs * static_cast<double>(metric_table().size()));
  // The perfect samplers' random numbers are of a role of their own; another seed keeps them apart from the runs' all the same.
  std::vector<NullBand> const bands = null_bands(law, samples, null_replicates, error, ~seed);

  for (auto& run : runs) {
    auto const integrator = make_integrator(run.integrator, process);
    SamplePlan const plan = plan_for(contest, *integrator, run.steps);
    bool const own_steps = integrator->info().evaluations == 0 || (forward && run.exact);
    std::string label =
        run.integrator +
        (own_steps ? "" : (forward ? "_steps" : "_nfe") + std::to_string(run.steps * integrator->info().evaluations));
    std::replace_if(label.begin(), label.end(), [](char c) { return c == ':' || c == '='; }, '_');
    SequenceWriter writer(folder->path("samples/" + label + ending(format)), format, alphabet, samples, law.length());
    std::vector<token_t> tokens;
    tokens.reserve(samples * static_cast<std::size_t>(law.length()));
    {
      ProgressLine line(options, label, samples);
      run.report = sample(
          ExecSpace(), process, *integrator, plan,
          [&](std::uint64_t, HostTokens const& rows) {
            tokens.insert(tokens.end(), rows.data(), rows.data() + rows.size());
          },
          {}, [&](std::size_t done) { line(done); });
    }
    writer.append(tokens);
    writer.commit();
    run.estimates = measure(law, tokens, samples);
    // A forward process evaluates no network: its column counts steps.
    if (forward) run.report.evaluations = own_steps ? 0 : run.steps;
  }

  // Best first: smallest error of the adjacent pairs (forward: of the sites, which are independent).
  std::size_t const rank = position(contest.rank), pair = position(Metric::tv_pair), nll = position(Metric::nll), site = position(Metric::tv_site),
                    token_entropy = position(Metric::token_entropy),
                    impossible = position(Metric::impossible_transitions);
  std::stable_sort(runs.begin(), runs.end(),
                   [&](Run const& a, Run const& b) { return a.estimates[rank].value < b.estimates[rank].value; });

  auto const inside = [&](Run const& run) {
    for (std::size_t m = 0; m < bands.size(); ++m) {
      if (!(run.estimates[m].value >= bands[m].low && run.estimates[m].value <= bands[m].high)) return false;
    }
    return true;
  };

  std::string csv = "integrator,nfe,metric,value,low,high,null_low,null_high\n";
  Json rows = Json::array();
  auto add = [&](Run const& run, std::string const& metric, auto value, auto low, auto high, NullBand const* band) {
    Json const nfe = evaluations(run);
    csv += run.integrator + "," + nfe.dump() + "," + metric + "," + number(value) + "," + number(low) + "," +
           number(high) + "," + (band ? number(band->low) : "") + "," + (band ? number(band->high) : "") + "\n";
    Json row{{"integrator", run.integrator},
             {"nfe", nfe},
             {"metric", metric},
             {"value", value},
             {"low", low},
             {"high", high}};
    if (band) {
      row["null_low"] = band->low;
      row["null_high"] = band->high;
    }
    rows.push_back(std::move(row));
  };
  Json run_list = Json::array();
  for (auto const& run : runs) {
    for (std::size_t m = 0; m < bands.size(); ++m) {
      auto const& e = run.estimates[m];
      add(run, metric_table()[m].name, e.value, e.low, e.high, &bands[m]);
    }
    add(run, "clamps", run.report.clamps, run.report.clamps, run.report.clamps, nullptr);
    Json entry{{"integrator", run.integrator}, {"nfe", evaluations(run)}, {"max_nfe", run.report.max_evaluations},
               {"samples", run.report.samples}, {"jumps", run.report.jumps}, {"clamps", run.report.clamps},
               {"seconds", run.report.seconds}};
    if (run.exact) entry["inside_null_band"] = inside(run);
    run_list.push_back(std::move(entry));
  }
  Json json = forward ? run_header(options, *forward_problem) : run_header(options, *problem);
  Json null = Json::array();
  for (std::size_t m = 0; m < bands.size(); ++m) {
    null.push_back(
        {{"metric", metric_table()[m].name}, {"mean", bands[m].mean}, {"low", bands[m].low}, {"high", bands[m].high}});
  }
  json["null"] = {{"replicates", null_replicates}, {"family_error", family_error}, {"bands", null}};
  json["runs"] = run_list;
  json["rows"] = rows;
  write_text(folder->path("results.csv"), csv);
  write_text(folder->path("results.json"), json_text(json, 1));
  if (options.has("data")) save_law(folder->path("model"), problem->named, problem->source);
  folder->commit();
  if (options.has("summary")) {
    json.erase("rows");
    write_text(options.text("summary"), json_text(json));
  }

  if (!options.flag("quiet")) {
    bool const forbids =
        std::any_of(runs.begin(), runs.end(), [&](Run const& run) { return run.estimates[impossible].value > 0; });
    std::printf("%s\nnoise %s; %zu sequences a row, seed %s; entropy of the law %.4f nats a sequence\n\n",
                contest.title.c_str(), process.noise().describe().c_str(), samples, options.text("seed").c_str(),
                entropy);
    std::vector<std::vector<std::string>> table{
        {"integrator", forward ? "steps" : "NFE", "pair error", "site error", "nll - entropy", "token entropy"}};
    if (forbids) table[0].push_back("impossible");
    table[0].insert(table[0].end(), {"clamps", "seconds"});
    for (auto const& run : runs) {
      std::vector<std::string> line{run.integrator,
                                    forward && run.exact ? "exact" : evaluations(run).dump(),
                                    shown(run.estimates[pair], "%.4f"),
                                    shown(run.estimates[site], "%.4f"),
                                    shown(run.estimates[nll], "%+.3f", entropy),
                                    shown("%.4f", run.estimates[token_entropy].value)};
      if (forbids) line.push_back(shown("%.5f", run.estimates[impossible].value));
      line.insert(line.end(), {std::to_string(run.report.clamps), shown("%.2f", run.report.seconds)});
      table.push_back(std::move(line));
    }
    std::vector<std::string> perfect{
        "(perfect)",
        "",
        shown("%.4f", bands[pair].low) + " to " + shown("%.4f", bands[pair].high),
        shown("%.4f", bands[site].low) + " to " + shown("%.4f", bands[site].high),
        shown("%+.3f", bands[nll].low - entropy) + " to " + shown("%+.3f", bands[nll].high - entropy),
        shown("%.4f", bands[token_entropy].mean)};
    perfect.resize(table[0].size());
    table.push_back(std::move(perfect));
    print_table(table);
    std::printf(
        "\nErrors are total variation from the exact laws, mean over pairs (sites), with 95 %% intervals. Sampling noise alone\n"
        "gives a perfect sampler the last row (%d simulated; one more leaves a band with probability %.1g, all bands together %g).\n",
        null_replicates, error, family_error);
    for (auto const& run : runs) {
      if (run.exact)
        std::printf("%s claims to be exact and lies %s.\n", run.integrator.c_str(),
                    inside(run) ? "inside all bands" : "OUTSIDE a band: see null_low and null_high in results.csv");
    }
    std::printf("\nresults   %s, %s\nsequences %s\n", folder->final_path("results.csv").c_str(),
                folder->final_path("results.json").c_str(), folder->final_path("samples").c_str());
    if (options.has("data")) std::printf("model     %s (use it with --model)\n", folder->final_path("model").c_str());
  }
  return 0;
}

}  // namespace saltus::app
