// SPDX-License-Identifier: BSD-3-Clause
// What a step of each method costs beside a single one-stage step, on stored scores: no network is evaluated. Methods and
// their single steps are timed by turns; prints a table of medians in ns a site and the ratio.
//   saltus_method_bench [--repeats N] [--threads N]
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

// A law of the clean token at each site; the same in both slots, in memory of their own.
class StoredLaw final : public ScoreModel {
 public:
  StoredLaw(Scores first, Scores second, bool masked, ScoreKind kind)
      : scores_{std::move(first), std::move(second)}, masked_(masked), kind_(kind) {}
  ModelInfo info() const override {
    int const states = static_cast<int>(scores_[0].extent(2));
    ModelInfo info;
    info.name = "stored";
    info.states = states;
    if (masked_) info.mask = states - 1;
    info.kind = kind_;
    return info;
  }
  void reserve(Extents, int) override {}
  Evaluation evaluate(ExecSpace const&, Query const&, int slot) override {
    Scores const& s = scores_[slot];
    return {ScalarType::f32, s.data(), static_cast<std::int64_t>(s.stride(0)), static_cast<std::int64_t>(s.stride(1)),
            static_cast<int>(s.extent(2)), kind_, is_x0(kind_)};
  }

 private:
  Scores scores_[2];
  bool masked_;
  ScoreKind kind_;
};

struct Fill {
  Scores scores;
  bool law;
  std::uint64_t seed;
  KOKKOS_FUNCTION void operator()(int b, int l) const {
    int const states = static_cast<int>(scores.extent(2));
    double sum = 0;
    for (int y = 0; y < states; ++y) {
      double const u = uniform53(StreamKey{7, static_cast<std::uint32_t>(y)}
                                     .draw(static_cast<std::uint64_t>(b), Role::ancestral, static_cast<std::uint32_t>(l))
                                     .event);
      // The slots differ a little, as evaluations at two stages do.
      double const v = uniform53(StreamKey{seed, static_cast<std::uint32_t>(y)}
                                     .draw(static_cast<std::uint64_t>(b), Role::prior, static_cast<std::uint32_t>(l))
                                     .event);
      double const o = 6 * u - 3 + 0.2 * v - std::log(states * std::sinh(3.0) / 3);
      scores(b, l, y) = static_cast<float>(law ? std::exp(o) : o);
      sum += std::exp(o);
    }
    for (int y = 0; law && y < states; ++y) scores(b, l, y) = static_cast<float>(scores(b, l, y) / sum);
  }
};

struct Case {
  char const* name;
  int batch, length, states;
  bool masked;
  ScoreKind kind;
};
struct Pair {
  char const *method, *single;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Seconds of `inner` steps from the prior.
class Timed {
 public:
  Timed(ExecSpace const& exec, Process& process, std::string const& method, State const& state)
      : exec_(exec), process_(process), state_(state), integrator_(make_integrator(method, process)),
        counters_("saltus::perf::counters", integrator_->reserve(process, {state.batch(), state.length()})),
        table_(exec, process, TimeGrid::from_points({0.5, 0.46875}), step_options(*integrator_, process)) {}

  double operator()(int inner) {
    double seconds = 0;
    for (int i = 0; i < inner; ++i) {
      draw_prior(exec_, process_, state_, 1);
      exec_.fence("saltus::perf: before");
      Kokkos::Timer timer;
      Step step = table_.step(0, k_++);
      step.remaining = 15;  // so that methods with token schedules reveal a like share
      integrator_->advance(exec_, process_, state_, step, {1, 0}, counters_);
      exec_.fence("saltus::perf: after");
      seconds += timer.seconds();
    }
    return seconds;
  }

 private:
  ExecSpace exec_;
  Process& process_;
  State state_;
  std::unique_ptr<Integrator> integrator_;
  CounterView counters_;
  StepTable table_;
  int k_ = 0;
};

void run(int repeats) {
  ExecSpace const exec;
  std::vector<Case> const cases{{"masked law, S=33", 64, 256, 33, true, ScoreKind::x0_leave_one_out},
                                {"masked law, S=50258", 1, 1024, 50258, true, ScoreKind::x0_leave_one_out},
                                {"masked log-scores, S=33", 64, 256, 33, true, ScoreKind::log_score},
                                {"uniform law, S=33", 64, 256, 33, false, ScoreKind::x0_leave_one_out}};
  std::vector<Pair> const pairs{{"tweedie_trapezoidal", "tweedie"},
                                {"theta_trapezoidal", "exponential"},
                                {"theta_rk2", "exponential"},
                                {"fixed_count", "tweedie"},
                                {"k_gillespie", "tweedie"},
                                {"top_k", "tweedie"},
                                {"flow_matching", "tweedie"}};
  for (auto const& c : cases) {
    auto const make = [&](std::uint64_t seed) {
      Scores const scores(Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::perf::scores"),
                          static_cast<std::size_t>(c.batch), static_cast<std::size_t>(c.length),
                          static_cast<std::size_t>(c.states));
      Kokkos::parallel_for("saltus::perf::fill",
                           Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(
                               exec, {0, 0}, {c.batch, c.length}),
                           Fill{scores, is_x0(c.kind), seed});
      return scores;
    };
    auto process = Process::reverse(c.masked ? Generator::absorbing(c.states) : Generator::uniform(c.states),
                                    NoiseSchedule::log_linear(),
                                    std::make_shared<StoredLaw>(make(1), make(2), c.masked, c.kind));
    process.reserve({c.batch, c.length}, 2);
    State const state{Tokens("saltus::perf::tokens", static_cast<std::size_t>(c.batch), static_cast<std::size_t>(c.length)),
                      Times("saltus::perf::time", static_cast<std::size_t>(c.batch)), {}, 0};
    double const sites = static_cast<double>(c.batch) * c.length;
    std::printf("\n%-22s %-22s %10s %10s %8s\n", c.name, "method", "ns/site", "single", "ratio");
    for (auto const& pair : pairs) {
      if (!make_integrator(pair.method)->refuses(process).empty()) continue;
      Timed method(exec, process, pair.method, state), single(exec, process, pair.single, state);
      int const inner = c.states > 1000 ? 1 : 50;
      std::vector<double> first, second, ratio;
      for (int r = -2; r < repeats; ++r) {
        double const a = method(inner), b = single(inner);
        if (r < 0) continue;
        first.push_back(a * 1e9 / sites / inner);
        second.push_back(b * 1e9 / sites / inner);
        ratio.push_back(a / b);
      }
      std::printf("%-22s %-22s %10.2f %10.2f %8.2f\n", "", pair.method, median(first), median(second), median(ratio));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  int threads = 2, repeats = 15;
  for (int i = 1; i + 1 < argc; ++i) {
    if (!std::strcmp(argv[i], "--threads")) threads = std::atoi(argv[i + 1]);
    if (!std::strcmp(argv[i], "--repeats")) repeats = std::atoi(argv[i + 1]);
  }
  Kokkos::ScopeGuard const guard(Kokkos::InitializationSettings().set_num_threads(threads).set_disable_warnings(true));
  run(repeats);
  return 0;
}
