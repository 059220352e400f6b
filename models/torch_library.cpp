// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/torch_library.hpp>

#include <saltus/ctmc/error.hpp>

namespace saltus {

AdapterLibrary const torch_adapter{"libsaltus_torch.so", SALTUS_TORCH_ENTRY, "SALTUS_TORCH_ADAPTER", "the LibTorch adapter",
                                   "learned backbones need the LibTorch adapter, which",
                                   "run ./quickstart.sh without --without-torch"};

saltus_torch_table const& torch_library() {
  static auto const* const table = static_cast<saltus_torch_table const*>(adapter_table(torch_adapter, SALTUS_TORCH_ABI));
  return *table;
}

void throw_torch_error(std::string const& what) { throw UserError(what + ": " + torch_library().last_error()); }

}  // namespace saltus
