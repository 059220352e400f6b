# SPDX-License-Identifier: BSD-3-Clause
# Flags of our own targets and the one function that makes a module.

# Kokkos' package turns GNU extensions on unless this is set before it is found.
set(CMAKE_CXX_EXTENSIONS OFF)
if(PROJECT_IS_TOP_LEVEL)
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
  endif()
  find_program(SALTUS_CCACHE ccache)
  if(SALTUS_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${SALTUS_CCACHE}")
  endif()
endif()

# Private flags of every target that we compile. -Wrestrict is off because g++ 12 sees overlaps in std::string that are
# not there (GCC bug 105651). The two -fno flags change no result: they say that nobody reads errno
# or the floating-point exception flags, without which loops with comparisons are not vectorised.
function(saltus_compile_options target)
  target_compile_options(${target} PRIVATE
    $<$<CXX_COMPILER_ID:GNU,Clang>:-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wno-restrict -fno-math-errno -fno-trapping-math>
    $<$<AND:$<BOOL:${SALTUS_WARNINGS_AS_ERRORS}>,$<CXX_COMPILER_ID:GNU,Clang>>:-Werror>
    $<$<AND:$<BOOL:${SALTUS_NATIVE}>,$<CXX_COMPILER_ID:GNU,Clang>>:-march=native>
    # g++ 12.2 with AVX-512 copies {.5, .5, 0, 0} as {.5, .5, .5, .5} through this pass; our loops do not need it.
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-fno-tree-slp-vectorize>)
  if(SALTUS_WARNINGS_AS_ERRORS AND Kokkos_CXX_COMPILER_ID STREQUAL "NVIDIA")
    foreach(number 20011 20013 20014 20015)  # calls of what is for the host alone in code for the device, which nvcc lets pass
      target_compile_options(${target} PRIVATE "SHELL:-Xcudafe --diag_error=${number}")
    endforeach()
  endif()
endfunction()

# saltus_module(NAME SOURCES a.cpp ... HEADERS a.hpp ... LINK target ...)
# makes the library saltus::NAME. Headers and sources stand side by side; users write <saltus/NAME/a.hpp>, which the
# build tree serves through one symbolic link per module and the install tree through the file set.
function(saltus_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS;LINK;PRIVATE_LINK" ${ARGN})
  set(include_dir "${PROJECT_BINARY_DIR}/include")
  file(MAKE_DIRECTORY "${include_dir}/saltus")
  file(CREATE_LINK "${CMAKE_CURRENT_SOURCE_DIR}" "${include_dir}/saltus/${name}" SYMBOLIC)
  list(TRANSFORM ARG_HEADERS PREPEND "${include_dir}/saltus/${name}/")
  add_library(saltus_${name} ${ARG_SOURCES})
  add_library(saltus::${name} ALIAS saltus_${name})
  target_sources(saltus_${name} PUBLIC FILE_SET HEADERS BASE_DIRS "${include_dir}" FILES ${ARG_HEADERS})
  target_compile_features(saltus_${name} PUBLIC cxx_std_20)
  set_target_properties(saltus_${name} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON
    VERIFY_INTERFACE_HEADER_SETS ${PROJECT_IS_TOP_LEVEL})
  target_link_libraries(saltus_${name} PUBLIC ${ARG_LINK} PRIVATE ${ARG_PRIVATE_LINK})
  saltus_compile_options(saltus_${name})
  set_property(GLOBAL APPEND PROPERTY SALTUS_MODULES saltus_${name})
endfunction()
