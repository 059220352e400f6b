// SPDX-License-Identifier: BSD-3-Clause
// The program 'saltus': finds the subcommand, and turns what is thrown into one message and an exit code.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/version.hpp>

#include "commands.hpp"
#include "options.hpp"
#include "ranks.hpp"

namespace {

using namespace saltus;
using namespace saltus::app;

constexpr unsigned by_ranks = command_sample | command_simulate | command_compare | command_distill;

// `ranks`: those that this one has joined.
int run(std::vector<std::string> arguments, Ranks*& ranks) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "help") {
    std::fputs(program_help().c_str(), arguments.empty() ? stderr : stdout);
    return arguments.empty() ? 2 : 0;
  }
  if (arguments[0] == "--version") {
    std::printf("saltus %s (%s)\n", version().c_str(), git_state().c_str());
    return 0;
  }
  std::vector<std::string> names;
  for (auto const& spec : command_table()) {
    names.emplace_back(spec.name);
    if (arguments[0] != spec.name) continue;
    ranks = &Ranks::world();
    require(!ranks->several() || (spec.command & by_ranks),
            std::string(spec.name) + " runs as one rank, and a launcher started " + std::to_string(ranks->size()) + "; sample, simulate, compare and distill run as several");
    KokkosArguments kokkos = take_kokkos_arguments(arguments);
    auto options = Options::parse(spec.command, {arguments.begin() + 1, arguments.end()});
    if (!ranks->first()) {
      if (options.flag("help") || options.flag("print-config")) return 0;
      options.silence();
    }
    if (options.flag("help")) {
      std::fputs(command_help(spec.command).c_str(), stdout);
      return 0;
    }
    if (options.flag("print-config") && spec.command != command_simulate) {  // which prints a process
      std::fputs(options.config().c_str(), stdout);
      return 0;
    }
    switch (spec.command) {
      case command_sample: return run_sample(options, std::move(kokkos));
      case command_compare: return run_compare(options, std::move(kokkos));
      case command_simulate: return run_simulate(options, std::move(kokkos));
      case command_distill: return run_distill(options, std::move(kokkos));
      case command_train: return run_train(options);
      case command_evaluate: return run_evaluate(options, std::move(kokkos));
      case command_bench: return run_bench(options, std::move(kokkos));
      case command_info: return run_info(options);
    }
  }
  throw UserError(unknown_name("command", arguments[0], names));
}

struct Outcome {
  int code;
  std::string message{};
};

Outcome outcome(std::vector<std::string> arguments, Ranks*& ranks) {
  try {
    int const code = run(std::move(arguments), ranks);
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
      throw OutputError(std::string("cannot write to standard output: ") + std::strerror(errno));
    }
    return {code};
  } catch (UserError const& e) {
    return {2, e.what()};
  } catch (CheckError const& e) {
    return {3, e.what()};
  } catch (NumericalError const& e) {
    return {4, e.what()};
  } catch (OutputError const& e) {
    return {5, e.what()};
  } catch (RankError const& e) {
    return {e.code, e.what()};
  } catch (std::bad_alloc const&) {
    return {2, "out of memory; a smaller --batch needs less"};
  } catch (std::exception const& e) {
    return {1, e.what()};
  }
}

}  // namespace

int main(int argc, char** argv) {
  Ranks* ranks = nullptr;
  Outcome const end = outcome({argv + 1, argv + argc}, ranks);
  bool const several = ranks && ranks->several();
  if (several && !end.message.empty()) ranks->fail(end.code, end.message);
  if (several) ranks->leave();
  if (!end.message.empty()) std::fprintf(stderr, "saltus: %s\n", end.message.c_str());
  return end.code;
}
