// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/site_law.hpp>

namespace saltus {
namespace {
// P(y) = h R_y, P(stay) = 1 - h sum R (A§7): beyond 1 the site jumps for sure, which is counted.
struct EulerLaw {
  template <class Field>
  KOKKOS_FUNCTION static Weights weights(Field const& field, StepCoeff const& c, RowSums const& sums) {
    return field.rates(c, sums);
  }
  KOKKOS_FUNCTION static double jump(StepCoeff const& c, double leave, double, bool& clamped) {
    double const p = c.duration * leave;
    clamped = p > 1;
    return clamped ? 1 : p;
  }
};
}  // namespace

std::unique_ptr<Integrator> make_euler(Parameters const& parameters) {
  parameters.allow({"categorical"});
  return std::make_unique<IndependentSites<EulerLaw>>(
      IntegratorInfo{.name = "euler",
                     .summary = "first order: each site jumps with probability (step x exit rate)",
                     .reference = "Lou, Meng, Ermon 2024 (SEDD), arXiv:2310.16834, Euler strategy",
                     .weak_order = 1},
      parse_categorical(parameters));
}

}  // namespace saltus
