// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>

/// How files of the project open; not installed.
namespace saltus {

/// The object in a JSON file with these "format" and "version". UserError that names the file for anything else.
inline nlohmann::ordered_json read_json(std::string const& path, std::string const& format, int version) {
  using Json = nlohmann::ordered_json;
  Json json;
  try {
    json = Json::parse(read_file(path));
  } catch (Json::exception const& e) {
    throw UserError(path + " is not valid JSON: " + e.what());
  }
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
