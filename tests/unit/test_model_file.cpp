// SPDX-License-Identifier: BSD-3-Clause
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/npy.hpp>
#include <saltus/models/hidden_markov.hpp>
#include <saltus/models/markov_tree.hpp>
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

TEST_F(ModelFile, TreesComeBackBitForBit) {
  for (std::size_t const blocks : {1u, 3u}) {
    auto const law = std::make_shared<MarkovTree>(std::vector<int>{-1, 0, 0, 2}, 4, thirds(1, 4), thirds(blocks * 4, 4), "branches");
    save_law(path("t"), {law, Alphabet("ACGT", "chars:ACGT")}, "made by hand");
    NamedLaw const got = load_law(path("t"));
    auto const* const again = dynamic_cast<MarkovTree const*>(got.law.get());
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(again->parents(), law->parents());
    EXPECT_EQ(again->initial(), law->initial());
    EXPECT_EQ(again->transitions(), law->transitions());
    EXPECT_EQ(again->states(), 4);
    EXPECT_EQ(again->name(), "branches");
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

TEST_F(ModelFile, TablesComeBackBitForBit) {
  auto const law = std::make_shared<TableLaw>(3, 2, thirds(1, 8));
  save_law(path("t"), {law, Alphabet("xy", "chars:xy")}, "made by hand");
  NamedLaw const got = load_law(path("t"));
  auto const* const again = dynamic_cast<TableLaw const*>(got.law.get());
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->probabilities(), law->probabilities());
  EXPECT_EQ(again->length(), 3);
  EXPECT_EQ(again->states(), 2);
  EXPECT_EQ(got.alphabet, Alphabet("xy", "chars:xy"));
}

class StrangeLaw final : public SequenceLaw {
 public:
  std::string name() const override { return "strange"; }
  int states() const override { return 2; }
  int length() const override { return 1; }
  double log_likelihood(std::span<token_t const>) const override { return 0; }
  double entropy() const override { return 0; }
  std::vector<double> site_marginals() const override { return {}; }
  std::vector<double> pair_marginals() const override { return {}; }
  std::vector<double> triple_marginals() const override { return {}; }
  void draw(std::uint64_t, std::uint64_t, std::span<token_t>) const override {}

 private:
  std::shared_ptr<ScoreModel> make_denoiser(Generator const&, bool) const override { return nullptr; }
};

TEST_F(ModelFile, OtherLawsHaveNoFormat) {
  auto const law = std::make_shared<StrangeLaw>();
  EXPECT_TRUE(says(message_of<UserError>([&] { save_law(path("t"), {law, Alphabet::numbered(2)}, ""); }),
                   {"'strange'", "chain, hidden_markov, product, table and tree"}));
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
      {"\"saltus-native\"", "7", {"format", "saltus-native", "got 7"}},
      {"\"saltus-native\"", "\"other\"", {"format", "saltus-native", "other"}},
      {"\"version\":1", "\"version\":2", {"version", "1", "2"}},
      {"\"version\":1", "\"version\":\"1\"", {"\"version\": 1", "got \"1\""}},
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

// ------------------------------------------------------------------------------------------------- tables from NPY

TEST_F(ModelFile, TablesAreReadFromNpy) {
  // p(x, y, z) over 2 states, first axis slowest
  std::vector<double> const p{0.5, 0.125, 0, 0.0625, 0.25, 0, 0.0625, 0};
  write_npy(path("p.npy"), {2, 2, 2}, p);
  NamedLaw const got = read_table_law(path("p.npy"));
  auto const* const table = dynamic_cast<TableLaw const*>(got.law.get());
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(table->length(), 3);
  EXPECT_EQ(table->states(), 2);
  EXPECT_EQ(table->probabilities(), p);
  EXPECT_NEAR(table->log_likelihood(std::vector<token_t>{0, 0, 1}), std::log(0.125), 1e-15);
  EXPECT_TRUE(got.alphabet.numbered());
  EXPECT_EQ(got.alphabet.size(), 2);

  std::vector<float> const single(p.begin(), p.end());
  std::ofstream(path("f.npy"), std::ios::binary)
      << npy_header("<f4", {8}) << std::string(reinterpret_cast<char const*>(single.data()), 4 * single.size());
  EXPECT_EQ(read_table_law(path("f.npy")).law->site_marginals(), p);  // one site of 8 states

  std::vector<std::size_t> const sites(12, 2);  // more axes than the arrays of other files have
  write_npy(path("long.npy"), sites, std::vector<double>(4096, 1.0 / 4096));
  EXPECT_EQ(read_table_law(path("long.npy")).law->length(), 12);
}

TEST_F(ModelFile, TablesThatAreNoLawsAreRefused) {
  auto const message = [&](std::vector<std::size_t> const& shape, std::vector<double> const& values) {
    write_npy(path("bad.npy"), shape, values);
    return message_of<UserError>([&] { read_table_law(path("bad.npy")); });
  };
  std::string const where = path("bad.npy");
  EXPECT_TRUE(says(message({2, 2}, {0.25, 0.25, 0.25, 0.2500001}), {where, "sum to 1.0000001", "1e-9"}));
  EXPECT_TRUE(says(message({2, 2}, {0.5, 0.5, 0.25, -0.25}), {where, "sequence 1 1 is -0.25"}));
  EXPECT_TRUE(says(message({2, 2}, {0.5, std::nan(""), 0.25, 0.25}), {where, "sequence 0 1 is nan"}));
  EXPECT_TRUE(says(message({2, 2}, {0.5, 0.25, 0.25, INFINITY}), {where, "sum to inf"}));
  EXPECT_TRUE(says(message({2, 3}, {1, 0, 0, 0, 0, 0}), {where, "axis 0 has 2", "axis 1 has 3"}));
  EXPECT_TRUE(says(message({}, {1}), {where, "one axis for each site"}));
  EXPECT_TRUE(says(message({0}, {}), {where, "one axis for each site"}));
  std::ofstream(where, std::ios::binary) << npy_header("<c16", {1}) << std::string(16, '\0');
  EXPECT_TRUE(says(message_of<UserError>([&] { read_table_law(where); }), {where, "floats", "<c16"}));
  EXPECT_TRUE(says(message_of<UserError>([&] { read_table_law(path("none.npy")); }), {path("none.npy")}));
}

}  // namespace
}  // namespace saltus
