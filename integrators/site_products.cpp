// SPDX-License-Identifier: BSD-3-Clause
#include "site_products.hpp"

#include <algorithm>

namespace saltus::detail {
namespace {
// Work items enough for any number of threads, and blocks of targets that fit a cache.
constexpr std::size_t least_blocks = 16, most_blocks = 256, most_block = 65536;
// What is kept for the rows of a chunk, and of as many chunks as are multiplied at a time, stays in the cache.
constexpr std::size_t most_rows = 256, most_entries = 4096, most_chunks = 32;
}  // namespace

SiteProducts::SiteProducts(int states, int length)
    : states_(static_cast<std::size_t>(states)), length_(static_cast<std::size_t>(length)), heads_(0), blocks_(1),
      chunks_(most_chunks) {
  std::size_t block = 1;
  for (std::size_t l = 0; l < length_; ++l) block *= states_;
  while (heads_ + 1 < length_ &&
         (blocks_ < least_blocks || (block > most_block && blocks_ * states_ <= most_blocks))) {
    ++heads_;
    blocks_ *= states_;
    block /= states_;
  }
  for (Chunk& chunk : chunks_) chunk.blocks.resize(blocks_);
}

// The products of the sites begin .. end - 1 of the list, appended in ascending order to the last of `parts`, which they
// replace.
template <class Part, class Extend>
void SiteProducts::expand(SiteRows const& rows, std::size_t r, std::size_t begin, std::size_t end,
                          std::vector<Part>& parts, Extend const& extend) const {
  std::size_t const base = parts.size() - 1;
  std::size_t n = 1;
  for (std::size_t i = begin; i < end; ++i) {
    double const* const law = rows.laws + i * states_;
    auto const l = static_cast<std::size_t>(rows.sites[i]);
    token_t const own = rows.tokens[r * length_ + l];
    std::size_t possible = 0;
    for (std::size_t y = 0; y < states_; ++y) possible += law[y] != 0;
    parts.resize(base + n * possible);
    Part* const at = parts.data() + base;
    for (std::size_t k = n; k-- > 0;) {  // downwards: part 0 is read last
      Part const part = at[k];
      std::size_t to = (k + 1) * possible;
      for (std::size_t y = states_; y-- > 0;) {
        if (law[y] == 0) continue;
        Part& next = at[--to] = part;
        next.weight *= law[y];
        next.moves += static_cast<token_t>(y) != own;
        extend(next, l, y);
      }
    }
    n *= possible;
  }
}

void SiteProducts::prepare(SiteRows const& rows, Chunk& chunk) const {
  chunk.entries.clear();
  for (auto& tasks : chunk.blocks) tasks.clear();
  auto const in_block = [&](Head& head, std::size_t l, std::size_t y) {
    std::size_t block = y;
    for (std::size_t d = l + 1; d < heads_; ++d) block *= states_;
    head.block += static_cast<std::uint32_t>(block);
  };
  for (std::size_t r = chunk.begin; r < chunk.end; ++r) {
    if (rows.weights[r] == 0) continue;
    Place const& place = rows.places[r];
    std::size_t const begin = rows.first[r], end = rows.first[r + 1];
    std::size_t middle = begin;
    Head head{rows.weights[r], place.base, 0, 0};
    for (std::size_t l = 0; l < heads_; ++l) {
      if (middle < end && static_cast<std::size_t>(rows.sites[middle]) == l) {
        ++middle;
      } else {
        in_block(head, l, static_cast<std::size_t>(rows.tokens[r * length_ + l]));
      }
    }
    std::size_t const tail = middle + (end - middle) / 2;
    chunk.heads.assign(1, head);
    expand(rows, r, begin, middle, chunk.heads, [&](Head& next, std::size_t l, std::size_t y) {
      next.offset += y * place.stride[l];
      in_block(next, l, y);
    });
    auto const offset = [&](Entry& next, std::size_t l, std::size_t y) {
      next.offset += static_cast<std::int32_t>(y * place.stride[l]);
    };
    Task task{.head = {}, .middle = static_cast<std::uint32_t>(chunk.entries.size()), .tail = 0, .end = 0,
              .row = static_cast<std::uint32_t>(r)};
    chunk.entries.push_back({1, 0, 0});
    expand(rows, r, middle, tail, chunk.entries, offset);
    task.tail = static_cast<std::uint32_t>(chunk.entries.size());
    chunk.entries.push_back({1, 0, 0});
    expand(rows, r, tail, end, chunk.entries, offset);
    task.end = static_cast<std::uint32_t>(chunk.entries.size());
    for (Head const& h : chunk.heads) {
      task.head = h;
      chunk.blocks[h.block].push_back(task);
    }
  }
  chunk.values.resize(chunk.entries.size());
  std::transform(chunk.entries.begin(), chunk.entries.end(), chunk.values.begin(), [](Entry const& e) { return e.weight; });
}

template <bool counted>
void SiteProducts::run(SiteRows const& rows, Chunk const& chunk, Task const& task, double* out) const {
  Entry const* const tail = chunk.entries.data() + task.tail;
  double const* const values = chunk.values.data() + task.tail;
  std::size_t const n = task.end - task.tail;
  if (n == 0) return;
  bool const dense = static_cast<std::size_t>(tail[n - 1].offset - tail[0].offset) == n - 1;
  double const* const counts = counted ? rows.counts + task.row * (length_ + 1) : nullptr;
  int most = static_cast<int>(length_);
  while (counted && most > 0 && counts[most] == 0) --most;

  for (std::size_t m = task.middle; m < task.tail; ++m) {
    Entry const& middle = chunk.entries[m];
    double const weight = task.head.weight * middle.weight;
    double* const to = out + task.head.offset + middle.offset;
    if constexpr (counted) {
      int const moves = task.head.moves + middle.moves;
      if (moves > most) continue;
      for (std::size_t i = 0; i < n; ++i) to[tail[i].offset] += weight * values[i] * counts[moves + tail[i].moves];
    } else if (dense) {
      double* const there = to + tail[0].offset;
#pragma omp simd
      for (std::size_t i = 0; i < n; ++i) there[i] += weight * values[i];
    } else {
      for (std::size_t i = 0; i < n; ++i) to[tail[i].offset] += weight * values[i];
    }
  }
}

// The end of the chunk that begins with this row.
std::size_t SiteProducts::cut(SiteRows const& rows, std::size_t begin) {
  std::size_t end = begin;
  for (std::size_t entries = 0; end < std::min(begin + most_rows, rows.rows) && entries < most_entries; ++end) {
    std::size_t most = 1;  // of any part
    for (std::size_t i = 0; i < (rows.first[end + 1] - rows.first[end] + 1) / 2; ++i) most *= states_;
    entries += most;
  }
  return end;
}

void SiteProducts::add(SiteRows const& rows, double* out) {
  for (std::size_t begin = 0; begin < rows.rows;) {
    std::size_t n = 0;
    for (; n < most_chunks && begin < rows.rows; ++n) {
      chunks_[n].begin = begin;
      chunks_[n].end = begin = cut(rows, begin);
    }
    for_each_on_host("saltus::integrators::law::prepare", n,
                     [&](std::int64_t item) { prepare(rows, chunks_[static_cast<std::size_t>(item)]); });
    for_each_on_host("saltus::integrators::law::multiply", blocks_, [&](std::int64_t block) {
      for (std::size_t c = 0; c < n; ++c) {
        for (Task const& task : chunks_[c].blocks[static_cast<std::size_t>(block)]) {
          if (rows.counts) {
            run<true>(rows, chunks_[c], task, out);
          } else {
            run<false>(rows, chunks_[c], task, out);
          }
        }
      }
    });
  }
}

}  // namespace saltus::detail
