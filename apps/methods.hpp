// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include "options.hpp"

namespace saltus::app {

/// The methods that a call names, by --integrators or --integrator, each with what --categorical adds to it. UserError
/// for a name or parameter that no method has, and for a method that comes twice.
std::vector<std::string> read_methods(Options const& options);

/// Whether one of them reads conditionals at revealed sites.
bool read_revealed_sites(std::vector<std::string> const& methods);

/// A method as part of a file's name.
std::string file_name(std::string method);

}  // namespace saltus::app
