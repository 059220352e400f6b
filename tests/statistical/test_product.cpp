// SPDX-License-Identifier: BSD-3-Clause
// Independent sites (A§13.9): the scores of a site do not depend on the others, so freezing them costs nothing. What is
// left of an error is a defect of the program.
#include <gtest/gtest.h>

#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/product.hpp>
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace statistics;

constexpr int length = 3, states = 3;
constexpr std::size_t samples = 200'000;

ProductLaw data_law() { return {length, states, {0.5, 0.3, 0.2, 0.1, 0.15, 0.75, 0.25, 0.35, 0.4}}; }

struct Setting {
  bool masked;
  NoiseSchedule noise;
  Generator generator() const { return masked ? Generator::absorbing(states + 1) : Generator::uniform(states); }
  StateSpace space() const { return {generator().states(), length}; }
  Process process() const { return Process::reverse(generator(), noise, data_law().denoiser(generator())); }
  std::vector<double> data() const { return space().embed(enumerate(data_law()), generator()); }
  // what the process is started from: all masks, or uniform tokens
  std::vector<double> prior() const {
    if (masked) return point_law(space(), std::vector<token_t>(length, states));
    return std::vector<double>(space().size(), 1.0 / static_cast<double>(space().size()));
  }
  std::string describe() const { return (masked ? "absorbing, " : "uniform, ") + noise.describe(); }
};

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (bool const masked : {true, false}) {
    for (auto const& noise : {NoiseSchedule::log_linear(), NoiseSchedule::cosine(), NoiseSchedule::constant(1, 3),
                              NoiseSchedule::geometric()}) {
      all.push_back({masked, noise});
    }
  }
  return all;
}

// From T down to a tenth of it, so that masks are left and the speed of the reveals counts.
TimeGrid grid(Setting const& s, int steps) { return TimeGrid::uniform(s.noise.end(), 0.1 * s.noise.end(), steps); }

std::vector<double> oracle(Setting const& s) {
  return reverse_step(s.space(), s.data(), s.generator(), s.noise, {s.noise.end(), 0.1 * s.noise.end()}, s.prior());
}

std::vector<double> law_of(std::string const& method, Setting const& s, int steps) {
  Process process = s.process();
  return output_law(ExecSpace(), process, *make_integrator(method, process), s.space(), s.prior(), grid(s, steps));
}

TEST(Product, TweedieIsExactInAnyNumberOfSteps) {
  for (Setting const& s : settings()) {
    auto const expected = oracle(s);
    for (int const steps : {1, 2, 7}) {
      EXPECT_LT(total_variation(law_of("tweedie", s, steps), expected), 1e-12) << s.describe() << ", " << steps;
    }
  }
}

TEST(Product, SamplesFollowTheLaw) {
  std::uint64_t seed = 30;
  for (std::string const method : {"tweedie", "gillespie"}) {
    for (Setting const& s : settings()) {
      Process process = s.process();
      auto const integrator = make_integrator(method);
      if (!integrator->refuses(process).empty()) continue;
      auto const expected = oracle(s), wrong = five_percent_off(expected);
      ASSERT_GT(power(expected, wrong, samples), 1 - missed_alarm) << s.describe();
      for (int const steps : {1, 2, 7}) {
        SCOPED_TRACE(method + ", " + s.describe() + ", " + std::to_string(steps));
        SamplePlan const plan{
            .grid = grid(s, steps), .seed = ++seed, .samples = samples, .length = length, .batch = 50'000};
        auto const counts = count_sequences(s.space(), sample(ExecSpace(), process, *integrator, plan));
        EXPECT_TRUE(accepts(g_test(counts, expected)));
        EXPECT_TRUE(rejects(g_test(counts, wrong)));
      }
    }
  }
}

// h sigma alpha/(1-alpha) = (alpha_s - alpha_t)/(1-alpha_t) for the log-linear schedule alone (A§7.1).
TEST(Product, EulerIsExactForLogLinearMaskingOnly) {
  for (Setting const& s : settings()) {
    SCOPED_TRACE(s.describe());
    double const error = total_variation(law_of("euler", s, 4), oracle(s));
    if (s.masked && s.noise.describe() == NoiseSchedule::log_linear().describe()) {
      EXPECT_LT(error, 1e-12);
    } else {
      EXPECT_GT(error, 1e-3);
    }
  }
}

}  // namespace
}  // namespace saltus
