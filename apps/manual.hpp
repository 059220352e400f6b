// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saltus::app {

/// The man page saltus(1), in man(7) macros, from the tables of commands and options.
std::string manual_page();

/// Shells that completion() knows.
std::vector<std::string> const& shells();
/// What the shell reads to complete commands, options, and values that are names or files; from the same tables.
/// UserError for another shell.
std::string completion(std::string_view shell);

}  // namespace saltus::app
