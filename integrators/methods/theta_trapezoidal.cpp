// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/two_stage.hpp>

namespace saltus {
namespace {

class ThetaTrapezoidal final : public TwoStage {
 public:
  ThetaTrapezoidal(IntegratorInfo info, std::string const& first, SecondStage second, double theta)
      : TwoStage(std::move(info), first, second), theta_(theta) {}
  std::string refuses(Process const& process) const override {
    return process.is_reverse() ? "" : "needs " + info().needs;
  }
  std::vector<Part> parts(NoiseSchedule const&, Interval step) const override {
    double const between = step.from + theta_ * (step.to - step.from);
    return {{.interval = {step.from, between}}, {.interval = {between, step.to}, .forced = true}};
  }

 protected:
  Factors factors(Step const&) const override {
    double const product = 2 * theta_ * (1 - theta_);
    return {-((1 - theta_) * (1 - theta_) + theta_ * theta_) / product, 1 / product};
  }

 private:
  double theta_;
};

}  // namespace

std::unique_ptr<Integrator> make_theta_trapezoidal(Parameters const& parameters) {
  parameters.allow({"theta", "rule"});
  double const theta = parameters.number("theta", 0.5);
  require(theta > 0 && theta < 1, parameters.where() + ": theta must lie between 0 and 1, got " + to_text(theta));
  std::string const rule = parameters.text("rule", "first");
  if (rule != "first" && rule != "reject")
    throw UserError(unknown_name("rule of theta_trapezoidal", rule, {"first", "reject"}));
  return std::make_unique<ThetaTrapezoidal>(
      IntegratorInfo{.name = "theta_trapezoidal",
                     .summary = "first order, second away from t = 0 where no weight is clamped; theta=0.5, rule=first or reject",
                     .reference = "Ren et al. 2025, arXiv:2502.00234, theta-trapezoidal",
                     .weak_order = 1,
                     .needs = "a reverse process"},
      rule == "first" ? "exponential" : "tau_leaping:rule=reject", SecondStage{.reject = rule == "reject"}, theta);
}

}  // namespace saltus
