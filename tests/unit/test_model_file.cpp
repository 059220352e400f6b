// SPDX-License-Identifier: BSD-3-Clause
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/models/hidden_markov.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/model_file.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

#include "reference/harness.hpp"

namespace saltus {
namespace {

namespace fs = std::filesystem;
using namespace reference;

class ModelFile : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(std::string const& name) const { return (folder_ / name).string(); }
  std::string read(std::string const& name) const {
    std::ifstream in(path(name) + "/model.json", std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(std::string const& name, std::string const& text) const {
    fs::create_directories(path(name));
    std::ofstream(path(name) + "/model.json", std::ios::binary) << text;
  }
  /// The message when a good file has `from` replaced by `to`.
  std::string message_after(std::string const& from, std::string const& to) const {
    std::string text = read("good");
    auto const place = text.find(from);
    EXPECT_NE(place, std::string::npos) << "'" << from << "' is not in " << text;
    if (place == std::string::npos) return {};
    write("bad", text.replace(place, from.size(), to));
    return message_of<UserError>([&] { load_law(path("bad")); });
  }

 private:
  fs::path const folder_ = fs::temp_directory_path() / ("saltus_model_file_" + std::to_string(::getpid()));
};

// Rows of numbers without short decimals.
std::vector<double> thirds(std::size_t rows, std::size_t states) {
  std::vector<double> p;
  for (std::size_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (std::size_t y = 0; y < states; ++y) {
      p.push_back(scramble(r * 31 + y) * (y == 1 ? 1e-14 : 1));
      sum += p.back();
    }
    for (std::size_t y = 0; y < states; ++y) p[p.size() - 1 - y] /= sum;
  }
  return p;
}

TEST_F(ModelFile, ChainsComeBackBitForBit) {
  for (std::size_t const matrices : {1u, 4u}) {
    for (bool const numbered : {false, true}) {
      auto const chain = std::make_shared<MarkovChain>(5, 4, thirds(1, 4), thirds(matrices * 4, 4), "my chain");
      save_law(path("new/folder"), {chain, numbered ? Alphabet::numbered(4) : Alphabet("ACGT", "chars:ACGT")},
               "made by hand");
      NamedLaw const got = load_law(path("new/folder"));
      auto const* const again = dynamic_cast<MarkovChain const*>(got.law.get());
      ASSERT_NE(again, nullptr);
      EXPECT_EQ(again->initial(), chain->initial());
      EXPECT_EQ(again->transitions(), chain->transitions());
      EXPECT_EQ(again->homogeneous(), matrices == 1);
      EXPECT_EQ(again->length(), 5);
      EXPECT_EQ(again->states(), 4);
      EXPECT_EQ(again->name(), "my chain");
      EXPECT_EQ(got.alphabet.numbered(), numbered);
      EXPECT_EQ(got.alphabet.symbols(), numbered ? "" : "ACGT");
      EXPECT_EQ(got.alphabet.size(), 4);
    }
  }
}

TEST_F(ModelFile, ProductsComeBackBitForBit) {
  auto const law = std::make_shared<ProductLaw>(7, 3, thirds(7, 3));
  save_law(path("p"), {law, Alphabet("xyz", "chars:xyz")}, "made by hand");
  NamedLaw const got = load_law(path("p"));
  EXPECT_NE(dynamic_cast<ProductLaw const*>(got.law.get()), nullptr);
  EXPECT_EQ(got.law->site_marginals(), law->site_marginals());
  EXPECT_EQ(got.alphabet, Alphabet("xyz", "chars:xyz"));
  EXPECT_TRUE(says(read("p"), {"made by hand", "\"kind\":\"product\""}));
}

TEST_F(ModelFile, HiddenChainsComeBackBitForBit) {
  for (std::size_t const blocks : {1u, 5u}) {
    auto const law = std::make_shared<HiddenMarkov>(5, 4, thirds(1, 3), thirds((blocks == 1 ? 1 : 4) * 3, 3),
                                                    thirds(blocks * 3, 4), "hidden");
    save_law(path("h"), {law, Alphabet("ACGT", "chars:ACGT")}, "made by hand");
    NamedLaw const got = load_law(path("h"));
    auto const* const again = dynamic_cast<HiddenMarkov const*>(got.law.get());
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(again->initial(), law->initial());
    EXPECT_EQ(again->transitions(), law->transitions());
    EXPECT_EQ(again->emissions(), law->emissions());
    EXPECT_EQ(again->hidden_states(), 3);
    EXPECT_EQ(again->states(), 4);
    EXPECT_EQ(again->length(), 5);
    EXPECT_EQ(again->name(), "hidden");
  }
}

TEST_F(ModelFile, SavingAgainReplaces) {
  save_law(path("p"), {std::make_shared<ProductLaw>(7, 3, thirds(7, 3)), Alphabet::numbered(3)}, "one");
  save_law(path("p"), {std::make_shared<ProductLaw>(2, 3, thirds(2, 3)), Alphabet::numbered(3)}, "two");
  EXPECT_EQ(load_law(path("p")).law->length(), 2);
}

// File names on Linux are bytes: the source may name one that is not UTF-8.
TEST_F(ModelFile, SourceMayHoldAnyBytes) {
  auto const law = std::make_shared<ProductLaw>(1, 2, std::vector<double>{0.5, 0.5});
  EXPECT_NO_THROW(save_law(path("p"), {law, Alphabet::numbered(2)}, "caf\xe9.fasta"));
  EXPECT_NO_THROW(load_law(path("p")));
}

TEST_F(ModelFile, TablesHaveNoFormat) {
  auto const law = std::make_shared<TableLaw>(TableLaw::neighbours(2, 2, 1));
  EXPECT_TRUE(says(message_of<UserError>([&] { save_law(path("t"), {law, Alphabet::numbered(2)}, ""); }),
                   {"'table'", "chain, hidden_markov and product"}));
  EXPECT_FALSE(fs::exists(path("t")));
}

TEST_F(ModelFile, FoldersThatCannotBeMadeAreOutputErrors) {
  std::ofstream(path("file")) << "not a folder";
  auto const law = std::make_shared<ProductLaw>(1, 2, std::vector<double>{0.5, 0.5});
  EXPECT_TRUE(says(message_of<OutputError>([&] { save_law(path("file/below"), {law, Alphabet::numbered(2)}, ""); }),
                   {path("file/below")}));
}

TEST_F(ModelFile, FilesThatCannotBeReadAreNamed) {
  EXPECT_TRUE(
      says(message_of<UserError>([&] { load_law(path("none")); }), {path("none") + "/model.json", "No such file"}));
  write("empty", "");
  EXPECT_TRUE(says(message_of<UserError>([&] { load_law(path("empty")); }), {path("empty") + "/model.json", "JSON"}));
  write("broken", "{\"format\": ");
  EXPECT_TRUE(says(message_of<UserError>([&] { load_law(path("broken")); }), {path("broken") + "/model.json", "JSON"}));
  write("list", "[1, 2]");
  EXPECT_TRUE(says(message_of<UserError>([&] { load_law(path("list")); }), {path("list") + "/model.json", "object"}));
  write("folder/model.json/x", "");  // a folder where the file should be
  EXPECT_TRUE(says(message_of<UserError>([&] { load_law(path("folder")); }), {path("folder") + "/model.json"}));
}

TEST_F(ModelFile, EveryKeyOfAChainIsChecked) {
  auto const chain = std::make_shared<MarkovChain>(3, 2, std::vector<double>{0.5, 0.5},
                                                   std::vector<double>{0.25, 0.75, 1, 0}, "chain");
  save_law(path("good"), {chain, Alphabet("ab", "chars:ab")}, "by hand");
  std::string const where = path("bad") + "/model.json";
  struct Edit {
    char const *from, *to;
    std::vector<std::string> says;
  };
  std::vector<Edit> const edits{
      {"\"format\"", "\"farmat\"", {"'format'", "missing"}},
      {"\"saltus-native\"", "7", {"'format'", "type"}},
      {"\"saltus-native\"", "\"other\"", {"format", "saltus-native", "other"}},
      {"\"version\":1", "\"version\":2", {"version", "1", "2"}},
      {"\"version\":1", "\"version\":\"1\"", {"'version'"}},
      {"\"version\":1,", "", {"'version'", "missing"}},
      {"\"length\":3,", "", {"'length'", "missing"}},
      {"\"length\":3", "\"length\":\"3\"", {"'length'"}},
      {"\"length\":3", "\"length\":null", {"'length'"}},
      {"\"length\":3", "\"length\":0", {"'length' must be a whole number from 1"}},
      {"\"length\":3", "\"length\":-3", {"'length' must be a whole number from 1"}},
      {"\"states\":2,", "", {"'states'", "missing"}},
      {"\"states\":2", "\"states\":[2]", {"'states'"}},
      {"\"states\":2", "\"states\":3", {"'alphabet'", "2 symbols", "3"}},
      {"\"alphabet\":\"ab\",", "", {"'alphabet'", "missing"}},
      {"\"alphabet\":\"ab\"", "\"alphabet\":[\"a\",\"b\"]", {"'alphabet'", "type"}},
      {"\"alphabet_name\"", "\"name\"", {"'alphabet_name'", "missing"}},
      {"\"kind\":\"chain\"", "\"kind\":\"chains\"", {"'chains'", "did you mean chain", "product"}},
      {"\"kind\":\"chain\",", "", {"'kind'", "missing"}},
      {"\"initial\"", "\"first\"", {"'initial'", "missing"}},
      {"[0.5,0.5]", "\"0.5,0.5\"", {"'initial'", "type"}},
      {"[0.5,0.5]", "[0.5,\"0.5\"]", {"'initial'", "type"}},
      {"[0.5,0.5]", "[0.5,null]", {"'initial'", "type"}},
      {"[0.5,0.5]", "[1.0]", {"initial", "needs 2", "got 1"}},
      {"[0.5,0.5]", "[0.5,0.75]", {"initial", "1.25"}},
      {"\"transitions\"", "\"matrix\"", {"'transitions'", "missing"}},
      {"[0.25,0.75,1.0,0.0]", "[0.25,0.75,1.0]", {"matrices", "got 3 numbers"}},
      {"[0.25,0.75,1.0,0.0]", "[0.25,0.75,1.5,-0.5]", {"row 1", "negative"}},
      {"\"law\"", "\"name\"", {"'law'", "missing"}},
  };
  for (Edit const& edit : edits) {
    auto expected = edit.says;
    expected.push_back(where);
    EXPECT_TRUE(says(message_after(edit.from, edit.to), expected)) << edit.from << " -> " << edit.to;
  }
}

// Integers are integers: nothing is rounded, wrapped or taken from a truth value.
TEST_F(ModelFile, IntegersMustBeIntegers) {
  save_law(path("good"), {std::make_shared<ProductLaw>(1, 2, std::vector<double>{0.5, 0.5}), Alphabet::numbered(2)},
           "");
  for (char const* const wrong : {"1.5", "true", "1e300", "4294967297"}) {  // the last is 2^32 + 1
    EXPECT_TRUE(says(message_after("\"length\":1", std::string("\"length\":") + wrong),
                     {path("bad") + "/model.json", "'length'"}))
        << wrong;
  }
}

// What the alphabet refuses is reported with the file that it came from.
TEST_F(ModelFile, AlphabetErrorsNameTheFile) {
  save_law(path("good"),
           {std::make_shared<ProductLaw>(1, 2, std::vector<double>{0.5, 0.5}), Alphabet("ab", "chars:ab")}, "");
  EXPECT_TRUE(says(message_after("\"ab\"", "\"aa\""), {path("bad") + "/model.json"}));
  EXPECT_TRUE(says(message_after("\"ab\"", "\"a b\""), {path("bad") + "/model.json"}));
  EXPECT_TRUE(says(message_after("\"ab\"", "\"\""), {path("bad") + "/model.json"}));
  save_law(path("good"), {std::make_shared<ProductLaw>(1, 2, std::vector<double>{0.5, 0.5}), Alphabet::numbered(2)},
           "");
  EXPECT_TRUE(says(message_after("\"states\":2", "\"states\":0"), {path("bad") + "/model.json"}));
}

TEST_F(ModelFile, EveryKeyOfAProductIsChecked) {
  save_law(path("good"),
           {std::make_shared<ProductLaw>(2, 2, std::vector<double>{0.5, 0.5, 1, 0}), Alphabet::numbered(2)}, "by hand");
  std::string const where = path("bad") + "/model.json";
  EXPECT_TRUE(says(message_after("\"probabilities\"", "\"p\""), {where, "'probabilities'", "missing"}));
  EXPECT_TRUE(says(message_after("[0.5,0.5,1.0,0.0]", "7"), {where, "'probabilities'", "type"}));
  EXPECT_TRUE(says(message_after("[0.5,0.5,1.0,0.0]", "[0.5,0.5]"), {where, "2 x 2", "got 2"}));
  EXPECT_TRUE(says(message_after("[0.5,0.5,1.0,0.0]", "[0.5,0.5,1.0,0.5]"), {where, "site 1", "1.5"}));
}

}  // namespace
}  // namespace saltus
