// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <utility>

#include <saltus/models/sequence_law.hpp>

namespace saltus {

/// A hidden Markov chain: a chain of order 1 over hidden states, each of which emits one token. Its posteriors under
/// noise are exact by message passing with one more layer (A§13.8). A noised Markov chain is one.
class HiddenMarkov final : public SequenceLaw {
 public:
  /// With H hidden states: `initial` [H]; `transitions` [1 or length - 1, H, H], row h the law of the next hidden
  /// state; `emissions` [1 or length, H, states], row h the law of the token. UserError unless rows sum to 1.
  HiddenMarkov(int length, int states, std::vector<double> initial, std::vector<double> transitions,
               std::vector<double> emissions, std::string name = "hidden_markov");

  std::string name() const override { return name_; }
  int states() const override { return states_; }
  int length() const override { return length_; }
  int hidden_states() const { return hidden_; }
  std::vector<double> const& initial() const { return initial_; }
  std::vector<double> const& transitions() const { return transitions_; }
  std::vector<double> const& emissions() const { return emissions_; }

  /// By the forward algorithm with every message normalised: O(length H (H + 1)), no underflow.
  double log_likelihood(std::span<token_t const> x) const override;
  /// There is no closed form. Up to 1e5 sequences it is summed over all of them; beyond, it is the mean of -ln p over
  /// 4096 draws of the law itself (always the same ones). Computed at each call.
  double entropy() const override { return entropy_and_error().first; }
  /// The standard error of entropy(); 0 where that is a sum over all sequences.
  double entropy_error() const { return entropy_and_error().second; }
  std::vector<double> site_marginals() const override;
  std::vector<double> pair_marginals() const override;
  std::vector<double> triple_marginals() const override;
  void draw(std::uint64_t seed, std::uint64_t sample, std::span<token_t> x) const override;

 private:
  std::shared_ptr<ScoreModel> make_denoiser(Generator const& generator, bool at_revealed) const override;
  std::pair<double, double> entropy_and_error() const;
  std::vector<double> hidden_marginals() const;  // [length, H]
  double const* matrix(int l) const {
    return transitions_.data() + (one_matrix_ ? 0 : static_cast<std::ptrdiff_t>(l) * hidden_ * hidden_);
  }
  double const* emission(int l) const {
    return emissions_.data() + (one_emission_ ? 0 : static_cast<std::ptrdiff_t>(l) * hidden_ * states_);
  }

  int length_, states_, hidden_;
  bool one_matrix_, one_emission_;
  std::vector<double> initial_, transitions_, emissions_;
  std::string name_;
};

}  // namespace saltus
