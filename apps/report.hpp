// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "output_folder.hpp"
#include "results.hpp"

namespace saltus::app {

/// Writes report.html: plots, tables, pictures of the sequences and what is needed to get them again, in one file that
/// needs nothing else. Plots are drawn by gnuplot; without it the page says so in one line.
void write_report(Results const& results, OutputFolder const& folder);

}  // namespace saltus::app
