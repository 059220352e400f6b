// SPDX-License-Identifier: BSD-3-Clause
#include "manual.hpp"

#include <algorithm>
#include <map>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/generators.hpp>
#include <saltus/ctmc/noise_schedule.hpp>
#include <saltus/ctmc/version.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/distiller.hpp>

#include "options.hpp"
#include "problem.hpp"

namespace saltus::app {
namespace {

// ------------------------------------------------------------------------------------------------------- man page

// Text for man(7): a backslash, a hyphen and a control character at the start of a line mean something to it.
std::string roff(std::string_view text) {
  std::string out;
  for (char const c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
      out += c;
    }
  }
  return out;
}

std::string entry(std::string const& head, std::string const& text) { return ".TP\n" + head + "\n" + roff(text) + "\n"; }

std::string options_of(Command command) {
  std::string text, group;
  for (auto const& spec : option_table()) {
    if (!(spec.commands & command)) continue;
    if (group != spec.group) {
      group = spec.group;
      text += ".PP\n" + roff(group) + ":\n";
    }
    std::string head = ".B " + roff("--" + std::string(spec.name));
    if (*spec.argument) head = ".BI \"" + roff("--" + std::string(spec.name)) + " \" \"" + roff(spec.argument) + "\"";
    std::string const preset = *spec.default_value ? " [" + std::string(spec.default_value) + "]" : "";
    text += entry(head, spec.help + preset);
  }
  return text;
}

// ----------------------------------------------------------------------------------------------------- completion

enum class Value { none, file, folder, names, any };

struct Completed {
  Value value;
  std::vector<std::string> names{};
};

// What the value of an option can be, as far as a table knows.
Completed completed(OptionSpec const& spec) {
  static std::map<std::string, std::vector<std::string>> const by_name{
      {"integrator", integrator_names()},
      {"integrators", integrator_names()},
      {"teacher", integrator_names()},
      {"base", make_distiller("lsd")->info().bases},
      {"noise", NoiseSchedule::names()},
      {"generator", generator_names()},
      {"method", distiller_names()},
      {"model", model_names()},
      {"precision", {"fp32", "bf16"}},
      {"format", {"fasta", "txt", "csv", "npy"}},
      {"loss", {"masked", "score_entropy"}},
      {"weights", {"f16", "f32"}},
      {"device", {"cpu", "cuda:0"}},
      {"guidance", {"product", "classifier_free"}},
      {"completion", shells()}};
  std::string_view const argument = spec.argument;
  if (argument.empty()) return {Value::none};
  if (auto const found = by_name.find(spec.name); found != by_name.end()) return {Value::names, found->second};
  if (argument == "FOLDER") return {Value::folder};
  if (argument.find("FILE") != argument.npos || argument == "PATH") return {Value::file};
  return {Value::any};
}

std::string words(std::vector<std::string> const& list) {
  std::string text;
  for (auto const& word : list) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (auto const& spec : command_table()) names.emplace_back(spec.name);
  return names;
}

// A case for each command that sets $options, and one for each option of it that sets what its value may be.
std::string bash() {
  std::string text =
      "# saltus " + version() +
      "\n_saltus() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} options=\n"
      "  COMPREPLY=()\n"
      "  if [[ $COMP_CWORD == 1 ]]; then\n    COMPREPLY=($(compgen -W \"" +
      words(command_names()) + " --help --version\" -- \"$current\"))\n    return\n  fi\n  case ${COMP_WORDS[1]} in\n";
  for (auto const& command : command_table()) {
    std::string options, values;
    for (auto const& spec : option_table()) {
      if (!(spec.commands & command.command)) continue;
      options += " --" + std::string(spec.name);
      Completed const value = completed(spec);
      std::string const head = "        --" + std::string(spec.name) + ") ";
      std::string const files = "COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n";
      switch (value.value) {
        case Value::none: break;
        case Value::any: values += head + "return ;;\n"; break;
        case Value::file: values += head + files; break;
        case Value::folder: values += head + "COMPREPLY=($(compgen -d -- \"$current\")); return ;;\n"; break;
        case Value::names:
          values += head + "COMPREPLY=($(compgen -f -W \"" + words(value.names) + "\" -- \"$current\")); return ;;\n";
          break;
      }
    }
    text += "    " + std::string(command.name) + ")\n      case $previous in\n" + values + "      esac\n      options=\"" + options.substr(1) +
            "\" ;;\n";
  }
  return text +
         "  esac\n  COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n}\n"
         "complete -o filenames -F _saltus saltus\n";
}

std::string zsh_quoted(std::string_view text) {
  std::string out;
  for (char const c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else if (c == '[' || c == ']' || c == ':' || c == '\\') {
      out += std::string("\\") + c;
    } else {
      out += c;
    }
  }
  return out;
}

std::string zsh() {
  std::string text = "#compdef saltus\n# saltus " + version() + "\n_saltus() {\n  if ((CURRENT == 2)); then\n    local -a commands=(\n";
  for (auto const& command : command_table())
    text += "      '" + std::string(command.name) + ":" + zsh_quoted(command.summary) + "'\n";
  text += "    )\n    _describe command commands\n    return\n  fi\n  case $words[2] in\n";
  for (auto const& command : command_table()) {
    text += "    " + std::string(command.name) + ") _arguments";
    for (auto const& spec : option_table()) {
      if (!(spec.commands & command.command)) continue;
      std::string const repeated = std::string_view(spec.argument) == "FILE,..." ? "*" : "";
      text += " \\\n      '" + repeated + "--" + spec.name + "[" + zsh_quoted(spec.help) + "]";
      Completed const value = completed(spec);
      if (value.value != Value::none) text += ":" + zsh_quoted(spec.argument) + ":";
      if (value.value == Value::file) text += "_files";
      if (value.value == Value::folder) text += "_files -/";
      if (value.value == Value::names) text += "(" + words(value.names) + ")";
      text += "'";
    }
    text += " ;;\n";
  }
  return text + "  esac\n}\n_saltus \"$@\"\n";
}

std::string fish_quoted(std::string_view text) {
  std::string out = "'";
  for (char const c : text) out += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return out + "'";
}

std::string fish() {
  std::string text = "# saltus " + version() + "\ncomplete -c saltus -f\n";
  for (auto const& command : command_table()) {
    text += "complete -c saltus -n __fish_use_subcommand -a " + std::string(command.name) + " -d " + fish_quoted(command.summary) + "\n";
    for (auto const& spec : option_table()) {
      if (!(spec.commands & command.command)) continue;
      text += "complete -c saltus -n '__fish_seen_subcommand_from " + std::string(command.name) + "' -l " + spec.name + " -d " +
              fish_quoted(spec.help);
      Completed const value = completed(spec);
      if (value.value == Value::file || value.value == Value::folder) text += " -r -F";
      if (value.value == Value::any) text += " -x";
      if (value.value == Value::names) text += " -r -a " + fish_quoted(words(value.names));
      text += "\n";
    }
  }
  return text;
}

}  // namespace

std::string manual_page() {
  std::string text = ".\\\" SPDX-License-Identifier: BSD-3-Clause\n.TH SALTUS 1 \"\" \"saltus " + version() +
                     "\" \"User Commands\"\n.SH NAME\nsaltus \\- continuous\\-time Markov chains on sequences\n.SH SYNOPSIS\n";
  for (auto const& command : command_table()) text += ".B saltus " + std::string(command.name) + "\n.RI [ options ]\n.br\n";
  text +=
      ".SH DESCRIPTION\nSimulates continuous\\-time Markov chains on sequences, forwards and as discrete diffusion models in reverse,\n"
      "with exact and approximate integrators whose error it measures. Results depend on the seed alone, not on batch or threads.\n"
      "Options that begin with \\-\\-kokkos\\- go to Kokkos.\n.SH COMMANDS\n";
  for (auto const& command : command_table())
    text += ".SS " + std::string(command.name) + "\n" + roff(command.summary) + "\n" + options_of(command.command);
  text += ".SH EXIT STATUS\n";
  std::pair<char const*, char const*> const codes[] = {{"0", "fine"},
                                                       {"2", "usage or input"},
                                                       {"3", "a check failed"},
                                                       {"4", "numerical trouble: the message names step, sample and site"},
                                                       {"5", "output trouble: what was finished is kept"}};
  for (auto const& [code, meaning] : codes) text += entry(".B " + std::string(code), meaning);
  text += ".SH ENVIRONMENT\n" +
          entry(".B SALTUS_MODELS", "folder of the networks that come with the program, before the places where it looks for them itself") +
          entry(".B SALTUS_PYTHON", "Python that has RDKit, for the validity of molecules") +
          entry(".B OMP_WAIT_POLICY", "passive: threads that wait do not take time from other programs") + ".SH EXAMPLES\n.nf\n";
  for (char const* const example :
       {"saltus sample --model qm9 --samples 1000 --out molecules.smi",
        "saltus compare --model countdown --integrators euler,tweedie --nfe 8,16,32 --out compared",
        "saltus distill --model countdown --noise cosine --nfe 8 --method lsd_plus --out plus8.json",
        "saltus simulate --generator birth_death:birth=0.1,death=0.11 --start 100 --times 0:50:1 --samples 1000 --statistics out.csv"})
    text += roff(example) + "\n";
  return text + ".fi\n";
}

std::vector<std::string> const& shells() {
  static std::vector<std::string> const list{"bash", "fish", "zsh"};
  return list;
}

std::string completion(std::string_view shell) {
  if (shell == "bash") return bash();
  if (shell == "zsh") return zsh();
  if (shell == "fish") return fish();
  throw UserError(unknown_name("shell", std::string(shell), shells()));
}

}  // namespace saltus::app
