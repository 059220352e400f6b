// SPDX-License-Identifier: BSD-3-Clause
#include <limits>

#include <saltus/integrators/methods.hpp>

#include "../unmask_detail.hpp"

namespace saltus {
namespace {

// A site that is masked at `from` is revealed when 1 - alpha has fallen to U (1 - alpha_from), independently of the
// tokens; with hazards times phi, U^(1/phi) (A§6.4).
struct HittingLevel {
  KOKKOS_FUNCTION static double level(std::uint64_t bits, double phi) {
    double const u = uniform53(bits);
    return phi == 1 ? u : Kokkos::pow(u, 1 / phi);
  }
};

class FirstHitting final : public Integrator {
 public:
  explicit FirstHitting(int calls) : unmasking_("saltus::integrators::first_hitting", calls) {
    if (calls == 0) return;
    info_.summary = "approximate: sites of a masked model by ordered unmasking times, in " + std::to_string(calls) +
                    " groups drawn from one evaluation each";
    info_.exact = false;
    info_.weak_order = 1;
  }

  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override {
    return process.is_reverse() && process.is_masked() ? "" : "needs " + info_.needs;
  }
  std::size_t reserve(Process const&, Extents extents) override { return unmasking_.reserve(extents); }
  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() > 0) unmasking_.run(exec, process, state, step, key, counters);
  }

 private:
  IntegratorInfo info_{
      .name = "first_hitting",
      .summary = "exact: sites of a masked model by ordered unmasking times, one evaluation each; calls=N: at most N",
      .reference = "Zheng et al. 2024, arXiv:2409.02908, first-hitting sampler",
      .exact = true,
      .evaluations = 0,
      .host_syncs = 1,
      .needs = "a masked reverse process"};
  detail::OrderedUnmasking<HittingLevel> unmasking_;
};

}  // namespace

std::unique_ptr<Integrator> make_first_hitting(Parameters const& parameters) {
  parameters.allow({"calls"});
  return std::make_unique<FirstHitting>(
      parameters.has("calls") ? parameters.integer("calls", 1, 1, std::numeric_limits<int>::max()) : 0);
}

}  // namespace saltus
