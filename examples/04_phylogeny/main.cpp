// SPDX-License-Identifier: BSD-3-Clause
// DNA down a tree of four species under Jukes and Cantor's model: pairs of leaves differ at as many sites as the path
// between them says. oracle.py derives every number printed here.
#include <cmath>
#include <cstdio>
#include <vector>

#include <saltus/ctmc/io/generators.hpp>
#include <saltus/ctmc/io/newick.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/simulate.hpp>
#include <saltus/integrators/tree.hpp>

using namespace saltus;

int main() {
  Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  constexpr int sites = 100'000;
  Tree const tree = parse_newick("((deer:0.1,bear:0.3):0.05,(frog:0.4,fish:0.5):0.25);", "example");
  NamedGenerator const model = read_generator("jc69");  // one substitution per unit time
  Process process = Process::forward(model.generator, NoiseSchedule::constant(1, 10));

  Branches branches;
  std::vector<double> depth;
  for (auto const& node : tree.nodes) {
    branches.parent.push_back(node.parent);
    branches.length.push_back(node.length);
    depth.push_back(node.parent < 0 ? 0 : depth[static_cast<std::size_t>(node.parent)] + node.length);
  }
  auto const path = [&](int a, int b) {  // a node has a larger number than its parent
    double const ends = depth[static_cast<std::size_t>(a)] + depth[static_cast<std::size_t>(b)];
    while (a != b) (a > b ? a : b) = branches.parent[static_cast<std::size_t>(a > b ? a : b)];
    return ends - 2 * depth[static_cast<std::size_t>(a)];
  };

  auto const name = [&](int node) { return tree.nodes[static_cast<std::size_t>(node)].name.c_str(); };

  TreePlan plan;
  plan.seed = 1;
  plan.length = sites;
  plan.start = start_from_laws({0.25, 0.25, 0.25, 0.25}, 4, plan.seed);
  auto const integrator = make_integrator("tweedie", process);  // exact: branch by branch from the transition law
  std::printf("pair           path  differ, exactly  simulated so\n");
  TreeSink const sink = [&](std::uint64_t, std::size_t, std::vector<int> const& leaves, auto const& x) {
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      for (std::size_t j = i + 1; j < leaves.size(); ++j) {
        double const t = path(leaves[i], leaves[j]), differ = 1 - model.generator.transition_matrix(t)[0];
        int found = 0;
        for (std::size_t k = 0; k < sites; ++k) found += x(i, 0, k) != x(j, 0, k);
        // 6.2 standard deviations: a correct simulation is further off with probability 6e-10.
        bool const good = std::abs(found - sites * differ) < 6.2 * std::sqrt(sites * differ * (1 - differ));
        char const* const answer = good ? "yes" : "no";
        std::printf("%s and %s  %.2f  %15.6f  %12s\n", name(leaves[i]), name(leaves[j]), t, differ, answer);
      }
    }
  };
  simulate_tree(ExecSpace(), process, *integrator, branches, plan, sink);
}
