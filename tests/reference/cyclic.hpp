// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <vector>

#include <saltus/models/markov_chain.hpp>

namespace saltus::reference {

/// The cyclic chain of A§9.3: 4 states, uniform start; stays with probability .7, else goes to the next state.
inline MarkovChain cyclic(int length) {
  std::vector<double> transitions(16, 0.0);
  for (std::size_t x = 0; x < 4; ++x) {
    transitions[x * 4 + x] = 0.7;
    transitions[x * 4 + (x + 1) % 4] = 0.3;
  }
  return {length, 4, {0.25, 0.25, 0.25, 0.25}, transitions};
}

}  // namespace saltus::reference
