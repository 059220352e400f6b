// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <memory>

#include <saltus/integrators/simulate.hpp>
#include <saltus/integrators/tree.hpp>

#include "ranks.hpp"

/// Runs whose samples are dealt out to the ranks: the first rank's sink gets what it would get if it were the only one, in the
/// same order, and the report is the first rank's alone. With one rank they are sample(), simulate() and simulate_tree().
namespace saltus::app {

/// `network_rows`, if it is not null, is added the rows that networks of all ranks were evaluated at; `after` is called at
/// the first rank after each portion, with the report so far, once the sink has all of it.
SampleReport sample_by_ranks(Ranks& ranks, Process& process, Integrator& integrator, SamplePlan const& plan, Sink const& sink,
                             Progress const& progress = {}, std::int64_t* network_rows = nullptr,
                             std::function<void(SampleReport const&)> const& after = {});

SampleReport simulate_by_ranks(Ranks& ranks, Process& process, Integrator& integrator, SimulationPlan const& plan,
                               SightSink const& sink, Progress const& progress = {},
                               std::function<void(SampleReport const&)> const& after = {});

SampleReport simulate_tree_by_ranks(Ranks& ranks, Process& process, Integrator& integrator, Branches const& tree,
                                    TreePlan const& plan, TreeSink const& sink, Progress const& progress = {},
                                    std::function<void(SampleReport const&)> const& after = {});

/// Both reports as one run.
SampleReport together(SampleReport const& one, SampleReport const& other);

/// A model whose evaluations are shared among the ranks: each evaluates some of the rows, and all get all of them. For runs
/// that every rank goes through whole, with the same random numbers (distill). One rank: the model itself.
std::shared_ptr<ScoreModel> evaluated_by_ranks(Ranks& ranks, std::shared_ptr<ScoreModel> model);

}  // namespace saltus::app
