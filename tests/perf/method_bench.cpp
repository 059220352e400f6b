// SPDX-License-Identifier: BSD-3-Clause
// What a step of each method costs beside a single one-stage step, on stored scores: no network is evaluated. Methods and
// their single steps are timed by turns; prints a table of medians in ns a site and the ratio.
//   saltus_method_bench [--repeats N] [--threads N]
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
  bool masked;
  ScoreKind kind;
};
struct Pair {
  char const *method, *single;
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
    auto const make = [&](std::uint64_t seed) { return scores_like_a_network(exec, c.batch, c.length, c.states, c.kind, seed); };
    auto process = Process::reverse(c.masked ? Generator::absorbing(c.states) : Generator::uniform(c.states),
                                    NoiseSchedule::log_linear(),
                                    std::make_shared<StoredScores>(std::vector{make(1), make(2)}, c.kind, c.masked));
    Interval const interval{0.5, 0.46875};
    Extents const extents{c.batch, c.length};
    double const sites = static_cast<double>(c.batch) * c.length;
    std::printf("\n%-22s %-22s %10s %10s %8s\n", c.name, "method", "ns/site", "single", "ratio");
    for (auto const& pair : pairs) {
      if (!make_integrator(pair.method)->refuses(process).empty()) continue;
      timing::TimedStep method(exec, process, pair.method, extents, interval), single(exec, process, pair.single, extents, interval);
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
