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
  EXPECT_EQ(Alphabet::named("amino_acids"), Alphabet::amino_acids());
  EXPECT_EQ(Alphabet::named("nucleotides"), Alphabet::nucleotides());
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

TEST(IoAlphabet, StatesOfModelsOfEvolution) {
  EXPECT_EQ(Alphabet::amino_acids().symbols(), "ACDEFGHIKLMNPQRSTVWY");
  EXPECT_EQ(Alphabet::nucleotides().symbols(), "ACGT");
  EXPECT_EQ(Alphabet::amino_acids().find('w'), 18);
  EXPECT_EQ(Alphabet::nucleotides().find('g'), 2);
  EXPECT_FALSE(Alphabet::nucleotides().find('-'));
}

TEST(IoAlphabet, Words) {
  Alphabet const codons = Alphabet::words({"TTT", "ATG", "a,*"}, "mine");
  EXPECT_EQ(codons.size(), 3);
  EXPECT_EQ(codons.width(), 3);
  EXPECT_EQ(codons.name(), "mine");
  EXPECT_EQ(codons.symbols(), "TTTATGa,*");
  EXPECT_FALSE(codons.numbered());
  EXPECT_EQ(codons.find("TTT"), 0);
  EXPECT_EQ(codons.find("a,*"), 2);
  for (std::string const other : {"", "T", "TT", "TTTT", "ttt", "TTA", "TAT"})
    EXPECT_FALSE(codons.find(other)) << other;
  for (int c = 0; c < 256; ++c) EXPECT_FALSE(codons.find(static_cast<char>(c)));
  EXPECT_EQ(codons.text(std::vector<token_t>{1, 1, 2, 0}), "ATGATGa,*TTT");
  EXPECT_THROW(codons.text(std::vector<token_t>{3}), InternalError);
  EXPECT_THROW(codons.symbol(0), InternalError);
  EXPECT_NE(codons, Alphabet::words({"ATG", "TTT", "a,*"}, "mine"));
}

TEST(IoAlphabet, WordsOfOneCharacterAreSymbols) {
  EXPECT_EQ(Alphabet::words({"X", "a", "-"}, "short"), Alphabet("Xa-", "short"));
  EXPECT_EQ(Alphabet::dna().width(), 1);
  EXPECT_EQ(Alphabet::dna().find("G"), 2);
  EXPECT_FALSE(Alphabet::dna().find(""));
  EXPECT_FALSE(Alphabet::dna().find("GT"));
}

TEST(IoAlphabet, RefusesBadWords) {
  auto const refusal = [](std::vector<std::string> const& names) {
    return message_of<UserError>([&] { Alphabet::words(names, "odd"); });
  };
  EXPECT_SAYS(refusal({}), "at least 1 word, 'odd' has none");
  EXPECT_SAYS(refusal({""}), "at least 1 character");
  EXPECT_SAYS(refusal({"AB", "ABC"}), "have one width, got 'AB' and 'ABC' in 'odd'");
  EXPECT_SAYS(refusal({"AB", "BA", "AB"}), "got 'AB' twice in 'odd'");
  EXPECT_SAYS(refusal({"AB", "B>"}), "got '>' in 'odd'");
  EXPECT_SAYS(refusal({"A B"}), "printable ASCII");
  EXPECT_SAYS(refusal({"A\xC3"}), "byte 0xC3");
  EXPECT_SAYS(refusal({"A", "A"}), "twice");
}

}  // namespace
}  // namespace saltus
