// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"

#include <algorithm>
#include <cmath>

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

constexpr double exact_error = 1e-10, order_slack = 0.25;

double error_of(Results const& results, Run const& run) {
  return run.estimates[results.position(Metric::tv)].value;
}

// The two runs of a method with the most steps, more steps last; fewer if it has fewer.
std::vector<Run const*> finest(Results const& results, std::string const& method) {
  std::vector<Run const*> runs;
  for (auto const& run : results.runs) {
    if (run.integrator == method && run.weak_order > 0) runs.push_back(&run);
  }
  std::ranges::sort(runs, {}, [](Run const* run) { return run->steps; });
  if (runs.size() > 2) runs.erase(runs.begin(), runs.end() - 2);
  return runs;
}

// A line if the error does not fall as claimed.
std::string broken_order(Results const& results, std::string const& method) {
  auto const runs = finest(results, method);
  if (runs.size() < 2) return "";
  double const before = error_of(results, *runs[0]), after = error_of(results, *runs[1]);
  double const order = std::log(before / after) / std::log(runs[1]->steps / runs[0]->steps);
  if (after < exact_error || order >= runs[1]->weak_order - order_slack) return "";
  return method + " claims order " + to_text(runs[1]->weak_order) + ": tv is " + to_text(before) + " in " +
         to_text(runs[0]->steps) + " steps and " + to_text(after) + " in " + to_text(runs[1]->steps) + ", order " +
         to_text(std::round(1e3 * order) / 1e3) + ", allowed is at least " +
         to_text(runs[1]->weak_order - order_slack);
}

}  // namespace

std::vector<std::string> broken_claims(Results const& results) {
  std::vector<std::string> lines;
  for (auto const& run : results.runs) {
    if (!run.exact) continue;
    if (results.exact_law) {
      if (double const tv = error_of(results, run); !(tv < exact_error))
        lines.push_back(run.integrator + " claims to be exact: tv is " + to_text(tv) + ", allowed is less than " +
                        to_text(exact_error));
      continue;
    }
    if (auto line = outside_bands(results, run); !line.empty()) lines.push_back(std::move(line));
  }
  for (auto const& method : results.methods) {
    if (auto line = broken_order(results, method); results.exact_law && !line.empty()) lines.push_back(std::move(line));
  }
  return lines;
}

void require_claims(Results const& results) {
  std::vector<std::string> const lines = broken_claims(results);
  if (lines.empty()) return;
  std::string message = "--check: a claim does not hold";
  if (!results.exact_law)
    message += " (by chance this happens with probability " + to_text(results.family_error) + ")";
  for (auto const& line : lines) message += "\n  " + line;
  throw CheckError(message);
}

}  // namespace saltus::app
