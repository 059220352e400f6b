// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/visit_field.hpp>
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/registry.hpp>

#include "../run_detail.hpp"

namespace saltus {
namespace {

using RowInts = Kokkos::View<int*, MemorySpace>;
using RowCoeffs = Kokkos::View<StepCoeff*, MemorySpace>;

// Names the rows that have not arrived and have a site that may move.
struct LeftKernel {
  Tokens tokens;
  Frozen frozen;
  Times time;
  Kokkos::View<StepCoeff const*, MemorySpace> step;
  RowInts left;
  CounterView counters;
  std::int64_t items;  // counters a row
  token_t mask;        // -1: every token may move
  KOKKOS_FUNCTION void operator()(int b, int& rows) const {
    int const length = static_cast<int>(tokens.extent(1));
    bool on_the_way = false;
    if (time(b) > step(step.extent(0) == 1 ? 0 : b).to) {
      for (int l = 0; l < length && !on_the_way; ++l)
        on_the_way = (mask < 0 || tokens(b, l) == mask) && (frozen.size() == 0 || frozen(b, l) == 0);
    }
    left(b) = on_the_way ? Query::all_sites : Query::no_site;
    counters(b * items).evaluations += on_the_way;
    rows += on_the_way;
  }
};

// The longest step in which no site is expected to jump more than `change` times and the row no more than `jumps` times at
// its rates now.
template <class Field>
struct LengthKernel {
  Field field;  // with coefficients of each row at its own time
  Times time;
  Kokkos::View<StepCoeff const*, MemorySpace> step;
  RowInts left;
  RowCoeffs now;
  NoiseSchedule noise;
  double change, jumps, shortest;
  int length;

  KOKKOS_FUNCTION void operator()(int b) const {
    StepCoeff const& whole = step(step.extent(0) == 1 ? 0 : b);
    if (left(b) == Query::no_site) {
      StepCoeff c = noise.coefficients({whole.from, whole.from});  // leaps over nothing
      c.to = whole.to;
      now(b) = c;
      return;
    }
    StepCoeff const c = now(b);
    double largest = 0, total = 0;
    for (int l = 0; l < length; ++l) {
      if (!field.active(b, l)) continue;
      double rate;
      if (field.jump_known()) {
        RowSums const unread = field.unread();
        rate = field.rates(c, unread).slope * unread.others;
      } else {
        auto const row = field.row(b, l);
        token_t const own = field.tokens(b, l);
        typename Field::Row::Scratch scratch;
        RowSums const sums = row.scan(own, scratch);
        rate = row.weigh(own, field.rates(c, sums), sums, scratch);
      }
      largest = largest > rate ? largest : rate;
      total += rate;
    }
    double h = change / largest;
    if (jumps > 0 && jumps / total < h) h = jumps / total;
    if (!(h > shortest)) h = shortest;  // also where scores are not finite, which the step itself finds
    bool const last = !(c.from - h > whole.to);
    StepCoeff next = noise.coefficients({c.from, last ? whole.to : c.from - h});
    next.phi = whole.phi;
    next.power = whole.power;
    next.forced = last && whole.forced;
    if (next.forced) next.phi = 1;
    now(b) = next;
  }
};

struct NowKernel {
  Times time;
  Kokkos::View<StepCoeff const*, MemorySpace> step;
  RowCoeffs now;
  NoiseSchedule noise;
  KOKKOS_FUNCTION void operator()(int b) const {
    StepCoeff const& whole = step(step.extent(0) == 1 ? 0 : b);
    StepCoeff c = noise.coefficients({time(b), whole.to});
    c.phi = whole.phi;
    c.power = whole.power;
    now(b) = c;
  }
};

// Another method with steps of its own length for each row (A§7.7).
class Adaptive final : public Integrator {
 public:
  Adaptive(std::unique_ptr<Integrator> method, double change, double jumps, double shortest)
      : method_(std::move(method)), change_(change), jumps_(jumps), shortest_(shortest) {}
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override {
    bool const fits = process.is_reverse() && process.generator().kind() != Generator::Kind::dense;
    return fits ? method_->refuses(process) : "needs " + info_.needs;
  }

  std::size_t reserve(Process const& process, Extents extents) override {
    auto const batch = static_cast<std::size_t>(extents.batch);
    if (left_.extent(0) < batch) {
      left_ = RowInts(label_ + "::left", batch);
      now_ = RowCoeffs(label_ + "::now", batch);
      rows_ = Kokkos::View<int, MemorySpace>(label_ + "::rows");
      host_rows_ = Kokkos::create_mirror_view(rows_);
    }
    std::size_t const counters = method_->reserve(process, extents);
    items_ = static_cast<std::int64_t>(counters / std::max<std::size_t>(batch, 1));
    return counters;
  }

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    key = key.at(static_cast<std::uint32_t>(step.index)).derived();
    Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>> const all(exec, 0, state.batch());
    auto const range = std::make_pair(0, state.batch());
    RowInts const left = Kokkos::subview(left_, range);
    RowCoeffs const now = Kokkos::subview(now_, range);
    double const shortest = shortest_ * process.noise().end();
    for (int round = 0;; ++round) {
      Kokkos::parallel_reduce(label_ + "::left", all,
                              LeftKernel{state.tokens, state.frozen, state.time, step.coefficients, left, counters,
                                         items_, process.generator().mask().value_or(-1)},
                              Kokkos::Sum<int, MemorySpace>(rows_));
      Kokkos::deep_copy(exec, host_rows_, rows_);
      exec.fence(label_ + ": the host needs to know whether a row is on its way");
      if (host_rows_() == 0) break;
      process.refresh(exec, state, 0, left);
      Kokkos::parallel_for(label_ + "::now", all, NowKernel{state.time, step.coefficients, now, process.noise()});
      Step const own{round, now};
      visit_field(process, state, own, 0, false, [&]<class Field>(Field const& field) {
        if constexpr (requires { typename Field::Value; }) {
          Kokkos::parallel_for(label_ + "::length", all,
                               LengthKernel<Field>{field, state.time, step.coefficients, left, now, process.noise(),
                                                   change_, jumps_, shortest, state.length()});
        }
      });
      method_->move(exec, process, state, own, key, counters);
    }
    detail::finish(exec, label_ + "::finish", state, step);
  }

 private:
  std::unique_ptr<Integrator> method_;
  double change_, jumps_, shortest_;
  std::int64_t items_ = 1;
  RowInts left_;
  RowCoeffs now_;
  Kokkos::View<int, MemorySpace> rows_;
  Kokkos::View<int, MemorySpace>::HostMirror host_rows_;
  std::string const label_ = "saltus::integrators::adaptive";
  IntegratorInfo const info_{
      .name = "adaptive",
      .summary = "method=tweedie with steps by its rates: change=0.25 expected jumps of a site, jumps=... of a row, at least shortest=0.001 T",
      .reference = "Cao, Gillespie, Petzold 2006, doi:10.1063/1.2159468, step selection by expected change",
      .evaluations = 0,
      .host_syncs = 1,
      .needs = "a reverse process with a mask or uniform noise"};
};

}  // namespace

std::unique_ptr<Integrator> make_adaptive(Parameters const& parameters) {
  parameters.allow({"method", "change", "jumps", "shortest"});
  auto method = make_integrator(parameters.text("method", "tweedie"));
  IntegratorInfo const& inner = method->info();
  require(inner.has_site_law && inner.stages == 1 && inner.selection == Selection::by_site && inner.evaluations == 1,
          parameters.where() + ": method must be one of one stage whose sites move independently (tweedie, euler, exponential, flow_matching), got '" + inner.name + "'");
  double const change = parameters.number("change", 0.25), jumps = parameters.number("jumps", 0),
               shortest = parameters.number("shortest", 1e-3);
  require(change > 0 && jumps >= 0 && shortest > 0 && shortest <= 1,
          parameters.where() + ": change and shortest must be above 0 (shortest at most 1), jumps at least 0");
  return std::make_unique<Adaptive>(std::move(method), change, jumps, shortest);
}

}  // namespace saltus
