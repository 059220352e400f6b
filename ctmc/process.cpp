// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/process.hpp>

#include <algorithm>
#include <cmath>
#include <map>
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

namespace {

void check_factors(std::vector<double> const& values, char const* what, int steps) {
  for (double const value : values) {
    require(value >= 0 && std::isfinite(value),
            std::string(what) + " must be finite and at least 0, got " + to_text(value));
  }
  require(values.empty() || values.size() == static_cast<std::size_t>(steps),
          std::string(what) + " needs one value a step: expected " + std::to_string(steps) + ", got " +
              std::to_string(values.size()));
}

std::size_t count_of(std::vector<Part> const& parts) {
  std::size_t count = parts.size();
  for (auto const& part : parts) count += count_of(part.parts);
  return count;
}

// The matrices that the steps of a process need, made once for each time and each pair of times.
class MatrixMaker {
 public:
  MatrixMaker(ExecSpace const& exec, Process const& process, bool transitions)
      : exec_(exec), process_(process), transitions_(transitions) {}

  StepMatrices make(StepCoeff const& c) {
    Generator const& q = process_.generator();
    StepMatrices m;
    bool const tables = q.kind() == Generator::Kind::dense || q.kind() == Generator::Kind::sparse;
    if (!tables || (!process_.is_reverse() && !transitions_)) return m;
    if (!process_.is_reverse()) {
      m.transitions = transitions(c.phi * c.delta);
      return m;
    }
    m.from = at(c.from);
    m.to = at(c.to);
    m.between_transposed = matrix_on_device(exec_, q.transition_matrix(c.delta), q.states(), true);
    return m;
  }

 private:
  DeviceMatrix at(double time) {
    auto const found = at_.find(time);
    if (found != at_.end()) return found->second;
    Generator const& q = process_.generator();
    return at_[time] =
               matrix_on_device(exec_, q.transition_matrix(process_.noise().total(time)), q.states(), false);
  }

  AliasTable transitions(double total) const {
    Generator const& q = process_.generator();
    auto const n = static_cast<std::size_t>(q.states());
    auto const multipliers =
        process_.site_rates().empty() ? std::vector<double>{1} : process_.site_rates().multiplier;
    std::vector<token_t> columns;
    std::vector<double> weights;
    AliasBuilder builder;
    for (double const multiplier : multipliers) {
      std::vector<double> const p = q.transition_matrix(multiplier * total);
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
    return builder.build(exec_);
  }

  ExecSpace exec_;
  Process const& process_;
  bool transitions_;
  std::map<double, DeviceMatrix> at_;
};

}  // namespace

StepTable::StepTable(ExecSpace const& exec, NoiseSchedule const& noise, TimeGrid const& grid,
                     StepOptions const& options)
    : StepTable(exec, nullptr, noise, grid, options) {}

StepTable::StepTable(ExecSpace const& exec, Process const& process, TimeGrid const& grid, StepOptions const& options)
    : StepTable(exec, &process, process.noise(), grid, options) {}

StepTable::StepTable(ExecSpace const& exec, Process const* process, NoiseSchedule const& noise, TimeGrid const& grid,
                     StepOptions const& options) {
  int const steps = grid.steps();
  check_factors(options.phi, "phi", steps);
  check_factors(options.power, "power", steps);
  bool const plain = std::all_of(options.power.begin(), options.power.end(), [](double power) { return power == 1; });
  require(plain || !process || process->is_masked() || process->generator().kind() == Generator::Kind::uniform,
          "powers of scores are for masked and uniform noise; the generator is '" + (process ? process->generator().name() : "") + "'");
  double const latest = std::max(grid.point(0), grid.point(steps));
  require(latest <= noise.end(), "the time grid reaches to t = " + to_text(latest) +
                                     ", beyond the end of the noise at t = " + to_text(noise.end()));
  std::vector<std::vector<Part>> asked(static_cast<std::size_t>(steps));
  std::size_t count = asked.size();
  for (std::size_t k = 0; k < asked.size() && options.parts; ++k) {
    asked[k] = options.parts(grid.interval(static_cast<int>(k)));
    count += count_of(asked[k]);
  }

  host_.reserve(count);  // pointers into it stay
  std::optional<MatrixMaker> matrices;
  if (process) matrices.emplace(exec, *process, options.transitions);
  Kokkos::View<StepCoeff*, MemorySpace> const device(
      Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "saltus::ctmc::step_table"), count);
  auto const make = [&](std::size_t k, Part const& part) {
    StepCoeff c = noise.coefficients(part.interval);
    if (part.duration > 0) c.duration = part.duration;
    if (part.learned && !options.phi.empty()) c.phi = options.phi[k];
    if (part.learned && !options.power.empty()) c.power = options.power[k];
    c.forced = part.forced && options.forced_last && k + 1 == asked.size();
    if (c.forced) c.phi = 1;
    require(!process || process->is_reverse() || std::isfinite(c.delta),
            "the integral of the noise " + noise.describe() + " is infinite at t = " + to_text(c.to) +
                "; a forward process must end earlier");
    std::size_t const place = host_.size();
    host_.push_back(c);
    return Step{static_cast<int>(k), Kokkos::subview(device, std::make_pair(place, place + 1)),
                matrices ? matrices->make(c) : StepMatrices{}, steps - static_cast<int>(k), &host_[place]};
  };
  auto const add_parts = [&](auto const& self, std::size_t k, std::vector<Part> const& parts) -> std::span<Step const> {
    if (parts.empty()) return {};
    auto& block = parts_.emplace_back();
    block.reserve(parts.size());
    for (auto const& part : parts) {
      block.push_back(make(k, part));
      block.back().parts = self(self, k, part.parts);
    }
    return block;
  };
  for (std::size_t k = 0; k < asked.size(); ++k) {
    steps_.push_back(make(k, {.interval = grid.interval(static_cast<int>(k)), .forced = true}));
    steps_.back().parts = add_parts(add_parts, k, asked[k]);
  }
  auto const mirror = Kokkos::create_mirror_view(device);
  std::copy(host_.begin(), host_.end(), mirror.data());
  Kokkos::deep_copy(exec, device, mirror);
  exec.fence("saltus::ctmc: the host mirror of the step table is about to be freed");
}

}  // namespace saltus
