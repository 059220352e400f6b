// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <string_view>

#include <saltus/ctmc/process.hpp>
#include <saltus/integrators/integrator.hpp>

/// The statistics that schedules are learned from are sums of masses: what the rates at the start of an interval say of the
/// jumps within it, before anything is clamped.
namespace saltus {

/// How the jumps of a site in a step follow from an evaluation at its start, with phi the learned factor.
enum class StepLaw {
  linear,       ///< euler: probabilities phi h R(y); tau_leaping:rule=ordinal: numbers of jumps with these means
  exponential,  ///< exponential, tau_leaping: target R(y), probability 1 - exp(-phi h sum R)
  tweedie,      ///< the transition law with the other sites frozen, off-diagonal scores scaled by phi
  two_stage     ///< tweedie_trapezoidal: phi scales the reveal probabilities of both stages
};
/// Of an integrator that schedules can be learned for; UserError that names them for any other.
StepLaw step_law(std::string_view integrator);

/// [batch, length, states]
using SiteMasses = Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace>;

/// What masses are.
enum class Mass {
  rates,       ///< h R(x; l, y), h the duration of the step
  transitions  ///< the probability of y at the end of the step, the other sites frozen (Tweedie)
};
/// The masses that a step law is made of: rates for linear and exponential ones.
Mass mass_of(StepLaw law);

/// out(b, l, y) for every site of the state from the evaluation that the process holds in `slot`, with the factors phi and
/// power of the step's coefficients (a forced step reveals every mask); 0 at the own token and at sites that do not move. Asynchronous on exec.
void read_masses(ExecSpace const& exec, Process const& process, State const& state, Step const& step, int slot, Mass mass,
                 SiteMasses const& out);

}  // namespace saltus
