// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstring>
#include <type_traits>

#include <saltus/ctmc/fast_exp.hpp>
#include <saltus/ctmc/process.hpp>
#include <saltus/ctmc/stored.hpp>

/// A Field answers, on the device and for one step, what an integrator may ask of site l of row b: its rates at the start
/// of the interval and the law of the site at its end with the other sites frozen. Every field reduces both to one form:
/// the weight of target y is max(0, slope * v_y + offset), where v is a *row* (a row of scores read in place, or a
/// closed form). So one scan and one draw serve every structure, and nothing of length S is ever written.
namespace saltus {

/// Sums of a row over the targets y != own, and its own entry, in units of the row.
struct RowSums {
  double others;
  double own;
  double time_scale = 1;  ///< forward: multiplier of the site's rates
};

/// Weights of targets: max(0, slope * v_y + offset) for y != own; `stay` is the weight of the own token where the
/// weights are probabilities (transitions), unused where they are rates.
struct Weights {
  double slope;
  double offset;
  double stay;
};

// ---------------------------------------------------------------------------------------------------------- rows

/// Scratch of one scan, on the stack of a work item: sums by block, so that a draw reads one block again and not the row.
template <class Scalar>
struct Partials {
  static constexpr int max_blocks = 128;
  static constexpr int chunk = 512;  ///< scalars; a block is one or more chunks
  static constexpr int cached = 64;  ///< rows up to this length are kept whole

  int blocks;
  int block;       ///< scalars a block
  double total;    ///< sum of `sum`
  double unit;     ///< true value of an entry = unit * (entry in the units that follow)
  bool negative;   ///< set by weigh(): a weight had to be clamped at 0
  Scalar shift;    ///< logarithmic rows: exp(power * v - shift)
  Scalar cache[cached];
  double sum[max_blocks];
};

/// What a row says of how sure it is, in units of its total over y != own.
struct RowShape {
  double largest = 0, second = 0;  ///< the two largest probabilities
  int best = -1;                   ///< where the largest is; the first of equals
  double entropy = 0;              ///< nats
};

/// A row of scores, read in place, whatever type they are stored in. Negative entries count as 0; a NaN or infinite one makes the sums not finite.
template <class Scalar>
struct ScoreRow {
  using Scratch = Partials<Scalar>;
  Stored<Scalar> values;
  int size;
  ScoreKind kind;
  Scalar power;
  bool own_counts = true;  ///< whether the own entry means anything (not the mask's)

  /// Sums over y != own, and the partial sums by block.
  KOKKOS_INLINE_FUNCTION RowSums scan(int own, Scratch& scratch) const;
  /// Rows that are scanned together at most.
  static constexpr int group = 16;
  /// The sums of scan() but for rounding, of this row of at most Scratch::cached entries and of those behind it in memory, with
  /// vectors that run across rows; own(i) is the token of row i. NaN where scan() would have to look twice.
  template <class Own>
  KOKKOS_INLINE_FUNCTION void scan_together(int rows, Own const& own, RowSums* sums) const;
  /// Turns the partial sums into those of the weights and returns their total over y != own.
  KOKKOS_INLINE_FUNCTION double weigh(int own, Weights const& weights, RowSums const& sums, Scratch& scratch) const;
  /// A target y != own with probability proportional to its weight; -1 if no weight is positive.
  KOKKOS_INLINE_FUNCTION int draw(int own, Weights const& weights, double uniform, Scratch const& scratch) const;
  /// The shape of the law proportional to the row over y != own, in one more pass.
  KOKKOS_INLINE_FUNCTION RowShape shape(int own, Scratch const& scratch) const;
  /// What value() needs of a scan, for rows that are not logarithmic.
  KOKKOS_INLINE_FUNCTION void skip_scan(Scratch& scratch) const {
    scratch.unit = 1;
    scratch.shift = 0;
  }
  /// All v_y in true units after a scan, 0 for y = own.
  KOKKOS_INLINE_FUNCTION void read(int own, Scratch const& scratch, double* out) const {
    Scalar buffer[Scratch::cached];
    for (int from = 0; from < size; from += Scratch::cached) {
      int const n = from + Scratch::cached < size ? Scratch::cached : size - from;
      Scalar const* const v = entries(from, n, own, scratch, buffer);
      for (int i = 0; i < n; ++i) out[from + i] = scratch.unit * static_cast<double>(v[i]);
    }
  }
  /// v_y in true units (not for the inner loops).
  KOKKOS_INLINE_FUNCTION double value(int y, Scratch const& scratch) const {
    Scalar out;
    transform(values.load(y, 1, &out), 1, -1, scratch.shift, &out);
    return scratch.unit * static_cast<double>(out);
  }

 private:
  static constexpr Scalar lowest = -Kokkos::Experimental::infinity_v<Scalar>;
  // Whether a sum of exponentials can have lost nothing that matters to underflow and nothing to overflow.
  KOKKOS_FORCEINLINE_FUNCTION static bool in_range(double sum) { return sum > 1e-20 && sum < 1e34; }
  KOKKOS_INLINE_FUNCTION void scan_blocks(int own, Scratch& scratch) const;
  KOKKOS_FORCEINLINE_FUNCTION int draw_in_block(int k, int own, Weights const& weights, double rest,
                                                Scratch const& scratch) const;

  // The entry in the row's units.
  KOKKOS_FORCEINLINE_FUNCTION static Scalar exponential(Scalar x) {
    if constexpr (std::is_same_v<Scalar, float>) {
      return exp_bounded(x);
    } else {
      return Kokkos::exp(x);
    }
  }
  KOKKOS_FORCEINLINE_FUNCTION static Scalar positive(Scalar x) { return x < 0 ? Scalar(0) : x; }

  // out[i] = entry i in the row's units, 0 for i = own; returns their sum. `in` may be `out`. The kind is a branch outside the loop.
  KOKKOS_FORCEINLINE_FUNCTION double transform(Scalar const* in, int n, int own, Scalar shift, Scalar* out) const {
    Scalar s = 0;
    // Computed for every entry and then selected: a branch would keep the loops from being vectorised.
    if (is_logarithmic(kind)) {
#pragma omp simd simdlen(8) reduction(+ : s)
      for (int i = 0; i < n; ++i) {
        Scalar const v = exponential(power * in[i] - shift);
        out[i] = i == own ? Scalar(0) : v;
        s += i == own ? Scalar(0) : v;
      }
    } else if (power == Scalar(1)) {
#pragma omp simd simdlen(8) reduction(+ : s)
      for (int i = 0; i < n; ++i) {
        Scalar const v = positive(in[i]);
        out[i] = i == own ? Scalar(0) : v;
        s += i == own ? Scalar(0) : v;
      }
    } else {
      for (int i = 0; i < n; ++i) s += out[i] = i == own ? Scalar(0) : Kokkos::pow(positive(in[i]), power);
    }
    return static_cast<double>(s);
  }

  // n entries from `from` on after a scan, in the row's units, 0 for `own`: those that the scan kept, or in the buffer.
  KOKKOS_FORCEINLINE_FUNCTION Scalar const* entries(int from, int n, int own, Scratch const& scratch, Scalar* buffer) const {
    if (size <= Scratch::cached) return scratch.cache + from;
    transform(values.load(from, n, buffer), n, own - from, scratch.shift, buffer);
    return buffer;
  }

  // The sum of n entries from `first` on alone, and the largest exponent among them (a NaN counts as the largest), read
  // in place.
  KOKKOS_FORCEINLINE_FUNCTION double sum(int first, int n, Scalar shift) const {
    if constexpr (std::is_same_v<Scalar, float>) {
      if (values.narrow()) return narrow_sum(first, n, shift);
    }
    return sum_of(values.in_place() + first, n, shift);
  }
  KOKKOS_FORCEINLINE_FUNCTION Scalar largest(int first, int n) const {
    if constexpr (std::is_same_v<Scalar, float>) {
      if (values.narrow()) return narrow_largest(first, n);
    }
    return largest_of(values.in_place() + first, n);
  }
  KOKKOS_FUNCTION double narrow_sum(int first, int n, Scalar shift) const {
    if (values.type() == ScalarType::bf16) {
      auto const* const in = static_cast<BFloat16 const*>(values.data()) + first;
      return is_logarithmic(kind) ? narrow_exponentials(in, n, shift) : sum_of(in, n, shift);
    }
    auto const* const in = static_cast<Float16 const*>(values.data()) + first;
    return is_logarithmic(kind) ? narrow_exponentials(in, n, shift) : sum_of(in, n, shift);
  }
  KOKKOS_FUNCTION Scalar narrow_largest(int first, int n) const {
    if (values.type() == ScalarType::bf16) return largest_of(static_cast<BFloat16 const*>(values.data()) + first, n);
    return largest_of(static_cast<Float16 const*>(values.data()) + first, n);
  }
  // The sum of exponentials, with few enough operations to read at the speed of memory.
  template <class Number>
  KOKKOS_INLINE_FUNCTION double narrow_exponentials(Number const* in, int n, Scalar shift) const {
    constexpr Scalar log2e = Scalar(1.4426950408889634);
    Scalar const factor = power * log2e, offset = shift * log2e;
    if (!(shift - shift == 0)) return Kokkos::Experimental::quiet_NaN_v<double>;
    constexpr int width = 16;
    Scalar lanes[width] = {}, rest = 0;
    int i = 0;
    if constexpr (std::is_same_v<Number, BFloat16>) {
      // Two at a time: a shift or a mask widens each half of 32 bits.
      for (; i + 2 * width <= n; i += 2 * width) {
#pragma omp simd
        for (int k = 0; k < width; ++k) {
          std::uint32_t both;
          std::memcpy(&both, in + i + 2 * k, sizeof both);
          lanes[k] += exp2_coarse(factor * Kokkos::bit_cast<float>(both << 16) - offset) +
                      exp2_coarse(factor * Kokkos::bit_cast<float>(both & 0xffff0000u) - offset);
        }
      }
    } else {
      Scalar wide[width];
      for (; i + width <= n; i += width) {
        widen_sixteen(in + i, wide);
#pragma omp simd
        for (int k = 0; k < width; ++k) lanes[k] += exp2_coarse(factor * wide[k] - offset);
      }
    }
    for (; i < n; ++i) rest += exp2_coarse(factor * static_cast<float>(in[i]) - offset);
    for (int half = width / 2; half > 0; half /= 2) {
      for (int k = 0; k < half; ++k) lanes[k] += lanes[k + half];
    }
    Scalar const total = lanes[0] + rest;
    // A NaN counts as 2^127.
    for (i = 0; !(total < Scalar(1e34)) && i < n; ++i) {
      Scalar const v = in[i];
      if (v != v) return static_cast<double>(v);
    }
    // What is 0 counts as 2^-126.
    return total <= static_cast<Scalar>(n) * Scalar(0x1.0001p-126) ? 0.0 : static_cast<double>(total);
  }

  template <class Number>
  KOKKOS_FORCEINLINE_FUNCTION double sum_of(Number const* in, int n, Scalar shift) const {
    Scalar s = 0;
    if (is_logarithmic(kind)) {
#pragma omp simd reduction(+ : s)
      for (int i = 0; i < n; ++i) s += exponential(power * static_cast<Scalar>(in[i]) - shift);
    } else if (power == Scalar(1)) {
#pragma omp simd reduction(+ : s)
      for (int i = 0; i < n; ++i) s += positive(static_cast<Scalar>(in[i]));
    } else {
      for (int i = 0; i < n; ++i) s += Kokkos::pow(positive(static_cast<Scalar>(in[i])), power);
    }
    return static_cast<double>(s);
  }

  template <class Number>
  KOKKOS_FORCEINLINE_FUNCTION Scalar largest_of(Number const* in, int n) const {
    if constexpr (std::is_same_v<Scalar, float>) {
      // Floats order like their bits read as sign-magnitude integers: an integer maximum needs no -ffinite-math-only.
      std::int32_t m = Kokkos::bit_cast<std::int32_t>(-Kokkos::Experimental::infinity_v<float>) ^ 0x7fffffff;
#pragma omp simd reduction(max : m)
      for (int i = 0; i < n; ++i) {
        std::int32_t bits = Kokkos::bit_cast<std::int32_t>(power * static_cast<Scalar>(in[i]));
        bits ^= (bits >> 31) & 0x7fffffff;
        m = m > bits ? m : bits;
      }
      return Kokkos::bit_cast<float>(m ^ ((m >> 31) & 0x7fffffff));
    } else {
      Scalar m = -Kokkos::Experimental::infinity_v<Scalar>;
      for (int i = 0; i < n; ++i) m = power * static_cast<Scalar>(in[i]) <= m ? m : power * static_cast<Scalar>(in[i]);
      return m;
    }
  }
};

template <class Scalar>
KOKKOS_INLINE_FUNCTION RowSums ScoreRow<Scalar>::scan(int own, Scratch& scratch) const {
  scratch.unit = 1;
  scratch.shift = 0;
  if (size <= Scratch::cached) {
    scratch.blocks = 1;
    scratch.block = Scratch::cached;
    scratch.total = transform(values.load(0, size, scratch.cache), size, own, scratch.shift, scratch.cache);
    if (is_logarithmic(kind) && !in_range(scratch.total)) {
      Scalar const left = largest(0, own), right = largest(own + 1, size - own - 1);
      Scalar const top = left > right || left != left ? left : right;
      scratch.shift = top == lowest ? Scalar(0) : top;
      scratch.total = transform(values.load(0, size, scratch.cache), size, own, scratch.shift, scratch.cache);
    }
    scratch.sum[0] = scratch.total;
  } else {
    scan_blocks(own, scratch);
  }
  // Rates need the scores in true units; laws of the clean token are normalised anyway, so that their units do not matter.
  if (scratch.shift != 0 && !is_x0(kind)) scratch.unit = Kokkos::exp(static_cast<double>(scratch.shift));
  return {scratch.unit * scratch.total, own_counts && is_x0(kind) ? value(own, scratch) : 1.0};
}

template <class Scalar>
template <class Own>
KOKKOS_INLINE_FUNCTION void ScoreRow<Scalar>::scan_together(int rows, Own const& own, RowSums* sums) const {
  Scalar v[group * Scratch::cached], others[group];
  transform(values.load(0, rows * size, v), rows * size, -1, Scalar(0), v);
  for (int i = 0; i < rows; ++i) {
    Scalar& mine = v[i * size + own(i)];
    sums[i] = {0, own_counts && is_x0(kind) ? static_cast<double>(mine) : 1.0};
    mine = 0;
    others[i] = 0;
  }
  for (int y = 0; y < size; ++y) {
#pragma omp simd
    for (int i = 0; i < rows; ++i) others[i] += v[i * size + y];
  }
  for (int i = 0; i < rows; ++i) {
    double const s = static_cast<double>(others[i]);
    sums[i].others = is_logarithmic(kind) && !in_range(s) ? Kokkos::Experimental::quiet_NaN_v<double> : s;
  }
}

template <class Scalar>
KOKKOS_INLINE_FUNCTION void ScoreRow<Scalar>::scan_blocks(int own, Scratch& scratch) const {
  int block = Scratch::chunk;
  while ((size + block - 1) / block > Scratch::max_blocks) block *= 2;
  scratch.block = block;
  scratch.blocks = (size + block - 1) / block;
  // Logarithmic rows: the shift of an earlier block is tried first, and 0 before there is one. It will do unless the sum
  // overflows, or is so small that entries may have been lost while no earlier block has shown larger ones.
  Scalar shift = 0, shifts[Scratch::max_blocks];
  bool anchored = false;
  bool const logarithmic = is_logarithmic(kind);
  for (int k = 0; k < scratch.blocks; ++k) {
    int const begin = k * block, end = begin + block < size ? begin + block : size;
    bool const split = own >= begin && own < end;
    double s = split ? sum(begin, own - begin, shift) + sum(own + 1, end - own - 1, shift)
                     : sum(begin, end - begin, shift);
    if (logarithmic && !(in_range(s) || (anchored && s < 1))) {
      Scalar top = largest(begin, (split ? own : end) - begin);
      if (split) {
        Scalar const right = largest(own + 1, end - own - 1);
        top = top > right || top != top ? top : right;
      }
      if (top != lowest) {
        shift = top;
        s = sum(begin, (split ? own : end) - begin, shift);
        if (split) s += sum(own + 1, end - own - 1, shift);
      }
    }
    anchored = anchored || in_range(s);
    shifts[k] = shift;
    scratch.sum[k] = s;
  }
  // Shifts only grow once a block is anchored; the last is the largest, and the others are brought to it.
  scratch.shift = shift;
  scratch.total = 0;
  for (int k = 0; k < scratch.blocks; ++k) {
    if (shifts[k] != shift && scratch.sum[k] != 0) {
      scratch.sum[k] *= Kokkos::exp(static_cast<double>(shifts[k]) - static_cast<double>(shift));
    }
    scratch.total += scratch.sum[k];
  }
}

template <class Scalar>
KOKKOS_INLINE_FUNCTION double ScoreRow<Scalar>::weigh(int own, Weights const& weights, RowSums const& sums,
                                                      Scratch& scratch) const {
  scratch.negative = false;
  // Without an offset the weights are proportional to the row: its partial sums will do.
  if (weights.offset == 0) return weights.slope * sums.others;
  double const slope = weights.slope * scratch.unit;
  scratch.total = 0;
  int below = 0;
  for (int k = 0; k < scratch.blocks; ++k) {
    int const begin = k * scratch.block, end = begin + scratch.block < size ? begin + scratch.block : size;
    bool const split = own >= begin && own < end;
    if (weights.offset > 0) {
      scratch.sum[k] = slope * scratch.sum[k] + weights.offset * (end - begin - (split ? 1 : 0));
    } else {
      double s = 0;
      Scalar buffer[Scratch::chunk];
      for (int from = begin; from < end; from += Scratch::chunk) {
        int const n = from + Scratch::chunk < end ? Scratch::chunk : end - from;
        Scalar const* const v = entries(from, n, own, scratch, buffer);
        // The own entry is 0, and so below 0 with the offset.
#pragma omp simd reduction(+ : s, below)
        for (int i = 0; i < n; ++i) {
          double const w = slope * static_cast<double>(v[i]) + weights.offset;
          below += w < 0 ? 1 : 0;
          s += w < 0 ? 0 : w;
        }
      }
      scratch.sum[k] = s;
    }
    scratch.total += scratch.sum[k];
  }
  scratch.negative = below > (own >= 0 && own < size ? 1 : 0);
  return scratch.total;
}

template <class Scalar>
KOKKOS_INLINE_FUNCTION int ScoreRow<Scalar>::draw(int own, Weights const& weights, double uniform,
                                                  Scratch const& scratch) const {
  double rest = uniform * scratch.total;
  int fallback = -1;
  for (int k = 0; k < scratch.blocks; ++k) {
    double const sum = scratch.sum[k];
    if (!(sum > 0)) continue;
    if (rest < sum) {
      int const found = draw_in_block(k, own, weights, rest, scratch);
      if (found >= 0) return found;
      rest = 0;  // every entry of a block far under the others has underflowed: the next one then
    } else {
      fallback = k;
      rest -= sum;
    }
  }
  // Rounding has pushed `rest` past the end: the last entry of the last block.
  return fallback < 0 ? -1 : draw_in_block(fallback, own, weights, Kokkos::Experimental::infinity_v<double>, scratch);
}

template <class Scalar>
KOKKOS_FORCEINLINE_FUNCTION int ScoreRow<Scalar>::draw_in_block(int k, int own, Weights const& weights, double rest,
                                                                Scratch const& scratch) const {
  bool const plain = weights.offset == 0;
  double const slope = plain ? 1.0 : weights.slope * scratch.unit, offset = weights.offset;
  int const begin = k * scratch.block, end = begin + scratch.block < size ? begin + scratch.block : size;
  int found = -1;
  double running = 0;
  Scalar buffer[Scratch::chunk];
  for (int from = begin; from < end; from += Scratch::chunk) {
    int const n = from + Scratch::chunk < end ? Scratch::chunk : end - from;
    Scalar const* const v = entries(from, n, own, scratch, buffer);
    for (int i = 0; i < n; ++i) {
      double const w = slope * static_cast<double>(v[i]) + offset;
      if (!(w > 0) || from + i == own) continue;
      found = from + i;
      running += w;
      if (rest < running) return found;
    }
  }
  return found;
}

template <class Scalar>
KOKKOS_INLINE_FUNCTION RowShape ScoreRow<Scalar>::shape(int own, Scratch const& scratch) const {
  RowShape s;
  double total = 0, weighted = 0;
  Scalar buffer[Scratch::chunk];
  for (int from = 0; from < size; from += Scratch::chunk) {
    int const n = from + Scratch::chunk < size ? Scratch::chunk : size - from;
    transform(values.load(from, n, buffer), n, own - from, scratch.shift, buffer);
    for (int i = 0; i < n; ++i) {
      double const v = static_cast<double>(buffer[i]);
      if (!(v > 0)) continue;
      total += v;
      weighted += v * Kokkos::log(v);
      if (v > s.largest) {
        s.second = s.largest;
        s.largest = v;
        s.best = from + i;
      } else if (v > s.second) {
        s.second = v;
      }
    }
  }
  s.entropy = total > 0 ? Kokkos::log(total) - weighted / total : 0;
  s.entropy = s.entropy > 0 ? s.entropy : 0;
  s.largest /= total;
  s.second /= total;
  return s;
}

/// The row v_y = 1 for every y != own: a closed form, nothing is read.
struct UnitRow {
  struct Scratch {};
  int size;
  double time_scale = 1;
  KOKKOS_INLINE_FUNCTION RowSums scan(int, Scratch&) const { return {static_cast<double>(size - 1), 1, time_scale}; }
  KOKKOS_INLINE_FUNCTION double weigh(int, Weights const& weights, RowSums const& sums, Scratch&) const {
    return (weights.slope + weights.offset) * sums.others;
  }
  KOKKOS_INLINE_FUNCTION int draw(int own, Weights const&, double uniform, Scratch const&) const {
    if (size < 2) return -1;
    int const y = static_cast<int>(uniform * (size - 1));
    return y < own ? y : y + 1;
  }
  KOKKOS_INLINE_FUNCTION double value(int, Scratch const&) const { return 1; }
};

/// The row with a single 1, at `target`.
struct PointRow {
  struct Scratch {};
  int target;
  double time_scale = 1;
  KOKKOS_INLINE_FUNCTION RowSums scan(int, Scratch&) const { return {1, 0, time_scale}; }
  KOKKOS_INLINE_FUNCTION double weigh(int, Weights const& weights, RowSums const&, Scratch&) const {
    return weights.slope;
  }
  KOKKOS_INLINE_FUNCTION int draw(int, Weights const&, double, Scratch const&) const { return target; }
  KOKKOS_INLINE_FUNCTION double value(int y, Scratch const&) const { return y == target ? 1 : 0; }
};

/// A row of an alias table: jump rates, or the transition probabilities of a step.
struct TableRow {
  struct Scratch {};
  AliasTable const* table;
  std::int64_t row;
  double time_scale;
  KOKKOS_INLINE_FUNCTION RowSums scan(int, Scratch&) const { return {table->total(row), table->own(row), time_scale}; }
  KOKKOS_INLINE_FUNCTION double weigh(int, Weights const& weights, RowSums const& sums, Scratch&) const {
    return weights.slope * sums.others;
  }
  KOKKOS_INLINE_FUNCTION int draw(int, Weights const&, double uniform, Scratch const&) const {
    return table->total(row) > 0 ? table->draw(row, uniform) : -1;
  }
  KOKKOS_INLINE_FUNCTION double value(int y, Scratch const&) const {
    for (std::int64_t k = table->row_begin(row); k < table->row_begin(row + 1); ++k) {
      if (table->entries(k).column() == y) return table->weight(k);
    }
    return 0;
  }
};

/// The two jumps of a population.
struct PopulationRow {
  struct Scratch {};
  PopulationRates rates;
  token_t x;
  double time_scale;
  KOKKOS_INLINE_FUNCTION RowSums scan(int, Scratch&) const { return {rates.up(x) + rates.down(x), 0, time_scale}; }
  KOKKOS_INLINE_FUNCTION double weigh(int, Weights const& weights, RowSums const& sums, Scratch&) const {
    return weights.slope * sums.others;
  }
  KOKKOS_INLINE_FUNCTION int draw(int, Weights const&, double uniform, Scratch const&) const {
    std::int64_t const y =
        uniform * (rates.up(x) + rates.down(x)) < rates.up(x) ? std::int64_t{x} + rates.batch : x - 1;
    return y > PopulationRates::limit ? -1 : static_cast<int>(y);  // no target: an error
  }
  KOKKOS_INLINE_FUNCTION double value(int y, Scratch const&) const {
    return y == x + rates.batch ? rates.up(x) : (y == x - 1 ? rates.down(x) : 0);
  }
};

/// The row of a reverse process with a dense generator, made from a law of the clean token in O(S^2) (A§4.1, 7.2):
/// rates v_y = Q(y, x) (pL P_from)_y / (pL P_from)_x, or transition weights v_y = (pL P_to)_y P_{from|to}(y, x).
template <class Scalar>
struct DenseReverseRow {
  static constexpr int most_states = 512;
  static constexpr double least_seen = 1e-13;
  struct Scratch {
    double v[most_states];
  };
  Stored<Scalar> law;
  ScoreKind kind;
  int states;
  double const *from, *kernel, *back;  // P_from [S,S]; P_from or P_to [S,S]; row x of Q or P_{from|to} transposed [S]
  bool rates;
  double const* forward = nullptr;     // corrector: column x of Q transposed, Q(x, y) at y * states; added to the rates

  KOKKOS_INLINE_FUNCTION RowSums scan(int own, Scratch& scratch) const {
    double clean[most_states], norm = 0, top = 0;
    if (is_logits(kind)) {
      top = static_cast<double>(law[0]);
      for (int k = 1; k < states; ++k) top = static_cast<double>(law[k]) <= top ? top : static_cast<double>(law[k]);
    }
    for (int k = 0; k < states; ++k) {
      double p = static_cast<double>(law[k]);
      if (is_logits(kind)) p = Kokkos::exp(p - top);
      p = p < 0 ? 0 : p;  // keeps a NaN
      if (is_leave_in(kind)) {
        // pL(k) is proportional to pI(k) / P(k, own), but for what is 0 up to the rounding of P: the own token is none of k's.
        double const seen = from[k * states + own];
        p = seen > least_seen ? p / seen : p == p ? 0 : p;
      }
      clean[k] = p;
      norm += p;
    }
    for (int y = 0; y < states; ++y) scratch.v[y] = 0;
    for (int k = 0; k < states; ++k) {
      double const p = clean[k] / norm;
      double const* const row = kernel + static_cast<std::int64_t>(k) * states;
#pragma omp simd
      for (int y = 0; y < states; ++y) scratch.v[y] += p * row[y];
    }
    double const unit = rates ? 1 / scratch.v[own] : 1;
    double others = 0, stay = 0;
    for (int y = 0; y < states; ++y) {
      scratch.v[y] *= back[y] * unit;
      if (forward) scratch.v[y] += y == own ? 0 : forward[static_cast<std::int64_t>(y) * states];
      (y == own ? stay : others) += scratch.v[y];
    }
    return {others, stay};
  }
  KOKKOS_INLINE_FUNCTION double weigh(int, Weights const& weights, RowSums const& sums, Scratch&) const {
    return weights.slope * sums.others;
  }
  KOKKOS_INLINE_FUNCTION int draw(int own, Weights const&, double uniform, Scratch const& scratch) const {
    double total = 0;
    for (int y = 0; y < states; ++y) total += y == own ? 0 : scratch.v[y];
    double rest = uniform * total;
    int found = -1;
    for (int y = 0; y < states; ++y) {
      if (y == own || !(scratch.v[y] > 0)) continue;
      found = y;
      rest -= scratch.v[y];
      if (rest < 0) break;
    }
    return found;
  }
  KOKKOS_INLINE_FUNCTION double value(int y, Scratch const& scratch) const { return scratch.v[y]; }
};

// -------------------------------------------------------------------------------------------------------- fields

/// What all fields share.
struct FieldBase {
  Tokens tokens;
  Frozen frozen;
  Kokkos::View<StepCoeff const*, MemorySpace> coefficients;  ///< [batch], or [1] for all rows
  int states;

  KOKKOS_FORCEINLINE_FUNCTION StepCoeff const& coeff(int b) const {
    return coefficients(coefficients.extent(0) == 1 ? 0 : b);
  }
  KOKKOS_FORCEINLINE_FUNCTION bool is_frozen(int b, int l) const { return frozen.size() != 0 && frozen(b, l) != 0; }
};

/// retention and lost of a forward step whose rates are multiplied by phi and by the site's multiplier.
struct Kept {
  double retention, lost;
};
KOKKOS_INLINE_FUNCTION Kept kept(StepCoeff const& c, RowSums const& sums) {
  double const factor = c.phi * sums.time_scale;
  if (factor == 1) return {c.retention, c.lost};
  return {Kokkos::exp(-factor * c.delta), -Kokkos::expm1(-factor * c.delta)};
}

template <class Scalar>
struct ScoredField : FieldBase {
  Stored<Scalar> scores;  ///< [batch, length, states]
  std::int64_t row_stride, site_stride;
  ScoreKind kind;
  bool sums_to_one;  ///< rows are normalised over the tokens as they are stored

  using Value = Scalar;
  using Row = ScoreRow<Scalar>;

  /// Whether rows are short and lie one behind the other, as ScoreRow::scan_together() needs.
  KOKKOS_FORCEINLINE_FUNCTION bool adjacent() const {
    return site_stride == this->states && this->states <= Row::Scratch::cached;
  }

 protected:
  KOKKOS_FORCEINLINE_FUNCTION Row row_at(int b, int l, bool own_counts) const {
    return {scores.from(b * row_stride + l * site_stride), states, kind, static_cast<Scalar>(this->coeff(b).power),
            own_counts};
  }
};

/// Reverse process of an absorbing generator: only masked sites move, to a token (A§4.2, 7.1).
template <class Scalar>
struct ReverseMaskedField : ScoredField<Scalar> {
  token_t mask;
  bool normalised;  ///< rows are laws: the schedule alone gives the hazard, and the row only the target

  KOKKOS_FORCEINLINE_FUNCTION auto row(int b, int l) const { return this->row_at(b, l, false); }
  KOKKOS_FORCEINLINE_FUNCTION bool active(int b, int l) const {
    return this->tokens(b, l) == mask && !this->is_frozen(b, l);
  }
  /// Whether the probability of a jump is known before the row is read.
  KOKKOS_FORCEINLINE_FUNCTION bool jump_known() const { return normalised; }
  KOKKOS_FORCEINLINE_FUNCTION bool forced(StepCoeff const& c) const { return c.forced; }
  /// Sums that stand for a row that was not read.
  KOKKOS_FORCEINLINE_FUNCTION RowSums unread() const { return {1, 0}; }

  KOKKOS_INLINE_FUNCTION Weights rates(StepCoeff const& c, RowSums const& sums) const {
    return {c.phi * (normalised ? c.hazard / sums.others : c.rate), 0, 0};
  }
  /// The law of the clean token given everything seen (leave-in).
  KOKKOS_INLINE_FUNCTION Weights clean(StepCoeff const&, RowSums const& sums) const { return {1 / sums.others, 0, 0}; }
  KOKKOS_INLINE_FUNCTION Weights transitions(StepCoeff const& c, RowSums const& sums) const {
    double const slope = c.phi * (normalised ? c.reveal / sums.others : c.growth);
    return {slope, 0, 1 - (normalised ? c.phi * c.reveal : slope * sums.others)};
  }
};

/// Reverse process of the uniform generator (A§4.1, 4.3, 7.2).
template <class Scalar>
struct ReverseUniformField : ScoredField<Scalar> {
  KOKKOS_FORCEINLINE_FUNCTION auto row(int b, int l) const { return this->row_at(b, l, true); }
  KOKKOS_FORCEINLINE_FUNCTION bool active(int b, int l) const { return !this->is_frozen(b, l); }
  KOKKOS_FORCEINLINE_FUNCTION bool jump_known() const { return false; }
  KOKKOS_FORCEINLINE_FUNCTION bool forced(StepCoeff const&) const { return false; }
  KOKKOS_FORCEINLINE_FUNCTION RowSums unread() const { return {1, 0}; }

  // s_y = slope v_y + offset for y != own, with s_own = 1
  KOKKOS_INLINE_FUNCTION Weights scores_of(StepCoeff const& c, RowSums const& sums) const {
    if (!is_x0(this->kind)) return {1, 0, 1};
    double const off = c.lost_from / this->states, own = own_left_out(c, sums), norm = sums.others + own;
    double const denominator = c.alpha_from * own / norm + off;
    return {c.alpha_from / norm / denominator, off / denominator, 1};
  }
  // the own entry of the leave-one-out law in units in which the others are the row's own: pL(k) ∝ pI(k)/P(k, own)
  KOKKOS_INLINE_FUNCTION double own_left_out(StepCoeff const& c, RowSums const& sums) const {
    if (!is_leave_in(this->kind)) return sums.own;
    double const off = c.lost_from / this->states;
    return sums.own * off / (c.alpha_from + off);
  }
  KOKKOS_INLINE_FUNCTION Weights rates(StepCoeff const& c, RowSums const& sums) const {
    Weights const s = scores_of(c, sums);
    double const factor = c.phi * c.rate / this->states;
    return {factor * s.slope, factor * s.offset, 0};
  }
  /// The law of the clean token given everything seen (leave-in), up to a factor: pL(y) P(y, own).
  KOKKOS_INLINE_FUNCTION Weights clean(StepCoeff const& c, RowSums const& sums) const {
    double const off = c.lost_from / this->states, keep = c.alpha_from + off;
    if (is_x0(this->kind)) return {off, 0, keep * own_left_out(c, sums)};
    // alpha pL = s / sum(s) - off, clamped at 0 for inexact scores
    double const total = sums.others + 1, own = 1 / total - off;
    return {off / total, -off * off, keep * (own > 0 ? own : 0)};
  }
  KOKKOS_INLINE_FUNCTION Weights transitions(StepCoeff const& c, RowSums const& sums) const {
    double const n = this->states, off = c.lost / n;
    if (is_x0(this->kind) && c.phi == 1) {
      double const own = own_left_out(c, sums), norm = sums.others + own, off_to = c.lost_to / n;
      return {off * c.alpha_to / norm, off * off_to, (off + c.retention) * (c.alpha_to * own / norm + off_to)};
    }
    // From the scores, the others scaled by phi: q(y) ∝ s_y - (lost/n) sum s, clamped at 0 for inexact scores.
    Weights const s = scores_of(c, sums);
    double const slope = c.phi * s.slope, offset = c.phi * s.offset;
    double const pull = off * (1 + slope * sums.others + offset * (n - 1));
    return {off * slope, off * (offset - pull), (off + c.retention) * (1 - pull)};
  }
};

/// Reverse process of a reversible dense generator, from laws of the clean token.
template <class Scalar>
struct ReverseDenseField : FieldBase {
  Stored<Scalar> scores;  ///< [batch, length, states]
  std::int64_t row_stride, site_stride;
  ScoreKind kind;
  StepMatrices matrices;
  Kokkos::View<double const**, Kokkos::LayoutRight, MemorySpace> transposed;  ///< Q(y, x) in row x
  bool for_transitions;

  using Value = Scalar;
  using Row = DenseReverseRow<Scalar>;
  KOKKOS_FORCEINLINE_FUNCTION bool active(int b, int l) const { return !is_frozen(b, l); }
  KOKKOS_FORCEINLINE_FUNCTION bool jump_known() const { return false; }
  KOKKOS_FORCEINLINE_FUNCTION bool forced(StepCoeff const&) const { return false; }
  KOKKOS_FORCEINLINE_FUNCTION RowSums unread() const { return {1, 0}; }
  KOKKOS_FORCEINLINE_FUNCTION Row row(int b, int l) const {
    token_t const x = tokens(b, l);
    return {scores.from(b * row_stride + l * site_stride),
            kind,
            states,
            matrices.from.data(),
            for_transitions ? matrices.to.data() : matrices.from.data(),
            for_transitions ? &matrices.between_transposed(x, 0) : &transposed(x, 0),
            !for_transitions};
  }
  KOKKOS_INLINE_FUNCTION Weights rates(StepCoeff const& c, RowSums const&) const { return {c.phi * c.rate, 0, 0}; }
  /// As rates do, phi multiplies the weights of the others against that of staying.
  KOKKOS_INLINE_FUNCTION Weights transitions(StepCoeff const& c, RowSums const& sums) const {
    return {c.phi, 0, sums.own};
  }
};

// Correctors: the rates Q_t + R_t, which leave p_t as it is (A§8.1). Sites of every value may move.

/// A masked site's row of scores, or of a revealed one the single jump back to the mask, flagged by time_scale = 0.
template <class Scalar>
struct MaskedOrPointRow {
  using Scratch = Partials<Scalar>;
  ScoreRow<Scalar> row;
  token_t mask;
  bool revealed;
  KOKKOS_INLINE_FUNCTION RowSums scan(int own, Scratch& scratch) const {
    if (!revealed) return row.scan(own, scratch);
    scratch.negative = false;
    return {1, 0, 0};
  }
  KOKKOS_INLINE_FUNCTION double weigh(int own, Weights const& weights, RowSums const& sums, Scratch& scratch) const {
    return revealed ? weights.slope : row.weigh(own, weights, sums, scratch);
  }
  KOKKOS_INLINE_FUNCTION int draw(int own, Weights const& weights, double uniform, Scratch const& scratch) const {
    return revealed ? mask : row.draw(own, weights, uniform, scratch);
  }
  KOKKOS_INLINE_FUNCTION double value(int y, Scratch const& scratch) const {
    return revealed ? (y == mask ? 1 : 0) : row.value(y, scratch);
  }
};

template <class Scalar>
struct CorrectorMaskedField : ReverseMaskedField<Scalar> {
  using Row = MaskedOrPointRow<Scalar>;
  KOKKOS_FORCEINLINE_FUNCTION bool active(int b, int l) const { return !this->is_frozen(b, l); }
  KOKKOS_FORCEINLINE_FUNCTION bool jump_known() const { return false; }
  KOKKOS_FORCEINLINE_FUNCTION Row row(int b, int l) const {
    return {this->row_at(b, l, false), this->mask, this->tokens(b, l) != this->mask};
  }
  KOKKOS_INLINE_FUNCTION Weights rates(StepCoeff const& c, RowSums const& sums) const {
    return sums.time_scale == 0 ? Weights{c.rate, 0, 0} : ReverseMaskedField<Scalar>::rates(c, sums);
  }
};

template <class Scalar>
struct CorrectorUniformField : ReverseUniformField<Scalar> {
  KOKKOS_INLINE_FUNCTION Weights rates(StepCoeff const& c, RowSums const& sums) const {
    Weights w = ReverseUniformField<Scalar>::rates(c, sums);
    w.offset += c.rate / this->states;
    return w;
  }
};

template <class Scalar>
struct CorrectorDenseField : ReverseDenseField<Scalar> {
  KOKKOS_FORCEINLINE_FUNCTION typename ReverseDenseField<Scalar>::Row row(int b, int l) const {
    auto row = ReverseDenseField<Scalar>::row(b, l);
    row.forward = this->transposed.data() + this->tokens(b, l);
    return row;
  }
};

/// What the fields of forward processes share.
struct ForwardField : FieldBase {
  Kokkos::View<double const*, MemorySpace> site_scale;  ///< [length] or empty
  KOKKOS_FORCEINLINE_FUNCTION double scale(int l) const { return site_scale.size() == 0 ? 1.0 : site_scale(l); }
  KOKKOS_FORCEINLINE_FUNCTION bool jump_known() const { return site_scale.size() == 0; }
  KOKKOS_FORCEINLINE_FUNCTION bool forced(StepCoeff const&) const { return false; }
};

/// Forward process of an absorbing generator.
struct ForwardAbsorbingField : ForwardField {
  token_t mask;
  using Row = PointRow;
  KOKKOS_FORCEINLINE_FUNCTION bool active(int b, int l) const { return tokens(b, l) != mask && !is_frozen(b, l); }
  KOKKOS_FORCEINLINE_FUNCTION RowSums unread() const { return {1, 0}; }
  KOKKOS_FORCEINLINE_FUNCTION Row row(int, int l) const { return {mask, scale(l)}; }
  KOKKOS_INLINE_FUNCTION Weights rates(StepCoeff const& c, RowSums const& sums) const {
    return {c.phi * c.rate * sums.time_scale, 0, 0};
  }
  KOKKOS_INLINE_FUNCTION Weights transitions(StepCoeff const& c, RowSums const& sums) const {
    Kept const k = kept(c, sums);
    return {k.lost, 0, k.retention};
  }
};

/// Forward process of the uniform generator.
struct ForwardUniformField : ForwardField {
  using Row = UnitRow;
  KOKKOS_FORCEINLINE_FUNCTION bool active(int b, int l) const { return states > 1 && !is_frozen(b, l); }
  KOKKOS_FORCEINLINE_FUNCTION RowSums unread() const { return {static_cast<double>(states - 1), 1}; }
  KOKKOS_FORCEINLINE_FUNCTION Row row(int, int l) const { return {states, scale(l)}; }
  KOKKOS_INLINE_FUNCTION Weights rates(StepCoeff const& c, RowSums const& sums) const {
    return {c.phi * c.rate * sums.time_scale / states, 0, 0};
  }
  KOKKOS_INLINE_FUNCTION Weights transitions(StepCoeff const& c, RowSums const& sums) const {
    Kept const k = kept(c, sums);
    return {k.lost / states, 0, k.retention + k.lost / states};
  }
};

/// Forward process of a dense or sparse generator: rows of its jump table, or of the step's transition table.
struct ForwardTableField : ForwardField {
  AliasTable table;
  Kokkos::View<int const*, MemorySpace> site_category;  ///< transitions: [length] or empty
  using Row = TableRow;
  KOKKOS_FORCEINLINE_FUNCTION bool active(int b, int l) const {
    return table.total(row_of(b, l)) > 0 && !is_frozen(b, l);
  }
  KOKKOS_FORCEINLINE_FUNCTION bool jump_known() const { return false; }
  KOKKOS_FORCEINLINE_FUNCTION RowSums unread() const { return {1, 0}; }
  KOKKOS_FORCEINLINE_FUNCTION Row row(int b, int l) const { return {&table, row_of(b, l), scale(l)}; }
  KOKKOS_INLINE_FUNCTION Weights rates(StepCoeff const& c, RowSums const& sums) const {
    return {c.phi * c.rate * sums.time_scale, 0, 0};
  }
  KOKKOS_INLINE_FUNCTION Weights transitions(StepCoeff const&, RowSums const& sums) const { return {1, 0, sums.own}; }

 private:
  KOKKOS_FORCEINLINE_FUNCTION std::int64_t row_of(int b, int l) const {
    return (site_category.size() == 0 ? 0 : std::int64_t{site_category(l)} * states) + tokens(b, l);
  }
};

/// Forward process of a population. It has no transition probabilities.
struct ForwardPopulationField : ForwardField {
  PopulationRates population;
  using Row = PopulationRow;
  KOKKOS_FORCEINLINE_FUNCTION bool active(int b, int l) const { return !is_frozen(b, l); }
  KOKKOS_FORCEINLINE_FUNCTION bool jump_known() const { return false; }
  KOKKOS_FORCEINLINE_FUNCTION RowSums unread() const { return {1, 0}; }
  KOKKOS_FORCEINLINE_FUNCTION Row row(int b, int l) const { return {population, tokens(b, l), scale(l)}; }
  KOKKOS_INLINE_FUNCTION Weights rates(StepCoeff const& c, RowSums const& sums) const {
    return {c.phi * c.rate * sums.time_scale, 0, 0};
  }
  KOKKOS_INLINE_FUNCTION Weights transitions(StepCoeff const&, RowSums const&) const { return {0, 0, 1}; }
};

}  // namespace saltus
