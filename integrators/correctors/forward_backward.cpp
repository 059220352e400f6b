// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/corrector.hpp>
#include <saltus/integrators/site_law.hpp>

#include "../run_detail.hpp"

namespace saltus {
namespace {

// First jump of the corrector's rates Q + R, frozen.
struct ForwardBackwardLaw {
  static constexpr bool corrector = true;
  template <class Field>
  KOKKOS_FUNCTION static Weights weights(Field const& field, StepCoeff const& c, RowSums const& sums) {
    return field.rates(c, sums);
  }
  KOKKOS_FUNCTION static double jump(StepCoeff const& c, double leave, double, bool&) {
    return -Kokkos::expm1(-c.duration * leave);
  }
};

// After the predictor, leaps of the chain whose rates are Q + R, which leaves the law at that time as it is.
class ForwardBackward final : public Corrected {
 public:
  ForwardBackward(std::unique_ptr<Integrator> predictor, int leaps, double scale, double entry)
      : Corrected({.name = "forward_backward",
                   .summary = "leaps of rates Q + R after each step; steps=1, scale=1 (of the step), entry=1 (of T)",
                   .reference = "Campbell et al. 2022 (tauLDR), arXiv:2205.14987, predictor-corrector",
                   .evaluations = leaps,
                   .needs = "a reverse process"},
                  std::move(predictor)),
        leaps_(leaps),
        scale_(scale),
        entry_(entry) {
    info_.has_site_law = this->predictor().info().has_site_law;
  }

  std::string refuses(Process const& process) const override {
    return process.is_reverse() ? Corrected::refuses(process) : "needs a reverse process";
  }
  std::vector<Part> parts(NoiseSchedule const& noise, Interval step) const override {
    std::vector<Part> parts{predictor_part(noise, step)};
    // Without noise left there is nothing to correct, and rates have no bound.
    if (step.to > 0 && step.to <= entry_ * noise.end()) {
      parts.push_back({.interval = {step.to, step.to}, .duration = scale_ * (step.from - step.to), .learned = false});
    }
    return parts;
  }
  std::size_t reserve(Process const& process, Extents extents) override {
    return std::max(Corrected::reserve(process, extents), leap_.reserve(process, extents));
  }
  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    detail::check_parts(*this, step, 1);
    predictor().advance(exec, process, state, step.part(0), key, counters);
    for (int i = 0; step.parts.size() > 1 && i < leaps_; ++i) {
      StreamKey const own = stream(key, step, 16 + static_cast<std::uint32_t>(i));
      leap_.advance(exec, process, state, step.part(1), own, counters);
    }
  }
  std::vector<Kernel> kernels(Step const& step) const override {
    auto all = predictor().kernels(step.part(0));
    for (int i = 0; !all.empty() && step.parts.size() > 1 && i < leaps_; ++i) all.push_back({&leap_, step.part(1)});
    return all;
  }

 private:
  int leaps_;
  double scale_, entry_;
  IndependentSites<ForwardBackwardLaw> leap_{IntegratorInfo{.name = "forward_backward", .summary = {}, .reference = {}}};
};

}  // namespace

std::unique_ptr<Integrator> correct_forward_backward(std::unique_ptr<Integrator> predictor,
                                                     Parameters const& parameters) {
  parameters.allow({"steps", "scale", "entry"});
  int const leaps = parameters.integer("steps", 1, 1, 1'000'000);
  double const scale = parameters.number("scale", 1), entry = parameters.number("entry", 1);
  require(scale > 0 && entry > 0, parameters.where() + ": scale and entry must be above 0");
  return std::make_unique<ForwardBackward>(std::move(predictor), leaps, scale, entry);
}

}  // namespace saltus
