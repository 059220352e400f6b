// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include <saltus/ctmc/types.hpp>
#include <saltus/models/key_table.hpp>

namespace saltus {

/// Interpolated modified Kneser-Ney n-gram model of token sequences (Chen, Goodman 1998, Harvard TR-10-98, section 3):
/// with c_n the counts of words of n symbols, c_k of shorter ones the number of different symbols that they follow
/// (continuation counts), h a context of k - 1 symbols and h' the same without its oldest,
///
///     p_k(w | h) = (c_k(h w) - D_k(c_k(h w))) / c_k(h .) + g_k(h) p_{k-1}(w | h'),
///     g_k(h) = (D_k(1) N_1(h) + D_k(2) N_2(h) + D_k(3) N_3+(h)) / c_k(h .),
///
/// N_i(h) the number of symbols w with c_k(h w) = i (3+: at least 3), p_k = p_{k-1} where h was never seen, and p_0
/// uniform. D_k(1) = 1 - 2 Y n_2/n_1, D_k(2) = 2 - 3 Y n_3/n_2, D_k(3+) = 3 - 4 Y n_4/n_3, Y = n_1/(n_1 + 2 n_2), from
/// the numbers n_i of words of k symbols with c_k = i; where one of n_1 to n_4 is 0 or a discount leaves (0, i]: 1/2, 1
/// and 3/2 (few kinds of words, as unigrams of characters; Heafield et al. 2013). A sequence begins after n - 1 begin
/// symbols and, if asked for, closes with an end symbol. Host, one thread, deterministic.
class KneserNey {
 public:
  /// The largest order whose words fit into a key, for so many states (6 up to 1021 states, 4 up to 65,533).
  static int largest_order(int states);

  /// Counts `sequences`, whose tokens are from 0 to states - 1. With `ends` the end symbol is predicted as a token is;
  /// without, sequences are of a length that is known. Time grows with tokens x order, memory with the number of
  /// different words: English text of 14 million characters takes about a second and 100 MB at order 6.
  /// Throws UserError unless order is from 1 to largest_order(states), and if there is nothing to count.
  static KneserNey fit(std::span<std::span<token_t const> const> sequences, int states, int order, bool ends);

  int order() const { return static_cast<int>(levels_.size()); }
  int states() const { return states_; }
  bool ends() const { return ends_; }
  /// Tokens, and the end symbol where there is one: what probability() sums to 1 over.
  int vocabulary() const { return states_ + (ends_ ? 1 : 0); }

  /// Of `next` (states(): the end) after the whole sequence so far. Never 0.
  double probability(std::span<token_t const> before, token_t next) const;
  /// ln p of a whole sequence, its end included if there are ends.
  double log_probability(std::span<token_t const> sequence) const;
  /// Discounts of words of k symbols (1 to order()) seen once, twice, more often.
  std::array<double, 3> discounts(int k) const { return levels_[static_cast<std::size_t>(k - 1)].discounts; }

 private:
  struct Context {
    std::uint64_t total = 0;               ///< c_k(h .)
    std::array<std::uint32_t, 3> kinds{};  ///< N_1, N_2, N_3+
  };
  struct Level {
    KeyTable<std::uint32_t> words;  ///< c_k
    KeyTable<Context> contexts;
    std::array<double, 3> discounts{};
  };

  KneserNey(int states, int order, bool ends);
  // A key holds the newest symbol in its lowest bits: 0 begins, y + 1 is token y, states + 1 ends.
  std::uint64_t symbol(token_t token) const { return static_cast<std::uint64_t>(token) + 1; }
  std::uint64_t newest(std::uint64_t key, int count) const;
  double probability_after(std::uint64_t context, std::uint64_t next) const;
  void weigh(Level& level) const;

  std::vector<Level> levels_;
  int states_, bits_;
  bool ends_;
};

}  // namespace saltus
