// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/site_law.hpp>

namespace saltus {
namespace {
// First-jump law: with the rates frozen at the start of the step, a site jumps with probability 1 - exp(-h sum R), to a
// target drawn by its rate; a second jump within the step is left out.
struct ExponentialLaw {
  template <class Field>
  KOKKOS_FUNCTION static Weights weights(Field const& field, StepCoeff const& c, RowSums const& sums) {
    return field.rates(c, sums);
  }
  KOKKOS_FUNCTION static double jump(StepCoeff const& c, double leave, double, bool&) {
    return -Kokkos::expm1(-c.duration * leave);
  }
};
}  // namespace

std::unique_ptr<Integrator> make_exponential(Parameters const& parameters) {
  parameters.allow({"categorical"});
  return std::make_unique<IndependentSites<ExponentialLaw>>(
      IntegratorInfo{.name = "exponential",
                     .summary = "first order: each site jumps with probability 1 - exp(-step x exit rate)",
                     .reference = "Campbell et al. 2022, arXiv:2205.14987, tau-leaping, at most one jump a site",
                     .weak_order = 1},
      parse_categorical(parameters));
}

}  // namespace saltus
