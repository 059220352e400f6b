// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>

#include <saltus/ctmc/parameters.hpp>
#include <saltus/integrators/integrator.hpp>

namespace saltus {

/// A method with something added around each of its steps: a corrector. It is a method itself, so that correctors nest.
/// Part 0 of its steps is the predictor's.
class Corrected : public Integrator {
 public:
  /// `info` says of the corrector alone: name, summary, reference, evaluations it adds to a step, and needs.
  Corrected(IntegratorInfo info, std::unique_ptr<Integrator> predictor);

  IntegratorInfo const& info() const final { return info_; }
  std::string refuses(Process const& process) const override;
  std::size_t reserve(Process const& process, Extents extents) override;

 protected:
  /// The predictor's part of a step: over `interval`, with its own parts.
  Part predictor_part(NoiseSchedule const& noise, Interval interval) const;
  Integrator& predictor() const { return *predictor_; }
  std::string const& label() const { return label_; }
  /// A stream of the corrector's own for a step, `which` < 2^24: others than those of the methods inside of it.
  StreamKey stream(StreamKey key, Step const& step, std::uint32_t which) const {
    return key.at(static_cast<std::uint32_t>(step.index)).derived(which + (depth_ << 24));
  }
  IntegratorInfo info_;  ///< of both

 private:
  std::unique_ptr<Integrator> predictor_;
  std::uint32_t depth_ = 0;  // correctors inside
  std::string label_;
};

/// One maker a corrector, named correct_NAME, defined in correctors/NAME.cpp; the list is correctors.def.
#define SALTUS_CORRECTOR(name) \
  std::unique_ptr<Integrator> correct_##name(std::unique_ptr<Integrator> predictor, Parameters const& parameters);
#include <saltus/integrators/correctors.def>
#undef SALTUS_CORRECTOR

}  // namespace saltus
