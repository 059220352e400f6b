// SPDX-License-Identifier: BSD-3-Clause
// Common random numbers: what coupled runs share, and that each of them alone has the law of its method.
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/coupled.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/table.hpp>

#include "reference/harness.hpp"
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace reference;
using namespace statistics;

// The tokens after each of the steps, [steps][rows][length].
std::vector<Rows> run(Process& process, std::string const& method, TimeGrid const& grid, int rows, int length,
                      CoupledSeeds seeds, std::vector<double> const& phi = {}) {
  ExecSpace const exec;
  CoupledStepper stepper(method, process);
  process.reserve({rows, length}, 1);
  stepper.reserve(process, {rows, length}, static_cast<std::size_t>(rows));
  StepOptions options = step_options(stepper.integrator(), process);
  options.phi = phi;
  StepTable const table(exec, process, grid, options);
  State const state{Tokens("test::tokens", static_cast<std::size_t>(rows), static_cast<std::size_t>(length)),
                    Times("test::time", static_cast<std::size_t>(rows)), {}, 0};
  Kokkos::deep_copy(state.time, grid.point(0));
  draw_prior(exec, process, state, 11);
  stepper.start(exec, seeds);
  std::vector<Rows> path;
  for (int k = 0; k < table.steps(); ++k) {
    process.refresh(exec, state, 0);
    stepper.move(exec, process, state, table.step(k));
    exec.fence();
    path.push_back(to_rows(state.tokens));
  }
  EXPECT_EQ(stepper.bad_sites(exec), 0);
  auto const time = Kokkos::create_mirror_view_and_copy(HostSpace(), state.time);
  EXPECT_EQ(time(0), grid.point(grid.steps()));
  return path;
}

Rows masks_of(Rows rows, token_t mask) {
  for (auto& row : rows) {
    for (auto& x : row) x = x == mask ? 1 : 0;
  }
  return rows;
}
double share_equal(Rows const& a, Rows const& b) {
  int equal = 0, all = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t l = 0; l < a[i].size(); ++l, ++all) equal += a[i][l] == b[i][l];
  }
  return static_cast<double>(equal) / all;
}

TEST(Coupled, MasksAgreeAtCommonTimesWhateverTheSteps) {
  int const length = 12, rows = 200, common = 4;
  auto const law = MarkovChain::countdown(4, length);
  Generator const generator = Generator::absorbing(5);
  for (NoiseSchedule const& noise : {NoiseSchedule::log_linear(), NoiseSchedule::cosine2(), NoiseSchedule::constant(1, 3)}) {
    auto process = Process::reverse(generator, noise, law.denoiser(generator));
    for (int const steps : {4, 8, 12, 64}) {
      auto const at = [&](Coupling coupling, int which, int n) {
        auto const path = run(process, "tweedie", TimeGrid::uniform(noise.end(), 0.01, n), rows, length, coupled_seeds(coupling, 5, which));
        std::vector<Rows> points;
        for (int k = 1; k <= common; ++k) points.push_back(path[static_cast<std::size_t>(k * n / common - 1)]);
        return points;
      };
      auto const student = at(Coupling::full, 0, common), teacher = at(Coupling::full, 1, steps), same_masks = at(Coupling::masks, 1, steps),
                 independent = at(Coupling::independent, 1, steps);
      for (std::size_t k = 0; k < common; ++k) {
        EXPECT_EQ(masks_of(student[k], 4), masks_of(teacher[k], 4));
        EXPECT_EQ(masks_of(student[k], 4), masks_of(same_masks[k], 4));
      }
      EXPECT_LT(share_equal(masks_of(student[0], 4), masks_of(independent[0], 4)), 0.99);
      if (steps == common) {
        EXPECT_EQ(student, teacher);
      }
      // Where to is shared by the first coupling only.
      EXPECT_GT(share_equal(student.back(), teacher.back()), share_equal(student.back(), same_masks.back()) + 0.1);
    }
  }
}

// Sites jump more than once, and to tokens whose law changes.
TEST(Coupled, EachRunHasTheLawOfItsMethod) {
  int const rows = 150000, length = 2;
  TableLaw const law = TableLaw::neighbours(length, 3, 4);
  NoiseSchedule const noise = NoiseSchedule::constant(1, 3);
  for (Generator const& generator : {Generator::absorbing(4), Generator::uniform(3)}) {
    auto process = Process::reverse(generator, noise, law.denoiser(generator));
    StateSpace const space(generator.states(), length);
    for (char const* const method : {"euler", "exponential", "tweedie"}) {
      TimeGrid const grid = TimeGrid::uniform(3, 0.1, 5);
      std::vector<double> const phi{0.9, 1.2, 1.1, 0.8, 1.3};
      auto const expected = output_law(ExecSpace(), process, *make_integrator(method), space, prior_law(process, space), grid, false, phi);
      auto const samples = run(process, method, grid, rows, length, coupled_seeds(Coupling::full, 3, 0), phi).back();
      std::vector<std::int64_t> counts(space.size(), 0);
      for (auto const& x : samples) ++counts[space.index(x.data())];
      EXPECT_TRUE(accepts(g_test(counts, expected))) << method;
      ASSERT_GT(power(expected, five_percent_off(expected), rows), 1 - missed_alarm);
      EXPECT_TRUE(rejects(g_test(counts, five_percent_off(expected)))) << method;
    }
  }
}

TEST(Coupled, OtherMethodsAreRefused) {
  auto const law = MarkovChain::countdown(4, 4);
  Generator const generator = Generator::absorbing(5);
  auto process = Process::reverse(generator, NoiseSchedule::log_linear(), law.denoiser(generator));
  for (char const* const name : {"theta_rk2", "fixed_count", "first_hitting", "tweedie:categorical=gumbel32"}) {
    EXPECT_NE(message_of<UserError>([&] { CoupledStepper(name, process); }).find(name), std::string::npos);
  }
  EXPECT_NE(message_of<UserError>([] { parse_coupling("ful"); }).find("full"), std::string::npos);
}

}  // namespace
}  // namespace saltus
