// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <span>
#include <string>

#include <saltus/ctmc/noise_schedule.hpp>
#include <saltus/learnable/schedule.hpp>

namespace saltus {

/// The blocks of least path KL for revealing the masks of a model with this information profile in `steps` steps
/// (A§9.3), as the times at which a base reveals them: `fixed_count`, which reveals just so many sites, or `tweedie`,
/// which reveals so many in the mean. `before` and `after` are the path KLs of that base with equal and with the best
/// blocks, of error 0; all of it is factorisation. UserError unless 1 <= steps <= length, for another base, and where
/// the noise leaves too little to mask (block_grid()).
Schedule block_schedule(NoiseSchedule const& noise, std::span<double const> profile, int steps,
                        std::string const& base);

}  // namespace saltus
