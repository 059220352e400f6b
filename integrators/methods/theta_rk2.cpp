// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>

#include "../theta_detail.hpp"

namespace saltus {
namespace {

// From the state at the start, rates (1 - 1/(2 theta)) R(x, t) + R(x*, rho)/(2 theta). A site that moved in the first stage has
// no rate of its own at x*, so its jump is under-counted, and the order is one unless repair=own keeps R(x, t) there (A§7.4).
class ThetaRk2 final : public detail::ThetaMethod {
 public:
  using ThetaMethod::ThetaMethod;

 protected:
  Factors factors(Step const&) const override { return {1 - 1 / (2 * theta()), 1 / (2 * theta())}; }
};

}  // namespace

std::unique_ptr<Integrator> make_theta_rk2(Parameters const& parameters) {
  parameters.allow({"theta", "rule", "repair"});
  std::string const repair = parameters.text("repair", "none");
  if (repair != "none" && repair != "own") throw UserError(unknown_name("repair of theta_rk2", repair, {"none", "own"}));
  return std::make_unique<ThetaRk2>(
      IntegratorInfo{.name = "theta_rk2",
                     .summary = "first order: midpoint-like rates from two stages; theta=0.5, rule=first or reject, repair=none or own",
                     .reference = "Ren et al. 2025, arXiv:2502.00234, theta-RK-2",
                     .weak_order = 1,
                     .needs = "a reverse process"},
      SecondStage{.restart = true, .repair = repair == "own"}, parameters);
}

}  // namespace saltus
