// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>

/// How files of the project open; not installed.
namespace saltus {

/// What a JSON file holds. UserError that names the file if it cannot be read or is no JSON.
inline nlohmann::ordered_json parse_json_file(std::string const& path) {
  try {
    return nlohmann::ordered_json::parse(read_file(path));
  } catch (nlohmann::ordered_json::exception const& e) {
    throw UserError(path + " is not valid JSON: " + e.what());
  }
}

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
