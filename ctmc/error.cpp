// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>

#include <algorithm>
#include <charconv>
#include <numeric>

namespace saltus {

void internal_error(std::string_view what, std::source_location where) {
  throw InternalError("internal error (a defect of Saltus, please report it): " + std::string(what) + " at " +
                      where.file_name() + ":" + std::to_string(where.line()));
}

std::string to_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

namespace {
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t const substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

std::string joined(std::vector<std::string> const& names) {
  std::string text;
  for (auto const& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}
}  // namespace

std::vector<std::string> nearest_names(std::string_view given, std::vector<std::string> const& known, int count) {
  std::vector<std::pair<std::size_t, std::string>> ranked;
  for (auto const& name : known) {
    std::size_t const distance = edit_distance(given, name);
    if (distance <= std::max<std::size_t>(2, std::max(given.size(), name.size()) / 2)) ranked.emplace_back(distance, name);
  }
  std::sort(ranked.begin(), ranked.end());
  std::size_t const nearest = ranked.empty() ? 0 : ranked.front().first;
  std::erase_if(ranked, [&](auto const& entry) { return entry.first > nearest + 1; });
  if (ranked.size() > static_cast<std::size_t>(count)) ranked.resize(static_cast<std::size_t>(count));
  std::vector<std::string> names;
  for (auto& [distance, name] : ranked) names.push_back(std::move(name));
  return names;
}

std::string unknown_name(std::string_view kind, std::string_view given, std::vector<std::string> const& known) {
  std::string message = "unknown " + std::string(kind) + " '" + std::string(given) + "'";
  auto const near = nearest_names(given, known);
  message += near.empty() ? "." : "; did you mean " + joined(near) + "?";
  return message + " Known: " + joined(known) + ".";
}

}  // namespace saltus
