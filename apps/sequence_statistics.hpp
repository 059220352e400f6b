// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <saltus/ctmc/types.hpp>

#include "estimate.hpp"

namespace saltus::app {

/// Sequences of any lengths, which lie somewhere else.
using Sequences = std::vector<std::span<token_t const>>;

/// k of n as a share, with Wilson's 95 % interval. UserError unless n > 0.
Estimate share_of(std::size_t k, std::size_t n);
/// sum of `above` / sum of `below`, with the normal 95 % interval of a ratio of sums over independent sequences.
Estimate ratio_of(std::span<double const> above, std::span<double const> below);
/// 0 for an empty range. The mean of the middle two for even numbers.
double median_of(std::vector<double> values);

/// Entropy of the frequencies of a sequence's own tokens in nats, for each sequence (0 for empty ones): what papers
/// on generated text put beside a perplexity.
std::vector<double> token_entropies(Sequences const& sequences, int states);

/// Counts of things that have numbers, in order of the numbers; no count is 0.
struct Histogram {
  std::vector<std::pair<std::uint64_t, std::int64_t>> cells;
  std::int64_t total = 0;

  double share(std::uint64_t key) const;
};
Histogram length_histogram(Sequences const& sequences);
/// Words of k tokens anywhere within a sequence; the first token counts most in a word's number, to the base `states`.
/// k times the binary digits of `states` must not exceed 63.
Histogram word_histogram(Sequences const& sequences, int states, int k);
/// Of all but those in `part`.
Histogram without(Histogram const& all, Histogram const& part);
/// Entropy of the shares, nats.
double entropy_of(Histogram const& histogram);
/// Between shares: total variation, from 0 to 1, and the Jensen-Shannon divergence, from 0 to ln 2 nats. Two empty
/// histograms are 0 apart, and an empty one is as far as can be from any other.
double total_variation(Histogram const& a, Histogram const& b);
double jensen_shannon(Histogram const& a, Histogram const& b);

/// How many different sequences there are.
std::size_t distinct(Sequences const& sequences);
/// How many of `sequences` are not among `others`.
std::size_t novel(Sequences const& sequences, Sequences const& others);

/// Fewest insertions, deletions and replacements from one sequence to another (Levenshtein), by bit-parallel columns
/// (Myers 1999; in blocks of 64 as Hyyro 2003). Finds the distances of one sequence to many.
class EditDistance {
 public:
  explicit EditDistance(int states) : places_(static_cast<std::size_t>(states)) {}
  void set(std::span<token_t const> sequence);
  /// The distance, or anything above `most` if it is larger than that.
  int to(std::span<token_t const> other, int most);

 private:
  struct Column {
    std::uint64_t up, down;  // where the column's values rise and fall by 1
  };
  std::vector<std::vector<std::uint64_t>> places_;  // of each token in the sequence
  std::vector<token_t> used_;
  std::vector<Column> columns_;
  int length_ = 0;
};

/// The distance of each of `queries` to the nearest of `others` (at least one): `aligned` by the number of sites that
/// differ, all of one length, else by edits. Host, parallel over queries.
std::vector<double> nearest_distances(Sequences const& queries, Sequences const& others, int states, bool aligned);
/// About how long that takes, in units of a few nanoseconds.
double nearest_cost(Sequences const& queries, Sequences const& others, bool aligned);

/// What single sites and pairs of sites of two alignments have in common, over all sites (pairs i < j) and all tokens a
/// (pairs a, b): Pearson's correlation of the frequencies f_i(a), and of the connected correlations
/// C_ij(a, b) = f_ij(a, b) - f_i(a) f_j(b), with the slope of the line through C of `samples` over C of `reference` by
/// least squares. 95 % intervals by the delete-a-group jackknife over 10 groups of `samples` (none below 20 sequences).
struct AlignmentFit {
  Estimate sites, pairs, slope;
  /// How many (i, j, a, b) have which C: rows from low to high C of the samples, columns of the reference, in
  /// picture_bins steps from -picture_end to picture_end; beyond them the outermost bin.
  std::vector<std::uint32_t> picture;
};
constexpr std::size_t picture_bins = 500;
constexpr double picture_end = 0.25;  // the largest that C can be
/// Sequences of `length` >= 2 sites, tokens below `states`, at least one in each set. Host, parallel; deterministic.
AlignmentFit compare_alignments(Sequences const& samples, Sequences const& reference, int length, int states);

}  // namespace saltus::app
