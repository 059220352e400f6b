// SPDX-License-Identifier: BSD-3-Clause
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include <gtest/gtest.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/models/safetensors.hpp>

#include "reference/messages.hpp"

namespace saltus {
namespace {

namespace fs = std::filesystem;
using reference::message_of;
using reference::says;

std::string file_of(std::string const& header, std::string const& data, std::uint64_t length) {
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + data;
}
std::string file_of(std::string const& header, std::string const& data) { return file_of(header, data, header.size()); }

class Safetensors : public testing::Test {
 protected:
  void TearDown() override { fs::remove(path_); }
  void put(std::string const& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }
  std::string refusal(std::string const& bytes) const {
    put(bytes);
    return message_of<UserError>([&] { TensorFile{path_}; });
  }
  std::string const path_ = (fs::temp_directory_path() / ("saltus_safetensors_" + std::to_string(getpid()))).string();
};

TEST_F(Safetensors, WhatIsWrittenIsRead) {
  std::vector<float> const matrix{1, -2, 3.5f, 0, 5, -0.0f};
  std::vector<std::int64_t> const whole{7, -8};
  write_tensors(path_,
                {{"matrix", "F32", {2, 3}, std::as_bytes(std::span(matrix))},
                 {"empty", "F16", {0, 4}, {}},
                 {"n\"1", "I64", {2}, std::as_bytes(std::span(whole))}},
                {{"note", "a \"b\"\n"}});
  TensorFile const file(path_);
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.metadata().at("note"), "a \"b\"\n");
  for (auto const& t : file.tensors()) {
    if (t.name == "matrix") {
      EXPECT_EQ(t.type, "F32");
      EXPECT_EQ(t.shape, (std::vector<std::int64_t>{2, 3}));
      ASSERT_EQ(t.bytes.size(), 24u);
      EXPECT_EQ(std::memcmp(t.bytes.data(), matrix.data(), 24), 0);
      EXPECT_EQ((t.bytes.data() - file.tensors().front().bytes.data()) % 4, 0);
    } else if (t.name == "empty") {
      EXPECT_TRUE(t.bytes.empty());
    } else {
      ASSERT_EQ(t.name, "n\"1");
      EXPECT_EQ(std::memcmp(t.bytes.data(), whole.data(), 16), 0);
    }
  }
}

// Written by hand after the description of the format: nothing here comes from the writer.
TEST_F(Safetensors, AFileFromElsewhereIsRead) {
  std::string const header = R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"__metadata__":{"format":"pt"}}   )";
  put(file_of(header, "xyz"));
  TensorFile const file(path_);
  ASSERT_EQ(file.tensors().size(), 1u);
  EXPECT_EQ(static_cast<char>(file.tensors()[0].bytes[2]), 'z');
  EXPECT_EQ(file.metadata().at("format"), "pt");
}

TEST_F(Safetensors, FilesThatLieAreRefused) {
  auto const one = [](std::string const& entry) { return "{\"a\":" + entry + "}"; };
  EXPECT_TRUE(says(refusal(""), {path_, "0 bytes"}));
  EXPECT_TRUE(says(refusal(file_of("{}", "", 3)), {"should have 3 bytes", "only 2 follow"}));
  EXPECT_TRUE(says(refusal(file_of("{}", "", ~std::uint64_t{0})), {"18446744073709551615"}));
  EXPECT_TRUE(says(refusal(file_of("{\"a", "")), {"not valid JSON"}));
  EXPECT_TRUE(says(refusal(file_of("{\"a\":{\"dtype\":" + std::string(200000, '[') + std::string(200000, ']') + "}}", "")), {"header", "100 levels"}));
  EXPECT_TRUE(says(refusal(file_of("[1]", "")), {"not a JSON object"}));
  EXPECT_TRUE(says(refusal(file_of(one("7"), "")), {"'a'", "dtype"}));
  EXPECT_TRUE(says(refusal(file_of(one(R"({"dtype":"F31","shape":[],"data_offsets":[0,4]})"), "abcd")), {"'a'", "F31"}));
  EXPECT_TRUE(says(refusal(file_of(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"), "abcd")),
                   {"'a'", "byte 8", "only 4", "truncated"}));
  EXPECT_TRUE(says(refusal(file_of(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"), "abcd")), {"'a'", "4 bytes", "needs 8"}));
  EXPECT_TRUE(says(refusal(file_of(one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), "abcd")), {"'a'", "more than"}));
  EXPECT_TRUE(says(refusal(file_of(one(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]})"), "")), {"'a'"}));
  EXPECT_TRUE(says(refusal(file_of(one(R"({"dtype":"U8","shape":[1],"data_offsets":[-1,0]})"), "a")), {"'a'", "-1"}));
  EXPECT_TRUE(says(refusal(file_of(one(R"({"dtype":"U8","shape":[1],"data_offsets":[1,0]})"), "a")), {"'a'", "ordered"}));
  EXPECT_TRUE(says(refusal(file_of(one(R"({"dtype":"U8","shape":[1],"data_offsets":[18446744073709551615,0]})"), "a")), {"'a'"}));
  EXPECT_TRUE(says(refusal(file_of(one(R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})"), "ab")), {"1 bytes after"}));
  EXPECT_TRUE(says(refusal(file_of(R"({"__metadata__":{"a":1}})", "")), {"__metadata__"}));
  std::string const two = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":)";
  EXPECT_TRUE(says(refusal(file_of(two + "[1,3]}}", "abc")), {"'b'", "overlaps"}));
  EXPECT_TRUE(says(refusal(file_of(two + "[0,2]}}", "ab")), {"overlaps"}));
  EXPECT_TRUE(says(refusal(file_of(two + "[3,5]}}", "abcde")), {"1 unused bytes", "'b'"}));
  EXPECT_TRUE(says(message_of<UserError>([] { TensorFile{"no/such/file"}; }), {"no/such/file"}));
}

// Whatever is done to a file, it is read or refused. With the sanitizers this shows reads outside of it.
TEST_F(Safetensors, DamagedFilesAreReadOrRefused) {
  std::vector<float> const numbers{1, 2, 3};
  write_tensors(path_, {{"a", "F32", {3}, std::as_bytes(std::span(numbers))}, {"b", "F32", {1, 2}, std::as_bytes(std::span(numbers)).first(8)}},
                {{"k", "v"}});
  std::string const good = read_file(path_);
  auto const survives = [&](std::string const& bytes) {
    put(bytes);
    try {
      TensorFile const file(path_);
      std::size_t sum = 0;
      for (auto const& t : file.tensors()) {
        for (auto const byte : t.bytes) sum += static_cast<std::size_t>(byte);
      }
      return sum + 1 > 0;
    } catch (UserError const&) {
      return false;
    }
  };
  ASSERT_TRUE(survives(good));
  for (std::size_t n = 0; n < good.size(); ++n) EXPECT_FALSE(survives(good.substr(0, n))) << n;
  EXPECT_FALSE(survives(good + "x"));
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (unsigned char const flip : {0x01, 0x02, 0x10, 0x80, 0xff}) {
      std::string bad = good;
      bad[i] = static_cast<char>(static_cast<unsigned char>(bad[i]) ^ flip);
      survives(bad);
    }
  }
}

// The value of a half, from the definition of binary16.
double value_of_half(unsigned bits) {
  int const exponent = static_cast<int>((bits >> 10) & 31), fraction = static_cast<int>(bits & 1023);
  double const size = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return bits & 0x8000 ? -size : size;
}

TEST(AsHalf, EveryHalfComesBack) {
  std::vector<float> values;
  std::vector<unsigned> expected;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    bool const special = ((bits >> 10) & 31) == 31;
    if (special && (bits & 1023) != 0) continue;  // not a number
    values.push_back(special ? (bits & 0x8000 ? -INFINITY : INFINITY) : static_cast<float>(value_of_half(bits)));
    expected.push_back(bits);
  }
  auto const halves = as_half(values);
  ASSERT_EQ(halves.size(), 65536u - 2 * 1023);
  for (std::size_t i = 0; i < halves.size(); ++i) ASSERT_EQ(halves[i], expected[i]) << values[i];
}

TEST(AsHalf, TiesGoToTheEvenOneAndAllElseToTheNearest) {
  for (unsigned bits = 0; bits < 0x7bff; ++bits) {
    double const low = value_of_half(bits), high = value_of_half(bits + 1);
    auto const tie = static_cast<float>((low + high) / 2);  // exact in single precision
    ASSERT_EQ(static_cast<double>(tie), (low + high) / 2);
    std::vector<float> const values{tie, std::nextafter(tie, 0.0f), std::nextafter(tie, INFINITY), -tie};
    auto const halves = as_half(values);
    unsigned const even = bits % 2 == 0 ? bits : bits + 1;
    ASSERT_EQ(halves[0], even) << tie;
    ASSERT_EQ(halves[1], bits) << tie;
    ASSERT_EQ(halves[2], bits + 1) << tie;
    ASSERT_EQ(halves[3], even | 0x8000) << tie;
  }
}

TEST(AsHalf, EndsOfTheRange) {
  std::vector<float> const values{65504, 65519.996f, 65520, 1e30f, std::numeric_limits<float>::denorm_min(), -0.0f, std::ldexp(1.0f, -25),
                                  std::nextafter(std::ldexp(1.0f, -25), 1.0f), NAN};
  auto const halves = as_half(values);
  std::vector<unsigned> const expected{0x7bff, 0x7bff, 0x7c00, 0x7c00, 0, 0x8000, 0, 1};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(halves[i], expected[i]) << values[i];
  EXPECT_GT(halves.back() & 0x7fff, 0x7c00);
}

}  // namespace
}  // namespace saltus
