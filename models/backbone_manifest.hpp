// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <saltus/ctmc/io/alphabet.hpp>
#include <saltus/ctmc/score_model.hpp>

namespace saltus {

/// What a network's output means.
struct OutputKind {
  char const* name;
  ScoreKind kind;
  bool scaled = false;  ///< log-scores up to the factor alpha / (1 - alpha), before it is added
};
std::vector<OutputKind> const& output_kinds();

/// The manifest of a backbone: FOLDER/model.json (docs/backbones.md).
struct BackboneManifest {
  enum class Format { transformer, torchscript, aoti };

  std::string name;
  Format format = Format::transformer;
  std::string file;  ///< beside the manifest
  int width = 0, layers = 0, heads = 0;  ///< of the transformer
  Alphabet alphabet = Alphabet::numbered(1);  ///< of the data: without the mask
  int length = 0;                        ///< of its sequences
  bool any_length = false;               ///< `length` is only the usual one
  int states = 0;                        ///< those of the alphabet, and the mask, which is the last
  bool masked = true;
  int columns = 0;                       ///< that the network gives a site
  std::vector<std::int64_t> token_ids;   ///< [states] the network's number of each state; empty: the same
  std::string output;                    ///< a name of output_kinds()
  TimeInput time = TimeInput::none;
  bool takes_valid = false;              ///< wants to know which sites are real
  int condition_size = 0;                ///< of a condition vector; 0: takes none
  int fixed_batch = 0;                   ///< the only batch size that the network takes; 0: any
  std::string noise;                     ///< schedule that it was trained with
  std::string generator;                 ///< absorbing, or as saltus --generator takes it
  std::string about;                     ///< JSON object: data, licence, training, quality; passed through

  friend bool operator==(BackboneManifest const&, BackboneManifest const&) = default;
};

/// Throws UserError that names the file, the key, what was expected and what came.
BackboneManifest read_manifest(std::string const& folder);
/// Throws OutputError.
void write_manifest(std::string const& folder, BackboneManifest const& manifest);
/// Whether FOLDER/model.json is a backbone's, rather than a law's.
bool is_backbone(std::string const& folder);

}  // namespace saltus
