// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace saltus::app {

using Json = nlohmann::ordered_json;

/// A report as one file that needs nothing else: light or dark as the reader's screen, colours of look.hpp as CSS
/// variables.
std::string html_page(std::string const& title, std::string const& body);

/// The section that tells how a report came about: the call in pieces, and the values of `header` (its objects under
/// titles of their own).
std::string html_repeat(std::vector<std::string> const& command, Json const& header);

}  // namespace saltus::app
