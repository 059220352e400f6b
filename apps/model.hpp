// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <saltus/ctmc/generator.hpp>
#include <saltus/models/backbone.hpp>
#include <saltus/models/model_file.hpp>

#include "options.hpp"

namespace saltus::app {

/// What --model or --guide names: a law that is known, or a network in a folder.
struct Model {
  std::shared_ptr<SequenceLaw const> law;  ///< null: a network
  std::optional<BackboneManifest> network;
  std::string folder;                      ///< of the network
  BackboneOptions how;                     ///< it runs
  Alphabet alphabet;
  int length = 0;                          ///< of its sequences
  std::string source;                      ///< in words: what it was made from

  std::string name() const { return network ? network->name : law->name(); }
  int tokens() const { return alphabet.size(); }
  /// Its scores; `at_revealed` as in SequenceLaw::denoiser(). Needs Kokkos. UserError for a network of which that, or
  /// another generator than its own, is asked.
  std::shared_ptr<ScoreModel> denoiser(Generator const& generator, bool at_revealed) const;
};

/// The names that --model knows besides folders: laws, and the networks that come with the program.
std::vector<std::string> model_names();
/// Reads and fits what --model says. UserError as the options deserve.
Model read_model(Options const& options);
/// A model from a file: a folder with a model.json, table:FILE, or the name of a network that comes with the program.
/// UserError for anything else.
Model read_stored_model(std::string const& name, Options const& options);

/// The token that a number or a word of the alphabet stands for; nothing if there is none.
std::optional<token_t> token_of(std::string_view item, Alphabet const& alphabet);
/// The tokens of a text, filled up with the pad if there is one; nothing if the model's sequences cannot be this one.
std::optional<std::vector<token_t>> encode(Model const& model, std::string_view text);

/// Whether both write the same tokens.
bool same_tokens(Alphabet const& one, Alphabet const& other);

}  // namespace saltus::app
