// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>

#include <Kokkos_Core.hpp>

namespace saltus::app {

/// Calls body(0) to body(count - 1) on the host's threads, in any order, and waits. Needs Kokkos.
template <class Body>
void on_host(char const* label, std::size_t count, Body const& body) {
  Kokkos::parallel_for(
      label, Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace, Kokkos::Schedule<Kokkos::Dynamic>>(0, count), body);
  Kokkos::fence("saltus::apps: statistics are read on the host");
}

}  // namespace saltus::app
