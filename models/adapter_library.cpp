// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/adapter_library.hpp>

#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include <saltus/ctmc/error.hpp>

namespace saltus {
namespace {

std::vector<std::string> places(AdapterLibrary const& library) {
  if (char const* const given = std::getenv(library.environment); given && *given) return {given};
  std::vector<std::string> found;
  std::error_code error;
  auto const program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    auto const lib = program.parent_path().parent_path() / "lib";
    found.push_back((lib / "saltus" / library.file).string());
    found.push_back((lib / SALTUS_ARCHITECTURE / "saltus" / library.file).string());
  }
  found.push_back(std::string(SALTUS_ADAPTER_FOLDER) + "/" + library.file);
  return found;
}

}  // namespace

std::string adapter_file(AdapterLibrary const& library) {
  for (auto const& place : places(library)) {
    if (std::filesystem::exists(place)) return place;
  }
  return "";
}

void const* adapter_table(AdapterLibrary const& library, int abi_version) {
  std::string const name = library.name;
  std::string const place = adapter_file(library);
  if (place.empty()) {
    std::string tried;
    for (auto const& one : places(library)) tried += (tried.empty() ? "" : ", ") + one;
    throw UserError(std::string(library.missing) + " this build does not have (looked for " + tried + "); " + library.remedy +
                    ", or name the file in " + library.environment);
  }
  // Local, so that its libraries' symbols meet nobody else's; never closed, since they have threads of their own.
  void* const handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw UserError(name + " does not load: " + dlerror() + " (LD_LIBRARY_PATH may lead to what it needs)");
  auto const entry = reinterpret_cast<void const* (*)()>(dlsym(handle, library.symbol));
  require(entry != nullptr, "'" + place + "' is not " + name + " of Saltus");
  void const* const table = entry();
  std::int32_t const version = *static_cast<std::int32_t const*>(table);
  require(version == abi_version, "'" + place + "' belongs to another version of Saltus (interface " + std::to_string(version) +
                                      ", expected " + std::to_string(abi_version) + "); build both together");
  return table;
}

}  // namespace saltus
