// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/path.hpp>

#include "../unmask_detail.hpp"

namespace saltus {
namespace {

// Modified next reaction, with a site as the channel (A§6.2 (iii), 17.5). A site fires when its internal time T, the
// integral of its rate, reaches its threshold P, the next point of a Poisson process of rate 1.
//
// Masked: T = phi ln((1 - alpha_from)/(1 - alpha)) for all sites alike, and a site that has fired has rate 0; so it
// fires once, where 1 - alpha has fallen by exp(-P/phi).
struct ThresholdLevel {
  KOKKOS_FUNCTION static double level(std::uint64_t bits, double phi) {
    return Kokkos::exp(-exponential_from(bits) / phi);
  }
};

// Forward: the rate of a site changes only when it fires, so T = P after each event and P - T is the next increment of
// P. That is the wait that path.hpp draws once an event and carries from window to window.
struct MakeThresholds {
  template <class Jumps>
  static DirectEvents<Jumps> make(Process const&, Jumps const& jumps) {
    return {jumps};
  }
};
using Paths = PathMethod<MakeThresholds>;

class NextReaction final : public Integrator {
 public:
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override {
    if (!process.is_reverse() || (process.is_masked() && process.normalised())) return {};
    return "needs " + info_.needs;
  }
  std::size_t reserve(Process const& process, Extents extents) override {
    return process.is_reverse() ? unmasking_.reserve(extents) : Paths::counters(extents);
  }
  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    if (process.is_reverse()) {
      unmasking_.run(exec, process, state, step, key, counters);
    } else {
      Paths::advance(exec, "saltus::integrators::next_reaction::forward", process, state, step, key, counters);
    }
  }
  bool follows_paths(Process const& process) const override { return !process.is_reverse(); }
  void follow(ExecSpace const& exec, Process& process, State const& state, PathPlan const& plan, StreamKey key,
              CounterView const& counters) override {
    Paths::follow(exec, "saltus::integrators::next_reaction::forward", process, state, plan, key, counters);
  }

 private:
  IntegratorInfo const info_{
      .name = "next_reaction",
      .summary = "exact: a clock and a threshold for each site; forward processes, masked ones with normalised rows",
      .reference = "Anderson 2007, doi:10.1063/1.2799998, modified next reaction method",
      .exact = true,
      .evaluations = 0,
      .host_syncs = 1,
      .needs = "rates with an integral in closed form: a forward process, or a masked reverse process whose rows are "
               "laws (a model of an x0 kind, or normalised scores)"};
  detail::OrderedUnmasking<ThresholdLevel> unmasking_{"saltus::integrators::next_reaction"};
};

}  // namespace

std::unique_ptr<Integrator> make_next_reaction(Parameters const& parameters) {
  parameters.allow({});
  return std::make_unique<NextReaction>();
}

}  // namespace saltus
