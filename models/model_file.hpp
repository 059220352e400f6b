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

/// Writes folder/model.json (parameters included, read back bit for bit); makes the folder. `source` says in words what
/// the law was made from. OutputError if it cannot be written; UserError for a law that is not a chain, hidden Markov
/// chain, product, table or tree.
void save_law(std::string const& folder, NamedLaw const& law, std::string const& source);

/// Reads what save_law() wrote. UserError that names the file, the key, what was expected and what came.
NamedLaw load_law(std::string const& folder);

/// A joint law from an NPY file (as read_npy() takes it) with one axis for each site, all of the same extent, the
/// states; entry (x^0, x^1, ...) is the probability of that sequence. The numbers are taken as they are. The alphabet
/// is numbered. UserError that names the file if it is no such array, has more than 1e8 entries, one that is negative
/// or not a number, or does not sum to 1 within 1e-9 (single precision is seldom enough).
NamedLaw read_table_law(std::string const& path);

}  // namespace saltus
