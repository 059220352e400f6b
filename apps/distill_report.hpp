// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include <saltus/learnable/schedule.hpp>

#include "output_folder.hpp"
#include "problem.hpp"
#include "results.hpp"

namespace saltus::app {

/// What learning a schedule found out; the table and the report follow from it.
struct Distilled {
  Schedule schedule;
  std::vector<std::string> command;  ///< that gives it again, in pieces
  Json header;                       ///< version, machine, parameters, model
  int nfe = 0;                       ///< network evaluations of a sample
  std::string no_path_kl;            ///< why there is none; empty if there is
  double output_before = 0, output_after = 0;  ///< KL of the data's law from that of the output, where it was computed; else NaN
  double seconds = 0;
};

/// Whether it is of a masked model. Without a mask path KLs know only the first jump of a site in a step.
bool masked(Schedule const& schedule);
/// A row a step: its times, factor and reveal probability with standard errors, clamps.
Table step_table(Schedule const& schedule);
/// Path KLs with standard errors and parts, and KLs of the output; no rows if there is neither.
Table before_after_table(Distilled const& distilled);

/// report.html with its plots.
void write_report(Distilled const& distilled, OutputFolder const& folder);

}  // namespace saltus::app
