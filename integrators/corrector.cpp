// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/corrector.hpp>

#include <algorithm>

#include <saltus/ctmc/error.hpp>

namespace saltus {

Corrected::Corrected(IntegratorInfo info, std::unique_ptr<Integrator> predictor)
    : info_(std::move(info)), predictor_(std::move(predictor)), label_("saltus::integrators::" + info_.name) {
  if (auto const* const nested = dynamic_cast<Corrected const*>(predictor_.get())) depth_ = nested->depth_ + 1;
  IntegratorInfo const& inner = predictor_->info();
  require(inner.evaluations > 0, "the corrector '" + info_.name + "' goes around methods that take steps; '" + inner.name +
                                     "' chooses its own");
  info_.name = inner.name + "+" + info_.name;
  info_.evaluations += inner.evaluations;
  info_.slots = std::max(info_.slots, inner.slots);
  info_.host_syncs += inner.host_syncs;
  info_.uses_transitions |= inner.uses_transitions;
  info_.weak_order = inner.weak_order;
  info_.takes_phi = info_.takes_phi && inner.takes_phi;
  info_.remembers |= inner.remembers;
}

std::string Corrected::refuses(Process const& process) const { return predictor_->refuses(process); }

std::size_t Corrected::reserve(Process const& process, Extents extents) {
  return std::max(predictor_->reserve(process, extents),
                  static_cast<std::size_t>(extents.batch) * static_cast<std::size_t>(extents.length));
}

Part Corrected::predictor_part(NoiseSchedule const& noise, Interval interval) const {
  return {.interval = interval, .forced = true, .parts = predictor_->parts(noise, interval)};
}

}  // namespace saltus
