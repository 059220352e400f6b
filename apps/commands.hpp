// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include "options.hpp"

namespace saltus::app {

/// Arguments for Kokkos (--kokkos-...), taken out of the command line.
using KokkosArguments = std::vector<std::string>;
KokkosArguments take_kokkos_arguments(std::vector<std::string>& arguments);

// Each command checks its input and output before it starts anything, returns the exit code, and throws what main.cpp
// turns into one.
int run_sample(Options const& options, KokkosArguments kokkos);
int run_compare(Options const& options, KokkosArguments kokkos);
int run_simulate(Options const& options, KokkosArguments kokkos);
int run_distill(Options const& options, KokkosArguments kokkos);
int run_train(Options const& options);
int run_evaluate(Options const& options, KokkosArguments kokkos);
int run_bench(Options const& options, KokkosArguments kokkos);
int run_info(Options const& options);

}  // namespace saltus::app
