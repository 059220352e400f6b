// SPDX-License-Identifier: BSD-3-Clause
// A§13.12: a model without a time input needs no new evaluation where no site of the sequence has changed.
#include <cmath>
#include <memory>

#include <gtest/gtest.h>

#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/product.hpp>

namespace saltus {
namespace {

constexpr int length = 1024;

// Counts the steps in which a row changed: the evaluations that a cache would leave.
class Changes final : public StepObserver {
 public:
  void observe(ExecSpace const& exec, StepEvent const&, State const& state) override {
    auto const now = Kokkos::create_mirror_view_and_copy(HostSpace(), state.tokens);
    exec.fence();
    if (before_.extent(0) != now.extent(0)) before_ = HostTokens("before", now.extent(0), now.extent(1));
    for (std::size_t b = 0; b < now.extent(0); ++b) {
      bool changed = false;
      for (std::size_t l = 0; l < now.extent(1); ++l) changed |= now(b, l) != before_(b, l) && now(b, l) != mask;
      changes += changed;
    }
    Kokkos::deep_copy(before_, now);
  }
  static constexpr token_t mask = 2;
  std::int64_t changes = 0;

 private:
  HostTokens before_;
};

TEST(CachedEvaluations, TheirNumberIsThatOfTheReference) {
  ProductLaw const law(length, 2, std::vector<double>(2 * length, 0.5));
  Generator const q = Generator::absorbing(3);
  struct Expected {
    int steps;
    double evaluations;
  };
  for (auto const& [steps, expected] : {Expected{8, 8.0}, Expected{64, 64.0}, Expected{1024, 647.5}, Expected{4096, 906.1}}) {
    // sum_k [1 - (1 - (alpha_{k+1} - alpha_k))^L], linear noise
    NoiseSchedule const noise = NoiseSchedule::linear();
    TimeGrid const grid = TimeGrid::uniform(1, 0, steps);
    double sum = 0, variance = 0;
    for (int k = 0; k < steps; ++k) {
      double const reveal = noise.alpha(grid.point(k + 1)) - noise.alpha(grid.point(k));
      double const changed = 1 - std::pow(1 - reveal, length);
      sum += changed;
      variance += changed * (1 - changed);
    }
    EXPECT_NEAR(sum, expected, 0.05 + 1e-9) << steps;
    // and the sampler's own
    Process process = Process::reverse(q, noise, law.denoiser(q));
    auto const tweedie = make_integrator("tweedie", process);
    SamplePlan plan = make_plan(process, *tweedie, steps, length);
    constexpr int samples = 16;
    plan.samples = samples;
    plan.batch = samples;
    Changes changes;
    StepObserver* const observers[] = {&changes};
    sample(ExecSpace(), process, *tweedie, plan, [](std::uint64_t, HostTokens const&) {}, observers);
    // Steps of a sample share its sites, which makes the variance smaller than that of independent steps.
    double const mean = static_cast<double>(changes.changes) / samples;
    EXPECT_NEAR(mean, expected, 0.06 + 5 * std::sqrt(variance / samples)) << steps;
    if (steps >= 1024) {
      EXPECT_GT(std::abs(0.95 * expected - mean), 0.06 + 5 * std::sqrt(variance / samples));  // 5 % off would be seen
    }
  }
}

}  // namespace
}  // namespace saltus
