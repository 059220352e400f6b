// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "problem.hpp"

namespace saltus::app {

/// How a reverse run lays its steps and how it ends: --grid and --last.
class StepRules {
 public:
  /// UserError for what does not fit the problem.
  StepRules(Options const& options, Problem const& problem);

  /// Steps that a file of times brings; nothing if the number is free.
  std::optional<int> own_steps() const { return file_ ? std::optional(file_->steps()) : std::nullopt; }
  /// More steps are a finer grid of the same kind, so that errors have an order.
  bool refines() const { return !blocks() && !file_; }
  /// Masks may be left in the sequences.
  bool leaves_masks() const { return !folds_ && masked_ && last_ == LastStep::none; }
  /// --last is not what a method's claim of exactness is about.
  bool unusual() const { return folds_ != masked_ || last_ != LastStep::none; }
  /// Evaluations of the model after the grid.
  int last_evaluations() const { return last_ == LastStep::none ? 0 : 1; }

  /// --grid blocks of a model whose information profile has no closed form (a hidden Markov chain, a large table, a
  /// decorated model): estimates it by sampled_profile(), from 1024 sequences that first_hitting draws, always the same
  /// ones. Returns how good it is, in words; nothing, and does nothing, for all else. Needs Kokkos; before plan().
  std::string estimate_profile(Process process);

  /// The plan of `steps` steps: grid and end. Methods that choose their own steps get a single interval.
  SamplePlan plan(Process const& process, Integrator const& integrator, int steps) const;

 private:
  bool blocks() const { return grid_ == "blocks"; }
  TimeGrid grid(int steps) const;

  std::string grid_;
  NoiseSchedule noise_;
  LastStep last_ = LastStep::none;
  bool masked_, folds_;
  double end_;
  int length_;
  std::vector<double> profile_;   // of blocks; empty until it is estimated
  std::optional<TimeGrid> file_;  // of times
};

}  // namespace saltus::app
