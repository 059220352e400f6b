# SPDX-License-Identifier: BSD-3-Clause
include(CMakePackageConfigHelpers)

get_property(saltus_modules GLOBAL PROPERTY SALTUS_MODULES)
install(TARGETS ${saltus_modules} EXPORT saltusTargets FILE_SET HEADERS
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT saltusTargets NAMESPACE saltus:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/saltus)
math(EXPR saltus_kokkos_next_minor "${Kokkos_VERSION_MINOR} + 1")
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/saltusConfig.cmake.in" "${PROJECT_BINARY_DIR}/saltusConfig.cmake"
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/saltus)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/saltusConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/saltusConfig.cmake" "${PROJECT_BINARY_DIR}/saltusConfigVersion.cmake"
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/saltus)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ctmc/io/LICENSE.CherryML DESTINATION ${CMAKE_INSTALL_DOCDIR})
