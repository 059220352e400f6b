// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <saltus/learnable/distiller.hpp>

namespace saltus {

/// The information profile of a masked model that is not told the time (models/information_profile), estimated from exact
/// draws in groups, so that what follows from it has a standard error.
class ProfileDraws {
 public:
  static constexpr int groups = 8;

  /// `draws` in all, at least 2 a group. `head` names the run in saved states.
  ProfileDraws(DistillPlan const& plan, std::size_t draws, std::string head);
  /// Empty if the model has a profile that can be estimated; else why not.
  static std::string refuses(Process const& process);

  /// Draws all groups, or those that hooks.resume does not have (UserError unless it is of this run): as many evaluations of
  /// each draw as it has sites, twice. After each group, resumed ones too, `solve` gives the objective so far.
  void draw(ExecSpace const& exec, Process& process, DistillHooks const& hooks, std::function<double()> const& solve);

  /// [length]: mean over the groups so far. NumericalError that names the number of revealed sites where it is not finite.
  std::vector<double> mean() const;
  /// Standard error of `value(profile)` by its spread between groups.
  template <class Value>
  double error(Value const& value) const {
    double sum = 0, squares = 0;
    auto const n = static_cast<double>(profiles_.size());
    for (auto const& profile : profiles_) sum += value(profile);
    for (auto const& profile : profiles_) squares += (value(profile) - sum / n) * (value(profile) - sum / n);
    return std::sqrt(squares / (n - 1) / n);
  }

 private:
  std::vector<std::vector<double>> restored(std::string const& text) const;
  std::string saved() const;
  void add(ExecSpace const& exec, Process& process);

  DistillPlan const& plan_;
  std::size_t draws_;
  std::string head_;
  std::vector<std::vector<double>> profiles_;  // [groups][length]
};

}  // namespace saltus
