// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/models/sequence_law.hpp>

namespace saltus {

/// A Markov chain of order 1 along the sequence, homogeneous or with a matrix per position; its posteriors under absorbing
/// and uniform noise are exact by message passing (A§13.7, 13.8, 17.22).
class MarkovChain final : public SequenceLaw {
 public:
  /// `initial` [states]; `transitions` [1 or length - 1, states, states], row x the law of the next token. UserError
  /// unless rows sum to 1.
  MarkovChain(int length, int states, std::vector<double> initial, std::vector<double> transitions,
              std::string name = "chain");
  /// Fitted to `count` sequences [count, length]: each row of counts n(x, .) gives (n(x,y) + c/states)/(n(x) + c) with the
  /// pseudo-count c > 0; one matrix per position, or one in all.
  static MarkovChain fit(std::span<token_t const> tokens, std::size_t count, int length, int states,
                         double pseudo_count, bool homogeneous);
  /// The countdown of JYS and LSD: first token uniform; x > 0 is followed by x - 1, 0 by a uniform token (A§13.7).
  static MarkovChain countdown(int states = 32, int length = 256);

  std::string name() const override { return name_; }
  int states() const override { return states_; }
  int length() const override { return length_; }
  /// One matrix for all positions.
  bool homogeneous() const { return transitions_.size() == static_cast<std::size_t>(states_) * static_cast<std::size_t>(states_); }
  std::vector<double> const& initial() const { return initial_; }
  std::vector<double> const& transitions() const { return transitions_; }
  /// p(x^(l+1) = z | x^l = y).
  double transition(int l, token_t y, token_t z) const { return matrix(l)[y * states_ + z]; }

  double log_likelihood(std::span<token_t const> x) const override;
  double entropy() const override;
  std::vector<double> site_marginals() const override;
  std::vector<double> pair_marginals() const override;
  std::vector<double> triple_marginals() const override;
  void draw(std::uint64_t seed, std::uint64_t sample, std::span<token_t> x) const override;

 private:
  std::shared_ptr<ScoreModel> make_denoiser(Generator const& generator, bool at_revealed) const override;
  double const* matrix(int l) const {
    auto const size = static_cast<std::size_t>(states_) * static_cast<std::size_t>(states_);
    return transitions_.data() + (transitions_.size() == size ? 0 : static_cast<std::size_t>(l) * size);
  }

  int length_, states_;
  std::vector<double> initial_, transitions_;
  std::string name_;
};

}  // namespace saltus
