// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/alias.hpp>

#include <limits>

#include <saltus/ctmc/device.hpp>
#include <saltus/ctmc/error.hpp>

namespace saltus {

void AliasBuilder::add_row(std::vector<token_t> const& columns, std::vector<double> const& weights, double own) {
  std::size_t const begin = entries_.size();
  double total = 0;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (!(weights[i] > 0)) continue;
    entries_.push_back({0, static_cast<std::uint64_t>(columns[i])});
    weight_.push_back(weights[i]);
    total += weights[i];
  }
  std::size_t const n = entries_.size() - begin;
  require(n <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()), "a row of a generator has too many jumps");
  // Vose's order of work: entries below the mean are filled up by entries above it.
  std::vector<double> height(n);
  std::vector<std::size_t> low, high;
  for (std::size_t i = 0; i < n; ++i) {
    height[i] = weight_[begin + i] / total * static_cast<double>(n);
    (height[i] < 1 ? low : high).push_back(i);
  }
  while (!low.empty() && !high.empty()) {
    std::size_t const small = low.back(), large = high.back();
    low.pop_back();
    entries_[begin + small].accept = height[small];
    entries_[begin + small].target |= static_cast<std::uint64_t>(entries_[begin + large].column()) << 32;
    height[large] -= 1 - height[small];
    if (height[large] < 1) {
      high.pop_back();
      low.push_back(large);
    }
  }
  for (std::size_t const i : low) entries_[begin + i].accept = 1;  // what rounding leaves over; scaled - k is below 1
  for (std::size_t const i : high) entries_[begin + i].accept = 1;
  row_begin_.push_back(static_cast<std::int64_t>(entries_.size()));
  total_.push_back(total);
  own_.push_back(own);
}

AliasTable AliasBuilder::build(ExecSpace const& exec) const {
  std::string const label = "saltus::ctmc::alias";
  auto entries = entries_;
  entries.push_back({1, 0});
  return {to_device(exec, row_begin_, label), to_device(exec, entries, label), to_device(exec, weight_, label),
          to_device(exec, total_, label), to_device(exec, own_, label)};
}

}  // namespace saltus
