// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace saltus {

/// A hash table from 64-bit keys to values, in one array (open addressing, linear probing): counts of millions of
/// words. The key with all bits set cannot be stored. The order of for_each() follows from the keys and the order in
/// which they came, so it is the same in every run.
template <class Value>
class KeyTable {
 public:
  KeyTable() : cells_(16, Cell{none, {}}) {}

  /// The value of a key; a fresh one, Value{}, if it was not there. Valid until the next call.
  Value& operator[](std::uint64_t key) {
    if (5 * used_ >= 3 * cells_.size()) grow();
    Cell& cell = cells_[place(key)];
    if (cell.key == none) {
      cell.key = key;
      ++used_;
    }
    return cell.value;
  }
  /// Nothing if the key is not there.
  Value const* find(std::uint64_t key) const {
    Cell const& cell = cells_[place(key)];
    return cell.key == none ? nullptr : &cell.value;
  }
  std::size_t size() const { return used_; }
  /// body(key, value) for every key.
  template <class Body>
  void for_each(Body const& body) const {
    for (auto const& cell : cells_) {
      if (cell.key != none) body(cell.key, cell.value);
    }
  }

 private:
  static constexpr std::uint64_t none = ~std::uint64_t{0};
  struct Cell {
    std::uint64_t key;
    Value value;
  };

  std::size_t place(std::uint64_t key) const {
    // The high bits of the product are the well mixed ones.
    std::uint64_t const mixed = (key ^ (key >> 32)) * 0x9E3779B97F4A7C15u;
    std::size_t at = static_cast<std::size_t>(mixed >> (64 - std::countr_zero(cells_.size())));
    while (cells_[at].key != none && cells_[at].key != key) at = (at + 1) & (cells_.size() - 1);
    return at;
  }
  void grow() {
    std::vector<Cell> const old = std::move(cells_);
    cells_.assign(2 * old.size(), Cell{none, {}});
    for (auto const& cell : old) {
      if (cell.key != none) cells_[place(cell.key)] = cell;
    }
  }

  std::vector<Cell> cells_;  ///< a power of two of them
  std::size_t used_ = 0;
};

}  // namespace saltus
