// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/path.hpp>
#include <saltus/ctmc/visit_field.hpp>

#include "../run_detail.hpp"

namespace saltus {
namespace {

using Order = Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace>;
using Levels = Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace>;
using RowInts = Kokkos::View<int*, MemorySpace>;

// Exact unmasking times of a masked process (A§6.4): a site that is masked at `from` is revealed when 1 - alpha has
// fallen to level = U (1 - alpha_from), independently of the tokens; with hazards times phi, U^(1/phi). Sorts the sites of
// each row by time.
struct OrderKernel {
  Tokens tokens;
  Frozen frozen;
  Kokkos::View<StepCoeff const*, MemorySpace> coefficients;
  Order order;
  Levels levels;
  RowInts events;
  StreamKey key;
  std::uint64_t first_sample;
  token_t mask;

  KOKKOS_FUNCTION void operator()(int b) const {
    StepCoeff const& c = coefficients(coefficients.extent(0) == 1 ? 0 : b);
    int n = 0;
    for (int l = 0; l < static_cast<int>(tokens.extent(1)); ++l) {
      if (tokens(b, l) != mask || (frozen.size() != 0 && frozen(b, l) != 0)) continue;
      double const u = uniform53(
          key.draw(first_sample + static_cast<std::uint64_t>(b), Role::order, static_cast<std::uint32_t>(l)).event);
      double const level = c.lost_from * (c.phi == 1 ? u : Kokkos::pow(u, 1 / c.phi));
      if (!c.forced && level < c.lost_to) continue;  // still masked at the end
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

struct MaxEvents {
  RowInts events;
  KOKKOS_FUNCTION void operator()(int b, int& most) const { most = events(b) > most ? events(b) : most; }
};

// Sets each row's clock to its own e-th event and names the one site whose scores will be read.
struct AimKernel {
  Order order;
  Levels levels;
  RowInts events, only_site;
  Times time;
  CounterView counters;
  NoiseSchedule noise;
  int event;

  KOKKOS_FUNCTION void operator()(int b) const {
    bool const due = event < events(b);
    only_site(b) = due ? order(b, event) : Query::no_site;
    if (!due) return;
    time(b) = noise.time_at_lost(levels(b, event));
    ++counters(b).evaluations;
  }
};

template <class Field>
struct RevealKernel {
  Field field;
  RowInts only_site;
  CounterView counters;
  StreamKey key;
  std::uint64_t first_sample;

  KOKKOS_FUNCTION void operator()(int b) const {
    int const l = only_site(b);
    if (l < 0) return;
    auto const row = field.row(b, l);
    token_t const own = field.tokens(b, l);
    typename Field::Row::Scratch scratch;
    RowSums const sums = row.scan(own, scratch);
    std::uint64_t const bits =
        key.draw(first_sample + static_cast<std::uint64_t>(b), Role::target, static_cast<std::uint32_t>(l)).target;
    int const y = Kokkos::isfinite(sums.others) ? row.draw(own, {1, 0, 0}, uniform53(bits), scratch) : -1;
    Counters& count = counters(b);
    if (y >= 0) {
      field.tokens(b, l) = static_cast<token_t>(y);
      ++count.jumps;
    } else if (count.bad_scores++ == 0) {
      count.bad_step = static_cast<std::int32_t>(key.step);
      count.bad_row = b;
      count.bad_site = l;
    }
  }
};

struct MakeDirect {
  template <class Jumps>
  static DirectEvents<Jumps> make(Process const&, Jumps const& jumps) {
    return {jumps};
  }
};
using Paths = PathMethod<MakeDirect>;

class Gillespie final : public Integrator {
 public:
  IntegratorInfo const& info() const override { return info_; }

  std::string refuses(Process const& process) const override {
    if (!process.is_reverse() || process.is_masked()) return {};
    return "needs " + info_.needs;
  }

  std::size_t reserve(Process const& process, Extents extents) override {
    auto const batch = static_cast<std::size_t>(extents.batch), length = static_cast<std::size_t>(extents.length);
    if (!process.is_reverse()) return Paths::counters(extents);
    if (order_.extent(0) < batch || order_.extent(1) != length) {
      order_ = Order("saltus::integrators::gillespie::order", batch, length);
      levels_ = Levels("saltus::integrators::gillespie::levels", batch, length);
      events_ = RowInts("saltus::integrators::gillespie::events", batch);
      only_site_ = RowInts("saltus::integrators::gillespie::only_site", batch);
      most_ = Kokkos::View<int, MemorySpace>("saltus::integrators::gillespie::most");
      host_most_ = Kokkos::create_mirror_view(most_);
    }
    return batch;
  }

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    if (process.is_reverse()) {
      reveal(exec, process, state, step, key.at(static_cast<std::uint32_t>(step.index)), counters);
      return;
    }
    Paths::advance(exec, "saltus::integrators::gillespie::forward", process, state, step, key, counters);
  }

  bool follows_paths(Process const& process) const override { return !process.is_reverse(); }
  void follow(ExecSpace const& exec, Process& process, State const& state, PathPlan const& plan, StreamKey key,
              CounterView const& counters) override {
    Paths::follow(exec, "saltus::integrators::gillespie::forward", process, state, plan, key, counters);
  }

 private:
  void reveal(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
              CounterView const& counters) {
    Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>> const rows(exec, 0, state.batch());
    RowInts const only_site = Kokkos::subview(only_site_, std::make_pair(0, state.batch()));
    Kokkos::parallel_for("saltus::integrators::gillespie::order", rows,
                         OrderKernel{state.tokens, state.frozen, step.coefficients, order_, levels_, events_, key,
                                     state.first_sample, *process.generator().mask()});
    Kokkos::parallel_reduce("saltus::integrators::gillespie::most", rows, MaxEvents{events_},
                            Kokkos::Max<int, MemorySpace>(most_));
    Kokkos::deep_copy(exec, host_most_, most_);
    exec.fence("saltus::integrators::gillespie: the host needs the number of events");
    for (int event = 0; event < host_most_(); ++event) {
      Kokkos::parallel_for(
          "saltus::integrators::gillespie::aim", rows,
          AimKernel{order_, levels_, events_, only_site, state.time, counters, process.noise(), event});
      process.refresh(exec, state, 0, only_site);
      visit_field(process, state, step, 0, false, [&]<class Field>(Field const& field) {
        if constexpr (requires { field.normalised; }) {
          Kokkos::parallel_for("saltus::integrators::gillespie::reveal", rows,
                               RevealKernel<Field>{field, only_site, counters, key, state.first_sample});
        }
      });
    }
    detail::finish(exec, "saltus::integrators::gillespie::finish", state, step);
  }

  IntegratorInfo const info_{
      .name = "gillespie",
      .summary =
          "exact: masked models by ordered unmasking times, one evaluation each; forward processes event by event",
      .reference =
          "Gillespie 1977, doi:10.1021/j100540a008; masked: Zheng et al. 2024, arXiv:2409.02908, first-hitting "
          "sampler",
      .exact = true,
      .evaluations = 0,
      .host_syncs = 1,
      .needs = "a masked reverse process or a forward process"};
  Order order_;
  Levels levels_;
  RowInts events_, only_site_;
  Kokkos::View<int, MemorySpace> most_;
  Kokkos::View<int, MemorySpace>::HostMirror host_most_;
};

}  // namespace

std::unique_ptr<Integrator> make_gillespie(Parameters const& parameters) {
  parameters.allow({});
  return std::make_unique<Gillespie>();
}

}  // namespace saltus
