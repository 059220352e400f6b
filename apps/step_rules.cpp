// SPDX-License-Identifier: BSD-3-Clause
#include "step_rules.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/models/information_profile.hpp>

namespace saltus::app {
namespace {

std::vector<std::string> const named_grids{"blocks", "cosine", "noise", "uniform"},
    endings{"fold", "none", "sample", "argmax"};

constexpr std::size_t profile_draws = 1024;
constexpr std::uint64_t profile_seed = 0x9807'11E5;  // the grid belongs to the model, not to the seed of a run

}  // namespace

StepRules::StepRules(Options const& options, Problem const& problem)
    : grid_(options.text("grid")),
      noise_(problem.noise),
      masked_(problem.masked()),
      folds_(masked_),
      length_(problem.length()) {
  if (options.has("last")) {
    std::string const& last = options.text("last");
    if (std::ranges::find(endings, last) == endings.end()) throw UserError(unknown_name("last step", last, endings));
    require(last != "fold" || masked_,
            "--last fold reveals the remaining masks in the last step, and " + problem.generator.name() +
                " noise has no mask: take none, sample or argmax");
    folds_ = last == "fold";
    if (last == "sample") last_ = LastStep::sample;
    if (last == "argmax") last_ = LastStep::argmax;
  }
  end_ = folds_ ? 0 : default_end_time;
  if (blocks()) {
    require(folds_,
            "--grid blocks reveals a masked process block by block to the last mask: it needs a mask and --last fold");
    if (problem.decoration.text.empty() && problem.model.law && has_information_profile(*problem.model.law))
      profile_ = information_profile(*problem.model.law);
  } else if (std::ranges::find(named_grids, grid_) == named_grids.end()) {
    if (!std::filesystem::exists(grid_))
      throw UserError(unknown_name("grid", grid_, named_grids) + " A file with a time a line would do too.");
    file_ = make_grid(grid_, noise_, noise_.end(), end_, 1);
  }
}

std::string StepRules::estimate_profile(Process process) {
  if (!blocks() || !profile_.empty()) return "";
  auto const exact = make_integrator("first_hitting", process);
  SamplePlan draws = make_plan(process, *exact, 1, length_);
  draws.samples = profile_draws;
  draws.seed = ~profile_seed;
  SampledProfile const estimate =
      sampled_profile(ExecSpace(), *process.model(), sample(ExecSpace(), process, *exact, draws), profile_seed);
  profile_ = estimate.mean;
  char note[160];
  std::snprintf(note, sizeof note,
                "--grid blocks goes by an information profile estimated from %zu sequences of the model: %.3g nats a "
                "site at first, standard errors up to %.2g",
                profile_draws, profile_.front(), std::ranges::max(estimate.error));
  return note;
}

TimeGrid StepRules::grid(int steps) const {
  if (file_) return *file_;
  if (!blocks()) return make_grid(grid_, noise_, noise_.end(), end_, steps);
  require(steps <= length_, "--grid blocks needs a site for each step: at most " + std::to_string(length_) +
                                " steps, got " + std::to_string(steps));
  return block_grid(noise_, noise_.end(), optimal_blocks(profile_, steps));
}

SamplePlan StepRules::plan(Process const& process, Integrator const& integrator, int steps) const {
  SamplePlan plan = make_plan(process, integrator, 1, length_, end_);
  bool const one = integrator.info().evaluations == 0;
  plan.grid = one ? TimeGrid::uniform(noise_.end(), end_, 1) : grid(steps);
  plan.forced_last = folds_;
  plan.last = last_;
  return plan;
}

}  // namespace saltus::app
