// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include <saltus/learnable/schedule.hpp>

namespace saltus {

/// Reads a schedule (docs/schedule.schema.json); every number comes back bit for bit as it was written. UserError that names
/// file and key for anything that check_schedule() refuses, is missing, of the wrong type or not known.
Schedule read_schedule(std::string const& path);

/// Writes it whole or not at all. UserError as check_schedule(), OutputError if the file cannot be written.
void write_schedule(std::string const& path, Schedule const& schedule);

/// UserError that names the key of the file unless lengths agree, times decrease, factors are finite and above 0, edges of
/// bins increase, and the integrators are known.
void check_schedule(Schedule const& schedule);

}  // namespace saltus
