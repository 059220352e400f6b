# SPDX-License-Identifier: BSD-3-Clause
# cmake -DWAY=subdirectory|installed -DSOURCE=<repository> -DBINARY=<build tree> -DKokkos_DIR=... -P run.cmake
#   [-DGENERATOR=... -DCOMPILER=... -DLAUNCHER=... -DBUILD_TYPE=... -DFLAGS=... -DFLAGS_OF_TYPE=...]
# Configures, builds and runs the consumer below BINARY/tests/consumer; for 'installed' the build tree, which must be
# built, is installed there first.
foreach(name WAY SOURCE BINARY)
  if(NOT ${name})
    message(FATAL_ERROR "run.cmake needs -D${name}=...")
  endif()
endforeach()
set(work "${BINARY}/tests/consumer/${WAY}")
file(REMOVE_RECURSE "${work}/prefix" "${work}/build/CMakeCache.txt")
file(MAKE_DIRECTORY "${work}")

include("${CMAKE_CURRENT_LIST_DIR}/../run_command.cmake")

set(arguments -S "${CMAKE_CURRENT_LIST_DIR}" -B "${work}/build" "-DCONSUME=${WAY}")
foreach(pair GENERATOR:-G BUILD_TYPE:-DCMAKE_BUILD_TYPE= COMPILER:-DCMAKE_CXX_COMPILER=
    LAUNCHER:-DCMAKE_CXX_COMPILER_LAUNCHER= FLAGS:-DCMAKE_CXX_FLAGS= Kokkos_DIR:-DKokkos_DIR=)
  string(REGEX MATCH "^([^:]+):(.*)$" matched "${pair}")
  if(DEFINED ${CMAKE_MATCH_1} AND NOT "${${CMAKE_MATCH_1}}" STREQUAL "")
    list(APPEND arguments "${CMAKE_MATCH_2}${${CMAKE_MATCH_1}}")
  endif()
endforeach()
if(WAY STREQUAL "subdirectory")
  set(FLAGS_OF_TYPE "-O0")  # builds the library anew, to see that it builds
endif()
if(DEFINED FLAGS_OF_TYPE AND BUILD_TYPE)
  string(TOUPPER "${BUILD_TYPE}" type)
  list(APPEND arguments "-DCMAKE_CXX_FLAGS_${type}=${FLAGS_OF_TYPE}")
endif()

if(WAY STREQUAL "subdirectory")
  list(APPEND arguments "-DSALTUS_SOURCE=${SOURCE}")
else()
  run(${CMAKE_COMMAND} --install "${BINARY}" --prefix "${work}/prefix")
  # Moved, so that a path of the installation that is fixed shows.
  file(REMOVE_RECURSE "${work}/moved")
  file(RENAME "${work}/prefix" "${work}/moved")
  list(APPEND arguments "-DCMAKE_PREFIX_PATH=${work}/moved" "-DFORBIDDEN=${SOURCE};${work}/prefix")
  file(GLOB_RECURSE links LIST_DIRECTORIES true "${work}/moved/*")
  foreach(link ${links})
    if(IS_SYMLINK "${link}")
      message(FATAL_ERROR "${link} is a symbolic link")
    endif()
  endforeach()
  file(GLOB programs "${work}/moved/bin/saltus")
  if(programs)
    run("${programs}" --version)
  endif()
endif()
run(${CMAKE_COMMAND} ${arguments})
run(${CMAKE_COMMAND} --build "${work}/build" --target consumer)
run("${work}/build/consumer")
