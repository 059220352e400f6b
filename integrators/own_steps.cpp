// SPDX-License-Identifier: BSD-3-Clause
#include "own_steps.hpp"

#include <algorithm>
#include <utility>

namespace saltus::detail {
namespace {

struct LeftKernel {
  Tokens tokens;
  Frozen frozen;
  Times time;
  Kokkos::View<StepCoeff const*, MemorySpace> step;
  RowInts rows;
  CounterView counters;
  std::int64_t counters_a_row;
  token_t mask;  // -1: every token may move
  KOKKOS_FUNCTION void operator()(int b, int& count) const {
    int const length = static_cast<int>(tokens.extent(1));
    bool left = false;
    if (time(b) > step(step.extent(0) == 1 ? 0 : b).to) {
      for (int l = 0; l < length && !left; ++l)
        left = (mask < 0 || tokens(b, l) == mask) && (frozen.size() == 0 || frozen(b, l) == 0);
    }
    rows(b) = left ? Query::all_sites : Query::no_site;
    counters(b * counters_a_row).evaluations += left;
    count += left;
  }
};

struct OwnTimeKernel {
  Times time;
  Kokkos::View<StepCoeff const*, MemorySpace> step;
  RowCoeffs out;
  NoiseSchedule noise;
  KOKKOS_FUNCTION void operator()(int b) const {
    StepCoeff const& whole = step(step.extent(0) == 1 ? 0 : b);
    StepCoeff c = noise.coefficients({time(b), whole.to});
    c.phi = whole.phi;
    c.power = whole.power;
    c.forced = whole.forced;
    out(b) = c;
  }
};

Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>> rows_of(ExecSpace const& exec, State const& state) {
  return {exec, 0, state.batch()};
}

}  // namespace

void RowsLeft::reserve(Extents extents, std::size_t counters) {
  auto const batch = static_cast<std::size_t>(extents.batch);
  counters_a_row_ = static_cast<std::int64_t>(counters / std::max<std::size_t>(batch, 1));
  if (all_.extent(0) >= batch) return;
  all_ = RowInts(label_ + "::left", batch);
  count_ = Kokkos::View<int, MemorySpace>(label_ + "::rows");
  host_count_ = Kokkos::create_mirror_view(count_);
}

bool RowsLeft::find(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                    CounterView const& counters) {
  rows_ = Kokkos::subview(all_, std::make_pair(0, state.batch()));
  Kokkos::parallel_reduce(label_ + "::left", rows_of(exec, state),
                          LeftKernel{state.tokens, state.frozen, state.time, step.coefficients, rows_, counters,
                                     counters_a_row_, process.generator().mask().value_or(-1)},
                          Kokkos::Sum<int, MemorySpace>(count_));
  Kokkos::deep_copy(exec, host_count_, count_);
  exec.fence(label_ + ": the host needs to know whether a row is left");
  return host_count_() != 0;
}

void own_coefficients(ExecSpace const& exec, std::string const& label, State const& state, Step const& step,
                      NoiseSchedule const& noise, RowCoeffs const& out) {
  Kokkos::parallel_for(label, rows_of(exec, state), OwnTimeKernel{state.time, step.coefficients, out, noise});
}

}  // namespace saltus::detail
