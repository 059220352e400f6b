// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/models/sequence_law.hpp>

namespace saltus {

/// A Markov field on a tree: the first site has a law of its own, and every other site depends on one earlier site, its
/// parent. Its posteriors under absorbing, uniform and reversible dense noise are exact by messages up and down the tree.
class MarkovTree final : public SequenceLaw {
 public:
  /// `parents` [length]: -1 for site 0, and for any other site an earlier one. `initial` [states]; `transitions` [1 or
  /// length - 1, states, states]: in the matrix of site l (number l - 1), row x is the law of its token where its parent has
  /// x. UserError unless rows sum to 1.
  MarkovTree(std::vector<int> parents, int states, std::vector<double> initial, std::vector<double> transitions,
             std::string name = "tree");
  /// An image-like field of ordered levels, row by row: the first column is a chain downwards, and each row is a chain to
  /// the right from it. The first pixel is uniform; beside a pixel of level x comes level y with probability in proportion
  /// to exp(-(x - y)^2 / (2 width^2)).
  static MarkovTree comb(int rows = 8, int columns = 8, int states = 16, double width = 1.5);

  std::string name() const override { return name_; }
  int states() const override { return states_; }
  int length() const override { return static_cast<int>(parents_.size()); }
  std::vector<int> const& parents() const { return parents_; }
  std::vector<double> const& initial() const { return initial_; }
  std::vector<double> const& transitions() const { return transitions_; }

  double log_likelihood(std::span<token_t const> x) const override;
  double entropy() const override;
  std::vector<double> site_marginals() const override;
  /// Of sites beside each other in the sequence, whatever lies between them in the tree: states passes of messages.
  std::vector<double> pair_marginals() const override;
  /// The same of three: states^2 passes.
  std::vector<double> triple_marginals() const override;
  void draw(std::uint64_t seed, std::uint64_t sample, std::span<token_t> x) const override;

 private:
  std::shared_ptr<ScoreModel> make_denoiser(Generator const& generator, bool at_revealed) const override;
  double const* matrix(std::size_t site) const {
    auto const size = static_cast<std::size_t>(states_) * static_cast<std::size_t>(states_);
    return transitions_.data() + (transitions_.size() == size ? 0 : (site - 1) * size);
  }

  int states_;
  std::vector<int> parents_;
  std::vector<double> initial_, transitions_;
  std::string name_;
};

}  // namespace saltus
