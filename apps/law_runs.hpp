// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <vector>

#include "contest.hpp"
#include "results.hpp"

namespace saltus::app {

/// --law exact: the law of the sequences of every entrant, computed and not sampled, against that of the process. UserError
/// if the sequences cannot be enumerated, and past --most-transitions.
std::vector<Run> run_laws(Contest& contest, Subject const& subject, Options const& options);

}  // namespace saltus::app
