// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include <saltus/models/safetensors.hpp>

#include "torch/table.h"

namespace saltus {

/// Stored tensors as the LibTorch adapter takes them; they borrow. UserError for a scalar type that weights do not have,
/// naming `path` and the tensor.
std::vector<saltus_tensor> network_tensors(std::vector<StoredTensor> const& tensors, std::string const& path);

}  // namespace saltus
