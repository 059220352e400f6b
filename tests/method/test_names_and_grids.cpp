// SPDX-License-Identifier: BSD-3-Clause
// How methods with correctors are named, and the grids that runs may take.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numbers>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/time_grid.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/table.hpp>

#include "reference/harness.hpp"
#include "reference/messages.hpp"
#include "reference/stored_scores.hpp"

namespace saltus {
namespace {

using reference::message_of;
using reference::says;

TEST(Names, ListsAreSplitAtMethods) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(split_integrators("tweedie"), Names{"tweedie"});
  EXPECT_EQ(split_integrators("tweedie,euler"), (Names{"tweedie", "euler"}));
  EXPECT_EQ(split_integrators("top_k:score=margin,temperature=0.5,tweedie"),
            (Names{"top_k:score=margin,temperature=0.5", "tweedie"}));
  EXPECT_EQ(split_integrators("tweedie+remasking:variant=cap,eta=0.02,euler:categorical=gumbel32,top_k"),
            (Names{"tweedie+remasking:variant=cap,eta=0.02", "euler:categorical=gumbel32", "top_k"}));
  EXPECT_EQ(split_integrators("theta_rk2:theta=0.3,repair=own+informed:k=2,steps=3,tweedie+forward_backward"),
            (Names{"theta_rk2:theta=0.3,repair=own+informed:k=2,steps=3", "tweedie+forward_backward"}));
  // what is neither a method nor a parameter stays an item, for make_integrator() to refuse
  EXPECT_EQ(split_integrators("tweedie,twedie"), (Names{"tweedie", "twedie"}));
  EXPECT_EQ(split_integrators(""), Names{""});
}

TEST(Names, CorrectorsNest) {
  auto const nested = make_integrator("tweedie+remasking:eta=1e-2+informed:k=2,steps=3+forward_backward:steps=2");
  EXPECT_EQ(nested->info().name, "tweedie+remasking+informed+forward_backward");
  EXPECT_EQ(nested->info().evaluations, 1 + 0 + 3 + 2);
  EXPECT_EQ(make_integrator("theta_trapezoidal+forward_backward")->info().evaluations, 3);
  EXPECT_EQ(make_integrator("theta_trapezoidal+forward_backward")->info().slots, 2);
  // laws by site: of what is wrapped and of what is added, if both have one, one after the other
  EXPECT_TRUE(make_integrator("tweedie+remasking")->info().has_site_law);
  EXPECT_TRUE(make_integrator("tweedie+remasking+forward_backward")->info().has_site_law);
  EXPECT_FALSE(make_integrator("tweedie+forward_backward+remasking")->info().has_site_law);
  EXPECT_FALSE(make_integrator("theta_trapezoidal+remasking")->info().has_site_law);
  EXPECT_FALSE(make_integrator("top_k+forward_backward")->info().has_site_law);
  // what ignores factors still does
  EXPECT_TRUE(make_integrator("euler+remasking")->info().takes_phi);
  for (auto const* const name : {"top_k+remasking", "fixed_count:counts=uniform+remasking", "k_gillespie+informed"})
    EXPECT_FALSE(make_integrator(name)->info().takes_phi) << name;
  // exponents are no correctors
  EXPECT_EQ(make_integrator("tweedie+forward_backward:scale=1e+0")->info().name, "tweedie+forward_backward");
  EXPECT_EQ(make_integrator("top_k:temperature=1e+3")->info().name, "top_k");
}

TEST(Names, ErrorsSayWhatWouldDo) {
  auto const error = [](std::string const& name) { return message_of<UserError>([&] { make_integrator(name); }); };
  EXPECT_TRUE(says(error("tweedie+remaskin"), {"corrector", "'remaskin'", "remasking"}));
  EXPECT_TRUE(says(error("twedie+remasking"), {"integrator", "'twedie'", "tweedie"}));
  EXPECT_TRUE(says(error("tweedie+informed:kk=2"), {"informed", "kk", "k"}));
  EXPECT_TRUE(says(error("tweedie+informed:k=0"), {"informed", "k"}));
  EXPECT_TRUE(says(error("tweedie+informed:temperature=0"), {"informed", "temperature"}));
  EXPECT_TRUE(says(error("tweedie+remasking:variant=capped"), {"capped", "cap"}));
  EXPECT_TRUE(says(error("tweedie+remasking:eta=1.5"), {"eta", "1.5"}));
  EXPECT_TRUE(says(error("tweedie+remasking:variant=loop,on=0.1,off=0.2"), {"off", "on"}));
  EXPECT_TRUE(says(error("tweedie+remasking:on=0.5"), {"'on' is for variant=loop"}));
  EXPECT_TRUE(says(error("tweedie+remasking:variant=confidence,eta=0.1"), {"'eta' is not for variant=confidence"}));
  EXPECT_TRUE(says(error("tweedie+forward_backward:scale=0"), {"scale"}));
  for (std::string const name : {"adaptive", "entropy_bound", "gillespie", "uniformization"}) {
    EXPECT_TRUE(says(error(name + "+forward_backward"), {"forward_backward", "'" + name + "'", "chooses its own"}));
  }
  EXPECT_TRUE(says(error("theta_rk2:theta=0"), {"theta"}));
  EXPECT_TRUE(says(error("tweedie_trapezoidal:split=1"), {"split"}));
  EXPECT_TRUE(says(error("tweedie_trapezoidal:counts=bin"), {"counts", "binomial"}));
  EXPECT_TRUE(says(error("top_k:score=sure"), {"sure", "confidence", "entropy", "margin"}));
  EXPECT_TRUE(says(error("top_k:counts=even"), {"even", "share", "uniform"}));
  EXPECT_TRUE(says(error("semi_autoregressive:block=0"), {"block"}));
  EXPECT_TRUE(says(error("semi_autoregressive:order=left"), {"left", "random"}));
  EXPECT_TRUE(says(error("entropy_bound:gamma=-1"), {"gamma"}));
  EXPECT_TRUE(says(error("adaptive:method=theta_rk2"), {"method", "theta_rk2", "tweedie"}));
  EXPECT_TRUE(says(error("adaptive:error=1.5"), {"adaptive", "error from 0 to 1"}));
  EXPECT_TRUE(says(error("tweedie:categorical=gumbel"), {"gumbel", "gumbel32", "gumbel_eps"}));
}

// A process that a method cannot take is refused by name, with the methods that would do.
TEST(Names, RefusalsNameWhatWouldDo) {
  TableLaw const law = TableLaw::neighbours(2, 3, 1);
  auto const noise = NoiseSchedule::cosine();
  Process const uniform = Process::reverse(Generator::uniform(3), noise, law.denoiser(Generator::uniform(3)));
  Process const masked = Process::reverse(Generator::absorbing(4), noise, law.denoiser(Generator::absorbing(4)));
  for (std::string const name : {"fixed_count", "k_gillespie", "top_k", "entropy_bound", "semi_autoregressive",
                                 "tweedie_trapezoidal", "tweedie+remasking", "tweedie+informed"}) {
    EXPECT_TRUE(says(message_of<UserError>([&] { make_integrator(name, uniform); }), {name, "masked", "tweedie"})) << name;
  }
  EXPECT_TRUE(says(message_of<UserError>([&] { make_integrator("tweedie+informed", masked); }), {"conditionals", "revealed"}));
  EXPECT_NO_THROW(make_integrator("tweedie+remasking", masked));
  Process const forward = Process::forward(Generator::uniform(3), noise);
  for (std::string const name : {"flow_matching", "adaptive", "theta_rk2", "theta_trapezoidal", "tweedie+forward_backward",
                                 "tweedie:categorical=gumbel32"}) {
    EXPECT_TRUE(says(message_of<UserError>([&] { make_integrator(name, forward); }), {"reverse", "these would do"})) << name;
  }
}

// -------------------------------------------------------------------------------------------------------------- grids

TEST(Grids, CosineIsShortestWhereItStarts) {
  TimeGrid const grid = TimeGrid::cosine(2, 0.5, 8);
  ASSERT_EQ(grid.steps(), 8);
  EXPECT_EQ(grid.point(0), 2);
  EXPECT_EQ(grid.point(8), 0.5);
  for (int k = 0; k <= 8; ++k)
    EXPECT_NEAR(grid.point(k), 0.5 + 1.5 * std::cos(std::numbers::pi * k / 16), 1e-15);
  for (int k = 1; k < 8; ++k)
    EXPECT_GT(grid.point(k) - grid.point(k + 1), grid.point(k - 1) - grid.point(k));
}

TEST(Grids, NoiseGridsGainEqualSharesOfAlpha) {
  for (auto const& noise : {NoiseSchedule::log_linear(), NoiseSchedule::cosine(), NoiseSchedule::geometric(),
                            NoiseSchedule::constant(2, 3), NoiseSchedule::linear()}) {
    TimeGrid const grid = noise_grid(noise, noise.end(), 0.01, 7);
    EXPECT_EQ(grid.point(0), noise.end());
    EXPECT_EQ(grid.point(7), 0.01);
    double const all = noise.lost(noise.end()) - noise.lost(0.01);
    for (int k = 0; k < 7; ++k)
      EXPECT_NEAR(noise.lost(grid.point(k)) - noise.lost(grid.point(k + 1)), all / 7, 1e-12) << noise.describe();
  }
}

// Methods that reveal shares of fixed count reveal just the blocks: each count is a whole number.
TEST(Grids, FixedCountRevealsTheBlocks) {
  struct Counts final : StepObserver {
    int cadence() const override { return 1; }
    void observe(ExecSpace const& exec, StepEvent const&, State const& state) override {
      exec.fence();
      seen.emplace_back();
      for (auto const& row : reference::to_rows(state.tokens)) {
        seen.back().push_back(static_cast<int>(std::count_if(row.begin(), row.end(), [](token_t x) { return x != 2; })));
      }
    }
    std::vector<std::vector<int>> seen;
  };
  std::vector<std::vector<int>> const plans{{1, 2, 2, 3}, {3, 5}, {8}, {1, 1, 1, 1, 1, 1, 1, 1}, {37, 1, 100, 12}};
  for (auto const& noise : {NoiseSchedule::log_linear(), NoiseSchedule::cosine(), NoiseSchedule::geometric(),
                            NoiseSchedule::linear(), NoiseSchedule::constant(2, 3)}) {
    for (auto const& sizes : plans) {
      int length = 0;
      for (int const size : sizes) length += size;
      Process process = Process::reverse(Generator::absorbing(3), noise,
                                         std::make_shared<reference::StoredScores<double>>(
                                             ScoreKind::x0_leave_in, token_t{2}, std::vector<std::vector<double>>{{0.5, 0.5, 0}}));
      TimeGrid const grid = block_grid(noise, noise.end(), sizes);
      EXPECT_EQ(grid.point(0), noise.end());
      EXPECT_EQ(grid.point(grid.steps()), 0);
      auto const integrator = make_integrator("fixed_count");
      SamplePlan const plan{.grid = grid, .seed = 4, .samples = 20, .length = length, .forced_last = true};
      Counts counts;
      StepObserver* observers[] = {&counts};
      sample(ExecSpace(), process, *integrator, plan, [](std::uint64_t, HostTokens const&) {}, observers);
      ASSERT_EQ(counts.seen.size(), sizes.size());
      int revealed = 0;
      for (std::size_t k = 0; k < sizes.size(); ++k) {
        revealed += sizes[k];
        for (int const n : counts.seen[k]) EXPECT_EQ(n, revealed) << noise.describe() << ", block " << k;
      }
    }
  }
  EXPECT_TRUE(says(message_of<UserError>([] { block_grid(NoiseSchedule::cosine(), 1, {2, 0}); }), {"at least 1"}));
  EXPECT_TRUE(says(message_of<UserError>([] { block_grid(NoiseSchedule::geometric(0.1, 1), 1, {19, 1}); }),
                   {"geometric", "1 of 20 sites"}));
  EXPECT_TRUE(says(message_of<UserError>([] { block_grid(NoiseSchedule::cosine(), 1, {}); }), {"at least 1 block"}));
}

struct GridFile {
  std::string path = (std::filesystem::temp_directory_path() / "saltus_grid_of_a_test.txt").string();
  explicit GridFile(std::string const& text) { std::ofstream(path) << text; }
  ~GridFile() { std::filesystem::remove(path); }
};

TEST(Grids, AreMadeByNameOrFromAFile) {
  auto const noise = NoiseSchedule::cosine();
  auto const make = [&](std::string const& name) { return make_grid(name, noise, 1, 0, 4); };
  EXPECT_EQ(make("uniform").point(1), 0.75);
  EXPECT_EQ(make("cosine").point(2), TimeGrid::cosine(1, 0, 4).point(2));
  EXPECT_EQ(make("noise").point(2), noise_grid(noise, 1, 0, 4).point(2));
  EXPECT_TRUE(says(message_of<UserError>([&] { make("cosin"); }), {"grid", "cosine", "file"}));
  {
    GridFile const file("1\n0.5\n0.25\n0.125\n0\n\n");
    TimeGrid const grid = make(file.path);
    EXPECT_EQ(grid.steps(), 4);
    EXPECT_EQ(grid.point(3), 0.125);
    // a file brings its own number of steps, whatever was asked for
    Process const process = Process::reverse(Generator::absorbing(3), noise,
                                             std::make_shared<reference::StoredScores<double>>(
                                                 ScoreKind::x0_leave_in, token_t{2}, std::vector<std::vector<double>>{{1, 1, 0}}));
    for (int const steps : {1, 2, 9}) {
      EXPECT_EQ(make_plan(process, *make_integrator("tweedie"), steps, 3, 1e-5, file.path).grid.steps(), 4) << steps;
    }
    EXPECT_EQ(make_plan(process, *make_integrator("entropy_bound"), 9, 3, 1e-5, file.path).grid.steps(), 1);
  }
  auto const error = [&](std::string const& text) {
    GridFile const file(text);
    return message_of<UserError>([&] { make(file.path); });
  };
  EXPECT_TRUE(says(error("1\n0.5\nhalf\n0\n"), {"number", "2"}));
  EXPECT_TRUE(says(error("1\n0.5\n0.5\n0\n"), {"decreasing", "0.5"}));
  EXPECT_TRUE(says(error("0.9\n0.5\n0\n"), {"from 1", "0.9"}));
  EXPECT_TRUE(says(error("1\n0.5\n0.1\n"), {"to 0", "0.1"}));
  EXPECT_TRUE(says(error("0\n0.5\n1\n"), {"from"}));
  EXPECT_TRUE(says(error("1\n"), {"2 points"}));
  EXPECT_TRUE(says(error(""), {"2 points"}));
  EXPECT_TRUE(says(error("1\n-0.5\n"), {"at least 0"}));
}

}  // namespace
}  // namespace saltus
