// SPDX-License-Identifier: BSD-3-Clause
// Steps of one case, as many as asked for, on one thread: check_instructions.py counts what they execute.
//   instruction_bench CASE STEPS;  without arguments: the names of the cases
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "timing.hpp"

namespace {

using namespace saltus;

struct Case {
  char const* name;
  int batch, length, states;
  ScoreKind kind;
  char const* method;
  bool masked = true;
  ScalarType type = ScalarType::f32;
};
constexpr Case cases[] = {
    {"euler_log_scores_S50258", 1, 16, 50258, ScoreKind::log_score, "euler"},
    {"euler_log_scores_S50258_bf16", 1, 16, 50258, ScoreKind::log_score, "euler", true, ScalarType::bf16},
    {"euler_log_scores_S33", 16, 64, 33, ScoreKind::log_score, "euler"},
    {"euler_log_scores_S4", 16, 64, 4 + 1, ScoreKind::log_score, "euler"},
    {"tweedie_law_S50258", 1, 16, 50258, ScoreKind::x0_leave_one_out, "tweedie"},
    {"tweedie_law_S33", 16, 64, 33, ScoreKind::x0_leave_one_out, "tweedie"},
    {"tweedie_law_S4", 16, 64, 5, ScoreKind::x0_leave_one_out, "tweedie"},
    {"tweedie_uniform_S33", 16, 64, 33, ScoreKind::x0_leave_one_out, "tweedie", false},
    {"fixed_count_law_S33", 16, 64, 33, ScoreKind::x0_leave_one_out, "fixed_count"},
    {"tweedie_trapezoidal_law_S33", 16, 64, 33, ScoreKind::x0_leave_one_out, "tweedie_trapezoidal"},
};

// Cheap to make: a few different numbers around 1/S, rows that sum to about 1.
StoredScores::Scores scores_of(Case const& c) {
  StoredScores::Scores const scores("scores", static_cast<std::size_t>(c.batch), static_cast<std::size_t>(c.length),
                                    static_cast<std::size_t>(c.states));
  auto const host = Kokkos::create_mirror_view(scores);
  float values[8];
  for (int i = 0; i < 8; ++i) {
    float const p = (0.65f + 0.1f * static_cast<float>(i)) / static_cast<float>(c.states);
    values[i] = is_x0(c.kind) ? p : std::log(p);
  }
  for (std::size_t i = 0; i < host.size(); ++i) host.data()[i] = values[i & 7];
  Kokkos::deep_copy(scores, host);
  return scores;
}

int run(Case const& c, int steps) {
  ExecSpace const exec;
  auto const scores = scores_of(c);
  auto process = Process::reverse(c.masked ? Generator::absorbing(c.states) : Generator::uniform(c.states), NoiseSchedule::log_linear(),
                                  std::make_shared<StoredScores>(std::vector{scores, scores}, c.kind, c.masked, c.type));
  timing::TimedStep step(exec, process, c.method, {c.batch, c.length}, {0.5, 0.46875});
  step(steps);
  std::printf("%d\n", c.batch * c.length);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_num_threads(1).set_disable_warnings(true));
  for (auto const& c : cases) {
    if (argc < 3) std::printf("%s\n", c.name);
    if (argc >= 3 && !std::strcmp(argv[1], c.name)) return run(c, std::atoi(argv[2]));
  }
  return argc < 3 ? 0 : 2;
}
