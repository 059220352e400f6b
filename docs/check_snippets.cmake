# SPDX-License-Identifier: BSD-3-Clause
# cmake -DSOURCE=<root of the repository> -P check_snippets.cmake: what pages quote is what is compiled and run.
function(quoted page file)
  file(READ "${SOURCE}/${page}" text)
  file(READ "${SOURCE}/${file}" snippet)
  # C++ files are quoted without their licence line.
  string(REGEX REPLACE "^// SPDX-License-Identifier: BSD-3-Clause\n" "" snippet "${snippet}")
  string(FIND "${text}" "\n${snippet}```" at)
  if(at EQUAL -1)
    message(SEND_ERROR "${page} does not quote ${file} as it is")
  endif()
endfunction()

quoted(README.md examples/01_first_run/main.cpp)
quoted(README.md examples/01_first_run/expected_output.txt)
quoted(docs/add-a-generator.md docs/snippets/add_a_generator.cpp)
quoted(docs/add-a-model.md docs/snippets/add_a_model.cpp)
quoted(docs/add-an-integrator.md integrators/methods/exponential.cpp)
quoted(docs/distill.md docs/snippets/distill.cpp)
quoted(docs/simulate.md docs/snippets/simulate.cpp)
