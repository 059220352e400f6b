// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/stored_scores.hpp>

/// What 'saltus bench' and tests/perf time: steps on scores that lie in memory, and a plain sum over them.
namespace saltus::timing {

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// A step of a method over an interval, again and again from the prior, so that every site is active.
class TimedStep {
 public:
  TimedStep(ExecSpace const& exec, Process& process, std::string const& method, Extents extents, Interval interval)
      : exec_(exec),
        process_(process),
        state_{Tokens("saltus::timing::tokens", static_cast<std::size_t>(extents.batch), static_cast<std::size_t>(extents.length)),
               Times("saltus::timing::time", static_cast<std::size_t>(extents.batch)),
               {},
               0},
        integrator_(make_integrator(method, process)),
        counters_("saltus::timing::counters", integrator_->reserve(process, extents)),
        table_(exec, process, TimeGrid::from_points({interval.from, interval.to}), step_options(*integrator_, process)) {
    process.reserve(extents, integrator_->info().slots);
  }

  /// Seconds of `repeats` steps, without those that set the state back.
  double operator()(int repeats) {
    double seconds = 0;
    for (int i = 0; i < repeats; ++i) {
      draw_prior(exec_, process_, state_, 1);
      exec_.fence("saltus::timing: before");
      Kokkos::Timer timer;
      Step step = table_.step(0, k_++);
      step.remaining = 15;  // so that methods with token schedules reveal a like share
      integrator_->advance(exec_, process_, state_, step, {1, 0}, counters_);
      exec_.fence("saltus::timing: after");
      seconds += timer.seconds();
    }
    return seconds;
  }

 private:
  ExecSpace exec_;
  Process& process_;
  State state_;
  std::unique_ptr<Integrator> integrator_;
  CounterView counters_;
  StepTable table_;
  int k_ = 0;
};

namespace detail {
struct SumChunks {
  Kokkos::View<float const*, MemorySpace> values;
  std::int64_t chunk;
  KOKKOS_FUNCTION void operator()(std::int64_t i, double& sum) const {
    auto const size = static_cast<std::int64_t>(values.extent(0));
    std::int64_t const begin = i * chunk, end = begin + chunk < size ? begin + chunk : size;
    float s = 0;
    float const* const p = values.data();
#pragma omp simd reduction(+ : s)
    for (std::int64_t k = begin; k < end; ++k) s += p[k];
    sum += static_cast<double>(s);
  }
};
}  // namespace detail

/// Seconds to read all scores once, by summing them; NaN if the sum is not finite.
inline double plain_sum(ExecSpace const& exec, StoredScores::Scores const& scores) {
  Kokkos::View<float const*, MemorySpace> const flat(scores.data(), scores.size());
  std::int64_t const chunk = 65536;
  double total = 0;
  Kokkos::Timer timer;
  Kokkos::parallel_reduce("saltus::timing::sum",
                          Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(
                              exec, 0, (static_cast<std::int64_t>(flat.size()) + chunk - 1) / chunk),
                          detail::SumChunks{flat, chunk}, total);
  exec.fence("saltus::timing: after the sum");
  double const seconds = timer.seconds();
  return std::isfinite(total) ? seconds : std::nan("");
}

}  // namespace saltus::timing
