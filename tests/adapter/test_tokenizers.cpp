// SPDX-License-Identifier: BSD-3-Clause
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/sequences.hpp>

#include "reference/messages.hpp"

namespace saltus {
namespace {

namespace fs = std::filesystem;
using reference::message_of;
using reference::says;
using Pieces = std::vector<std::string>;

Pieces pieces(Tokenizer tokenizer, std::string_view line) {
  auto const parts = split(tokenizer, line);
  return {parts.begin(), parts.end()};
}

TEST(Tokenizers, LinesAreTakenApart) {
  EXPECT_EQ(pieces(Tokenizer::characters, "a bC"), (Pieces{"a", " ", "b", "C"}));
  EXPECT_EQ(pieces(Tokenizer::characters, ""), Pieces{});
  EXPECT_EQ(pieces(Tokenizer::words, "  the cat\tsat "), (Pieces{"the", "cat", "sat"}));
  EXPECT_EQ(pieces(Tokenizer::words, ""), Pieces{});
  EXPECT_EQ(pieces(Tokenizer::smiles, "CC(=O)[O-]"), (Pieces{"C", "C", "(", "=", "O", ")", "[O-]"}));
  EXPECT_EQ(pieces(Tokenizer::smiles, "BrCl%12c1B[C@@H]"), (Pieces{"Br", "Cl", "%12", "c", "1", "B", "[C@@H]"}));
  EXPECT_EQ(pieces(Tokenizer::smiles, "%1C%"), (Pieces{"%", "1", "C", "%"}));
  EXPECT_EQ(pieces(Tokenizer::smiles, "C[NH"), (Pieces{"C", "[", "N", "H"}));
}

TEST(Tokenizers, PiecesAreTheLine) {
  for (std::string const line : {"BrC[nH]1%10Cl]", "[[C]]", "%%%11", "CBrlCl"}) {
    for (auto const tokenizer : {Tokenizer::characters, Tokenizer::smiles}) {
      std::string all;
      for (auto const& piece : pieces(tokenizer, line)) {
        all += piece;
        EXPECT_EQ(pieces(tokenizer, piece), Pieces{piece}) << line;  // a token stays one
      }
      EXPECT_EQ(all, line);
    }
  }
}

TEST(Tokenizers, NamesAreReadBack) {
  for (auto const tokenizer : {Tokenizer::characters, Tokenizer::smiles, Tokenizer::words})
    EXPECT_EQ(parse_tokenizer(name_of(tokenizer)), tokenizer);
  EXPECT_TRUE(says(message_of<UserError>([] { parse_tokenizer("smile"); }), {"'smile'", "smiles"}));
}

TEST(TokenAlphabets, TokensThatCannotBe) {
  auto const refusal = [](Pieces const& names, Tokenizer tokenizer, bool padded) {
    return message_of<UserError>([&] { Alphabet::tokens(names, tokenizer, padded, "mine"); });
  };
  EXPECT_TRUE(says(refusal({}, Tokenizer::smiles, false), {"at least 1", "mine"}));
  EXPECT_TRUE(says(refusal({"C", ""}, Tokenizer::smiles, false), {"empty"}));
  EXPECT_TRUE(says(refusal({"C", "N", "C"}, Tokenizer::smiles, false), {"'C'", "twice"}));
  EXPECT_TRUE(says(refusal({"C", "NN"}, Tokenizer::smiles, false), {"'NN'", "smiles"}));
  EXPECT_TRUE(says(refusal({"a b"}, Tokenizer::words, false), {"'a b'", "words"}));
  EXPECT_EQ(Alphabet::tokens({"C", "the end"}, Tokenizer::smiles, true, "mine").pad(), 1);  // the pad is never read
}

TEST(TokenAlphabets, TextEndsBeforeThePad) {
  auto const smiles = Alphabet::tokens({"C", "Br", "[nH]", "<pad>"}, Tokenizer::smiles, true, "mine");
  std::vector<token_t> const row{1, 0, 2, 3, 0};
  EXPECT_EQ(smiles.text(row), "BrC[nH]");
  EXPECT_EQ(smiles.find("Br"), 1);
  EXPECT_EQ(smiles.find("<pad>"), std::nullopt);
  EXPECT_EQ(smiles.shown(3), "<pad>");
  auto const words = Alphabet::tokens({"the", "cat"}, Tokenizer::words, false, "mine");
  EXPECT_EQ(words.text(std::vector<token_t>{1, 0, 1}), "cat the cat");
  EXPECT_EQ(words.pad(), std::nullopt);
}

class TokenFiles : public testing::Test {
 protected:
  void TearDown() override { fs::remove(path_); }
  std::string const& put(std::string const& text) const {
    std::ofstream(path_, std::ios::binary) << text;
    return path_;
  }
  std::string const path_ = (fs::temp_directory_path() / ("saltus_tokens_" + std::to_string(getpid()))).string();
};

TEST_F(TokenFiles, AlphabetsAreLearned) {
  auto const smiles = learn_alphabet(put("CBrC\nC[nH]1\nO\n"), Tokenizer::smiles);
  Pieces names;
  for (token_t y = 0; y < smiles.size(); ++y) names.push_back(smiles.shown(y));
  EXPECT_EQ(names, (Pieces{"1", "Br", "C", "O", "[nH]", "<pad>"}));  // in the order of their characters, the pad last
  EXPECT_EQ(smiles.pad(), 5);
  auto const even = learn_alphabet(put("ab\nba\n"), Tokenizer::characters);
  EXPECT_EQ(even.size(), 2);
  EXPECT_EQ(even.pad(), std::nullopt);
  EXPECT_EQ(learn_alphabet(put("the cat\n"), Tokenizer::words).size(), 2);
}

TEST_F(TokenFiles, ShorterSequencesArePadded) {
  put("CBrC\nO\nC\n");
  auto const alphabet = learn_alphabet(path_, Tokenizer::smiles);  // Br, C, O, <pad>
  auto const set = read_sequences(path_, alphabet);
  EXPECT_EQ(set.count, 3u);
  EXPECT_EQ(set.length, 3);
  EXPECT_EQ(set.tokens, (std::vector<token_t>{1, 0, 1, 2, 3, 3, 1, 3, 3}));
  for (std::size_t b = 0; b < 3; ++b) EXPECT_EQ(alphabet.text(set.row(b)), (Pieces{"CBrC", "O", "C"}[b]));
  auto const longer = read_sequences(path_, alphabet, 5);
  EXPECT_EQ(longer.length, 5);
  EXPECT_EQ(longer.row(1)[4], 3);
  EXPECT_TRUE(says(message_of<UserError>([&] { read_sequences(path_, alphabet, 2); }), {"line 1", "3", "2"}));
  put("CBrC\nON\n");
  EXPECT_TRUE(says(message_of<UserError>([&] { read_sequences(path_, alphabet); }), {"line 2, column 2", "'N'"}));
}

}  // namespace
}  // namespace saltus
