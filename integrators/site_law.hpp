// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>

#include <saltus/ctmc/parameters.hpp>
#include <saltus/ctmc/poisson.hpp>
#include <saltus/ctmc/visit_field.hpp>
#include <saltus/integrators/integrator.hpp>

/// Methods whose sites move independently given the state of the batch. Such a method is a SiteLaw: a struct with
///   static Weights weights(field, coeff, sums)   the weights of its targets, from the field's rates or transitions, and
///   static double jump(coeff, leave, stay, bool& clamped)   the probability of a jump from their total over y != own,
/// and, if the weights are made from field.transitions(), static constexpr bool uses_transitions = true; a law of the
/// corrector's rates Q + R says static constexpr bool corrector = true.
/// and IndependentSites<Law> is the integrator: propose, select each site by its own probability, draw, in one kernel.
namespace saltus {

/// Sites that one work item handles: on a host their random numbers come from one vectorised loop.
inline constexpr int max_tile = Kokkos::SpaceAccessibility<ExecSpace, HostSpace>::accessible ? 64 : 1;

/// Largest state space for which a matrix of transition probabilities is made a step.
inline constexpr int most_transition_states = 4096;

/// Sites a work item: enough to fill vectors, few enough to balance threads where a row of scores is long. Rows of forward
/// processes are closed forms or tables, of constant cost.
inline int tile_size(Process const& process) {
  return process.is_reverse() ? std::clamp(65536 / std::max(process.generator().states(), 1), 1, max_tile) : max_tile;
}

/// The least integer that every event word of an accepted jump lies under: (word >> 11) < threshold <=> u < p.
KOKKOS_FORCEINLINE_FUNCTION std::uint64_t jump_threshold(double p) {
  if (!(p > 0)) return 0;
  if (p >= 1) return std::uint64_t{1} << 53;
  return static_cast<std::uint64_t>(Kokkos::ceil(p * 0x1.0p53));
}

/// What one site would do: the probability of a jump and the weights of its targets.
struct Proposal {
  Weights weights;
  double leave;  ///< their total
  double jump;
  bool clamped;
  bool bad;  ///< the scores are not finite, or a jump is due and there is no target
};

template <class Law, class Field, class Row, class Scratch>
KOKKOS_FORCEINLINE_FUNCTION Proposal propose(Field const& field, StepCoeff const& c, Row const& row, token_t own,
                                             Scratch& scratch) {
  RowSums const sums = row.scan(own, scratch);
  Proposal p{Law::weights(field, c, sums), 0, 0, false, false};
  p.leave = row.weigh(own, p.weights, sums, scratch);
  p.jump = field.forced(c) ? 1 : Law::jump(c, p.leave, p.weights.stay, p.clamped);
  if constexpr (requires { scratch.negative; }) p.clamped |= scratch.negative;
  p.bad = !Kokkos::isfinite(sums.others) || !Kokkos::isfinite(sums.own) || !(p.jump >= 0);
  return p;
}

template <class Law, class Field>
struct StepKernel {
  Field field;
  CounterView counters;
  Times time;
  StreamKey key;
  std::uint64_t first_sample;
  int length, tile, tiles;  // tiles a row

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / tiles);
    int const begin = static_cast<int>(item % tiles) * tile;
    int const n = begin + tile < length ? tile : length - begin;
    StepCoeff const& c = field.coeff(b);
    if (begin == 0) time(b) = c.to;

    bool active[max_tile];
    int moving = 0;
    for (int i = 0; i < n; ++i) {
      active[i] = field.active(b, begin + i);
      moving += active[i];
    }
    if (moving == 0) return;

    std::uint64_t event[max_tile], target[max_tile];
    std::uint64_t const sample = first_sample + static_cast<std::uint64_t>(b);
#pragma omp simd
    for (int i = 0; i < n; ++i) {
      RandomPair const pair = key.draw(sample, Role::step, static_cast<std::uint32_t>(begin + i));
      event[i] = pair.event;
      target[i] = pair.target;
    }

    Counters count = counters(item);
    if (field.jump_known()) {
      bool clamped = false;
      RowSums const unread = field.unread();
      Weights const w = Law::weights(field, c, unread);
      double const jump = field.forced(c) ? 1 : Law::jump(c, w.slope * unread.others, w.stay, clamped);
      std::uint64_t const threshold = jump_threshold(jump);
      if (clamped) count.clamps += moving;
      if (!(jump >= 0)) count.note_bad_score(key.step, b, begin);
      for (int i = 0; i < n; ++i) {
        if (!active[i] || (event[i] >> 11) >= threshold) continue;
        int const l = begin + i;
        auto const row = field.row(b, l);
        token_t const own = field.tokens(b, l);
        typename Field::Row::Scratch scratch;
        RowSums const sums = row.scan(own, scratch);
        Weights weights = w;
        weights.slope = 1;  // jump_known: the targets are proportional to the row
        finish(count, b, l, own, row, weights, Kokkos::isfinite(sums.others), target[i], scratch);
      }
    } else {
      // Most of them stay where they are. With few states it is cheaper to see that of many sites at once.
      if (moving * 2 > n) settle(b, begin, n, c, event, active);
      for (int i = 0; i < n; ++i) {
        if (!active[i]) continue;
        int const l = begin + i;
        auto const row = field.row(b, l);
        token_t const own = field.tokens(b, l);
        typename Field::Row::Scratch scratch;
        Proposal const p = propose<Law>(field, c, row, own, scratch);
        count.clamps += p.clamped;
        if (!p.bad && (event[i] >> 11) >= jump_threshold(p.jump)) continue;
        finish(count, b, l, own, row, p.weights, !p.bad, target[i], scratch);
      }
    }
    counters(item) = count;
  }

 private:
  // Takes from `active` sites that stay for sure, by sums whose rounding is far below the margin. What is left is decided anew.
  KOKKOS_FORCEINLINE_FUNCTION void settle([[maybe_unused]] int b, [[maybe_unused]] int begin, [[maybe_unused]] int n,
                                          [[maybe_unused]] StepCoeff const& c, [[maybe_unused]] std::uint64_t const* event,
                                          [[maybe_unused]] bool* active) const {
    if constexpr (max_tile > 1 && requires { typename Field::Value; &Field::Row::template scan_together<int (*)(int)>; }) {
      if (!field.adjacent() || field.forced(c)) return;
      constexpr int group = Field::Row::group;
      constexpr double margin = 1 + 1e-4;
      RowSums sums[group];
      for (int from = 0; from < n; from += group) {
        int const first = begin + from, rows = from + group < n ? group : n - from;
        field.row(b, first).scan_together(rows, [&](int i) { return field.tokens(b, first + i); }, sums);
        for (int i = 0; i < rows; ++i) {
          bool clamped = false;
          Weights const w = Law::weights(field, c, sums[i]);
          double const jump = Law::jump(c, w.slope * sums[i].others + w.offset * (field.states - 1), w.stay, clamped);
          bool const stays = w.offset >= 0 && jump >= 0 && uniform53(event[from + i]) > margin * jump;
          active[from + i] = active[from + i] && !stays;
        }
      }
    }
  }

  template <class Row, class Scratch>
  KOKKOS_FORCEINLINE_FUNCTION void finish(Counters& count, int b, int l, token_t own, Row const& row,
                                          Weights const& weights, bool good, std::uint64_t bits,
                                          Scratch const& scratch) const {
    int const y = good ? row.draw(own, weights, uniform53(bits), scratch) : -1;
    if (y < 0) return count.note_bad_score(key.step, b, l);
    field.tokens(b, l) = static_cast<token_t>(y);
    ++count.jumps;
  }
};

/// How a site's next token is drawn from its law.
enum class Categorical {
  exact,      ///< in two stages, with 53-bit uniforms
  gumbel32,   ///< a race p/E with E = -ln u, u at most 1 - 2^-24, as in single precision (SEDD, MDLM; A§5.1)
  gumbel_eps  ///< the same with E = 1e-6 - ln(1e-6 + (1 - 1e-6) u) (JYS, LSD)
};
/// The parameter "categorical" of a method.
Categorical parse_categorical(Parameters const& parameters);

/// A time of arrival in the race, truncated as in published code (A§5.1). In double: a uniform of 24 bits would, besides,
/// round times of the size of the truncation, and by other amounts than published code does.
KOKKOS_INLINE_FUNCTION double race_time(Categorical categorical, std::uint32_t bits) {
  double const u = (static_cast<double>(bits) + 0.5) * 0x1.0p-32;
  if (categorical == Categorical::gumbel32) return -Kokkos::log((1 - 0x1.0p-24) * u);
  constexpr double eps = 1e-6;
  return eps - Kokkos::log(eps + (1 - eps) * u);
}

/// For reproducing papers only: each token and staying race with times E/p, truncated, and the first one wins. Small
/// probabilities are suppressed, which lowers entropy and the probability of a jump.
template <class Law, class Field>
struct RaceKernel {
  Field field;
  CounterView counters;
  Times time;
  StreamKey key;
  std::uint64_t first_sample;
  int length, tile, tiles;
  Categorical categorical;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / tiles), begin = static_cast<int>(item % tiles) * tile;
    StepCoeff const& c = field.coeff(b);
    if (begin == 0) time(b) = c.to;
    Counters count = counters(item);
    for (int l = begin; l < length && l < begin + tile; ++l) {
      if (!field.active(b, l)) continue;
      auto const row = field.row(b, l);
      token_t const own = field.tokens(b, l);
      typename Field::Row::Scratch scratch;
      Proposal const p = propose<Law>(field, c, row, own, scratch);
      count.clamps += p.clamped;
      if (p.bad) {
        count.note_bad_score(key.step, b, l);
        continue;
      }
      SiteStream stream(key, first_sample + static_cast<std::uint64_t>(b), static_cast<std::uint32_t>(l));
      int best = own;
      double most = -1;
      RandomPair pair{};
      for (int y = 0; y < field.states; ++y) {
        if (y % 4 == 0) pair = stream.next();
        std::uint64_t const word = y % 4 < 2 ? pair.event : pair.target;
        double const w = p.weights.slope * row.value(y, scratch) + p.weights.offset;
        double const q = y == own ? 1 - p.jump : (w > 0 && p.jump > 0 ? p.jump * (w / p.leave) : 0);
        double const speed = q / race_time(categorical, static_cast<std::uint32_t>(y % 2 ? word >> 32 : word));
        if (speed > most) {
          most = speed;
          best = y;
        }
      }
      count.jumps += best != own;
      field.tokens(b, l) = static_cast<token_t>(best);
    }
    counters(item) = count;
  }
};

template <class Law, class Field>
struct ProbabilityKernel {
  Field field;
  SiteList sites;
  SiteProbabilities out;
  int length, states;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(sites(item) / length), l = static_cast<int>(sites(item) % length);
    token_t const own = field.tokens(b, l);
    double* const law = &out(item, 0);
    for (int y = 0; y < states; ++y) law[y] = y == own ? 1 : 0;
    if (!field.active(b, l)) return;
    auto const row = field.row(b, l);
    typename Field::Row::Scratch scratch;
    Proposal const p = propose<Law>(field, field.coeff(b), row, own, scratch);
    if (p.bad || (p.jump > 0 && !(p.leave > 0))) {
      for (int y = 0; y < states; ++y) law[y] = Kokkos::Experimental::quiet_NaN_v<double>;
      return;
    }
    if (!(p.jump > 0)) return;
    // Their total anew: p.leave is a sum in the precision of the scores.
    if constexpr (requires { row.read(own, scratch, law); }) {
      row.read(own, scratch, law);
    } else {
      for (int y = 0; y < states; ++y) law[y] = row.value(y, scratch);
    }
    double total = 0;
    for (int y = 0; y < states; ++y) {
      double const w = p.weights.slope * law[y] + p.weights.offset;
      total += law[y] = y != own && w > 0 ? w : 0;
    }
    for (int y = 0; y < states; ++y) law[y] = p.jump * (law[y] / total);
    law[own] = 1 - p.jump;
  }
};

template <class Law>
class IndependentSites : public Integrator {
 public:
  explicit IndependentSites(IntegratorInfo info, Categorical categorical = Categorical::exact)
      : info_(std::move(info)), label_("saltus::integrators::" + info_.name), categorical_(categorical) {
    info_.has_site_law = categorical == Categorical::exact;
    info_.uses_transitions = requires { Law::uses_transitions; };
    info_.moves_revealed = requires { Law::corrector; };
  }

  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override {
    Generator const& q = process.generator();
    bool const matrix = q.kind() == Generator::Kind::absorbing || q.kind() == Generator::Kind::uniform ||
                        q.states() <= most_transition_states;
    if (categorical_ != Categorical::exact && !process.is_reverse())
      return "with categorical noise of published code needs a reverse process";
    return !info_.uses_transitions || matrix
               ? ""
               : "needs transition probabilities, which generator '" + q.name() +
                     "' has not (no largest state, or more than " + std::to_string(most_transition_states) + ")";
  }

  std::size_t reserve(Process const& process, Extents extents) override {
    int const tile = tile_size(process);
    return static_cast<std::size_t>(extents.batch) * static_cast<std::size_t>((extents.length + tile - 1) / tile);
  }

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    process.refresh(exec, state, 0);
    move(exec, process, state, step, key, counters);
  }

  void move(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
            CounterView const& counters) override {
    int const tile = tile_size(process);
    int const tiles = (state.length() + tile - 1) / tile;
    if (categorical_ != Categorical::exact) {
      race(exec, process, state, step, key, counters, tile, tiles);
      return;
    }
    visit(process, state, step, [&](auto const& field) {
      using Field = std::decay_t<decltype(field)>;
      StepKernel<Law, Field> const kernel{field, counters, state.time, key.at(static_cast<std::uint32_t>(step.index)),
                                          state.first_sample, state.length(), tile, tiles};
      std::int64_t const items = std::int64_t{tiles} * state.batch();
      using Index = Kokkos::IndexType<std::int64_t>;
      // Long rows differ in cost, since only the sites that move are read; short ones are not worth the handing out.
      if (tile < max_tile) {
        Kokkos::parallel_for(
            label_, Kokkos::RangePolicy<ExecSpace, Index, Kokkos::Schedule<Kokkos::Dynamic>>(exec, 0, items), kernel);
      } else {
        Kokkos::parallel_for(label_, Kokkos::RangePolicy<ExecSpace, Index>(exec, 0, items), kernel);
      }
    });
  }

  void site_probabilities(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                          SiteList const& sites, SiteProbabilities const& out) const override {
    if (sites.extent(0) == 0) return;
    visit(process, state, step, [&](auto const& field) {
      using Field = std::decay_t<decltype(field)>;
      Kokkos::parallel_for(label_ + "::law",
                           Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(
                               exec, 0, static_cast<std::int64_t>(sites.extent(0))),
                           ProbabilityKernel<Law, Field>{field, sites, out, state.length(), process.generator().states()});
    });
  }

 private:
  template <class Visitor>
  void visit(Process const& process, State const& state, Step const& step, Visitor&& visitor) const {
    if constexpr (requires { Law::corrector; }) {
      visit_corrector_field(process, state, step, 0, visitor);
    } else {
      visit_field(process, state, step, 0, info_.uses_transitions, visitor);
    }
  }

  void race(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
            CounterView const& counters, int tile, int tiles) {
    if constexpr (!requires { Law::corrector; }) {
      visit_field(process, state, step, 0, info_.uses_transitions, [&]<class Field>(Field const& field) {
        if constexpr (requires { typename Field::Value; }) {
          Kokkos::parallel_for(
              label_ + "::race",
              Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(exec, 0,
                                                                              std::int64_t{tiles} * state.batch()),
              RaceKernel<Law, Field>{field, counters, state.time, key.at(static_cast<std::uint32_t>(step.index)),
                                     state.first_sample, state.length(), tile, tiles, categorical_});
        }
      });
    }
  }

  IntegratorInfo info_;
  std::string label_;
  Categorical categorical_;
};

}  // namespace saltus
