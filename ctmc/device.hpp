// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include <saltus/ctmc/types.hpp>

namespace saltus {

/// A host vector as a device array. Waits for the copy.
template <class T>
Kokkos::View<T const*, MemorySpace> to_device(ExecSpace const& exec, std::vector<T> const& values, std::string const& label) {
  Kokkos::View<T*, MemorySpace> device(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, label), values.size());
  Kokkos::deep_copy(exec, device, Kokkos::View<T const*, HostSpace, Kokkos::MemoryUnmanaged>(values.data(), values.size()));
  exec.fence("saltus::ctmc: the host side of an array is about to be freed");
  return device;
}

}  // namespace saltus
