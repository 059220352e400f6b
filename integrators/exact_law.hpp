// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <vector>

#include <saltus/ctmc/exact.hpp>
#include <saltus/integrators/integrator.hpp>

namespace saltus {

/// The law of the state after one step of a method with a SiteLaw, from its law before it: the probabilities that the
/// sampler draws from, multiplied out over the enumerated space. Synchronous; cost (reachable states) x (their targets).
/// UserError if the method has no SiteLaw.
std::vector<double> push_law(ExecSpace const& exec, Process& process, Integrator const& integrator,
                             StateSpace const& space, std::vector<double> const& law, Step const& step, double time);

/// The law at the end of the grid when a run starts from `law`: what sample() draws from, exactly.
std::vector<double> output_law(ExecSpace const& exec, Process& process, Integrator const& integrator,
                               StateSpace const& space, std::vector<double> law, TimeGrid const& grid,
                               bool forced_last = false, std::vector<double> const& phi = {});

}  // namespace saltus
