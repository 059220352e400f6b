// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace saltus::app {

/// The subcommands, as bits.
enum Command : unsigned {
  command_sample = 1,
  command_compare = 2,
  command_info = 4,
  command_simulate = 8,
  command_train = 16,
  command_evaluate = 32,
  command_distill = 64,
  command_bench = 128
};

struct CommandSpec {
  Command command;
  char const* name;
  char const* summary;
};
std::vector<CommandSpec> const& command_table();

/// One option, as data: parsing, --help, --print-config and the tests follow from the table.
struct OptionSpec {
  char const* group;
  char const* name;
  char const* argument;       ///< what --help calls its value; empty: a flag; FILE,...: may be given several times
  char const* default_value;  ///< empty: none
  unsigned commands;          ///< the subcommands that take it
  char const* help;
};
std::vector<OptionSpec> const& option_table();

std::vector<std::string> split_at_commas(std::string_view text);

/// The values of one call, checked for names; typed access checks the value and names the option in its message.
class Options {
 public:
  /// Parses the arguments after the subcommand; values on the command line win over --config, which wins over defaults.
  /// UserError for an unknown option or key (with the nearest names), a missing value, a stray argument or a repeat.
  static Options parse(Command command, std::vector<std::string> const& arguments);

  Command command() const { return command_; }
  /// Whether the command line or --config gave it, rather than its default.
  bool given(std::string_view name) const { return given_.contains(std::string(name)); }
  /// Whether it has a value other than its default; what --config reads back may give the default.
  bool changed(std::string_view name) const;
  bool has(std::string_view name) const { return !text(name).empty(); }
  std::string const& text(std::string_view name) const;
  bool flag(std::string_view name) const;
  /// As if --quiet were given: a rank other than the first.
  void silence() { values_["quiet"] = "true"; }
  /// A whole number in [least, most].
  std::int64_t integer(std::string_view name, std::int64_t least, std::int64_t most) const;
  std::uint64_t seed(std::string_view name) const;
  double number(std::string_view name) const;
  /// A list separated by commas, or as `split` takes it apart, without empty items and repeats.
  using Split = std::vector<std::string> (*)(std::string_view);
  std::vector<std::string> list(std::string_view name, Split split = split_at_commas) const;
  std::vector<std::int64_t> integers(std::string_view name, std::int64_t least, std::int64_t most) const;

  /// What --config reads back: a line 'name = value' for every option of the command that has a value.
  std::string config() const;
  /// The call in pieces: program and command, then each option that was given with its value, quoted for a shell where
  /// it has to be; those of --config are spelled out.
  std::vector<std::string> call() const;
  /// Names and values of the same options.
  std::map<std::string, std::string> const& values() const { return values_; }

 private:
  Command command_{};
  std::map<std::string, std::string> values_;
  std::set<std::string> given_;
};

/// The text of `saltus --help` and of `saltus COMMAND --help`.
std::string program_help();
std::string command_help(Command command);

}  // namespace saltus::app
