// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include <saltus/ctmc/alias.hpp>
#include <saltus/ctmc/generator.hpp>
#include <saltus/ctmc/noise_schedule.hpp>
#include <saltus/ctmc/score_model.hpp>
#include <saltus/ctmc/site_rates.hpp>
#include <saltus/ctmc/time_grid.hpp>
#include <saltus/ctmc/types.hpp>

namespace saltus {

/// Where the rates come from: a forward process (closed forms) or a reverse process (scores of a model). Integrators see
/// a process only through its fields (visit_field) and its model's evaluations.
class Process {
 public:
  /// The forward process: rates sigma(t) Q, time runs upwards. With `site_rates`, those of site l are multiplied by
  /// multiplier[category[l]]; runs then need exactly that length. Needs Kokkos for dense and sparse generators.
  static Process forward(Generator generator, NoiseSchedule noise, SiteRates site_rates = {});

  /// The reverse process (A§1): rates sigma(t) Q(y, x^l) s_t(x)_{l,y}, time runs down. Throws UserError unless model
  /// and generator agree on states and mask. `normalise_scores`: rows of a masked model that are scores are taken as
  /// unnormalised laws, so that the schedule alone gives the hazard (A§16 pitfall 4); rows of the x0 kinds always are.
  /// A dense generator must be reversible, of at most 512 states, with a model of an x0 kind: the others would need the
  /// inverse of an ill-conditioned kernel (A§7.2).
  static Process reverse(Generator generator, NoiseSchedule noise, std::shared_ptr<ScoreModel> model,
                         bool normalise_scores = false);

  Generator const& generator() const { return generator_; }
  NoiseSchedule const& noise() const { return noise_; }
  bool is_reverse() const { return model_ != nullptr; }
  bool is_masked() const { return generator_.mask().has_value(); }
  bool normalised() const { return normalised_; }
  /// The model; null for a forward process.
  ScoreModel* model() const { return model_.get(); }
  /// The jumps of a dense or sparse generator as a table to draw from; row x: the targets of state x.
  AliasTable const& jump_table() const { return jump_table_; }
  /// Forward: multipliers of the sites' rates; empty: 1.
  SiteRates const& site_rates() const { return site_rates_; }
  Kokkos::View<double const*, MemorySpace> const& site_scale() const { return site_scale_; }     ///< [length] or empty
  Kokkos::View<int const*, MemorySpace> const& site_category() const { return site_category_; }  ///< [length] or empty
  /// Reverse, dense: Q(y, x) in row x, that is, transposed; [states, states].
  Kokkos::View<double const**, Kokkos::LayoutRight, MemorySpace> const& transposed() const { return transposed_; }
  /// Reverse, dense: the stationary law, summed up; [states]. Empty otherwise.
  Kokkos::View<double const*, MemorySpace> const& prior() const { return prior_; }
  /// UserError unless sequences of this length fit the site rates and the model.
  void check_length(int length) const;

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
  SiteRates site_rates_;
  AliasTable jump_table_;
  Kokkos::View<double const*, MemorySpace> site_scale_;
  Kokkos::View<int const*, MemorySpace> site_category_;
  Kokkos::View<double const*, MemorySpace> prior_;
  Kokkos::View<double const**, Kokkos::LayoutRight, MemorySpace> transposed_;
  TimeInput time_ = TimeInput::none;
  Times time_input_;
  std::array<Evaluation, 2> evaluations_{};
  std::int64_t full_evaluations_ = 0;
};

/// What one step of a dense generator needs besides coefficients; empty for the closed forms.
struct StepMatrices {
  using Matrix = Kokkos::View<double const**, Kokkos::LayoutRight, MemorySpace>;
  /// Forward: transition probabilities of the step; row (category * states + x), the diagonal apart in `own`.
  AliasTable transitions;
  /// Reverse: P_{from|0}, P_{to|0} and, transposed, P_{from|to} (A§4.1, 7.2); [states, states].
  Matrix from, to, between_transposed;
};

/// An interval that an integrator evaluates or leaps over within a step; see Integrator::parts().
struct Part {
  Interval interval;
  double duration = 0;   ///< of the leap; 0: the length of the interval
  bool learned = true;   ///< the factors phi and power of the step apply
  bool forced = false;   ///< with StepOptions::forced_last, in the last step: every remaining mask is revealed in this part
  std::vector<Part> parts{};
};

/// One step, or a part of one, as an integrator gets it.
struct Step {
  int index;                                                 ///< names the step's random numbers
  Kokkos::View<StepCoeff const*, MemorySpace> coefficients;  ///< [batch], or [1] for all rows
  StepMatrices matrices{};
  int remaining = 1;                ///< steps that the run still has, this one included
  StepCoeff const* host = nullptr;  ///< the same coefficients on the host, if all rows share them
  std::span<Step const> parts{};    ///< what Integrator::parts() asked for, in its order

  /// A part under the index of the step. Random numbers of different parts must differ by role or stream.
  Step part(std::size_t i) const {
    Step p = parts[i];
    p.index = index;
    return p;
  }
};

/// What a StepTable is made for, besides process and grid.
struct StepOptions {
  std::vector<double> phi{};    ///< learned factor of each step; empty: 1
  std::vector<double> power{};  ///< learned power of the scores in each step; empty: 1
  bool forced_last = false;     ///< a masked process reveals every remaining mask in the last step (A§7.3)
  bool transitions = false;     ///< a forward process will be asked for transition probabilities
  std::function<std::vector<Part>(Interval)> parts{};  ///< of each step; empty: none
};

/// The steps of a run: coefficients and matrices on the host once and on the device once, before the loop.
class StepTable {
 public:
  /// Of a process with any generator. UserError for a grid beyond the end of the noise and factors that do not fit.
  StepTable(ExecSpace const& exec, Process const& process, TimeGrid const& grid, StepOptions const& options = {});
  /// The coefficients alone, which is all that absorbing and uniform generators need.
  StepTable(ExecSpace const& exec, NoiseSchedule const& noise, TimeGrid const& grid, StepOptions const& options = {});
  // Steps point into the table.
  StepTable(StepTable const&) = delete;
  StepTable& operator=(StepTable const&) = delete;
  StepTable(StepTable&&) = default;
  StepTable& operator=(StepTable&&) = default;

  int steps() const { return static_cast<int>(steps_.size()); }
  StepCoeff const& host(int k) const { return *steps_[static_cast<std::size_t>(k)].host; }
  /// [1]: the coefficients of step k, shared by all rows.
  Kokkos::View<StepCoeff const*, MemorySpace> device(int k) const { return step(k).coefficients; }
  /// Step k, whose random numbers are named `index`.
  Step step(int k, int index) const {
    Step step = steps_[static_cast<std::size_t>(k)];
    step.index = index;
    return step;
  }
  Step step(int k) const { return step(k, k); }

 private:
  StepTable(ExecSpace const& exec, Process const* process, NoiseSchedule const& noise, TimeGrid const& grid,
            StepOptions const& options);
  std::vector<StepCoeff> host_;           // of steps and parts
  std::vector<Step> steps_;
  std::list<std::vector<Step>> parts_;    // blocks that do not move
};

}  // namespace saltus
