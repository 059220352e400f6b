# SPDX-License-Identifier: BSD-3-Clause
# cmake -DCOMMAND="program;arguments" -DEXPECTED=file -DACTUAL=file -P compare_output.cmake
# runs the command and compares what it prints with the file, byte for byte; what it printed is kept in ACTUAL.
execute_process(COMMAND ${COMMAND} OUTPUT_FILE "${ACTUAL}" RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${COMMAND} ended with ${result}")
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -E compare_files "${ACTUAL}" "${EXPECTED}" RESULT_VARIABLE different ERROR_QUIET)
if(different)
  file(READ "${EXPECTED}" expected)
  file(READ "${ACTUAL}" actual)
  message(FATAL_ERROR "the output is not that of ${EXPECTED}\n--- expected\n${expected}--- actual (${ACTUAL})\n${actual}")
endif()
