// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>
#include <string>

#include <saltus/ctmc/types.hpp>

namespace saltus {

/// The rate matrix Q of one site (row convention: Q(x, y) is the rate x -> y, rows sum to 0), multiplied by the noise
/// rate sigma(t). Sites are independent copies under the forward process.
class Generator {
 public:
  enum class Kind { absorbing, uniform };

  /// Every token jumps to the mask at rate 1; the mask stays (A§3.1). `states` counts the mask, which is
  /// `mask` (default: the last state).
  static Generator absorbing(int states, std::optional<token_t> mask = std::nullopt);

  /// Every token jumps to each other token at rate 1/states (A§3.2, the normalisation of SEDD).
  static Generator uniform(int states);

  Kind kind() const { return kind_; }
  int states() const { return states_; }
  std::optional<token_t> mask() const {
    return kind_ == Kind::absorbing ? std::optional<token_t>(mask_) : std::nullopt;
  }
  /// Number of states that data can have (all but the mask).
  int data_states() const { return kind_ == Kind::absorbing ? states_ - 1 : states_; }
  std::string name() const { return kind_ == Kind::absorbing ? "absorbing" : "uniform"; }

  /// Q(x, y); host.
  double rate(token_t x, token_t y) const;
  /// P(x, y) = exp(sigma_bar Q)(x, y) with survival probability alpha = exp(-sigma_bar); host. `lost` is 1 - alpha,
  /// passed apart so that nothing cancels.
  double transition(token_t x, token_t y, double alpha, double lost) const;

 private:
  Generator(Kind kind, int states, token_t mask) : kind_(kind), states_(states), mask_(mask) {}
  Kind kind_;
  int states_;
  token_t mask_;
};

}  // namespace saltus
