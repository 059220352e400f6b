// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/path.hpp>
#include <saltus/ctmc/visit_field.hpp>

#include "../run_detail.hpp"

namespace saltus {
namespace {

struct MakeUniformized {
  template <class Jumps>
  static UniformizedEvents<Jumps> make(Process const& process, Jumps const& jumps) {
    return {jumps, process.generator().max_exit_rate()};
  }
};
using Paths = PathMethod<MakeUniformized>;
using RowInts = Kokkos::View<int*, MemorySpace>;

// Where a row of a reverse process stands: candidates come at a rate that bounds the row's total rate within a window of
// sigma_bar; windows halve, since the bound grows like 1/sigma_bar (A§6.3).
struct Clock {
  double now;   // sigma_bar
  double low;   // end of the window
  double rate;  // of one site within the window
  std::uint32_t draws;
};

// The largest rate at which a site can leave under exact scores and uniform noise, per unit of sigma_bar (A§4.3).
KOKKOS_INLINE_FUNCTION double bound_at(double total, int states) {
  return (states - 1 + Kokkos::exp(-total)) / (states * -Kokkos::expm1(-total));
}

struct Candidates {
  Kokkos::View<StepCoeff const*, MemorySpace> coefficients;
  NoiseSchedule noise;
  StreamKey key;  // of this step alone
  std::uint64_t first_sample;
  int length, states;

  KOKKOS_FUNCTION StepCoeff const& coeff(int b) const { return coefficients(coefficients.extent(0) == 1 ? 0 : b); }
  // Where the step ends. Towards no noise at all the rates have no bound; below 1e-15 a site has changed with no greater
  // probability than that.
  KOKKOS_FUNCTION double end(StepCoeff const& c) const {
    double const last = noise.total(c.to);
    return last > 1e-15 ? last : 1e-15;
  }
  KOKKOS_FUNCTION void open(Clock& clock, StepCoeff const& c) const {
    double const last = end(c), half = clock.now / 2;
    clock.low = half > last ? half : last;
    clock.rate = c.phi * bound_at(clock.low, states);
  }
  KOKKOS_FUNCTION Clock start(int b) const {
    Clock clock{noise.total(coeff(b).from), 0, 0, 0};
    open(clock, coeff(b));
    return clock;
  }
  // Moves the clock to the next candidate and tells its site; -1 at the end of the step.
  KOKKOS_FUNCTION int advance(int b, Clock& clock) const {
    StepCoeff const& c = coeff(b);
    double const last = end(c);
    while (clock.now > last) {
      RandomPair const random =
          key.at(clock.draws++).draw(first_sample + static_cast<std::uint64_t>(b), Role::event, 0);
      clock.now -= exponential_from(random.event) / (clock.rate * length);
      if (clock.now > clock.low) return static_cast<int>(uniform53(random.target) * length);
      if (!(clock.low > last)) return -1;
      clock.now = clock.low;
      open(clock, c);
    }
    return -1;
  }
};

struct CountKernel {
  Candidates candidates;
  Kokkos::View<Clock*, MemorySpace> clocks;
  KOKKOS_FUNCTION void operator()(int b, int& most) const {
    Clock clock = candidates.start(b);
    clocks(b) = clock;
    int count = 0;
    while (candidates.advance(b, clock) >= 0) ++count;
    most = count > most ? count : most;
  }
};

struct AimKernel {
  Candidates candidates;
  Kokkos::View<Clock*, MemorySpace> clocks;
  Kokkos::View<StepCoeff*, MemorySpace> now;
  RowInts only_site;
  Frozen frozen;
  Times time;
  CounterView counters;

  KOKKOS_FUNCTION void operator()(int b) const {
    Clock clock = clocks(b);
    int const site = candidates.advance(b, clock);
    if (site < 0) clock.now = 0;  // done
    clocks(b) = clock;
    bool const moves = site >= 0 && (frozen.size() == 0 || frozen(b, site) == 0);
    only_site(b) = moves ? site : Query::no_site;
    if (!moves) return;
    StepCoeff c = candidates.coeff(b);
    c.alpha_from = Kokkos::exp(-clock.now);
    c.lost_from = -Kokkos::expm1(-clock.now);
    c.rate = 1;  // per unit of sigma_bar
    now(b) = c;
    time(b) = candidates.noise.time_at_total(clock.now);
    ++counters(b).evaluations;
  }
};

template <class Field>
struct ThinKernel {
  Field field;
  Kokkos::View<Clock*, MemorySpace> clocks;
  RowInts only_site;
  CounterView counters;
  StreamKey key;
  std::uint64_t first_sample;
  std::int32_t step;

  KOKKOS_FUNCTION void operator()(int b) const {
    int const l = only_site(b);
    if (l < 0 || !field.active(b, l)) return;
    Clock const clock = clocks(b);
    auto const row = field.row(b, l);
    token_t const own = field.tokens(b, l);
    typename Field::Row::Scratch scratch;
    RowSums const sums = row.scan(own, scratch);
    Weights const weights = field.rates(field.coeff(b), sums);
    double const leave = row.weigh(own, weights, sums, scratch);
    RandomPair const random =
        key.at(clock.draws)
            .draw(first_sample + static_cast<std::uint64_t>(b), Role::target, static_cast<std::uint32_t>(l));
    Counters& count = counters(b);
    count.clamps += leave > clock.rate * (1 + 1e-9) ? 1 : 0;  // only scores that are not exact break the bound
    bool const finite = Kokkos::isfinite(leave);
    if (finite && uniform53(random.event) * clock.rate >= leave) return;
    int const y = finite ? row.draw(own, weights, uniform53(random.target), scratch) : -1;
    if (y >= 0) {
      field.tokens(b, l) = static_cast<token_t>(y);
      ++count.jumps;
    } else if (count.bad_scores++ == 0) {
      count.bad_step = step;
      count.bad_row = b;
      count.bad_site = l;
    }
  }
};

class Uniformization final : public Integrator {
 public:
  IntegratorInfo const& info() const override { return info_; }

  std::string refuses(Process const& process) const override {
    Generator const& q = process.generator();
    bool const fits = process.is_reverse() ? q.kind() == Generator::Kind::uniform : q.is_bounded();
    return fits ? "" : "needs " + info_.needs;
  }

  std::size_t reserve(Process const& process, Extents extents) override {
    if (!process.is_reverse()) return Paths::counters(extents);
    auto const batch = static_cast<std::size_t>(extents.batch);
    if (clocks_.extent(0) < batch) {
      clocks_ = Kokkos::View<Clock*, MemorySpace>("saltus::integrators::uniformization::clocks", batch);
      now_ = Kokkos::View<StepCoeff*, MemorySpace>("saltus::integrators::uniformization::now", batch);
      only_site_ = RowInts("saltus::integrators::uniformization::only_site", batch);
      most_ = Kokkos::View<int, MemorySpace>("saltus::integrators::uniformization::most");
      host_most_ = Kokkos::create_mirror_view(most_);
    }
    return batch;
  }

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    if (!process.is_reverse()) {
      Paths::advance(exec, "saltus::integrators::uniformization::forward", process, state, step, key, counters);
      return;
    }
    key = key.at(static_cast<std::uint32_t>(step.index)).derived();
    Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>> const rows(exec, 0, state.batch());
    auto const range = std::make_pair(0, state.batch());
    RowInts const only_site = Kokkos::subview(only_site_, range);
    Candidates const candidates{step.coefficients,  process.noise(), key,
                                state.first_sample, state.length(),  process.generator().states()};
    Kokkos::parallel_reduce("saltus::integrators::uniformization::count", rows, CountKernel{candidates, clocks_},
                            Kokkos::Max<int, MemorySpace>(most_));
    Kokkos::deep_copy(exec, host_most_, most_);
    exec.fence("saltus::integrators::uniformization: the host needs the number of candidates");
    Step const event_step{step.index, Kokkos::subview(now_, range)};
    for (int event = 0; event < host_most_(); ++event) {
      Kokkos::parallel_for("saltus::integrators::uniformization::aim", rows,
                           AimKernel{candidates, clocks_, now_, only_site, state.frozen, state.time, counters});
      process.refresh(exec, state, 0, only_site);
      visit_field(process, state, event_step, 0, false, [&]<class Field>(Field const& field) {
        Kokkos::parallel_for(
            "saltus::integrators::uniformization::thin", rows,
            ThinKernel<Field>{field, clocks_, only_site, counters, key, state.first_sample, step.index});
      });
    }
    detail::finish(exec, "saltus::integrators::uniformization::finish", state, step);
  }

  bool follows_paths(Process const& process) const override { return !process.is_reverse(); }
  void follow(ExecSpace const& exec, Process& process, State const& state, PathPlan const& plan, StreamKey key,
              CounterView const& counters) override {
    Paths::follow(exec, "saltus::integrators::uniformization::forward", process, state, plan, key, counters);
  }

 private:
  IntegratorInfo const info_{
      .name = "uniformization",
      .summary = "exact: candidates at a bounding rate, thinned; reverse uniform processes and forward ones",
      .reference = "Jensen 1953, doi:10.1080/03461238.1953.10419459; reverse: Chen and Ying 2024, arXiv:2402.08095",
      .exact = true,
      .evaluations = 0,
      .host_syncs = 1,
      .needs = "a reverse process with uniform noise, or a forward process with a largest exit rate"};
  Kokkos::View<Clock*, MemorySpace> clocks_;
  Kokkos::View<StepCoeff*, MemorySpace> now_;
  RowInts only_site_;
  Kokkos::View<int, MemorySpace> most_;
  Kokkos::View<int, MemorySpace>::HostMirror host_most_;
};

}  // namespace

std::unique_ptr<Integrator> make_uniformization(Parameters const& parameters) {
  parameters.allow({});
  return std::make_unique<Uniformization>();
}

}  // namespace saltus
