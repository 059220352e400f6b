// SPDX-License-Identifier: BSD-3-Clause
#include "two_sample.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/random.hpp>

#include "host_loop.hpp"

namespace saltus::app {
namespace {

constexpr std::size_t groups = 20, most_cells = std::size_t{1} << 20;
constexpr double tie = 1e-12;  // distances that differ by rounding alone are equal
using Counts = std::vector<std::uint32_t>;

// The pooled sequences: those of the first set, then those of the second.
struct Pool {
  std::span<token_t const> sets[2];
  std::size_t length, count[2];
  std::size_t size() const { return count[0] + count[1]; }
  std::span<token_t const> operator[](std::size_t i) const {
    return i < count[0] ? sets[0].subspan(i * length, length) : sets[1].subspan((i - count[0]) * length, length);
  }
};

// Frequencies of words of `word` tokens, in one table for each place or one for all.
struct Table {
  std::string name, help;
  std::size_t word, places;
  bool by_place;
  std::size_t cells;   // of a block
  bool hashed;
  std::size_t offset;  // of the first cell among those of all tables

  std::size_t blocks() const { return by_place ? places : 1; }
  std::size_t cell(token_t const* x, std::size_t states) const {
    std::uint64_t code = 0;
    for (std::size_t i = 0; i < word; ++i) {
      code = code * states + static_cast<std::uint64_t>(x[i]);
      if (hashed) code = (code ^ (code >> 31)) * 0x9E3779B97F4A7C15u;
    }
    return static_cast<std::size_t>(hashed ? (code >> 20) % cells : code);
  }
};

class Tables {
 public:
  Tables(int states, int length) : states_(static_cast<std::size_t>(states)) {
    auto const n = static_cast<std::size_t>(length);
    add("tv_site", "total variation of the one-site frequencies, mean over sites", 1, n, true);
    if (n >= 2) add("tv_pair", "total variation of the adjacent-pair frequencies, mean over pairs", 2, n - 1, true);
    for (std::size_t k = 1; k <= std::min<std::size_t>(4, n); ++k) {
      add("tv_" + std::to_string(k) + "mer",
          "total variation of the frequencies of words of " + std::to_string(k) + " tokens", k, n - k + 1, false);
    }
  }

  std::vector<Table> const& all() const { return tables_; }
  std::size_t cells() const { return cells_; }

  void count(std::span<token_t const> x, Counts& counts) const {
    for (auto const& table : tables_) {
      for (std::size_t l = 0; l < table.places; ++l) {
        ++counts[table.offset + (table.by_place ? l * table.cells : 0) + table.cell(&x[l], states_)];
      }
    }
  }

  // The distances between the counts of n sequences and those of m, given as a - without_a and b - without_b.
  std::vector<double> distances(Counts const& a, Counts const& b, std::size_t n, std::size_t m,
                                Counts const* without_a = nullptr, Counts const* without_b = nullptr) const {
    std::vector<double> out;
    for (auto const& table : tables_) {
      double const each = table.by_place ? 1 : static_cast<double>(table.places);
      double const p = 1 / (static_cast<double>(n) * each), q = 1 / (static_cast<double>(m) * each);
      double sum = 0;
      for (std::size_t c = table.offset; c < table.offset + table.blocks() * table.cells; ++c) {
        std::uint32_t const i = a[c] - (without_a ? (*without_a)[c] : 0), j = b[c] - (without_b ? (*without_b)[c] : 0);
        sum += std::abs(i * p - j * q);
      }
      out.push_back(sum / 2 / static_cast<double>(table.blocks()));
    }
    return out;
  }

 private:
  void add(std::string name, std::string help, std::size_t word, std::size_t places, bool by_place) {
    std::size_t const limit = by_place ? std::max<std::size_t>(most_cells / places, 1) : most_cells;
    std::size_t cells = 1;
    bool hashed = false;
    for (std::size_t i = 0; i < word && !hashed; ++i) {
      cells *= states_;
      hashed = cells > limit;
    }
    if (hashed) cells = limit;
    tables_.push_back({std::move(name), std::move(help), word, places, by_place, cells, hashed, cells_});
    cells_ += tables_.back().blocks() * cells;
  }

  std::size_t states_;
  std::vector<Table> tables_;
  std::size_t cells_ = 0;
};

// Sums of the kernel over ordered pairs of different sequences: within the first set, within the second, across.
struct KernelSums {
  double first = 0, second = 0, across = 0;
  double mmd2(std::size_t n, std::size_t m) const {
    auto const a = static_cast<double>(n), b = static_cast<double>(m);
    return first / (a * (a - 1)) + second / (b * (b - 1)) - 2 * across / (a * b);
  }
};

// Hamming distances of the first sequences of both sets, and the kernel made from them.
class Kernel {
 public:
  Kernel(Pool const& pool, std::size_t most) : n_(std::min(pool.count[0], most)), m_(std::min(pool.count[1], most)) {
    std::size_t const size = n_ + m_;
    distance_.resize(size * size);
    auto const row = [&](std::size_t i) { return pool[i < n_ ? i : pool.count[0] + i - n_]; };
    on_host("saltus::apps::hamming", size, [&](std::size_t i) {
      auto const x = row(i);
      for (std::size_t j = 0; j < size; ++j) {
        token_t const *const a = x.data(), *const b = row(j).data();
        std::uint32_t d = 0;
        for (std::size_t l = 0; l < x.size(); ++l) d += a[l] != b[l] ? 1 : 0;
        distance_[i * size + j] = d;
      }
    });
    // The median over all pairs of the pool: dealing sequences anew does not change it.
    std::vector<std::size_t> histogram(pool.length + 1, 0);
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t j = 0; j < i; ++j) ++histogram[distance_[i * size + j]];
    }
    std::size_t median = 0;
    for (std::size_t below = histogram[0]; below < (size * (size - 1) / 2 + 1) / 2; below += histogram[++median]) {
    }
    scale_ = std::max(1.0, static_cast<double>(median));
    for (std::size_t d = 0; d <= pool.length; ++d) value_.push_back(std::exp(-static_cast<double>(d) / scale_));
    row_sum_.resize(size);
    on_host("saltus::apps::kernel", size, [&](std::size_t i) {
      double sum = -1;  // without the own
      for (std::size_t j = 0; j < size; ++j) sum += at(i, j);
      row_sum_[i] = sum;
    });
    total_ = std::accumulate(row_sum_.begin(), row_sum_.end(), 0.0);
  }

  std::size_t first() const { return n_; }
  std::size_t second() const { return m_; }
  std::size_t size() const { return n_ + m_; }
  double scale() const { return scale_; }

  // With `chosen` as the first set.
  KernelSums sums(std::span<std::uint32_t const> chosen) const {
    KernelSums s;
    double rows = 0;
    for (std::size_t a = 0; a < chosen.size(); ++a) {
      rows += row_sum_[chosen[a]];
      for (std::size_t b = 0; b < a; ++b) s.first += at(chosen[a], chosen[b]);
    }
    s.first *= 2;
    s.across = rows - s.first;
    s.second = total_ - s.first - 2 * s.across;
    return s;
  }

  // Delete-a-group values of mmd2 for the groups of one set.
  std::vector<double> without_groups(int set) const {
    std::size_t const count = set == 0 ? n_ : m_, base = set == 0 ? 0 : n_;
    std::vector<std::uint32_t> all(n_);
    std::iota(all.begin(), all.end(), 0u);
    KernelSums const whole = sums(all);
    std::vector<double> out(groups);
    on_host("saltus::apps::jackknife", groups, [&](std::size_t g) {
      std::size_t const begin = count * g / groups, end = count * (g + 1) / groups;
      double within = 0, own = 0, other = 0;  // in the group, with its set, with the other set
      for (std::size_t i = base + begin; i < base + end; ++i) {
        for (std::size_t j = 0; j < size(); ++j) {
          if (j == i) continue;
          double const k = at(i, j);
          bool const same = (j < n_) == (set == 0);
          (same ? own : other) += k;
          if (j >= base + begin && j < base + end) within += k;
        }
      }
      KernelSums s = whole;
      (set == 0 ? s.first : s.second) -= 2 * own - within;
      s.across -= other;
      std::size_t const gone = end - begin;
      out[g] = s.mmd2(n_ - (set == 0 ? gone : 0), m_ - (set == 0 ? 0 : gone));
    });
    return out;
  }

 private:
  double at(std::size_t i, std::size_t j) const { return value_[distance_[i * (n_ + m_) + j]]; }

  std::size_t n_, m_;
  std::vector<std::uint32_t> distance_;
  std::vector<double> value_, row_sum_;
  double scale_ = 1, total_ = 0;
};

// `count` of the numbers 0 to size - 1, all sets alike: the first steps of a shuffle. Sorted, for the memory's sake.
std::vector<std::uint32_t> deal(StreamKey key, std::size_t size, std::size_t count, std::uint32_t which) {
  std::vector<std::uint32_t> order(size);
  std::iota(order.begin(), order.end(), 0u);
  for (std::size_t i = 0; i < count; ++i) {
    double const u = uniform53(key.draw(i, Role::permute, which).event);
    std::swap(order[i], order[i + static_cast<std::size_t>(u * static_cast<double>(size - i))]);
  }
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

Estimate token_entropy(Pool const& pool, int set, int states) {
  std::size_t const count = pool.count[set];
  std::vector<double> h(count);
  on_host("saltus::apps::token_entropy", groups, [&](std::size_t g) {
    std::vector<double> histogram(static_cast<std::size_t>(states), 0.0);
    auto const length = static_cast<double>(pool.length);
    for (std::size_t b = count * g / groups; b < count * (g + 1) / groups; ++b) {
      auto const x = pool.sets[set].subspan(b * pool.length, pool.length);
      for (token_t const y : x) ++histogram[static_cast<std::size_t>(y)];
      for (token_t const y : x) {  // each token once: what has been added is put back to 0
        double& k = histogram[static_cast<std::size_t>(y)];
        h[b] -= k > 0 ? k / length * std::log(k / length) : 0;
        k = 0;
      }
    }
  });
  return mean_of(h);
}

// Mean and central band of the permuted values, sorted here, and the p-value of the one seen.
void compare_with_null(TwoSampleDistance& d, std::vector<double> permuted, double error) {
  std::sort(permuted.begin(), permuted.end());
  auto const n = static_cast<double>(permuted.size());
  auto const at = [&](double share) {
    return permuted[static_cast<std::size_t>(std::clamp(std::ceil(share * n) - 1, 0.0, n - 1))];
  };
  d.null = {std::accumulate(permuted.begin(), permuted.end(), 0.0) / n, at(error / 2), at(1 - error / 2)};
  auto const larger = permuted.end() - std::lower_bound(permuted.begin(), permuted.end(), d.estimate.value - tie);
  d.p_value = (1 + static_cast<double>(larger)) / (1 + n);
}

Pool pool_of(int states, int length, std::span<token_t const> first, std::span<token_t const> second) {
  require(states >= 1 && length >= 1, "expected at least 1 state and 1 site, got " + std::to_string(states) + " and " +
                                          std::to_string(length));
  auto const n = static_cast<std::size_t>(length);
  for (auto const set : {first, second}) {
    require(set.size() % n == 0 && set.size() / n >= 2,
            "comparing two sets of sequences needs at least 2 sequences of length " + std::to_string(length) +
                " in each, got " + std::to_string(set.size()) + " tokens");
    for (token_t const y : set) {
      require(y >= 0 && y < states,
              "expected tokens from 0 to " + std::to_string(states - 1) + ", got " + std::to_string(y));
    }
  }
  require(first.size() / n + second.size() / n < 0xFFFFFFFFu, "at most 4e9 sequences can be compared");
  return {{first, second}, n, {first.size() / n, second.size() / n}};
}

}  // namespace

TwoSample compare_samples(int states, int length, std::span<token_t const> first, std::span<token_t const> second,
                          TwoSampleOptions const& options) {
  require(options.permutations >= 1, "at least 1 permutation is needed, got " + std::to_string(options.permutations));
  require(options.error > 0 && options.error < 1,
          "the error of the null band lies between 0 and 1, got " + to_text(options.error));
  require(options.kernel_rows >= 2,
          "the kernel test needs at least 2 sequences a side, got " + std::to_string(options.kernel_rows));
  Pool const pool = pool_of(states, length, first, second);
  std::size_t const n = pool.count[0], m = pool.count[1];
  Tables const tables(states, length);
  Kernel const kernel(pool, options.kernel_rows);

  Counts counts[2] = {Counts(tables.cells(), 0), Counts(tables.cells(), 0)};
  on_host("saltus::apps::count", 2, [&](std::size_t set) {
    for (std::size_t b = 0; b < pool.count[set]; ++b) tables.count(pool[set * n + b], counts[set]);
  });
  std::vector<std::uint32_t> own(kernel.first());
  std::iota(own.begin(), own.end(), 0u);
  std::vector<double> seen = tables.distances(counts[0], counts[1], n, m);
  seen.push_back(kernel.sums(own).mmd2(kernel.first(), kernel.second()));

  // Intervals. Groups without a sequence leave nothing out and are not used, nor are those that leave a single one.
  std::vector<double> variance(seen.size(), 0.0);
  for (int set = 0; set < 2; ++set) {
    std::size_t const size = pool.count[set];
    std::vector<std::vector<double>> left_out(groups);
    on_host("saltus::apps::jackknife", groups, [&](std::size_t g) {
      std::size_t const begin = size * g / groups, end = size * (g + 1) / groups;
      if (begin == end) return;
      Counts gone(tables.cells(), 0);
      for (std::size_t b = begin; b < end; ++b) tables.count(pool[static_cast<std::size_t>(set) * n + b], gone);
      std::size_t const rest = size - (end - begin);
      left_out[g] = set == 0 ? tables.distances(counts[0], counts[1], rest, m, &gone)
                             : tables.distances(counts[0], counts[1], n, rest, nullptr, &gone);
    });
    std::erase_if(left_out, [](auto const& v) { return v.empty(); });
    for (std::size_t t = 0; t + 1 < seen.size(); ++t) {
      std::vector<double> column;
      for (auto const& v : left_out) column.push_back(v[t]);
      variance[t] += jackknife_variance(column);
    }
    std::size_t const rows = set == 0 ? kernel.first() : kernel.second();
    std::vector<double> const without = kernel.without_groups(set);
    std::vector<double> column;
    for (std::size_t g = 0; g < groups; ++g) {
      std::size_t const gone = rows * (g + 1) / groups - rows * g / groups;
      if (gone > 0 && rows - gone >= 2) column.push_back(without[g]);
    }
    variance.back() += jackknife_variance(column);
  }

  // What chance makes of the pooled sequences.
  auto const permutations = static_cast<std::size_t>(options.permutations);
  std::vector<std::vector<double>> permuted(seen.size(), std::vector<double>(permutations));
  Counts total(tables.cells());
  for (std::size_t c = 0; c < total.size(); ++c) total[c] = counts[0][c] + counts[1][c];
  on_host("saltus::apps::permutations", permutations, [&](std::size_t r) {
    StreamKey const key{options.seed, static_cast<std::uint32_t>(r)};
    Counts mine(tables.cells(), 0), theirs = total;
    bool const small = n <= m;  // the smaller set is counted, the other one is the rest
    for (std::uint32_t const i : deal(key, pool.size(), std::min(n, m), 0)) tables.count(pool[i], mine);
    for (std::size_t c = 0; c < mine.size(); ++c) theirs[c] -= mine[c];
    auto const values = tables.distances(mine, theirs, small ? n : m, small ? m : n);
    for (std::size_t t = 0; t < values.size(); ++t) permuted[t][r] = values[t];
    permuted.back()[r] = kernel.sums(deal(key, kernel.size(), kernel.first(), 1)).mmd2(kernel.first(), kernel.second());
  });

  TwoSample out{{}, kernel.scale(), token_entropy(pool, 0, states), token_entropy(pool, 1, states)};
  for (std::size_t t = 0; t < seen.size(); ++t) {
    bool const is_kernel = t + 1 == seen.size();
    TwoSampleDistance d{"mmd2",
                        "squared maximum mean discrepancy, kernel exp(-Hamming distance/median)",
                        normal_interval(seen[t], std::sqrt(variance[t])),
                        {},
                        0};
    if (!is_kernel) {
      d.name = tables.all()[t].name;
      d.help = tables.all()[t].help;
      d.estimate = {seen[t], std::max(0.0, d.estimate.low), std::min(1.0, d.estimate.high)};
    }
    compare_with_null(d, std::move(permuted[t]), options.error);
    out.distances.push_back(std::move(d));
  }
  return out;
}

}  // namespace saltus::app
