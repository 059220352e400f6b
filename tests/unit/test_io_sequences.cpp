// SPDX-License-Identifier: BSD-3-Clause
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/npy.hpp>
#include <saltus/ctmc/io/sequences.hpp>

#include "reference/messages.hpp"

namespace saltus {
namespace {

namespace fs = std::filesystem;

using reference::message_of;

using Names = std::vector<std::string>;

class IoSequences : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(directory_); }
  void TearDown() override { fs::remove_all(directory_); }

  std::string path() const { return (directory_ / "file").string(); }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }
  SequenceSet read(std::string const& bytes, std::optional<Alphabet> alphabet = {}) const {
    std::ofstream(path(), std::ios::binary) << bytes;
    return read_sequences(path(), std::move(alphabet));
  }
  std::string refusal(std::string const& bytes, std::optional<Alphabet> alphabet = {}) const {
    auto const message = message_of<UserError>([&] { read(bytes, std::move(alphabet)); });
    EXPECT_SAYS(message, "'" + path() + "'");
    return message;
  }
  /// The sequences as text.
  Names texts(SequenceSet const& set) const {
    Names lines;
    for (std::size_t b = 0; b < set.count; ++b) lines.push_back(set.alphabet.text(set.row(b)));
    return lines;
  }
  std::string written(SequenceFormat format, Alphabet const& alphabet, int length, std::vector<token_t> const& tokens,
                      std::size_t rows_a_call = 1000) const {
    auto const width = static_cast<std::size_t>(length);
    SequenceWriter writer(path(), format, alphabet, tokens.size() / width, length);
    auto const rows = std::span(tokens);
    for (std::size_t at = 0; at < rows.size(); at += rows_a_call * width) {
      writer.append(rows.subspan(at, std::min(rows_a_call * width, rows.size() - at)));
    }
    writer.commit();
    return read_file(path());
  }

  fs::path directory_ = fs::temp_directory_path() / ("saltus-test-io-sequences-" + std::to_string(::getpid()));
};

TEST_F(IoSequences, Fasta) {
  SequenceSet const set = read(">a first one\nAC\nGT\n>b\nT-CA\n");
  EXPECT_EQ(set.alphabet, Alphabet::dna());
  EXPECT_EQ(set.names, (Names{"a first one", "b"}));
  EXPECT_EQ(set.count, 2u);
  EXPECT_EQ(set.length, 4);
  EXPECT_EQ(set.tokens, (std::vector<token_t>{0, 1, 2, 3, 3, 4, 1, 0}));
}

TEST_F(IoSequences, LineEndsAndBlankLinesDoNotMatter) {
  Names const expected{"ACGT", "TTTT"};
  for (std::string const text :
       {">a\nACGT\n>b\nTTTT", ">a\r\nAC\r\nGT\r\n>b\r\nTTTT\r\n", "\n  \n>a\nACGT\n\n>b\nTT\nTT\n\n\n\n",
        "  >a \n  ACGT  \n\t>b\nTTTT\t\n", "\xEF\xBB\xBF>a\nACGT\n>b\nTTTT\n", ">a\nA\nC\nG\nT\n>b\nT\nTTT\n"}) {
    SequenceSet const set = read(text);
    EXPECT_EQ(texts(set), expected) << text;
    EXPECT_EQ(set.names, (Names{"a", "b"})) << text;
  }
  for (std::string const text : {"ACGT\nTTTT", "ACGT\r\nTTTT\r\n\r\n", "\n\nACGT\nTTTT\n\n  \n", " ACGT\t\n  TTTT"}) {
    SequenceSet const set = read(text);
    EXPECT_EQ(texts(set), expected) << text;
    EXPECT_EQ(set.names, (Names{"sequence_0", "sequence_1"})) << text;
  }
}

TEST_F(IoSequences, InfersTheAlphabet) {
  EXPECT_EQ(read(">a\nacgtACGT-\n").alphabet, Alphabet::dna());
  EXPECT_EQ(read(">a\nACG\n").alphabet, Alphabet::dna());
  EXPECT_EQ(read(">a\nACGU\n").alphabet, Alphabet::rna());
  EXPECT_EQ(read(">a\nACGT\n>b\nACGW\n").alphabet, Alphabet::protein());
  EXPECT_EQ(read("ACGT\n").alphabet, Alphabet::dna());
  EXPECT_EQ(read("acgu\n").alphabet, Alphabet::rna());
  EXPECT_EQ(read("MKV-\n").alphabet, Alphabet::protein());
  EXPECT_EQ(read("zb1\n*b.\n").alphabet, Alphabet("*.1bz", "chars:*.1bz"));
  EXPECT_EQ(texts(read("zb1\n*b.\n")), (Names{"zb1", "*b."}));
  // U and T together are in none of the three
  EXPECT_EQ(read("UT\n").alphabet, Alphabet("TU", "chars:TU"));
}

TEST_F(IoSequences, GivenAlphabet) {
  SequenceSet const set = read(">a\nBCA\n", Alphabet("CBA", "mine"));
  EXPECT_EQ(set.tokens, (std::vector<token_t>{1, 0, 2}));
  EXPECT_EQ(set.alphabet.name(), "mine");
  EXPECT_EQ(read("acg\n", Alphabet::protein()).alphabet, Alphabet::protein());
  EXPECT_EQ(texts(read("acw\n", Alphabet::protein())), Names{"ACW"});
}

TEST_F(IoSequences, NumberedAlphabet) {
  SequenceSet const set = read("0 12  7\n3\t4 5\r\n", Alphabet::numbered(13));
  EXPECT_EQ(set.tokens, (std::vector<token_t>{0, 12, 7, 3, 4, 5}));
  EXPECT_EQ(set.length, 3);
  EXPECT_EQ(read(">a\n1 2\n3\n", Alphabet::numbered(4)).tokens, (std::vector<token_t>{1, 2, 3}));
  auto const message = refusal("0 1\n2 13\n", Alphabet::numbered(13));
  EXPECT_SAYS(message, "line 2, column 3: '13' is not a token");
  EXPECT_SAYS(message, "from 0 to 12");
  for (std::string const bad : {"-1", "x", "1x", "1,2", "99999999999", "1.0", "+1"}) {
    EXPECT_SAYS(refusal("0 1\n 1 " + bad + "\n", Alphabet::numbered(13)), "line 2, column 4: '" + bad + "'");
  }
  EXPECT_SAYS(refusal("0 1\n12\n", Alphabet::numbered(13)), "has length 1, expected 2");
}

TEST_F(IoSequences, RefusesWhatIsNoFile) {
  EXPECT_SAYS(message_of<UserError>([&] { read_sequences(path()); }), "No such file or directory");
  EXPECT_SAYS(message_of<UserError>([&] { read_sequences(directory_.string()); }), "it is a directory");
}

TEST_F(IoSequences, RefusesEmptyAndBinary) {
  EXPECT_SAYS(refusal(""), "is empty; expected sequences as FASTA or as text");
  EXPECT_SAYS(refusal("\n \r\n\t\n"), "has no sequence, only blank lines");
  EXPECT_SAYS(refusal("\xEF\xBB\xBF\n"), "has no sequence");
  EXPECT_SAYS(refusal(std::string(">a\nAC\0T\n", 8)), "is a binary file");
  EXPECT_SAYS(refusal("AC\x01\x02\xff\xfe\n"), "is a binary file");
  EXPECT_SAYS(refusal(">a\nAC\x01GT\n"), "byte 0x01 is not in the alphabet");  // few such characters: told one by one
  EXPECT_EQ(read(">\xC3\xA4\nACGT\n").names, Names{"\xC3\xA4"});
}

TEST_F(IoSequences, CharacterOutsideTheAlphabet) {
  auto const message = refusal(">a\nACGT\n>b x\nAC\nG*\n", Alphabet::dna());
  EXPECT_SAYS(message, "line 5, column 2, record 'b x': '*' is not in the alphabet dna (ACGT-)");
  EXPECT_SAYS(message, "--alphabet");
  EXPECT_EQ(message.find("none was given"), std::string::npos) << message;

  auto const inferred = refusal("\r\n>a\r\n  MKX\r\n");
  EXPECT_SAYS(inferred, "line 3, column 5, record 'a': 'X' is not in the alphabet protein");
  EXPECT_SAYS(inferred, "none was given");

  EXPECT_SAYS(refusal(">a\nAC.T\n", Alphabet::rna()), "line 2, column 3, record 'a': '.' is not");
  EXPECT_SAYS(refusal(">a\nAC GT\n"), "line 2, column 3, record 'a': ' ' is not");
  EXPECT_SAYS(refusal("xY\nxy\n", Alphabet("xy", "mine")), "line 1, column 2: 'Y' is not in the alphabet mine (xy)");
  EXPECT_SAYS(refusal("ab b\n"), "line 1, column 3: ' ' cannot be a symbol");
  EXPECT_SAYS(refusal("abab\nab>b\n"), "line 2, column 3: '>' cannot be a symbol");
  EXPECT_SAYS(refusal("abababab\n\tab\xC3\xA4\n"), "line 2, column 4: byte 0xC3 cannot be a symbol");
}

TEST_F(IoSequences, HeaderWithoutSequence) {
  EXPECT_SAYS(refusal(">a\nAC\n>b\n\n>c\nAC\n"), "line 3: the header of record 'b' has no sequence");
  EXPECT_SAYS(refusal(">a\nAC\n>last"), "line 3: the header of record 'last' has no sequence");
  EXPECT_SAYS(refusal(">"), "line 1: the header of record ''");
}

TEST_F(IoSequences, SequenceBeforeHeader) {
  auto const message = refusal("\nACGT\nAC\n>b\nACGT\n");
  EXPECT_SAYS(message, "line 2: a sequence stands before the first FASTA header");
  EXPECT_SAYS(message, "line 4");
}

TEST_F(IoSequences, RaggedAlignment) {
  EXPECT_SAYS(refusal(">a\nAC\nGT\n>b\nACGT\n>c\nACG\n\n"),
              "record 'c' (line 6) has length 3, expected 4 as of record 'a' (line 1)");
  EXPECT_SAYS(refusal("ACGT\nACGT\nACGTA\n"),
              "the sequence in line 3 has length 5, expected 4 as of the sequence in line 1");
}

TEST_F(IoSequences, BlankLineInText) {
  EXPECT_SAYS(refusal("ACGT\nACGT\n  \n\nACGT\n"), "line 3: blank line between sequences");
}

// Sequences of any lengths, several files in one alphabet.
TEST_F(IoSequences, FilesOfAnyLengths) {
  auto const files = [&](std::vector<std::string> const& contents, std::optional<Tokenizer> tokenizer = {}) {
    std::vector<std::string> paths;
    for (auto const& bytes : contents) {
      paths.push_back(path() + std::to_string(paths.size()));
      std::ofstream(paths.back(), std::ios::binary) << bytes;
    }
    return read_sequence_files(paths, tokenizer);
  };
  auto const texts_of = [](SequenceFiles const& read, std::size_t f) {
    Names lines;
    for (std::size_t b = 0; b < read.sets[f].count(); ++b) lines.push_back(read.alphabet.text(read.sets[f].row(b)));
    return lines;
  };
  auto const dna = files({"ACG\nac\n", ">a\nAC \n GT\n>b\n>c\n-\n"});
  EXPECT_EQ(dna.alphabet, Alphabet::dna());
  EXPECT_EQ(texts_of(dna, 0), (Names{"ACG", "AC"}));
  EXPECT_EQ(texts_of(dna, 1), (Names{"ACGT", "", "-"}));
  EXPECT_EQ(files({"ACG\n", "ACU\n"}).alphabet, Alphabet::rna());
  EXPECT_EQ(files({"ACG\n", "MKL\n"}).alphabet, Alphabet::protein());

  auto const text = files({" the end \r\n\nof\n\n\n", "a\n"});
  EXPECT_TRUE(text.alphabet.tokenized());
  EXPECT_EQ(texts_of(text, 0), (Names{" the end ", "", "of"}));
  EXPECT_EQ(text.alphabet.size(), 9);  // blank, a, d, e, f, h, n, o, t
  EXPECT_EQ(text.sets[1].tokens, std::vector<token_t>{1});

  auto const molecules = files({"CCl\nC[nH]c\n", "BrC\n[\n"}, Tokenizer::smiles);
  EXPECT_EQ(texts_of(molecules, 1), (Names{"BrC", "["}));
  EXPECT_EQ(molecules.sets[0].offsets, (std::vector<std::size_t>{0, 2, 5}));
  EXPECT_EQ(texts_of(files({"to be\nor not to be\n"}, Tokenizer::words), 0), (Names{"to be", "or not to be"}));

  EXPECT_SAYS(message_of<UserError>([&] { files({"AC\n", ""}); }), "file1' is empty");
  EXPECT_SAYS(message_of<UserError>([&] { files({"AC\n", "\n\n"}); }), "has no sequence");
  EXPECT_SAYS(message_of<UserError>([&] { files({">a\n"}); }), "has only empty sequences");
  EXPECT_SAYS(message_of<UserError>([&] { files({std::string("A\0C\n", 4)}); }), "is a binary file");
}

TEST_F(IoSequences, FormatNames) {
  EXPECT_EQ(parse_sequence_format("fasta"), SequenceFormat::fasta);
  EXPECT_EQ(parse_sequence_format("txt"), SequenceFormat::txt);
  EXPECT_EQ(parse_sequence_format("csv"), SequenceFormat::csv);
  EXPECT_EQ(parse_sequence_format("npy"), SequenceFormat::npy);
  EXPECT_SAYS(message_of<UserError>([] { parse_sequence_format("fastq"); }),
              "unknown sequence format 'fastq'; did you mean fasta");
}

TEST_F(IoSequences, WritesExactly) {
  std::vector<token_t> const tokens{0, 1, 2, 3, 4, 0};
  EXPECT_EQ(written(SequenceFormat::fasta, Alphabet::dna(), 3, tokens), ">sample_0\nACG\n>sample_1\nT-A\n");
  EXPECT_EQ(written(SequenceFormat::txt, Alphabet::dna(), 3, tokens), "ACG\nT-A\n");
  EXPECT_EQ(written(SequenceFormat::csv, Alphabet::dna(), 3, tokens), "sample,sequence\n0,ACG\n1,T-A\n");
  Alphabet const numbers = Alphabet::numbered(262144);
  std::vector<token_t> const large{0, 262143, 10, 99, 100, 7};
  EXPECT_EQ(written(SequenceFormat::fasta, numbers, 3, large), ">sample_0\n0 262143 10\n>sample_1\n99 100 7\n");
  EXPECT_EQ(written(SequenceFormat::txt, numbers, 2, large), "0 262143\n10 99\n100 7\n");
  EXPECT_EQ(written(SequenceFormat::csv, numbers, 6, large), "sample,sequence\n0,0 262143 10 99 100 7\n");
  EXPECT_EQ(written(SequenceFormat::txt, Alphabet::numbered(1), 1, {0, 0}), "0\n0\n");
}

TEST_F(IoSequences, Words) {
  Alphabet const codons = Alphabet::words({"AAA", "ATG", "CCC"}, "some");
  SequenceSet const set = read(">a\nATGAAA\r\nCCC\n>b\n  AAAAAAAAA\n", codons);
  EXPECT_EQ(set.tokens, (std::vector<token_t>{1, 0, 2, 0, 0, 0}));
  EXPECT_EQ(set.length, 3);
  EXPECT_EQ(texts(set), (Names{"ATGAAACCC", "AAAAAAAAA"}));
  EXPECT_EQ(read("ATG\nCCC\n", codons).tokens, (std::vector<token_t>{1, 2}));
  EXPECT_EQ(written(SequenceFormat::fasta, codons, 2, {1, 0, 2, 2}), ">sample_0\nATGAAA\n>sample_1\nCCCCCC\n");
  EXPECT_EQ(written(SequenceFormat::txt, codons, 2, {1, 0, 2, 2}), "ATGAAA\nCCCCCC\n");
  EXPECT_EQ(written(SequenceFormat::csv, codons, 2, {1, 0}), "sample,sequence\n0,ATGAAA\n");
  EXPECT_SAYS(message_of<UserError>([&] {
                written(SequenceFormat::csv, Alphabet::words({"A,", "B,"}, "commas"), 1, {0});
              }),
              "CSV would have to quote");
}

TEST_F(IoSequences, RefusesBrokenWords) {
  Alphabet const codons = Alphabet::words({"AAA", "ATG", "CCC"}, "some");
  auto message = refusal(">a\nATG\nATGAA\n", codons);
  EXPECT_SAYS(message, "line 3, column 4, record 'a': the line has 5 characters, expected a multiple of 3");
  message = refusal("AAA\n ATGAAT\n", codons);
  EXPECT_SAYS(message, "line 2, column 5: 'AAT' is not in the alphabet some (3 words of 3 characters");
  EXPECT_SAYS(refusal("AAA\natg\n", codons), "'atg' is not in the alphabet");
}

TEST_F(IoSequences, WritesNoRows) {
  EXPECT_EQ(written(SequenceFormat::fasta, Alphabet::dna(), 3, {}), "");
  EXPECT_EQ(written(SequenceFormat::txt, Alphabet::dna(), 3, {}), "");
  EXPECT_EQ(written(SequenceFormat::csv, Alphabet::dna(), 3, {}), "sample,sequence\n");
  written(SequenceFormat::npy, Alphabet::dna(), 3, {});
  EXPECT_EQ(read_npy(path()).shape, (std::vector<std::size_t>{0, 3}));
}

TEST_F(IoSequences, RoundTrip) {
  std::mt19937 random(1);
  for (auto const& alphabet : {Alphabet::dna(), Alphabet::protein(), Alphabet::named("chars:zyX,\""),
                               Alphabet::named("chars:A"), Alphabet::words({"ab", "ba", "bb"}, "pairs"),
                               Alphabet::numbered(1), Alphabet::numbered(11), Alphabet::numbered(2147483647)}) {
    std::uniform_int_distribution<token_t> any(0, alphabet.size() - 1);
    for (int const length : {1, 2, 7, 64, 1001}) {
      for (std::size_t const count : {1, 2, 9, 100}) {
        std::vector<token_t> tokens(count * static_cast<std::size_t>(length));
        for (auto& token : tokens) token = any(random);
        tokens.back() = alphabet.size() - 1;
        for (auto const format : {SequenceFormat::fasta, SequenceFormat::txt}) {
          std::string const whole = written(format, alphabet, length, tokens);
          EXPECT_TRUE(written(format, alphabet, length, tokens, 4) == whole) << "depends on the size of batches";
          SequenceSet const set = read_sequences(path(), alphabet);
          EXPECT_EQ(set.count, count);
          EXPECT_EQ(set.length, length);
          EXPECT_TRUE(set.tokens == tokens) << alphabet.name() << ' ' << length << ' ' << count;
          if (format == SequenceFormat::fasta) {
            EXPECT_EQ(set.names.back(), "sample_" + std::to_string(count - 1));
          }
        }
        written(SequenceFormat::npy, alphabet, length, tokens, 4);
        NpyArray const array = read_npy(path());
        EXPECT_EQ(array.shape, (std::vector<std::size_t>{count, static_cast<std::size_t>(length)}));
        EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), array.values.begin(), array.values.end()));
      }
    }
  }
  EXPECT_EQ(entries(), 1u);
}

TEST_F(IoSequences, WriterRefusesUnknownTokens) {
  for (auto const format : {SequenceFormat::fasta, SequenceFormat::txt, SequenceFormat::csv, SequenceFormat::npy}) {
    for (token_t const token : {-1, 5, 1 << 30, -2147483647 - 1}) {
      SequenceWriter writer(path(), format, Alphabet::dna(), 1, 2);
      EXPECT_THROW(writer.append(std::vector<token_t>{0, token}), InternalError) << token;
    }
  }
  EXPECT_EQ(entries(), 0u);
}

TEST_F(IoSequences, WriterRefusesWrongCounts) {
  std::vector<token_t> const row{0, 1};
  {
    SequenceWriter writer(path(), SequenceFormat::npy, Alphabet::dna(), 2, 2);
    EXPECT_THROW(writer.append(std::vector<token_t>(3)), InternalError);
    EXPECT_THROW(writer.append(std::vector<token_t>(6)), InternalError);
    writer.append(row);
    EXPECT_THROW(writer.commit(), InternalError);
    writer.append({});
    writer.append(row);
    EXPECT_THROW(writer.append(row), InternalError);
  }
  EXPECT_EQ(entries(), 0u);
  EXPECT_THROW(SequenceWriter(path(), SequenceFormat::txt, Alphabet::dna(), 1, 0), UserError);
  EXPECT_SAYS(
      message_of<UserError>([&] { SequenceWriter(path(), SequenceFormat::csv, Alphabet("a,", "comma"), 1, 1); }),
      "choose fasta, txt or npy");
  EXPECT_EQ(entries(), 0u);
}

TEST_F(IoSequences, WriterFailsWhole) {
  EXPECT_THROW(SequenceWriter(path() + "/none", SequenceFormat::txt, Alphabet::dna(), 1, 1), OutputError);
  SequenceWriter writer("/dev/full", SequenceFormat::fasta, Alphabet::dna(), 1, 1);
  writer.append(std::vector<token_t>{0});
  EXPECT_SAYS(message_of<OutputError>([&] { writer.commit(); }), "cannot write '/dev/full': No space left on device");
}

}  // namespace
}  // namespace saltus
