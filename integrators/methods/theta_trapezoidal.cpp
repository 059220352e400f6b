// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>

#include "../theta_detail.hpp"

namespace saltus {
namespace {

// On from the state between, at rates [a1 R(x*, rho) - a2 R(x, t)]_+ (A§7.5).
class ThetaTrapezoidal final : public detail::ThetaMethod {
 public:
  using ThetaMethod::ThetaMethod;

 protected:
  Factors factors(Step const&) const override {
    double const rest = 1 - theta(), product = 2 * theta() * rest;
    return {-(rest * rest + theta() * theta()) / product, 1 / product};
  }
};

}  // namespace

std::unique_ptr<Integrator> make_theta_trapezoidal(Parameters const& parameters) {
  parameters.allow({"theta", "rule"});
  return std::make_unique<ThetaTrapezoidal>(
      IntegratorInfo{.name = "theta_trapezoidal",
                     .summary = "first order, second away from t = 0 where no weight is clamped; theta=0.5, rule=first or reject",
                     .reference = "Ren et al. 2025, arXiv:2502.00234, theta-trapezoidal",
                     .weak_order = 1,
                     .needs = "a reverse process"},
      SecondStage{}, parameters);
}

}  // namespace saltus
