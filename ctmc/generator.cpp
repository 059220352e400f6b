// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/generator.hpp>

#include <saltus/ctmc/error.hpp>

namespace saltus {

Generator Generator::absorbing(int states, std::optional<token_t> mask) {
  require(states >= 2, "an absorbing generator needs at least 2 states (one token and the mask), got " +
                           std::to_string(states));
  token_t const index = mask.value_or(states - 1);
  require(index >= 0 && index < states, "the mask must be one of the states 0 to " + std::to_string(states - 1) +
                                            ", got " + std::to_string(index));
  return {Kind::absorbing, states, index};
}

Generator Generator::uniform(int states) {
  require(states >= 1, "a uniform generator needs at least 1 state, got " + std::to_string(states));
  return {Kind::uniform, states, -1};
}

double Generator::rate(token_t x, token_t y) const {
  if (kind_ == Kind::absorbing) {
    if (x == mask_) return 0;
    return y == mask_ ? 1 : (x == y ? -1 : 0);
  }
  return x == y ? 1.0 / states_ - 1 : 1.0 / states_;
}

double Generator::transition(token_t x, token_t y, double alpha, double lost) const {
  if (kind_ == Kind::absorbing) {
    if (x == mask_) return x == y ? 1 : 0;
    return y == mask_ ? lost : (x == y ? alpha : 0);
  }
  return (x == y ? alpha : 0) + lost / states_;
}

}  // namespace saltus
