// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/models/sequence_law.hpp>

namespace saltus {

/// Independent sites, each with its own law (A§13.9): the exact and the Tweedie integrator reproduce it in any number of
/// steps.
class ProductLaw final : public SequenceLaw {
 public:
  /// `probabilities` [length, states], rows summing to 1. UserError otherwise.
  ProductLaw(int length, int states, std::vector<double> probabilities);
  /// Fitted to `count` sequences [count, length]: (n(y) + c/states)/(count + c) with the pseudo-count c > 0.
  static ProductLaw fit(std::span<token_t const> tokens, std::size_t count, int length, int states, double pseudo_count);

  std::string name() const override { return "product"; }
  int states() const override { return states_; }
  int length() const override { return length_; }
  double log_likelihood(std::span<token_t const> x) const override;
  double entropy() const override;
  std::vector<double> site_marginals() const override { return probabilities_; }
  std::vector<double> pair_marginals() const override;
  std::vector<double> triple_marginals() const override;
  void draw(std::uint64_t seed, std::uint64_t sample, std::span<token_t> x) const override;

 private:
  std::shared_ptr<ScoreModel> make_denoiser(Generator const& generator, bool at_revealed) const override;
  int length_, states_;
  std::vector<double> probabilities_;
};

}  // namespace saltus
