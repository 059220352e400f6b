// SPDX-License-Identifier: BSD-3-Clause
#include "infilling.hpp"

#include <filesystem>
#include <optional>
#include <sstream>
#include <vector>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>

#include "model.hpp"

namespace saltus::app {
namespace {

// Everything but headers, as one line; lines end where a number or a word does, and between any other tokens.
std::string sequence_of(std::string const& text, Alphabet const& alphabet) {
  bool const joined = alphabet.tokenized() && alphabet.tokenizer() != Tokenizer::words;
  std::istringstream in(text);
  std::string sequence;
  int headers = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.starts_with('>')) {
      require(++headers == 1, "--template takes one sequence, and the file holds several");
    } else {
      sequence += (sequence.empty() || joined ? "" : " ") + line;
    }
  }
  return sequence;
}

// Symbols, or numbers between blanks.
std::vector<std::string> items_of(std::string const& text, Alphabet const& alphabet) {
  std::vector<std::string> items;
  if (alphabet.tokenized()) {
    for (auto const& piece : split(alphabet.tokenizer(), text)) items.emplace_back(piece);
    return items;
  }
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    if (alphabet.numbered()) {
      items.push_back(word);
    } else {
      for (char const symbol : word) items.emplace_back(1, symbol);
    }
  }
  return items;
}

}  // namespace

Template read_template(std::string const& text_or_file, Alphabet const& alphabet, int length) {
  std::error_code ignored;
  bool const file = std::filesystem::exists(text_or_file, ignored);
  auto const items = items_of(file ? sequence_of(read_file(text_or_file), alphabet) : text_or_file, alphabet);
  std::string const known = alphabet.numbered() ? "a number from 0 to " + std::to_string(alphabet.size() - 1)
                            : alphabet.tokenized() ? "one of the " + std::to_string(alphabet.size()) + " tokens of " + alphabet.name()
                                                   : "one of '" + alphabet.symbols() + "'";
  Template made;
  for (std::size_t l = 0; l < items.size(); ++l) {
    bool const open = items[l] == std::string(1, free_site);
    auto const token = open ? std::optional<token_t>(0) : token_of(items[l], alphabet);
    require(token.has_value(), "--template: site " + std::to_string(l) + " (the first is 0) holds '" + items[l] +
                                   "'; expected " + known + ", or ? for a site to be drawn");
    made.tokens.push_back(*token);
    made.fixed.push_back(open ? 0 : 1);
  }
  // What a template leaves off has nothing on it.
  for (auto const pad = alphabet.pad(); pad && made.tokens.size() < static_cast<std::size_t>(length);) {
    made.tokens.push_back(*pad);
    made.fixed.push_back(1);
  }
  require(made.tokens.size() == static_cast<std::size_t>(length),
          "--template " + text_or_file + (file ? "" : ", which is not a file,") + " has " +
              std::to_string(items.size()) + " sites, but the model's sequences have length " + std::to_string(length));
  return made;
}

Alphabet with_mask(Alphabet const& alphabet) {
  if (alphabet.numbered()) return Alphabet::numbered(alphabet.size() + 1);
  if (alphabet.tokenized()) {
    std::vector<std::string> names;
    for (token_t y = 0; y < alphabet.size(); ++y) names.push_back(alphabet.shown(y));
    names.emplace_back(1, free_site);
    return Alphabet::tokens(std::move(names), alphabet.tokenizer(), false, alphabet.name() + " and masks");
  }
  require(!alphabet.find(free_site), "--last none leaves masks, which are written as ?, and the alphabet " +
                                         alphabet.name() + " has that symbol; take sample or argmax");
  return {alphabet.symbols() + free_site, alphabet.name() + " and masks"};
}

}  // namespace saltus::app
