// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/blocks.hpp>

#include <algorithm>
#include <cmath>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/random.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/saved_numbers.hpp>
#include <saltus/models/information_profile.hpp>

namespace saltus {
namespace {

constexpr int groups = 8;  // of draws, for standard errors

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
    if (!process.is_reverse() || !process.is_masked() || process.model()->info().time != TimeInput::none)
      return "blocks need a masked model that is not told the time; take lsd_plus";
    if (plan.end != 0)
      return "blocks end at t = 0, where all masks are revealed, not at " + to_text(plan.end) + "; leave the end away";
    if (plan.steps < 1 || plan.steps > plan.length) {
      return "blocks of at least one site need between 1 and " + std::to_string(plan.length) +
             " steps (the length), got " + std::to_string(plan.steps);
    }
    if (plan.trajectories < 2 * groups)
      return "blocks need at least " + std::to_string(2 * groups) + " trajectories, got " +
             std::to_string(plan.trajectories);
    return refused_base(plan.base);
  }

  Schedule distill(ExecSpace const& exec, Process& process, DistillPlan const& plan,
                   DistillHooks const& hooks) const override {
    std::string const why = refuses(process, plan);
    require(why.empty(), why);
    auto const L = static_cast<std::size_t>(plan.length);
    auto const first_hitting = make_integrator("first_hitting", process);
    std::vector<std::vector<double>> profiles;
    std::string const head = "blocks " + std::to_string(plan.length) + " " + std::to_string(plan.trajectories) + " " +
                             std::to_string(plan.seed);
    if (!hooks.resume.empty()) profiles = restored(hooks.resume, head, L);
    std::vector<double> profile(L);
    Schedule schedule;
    auto const solve = [&] {
      for (std::size_t i = 0; i < L; ++i) {
        double sum = 0;
        for (auto const& one : profiles) sum += one[i];
        profile[i] = sum / static_cast<double>(profiles.size());
        if (!std::isfinite(profile[i]))
          throw NumericalError("the entropies of the model with " + std::to_string(i) + " of " + std::to_string(L) +
                               " sites revealed are not finite");
      }
      schedule = block_schedule(process.noise(), profile, plan.steps, plan.base);
    };
    if (!profiles.empty()) solve();
    // Groups of draws of their own, alike but for the last, which takes what is left.
    std::size_t const each = plan.trajectories / groups;
    for (auto g = profiles.size(); g < groups; ++g) {
      SamplePlan draws = make_plan(process, *first_hitting, 1, plan.length);
      draws.seed = plan.seed;
      draws.first_sample = g * each;
      draws.samples = g + 1 < groups ? each : plan.trajectories - g * each;
      draws.batch = plan.batch;
      HostTokens const data = sample(exec, process, *first_hitting, draws);
      profiles.push_back(sampled_profile(exec, *process.model(), data,
                                         StreamKey{plan.seed, 0}.derived(static_cast<std::uint32_t>(g)).seed)
                             .mean);
      solve();
      if (hooks.progress) hooks.progress(static_cast<double>(g + 1) / groups, schedule.objective.back());
      if (hooks.save) hooks.save(saved(profiles, head));
    }
    auto const equal = equal_blocks(plan.length, plan.steps), best = sizes_of(schedule, plan.length);
    schedule.before->error = error_of(profiles, equal, plan.base);
    schedule.after->error = error_of(profiles, best, plan.base);
    schedule.trajectories = plan.trajectories;
    return schedule;
  }

 private:
  // By the spread between groups.
  static double error_of(std::vector<std::vector<double>> const& profiles, std::vector<int> const& blocks,
                         std::string const& base) {
    double sum = 0, squares = 0;
    for (auto const& profile : profiles) sum += cost_of(profile, blocks, base);
    for (auto const& profile : profiles) squares += std::pow(cost_of(profile, blocks, base) - sum / groups, 2);
    return std::sqrt(squares / (groups - 1) / groups);
  }

  static std::string saved(std::vector<std::vector<double>> const& profiles, std::string const& head) {
    std::string text = head;
    for (auto const& profile : profiles) save_numbers(text, profile);
    return text;
  }
  static std::vector<std::vector<double>> restored(std::string const& text, std::string const& head,
                                                   std::size_t length) {
    std::vector<double> const all = restore_numbers(text, head, "blocks");
    require_whole(all.size() % length == 0 && all.size() <= groups * length);
    std::vector<std::vector<double>> profiles;
    for (auto at = all.begin(); at != all.end(); at += static_cast<std::ptrdiff_t>(length))
      profiles.emplace_back(at, at + static_cast<std::ptrdiff_t>(length));
    return profiles;
  }

  DistillerInfo info_{.name = "blocks",
                      .summary = "numbers of sites revealed together: least path KL by the model's information profile",
                      .reference = "arXiv:2510.25544; arXiv:2511.04647",
                      .bases = {"fixed_count", "tweedie"}};
};

}  // namespace

std::unique_ptr<Distiller> make_blocks(Parameters const& parameters) { return std::make_unique<Blocks>(parameters); }

}  // namespace saltus
