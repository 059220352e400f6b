// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/blocks.hpp>

#include <algorithm>
#include <cmath>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/profile_draws.hpp>
#include <saltus/models/information_profile.hpp>

namespace saltus {
namespace {

std::vector<double> reveals_of(std::vector<int> const& blocks) {
  std::vector<double> reveal;
  int left = 0;
  for (int const n : blocks) left += n;
  for (int const n : blocks) {
    reveal.push_back(static_cast<double>(n) / left);
    left -= n;
  }
  return reveal;
}

bool counts_fixed(std::string const& base) { return base.starts_with("fixed_count"); }

double cost_of(std::span<double const> profile, std::vector<int> const& blocks, std::string const& base) {
  return counts_fixed(base) ? parallel_cost(profile, blocks) : binomial_cost(profile, reveals_of(blocks));
}

std::string refused_base(std::string const& base) {
  auto const parameters = Parameters::parse("base", base);
  bool const counted = parameters.name() == "fixed_count" && parameters.text("counts", "share") == "share";
  return counted || parameters.name() == "tweedie"
             ? ""
             : "blocks are for the bases fixed_count (counts=share) and tweedie, not for '" + base +
                   "'; take one of them, or lsd_plus";
}

}  // namespace

Schedule block_schedule(NoiseSchedule const& noise, std::span<double const> profile, int steps,
                        std::string const& base) {
  std::string const why = refused_base(base);
  require(why.empty(), why);
  std::vector<int> const blocks = optimal_blocks(profile, steps),
                         equal = equal_blocks(static_cast<int>(profile.size()), steps);
  TimeGrid const grid = block_grid(noise, noise.end(), blocks);
  Schedule schedule;
  schedule.base = base;
  schedule.times.assign(grid.points().begin(), grid.points().end());
  schedule.forced_last = true;
  schedule.reveal = reveals_of(blocks);
  double const before = cost_of(profile, equal, base), after = cost_of(profile, blocks, base);
  schedule.before = PathKl{.value = before, .factorisation = before};
  schedule.after = PathKl{.value = after, .factorisation = after};
  schedule.objective = {after};
  schedule.note = "sites a step:";
  for (int const n : blocks) schedule.note += " " + std::to_string(n);
  return schedule;
}

namespace {

std::vector<int> sizes_of(Schedule const& schedule, int length) {
  std::vector<int> sizes;
  int left = length;
  for (double const share : schedule.reveal) {
    sizes.push_back(static_cast<int>(std::lround(share * left)));
    left -= sizes.back();
  }
  return sizes;
}

class Blocks final : public Distiller {
 public:
  explicit Blocks(Parameters const& parameters) { parameters.allow({}); }
  DistillerInfo const& info() const override { return info_; }

  std::string refuses(Process const& process, DistillPlan const& plan) const override {
    if (std::string const why = ProfileDraws::refuses(process); !why.empty()) return "blocks " + why + "; take lsd_plus";
    if (plan.end != 0)
      return "blocks end at t = 0, where all masks are revealed, not at " + to_text(plan.end) + "; leave the end away";
    if (plan.steps < 1 || plan.steps > plan.length) {
      return "blocks of at least one site need between 1 and " + std::to_string(plan.length) +
             " steps (the length), got " + std::to_string(plan.steps);
    }
    if (plan.trajectories < 2 * ProfileDraws::groups)
      return "blocks need at least " + std::to_string(2 * ProfileDraws::groups) + " trajectories, got " +
             std::to_string(plan.trajectories);
    return refused_base(plan.base);
  }

  Schedule distill(ExecSpace const& exec, Process& process, DistillPlan const& plan,
                   DistillHooks const& hooks) const override {
    std::string const why = refuses(process, plan);
    require(why.empty(), why);
    ProfileDraws draws(plan, plan.trajectories,
                       "blocks " + std::to_string(plan.length) + " " + std::to_string(plan.trajectories) + " " +
                           std::to_string(plan.seed));
    Schedule schedule;
    draws.draw(exec, process, hooks, [&] {
      schedule = block_schedule(process.noise(), draws.mean(), plan.steps, plan.base);
      return schedule.objective.back();
    });
    auto const equal = equal_blocks(plan.length, plan.steps), best = sizes_of(schedule, plan.length);
    schedule.before->error = draws.error([&](auto const& profile) { return cost_of(profile, equal, plan.base); });
    schedule.after->error = draws.error([&](auto const& profile) { return cost_of(profile, best, plan.base); });
    schedule.trajectories = plan.trajectories;
    return schedule;
  }

 private:
  DistillerInfo info_{.name = "blocks",
                      .summary = "numbers of sites revealed together: least path KL by the model's information profile",
                      .reference = "arXiv:2510.25544; arXiv:2511.04647",
                      .bases = {"fixed_count", "tweedie"}};
};

}  // namespace

std::unique_ptr<Distiller> make_blocks(Parameters const& parameters) { return std::make_unique<Blocks>(parameters); }

}  // namespace saltus
