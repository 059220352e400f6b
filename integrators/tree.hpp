// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <vector>

#include <saltus/integrators/sampler.hpp>

namespace saltus {

/// A rooted tree as simulation sees it: parents come before their children, node 0 is the root.
struct Branches {
  std::vector<int> parent;     ///< [nodes]; -1 for the root
  std::vector<double> length;  ///< [nodes], >= 0, in units of the process' time; that of the root is not used
};

struct TreePlan {
  double step = 0;                 ///< longest step of a fixed-step method; 0: one step a branch
  std::uint64_t seed = 0;
  std::size_t samples = 1;
  int length = 1;
  int batch = 16;                  ///< samples at a time; results do not depend on it
  std::uint64_t first_sample = 0;
  Start start;                     ///< of the root; required
  std::vector<bool> keep;          ///< [nodes]: whose sequences are handed over; empty: those of the leaves
};

/// Sequences of the kept nodes of a batch: tokens [kept nodes, in the order of their numbers; >= rows; length].
using TreeSink = std::function<void(std::uint64_t first_sample, std::size_t rows, std::vector<int> const& nodes,
                                    Kokkos::View<token_t const***, Kokkos::LayoutRight, HostSpace> const& tokens)>;

/// Evolves root sequences down a tree: each branch is a run of the forward process over its length, with random numbers of
/// its own. Needs a process whose noise is constant (time on the tree is not that of a schedule). Memory: kept nodes plus
/// O(log nodes) buffers of a batch. Errors and determinism as sample().
SampleReport simulate_tree(ExecSpace const& exec, Process& process, Integrator& integrator, Branches const& tree,
                           TreePlan const& plan, TreeSink const& sink, Progress const& progress = {});

}  // namespace saltus
