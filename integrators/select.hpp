// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/ctmc/parameters.hpp>
#include <saltus/ctmc/visit_field.hpp>
#include <saltus/integrators/integrator.hpp>

/// Methods for masked models that choose which sites of a row to reveal by comparing them with each other. Such a method
/// is a Selector: a trivially copyable struct with
///   Candidate rank(field, b, l, key, sample)  key (smaller is sooner), value, and token of a masked site, or token -1 to
///                                             draw it by the row once the site is chosen; and
///   bool open(b, l)                           whether a site may be chosen in this step; and either
///   int count(b, n, sample, key)              how many of n candidates; or
///   double most                               entropy bounds: the longest prefix whose values' sum less their maximum is
///                                             at most this, and one at least (A§9.2).
/// One that keeps its rows' clocks has besides
///   void clock(b, key)                        with the last chosen key, and
///   void arrived(b)                           where no site is left.
/// Three kernels: rank every masked site, choose in every row, draw the chosen ones.
namespace saltus {

/// What a selector says of one masked site.
struct Candidate {
  double key;
  double value;
  token_t token;
};

/// An integer of mean `x`: floor or ceil. Values within rounding of an integer are that integer.
KOKKOS_INLINE_FUNCTION int round_at_random(double x, double uniform) {
  double const near = Kokkos::round(x);
  if (Kokkos::abs(x - near) < 1e-9 * (1 + near)) return static_cast<int>(near);
  double const low = Kokkos::floor(x);
  return static_cast<int>(low) + (uniform < x - low ? 1 : 0);
}

/// Work views of a selection, [batch, length] but for `chosen`.
struct Ranking {
  using Numbers = Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace>;
  using Integers = Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace>;
  Numbers keys, values;
  Tokens tokens;
  Integers order;                       ///< the chosen sites of a row, soonest first
  Kokkos::View<int*, MemorySpace> chosen;  ///< [batch]: how many

  void reserve(std::string const& label, Extents extents) {
    auto const batch = static_cast<std::size_t>(extents.batch), length = static_cast<std::size_t>(extents.length);
    if (chosen.extent(0) >= batch && keys.extent(1) == length) return;
    keys = Numbers(label + "::keys", batch, length);
    values = Numbers(label + "::values", batch, length);
    tokens = Tokens(label + "::candidates", batch, length);
    order = Integers(label + "::order", batch, length);
    chosen = Kokkos::View<int*, MemorySpace>(label + "::chosen", batch);
  }
};

/// The revealed sites of a masked process, for methods that redraw them; rows are read over all tokens.
template <class Scalar>
struct RevealedField : ReverseMaskedField<Scalar> {
  KOKKOS_FORCEINLINE_FUNCTION bool active(int b, int l) const {
    return this->tokens(b, l) != this->mask && !this->is_frozen(b, l);
  }
};

template <class Selector, class Field>
struct RankKernel {
  Field field;
  Selector selector;
  Ranking ranking;
  StreamKey key;
  std::uint64_t first_sample;
  int length;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    ranking.keys(b, l) = Kokkos::Experimental::infinity_v<double>;
    if (!field.active(b, l) || !selector.open(b, l)) return;
    Candidate const c = selector.rank(field, b, l, key, first_sample + static_cast<std::uint64_t>(b));
    ranking.keys(b, l) = c.key;
    ranking.values(b, l) = c.value;
    ranking.tokens(b, l) = c.token;
  }
};

template <class Selector>
struct ChooseKernel {
  Selector selector;
  Ranking ranking;
  StreamKey key;
  std::uint64_t first_sample;
  int length;

  KOKKOS_FUNCTION void operator()(int b) const {
    int n = 0;
    for (int l = 0; l < length; ++l) {
      // A key that is not a number is none of the infinite ones of sites that are out of the question.
      if (ranking.keys(b, l) != Kokkos::Experimental::infinity_v<double>) ranking.order(b, n++) = l;
    }
    ranking.chosen(b) = 0;
    if (n == 0) {
      if constexpr (requires { selector.arrived(b); }) selector.arrived(b);
      return;
    }
    // A heap with the soonest site on top; taking it k times costs n + k log n. Taken sites gather at the end, last first.
    for (int start = n / 2; start-- > 0;) sift(b, start, n);
    int taken = 0;
    std::uint64_t const sample = first_sample + static_cast<std::uint64_t>(b);
    if constexpr (requires { selector.most; }) {
      double sum = 0, largest = 0;
      while (taken < n) {
        double const value = ranking.values(b, ranking.order(b, 0));
        sum += value;
        largest = largest > value ? largest : value;
        if (taken > 0 && !(sum - largest <= selector.most)) break;
        pop(b, n - taken++);
      }
    } else {
      int const count = selector.count(b, n, sample, key);
      while (taken < count && taken < n) pop(b, n - taken++);
    }
    for (int i = 0, j = n - 1; i < j; ++i, --j) Kokkos::kokkos_swap(ranking.order(b, i), ranking.order(b, j));
    ranking.chosen(b) = taken;
    if constexpr (requires { selector.clock(b, 0.0); }) {
      if (taken > 0) selector.clock(b, ranking.keys(b, ranking.order(b, taken - 1)));
    }
  }

 private:
  KOKKOS_FUNCTION bool sooner(int b, int i, int j) const {
    int const x = ranking.order(b, i), y = ranking.order(b, j);
    return ranking.keys(b, x) != ranking.keys(b, y) ? ranking.keys(b, x) < ranking.keys(b, y) : x < y;
  }
  KOKKOS_FUNCTION void sift(int b, int root, int end) const {
    for (int child; (child = 2 * root + 1) < end; root = child) {
      if (child + 1 < end && sooner(b, child + 1, child)) ++child;
      if (!sooner(b, child, root)) return;
      Kokkos::kokkos_swap(ranking.order(b, root), ranking.order(b, child));
    }
  }
  KOKKOS_FUNCTION void pop(int b, int end) const {
    Kokkos::kokkos_swap(ranking.order(b, 0), ranking.order(b, end - 1));
    sift(b, 0, end - 1);
  }
};

template <class Field>
struct DrawChosenKernel {
  Field field;
  Ranking ranking;
  CounterView counters;
  StreamKey key;
  std::uint64_t first_sample;
  int length;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), i = static_cast<int>(item % length);
    if (i >= ranking.chosen(b)) return;
    int const l = ranking.order(b, i);
    int y = ranking.tokens(b, l);
    if (y < 0) {
      auto const row = field.row(b, l);
      typename Field::Row::Scratch scratch;
      RowSums const sums = row.scan(field.mask, scratch);
      std::uint64_t const bits = key.draw(first_sample + static_cast<std::uint64_t>(b), Role::step,
                                          static_cast<std::uint32_t>(l)).target;
      y = Kokkos::isfinite(sums.others) ? row.draw(field.mask, {1, 0, 0}, uniform53(bits), scratch) : -1;
    }
    Counters& count = counters(item);
    if (y >= 0) {
      count.jumps += y != field.tokens(b, l);
      field.tokens(b, l) = static_cast<token_t>(y);
    } else {
      count.note_bad_score(key.step, b, l);
    }
  }
};

/// Ranks the masked sites, or the revealed ones, and chooses, but does not draw.
template <bool revealed = false, class Selector>
void choose_sites(ExecSpace const& exec, std::string const& label, Process const& process, State const& state,
                  Step const& step, StreamKey key, Selector const& selector, Ranking const& ranking) {
  std::int64_t const items = std::int64_t{state.batch()} * state.length();
  visit_field(process, state, step, 0, false, [&]<class Field>(Field const& field) {
    if constexpr (requires { field.normalised; }) {
      using Chosen = std::conditional_t<revealed, RevealedField<typename Field::Value>, Field>;
      Kokkos::parallel_for(
          label + "::rank", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(exec, 0, items),
          RankKernel<Selector, Chosen>{Chosen{field}, selector, ranking, key, state.first_sample, state.length()});
    }
  });
  Kokkos::parallel_for(label + "::choose",
                       Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, state.batch()),
                       ChooseKernel<Selector>{selector, ranking, key, state.first_sample, state.length()});
}

/// Reveals the chosen sites.
inline void draw_chosen(ExecSpace const& exec, std::string const& label, Process const& process, State const& state,
                        Step const& step, StreamKey key, Ranking const& ranking, CounterView const& counters) {
  visit_field(process, state, step, 0, false, [&]<class Field>(Field const& field) {
    if constexpr (requires { field.normalised; }) {
      Kokkos::parallel_for(
          label + "::draw",
          Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(
              exec, 0, std::int64_t{state.batch()} * state.length()),
          DrawChosenKernel<Field>{field, ranking, counters, key, state.first_sample, state.length()});
    }
  });
}

/// Why a method for masked models cannot advance `process`; empty if it can.
std::string needs_mask(IntegratorInfo const& info, Process const& process);

/// How many sites a step reveals.
enum class Counts {
  share,   ///< the step's share of the masks by the noise, rounded at random: no binomial noise
  uniform  ///< the masks that are left over the steps that are left, rounded up
};
Counts parse_counts(Parameters const& parameters, Counts otherwise);

/// The count of a row with n masks, before rounding.
KOKKOS_INLINE_FUNCTION double count_of(Counts counts, StepCoeff const& c, int n, int remaining) {
  if (c.forced) return n;
  if (counts == Counts::uniform) return (n + remaining - 1) / remaining;
  double const share = n * c.phi * c.reveal;
  return share < n ? share : n;
}

/// What methods of one evaluation that choose sites share.
class ChoosingMethod : public Integrator {
 public:
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override { return needs_mask(info_, process); }
  std::size_t reserve(Process const& process, Extents extents) override;

 protected:
  explicit ChoosingMethod(IntegratorInfo info)
      : info_(std::move(info)), label_("saltus::integrators::" + info_.name) {}

  /// One step: evaluates, ranks, chooses, draws and sets the clock.
  template <class Selector>
  void reveal(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
              CounterView const& counters, Selector const& selector) {
    if (state.batch() == 0) return;
    key = key.at(static_cast<std::uint32_t>(step.index));
    process.refresh(exec, state, 0);
    choose_sites(exec, label_, process, state, step, key, selector, ranking_);
    draw_chosen(exec, label_, process, state, step, key, ranking_, counters);
    finish(exec, state, step);
  }

  IntegratorInfo info_;
  std::string label_;
  Ranking ranking_;

 private:
  void finish(ExecSpace const& exec, State const& state, Step const& step) const;
};

/// Chooses at random, all sets alike.
struct RandomSites {
  Kokkos::View<StepCoeff const*, MemorySpace> coefficients;
  Counts counts;
  int remaining;

  KOKKOS_FUNCTION bool open(int, int) const { return true; }
  template <class Field>
  KOKKOS_FUNCTION Candidate rank(Field const&, int, int l, StreamKey key, std::uint64_t sample) const {
    return {uniform53(key.draw(sample, Role::step, static_cast<std::uint32_t>(l)).event), 0, -1};
  }
  KOKKOS_FUNCTION int count(int b, int n, std::uint64_t sample, StreamKey key) const {
    StepCoeff const& c = coefficients(coefficients.extent(0) == 1 ? 0 : b);
    return round_at_random(count_of(counts, c, n, remaining), uniform53(key.draw(sample, Role::order, 0).event));
  }
};

/// [sites, S]: the marginal law of each site of the list when `count` of a row's masks are revealed, all sets alike.
void share_probabilities(ExecSpace const& exec, std::string const& label, Process const& process, State const& state,
                         Step const& step, Counts counts, int remaining, SiteList const& sites,
                         SiteProbabilities const& out);

}  // namespace saltus
