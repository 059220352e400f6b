// SPDX-License-Identifier: BSD-3-Clause
#include "problem.hpp"

#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/generators.hpp>
#include <saltus/ctmc/version.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/noised.hpp>
#include <saltus/models/product.hpp>

#include "methods.hpp"
#include "by_ranks.hpp"

namespace saltus::app {
double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

SequenceLaw const& Problem::law(char const* what) const {
  require(model.law != nullptr, std::string(what) + " needs a model whose law is known, and '" + model.name() +
                                    "' is a network: take a chain, a product, a folder with a law or table:FILE");
  return *model.law;
}

Process Problem::process(bool by_ranks) const {
  auto scores = decoration.denoiser(model, generator, at_revealed);
  if (by_ranks) scores = evaluated_by_ranks(Ranks::world(), std::move(scores));
  return Process::reverse(generator, noise, std::move(scores));
}

void count_networks(SampleReport& report, Process const& process) {
  int const networks = process.model() ? process.model()->info().evaluations : 1;
  report.evaluations *= networks;
  report.max_evaluations *= networks;
}

std::shared_ptr<SequenceLaw const> Problem::final_law() const {
  if (masked() || model.network) return model.law;
  return noised(model.law, generator, noise, default_end_time);
}

Start Problem::exact_start(std::uint64_t seed) const {
  if (masked() || model.network) return {};
  std::shared_ptr<SequenceLaw const> const prior = noised(model.law, generator, noise, noise.end());
  return [prior, seed](ExecSpace const& exec, State const& state) {
    auto const host = Kokkos::create_mirror_view(state.tokens);
    auto const length = static_cast<std::size_t>(state.length());
    Kokkos::parallel_for(
        "saltus::apps::start", Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace>(0, state.batch()), [&](int b) {
          prior->draw(seed, state.first_sample + static_cast<std::uint64_t>(b), std::span(&host(b, 0), length));
        });
    Kokkos::DefaultHostExecutionSpace().fence("saltus::apps: starts are drawn on the host");
    Kokkos::deep_copy(exec, state.tokens, host);
  };
}

Problem read_problem(Options const& options, std::vector<std::string> const& methods) {
  double const start = now();
  Model model = read_model(options);
  // A network knows the noise that it was trained with.
  NoiseSchedule const noise =
      NoiseSchedule::parse(model.network && !options.given("noise") ? model.network->noise : options.text("noise"));
  int const states = model.tokens();
  Generator generator = Generator::absorbing(states + 1);
  std::string text = model.network && !options.has("generator") ? model.network->generator : options.text("generator");
  auto const head = [](std::string const& name) { return name.substr(0, name.find(':')); };
  auto const fits = [&](std::string const& own) {
    return text == own || (head(text) == head(own) && (text == head(text) || own == head(own)));
  };
  require(!model.network || text.empty() || fits(model.network->generator.empty() ? (model.network->masked ? "absorbing" : "uniform") : model.network->generator),
          "--generator " + text + " does not fit the network '" + model.name() + "', which was trained with " +
              (model.network ? model.network->generator : "") + " noise");
  if (text.empty()) text = "absorbing";
  if (text != "absorbing") {
    // The states of the process are those of the model.
    bool const counted = text.starts_with("uniform") || text.starts_with("path") || text.starts_with("gaussian_target");
    if (counted && text.find("states=") == text.npos)
      text += (text.find(':') == text.npos ? ":" : ",") + ("states=" + std::to_string(states));
    generator = read_generator(text).generator;
    require(generator.states() == states, "--generator has " + std::to_string(generator.states()) +
                                              " states but the model has " + std::to_string(states));
  }
  Decoration decoration = read_decoration(options, model);
  return {std::move(model), noise, std::move(generator), std::move(decoration), read_revealed_sites(methods), std::move(text), now() - start};
}

SequenceFormat output_format(Options const& options, Alphabet const& alphabet, std::string const& path) {
  if (options.has("format")) return parse_sequence_format(options.text("format"));
  auto const suffix = std::filesystem::path(path).extension().string();
  if (suffix == ".npy") return SequenceFormat::npy;
  if (suffix == ".csv") return SequenceFormat::csv;
  if (suffix == ".txt") return SequenceFormat::txt;
  if (suffix == ".fasta" || suffix == ".fa") return SequenceFormat::fasta;
  if (suffix == ".smi") return SequenceFormat::txt;
  return alphabet.numbered() || alphabet.tokenized() ? SequenceFormat::txt : SequenceFormat::fasta;
}

char const* ending(SequenceFormat format) {
  switch (format) {
    case SequenceFormat::fasta: return ".fasta";
    case SequenceFormat::txt: return ".txt";
    case SequenceFormat::csv: return ".csv";
    default: return ".npy";
  }
}

namespace {
std::filesystem::path whole_path(std::string const& path) {
  std::error_code unknown;
  return std::filesystem::weakly_canonical(std::filesystem::absolute(path), unknown);
}
}  // namespace

void require_outside(Options const& options, std::string const& file, std::string const& folder) {
  if (!options.has(file) || !options.has(folder)) return;
  require(whole_path(options.text(file)).parent_path() != whole_path(options.text(folder) + "/.").parent_path(), "--" + file + " '" + options.text(file) + "' lies in the folder of --" + folder + ", which has files of its own: choose another place");
}

void require_distinct_outputs(Options const& options, std::initializer_list<char const*> names) {
  std::set<std::string> outputs;
  for (char const* const name : names) {
    if (!options.has(name)) continue;
    std::string const& file = options.text(name);
    require(file == "-" || file.starts_with("/dev/") || outputs.insert(whole_path(file).string()).second,
            "--" + std::string(name) + " '" + file + "' is the file of another output too");
  }
}

KokkosArguments take_kokkos_arguments(std::vector<std::string>& arguments) {
  KokkosArguments taken;
  std::erase_if(arguments, [&](std::string const& argument) {
    bool const theirs = argument.starts_with("--kokkos-");
    if (theirs) taken.push_back(argument);
    return theirs;
  });
  return taken;
}

int thread_count(Options const& options) {
  if (std::int64_t const asked = options.integer("threads", 0, 4096); asked > 0) return static_cast<int>(asked);
  if (char const* const environment = std::getenv("OMP_NUM_THREADS")) {  // the first of a list is the outermost level's
    int asked = 0;
    std::from_chars(environment, environment + std::strlen(environment), asked);
    if (asked > 0 && asked <= 4096) return asked;
  }
  // More threads than cores only wait for each other. Ranks that no launcher has bound to cores of their own share all.
  cpu_set_t bound;
  bool const known = sched_getaffinity(0, sizeof bound, &bound) == 0;
  int const cores = known ? CPU_COUNT(&bound) : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return cores == sysconf(_SC_NPROCESSORS_ONLN) ? std::max(1, cores / Ranks::world().on_this_machine()) : cores;
}

KokkosSession::KokkosSession(Options const& options, KokkosArguments arguments) {
  arguments.insert(arguments.begin(),
                   {"saltus", "--kokkos-disable-warnings", "--kokkos-num-threads=" + std::to_string(thread_count(options))});
  std::vector<char*> pointers;
  for (auto& argument : arguments) pointers.push_back(argument.data());
  int count = static_cast<int>(pointers.size());
  pointers.push_back(nullptr);
  Kokkos::initialize(count, pointers.data());
}

KokkosSession::~KokkosSession() { Kokkos::finalize(); }

namespace {
std::string machine() {
  utsname system{};
  uname(&system);
  std::string text = std::string(system.sysname) + " " + system.machine + ", " +
                     std::to_string(std::thread::hardware_concurrency()) + " cores";
  std::ifstream processors("/proc/cpuinfo");
  for (std::string line; std::getline(processors, line);) {
    if (auto const colon = line.find(": "); line.starts_with("model name") && colon != line.npos)
      return text + ", " + line.substr(colon + 2);
  }
  return text;
}
}  // namespace

Json run_header(Options const& options) {
  Json parameters;
  for (auto const& [name, value] : options.values()) parameters[name] = value;
  Json header{{"version", version()},
              {"git_state", git_state()},
              {"build_type", build_type()},
              {"compiler", compiler()},
              {"kokkos", kokkos_version()},
              {"backend", backend()},
              {"machine", machine()},
              {"threads", ExecSpace().concurrency()}};
  if (options.has("seed")) header["seed"] = options.seed("seed");
  header["parameters"] = parameters;
  return header;
}

Json run_header(Options const& options, Problem const& problem) {
  Json header = run_header(options);
  header["parameters"]["noise"] = problem.noise.describe();
  for (char const* const of_networks : {"device", "precision"}) {
    if (problem.model.law) header["parameters"].erase(of_networks);
  }
  header["model"] = {{"name", problem.model.name()},
                     {"source", problem.model.source},
                     {"states", problem.model.tokens()},
                     {"length", problem.length()}};
  if (problem.model.law) header["model"]["entropy_nats"] = problem.model.law->entropy();
  if (!problem.decoration.text.empty()) header["model"]["decoration"] = problem.decoration.text;
  return header;
}

std::string json_text(Json const& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

void write_text(std::string const& path, std::string const& text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace saltus::app
