# SPDX-License-Identifier: BSD-3-Clause
# Order of search for Kokkos: an existing target, the user's own (Kokkos_ROOT, CMAKE_PREFIX_PATH), what quickstart.sh
# put into .venv, then (off by default) the upstream release.
if(NOT TARGET Kokkos::kokkos)
  find_package(Kokkos 4.2...<6 CONFIG QUIET)
  if(NOT Kokkos_FOUND)
    # The wheel keeps its CMake files under lib64, which Debian's CMake does not search; its prefix must stay off
    # CMAKE_PREFIX_PATH because it also carries a GoogleTest.
    file(GLOB saltus_wheel_kokkos
      "${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/pygenten/lib64/cmake/Kokkos")
    if(saltus_wheel_kokkos)
      find_package(Kokkos 4.2...<6 CONFIG QUIET PATHS ${saltus_wheel_kokkos} NO_DEFAULT_PATH)
    endif()
  endif()
  if(NOT Kokkos_FOUND AND SALTUS_FETCH_KOKKOS)
    include(FetchContent)
    set(Kokkos_ENABLE_OPENMP ON CACHE BOOL "")
    FetchContent_Declare(kokkos GIT_REPOSITORY https://github.com/kokkos/kokkos.git GIT_TAG 4.7.00 GIT_SHALLOW ON)
    FetchContent_MakeAvailable(kokkos)
  elseif(NOT Kokkos_FOUND)
    message(FATAL_ERROR
      "Saltus needs Kokkos 4.2 or newer; none was found.\n"
      "Run ./quickstart.sh (it installs one into .venv), or pass -DKokkos_ROOT=<prefix of your Kokkos>, "
      "or -DSALTUS_FETCH_KOKKOS=ON on an open network.")
  endif()
endif()

# LibTorch is for the adapter alone: the user's own (Torch_ROOT, CMAKE_PREFIX_PATH), or that of .venv, or none.
option(SALTUS_TORCH "Build the LibTorch adapter (learned backbones) if LibTorch is found" ON)
if(SALTUS_TORCH)
  find_package(Torch CONFIG QUIET)
  if(NOT Torch_FOUND)
    file(GLOB saltus_wheel_torch "${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch/share/cmake/Torch")
    if(saltus_wheel_torch)
      find_package(Torch CONFIG QUIET PATHS ${saltus_wheel_torch} NO_DEFAULT_PATH)
    endif()
  endif()
endif()

# MPI is for the program alone, to run as several ranks: its C interface, or none.
option(SALTUS_MPI "Build the MPI adapter (runs of several ranks) if an MPI is found" ON)
if(SALTUS_MPI AND SALTUS_BUILD_APPS)
  find_package(MPI QUIET COMPONENTS CXX)
endif()

find_package(nlohmann_json 3.9 REQUIRED)
find_package(Eigen3 3.3 REQUIRED)
find_package(Boost 1.74 REQUIRED)
if(SALTUS_BUILD_APPS)
  find_package(Boost 1.74 REQUIRED COMPONENTS program_options)
endif()
if(SALTUS_BUILD_TESTS)
  find_package(GTest 1.12 REQUIRED)
endif()

function(saltus_feature_summary)
  if(NOT PROJECT_IS_TOP_LEVEL)
    return()
  endif()
  get_target_property(kokkos_dirs Kokkos::kokkoscore INTERFACE_INCLUDE_DIRECTORIES)
  file(GLOB torch "${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch/share/cmake/Torch")
  if(NOT torch)
    set(torch "not installed (only needed by learned backbones)")
  endif()
  message(STATUS "Saltus ${PROJECT_VERSION} (${CMAKE_BUILD_TYPE})")
  message(STATUS "  Kokkos    ${Kokkos_VERSION} with ${Kokkos_DEVICES}: ${kokkos_dirs}")
  message(STATUS "  LibTorch  ${torch}")
  if(MPI_CXX_FOUND)
    message(STATUS "  MPI       ${MPI_CXX_VERSION}: ${MPI_CXX_HEADER_DIR}")
  else()
    message(STATUS "  MPI       none (only needed by runs of several ranks)")
  endif()
  message(STATUS "  apps ${SALTUS_BUILD_APPS}, tests ${SALTUS_BUILD_TESTS}, examples ${SALTUS_BUILD_EXAMPLES}, "
    "-march=native ${SALTUS_NATIVE}")
endfunction()
