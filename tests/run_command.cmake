# SPDX-License-Identifier: BSD-3-Clause
# run(COMMAND ...): shows and runs it; ends the script unless it ends well.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code COMMAND_ECHO STDOUT)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "exit code ${code}")
  endif()
endfunction()
