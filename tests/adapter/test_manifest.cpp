// SPDX-License-Identifier: BSD-3-Clause
#include <filesystem>
#include <fstream>
#include <functional>

#include <gtest/gtest.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/models/backbone_manifest.hpp>

#include "reference/messages.hpp"

namespace saltus {
namespace {

namespace fs = std::filesystem;
using reference::message_of;
using reference::says;

class Manifest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  void put(std::string const& text) const { std::ofstream(fs::path(folder_) / "model.json") << text; }
  BackboneManifest read(std::string const& text) const {
    put(text);
    return read_manifest(folder_);
  }
  /// The message for the least manifest with `from` replaced.
  std::string refusal(std::string const& from, std::string const& to) const {
    std::string text = least;
    auto const at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    return message_of<UserError>([&] { read(text); });
  }
  std::string const folder_ = (fs::temp_directory_path() / ("saltus_manifest_" + std::to_string(getpid()))).string();
  static constexpr char const* least = R"({"format": "saltus-backbone", "version": 1, "name": "m",
    "network": {"kind": "torchscript", "file": "n.pt", "output": "x0_logits_leave_one_out", "time": "none"},
    "tokens": {"tokenizer": "numbers", "states": 4}, "length": 7, "mask": true})";
};

TEST_F(Manifest, TheLeastOneHasDefaults) {
  auto const m = read(least);
  EXPECT_EQ(m.name, "m");
  EXPECT_EQ(m.format, BackboneManifest::Format::torchscript);
  EXPECT_EQ(m.states, 5);
  EXPECT_EQ(m.columns, 5);
  EXPECT_EQ(m.length, 7);
  EXPECT_TRUE(m.masked);
  EXPECT_TRUE(m.token_ids.empty());
  EXPECT_FALSE(m.any_length || m.takes_valid);
  EXPECT_EQ(m.condition_size, 0);
  EXPECT_EQ(m.fixed_batch, 0);
  EXPECT_EQ(m.generator, "absorbing");
  EXPECT_EQ(m.about, "{}");
  EXPECT_TRUE(is_backbone(folder_));
}

TEST_F(Manifest, WhatIsWrittenIsReadBack) {
  std::vector<BackboneManifest> all;
  BackboneManifest m;
  m.name = "molecules \"q\"";
  m.file = "weights.safetensors";
  m.width = 8;
  m.layers = 2;
  m.heads = 2;
  m.alphabet = Alphabet::tokens({"C", "Br", "[nH]", "end"}, Tokenizer::smiles, true, "molecules");
  m.length = 12;
  m.states = m.columns = 5;
  m.output = "scaled_log_score";
  m.time = TimeInput::total;
  m.noise = "cosine:floor=0.01";
  m.generator = "absorbing";
  m.about = R"({"licence":"CC0","quality":{"bound":15.5}})";
  all.push_back(m);
  m.alphabet = Alphabet::protein();
  m.masked = false;
  m.states = m.columns = 21;
  m.generator = "uniform";
  m.output = "x0_logits_leave_in";
  m.time = TimeInput::time;
  all.push_back(m);
  for (auto const& alphabet : {Alphabet::dna(), Alphabet::rna(), Alphabet::amino_acids(), Alphabet::nucleotides(), Alphabet("AbC", "three"),
                               Alphabet::named("chars:01"), Alphabet::numbered(9),
                               Alphabet::tokens({" ", "a", "b"}, Tokenizer::characters, false, "text"),
                               Alphabet::tokens({"the", "cat"}, Tokenizer::words, false, "list")}) {
    m.alphabet = alphabet;
    m.states = m.columns = alphabet.size();
    all.push_back(m);
  }
  BackboneManifest n;
  n.name = "exported";
  n.format = BackboneManifest::Format::aoti;
  n.file = "network.pt2";
  n.alphabet = Alphabet::tokens({"A", "C", "<pad>"}, Tokenizer::characters, true, "residues");
  n.length = 30;
  n.any_length = true;
  n.states = 4;
  n.columns = 33;
  n.token_ids = {5, 23, 1, 32};
  n.output = "x0_logits_leave_one_out";
  n.takes_valid = true;
  n.condition_size = 3;
  n.fixed_batch = 16;
  n.noise = "linear";
  n.generator = "absorbing";
  n.about = "{}";
  all.push_back(n);
  for (auto const& written : all) {
    write_manifest(folder_, written);
    EXPECT_TRUE(is_backbone(folder_));
    EXPECT_EQ(read_manifest(folder_), written) << written.name << " " << written.alphabet.name();
  }
}

TEST_F(Manifest, AlphabetsComeBackEqual) {
  std::vector<Alphabet> const alphabets{
      Alphabet::words({"AAA", "CGT", "ACG"}, "codons"),
      Alphabet::words({"A", "C"}, "letters"),
      Alphabet::tokens({"AAA", "CGT", "ACG"}, Tokenizer::words, false, "codons"),
      Alphabet::tokens({"AAA", "CGT", "pad"}, Tokenizer::words, true, "codons"),
      Alphabet::tokens({"a", "cat", "sat"}, Tokenizer::words, false, "text"),
      Alphabet::tokens({"a", "cat", "no word"}, Tokenizer::words, true, "text"),
      Alphabet::tokens({" ", "a", "\""}, Tokenizer::characters, false, "text"),
      Alphabet::tokens({" ", "a", "<pad>"}, Tokenizer::characters, true, "text"),
      Alphabet::tokens({"C", "Br", "[nH]", "%12"}, Tokenizer::smiles, false, "molecules"),
      Alphabet::tokens({"C", "Br", "[nH]", "<pad>"}, Tokenizer::smiles, true, "molecules")};
  BackboneManifest m;
  m.name = "n";
  m.format = BackboneManifest::Format::torchscript;
  m.file = "n.pt";
  m.length = 4;
  m.output = "x0_logits_leave_one_out";
  for (auto const& alphabet : alphabets) {
    m.alphabet = alphabet;
    m.states = m.columns = alphabet.size();
    write_manifest(folder_, m);
    auto const back = read_manifest(folder_).alphabet;
    EXPECT_EQ(back, alphabet) << alphabet.name();
    for (auto const& other : alphabets) EXPECT_EQ(back == other, &other == &alphabet) << alphabet.name() << " for " << other.name();
  }
}

TEST_F(Manifest, EveryOutputAndTimeIsRead) {
  for (auto const& kind : output_kinds()) {
    std::string text = least;
    text.replace(text.find("x0_logits_leave_one_out"), 23, kind.name);
    if (kind.scaled) text.replace(text.find("\"none\""), 6, "\"total\"");
    EXPECT_EQ(read(text).output, kind.name);
  }
}

TEST_F(Manifest, EveryKeyIsChecked) {
  struct Case {
    char const *from, *to;
    std::vector<std::string> parts;
  };
  std::vector<Case> const cases{
      {"\"saltus-backbone\"", "\"saltus-model\"", {"saltus-backbone", "saltus-model"}},
      {"\"saltus-backbone\"", "7", {"'format'", "a text", "7"}},
      {"\"version\": 1", "\"version\": 2", {"version 1", "got 2"}},
      {"\"version\": 1, ", "", {"'version' is missing"}},
      {"\"name\": \"m\"", "\"name\": 3", {"'name'", "a text"}},
      {"\"torchscript\"", "\"torchscrip\"", {"network", "kind 'torchscrip'", "torchscript"}},
      {"\"n.pt\"", "\"../n.pt\"", {"'file'", "../n.pt"}},
      {"\"n.pt\"", "1", {"'file'", "a text"}},
      {"\"x0_logits_leave_one_out\"", "\"logits\"", {"output 'logits'", "x0_logits_leave_in"}},
      {"\"none\"", "\"sigma\"", {"time 'sigma'", "total"}},
      {", \"time\": \"none\"", "", {"'time' is missing"}},
      {"x0_logits_leave_one_out", "scaled_log_score", {"scaled_log_score", "total"}},
      {"\"time\": \"none\"", "\"time\": \"none\", \"colums\": 9", {"key 'colums'", "columns"}},
      {"\"time\": \"none\"", "\"time\": \"none\", \"columns\": 4", {"4 columns", "5 states"}},
      {"\"time\": \"none\"", "\"time\": \"none\", \"columns\": 0", {"'columns'", "from 1"}},
      {"\"time\": \"none\"", "\"time\": \"none\", \"columns\": 4.5", {"'columns'", "whole number", "4.5"}},
      {"\"time\": \"none\"", "\"time\": \"none\", \"token_ids\": [0, 1]", {"'token_ids'", "5 states", "got 2"}},
      {"\"time\": \"none\"", "\"time\": \"none\", \"token_ids\": [0, 1, 2, 3, 5]", {"'token_ids'", "5 columns", "got 5"}},
      {"\"time\": \"none\"", "\"time\": \"none\", \"token_ids\": [0, 1, 2, 3, -1]", {"'token_ids'", "got -1"}},
      {"\"time\": \"none\"", "\"time\": \"none\", \"token_ids\": \"x\"", {"'token_ids'", "list"}},
      {"\"time\": \"none\"", "\"time\": \"none\", \"valid\": true", {"\"valid\"", "pad"}},
      {"\"time\": \"none\"", "\"time\": \"none\", \"valid\": 1", {"'valid'", "true or false"}},
      {"\"time\": \"none\"", "\"time\": \"none\", \"condition\": -1", {"'condition'", "-1"}},
      {"\"time\": \"none\"", "\"time\": \"none\", \"batch\": -2", {"'batch'", "-2"}},
      {"\"torchscript\"", "\"transformer\"", {"'width' is missing"}},
      {"\"torchscript\"", "\"transformer\", \"width\": 6, \"layers\": 1, \"heads\": 2", {"width 6", "heads, 2"}},
      {"\"torchscript\"", "\"transformer\", \"width\": 8, \"layers\": 1, \"heads\": 2, \"any_length\": true", {"one length"}},
      {"\"numbers\"", "\"letters\"", {"tokens", "letters"}},
      {"\"states\": 4", "\"states\": 0", {"tokens", "'states'"}},
      {"{\"tokenizer\": \"numbers\", \"states\": 4}", "{\"tokenizer\": \"symbols\", \"symbols\": \"AA\"}", {"tokens", "'A'", "twice"}},
      {"{\"tokenizer\": \"numbers\", \"states\": 4}", "{\"tokenizer\": \"symbols\", \"symbols\": \"AAACC\", \"width\": 3}",
       {"tokens", "3 characters", "got 5"}},
      {"{\"tokenizer\": \"numbers\", \"states\": 4}", "{\"tokenizer\": \"symbols\", \"symbols\": \"AAAAAA\", \"width\": 3}",
       {"tokens", "'AAA'", "twice"}},
      {"{\"tokenizer\": \"numbers\", \"states\": 4}", "{\"tokenizer\": \"symbols\", \"symbols\": \"AC\", \"width\": 0}",
       {"tokens", "'width'", "from 1"}},
      {"{\"tokenizer\": \"numbers\", \"states\": 4}", "{\"tokenizer\": \"smiles\", \"names\": [\"CC\"]}", {"tokens", "'CC'"}},
      {"{\"tokenizer\": \"numbers\", \"states\": 4}", "{\"tokenizer\": \"alphabet\", \"name\": \"protien\"}", {"tokens", "protein"}},
      {"{\"tokenizer\": \"numbers\", \"states\": 4}", "[]", {"tokens", "object"}},
      {"\"length\": 7", "\"length\": 0", {"'length'", "from 1"}},
      {"\"length\": 7", "\"lenght\": 7", {"key 'lenght'", "length"}},
      {"\"mask\": true", "\"mask\": \"yes\"", {"'mask'", "true or false"}},
      {"\"mask\": true", "\"mask\": true, \"noise\": 3", {"'noise'", "a text"}},
      {"\"mask\": true", "\"mask\": true, \"noise\": \"table:file=/etc/hostname\"", {"'noise'", "no file", "/etc/hostname"}},
      {"\"mask\": true", "\"mask\": false, \"generator\": \"/etc/hostname\"", {"'generator'", "/etc/hostname", "uniform"}},
      {"\"mask\": true", "\"mask\": true, \"about\": []", {"about", "object"}},
      {"\"mask\": true}", "\"mask\": true", {"not valid JSON"}},
  };
  for (auto const& c : cases) {
    auto const message = refusal(c.from, c.to);
    EXPECT_TRUE(says(message, c.parts)) << c.from << " -> " << c.to;
    EXPECT_TRUE(says(message, {"model.json"}));
  }
  std::string const deep = std::string(200000, '[') + std::string(200000, ']');
  EXPECT_TRUE(says(refusal("\"mask\": true", "\"mask\": true, \"about\": " + deep), {"100 levels"}));
}

TEST_F(Manifest, OtherFoldersAreNoBackbones) {
  EXPECT_FALSE(is_backbone(folder_));
  EXPECT_TRUE(says(message_of<UserError>([&] { read_manifest(folder_); }), {"model.json", "No such file"}));
  for (auto const* const text : {R"({"format": "saltus-law"})", R"({"format": 3})", "[]", "{}"}) {
    put(text);
    EXPECT_FALSE(is_backbone(folder_)) << text;
  }
}

}  // namespace
}  // namespace saltus
