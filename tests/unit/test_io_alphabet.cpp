// SPDX-License-Identifier: BSD-3-Clause
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/alphabet.hpp>

#include "reference/messages.hpp"

namespace saltus {
namespace {

using reference::message_of;

TEST(IoAlphabet, SymbolsAndTokensAreInverse) {
  for (auto const& alphabet : {Alphabet::protein(), Alphabet::dna(), Alphabet::rna(), Alphabet("zAa-*,", "odd")}) {
    EXPECT_FALSE(alphabet.numbered());
    ASSERT_EQ(static_cast<int>(alphabet.symbols().size()), alphabet.size());
    for (token_t token = 0; token < alphabet.size(); ++token) {
      EXPECT_EQ(alphabet.find(alphabet.symbol(token)), token) << alphabet.name();
    }
  }
}

TEST(IoAlphabet, SizesAndOrderAreFixed) {
  EXPECT_EQ(Alphabet::protein().symbols(), "ACDEFGHIKLMNPQRSTVWY-");
  EXPECT_EQ(Alphabet::dna().symbols(), "ACGT-");
  EXPECT_EQ(Alphabet::rna().symbols(), "ACGU-");
  EXPECT_EQ(Alphabet::protein().size(), 21);
  EXPECT_EQ(Alphabet::rna().name(), "rna");
}

TEST(IoAlphabet, FindsNothingElse) {
  Alphabet const dna = Alphabet::dna();
  std::string const members = "ACGTacgt-";
  for (int c = -128; c < 256; ++c) {
    EXPECT_EQ(dna.find(static_cast<char>(c)).has_value(), members.find(static_cast<char>(c)) != std::string::npos) << c;
  }
}

TEST(IoAlphabet, CaseCountsOnlyForChosenCharacters) {
  EXPECT_EQ(Alphabet::protein().find('w'), Alphabet::protein().find('W'));
  EXPECT_FALSE(Alphabet::protein().find('b'));
  Alphabet const chars = Alphabet::named("chars:AcG");
  EXPECT_EQ(chars.find('c'), 1);
  EXPECT_FALSE(chars.find('C'));
  EXPECT_FALSE(chars.find('a'));
}

TEST(IoAlphabet, Named) {
  EXPECT_EQ(Alphabet::named("protein"), Alphabet::protein());
  EXPECT_EQ(Alphabet::named("dna"), Alphabet::dna());
  EXPECT_EQ(Alphabet::named("rna"), Alphabet::rna());
  EXPECT_EQ(Alphabet::named("chars:XYZ"), Alphabet("XYZ", "chars:XYZ"));
  EXPECT_NE(Alphabet::dna(), Alphabet("ACGT-", "dna"));  // the latter does not read lower case
  auto const message = message_of<UserError>([] { Alphabet::named("protien"); });
  EXPECT_SAYS(message, "unknown alphabet 'protien'; did you mean protein");
  EXPECT_SAYS(message, "chars:XYZ");
  EXPECT_THROW(Alphabet::named(""), UserError);
  EXPECT_THROW(Alphabet::named("DNA"), UserError);
}

TEST(IoAlphabet, RefusesBadSymbols) {
  EXPECT_SAYS(message_of<UserError>([] { Alphabet("", "nothing"); }), "at least 1 symbol, 'nothing' has none");
  EXPECT_THROW(Alphabet::named("chars:"), UserError);
  EXPECT_SAYS(message_of<UserError>([] { Alphabet("ABCA", "twice"); }), "got 'A' twice in 'twice'");
  for (std::string const symbols : {"A B", "A\tB", "A>B", "A\x7f", "A\xC3\xA4"}) {
    EXPECT_SAYS(message_of<UserError>([&] { Alphabet(symbols, "odd"); }), "printable ASCII");
  }
  EXPECT_SAYS(message_of<UserError>([] { Alphabet("\xC3", "odd"); }), "byte 0xC3");
}

TEST(IoAlphabet, Text) {
  std::vector<token_t> const tokens{3, 0, 4, 1};
  EXPECT_EQ(Alphabet::dna().text(tokens), "TA-C");
  EXPECT_EQ(Alphabet::dna().text({}), "");
  EXPECT_THROW(Alphabet::dna().text(std::vector<token_t>{5}), InternalError);
  EXPECT_THROW(Alphabet::dna().text(std::vector<token_t>{-1}), InternalError);
}

TEST(IoAlphabet, Numbered) {
  Alphabet const numbers = Alphabet::numbered(262144);
  EXPECT_TRUE(numbers.numbered());
  EXPECT_EQ(numbers.size(), 262144);
  EXPECT_EQ(numbers.symbols(), "");
  for (int c = 0; c < 256; ++c) EXPECT_FALSE(numbers.find(static_cast<char>(c)));
  EXPECT_EQ(numbers.text(std::vector<token_t>{0, 262143, 7}), "0 262143 7");
  EXPECT_EQ(numbers.text(std::vector<token_t>{5}), "5");
  EXPECT_THROW(numbers.text(std::vector<token_t>{262144}), InternalError);
  EXPECT_THROW(numbers.symbol(0), InternalError);
  EXPECT_SAYS(message_of<UserError>([] { Alphabet::numbered(0); }), "got 0");
}

}  // namespace
}  // namespace saltus
