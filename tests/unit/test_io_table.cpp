// SPDX-License-Identifier: BSD-3-Clause
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/table.hpp>

#include "reference/messages.hpp"

namespace saltus {
namespace {

using reference::message_of;

using Rows = std::vector<std::vector<double>>;

class IoTable : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  Rows read(std::string const& bytes, int columns) const {
    std::ofstream(path_, std::ios::binary) << bytes;
    return read_columns(path_, columns);
  }
  std::string refusal(std::string const& bytes, int columns) const {
    auto const message = message_of<UserError>([&] { read(bytes, columns); });
    EXPECT_SAYS(message, "'" + path_ + "'");
    return message;
  }
  std::string path_ =
      (std::filesystem::temp_directory_path() / ("saltus-test-io-table-" + std::to_string(::getpid()))).string();
};

TEST_F(IoTable, SeparatorsCommentsAndHeaders) {
  Rows const expected{{1, 0.5}, {-2000, 3}};
  for (std::string const text :
       {"1 0.5\n-2e3 3\n", "1\t0.5\n-2000\t+3", "1,0.5\r\n-2000, 3\r\n", "time value\n1 0.5\n-2000 3\n",
        "\xEF\xBB\xBF# made by hand\n\ntime,value\n 1 , 0.5\n# between\n\n-2000,3\n\n",
        "a longer header\n1 .5\n-2E+3 3."}) {
    EXPECT_EQ(read(text, 2), expected) << text;
  }
  EXPECT_EQ(read("7\n", 1), (Rows{{7}}));
}

TEST_F(IoTable, Refusals) {
  EXPECT_SAYS(refusal("", 2), "has no numbers");
  EXPECT_SAYS(refusal("# only\n\n", 2), "has no numbers");
  EXPECT_SAYS(refusal("time value\n", 2), "has no numbers");
  EXPECT_SAYS(refusal("1 2\n\n1 2 3\n", 2), "line 3: expected 2 numbers");
  EXPECT_SAYS(refusal("1 2\n1,,2\n", 2), "line 2: expected 2 numbers separated by blanks, tabs or commas, got 3");
  EXPECT_SAYS(refusal("1,\n", 2), "line 1, column 2: expected a finite number, got ''");
  EXPECT_SAYS(refusal("a b\nc d\n", 2), "line 2, column 1: expected a finite number, got 'c'");
  EXPECT_SAYS(refusal("1 x\n", 2), "line 1, column 2: expected a finite number, got 'x'");
  for (std::string const bad : {"nan", "inf", "-inf", "1e999", "0x1", "1.5kg", "--1", "+-1"}) {
    EXPECT_SAYS(refusal("1\n" + bad + "\n", 1), "line 2, column 1: expected a finite number, got '" + bad + "'");
  }
  EXPECT_THROW(read_columns(path_ + ".missing", 1), UserError);
}

}  // namespace
}  // namespace saltus
