// SPDX-License-Identifier: BSD-3-Clause
#include <cstdio>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/version.hpp>

#include "commands.hpp"
#include "model.hpp"
#include "problem.hpp"
#include "results.hpp"
#include "timing.hpp"

namespace saltus::app {
namespace {

struct Case {
  char const* scores;
  int states;
  char const* method;
  ScoreKind kind;
  bool masked, reads_all;  // whether a step has to read every row
};

struct Timed {
  double nanoseconds = 0;  // a site
  double bandwidth = 0;    // of a plain sum over the same scores, bytes a second
  double share = 0;        // the sum's time by the step's
};

std::string rounded(double value, char const* format = "%.3g") {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// Step and sum by turns for `seconds`, at least three times; medians.
Timed timed(ExecSpace const& exec, Case const& c, double seconds) {
  int const batch = c.states > 1000 ? 1 : 64, length = c.states > 1000 ? 512 : 256;
  auto const scores = scores_like_a_network(exec, batch, length, c.states, c.kind);
  auto process = Process::reverse(c.masked ? Generator::absorbing(c.states) : Generator::uniform(c.states), NoiseSchedule::log_linear(),
                                  std::make_shared<StoredScores>(std::vector{scores}, c.kind, c.masked));
  timing::TimedStep step(exec, process, c.method, {batch, length}, {0.5, 0.46875});
  double const sites = static_cast<double>(batch) * length, bytes = static_cast<double>(scores.size() * sizeof(float));
  step(1);
  timing::plain_sum(exec, scores);
  int const repeats = static_cast<int>(std::max(1.0, 0.01 / std::max(step(1), 1e-9)));
  std::vector<double> steps, sums, shares;
  double const start = now();
  while (steps.size() < 3 || now() - start < seconds) {
    double const a = step(repeats) / repeats, b = timing::plain_sum(exec, scores);
    steps.push_back(a);
    sums.push_back(b);
    shares.push_back(b / a);
  }
  return {timing::median(steps) * 1e9 / sites, bytes / timing::median(sums), timing::median(shares)};
}

struct NetworkTime {
  double network = 0, sampler = 0;  // seconds for the same run with the network and with stored scores
  std::int64_t rows = 0;            // that the network was evaluated at
  int sequences = 0, steps = 0;
};

double seconds_of(ExecSpace const& exec, Process& process, SamplePlan const& plan) {
  auto const integrator = make_integrator("fixed_count", process);
  double const start = now();
  sample(exec, process, *integrator, plan);
  return now() - start;
}

NetworkTime network_time(ExecSpace const& exec, Model const& model) {
  BackboneManifest const& manifest = *model.network;
  require(manifest.masked, "bench times masked networks; '" + manifest.name + "' has no mask");
  NetworkTime t{.sequences = 64, .steps = 8};
  auto const noise = NoiseSchedule::parse(manifest.noise);
  Generator const generator = Generator::absorbing(manifest.states);
  auto const network = model.denoiser(generator, false);
  Process with = Process::reverse(generator, noise, network);
  auto const scores = scores_like_a_network(exec, t.sequences, model.length, manifest.states, ScoreKind::x0_leave_one_out);
  Process without = Process::reverse(generator, noise, std::make_shared<StoredScores>(std::vector{scores}, ScoreKind::x0_leave_one_out));
  SamplePlan plan = make_plan(with, *make_integrator("fixed_count", with), t.steps, model.length);
  plan.samples = static_cast<std::size_t>(t.sequences);
  plan.batch = t.sequences;
  seconds_of(exec, with, plan);  // warms up
  seconds_of(exec, without, plan);
  std::vector<double> a, b;
  std::int64_t const before = network->rows_evaluated();
  for (int i = 0; i < 5; ++i) {
    plan.seed = static_cast<std::uint64_t>(2 + i);
    a.push_back(seconds_of(exec, with, plan));
    b.push_back(seconds_of(exec, without, plan));
  }
  t.rows = (network->rows_evaluated() - before) / 5;
  t.network = timing::median(a);
  t.sampler = timing::median(b);
  return t;
}

}  // namespace

int run_bench(Options const& options, KokkosArguments kokkos) {
  double const seconds = options.number("seconds");
  require(seconds >= 0 && seconds <= 3600, "--seconds must be from 0 to 3600, got " + options.text("seconds"));
  std::optional<Model> model;
  if (options.has("model")) {
    model = read_stored_model(options.text("model"), options);
    require(model->network.has_value(), "bench times networks; --model " + options.text("model") + " is a law");
  }
  try {
    if (options.has("json")) check_writable(options.text("json"));
  } catch (OutputError const& e) {
    throw UserError(e.what());
  }
  KokkosSession const session(options, std::move(kokkos));
  ExecSpace const exec;

  std::vector<Case> cases;
  for (int const states : {4, 20, 33, 50258}) {
    cases.push_back({"masked, log-scores", states, "euler", ScoreKind::log_score, true, true});
    cases.push_back({"masked, laws", states, "tweedie", ScoreKind::x0_leave_one_out, true, false});
    if (states < 1000) cases.push_back({"uniform, laws", states, "tweedie", ScoreKind::x0_leave_one_out, false, true});
  }
  Table table{{"scores", "states", "method", "ns a site", "plain sum, GB/s", "of the sum"}, {}};
  Json rows = Json::array();
  for (auto const& c : cases) {
    Timed const t = timed(exec, c, seconds);
    table.rows.push_back({c.scores, std::to_string(c.states), c.method, rounded(t.nanoseconds), rounded(t.bandwidth / 1e9),
                          c.reads_all ? rounded(100 * t.share, "%.0f %%") : "reads what jumps"});
    rows.push_back({{"scores", c.scores},
                    {"states", c.states},
                    {"method", c.method},
                    {"nanoseconds_a_site", t.nanoseconds},
                    {"plain_sum_bytes_a_second", t.bandwidth},
                    {"sum_by_step", t.share}});
  }
  Json json = run_header(options);
  json["steps"] = rows;
  std::optional<NetworkTime> network;
  if (model) {
    network = network_time(exec, *model);
    json["network"] = {{"name", model->network->name}, {"sequences", network->sequences},    {"steps", network->steps},
                       {"rows_evaluated", network->rows}, {"seconds", network->network}, {"seconds_without", network->sampler}};
  }
  if (options.has("json")) write_text(options.text("json"), json_text(json));
  if (options.flag("quiet")) return 0;
  std::printf("saltus %s, %s, %s; a step reveals 1/16 of the sites (masked) or covers 1/32 of the time\n\n", version().c_str(), backend().c_str(),
              build_type().c_str());
  print_table(table);
  std::printf("\n'of the sum': the time that it takes to read the same scores once, by the time of the step.\n");
  if (network) {
    std::printf("\n%s, %d sequences in %d steps of fixed_count: %.3g ms a row of the network; without it the run takes %.2g %% of the time\n",
                model->network->name.c_str(), network->sequences, network->steps, 1e3 * network->network / static_cast<double>(network->rows),
                100 * network->sampler / network->network);
  }
  return 0;
}

}  // namespace saltus::app
