// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>

#include "../candidate_detail.hpp"
#include "../uniform_envelope.hpp"

namespace saltus {
namespace {

// Candidates at the largest rate that exact scores can have; it changes with sigma_bar, and its integral is known
// (A§17.3).
struct EnvelopeCandidates : detail::UniformCandidates {
  struct Clock {
    double total;     // sigma_bar
    double integral;  // of the bound of one site, before phi and `factor`
    double end;       // the same at the end of the step
    double rate;
    std::uint32_t draws;
    KOKKOS_FUNCTION void happens() {}
  };

  KOKKOS_FUNCTION Clock start(int b) const {
    double const total = first(coeff(b));
    return {total, detail::uniform_envelope(total, states), detail::uniform_envelope(last(coeff(b)), states), 0, 0};
  }
  KOKKOS_FUNCTION int next(int b, Clock& clock) const {
    if (states < 2) return -1;
    StepCoeff const& c = coeff(b);
    double const speed = c.phi * factor;
    while (clock.integral > clock.end) {
      RandomPair const random = draw(b, clock.draws++, Role::event, 0);
      clock.integral -= exponential_from(random.event) / (speed * state.length());
      int const site = static_cast<int>(uniform53(random.target) * state.length());
      if (!(clock.integral > clock.end) || is_frozen(b, site)) continue;
      clock.total = detail::uniform_envelope_inverse(clock.integral, clock.total, states);
      clock.rate = speed * bound_at(clock.total, states);
      return site;
    }
    return -1;
  }
};

class Thinning final : public Integrator {
 public:
  explicit Thinning(detail::BoundOptions bound) : bound_(bound) {}
  IntegratorInfo const& info() const override { return info_; }

  std::string refuses(Process const& process) const override {
    bool const uniform = process.generator().kind() == Generator::Kind::uniform;
    return process.is_reverse() && (uniform || process.is_masked()) ? "" : "needs " + info_.needs;
  }

  std::size_t reserve(Process const& process, Extents extents) override {
    if (!process.is_masked()) return uniform_.reserve(extents);
    detail::reserve_sites(sites_, "saltus::integrators::thinning::sites", extents);
    return masked_.reserve(extents);
  }

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    key = key.at(static_cast<std::uint32_t>(step.index)).derived();
    detail::CandidateBase const base{step.coefficients, process.noise(), key, state};
    if (process.is_masked()) {
      masked_.run(exec, process, state, step,
                  {base, sites_, *process.generator().mask(), bound_.factor, false, detail::least_noise}, counters,
                  bound_.stops);
    } else {
      uniform_.run(exec, process, state, step, {{base, process.generator().states(), bound_.factor}}, counters,
                   bound_.stops);
    }
  }

 private:
  // host_syncs: of a masked process, where each refusal of a candidate calls for more, the least number.
  IntegratorInfo const info_{.name = "thinning",
                             .summary = "exact: candidates under an envelope of the rates, thinned; reverse uniform and "
                                        "masked processes, normalised or not (bound=F, policy=clip or error)",
                             .reference = "Lewis and Shedler 1979, doi:10.1002/nav.3800260304",
                             .exact = true,
                             .evaluations = 0,
                             .host_syncs = 2,
                             .needs = "a reverse process with uniform noise or a masked one"};
  detail::BoundOptions bound_;
  detail::CandidateLoop<EnvelopeCandidates> uniform_{"saltus::integrators::thinning"};
  detail::CandidateLoop<detail::MaskedCandidates> masked_{"saltus::integrators::thinning"};
  Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace> sites_;
};

}  // namespace

std::unique_ptr<Integrator> make_thinning(Parameters const& parameters) {
  parameters.allow({"bound", "policy"});
  return std::make_unique<Thinning>(detail::BoundOptions::read(parameters));
}

}  // namespace saltus
