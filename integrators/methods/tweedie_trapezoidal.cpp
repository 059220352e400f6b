// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/two_stage.hpp>

namespace saltus {
namespace {

// Tweedie's probabilities of a reveal in both parts of the step; tokens of the second part from a1 p1 - a2 p0, so that pairs
// revealed in one part and pairs split between the parts average to their joint law (A§7.6).
class TweedieTrapezoidal final : public TwoStage {
 public:
  TweedieTrapezoidal(IntegratorInfo info, std::string const& first, SecondStage second, double split)
      : TwoStage(std::move(info), first, second), split_(split) {}
  std::string refuses(Process const& process) const override {
    return process.is_reverse() && process.is_masked() ? "" : "needs " + info().needs;
  }
  std::vector<Part> parts(NoiseSchedule const& noise, Interval step) const override {
    double const from = noise.lost(step.from), to = noise.lost(step.to);
    double const between = noise.time_at_lost(from + split_ * (to - from));
    return {{.interval = {step.from, between}}, {.interval = {between, step.to}, .forced = true}};
  }

 protected:
  Factors factors(Step const& step) const override {
    // The share of the reveals that the first part has, as its coefficients have it.
    double const first = step.parts[0].host->lost_from - step.parts[0].host->lost_to,
                 second = step.parts[1].host->lost_from - step.parts[1].host->lost_to;
    double const share = first / (first + second), a1 = 1 / (2 * share * (1 - share));
    return {1 - a1, a1};
  }

 private:
  double split_;
};

}  // namespace

std::unique_ptr<Integrator> make_tweedie_trapezoidal(Parameters const& parameters) {
  parameters.allow({"split", "counts"});
  double const split = parameters.number("split", 0.5);
  require(split > 0 && split < 1, parameters.where() + ": split must lie between 0 and 1, got " + to_text(split));
  std::string const counts = parameters.text("counts", "binomial");
  if (counts != "binomial" && counts != "fixed")
    throw UserError(unknown_name("counts of tweedie_trapezoidal", counts, {"binomial", "fixed"}));
  bool const fixed = counts == "fixed";
  return std::make_unique<TweedieTrapezoidal>(
      IntegratorInfo{.name = "tweedie_trapezoidal",
                     .summary = "first order, second where no weight is clamped (exact for two sites); split=0.5, counts=binomial or fixed",
                     .reference = "this library's reference, after Ren et al. 2025, arXiv:2502.00234",
                     .weak_order = 1,
                     .needs = "a masked reverse process"},
      fixed ? "fixed_count" : "tweedie", SecondStage{.rates = false, .fixed = fixed}, split);
}

}  // namespace saltus
