// SPDX-License-Identifier: BSD-3-Clause
#pragma once

/// <saltus/saltus.hpp>: what a program that simulates and samples needs. Headers for writing integrators and models of one's own
/// (field.hpp, site_law.hpp, ...) are included by name.
#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/alphabet.hpp>
#include <saltus/ctmc/io/generators.hpp>
#include <saltus/ctmc/io/newick.hpp>
#include <saltus/ctmc/io/npy.hpp>
#include <saltus/ctmc/io/sequences.hpp>
#include <saltus/ctmc/process.hpp>
#include <saltus/ctmc/version.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/particles.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/integrators/simulate.hpp>
#include <saltus/integrators/statistics.hpp>
#include <saltus/integrators/tree.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/schedule_file.hpp>
#include <saltus/learnable/scheduled.hpp>
#include <saltus/models/backbone.hpp>
#include <saltus/models/decorators.hpp>
#include <saltus/models/hidden_markov.hpp>
#include <saltus/models/information_profile.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/markov_tree.hpp>
#include <saltus/models/model_file.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>
