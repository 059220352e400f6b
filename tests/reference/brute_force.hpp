// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <vector>

#include <saltus/ctmc/types.hpp>

/// Oracles by summing over everything, and dense linear algebra of a few lines.
namespace saltus::reference {

using Sequence = std::vector<token_t>;
using Reals = std::vector<long double>;

/// Every sequence of a length, the last site running fastest.
inline std::vector<Sequence> all_sequences(int states, int length) {
  std::vector<Sequence> all{{}};
  for (int l = 0; l < length; ++l) {
    std::vector<Sequence> longer;
    for (auto const& x : all) {
      for (token_t y = 0; y < states; ++y) {
        longer.push_back(x);
        longer.back().push_back(y);
      }
    }
    all = std::move(longer);
  }
  return all;
}

/// One site's chance of being seen as `seen` when it is `clean`: absorbing noise with the mask `mask` (A§3.1) ...
inline long double seen_absorbing(token_t clean, token_t seen, token_t mask) {
  return seen == mask || seen == clean ? 1 : 0;  // alpha and 1 - alpha are the same for every clean sequence
}
/// ... and uniform noise on `states` tokens (A§3.2).
inline long double seen_uniform(token_t clean, token_t seen, int states, long double total) {
  return std::exp(-total) * (seen == clean ? 1 : 0) - std::expm1(-total) / states;
}

/// p(x_0^site = . | x_t without site) by Bayes' rule over every x_0; empty if the context is impossible.
template <class Seen>
Reals leave_one_out(std::vector<Sequence> const& clean, Reals const& law, Sequence const& noisy, std::size_t site,
                    int states, Seen const& seen) {
  Reals posterior(static_cast<std::size_t>(states), 0);
  long double sum = 0;
  for (std::size_t i = 0; i < clean.size(); ++i) {
    long double weight = law[i];
    for (std::size_t d = 0; d < noisy.size(); ++d) weight *= d == site ? 1 : seen(clean[i][d], noisy[d]);
    posterior[static_cast<std::size_t>(clean[i][site])] += weight;
    sum += weight;
  }
  if (sum == 0) return {};
  for (long double& x : posterior) x /= sum;
  return posterior;
}

/// The joint law of a chain: one matrix [states, states] for all positions, or one a position.
inline Reals chain_law(std::vector<Sequence> const& sequences, int states, std::vector<double> const& initial,
                       std::vector<double> const& transitions) {
  auto const n = static_cast<std::size_t>(states);
  bool const one = transitions.size() == n * n;
  Reals law;
  for (auto const& x : sequences) {
    long double p = initial[static_cast<std::size_t>(x[0])];
    for (std::size_t l = 0; l + 1 < x.size(); ++l) {
      p *= transitions[((one ? 0 : l) * n + static_cast<std::size_t>(x[l])) * n + static_cast<std::size_t>(x[l + 1])];
    }
    law.push_back(p);
  }
  return law;
}

/// The joint law of the tokens of a hidden chain by summing over every hidden path; one matrix for all positions, or
/// one a position.
inline Reals hidden_law(std::vector<Sequence> const& sequences, int states, std::vector<double> const& initial,
                        std::vector<double> const& transitions, std::vector<double> const& emissions) {
  auto const n = initial.size(), s = static_cast<std::size_t>(states), length = sequences.front().size();
  bool const one = emissions.size() == n * s;
  auto const paths = all_sequences(static_cast<int>(n), static_cast<int>(length));
  Reals const weights = chain_law(paths, static_cast<int>(n), initial, transitions);
  Reals law(sequences.size(), 0);
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    for (std::size_t j = 0; j < paths.size(); ++j) {
      long double p = weights[j];
      for (std::size_t l = 0; l < length; ++l) {
        p *= emissions[((one ? 0 : l) * n + static_cast<std::size_t>(paths[j][l])) * s +
                       static_cast<std::size_t>(sequences[i][l])];
      }
      law[i] += p;
    }
  }
  return law;
}

// --------------------------------------------------------------------------------------------------- matrices [n, n]

inline Reals multiply(Reals const& a, Reals const& b, std::size_t n) {
  Reals c(n * n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      for (std::size_t k = 0; k < n; ++k) c[i * n + j] += a[i * n + k] * b[k * n + j];
    }
  }
  return c;
}

/// exp(a) by a Taylor series of a / 2^20 and 20 squarings.
inline Reals exponential_of(Reals a, std::size_t n) {
  for (long double& x : a) x = std::ldexp(x, -20);
  Reals sum(n * n, 0), term(n * n, 0);
  for (std::size_t i = 0; i < n; ++i) sum[i * n + i] = term[i * n + i] = 1;
  for (int k = 1; k < 12; ++k) {
    term = multiply(term, a, n);
    for (std::size_t i = 0; i < n * n; ++i) sum[i] += term[i] /= k;
  }
  for (int k = 0; k < 20; ++k) sum = multiply(sum, sum, n);
  return sum;
}

}  // namespace saltus::reference
