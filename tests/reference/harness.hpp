// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/process.hpp>
#include <saltus/integrators/integrator.hpp>

#include "reference/messages.hpp"

/// What many tests need to talk to the library: states and results as plain vectors.
namespace saltus::reference {

using Rows = std::vector<std::vector<token_t>>;

inline Tokens to_tokens(Rows const& rows, int length) {
  Tokens const tokens("test::tokens", rows.size(), static_cast<std::size_t>(length));
  auto const host = Kokkos::create_mirror_view(tokens);
  for (std::size_t b = 0; b < rows.size(); ++b) {
    for (std::size_t l = 0; l < rows[b].size(); ++l) host(b, l) = rows[b][l];
  }
  Kokkos::deep_copy(tokens, host);
  return tokens;
}

inline Rows to_rows(Tokens const& tokens) {
  auto const host = Kokkos::create_mirror_view_and_copy(HostSpace(), tokens);
  Rows rows(tokens.extent(0), std::vector<token_t>(tokens.extent(1)));
  for (std::size_t b = 0; b < rows.size(); ++b) {
    for (std::size_t l = 0; l < rows[b].size(); ++l) rows[b][l] = host(b, l);
  }
  return rows;
}

inline State to_state(Rows const& rows, double time) {
  State const state{to_tokens(rows, static_cast<int>(rows.front().size())), Times("test::time", rows.size()), {}, 0};
  Kokkos::deep_copy(state.time, time);
  return state;
}

inline Frozen to_frozen(std::vector<std::vector<int>> const& rows) {
  Frozen const frozen("test::frozen", rows.size(), rows.front().size());
  auto const host = Kokkos::create_mirror_view(frozen);
  for (std::size_t b = 0; b < rows.size(); ++b) {
    for (std::size_t l = 0; l < rows[b].size(); ++l) host(b, l) = static_cast<std::uint8_t>(rows[b][l]);
  }
  Kokkos::deep_copy(frozen, host);
  return frozen;
}

/// The table of a single step.
inline StepTable one_step(NoiseSchedule const& noise, Interval interval, double phi = 1, double power = 1,
                          bool forced = false) {
  return {ExecSpace(), noise, TimeGrid::from_points({interval.from, interval.to}),
          StepOptions{.phi = {phi}, .power = {power}, .forced_last = forced}};
}

/// The same with what `integrator` asks for besides.
inline StepTable one_step(Process const& process, Integrator const& integrator, Interval interval, double phi = 1,
                          double power = 1, bool forced = false) {
  StepOptions options = step_options(integrator, process);
  options.phi = {phi};
  options.power = {power};
  options.forced_last = forced;
  return {ExecSpace(), process, TimeGrid::from_points({interval.from, interval.to}), options};
}

/// All sites of a batch.
inline SiteList all_sites(std::size_t batch, std::size_t length) {
  Kokkos::View<std::int64_t*, Kokkos::LayoutRight, HostSpace> const host("test::sites", batch * length);
  for (std::size_t i = 0; i < host.extent(0); ++i) host(i) = static_cast<std::int64_t>(i);
  return Kokkos::create_mirror_view_and_copy(MemorySpace(), host);
}

/// [batch][length][states]: the laws that `integrator` draws the sites of `state` from.
using SiteLaws = std::vector<std::vector<std::vector<double>>>;
inline SiteLaws site_laws(Process& process, Integrator const& integrator, State const& state, StepTable const& table) {
  ExecSpace const exec;
  process.reserve({state.batch(), state.length()}, 1);
  process.refresh(exec, state, 0);
  auto const batch = static_cast<std::size_t>(state.batch()), length = static_cast<std::size_t>(state.length()),
             states = static_cast<std::size_t>(process.generator().states());
  SiteProbabilities const out("test::laws", batch * length, states);
  integrator.site_probabilities(exec, process, state, table.step(0), all_sites(batch, length), out);
  exec.fence();
  auto const host = Kokkos::create_mirror_view_and_copy(HostSpace(), out);
  SiteLaws laws(batch, std::vector<std::vector<double>>(length, std::vector<double>(states)));
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t l = 0; l < length; ++l) {
      for (std::size_t y = 0; y < states; ++y) laws[b][l][y] = host(b * length + l, y);
    }
  }
  return laws;
}

/// One call of advance(); returns the counters summed over work items (and those of the first bad work item).
inline Counters advance_once(Process& process, Integrator& integrator, State const& state, StepTable const& table,
                             std::uint64_t seed = 1, int step = 0) {
  ExecSpace const exec;
  Extents const extents{state.batch(), state.length()};
  process.reserve(extents, integrator.info().slots);
  CounterView const counters("test::counters", integrator.reserve(process, extents));
  integrator.advance(exec, process, state, table.step(0, step), StreamKey{seed, 0}, counters);
  exec.fence();
  auto const host = Kokkos::create_mirror_view_and_copy(HostSpace(), counters);
  Counters sum;
  for (std::size_t i = 0; i < host.extent(0); ++i) {
    Counters const& c = host(i);
    if (sum.bad_scores == 0 && c.bad_scores > 0) {
      sum.bad_step = c.bad_step;
      sum.bad_row = c.bad_row;
      sum.bad_site = c.bad_site;
    }
    sum.jumps += c.jumps;
    sum.clamps += c.clamps;
    sum.evaluations += c.evaluations;
    sum.violations += c.violations;
    sum.broken_bounds += c.broken_bounds;
    sum.bad_scores += c.bad_scores;
  }
  return sum;
}

/// A reproducible uniform in [0, 1) for making inputs (splitmix64); not one of the library's numbers.
inline double scramble(std::uint64_t n) {
  n += 0x9E3779B97F4A7C15u;
  n = (n ^ (n >> 30)) * 0xBF58476D1CE4E5B9u;
  n = (n ^ (n >> 27)) * 0x94D049BB133111EBu;
  return static_cast<double>((n ^ (n >> 31)) >> 11) * 0x1p-53;
}

}  // namespace saltus::reference
