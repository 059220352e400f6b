// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "forward.hpp"
#include "metrics.hpp"
#include "problem.hpp"
#include "schedules.hpp"
#include "step_rules.hpp"

namespace saltus::app {

/// What the options of a comparison describe: a reverse process with its data, or a forward one at a time, and who runs
/// on it.
struct Subject {
  std::uint64_t seed = 1;
  std::size_t samples = 0;
  int batch = 0;
  bool exact_law = false;  ///< laws are computed rather than sampled
  std::vector<std::string> methods;
  std::vector<std::int64_t> budgets;
  std::vector<NamedSchedule> schedules{};
  std::optional<Problem> reverse;
  std::optional<StepRules> rules;  ///< of a reverse process
  std::optional<ForwardProblem> forward;
  double time = default_end_time;  ///< reverse: where steps end; forward: the time to compare at

  Alphabet const& alphabet() const { return forward ? forward->named.alphabet : reverse->model.alphabet; }
};
/// Reads and fits; no Kokkos yet. UserError as the options deserve.
Subject read_subject(Options const& options);

/// One run: a method with its steps.
struct Entrant {
  std::string integrator;  ///< or the name of its schedule
  Schedule const* schedule = nullptr;  ///< one of the subject's; null: the integrator alone
  bool exact = false;      ///< claims to draw from the law of the process itself
  bool own_steps = false;  ///< needs no number of steps
  double weak_order = 0;   ///< claimed here; 0: none
  int steps = 1;
  SamplePlan plan;
  bool pictured = false;  ///< the method's smallest budget, whose sequences are shown in the report
  std::string label;      ///< of its file of sequences and its progress line
};

/// What advances the entrant. Needs Kokkos.
std::unique_ptr<Integrator> make_method(Entrant const& entrant, Process const& process);

/// What is run, and the law that it is judged by. Needs Kokkos.
struct Contest {
  Process process;
  std::shared_ptr<SequenceLaw const> law;  ///< what an exact method draws from; null: a network, judged by a reference run
  int length, tokens;                      ///< of the sequences
  Alphabet alphabet;
  bool forward;
  std::string title;  ///< in words: what is sampled
  Metric rank;        ///< best first by this
  bool exact_law;     ///< laws are computed rather than sampled
  Json header;        ///< of the results: version, machine, the parameters that were used, model or process
  std::vector<Entrant> entrants;
  /// With exact_law: methods that do not take part, and why.
  std::vector<std::pair<std::string, std::string>> left_out{};
};
/// Every method at every budget; the rules of the subject estimate what they need. UserError that names the methods that would do for one that
/// cannot run on the process.
Contest make_contest(Subject& subject, Options const& options);

}  // namespace saltus::app
