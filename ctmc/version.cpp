// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/version.hpp>

#include <saltus/ctmc/types.hpp>
#include <saltus_git_state.hpp>

namespace saltus {

std::string version() { return SALTUS_VERSION; }
std::string git_state() { return SALTUS_GIT_STATE; }
std::string build_type() { return SALTUS_BUILD_TYPE; }
std::string compiler() { return SALTUS_COMPILER; }
std::string kokkos_version() {
  return std::to_string(KOKKOS_VERSION / 10000) + "." + std::to_string(KOKKOS_VERSION / 100 % 100) + "." +
         std::to_string(KOKKOS_VERSION % 100);
}
std::string backend() { return ExecSpace::name(); }

}  // namespace saltus
