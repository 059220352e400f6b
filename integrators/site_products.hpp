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

/// Where the sequences that a row leads to lie: sequence y at base + sum over the sites that may move of y_l stride[l].
struct Place {
  std::size_t base;
  std::size_t const* stride;  ///< [length]; of the sites that move the last has the least, and so on upwards
};

/// What is multiplied out at a time: rows, each with those of its sites that may move; the others keep their token.
struct SiteRows {
  std::size_t rows;
  std::size_t const* first;  ///< [rows + 1]: row r has the entries first[r] .. first[r + 1] - 1 of the list of sites
  std::int32_t const* sites; ///< which site, ascending in each row
  double const* laws;        ///< [sites of the list, states]
  double const* weights;     ///< [rows]; 0: the row is left out
  Place const* places;       ///< [rows]
  token_t const* tokens;     ///< [rows, length]: the sequence that each row starts from
  double const* counts;      ///< [rows, length + 1]: a factor by the number of sites that move; null: 1
};

/// The sites of a row in three parts: its targets are all triples of an entry of its heads, its middles and its tails,
/// each a product of the laws of a few sites without what is impossible. A work item has the targets with one
/// combination of tokens at the heads, so that no two write to the same place.
class SiteProducts {
 public:
  SiteProducts(int states, int length);

  /// out[place of y] += weight * counts[number of sites that move] * prod_l law_l(y_l), for every row and every y with
  /// law_l(y_l) != 0 for all l.
  void add(SiteRows const& rows, double* out);

 private:
  struct Head {
    double weight;
    std::size_t offset;
    std::uint32_t block;
    std::int32_t moves;
  };
  struct Entry {
    double weight;
    std::int32_t offset;
    std::int32_t moves;
  };
  // Where the entries of a row lie.
  struct Lists {
    std::uint32_t middle, tail, end;
    bool dense;  // the tails are side by side, and their weights in `values`
    std::size_t row;
  };
  struct Task {
    std::uint32_t lists, head;  // of the chunk
  };
  // Rows that one work item prepares.
  struct Chunk {
    std::size_t begin, end;
    std::vector<Lists> lists;               // of the rows with a weight
    std::vector<Head> heads;                // and room for more
    std::vector<Entry> entries;             // middles and tails, and room for more
    std::vector<double> values;             // weights of dense tails, side by side
    std::vector<std::vector<Task>> blocks;  // tasks by combination of tokens at the heads
  };
  void cut(SiteRows const& rows, std::size_t begin, Chunk& chunk) const;
  void prepare(SiteRows const& rows, Chunk& chunk) const;
  template <class Part, class Extend>
  std::size_t expand(SiteRows const& rows, std::size_t r, std::size_t begin, std::size_t end, Part* parts,
                     Extend const& extend) const;
  template <bool counted>
  void run(SiteRows const& rows, Chunk const& chunk, Task const& task, double* out) const;

  std::size_t states_, length_;
  std::size_t heads_;               // sites that may be heads
  std::size_t blocks_;              // combinations of tokens there
  std::vector<std::size_t> in_block_;  // [heads_]: what a token there counts in the number of a combination
  std::vector<Chunk> chunks_;       // as many as were needed so far
};

}  // namespace saltus::detail
