// SPDX-License-Identifier: BSD-3-Clause
#include "checkpoint.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>

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
      kept_ = {json.at("samples").get<std::size_t>(), json.at("bytes").get<std::uint64_t>()};
      report_ = {.samples = kept_.rows,
                 .evaluations = json.at("evaluations").get<double>(),
                 .max_evaluations = json.at("max_evaluations").get<std::int64_t>(),
                 .jumps = json.at("jumps").get<std::int64_t>(),
                 .clamps = json.at("clamps").get<std::int64_t>(),
                 .violations = json.at("violations").get<std::int64_t>(),
                 .seconds = json.at("seconds").get<double>()};
      rows_evaluated_ = json.at("rows_evaluated").get<std::int64_t>();
    } catch (Json::exception const& e) {
      throw UserError("--resume: '" + path_ + "' is none of this program's files: " + e.what());
    }
  }
  came = 0;
  std::signal(SIGTERM, note);
  std::signal(SIGINT, note);
}

void ignore_signals() {
  std::signal(SIGTERM, SIG_IGN);
  std::signal(SIGINT, SIG_IGN);
}

Checkpoint::~Checkpoint() {
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
}

bool Checkpoint::stopping() const { return came != 0; }

bool Checkpoint::due() const { return came != 0 || now() - last_ >= interval_; }

void Checkpoint::save(SequenceWriter::Kept kept, SampleReport const& report, std::int64_t rows_evaluated) {
  write_text(path_, json_text({{"run", identity_},
                               {"samples", kept.rows},
                               {"bytes", kept.bytes},
                               {"evaluations", report.evaluations},
                               {"max_evaluations", report.max_evaluations},
                               {"jumps", report.jumps},
                               {"clamps", report.clamps},
                               {"violations", report.violations},
                               {"seconds", report.seconds},
                               {"rows_evaluated", rows_evaluated}}));
  kept_ = kept;
  last_ = now();
}

void Checkpoint::stop() const {
  if (came == 0) return;
  std::fprintf(stderr, "saltus: stopped after %zu samples; --resume goes on from '%s'\n", kept_.rows, path_.c_str());
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
