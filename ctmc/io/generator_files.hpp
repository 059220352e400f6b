// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/ctmc/io/generators.hpp>

/// What the readers of names and of files share; not installed.
namespace saltus {

inline constexpr char const* normalised_note = "normalised to one expected jump per unit time in the stationary law";

/// Q(x, y) = exchangeability(x, y) * frequency(y), normalised. `exchangeability` is symmetric [S,S], its diagonal is not
/// read; `frequencies` [S] are above 0 and sum to 1.
NamedGenerator reversible_model(std::string const& name, Alphabet alphabet, std::vector<double> const& exchangeability,
                                std::vector<double> const& frequencies, std::string description);

/// read_generator() of a file, but for options.normalise.
NamedGenerator read_generator_file(std::string const& path, GeneratorOptions const& options);

/// parse_generator(), but for options.normalise.
NamedGenerator parse_text_matrix(std::string_view text, std::string const& source, GeneratorOptions const& options);

}  // namespace saltus
