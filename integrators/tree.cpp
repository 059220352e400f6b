// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/tree.hpp>

#include <algorithm>
#include <cmath>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/simulate.hpp>

#include "run_detail.hpp"

namespace saltus {

SampleReport simulate_tree(ExecSpace const& exec, Process& process, Integrator& integrator, Branches const& tree,
                           TreePlan const& plan, TreeSink const& sink, Progress const& progress) {
  require(!process.is_reverse(), "trees are for forward processes");
  require(process.noise().is_constant(),
          "branch lengths are times of a process whose rates do not change, so trees need constant noise, not " +
              process.noise().describe());
  require(plan.batch >= 1 && plan.length >= 1, "a simulation needs a batch and a length of at least 1");
  require(static_cast<bool>(plan.start), "a tree needs sequences for its root");
  detail::check(integrator, process);
  process.check_length(plan.length);
  auto const nodes = tree.parent.size();
  require(nodes >= 1 && tree.length.size() == nodes && tree.parent[0] == -1,
          "a tree needs a root, which is node 0, and a length for each node");
  require(plan.keep.empty() || plan.keep.size() == nodes, "a tree of " + std::to_string(nodes) +
                                                              " nodes needs as many values of keep (or none), got " +
                                                              std::to_string(plan.keep.size()));
  std::vector<std::vector<int>> children(nodes);
  std::vector<std::size_t> below(nodes, 1);
  for (std::size_t node = 1; node < nodes; ++node) {
    int const parent = tree.parent[node];
    require(parent >= 0 && static_cast<std::size_t>(parent) < node,
            "node " + std::to_string(node) + " of the tree must come after its parent");
    require(std::isfinite(tree.length[node]) && tree.length[node] >= 0, "the branch to node " + std::to_string(node) +
                                                                            " must have a length of at least 0, got " +
                                                                            to_text(tree.length[node]));
    children[static_cast<std::size_t>(parent)].push_back(static_cast<int>(node));
  }
  for (std::size_t node = nodes; node-- > 1;) below[static_cast<std::size_t>(tree.parent[node])] += below[node];
  // The largest subtree last: it takes over its parent's buffer, so that few are alive at a time.
  for (auto& list : children) {
    std::stable_sort(list.begin(), list.end(), [&](int a, int b) {
      return below[static_cast<std::size_t>(a)] < below[static_cast<std::size_t>(b)];
    });
  }
  // Steps are numbered through the tree: their random numbers depend on the node, not on the order of the visit.
  std::vector<int> first_step(nodes, 0), steps(nodes, 0), kept, slot(nodes, -1);
  double total_steps = 0;
  for (std::size_t node = 0; node < nodes; ++node) {
    if (node > 0 && tree.length[node] > 0) {
      double const asked = plan.step > 0 ? std::max(1.0, std::ceil(tree.length[node] / plan.step - 1e-9)) : 1;
      require(total_steps + asked < 2e9, "the tree needs more than 2e9 steps; take a longer --step");
      steps[node] = static_cast<int>(asked);
    }
    first_step[node] = static_cast<int>(total_steps);
    total_steps += steps[node];
    bool const keep = plan.keep.empty() ? children[node].empty() : plan.keep[node];
    if (keep) {
      slot[node] = static_cast<int>(kept.size());
      kept.push_back(static_cast<int>(node));
    }
  }
  Kokkos::Timer timer;
  auto const batch = std::min(static_cast<std::size_t>(plan.batch), std::max<std::size_t>(plan.samples, 1));
  auto const length = static_cast<std::size_t>(plan.length);
  Extents const extents{static_cast<int>(batch), plan.length};
  process.reserve(extents, integrator.info().slots);
  CounterView const counters(Kokkos::view_alloc(exec, "saltus::integrators::counters"),
                             integrator.reserve(process, extents));
  auto const host_counters = Kokkos::create_mirror_view(counters);
  Times const time(Kokkos::view_alloc(exec, "saltus::integrators::time"), batch);
  Kokkos::View<token_t***, Kokkos::LayoutRight, HostSpace> const out(
      Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::integrators::tree"), kept.size(), batch, length);
  std::vector<Tokens> free;

  SampleReport report;
  while (report.samples < plan.samples) {
    auto const rows = std::make_pair(std::size_t{0}, std::min(batch, plan.samples - report.samples));
    std::uint64_t const first = plan.first_sample + report.samples;
    detail::reset(exec, counters, Kokkos::subview(time, rows), 0);
    auto const state_of = [&](Tokens const& tokens) {
      return State{Kokkos::subview(tokens, rows, Kokkos::ALL), Kokkos::subview(time, rows), {}, first};
    };
    auto const buffer = [&] {
      if (free.empty())
        return Tokens(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "saltus::integrators::tree"), batch,
                      length);
      Tokens const tokens = free.back();
      free.pop_back();
      return tokens;
    };
    struct Visit {
      int node;
      Tokens tokens;  // evolved to the node
      std::size_t next = 0;
    };
    auto const arrive = [&](int node, Tokens const& tokens) {
      int const k = slot[static_cast<std::size_t>(node)];
      if (k >= 0)
        Kokkos::deep_copy(exec, Kokkos::subview(out, k, rows, Kokkos::ALL), Kokkos::subview(tokens, rows, Kokkos::ALL));
      return Visit{node, tokens};
    };
    Tokens const root = buffer();
    plan.start(exec, state_of(root));
    detail::check_tokens(exec, process, state_of(root));
    std::vector<Visit> stack{arrive(0, root)};
    while (!stack.empty()) {
      Visit& here = stack.back();
      auto const& list = children[static_cast<std::size_t>(here.node)];
      if (list.empty()) {
        free.push_back(here.tokens);
        stack.pop_back();
        continue;
      }
      int const child = list[here.next++];
      bool const last = here.next == list.size();
      Tokens const tokens = last ? here.tokens : buffer();
      if (!last) Kokkos::deep_copy(exec, tokens, here.tokens);
      auto const c = static_cast<std::size_t>(child);
      if (steps[c] > 0) {
        StepTable const table(exec, process, TimeGrid::uniform(0, tree.length[c], steps[c]),
                              step_options(integrator, process));
        for (int k = 0; k < steps[c]; ++k) {
          integrator.advance(exec, process, state_of(tokens), table.step(k, first_step[c] + k), StreamKey{plan.seed, 0},
                             counters);
        }
        exec.fence("saltus::integrators: the tables of a branch are about to be freed");
      }
      if (last) stack.pop_back();
      stack.push_back(arrive(child, tokens));
    }
    std::int64_t most = 0;
    Counters const sum = detail::collect(exec, counters, host_counters, process, first, most);
    report.jumps += sum.jumps;
    report.clamps += sum.clamps;
    sink(first, rows.second, kept, out);
    report.samples += rows.second;
    if (progress) progress(report.samples);
  }
  report.seconds = timer.seconds();
  return report;
}

}  // namespace saltus
