// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/path.hpp>

#include "../candidate_detail.hpp"

namespace saltus {
namespace {

struct MakeDirect {
  template <class Jumps>
  static DirectEvents<Jumps> make(Process const&, Jumps const& jumps) {
    return {jumps};
  }
};
using Paths = PathMethod<MakeDirect>;

// Masked: with n masks left the row's total rate is n phi times the schedule's hazard, whatever the tokens, and any of
// the masks is as likely to be next; each event reads the row of that site alone (A§6.4, 17.2).
class Gillespie final : public Integrator {
 public:
  IntegratorInfo const& info() const override { return info_; }

  std::string refuses(Process const& process) const override {
    if (!process.is_reverse() || process.is_masked()) return {};
    return "needs " + info_.needs;
  }

  std::size_t reserve(Process const& process, Extents extents) override {
    if (!process.is_reverse()) return Paths::counters(extents);
    detail::reserve_sites(sites_, "saltus::integrators::gillespie::sites", extents);
    return loop_.reserve(extents);
  }

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    if (!process.is_reverse()) {
      Paths::advance(exec, "saltus::integrators::gillespie::forward", process, state, step, key, counters);
      return;
    }
    key = key.at(static_cast<std::uint32_t>(step.index)).derived();
    loop_.run(exec, process, state, step,
              {{step.coefficients, process.noise(), key, state}, sites_, *process.generator().mask(), 1, true, 0},
              counters);
  }

  bool follows_paths(Process const& process) const override { return !process.is_reverse(); }
  void follow(ExecSpace const& exec, Process& process, State const& state, PathPlan const& plan, StreamKey key,
              CounterView const& counters) override {
    Paths::follow(exec, "saltus::integrators::gillespie::forward", process, state, plan, key, counters);
  }

 private:
  IntegratorInfo const info_{
      .name = "gillespie",
      .summary = "exact: the direct method, event by event; masked models (one evaluation a site), forward processes",
      .reference = "Gillespie 1977, doi:10.1021/j100540a008; masked: Zheng et al. 2024, arXiv:2409.02908",
      .exact = true,
      .evaluations = 0,
      .host_syncs = 1,
      .needs = "a masked reverse process or a forward process"};
  detail::CandidateLoop<detail::MaskedCandidates> loop_{"saltus::integrators::gillespie"};
  Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace> sites_;
};

}  // namespace

std::unique_ptr<Integrator> make_gillespie(Parameters const& parameters) {
  parameters.allow({});
  return std::make_unique<Gillespie>();
}

}  // namespace saltus
