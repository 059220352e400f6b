// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>

#include <saltus/integrators/particles.hpp>

#include "problem.hpp"

namespace saltus::app {

/// The options --particles, --reward, --strength, --power, --selection of 'sample'; nothing without --particles. `run`: the
/// plan of the particles. UserError as the options deserve. Needs Kokkos.
std::optional<ParticlePlan> read_reweighting(Options const& options, Problem const& problem, SamplePlan const& run);

/// Draws plan.run.samples groups and appends one sequence of each, drawn by weight. Adds what came of it to `summary`.
/// NumericalError if a group has no weight.
ParticleReport run_reweighting(Process const& process, Integrator& integrator, ParticlePlan const& plan,
                               SequenceWriter& writer, Progress const& progress, Json& summary);

}  // namespace saltus::app
