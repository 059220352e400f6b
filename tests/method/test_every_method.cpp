// SPDX-License-Identifier: BSD-3-Clause
// What holds for every method, and for every corrector around one.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/table.hpp>

#include "reference/harness.hpp"
#include "reference/stored_scores.hpp"
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace reference;
using namespace statistics;

// The registered methods, those with correctors, and parameters that choose other kernels.
std::vector<std::string> methods() {
  std::vector<std::string> all = integrator_names();
  for (auto const& corrector : corrector_names()) all.push_back("tweedie+" + corrector);
  for (std::string const name :
       {"theta_rk2:repair=own,rule=reject", "theta_trapezoidal:rule=reject", "tweedie_trapezoidal:counts=fixed", "top_k:temperature=0.5",
        "semi_autoregressive:order=random", "tweedie:categorical=gumbel32", "adaptive:method=flow_matching",
        "tweedie+remasking:variant=confidence", "tweedie+remasking:variant=loop", "theta_trapezoidal+forward_backward",
        "fixed_count+informed:k=3", "tweedie+remasking:eta=0.5+forward_backward"})
    all.push_back(name);
  return all;
}
class EveryMethod : public testing::TestWithParam<std::string> {};

// Sites that a template fixes keep their tokens, and the others move.
TEST_P(EveryMethod, KeepsFixedSites) {
  TableLaw const law = TableLaw::neighbours(4, 3, 2);
  for (Generator const& generator : {Generator::absorbing(4), Generator::uniform(3), Generator::gaussian_target(3, 1.5, 2)}) {
    Process process = Process::reverse(generator, NoiseSchedule::cosine(), law.denoiser(generator, generator.mask().has_value()));
    auto const integrator = make_integrator(GetParam());
    if (!integrator->refuses(process).empty()) continue;
    SamplePlan plan = make_plan(process, *integrator, 4, 4, 0.05);
    plan.samples = 40;
    plan.fixed = Template{{1, -1, 2, -1}, {1, 0, 1, 0}};
    HostTokens const tokens = sample(ExecSpace(), process, *integrator, plan);
    bool moved = false;
    for (std::size_t b = 0; b < 40; ++b) {
      EXPECT_EQ(tokens(b, 0), 1) << generator.name();
      EXPECT_EQ(tokens(b, 2), 2) << generator.name();
      for (std::size_t const l : {std::size_t{1}, std::size_t{3}}) {
        EXPECT_GE(tokens(b, l), 0) << generator.name();
        EXPECT_LT(tokens(b, l), 3) << generator.name();
        moved |= tokens(b, l) != tokens(0, l);
      }
    }
    EXPECT_TRUE(moved) << generator.name();
  }
}

// Scores that are no numbers, and masked rows without a target, end a run with an error that names the site.
TEST_P(EveryMethod, BadScoresAreErrors) {
  for (bool const masked : {true, false}) {
    for (double const bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 0.0}) {
      if (!masked && bad == 0) continue;  // then the site stays
      std::vector<std::vector<double>> const rows{{0.5, 0.25, 0.25}, {bad, bad, 0}, {0.25, 0.25, 0.5}};
      Process process = Process::reverse(masked ? Generator::absorbing(3) : Generator::uniform(3), NoiseSchedule::log_linear(),
                                         std::make_shared<StoredScores<double>>(
                                             ScoreKind::x0_leave_one_out, masked ? std::optional<token_t>(2) : std::nullopt, rows));
      auto const integrator = make_integrator(GetParam());
      if (!integrator->refuses(process).empty()) continue;
      SamplePlan plan = make_plan(process, *integrator, 4, 3, 0.05);
      plan.samples = 3;
      EXPECT_TRUE(says(message_of<NumericalError>([&] { sample(ExecSpace(), process, *integrator, plan); }),
                       {"stored", "site 1"}))
          << (masked ? "masked, " : "uniform, ") << bad;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Method, EveryMethod, testing::ValuesIn(methods()), [](auto const& method) {
  std::string name = method.param;
  std::replace_if(name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

// Second stages on sequences of several tiles: every site has the same law, which is that of a sequence of one site.
TEST(SecondStages, TakeEverySiteOfALongSequence) {
  constexpr int length = 150, samples = 2000, states = 4;
  std::vector<std::vector<double>> const rows{{0.5, 0.3, 0.2, 0.4}};
  for (std::string const method : {"theta_trapezoidal", "theta_rk2:repair=own", "tweedie_trapezoidal"}) {
    Process process = Process::reverse(Generator::absorbing(states), NoiseSchedule::cosine(),
                                       std::make_shared<StoredScores<float>>(ScoreKind::score, token_t{3}, rows));
    auto const integrator = make_integrator(method);
    SamplePlan const plan{.grid = TimeGrid::from_points({0.9, 0.5}), .seed = 31, .samples = samples, .length = length, .batch = 700};
    HostTokens const all = sample(ExecSpace(), process, *integrator, plan);
    std::vector<std::int64_t> first(states, 0), last(states, 0), middle(states, 0);
    for (std::size_t b = 0; b < samples; ++b) {
      for (std::size_t l = 0; l < length; ++l)
        ++(l < 64 ? first : l < 128 ? middle : last)[static_cast<std::size_t>(all(b, l))];
    }
    // the law of one site alone (test_two_stage.cpp holds it against the formulas)
    StateSpace const space(states, 1);
    std::vector<double> const law =
        output_law(ExecSpace(), process, *integrator, space, point_law(space, {3}), TimeGrid::from_points({0.9, 0.5}));
    for (auto const& counts : {first, middle, last}) {
      EXPECT_TRUE(accepts(g_test(counts, law))) << method;
      EXPECT_TRUE(rejects(g_test(counts, five_percent_off(law)))) << method;
    }
  }
}

}  // namespace
}  // namespace saltus
