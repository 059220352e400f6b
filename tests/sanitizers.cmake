# SPDX-License-Identifier: BSD-3-Clause
# cmake -DSOURCE=<repository> -DBINARY=<build tree> -DCOMPILER=... -DLAUNCHER=... [-DKokkos_DIR=...] -P sanitizers.cmake
# Builds the flags of the preset asan in BINARY/sanitizers and runs its programs of tests: AddressSanitizer and
# UndefinedBehaviorSanitizer, of which any report ends the program. (ThreadSanitizer reports races inside of OpenMP that are none, and there are no threads of our own.)
# Those of methods take as long as all others together, which CI does not have: ./test.sh --preset asan -L method.
set(work "${BINARY}/sanitizers")
include("${CMAKE_CURRENT_LIST_DIR}/run_command.cmake")

set(arguments "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" -DSALTUS_TORCH=OFF -DSALTUS_MPI=OFF -DSALTUS_BUILD_EXAMPLES=OFF
  "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1")
if(Kokkos_DIR)
  list(APPEND arguments "-DKokkos_DIR=${Kokkos_DIR}")
endif()
run(${CMAKE_COMMAND} --preset asan -S "${SOURCE}" -B "${work}" ${arguments})
set(kinds unit learnable tools)
set(parsers sequences tokens table npy generator generator_name newick process manifest law schedule safetensors)
list(TRANSFORM kinds REPLACE "(.+)" "saltus_\\1_tests" OUTPUT_VARIABLE targets)
list(TRANSFORM parsers REPLACE "(.+)" "saltus_fuzz_\\1" OUTPUT_VARIABLE programs)
run(${CMAKE_COMMAND} --build "${work}" --target ${targets} ${programs})
set(ENV{ASAN_OPTIONS} "detect_leaks=0:allocator_may_return_null=1:malloc_context_size=10")
set(ENV{UBSAN_OPTIONS} "print_stacktrace=1")
foreach(target ${targets})
  run("${work}/tests/${target}" --gtest_brief=1)
endforeach()
foreach(parser ${parsers})
  run("${work}/tests/fuzz/${parser}" 2 2 "${SOURCE}/tests/fuzz/corpus/${parser}")
endforeach()
