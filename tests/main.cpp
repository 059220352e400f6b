// SPDX-License-Identifier: BSD-3-Clause
// The main of every test program: starts Kokkos, on as many threads as --threads N or SALTUS_TEST_THREADS say (default 2).
#include <cstdlib>
#include <cstring>

#include <gtest/gtest.h>
#include <Kokkos_Core.hpp>

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  int threads = 2;
  if (char const* const text = std::getenv("SALTUS_TEST_THREADS")) threads = std::atoi(text);
  for (int i = 1; i + 1 < argc; ++i) {
    if (!std::strcmp(argv[i], "--threads")) threads = std::atoi(argv[i + 1]);
  }
  Kokkos::ScopeGuard const guard(Kokkos::InitializationSettings().set_num_threads(threads).set_disable_warnings(true));
  return RUN_ALL_TESTS();
}
