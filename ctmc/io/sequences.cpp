// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/io/sequences.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <limits>
#include <set>
#include <unordered_map>
#include <utility>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/npy.hpp>

namespace saltus {
namespace {

constexpr std::string_view blanks = " \t\r";

/// A line, or what is left of it without the blanks around it.
struct Line {
  std::string_view text;
  std::size_t line;    ///< from 1
  std::size_t column;  ///< of the first character, from 1
};

Line trimmed(Line const& line) {
  auto const first = std::min(line.text.find_first_not_of(blanks), line.text.size());
  auto const last = line.text.find_last_not_of(blanks);
  auto const text = last == std::string_view::npos ? std::string_view() : line.text.substr(first, last + 1 - first);
  return {text, line.line, line.column + first};
}

struct Record {
  std::string name;
  std::size_t line;         ///< of the header, or of the sequence in a text file
  std::size_t first_piece;  ///< its lines are pieces[first_piece] up to the next record's
};

/// A file taken apart into records but not yet into tokens.
struct Layout {
  bool fasta = false;
  std::vector<Record> records;
  std::vector<Line> pieces;

  std::span<Line const> pieces_of(std::size_t r) const {
    std::size_t const end = r + 1 < records.size() ? records[r + 1].first_piece : pieces.size();
    return std::span(pieces).subspan(records[r].first_piece, end - records[r].first_piece);
  }
  /// "record 'a' (line 3)", or "the sequence in line 3" of a text file.
  std::string described(std::size_t r) const {
    std::string const line = "line " + std::to_string(records[r].line);
    return fasta ? "record '" + records[r].name + "' (" + line + ")" : "the sequence in " + line;
  }
};

std::string place(std::string const& path, std::size_t line) { return "'" + path + "', line " + std::to_string(line); }

std::string place(std::string const& path, Layout const& layout, std::size_t r, Line const& piece, std::size_t offset) {
  return place(path, piece.line) + ", column " + std::to_string(piece.column + offset) +
         (layout.fasta ? ", record '" + layout.records[r].name + "'" : "");
}

void refuse_binary(std::string const& path, std::string_view bytes) {
  std::size_t strange = 0;
  bool nul = false;
  for (char const c : bytes) {
    auto const byte = static_cast<unsigned char>(c);
    nul |= byte == 0;
    strange += byte >= 0x7f || (byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') ? 1 : 0;
  }
  require(!nul && 10 * strange <= 3 * bytes.size(),
          "'" + path + "' is a binary file; expected sequences as FASTA or as text with one sequence a line " +
              "(if it is compressed, unpack it first)");
}

/// What a line is when a file is taken apart.
enum class Lines {
  trimmed,  ///< blanks around it mean nothing; sequences that are empty are refused
  whole,    ///< blanks are characters like others in text, and sequences may be empty
};

Layout take_apart(std::string const& path, std::string_view bytes, Lines lines) {
  Layout layout;
  bool const whole = lines == Lines::whole;
  auto const start = bytes.find_first_not_of(" \t\r\n");
  require(start != std::string_view::npos, "'" + path + "' has no sequence, only blank lines; expected sequences as " +
                                               "FASTA or as text with one sequence a line");
  layout.fasta = bytes[start] == '>';
  std::size_t blank_line = 0;  // the first one after a sequence; 0: none
  for (std::size_t at = 0, number = 1; at < bytes.size(); ++number) {
    auto const end = std::min(bytes.find('\n', at), bytes.size());
    Line line{bytes.substr(at, end - at), number, 1};
    at = end + 1;
    if (!whole || layout.fasta) {
      line = trimmed(line);
    } else if (line.text.ends_with('\r')) {
      line.text.remove_suffix(1);
    }
    if (line.text.empty() && whole && !layout.fasta) {
      layout.records.push_back({"", number, layout.pieces.size()});
    } else if (line.text.empty()) {
      if (!layout.records.empty() && blank_line == 0) blank_line = number;
    } else if (layout.fasta) {
      if (line.text.front() == '>') {
        std::string const name(trimmed({line.text.substr(1), number, 1}).text);
        layout.records.push_back({name, number, layout.pieces.size()});
      } else {
        layout.pieces.push_back(line);
      }
    } else {
      if (line.text.front() == '>') {
        throw UserError(place(path, layout.records.front().line) +
                        ": a sequence stands before the first FASTA header, which is in line " +
                        std::to_string(number) +
                        "; begin the file with a header (>name), or remove all headers for one sequence a line");
      }
      if (blank_line != 0) {
        throw UserError(place(path, blank_line) + ": blank line between sequences; expected one sequence a line, " +
                        "remove the blank line");
      }
      layout.records.push_back({"sequence_" + std::to_string(layout.records.size()), number, layout.pieces.size()});
      layout.pieces.push_back(line);
    }
  }
  if (whole) {
    while (!layout.fasta && layout.pieces_of(layout.records.size() - 1).empty()) layout.records.pop_back();
    return layout;
  }
  for (std::size_t r = 0; r < layout.records.size(); ++r) {
    if (!layout.pieces_of(r).empty()) continue;
    throw UserError(place(path, layout.records[r].line) + ": the header of record '" + layout.records[r].name +
                    "' has no sequence after it; add the sequence or remove the header");
  }
  return layout;
}

/// The alphabet of a file for which none was given.
Alphabet inferred_alphabet(std::string const& path, Layout const& layout) {
  std::array<bool, 256> seen{};
  for (Line const& piece : layout.pieces) {
    for (char const c : piece.text) seen[static_cast<unsigned char>(c)] = true;
  }
  std::string characters;
  bool all_symbols = true;
  for (int c = 0; c < 256; ++c) {
    if (!seen[static_cast<std::size_t>(c)]) continue;
    characters += static_cast<char>(c);
    all_symbols = all_symbols && is_symbol(static_cast<char>(c));
  }
  for (auto const& alphabet : {Alphabet::dna(), Alphabet::rna(), Alphabet::protein()}) {
    bool const fits =
        std::all_of(characters.begin(), characters.end(), [&](char c) { return alphabet.find(c).has_value(); });
    if (fits) return alphabet;
  }
  if (layout.fasta) return Alphabet::protein();
  if (all_symbols) return Alphabet(characters, "chars:" + characters);
  for (std::size_t r = 0; r < layout.records.size(); ++r) {
    for (Line const& piece : layout.pieces_of(r)) {
      auto const bad = std::find_if_not(piece.text.begin(), piece.text.end(), is_symbol);
      if (bad == piece.text.end()) continue;
      auto const offset = static_cast<std::size_t>(bad - piece.text.begin());
      throw UserError(place(path, layout, r, piece, offset) + ": " + quoted_character(*bad) + " cannot be a symbol; " +
                      "expected one sequence a line without blanks, in printable ASCII characters other than '>'");
    }
  }
  internal_error("a character was seen that is in no line");
}

void append_symbols(std::string const& path, Layout const& layout, std::size_t r, Alphabet const& alphabet, bool given,
                    std::vector<token_t>& tokens) {
  for (Line const& piece : layout.pieces_of(r)) {
    for (std::size_t i = 0; i < piece.text.size(); ++i) {
      if (auto const token = alphabet.find(piece.text[i])) {
        tokens.push_back(*token);
        continue;
      }
      throw UserError(place(path, layout, r, piece, i) + ": " + quoted_character(piece.text[i]) +
                      " is not in the alphabet " + alphabet.name() + " (" + alphabet.symbols() + ")" +
                      (given ? "" : ", which was taken as none was given") +
                      "; correct the file or choose another alphabet with --alphabet (protein, dna, rna, " +
                      "amino_acids, nucleotides or chars: followed by the symbols)");
    }
  }
}

void append_words(std::string const& path, Layout const& layout, std::size_t r, Alphabet const& alphabet,
                  std::vector<token_t>& tokens) {
  auto const width = static_cast<std::size_t>(alphabet.width());
  std::string const kind = "words of " + std::to_string(width) + " characters";
  for (Line const& piece : layout.pieces_of(r)) {
    for (std::size_t i = 0; i < piece.text.size(); i += width) {
      auto const word = piece.text.substr(i, width);
      if (word.size() < width) {
        throw UserError(place(path, layout, r, piece, i) + ": the line has " + std::to_string(piece.text.size()) +
                        " characters, expected a multiple of " + std::to_string(width) + ", since the alphabet " +
                        alphabet.name() + " has " + kind + "; complete the last word or remove it");
      }
      if (auto const token = alphabet.find(word)) {
        tokens.push_back(*token);
        continue;
      }
      throw UserError(place(path, layout, r, piece, i) + ": '" + std::string(word) + "' is not in the alphabet " +
                      alphabet.name() + " (" + std::to_string(alphabet.size()) + " " + kind + ", the first is '" +
                      alphabet.symbols().substr(0, width) + "'); correct the file or choose another alphabet");
    }
  }
}

void append_numbers(std::string const& path, Layout const& layout, std::size_t r, Alphabet const& alphabet,
                    std::vector<token_t>& tokens) {
  for (Line const& piece : layout.pieces_of(r)) {
    std::string_view const text = piece.text;
    for (std::size_t at = 0; at < text.size();) {
      auto const end = std::min(text.find_first_of(blanks, at), text.size());
      token_t token = -1;
      auto const [stop, error] = std::from_chars(text.data() + at, text.data() + end, token);
      bool const valid = error == std::errc() && stop == text.data() + end && token >= 0 && token < alphabet.size();
      if (!valid) {
        throw UserError(place(path, layout, r, piece, at) + ": '" + std::string(text.substr(at, end - at)) +
                        "' is not a token; expected whole numbers from 0 to " + std::to_string(alphabet.size() - 1) +
                        " separated by blanks");
      }
      tokens.push_back(token);
      at = std::min(text.find_first_not_of(blanks, end), text.size());
    }
  }
}

void append_pieces(std::string const& path, Layout const& layout, std::size_t r, Alphabet const& alphabet,
                   std::vector<token_t>& tokens) {
  for (Line const& piece : layout.pieces_of(r)) {
    for (auto const& text : split(alphabet.tokenizer(), piece.text)) {
      auto const token = alphabet.find(text);
      if (!token) {
        throw UserError(place(path, layout, r, piece, static_cast<std::size_t>(text.data() - piece.text.data())) + ": '" +
                        std::string(text) + "' is not among the " + std::to_string(alphabet.size()) + " tokens of " +
                        alphabet.name() + "; correct the file or leave the sequence out");
      }
      tokens.push_back(*token);
    }
  }
}

Layout read_layout(std::string const& path, std::string const& file, Lines lines = Lines::trimmed) {
  std::string_view bytes = file;
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (bytes.starts_with(byte_order_mark)) bytes.remove_prefix(byte_order_mark.size());
  require(!bytes.empty(), "'" + path + "' is empty; expected sequences as FASTA or as text with one sequence a line");
  refuse_binary(path, bytes);
  return take_apart(path, bytes, lines);
}

}  // namespace

Alphabet learn_alphabet(std::string const& path, Tokenizer tokenizer) {
  std::string const file = read_file(path);
  Layout const layout = read_layout(path, file);
  std::set<std::string, std::less<>> seen;
  std::set<std::size_t> lengths;
  for (std::size_t r = 0; r < layout.records.size(); ++r) {
    std::size_t length = 0;
    for (Line const& piece : layout.pieces_of(r)) {
      for (auto const& text : split(tokenizer, piece.text)) {
        if (!seen.contains(text)) seen.emplace(text);
        ++length;
      }
    }
    lengths.insert(length);
  }
  std::vector<std::string> names(seen.begin(), seen.end());
  bool const padded = lengths.size() > 1;
  if (padded) names.emplace_back("<pad>");
  return Alphabet::tokens(std::move(names), tokenizer, padded, name_of(tokenizer));
}

SequenceSet read_sequences(std::string const& path, std::optional<Alphabet> alphabet, int length_asked) {
  std::string const file = read_file(path);
  Layout layout = read_layout(path, file);
  bool const given = alphabet.has_value();
  SequenceSet set{given ? std::move(*alphabet) : inferred_alphabet(path, layout), {}, {}, layout.records.size(), 0};

  if (!set.alphabet.numbered() && !set.alphabet.tokenized()) {
    std::size_t characters = 0;
    for (Line const& piece : layout.pieces) characters += piece.text.size();
    set.tokens.reserve(characters / static_cast<std::size_t>(set.alphabet.width()));
  }
  auto const pad = set.alphabet.pad();
  std::size_t expected = 0;
  std::vector<std::size_t> lengths;
  for (std::size_t r = 0; r < layout.records.size(); ++r) {
    std::size_t const before = set.tokens.size();
    if (set.alphabet.numbered()) {
      append_numbers(path, layout, r, set.alphabet, set.tokens);
    } else if (set.alphabet.tokenized()) {
      append_pieces(path, layout, r, set.alphabet, set.tokens);
    } else if (set.alphabet.width() > 1) {
      append_words(path, layout, r, set.alphabet, set.tokens);
    } else {
      append_symbols(path, layout, r, set.alphabet, given, set.tokens);
    }
    std::size_t const length = set.tokens.size() - before;
    if (pad) {
      lengths.push_back(length);
      if (length_asked > 0 && length > static_cast<std::size_t>(length_asked)) {
        throw UserError("'" + path + "': " + layout.described(r) + " has " + std::to_string(length) +
                        " tokens, expected at most " + std::to_string(length_asked) + "; leave it out");
      }
      expected = std::max(expected, length);
      continue;
    }
    if (r == 0) expected = length;
    if (length > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
      throw UserError("'" + path + "': " + layout.described(r) + " is longer than 2147483647 sites");
    }
    if (length != expected) {
      throw UserError("'" + path + "': sequences of different lengths: " + layout.described(r) + " has length " +
                      std::to_string(length) + ", expected " + std::to_string(expected) + " as of " +
                      layout.described(0) + "; align the sequences or cut them to one length");
    }
  }
  if (pad) {
    if (length_asked > 0) expected = static_cast<std::size_t>(length_asked);
    std::vector<token_t> padded(set.count * expected, *pad);
    auto from = set.tokens.begin();
    for (std::size_t r = 0; r < set.count; ++r) {
      std::copy_n(from, lengths[r], padded.begin() + static_cast<std::ptrdiff_t>(r * expected));
      from += static_cast<std::ptrdiff_t>(lengths[r]);
    }
    set.tokens = std::move(padded);
  }
  set.length = static_cast<int>(expected);
  set.names.reserve(set.count);
  for (auto& record : layout.records) set.names.push_back(std::move(record.name));
  return set;
}

SequenceFiles read_sequence_files(std::vector<std::string> const& paths, std::optional<Tokenizer> tokenizer) {
  std::vector<std::string> files;
  std::vector<Layout> layouts;
  files.reserve(paths.size());  // layouts look into them
  for (auto const& path : paths) {
    files.push_back(read_file(path));
    layouts.push_back(read_layout(path, files.back(), Lines::whole));
  }
  std::vector<std::vector<token_t>> tokens(paths.size());
  std::vector<std::vector<std::size_t>> offsets(paths.size());
  std::unordered_map<std::string_view, token_t> numbers;  // of tokens, in the order that they come
  std::vector<std::string_view> names;
  for (std::size_t f = 0; f < layouts.size(); ++f) {
    offsets[f].push_back(0);
    for (std::size_t r = 0; r < layouts[f].records.size(); ++r) {
      for (Line const& piece : layouts[f].pieces_of(r)) {
        for (auto const& text : split(tokenizer.value_or(Tokenizer::characters), piece.text)) {
          auto const [found, fresh] = numbers.emplace(text, static_cast<token_t>(names.size()));
          if (fresh) names.push_back(text);
          tokens[f].push_back(found->second);
        }
      }
      offsets[f].push_back(tokens[f].size());
    }
  }
  std::vector<std::string> sorted(names.begin(), names.end());
  std::sort(sorted.begin(), sorted.end());
  require(!sorted.empty(), "'" + paths.front() + "' has only empty sequences");
  bool const symbols =
      !tokenizer && std::all_of(sorted.begin(), sorted.end(), [](auto const& name) { return is_symbol(name[0]); });
  std::string all;
  for (auto const& name : sorted) all += name;
  SequenceFiles result{symbols ? Alphabet(all, "chars:" + all)
                               : Alphabet::tokens(sorted, tokenizer.value_or(Tokenizer::characters), false,
                                                  name_of(tokenizer.value_or(Tokenizer::characters))),
                       {}};
  if (symbols) {
    for (auto const& alphabet : {Alphabet::dna(), Alphabet::rna(), Alphabet::protein()}) {
      if (!std::all_of(all.begin(), all.end(), [&](char c) { return alphabet.find(c).has_value(); })) continue;
      result.alphabet = alphabet;
      break;
    }
  }
  std::vector<token_t> renumbered(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) renumbered[i] = *result.alphabet.find(names[i]);
  for (std::size_t f = 0; f < paths.size(); ++f) {
    for (token_t& token : tokens[f]) token = renumbered[static_cast<std::size_t>(token)];
    result.sets.push_back({std::move(tokens[f]), std::move(offsets[f])});
  }
  return result;
}

SequenceFormat parse_sequence_format(std::string_view name) {
  constexpr std::pair<std::string_view, SequenceFormat> formats[] = {{"fasta", SequenceFormat::fasta},
                                                                     {"txt", SequenceFormat::txt},
                                                                     {"csv", SequenceFormat::csv},
                                                                     {"npy", SequenceFormat::npy}};
  std::vector<std::string> known;
  for (auto const& [text, format] : formats) {
    if (name == text) return format;
    known.emplace_back(text);
  }
  throw UserError(unknown_name("sequence format", name, known));
}

SequenceWriter::SequenceWriter(std::string path, SequenceFormat format, Alphabet alphabet, std::size_t count,
                               int length)
    : file_(std::move(path)),
      format_(format),
      alphabet_(std::move(alphabet)),
      count_(count),
      length_(static_cast<std::size_t>(length)) {
  begin();
}

SequenceWriter::SequenceWriter(std::string path, SequenceFormat format, Alphabet alphabet, std::size_t count,
                               int length, Kept kept)
    : file_(AtomicFile::kept(std::move(path), kept.bytes)),
      format_(format),
      alphabet_(std::move(alphabet)),
      count_(count),
      length_(static_cast<std::size_t>(length)),
      written_(kept.rows) {
  if (kept.bytes == 0) begin();
}

void SequenceWriter::begin() {
  require(length_ >= 1 && length_ <= static_cast<std::size_t>(std::numeric_limits<int>::max()),
          "sequences have at least 1 site, got " + std::to_string(static_cast<std::ptrdiff_t>(length_)));
  if (format_ == SequenceFormat::csv) {
    bool quoted = alphabet_.symbols().find_first_of(",\"") != std::string::npos;
    for (token_t y = 0; alphabet_.tokenized() && y < alphabet_.size(); ++y) quoted = quoted || alphabet_.shown(y).find_first_of(",\"\n") != std::string::npos;
    require(!quoted,
            "CSV would have to quote the symbols of the alphabet '" + alphabet_.name() + "'; choose fasta, txt or npy");
    file_.write("sample,sequence\n");
  }
  if (format_ == SequenceFormat::npy) file_.write(npy_header("<i4", {count_, length_}));
}

void SequenceWriter::append(std::span<token_t const> rows) {
  SALTUS_ASSERT(rows.size() % length_ == 0);
  std::size_t const count = rows.size() / length_;
  SALTUS_ASSERT(count <= count_ - written_);
  // One pass without a branch in it; negative tokens become large.
  auto const states = static_cast<std::uint32_t>(alphabet_.size());
  bool valid = true;
  for (token_t const token : rows) valid &= static_cast<std::uint32_t>(token) < states;
  SALTUS_ASSERT(valid);

  if (format_ == SequenceFormat::npy) {
    static_assert(sizeof(token_t) == 4 && std::endian::native == std::endian::little);
    file_.write({reinterpret_cast<char const*>(rows.data()), rows.size_bytes()});
    written_ += count;
    return;
  }
  std::string_view const before = format_ == SequenceFormat::fasta ? ">sample_" : "";
  constexpr std::size_t index_digits = 20;
  auto const width = static_cast<std::size_t>(alphabet_.width());
  if (alphabet_.tokenized()) {
    buffer_.clear();
    for (std::size_t b = 0; b < count; ++b) {
      if (format_ != SequenceFormat::txt) {
        buffer_ += before;
        buffer_ += std::to_string(written_ + b) + (format_ == SequenceFormat::fasta ? '\n' : ',');
      }
      buffer_ += alphabet_.text(rows.subspan(b * length_, length_)) + '\n';
    }
    file_.write(buffer_);
    written_ += count;
    return;
  }
  std::size_t const token_width = alphabet_.numbered() ? std::to_string(states - 1).size() + 1 : width;
  buffer_.resize(count * (before.size() + index_digits + 1 + length_ * token_width + 1));
  char* to = buffer_.data();
  char const* const symbols = alphabet_.symbols().data();
  for (std::size_t b = 0; b < count; ++b) {
    if (format_ != SequenceFormat::txt) {
      to = std::copy(before.begin(), before.end(), to);
      to = std::to_chars(to, to + index_digits, written_ + b).ptr;
      *to++ = format_ == SequenceFormat::fasta ? '\n' : ',';
    }
    auto const row = rows.subspan(b * length_, length_);
    if (alphabet_.numbered()) {
      to = put_numbers(to, row);
    } else if (width == 1) {
      for (token_t const token : row) *to++ = symbols[token];
    } else {
      for (token_t const token : row) to = std::copy_n(symbols + static_cast<std::size_t>(token) * width, width, to);
    }
    *to++ = '\n';
  }
  file_.write({buffer_.data(), static_cast<std::size_t>(to - buffer_.data())});
  written_ += count;
}

char* SequenceWriter::put_numbers(char* to, std::span<token_t const> row) const {
  for (token_t const token : row) {
    to = std::to_chars(to, to + std::numeric_limits<token_t>::digits10 + 1, token).ptr;
    *to++ = ' ';
  }
  return to - 1;  // the last blank gives way to what follows
}

void SequenceWriter::commit() {
  SALTUS_ASSERT(written_ == count_);
  file_.commit();
}

}  // namespace saltus
