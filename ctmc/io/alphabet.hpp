// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <saltus/ctmc/types.hpp>

namespace saltus {

/// How a line is taken apart into tokens.
enum class Tokenizer {
  characters,  ///< every character is a token
  smiles,      ///< a bracket atom, Br, Cl, %nn, or one character
  words,       ///< separated by blanks
};
/// "characters", "smiles" or "words". Throws UserError for anything else.
Tokenizer parse_tokenizer(std::string_view name);
char const* name_of(Tokenizer tokenizer);
/// The pieces of a line, in order. A bracket that is not closed is a token by itself.
std::vector<std::string_view> split(Tokenizer tokenizer, std::string_view line);

/// What tokens look like in files: an ordered set of single-character symbols (the first is token 0), of words of one
/// width (codons), of tokens of any width that a tokenizer tells apart, or plain numbers.
class Alphabet {
 public:
  /// Symbols are case-sensitive, printable ASCII without blanks and without '>', which starts a FASTA record.
  /// Throws UserError if there are none, if one comes twice or if one is not allowed.
  Alphabet(std::string symbols, std::string name);

  /// Twenty amino acids and the gap; like dna() and rna() it reads lower-case letters as upper case.
  static Alphabet protein();
  static Alphabet dna();
  static Alphabet rna();
  /// The twenty amino acids in the order of their letters, and A, C, G, T, without a gap: the states of models of
  /// evolution. Lower case reads as upper case.
  static Alphabet amino_acids();
  static Alphabet nucleotides();
  /// Words of one width, the first is token 0; they stand in files without anything between them. Words of width 1 are
  /// symbols. Throws UserError if there are none, if one is empty or comes twice, if widths differ or if a character is
  /// not allowed in a symbol.
  static Alphabet words(std::vector<std::string> const& names, std::string name);
  /// Tokens without symbols, written as decimal numbers separated by blanks. Throws UserError unless states >= 1.
  static Alphabet numbered(int states);
  /// Tokens as a tokenizer makes them, the first is token 0; blanks are characters like others. With `padded` the last
  /// one is the pad: sequences may be shorter than the sites, text() ends before the first pad, and the pad's name is
  /// never read. Throws UserError if there are none, if one is empty or comes twice, or if the tokenizer would take one
  /// apart.
  static Alphabet tokens(std::vector<std::string> names, Tokenizer tokenizer, bool padded, std::string name);
  /// "protein", "dna", "rna", "amino_acids", "nucleotides" or "chars:" followed by the symbols. Throws UserError for
  /// anything else.
  static Alphabet named(std::string_view name);

  int size() const { return size_; }
  bool numbered() const { return symbols_.empty() && names_.empty(); }
  /// Made by tokens().
  bool tokenized() const { return !names_.empty(); }
  Tokenizer tokenizer() const { return tokenizer_; }
  std::optional<token_t> pad() const { return padded_ ? std::optional<token_t>(size_ - 1) : std::nullopt; }
  /// A token as it is shown: its symbol, word or number.
  std::string shown(token_t token) const;
  /// Characters of a token: 1 for symbols. Means nothing if numbered() or tokenized().
  int width() const { return width_; }
  /// The token of a symbol; nothing if the symbol is not in the alphabet (never anything if numbered() or width() > 1 or
  /// tokenized()).
  std::optional<token_t> find(char symbol) const {
    token_t const token = token_of_[static_cast<unsigned char>(symbol)];
    return token < 0 ? std::nullopt : std::optional<token_t>(token);
  }
  /// The token of a word of width() characters; nothing if it is not in the alphabet (never anything if numbered()).
  std::optional<token_t> find(std::string_view word) const;
  /// Throws InternalError unless tokens are single symbols, or if the token is not in the alphabet.
  char symbol(token_t token) const;
  /// All symbols in order of their tokens, width() characters each; empty if numbered() or tokenized().
  std::string const& symbols() const { return symbols_; }
  std::string const& name() const { return name_; }
  /// A sequence as it stands in a file. Throws InternalError for a token that is not in the alphabet.
  std::string text(std::span<token_t const> sequence) const;

  friend bool operator==(Alphabet const&, Alphabet const&) = default;

 private:
  Alphabet() { token_of_.fill(-1); }
  static Alphabet case_blind(std::string symbols, std::string name);

  std::string symbols_;
  std::string name_;
  int size_ = 0;
  int width_ = 1;
  std::array<token_t, 256> token_of_;                         ///< of a symbol; -1: not in the alphabet
  std::map<std::string, token_t, std::less<>> token_of_word_;  ///< only if width_ > 1 or tokenized()
  std::vector<std::string> names_;                             ///< only if tokenized()
  Tokenizer tokenizer_ = Tokenizer::characters;
  bool padded_ = false;
};

/// Whether a character can be a symbol of an alphabet.
constexpr bool is_symbol(char c) { return c > ' ' && c < '\x7f' && c != '>'; }

/// "'A'", or "byte 0xC3" for what cannot be printed.
std::string quoted_character(char c);

}  // namespace saltus
