// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <vector>

#include <saltus/ctmc/types.hpp>

namespace saltus {

/// Rows of weights that are drawn from in constant time, whatever their length: Walker's alias method (1977,
/// doi:10.1145/355744.355749). Memory is proportional to the number of positive weights. Rows are ragged.
struct AliasTable {
  struct Entry {
    double accept;         ///< probability of the column given that this entry was hit; the alias otherwise
    std::uint64_t target;  ///< column | alias << 32: one word, so that a gather reads both
    KOKKOS_FORCEINLINE_FUNCTION token_t column() const { return static_cast<token_t>(target & 0xFFFFFFFFu); }
  };
  Kokkos::View<std::int64_t const*, MemorySpace> row_begin;  ///< [rows + 1]
  Kokkos::View<Entry const*, MemorySpace> entries;  ///< [weights + 1], the last for a row without any to look at
  Kokkos::View<double const*, MemorySpace> weight;           ///< [weights], of entry k's own column
  Kokkos::View<double const*, MemorySpace> total;            ///< [rows], sum of the weights
  Kokkos::View<double const*, MemorySpace> own;  ///< [rows], the weight of staying, where it means something

  bool empty() const { return total.size() == 0; }

  /// A column of `row` with probability weight / total; the row must have one.
  KOKKOS_FORCEINLINE_FUNCTION token_t draw(std::int64_t row, double uniform) const {
    return static_cast<token_t>(draw(row_begin.data(), entries.data(), row, uniform));
  }
  /// The same from bare pointers, for loops over many draws.
  KOKKOS_FORCEINLINE_FUNCTION static std::int64_t draw(std::int64_t const* row_begin, Entry const* entries,
                                                       std::int64_t row, double uniform) {
    std::int64_t const begin = row_begin[row];
    double const scaled = uniform * static_cast<double>(row_begin[row + 1] - begin);
    auto const k = static_cast<std::int64_t>(scaled);
    double const accept = entries[begin + k].accept;
    std::uint64_t const target = entries[begin + k].target;
    return static_cast<std::int64_t>(scaled - static_cast<double>(k) < accept ? target & 0xFFFFFFFFu : target >> 32);
  }
};

/// Collects rows on the host and puts them on the device.
class AliasBuilder {
 public:
  /// Weights >= 0 by column, those of 0 left out; `own` is stored beside them.
  void add_row(std::vector<token_t> const& columns, std::vector<double> const& weights, double own);
  AliasTable build(ExecSpace const& exec) const;

 private:
  std::vector<std::int64_t> row_begin_{0};
  std::vector<AliasTable::Entry> entries_;
  std::vector<double> weight_, total_, own_;
};

}  // namespace saltus
