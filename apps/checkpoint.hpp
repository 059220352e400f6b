// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <memory>

#include <saltus/integrators/sampler.hpp>

#include "by_ranks.hpp"
#include "problem.hpp"

namespace saltus::app {

/// What a run of samples keeps, so that it can be broken off at any moment and taken up again (--checkpoint FILE and
/// --resume): the outputs so far, in their .partial, and this file, which says how much of them is certain.
/// The finished output is that of a run that never stopped. While it lives, SIGTERM and SIGINT are held back until stop(); other
/// ranks, which keep nothing, ignore them and leave the end to the first one.
class Checkpoint {
 public:
  /// `identity`: what decides the samples. Reads the file to go on with; UserError if there is none, if it is of another
  /// run (with both values), or without --resume if one is in the way. OutputError if it cannot be written.
  Checkpoint(Options const& options, Json identity);
  ~Checkpoint();
  Checkpoint(Checkpoint const&) = delete;
  Checkpoint& operator=(Checkpoint const&) = delete;

  SampleReport const& report() const { return report_; }  ///< of the samples that are kept
  /// What the outputs said of themselves when they were saved, or `otherwise` if nothing was.
  template <class T>
  T output(char const* name, T otherwise) const {
    return outputs_.value(name, otherwise);
  }
  /// Whether all samples were kept and this output is in its place already: the run was broken off after the last rename.
  bool is_finished(std::string const& output, std::size_t samples) const;

  /// Whether it is time to save: --checkpoint-minutes have passed, or a signal has come.
  bool due() const;
  /// Written beside, then renamed; what the outputs say of themselves must be on the disk. Throws OutputError.
  void save(Json outputs, SampleReport const& report);
  /// Whether a signal asks to stop.
  bool stopping() const;
  /// After save(): ends the program by the signal that came, if one did.
  void stop() const;
  /// The run is finished: the file goes.
  void remove() const;

 private:
  std::string path_;
  Json identity_;
  double interval_, last_;
  Json outputs_ = Json::object();
  SampleReport report_{};
};

/// The options that decide what a run gives, and hashes of what those of `files` name, as `identity` of a Checkpoint.
Json identity(Options const& options, std::initializer_list<char const*> files);
/// Adds to `run` a hash of the files that a text names, as FILE, NAME:FILE or key=FILE; nothing where it names none.
void add_hash(Json& run, std::string const& what, std::string const& text);

/// That of --checkpoint at the first rank; null without it and at other ranks, which from then on ignore signals. UserError for
/// --resume without it. `identity`, which may read large files, is asked for a checkpoint alone.
std::unique_ptr<Checkpoint> open_checkpoint(Options const& options, Ranks const& ranks, std::function<Json()> const& identity);

/// What is left to do of the run `plan`, by `run(plan, after)`, which calls `after` as sample_by_ranks() does. The checkpoint, if
/// there is one, is the first rank's; `sync` brings the outputs to the disk and gives what they say of themselves.
template <class Plan, class Run>
SampleReport run_with(Checkpoint* checkpoint, Ranks& ranks, Plan plan, std::function<Json()> const& sync, Run const& run) {
  SampleReport const before = checkpoint ? checkpoint->report() : SampleReport{};
  plan.first_sample = ranks.share(std::uint64_t{before.samples});
  plan.samples -= plan.first_sample;
  SampleReport latest = before;
  std::function<void(SampleReport const&)> after;
  if (checkpoint) {
    auto const save = [&, checkpoint] { checkpoint->save(sync(), latest); };
    // Before anything is written: what is there from now on is known to be this run's.
    checkpoint->save(before.samples == 0 ? Json::object() : sync(), before);
    after = [&, checkpoint, save](SampleReport const& so_far) {
      latest = together(before, so_far);
      if (!checkpoint->due()) return;
      save();
      checkpoint->stop();
    };
    ranks.while_waiting([checkpoint, save] {
      if (!checkpoint->stopping()) return;
      save();
      checkpoint->stop();
    });
  }
  latest = together(before, run(std::as_const(plan), after));
  ranks.while_waiting({});
  if (checkpoint) checkpoint->save(sync(), latest);
  return latest;
}

/// UserError that names key and both values unless the run that began with `before`, in the file `path`, is this one.
void require_same_run(std::string const& path, Json const& before, Json const& here);

}  // namespace saltus::app
