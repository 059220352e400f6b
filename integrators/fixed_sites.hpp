// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/integrators/sampler.hpp>

/// The template of a run in device memory; not installed.
namespace saltus::detail {

class FixedSites {
 public:
  /// For batches of up to `batch` rows; of a plan without a template: nothing is fixed, and nothing is kept. UserError for
  /// a template that does not fit the length, or holds what is no token of the model. Waits.
  FixedSites(ExecSpace const& exec, Process const& process, SamplePlan const& plan, std::size_t batch);

  /// State::frozen of the first `rows` rows.
  Frozen frozen(int rows) const;
  /// Puts the tokens of the template in place, where the start of a run has been drawn.
  void put(ExecSpace const& exec, State const& state) const;

 private:
  Frozen frozen_;
  Kokkos::View<token_t const*, MemorySpace> tokens_;
};

}  // namespace saltus::detail
