// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/ctmc/io/sequences.hpp>
#include <saltus/integrators/sampler.hpp>

#include "problem.hpp"

namespace saltus::app {

/// What a run of samples keeps, so that it can be broken off at any moment and taken up again (sample --checkpoint FILE
/// and --resume): the sequences so far, in the output's .partial, and this file, which says how much of them is certain.
/// The finished output is that of a run that never stopped. While it lives, SIGTERM and SIGINT are held back until stop(); other
/// ranks, which keep nothing, ignore_signals() and leave the end to the first one.
class Checkpoint {
 public:
  /// `identity`: what decides the samples. Reads the file to go on with; UserError if there is none, if it is of another
  /// run (with both values), or without --resume if one is in the way. OutputError if it cannot be written.
  Checkpoint(Options const& options, Json identity);
  ~Checkpoint();
  Checkpoint(Checkpoint const&) = delete;
  Checkpoint& operator=(Checkpoint const&) = delete;

  SequenceWriter::Kept kept() const { return kept_; }
  SampleReport const& report() const { return report_; }  ///< of the rows that are kept
  std::int64_t rows_evaluated() const { return rows_evaluated_; }

  /// Whether it is time to save: --checkpoint-minutes have passed, or a signal has come.
  bool due() const;
  /// Written beside, then renamed; the rows must be on the disk. Throws OutputError.
  void save(SequenceWriter::Kept kept, SampleReport const& report, std::int64_t rows_evaluated);
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
  SequenceWriter::Kept kept_{};
  SampleReport report_{};
  std::int64_t rows_evaluated_ = 0;
};

/// See Checkpoint.
void ignore_signals();

/// UserError that names key and both values unless the run that began with `before`, in the file `path`, is this one.
void require_same_run(std::string const& path, Json const& before, Json const& here);

}  // namespace saltus::app
