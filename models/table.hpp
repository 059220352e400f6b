// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/models/sequence_law.hpp>

namespace saltus {

/// A joint law given entry by entry (numbered as by StateSpace): small spaces, any dependence. Its denoiser answers a
/// masked row in O(length + states) from sums of p over the patterns of tokens and masks, made with it, if there are at
/// most 2^24 of them ((states + 1)^length; 128 MiB). Otherwise, and under other noise, all rows of a sequence together
/// take O(states^length).
class TableLaw final : public SequenceLaw {
 public:
  /// `probabilities` [states^length], not negative, sum 1. UserError otherwise.
  TableLaw(int length, int states, std::vector<double> probabilities);
  /// p(x) proportional to 1 + strength * #{l : x^l = x^(l+1)}.
  static TableLaw neighbours(int length, int states, double strength);

  std::string name() const override { return "table"; }
  int states() const override { return states_; }
  int length() const override { return length_; }
  std::vector<double> const& probabilities() const { return probabilities_; }
  double log_likelihood(std::span<token_t const> x) const override;
  double entropy() const override;
  std::vector<double> site_marginals() const override;
  std::vector<double> pair_marginals() const override;
  std::vector<double> triple_marginals() const override;
  void draw(std::uint64_t seed, std::uint64_t sample, std::span<token_t> x) const override;

 private:
  std::shared_ptr<ScoreModel> make_denoiser(Generator const& generator, bool at_revealed) const override;
  int length_, states_;
  std::vector<double> probabilities_;
};

}  // namespace saltus
