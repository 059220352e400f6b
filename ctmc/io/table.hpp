// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace saltus {

/// The rows of a file of numbers, [rows][columns]. Columns stand apart by blanks, tabs or commas; lines that begin with
/// # are comments, blank lines do not count, and a first line without any number is a header. Throws UserError that
/// names the line unless every row has `columns` finite numbers and there is at least one row.
std::vector<std::vector<double>> read_columns(std::string const& path, int columns);

/// The parts of a line: between commas if it has one (blanks around them do not count, parts can be empty), else
/// between blanks and tabs.
std::vector<std::string_view> split_fields(std::string_view line);

/// The number that the whole text is, with or without a sign; nothing otherwise, also if a double cannot hold it. "nan"
/// and "inf" are numbers here.
std::optional<double> parse_number(std::string_view text);

/// Calls visit(line, number) for every line that is neither blank nor a comment (# first), without the blanks around
/// it. Lines are counted from 1; a byte order mark at the start is skipped.
template <class Visit>
void for_each_line(std::string_view text, Visit&& visit) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  constexpr std::string_view blanks = " \t\r";
  for (std::size_t number = 1; !text.empty(); ++number) {
    auto const end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    auto const first = line.find_first_not_of(blanks);
    if (first == line.npos || line[first] == '#') continue;
    visit(line.substr(first, line.find_last_not_of(blanks) + 1 - first), number);
  }
}

}  // namespace saltus
