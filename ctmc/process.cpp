// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/process.hpp>

#include <cmath>
#include <numeric>

#include <saltus/ctmc/device.hpp>
#include <saltus/ctmc/error.hpp>

namespace saltus {
namespace {
struct FillTotal {
  Times time, total;
  NoiseSchedule noise;
  KOKKOS_FUNCTION void operator()(int b) const { total(b) = noise.total(time(b)); }
};

using DeviceMatrix = Kokkos::View<double const**, Kokkos::LayoutRight, MemorySpace>;
DeviceMatrix matrix_on_device(ExecSpace const& exec, std::vector<double> const& values, int states, bool transpose) {
  auto const n = static_cast<std::size_t>(states);
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> device(
      Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "saltus::ctmc::matrix"), n, n);
  auto const mirror = Kokkos::create_mirror_view(device);
  for (std::size_t x = 0; x < n; ++x) {
    for (std::size_t y = 0; y < n; ++y) mirror(x, y) = transpose ? values[y * n + x] : values[x * n + y];
  }
  Kokkos::deep_copy(exec, device, mirror);
  exec.fence("saltus::ctmc: the host mirror of a matrix is about to be freed");
  return device;
}

constexpr int most_reverse_states = 512;

std::string mask_text(std::optional<token_t> mask) { return mask ? "mask " + std::to_string(*mask) : "no mask"; }
}  // namespace

Process Process::forward(Generator generator, NoiseSchedule noise, SiteRates site_rates) {
  ExecSpace const exec;
  Process process(std::move(generator), noise, nullptr, false);
  Generator const& q = process.generator_;
  if (q.kind() == Generator::Kind::dense || q.kind() == Generator::Kind::sparse) {
    auto const& jumps = q.jumps();
    AliasBuilder builder;
    for (int x = 0; x < q.states(); ++x) {
      auto const begin = jumps.row_begin[static_cast<std::size_t>(x)],
                 end = jumps.row_begin[static_cast<std::size_t>(x) + 1];
      builder.add_row({jumps.column.begin() + begin, jumps.column.begin() + end},
                      {jumps.rate.begin() + begin, jumps.rate.begin() + end}, 0);
    }
    process.jump_table_ = builder.build(exec);
  }
  if (!site_rates.empty()) {
    std::vector<double> scale;
    for (int const category : site_rates.category) {
      SALTUS_ASSERT(category >= 0 && category < static_cast<int>(site_rates.multiplier.size()));
      scale.push_back(site_rates.multiplier[static_cast<std::size_t>(category)]);
      require(std::isfinite(scale.back()) && scale.back() >= 0,
              "multipliers of site rates must be finite and at least 0, got " + to_text(scale.back()));
    }
    process.site_scale_ = to_device(exec, scale, "saltus::ctmc::site_scale");
    process.site_category_ = to_device(exec, site_rates.category, "saltus::ctmc::site_category");
    process.site_rates_ = std::move(site_rates);
  }
  return process;
}

void Process::check_length(int length) const {
  require(site_rates_.empty() || static_cast<int>(site_rates_.category.size()) == length,
          "there are rate multipliers for " + std::to_string(site_rates_.category.size()) +
              " sites, but the sequences have " + std::to_string(length));
  int const fixed = model_ ? model_->info().length : 0;
  require(fixed == 0 || fixed == length,
          "the model works at length " + std::to_string(fixed) + ", but the sequences have " + std::to_string(length));
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
  Process process(std::move(generator), noise, std::move(model), normalised);
  Generator const& q = process.generator_;
  if (q.kind() == Generator::Kind::absorbing || q.kind() == Generator::Kind::uniform) return process;
  require(q.kind() == Generator::Kind::dense && q.reversible() && q.states() <= most_reverse_states && is_x0(info.kind),
          "a reverse process needs an absorbing or a uniform generator, or a reversible matrix of at most " +
              std::to_string(most_reverse_states) +
              " states with a model that gives laws of the clean token; got generator '" + q.name() + "' of " +
              std::to_string(q.states()) + " states");
  std::vector<double> prior = q.stationary();
  std::partial_sum(prior.begin(), prior.end(), prior.begin());
  process.prior_ = to_device(ExecSpace(), prior, "saltus::ctmc::prior");
  process.transposed_ = matrix_on_device(ExecSpace(), q.matrix(), q.states(), true);
  return process;
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
      require(value >= 0 && std::isfinite(value),
              std::string(what) + " must be finite and at least 0, got " + to_text(value));
    }
    require(values.empty() || values.size() == steps, std::string(what) + " needs one value a step: expected " +
                                                          std::to_string(steps) + ", got " +
                                                          std::to_string(values.size()));
  };
  check(phi, "phi");
  check(power, "power");
  double const latest = std::max(grid.point(0), grid.point(grid.steps()));
  require(latest <= noise.end(), "the time grid reaches to t = " + to_text(latest) +
                                     ", beyond the end of the noise at t = " + to_text(noise.end()));
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

StepTable::StepTable(ExecSpace const& exec, Process const& process, TimeGrid const& grid,
                     std::vector<double> const& phi, std::vector<double> const& power, bool forced_last,
                     bool transitions)
    : StepTable(exec, process.noise(), grid, phi, power, forced_last) {
  for (auto const& c : host_) {
    require(process.is_reverse() || std::isfinite(c.delta), "the integral of the noise " + process.noise().describe() +
                                                                " is infinite at t = " + to_text(c.to) +
                                                                "; a forward process must end earlier");
  }
  Generator const& q = process.generator();
  bool const tables = q.kind() == Generator::Kind::dense || q.kind() == Generator::Kind::sparse;
  if (!tables || (!process.is_reverse() && !transitions)) return;
  auto const n = static_cast<std::size_t>(q.states());
  if (process.is_reverse()) {
    DeviceMatrix last;
    for (auto const& c : host_) {
      StepMatrices m;
      m.from = last.size() != 0
                   ? last
                   : matrix_on_device(exec, q.transition_matrix(process.noise().total(c.from)), q.states(), false);
      m.to = matrix_on_device(exec, q.transition_matrix(process.noise().total(c.to)), q.states(), false);
      m.between_transposed = matrix_on_device(exec, q.transition_matrix(c.delta), q.states(), true);
      last = m.to;
      matrices_.push_back(m);
    }
    return;
  }
  auto const multipliers = process.site_rates().empty() ? std::vector<double>{1} : process.site_rates().multiplier;
  std::vector<token_t> columns;
  std::vector<double> weights;
  for (auto const& c : host_) {
    AliasBuilder builder;
    for (double const multiplier : multipliers) {
      std::vector<double> const p = q.transition_matrix(multiplier * c.phi * c.delta);
      for (std::size_t x = 0; x < n; ++x) {
        columns.clear();
        weights.clear();
        for (std::size_t y = 0; y < n; ++y) {
          if (y == x || p[x * n + y] == 0) continue;
          columns.push_back(static_cast<token_t>(y));
          weights.push_back(p[x * n + y]);
        }
        builder.add_row(columns, weights, p[x * n + x]);
      }
    }
    StepMatrices m;
    m.transitions = builder.build(exec);
    matrices_.push_back(m);
  }
}

}  // namespace saltus
