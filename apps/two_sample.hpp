// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <saltus/ctmc/types.hpp>

#include "metrics.hpp"

namespace saltus::app {

/// What two sets of sequences are compared by where no law is known: a method's and those of a reference run.
struct TwoSampleOptions {
  int permutations = 500;           ///< at least 1
  double error = 0.05;              ///< what the null band leaves out, half at each end
  std::size_t kernel_rows = 2000;   ///< most sequences of a side, the first ones, that the kernel test uses
  std::uint64_t seed = 0;
};

/// A distance between the two sets.
struct TwoSampleDistance {
  std::string name;
  std::string help;
  /// With the 95 % interval of the delete-a-group jackknife over 20 groups of either set. Total variations of finite
  /// sets are positive even for equal laws: what to compare them with is the band.
  Estimate estimate;
  NullBand null;    ///< mean and central band of the distance when sequences are dealt to the sets at random
  double p_value;   ///< (1 + permutations with a distance at least as large) / (1 + permutations)
};

struct TwoSample {
  /// tv_site, tv_pair, tv_1mer to tv_4mer (those that the length allows), mmd2.
  std::vector<TwoSampleDistance> distances;
  double kernel_scale;  ///< median Hamming distance of the pairs of sequences that the kernel test uses, at least 1
  /// Mean over sequences of the entropy of a sequence's token histogram, nats; normal interval. To be read
  /// beside any likelihood, which a sampler of little variety makes high.
  Estimate first_entropy, second_entropy;
};

/// Compares `first` [n, length] with `second` [m, length], tokens from 0 to states - 1; n and m at least 2. UserError
/// otherwise.
/// - tv_site, tv_pair: total variation between the frequencies of tokens at a site (of adjacent pairs), mean over
///   sites;
/// - tv_kmer: between the frequencies of words of k tokens anywhere, k = 1 to 4;
/// - mmd2: the unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, JMLR 13, eq. 3) with the
///   kernel exp(-d/scale), d the Hamming distance; negative values are part of its null law.
/// Tables of more than 2^20 cells are hashed to that many, which can only make a total variation smaller. All
/// permutations deal whole sequences, so sites need not be independent; sequences must be. Host, parallel over
/// permutations; deterministic in the seed, whatever the number of threads. Memory: 4 bytes a pair of kernel rows, and
/// up to 48 MiB a thread.
TwoSample compare_samples(int states, int length, std::span<token_t const> first, std::span<token_t const> second,
                          TwoSampleOptions const& options = {});

}  // namespace saltus::app
