// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/torch_library.hpp>

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include <saltus/ctmc/error.hpp>

namespace saltus {
namespace {

constexpr char const* file_name = "libsaltus_torch.so";

std::vector<std::string> places() {
  if (char const* const given = std::getenv("SALTUS_TORCH_ADAPTER"); given && *given) return {given};
  std::vector<std::string> found;
  std::error_code error;
  auto const program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    auto const lib = program.parent_path().parent_path() / "lib";
    found.push_back((lib / "saltus" / file_name).string());
    found.push_back((lib / SALTUS_ARCHITECTURE / "saltus" / file_name).string());
  }
  found.push_back(std::string(SALTUS_TORCH_FOLDER) + "/" + file_name);
  return found;
}

saltus_torch_table const* load() {
  std::string tried;
  for (auto const& place : places()) {
    if (!std::filesystem::exists(place)) {
      tried += (tried.empty() ? "" : ", ") + place;
      continue;
    }
    // Local, so that LibTorch's symbols meet nobody else's; never closed, since LibTorch has threads of its own.
    void* const library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw UserError(std::string("the LibTorch adapter does not load: ") + dlerror());
    auto const entry = reinterpret_cast<saltus_torch_entry>(dlsym(library, SALTUS_TORCH_ENTRY));
    require(entry != nullptr, "'" + place + "' is not the LibTorch adapter of Saltus");
    saltus_torch_table const* const table = entry();
    require(table->abi_version == SALTUS_TORCH_ABI, "'" + place + "' belongs to another version of Saltus (interface " +
                                                        std::to_string(table->abi_version) + ", expected " +
                                                        std::to_string(SALTUS_TORCH_ABI) + "); build both together");
    return table;
  }
  throw UserError("learned backbones need the LibTorch adapter, which this build does not have (looked for " + tried +
                  "); run ./quickstart.sh without --without-torch, or name the file in SALTUS_TORCH_ADAPTER");
}

}  // namespace

saltus_torch_table const& torch_library() {
  static saltus_torch_table const* const table = load();
  return *table;
}

void throw_torch_error(std::string const& what) { throw UserError(what + ": " + torch_library().last_error()); }

}  // namespace saltus
