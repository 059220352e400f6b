# SPDX-License-Identifier: BSD-3-Clause
# SALTUS_PACKAGE (preset 'package'): 'cpack' makes a .deb of the program that needs nothing but Debian 12. Kokkos, and what it
# was linked with outside of the system's folders (an OpenMP library), go to lib/saltus.
get_target_property(kokkos_type Kokkos::kokkoscore TYPE)
if(NOT kokkos_type STREQUAL "SHARED_LIBRARY")
  message(FATAL_ERROR "SALTUS_PACKAGE takes a shared Kokkos along; this one is a ${kokkos_type}. Leave Kokkos_ROOT away, or build it with BUILD_SHARED_LIBS")
endif()
set(libraries "${CMAKE_INSTALL_LIBDIR}/saltus")
install(CODE "
  file(GET_RUNTIME_DEPENDENCIES LIBRARIES \"$<TARGET_FILE:Kokkos::kokkoscore>\" RESOLVED_DEPENDENCIES_VAR found
    POST_EXCLUDE_REGEXES \"^/lib\" \"^/usr/lib\")
  file(INSTALL \"$<TARGET_SONAME_FILE:Kokkos::kokkoscore>\" \${found} DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${libraries}\"
    TYPE SHARED_LIBRARY FOLLOW_SYMLINK_CHAIN)" COMPONENT program)
install(FILES "${PROJECT_SOURCE_DIR}/apps/package/copyright" "${PROJECT_SOURCE_DIR}/ctmc/io/LICENSE.CherryML"
  DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/saltus COMPONENT program)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME saltus)
set(CPACK_PACKAGE_VENDOR "the developers of Saltus")
set(CPACK_PACKAGE_CONTACT "the developers of Saltus")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL program)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME saltus)
set(CPACK_DEBIAN_PROGRAM_FILE_NAME "saltus_${PROJECT_VERSION}_amd64.deb")
set(CPACK_DEBIAN_PROGRAM_DESCRIPTION "${PROJECT_DESCRIPTION}
 Simulates any continuous-time Markov chain forwards and samples discrete diffusion
 models in reverse, with exact and approximate integrators whose error is measured.
 Networks need LibTorch, runs of several ranks need Open MPI.")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE amd64)
# What Debian 12 calls the libraries that the program is linked with; the two adapters are loaded on demand only.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6 (>= 2.36), libstdc++6 (>= 12), libgcc-s1, libgomp1, libboost-program-options1.74.0")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "gnuplot-nox")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libopenmpi3, openmpi-bin, python3-rdkit, python3-torch")
set(CPACK_STRIP_FILES ON)
include(CPack)
