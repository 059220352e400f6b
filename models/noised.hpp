// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>

#include <saltus/ctmc/noise_schedule.hpp>
#include <saltus/models/sequence_law.hpp>

namespace saltus {

/// The law p_t of the forward process started from `law`: every site through P = exp(sigma_bar Q), sigma_bar =
/// total(t). A product stays one, a Markov chain becomes a hidden one with emissions P, a hidden one keeps its hidden
/// chain, a table stays one. Exact, on the host. UserError unless the generator has no mask and the law's states, at
/// most 4096 of them, t lies in [0, T], and the law is of one of these kinds; infinite sigma_bar only if uniform.
std::shared_ptr<SequenceLaw> noised(std::shared_ptr<SequenceLaw const> const& law, Generator const& generator,
                                    NoiseSchedule const& noise, double t);

}  // namespace saltus
