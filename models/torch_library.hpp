// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include <saltus/models/adapter_library.hpp>

#include "torch/table.h"

namespace saltus {

extern AdapterLibrary const torch_adapter;

/// The LibTorch adapter, loaded by the first call. Throws as adapter_table().
saltus_torch_table const& torch_library();

/// The adapter's message for what just failed, as UserError.
[[noreturn]] void throw_torch_error(std::string const& what);

}  // namespace saltus
