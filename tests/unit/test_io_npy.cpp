// SPDX-License-Identifier: BSD-3-Clause
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/ctmc/io/npy.hpp>

#include "reference/messages.hpp"

namespace saltus {
namespace {

namespace fs = std::filesystem;

using reference::message_of;

template <class Number>
std::string bytes_of(std::vector<Number> const& numbers) {
  return {reinterpret_cast<char const*>(numbers.data()), numbers.size() * sizeof(Number)};
}

/// A file with any header, true or not.
std::string npy(std::string const& dictionary, std::string const& data, int version = 1) {
  std::string file = "\x93NUMPY";
  file += static_cast<char>(version);
  file += '\0';
  for (std::size_t i = 0; i < (version == 1 ? 2u : 4u); ++i) {
    file += static_cast<char>((dictionary.size() >> (8 * i)) & 0xFF);
  }
  return file + dictionary + data;
}

std::string dictionary(std::string const& descr, std::string const& shape, bool fortran = false) {
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape +
         ", }\n";
}

class IoNpy : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(directory_); }
  void TearDown() override { fs::remove_all(directory_); }

  std::string path() const { return (directory_ / "a.npy").string(); }
  NpyArray read(std::string const& bytes) const {
    std::ofstream(path(), std::ios::binary) << bytes;
    return read_npy(path());
  }
  std::string refusal(std::string const& bytes) const {
    auto const message = message_of<UserError>([&] { read(bytes); });
    EXPECT_SAYS(message, "'" + path() + "'");
    return message;
  }

  fs::path directory_ = fs::temp_directory_path() / ("saltus-test-io-npy-" + std::to_string(::getpid()));
};

TEST_F(IoNpy, HeaderIsThatOfNumPy) {
  // numpy.save of zeros((3, 4), '<i4'), whose first 128 bytes NumPy pads for growth; ours are padded to 64 only.
  std::string const header = npy_header("<i4", {3, 4});
  EXPECT_EQ(header.size(), 128u);
  EXPECT_EQ(header.substr(0, 10), std::string("\x93NUMPY\x01\x00\x76\x00", 10));
  EXPECT_TRUE(header.substr(10).starts_with("{'descr': '<i4', 'fortran_order': False, 'shape': (3, 4), }  "));
  EXPECT_EQ(header.back(), '\n');
  EXPECT_SAYS(npy_header("<f8", {}), "'shape': (), }");
  EXPECT_SAYS(npy_header("<f8", {7}), "'shape': (7,), }");
}

TEST_F(IoNpy, HeaderIsAligned) {
  for (std::size_t extent = 1; extent < 1000000000000; extent *= 10) {
    for (std::size_t rank = 0; rank <= 4; ++rank) {
      std::string const header = npy_header("<f8", std::vector<std::size_t>(rank, extent));
      EXPECT_EQ(header.size() % 64, 0u);
      std::size_t const said = static_cast<unsigned char>(header[8]) + 256u * static_cast<unsigned char>(header[9]);
      EXPECT_EQ(said + 10, header.size());
    }
  }
}

TEST_F(IoNpy, HeaderOfAnyLengthIsWhole) {
  for (std::size_t length = 0; length <= 128; ++length) {
    std::string const header = npy_header(std::string(length, 'd'), {1});
    EXPECT_EQ(header.size() % 64, 0u);
    EXPECT_SAYS(header, "'shape': (1,), }");
    EXPECT_EQ(header.back(), '\n');
  }
}

TEST_F(IoNpy, RoundTrip) {
  std::vector<std::vector<std::size_t>> const shapes = {
      {}, {0}, {1}, {17}, {0, 5}, {5, 0}, {1, 1}, {3, 4}, {2, 3, 4}, {4, 0, 2}, {2, 3, 4, 5}, {1, 1, 1, 1}};
  for (auto const& shape : shapes) {
    std::vector<double> values(std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>()));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1.0 / (static_cast<double>(i) - 2.5);
    write_npy(path(), shape, values);
    NpyArray const array = read_npy(path());
    EXPECT_EQ(array.shape, shape);
    EXPECT_EQ(array.values, values);
  }
  EXPECT_THROW(write_npy(path(), {3}, std::vector<double>(2)), InternalError);
}

template <class Number>
void expect_type(std::string const& descr, NpyArray const& array, std::vector<Number> const& numbers) {
  ASSERT_EQ(array.values.size(), numbers.size()) << descr;
  for (std::size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(array.values[i], static_cast<double>(numbers[i])) << descr;
}

TEST_F(IoNpy, EveryType) {
  auto const check = [&]<class Number>(std::vector<std::string> const& names, std::vector<Number> const& numbers) {
    for (auto const& name : names) {
      for (int const version : {1, 2}) {
        auto const shape = "(" + std::to_string(numbers.size()) + ",)";
        expect_type(name, read(npy(dictionary(name, shape), bytes_of(numbers), version)), numbers);
      }
    }
  };
  check({"<f8"}, std::vector<double>{0.1, -1e300, std::numeric_limits<double>::infinity(), 5e-324});
  check({"<f4"}, std::vector<float>{0.1f, -1e30f});
  check({"<i8"}, std::vector<std::int64_t>{0, -1, std::int64_t{1} << 53, -(std::int64_t{1} << 53)});
  check({"<i4"}, std::vector<std::int32_t>{0, -1, 2147483647, -2147483647 - 1});
  check({"<i2"}, std::vector<std::int16_t>{0, -1, 32767, -32768});
  check({"|i1", "<i1"}, std::vector<std::int8_t>{0, -1, 127, -128});
  check({"<u8"}, std::vector<std::uint64_t>{0, std::uint64_t{1} << 53});
  check({"<u4"}, std::vector<std::uint32_t>{0, 4294967295u});
  check({"<u2"}, std::vector<std::uint16_t>{0, 65535});
  check({"|u1", "<u1"}, std::vector<std::uint8_t>{0, 255});
}

TEST_F(IoNpy, RefusesIntegersThatDoubleCannotHold) {
  auto const above = (std::int64_t{1} << 53) + 1;
  EXPECT_SAYS(refusal(npy(dictionary("<i8", "(2,)"), bytes_of(std::vector<std::int64_t>{0, above}))),
              "element 1 is 9007199254740993");
  EXPECT_SAYS(refusal(npy(dictionary("<i8", "(1,)"), bytes_of(std::vector<std::int64_t>{-above}))), "beyond 2^53");
  auto const lowest = std::numeric_limits<std::int64_t>::min();
  EXPECT_SAYS(refusal(npy(dictionary("<i8", "(1,)"), bytes_of(std::vector<std::int64_t>{lowest}))), "beyond 2^53");
  auto const highest = std::numeric_limits<std::uint64_t>::max();
  EXPECT_SAYS(refusal(npy(dictionary("<u8", "(1,)"), bytes_of(std::vector<std::uint64_t>{highest}))), "beyond 2^53");
}

TEST_F(IoNpy, FortranOrder) {
  std::vector<std::int32_t> const as_stored{0, 3, 1, 4, 2, 5};
  EXPECT_EQ(read(npy(dictionary("<i4", "(2, 3)", true), bytes_of(as_stored))).values,
            (std::vector<double>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(read(npy(dictionary("<i4", "(6,)", true), bytes_of(as_stored))).values,
            (std::vector<double>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(read(npy(dictionary("<i4", "(0, 3)", true), "")).values, std::vector<double>{});

  std::size_t const extents[] = {2, 3, 4, 5};
  std::vector<double> stored(120);
  for (std::size_t n = 0; n < 120; ++n) {  // C order index n -> indices -> place in Fortran order
    std::size_t rest = n, index[4];
    for (int d = 3; d >= 0; --d) {
      index[d] = rest % extents[d];
      rest /= extents[d];
    }
    stored[index[0] + 2 * (index[1] + 3 * (index[2] + 4 * index[3]))] = static_cast<double>(n);
  }
  std::vector<double> counted(120);
  std::iota(counted.begin(), counted.end(), 0.0);
  EXPECT_EQ(read(npy(dictionary("<f8", "(2, 3, 4, 5)", true), bytes_of(stored))).values, counted);
}

TEST_F(IoNpy, HeadersOfOtherWriters) {
  std::string const data = bytes_of(std::vector<double>{1, 2});
  for (std::string const text : {"{\"shape\":(2,),\"descr\":\"<f8\",\"fortran_order\":False}",
                                 " { 'shape' : ( 2 , ) , 'descr' : '<f8' , 'fortran_order' : False } ",
                                 "{'fortran_order': False, 'descr': '<f8', 'shape': (1, 2)}\n",
                                 "{'fortran_order': True, 'descr': '<f8', 'shape': (2, 1,)}"}) {
    EXPECT_EQ(read(npy(text, data)).values, (std::vector<double>{1, 2})) << text;
  }
}

TEST_F(IoNpy, EveryTruncationIsRefused) {
  for (int const version : {1, 2}) {
    std::string const whole = npy(dictionary("<f8", "(2, 3)"), std::string(48, 'x'), version);
    ASSERT_EQ(read(whole).values.size(), 6u);
    for (std::size_t size = 0; size < whole.size(); ++size) refusal(whole.substr(0, size));
    EXPECT_SAYS(refusal(whole.substr(0, whole.size() - 49)), "it ends within its header");
    EXPECT_SAYS(refusal(whole + "x"), "needs 48 bytes of data, but there are 49");
    EXPECT_SAYS(refusal(whole.substr(0, whole.size() - 1)), "needs more than the 47 bytes");
  }
}

/// Any single wrong byte in the header gives an array or a UserError, and nothing is read out of bounds (sanitizers).
TEST_F(IoNpy, EveryWrongByteIsSurvived) {
  std::string const whole = npy(dictionary("<f8", "(2, 3)"), std::string(48, 'x'));
  int refused = 0;
  for (std::size_t i = 0; i + 48 < whole.size(); ++i) {
    for (char const c : {'\0', '\xff', '9', '\'', ')', '}', ',', ' '}) {
      std::string damaged = whole;
      damaged[i] = c;
      try {
        NpyArray const array = read(damaged);
        EXPECT_LE(array.values.size(), 48u);
      } catch (UserError const&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 300);
}

TEST_F(IoNpy, LyingHeaders) {
  std::string const data(48, 'x');
  for (std::string const shape :
       {"(7,)", "(1000000000000,)", "(4294967296, 4294967296)", "(18446744073709551615,)", "(2305843009213693952, 8)",
        "(2305843009213693953,)", "(9223372036854775808, 2, 3)"}) {
    EXPECT_SAYS(refusal(npy(dictionary("<f8", shape), data)), "needs more than the 48 bytes");
  }
  EXPECT_SAYS(refusal(npy(dictionary("<f8", "(0, 9223372036854775808, 9223372036854775808)"), "")), "needs more than");
  EXPECT_SAYS(refusal(npy(dictionary("<f8", "(18446744073709551616,)"), data)), "expected an extent");
  EXPECT_SAYS(refusal(npy(dictionary("<f8", "(5,)"), data)), "needs 40 bytes of data, but there are 48");
  EXPECT_SAYS(refusal(npy(dictionary("<f8", "(0,)"), data)), "needs 0 bytes");
  EXPECT_SAYS(refusal(npy(dictionary("<f8", "()"), data)), "needs 8 bytes");
}

TEST_F(IoNpy, MalformedHeaders) {
  std::string const data(8, 'x');
  EXPECT_SAYS(refusal(""), "mark of NPY files");
  EXPECT_SAYS(refusal("PK\x03\x04 a zip file"), "mark of NPY files");
  EXPECT_SAYS(refusal(npy(dictionary("<f8", "(1,)"), data, 3)), "expected version 1 or 2, got 3");
  for (std::string const descr : {">f8", "<f2", "<c16", "|O", "|S8", "<U2", "|b1", "", "f8", "=f8"}) {
    EXPECT_SAYS(refusal(npy(dictionary(descr, "(1,)"), data)), "got the type '" + descr + "'");
  }
  EXPECT_SAYS(refusal(npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }", data)), "structured");
  for (std::string const shape :
       {"(-1,)", "(1)", "1", "(1,,)", "(,)", "(1 1)", "(1,", "(1.0,)", "None", "[1]", "(0x1,)"}) {
    EXPECT_SAYS(refusal(npy(dictionary("<f8", shape), data)), "damaged");
  }
  std::string ones = "1";
  for (int axis = 1; axis < 65; ++axis) ones += ", 1";
  EXPECT_SAYS(refusal(npy(dictionary("<f8", "(" + ones + ")"), data)), "at most 64 dimensions");
  EXPECT_SAYS(refusal(npy("{'descr': '<f8', 'fortran_order': Maybe, 'shape': (1,), }", data)), "True or False");
  EXPECT_SAYS(refusal(npy("{'descr': '<f8', 'shape': (1,), }", data)), "lacks");
  EXPECT_SAYS(refusal(npy("{}", data)), "lacks");
  EXPECT_SAYS(refusal(npy("", data)), "damaged");
  EXPECT_SAYS(refusal(npy("{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", data)),
              "repeated");
  EXPECT_SAYS(refusal(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'x': 1}", data)), "entry 'x'");
  EXPECT_SAYS(refusal(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)} x", data)), "after the closing");
  EXPECT_SAYS(refusal(npy("{'descr': '<f8", data)), "expected a string");
}

TEST_F(IoNpy, MissingFileAndFailedWrite) {
  EXPECT_SAYS(message_of<UserError>([&] { read_npy(path()); }), "No such file or directory");
  EXPECT_SAYS(message_of<OutputError>([&] { write_npy("/dev/full", {1}, std::vector<double>{1}); }), "No space left");
}

}  // namespace
}  // namespace saltus
