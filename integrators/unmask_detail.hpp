// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <string>

#include <saltus/ctmc/fast_log.hpp>
#include <saltus/ctmc/visit_field.hpp>

#include "run_detail.hpp"

/// Unmasking in an order that is drawn ahead. The hazard of a masked site under normalised scores is the schedule's alone,
/// so that the times of all sites can be drawn before anything is asked of the model (A§6.4, 17.6). What first_hitting
/// and next_reaction share; not installed. A struct Level says when a site is revealed:
///   static double level(std::uint64_t bits, double phi)   (1 - alpha)/(1 - alpha_from) there, in [0, 1]
namespace saltus::detail {

using Order = Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace>;
using Levels = Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace>;

// The sites of each row that are revealed within the step, sorted by time.
template <class Level>
struct OrderKernel {
  State state;
  Kokkos::View<StepCoeff const*, MemorySpace> coefficients;
  Order order;
  Levels levels;
  Kokkos::View<int*, MemorySpace> events;
  StreamKey key;
  token_t mask;

  KOKKOS_FUNCTION void operator()(int b) const {
    StepCoeff const& c = coefficients(coefficients.extent(0) == 1 ? 0 : b);
    int n = 0;
    for (int l = 0; l < state.length(); ++l) {
      if (state.tokens(b, l) != mask || (state.frozen.size() != 0 && state.frozen(b, l) != 0)) continue;
      std::uint64_t const bits = key.draw(state.first_sample + static_cast<std::uint64_t>(b), Role::order,
                                          static_cast<std::uint32_t>(l))
                                     .event;
      double const level = c.lost_from * Level::level(bits, c.phi);
      if (!c.forced && (level < c.lost_to || c.phi == 0)) continue;  // still masked at the end
      order(b, n) = l;
      levels(b, n) = level;
      ++n;
    }
    events(b) = n;
    // Heap sort, latest time (largest level) first; ties by site, so that the order is one.
    for (int start = n / 2; start-- > 0;) sift(b, start, n);
    for (int end = n; end-- > 1;) {
      swap(b, 0, end);
      sift(b, 0, end);
    }
  }

 private:
  KOKKOS_FUNCTION bool later(int b, int i, int j) const {  // i comes after j in the order
    return levels(b, i) != levels(b, j) ? levels(b, i) < levels(b, j) : order(b, i) > order(b, j);
  }
  KOKKOS_FUNCTION void swap(int b, int i, int j) const {
    Kokkos::kokkos_swap(order(b, i), order(b, j));
    Kokkos::kokkos_swap(levels(b, i), levels(b, j));
  }
  KOKKOS_FUNCTION void sift(int b, int root, int end) const {
    for (int child; (child = 2 * root + 1) < end; root = child) {
      if (child + 1 < end && later(b, child + 1, child)) ++child;
      if (!later(b, child, root)) return;
      swap(b, root, child);
    }
  }
};

// The sites of a row in the order of their times, in `calls` groups of nearly equal size (or of one site each).
struct Groups {
  Kokkos::View<int*, MemorySpace> events;
  int calls;

  KOKKOS_FUNCTION int count(int b) const { return events(b) < calls ? events(b) : calls; }
  KOKKOS_FUNCTION int begin(int b, int group) const {
    return static_cast<int>(std::int64_t{group} * events(b) / count(b));
  }
};

struct MostGroups {
  Groups groups;
  KOKKOS_FUNCTION void operator()(int b, int& most) const {
    int const count = groups.count(b);
    most = count > most ? count : most;
  }
};

// Sets each row's clock to the first time of its group and names the sites whose scores will be read.
struct AimAtGroup {
  Groups groups;
  Order order;
  Levels levels;
  Kokkos::View<int*, MemorySpace> only_site;
  Times time;
  CounterView counters;
  NoiseSchedule noise;
  int group, width;

  KOKKOS_FUNCTION void operator()(int b) const {
    only_site(b) = Query::no_site;
    if (group >= groups.count(b)) return;
    int const begin = groups.begin(b, group);
    only_site(b) = groups.begin(b, group + 1) - begin == 1 ? order(b, begin) : Query::all_sites;
    time(b) = noise.time_at_lost(levels(b, begin));
    ++counters(std::int64_t{b} * width).evaluations;
  }
};

// Reveals one site of a group. Each site has one event, so its row is scanned once in all.
template <class Field>
struct RevealKernel {
  Field field;
  Groups groups;
  Order order;
  CounterView counters;
  StreamKey key;
  std::uint64_t first_sample;
  int group, width;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / width);
    if (group >= groups.count(b)) return;
    int const place = groups.begin(b, group) + static_cast<int>(item % width);
    if (place >= groups.begin(b, group + 1)) return;
    int const l = order(b, place);
    auto const row = field.row(b, l);
    token_t const own = field.tokens(b, l);
    typename Field::Row::Scratch scratch;
    RowSums const sums = row.scan(own, scratch);
    std::uint64_t const bits =
        key.draw(first_sample + static_cast<std::uint64_t>(b), Role::target, static_cast<std::uint32_t>(l)).target;
    int const y = Kokkos::isfinite(sums.others) ? row.draw(own, {1, 0, 0}, uniform53(bits), scratch) : -1;
    Counters& count = counters(item);
    if (y >= 0) {
      field.tokens(b, l) = static_cast<token_t>(y);
      ++count.jumps;
    } else {
      count.note_bad_score(key.step, b, l);
    }
  }
};

/// Reveals the masked sites of a batch in the order of their times, and its workspace.
template <class Level>
class OrderedUnmasking {
 public:
  /// `calls`: the most evaluations of a row in a step; 0: one for each site.
  explicit OrderedUnmasking(std::string label, int calls = 0) : label_(std::move(label)), calls_(calls) {}

  /// Returns the number of counters.
  std::size_t reserve(Extents extents) {
    auto const batch = static_cast<std::size_t>(extents.batch), length = static_cast<std::size_t>(extents.length);
    width_ = calls_ == 0 ? 1 : std::max((extents.length + calls_ - 1) / calls_, 1);
    if (order_.extent(0) < batch || order_.extent(1) < length) {
      order_ = Order(label_ + "::order", batch, length);
      levels_ = Levels(label_ + "::levels", batch, length);
      events_ = Kokkos::View<int*, MemorySpace>(label_ + "::events", batch);
      only_site_ = Kokkos::View<int*, MemorySpace>(label_ + "::only_site", batch);
      most_ = Kokkos::View<int, MemorySpace>(label_ + "::most");
      host_most_ = Kokkos::create_mirror_view(most_);
    }
    return batch * static_cast<std::size_t>(width_);
  }

  /// One step; waits once.
  void run(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
           CounterView const& counters) {
    key = key.at(static_cast<std::uint32_t>(step.index));
    Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>> const rows(exec, 0, state.batch());
    Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>> const items(exec, 0,
                                                                                std::int64_t{state.batch()} * width_);
    auto const only_site = Kokkos::subview(only_site_, std::make_pair(0, state.batch()));
    Groups const groups{events_, calls_ == 0 ? state.length() : calls_};
    Kokkos::parallel_for(label_ + "::order", rows,
                         OrderKernel<Level>{state, step.coefficients, order_, levels_, events_, key,
                                            *process.generator().mask()});
    Kokkos::parallel_reduce(label_ + "::most", rows, MostGroups{groups}, Kokkos::Max<int, MemorySpace>(most_));
    Kokkos::deep_copy(exec, host_most_, most_);
    exec.fence(label_ + ": the host needs the number of evaluations");
    for (int group = 0; group < host_most_(); ++group) {
      Kokkos::parallel_for(label_ + "::aim", rows,
                           AimAtGroup{groups, order_, levels_, only_site, state.time, counters, process.noise(), group,
                                      width_});
      process.refresh(exec, state, 0, only_site);
      visit_field(process, state, step, 0, false, [&]<class Field>(Field const& field) {
        if constexpr (requires { field.normalised; }) {
          Kokkos::parallel_for(
              label_ + "::reveal", items,
              RevealKernel<Field>{field, groups, order_, counters, key, state.first_sample, group, width_});
        }
      });
    }
    finish(exec, label_ + "::finish", state, step);
  }

 private:
  std::string label_;
  int calls_, width_ = 1;
  Order order_;
  Levels levels_;
  Kokkos::View<int*, MemorySpace> events_, only_site_;
  Kokkos::View<int, MemorySpace> most_;
  Kokkos::View<int, MemorySpace>::HostMirror host_most_;
};

}  // namespace saltus::detail
