// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "model.hpp"

namespace saltus::app {

/// What is done to a model's laws of the clean token before a method sees them, in this order: --guide, --temperature,
/// --top-tokens, --nucleus.
struct Decoration {
  std::optional<Model> guide;
  bool classifier_free = false;  ///< model^(1 + weight) guide^(-weight) rather than model guide^weight
  double weight = 1;
  double temperature = 1;
  int top_tokens = 0;  ///< 0: all
  double nucleus = 1;
  std::string text;    ///< in words; empty: nothing is done

  /// The model that methods get. `at_revealed` as in SequenceLaw::denoiser().
  std::shared_ptr<ScoreModel> denoiser(Model const& model, Generator const& generator, bool at_revealed) const;
};

/// UserError for a guide that does not fit the model, and for a value outside its range.
Decoration read_decoration(Options const& options, Model const& model);

}  // namespace saltus::app
