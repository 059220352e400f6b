// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/newick.hpp>
#include <saltus/ctmc/io/npy.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/statistics.hpp>
#include <saltus/integrators/tree.hpp>
#include <saltus/models/model_hash.hpp>

#include "checkpoint.hpp"
#include "forward.hpp"
#include "labelled_writer.hpp"
#include "progress.hpp"

namespace saltus::app {
namespace {

constexpr int most_occupied = 1024;  // states whose shares --statistics writes

void append(std::string& text, double value) {
  char buffer[32];
  text.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}
void append(std::string& text, std::int64_t value) {
  char buffer[24];
  text.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

// Every jump, as CSV or NPY.
class TrajectoryWriter {
 public:
  // `kept`: as a LabelledWriter's.
  TrajectoryWriter(std::string const& path, Alphabet alphabet, std::optional<std::uint64_t> kept)
      : alphabet_(std::move(alphabet)), npy_(path.ends_with(".npy")), file_(AtomicFile::open(path, kept)) {
    require(!npy_ || file_.rewritable(), "--trajectory '" + path + "' is a pipe or a device, and an NPY file begins with how many jumps there are: write CSV");
    std::uint64_t const begun = kept.value_or(0);
    if (begun == 0) file_.write(npy_ ? header(0) : "sample,time,site,from,to\n");
    if (npy_ && begun > 0) jumps_ = (begun - header(0).size()) / (5 * sizeof(double));
  }
  void add(std::vector<JumpRecord> const& records) {
    buffer_.clear();
    for (auto const& r : records) {
      if (npy_) {
        double const values[] = {static_cast<double>(r.sample), r.time, static_cast<double>(r.site), static_cast<double>(r.from),
                                 static_cast<double>(r.to)};
        file_.write({reinterpret_cast<char const*>(values), sizeof values});
        ++jumps_;
        continue;
      }
      append(buffer_, static_cast<std::int64_t>(r.sample));
      buffer_ += ',';
      append(buffer_, r.time);
      buffer_ += ',';
      append(buffer_, std::int64_t{r.site});
      buffer_ += ',' + alphabet_.text(std::span(&r.from, 1)) + ',' + alphabet_.text(std::span(&r.to, 1)) + '\n';
    }
    file_.write(buffer_);
  }
  std::uint64_t sync() { return file_.sync(); }
  void commit() {
    if (npy_) {
      SALTUS_ASSERT(header(jumps_).size() == header(0).size());  // padded to 128 bytes, whatever the number
      file_.rewrite_start(header(jumps_));
    }
    file_.commit();
  }

 private:
  static std::string header(std::size_t jumps) { return npy_header("<f8", {jumps, 5}); }

  Alphabet alphabet_;
  bool npy_;
  AtomicFile file_;
  std::string buffer_;
  std::size_t jumps_ = 0;
};

// Options of a run that goes on must not only be the same, but mean the same.
Json identity_of_simulation(Options const& options) {
  Json run = identity(options, {"process", "tree", "times"});
  ProcessText const text = read_process_text(options);  // of the options, or of a process file, which may name others
  add_hash(run, "generator", text.generator);
  add_hash(run, "noise", text.noise);
  add_hash(run, "site-rates", text.site_rates);
  add_hash(run, "start", text.start);
  return run;
}

// How many bytes of an output a checkpoint keeps; nothing without one.
std::optional<std::uint64_t> kept_bytes(std::unique_ptr<Checkpoint> const& checkpoint, char const* output) {
  if (!checkpoint) return {};
  return checkpoint->output(output, std::uint64_t{0});
}

// The same once what was written is on the disk; without a writer the output is in its place already.
template <class Writer>
std::uint64_t synced_bytes(std::optional<Writer>& writer, std::unique_ptr<Checkpoint> const& checkpoint, char const* output) {
  return writer ? writer->sync() : *kept_bytes(checkpoint, output);
}

std::string statistics_csv(PathStatistics const& statistics, std::vector<double> const& times,
                           ForwardProblem const& problem, int occupied, bool jumps) {
  Alphabet const& alphabet = problem.named.alphabet;
  std::string text = "time";
  if (alphabet.numbered()) text += ",mean,mean_se,sd,sd_se";
  if (jumps) text += ",jumps,jumps_se";
  for (token_t y = 0; y < occupied; ++y) {
    std::string const name = alphabet.text(std::span(&y, 1));
    text += ",p_" + name + ",p_" + name + "_se";
  }
  text += '\n';
  auto const put = [&](Averaged const& a) {
    text += ',';
    append(text, a.value);
    text += ',';
    append(text, a.error);
  };
  for (std::size_t i = 0; i < times.size(); ++i) {
    append(text, times[i]);
    if (alphabet.numbered()) {
      put(statistics.mean(i));
      put(statistics.deviation(i));
    }
    if (jumps) put(statistics.jumps(i));
    for (int y = 0; y < occupied; ++y) put(statistics.occupancy(i, y));
    text += '\n';
  }
  return text;
}

void write_summary(Options const& options, ForwardProblem const& problem, Integrator const& integrator,
                   SampleReport const& report) {
  if (!options.has("summary")) return;
  Json summary = run_header(options, problem);
  summary["integrator"] = integrator.info().name;
  summary["samples"] = report.samples;
  summary["jumps"] = report.jumps;
  summary["clamps"] = report.clamps;
  summary["timings"] = {{"simulate_seconds", report.seconds},
                        {"jumps_per_second", static_cast<double>(report.jumps) / report.seconds}};
  write_text(options.text("summary"), json_text(summary));
}

// --step; 0: none given.
double read_step(Options const& options) {
  if (!options.has("step")) return 0;
  double const step = options.number("step");
  require(step > 0 && std::isfinite(step), "--step must be a number above 0, got " + options.text("step"));
  return step;
}

void check_step(double step, Integrator const& integrator, Process const& process) {
  require(step == 0 || !integrator.follows_paths(process),
          "--step is for fixed-step methods; " + integrator.info().name + " is exact and has none");
}

int run_on_tree(Options const& options, KokkosArguments kokkos, ForwardProblem const& problem) {
  for (char const* const other : {"times", "trajectory", "statistics"}) {
    require(!options.has(other),
            "--" + std::string(other) +
                " is not for trees: with --tree one looks at its leaves (and with --ancestors at its inner nodes)");
  }
  require(!options.given("noise") && problem.text.noise == ProcessText{}.noise,
          "branch lengths are times of a process whose rates do not change: leave the noise away with --tree");
  Tree const tree = read_newick(options.text("tree"));
  bool const ancestors = options.flag("ancestors");
  Branches branches;
  std::vector<bool> keep;
  for (auto const& node : tree.nodes) {
    branches.parent.push_back(node.parent);
    branches.length.push_back(node.length);
    keep.push_back(ancestors || node.children.empty());
  }
  auto const kept = static_cast<std::size_t>(std::count(keep.begin(), keep.end(), true));
  auto const samples = static_cast<std::size_t>(options.integer("samples", 1, 1'000'000'000'000));
  std::string const path = options.has("out") ? options.text("out") : "-";
  SequenceFormat const format = output_format(options, problem.named.alphabet, path);
  std::vector<std::string> notes = problem.named.notes;
  Generator const& q = problem.named.generator;
  if (q.is_bounded() && q.states() <= 4096 && q.closed_classes() == 1) {
    if (double const rate = q.mean_rate(); std::abs(rate - 1) > 1e-3) {
      notes.push_back("branch lengths are times here, not expected substitutions: the generator makes " +
                      to_text(rate) + " jumps per unit time; --normalise makes it one");
    }
  }
  double const step = read_step(options);
  print_notes(options, notes);

  KokkosSession const session(options, std::move(kokkos));
  Process process = problem.process();
  // Exact transition sampling costs the same whatever the branch lengths; it needs transition probabilities.
  bool const transitions = make_integrator("tweedie")->refuses(process).empty();
  auto const integrator = make_integrator(
      options.given("integrator") ? options.text("integrator") : (transitions ? "tweedie" : "gillespie"), process);
  check_step(step, *integrator, process);
  std::optional<LabelledWriter> writer;
  Ranks& ranks = Ranks::world();
  std::unique_ptr<Checkpoint> checkpoint;
  try {
    checkpoint = open_checkpoint(options, ranks, [&] { return identity_of_simulation(options); });
    if (ranks.first() && options.has("summary")) check_writable(options.text("summary"));
    if (ranks.first() && !(checkpoint && checkpoint->is_finished(path, samples)))
      writer.emplace(path, format, problem.named.alphabet, "node", std::vector<std::size_t>{samples, kept},
                     problem.length, kept_bytes(checkpoint, "out"));
  } catch (OutputError const& e) {
    throw UserError(e.what());
  }
  TreePlan plan;  // after the session: it holds arrays of Kokkos
  plan.keep = keep;
  plan.step = step;
  plan.seed = options.seed("seed");
  plan.samples = samples;
  plan.length = problem.length;
  plan.start = problem.start(plan.seed);
  double const bytes = static_cast<double>(kept) * problem.length * sizeof(token_t);
  plan.batch = static_cast<int>(std::clamp(268e6 / bytes, 1.0, 4096.0));
  if (options.has("batch")) plan.batch = static_cast<int>(options.integer("batch", 1, 1 << 24));
  SampleReport report;
  {
    ProgressLine line(options, integrator->info().name, samples);
    TreeSink const sink = [&](std::uint64_t first, std::size_t rows, std::vector<int> const& nodes, auto const& tokens) {
      for (std::size_t b = 0; b < rows; ++b) {
        for (std::size_t k = 0; k < nodes.size(); ++k) {
          writer->add(first + b, tree.nodes[static_cast<std::size_t>(nodes[k])].name, samples > 1,
                      std::span(&tokens(k, b, 0), static_cast<std::size_t>(problem.length)));
        }
      }
    };
    auto const sync = [&] { return Json{{"out", synced_bytes(writer, checkpoint, "out")}}; };
    report = run_with(checkpoint.get(), ranks, plan, sync, [&](TreePlan const& rest, auto const& after) {
      return simulate_tree_by_ranks(ranks, process, *integrator, branches, rest, sink,
                                    [&](std::size_t done) { line(samples - rest.samples + done); }, after);
    });
  }
  if (!ranks.first()) return 0;
  if (writer) writer->commit();
  write_summary(options, problem, *integrator, report);
  if (checkpoint) checkpoint->remove();
  return 0;
}

}  // namespace

int run_simulate(Options const& options, KokkosArguments kokkos) {
  if (options.flag("print-config")) {
    std::fputs(process_json(read_process_text(options)).c_str(), stdout);
    return 0;
  }
  make_integrator(options.text("integrator"));
  require_distinct_outputs(options, {"out", "trajectory", "statistics", "summary", "checkpoint"});
  ForwardProblem const problem = read_forward(options);
  require(!options.flag("ancestors") || options.has("tree"), "--ancestors is for --tree");
  if (options.has("tree")) return run_on_tree(options, std::move(kokkos), problem);

  std::vector<double> const times = read_times(options);
  auto const samples = static_cast<std::size_t>(options.integer("samples", 1, 1'000'000'000'000));
  bool const trajectory = options.has("trajectory"), statistics = options.has("statistics");
  bool const sequences = options.has("out") || !(trajectory || statistics);
  std::string const path = options.has("out") ? options.text("out") : "-";
  SequenceFormat const format = output_format(options, problem.named.alphabet, path);
  require(
      times.size() == 1 || !sequences || format != SequenceFormat::txt || options.has("format"),
      "sequences of several times in one file of plain text could not be told apart: use --format fasta, csv or npy, or look at one time");
  double const step = read_step(options);
  print_notes(options, problem.named.notes);

  KokkosSession const session(options, std::move(kokkos));
  Process process = problem.process();
  auto const integrator = make_integrator(options.text("integrator"), process);
  bool const follows = integrator->follows_paths(process);
  require(follows || !trajectory, "--trajectory needs a method that follows paths: gillespie or uniformization, not " +
                                      integrator->info().name);
  check_step(step, *integrator, process);

  std::optional<LabelledWriter> writer;
  std::optional<TrajectoryWriter> jumps;
  Ranks& ranks = Ranks::world();
  std::unique_ptr<Checkpoint> checkpoint;
  auto const due = [&](std::string const& file) { return ranks.first() && !(checkpoint && checkpoint->is_finished(file, samples)); };
  try {
    checkpoint = open_checkpoint(options, ranks, [&] { return identity_of_simulation(options); });
    if (ranks.first() && options.has("summary")) check_writable(options.text("summary"));
    if (ranks.first() && statistics) check_writable(options.text("statistics"));
    if (sequences && due(path))
      writer.emplace(path, format, problem.named.alphabet, "time", std::vector<std::size_t>{samples, times.size()},
                     problem.length, kept_bytes(checkpoint, "out"));
    if (trajectory && due(options.text("trajectory")))
      jumps.emplace(options.text("trajectory"), problem.named.alphabet, kept_bytes(checkpoint, "trajectory"));
  } catch (OutputError const& e) {
    throw UserError(e.what());
  }

  SimulationPlan plan;
  plan.times = times;
  plan.step = step;
  plan.seed = options.seed("seed");
  plan.samples = samples;
  plan.length = problem.length;
  plan.start = problem.start(plan.seed);
  plan.count_jumps = statistics && follows;
  plan.record_jumps = trajectory;
  double const bytes = static_cast<double>(times.size()) * problem.length * (plan.count_jumps ? 12 : 4);
  plan.batch = options.has("batch") ? static_cast<int>(options.integer("batch", 1, 1 << 24))
                                    : static_cast<int>(std::clamp(32e6 / bytes, 1.0, 65536.0));
  int const states = problem.named.generator.states();
  int const occupied = problem.named.generator.is_bounded() && states <= most_occupied ? states : 0;
  PathStatistics gathered(times.size(), problem.length, statistics ? occupied : 0);
  if (statistics && checkpoint && checkpoint->report().samples > 0)
    gathered.restore(checkpoint->report().samples, checkpoint->output("statistics", std::vector<double>{}));

  std::vector<std::string> labels;
  for (double const time : times) labels.push_back(to_text(time));
  SampleReport report;
  {
    ProgressLine line(options, integrator->info().name, samples);
    SightSink const sink = [&](Sight const& sight) {
      if (statistics) gathered.add(sight);
      if (jumps) jumps->add(sight.records);
      if (!writer) return;
      for (std::size_t b = 0; b < sight.rows; ++b) {
        for (std::size_t i = 0; i < times.size(); ++i) {
          writer->add(sight.first_sample + b, labels[i], times.size() > 1,
                      std::span(&sight.tokens(i, b, 0), static_cast<std::size_t>(problem.length)));
        }
      }
    };
    auto const sync = [&] {
      Json kept{{"out", synced_bytes(writer, checkpoint, "out")}, {"trajectory", synced_bytes(jumps, checkpoint, "trajectory")}};
      if (statistics) kept["statistics"] = gathered.sums();
      return kept;
    };
    report = run_with(checkpoint.get(), ranks, plan, sync, [&](SimulationPlan const& rest, auto const& after) {
      return simulate_by_ranks(ranks, process, *integrator, rest, sink, [&](std::size_t done) { line(samples - rest.samples + done); }, after);
    });
  }
  if (!ranks.first()) return 0;
  // The largest first: where there is no room, nothing is left behind.
  if (writer) writer->commit();
  if (jumps) jumps->commit();
  if (statistics)
    write_text(options.text("statistics"), statistics_csv(gathered, times, problem, occupied, plan.count_jumps));
  write_summary(options, problem, *integrator, report);
  if (checkpoint) checkpoint->remove();
  return 0;
}

}  // namespace saltus::app
