// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <saltus/integrators/integrator.hpp>

namespace saltus {

/// The names in integrators.def, in alphabetical order.
std::vector<std::string> integrator_names();

/// The names in correctors.def.
std::vector<std::string> corrector_names();
/// What a corrector declares, as it is around tweedie.
IntegratorInfo corrector_info(std::string_view name);

/// The methods of a list separated by commas: an item that does not begin with a method's name, but holds a '=', is one more
/// parameter of the method before it ("top_k:score=margin,temperature=0.5,tweedie").
std::vector<std::string> split_integrators(std::string_view list);

/// A new integrator by name, with parameters and correctors as in "tweedie+remasking:variant=cap,eta=0.02"; UserError with the nearest names if there is none.
std::unique_ptr<Integrator> make_integrator(std::string_view name);

/// The same, and UserError that names the methods that would do unless it can advance `process`.
std::unique_ptr<Integrator> make_integrator(std::string_view name, Process const& process);

}  // namespace saltus
