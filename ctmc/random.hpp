// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include <Kokkos_Core.hpp>

/// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC'11, doi:10.1145/2063384.2063405).
/// A number is a pure function of (seed, sample, role, site, step): results do not depend on batch, threads or ranks.
/// Layout of the counter: word 0 = low 32 bits of the sample; word 1 = its next 24 bits | role << 24;
/// word 2 = site; word 3 = step or event. The key is the 64-bit seed. Words 0,1 of a block make the first uniform
/// (the event), words 2,3 the second (the target).
namespace saltus {

inline constexpr int random_stream_version = 3;

/// What a number is drawn for; numbers of different roles are independent.
enum class Role : std::uint32_t {
  prior = 0,    ///< start of a reverse process
  step = 1,     ///< event and target of a step of a fixed-step method
  order = 2,    ///< unmasking times
  target = 3,   ///< target of an event of an event-driven method
  event = 4,    ///< waiting time (and target) of an event-driven method; word 3 counts events
  subkey = 5,   ///< derivation of a key
  ancestral = 6,///< draws from a sequence law itself
  site_rate = 7,///< category of a site's rate multiplier
  count = 8,    ///< numbers of events in a step; names a stream of its own for each site
  resample = 9, ///< resampling of the particles of a group; the sample is the group's first particle
  clean = 10,   ///< draws of whole clean sequences from one evaluation
  permute = 11, ///< permutations of the sequences of two sets; the site says for which statistic, the step which permutation
  noise = 12,   ///< noise put on clean sequences, to learn from them or to bound their likelihood
  coupled = 13  ///< jumps that several runs share; word 3 counts the jumps of the site
};

struct PhiloxBlock {
  std::uint32_t word[4];
};

/// One Philox4x32-10 block. Known-answer vectors: tests/unit/test_random.cpp.
KOKKOS_FORCEINLINE_FUNCTION constexpr PhiloxBlock philox4x32(PhiloxBlock counter, std::uint32_t key0,
                                                             std::uint32_t key1) {
  // The words live in the low halves of 64-bit lanes: a vectorised loop over blocks then packs and unpacks nothing.
  constexpr std::uint64_t low = 0xFFFFFFFFu;
  std::uint64_t c0 = counter.word[0], c1 = counter.word[1], c2 = counter.word[2], c3 = counter.word[3];
  std::uint64_t k0 = key0, k1 = key1;
  for (int round = 0; round < 10; ++round) {
    std::uint64_t const p0 = (c0 & low) * 0xD2511F53u, p1 = (c2 & low) * 0xCD9E8D57u;
    c0 = (p1 >> 32) ^ c1 ^ k0;
    c2 = (p0 >> 32) ^ c3 ^ k1;
    c1 = p1 & low;
    c3 = p0 & low;
    k0 = (k0 + 0x9E3779B9u) & low;
    k1 = (k1 + 0xBB67AE85u) & low;
  }
  return {{static_cast<std::uint32_t>(c0), static_cast<std::uint32_t>(c1), static_cast<std::uint32_t>(c2), static_cast<std::uint32_t>(c3)}};
}

/// The high 53 of 64 bits as a uniform in [0, 1), a multiple of 2^-53.
KOKKOS_FORCEINLINE_FUNCTION constexpr double uniform53(std::uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

/// Standard exponential by inversion; finite for every uniform in [0, 1), at most 53 ln 2.
KOKKOS_FORCEINLINE_FUNCTION double exponential(double uniform) { return -Kokkos::log1p(-uniform); }

/// Two independent 64-bit words: one for when (event), one for what (target).
struct RandomPair {
  std::uint64_t event;
  std::uint64_t target;
};

/// Names a stream: seed, and step for methods that number their steps.
struct StreamKey {
  std::uint64_t seed = 0;
  std::uint32_t step = 0;

  KOKKOS_FORCEINLINE_FUNCTION static constexpr std::uint32_t tag(std::uint64_t sample, Role role) {
    return static_cast<std::uint32_t>((sample >> 32) & 0xFFFFFFu) | (static_cast<std::uint32_t>(role) << 24);
  }

  /// The pair for (sample, role, site, this step).
  KOKKOS_FORCEINLINE_FUNCTION constexpr RandomPair draw(std::uint64_t sample, Role role, std::uint32_t site) const {
    return draw(seed, sample, role, site, step);
  }
  /// The same without an object, for loops whose lanes have different steps.
  KOKKOS_FORCEINLINE_FUNCTION static constexpr RandomPair draw(std::uint64_t seed, std::uint64_t sample, Role role, std::uint32_t site, std::uint32_t step) {
    PhiloxBlock const block = philox4x32({{static_cast<std::uint32_t>(sample), tag(sample, role), site, step}},
                                         static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
    return {(std::uint64_t{block.word[1]} << 32) | block.word[0], (std::uint64_t{block.word[3]} << 32) | block.word[2]};
  }

  /// The same stream at another step.
  KOKKOS_FORCEINLINE_FUNCTION constexpr StreamKey at(std::uint32_t other_step) const { return {seed, other_step}; }

  /// Streams of their own for this step: for event-driven methods, which need word 3 to count events (0), and for what
  /// else a step does besides its first stage (1, 2, ...).
  KOKKOS_FORCEINLINE_FUNCTION constexpr StreamKey derived(std::uint32_t which = 0) const {
    return {draw(0, Role::subkey, which).event, 0};
  }
};

}  // namespace saltus
