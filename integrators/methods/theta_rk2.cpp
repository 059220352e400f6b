// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/two_stage.hpp>

namespace saltus {
namespace {

// From the state at the start, rates (1 - 1/(2 theta)) R(x, t) + R(x*, rho)/(2 theta). A site that moved in the first stage has
// no rate of its own at x*, so its jump is under-counted, and the order is one unless repair=own keeps R(x, t) there (A§7.4).
class ThetaRk2 final : public TwoStage {
 public:
  ThetaRk2(IntegratorInfo info, std::string const& first, SecondStage second, double theta)
      : TwoStage(std::move(info), first, second), theta_(theta) {}
  std::string refuses(Process const& process) const override {
    return process.is_reverse() ? "" : "needs " + info().needs;
  }
  std::vector<Part> parts(NoiseSchedule const&, Interval step) const override {
    double const between = step.from + theta_ * (step.to - step.from);
    return {{.interval = {step.from, between}}, {.interval = {between, step.to}, .forced = true}};
  }

 protected:
  Factors factors(Step const&) const override { return {1 - 1 / (2 * theta_), 1 / (2 * theta_)}; }

 private:
  double theta_;
};

}  // namespace

std::unique_ptr<Integrator> make_theta_rk2(Parameters const& parameters) {
  parameters.allow({"theta", "rule", "repair"});
  double const theta = parameters.number("theta", 0.5);
  require(theta > 0 && theta < 1, parameters.where() + ": theta must lie between 0 and 1, got " + to_text(theta));
  std::string const rule = parameters.text("rule", "first"), repair = parameters.text("repair", "none");
  if (rule != "first" && rule != "reject")
    throw UserError(unknown_name("rule of theta_rk2", rule, {"first", "reject"}));
  if (repair != "none" && repair != "own") throw UserError(unknown_name("repair of theta_rk2", repair, {"none", "own"}));
  return std::make_unique<ThetaRk2>(
      IntegratorInfo{.name = "theta_rk2",
                     .summary = "first order: midpoint-like rates from two stages; theta=0.5, rule=first or reject, repair=none or own",
                     .reference = "Ren et al. 2025, arXiv:2502.00234, theta-RK-2",
                     .weak_order = 1,
                     .needs = "a reverse process"},
      rule == "first" ? "exponential" : "tau_leaping:rule=reject",
      SecondStage{.restart = true, .repair = repair == "own", .reject = rule == "reject"}, theta);
}

}  // namespace saltus
