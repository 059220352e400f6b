// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/io/table.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>

namespace saltus {

std::optional<double> parse_number(std::string_view text) {
  // from_chars takes a minus but no plus.
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  double value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool const whole = error == std::errc() && end == text.data() + text.size();
  return whole ? std::optional<double>(value) : std::nullopt;
}

std::vector<std::string_view> split_fields(std::string_view line) {
  constexpr std::string_view blanks = " \t\r";
  std::vector<std::string_view> fields;
  if (line.find(',') == line.npos) {
    for (auto at = line.find_first_not_of(blanks); at != line.npos;) {
      auto const end = std::min(line.find_first_of(blanks, at), line.size());
      fields.push_back(line.substr(at, end - at));
      at = line.find_first_not_of(blanks, end);
    }
    return fields;
  }
  while (true) {
    auto const comma = line.find(',');
    auto field = line.substr(0, comma);
    auto const first = field.find_first_not_of(blanks);
    fields.push_back(first == field.npos ? field.substr(0, 0)
                                         : field.substr(first, field.find_last_not_of(blanks) + 1 - first));
    if (comma == line.npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

std::vector<std::vector<double>> read_columns(std::string const& path, int columns) {
  SALTUS_ASSERT(columns >= 1);
  std::string const text = read_file(path);
  std::vector<std::vector<double>> rows;
  bool first = true;
  for_each_line(text, [&](std::string_view line, std::size_t number) {
    auto const fields = split_fields(line);
    bool const header =
        first && std::none_of(fields.begin(), fields.end(), [](auto field) { return parse_number(field).has_value(); });
    first = false;
    if (header) return;
    std::string const where = "'" + path + "', line " + std::to_string(number);
    require(fields.size() == static_cast<std::size_t>(columns),
            where + ": expected " + std::to_string(columns) + (columns == 1 ? " number" : " numbers") +
                " separated by blanks, tabs or commas, got " + std::to_string(fields.size()) +
                "; correct the line, or begin it with # if it is a comment");
    auto& row = rows.emplace_back();
    for (std::size_t c = 0; c < fields.size(); ++c) {
      auto const value = parse_number(fields[c]);
      require(value && std::isfinite(*value), where + ", column " + std::to_string(c + 1) +
                                                  ": expected a finite number, got '" + std::string(fields[c]) + "'");
      row.push_back(*value);
    }
  });
  require(!rows.empty(), "'" + path + "' has no numbers; expected " + std::to_string(columns) + " in every line");
  return rows;
}

}  // namespace saltus
