// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/site_law.hpp>

namespace saltus {
namespace {

// The step of discrete flow matching on the path that mixes prior and data with weight alpha: a clean token is drawn from
// the posterior p(x_0 | x_t) and taken over with probability 1 - exp(-h (-alpha'/(1 - alpha))); in a step that ends without
// noise, always.
struct FlowLaw {
  template <class Field>
  KOKKOS_FUNCTION static Weights weights(Field const& field, StepCoeff const& c, RowSums const& sums) {
    if constexpr (requires { field.clean(c, sums); }) {
      return field.clean(c, sums);
    } else {
      return {0, 0, 1};  // refused
    }
  }
  KOKKOS_FUNCTION static double jump(StepCoeff const& c, double leave, double stay, bool&) {
    double const take = c.lost_to == 0 ? 1 : -Kokkos::expm1(-c.duration * c.phi * c.hazard);
    return take * (leave / (leave + stay));
  }
};

class FlowMatching final : public IndependentSites<FlowLaw> {
 public:
  using IndependentSites::IndependentSites;
  std::string refuses(Process const& process) const override {
    bool const mixes = process.is_masked() || process.generator().kind() == Generator::Kind::uniform;
    return process.is_reverse() && mixes ? "" : "needs " + info().needs;
  }
};

}  // namespace

std::unique_ptr<Integrator> make_flow_matching(Parameters const& parameters) {
  parameters.allow({});
  return std::make_unique<FlowMatching>(IntegratorInfo{
      .name = "flow_matching",
      .summary = "first order: takes over a clean token with probability 1 - exp(-step x hazard)",
      .reference = "Gat et al. 2024, arXiv:2407.15595, discrete flow matching, Euler",
      .weak_order = 1,
      .needs = "a reverse process with a mask or uniform noise"});
}

}  // namespace saltus
