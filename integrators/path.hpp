// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/ctmc/fast_log.hpp>
#include <saltus/ctmc/jumps.hpp>
#include <saltus/integrators/integrator.hpp>

/// Exact paths of forward processes. The sites of a forward process are independent, so a path is one site of one sample:
/// many are carried abreast, one in each lane of the processor's vectors, and a lane that has finished takes the next.
namespace saltus {

/// Paths carried abreast by one work item.
inline constexpr int path_lanes = Kokkos::SpaceAccessibility<ExecSpace, HostSpace>::accessible ? 32 : 1;

/// The jumps as they are: the direct method of Gillespie (1977) for a chain whose rates, in units of the noise's integral,
/// are constant between jumps.
template <class Jumps>
struct DirectEvents {
  Jumps jumps;
  KOKKOS_FORCEINLINE_FUNCTION double exit(std::int64_t x) const { return jumps.exit(x); }
  KOKKOS_FORCEINLINE_FUNCTION std::int64_t next(std::int64_t x, double uniform) const { return jumps.next(x, uniform); }
};

/// Uniformization (Jensen 1953): events at one constant rate, of which a share exit(x)/bound are jumps (A§3.5 (b)).
template <class Jumps>
struct UniformizedEvents {
  Jumps jumps;
  double bound;
  KOKKOS_FORCEINLINE_FUNCTION double exit(std::int64_t) const { return bound; }
  KOKKOS_FORCEINLINE_FUNCTION std::int64_t next(std::int64_t x, double uniform) const {
    double const share = jumps.exit(x) / bound, rescaled = uniform / share;
    return uniform < share ? jumps.next(x, rescaled < 1 ? rescaled : 0.5) : x;
  }
};

template <class Events>
struct PathKernel {
  Events events;
  State state;
  CounterView counters;
  StreamKey key;  // of this call alone: word 3 counts events
  Kokkos::View<double const*, MemorySpace> site_scale;
  Kokkos::View<StepCoeff const*, MemorySpace> coefficients;  // advance(): one window, of each row's own length
  PathPlan plan;                                             // follow(): windows of the same length for all rows
  std::int64_t pairs;
  int length, chunk, windows;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    constexpr int lanes = path_lanes;
    // Everything is 64 bits wide, so that loops over lanes mix no widths.
    std::int64_t x[lanes];
    std::uint64_t sample[lanes], site[lanes], event[lanes];
    double left[lanes];   // of the current window
    double scale[lanes];
    std::int64_t alive[lanes];  // 0 once the lane has nothing left to do
    double wait[lanes], target[lanes];
    std::int64_t pair[lanes], jumps[lanes], before[lanes];
    int window[lanes];
    Events const law = events;
    std::uint64_t const seed = key.seed;
    Counters count = counters(item);

    std::int64_t next = item * chunk;
    std::int64_t const last = next + chunk < pairs ? next + chunk : pairs;
    int live = 0;
    auto const load = [&](int i) {
      for (; next < last; ++next) {
        int const b = static_cast<int>(next / length), l = static_cast<int>(next % length);
        if (l == 0 && coefficients.size() != 0) state.time(b) = coeff(b).to;
        x[i] = state.tokens(b, l);
        pair[i] = next;
        sample[i] = state.first_sample + static_cast<std::uint64_t>(b);
        site[i] = static_cast<std::uint64_t>(l);
        event[i] = 0;
        jumps[i] = 0;
        window[i] = 0;
        left[i] = window_length(b, 0);
        scale[i] = site_scale.size() == 0 ? 1.0 : site_scale(l);
        if (state.frozen.size() != 0 && state.frozen(b, l) != 0) scale[i] = 0;
        if (scale[i] > 0) {
          ++next;
          alive[i] = 1;
          return true;
        }
        for (int w = 0; w < windows; ++w) look(next, w, x[i], 0);
      }
      alive[i] = 0;
      scale[i] = 0;
      left[i] = Kokkos::Experimental::infinity_v<double>;
      x[i] = 0;
      return false;
    };
    for (int i = 0; i < lanes; ++i) {
      sample[i] = 0;
      site[i] = event[i] = 0;
      live += load(i);
    }

    while (live > 0) {
      std::int64_t crossing = 0;
#pragma omp simd reduction(+ : crossing)
      for (int i = 0; i < lanes; ++i) {
        RandomPair const random = StreamKey::draw(seed, sample[i], Role::event, static_cast<std::uint32_t>(site[i]),
                                                  static_cast<std::uint32_t>(event[i]));
        target[i] = uniform53(random.target);
        wait[i] = exponential_from(random.event) / (scale[i] * law.exit(x[i]));  // infinite where nothing can happen
        crossing += wait[i] >= left[i] ? alive[i] : 0;
      }
      if (crossing > 0) {
        for (int i = 0; i < lanes; ++i) {
          while (alive[i] != 0 && wait[i] >= left[i]) {
            look(pair[i], window[i], x[i], jumps[i]);
            wait[i] -= left[i];
            if (++window[i] < windows) {
              left[i] = window_length(static_cast<int>(pair[i] / length), window[i]);
              continue;
            }
            finish(count, pair[i], x[i], jumps[i], event[i]);
            live -= load(i) ? 0 : 1;
            wait[i] = Kokkos::Experimental::infinity_v<double>;
            break;
          }
        }
      }
#pragma omp simd
      for (int i = 0; i < lanes; ++i) {
        bool const due = wait[i] < left[i];
        std::int64_t const y = law.next(x[i], target[i]);
        before[i] = x[i];
        left[i] -= due ? wait[i] : 0.0;
        event[i] += due ? 1 : 0;
        x[i] = due ? y : x[i];
        jumps[i] += x[i] != before[i] ? 1 : 0;
      }
      if (plan.records.size() != 0) {
        for (int i = 0; i < lanes; ++i) {
          if (x[i] != before[i]) record(pair[i], window[i], left[i], jumps[i], before[i], x[i]);
        }
      }
    }
    counters(item) = count;
  }

 private:
  KOKKOS_FORCEINLINE_FUNCTION double window_length(int b, int w) const {
    if (plan.windows.size() != 0) return plan.windows(w);
    StepCoeff const& c = coeff(b);
    return c.phi * c.delta;
  }
  KOKKOS_FORCEINLINE_FUNCTION StepCoeff const& coeff(int b) const {
    return coefficients(coefficients.extent(0) == 1 ? 0 : b);
  }
  KOKKOS_FORCEINLINE_FUNCTION void look(std::int64_t pair, int w, std::int64_t x, std::int64_t jumps) const {
    int const b = static_cast<int>(pair / length), l = static_cast<int>(pair % length);
    if (plan.tokens.size() != 0) plan.tokens(w, b, l) = static_cast<token_t>(x);
    if (plan.jumps.size() != 0) plan.jumps(w, b, l) = jumps;
  }
  KOKKOS_FORCEINLINE_FUNCTION void finish(Counters& count, std::int64_t pair, std::int64_t x, std::int64_t jumps,
                                          std::uint64_t events_drawn) const {
    int const b = static_cast<int>(pair / length), l = static_cast<int>(pair % length);
    if constexpr (requires { events.jumps.rates.limit; }) count.overflows += x > events.jumps.rates.limit ? 1 : 0;
    count.overflows += events_drawn >> 32 ? 1 : 0;  // its random numbers would have come round again
    count.jumps += jumps;
    if (plan.counting) {
      plan.counts(pair) = jumps;
    } else {
      state.tokens(b, l) = static_cast<token_t>(x);
    }
  }
  KOKKOS_FUNCTION void record(std::int64_t pair, int w, double left, std::int64_t jumps, std::int64_t from,
                              std::int64_t to) const {
    int const b = static_cast<int>(pair / length);
    double const total = plan.totals(w) - left;  // totals: at the end of each window
    plan.records(plan.offsets(pair) + jumps - 1) = {
        state.first_sample + static_cast<std::uint64_t>(b), plan.noise.time_at_total(total),
        static_cast<std::int32_t>(pair % length), static_cast<token_t>(from), static_cast<token_t>(to)};
  }
};

/// An event-driven method on forward processes; MakeEvents makes the Events of a structure's jumps.
template <class MakeEvents>
class PathMethod {
 public:
  static std::size_t counters(Extents extents) {
    auto const pairs = static_cast<std::size_t>(extents.batch) * static_cast<std::size_t>(extents.length);
    // Enough items to balance threads, each with paths for all its lanes.
    return std::clamp<std::size_t>((pairs + path_lanes - 1) / path_lanes, 1,
                                   8 * static_cast<std::size_t>(ExecSpace().concurrency()));
  }

  /// One window a row, of the length that the step's coefficients give.
  static void advance(ExecSpace const& exec, std::string const& label, Process const& process, State const& state,
                      Step const& step, StreamKey key, CounterView const& counters) {
    launch(exec, label, process, state, step.coefficients, {}, 1,
           key.at(static_cast<std::uint32_t>(step.index)).derived(), counters);
  }

  static void follow(ExecSpace const& exec, std::string const& label, Process const& process, State const& state,
                     PathPlan const& plan, StreamKey key, CounterView const& counters) {
    launch(exec, label, process, state, {}, plan, static_cast<int>(plan.windows.extent(0)), key.derived(), counters);
  }

 private:
  static void launch(ExecSpace const& exec, std::string const& label, Process const& process, State const& state,
                     Kokkos::View<StepCoeff const*, MemorySpace> const& coefficients, PathPlan const& plan, int windows,
                     StreamKey key, CounterView const& counters) {
    std::int64_t const pairs = std::int64_t{state.batch()} * state.length();
    if (pairs == 0) return;
    auto const items = static_cast<std::int64_t>(counters.extent(0));
    auto const chunk = static_cast<int>((pairs + items - 1) / items);
    visit_jumps(process, [&](auto const& jumps) {
      auto const events = MakeEvents::make(process, jumps);
      using Kernel = PathKernel<std::decay_t<decltype(events)>>;
      Kokkos::parallel_for(
          label,
          Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>, Kokkos::Schedule<Kokkos::Dynamic>>(
              exec, 0, (pairs + chunk - 1) / chunk, Kokkos::ChunkSize(1)),
          Kernel{events, state, counters, key, process.site_scale(), coefficients, plan, pairs, state.length(), chunk,
                 windows});
    });
  }
};

}  // namespace saltus
