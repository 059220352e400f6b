// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>

#include <saltus/integrators/integrator.hpp>

namespace saltus {

/// What a reverse run does after its grid, by one more evaluation where the grid ends (A§7.3).
enum class LastStep {
  none,    ///< nothing
  sample,  ///< draws each site from its law at t = 0 with the others frozen: tweedie's step to 0; no mask is left
  argmax   ///< takes the most probable token of that law, the first of equals: lowers the entropy
};

/// The integrator of that step; null for none.
std::unique_ptr<Integrator> make_last_step(LastStep last);

}  // namespace saltus
