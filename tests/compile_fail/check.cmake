# SPDX-License-Identifier: BSD-3-Clause
# cmake -DCOMPILER=... -DFLAGS=<response file> -DSOURCE=... -DDEFECT=none|<macro> -DWORD=... -P check.cmake
# Compiles SOURCE with the macro DEFECT defined and expects errors of which one has WORD in it, or none for 'none'.
set(define)
if(NOT DEFECT STREQUAL "none")
  set(define "-D${DEFECT}")
  file(READ "${SOURCE}" text)
  if(NOT text MATCHES "[^A-Z_]${DEFECT}[^A-Z_]")
    message(FATAL_ERROR "${SOURCE} does not look at ${DEFECT}")
  endif()
endif()
# Warnings are not the point, and some compilers find them in headers of others.
set(command ${COMPILER} "@${FLAGS}" -Wno-error ${define} -fsyntax-only "${SOURCE}")
execute_process(COMMAND ${command} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(DEFECT STREQUAL "none")
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "must compile, but does not:\n${command}\n${output}")
  endif()
elseif(code EQUAL 0)
  message(FATAL_ERROR "must not compile, but does:\n${command}")
elseif(NOT output MATCHES "(error|note): [^\n]*[^A-Za-z_]${WORD}[^A-Za-z_]")
  message(FATAL_ERROR "no error has '${WORD}' in it:\n${output}")
endif()
