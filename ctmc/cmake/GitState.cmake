# SPDX-License-Identifier: BSD-3-Clause
# cmake -DSOURCE=... -DOUTPUT=... -P GitState.cmake: writes the state of the checkout, only if it changed.
execute_process(COMMAND git -C "${SOURCE}" describe --always --dirty --abbrev=7
  OUTPUT_VARIABLE state OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR NOT state)
  set(state "unknown")
endif()
file(CONFIGURE OUTPUT "${OUTPUT}" CONTENT "#define SALTUS_GIT_STATE \"${state}\"\n")
