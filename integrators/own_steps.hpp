// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include <saltus/integrators/integrator.hpp>

/// What methods share whose rows take steps of their own; not installed.
namespace saltus::detail {

using RowInts = Kokkos::View<int*, MemorySpace>;
using RowCoeffs = Kokkos::View<StepCoeff*, MemorySpace>;

/// The rows of a batch that are not done: which of them, and whether there are any.
class RowsLeft {
 public:
  explicit RowsLeft(std::string label) : label_(std::move(label)) {}
  /// For batches up to `extents`, where the method has `counters` counters in all.
  void reserve(Extents extents, std::size_t counters);
  /// Finds the rows that have not reached the end of the step and have a site that may move, counts an evaluation of each,
  /// and waits to know whether there are any.
  bool find(ExecSpace const& exec, Process const& process, State const& state, Step const& step, CounterView const& counters);
  /// [batch]: those that find() has found, as Query::only_site says it.
  RowInts const& rows() const { return rows_; }

 private:
  std::string label_;
  std::int64_t counters_a_row_ = 1;
  RowInts all_, rows_;
  Kokkos::View<int, MemorySpace> count_;
  Kokkos::View<int, MemorySpace>::HostMirror host_count_;
};

/// The coefficients of each row from its own time to the end of the step, with what the step has learned and whether it is
/// forced.
void own_coefficients(ExecSpace const& exec, std::string const& label, State const& state, Step const& step,
                      NoiseSchedule const& noise, RowCoeffs const& out);

}  // namespace saltus::detail
