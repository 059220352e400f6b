// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"

#include <saltus/ctmc/error.hpp>

namespace saltus::app {
namespace {

// One line for all metrics of a run that lie outside; empty if none does.
std::string outside_bands(Results const& results, Run const& run) {
  std::string line;
  for (std::size_t m = 0; m < results.metrics.size(); ++m) {
    if (results.inside(run, m)) continue;
    line += (line.empty() ? "" : ", ") + std::string(spec_of(results.metrics[m]).name) + " is " +
            to_text(run.estimates[m].value) + ", allowed is " + to_text(results.bands[m].low) + " to " +
            to_text(results.bands[m].high);
  }
  return line.empty() ? line : run.integrator + " claims to be exact: " + line;
}

}  // namespace

std::vector<std::string> broken_claims(Results const& results) {
  std::vector<std::string> lines;
  for (auto const& run : results.runs) {
    if (!run.exact) continue;
    if (auto line = outside_bands(results, run); !line.empty()) lines.push_back(std::move(line));
  }
  return lines;
}

void require_claims(Results const& results) {
  std::vector<std::string> const lines = broken_claims(results);
  if (lines.empty()) return;
  std::string message =
      "--check: a claim does not hold (by chance this happens with probability " + to_text(results.family_error) + ")";
  for (auto const& line : lines) message += "\n  " + line;
  throw CheckError(message);
}

}  // namespace saltus::app
