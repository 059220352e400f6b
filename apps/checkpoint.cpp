// SPDX-License-Identifier: BSD-3-Clause
#include "checkpoint.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <set>
#include <vector>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/ctmc/version.hpp>
#include <saltus/models/json_file.hpp>
#include <saltus/models/model_hash.hpp>

namespace saltus::app {
namespace {

volatile std::sig_atomic_t came = 0;  // the signal that asks to stop
void note(int signal) { came = signal; }

}  // namespace

Checkpoint::Checkpoint(Options const& options, Json identity)
    : path_(options.text("checkpoint")),
      identity_(std::move(identity)),
      interval_(60 * (options.has("checkpoint-minutes") ? options.number("checkpoint-minutes") : 5)),
      last_(now()) {
  require(interval_ >= 0, "--checkpoint-minutes must be at least 0, got " + options.text("checkpoint-minutes"));
  bool const there = std::filesystem::exists(path_);
  if (!options.flag("resume")) {
    require(!there, "'" + path_ + "' is of a run that was broken off: go on with --resume, or remove it");
    for (char const* const name : {"out", "trajectory"}) {
      auto const output = options.values().find(name);
      if (output == options.values().end()) continue;
      std::string const partial = AtomicFile::partial_name(output->second);
      std::error_code missing;
      require(std::filesystem::file_size(partial, missing) == 0 || missing,
              "'" + partial + "' is of a run that was broken off: go on with --resume and its --checkpoint, or remove it");
    }
    check_writable(path_);
  } else {
    require(there, "--resume: there is no '" + path_ + "' to go on with");
    try {
      Json const json = parse_json(read_file(path_), "--resume: '" + path_ + "'");
      require_same_run(path_, json.at("run"), identity_);
      outputs_ = json.at("outputs");
      report_ = {.samples = json.at("samples").get<std::size_t>(),
                 .evaluations = json.at("evaluations").get<double>(),
                 .max_evaluations = json.at("max_evaluations").get<std::int64_t>(),
                 .jumps = json.at("jumps").get<std::int64_t>(),
                 .clamps = json.at("clamps").get<std::int64_t>(),
                 .violations = json.at("violations").get<std::int64_t>(),
                 .seconds = json.at("seconds").get<double>()};
    } catch (Json::exception const& e) {
      throw UserError("--resume: '" + path_ + "' is none of this program's files: " + e.what());
    }
  }
  came = 0;
  std::signal(SIGTERM, note);
  std::signal(SIGINT, note);
}

Json identity(Options const& options, std::initializer_list<char const*> files) {
  Json run;
  for (auto const& [name, value] : options.values()) run[name] = value;
  for (char const* const other : {"checkpoint", "checkpoint-minutes", "resume", "quiet", "summary", "batch", "threads", "config"}) run.erase(other);
  run["version"] = version();
  for (char const* const name : files) {
    if (options.has(name)) add_hash(run, name, options.text(name));
  }
  return run;
}

void add_hash(Json& run, std::string const& what, std::string const& text) {
  std::vector<std::string> files{text};
  std::error_code unknown;
  if (!std::filesystem::is_regular_file(text, unknown)) {
    files.clear();
    for (std::size_t first = 0; first < text.size();) {
      std::size_t const last = std::min(text.find_first_of(":,=", first), text.size());
      if (auto const part = text.substr(first, last - first); std::filesystem::is_regular_file(part, unknown)) files.push_back(part);
      first = last + 1;
    }
  }
  std::string hash;
  for (auto const& file : files) hash = model_hash(hash, read_file(file));
  if (!files.empty()) run[what + " (hash of its file)"] = hash;
}

std::unique_ptr<Checkpoint> open_checkpoint(Options const& options, Ranks const& ranks, std::function<Json()> const& identity) {
  require(options.has("checkpoint") || !options.flag("resume"), "--resume goes on with what --checkpoint FILE kept: name it");
  if (!options.has("checkpoint")) return nullptr;
  if (ranks.first()) return std::make_unique<Checkpoint>(options, identity());
  std::signal(SIGTERM, SIG_IGN);
  std::signal(SIGINT, SIG_IGN);
  return nullptr;
}

Checkpoint::~Checkpoint() {
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
}

bool Checkpoint::stopping() const { return came != 0; }

bool Checkpoint::due() const { return came != 0 || now() - last_ >= interval_; }

bool Checkpoint::is_finished(std::string const& output, std::size_t samples) const {
  return report_.samples == samples && std::filesystem::exists(output) && !std::filesystem::exists(AtomicFile::partial_name(output));
}

void Checkpoint::save(Json outputs, SampleReport const& report) {
  write_text(path_, json_text({{"run", identity_},
                               {"samples", report.samples},
                               {"outputs", outputs},
                               {"evaluations", report.evaluations},
                               {"max_evaluations", report.max_evaluations},
                               {"jumps", report.jumps},
                               {"clamps", report.clamps},
                               {"violations", report.violations},
                               {"seconds", report.seconds}}));
  outputs_ = std::move(outputs);
  report_ = report;
  last_ = now();
}

void Checkpoint::stop() const {
  if (came == 0) return;
  std::fprintf(stderr, "saltus: stopped after %zu samples; --resume goes on from '%s'\n", report_.samples, path_.c_str());
  std::fflush(stderr);
  int const signal = came;
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void Checkpoint::remove() const {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void require_same_run(std::string const& path, Json const& before, Json const& here) {
  std::set<std::string> keys;
  for (auto const* const run : {&before, &here}) {
    for (auto const& [key, value] : run->items()) keys.insert(key);
  }
  auto const said = [](Json const& run, std::string const& key) { return run.contains(key) ? key + " " + run[key].dump() : "no " + key; };
  for (auto const& key : keys) {
    std::string const one = said(before, key), other = said(here, key);
    require(one == other, "--resume: the run in '" + path + "' has " + one + ", and this call " + other +
                              "; a run goes on with the options that it began with");
  }
}

}  // namespace saltus::app
