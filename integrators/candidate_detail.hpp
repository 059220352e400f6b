// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <string>
#include <utility>

#include <saltus/ctmc/fast_log.hpp>
#include <saltus/ctmc/parameters.hpp>
#include <saltus/ctmc/visit_field.hpp>

#include "run_detail.hpp"

/// Events of reverse processes, one at a time in every row, all rows abreast: candidates come at a rate that bounds that
/// of the row, and each happens with its own rate as a share of the bound. What gillespie, thinning and uniformization
/// share; not installed. A struct of Candidates says when the next candidate comes and at which site:
///   Clock start(int b) const                  where row b stands at the start of the step
///   int next(int b, Clock& clock) const       moves the clock to the next candidate and tells its site; -1 at the end
///                                             of the step, and from then on
///   double time(Clock const& clock) const     t of the candidate
///   void look(Clock const&, StepCoeff&) const what a field needs to know of the noise there
///   void settle(int b, Clock& clock) const    the candidate has happened
///   Clock::rate                               bound of the site's rate, a unit of sigma_bar; 0: it happens for certain
///   Clock::draws                              random numbers used so far
///   Clock::happens()                          the same as settle() for counting, which moves nothing
///   takes<Field>                              the fields that it is for
///   repeats()                                 whether a refused candidate means another one later
namespace saltus::detail {

using RowInts = Kokkos::View<int*, MemorySpace>;

template <class Field>
inline constexpr bool is_masked_field = false;
template <class Scalar>
inline constexpr bool is_masked_field<ReverseMaskedField<Scalar>> = true;
template <class Field>
inline constexpr bool is_uniform_field = false;
template <class Scalar>
inline constexpr bool is_uniform_field<ReverseUniformField<Scalar>> = true;

/// What a method does with scores whose rates exceed its bound, and a factor on the bound.
struct BoundOptions {
  double factor = 1;
  bool stops = false;  ///< policy=error; otherwise the event happens for certain, which is biased and counted

  static BoundOptions read(Parameters const& parameters) {
    BoundOptions options{parameters.number("bound", 1)};
    require(std::isfinite(options.factor) && options.factor > 0,
            parameters.where() + ": bound multiplies the bound of exact scores and must be above 0, got " +
                to_text(options.factor));
    std::string const policy = parameters.text("policy", "clip");
    if (policy != "clip" && policy != "error")
      throw UserError(unknown_name("policy of " + parameters.name(), policy, {"clip", "error"}));
    options.stops = policy == "error";
    return options;
  }
};

/// Below this 1 - alpha (or sigma_bar) a site has changed with no greater probability, and rates have no bound.
inline constexpr double least_noise = 1e-15;

/// What all candidates know.
struct CandidateBase {
  Kokkos::View<StepCoeff const*, MemorySpace> coefficients;
  NoiseSchedule noise;
  StreamKey key;  // of this step alone: word 3 counts candidates
  State state;

  KOKKOS_FUNCTION StepCoeff const& coeff(int b) const { return coefficients(coefficients.extent(0) == 1 ? 0 : b); }
  KOKKOS_FUNCTION RandomPair draw(int b, std::uint32_t number, Role role, std::uint32_t site) const {
    return key.at(number).draw(state.first_sample + static_cast<std::uint64_t>(b), role, site);
  }
  KOKKOS_FUNCTION bool is_frozen(int b, int l) const { return state.frozen.size() != 0 && state.frozen(b, l) != 0; }
};

/// What the candidates of reverse processes with uniform noise share. `Clock::total`: sigma_bar.
struct UniformCandidates : CandidateBase {
  int states;
  double factor;  // on the bound

  template <class Field>
  static constexpr bool takes = is_uniform_field<Field>;
  KOKKOS_FUNCTION static constexpr bool repeats() { return false; }

  /// The largest rate at which a site can leave under exact scores, a unit of sigma_bar (A§4.3).
  KOKKOS_FUNCTION static double bound_at(double total, int states) {
    return (states - 1 + Kokkos::exp(-total)) / (states * -Kokkos::expm1(-total));
  }
  KOKKOS_FUNCTION double first(StepCoeff const& c) const {
    double const total = noise.total(c.from);
    return Kokkos::isfinite(total) ? total : 40;  // tokens hold a share e^-40 of the data there: none
  }
  KOKKOS_FUNCTION double last(StepCoeff const& c) const {
    double const total = noise.total(c.to);
    return total > least_noise ? total : least_noise;
  }
  template <class Clock>
  KOKKOS_FUNCTION double time(Clock const& clock) const {
    return noise.time_at_total(clock.total);
  }
  template <class Clock>
  KOKKOS_FUNCTION void look(Clock const& clock, StepCoeff& c) const {
    c.alpha_from = Kokkos::exp(-clock.total);
    c.lost_from = -Kokkos::expm1(-clock.total);
  }
  template <class Clock>
  KOKKOS_FUNCTION void settle(int, Clock&) const {}
};

/// Candidates of a masked process: each of the sites that are still masked has the schedule's hazard, times phi and
/// `factor`; with n of them the next comes where 1 - alpha has fallen by u^(1/(n phi factor)) (A§6.2 (i), 6.4).
struct MaskedCandidates : CandidateBase {
  Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace> sites;  // [batch, length]: those still masked come first
  token_t mask;
  double factor;
  bool certain;  // rows are laws, so that every candidate happens
  double least;  // 1 - alpha at which to end at the latest

  struct Clock {
    double lost;  // 1 - alpha
    double rate;
    std::uint32_t draws;
    int masked;  // sites
    int chosen;  // place of the candidate's site in `sites`
    KOKKOS_FUNCTION void happens() { --masked; }
  };
  template <class Field>
  static constexpr bool takes = is_masked_field<Field>;
  KOKKOS_FUNCTION bool repeats() const { return !certain; }

  KOKKOS_FUNCTION Clock start(int b) const {
    StepCoeff const& c = coeff(b);
    Clock clock{c.lost_from, 0, 0, 0, 0};
    if (c.phi == 0 && !c.forced) return clock;
    for (int l = 0; l < state.length(); ++l) {
      if (state.tokens(b, l) == mask && !is_frozen(b, l)) sites(b, clock.masked++) = l;
    }
    return clock;
  }
  KOKKOS_FUNCTION int next(int b, Clock& clock) const {
    if (clock.masked == 0) return -1;
    StepCoeff const& c = coeff(b);
    double const end = c.lost_to > least ? c.lost_to : least;
    RandomPair const random = draw(b, clock.draws++, Role::event, 0);
    clock.lost *= Kokkos::exp(-exponential_from(random.event) / (clock.masked * c.phi * factor));
    bool const due = clock.lost < end;  // still masked at the end, or revealed there by force
    if (due && !c.forced) {
      clock.masked = 0;
      return -1;
    }
    if (due) clock.lost = end;
    clock.rate = certain || due ? 0 : c.phi * factor * hazard(time(clock));
    clock.chosen = static_cast<int>(uniform53(random.target) * clock.masked);
    return sites(b, clock.chosen);
  }
  KOKKOS_FUNCTION double time(Clock const& clock) const { return noise.time_at_lost(clock.lost); }
  // A unit of sigma_bar, from the time that the model sees.
  KOKKOS_FUNCTION double hazard(double t) const { return noise.alpha(t) / noise.lost(t); }
  KOKKOS_FUNCTION void look(Clock const& clock, StepCoeff& c) const {
    if (!certain) c.hazard = hazard(time(clock));
  }
  KOKKOS_FUNCTION void settle(int b, Clock& clock) const {
    clock.happens();
    sites(b, clock.chosen) = sites(b, clock.masked);
  }
};

template <class Candidates>
struct StartKernel {
  Candidates candidates;
  Kokkos::View<typename Candidates::Clock*, MemorySpace> clocks;
  KOKKOS_FUNCTION void operator()(int b) const { clocks(b) = candidates.start(b); }
};

// Candidates that are to come if all of them happen; no fewer come if some do not, and as many of a row that does not
// repeat them.
template <class Candidates>
struct CountKernel {
  Candidates candidates;
  Kokkos::View<typename Candidates::Clock*, MemorySpace> clocks;
  KOKKOS_FUNCTION void operator()(int b, int& most) const {
    typename Candidates::Clock clock = clocks(b);
    int count = 0;
    for (; candidates.next(b, clock) >= 0; clock.happens()) ++count;
    most = count > most ? count : most;
  }
};

template <class Candidates>
struct AimKernel {
  Candidates candidates;
  Kokkos::View<typename Candidates::Clock*, MemorySpace> clocks;
  Kokkos::View<StepCoeff*, MemorySpace> now;
  RowInts only_site;
  CounterView counters;

  KOKKOS_FUNCTION void operator()(int b) const {
    typename Candidates::Clock clock = clocks(b);
    int const site = candidates.next(b, clock);
    clocks(b) = clock;
    only_site(b) = site >= 0 ? site : Query::no_site;
    if (site < 0) return;
    StepCoeff c = candidates.coeff(b);
    candidates.look(clock, c);
    c.rate = 1;  // a unit of sigma_bar
    now(b) = c;
    candidates.state.time(b) = candidates.time(clock);
    ++counters(b).evaluations;
  }
};

template <class Candidates, class Field>
struct DecideKernel {
  Candidates candidates;
  Field field;
  Kokkos::View<typename Candidates::Clock*, MemorySpace> clocks;
  RowInts only_site;
  CounterView counters;
  bool stops;
  std::int32_t step;

  // Rounding of exact scores, which may touch the bound.
  static constexpr double slack = std::is_same_v<typename Field::Row, ScoreRow<float>> ? 1e-4 : 1e-9;

  KOKKOS_FUNCTION void operator()(int b) const {
    int const l = only_site(b);
    if (l < 0) return;
    double const rate = clocks(b).rate;
    auto const row = field.row(b, l);
    token_t const own = field.tokens(b, l);
    typename Field::Row::Scratch scratch;
    RowSums const sums = row.scan(own, scratch);
    Weights const weights = rate == 0 ? Weights{1, 0, 0} : field.rates(field.coeff(b), sums);
    double const leave = row.weigh(own, weights, sums, scratch);
    RandomPair const random = candidates.draw(b, clocks(b).draws, Role::target, static_cast<std::uint32_t>(l));
    Counters& count = counters(b);
    bool good = Kokkos::isfinite(leave);
    if (good && rate != 0) {
      if (leave > rate * (1 + slack)) {
        ++count.violations;
        if (stops) count.note_broken_bound(step, b, l);
      }
      if (uniform53(random.event) * rate >= leave) return;
    }
    int const y = good ? row.draw(own, weights, uniform53(random.target), scratch) : -1;
    candidates.settle(b, clocks(b));  // what is bad is not asked again either
    if (y >= 0) {
      field.tokens(b, l) = static_cast<token_t>(y);
      ++count.jumps;
    } else {
      count.note_bad_score(step, b, l);
    }
  }
};

/// The loop over candidates, and its workspace.
template <class Candidates>
class CandidateLoop {
 public:
  explicit CandidateLoop(std::string label) : label_(std::move(label)) {}

  /// Returns the number of counters.
  std::size_t reserve(Extents extents) {
    auto const batch = static_cast<std::size_t>(extents.batch);
    if (clocks_.extent(0) < batch) {
      clocks_ = Clocks(label_ + "::clocks", batch);
      now_ = Kokkos::View<StepCoeff*, MemorySpace>(label_ + "::now", batch);
      only_site_ = RowInts(label_ + "::only_site", batch);
      most_ = Kokkos::View<int, MemorySpace>(label_ + "::most");
      host_most_ = Kokkos::create_mirror_view(most_);
    }
    return batch;
  }

  /// One step. It waits for the number of candidates; where a refused one means another one later, again after these,
  /// until none is left (twice if none is refused).
  void run(ExecSpace const& exec, Process& process, State const& state, Step const& step, Candidates const& candidates,
           CounterView const& counters, bool stops = false) {
    Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>> const rows(exec, 0, state.batch());
    auto const range = std::make_pair(0, state.batch());
    RowInts const only_site = Kokkos::subview(only_site_, range);
    Step const event_step{step.index, Kokkos::subview(now_, range)};
    Kokkos::parallel_for(label_ + "::start", rows, StartKernel<Candidates>{candidates, clocks_});
    do {
      Kokkos::parallel_reduce(label_ + "::count", rows, CountKernel<Candidates>{candidates, clocks_},
                              Kokkos::Max<int, MemorySpace>(most_));
      Kokkos::deep_copy(exec, host_most_, most_);
      exec.fence(label_ + ": the host needs the number of candidates");
      for (int event = 0; event < host_most_(); ++event) {
        Kokkos::parallel_for(label_ + "::aim", rows,
                             AimKernel<Candidates>{candidates, clocks_, now_, only_site, counters});
        process.refresh(exec, state, 0, only_site);
        visit_field(process, state, event_step, 0, false, [&]<class Field>(Field const& field) {
          if constexpr (Candidates::template takes<Field>) {
            Kokkos::parallel_for(label_ + "::decide", rows,
                                 DecideKernel<Candidates, Field>{candidates, field, clocks_, only_site, counters, stops,
                                                                 step.index});
          }
        });
      }
    } while (host_most_() > 0 && candidates.repeats());
    finish(exec, label_ + "::finish", state, step);
  }

 private:
  using Clocks = Kokkos::View<typename Candidates::Clock*, MemorySpace>;
  std::string label_;
  Clocks clocks_;
  Kokkos::View<StepCoeff*, MemorySpace> now_;
  RowInts only_site_;
  Kokkos::View<int, MemorySpace> most_;
  Kokkos::View<int, MemorySpace>::HostMirror host_most_;
};

/// The sites that MaskedCandidates work on.
inline void reserve_sites(Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace>& sites, std::string const& label,
                          Extents extents) {
  auto const batch = static_cast<std::size_t>(extents.batch), length = static_cast<std::size_t>(extents.length);
  if (sites.extent(0) < batch || sites.extent(1) < length)
    sites = Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace>(label, batch, length);
}

}  // namespace saltus::detail
