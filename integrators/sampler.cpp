// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/sampler.hpp>

#include <algorithm>
#include <cmath>
#include <string>

#include <saltus/ctmc/error.hpp>

#include "fixed_sites.hpp"
#include "run_detail.hpp"

namespace saltus {
namespace {

struct FillPrior {
  Tokens tokens;
  StreamKey key;
  std::uint64_t first_sample;
  int states;
  token_t mask;  // -1: tokens from a law
  Kokkos::View<double const*, MemorySpace> cumulative;  // empty: uniform

  KOKKOS_FUNCTION void operator()(int b, int l) const {
    tokens(b, l) = mask;
    if (mask >= 0) return;
    double const u = uniform53(
        key.draw(first_sample + static_cast<std::uint64_t>(b), Role::prior, static_cast<std::uint32_t>(l)).event);
    tokens(b, l) = cumulative.size() == 0 ? static_cast<token_t>(u * states)
                                          : detail::draw_cumulative(cumulative.data(), states, u);
  }
};

}  // namespace

SamplePlan make_plan(Process const& process, Integrator const& integrator, int steps, int length, double end,
                     std::string const& grid) {
  require(process.is_reverse(), "this plan is for reverse processes; a forward run needs its own times and start");
  require(std::isfinite(process.noise().end()),
          "a reverse process starts at the end of its noise, which must be finite: " + process.noise().describe());
  require(steps >= 1, "the number of steps must be at least 1, got " + std::to_string(steps));
  bool const masked = process.is_masked();
  bool const own_steps = integrator.info().evaluations == 0;
  return {.grid = make_grid(own_steps ? "uniform" : grid, process.noise(), process.noise().end(), masked ? 0 : end,
                            own_steps ? 1 : steps),
          .length = length,
          .forced_last = masked};
}

void draw_prior(ExecSpace const& exec, Process const& process, State const& state, std::uint64_t seed) {
  require(process.is_reverse(), "a forward process has no prior: give the run a start");
  if (state.batch() == 0 || state.length() == 0) return;
  Kokkos::parallel_for(
      "saltus::integrators::prior",
      Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(exec, {0, 0},
                                                                                {state.batch(), state.length()}),
      FillPrior{state.tokens, StreamKey{seed, 0}, state.first_sample, process.generator().states(),
                process.generator().mask().value_or(-1), process.prior()});
}

void advance_all(ExecSpace const& exec, Process& process, Integrator& integrator, StepTable const& table,
                 State const& state, std::uint64_t seed, CounterView const& counters,
                 std::span<StepObserver* const> observers) {
  int const steps = table.steps();
  for (StepObserver* const observer : observers) {
    require(observer->cadence() >= 1,
            "an observer's cadence must be at least 1 step, got " + std::to_string(observer->cadence()));
  }
  for (int k = 0; k < steps; ++k) {
    integrator.advance(exec, process, state, table.step(k), StreamKey{seed, 0}, counters);
    for (StepObserver* const observer : observers) {
      if ((k + 1) % observer->cadence() == 0 || k + 1 == steps) {
        observer->observe(exec, {k, steps, table.host(k).to}, state);
      }
    }
  }
}

SampleReport sample(ExecSpace const& exec, Process& process, Integrator& integrator, SamplePlan const& plan,
                    Sink const& sink, std::span<StepObserver* const> observers, Progress const& progress) {
  require(plan.batch >= 1, "the batch must hold at least 1 sample, got " + std::to_string(plan.batch));
  require(plan.length >= 1, "sequences must have at least 1 site, got " + std::to_string(plan.length));
  require(plan.grid.decreasing() == process.is_reverse(),
          (process.is_reverse() ? "a reverse process needs a decreasing time grid, got one from "
                                : "a forward process needs an increasing time grid, got one from ") +
              to_text(plan.grid.point(0)) + " to " + to_text(plan.grid.point(plan.grid.steps())));
  detail::check(integrator, process);
  require(integrator.info().takes_phi || plan.phi.empty(),
          "learned factors phi mean nothing to '" + integrator.info().name +
              "', which fixes how many sites a step reveals; leave them away or take a method that reveals by its rates");
  process.check_length(plan.length);
  Kokkos::Timer timer;
  auto const batch = std::min(static_cast<std::size_t>(plan.batch), std::max<std::size_t>(plan.samples, 1));
  auto const length = static_cast<std::size_t>(plan.length);
  Extents const extents{static_cast<int>(batch), plan.length};

  // All memory of the run.
  process.reserve(extents, integrator.info().slots);
  process.reset_counts();
  auto const last = make_last_step(plan.last);
  CounterView const counters(Kokkos::view_alloc(exec, "saltus::integrators::counters"),
                             std::max(integrator.reserve(process, extents), last ? last->reserve(process, extents) : 0));
  auto const host_counters = Kokkos::create_mirror_view(counters);
  Tokens const tokens(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "saltus::integrators::tokens"), batch,
                      length);
  HostTokens const host_tokens(Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::integrators::host_tokens"),
                               batch, length);
  Times const time(Kokkos::view_alloc(exec, "saltus::integrators::time"), batch);
  StepOptions options = step_options(integrator, process);
  options.phi = plan.phi;
  options.power = plan.power;
  options.forced_last = plan.forced_last;
  StepTable const table(exec, process, plan.grid, options);
  double const end = plan.grid.point(plan.grid.steps());
  std::optional<StepTable> last_table;
  if (last) {
    require(process.is_reverse() && end > 0,
            "a last step goes from the end of the grid to 0: it needs a reverse process whose grid ends above 0, got " +
                to_text(end));
    detail::check(*last, process);
    last_table.emplace(exec, process, TimeGrid::from_points({end, 0}), StepOptions{.forced_last = true});
  }
  detail::FixedSites const fixed(exec, process, plan, batch);

  SampleReport report;
  double evaluations = 0;
  while (report.samples < plan.samples) {
    auto const rows = std::make_pair(std::size_t{0}, std::min(batch, plan.samples - report.samples));
    State const state{Kokkos::subview(tokens, rows, Kokkos::ALL), Kokkos::subview(time, rows),
                      fixed.frozen(static_cast<int>(rows.second)),
                      plan.first_sample + report.samples};
    detail::reset(exec, counters, state.time, plan.grid.point(0));
    if (plan.start) {
      plan.start(exec, state);
    } else {
      draw_prior(exec, process, state, plan.seed);
    }
    fixed.put(exec, state);
    std::int64_t const before = process.full_evaluations();
    advance_all(exec, process, integrator, table, state, plan.seed, counters, observers);
    if (last) {
      last->advance(exec, process, state, last_table->step(0, table.steps()), StreamKey{plan.seed, 0}, counters);
    }
    std::int64_t const full = process.full_evaluations() - before;

    HostTokens const host_rows = Kokkos::subview(host_tokens, rows, Kokkos::ALL);
    Kokkos::deep_copy(exec, host_rows, state.tokens);
    std::int64_t most = 0;
    Counters const sum = detail::collect(exec, counters, host_counters, process, state.first_sample, most);
    report.jumps += sum.jumps;
    report.clamps += sum.clamps;
    report.violations += sum.violations;
    evaluations += static_cast<double>(sum.evaluations) + static_cast<double>(full) * static_cast<double>(rows.second);
    report.max_evaluations = std::max(report.max_evaluations, most + full);
    sink(state.first_sample, host_rows);
    report.samples += rows.second;
    if (progress) progress(report.samples);
  }
  if (report.samples > 0) report.evaluations = evaluations / static_cast<double>(report.samples);
  report.seconds = timer.seconds();
  return report;
}

HostTokens sample(ExecSpace const& exec, Process& process, Integrator& integrator, SamplePlan const& plan,
                  SampleReport* report) {
  HostTokens all("saltus::integrators::samples", plan.samples, static_cast<std::size_t>(plan.length));
  auto const done = sample(exec, process, integrator, plan, [&](std::uint64_t first, HostTokens const& rows) {
    std::copy_n(rows.data(), rows.size(),
                all.data() + (first - plan.first_sample) * static_cast<std::uint64_t>(plan.length));
  });
  if (report) *report = done;
  return all;
}

}  // namespace saltus
