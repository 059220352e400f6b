// SPDX-License-Identifier: BSD-3-Clause Transitions a second of exact laws: exact_law_bench [CASE [METHOD]] prints for
// each case the transitions counted beforehand and the time that the law at the end (output_law) and the whole report
// (law_report) take, by the clock and of all cores.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/models/markov_chain.hpp>

using namespace saltus;

namespace {

void measure(char const* what, bool masked, int states, int length, std::string const& method, int steps) {
  ExecSpace const exec;
  std::vector<double> transitions;
  for (int x = 0; x < states; ++x) {
    for (int y = 0; y < states; ++y) transitions.push_back((x == y ? 0.6 : 0.0) + 0.4 / states);
  }
  MarkovChain const chain(length, states, std::vector<double>(static_cast<std::size_t>(states), 1.0 / states),
                          transitions);
  Generator const generator = masked ? Generator::absorbing(states + 1) : Generator::uniform(states);
  Process process = Process::reverse(generator, NoiseSchedule::log_linear(), chain.denoiser(generator));
  auto const integrator = make_integrator(method, process);
  StateSpace const space(generator.states(), length);
  LawPlan const plan{
      .grid = TimeGrid::uniform(1, masked ? 0 : 0.01, steps), .data = enumerate(chain), .forced_last = masked};
  double const count = count_transitions(exec, process, *integrator, space, plan);
  auto const timed = [&](char const* name, auto const& action) {
    Kokkos::Timer const timer;
    std::clock_t const start = std::clock();
    action();
    double const wall = timer.seconds(), cpu = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    std::printf("  %s %.3f s (%.3g/s), %.3g a second of a core", name, wall, count / wall, count / cpu);
  };
  std::printf("%-24s %-12s %9.3g transitions:", what, method.c_str(), count);
  timed("law", [&] { output_law(exec, process, *integrator, space, prior_law(process, space), plan.grid, masked); });
  timed("report", [&] { law_report(exec, process, *integrator, space, plan); });
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const kokkos(argc, argv);
  struct Case {
    char const* name;
    bool masked;
    int states, length;
    int steps;
  };
  std::vector<Case> const cases{{"masked, V = 4, L = 8", true, 4, 8, 8},
                                {"masked, V = 9, L = 6", true, 9, 6, 8},
                                {"masked, V = 2, L = 12", true, 2, 12, 4},
                                {"masked, V = 30, L = 4", true, 30, 4, 8},
                                {"uniform, S = 4, L = 7", false, 4, 7, 8},
                                {"uniform, S = 10, L = 4", false, 10, 4, 8}};
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (argc > 1 && std::atoi(argv[1]) != static_cast<int>(i)) continue;
    Case const& c = cases[i];
    measure(c.name, c.masked, c.states, c.length, argc > 2 ? argv[2] : "tweedie", c.steps);
  }
}
