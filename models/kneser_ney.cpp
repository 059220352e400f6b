// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/kneser_ney.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include <saltus/ctmc/error.hpp>

namespace saltus {
namespace {
// Codes 0 to states + 1, and one more so that no key has all bits set.
int bits_of(int states) { return std::bit_width(static_cast<std::uint64_t>(states) + 2); }
}  // namespace

int KneserNey::largest_order(int states) { return std::min(6, 64 / bits_of(states)); }

KneserNey::KneserNey(int states, int order, bool ends)
    : levels_(static_cast<std::size_t>(order)), states_(states), bits_(bits_of(states)), ends_(ends) {}

std::uint64_t KneserNey::newest(std::uint64_t key, int count) const {
  int const bits = bits_ * count;
  return bits >= 64 ? key : key & ((std::uint64_t{1} << bits) - 1);
}

KneserNey KneserNey::fit(std::span<std::span<token_t const> const> sequences, int states, int order, bool ends) {
  require(states >= 1, "expected at least 1 state, got " + std::to_string(states));
  require(order >= 1 && order <= largest_order(states),
          "the order of an n-gram model of " + std::to_string(states) + " states must be from 1 to " +
              std::to_string(largest_order(states)) + ", got " + std::to_string(order));
  KneserNey model(states, order, ends);
  auto& top = model.levels_.back().words;
  for (auto const& sequence : sequences) {
    std::uint64_t window = 0;  // all begin symbols
    auto const add = [&](std::uint64_t symbol) {
      window = model.newest(window << model.bits_ | symbol, order);
      ++top[window];
    };
    for (token_t const token : sequence) {
      SALTUS_ASSERT(token >= 0 && token < states);
      add(model.symbol(token));
    }
    if (ends) add(model.symbol(states));
  }
  require(top.size() > 0, "an n-gram model needs at least one token to count");
  for (int k = order - 1; k >= 1; --k) {
    auto& shorter = model.levels_[static_cast<std::size_t>(k - 1)].words;
    model.levels_[static_cast<std::size_t>(k)].words.for_each(
        [&](std::uint64_t key, std::uint32_t) { ++shorter[model.newest(key, k)]; });
  }
  for (auto& level : model.levels_) model.weigh(level);
  return model;
}

void KneserNey::weigh(Level& level) const {
  std::array<double, 5> kinds{};  // n_1 to n_4 at 1 to 4
  level.words.for_each([&](std::uint64_t key, std::uint32_t count) {
    if (count <= 4) ++kinds[count];
    Context& context = level.contexts[key >> bits_];
    context.total += count;
    ++context.kinds[std::min(count, 3u) - 1];
  });
  bool usual = std::all_of(kinds.begin() + 1, kinds.end(), [](double n) { return n > 0; });
  if (usual) {
    double const y = kinds[1] / (kinds[1] + 2 * kinds[2]);
    for (std::size_t i = 1; i <= 3; ++i) {
      double const count = static_cast<double>(i), discount = count - (count + 1) * y * kinds[i + 1] / kinds[i];
      level.discounts[i - 1] = discount;
      usual = usual && discount > 0 && discount <= count;
    }
  }
  if (!usual) level.discounts = {0.5, 1, 1.5};
}

double KneserNey::probability_after(std::uint64_t context, std::uint64_t next) const {
  double p = 1.0 / vocabulary();
  for (int k = 1; k <= order(); ++k) {
    Level const& level = levels_[static_cast<std::size_t>(k - 1)];
    std::uint64_t const h = k == 1 ? 0 : newest(context, k - 1);
    Context const* const seen = level.contexts.find(h);
    if (!seen) break;  // longer contexts were not seen either
    double const total = static_cast<double>(seen->total);
    double kept = 0;
    for (std::size_t i = 0; i < 3; ++i) kept += level.discounts[i] * seen->kinds[i];
    p *= kept / total;
    if (auto const* const count = level.words.find(h << bits_ | next))
      p += (*count - level.discounts[std::min(*count, 3u) - 1]) / total;
  }
  return p;
}

double KneserNey::probability(std::span<token_t const> before, token_t next) const {
  SALTUS_ASSERT(next >= 0 && next < vocabulary());
  std::size_t const used = std::min(before.size(), levels_.size() - 1);
  std::uint64_t context = 0;
  for (token_t const token : before.last(used)) context = context << bits_ | symbol(token);
  return probability_after(context, symbol(next));
}

double KneserNey::log_probability(std::span<token_t const> sequence) const {
  double sum = 0;
  std::uint64_t context = 0;
  auto const add = [&](token_t token) {
    sum += std::log(probability_after(context, symbol(token)));
    context = newest(context << bits_ | symbol(token), order() - 1);
  };
  for (token_t const token : sequence) add(token);
  if (ends_) add(states_);
  return sum;
}

}  // namespace saltus
