# SPDX-License-Identifier: BSD-3-Clause
# Included by tests/CMakeLists.txt: Saltus as a subdirectory and as an installed package of another project. The package
# has to find the Kokkos that it was built with, so that only the subdirectory is told where it is.
string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
foreach(way subdirectory installed)
  set(kokkos "$<$<STREQUAL:${way},subdirectory>:${Kokkos_DIR}>")
  add_test(NAME consumer.${way} COMMAND ${CMAKE_COMMAND} -DWAY=${way} "-DSOURCE=${PROJECT_SOURCE_DIR}"
    "-DBINARY=${PROJECT_BINARY_DIR}" "-DKokkos_DIR=${kokkos}" "-DGENERATOR=${CMAKE_GENERATOR}"
    "-DCOMPILER=${CMAKE_CXX_COMPILER}" "-DLAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER}" "-DBUILD_TYPE=${CMAKE_BUILD_TYPE}"
    "-DFLAGS=${CMAKE_CXX_FLAGS}" "-DFLAGS_OF_TYPE=${CMAKE_CXX_FLAGS_${build_type}}"
    -P "${CMAKE_CURRENT_LIST_DIR}/run.cmake")
  set_tests_properties(consumer.${way} PROPERTIES LABELS build TIMEOUT 900 ENVIRONMENT "${saltus_test_environment}")
endforeach()
