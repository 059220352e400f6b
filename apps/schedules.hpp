// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include <saltus/learnable/scheduled.hpp>

#include "problem.hpp"

namespace saltus::app {

/// A learned schedule of --schedule.
struct NamedSchedule {
  std::string name;  ///< the file's, without folder and ending
  std::string file;
  Schedule schedule;
};
/// All that a call names; UserError for a file that is none, and for two of one name.
std::vector<NamedSchedule> read_schedules(Options const& options);

/// The integrators of its steps.
std::vector<std::string> integrators_of(Schedule const& schedule);

/// What a schedule is learned for.
Schedule::Model model_of(Problem const& problem);

/// UserError that names both values unless the schedule was learned for this problem, or --force is given. A schedule that
/// does not say what it was learned for fits anything.
void check_fit(NamedSchedule const& named, Problem const& problem, Options const& options);

}  // namespace saltus::app
