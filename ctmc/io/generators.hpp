// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <saltus/ctmc/generator.hpp>
#include <saltus/ctmc/io/alphabet.hpp>

namespace saltus {

/// A generator with what its states are called.
struct NamedGenerator {
  Generator generator;
  Alphabet alphabet;               ///< of generator.states() tokens
  std::string description;         ///< one line
  std::vector<std::string> notes;  ///< what a user should know: normalised or not, absorbing states, renamed states
};

struct GeneratorOptions {
  bool fix_diagonal = false;  ///< files: the diagonal becomes minus the sum of the other rates, whatever it was
  bool normalise = false;     ///< one expected jump per unit time in the stationary law
};

/// A generator by name with parameters, or from a file.
///
/// Names, with numbers that can be left out: uniform:states=S, absorbing:states=S (counts the mask), path:states=S,
/// gaussian_target:states=S,rate_sigma=6,target_sigma=512, birth_death:birth=B,death=D,
/// immigration_death:immigration=V,death=D,batch=1; and models of evolution, which are normalised to one expected jump
/// per unit time in the stationary law:
///   jc69, k80:kappa=2, hky85:kappa=2,freqs=A,C,G,T and gtr:rates=AC,AG,AT,CG,CT,GT,freqs=A,C,G,T;
///   lg, wag and jtt, each with freqs= of the 20 amino acids in the order ACDEFGHIKLMNPQRSTVWY instead of its own;
///   codon:kappa=2,omega=1,freqs=...: the 61 sense codons of the standard code in the order AAA, AAC, AAG, AAT, ACA, ...;
///     single changes at rate freq(target), times kappa for transitions, times omega for a change of the amino acid
///     (Goldman and Yang 1994, doi:10.1093/oxfordjournals.molbev.a040153, in the form of Yang and Nielsen 1998); freqs
///     are equal, or 4 of nucleotides A,C,G,T, or 12 (4 for each position of the codon), or 61.
///
/// Files, known by what is in them: a square matrix of rates as text (tabs, blanks or commas; with or without names of
/// rows and columns) or as .npy; PAML's lower triangle of 190 exchangeabilities and 20 frequencies, normalised; Matrix
/// Market, coordinate real or integer, general or symmetric, which becomes a sparse generator and may leave the diagonal
/// out. Rows must sum to 0 within 1e-5 of their exit rate. States whose names have one width make an alphabet of words.
///
/// UserError that says where for anything else.
NamedGenerator read_generator(std::string_view text, GeneratorOptions const& options = {});

/// The same from the text of a matrix that is in no file of its own; messages call it `source`.
NamedGenerator parse_generator(std::string_view text, std::string const& source, GeneratorOptions const& options = {});

/// The names that read_generator() knows.
std::vector<std::string> generator_names();

}  // namespace saltus
