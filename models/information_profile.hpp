// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <saltus/ctmc/score_model.hpp>
#include <saltus/models/sequence_law.hpp>

/// What it costs to reveal several sites at once (A§9.3). The information profile h_0 >= h_1 >= ... of a law is the
/// mean entropy, in nats, of one site given i others, over all sets of i sites and all sites outside; the h_i sum to
/// the entropy of the law. A sampler that reveals masks in random order in blocks of n_1, n_2, ... sites, each block
/// from the exact conditional laws of its sites, makes a path of KL divergence sum_k sum_(j < n_k) (h_(i_k) - h_(i_k +
/// j)) with i_k sites revealed before block k, which bounds that of its output.
namespace saltus {

/// Whether information_profile() knows the law: a ProductLaw, a MarkovChain, or a TableLaw of (states + 1)^length <=
/// 1e10.
bool has_information_profile(SequenceLaw const& law);

/// h_0 ... h_(length - 1), on the host. Exact: for a ProductLaw; for a MarkovChain from the nearest revealed
/// neighbours, in O(length^3 + length states^3) (a matrix for each position: length^2 states^3); for a TableLaw from
/// the entropies of all sets of sites, O((states + 1)^length). UserError for other laws, which sampled_profile()
/// estimates.
std::vector<double> information_profile(SequenceLaw const& law);

/// An estimate with the standard error of each entry.
struct SampledProfile {
  std::vector<double> mean, error;  ///< [length]
};

/// The profile of a masked model by Monte Carlo (A§17.15): each sequence of `data` [draws, length] (at least 2, drawn
/// from the law that the profile is wanted of) is masked in a random order of its own, and for every i the entropies of
/// the model's laws at the hidden sites are averaged. `length` evaluations of every draw. Draw d uses sample d of the
/// stream `seed`, role order; the result is the same on every machine up to rounding. Synchronous. UserError unless the
/// model has a mask and needs no time, and the data fit it.
SampledProfile sampled_profile(ExecSpace const& exec, ScoreModel& model, HostTokens const& data, std::uint64_t seed);

/// Path KL divergence of the given block sizes, which must be positive and sum to the length of the profile
/// (UserError).
double parallel_cost(std::span<double const> profile, std::span<int const> blocks);

/// The `count` block sizes of least parallel_cost() (A§17.14), by dynamic programming in O(length^2 count); `cost`:
/// where to put theirs. An estimated profile that rises somewhere is first replaced by the nearest one that does not. UserError unless 1 <= count <= length.
std::vector<int> optimal_blocks(std::span<double const> profile, int count, double* cost = nullptr);

/// `count` block sizes that differ by at most 1, the larger ones first. UserError unless 1 <= count <= length.
std::vector<int> equal_blocks(int length, int count);

/// Expected parallel_cost() of a Tweedie sampler: in step k every remaining mask is revealed with probability reveal[k]
/// by itself (StepCoeff::reveal), so that block sizes are binomial. O(length^2 steps). UserError unless the
/// probabilities lie in [0, 1] and the last is 1, so that no mask remains.
double binomial_cost(std::span<double const> profile, std::span<double const> reveal);

/// The same for `steps` steps that are uniform in alpha: reveal[k] = 1/(steps - k).
double binomial_cost(std::span<double const> profile, int steps);

}  // namespace saltus
