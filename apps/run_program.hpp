// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

namespace saltus::app {

/// Runs a program (found on PATH) in `folder` without input, its standard output and error in files (relative to
/// `folder`). Whether it was there and returned 0.
bool run_program(std::vector<std::string> arguments, std::string const& folder, std::string const& out,
                 std::string const& error);

}  // namespace saltus::app
