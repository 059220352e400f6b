// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/visit_field.hpp>
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/registry.hpp>

#include "../clean_law.hpp"
#include "../own_steps.hpp"
#include "../run_detail.hpp"

namespace saltus {
namespace {

using detail::RowCoeffs;
using detail::RowInts;
using SiteLaws = Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace>;  // [batch, length, states]

// The embedded estimate (A§7.7): with p and p' the clean laws of a site at the start and the end of a step, as the two
// stages of a trapezoidal step would take them, u TV(p, p') of its Tweedie law is at stake in a step that reveals the share
// u. It bounds u of the step to come and never takes back one that was drawn: to reject that for what it showed would
// favour tokens that tell little.
template <class Field>
struct EstimateKernel {
  Field field;  // with coefficients of each row at its own time
  RowInts left;
  SiteLaws laws;  // in the step before
  Tokens before;
  Kokkos::View<double*, MemorySpace> share;  // in: of the last step; out: the most for the next one
  double error;
  bool first;

  KOKKOS_FUNCTION void operator()(int b) const {
    if (left(b) == Query::no_site) return;
    double most = 0;
    bool moved = false;
    for (int l = 0; l < static_cast<int>(before.extent(1)); ++l) {
      token_t const own = field.tokens(b, l);
      bool const same = before(b, l) == own;
      moved = moved || !same;
      before(b, l) = own;
      if (!field.active(b, l)) continue;
      CleanLaw<Field> const law(field, b, l);
      double apart = 0;
      for (int y = 0; y < field.states; ++y) {
        double const p = law(y);
        apart += Kokkos::abs(p - laws(b, l, y)) / 2;
        laws(b, l, y) = p;
      }
      if (same && apart > most) most = apart;  // a site that has jumped says nothing of the others' laws (A§7.5)
    }
    if (first) {
      share(b) = error;  // u TV is no more, whatever comes
    } else if (moved) {
      double const fits = error / most, twice = 2 * share(b);
      share(b) = fits < twice ? fits : twice;
    }
  }
};

// The longest step in which no site is expected to jump more than `change` times and the row no more than `jumps` times at
// its rates now, and of which no larger share is revealed than the estimate allows. Rates now say nothing of those to come where
// the noise ends at rate 0 (cosine2): over the whole step the noise may make of them twice `change` at most.
template <class Field>
struct LengthKernel {
  Field field;  // with coefficients of each row at its own time
  Times time;
  Kokkos::View<StepCoeff const*, MemorySpace> step;
  RowInts left;
  RowCoeffs now;
  Kokkos::View<double*, MemorySpace> share;  // empty: no estimate
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
    if (share.size() != 0 && share(b) < 1) {
      double const gap = c.from - noise.time_at_lost(c.lost_from * (1 - share(b)));
      if (gap < h) h = gap;
    }
    constexpr bool masked = requires { field.normalised; };
    for (int halved = 0; halved < 100 && h > shortest; ++halved) {
      if (!(h < c.from - whole.to)) h = c.from - whole.to;
      StepCoeff const all = noise.coefficients({c.from, c.from - h});
      double const expected = field.jump_known() || !(largest > 0) ? (masked ? all.reveal : all.delta) : masked ? 0 : largest * (all.delta / c.rate);
      if (!(expected > 2 * change)) break;
      h /= 2;
    }
    if (!(h > shortest)) h = shortest;  // also where scores are not finite, which the step itself finds
    bool const last = !(c.from - h > whole.to);
    StepCoeff next = noise.coefficients({c.from, last ? whole.to : c.from - h});
    next.phi = whole.phi;
    next.power = whole.power;
    next.forced = last && whole.forced;
    if (next.forced) next.phi = 1;
    if (share.size() != 0) share(b) = next.reveal;
    now(b) = next;
  }
};

// Another method with steps of its own length for each row (A§7.7).
class Adaptive final : public Integrator {
 public:
  Adaptive(std::unique_ptr<Integrator> method, double change, double jumps, double shortest, double error)
      : method_(std::move(method)), change_(change), jumps_(jumps), shortest_(shortest), error_(error) {}
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override {
    bool const fits = process.is_reverse() && process.generator().kind() != Generator::Kind::dense;
    return fits ? method_->refuses(process) : "needs " + info_.needs;
  }

  std::size_t reserve(Process const& process, Extents extents) override {
    auto const batch = static_cast<std::size_t>(extents.batch);
    if (now_.extent(0) < batch) now_ = RowCoeffs(label_ + "::now", batch);
    if (auto const length = static_cast<std::size_t>(extents.length);
        error_ > 0 && (laws_.extent(0) < batch || laws_.extent(1) != length ||
                       static_cast<int>(laws_.extent(2)) != process.generator().states())) {
      laws_ = SiteLaws(label_ + "::laws", batch, length, static_cast<std::size_t>(process.generator().states()));
      before_ = Tokens(label_ + "::before", batch, length);
      share_ = Kokkos::View<double*, MemorySpace>(label_ + "::share", batch);
    }
    std::size_t const counters = method_->reserve(process, extents);
    left_.reserve(extents, counters);
    return counters;
  }

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    key = key.at(static_cast<std::uint32_t>(step.index)).derived();
    Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>> const all(exec, 0, state.batch());
    RowCoeffs const now = Kokkos::subview(now_, std::make_pair(0, state.batch()));
    double const shortest = shortest_ * process.noise().end();
    for (int round = 0; left_.find(exec, process, state, step, counters); ++round) {
      process.refresh(exec, state, 0, left_.rows());
      detail::own_coefficients(exec, label_ + "::now", state, step, process.noise(), now);
      Step const own{round, now};
      visit_field(process, state, own, 0, false, [&]<class Field>(Field const& field) {
        if constexpr (requires { field.clean(StepCoeff{}, RowSums{}); }) {
          if (error_ > 0) {
            Kokkos::parallel_for(label_ + "::estimate", all,
                                 EstimateKernel<Field>{field, left_.rows(), laws_, before_, share_, error_, round == 0});
          }
          Kokkos::parallel_for(label_ + "::length", all,
                               LengthKernel<Field>{field, state.time, step.coefficients, left_.rows(), now, share_,
                                                   process.noise(), change_, jumps_, shortest, state.length()});
        }
      });
      method_->move(exec, process, state, own, key, counters);
    }
    detail::finish(exec, label_ + "::finish", state, step);
  }

 private:
  std::unique_ptr<Integrator> method_;
  double change_, jumps_, shortest_, error_;
  RowCoeffs now_;
  SiteLaws laws_;  // these three: of the estimate
  Tokens before_;
  Kokkos::View<double*, MemorySpace> share_;
  std::string const label_ = "saltus::integrators::adaptive";
  detail::RowsLeft left_{label_};
  IntegratorInfo const info_{
      .name = "adaptive",
      .summary = "method=tweedie with steps by its rates: change=0.25 expected jumps of a site, jumps=... of a row, error=... of its laws, at least shortest=0.001 T",
      .reference = "Cao, Gillespie, Petzold 2006, doi:10.1063/1.2159468, step selection by expected change",
      .evaluations = 0,
      .host_syncs = 1,
      .needs = "a reverse process with a mask or uniform noise"};
};

}  // namespace

std::unique_ptr<Integrator> make_adaptive(Parameters const& parameters) {
  parameters.allow({"method", "change", "jumps", "shortest", "error"});
  auto method = make_integrator(parameters.text("method", "tweedie"));
  IntegratorInfo const& inner = method->info();
  require(inner.has_site_law && inner.stages == 1 && inner.selection == Selection::by_site && inner.evaluations == 1,
          parameters.where() + ": method must be one of one stage whose sites move independently (tweedie, euler, exponential, flow_matching), got '" + inner.name + "'");
  double const change = parameters.number("change", 0.25), jumps = parameters.number("jumps", 0),
               shortest = parameters.number("shortest", 1e-3), error = parameters.number("error", 0);
  require(change > 0 && jumps >= 0 && shortest > 0 && shortest <= 1 && error >= 0 && error <= 1,
          parameters.where() + ": change and shortest must be above 0 (shortest at most 1), jumps at least 0, error from 0 to 1");
  return std::make_unique<Adaptive>(std::move(method), change, jumps, shortest, error);
}

}  // namespace saltus
