// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include <saltus/integrators/integrator.hpp>

/// What sample(), simulate(), simulate_tree() and the event-driven methods share; not installed.
namespace saltus::detail {

/// Counters to zero and the clock of every row to `from`.
void reset(ExecSpace const& exec, CounterView const& counters, Times const& time, double from);

/// The clock of every row to the end of the step, for methods whose kernels moved it from event to event.
void finish(ExecSpace const& exec, std::string const& label, State const& state, Step const& step);

/// Keeps the tokens of `from` in `to`, of the same extents.
void copy_tokens(ExecSpace const& exec, std::string const& label, Tokens const& from, Tokens const& to);

/// UserError if a token of the state is none of the process' states. Waits.
void check_tokens(ExecSpace const& exec, Process const& process, State const& state);

/// Copies the counters to the host, waits, and adds them up; `most` becomes the largest number of evaluations of an item.
/// Throws NumericalError that names step, sample and site if scores were not finite, left no target or broke a bound that
/// had to hold, or a population or a number of events grew out of its type. `host` is a mirror.
Counters collect(ExecSpace const& exec, CounterView const& counters, CounterView::HostMirror const& host,
                 Process const& process, std::uint64_t first_sample, std::int64_t& most);

/// The first of `states` states whose cumulative weight lies above the share `uniform` of the total.
KOKKOS_INLINE_FUNCTION token_t draw_cumulative(double const* cumulative, int states, double uniform) {
  double const u = cumulative[states - 1] * uniform;
  int low = 0, high = states - 1;
  while (low < high) {
    int const middle = (low + high) / 2;
    if (u < cumulative[middle]) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

/// UserError unless the step has the parts that the method asks for.
void check_parts(Integrator const& integrator, Step const& step, std::size_t parts);

/// UserError unless the integrator can advance the process.
void check(Integrator const& integrator, Process const& process);

}  // namespace saltus::detail
