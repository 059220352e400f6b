// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/random.hpp>

namespace saltus {
namespace {

using Words = std::array<std::uint32_t, 4>;

Words philox(Words const& c, std::uint32_t key0, std::uint32_t key1) {
  PhiloxBlock const block = philox4x32({{c[0], c[1], c[2], c[3]}}, key0, key1);
  return {block.word[0], block.word[1], block.word[2], block.word[3]};
}

// The vectors "philox4x32 10" of Random123's tests/kat_vectors.
TEST(Random, PhiloxKnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox({ones, ones, ones, ones}, ones, ones), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// The documented layout of the counter: low sample, high sample | role << 24, site, step; the key is the seed.
TEST(Random, DrawUsesTheDocumentedCounter) {
  std::uint64_t const seed = 0x299f31d0a4093822, sample = 0x00a308d3243f6a88;
  RandomPair const pair = StreamKey{seed, 0x03707344}.draw(sample, Role::prior, 0x13198a2e);
  Words const block = philox({0x243f6a88, 0x00a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0);
  EXPECT_EQ(pair.event, (std::uint64_t{block[1]} << 32) | block[0]);
  EXPECT_EQ(pair.target, (std::uint64_t{block[3]} << 32) | block[2]);
  RandomPair const stepped = StreamKey{seed, 0x03707344}.draw(sample, Role::ancestral, 0x13198a2e);
  Words const other = philox({0x243f6a88, 0x06a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0);
  EXPECT_EQ(stepped.event, (std::uint64_t{other[1]} << 32) | other[0]);
}

TEST(Random, Uniform53CoversZeroToOneInStepsOfTwoToTheMinus53) {
  EXPECT_EQ(uniform53(0), 0.0);
  EXPECT_EQ(uniform53(0x7ff), 0.0);  // the 11 low bits are not used
  EXPECT_EQ(uniform53(0x800), 0x1p-53);
  EXPECT_EQ(uniform53(std::uint64_t{1} << 63), 0.5);
  EXPECT_EQ(uniform53(~std::uint64_t{0}), 1 - 0x1p-53);
  EXPECT_LT(uniform53(~std::uint64_t{0}), 1.0);
}

TEST(Random, ExponentialIsFiniteAtBothEnds) {
  EXPECT_EQ(exponential(0), 0.0);
  EXPECT_EQ(exponential(0x1p-53), 0x1p-53);  // no cancellation near 0
  EXPECT_NEAR(exponential(0.5), std::log(2.0), 1e-16);
  EXPECT_NEAR(exponential(1 - 0x1p-53), 53 * std::log(2.0), 1e-13);
}

TEST(Random, EveryCoordinateChangesTheNumbers) {
  std::set<std::uint64_t> seen;
  std::size_t drawn = 0;
  auto add = [&](StreamKey key, std::uint64_t sample, Role role, std::uint32_t site) {
    RandomPair const pair = key.draw(sample, role, site);
    seen.insert({pair.event, pair.target});
    drawn += 2;
  };
  for (std::uint64_t const seed : {0u, 1u, 2u}) {
    for (std::uint32_t step = 0; step < 5; ++step) {
      for (Role const role :
           {Role::prior, Role::step, Role::order, Role::target, Role::event, Role::subkey, Role::ancestral}) {
        for (std::uint32_t site = 0; site < 5; ++site) {
          for (std::uint64_t sample = 0; sample < 5; ++sample) add({seed, step}, sample, role, site);
        }
      }
    }
  }
  add({std::uint64_t{1} << 32, 0}, 0, Role::prior, 0);  // the high half of the seed counts
  EXPECT_EQ(seen.size(), drawn);
}

// Two runs that together draw more than 2^32 samples must not meet (users.md: arrayfire#2007).
TEST(Random, LargeSampleIndicesAreNotTruncated) {
  StreamKey const key{7, 3};
  std::set<std::uint64_t> events;
  std::vector<std::uint64_t> samples{5};
  for (int bit = 31; bit < 56; ++bit) samples.push_back(5 + (std::uint64_t{1} << bit));
  for (auto const sample : samples) events.insert(key.draw(sample, Role::step, 9).event);
  EXPECT_EQ(events.size(), samples.size());
  // The largest index leaves the role alone.
  std::uint64_t const last = (std::uint64_t{1} << 56) - 1;
  EXPECT_EQ(StreamKey::tag(last, Role::event), 0x04ffffffu);
  EXPECT_NE(key.draw(last, Role::step, 0).event, key.draw(last, Role::order, 0).event);
}

TEST(Random, DerivedStreamsDifferByStepAndSeed) {
  std::set<std::uint64_t> seeds;
  for (std::uint32_t step = 0; step < 1000; ++step) {
    StreamKey const derived = StreamKey{42, 0}.at(step).derived();
    EXPECT_EQ(derived.step, 0u);
    seeds.insert(derived.seed);
  }
  for (std::uint64_t seed = 43; seed < 143; ++seed) seeds.insert(StreamKey{seed, 0}.derived().seed);
  EXPECT_EQ(seeds.size(), 1100u);
  // A stream of its own: numbers of the derived key are not those of the parent.
  StreamKey const parent{42, 6};
  EXPECT_NE(parent.derived().draw(1, Role::event, 2).event, parent.draw(1, Role::event, 2).event);
}

}  // namespace
}  // namespace saltus
