// SPDX-License-Identifier: BSD-3-Clause
#include "run_detail.hpp"

#include <algorithm>
#include <string>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/site_law.hpp>

namespace saltus::detail {
namespace {

struct ResetKernel {
  CounterView counters;
  Times time;
  double from;
  KOKKOS_FUNCTION void operator()(std::int64_t i) const {
    if (i < static_cast<std::int64_t>(counters.extent(0))) counters(i) = Counters{};
    if (i < static_cast<std::int64_t>(time.extent(0))) time(i) = from;
  }
};

struct FinishKernel {
  Times time;
  Kokkos::View<StepCoeff const*, MemorySpace> coefficients;
  KOKKOS_FUNCTION void operator()(int b) const { time(b) = coefficients(coefficients.extent(0) == 1 ? 0 : b).to; }
};

struct StrangeTokens {
  Tokens tokens;
  int length, states;
  KOKKOS_FUNCTION void operator()(std::int64_t i, int& count) const {
    token_t const x = tokens(i / length, i % length);
    count += x < 0 || x >= states ? 1 : 0;
  }
};

struct CopyTokens {
  Tokens from, to;
  int length, tiles;  // tiles a row
  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / tiles), begin = static_cast<int>(item % tiles) * max_tile;
    int const end = begin + max_tile < length ? begin + max_tile : length;
    for (int l = begin; l < end; ++l) to(b, l) = from(b, l);
  }
};

}  // namespace

void copy_tokens(ExecSpace const& exec, std::string const& label, Tokens const& from, Tokens const& to) {
  int const length = static_cast<int>(from.extent(1)), tiles = (length + max_tile - 1) / max_tile;
  Kokkos::parallel_for(label,
                       Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(
                           exec, 0, static_cast<std::int64_t>(from.extent(0)) * tiles),
                       CopyTokens{from, to, length, tiles});
}

void finish(ExecSpace const& exec, std::string const& label, State const& state, Step const& step) {
  Kokkos::parallel_for(label, Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, state.batch()),
                       FinishKernel{state.time, step.coefficients});
}

void check_tokens(ExecSpace const& exec, Process const& process, State const& state) {
  int strange = 0;
  Kokkos::parallel_reduce("saltus::integrators::check_tokens",
                          Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(
                              exec, 0, std::int64_t{state.batch()} * state.length()),
                          StrangeTokens{state.tokens, state.length(), process.generator().states()}, strange);
  require(strange == 0, std::to_string(strange) + " tokens of the start are not states of generator '" +
                            process.generator().name() + "', which has the states 0 to " +
                            std::to_string(process.generator().states() - 1));
}

void reset(ExecSpace const& exec, CounterView const& counters, Times const& time, double from) {
  Kokkos::parallel_for("saltus::integrators::reset",
                       Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(
                           exec, 0, static_cast<std::int64_t>(std::max(counters.extent(0), time.extent(0)))),
                       ResetKernel{counters, time, from});
}

Counters collect(ExecSpace const& exec, CounterView const& counters, CounterView::HostMirror const& host,
                 Process const& process, std::uint64_t first_sample, std::int64_t& most) {
  Kokkos::deep_copy(exec, host, counters);
  exec.fence("saltus::integrators: tokens and counters of a batch are read on the host");
  most = 0;
  Counters sum;
  for (std::size_t i = 0; i < host.extent(0); ++i) {
    Counters const& c = host(i);
    sum.jumps += c.jumps;
    sum.clamps += c.clamps;
    sum.overflows += c.overflows;
    sum.violations += c.violations;
    sum.evaluations += c.evaluations;
    most = std::max(most, c.evaluations);
    bool const first = c.bad_scores + c.broken_bounds > 0 &&
                       (sum.bad_scores + sum.broken_bounds == 0 || c.bad_step < sum.bad_step);
    sum.bad_scores += c.bad_scores;
    sum.broken_bounds += c.broken_bounds;
    if (first) {
      sum.bad_step = c.bad_step;
      sum.bad_row = c.bad_row;
      sum.bad_site = c.bad_site;
    }
  }
  if (sum.bad_scores + sum.broken_bounds > 0) {
    std::string const where =
        "first in step " + std::to_string(sum.bad_step) + ", sample " +
        std::to_string(first_sample + static_cast<std::uint64_t>(sum.bad_row)) + ", site " +
        std::to_string(sum.bad_site) + " (all counted from 0; " + std::to_string(sum.bad_scores + sum.broken_bounds) +
        " in this batch)";
    if (!process.model())
      throw NumericalError("the rates of generator '" + process.generator().name() + "' left the range of numbers, " +
                           where + "; take shorter steps");
    if (sum.bad_scores == 0)
      throw NumericalError("the model '" + process.model()->info().name +
                           "' gave scores whose rates exceed the bound of the method, " + where +
                           "; give the method a larger bound (bound=1.5), or let it cut them off (policy=clip)");
    throw NumericalError("the model '" + process.model()->info().name +
                         "' gave scores that are not finite or leave no target, " + where +
                         "; check the model's output there");
  }
  if (sum.overflows > 0) {
    throw NumericalError(
        std::to_string(sum.overflows) + " paths of generator '" + process.generator().name() +
        "' grew beyond 2e9 individuals or had more than 4.29e9 events between two starts; simulate a shorter time");
  }
  return sum;
}

void check_parts(Integrator const& integrator, Step const& step, std::size_t parts) {
  require(step.parts.size() >= parts, "'" + integrator.info().name + "' needs " + std::to_string(parts) +
                                          " parts of each step: make the StepTable with step_options(integrator, process)");
}

void check(Integrator const& integrator, Process const& process) {
  std::string const why = integrator.refuses(process);
  if (!why.empty()) throw UserError("the integrator '" + integrator.info().name + "' " + why);
}

}  // namespace saltus::detail
