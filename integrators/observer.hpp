// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/ctmc/types.hpp>

namespace saltus {

/// Where a run is when an observer is called.
struct StepEvent {
  int step;         ///< index of the step just done
  int steps;        ///< of so many
  double time;      ///< where the step ended
};

/// Sees the state of a batch between steps. Reading it on the host needs a copy and a fence, which the observer makes on
/// `exec`; without observers the loop has neither.
class StepObserver {
 public:
  virtual ~StepObserver() = default;
  /// Called after every so many steps, and after the last one.
  virtual int cadence() const { return 1; }
  virtual void observe(ExecSpace const& exec, StepEvent const& event, State const& state) = 0;
};

}  // namespace saltus
