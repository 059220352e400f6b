// SPDX-License-Identifier: BSD-3-Clause
// Times the library's masked steps, and a plain sum over the same memory, on stored scores. Driven by versus_pytorch.py;
// prints one JSON object of numbers: a case by its name (ns a site), its plain sum (ns a site), memory in KiB.
//   step_bench [--repeats N] [--threads N] [--cases a,b,...] [--memory-steps K]
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>

namespace {

using namespace saltus;

using Scores = Kokkos::View<float***, Kokkos::LayoutRight, MemorySpace>;

// A model that hands out stored scores: what is timed is the step alone.
class StoredScores final : public ScoreModel {
 public:
  StoredScores(Scores scores, ScoreKind kind) : scores_(std::move(scores)), kind_(kind) {}
  ModelInfo info() const override {
    int const states = static_cast<int>(scores_.extent(2));
    return {"stored", states, states - 1, kind_, TimeInput::none, static_cast<int>(scores_.extent(1)), false};
  }
  void reserve(Extents, int) override {}
  Evaluation evaluate(ExecSpace const&, Query const&, int) override {
    return {ScalarType::f32, scores_.data(), static_cast<std::int64_t>(scores_.stride(0)),
            static_cast<std::int64_t>(scores_.stride(1)), static_cast<int>(scores_.extent(2)), kind_};
  }

 private:
  Scores scores_;
  ScoreKind kind_;
};

// Scores like a network's: log-scores with a spread of a few nats (or their normalised law).
struct Fill {
  Scores scores;
  bool law;
  KOKKOS_FUNCTION void operator()(int b, int l) const {
    int const states = static_cast<int>(scores.extent(2));
    double sum = 0;
    for (int y = 0; y < states; ++y) {
      double const u = uniform53(StreamKey{7, static_cast<std::uint32_t>(y)}
                                     .draw(static_cast<std::uint64_t>(b), Role::ancestral, static_cast<std::uint32_t>(l))
                                     .event);
      // E exp(6u - 3) = sinh(3)/3: unnormalised, but summing to about 1 = alpha/(1-alpha) at t = 1/2
      double const o = 6 * u - 3 - std::log(states * std::sinh(3.0) / 3);
      scores(b, l, y) = static_cast<float>(law ? std::exp(o) : o);
      sum += std::exp(o);
    }
    if (law) {
      for (int y = 0; y < states; ++y) scores(b, l, y) = static_cast<float>(scores(b, l, y) / sum);
    }
  }
};

struct Case {
  char const* name;
  int batch, length, states;
  ScoreKind kind;
  char const* method = "euler";
  Interval interval{0.5, 0.46875};  // jump probability 1/16 on log-linear noise in the middle of a run
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Sum {
  Kokkos::View<float const*, MemorySpace> v;
  std::int64_t chunk;
  KOKKOS_FUNCTION void operator()(std::int64_t i, double& sum) const {
    std::int64_t const begin = i * chunk, end = std::min<std::int64_t>(begin + chunk, static_cast<std::int64_t>(v.extent(0)));
    float s = 0;
    float const* const p = v.data();
#pragma omp simd reduction(+ : s)
    for (std::int64_t k = begin; k < end; ++k) s += p[k];
    sum += static_cast<double>(s);
  }
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
                                 {1, 0}}};
  std::string json;
  auto add = [&](std::string const& name, double value) {
    char text[160];
    std::snprintf(text, sizeof text, "%s\"%s\": %.6g", json.empty() ? "" : ", ", name.c_str(), value);
    json += text;
  };
  for (auto const& c : cases) {
    if (!only.empty() && only.find(std::string(",") + c.name + ",") == std::string::npos) continue;
    Scores const scores(Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::perf::scores"),
                        static_cast<std::size_t>(c.batch), static_cast<std::size_t>(c.length), static_cast<std::size_t>(c.states));
    Kokkos::parallel_for("saltus::perf::fill", Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(exec, {0, 0}, {c.batch, c.length}),
                         Fill{scores, is_x0(c.kind)});
    auto process = Process::reverse(Generator::absorbing(c.states), NoiseSchedule::log_linear(),
                                    std::make_shared<StoredScores>(scores, c.kind));
    auto const integrator = make_integrator(c.method, process);
    Extents const extents{c.batch, c.length};
    process.reserve(extents, 1);
    CounterView const counters("saltus::perf::counters", integrator->reserve(process, extents));
    State const state{Tokens("saltus::perf::tokens", static_cast<std::size_t>(c.batch), static_cast<std::size_t>(c.length)),
                      Times("saltus::perf::time", static_cast<std::size_t>(c.batch)), {}, 0};
    StepTable const table(exec, process.noise(), TimeGrid::from_points({c.interval.from, c.interval.to}));
    double const sites = static_cast<double>(c.batch) * c.length;
    // Small cases: many steps a measurement, each from all masks, so that every site is active.
    int const inner = c.states > 1000 ? 1 : 200;
    std::vector<double> step_ns, sum_ns;
    Kokkos::View<float const*, MemorySpace> const flat(scores.data(), scores.size());
    int k = 0;
    for (int r = -2; r < repeats; ++r) {
      double seconds = 0;
      for (int i = 0; i < inner; ++i) {
        draw_prior(exec, process, state, 1);
        exec.fence("saltus::perf: before");
        Kokkos::Timer timer;
        integrator->advance(exec, process, state, table.step(0, k++), {1, 0}, counters);
        exec.fence("saltus::perf: after");
        seconds += timer.seconds();
      }
      Kokkos::Timer timer;
      double total = 0;
      std::int64_t const chunk = 65536;
      Kokkos::parallel_reduce("saltus::perf::sum", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(exec, 0, (static_cast<std::int64_t>(flat.size()) + chunk - 1) / chunk),
                              Sum{flat, chunk}, total);
      exec.fence("saltus::perf: after the sum");
      double const sum_seconds = timer.seconds();
      if (!std::isfinite(total)) return 1;
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
    Scores const scores(Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::perf::scores"), batch, length, states);
    Kokkos::deep_copy(scores, -10.0f);
    auto process = Process::reverse(Generator::absorbing(static_cast<int>(states)), NoiseSchedule::log_linear(),
                                    std::make_shared<StoredScores>(scores, ScoreKind::log_score));
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
