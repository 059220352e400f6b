// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <string_view>

namespace saltus::reference {

/// Methods whose tokens tests/method compares one by one with a plain loop on the host: those that neither are exact nor have
/// a law.
inline constexpr std::array<std::string_view, 4> twins{"adaptive", "entropy_bound", "semi_autoregressive", "top_k"};

}  // namespace saltus::reference
