// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>

#include <saltus/integrators/sampler.hpp>
#include <saltus/learnable/schedule.hpp>

/// How a schedule becomes a run: an integrator that does in each step what the schedule says, and the plan of the steps.
namespace saltus {

/// What factors on the rates of a row may depend on.
struct RowFeatures {
  double share = 0;    ///< of its sites that are masked and may move; 0 without a mask
  double entropy = 0;  ///< nats: of the law of the next token, mean over the sites that may move
};
using FeatureView = Kokkos::View<RowFeatures*, MemorySpace>;                                  ///< [batch]
using SiteEntropies = Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace>;               ///< [batch, length]

/// The features of every row of the state from the evaluation that the process holds in `slot`. `work` is overwritten;
/// where it is empty no row of scores is read, and entropies are 0. The law of the next token is the row of scores (to the
/// power of the step) over the tokens other than its own, normalised. Asynchronous on exec, allocates nothing; results do
/// not depend on batch or threads.
void state_features(ExecSpace const& exec, Process const& process, State const& state, Step const& step, int slot,
                    SiteEntropies const& work, FeatureView const& out);

/// The bins of the features, on the device.
struct StateBins {
  Kokkos::View<double const*, MemorySpace> shares, entropies;  ///< inner edges, increasing

  StateBins() = default;
  StateBins(ExecSpace const& exec, StateFactors const& factors);

  int count() const { return static_cast<int>((shares.extent(0) + 1) * (entropies.extent(0) + 1)); }
  /// The place of a row's factor among those of a step: (bin of the share) (entropies + 1) + (bin of the entropy). A value
  /// on an edge lies in the bin above it.
  KOKKOS_INLINE_FUNCTION int operator()(RowFeatures const& f) const {
    return bin(shares, f.share) * (static_cast<int>(entropies.extent(0)) + 1) + bin(entropies, f.entropy);
  }

 private:
  KOKKOS_INLINE_FUNCTION static int bin(Kokkos::View<double const*, MemorySpace> const& edges, double x) {
    int i = 0;
    while (i < static_cast<int>(edges.extent(0)) && x >= edges(i)) ++i;
    return i;
  }
};

/// The steps of a schedule whose factors depend on the state, with a factor for each row.
class StateSteps {
 public:
  explicit StateSteps(Schedule const& schedule);

  /// Room for batches of this size.
  void allocate(int batch, int length);
  /// `step` of the schedule with the factors of the rows, by the evaluation that the process holds in slot 0; a forced step
  /// keeps its own. Its coefficients are valid until the next call. Asynchronous on exec, allocates nothing.
  Step operator()(ExecSpace const& exec, Process const& process, State const& state, Step const& step) const;

  int batch() const { return static_cast<int>(rows_.extent(0)); }

 private:
  StateBins bins_;
  Kokkos::View<double const*, MemorySpace> phi_;  // [steps x bins]
  SiteEntropies entropies_;                       // empty if no factor depends on them
  FeatureView features_;
  Kokkos::View<StepCoeff*, MemorySpace> rows_;
};

/// What the steps of a schedule are made by. Serves the plan of make_plan() alone: steps are known by their index, and by
/// the time that they start at. Factors that depend on the state cost no evaluation; they replace `phi` but in a step that
/// reveals every mask. UserError if a base cannot advance the process, takes no factors, or, with factors of the state, is
/// not of one stage with a law by site.
std::unique_ptr<Integrator> make_scheduled(Schedule const& schedule, Process const& process);

/// Times, factors and end of the schedule; samples, seed and batch are the caller's.
SamplePlan make_plan(Schedule const& schedule, Process const& process, int length);

/// Network evaluations of a sample: the sum over the steps of what their integrators take.
int evaluations(Schedule const& schedule);

}  // namespace saltus
