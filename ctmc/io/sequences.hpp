// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <saltus/ctmc/io/alphabet.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/ctmc/types.hpp>

namespace saltus {

/// Sequences of one length.
struct SequenceSet {
  Alphabet alphabet;
  std::vector<std::string> names;  ///< [count]; the FASTA headers without '>', or sequence_0, sequence_1, ...
  std::vector<token_t> tokens;     ///< [count, length], row-major
  std::size_t count = 0;
  int length = 0;

  std::span<token_t const> row(std::size_t b) const {
    auto const width = static_cast<std::size_t>(length);
    return std::span(tokens).subspan(b * width, width);
  }
};

/// Reads FASTA if the first character that is not blank is '>', else one sequence a line. With a numbered alphabet the
/// sequences are numbers separated by blanks; with an alphabet of words every line holds whole words. Without an
/// alphabet it is dna, rna or protein, the first that has all characters; failing that, protein for FASTA and the
/// sorted distinct characters for text. (Lower case counts as upper case there, so name the alphabet with chars: where
/// letters of both cases mean different states.)
/// Where the alphabet has a pad, shorter sequences are filled up with it to `length` sites, or with 0 to those of the
/// longest.
/// Throws UserError for a file that cannot be read, is empty or binary, has no sequence or sequences of different
/// lengths (longer than `length` with a pad), or has a character outside the alphabet; the message tells where.
SequenceSet read_sequences(std::string const& path, std::optional<Alphabet> alphabet = {}, int length = 0);

/// The tokens that a file's lines have, in the order of their characters, with a pad if lengths differ. Throws UserError as
/// read_sequences() does.
Alphabet learn_alphabet(std::string const& path, Tokenizer tokenizer);

/// Sequences of any lengths, one after another.
struct RaggedSequences {
  std::vector<token_t> tokens;
  std::vector<std::size_t> offsets;  ///< [count + 1] of the sequences' beginnings, and the end

  std::size_t count() const { return offsets.size() - 1; }
  std::span<token_t const> row(std::size_t b) const {
    return std::span(tokens).subspan(offsets[b], offsets[b + 1] - offsets[b]);
  }
};

/// Several files in one alphabet.
struct SequenceFiles {
  Alphabet alphabet;
  std::vector<RaggedSequences> sets;  ///< one for each path
};

/// Reads files whose sequences may have any lengths, to be compared with each other: FASTA if the first character that is
/// not blank is '>', else one sequence a line, whose blanks are characters like others. Sequences may be empty (but lines at
/// the end of a text file are none). The tokens are what `tokenizer` makes of all files together, in the order of their
/// characters; without one they are characters: dna, rna or protein, the first that has all of them (lower case counts
/// as upper case there), else those that occur.
/// Throws UserError for a file that cannot be read, is empty or binary, or has no sequence.
SequenceFiles read_sequence_files(std::vector<std::string> const& paths, std::optional<Tokenizer> tokenizer = {});

enum class SequenceFormat {
  fasta,  ///< >sample_<index>, then the sequence in one line
  txt,    ///< one sequence a line
  csv,    ///< columns sample (its index) and sequence
  npy,    ///< the tokens as int32 [count, length]
};

/// Throws UserError for an unknown name.
SequenceFormat parse_sequence_format(std::string_view name);

/// Writes sequences as they come; the file appears, whole, at commit(). A numbered alphabet is written as numbers
/// separated by single blanks.
class SequenceWriter {
 public:
  /// Throws OutputError if the file cannot be written, UserError if length < 1 or if the alphabet has symbols that CSV
  /// would have to quote.
  SequenceWriter(std::string path, SequenceFormat format, Alphabet alphabet, std::size_t count, int length);

  /// Rows and bytes of a file that are on the disk.
  struct Kept {
    std::size_t rows = 0;
    std::uint64_t bytes = 0;
  };
  /// A file that outlives a run that breaks off (AtomicFile::kept()), after what an earlier run kept.
  SequenceWriter(std::string path, SequenceFormat format, Alphabet alphabet, std::size_t count, int length, Kept kept);
  /// Waits until all rows so far are on the disk. Throws OutputError.
  Kept sync() { return {written_, file_.sync()}; }

  /// Adds whole rows. Throws OutputError; InternalError if a token is not in the alphabet, if a row is not whole or if
  /// there are more than `count` rows.
  void append(std::span<token_t const> rows);
  /// Throws OutputError; InternalError unless `count` rows were appended.
  void commit();

 private:
  void begin();
  char* put_numbers(char* to, std::span<token_t const> row) const;

  AtomicFile file_;
  SequenceFormat format_;
  Alphabet alphabet_;
  std::size_t count_;
  std::size_t length_;
  std::size_t written_ = 0;  ///< rows
  std::string buffer_;
};

}  // namespace saltus
