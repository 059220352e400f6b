// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>

/// How files of the project open; not installed.
namespace saltus {

/// What a text holds, which messages call `what`. UserError if it is no JSON, or nested so deeply that what writes and compares
/// values, level in level, would run out of its stack.
inline nlohmann::ordered_json parse_json(std::string_view text, std::string const& what) {
  using Json = nlohmann::ordered_json;
  constexpr int most_levels = 100;
  try {
    return Json::parse(text.begin(), text.end(), [&](int depth, Json::parse_event_t, Json&) {
      require(depth <= most_levels, what + " is nested in more than " + std::to_string(most_levels) + " levels");
      return true;
    });
  } catch (Json::exception const& e) {
    throw UserError(what + " is not valid JSON: " + e.what());
  }
}
/// What a JSON file holds. UserError that names the file if it cannot be read or is no JSON.
inline nlohmann::ordered_json parse_json_file(std::string const& path) { return parse_json(read_file(path), path); }

/// The object in a JSON file with these "format" and "version". UserError that names the file for anything else.
inline nlohmann::ordered_json read_json(std::string const& path, std::string const& format, int version) {
  using Json = nlohmann::ordered_json;
  Json const json = parse_json_file(path);
  require(json.is_object(), path + ": expected a JSON object");
  auto const demand = [&](char const* key, Json const& value) {
    require(json.contains(key), path + ": the key '" + key + "' is missing");
    require(json[key] == value, path + ": expected \"" + key + "\": " + value.dump() + ", which this program reads, got " +
                                    json[key].dump().substr(0, 60));
  };
  demand("format", format);
  demand("version", version);
  return json;
}

}  // namespace saltus
