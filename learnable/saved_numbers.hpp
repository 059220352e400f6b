// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <span>
#include <string>
#include <vector>

/// What DistillHooks::save is handed by methods whose state is numbers: a head that names the run, and the numbers.
namespace saltus {

/// Appends the numbers, so that they come back bit for bit.
void save_numbers(std::string& text, std::span<double const> numbers);
/// The numbers behind `head`. UserError if the text is of another run of `method` than the head says, or cut off within a
/// number; whether there are enough is for the caller to see.
std::vector<double> restore_numbers(std::string const& text, std::string const& head, std::string const& method);
/// UserError unless `whole`: there are fewer or more numbers than the run needs.
void require_whole(bool whole);

}  // namespace saltus
