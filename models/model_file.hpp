// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <string>

#include <saltus/ctmc/io/alphabet.hpp>
#include <saltus/models/sequence_law.hpp>

namespace saltus {

/// A law with the alphabet that its tokens are written in.
struct NamedLaw {
  std::shared_ptr<SequenceLaw const> law;
  Alphabet alphabet;
};

/// Writes folder/model.json (parameters included, read back bit for bit); makes the folder. `source` says in words what the
/// law was made from. OutputError if it cannot be written; UserError for a law without a file format (table).
void save_law(std::string const& folder, NamedLaw const& law, std::string const& source);

/// Reads what save_law() wrote. UserError that names the file, the key, what was expected and what came.
NamedLaw load_law(std::string const& folder);

}  // namespace saltus
