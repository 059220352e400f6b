// SPDX-License-Identifier: BSD-3-Clause
#include "sequence_statistics.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <string_view>
#include <unordered_set>

#include <saltus/ctmc/error.hpp>
#include <saltus/models/key_table.hpp>

#include "host_loop.hpp"

namespace saltus::app {
namespace {

struct SameTokens {
  using Sequence = std::span<token_t const>;
  std::size_t operator()(Sequence s) const {
    return std::hash<std::string_view>()({reinterpret_cast<char const*>(s.data()), s.size_bytes()});
  }
  bool operator()(Sequence a, Sequence b) const { return std::ranges::equal(a, b); }
};
using SequenceSetOf = std::unordered_set<std::span<token_t const>, SameTokens, SameTokens>;

SequenceSetOf set_of(Sequences const& sequences) {
  SequenceSetOf set(2 * sequences.size());
  set.insert(sequences.begin(), sequences.end());
  return set;
}

// body(p, q): the shares of every number that is in one of the two.
template <class Body>
void both(Histogram const& a, Histogram const& b, Body const& body) {
  double const n = static_cast<double>(std::max<std::int64_t>(a.total, 1)),
               m = static_cast<double>(std::max<std::int64_t>(b.total, 1));
  auto i = a.cells.begin();
  auto j = b.cells.begin();
  while (i != a.cells.end() || j != b.cells.end()) {
    bool const left = j == b.cells.end() || (i != a.cells.end() && i->first <= j->first);
    bool const right = i == a.cells.end() || (j != b.cells.end() && j->first <= i->first);
    body(left ? static_cast<double>(i->second) / n : 0, right ? static_cast<double>(j->second) / m : 0);
    i += left;
    j += right;
  }
}

// 0 and 1 for histograms that cannot be compared by their shares; nothing else.
std::optional<double> apart_if_empty(Histogram const& a, Histogram const& b) {
  if (a.total > 0 && b.total > 0) return {};
  return a.total == b.total ? 0.0 : 1.0;
}

}  // namespace

Estimate share_of(std::size_t k, std::size_t n) {
  require(n > 0 && k <= n, "expected a share of at least one, got " + std::to_string(k) + " of " + std::to_string(n));
  double const z2 = normal_975 * normal_975, count = static_cast<double>(n), p = static_cast<double>(k) / count;
  double const center = (p + z2 / (2 * count)) / (1 + z2 / count);
  double const half = normal_975 * std::sqrt(p * (1 - p) / count + z2 / (4 * count * count)) / (1 + z2 / count);
  return {p, k == 0 ? 0 : center - half, k == n ? 1 : center + half};
}

Estimate ratio_of(std::span<double const> above, std::span<double const> below) {
  SALTUS_ASSERT(above.size() == below.size() && !above.empty());
  double const n = static_cast<double>(above.size()), sum = std::accumulate(below.begin(), below.end(), 0.0);
  double const ratio = std::accumulate(above.begin(), above.end(), 0.0) / sum;
  if (above.size() < 2) return {ratio, ratio, ratio};
  double squares = 0;
  for (std::size_t i = 0; i < above.size(); ++i) {
    double const residual = above[i] - ratio * below[i];
    squares += residual * residual;
  }
  return normal_interval(ratio, std::sqrt(squares * n / (n - 1)) / sum);
}

double median_of(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  std::size_t const half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::vector<double> token_entropies(Sequences const& sequences, int states) {
  std::vector<double> out;
  out.reserve(sequences.size());
  std::vector<int> counts(static_cast<std::size_t>(states), 0);
  for (auto const& sequence : sequences) {
    for (token_t const token : sequence) ++counts[static_cast<std::size_t>(token)];
    double entropy = 0;
    for (token_t const token : sequence) {  // each token once: its count is cleared
      double const count = std::exchange(counts[static_cast<std::size_t>(token)], 0),
                   n = static_cast<double>(sequence.size());
      if (count > 0) entropy -= count / n * std::log(count / n);
    }
    out.push_back(entropy);
  }
  return out;
}

double Histogram::share(std::uint64_t key) const {
  auto const found =
      std::lower_bound(cells.begin(), cells.end(), key, [](auto const& cell, auto k) { return cell.first < k; });
  return found != cells.end() && found->first == key ? static_cast<double>(found->second) / static_cast<double>(total)
                                                     : 0;
}

Histogram length_histogram(Sequences const& sequences) {
  std::map<std::uint64_t, std::int64_t> counts;
  for (auto const& sequence : sequences) ++counts[sequence.size()];
  return {{counts.begin(), counts.end()}, static_cast<std::int64_t>(sequences.size())};
}

Histogram word_histogram(Sequences const& sequences, int states, int k) {
  auto const base = static_cast<std::uint64_t>(states);
  SALTUS_ASSERT(k >= 1 && k * std::bit_width(base) <= 63);
  std::uint64_t cut = 1;  // of the k - 1 tokens before: their product with base still fits
  for (int i = 1; i < k; ++i) cut *= base;
  KeyTable<std::int64_t> counts;
  Histogram histogram;
  for (auto const& sequence : sequences) {
    std::uint64_t word = 0;
    for (std::size_t l = 0; l < sequence.size(); ++l) {
      word = word % cut * base + static_cast<std::uint64_t>(sequence[l]);
      if (l + 1 < static_cast<std::size_t>(k)) continue;
      ++counts[word];
      ++histogram.total;
    }
  }
  histogram.cells.reserve(counts.size());
  counts.for_each([&](std::uint64_t key, std::int64_t count) { histogram.cells.emplace_back(key, count); });
  std::sort(histogram.cells.begin(), histogram.cells.end());
  return histogram;
}

Histogram without(Histogram const& all, Histogram const& part) {
  Histogram rest{{}, all.total - part.total};
  auto taken = part.cells.begin();
  for (auto const& [key, count] : all.cells) {
    bool const here = taken != part.cells.end() && taken->first == key;
    std::int64_t const left = count - (here ? taken->second : 0);
    taken += here;
    SALTUS_ASSERT(left >= 0);
    if (left > 0) rest.cells.emplace_back(key, left);
  }
  SALTUS_ASSERT(taken == part.cells.end());
  return rest;
}

double entropy_of(Histogram const& histogram) {
  double entropy = 0;
  for (auto const& cell : histogram.cells) {
    double const p = static_cast<double>(cell.second) / static_cast<double>(histogram.total);
    entropy -= p * std::log(p);
  }
  return entropy;
}

double total_variation(Histogram const& a, Histogram const& b) {
  if (auto const apart = apart_if_empty(a, b)) return *apart;
  double sum = 0;
  both(a, b, [&](double p, double q) { sum += std::abs(p - q); });
  return sum / 2;
}

double jensen_shannon(Histogram const& a, Histogram const& b) {
  if (auto const apart = apart_if_empty(a, b)) return *apart * std::log(2.0);
  double sum = 0;
  both(a, b, [&](double p, double q) {
    double const middle = (p + q) / 2;
    sum += (p > 0 ? p * std::log(p / middle) : 0) + (q > 0 ? q * std::log(q / middle) : 0);
  });
  return std::max(0.0, sum / 2);
}

std::size_t distinct(Sequences const& sequences) { return set_of(sequences).size(); }

std::size_t novel(Sequences const& sequences, Sequences const& others) {
  auto const known = set_of(others);
  return static_cast<std::size_t>(std::ranges::count_if(sequences, [&](auto const& s) { return !known.contains(s); }));
}

void EditDistance::set(std::span<token_t const> sequence) {
  std::size_t const blocks = (sequence.size() + 63) / 64;
  for (token_t const token : used_) places_[static_cast<std::size_t>(token)].clear();
  used_.clear();
  for (std::size_t i = 0; i < sequence.size(); ++i) {
    auto& bits = places_[static_cast<std::size_t>(sequence[i])];
    if (bits.empty()) {
      bits.assign(blocks, 0);
      used_.push_back(sequence[i]);
    }
    bits[i / 64] |= std::uint64_t{1} << (i % 64);
  }
  columns_.resize(blocks);
  length_ = static_cast<int>(sequence.size());
}

int EditDistance::to(std::span<token_t const> other, int most) {
  int const width = static_cast<int>(other.size());
  if (length_ == 0) return width;
  std::ranges::fill(columns_, Column{~std::uint64_t{0}, 0});
  std::uint64_t const last = std::uint64_t{1} << ((length_ - 1) % 64);
  int distance = length_;  // of the whole sequence to the first l tokens of the other
  for (int l = 0; l < width; ++l) {
    auto const& bits = places_[static_cast<std::size_t>(other[static_cast<std::size_t>(l)])];
    std::uint64_t rise = 1, fall = 0;  // of the row above a block, from this token of the other to the next
    for (std::size_t b = 0; b < columns_.size(); ++b) {
      auto& [up, down] = columns_[b];
      std::uint64_t const equal = bits.empty() ? 0 : bits[b];
      std::uint64_t const vertical = equal | down, met = equal | fall;
      std::uint64_t const horizontal = (((met & up) + up) ^ up) | met;
      std::uint64_t rises = down | ~(horizontal | up), falls = up & horizontal;
      if (b + 1 == columns_.size()) distance += ((rises & last) != 0) - ((falls & last) != 0);
      std::uint64_t const rise_below = rises >> 63, fall_below = falls >> 63;
      rises = rises << 1 | rise;
      falls = falls << 1 | fall;
      up = falls | ~(vertical | rises);
      down = rises & vertical;
      rise = rise_below;
      fall = fall_below;
    }
    if (distance - (width - 1 - l) > most) return most + 1;  // it falls by at most 1 a token
  }
  return distance;
}

std::vector<double> nearest_distances(Sequences const& queries, Sequences const& others, int states, bool aligned) {
  SALTUS_ASSERT(!others.empty());
  std::vector<double> out(queries.size());
  if (aligned) {
    on_host("saltus::apps::nearest_sites", queries.size(), [&](std::size_t q) {
      auto const query = queries[q];
      int best = std::numeric_limits<int>::max();
      for (auto const& other : others) {
        int differing = 0;
        for (std::size_t l = 0; l < query.size(); ++l) differing += query[l] != other[l];
        best = std::min(best, differing);
      }
      out[q] = best;
    });
    return out;
  }
  // Lengths that differ by d are at least d edits apart: from the query's own length outwards, until that is too much.
  Sequences by_length = others;
  std::ranges::stable_sort(by_length, {}, [](auto const& s) { return s.size(); });
  auto const known = set_of(others);
  on_host("saltus::apps::nearest_edits", queries.size(), [&](std::size_t q) {
    auto const query = queries[q];
    if (known.contains(query)) {
      out[q] = 0;
      return;
    }
    EditDistance edits(states);
    edits.set(query);
    auto const own = static_cast<std::int64_t>(query.size());
    auto const first = std::ranges::lower_bound(by_length, query.size(), {}, [](auto const& s) { return s.size(); });
    auto up = first - by_length.begin(), down = up - 1;
    auto const count = static_cast<std::ptrdiff_t>(by_length.size());
    auto const gap = [&](std::ptrdiff_t i) {
      if (i < 0 || i >= count) return std::numeric_limits<std::int64_t>::max();
      return std::abs(static_cast<std::int64_t>(by_length[static_cast<std::size_t>(i)].size()) - own);
    };
    std::int64_t best = std::numeric_limits<int>::max();
    while (best > 1 && std::min(gap(up), gap(down)) < best) {
      std::ptrdiff_t const next = gap(up) <= gap(down) ? up++ : down--;
      best =
          std::min<std::int64_t>(best, edits.to(by_length[static_cast<std::size_t>(next)], static_cast<int>(best - 1)));
    }
    out[q] = static_cast<double>(best);
  });
  return out;
}

double nearest_cost(Sequences const& queries, Sequences const& others, bool aligned) {
  double all = 0, own = 0;
  for (auto const& other : others) all += static_cast<double>(other.size());
  for (auto const& query : queries) own += aligned ? 0.1 : std::ceil(static_cast<double>(query.size()) / 64);
  return all * own;
}

namespace {

// The sums that correlation and slope of y over x need.
struct Moments {
  double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
  void add(double a, double b) {
    n += 1;
    x += a;
    y += b;
    xx += a * a;
    yy += b * b;
    xy += a * b;
  }
  void add(Moments const& o) {
    n += o.n;
    x += o.x;
    y += o.y;
    xx += o.xx;
    yy += o.yy;
    xy += o.xy;
  }
  double covariance() const { return xy - x * y / n; }
  double slope() const { return covariance() / (xx - x * x / n); }
  double correlation() const { return covariance() / std::sqrt((xx - x * x / n) * (yy - y * y / n)); }
};

constexpr std::size_t folds = 10;               // of the jackknife; sequence b is in fold b modulo these
using ByFold = std::array<Moments, folds + 1>;  // without each fold; without none

// The tokens of an alignment site by site.
std::vector<std::vector<std::uint32_t>> sites_of(Sequences const& sequences, std::size_t length) {
  std::vector<std::vector<std::uint32_t>> sites(length, std::vector<std::uint32_t>(sequences.size()));
  for (std::size_t b = 0; b < sequences.size(); ++b) {
    SALTUS_ASSERT(sequences[b].size() == length);
    for (std::size_t l = 0; l < length; ++l) sites[l][b] = static_cast<std::uint32_t>(sequences[b][l]);
  }
  return sites;
}

Estimate jackknifed(ByFold const& moments, bool folded, double (Moments::*value)() const) {
  double const all = (moments[folds].*value)();
  if (!folded) return {all, all, all};
  double left_out[folds];
  for (std::size_t g = 0; g < folds; ++g) left_out[g] = (moments[g].*value)();
  return normal_interval(all, std::sqrt(jackknife_variance(left_out)));
}

}  // namespace

AlignmentFit compare_alignments(Sequences const& samples, Sequences const& reference, int length_, int states_) {
  SALTUS_ASSERT(length_ >= 2 && states_ >= 1 && !samples.empty() && !reference.empty());
  auto const length = static_cast<std::size_t>(length_), states = static_cast<std::size_t>(states_);
  std::size_t const cells = states * states, counted = folds * cells;
  bool const folded = samples.size() >= 2 * folds;
  auto const columns = sites_of(samples, length), others = sites_of(reference, length);
  std::array<double, folds + 1> size{};  // sequences without each fold; all of them
  for (std::size_t g = 0; g <= folds; ++g) {
    size[g] = static_cast<double>(samples.size());
    if (g < folds) size[g] -= static_cast<double>((samples.size() + folds - 1 - g) / folds);
  }
  auto const of_reference = 1 / static_cast<double>(reference.size());

  // Frequencies of one site: [fold, site, token], and those of the reference.
  std::vector<double> f((folds + 1) * length * states, 0.0), h(length * states, 0.0);
  auto const at = [&](std::size_t g, std::size_t l) {
    return f.begin() + static_cast<std::ptrdiff_t>((g * length + l) * states);
  };
  ByFold single{};
  for (std::size_t l = 0; l < length; ++l) {
    for (std::size_t b = 0; b < samples.size(); ++b) {
      std::uint32_t const y = columns[l][b];
      for (std::size_t g = 0; g <= folds; ++g) at(g, l)[y] += g == b % folds ? 0 : 1;
    }
    for (std::uint32_t const y : others[l]) h[l * states + y] += of_reference;
    for (std::size_t g = 0; g <= folds; ++g) {
      for (std::size_t y = 0; y < states; ++y) {
        at(g, l)[static_cast<std::ptrdiff_t>(y)] /= size[g];
        if (folded || g == folds) single[g].add(h[l * states + y], at(g, l)[static_cast<std::ptrdiff_t>(y)]);
      }
    }
  }

  std::vector<ByFold> by_site(length);  // of pairs by their first site: summed in order
  std::vector<std::vector<std::pair<std::uint64_t, std::uint32_t>>> pictures(length);
  on_host("saltus::apps::pairs_of_sites", length, [&](std::size_t i) {
    std::vector<std::uint32_t> count(counted), all(cells), seen(cells);
    KeyTable<std::uint32_t> picture;
    for (std::size_t j = i + 1; j < length; ++j) {
      std::ranges::fill(count, 0u);
      std::ranges::fill(all, 0u);
      std::ranges::fill(seen, 0u);
      for (std::size_t b = 0, g = 0; b < samples.size(); ++b, g = g + 1 == folds ? 0 : g + 1)
        ++count[g * cells + columns[i][b] * states + columns[j][b]];
      for (std::size_t b = 0; b < reference.size(); ++b) ++seen[others[i][b] * states + others[j][b]];
      for (std::size_t c = 0; c < counted; ++c) all[c % cells] += count[c];
      for (std::size_t a = 0; a < states; ++a) {
        for (std::size_t b = 0; b < states; ++b) {
          std::size_t const c = a * states + b;
          double const natural = seen[c] * of_reference - h[i * states + a] * h[j * states + b];
          for (std::size_t g = folded ? 0 : folds; g <= folds; ++g) {
            std::uint32_t const kept = all[c] - (g < folds ? count[g * cells + c] : 0);
            double const own =
                kept / size[g] - at(g, i)[static_cast<std::ptrdiff_t>(a)] * at(g, j)[static_cast<std::ptrdiff_t>(b)];
            by_site[i][g].add(natural, own);
            if (g < folds) continue;
            auto const bin = [](double value) {
              double const place = (value + picture_end) / (2 * picture_end) * picture_bins;
              return static_cast<std::size_t>(std::clamp(place, 0.0, picture_bins - 1.0));
            };
            ++picture[bin(own) * picture_bins + bin(natural)];
          }
        }
      }
    }
    picture.for_each([&](std::uint64_t where, std::uint32_t times) { pictures[i].emplace_back(where, times); });
  });
  ByFold pairs{};
  AlignmentFit fit{};
  fit.picture.assign(picture_bins * picture_bins, 0);
  for (std::size_t i = 0; i < length; ++i) {
    for (std::size_t g = 0; g <= folds; ++g) pairs[g].add(by_site[i][g]);
    for (auto const& [where, times] : pictures[i]) fit.picture[where] += times;
  }
  fit.sites = jackknifed(single, folded, &Moments::correlation);
  fit.pairs = jackknifed(pairs, folded, &Moments::correlation);
  fit.slope = jackknifed(pairs, folded, &Moments::slope);
  return fit;
}

}  // namespace saltus::app
