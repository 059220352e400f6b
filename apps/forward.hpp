// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <saltus/ctmc/io/generators.hpp>
#include <saltus/integrators/simulate.hpp>

#include "problem.hpp"

namespace saltus::app {

/// A forward process as a person describes it, by options or by a process file: texts as the options take them.
struct ProcessText {
  std::string generator;               ///< name with parameters, or file; empty if `matrix` is given
  std::vector<std::vector<double>> matrix;
  std::vector<std::string> names;      ///< of the matrix's states; may be empty
  bool fix_diagonal = false, normalise = false;
  std::string alphabet;                ///< empty: the generator's own
  std::string noise = "constant:rate=1,end=inf";
  std::string site_rates;              ///< empty: none
  std::string start;                   ///< a sequence, "stationary", "table:FILE" or a file; empty if `law` is given
  std::vector<double> law;             ///< of every site
  int length = 0;                      ///< 0: that of the start
};

/// The options --process, --generator, --noise, ... of a command. UserError that names file and key, with the nearest key
/// for one that is not known.
ProcessText read_process_text(Options const& options);
/// What --process reads back.
std::string process_json(ProcessText const& text);

/// Everything read and checked; no Kokkos yet.
struct ForwardProblem {
  ProcessText text;
  NamedGenerator named;
  NoiseSchedule noise;
  SiteRates site_rates;
  int length = 1;
  std::vector<token_t> rows;        ///< [count, length]: given starts, or
  std::vector<double> laws;         ///< [1 or length, states]: laws of the start
  std::string start_text;           ///< in words

  Process process() const { return Process::forward(named.generator, noise, site_rates); }
  Start start(std::uint64_t seed) const;
  /// [length, states]: the law of each site at the start; UserError if there are several given starts.
  std::vector<double> start_laws() const;
};
ForwardProblem read_forward(Options const& options);

/// --times: numbers, increasing, and ranges FROM:TO:STEP.
std::vector<double> read_times(Options const& options);

/// The notes of a problem, to standard error unless --quiet.
void print_notes(Options const& options, std::vector<std::string> const& notes);

/// Version, machine and every option, for summaries.
Json run_header(Options const& options, ForwardProblem const& problem);

}  // namespace saltus::app
