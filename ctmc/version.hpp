// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

namespace saltus {

std::string version();         ///< "0.1.0"
std::string git_state();       ///< "1a2b3c4", "1a2b3c4-dirty" or "unknown"
std::string build_type();      ///< "Release"
std::string compiler();        ///< "GNU 12.2.0"
std::string kokkos_version();  ///< "4.7.0"
std::string backend();         ///< name of the execution space, "OpenMP"

}  // namespace saltus
