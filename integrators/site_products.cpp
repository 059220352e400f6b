// SPDX-License-Identifier: BSD-3-Clause
#include "site_products.hpp"

#include <algorithm>

namespace saltus::detail {
namespace {
// Work items enough for any number of threads, and blocks of targets that fit a cache.
constexpr std::size_t least_blocks = 16, most_blocks = 256, most_block = 65536;
// What is kept for the rows of a tile stays in the cache.
constexpr std::size_t most_entries = std::size_t{1} << 17, most_rows = 8192;
}  // namespace

SiteProducts::SiteProducts(int states, int length)
    : states_(static_cast<std::size_t>(states)), length_(static_cast<std::size_t>(length)), middle_(0), blocks_(1) {
  std::size_t block = 1;
  for (std::size_t l = 0; l < length_; ++l) block *= states_;
  while (middle_ + 1 < length_ &&
         (blocks_ < least_blocks || (block > most_block && blocks_ * states_ <= most_blocks))) {
    ++middle_;
    blocks_ *= states_;
    block /= states_;
  }
  tail_ = middle_ + (length_ - middle_) / 2;
  tasks_.resize(blocks_);
}

// The number of tokens that a site may have. Most sites of masked rows stay for sure, which is told without a loop;
// with counts the laws are no laws.
std::size_t SiteProducts::targets(SiteRows const& rows, std::size_t r, std::size_t l) const {
  double const* const p = rows.laws + (r * length_ + l) * states_;
  if (!rows.counts && p[rows.tokens[r * length_ + l]] == 1) return 1;
  std::size_t n = 0;
  for (std::size_t y = 0; y < states_; ++y) n += p[y] != 0;
  return n;
}

// The products of the sites first .. last - 1 with their offsets, in ascending order; returns how many. `as_block`:
// offsets number the combinations of tokens instead.
std::size_t SiteProducts::expand(SiteRows const& rows, std::size_t r, std::size_t first, std::size_t last,
                                 bool as_block, Entry* entries) const {
  double const* const law = rows.laws + r * length_ * states_;
  token_t const* const own = rows.tokens + r * length_;
  std::size_t n = 1;
  for (std::size_t l = first; l < last; ++l) {
    double const* const p = law + l * states_;
    std::size_t const stride = as_block ? 1 : rows.places[r].stride[l], possible = targets(rows, r, l);
    if (as_block) {
      for (std::size_t k = 0; k < n; ++k) entries[k].offset *= static_cast<std::int32_t>(states_);
    }
    if (possible == 1 && p[own[l]] == 1) {
      for (std::size_t k = 0; k < n; ++k) entries[k].offset += own[l] * static_cast<std::int32_t>(stride);
      continue;
    }
    for (std::size_t k = n; k-- > 0;) {  // downwards: entry 0 is read last
      Entry const entry = entries[k];
      std::size_t at = (k + 1) * possible;
      for (std::size_t y = states_; y-- > 0;) {
        if (p[y] == 0) continue;
        entries[--at] = {entry.weight * p[y], entry.offset + static_cast<std::int32_t>(y * stride),
                         entry.moves + (static_cast<token_t>(y) != own[l])};
      }
    }
    n *= possible;
  }
  return n;
}

void SiteProducts::fill(SiteRows const& rows, std::size_t r, Lists const& lists) {
  if (lists.end == lists.head) return;
  Entry* const entries = entries_.data();
  entries[lists.head] = {rows.weights[r], 0, 0};
  entries[lists.middle] = entries[lists.tail] = {1, 0, 0};
  expand(rows, r, 0, middle_, true, entries + lists.head);
  expand(rows, r, middle_, tail_, false, entries + lists.middle);
  expand(rows, r, tail_, length_, false, entries + lists.tail);
  for (std::size_t i = lists.tail; i < lists.end; ++i) values_[i] = entries[i].weight;
}

template <bool counted>
void SiteProducts::run(SiteRows const& rows, std::size_t begin, Task const& task, double* out) const {
  Lists const& lists = lists_[task.row];
  std::size_t const r = begin + task.row;
  Place const& place = rows.places[r];
  Entry const& head = entries_[task.head];
  out += place.base;
  auto block = static_cast<std::size_t>(head.offset);
  for (std::size_t l = middle_; l-- > 0; block /= states_) out += block % states_ * place.stride[l];

  Entry const* const tail = entries_.data() + lists.tail;
  double const* const values = values_.data() + lists.tail;
  std::size_t const n = lists.end - lists.tail;
  bool const dense = static_cast<std::size_t>(tail[n - 1].offset - tail[0].offset) == n - 1;
  double const* const counts = counted ? rows.counts + r * (length_ + 1) : nullptr;
  int most = static_cast<int>(length_);
  while (counted && most > 0 && counts[most] == 0) --most;

  for (std::size_t m = lists.middle; m < lists.tail; ++m) {
    Entry const& middle = entries_[m];
    double const weight = head.weight * middle.weight;
    double* const to = out + middle.offset;
    if constexpr (counted) {
      int const moves = head.moves + middle.moves;
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

void SiteProducts::add(SiteRows const& rows, double* out) {
  auto const count = [&](std::size_t r, std::size_t first, std::size_t last) {
    std::size_t n = 1;
    for (std::size_t l = first; l < last; ++l) n *= targets(rows, r, l);
    return n;
  };
  std::vector<Lists> sizes(rows.rows);  // of the lists of each row
  std::size_t const group = 256;
  for_each_on_host("saltus::integrators::law::count", (rows.rows + group - 1) / group, [&](std::int64_t item) {
    std::size_t const first = static_cast<std::size_t>(item) * group;
    for (std::size_t r = first; r < std::min(first + group, rows.rows); ++r) {
      if (rows.weights[r] != 0)
        sizes[r] = {count(r, 0, middle_), count(r, middle_, tail_), count(r, tail_, length_), 0};
    }
  });
  for (std::size_t begin = 0, end = 0; begin < rows.rows; begin = end) {
    lists_.clear();
    std::size_t used = 0;
    for (; end < rows.rows && used < most_entries && end - begin < most_rows; ++end) {
      Lists const& size = sizes[end];
      lists_.push_back(
          {used, used + size.head, used + size.head + size.middle, used + size.head + size.middle + size.tail});
      used = lists_.back().end;
    }
    if (entries_.size() < used) {
      entries_.resize(used);
      values_.resize(used);
    }
    for_each_on_host("saltus::integrators::law::prepare", (end - begin + group - 1) / group, [&](std::int64_t item) {
      std::size_t const first = static_cast<std::size_t>(item) * group;
      for (std::size_t i = first; i < std::min(first + group, end - begin); ++i) fill(rows, begin + i, lists_[i]);
    });
    for (auto& tasks : tasks_) tasks.clear();
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      for (std::size_t h = lists_[i].head; h < lists_[i].middle; ++h) {
        tasks_[static_cast<std::size_t>(entries_[h].offset)].push_back({i, h});
      }
    }
    for_each_on_host("saltus::integrators::law::multiply", blocks_, [&](std::int64_t block) {
      for (Task const& task : tasks_[static_cast<std::size_t>(block)]) {
        if (rows.counts) {
          run<true>(rows, begin, task, out);
        } else {
          run<false>(rows, begin, task, out);
        }
      }
    });
  }
}

}  // namespace saltus::detail
