// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <Kokkos_Core.hpp>

#include <saltus/ctmc/types.hpp>

/// Products of the laws of single sites, multiplied out over enumerated sequences, on the threads of the host. Numbers
/// do not depend on how many there are. For exact_law.cpp; not installed.
namespace saltus::detail {

using HostExec = Kokkos::DefaultHostExecutionSpace;

/// f(i) for 0 <= i < n, handed out one by one; waits.
template <class Function>
void for_each_on_host(std::string const& label, std::size_t n, Function const& f) {
  HostExec const exec;
  using Policy = Kokkos::RangePolicy<HostExec, Kokkos::IndexType<std::int64_t>, Kokkos::Schedule<Kokkos::Dynamic>>;
  Policy policy(exec, 0, static_cast<std::int64_t>(n));
  policy.set_chunk_size(1);
  Kokkos::parallel_for(label, policy, f);
  exec.fence(label);
}

/// Where the sequences that a row leads to lie: sequence y at base + sum_l y_l stride[l]. A site of stride 0 keeps its
/// token.
struct Place {
  std::size_t base;
  std::size_t const* stride;  ///< [length]; of the sites that move the last has 1, and so on upwards
};

/// What is multiplied out at a time.
struct SiteRows {
  std::size_t rows;
  double const* laws;        ///< [rows, length, states]
  double const* weights;     ///< [rows]; 0: the row is left out
  Place const* places;       ///< [rows]
  token_t const* tokens;     ///< [rows, length]: the sequence that each row starts from
  double const* counts;      ///< [rows, length + 1]: a factor by the number of sites that move; null: 1
};

/// Sites in three parts: the targets of a row are all triples of an entry of its heads, its middles and its tails, each
/// a product of the laws of a few sites without what is impossible. A work item has the targets with one combination of
/// tokens at the heads, so that no two write to the same place.
class SiteProducts {
 public:
  SiteProducts(int states, int length);

  /// out[place of y] += weight * counts[number of sites that move] * prod_l law_l(y_l), for every row and every y with
  /// law_l(y_l) != 0 for all l.
  void add(SiteRows const& rows, double* out);

 private:
  struct Entry {
    double weight;
    std::int32_t offset;
    std::int32_t moves;
  };
  // Where the entries of a row lie.
  struct Lists {
    std::size_t head, middle, tail, end;
  };
  struct Task {
    std::size_t row;   // of the tile
    std::size_t head;  // entry
  };
  std::size_t targets(SiteRows const& rows, std::size_t r, std::size_t l) const;
  void fill(SiteRows const& rows, std::size_t r, Lists const& lists);
  std::size_t expand(SiteRows const& rows, std::size_t r, std::size_t first, std::size_t last, bool as_block,
                     Entry* entries) const;
  template <bool counted>
  void run(SiteRows const& rows, std::size_t begin, Task const& task, double* out) const;

  std::size_t states_, length_;
  std::size_t middle_, tail_;  // first sites of the parts
  std::size_t blocks_;         // combinations of tokens at the heads
  std::vector<Lists> lists_;   // [rows of the tile]
  std::vector<Entry> entries_;
  std::vector<double> values_;               // weights of the entries, again, side by side
  std::vector<std::vector<Task>> tasks_;     // [blocks]
};

}  // namespace saltus::detail
