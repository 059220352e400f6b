// SPDX-License-Identifier: BSD-3-Clause
#include "site_products.hpp"

#include <algorithm>

namespace saltus::detail {
namespace {
// Work items enough for any number of threads, and blocks of targets that fit a cache.
constexpr std::size_t least_blocks = 16, most_blocks = 256, most_block = 65536;
// What is kept for the rows of a chunk, and of as many chunks as are multiplied at a time, stays in the cache.
constexpr std::size_t most_rows = 256, most_entries = 8192, most_chunks = 64;
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
  in_block_.resize(heads_);
  for (std::size_t l = heads_, stride = 1; l-- > 0; stride *= states_) in_block_[l] = stride;
  for (Chunk& chunk : chunks_) chunk.blocks.resize(blocks_);
}

// The products of parts[0] and the sites begin .. end - 1 of the list, in ascending order; returns how many.
template <class Part, class Extend>
std::size_t SiteProducts::expand(SiteRows const& rows, std::size_t r, std::size_t begin, std::size_t end, Part* parts,
                                 Extend const& extend) const {
  std::size_t n = 1;
  for (std::size_t i = begin; i < end; ++i) {
    double const* const law = rows.laws + i * states_;
    auto const l = static_cast<std::size_t>(rows.sites[i]);
    token_t const own = rows.tokens[r * length_ + l];
    std::size_t possible = 0;
    for (std::size_t y = 0; y < states_; ++y) possible += law[y] != 0;
    for (std::size_t k = n; k-- > 0;) {  // downwards: part 0 is read last
      Part const part = parts[k];
      std::size_t to = (k + 1) * possible;
      for (std::size_t y = states_; y-- > 0;) {
        if (law[y] == 0) continue;
        Part& next = parts[--to];
        next = part;
        next.weight *= law[y];
        next.moves += static_cast<token_t>(y) != own;
        extend(next, l, y);
      }
    }
    n *= possible;
  }
  return n;
}

void SiteProducts::prepare(SiteRows const& rows, Chunk& chunk) const {
  for (auto& tasks : chunk.blocks) tasks.clear();
  chunk.lists.clear();
  std::uint32_t used = 0, used_heads = 0;
  for (std::size_t r = chunk.begin; r < chunk.end; ++r) {
    if (rows.weights[r] == 0) continue;
    Place const& place = rows.places[r];
    std::size_t const begin = rows.first[r], end = rows.first[r + 1];
    std::size_t middle = begin;
    Head* const heads = chunk.heads.data() + used_heads;
    Head& head = *heads = {rows.weights[r], place.base, 0, 0};
    for (std::size_t l = 0; l < heads_; ++l) {
      if (middle < end && static_cast<std::size_t>(rows.sites[middle]) == l) {
        ++middle;
      } else {
        auto const own = static_cast<std::size_t>(rows.tokens[r * length_ + l]);
        head.block += static_cast<std::uint32_t>(own * in_block_[l]);
      }
    }
    std::size_t const tail = middle + (end - middle) / 2;
    std::size_t const n =
        expand(rows, r, begin, middle, heads, [&](Head& next, std::size_t l, std::size_t y) {
          next.offset += y * place.stride[l];
          next.block += static_cast<std::uint32_t>(y * in_block_[l]);
        });
    auto const list = [&](std::size_t from, std::size_t to) {
      Entry* const entries = chunk.entries.data() + used;
      *entries = {1, 0, 0};
      auto const extend = [&](Entry& next, std::size_t l, std::size_t y) {
        next.offset += static_cast<std::int32_t>(y * place.stride[l]);
      };
      used += static_cast<std::uint32_t>(expand(rows, r, from, to, entries, extend));
    };
    Lists lists{.middle = used, .tail = 0, .end = 0, .dense = false, .row = r};
    list(middle, tail);
    lists.tail = used;
    list(tail, end);
    lists.end = used;
    if (lists.middle == lists.tail || lists.tail == lists.end) continue;
    Entry const *const first = chunk.entries.data() + lists.tail, *const last = chunk.entries.data() + lists.end - 1;
    lists.dense = last->offset - first->offset == last - first;
    for (std::size_t i = lists.tail; lists.dense && i < lists.end; ++i) chunk.values[i] = chunk.entries[i].weight;
    auto const number = static_cast<std::uint32_t>(chunk.lists.size());
    chunk.lists.push_back(lists);
    for (std::size_t h = 0; h < n; ++h, ++used_heads) chunk.blocks[heads[h].block].push_back({number, used_heads});
  }
}

template <bool counted>
void SiteProducts::run(SiteRows const& rows, Chunk const& chunk, Task const& task, double* out) const {
  Lists const& lists = chunk.lists[task.lists];
  Head const& head = chunk.heads[task.head];
  Entry const* const tail = chunk.entries.data() + lists.tail;
  double const* const values = chunk.values.data() + lists.tail;
  std::size_t const n = lists.end - lists.tail;
  double const* const counts = counted ? rows.counts + lists.row * (length_ + 1) : nullptr;
  int most = static_cast<int>(length_);
  while (counted && most > 0 && counts[most] == 0) --most;

  for (std::size_t m = lists.middle; m < lists.tail; ++m) {
    Entry const& middle = chunk.entries[m];
    double const weight = head.weight * middle.weight;
    double* const to = out + head.offset + middle.offset;
    if constexpr (counted) {
      int const moves = head.moves + middle.moves;
      if (moves > most) continue;
      for (std::size_t i = 0; i < n; ++i) to[tail[i].offset] += weight * tail[i].weight * counts[moves + tail[i].moves];
    } else if (lists.dense) {
      double* const there = to + tail[0].offset;
#pragma omp simd
      for (std::size_t i = 0; i < n; ++i) there[i] += weight * values[i];
    } else {
      for (std::size_t i = 0; i < n; ++i) to[tail[i].offset] += weight * tail[i].weight;
    }
  }
}

// The chunk that begins with this row, with room for its entries.
void SiteProducts::cut(SiteRows const& rows, std::size_t begin, Chunk& chunk) const {
  std::size_t entries = 0, heads = 0, end = begin;
  for (; end < std::min(begin + most_rows, rows.rows) && entries < most_entries; ++end) {
    std::size_t most = 1;  // of the middles, and of the tails
    std::size_t const movers = rows.first[end + 1] - rows.first[end];
    for (std::size_t i = 0; i < (movers + 1) / 2; ++i) most *= states_;
    entries += 2 * most;
    most = 1;
    for (std::size_t i = 0; i < std::min(movers, heads_); ++i) most *= states_;
    heads += most;
  }
  chunk.begin = begin;
  chunk.end = end;
  if (chunk.heads.size() < heads) chunk.heads.resize(heads);
  if (chunk.entries.size() < entries) {
    chunk.entries.resize(entries);
    chunk.values.resize(entries);
  }
}

void SiteProducts::add(SiteRows const& rows, double* out) {
  for (std::size_t begin = 0; begin < rows.rows;) {
    std::size_t n = 0;
    for (; n < most_chunks && begin < rows.rows; ++n) {
      cut(rows, begin, chunks_[n]);
      begin = chunks_[n].end;
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
