// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/simulate.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <saltus/ctmc/device.hpp>
#include <saltus/ctmc/error.hpp>

#include "run_detail.hpp"

namespace saltus {
namespace {

struct RowsKernel {
  Tokens tokens;
  Kokkos::View<token_t const*, MemorySpace> rows;
  std::uint64_t first_sample, count;
  int length;
  KOKKOS_FUNCTION void operator()(std::int64_t i) const {
    auto const b = i / length, l = i % length;
    std::uint64_t const row = (first_sample + static_cast<std::uint64_t>(b)) % count;
    tokens(b, l) = rows(row * static_cast<std::uint64_t>(length) + static_cast<std::uint64_t>(l));
  }
};

struct LawsKernel {
  Tokens tokens;
  Kokkos::View<double const*, MemorySpace> cumulative;  // [1 or length, states]
  StreamKey key;
  std::uint64_t first_sample;
  int length, states, laws;
  KOKKOS_FUNCTION void operator()(std::int64_t i) const {
    auto const b = i / length, l = i % length;
    double const* const c = cumulative.data() + (laws == 1 ? 0 : l * states);
    double const u = uniform53(
        key.draw(first_sample + static_cast<std::uint64_t>(b), Role::prior, static_cast<std::uint32_t>(l)).event);
    tokens(b, l) = detail::draw_cumulative(c, states, u);
  }
};

Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>> every_site(ExecSpace const& exec, State const& state) {
  return {exec, 0, std::int64_t{state.batch()} * state.length()};
}

using Tokens3 = Kokkos::View<token_t***, Kokkos::LayoutRight, MemorySpace>;
using Jumps3 = Kokkos::View<std::int64_t***, Kokkos::LayoutRight, MemorySpace>;

// Two passes over the same random numbers: count, make room, write down.
std::vector<JumpRecord> record(ExecSpace const& exec, Process& process, Integrator& integrator, State const& state,
                               PathPlan plan, StreamKey key, CounterView const& scrap) {
  auto const paths = static_cast<std::size_t>(state.batch()) * static_cast<std::size_t>(state.length());
  PathPlan counting;
  counting.windows = plan.windows;
  counting.counting = true;
  counting.counts = Kokkos::View<std::int64_t*, MemorySpace>("saltus::integrators::trajectory::counts", paths);
  integrator.follow(exec, process, state, counting, key, scrap);
  auto const counts = Kokkos::create_mirror_view(counting.counts);
  Kokkos::deep_copy(exec, counts, counting.counts);
  exec.fence("saltus::integrators: the room for a trajectory is made on the host");
  std::vector<std::int64_t> offsets(paths + 1, 0);
  std::partial_sum(counts.data(), counts.data() + paths, offsets.begin() + 1);
  plan.offsets = to_device(ExecSpace(), offsets, "saltus::integrators::trajectory::offsets");
  plan.records = Kokkos::View<JumpRecord*, MemorySpace>(
      Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "saltus::integrators::trajectory::records"),
      static_cast<std::size_t>(std::max<std::int64_t>(offsets.back(), 1)));
  integrator.follow(exec, process, state, plan, key, scrap);
  auto const host = Kokkos::create_mirror_view(plan.records);
  Kokkos::deep_copy(exec, host, plan.records);
  exec.fence("saltus::integrators: a trajectory is read on the host");
  std::vector<JumpRecord> records(host.data(), host.data() + offsets.back());
  std::stable_sort(records.begin(), records.end(), [](JumpRecord const& a, JumpRecord const& b) {
    return a.sample != b.sample ? a.sample < b.sample : (a.time != b.time ? a.time < b.time : a.site < b.site);
  });
  return records;
}

}  // namespace

Start start_from_rows(std::vector<token_t> const& rows, int length) {
  require(length >= 1 && !rows.empty() && rows.size() % static_cast<std::size_t>(length) == 0,
          "the rows of a start must have the length of the sequences");
  auto const device = to_device(ExecSpace(), rows, "saltus::integrators::start");
  std::uint64_t const count = rows.size() / static_cast<std::size_t>(length);
  return [device, count, length](ExecSpace const& exec, State const& state) {
    SALTUS_ASSERT(state.length() == length);
    Kokkos::parallel_for("saltus::integrators::start", every_site(exec, state),
                         RowsKernel{state.tokens, device, state.first_sample, count, length});
  };
}

Start start_from_laws(std::vector<double> const& laws, int states, std::uint64_t seed) {
  auto const n = static_cast<std::size_t>(states);
  require(states >= 1 && !laws.empty() && laws.size() % n == 0,
          "the laws of a start need " + std::to_string(states) + " probabilities each");
  std::vector<double> cumulative(laws.size());
  for (std::size_t row = 0; row < laws.size(); row += n) {
    double sum = 0;
    for (std::size_t y = 0; y < n; ++y) {
      require(laws[row + y] >= 0, "the law of a start has a negative probability");
      cumulative[row + y] = sum += laws[row + y];
    }
    require(std::abs(sum - 1) < 1e-6, "the law of a start sums to " + to_text(sum) + ", not 1");
  }
  auto const device = to_device(ExecSpace(), cumulative, "saltus::integrators::start");
  int const rows = static_cast<int>(laws.size() / n);
  return [device, states, rows, seed](ExecSpace const& exec, State const& state) {
    require(rows == 1 || rows == state.length(), "the start has laws for " + std::to_string(rows) +
                                                     " sites, but the sequences have " +
                                                     std::to_string(state.length()));
    Kokkos::parallel_for("saltus::integrators::start", every_site(exec, state),
                         LawsKernel{state.tokens, device, {seed, 0}, state.first_sample, state.length(), states, rows});
  };
}

TimeGrid simulation_grid(double from, std::vector<double> const& times, double step) {
  require(!times.empty(), "a simulation needs at least one time to look at");
  require(step >= 0, "the longest step must be at least 0 (none), got " + to_text(step));
  std::vector<double> points{from};
  for (double const time : times) {
    if (time == from && points.size() == 1) continue;
    double const begin = points.back(), length = time - begin;
    require(std::isfinite(time) && length > 0,
            "times must increase and not lie before the start, got " + to_text(time) + " after " + to_text(begin));
    double const asked = step > 0 ? std::max(1.0, std::ceil(length / step - 1e-9)) : 1;
    require(asked + static_cast<double>(points.size()) < 1e8, "the longest step " + to_text(step) + " asks for 10^8 steps or more; take a longer one");
    int const steps = static_cast<int>(asked);
    for (int k = 1; k < steps; ++k) points.push_back(begin + length * k / steps);
    points.push_back(time);
  }
  if (points.size() == 1) points.push_back(std::nextafter(from, from + 1));  // only the start is looked at
  return TimeGrid::from_points(std::move(points));
}

SampleReport simulate(ExecSpace const& exec, Process& process, Integrator& integrator, SimulationPlan const& plan,
                      SightSink const& sink, Progress const& progress) {
  require(!process.is_reverse(), "simulate() is for forward processes");
  require(plan.batch >= 1 && plan.length >= 1, "a simulation needs a batch and a length of at least 1");
  require(static_cast<bool>(plan.start), "a simulation needs a start");
  detail::check(integrator, process);
  process.check_length(plan.length);
  TimeGrid const grid = simulation_grid(plan.from, plan.times, plan.step);
  bool const follows = integrator.follows_paths(process);
  require(follows || !(plan.count_jumps || plan.record_jumps),
          "the integrator '" + integrator.info().name + "' knows no single jumps; gillespie and uniformization do");
  Kokkos::Timer timer;
  auto const batch = std::min(static_cast<std::size_t>(plan.batch), std::max<std::size_t>(plan.samples, 1));
  auto const length = static_cast<std::size_t>(plan.length), looks = plan.times.size();
  Extents const extents{static_cast<int>(batch), plan.length};
  require(static_cast<double>(batch) * static_cast<double>(length) < 2e9,
          "a batch must hold fewer than 2e9 sites, got " +
              to_text(static_cast<double>(batch) * static_cast<double>(length)));

  process.reserve(extents, integrator.info().slots);
  process.reset_counts();
  CounterView const counters(Kokkos::view_alloc(exec, "saltus::integrators::counters"),
                             integrator.reserve(process, extents));
  auto const host_counters = Kokkos::create_mirror_view(counters);
  Tokens const tokens(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "saltus::integrators::tokens"), batch,
                      length);
  Times const time(Kokkos::view_alloc(exec, "saltus::integrators::time"), batch);
  Tokens3 const seen(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "saltus::integrators::seen"), looks, batch,
                     length);
  Jumps3 const jumps(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "saltus::integrators::seen_jumps"),
                     plan.count_jumps ? looks : 0, batch, length);
  auto const host_seen = Kokkos::create_mirror_view(seen);
  auto const host_jumps = Kokkos::create_mirror_view(jumps);

  PathPlan path;
  std::optional<StepTable> table;
  std::vector<int> look_after(static_cast<std::size_t>(grid.steps()), -1);  // which look follows a step
  int const first_look = plan.times[0] == plan.from ? 1 : 0;
  if (follows) {
    NoiseSchedule const& noise = process.noise();
    require(plan.times.back() <= noise.end(), "the times reach to t = " + to_text(plan.times.back()) +
                                                  ", beyond the end of the noise at t = " + to_text(noise.end()));
    require(std::isfinite(noise.total(plan.times.back())), "the integral of the noise " + noise.describe() +
                                                               " is infinite at t = " + to_text(plan.times.back()) +
                                                               "; look earlier");
    std::vector<double> windows, totals;
    for (std::size_t i = 0; i < looks; ++i) {
      windows.push_back(noise.total_between(i == 0 ? plan.from : plan.times[i - 1], plan.times[i]));
      totals.push_back(noise.total(plan.times[i]));
    }
    path.windows = to_device(ExecSpace(), windows, "saltus::integrators::windows");
    path.totals = to_device(ExecSpace(), totals, "saltus::integrators::totals");
    path.noise = noise;
  } else {
    table.emplace(exec, process, grid, step_options(integrator, process));
    int look = first_look;
    for (int k = 0; k < grid.steps(); ++k) {
      if (look < static_cast<int>(looks) && grid.point(k + 1) == plan.times[static_cast<std::size_t>(look)])
        look_after[static_cast<std::size_t>(k)] = look++;
    }
  }

  SampleReport report;
  while (report.samples < plan.samples) {
    auto const rows = std::make_pair(std::size_t{0}, std::min(batch, plan.samples - report.samples));
    State const state{Kokkos::subview(tokens, rows, Kokkos::ALL),
                      Kokkos::subview(time, rows),
                      {},
                      plan.first_sample + report.samples};
    Sight sight{state.first_sample, rows.second, host_seen, host_jumps, {}};
    StreamKey const key{plan.seed, 0};
    detail::reset(exec, counters, state.time, plan.from);
    plan.start(exec, state);
    detail::check_tokens(exec, process, state);
    auto const look_at = [&](int look) {
      Kokkos::deep_copy(exec, Kokkos::subview(seen, look, rows, Kokkos::ALL), state.tokens);
    };
    if (follows) {
      if (plan.record_jumps) {
        sight.records = record(exec, process, integrator, state, path, key, counters);
        detail::reset(exec, counters, state.time, plan.from);
        plan.start(exec, state);
      }
      path.tokens = seen;
      path.jumps = jumps;
      integrator.follow(exec, process, state, path, key, counters);
    } else {
      if (first_look == 1) look_at(0);
      for (int k = 0; k < table->steps(); ++k) {
        integrator.advance(exec, process, state, table->step(k), key, counters);
        if (int const look = look_after[static_cast<std::size_t>(k)]; look >= 0) look_at(look);
      }
    }
    Kokkos::deep_copy(exec, host_seen, seen);
    Kokkos::deep_copy(exec, host_jumps, jumps);
    std::int64_t most = 0;
    Counters const sum = detail::collect(exec, counters, host_counters, process, state.first_sample, most);
    report.jumps += sum.jumps;
    report.clamps += sum.clamps;
    sink(sight);
    report.samples += rows.second;
    if (progress) progress(report.samples);
  }
  report.seconds = timer.seconds();
  return report;
}

}  // namespace saltus
