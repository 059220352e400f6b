// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/site_law.hpp>

namespace saltus {
namespace {
// The exact law of a site at the end of the step with the other sites frozen (A§7.2); on a forward process this is the
// exact transition.
struct TweedieLaw {
  static constexpr bool uses_transitions = true;
  template <class Field>
  KOKKOS_FUNCTION static Weights weights(Field const& field, StepCoeff const& c, RowSums const& sums) {
    return field.transitions(c, sums);
  }
  KOKKOS_FUNCTION static double jump(StepCoeff const&, double leave, double stay, bool& clamped) {
    clamped = stay < 0;
    return clamped ? 1 : leave / (leave + stay);
  }
};
}  // namespace

std::unique_ptr<Integrator> make_tweedie(Parameters const& parameters) {
  parameters.allow({"categorical"});
  return std::make_unique<IndependentSites<TweedieLaw>>(
      IntegratorInfo{.name = "tweedie",
                     .summary = "first order: exact law of each site with the others frozen; exact on forward processes",
                     .reference = "Lou, Meng, Ermon 2024 (SEDD), arXiv:2310.16834, Tweedie strategy",
                     .exact_forward = true,
                     .weak_order = 1},
      parse_categorical(parameters));
}

}  // namespace saltus
