// SPDX-License-Identifier: BSD-3-Clause
// With exact scores the bound of a diffusion is not a bound but -ln p itself: the path measures are equal.
#include <cmath>
#include <memory>

#include <gtest/gtest.h>

#include <saltus/models/bound.hpp>
#include <saltus/models/decorators.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>

namespace saltus {
namespace {

constexpr int states = 3, length = 5, draws = 4000;

MarkovChain chain() {
  std::vector<double> const initial{0.5, 0.3, 0.2};
  std::vector<double> transitions;
  for (int l = 0; l + 1 < length; ++l) transitions.insert(transitions.end(), {0.7, 0.2, 0.1, 0.1, 0.6, 0.3, 0.25, 0.25, 0.5});
  return MarkovChain(length, states, initial, transitions, "chain");
}

std::vector<token_t> const sequences{0, 0, 1, 2, 2,  //
                                     2, 0, 2, 0, 1,  //
                                     1, 1, 1, 1, 1};

// Largest distance of the bounds from -ln p, in standard errors.
double worst(Generator const& generator, double temperature_of_model) {
  MarkovChain const law = chain();
  auto const model = temperature(law.denoiser(generator), temperature_of_model);
  auto const bounds = likelihood_bounds(*model, generator, NoiseSchedule::log_linear(), sequences, 3, draws, 512, 7);
  double most = 0;
  for (std::size_t b = 0; b < bounds.size(); ++b) {
    double const exact = -law.log_likelihood(std::span(sequences).subspan(b * length, length));
    // Uniform noise leaves out the first 1e-5 of it and the last 1e-3: less than 2e-3 nats here.
    double const apart = std::max(0.0, std::abs(bounds[b].nats - exact) - 2e-3);
    EXPECT_LT(bounds[b].error, 0.05 * exact);
    most = std::max(most, apart / bounds[b].error);
  }
  return most;
}

TEST(LikelihoodBound, IsTheLikelihoodForExactScoresMasked) {
  Generator const q = Generator::absorbing(states + 1);
  EXPECT_LT(worst(q, 1), 4.5);    // 3 values: a false alarm once in 50,000
  EXPECT_GT(worst(q, 1.3), 4.5);  // a flatter model is told apart
}

TEST(LikelihoodBound, IsTheLikelihoodForExactScoresUniform) {
  Generator const q = Generator::uniform(states);
  EXPECT_LT(worst(q, 1), 4.5);
  EXPECT_GT(worst(q, 1.3), 4.5);
}

// Sites that are given have no noise: the bound is that of the others alone.
TEST(LikelihoodBound, FixedSitesAreNotNoised) {
  constexpr token_t pad = 2;
  ProductLaw const padded(4, 3, {0.3, 0.6, 0.1, 0.5, 0.4, 0.1, 0.2, 0.7, 0.1, 0.8, 0.1, 0.1});
  for (Generator const& q : {Generator::absorbing(4), Generator::uniform(3)}) {
    SCOPED_TRACE(q.name());
    auto const model = padded.denoiser(q);
    std::vector<token_t> const rows{0, 1, pad, pad, 1, 1, 0, 0, pad, pad, pad, pad};
    auto const bounds = likelihood_bounds(*model, q, NoiseSchedule::log_linear(), rows, 3, 2000, 512, 7, pad);
    EXPECT_NEAR(bounds[0].nats, -std::log(0.3 * 0.4), 5 * bounds[0].error + 2e-3);
    EXPECT_LT(bounds[0].error, 0.2);
    EXPECT_NEAR(bounds[1].nats, -std::log(0.6 * 0.4 * 0.2 * 0.8), 5 * bounds[1].error + 4e-3);
    EXPECT_EQ(bounds[2].nats, 0);
  }
}

TEST(LikelihoodBound, IsDeterministicWhateverTheBatch) {
  Generator const q = Generator::absorbing(states + 1);
  auto const model = chain().denoiser(q);
  auto const a = likelihood_bounds(*model, q, NoiseSchedule::log_linear(), sequences, 3, 16, 5, 7);
  auto const b = likelihood_bounds(*model, q, NoiseSchedule::log_linear(), sequences, 3, 16, 64, 7);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].nats, b[i].nats);
}

}  // namespace
}  // namespace saltus
