// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include <Kokkos_Core.hpp>

/// Continuous-time Markov chains on sequences. Loop letters throughout: b sample (row of a batch), l site, y token,
/// k step. Time: forward time t in [0, T]; a forward process runs upwards, a reverse process runs from T down.
namespace saltus {

/// Where kernels run; fixed when the library is configured (Kokkos' default).
using ExecSpace = Kokkos::DefaultExecutionSpace;
using MemorySpace = ExecSpace::memory_space;
using HostSpace = Kokkos::HostSpace;

/// A token: an index into the alphabet, 0 <= token < states. Wide enough for the largest vocabularies (262,144).
using token_t = std::int32_t;

using Tokens = Kokkos::View<token_t**, Kokkos::LayoutRight, MemorySpace>;         ///< [batch, length]
using HostTokens = Kokkos::View<token_t**, Kokkos::LayoutRight, HostSpace>;       ///< [batch, length]
using Times = Kokkos::View<double*, MemorySpace>;                                 ///< [batch]
using Frozen = Kokkos::View<std::uint8_t**, Kokkos::LayoutRight, MemorySpace>;    ///< [batch, length]; 1: never moves

/// The state of a batch of samples.
struct State {
  Tokens tokens;                   ///< [batch, length]; in/out
  Times time;                      ///< [batch]; forward time of each sample; in/out
  Frozen frozen;                   ///< [batch, length] or empty (no site is frozen); in
  std::uint64_t first_sample = 0;  ///< global index of row 0; with the seed it names the row's random numbers

  KOKKOS_FUNCTION int batch() const { return static_cast<int>(tokens.extent(0)); }
  KOKKOS_FUNCTION int length() const { return static_cast<int>(tokens.extent(1)); }
};

/// Sizes that all memory of a run is reserved for.
struct Extents {
  int batch;   ///< rows
  int length;  ///< sites
};

/// From one time to another; a reverse process has to < from.
struct Interval {
  double from;
  double to;
};

/// Everything that a kernel knows of the noise during one step, in double, computed on the host (see
/// NoiseSchedule::coefficients). With sigma the noise rate, sigma_bar its integral and alpha = exp(-sigma_bar):
struct StepCoeff {
  double from, to;              ///< times
  double alpha_from, alpha_to;  ///< survival probabilities alpha at both ends
  double lost_from, lost_to;    ///< 1 - alpha at both ends
  double duration;              ///< |to - from|
  double rate;                  ///< sigma(from): multiplies the generator
  double retention;             ///< alpha(later time) / alpha(earlier time) = exp(-delta); 1 - retention is `lost`
  double lost;                  ///< 1 - retention without cancellation
  double growth;                ///< exp(delta) - 1 = lost / retention, delta = |sigma_bar(to) - sigma_bar(from)|
  double delta;                 ///< |sigma_bar(to) - sigma_bar(from)|
  double hazard;                ///< masked reverse rate at `from`: -alpha'/(1-alpha) (A§4.2)
  double reveal;                ///< (alpha_to - alpha_from)/(1 - alpha_from): P(a mask is revealed in a reverse step)
  double phi = 1;               ///< learned factor on the off-diagonal rates
  double power = 1;             ///< learned power of the score (1: as it is)
  bool forced = false;          ///< masked models: every remaining mask is revealed in this step, phi is not used
};

/// What the kernels count, one entry a work item, so that nothing is atomic and sums do not depend on threads.
struct Counters {
  std::int64_t jumps = 0;        ///< sites that changed
  std::int64_t clamps = 0;       ///< proposals whose jump probability exceeded 1, or whose weights were negative
  std::int64_t evaluations = 0;  ///< rows whose scores were asked for by an event-driven method (fixed steps: host)
  std::int64_t overflows = 0;    ///< sites whose count or number of events left its type
  std::int64_t violations = 0;   ///< events whose rate exceeded the bound that a method works with; cut off at it
  std::int64_t broken_bounds = 0; ///< those of them at which the method was told to stop (policy=error)
  std::int64_t bad_scores = 0;   ///< sites whose scores were NaN, infinite or gave no target
  std::int32_t bad_step = -1, bad_row = -1, bad_site = -1;  ///< the first of these two in this work item

  /// Counts a site whose scores are of no use.
  KOKKOS_INLINE_FUNCTION void note_bad_score(std::int64_t step, int b, int l) { note(bad_scores, step, b, l); }
  /// Counts an event that broke its bound where the method was told to stop.
  KOKKOS_INLINE_FUNCTION void note_broken_bound(std::int64_t step, int b, int l) { note(broken_bounds, step, b, l); }

 private:
  KOKKOS_INLINE_FUNCTION void note(std::int64_t& kind, std::int64_t step, int b, int l) {
    if (bad_scores + broken_bounds == 0) {
      bad_step = static_cast<std::int32_t>(step);
      bad_row = b;
      bad_site = l;
    }
    ++kind;
  }
};
using CounterView = Kokkos::View<Counters*, MemorySpace>;

}  // namespace saltus
