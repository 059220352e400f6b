// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include <saltus/ctmc/noise_schedule.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/models/information_profile.hpp>

namespace saltus::reference {

inline Schedule learned(Process& process, DistillPlan const& plan, std::string const& method, DistillHooks const& hooks = {}) {
  return make_distiller(method)->distill(ExecSpace(), process, plan, hooks);
}

/// Exact path KL of a tweedie run on these times (A§9.3).
inline double exact_cost(std::vector<double> const& profile, NoiseSchedule const& noise, std::vector<double> const& times) {
  std::vector<double> reveal;
  for (std::size_t k = 0; k + 1 < times.size(); ++k)
    reveal.push_back(noise.coefficients({times[k], times[k + 1]}).reveal);
  return binomial_cost(profile, reveal);
}

}  // namespace saltus::reference
