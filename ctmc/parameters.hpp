// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace saltus {

/// A name with parameters as people write it: "hky85:kappa=2,freqs=0.3,0.2,0.2,0.3". An item without '=' continues the
/// list of the parameter before it. Noise schedules, generators and integrators are all named so.
class Parameters {
 public:
  /// Splits the text. `kind` ("noise", "generator") opens messages. UserError for an item without '=' in front, for a
  /// parameter given twice, or for an empty name.
  static Parameters parse(std::string_view kind, std::string_view text);

  std::string const& name() const { return name_; }
  /// UserError with the nearest names if a parameter that is not in `known` was given. Call it before asking for values.
  void allow(std::vector<std::string> const& known) const;
  bool has(std::string_view key) const { return values_.contains(std::string(key)); }
  /// One number; `otherwise` if it was not given. UserError unless it reads as one number.
  double number(std::string_view key, double otherwise) const;
  /// A whole number in [least, most]; UserError if it is anything else.
  int integer(std::string_view key, int otherwise, int least, int most) const;
  /// The numbers of a list; empty if it was not given.
  std::vector<double> numbers(std::string_view key) const;
  /// The value as text; `otherwise` if it was not given.
  std::string text(std::string_view key, std::string_view otherwise) const;
  /// "generator 'hky85'", to open messages.
  std::string where() const { return kind_ + " '" + name_ + "'"; }

 private:
  std::string kind_, name_;
  std::map<std::string, std::vector<std::string>> values_;
};

}  // namespace saltus
