// SPDX-License-Identifier: BSD-3-Clause
// Times the library's masked steps, and a plain sum over the same memory, on stored scores. Driven by versus_pytorch.py;
// prints one JSON object of numbers: a case by its name (ns a site), its plain sum (ns a site), memory in KiB.
//   step_bench [--repeats N] [--threads N] [--cases a,b,...] [--memory-steps K]
#include <sys/resource.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "timing.hpp"

namespace {

using namespace saltus;
using timing::median;

struct Case {
  char const* name;
  int batch, length, states;
  ScoreKind kind;
  char const* method = "euler";
  Interval interval{0.5, 0.46875};  // jump probability 1/16 on log-linear noise in the middle of a run
  ScalarType type = ScalarType::f32;
};

int run(int argc, char** argv) {
  int repeats = 15, memory_steps = 0;
  std::string only;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!std::strcmp(argv[i], "--repeats")) repeats = std::atoi(argv[i + 1]);
    if (!std::strcmp(argv[i], "--cases")) only = std::string(",") + argv[i + 1] + ",";
    if (!std::strcmp(argv[i], "--memory-steps")) memory_steps = std::atoi(argv[i + 1]);
  }
  ExecSpace const exec;
  std::vector<Case> const cases{{"masked_euler_log_scores_S50258", 2, 1024, 50258, ScoreKind::log_score},
                                {"masked_euler_log_scores_S33", 64, 256, 33, ScoreKind::log_score},
                                {"masked_step_normalised_S50258", 2, 1024, 50258, ScoreKind::x0_leave_one_out},
                                {"masked_step_normalised_S33", 64, 256, 33, ScoreKind::x0_leave_one_out},
                                // every site is revealed from its own row: at best a plain sum of it a site
                                {"first_hitting_S50258", 2, 1024, 50258, ScoreKind::x0_leave_one_out, "first_hitting",
                                 {1, 0}},
                                {"masked_euler_log_scores_S50258_bf16", 2, 1024, 50258, ScoreKind::log_score, "euler", {0.5, 0.46875}, ScalarType::bf16},
                                {"masked_euler_log_scores_S50258_f16", 2, 1024, 50258, ScoreKind::log_score, "euler", {0.5, 0.46875}, ScalarType::f16},
                                {"masked_euler_log_scores_S4", 64, 256, 4 + 1, ScoreKind::log_score},
                                {"masked_euler_log_scores_S20", 64, 256, 20 + 1, ScoreKind::log_score},
                                {"uniform_euler_log_scores_S33", 64, 256, 33, ScoreKind::log_score}};
  std::string json;
  auto add = [&](std::string const& name, double value) {
    char text[160];
    std::snprintf(text, sizeof text, "%s\"%s\": %.6g", json.empty() ? "" : ", ", name.c_str(), value);
    json += text;
  };
  for (auto const& c : cases) {
    if (!only.empty() && only.find(std::string(",") + c.name + ",") == std::string::npos) continue;
    auto const scores = scores_like_a_network(exec, c.batch, c.length, c.states, c.kind);
    bool const masked = std::strncmp(c.name, "uniform", 7) != 0;
    auto process = Process::reverse(masked ? Generator::absorbing(c.states) : Generator::uniform(c.states), NoiseSchedule::log_linear(),
                                    std::make_shared<StoredScores>(std::vector{scores}, c.kind, masked, c.type));
    timing::TimedStep step(exec, process, c.method, {c.batch, c.length}, c.interval);
    double const sites = static_cast<double>(c.batch) * c.length;
    int const inner = c.states > 1000 ? 1 : 200;  // small cases: many steps a measurement
    std::vector<double> step_ns, sum_ns;
    for (int r = -2; r < repeats; ++r) {
      double const seconds = step(inner), sum_seconds = timing::plain_sum(exec, scores);
      if (!std::isfinite(sum_seconds)) return 1;
      if (r >= 0) {
        step_ns.push_back(seconds * 1e9 / sites / inner);
        sum_ns.push_back(sum_seconds * 1e9 / sites);
      }
    }
    add(c.name, median(step_ns));
    add(std::string(c.name) + "_plain_sum", median(sum_ns));
  }
  if (memory_steps > 0) {
    // 1 GB of scores in place, any number of steps: the peak must be scores + tokens.
    std::size_t const states = 50258, length = 1024, batch = 5;
    rusage before{};
    getrusage(RUSAGE_SELF, &before);
    StoredScores::Scores const scores(Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::perf::scores"), batch, length, states);
    Kokkos::deep_copy(scores, -10.0f);
    auto process = Process::reverse(Generator::absorbing(static_cast<int>(states)), NoiseSchedule::log_linear(),
                                    std::make_shared<StoredScores>(std::vector{scores}, ScoreKind::log_score));
    auto const euler = make_integrator("euler", process);
    auto plan = make_plan(process, *euler, memory_steps, static_cast<int>(length));
    plan.samples = batch;
    plan.batch = static_cast<int>(batch);
    auto const tokens = sample(exec, process, *euler, plan);
    rusage after{};
    getrusage(RUSAGE_SELF, &after);
    double const needed = static_cast<double>(scores.size() * sizeof(float) + 2 * tokens.size() * sizeof(token_t)) / 1024;
    add("scores_and_tokens_kib", needed);
    add("peak_over_idle_kib", static_cast<double>(after.ru_maxrss - before.ru_maxrss));
    add("memory_ratio", static_cast<double>(after.ru_maxrss - before.ru_maxrss) / needed);
  }
  std::printf("{%s}\n", json.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  int threads = 2;
  for (int i = 1; i + 1 < argc; ++i) {
    if (!std::strcmp(argv[i], "--threads")) threads = std::atoi(argv[i + 1]);
  }
  Kokkos::ScopeGuard const guard(Kokkos::InitializationSettings().set_num_threads(threads).set_disable_warnings(true));
  return run(argc, argv);
}
