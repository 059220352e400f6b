// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include <saltus/ctmc/io/alphabet.hpp>
#include <saltus/integrators/sampler.hpp>

namespace saltus::app {

/// Stands for a site that is to be drawn, and for a mask that is left.
inline constexpr char free_site = '?';

/// --template: a sequence of `length` sites, or a file with one (plain or FASTA), free_site where a site is to be drawn.
/// Numbers are separated by blanks. UserError that names site and symbol.
Template read_template(std::string const& text_or_file, Alphabet const& alphabet, int length);

/// The alphabet with one token more, the mask: written as free_site, or as the next number. UserError if the symbol is
/// taken.
Alphabet with_mask(Alphabet const& alphabet);

}  // namespace saltus::app
