// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <memory>
#include <vector>

#include <saltus/ctmc/generator.hpp>
#include <saltus/ctmc/noise_schedule.hpp>
#include <saltus/ctmc/score_model.hpp>
#include <saltus/ctmc/time_grid.hpp>
#include <saltus/ctmc/types.hpp>

namespace saltus {

/// Where the rates come from: a forward process (closed forms) or a reverse process (scores of a model). Integrators see
/// a process only through its fields (visit_field) and its model's evaluations.
class Process {
 public:
  /// The forward process: rates sigma(t) Q, time runs upwards.
  static Process forward(Generator generator, NoiseSchedule noise);

  /// The reverse process (A§1): rates sigma(t) Q(y, x^l) s_t(x)_{l,y}, time runs down. Throws UserError unless model
  /// and generator agree on states and mask. `normalise_scores`: rows of a masked model that are scores are taken as
  /// unnormalised laws, so that the schedule alone gives the hazard (A§16 pitfall 4); rows of the x0 kinds always are.
  static Process reverse(Generator generator, NoiseSchedule noise, std::shared_ptr<ScoreModel> model,
                         bool normalise_scores = false);

  Generator const& generator() const { return generator_; }
  NoiseSchedule const& noise() const { return noise_; }
  bool is_reverse() const { return model_ != nullptr; }
  bool is_masked() const { return generator_.mask().has_value(); }
  bool normalised() const { return normalised_; }
  /// The model; null for a forward process.
  ScoreModel* model() const { return model_.get(); }

  /// Allocates for batches up to `extents` with `slots` evaluations alive at a time; before the step loop.
  void reserve(Extents extents, int slots);

  /// Evaluates the model at the state's tokens and times into `slot`; nothing on a forward process. `only_site` as in
  /// Query: when given, the caller counts the rows it asked for (Counters::evaluations); otherwise all rows count here.
  /// Asynchronous; allocates and fences nothing.
  Evaluation const& refresh(ExecSpace const& exec, State const& state, int slot,
                            Kokkos::View<int const*, MemorySpace> only_site = {});
  Evaluation const& evaluation(int slot) const { return evaluations_[static_cast<std::size_t>(slot)]; }

  /// Full evaluations since the last reset: number of network evaluations of each row by fixed-step methods.
  std::int64_t full_evaluations() const { return full_evaluations_; }
  void reset_counts() { full_evaluations_ = 0; }

 private:
  Process(Generator generator, NoiseSchedule noise, std::shared_ptr<ScoreModel> model, bool normalised)
      : generator_(std::move(generator)), noise_(noise), model_(std::move(model)), normalised_(normalised) {
    if (model_) time_ = model_->info().time;
  }

  Generator generator_;
  NoiseSchedule noise_;
  std::shared_ptr<ScoreModel> model_;
  bool normalised_;
  TimeInput time_ = TimeInput::none;
  Times time_input_;
  std::array<Evaluation, 2> evaluations_{};
  std::int64_t full_evaluations_ = 0;
};

/// The coefficients of the steps of a run, on the host once and on the device once, before the loop.
class StepTable {
 public:
  /// `phi` and `power`: learned factors a step, empty for 1. `forced_last`: a masked process reveals every remaining mask
  /// in the last step (A§7.3).
  StepTable(ExecSpace const& exec, NoiseSchedule const& noise, TimeGrid const& grid, std::vector<double> const& phi = {},
            std::vector<double> const& power = {}, bool forced_last = false);

  int steps() const { return static_cast<int>(host_.size()); }
  StepCoeff const& host(int k) const { return host_[static_cast<std::size_t>(k)]; }
  /// [1]: the coefficients of step k, shared by all rows.
  Kokkos::View<StepCoeff const*, MemorySpace> device(int k) const {
    return Kokkos::subview(device_, std::make_pair(k, k + 1));
  }

 private:
  std::vector<StepCoeff> host_;
  Kokkos::View<StepCoeff const*, MemorySpace> device_;
};

/// One step as an integrator gets it.
struct Step {
  int index;                                                 ///< names the step's random numbers
  Kokkos::View<StepCoeff const*, MemorySpace> coefficients;  ///< [batch], or [1] for all rows
};

}  // namespace saltus
