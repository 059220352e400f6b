// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/parameters.hpp>
#include <saltus/integrators/two_stage.hpp>

namespace saltus::detail {

/// What the theta methods share (A§7.4-7.5): rates, of any reverse process, with the second evaluation after the share theta of
/// the step. Parameters theta=0.5 and rule=first or reject. Not installed.
class ThetaMethod : public TwoStage {
 public:
  ThetaMethod(IntegratorInfo info, SecondStage second, Parameters const& parameters)
      : ThetaMethod(std::move(info), second, parameters, rejects(parameters)) {}
  std::string refuses(Process const& process) const override {
    return process.is_reverse() ? "" : "needs " + info().needs;
  }
  std::vector<Part> parts(NoiseSchedule const&, Interval step) const override {
    double const between = step.from + theta_ * (step.to - step.from);
    return {{.interval = {step.from, between}}, {.interval = {between, step.to}, .forced = true}};
  }

 protected:
  double theta() const { return theta_; }

 private:
  ThetaMethod(IntegratorInfo info, SecondStage second, Parameters const& parameters, bool reject)
      : TwoStage(std::move(info), reject ? "tau_leaping:rule=reject" : "exponential", with(second, reject)),
        theta_(parameters.number("theta", 0.5)) {
    require(theta_ > 0 && theta_ < 1, parameters.where() + ": theta must lie between 0 and 1, got " + to_text(theta_));
  }
  static bool rejects(Parameters const& parameters) {
    std::string const rule = parameters.text("rule", "first");
    if (rule != "first" && rule != "reject")
      throw UserError(unknown_name("rule of " + parameters.name(), rule, {"first", "reject"}));
    return rule == "reject";
  }
  static SecondStage with(SecondStage second, bool reject) {
    second.reject = reject;
    return second;
  }

  double theta_;
};

}  // namespace saltus::detail
