// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>

#include <saltus/ctmc/parameters.hpp>
#include <saltus/integrators/integrator.hpp>

/// One maker a method, named make_NAME, defined in methods/NAME.cpp; the list is integrators.def. It refuses parameters that
/// it does not know.
namespace saltus {
#define SALTUS_INTEGRATOR(name) std::unique_ptr<Integrator> make_##name(Parameters const& parameters);
#include <saltus/integrators/integrators.def>
#undef SALTUS_INTEGRATOR
}  // namespace saltus
