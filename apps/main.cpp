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

namespace {

using namespace saltus;
using namespace saltus::app;

int run(std::vector<std::string> arguments) {
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
    KokkosArguments kokkos = take_kokkos_arguments(arguments);
    auto const options = Options::parse(spec.command, {arguments.begin() + 1, arguments.end()});
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

int report(char const* message, int code) {
  std::fprintf(stderr, "saltus: %s\n", message);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    int const code = run({argv + 1, argv + argc});
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
      throw OutputError(std::string("cannot write to standard output: ") + std::strerror(errno));
    }
    return code;
  } catch (UserError const& e) {
    return report(e.what(), 2);
  } catch (CheckError const& e) {
    return report(e.what(), 3);
  } catch (NumericalError const& e) {
    return report(e.what(), 4);
  } catch (OutputError const& e) {
    return report(e.what(), 5);
  } catch (std::bad_alloc const&) {
    return report("out of memory; a smaller --batch needs less", 2);
  } catch (std::exception const& e) {
    return report(e.what(), 1);
  }
}
