// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>

#include <saltus/integrators/integrator.hpp>

/// One maker a method, named make_NAME, defined in methods/NAME.cpp; the list is integrators.def.
namespace saltus {
#define SALTUS_INTEGRATOR(name) std::unique_ptr<Integrator> make_##name();
#include <saltus/integrators/integrators.def>
#undef SALTUS_INTEGRATOR
}  // namespace saltus
