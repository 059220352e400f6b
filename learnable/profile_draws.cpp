// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/profile_draws.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/random.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/learnable/saved_numbers.hpp>
#include <saltus/models/information_profile.hpp>

namespace saltus {

ProfileDraws::ProfileDraws(DistillPlan const& plan, std::size_t draws, std::string head)
    : plan_(plan), draws_(draws), head_(std::move(head)) {}

std::string ProfileDraws::refuses(Process const& process) {
  return process.is_reverse() && process.is_masked() && process.model()->info().time == TimeInput::none
             ? ""
             : "need a masked model that is not told the time";
}

void ProfileDraws::draw(ExecSpace const& exec, Process& process, DistillHooks const& hooks, std::function<double()> const& solve) {
  if (!hooks.resume.empty()) {
    auto kept = restored(hooks.resume);
    for (auto& profile : kept) {  // as if they had just been drawn
      profiles_.push_back(std::move(profile));
      solve();
    }
  }
  while (profiles_.size() < groups) {
    add(exec, process);
    double const objective = solve();
    if (hooks.progress) hooks.progress(static_cast<double>(profiles_.size()) / groups, objective);
    if (hooks.save) hooks.save(saved());
  }
}

std::vector<std::vector<double>> ProfileDraws::restored(std::string const& text) const {
  auto const length = static_cast<std::size_t>(plan_.length);
  std::vector<double> const all = restore_numbers(text, head_, head_.substr(0, head_.find(' ')));
  require_whole(all.size() % length == 0 && all.size() <= groups * length);
  std::vector<std::vector<double>> profiles;
  for (auto at = all.begin(); at != all.end(); at += static_cast<std::ptrdiff_t>(length))
    profiles.emplace_back(at, at + static_cast<std::ptrdiff_t>(length));
  return profiles;
}

std::string ProfileDraws::saved() const {
  std::string text = head_;
  for (auto const& profile : profiles_) save_numbers(text, profile);
  return text;
}

void ProfileDraws::add(ExecSpace const& exec, Process& process) {
  auto const first_hitting = make_integrator("first_hitting", process);
  // Groups alike but for the last, which takes what is left.
  std::size_t const each = draws_ / groups, g = profiles_.size();
  SamplePlan draws = make_plan(process, *first_hitting, 1, plan_.length);
  draws.seed = plan_.seed;
  draws.first_sample = g * each;
  draws.samples = g + 1 < groups ? each : draws_ - g * each;
  draws.batch = plan_.batch;
  HostTokens const data = sample(exec, process, *first_hitting, draws);
  profiles_.push_back(
      sampled_profile(exec, *process.model(), data, StreamKey{plan_.seed, 0}.derived(static_cast<std::uint32_t>(g)).seed).mean);
}

std::vector<double> ProfileDraws::mean() const {
  std::vector<double> profile(static_cast<std::size_t>(plan_.length), 0.0);
  for (std::size_t i = 0; i < profile.size(); ++i) {
    for (auto const& one : profiles_) profile[i] += one[i];
    profile[i] /= static_cast<double>(profiles_.size());
    if (!std::isfinite(profile[i]))
      throw NumericalError("the entropies of the model with " + std::to_string(i) + " of " + std::to_string(profile.size()) +
                           " sites revealed are not finite");
  }
  return profile;
}

}  // namespace saltus
