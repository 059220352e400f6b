// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/io/alphabet.hpp>

#include <algorithm>
#include <utility>

#include <saltus/ctmc/error.hpp>

namespace saltus {

std::string quoted_character(char c) {
  if (c >= ' ' && c < '\x7f') return std::string("'") + c + "'";
  constexpr char const* digits = "0123456789ABCDEF";
  auto const byte = static_cast<unsigned char>(c);
  return std::string("byte 0x") + digits[byte >> 4] + digits[byte & 15];
}

char const* name_of(Tokenizer tokenizer) {
  switch (tokenizer) {
    case Tokenizer::characters: return "characters";
    case Tokenizer::smiles: return "smiles";
    default: return "words";
  }
}

Tokenizer parse_tokenizer(std::string_view name) {
  std::vector<std::string> known;
  for (auto const tokenizer : {Tokenizer::characters, Tokenizer::smiles, Tokenizer::words}) {
    if (name == name_of(tokenizer)) return tokenizer;
    known.emplace_back(name_of(tokenizer));
  }
  throw UserError(unknown_name("tokenizer", name, known));
}

namespace {
constexpr std::string_view word_blanks = " \t\r";

std::size_t smiles_width(std::string_view rest) {
  auto const digit = [&](std::size_t i) { return i < rest.size() && rest[i] >= '0' && rest[i] <= '9'; };
  if (rest[0] == '[') {
    auto const close = rest.find(']');
    return close == std::string_view::npos ? 1 : close + 1;
  }
  if (rest.starts_with("Br") || rest.starts_with("Cl")) return 2;
  return rest[0] == '%' && digit(1) && digit(2) ? 3 : 1;
}
}  // namespace

std::vector<std::string_view> split(Tokenizer tokenizer, std::string_view line) {
  std::vector<std::string_view> pieces;
  if (tokenizer == Tokenizer::words) {
    for (std::size_t at = line.find_first_not_of(word_blanks); at < line.size();) {
      auto const end = std::min(line.find_first_of(word_blanks, at), line.size());
      pieces.push_back(line.substr(at, end - at));
      at = std::min(line.find_first_not_of(word_blanks, end), line.size());
    }
    return pieces;
  }
  for (std::size_t at = 0; at < line.size();) {
    std::size_t const width = tokenizer == Tokenizer::smiles ? smiles_width(line.substr(at)) : 1;
    pieces.push_back(line.substr(at, width));
    at += width;
  }
  return pieces;
}

Alphabet::Alphabet(std::string symbols, std::string name) : Alphabet() {
  require(!symbols.empty(), "an alphabet needs at least 1 symbol, '" + name + "' has none");
  for (char const c : symbols) {
    require(is_symbol(c), "the symbols of an alphabet are printable ASCII characters other than blanks and '>', got " +
                              quoted_character(c) + " in '" + name + "'");
    auto& token = token_of_[static_cast<unsigned char>(c)];
    require(token < 0, "the symbols of an alphabet must differ, got " + quoted_character(c) + " twice in '" + name +
                           "'; leave one of them out");
    token = static_cast<token_t>(size_++);
  }
  symbols_ = std::move(symbols);
  name_ = std::move(name);
}

Alphabet Alphabet::case_blind(std::string symbols, std::string name) {
  Alphabet alphabet(std::move(symbols), std::move(name));
  for (int c = 'A'; c <= 'Z'; ++c) {
    alphabet.token_of_[static_cast<std::size_t>(c - 'A' + 'a')] = alphabet.token_of_[static_cast<std::size_t>(c)];
  }
  return alphabet;
}

Alphabet Alphabet::protein() { return case_blind("ACDEFGHIKLMNPQRSTVWY-", "protein"); }
Alphabet Alphabet::dna() { return case_blind("ACGT-", "dna"); }
Alphabet Alphabet::rna() { return case_blind("ACGU-", "rna"); }

Alphabet Alphabet::amino_acids() { return case_blind("ACDEFGHIKLMNPQRSTVWY", "amino_acids"); }
Alphabet Alphabet::nucleotides() { return case_blind("ACGT", "nucleotides"); }

Alphabet Alphabet::words(std::vector<std::string> const& names, std::string name) {
  require(!names.empty(), "an alphabet needs at least 1 word, '" + name + "' has none");
  std::size_t const width = names.front().size();
  require(width >= 1, "the words of an alphabet have at least 1 character, '" + name + "' begins with an empty one");
  std::string all;
  for (auto const& word : names) {
    require(word.size() == width, "the words of an alphabet have one width, got '" + names.front() + "' and '" + word +
                                      "' in '" + name + "'; number the states instead");
    all += word;
  }
  if (width == 1) return Alphabet(std::move(all), std::move(name));
  Alphabet alphabet;
  for (auto const& word : names) {
    for (char const c : word) {
      require(is_symbol(c),
              "the words of an alphabet are of printable ASCII characters other than blanks and '>', got " +
                  quoted_character(c) + " in '" + name + "'");
    }
    bool const fresh = alphabet.token_of_word_.emplace(word, static_cast<token_t>(alphabet.size_++)).second;
    require(fresh, "the words of an alphabet must differ, got '" + word + "' twice in '" + name +
                       "'; leave one of them out");
  }
  alphabet.width_ = static_cast<int>(width);
  alphabet.symbols_ = std::move(all);
  alphabet.name_ = std::move(name);
  return alphabet;
}

Alphabet Alphabet::tokens(std::vector<std::string> names, Tokenizer tokenizer, bool padded, std::string name) {
  require(!names.empty(), "an alphabet needs at least 1 token, '" + name + "' has none");
  Alphabet alphabet;
  for (std::size_t i = 0; i < names.size(); ++i) {
    auto const& token = names[i];
    bool const pad = padded && i + 1 == names.size();
    require(!token.empty(), "the tokens of an alphabet have at least 1 character, '" + name + "' has an empty one");
    require(pad || split(tokenizer, token) == std::vector<std::string_view>{token},
            "'" + token + "' of '" + name + "' is not one token of the tokenizer " + name_of(tokenizer));
    bool const fresh = alphabet.token_of_word_.emplace(token, static_cast<token_t>(i)).second;
    require(fresh, "the tokens of an alphabet must differ, got '" + token + "' twice in '" + name + "'");
  }
  if (padded) alphabet.token_of_word_.erase(names.back());
  alphabet.size_ = static_cast<int>(names.size());
  alphabet.names_ = std::move(names);
  alphabet.tokenizer_ = tokenizer;
  alphabet.padded_ = padded;
  alphabet.width_ = 0;
  alphabet.name_ = std::move(name);
  return alphabet;
}

Alphabet Alphabet::numbered(int states) {
  require(states >= 1, "an alphabet needs at least 1 state, got " + std::to_string(states));
  Alphabet alphabet;
  alphabet.size_ = states;
  alphabet.name_ = "numbered(" + std::to_string(states) + ")";
  return alphabet;
}

Alphabet Alphabet::named(std::string_view name) {
  constexpr std::string_view chars = "chars:";
  if (name == "protein") return protein();
  if (name == "dna") return dna();
  if (name == "rna") return rna();
  if (name == "amino_acids") return amino_acids();
  if (name == "nucleotides") return nucleotides();
  if (name.starts_with(chars)) return Alphabet(std::string(name.substr(chars.size())), std::string(name));
  throw UserError(unknown_name("alphabet", name, {"protein", "dna", "rna", "amino_acids", "nucleotides", "chars:XYZ"}));
}

std::optional<token_t> Alphabet::find(std::string_view word) const {
  if (width_ == 1) return word.size() == 1 ? find(word.front()) : std::nullopt;
  auto const found = token_of_word_.find(word);
  return found == token_of_word_.end() ? std::nullopt : std::optional<token_t>(found->second);
}

std::string Alphabet::shown(token_t token) const {
  SALTUS_ASSERT(token >= 0 && token < size_);
  auto const y = static_cast<std::size_t>(token), letters = static_cast<std::size_t>(width_);
  if (numbered()) return std::to_string(token);
  return tokenized() ? names_[y] : symbols_.substr(y * letters, letters);
}

char Alphabet::symbol(token_t token) const {
  SALTUS_ASSERT(!numbered() && width_ == 1 && token >= 0 && token < size_);
  return symbols_[static_cast<std::size_t>(token)];
}

std::string Alphabet::text(std::span<token_t const> sequence) const {
  std::string text;
  if (tokenized()) {
    for (token_t const token : sequence) {
      SALTUS_ASSERT(token >= 0 && token < size_);
      if (padded_ && token == size_ - 1) break;
      if (tokenizer_ == Tokenizer::words && !text.empty()) text += ' ';
      text += names_[static_cast<std::size_t>(token)];
    }
    return text;
  }
  if (!numbered()) {
    auto const width = static_cast<std::size_t>(width_);
    text.reserve(sequence.size() * width);
    for (token_t const token : sequence) {
      SALTUS_ASSERT(token >= 0 && token < size_);
      text.append(symbols_, static_cast<std::size_t>(token) * width, width);
    }
    return text;
  }
  for (token_t const token : sequence) {
    SALTUS_ASSERT(token >= 0 && token < size_);
    if (!text.empty()) text += ' ';
    text += std::to_string(token);
  }
  return text;
}

}  // namespace saltus
