// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/parameters.hpp>

#include <charconv>
#include <cmath>

#include <saltus/ctmc/error.hpp>

namespace saltus {
namespace {
double read(std::string const& where, std::string_view key, std::string const& digits) {
  double value = 0;
  auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  require(error == std::errc() && end == digits.data() + digits.size(),
          where + ": '" + std::string(key) + "' must be a number, got '" + digits + "'");
  return value;
}
}  // namespace

Parameters Parameters::parse(std::string_view kind, std::string_view text) {
  Parameters p;
  p.kind_ = kind;
  auto const colon = text.find(':');
  p.name_ = text.substr(0, colon);
  require(!p.name_.empty(), p.kind_ + ": the name is missing in '" + std::string(text) + "'");
  if (colon == text.npos) return p;
  std::string_view rest = text.substr(colon + 1);
  std::vector<std::string>* list = nullptr;
  while (true) {
    auto const comma = rest.find(',');
    auto const item = rest.substr(0, comma);
    auto const equals = item.find('=');
    if (equals == item.npos) {
      require(list != nullptr && !item.empty(), p.where() + ": expected name=value, got '" + std::string(item) + "'");
      list->emplace_back(item);
    } else {
      std::string const key(item.substr(0, equals));
      auto const [place, fresh] = p.values_.emplace(key, std::vector<std::string>{std::string(item.substr(equals + 1))});
      require(fresh, p.where() + ": '" + key + "' is given twice");
      list = &place->second;
    }
    if (comma == rest.npos) return p;
    rest.remove_prefix(comma + 1);
  }
}

void Parameters::allow(std::vector<std::string> const& known) const {
  for (auto const& [key, value] : values_) {
    bool found = false;
    for (auto const& name : known) found |= name == key;
    require(found || !known.empty(), where() + " has no parameters, got '" + key + "'");
    if (!found) throw UserError(unknown_name("parameter of " + kind_ + " " + name_, key, known));
  }
}

double Parameters::number(std::string_view key, double otherwise) const {
  if (!has(key)) return otherwise;
  return read(where(), key, text(key, ""));
}

int Parameters::integer(std::string_view key, int otherwise, int least, int most) const {
  double const value = number(key, otherwise);
  require(value >= least && value <= most && value == std::floor(value),
          where() + ": '" + std::string(key) + "' must be a whole number from " + std::to_string(least) + " to " +
              std::to_string(most) + ", got " + to_text(value));
  return static_cast<int>(value);
}

std::vector<double> Parameters::numbers(std::string_view key) const {
  std::vector<double> all;
  auto const found = values_.find(std::string(key));
  if (found == values_.end()) return all;
  for (auto const& item : found->second) all.push_back(read(where(), key, item));
  return all;
}

std::string Parameters::text(std::string_view key, std::string_view otherwise) const {
  auto const found = values_.find(std::string(key));
  if (found == values_.end()) return std::string(otherwise);
  require(found->second.size() == 1, where() + ": '" + std::string(key) + "' takes one value, got " + std::to_string(found->second.size()));
  return found->second[0];
}

}  // namespace saltus
