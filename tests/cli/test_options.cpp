// SPDX-License-Identifier: BSD-3-Clause
// The option table as data, and the typed access to one call's options.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <unistd.h>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/noise_schedule.hpp>
#include <saltus/ctmc/time_grid.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/distiller.hpp>

#include "forward.hpp"
#include "methods.hpp"
#include "options.hpp"
#include "problem.hpp"

namespace saltus::app {
namespace {

using Arguments = std::vector<std::string>;

constexpr unsigned reverse = command_sample | command_compare, forward = command_simulate | command_compare,
                   runs = reverse | forward, models = reverse | command_distill;

// Who reads what, by hand from sample.cpp, simulate.cpp, compare.cpp, info.cpp, problem.cpp, forward.cpp, decoration.cpp,
// step_rules.cpp, reweighting.cpp, law_runs.cpp, model.cpp, schedules.cpp, distill.cpp, train.cpp, evaluate.cpp and evaluation.cpp.
std::map<std::string, unsigned> const readers{
    {"model", models | command_evaluate | command_bench}, {"data", models | command_train}, {"pseudo-count", models}, {"homogeneous", models},
    {"config", models}, {"generator", runs | models | command_train}, {"noise", runs | models}, {"alphabet", runs | models},
    {"samples", runs | command_evaluate}, {"seed", runs | models | command_train | command_evaluate},
    {"batch", runs | models | command_train}, {"threads", runs | models | command_train | command_evaluate | command_bench},
    {"out", runs | models | command_train | command_evaluate}, {"format", runs}, {"summary", runs},
    {"quiet", runs | models | command_train | command_evaluate | command_bench}, {"print-config", runs | models}, {"process", forward},
    {"site-rates", forward}, {"fix-diagonal", forward}, {"normalise", forward}, {"start", forward},
    {"length", forward | command_train}, {"times", forward}, {"json", command_info | command_evaluate | command_bench},
    {"help", runs | models | command_info | command_train | command_evaluate | command_bench},
    {"integrator", command_sample | command_simulate}, {"steps", command_sample | command_train},
    {"integrators", command_compare | command_info}, {"nfe", command_compare | command_distill}, {"check", command_compare},
    {"law", command_compare}, {"most-transitions", command_compare}, {"guide", models}, {"guide-weight", models},
    {"guidance", models}, {"temperature", models}, {"top-tokens", models}, {"nucleus", models}, {"grid", reverse},
    {"last", reverse}, {"categorical", reverse}, {"template", command_sample},
    {"reference", command_compare | command_evaluate}, {"particles", command_sample}, {"reward", command_sample},
    {"strength", command_sample}, {"power", command_sample}, {"selection", command_sample},
    {"tree", command_simulate}, {"ancestors", command_simulate}, {"step", command_simulate},
    {"trajectory", command_simulate}, {"statistics", command_simulate}, {"valid", command_train | command_evaluate},
    {"tokenizer", command_train}, {"windows", command_train | command_evaluate}, {"width", command_train},
    {"layers", command_train}, {"heads", command_train}, {"time", command_train}, {"loss", command_train},
    {"minutes", command_train}, {"rate", command_train}, {"ema", command_train}, {"weight-decay", command_train},
    {"clip", command_train}, {"checkpoint", command_train | command_sample | command_simulate}, {"checkpoint-minutes", command_sample | command_simulate}, {"resume", command_train | command_distill | command_sample | command_simulate}, {"device", command_train | models | command_evaluate | command_bench}, {"condition", models | command_evaluate | command_bench},
    {"precision", models | command_train | command_evaluate | command_bench},
    {"name", command_train}, {"weights", command_train}, {"source", command_train}, {"licence", command_train},
    {"seconds", command_bench}, {"man", command_info}, {"trust", models | command_evaluate | command_bench}, {"completion", command_info}, {"kind", command_evaluate}, {"judge", command_evaluate}, {"judge-data", command_evaluate},
    {"nearest", command_evaluate}, {"schedule", reverse}, {"force", reverse}, {"method", command_distill},
    {"base", command_distill}, {"teacher", command_distill}, {"teacher-steps", command_distill},
    {"trajectories", command_distill}, {"sweeps", command_distill}, {"relax", command_distill}, {"memory", command_distill},
    {"report", command_distill}};

// The message of the UserError that `call` must throw.
template <class Call>
std::string refusal(Call&& call) {
  try {
    call();
  } catch (UserError const& e) {
    return e.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return {};
}

std::string refusal_of(Command command, Arguments const& arguments) {
  return refusal([&] { Options::parse(command, arguments); });
}

testing::AssertionResult has(std::string const& text, std::string const& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << part << "' is not in: " << text;
}

// A file that is gone with the object.
class ConfigFile {
 public:
  explicit ConfigFile(std::string const& text)
      : path_(testing::TempDir() + "saltus_options_" + std::to_string(getpid()) + ".cfg") {
    std::ofstream(path_) << text;
  }
  ~ConfigFile() { std::remove(path_.c_str()); }
  ConfigFile(ConfigFile const&) = delete;
  ConfigFile& operator=(ConfigFile const&) = delete;
  std::string const& path() const { return path_; }

 private:
  std::string path_;
};

std::size_t widest_line(std::string const& text) {
  std::istringstream in(text);
  std::size_t widest = 0;
  for (std::string line; std::getline(in, line);) widest = std::max(widest, line.size());
  return widest;
}

TEST(CommandTable, NamesAreUniqueAndEveryCommandHasHelp) {
  std::set<std::string> names;
  unsigned bits = 0;
  for (auto const& spec : command_table()) {
    EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
    EXPECT_FALSE(std::string(spec.summary).empty()) << spec.name;
    EXPECT_EQ(bits & spec.command, 0u) << spec.name;
    bits |= spec.command;
    EXPECT_TRUE(Options::parse(spec.command, {"--help"}).flag("help")) << spec.name;
    std::string const help = command_help(spec.command);
    EXPECT_TRUE(has(help, "saltus " + std::string(spec.name)));
    EXPECT_TRUE(has(program_help(), "\n  " + std::string(spec.name) + " "));
    EXPECT_LE(widest_line(help), 80u) << spec.name;
  }
  EXPECT_EQ(names, (std::set<std::string>{"sample", "simulate", "compare", "distill", "train", "evaluate", "bench", "info"}));
  EXPECT_LE(widest_line(program_help()), 80u);
}

// One name can stand in several rows, for commands with defaults or help of their own, but only once for each command.
TEST(OptionTable, NamesAreUniqueForEachCommandAndHelpIsThere) {
  std::map<std::string, unsigned> seen;
  unsigned every = 0;
  for (auto const& command : command_table()) every |= command.command;
  std::set<std::string> groups;
  std::string group;
  for (auto const& spec : option_table()) {
    std::string const name = spec.name;
    EXPECT_NE(spec.commands, 0u) << name;
    EXPECT_EQ(spec.commands & ~every, 0u) << name;
    EXPECT_EQ(seen[name] & spec.commands, 0u) << name;
    seen[name] |= spec.commands;
    EXPECT_FALSE(name.empty());
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), std::string::npos) << name;
    EXPECT_FALSE(std::string(spec.help).empty()) << name;
    // --help prints a heading when the group changes: the options of a group stand together.
    if (spec.group != group) {
      EXPECT_TRUE(groups.insert(spec.group).second) << spec.group;
    }
    group = spec.group;
    // A flag is off unless it is given.
    if (!*spec.argument) {
      EXPECT_STREQ(spec.default_value, "") << name;
    }
  }
}

TEST(OptionTable, EveryOptionIsInExactlyTheCommandsThatUseIt) {
  std::map<std::string, unsigned> table;
  for (auto const& spec : option_table()) table[spec.name] |= spec.commands;
  EXPECT_EQ(table, readers);
}

TEST(OptionTable, ParsingAndHelpFollowTheTable) {
  for (auto const& command : command_table()) {
    std::string const help = command_help(command.command);
    for (auto const& spec : option_table()) {
      std::string const name = spec.name;
      std::string const shown = "\n  --" + name + (*spec.argument ? " " + std::string(spec.argument) : "");
      Arguments given{"--" + name};
      if (*spec.argument) given.push_back(name == "config" ? "/dev/null" : "1");  // --config is read at once
      if (spec.commands & command.command) {
        EXPECT_TRUE(has(help, shown));
        EXPECT_EQ(Options::parse(command.command, given).text(name), *spec.argument ? given[1] : "true");
      } else if (!(readers.at(name) & command.command)) {
        EXPECT_FALSE(has(help, "\n  --" + name + " "));
        EXPECT_TRUE(has(refusal_of(command.command, given), "unknown option '--" + name + "'"));
      }
    }
  }
}

TEST(OptionTable, DefaultsParse) {
  std::set<std::string> checked;
  auto const check = [&](Options const& options, std::string const& name, auto&& read) {
    EXPECT_TRUE(options.has(name)) << name;
    EXPECT_NO_THROW(read()) << name;
    checked.insert(name);
  };
  for (Command const command : {command_sample, command_simulate, command_compare}) {
    auto const options = Options::parse(command, {});
    for (std::string const name : {"samples", "batch"}) {
      if (command == command_simulate && name == "batch") continue;  // simulate takes what memory suggests
      check(options, name, [&] { options.integer(name, 1, 1 << 20); });
    }
    check(options, "threads", [&] { options.integer("threads", 0, 4096); });
    check(options, "seed", [&] { options.seed("seed"); });
    check(options, "noise", [&] { NoiseSchedule::parse(options.text("noise")); });
    if (command == command_compare) {
      check(options, "nfe", [&] { options.integers("nfe", 1, 1'000'000); });
      check(options, "integrators", [&] {
        for (auto const& name : read_methods(options)) make_integrator(name);
      });
      check(options, "law", [&] { EXPECT_EQ(options.text("law"), "sampled"); });
      check(options, "most-transitions", [&] { EXPECT_EQ(options.number("most-transitions"), most_transitions); });
    } else {
      check(options, "integrator", [&] { make_integrator(options.text("integrator")); });
    }
    if (command == command_sample) {
      check(options, "steps", [&] { options.integer("steps", 1, 1'000'000); });
      for (char const* name : {"strength", "power"}) check(options, name, [&] { EXPECT_EQ(options.number(name), 1); });
      EXPECT_FALSE(options.flag("selection"));
    }
    for (char const* name : {"quiet", "print-config", "help"}) EXPECT_FALSE(options.flag(name)) << name;
    if (command == command_simulate) {
      for (char const* name : {"fix-diagonal", "normalise", "ancestors"}) EXPECT_FALSE(options.flag(name)) << name;
      // A process file's noise and the command's are the same when nothing is said.
      EXPECT_EQ(options.text("noise"), ProcessText{}.noise);
      continue;
    }
    check(options, "pseudo-count", [&] { EXPECT_GT(options.number("pseudo-count"), 0); });
    check(options, "model", [&] {
      auto const names = model_names();
      EXPECT_NE(std::find(names.begin(), names.end(), options.text("model")), names.end());
    });
    check(options, "grid", [&] { make_grid(options.text("grid"), NoiseSchedule::log_linear(), 1, 0, 4); });
    check(options, "categorical", [&] {
      EXPECT_EQ(read_methods(options), read_methods(Options::parse(command, {})));
      EXPECT_EQ(options.text("categorical"), "exact");
    });
    EXPECT_FALSE(options.flag("homogeneous"));
    check(options, "precision", [&] { EXPECT_EQ(options.text("precision"), "fp32"); });
    check(options, "device", [&] { EXPECT_EQ(options.text("device"), "cpu"); });
  }
  auto const training = Options::parse(command_train, {}), judging = Options::parse(command_evaluate, {});
  for (char const* const name : {"width", "layers", "heads", "batch", "checkpoint"})
    check(training, name, [&] { EXPECT_GE(training.integer(name, 1, 1 << 20), 1); });
  for (char const* const name : {"rate", "ema", "weight-decay", "clip"})
    check(training, name, [&] { EXPECT_GT(training.number(name), 0); });
  for (char const* const name : {"generator", "loss", "device", "precision", "weights"}) check(training, name, [] {});
  check(judging, "nearest", [&] { judging.integer("nearest", 1, 1'000'000); });
  for (auto const* const options : {&training, &judging}) {
    check(*options, "threads", [&] { options->integer("threads", 0, 4096); });
    check(*options, "seed", [&] { options->seed("seed"); });
  }
  auto const learning = Options::parse(command_distill, {});
  auto const timing = Options::parse(command_bench, {});
  check(timing, "seconds", [&] { EXPECT_GT(timing.number("seconds"), 0); });
  check(learning, "method", [&] { make_distiller(learning.text("method")); });
  for (char const* const name : {"base", "teacher"}) check(learning, name, [&] { make_integrator(learning.text(name)); });
  for (char const* const name : {"nfe", "teacher-steps", "trajectories", "sweeps", "batch", "memory"})
    check(learning, name, [&] { learning.integer(name, 1, 1 << 20); });
  EXPECT_EQ(learning.integer("teacher-steps", 1, 1 << 20) % learning.integer("nfe", 1, 1 << 20), 0);
  // A new option with a default needs a line above.
  std::set<std::string> with_default;
  for (auto const& spec : option_table()) {
    if (*spec.default_value) with_default.insert(spec.name);
  }
  EXPECT_EQ(checked, with_default);
}

TEST(Options, Integers) {
  auto const integer = [](std::string const& text, std::int64_t least, std::int64_t most) {
    return Options::parse(command_sample, {"--samples", text}).integer("samples", least, most);
  };
  EXPECT_EQ(integer("7", 1, 9), 7);
  EXPECT_EQ(integer("1", 1, 9), 1);
  EXPECT_EQ(integer("9", 1, 9), 9);
  EXPECT_EQ(integer("-3", -9, 9), -3);
  EXPECT_EQ(integer("9223372036854775807", 0, INT64_MAX), INT64_MAX);
  EXPECT_TRUE(has(refusal([&] { integer("9223372036854775808", 0, INT64_MAX); }), "'9223372036854775808'"));
  for (std::string const text : {"0", "10", "-1", "1e3", "2.5", "7x", "x7", " 7", "7 ", "+7", "0x7"}) {
    auto const message = refusal([&] { integer(text, 1, 9); });
    EXPECT_TRUE(has(message, "--samples") && has(message, "from 1 to 9") && has(message, "'" + text + "'")) << message;
  }
}

TEST(Options, Seeds) {
  auto const seed = [](std::string const& text) {
    return Options::parse(command_sample, {"--seed", text}).seed("seed");
  };
  EXPECT_EQ(seed("0"), 0u);
  EXPECT_EQ(seed("18446744073709551615"), UINT64_MAX);
  for (std::string const text : {"-1", "18446744073709551616", "1.0", "one"}) {
    auto const message = refusal([&] { seed(text); });
    EXPECT_TRUE(has(message, "--seed") && has(message, "'" + text + "'")) << message;
  }
}

TEST(Options, Numbers) {
  auto const number = [](std::string const& text) {
    return Options::parse(command_sample, {"--pseudo-count", text}).number("pseudo-count");
  };
  EXPECT_EQ(number("0.5"), 0.5);
  EXPECT_EQ(number("-1e-3"), -1e-3);
  for (std::string const text : {"0,5", "half", "1e", "1 "}) {
    auto const message = refusal([&] { number(text); });
    EXPECT_TRUE(has(message, "--pseudo-count") && has(message, "'" + text + "'")) << message;
  }
}

TEST(Options, Lists) {
  auto const parsed = [](std::string const& text) { return Options::parse(command_compare, {"--nfe", text}); };
  EXPECT_EQ(parsed("a,bc").list("nfe"), (Arguments{"a", "bc"}));
  EXPECT_EQ(parsed("a").list("nfe"), Arguments{"a"});
  EXPECT_EQ(parsed("8,2,4").integers("nfe", 2, 8), (std::vector<std::int64_t>{8, 2, 4}));
  for (std::string const text : {",", "a,", ",a", "a,,b"}) {
    auto const message = refusal([&] { parsed(text).list("nfe"); });
    EXPECT_TRUE(has(message, "--nfe") && has(message, "empty") && has(message, "'" + text + "'")) << message;
  }
  EXPECT_TRUE(has(refusal([&] { parsed("4,8,4").list("nfe"); }), "'4' twice"));
  EXPECT_TRUE(has(refusal([&] { parsed("4,9").integers("nfe", 2, 8); }), "'9'"));
}

TEST(Options, FilesOfAListMayBeGivenOneByOne) {
  auto const options = Options::parse(command_compare, {"--schedule", "a.json", "--schedule", "b.json", "--schedule", "c,d"});
  EXPECT_EQ(options.list("schedule"), (Arguments{"a.json", "b.json", "c", "d"}));
  EXPECT_TRUE(has(refusal_of(command_sample, {"--schedule", "a.json", "--schedule", "b.json"}), "given twice"));
  EXPECT_TRUE(has(refusal_of(command_compare, {"--integrators", "euler", "--integrators", "tweedie"}), "given twice"));
}

TEST(Methods, ListsHaveParametersAndCorrectors) {
  auto const methods = [](std::string const& text) {
    return read_methods(Options::parse(command_compare, {"--integrators", text}));
  };
  EXPECT_EQ(methods("top_k:score=margin,temperature=0.5,tweedie+remasking:variant=cap,eta=0.02,euler"),
            (Arguments{"top_k:score=margin,temperature=0.5", "tweedie+remasking:variant=cap,eta=0.02", "euler"}));
  EXPECT_TRUE(has(refusal([&] { methods("top_k:score=margin,temperature=0.5,euler,top_k:score=margin,temperature=0.5"); }),
                  "'top_k:score=margin,temperature=0.5' twice"));
  EXPECT_TRUE(has(refusal([&] { methods("euler,,tweedie"); }), "empty"));
  EXPECT_TRUE(has(refusal([&] { methods("euler,tweedie+remaskin"); }), "did you mean remasking"));
}

TEST(Methods, CategoricalGoesIntoEveryMethod) {
  EXPECT_EQ(read_methods(Options::parse(command_compare, {"--categorical", "gumbel32", "--integrators",
                                                          "euler,tweedie+remasking:eta=0.1,tweedie"})),
            (Arguments{"euler:categorical=gumbel32", "tweedie:categorical=gumbel32+remasking:eta=0.1",
                       "tweedie:categorical=gumbel32"}));
  EXPECT_EQ(read_methods(Options::parse(command_sample, {"--categorical", "gumbel_eps"})),
            Arguments{"tweedie:categorical=gumbel_eps"});
  EXPECT_TRUE(has(refusal([] {
                    read_methods(Options::parse(command_sample, {"--categorical", "gumbel32", "--integrator", "gillespie"}));
                  }),
                  "categorical"));
  EXPECT_TRUE(has(refusal([] { read_methods(Options::parse(command_sample, {"--categorical", "gumbel"})); }), "gumbel32"));
}

TEST(Methods, NamesOfFilesAreSafe) {
  EXPECT_EQ(file_name("tweedie+remasking:variant=cap,eta=0.02"), "tweedie+remasking_variant_cap_eta_0.02");
  EXPECT_EQ(file_name("a/b c"), "a_b_c");
}

// --help shows each command its own default.
TEST(Options, DefaultsDependOnTheCommand) {
  EXPECT_EQ(Options::parse(command_sample, {}).text("integrator"), "tweedie");
  EXPECT_EQ(Options::parse(command_simulate, {}).text("integrator"), "gillespie");
  for (auto const& command : command_table()) {
    auto const options = Options::parse(command.command, {});
    for (auto const& [name, commands] : readers) {
      if (!(commands & command.command)) {
        EXPECT_FALSE(options.has(name)) << command.name << " " << name;
      }
    }
    std::string help = command_help(command.command);
    // As if in one line a row.
    for (auto at = help.find("\n    "); at != std::string::npos; at = help.find("\n    ")) {
      help.replace(at, help.find_first_not_of(" \n", at) - at, " ");
    }
    for (auto const& [name, value] : options.values()) {
      auto const row = help.find("\n  --" + name + " ");
      ASSERT_NE(row, std::string::npos) << name;
      EXPECT_TRUE(has(help.substr(row, help.find('\n', row + 1) - row), "[" + value + "]")) << command.name;
    }
  }
}

TEST(Options, ADefaultThatIsGivenChangesNothing) {
  auto const options = Options::parse(command_sample, {"--steps", "64", "--seed", "2", "--quiet"});
  EXPECT_TRUE(options.given("steps"));
  EXPECT_FALSE(options.changed("steps"));
  EXPECT_TRUE(options.changed("seed"));
  EXPECT_TRUE(options.changed("quiet"));
  EXPECT_FALSE(options.changed("out"));
  EXPECT_FALSE(options.changed("nfe"));  // of another command
}

TEST(Options, FlagsAndAbsentValues) {
  auto const options = Options::parse(command_sample, {"--quiet", "--out", "file"});
  EXPECT_TRUE(options.flag("quiet"));
  EXPECT_FALSE(options.flag("homogeneous"));
  EXPECT_TRUE(options.has("out"));
  EXPECT_FALSE(options.has("summary"));
  EXPECT_EQ(options.text("summary"), "");
  EXPECT_EQ(options.command(), command_sample);
  ConfigFile const file("quiet = perhaps\n");
  auto const message = refusal([&] { Options::parse(command_sample, {"--config", file.path()}).flag("quiet"); });
  EXPECT_TRUE(has(message, "--quiet") && has(message, "'perhaps'")) << message;
}

TEST(Options, CommandLineWinsOverConfigWhichWinsOverDefaults) {
  ConfigFile const file("# comment\nsteps = 5\nseed=6\n\nquiet = true\nhomogeneous = false\n");
  auto const options = Options::parse(command_sample, {"--seed=7", "--config", file.path()});
  EXPECT_EQ(options.text("steps"), "5");
  EXPECT_EQ(options.text("seed"), "7");
  EXPECT_EQ(options.text("batch"), Options::parse(command_sample, {}).text("batch"));
  EXPECT_TRUE(options.flag("quiet"));
  EXPECT_FALSE(options.flag("homogeneous"));
}

TEST(Options, WhatIsRefused) {
  EXPECT_TRUE(has(refusal_of(command_sample, {"--stpes", "3"}), "did you mean --steps"));
  EXPECT_TRUE(has(refusal_of(command_sample, {"--step", "3"}), "unknown option '--step'"));  // no abbreviations
  EXPECT_TRUE(has(refusal_of(command_sample, {"--seed"}), "--seed"));
  EXPECT_TRUE(has(refusal_of(command_sample, {"--seed", "--quiet"}), "--seed"));
  EXPECT_TRUE(has(refusal_of(command_sample, {"word"}), "stray argument 'word'"));
  EXPECT_TRUE(has(refusal_of(command_sample, {"--quiet", "--quiet"}), "'--quiet' is given twice"));
  EXPECT_TRUE(has(refusal_of(command_sample, {"--seed", "1", "--seed", "1"}), "'--seed' is given twice"));
  EXPECT_TRUE(has(refusal_of(command_sample, {"--quiet=true"}), "--quiet"));
  std::map<std::string, std::string> const files{{"setps = 3\n", "did you mean steps"},
                                                 {"steps\n", "name = value"},
                                                 {"[part]\nsteps = 3\n", "part"},
                                                 {"seed = 1\nseed = 2\n", "'seed' is given twice"}};
  for (auto const& [text, part] : files) {
    ConfigFile const file(text);
    EXPECT_TRUE(has(refusal_of(command_sample, {"--config", file.path()}), part));
  }
}

// What --print-config prints, --config reads back, whatever the values are made of.
TEST(Options, ConfigReadsBack) {
  for (auto const& command : command_table()) {
    if (!(readers.at("config") & command.command)) continue;
    for (std::string const text : {"plain", "a=b", "a,b", "a b", "a#b", "#", "'a'", "\"a\"", "back\\slash", "[x]"}) {
      Arguments arguments;
      for (auto const& spec : option_table()) {
        if (!(spec.commands & command.command) || !std::string(spec.name).compare("config")) continue;
        arguments.push_back("--" + std::string(spec.name));
        if (*spec.argument) arguments.push_back(text);
      }
      auto const options = Options::parse(command.command, arguments);
      ConfigFile const file(options.config());
      auto expected = options.values();
      expected.erase("print-config");
      expected["config"] = file.path();
      try {
        EXPECT_EQ(Options::parse(command.command, {"--config", file.path()}).values(), expected) << options.config();
      } catch (UserError const& e) {
        ADD_FAILURE() << e.what() << "\n" << options.config();
      }
    }
  }
}

}  // namespace
}  // namespace saltus::app
