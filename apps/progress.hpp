// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

#include "options.hpp"

namespace saltus::app {

/// How far a run is, on one line that is written again and again. It stands on the terminal of standard error. Where a
/// launcher reads the standard errors of several ranks, the first rank takes the terminal that all of them were started from, or, where
/// there is none (a job of a cluster), ends a line every minute. Otherwise, and with --quiet, nothing is shown.
class ProgressText {
 public:
  explicit ProgressText(Options const& options);
  ~ProgressText();  ///< wipes the line
  ProgressText(ProgressText const&) = delete;
  ProgressText& operator=(ProgressText const&) = delete;

  /// Whether it is time for another.
  bool due() const;
  void show(std::string const& text);
  /// Wipes the line, so that other output can stand there.
  void wipe();

 private:
  std::FILE* out_ = nullptr;  // null: nothing is shown
  bool own_ = false;          // opened here
  bool lines_ = false;        // no terminal
  bool shown_ = false;
  double last_;
};

/// What, done of all, rate and time left.
class ProgressLine {
 public:
  ProgressLine(Options const& options, std::string what, std::size_t total);
  void operator()(std::size_t done);

 private:
  ProgressText text_;
  std::string what_;
  std::size_t total_;
  double start_;
};

/// [h:]mm:ss of a time in seconds.
std::string clock_text(double seconds);

}  // namespace saltus::app
