// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/process.hpp>

#include <cmath>

#include <saltus/ctmc/error.hpp>

namespace saltus {
namespace {
struct FillTotal {
  Times time, total;
  NoiseSchedule noise;
  KOKKOS_FUNCTION void operator()(int b) const { total(b) = noise.total(time(b)); }
};

std::string mask_text(std::optional<token_t> mask) { return mask ? "mask " + std::to_string(*mask) : "no mask"; }
}  // namespace

Process Process::forward(Generator generator, NoiseSchedule noise) {
  return {std::move(generator), noise, nullptr, false};
}

Process Process::reverse(Generator generator, NoiseSchedule noise, std::shared_ptr<ScoreModel> model,
                         bool normalise_scores) {
  require(model != nullptr, "a reverse process needs a score model, got none");
  auto const info = model->info();
  require(info.states == generator.states(), "the model '" + info.name + "' covers " + std::to_string(info.states) +
                                                 " states but the generator has " +
                                                 std::to_string(generator.states()));
  require(info.mask == generator.mask(), "the model '" + info.name + "' has " + mask_text(info.mask) +
                                             " but the generator (" + generator.name() + ") has " +
                                             mask_text(generator.mask()));
  bool const normalised = is_x0(info.kind) || normalise_scores;
  return {std::move(generator), noise, std::move(model), normalised};
}

void Process::reserve(Extents extents, int slots) {
  SALTUS_ASSERT(slots >= 0 && slots <= static_cast<int>(evaluations_.size()));
  if (!model_) return;
  if (time_ == TimeInput::total && static_cast<int>(time_input_.extent(0)) < extents.batch) {
    time_input_ = Times("saltus::ctmc::time_input", static_cast<std::size_t>(extents.batch));
  }
  model_->reserve(extents, slots);
}

Evaluation const& Process::refresh(ExecSpace const& exec, State const& state, int slot,
                                   Kokkos::View<int const*, MemorySpace> only_site) {
  auto& evaluation = evaluations_[static_cast<std::size_t>(slot)];
  if (!model_) return evaluation;
  Query query{state.tokens, state.time, only_site};
  if (time_ == TimeInput::total) {
    query.time = time_input_;
    Kokkos::parallel_for("saltus::ctmc::time_input",
                         Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, state.batch()),
                         FillTotal{state.time, time_input_, noise_});
  }
  evaluation = model_->evaluate(exec, query, slot);
  if (only_site.size() == 0) ++full_evaluations_;
  return evaluation;
}

StepTable::StepTable(ExecSpace const& exec, NoiseSchedule const& noise, TimeGrid const& grid,
                     std::vector<double> const& phi, std::vector<double> const& power, bool forced_last) {
  auto const steps = static_cast<std::size_t>(grid.steps());
  auto check = [&](std::vector<double> const& values, char const* what) {
    for (double const value : values) {
      require(value >= 0 && std::isfinite(value), std::string(what) + " must be finite and at least 0, got " + to_text(value));
    }
    require(values.empty() || values.size() == steps, std::string(what) + " needs one value a step: expected " +
                                                          std::to_string(steps) + ", got " +
                                                          std::to_string(values.size()));
  };
  check(phi, "phi");
  check(power, "power");
  double const latest = std::max(grid.point(0), grid.point(grid.steps()));
  require(latest <= noise.end(), "the time grid reaches to t = " + to_text(latest) + ", beyond the end of the noise at t = " + to_text(noise.end()));
  Kokkos::View<StepCoeff*, MemorySpace> device(
      Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "saltus::ctmc::step_table"), steps);
  auto mirror = Kokkos::create_mirror_view(device);
  for (std::size_t k = 0; k < steps; ++k) {
    StepCoeff c = noise.coefficients(grid.interval(static_cast<int>(k)));
    if (!phi.empty()) c.phi = phi[k];
    if (!power.empty()) c.power = power[k];
    c.forced = forced_last && k + 1 == steps;
    if (c.forced) c.phi = 1;
    host_.push_back(c);
    mirror(k) = c;
  }
  Kokkos::deep_copy(exec, device, mirror);
  exec.fence("saltus::ctmc: the host mirror of the step table is about to be freed");
  device_ = device;
}

}  // namespace saltus
