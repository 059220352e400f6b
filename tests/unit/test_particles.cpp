// SPDX-License-Identifier: BSD-3-Clause
// The machinery of particles: systematic resampling, edge cases, counts, and messages.
#include <cmath>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/particles.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>

#include "reference/messages.hpp"
#include "reference/stored_scores.hpp"

namespace saltus {
namespace {

std::vector<int> copies(std::vector<double> const& weights, double uniform) {
  std::vector<double> logarithms;
  double largest = -INFINITY, sum = 0;
  for (double const w : weights) {
    logarithms.push_back(std::log(w));
    largest = std::max(largest, logarithms.back());
  }
  for (double const l : logarithms) sum += std::exp(l - largest);
  auto const n = static_cast<int>(weights.size());
  std::vector<int> ancestors(weights.size()), count(weights.size(), 0);
  systematic_ancestors(logarithms.data(), largest, sum, n, uniform, ancestors.data());
  for (std::size_t j = 0; j < ancestors.size(); ++j) {
    EXPECT_TRUE(ancestors[j] >= 0 && ancestors[j] < n && (j == 0 || ancestors[j - 1] <= ancestors[j]));
    ++count[static_cast<std::size_t>(ancestors[j])];
  }
  return count;
}

TEST(Systematic, CopiesAreFloorOrCeilingAndRightOnAverage) {
  std::vector<double> const weights{0.31, 0, 2.7, 0.05, 1.04, 0.9, 0, 3.3};
  double total = 0;
  for (double const w : weights) total += w;
  int const points = 20'000;
  std::vector<double> mean(weights.size(), 0.0);
  for (int i = 0; i < points; ++i) {
    auto const count = copies(weights, (i + 0.5) / points);
    for (std::size_t j = 0; j < weights.size(); ++j) {
      double const expected = static_cast<double>(weights.size()) * weights[j] / total;
      EXPECT_GE(count[j], std::floor(expected));
      EXPECT_LE(count[j], std::ceil(expected));
      mean[j] += count[j] / static_cast<double>(points);
    }
  }
  // The number of copies is a step function of the uniform with at most two steps: the midpoint rule errs by 2/points.
  for (std::size_t j = 0; j < weights.size(); ++j) {
    EXPECT_NEAR(mean[j], static_cast<double>(weights.size()) * weights[j] / total, 2.0 / points);
  }
}

TEST(Systematic, Extremes) {
  for (double const u : {0.0, 0.5, 1 - 0x1.0p-53}) {
    EXPECT_EQ(copies({1, 1, 1, 1}, u), (std::vector<int>{1, 1, 1, 1}));
    EXPECT_EQ(copies({0, 1e-300, 0}, u), (std::vector<int>{0, 3, 0}));
    EXPECT_EQ(copies({1, 0, 0}, u), (std::vector<int>{3, 0, 0}));
    EXPECT_EQ(copies({7}, u), (std::vector<int>{1}));
  }
}

// What a test reads of a run.
struct Result {
  std::vector<token_t> tokens;
  std::vector<double> weights, values, log_normaliser;
  std::vector<int> drawn;
  ParticleReport report;
  bool operator==(Result const& o) const {
    return tokens == o.tokens && weights == o.weights && values == o.values && log_normaliser == o.log_normaliser &&
           drawn == o.drawn;
  }
};

Process masked(SequenceLaw const& law) {
  auto const generator = Generator::absorbing(law.states() + 1);
  return Process::reverse(generator, NoiseSchedule::log_linear(), law.denoiser(generator));
}

ParticlePlan plan_of(SequenceLaw const& law, std::shared_ptr<Reward> reward, double strength = 1) {
  return {.run = {.grid = TimeGrid::uniform(1, 0, 5),
                  .seed = 3,
                  .samples = 30,
                  .length = law.length(),
                  .batch = 64,
                  .forced_last = true},
          .particles = 6,
          .reward = std::move(reward),
          .strength = strength};
}

Result run(Process const& process, ParticlePlan const& plan, char const* method = "tweedie") {
  Result r;
  r.report = sample_particles(ExecSpace(), process, *make_integrator(method), plan, [&](ParticleSets const& sets) {
    EXPECT_EQ(sets.first, plan.run.first_sample + r.drawn.size());
    for (int i = 0; i < sets.groups * sets.particles; ++i) {
      r.tokens.insert(r.tokens.end(), &sets.tokens(i, 0), &sets.tokens(i, 0) + plan.run.length);
      r.weights.push_back(sets.weights(i));
      r.values.push_back(sets.values(i));
    }
    for (int g = 0; g < sets.groups; ++g) {
      r.log_normaliser.push_back(sets.log_normaliser(g));
      r.drawn.push_back(sets.drawn(g));
    }
  });
  return r;
}

std::shared_ptr<Reward> count(SequenceLaw const& law) {
  return std::make_shared<TokenReward>(TokenReward::count(law.states() + 1, 1));
}

// A reward from a host function; NaN and infinities included.
class HostReward final : public Reward {
 public:
  explicit HostReward(std::function<double(token_t const*)> f) : f_(std::move(f)) {}
  void reserve(Extents) override {}
  void evaluate(ExecSpace const& exec, Tokens const& clean, Rewards const& out) override {
    auto const host = Kokkos::create_mirror_view_and_copy(HostSpace(), clean);
    Kokkos::View<double*, HostSpace> values("test::values", out.extent(0));
    for (std::size_t b = 0; b < host.extent(0); ++b) values(b) = f_(&host(b, 0));
    Kokkos::deep_copy(exec, out, values);
    exec.fence();
  }

 private:
  std::function<double(token_t const*)> f_;
};

MarkovChain const chain = MarkovChain::countdown(6, 20);

TEST(Particles, DependOnSeedAndIndexAlone) {
  auto const process = masked(chain);
  for (bool const additive : {true, false}) {
    auto const reward = additive ? count(chain) : std::make_shared<HostReward>([](token_t const* x) { return x[0] + 0.5 * x[3]; });
    for (auto const scheme : {ParticleScheme::resampling, ParticleScheme::selection}) {
      ParticlePlan plan = plan_of(chain, reward, 1.5);
      plan.power = 1.5;
      plan.scheme = scheme;
      auto const whole = run(process, plan);
      if (scheme == ParticleScheme::resampling) {
        EXPECT_GT(whole.report.resamplings, 0);
        plan.run.batch = 1;  // one group at a time
        EXPECT_TRUE(run(process, plan) == whole);
      }
      plan.run.batch = 64;
      plan.run.first_sample = 10;
      plan.run.samples = 20;
      auto const part = run(process, plan);
      EXPECT_TRUE(std::equal(part.tokens.begin(), part.tokens.end(), whole.tokens.begin() + 10 * 6 * 20));
      EXPECT_TRUE(std::equal(part.drawn.begin(), part.drawn.end(), whole.drawn.begin() + 10));
      plan.run.seed = 4;
      EXPECT_NE(run(process, plan).tokens, part.tokens);
    }
  }
}

TEST(Particles, WithoutWeightsThisIsTheSampler) {
  // Strength 0: all weights equal, nothing is resampled, and particles are the samples of a plain run.
  Process process = masked(chain);
  ParticlePlan plan = plan_of(chain, count(chain), 0);
  plan.threshold = 1;
  for (char const* const method : {"tweedie", "euler", "gillespie"}) {
    auto const found = run(process, plan, method);
    SamplePlan plain = plan.run;
    plain.samples = plan.run.samples * 6;
    SampleReport report;
    auto const tokens = sample(ExecSpace(), process, *make_integrator(method), plain, &report);
    EXPECT_TRUE(std::equal(found.tokens.begin(), found.tokens.end(), tokens.data(), tokens.data() + tokens.size()));
    EXPECT_EQ(found.report.resamplings, 0);
    EXPECT_EQ(found.report.jumps, report.jumps);
    EXPECT_NEAR(found.report.effective_size, 6, 1e-12);
    for (double const z : found.log_normaliser) EXPECT_NEAR(z, 0, 1e-14);
    // The evaluations that weights are made from are lent to the steps of fixed-step methods.
    double const own = std::string(method) == "gillespie" ? 4 : 0;
    EXPECT_NEAR(found.report.evaluations, 6 * (report.evaluations + own), 1e-9) << method;
  }
}

// With a template too, which every particle keeps.
TEST(Particles, WithoutWeightsATemplateIsThatOfTheSampler) {
  ParticlePlan plan = plan_of(chain, count(chain), 0);
  Template fixed{std::vector<token_t>(20, -1), std::vector<std::uint8_t>(20, 0)};
  for (std::size_t const l : {std::size_t{2}, std::size_t{19}}) {
    fixed.tokens[l] = 3;
    fixed.fixed[l] = 1;
  }
  plan.run.fixed = fixed;
  auto const uniform = Generator::uniform(6);
  for (bool const noisy : {false, true}) {
    Process process = noisy ? Process::reverse(uniform, NoiseSchedule::log_linear(), chain.denoiser(uniform)) : masked(chain);
    if (noisy) {
      plan.run.grid = TimeGrid::uniform(1, 0.05, 5);
      plan.run.forced_last = false;
      plan.reward = std::make_shared<TokenReward>(TokenReward::count(6, 1));
    }
    auto const found = run(process, plan, "tweedie");
    for (std::size_t i = 0; i < found.tokens.size(); i += 20) {
      EXPECT_EQ(found.tokens[i + 2], 3);
      EXPECT_EQ(found.tokens[i + 19], 3);
    }
    SamplePlan plain = plan.run;
    plain.samples = plan.run.samples * 6;
    auto const tokens = sample(ExecSpace(), process, *make_integrator("tweedie"), plain);
    EXPECT_TRUE(std::equal(found.tokens.begin(), found.tokens.end(), tokens.data(), tokens.data() + tokens.size()));
  }
}

TEST(Particles, EvaluationsOfAnyTypeAndStride) {
  // The same law in floats and doubles, as a law or as scores, with gaps between rows that hold NaN.
  std::vector<std::vector<double>> const rows{{0.5, 0.25, 0.25, 9}, {0.125, 0.75, 0.125, 9}, {0.25, 0.5, 0.25, 9}};
  auto const generator = Generator::absorbing(4);
  auto const result = [&](std::shared_ptr<ScoreModel> model) {
    auto const process = Process::reverse(generator, NoiseSchedule::log_linear(), std::move(model), true);
    ParticlePlan plan{.run = {.grid = TimeGrid::uniform(1, 0, 4), .seed = 3, .samples = 30, .length = 3, .forced_last = true},
                      .particles = 6,
                      .threshold = 0.9,
                      .reward = std::make_shared<TokenReward>(TokenReward::count(4, 1)),
                      .strength = 2,
                      .power = 1.5};
    return run(process, plan);
  };
  using enum ScoreKind;
  auto const doubles = std::make_shared<reference::StoredScores<double>>(x0_leave_one_out, 3, rows, 2);
  auto const expected = result(doubles);
  EXPECT_EQ(doubles->evaluations, 4);
  EXPECT_GT(expected.report.resamplings, 0);
  for (auto const& other : {result(std::make_shared<reference::StoredScores<float>>(x0_leave_in, 3, rows, 3)),
                            result(std::make_shared<reference::StoredScores<double>>(score, 3, rows, 0))}) {
    EXPECT_EQ(other.tokens, expected.tokens);
    for (std::size_t i = 0; i < expected.weights.size(); ++i) EXPECT_NEAR(other.weights[i], expected.weights[i], 1e-5);
    for (std::size_t g = 0; g < 30; ++g) EXPECT_NEAR(other.log_normaliser[g], expected.log_normaliser[g], 1e-5);
  }
  // The power's share of the values: (gamma - 1) ln p of a product law, whatever is revealed when.
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    double value = 0;
    for (std::size_t l = 0; l < 3; ++l) {
      token_t const y = expected.tokens[3 * i + l];
      value += (y == 1 ? 2 : 0) + 0.5 * std::log(rows[l][static_cast<std::size_t>(y)]);
    }
    EXPECT_NEAR(expected.values[i], value, 1e-12);
  }
}

TEST(Particles, WeightsAndValuesAreConsistent) {
  auto const process = masked(chain);
  ParticlePlan plan = plan_of(chain, count(chain), 0.8);
  auto const found = run(process, plan);
  for (std::size_t g = 0; g < 30; ++g) {
    double sum = 0;
    for (std::size_t i = 6 * g; i < 6 * g + 6; ++i) {
      sum += found.weights[i];
      double const ones = static_cast<double>(std::count(&found.tokens[20 * i], &found.tokens[20 * i] + 20, token_t{1}));
      EXPECT_NEAR(found.values[i], 0.8 * ones, 1e-12);
    }
    EXPECT_NEAR(sum, 1, 1e-12);
    EXPECT_TRUE(found.drawn[g] >= 0 && found.weights[6 * g + static_cast<std::size_t>(found.drawn[g])] > 0);
  }
  // Without resampling the weights are those of plain importance sampling.
  plan.threshold = 0;
  auto const plain = run(process, plan);
  EXPECT_EQ(plain.report.resamplings, 0);
  for (std::size_t g = 0; g < 30; ++g) {
    double sum = 0;
    for (std::size_t i = 6 * g; i < 6 * g + 6; ++i) sum += std::exp(plain.values[i]);
    EXPECT_NEAR(plain.log_normaliser[g], std::log(sum / 6), 1e-12);
    for (std::size_t i = 6 * g; i < 6 * g + 6; ++i) EXPECT_NEAR(plain.weights[i], std::exp(plain.values[i]) / sum, 1e-12);
  }
}

TEST(Particles, OneParticle) {
  auto const process = masked(chain);
  ParticlePlan plan = plan_of(chain, count(chain), 2);
  plan.particles = 1;
  plan.threshold = 1;
  auto const found = run(process, plan);
  EXPECT_EQ(found.report.resamplings, 0);
  EXPECT_NEAR(found.report.effective_size, 1, 1e-12);
  for (std::size_t g = 0; g < 30; ++g) {
    EXPECT_EQ(found.weights[g], 1);
    EXPECT_EQ(found.drawn[g], 0);
    EXPECT_NEAR(found.log_normaliser[g], found.values[g], 1e-12);
  }
}

TEST(Particles, OneParticleWithAllTheWeight) {
  // Independent sites, one step: r = 1000 if the first token is 1. Groups with such particles share all weight among
  // them.
  ProductLaw const law(2, 2, {0.5, 0.5, 0.5, 0.5});
  ParticlePlan plan = plan_of(law, std::make_shared<TokenReward>(3, std::vector<double>{0, 1000, 0, 0, 0, 0}));
  plan.run.grid = TimeGrid::uniform(1, 0, 1);
  auto const found = run(masked(law), plan);
  int mixed = 0;
  for (std::size_t g = 0; g < 30; ++g) {
    int k = 0;
    for (std::size_t i = 6 * g; i < 6 * g + 6; ++i) k += found.tokens[2 * i] == 1;
    mixed += k > 0 && k < 6;
    for (std::size_t i = 6 * g; i < 6 * g + 6; ++i) {
      EXPECT_NEAR(found.weights[i], k == 0 ? 1.0 / 6 : (found.tokens[2 * i] == 1 ? 1.0 / k : 0), 1e-12);
    }
    EXPECT_NEAR(found.log_normaliser[g], k == 0 ? 0 : 1000 + std::log(k / 6.0), 1e-9);
  }
  EXPECT_GT(mixed, 20);
}

TEST(Particles, ForbiddenSequences) {
  // The first token must be 1: with 3 states a group of two is dead with probability 4/9.
  ProductLaw const law(1, 3, {1.0 / 3, 1.0 / 3, 1.0 / 3});
  auto const process = masked(law);
  ParticlePlan plan = plan_of(law, std::make_shared<TokenReward>(4, std::vector<double>{-INFINITY, 0, -INFINITY, 0}));
  plan.particles = 2;
  plan.run.samples = 200;
  auto const found = run(process, plan);
  std::int64_t dead = 0;
  double z = 0;
  for (std::size_t g = 0; g < 200; ++g) {
    int k = (found.tokens[2 * g] == 1) + (found.tokens[2 * g + 1] == 1);
    dead += k == 0;
    z += std::exp(found.log_normaliser[g]) / 200;
    if (k == 0) {
      EXPECT_EQ(found.drawn[g], -1);
      EXPECT_EQ(found.weights[2 * g] + found.weights[2 * g + 1], 0);
      EXPECT_EQ(found.log_normaliser[g], -INFINITY);
    } else {
      EXPECT_EQ(found.tokens[2 * g + static_cast<std::size_t>(found.drawn[g])], 1);
    }
  }
  EXPECT_EQ(found.report.dead, dead);
  EXPECT_GT(dead, 0);
  EXPECT_NEAR(z, 1.0 / 3, 5 * std::sqrt(2.0 / 9 / 2 / 200));
  EXPECT_SAYS(reference::message_of<NumericalError>(
                  [&] { sample_particles(ExecSpace(), process, *make_integrator("tweedie"), plan); }),
              "no particle of result");
}

TEST(Particles, DrawsThatMissEverythingEndNoParticle) {
  // A needle: of 4^3 sequences one is allowed. Draws of x_0 nearly always miss it, and yet weights stay until the end.
  ProductLaw const law(3, 4, std::vector<double>(12, 0.25));
  auto const needle = std::make_shared<HostReward>(
      [](token_t const* x) { return x[0] == 1 && x[1] == 1 && x[2] == 1 ? 0.0 : -INFINITY; });
  ParticlePlan plan = plan_of(law, needle);
  plan.clean_draws = 1;
  plan.particles = 2000;
  plan.run.samples = 2;
  auto const found = run(masked(law), plan);
  EXPECT_EQ(found.report.dead, 0);
}

TEST(Particles, BadRewardsAreNamed) {
  auto const process = masked(chain);
  for (double const bad : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    auto const reward = std::make_shared<HostReward>([bad](token_t const*) { return bad; });
    auto const message =
        reference::message_of<NumericalError>([&] { run(process, plan_of(chain, reward)); });
    EXPECT_SAYS(message, "first in step 0, result 0, particle 0");
  }
}

TEST(Particles, WhatCannotBeDoneIsRefused) {
  auto const process = masked(chain);
  auto const message = [&](auto change, Process const& p) {
    ParticlePlan plan = plan_of(chain, count(chain));
    change(plan);
    return reference::message_of<UserError>([&] { run(p, plan); });
  };
  auto const expect = [&](std::string const& text, auto change) {
    EXPECT_SAYS(message(change, process), text);
  };
  expect("at least 1 particle, got 0", [](ParticlePlan& p) { p.particles = 0; });
  expect("from 0 to 1, got 2", [](ParticlePlan& p) { p.threshold = 2; });
  expect("at least 1 draw", [](ParticlePlan& p) { p.clean_draws = 0; });
  expect("strength of the reward must be finite", [](ParticlePlan& p) { p.strength = NAN; });
  expect("power of the law must be finite", [](ParticlePlan& p) { p.power = INFINITY; });
  expect("got neither", [](ParticlePlan& p) { p.reward = nullptr; });
  expect("forced_last", [](ParticlePlan& p) { p.run.forced_last = false; });
  expect("the power is 1", [](ParticlePlan& p) { p.likelihood = p.reward; });
  expect("has 6 states, but the process has 7",
         [](ParticlePlan& p) { p.reward = std::make_shared<TokenReward>(TokenReward::count(6, 1)); });
  expect("has 2 sites, but the sequences have 20", [](ParticlePlan& p) {
    p.reward = std::make_shared<TokenReward>(7, std::vector<double>(14, 1.0));
  });
  expect("the template has 2 sites", [](ParticlePlan& p) { p.run.fixed = Template{{0, 0}, {1, 0}}; });
  expect("no last step", [](ParticlePlan& p) { p.run.last = LastStep::sample; });
  EXPECT_SAYS(reference::message_of<UserError>(
                  [&] { run(process, plan_of(chain, count(chain)), "tweedie+remasking:variant=confidence+informed"); }),
              "keeps something of each");
  EXPECT_NO_THROW(run(process, plan_of(chain, count(chain)), "tweedie+remasking:variant=cap"));
  auto const nothing = [](ParticlePlan&) {};
  EXPECT_SAYS(message(nothing, Process::forward(Generator::uniform(6), NoiseSchedule::constant())), "got a forward one");
  auto const uniform = Generator::uniform(6);
  EXPECT_SAYS(message([](ParticlePlan& p) { p.power = 2; },
                      Process::reverse(uniform, NoiseSchedule::log_linear(), chain.denoiser(uniform))),
              "needs a masked process");
  EXPECT_THROW(TokenReward(2, {0, NAN}), UserError);
  EXPECT_THROW(TokenReward(2, {-INFINITY, -INFINITY}), UserError);
  EXPECT_THROW(TokenReward(2, {0, 1, 2}), UserError);
  EXPECT_THROW(TokenReward::count(2, 2), UserError);
}

}  // namespace
}  // namespace saltus
