// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <saltus/ctmc/io/sequences.hpp>

#include "logo.hpp"
#include "molecules.hpp"
#include "options.hpp"
#include "output_folder.hpp"
#include "sequence_statistics.hpp"

namespace saltus::app {

using Json = nlohmann::ordered_json;

/// One number that samples are judged by, and the same of held-out reference sequences; docs/evaluate.md says what each
/// is.
struct EvaluationRow {
  std::string section, name, title;
  std::optional<Estimate> samples, held;
  int decimals = 4;
  bool more_is_fine = false;  ///< a larger value of the samples is no difference to be told
  std::string note{};         ///< why there is no number

  /// Whether the samples' interval, or their value where there is none, does not meet the interval of the held-out
  /// ones.
  bool apart() const;
};

/// What samples are judged against.
struct EvaluationData {
  SequenceFiles files;
  RaggedSequences const& sample_set() const { return files.sets[0]; }
  RaggedSequences const& reference_set() const { return files.sets[1]; }
  std::string kind;               ///< "sequences", "smiles" or "words"
  bool aligned = false;           ///< sequences of one length whose sites mean something
  bool one_length = false;        ///< all sequences, also those without sites that mean something
  bool held_is_reference = true;  ///< held-out sequences were taken from the reference; else they are those of --valid
  Sequences samples, reference;
  Sequences held, rest;  ///< real sequences that are judged as samples are; what they are judged against
  std::vector<Sequences> held_parts, sample_parts;  ///< of one size, for distances, which depend on it
  Sequences judge_data;                             ///< empty: rest
};

/// Everything that was found out; table, files and report follow from it.
struct Evaluation {
  std::string title;
  std::vector<std::string> remarks;  ///< sentences: what the held-out sequences are, what was left out
  std::vector<EvaluationRow> rows;
  std::vector<BarChart> charts{};
  std::optional<AlignmentFit> fit{};
  std::optional<Molecules> molecules{};
};

/// Reads the files that the options name. UserError for what does not fit together; no Kokkos yet.
EvaluationData read_evaluation(Options const& options);
/// Needs Kokkos.
Evaluation evaluate(EvaluationData const& data, Options const& options);

/// The table for a terminal, to standard output.
void print_evaluation(Evaluation const& evaluation);
std::string evaluation_csv(Evaluation const& evaluation);
Json evaluation_json(Evaluation const& evaluation, EvaluationData const& data, Options const& options);
/// report.html: the table, histograms, logos or molecules, and how to get it again.
std::string evaluation_page(Evaluation const& evaluation, EvaluationData const& data, Options const& options);

}  // namespace saltus::app
