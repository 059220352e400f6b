// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include "torch/table.h"

namespace saltus {

/// The LibTorch adapter, loaded by the first call and never unloaded. Looked for in SALTUS_TORCH_ADAPTER (a file), beside
/// the program (../lib/saltus, and the same below the name of the architecture) and where the build put it. Throws UserError that says how to
/// get it.
saltus_torch_table const& torch_library();

/// The adapter's message for what just failed, as UserError.
[[noreturn]] void throw_torch_error(std::string const& what);

}  // namespace saltus
