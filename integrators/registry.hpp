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

/// A new integrator by name; UserError with the nearest names if there is none.
std::unique_ptr<Integrator> make_integrator(std::string_view name);

/// The same, and UserError that names the methods that would do unless it can advance `process`.
std::unique_ptr<Integrator> make_integrator(std::string_view name, Process const& process);

}  // namespace saltus
