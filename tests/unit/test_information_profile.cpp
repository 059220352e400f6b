// SPDX-License-Identifier: BSD-3-Clause
// Information profiles and block sizes against the numbers of A§9.3, sums over all sets of sites, and each other.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/models/hidden_markov.hpp>
#include <saltus/models/information_profile.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

#include "reference/cyclic.hpp"
#include "reference/brute_force.hpp"
#include "reference/harness.hpp"
#include "reference/stored_scores.hpp"

namespace saltus {
namespace {

using namespace reference;
using Profile = std::vector<double>;
using Blocks = std::vector<int>;

std::vector<double> some_rows(std::size_t count, int states, std::uint64_t seed) {
  std::vector<double> p;
  for (std::size_t r = 0; r < count; ++r) {
    double sum = 0;
    for (int y = 0; y < states; ++y) {
      p.push_back(scramble(seed * 10'007 + r * 101 + static_cast<std::uint64_t>(y)) + 0.02);
      sum += p.back();
    }
    for (int y = 0; y < states; ++y) p[p.size() - 1 - static_cast<std::size_t>(y)] /= sum;
  }
  return p;
}

/// The definition: for every set S of i sites and every site d outside, H(x^d | x^S) from the joint law, all added up.
Profile by_definition(std::vector<Sequence> const& all, Reals const& joint) {
  std::size_t const length = all.front().size();
  // H(x^S) for S as a bit mask: equal subsequences are adjacent after sorting
  std::vector<long double> entropies;
  for (std::size_t set = 0; set < std::size_t{1} << length; ++set) {
    std::vector<std::pair<Sequence, long double>> parts;
    for (std::size_t i = 0; i < all.size(); ++i) {
      Sequence part;
      for (std::size_t l = 0; l < length; ++l) {
        if (set >> l & 1) part.push_back(all[i][l]);
      }
      parts.emplace_back(part, joint[i]);
    }
    std::sort(parts.begin(), parts.end());
    long double h = 0, p = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      p += parts[i].second;
      if (i + 1 < parts.size() && parts[i + 1].first == parts[i].first) continue;
      h -= p > 0 ? p * std::log(p) : 0;
      p = 0;
    }
    entropies.push_back(h);
  }
  Profile profile(length);
  std::vector<int> pairs(length, 0);
  for (std::size_t set = 0; set < entropies.size(); ++set) {
    for (std::size_t d = 0; d < length; ++d) {
      if (set >> d & 1) continue;
      auto const i = static_cast<std::size_t>(__builtin_popcountll(set));
      profile[i] += static_cast<double>(entropies[set | std::size_t{1} << d] - entropies[set]);
      ++pairs[i];
    }
  }
  for (std::size_t i = 0; i < length; ++i) profile[i] /= pairs[i];
  return profile;
}

void expect_near(Profile const& got, Profile const& expected, double tolerance, std::string const& what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], tolerance) << what << ", i = " << i;
}

TableLaw as_table(SequenceLaw const& law) {
  std::vector<double> p;
  for (Sequence const& x : all_sequences(law.states(), law.length())) p.push_back(std::exp(law.log_likelihood(x)));
  return {law.length(), law.states(), p};
}

TEST(InformationProfile, OfTheCyclicChain) {
  Profile const expected{1.386294, 1.021728, 0.801241, 0.651949, 0.546507, 0.470049, 0.413518, 0.371057};  // A§9.3
  Profile const profile = information_profile(cyclic(8));
  expect_near(profile, expected, 5.1e-7, "chain");
  EXPECT_NEAR(std::accumulate(profile.begin(), profile.end(), 0.0),
              std::log(4) - 7 * (0.7 * std::log(0.7) + 0.3 * std::log(0.3)), 1e-12);
  expect_near(information_profile(as_table(cyclic(8))), profile, 1e-12, "table");
}

TEST(InformationProfile, IsItsDefinition) {
  auto const check = [](SequenceLaw const& law, Reals const& joint, std::string const& name) {
    Profile const expected = by_definition(all_sequences(law.states(), law.length()), joint);
    expect_near(information_profile(law), expected, 1e-12, name);
    if (dynamic_cast<TableLaw const*>(&law) == nullptr) {
      expect_near(information_profile(as_table(law)), expected, 1e-12, name + " as a table");
    }
  };
  auto const chain = [&](int length, int states, std::vector<double> const& initial,
                         std::vector<double> const& transitions, std::string const& name) {
    check(MarkovChain(length, states, initial, transitions),
          chain_law(all_sequences(states, length), states, initial, transitions), name);
  };
  chain(5, 3, some_rows(1, 3, 1), some_rows(3, 3, 2), "chain that is not stationary");
  chain(5, 3, some_rows(1, 3, 3), some_rows(12, 3, 4), "chain by position");
  chain(6, 2, {1, 0}, {0.5, 0.5, 1, 0}, "chain with impossible transitions");
  chain(2, 4, some_rows(1, 4, 5), some_rows(4, 4, 6), "chain of two sites");
  chain(1, 4, some_rows(1, 4, 7), {}, "chain of one site");
  std::vector<double> const p = some_rows(1, 81, 8);
  check(TableLaw(4, 3, p), Reals(p.begin(), p.end()), "table");
  std::vector<double> const sites = some_rows(4, 3, 9);
  Profile const product = information_profile(ProductLaw(4, 3, sites));
  expect_near(product, information_profile(as_table(ProductLaw(4, 3, sites))), 1e-12, "product");
}

TEST(InformationProfile, OfLongChains) {
  for (MarkovChain const& chain : {cyclic(400), MarkovChain::countdown(8, 200),
                                   MarkovChain(120, 3, some_rows(1, 3, 11), some_rows(357, 3, 12))}) {
    Profile const profile = information_profile(chain);
    EXPECT_NEAR(std::accumulate(profile.begin(), profile.end(), 0.0) / chain.entropy(), 1, 1e-10) << chain.length();
    for (std::size_t i = 0; i + 1 < profile.size(); ++i) EXPECT_GE(profile[i], profile[i + 1] - 1e-12) << i;
    EXPECT_GE(profile.back(), -1e-12);
  }
}

TEST(InformationProfile, OtherLawsAreEstimated) {
  HiddenMarkov const hidden(2, 2, {0.5, 0.5}, {0.75, 0.25, 0.25, 0.75}, {0.5, 0.5, 0.9, 0.1});
  EXPECT_TRUE(
      says(message_of<UserError>([&] { information_profile(hidden); }), {"'hidden_markov'", "sampled_profile()"}));
  EXPECT_FALSE(has_information_profile(hidden));
  TableLaw const large(21, 2, std::vector<double>(std::size_t{1} << 21, std::ldexp(1.0, -21)));  // 3^21 > 1e10
  EXPECT_TRUE(says(message_of<UserError>([&] { information_profile(large); }), {"(states + 1)^length", "1e10"}));
  EXPECT_FALSE(has_information_profile(large));
  EXPECT_TRUE(has_information_profile(TableLaw(1, 2, {0.5, 0.5})) && has_information_profile(cyclic(3)) &&
              has_information_profile(ProductLaw(1, 2, {0.5, 0.5})));
}

// ----------------------------------------------------------------------------------------------------------- sampled

HostTokens draws_of(SequenceLaw const& law, int count, std::uint64_t seed) {
  HostTokens const data("test::data", static_cast<std::size_t>(count), static_cast<std::size_t>(law.length()));
  for (int d = 0; d < count; ++d) {
    law.draw(seed, static_cast<std::uint64_t>(d), {&data(d, 0), static_cast<std::size_t>(law.length())});
  }
  return data;
}

/// The largest distance to the exact profile, in standard errors.
double worst(SampledProfile const& sampled, Profile const& exact) {
  double most = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    double const error = std::max(sampled.error[i], 1e-13);  // h_0 is the same for every draw
    most = std::max(most, std::abs(sampled.mean[i] - exact[i]) / error);
  }
  return most;
}

TEST(InformationProfile, Sampled) {
  MarkovChain const chain = cyclic(8);
  Generator const generator = Generator::absorbing(5);
  auto const model = chain.denoiser(generator);
  HostTokens const data = draws_of(chain, 1000, 3);  // not a multiple of the rows that are taken at a time
  ExecSpace const exec;
  SampledProfile const sampled = sampled_profile(exec, *model, data, 4);
  Profile const exact = information_profile(chain);
  EXPECT_LT(worst(sampled, exact), 4);
  for (std::size_t i = 1; i < 8; ++i) {
    EXPECT_GT(sampled.error[i], 1e-4) << i;
    EXPECT_LT(sampled.error[i], 0.02) << i;
  }
  // Control: a law that is 5 % off has another profile, 0.7 -> 0.735 and 0.3 -> 0.265.
  std::vector<double> off(16, 0.0);
  for (std::size_t x = 0; x < 4; ++x) {
    off[x * 4 + x] = 0.735;
    off[x * 4 + (x + 1) % 4] = 0.265;
  }
  EXPECT_GT(worst(sampled, information_profile(MarkovChain(8, 4, {0.25, 0.25, 0.25, 0.25}, off))), 4);
  SampledProfile const again = sampled_profile(exec, *model, data, 4);
  EXPECT_EQ(again.mean, sampled.mean);
  EXPECT_EQ(again.error, sampled.error);
  EXPECT_NE(sampled_profile(exec, *model, data, 5).mean, sampled.mean);
}

// All kinds of scores, both scalar types: rows whose entropy is known. The mask's entry counts for nothing.
TEST(InformationProfile, SampledFromAnyScores) {
  HostTokens const data = draws_of(cyclic(3), 5, 1);
  double const h = -0.5 * std::log(0.5) - 0.375 * std::log(0.375) - 0.125 * std::log(0.125);
  auto const check = [&](std::shared_ptr<ScoreModel> const& model) {
    SampledProfile const sampled = sampled_profile(ExecSpace(), *model, data, 1);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(sampled.mean[i], h, 1e-6);
      EXPECT_NEAR(sampled.error[i], 0, 1e-7);
    }
  };
  for (ScoreKind const kind : {ScoreKind::score, ScoreKind::x0_leave_in, ScoreKind::x0_leave_one_out}) {
    std::vector<std::vector<double>> const rows{{4, 3, 0, 1, 77}};
    check(std::make_shared<StoredScores<double>>(kind, 4, rows));
    check(std::make_shared<StoredScores<float>>(kind, 4, rows));
  }
  std::vector<std::vector<double>> const logs{{50 + std::log(4), 50 + std::log(3), -INFINITY, 50, 77}};
  check(std::make_shared<StoredScores<double>>(ScoreKind::log_score, 4, logs));
  check(std::make_shared<StoredScores<float>>(ScoreKind::log_score, 4, logs));
}

TEST(InformationProfile, SampledErrors) {
  MarkovChain const chain = cyclic(4);
  auto const model = chain.denoiser(Generator::absorbing(5));
  auto const message = [&](ScoreModel& m, HostTokens const& data) {
    return message_of<UserError>([&] { sampled_profile(ExecSpace(), m, data, 1); });
  };
  EXPECT_TRUE(says(message(*chain.denoiser(Generator::uniform(4)), draws_of(chain, 3, 1)), {"masked", "'chain'"}));
  EXPECT_TRUE(says(message(*model, draws_of(chain, 1, 1)), {"at least 2", "got 1 of length 4"}));
  EXPECT_TRUE(says(message(*model, draws_of(cyclic(5), 3, 1)), {"got 3 of length 5"}));
  HostTokens const data = draws_of(chain, 3, 1);
  data(2, 1) = 4;
  EXPECT_TRUE(says(message(*model, data), {"sequence 2", "token 4", "site 1"}));
}

// ------------------------------------------------------------------------------------------------------------ blocks

TEST(InformationProfile, BlocksOfTheCyclicChain) {  // A§9.3
  Profile const h = information_profile(cyclic(8));
  struct Case {
    int count;
    Blocks blocks;
    double cost;
  };
  for (auto const& [count, blocks, expected] :
       {Case{2, {3, 5}, 1.756283}, Case{3, {2, 2, 4}, 0.898755}, Case{4, {1, 2, 2, 3}, 0.481452}}) {
    double cost = -1;
    EXPECT_EQ(optimal_blocks(h, count, &cost), blocks);
    EXPECT_NEAR(cost, expected, 5.1e-7);
    EXPECT_NEAR(parallel_cost(h, blocks), expected, 5.1e-7);
  }
  EXPECT_EQ(equal_blocks(8, 2), (Blocks{4, 4}));
  EXPECT_NEAR(parallel_cost(h, equal_blocks(8, 2)), 2.068863, 5.1e-7);
  EXPECT_NEAR(parallel_cost(h, equal_blocks(8, 4)), 0.632776, 5.1e-7);
  EXPECT_NEAR(binomial_cost(h, 2), 2.396806, 5.1e-7);
  EXPECT_NEAR(binomial_cost(h, 4), 1.108578, 5.1e-7);
  EXPECT_NEAR(binomial_cost(h, 8), 0.531067, 5.1e-7);
}

TEST(InformationProfile, CostByHand) {
  Profile const h{1, 0.5, 0.25, 0.125};
  EXPECT_EQ(parallel_cost(h, Blocks{1, 1, 1, 1}), 0);
  EXPECT_NEAR(parallel_cost(h, Blocks{4}), 0.5 + 0.75 + 0.875, 1e-15);
  EXPECT_NEAR(parallel_cost(h, Blocks{1, 2, 1}), 0.25, 1e-15);
  EXPECT_NEAR(binomial_cost(h, 1), 0.5 + 0.75 + 0.875, 1e-14);
  // One step with probability 1/2, then the rest: two sites together cost 1/4 with probability 1/2.
  EXPECT_NEAR(binomial_cost(Profile{1, 0.75}, std::vector<double>{0.5, 1}), 0.125, 1e-15);
  EXPECT_NEAR(binomial_cost(Profile{1, 0.75}, std::vector<double>{0, 1}), 0.25, 1e-15);
  EXPECT_NEAR(binomial_cost(Profile{1, 0.75}, std::vector<double>{1, 1}), 0.25, 1e-15);
  EXPECT_EQ(equal_blocks(8, 3), (Blocks{3, 3, 2}));
  EXPECT_EQ(equal_blocks(3, 3), (Blocks{1, 1, 1}));
}

// Every composition of 9 into blocks is tried.
TEST(InformationProfile, OptimalBlocksAreOptimal) {
  constexpr int L = 9;
  Profile const h = information_profile(MarkovChain(L, 3, some_rows(1, 3, 21), some_rows(3, 3, 22)));
  for (int count = 1; count <= L; ++count) {
    double least = 1e9;
    for (int cuts = 0; cuts < 1 << (L - 1); ++cuts) {
      Blocks blocks{1};
      for (int l = 0; l < L - 1; ++l) {
        if (cuts >> l & 1) {
          blocks.push_back(1);
        } else {
          ++blocks.back();
        }
      }
      if (static_cast<int>(blocks.size()) == count) least = std::min(least, parallel_cost(h, blocks));
    }
    double cost = 0;
    Blocks const best = optimal_blocks(h, count, &cost);
    EXPECT_NEAR(cost, least, 1e-12) << count;
    EXPECT_NEAR(parallel_cost(h, best), least, 1e-12) << count;
    EXPECT_LE(cost, parallel_cost(h, equal_blocks(L, count)) + 1e-12) << count;
  }
}

TEST(InformationProfile, RisesOfAnEstimateAreNoGain) {
  // Taken as they are, the rises would make one block of the last three sites cost less than nothing.
  std::vector<double> const h{1, 0.5, 0.2, 0.4, 0.3}, mended{1, 0.5, 0.3, 0.3, 0.3};
  double cost = 0;
  EXPECT_EQ(optimal_blocks(h, 3, &cost), optimal_blocks(mended, 3));
  EXPECT_NEAR(cost, 0, 1e-15);  // 1, 1 and 3 sites
  EXPECT_EQ(optimal_blocks(h, 3), (std::vector<int>{1, 1, 3}));
}

TEST(InformationProfile, BlockErrors) {
  Profile const h{1, 0.5, 0.25};
  auto const message = [](auto const& make) { return message_of<UserError>(make); };
  EXPECT_TRUE(says(message([&] { parallel_cost(h, Blocks{1, 1}); }), {"3 sites together", "got 2"}));
  EXPECT_TRUE(says(message([&] { parallel_cost(h, Blocks{3, 0}); }), {"at least 1 site", "got 0"}));
  EXPECT_TRUE(says(message([&] { optimal_blocks(h, 4); }), {"between 1 and", "3", "got 4"}));
  EXPECT_TRUE(says(message([&] { equal_blocks(3, 0); }), {"between 1 and", "got 0"}));
  EXPECT_TRUE(says(message([&] { binomial_cost(h, 0); }), {"at least 1 step", "got 0"}));
  EXPECT_TRUE(says(message([&] { binomial_cost(h, std::vector<double>{0.5, 0.5}); }), {"must be 1", "got 0.5"}));
  EXPECT_TRUE(says(message([&] { binomial_cost(h, std::vector<double>{1.5, 1}); }), {"[0, 1]", "1.5"}));
  EXPECT_TRUE(says(message([&] { binomial_cost(h, std::vector<double>{}); }), {"no steps"}));
}

}  // namespace
}  // namespace saltus
