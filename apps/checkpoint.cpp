// SPDX-License-Identifier: BSD-3-Clause
#include "checkpoint.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/ctmc/version.hpp>

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
    check_writable(path_);
  } else {
    require(there, "--resume: there is no '" + path_ + "' to go on with");
    try {
      Json const json = Json::parse(read_file(path_));
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

Json identity(Options const& options) {
  Json run;
  for (auto const& [name, value] : options.values()) run[name] = value;
  for (char const* const other : {"checkpoint", "checkpoint-minutes", "resume", "quiet", "summary", "batch", "threads", "config"}) run.erase(other);
  run["version"] = version();
  return run;
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
  for (auto const& [key, value] : here.items()) {
    require(before.at(key) == value, "--resume: the run in '" + path + "' has " + key + " " + before.at(key).dump() + ", and this call " +
                                         value.dump() + "; a run goes on with the options that it began with");
  }
}

}  // namespace saltus::app
