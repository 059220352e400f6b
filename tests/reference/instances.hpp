// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <type_traits>

#include <saltus/ctmc/types.hpp>

/// Instances of the backend that kernels run on.
namespace saltus::reference {

/// Whether that is OpenMP; a build for a device may have OpenMP besides, for the host.
#ifdef KOKKOS_ENABLE_OPENMP
inline constexpr bool on_threads = std::is_same_v<ExecSpace, Kokkos::OpenMP>;
#else
inline constexpr bool on_threads = false;
#endif

/// One that is not the default one: of a single thread, or another stream of the device.
template <class Space = ExecSpace>
Space another_instance() {
  if constexpr (std::is_constructible_v<Space, int>) {
    return Space(1);  // partition_space() gives none where there is only one thread
  } else {
    return Kokkos::Experimental::partition_space(Space(), 1, 1)[1];
  }
}

}  // namespace saltus::reference
