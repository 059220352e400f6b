// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/path.hpp>

#include "../candidate_detail.hpp"

namespace saltus {
namespace {

struct MakeUniformized {
  template <class Jumps>
  static UniformizedEvents<Jumps> make(Process const& process, Jumps const& jumps) {
    return {jumps, process.generator().max_exit_rate()};
  }
};
using Paths = PathMethod<MakeUniformized>;

// Candidates come at a rate that bounds the row's total rate within a window of sigma_bar; windows halve, since the
// bound grows like 1/sigma_bar (A§6.3).
struct WindowCandidates : detail::UniformCandidates {
  struct Clock {
    double total;  // sigma_bar
    double low;    // end of the window
    double rate;   // of one site within the window
    std::uint32_t draws;
    KOKKOS_FUNCTION void happens() {}
  };

  KOKKOS_FUNCTION void open(Clock& clock, StepCoeff const& c) const {
    double const end = last(c), half = clock.total / 2;
    clock.low = half > end ? half : end;
    clock.rate = c.phi * factor * bound_at(clock.low, states);
  }
  KOKKOS_FUNCTION Clock start(int b) const {
    Clock clock{first(coeff(b)), 0, 0, 0};
    open(clock, coeff(b));
    return clock;
  }
  KOKKOS_FUNCTION int next(int b, Clock& clock) const {
    StepCoeff const& c = coeff(b);
    double const end = last(c);
    while (clock.total > end) {
      RandomPair const random = draw(b, clock.draws++, Role::event, 0);
      clock.total -= exponential_from(random.event) / (clock.rate * state.length());
      if (clock.total > clock.low) {
        int const site = static_cast<int>(uniform53(random.target) * state.length());
        if (!is_frozen(b, site)) return site;
        continue;
      }
      if (!(clock.low > end)) break;
      clock.total = clock.low;
      open(clock, c);
    }
    clock.total = 0;
    return -1;
  }
};

class Uniformization final : public Integrator {
 public:
  explicit Uniformization(detail::BoundOptions bound) : bound_(bound) {}
  IntegratorInfo const& info() const override { return info_; }

  std::string refuses(Process const& process) const override {
    Generator const& q = process.generator();
    bool const fits = process.is_reverse() ? q.kind() == Generator::Kind::uniform : q.is_bounded();
    return fits ? "" : "needs " + info_.needs;
  }

  std::size_t reserve(Process const& process, Extents extents) override {
    return process.is_reverse() ? loop_.reserve(extents) : Paths::counters(extents);
  }

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    if (!process.is_reverse()) {
      Paths::advance(exec, "saltus::integrators::uniformization::forward", process, state, step, key, counters);
      return;
    }
    key = key.at(static_cast<std::uint32_t>(step.index)).derived();
    loop_.run(exec, process, state, step,
              {{{step.coefficients, process.noise(), key, state}, process.generator().states(), bound_.factor}},
              counters, bound_.stops);
  }

  bool follows_paths(Process const& process) const override { return !process.is_reverse(); }
  void follow(ExecSpace const& exec, Process& process, State const& state, PathPlan const& plan, StreamKey key,
              CounterView const& counters) override {
    Paths::follow(exec, "saltus::integrators::uniformization::forward", process, state, plan, key, counters);
  }

 private:
  IntegratorInfo const info_{
      .name = "uniformization",
      .summary = "exact: candidates at a bounding rate, thinned; reverse uniform processes (bound=F, policy=clip or "
                 "error) and forward ones",
      .reference = "Jensen 1953, doi:10.1080/03461238.1953.10419459; reverse: Chen and Ying 2024, arXiv:2402.08095",
      .exact = true,
      .evaluations = 0,
      .host_syncs = 1,
      .needs = "a reverse process with uniform noise, or a forward process with a largest exit rate"};
  detail::BoundOptions bound_;
  detail::CandidateLoop<WindowCandidates> loop_{"saltus::integrators::uniformization"};
};

}  // namespace

std::unique_ptr<Integrator> make_uniformization(Parameters const& parameters) {
  parameters.allow({"bound", "policy"});
  return std::make_unique<Uniformization>(detail::BoundOptions::read(parameters));
}

}  // namespace saltus
