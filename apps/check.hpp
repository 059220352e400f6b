// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include "results.hpp"

namespace saltus::app {

/// --check, the bias check: a line for each claim of a method that its run does not hold: what was measured and what
/// was allowed. Empty: all hold. Sampled, a method that claims to be exact must lie inside every band, which perfect
/// samplers of all such methods together leave with probability results.family_error. With exact laws its tv must be below
/// 1e-10, and that of a method that claims an order must fall between its two largest numbers of steps like steps^(-order),
/// with an order at least that of the claim less 0.25 (or be below 1e-10).
std::vector<std::string> broken_claims(Results const& results);

/// Throws CheckError with these lines, if there are any.
void require_claims(Results const& results);

}  // namespace saltus::app
