// SPDX-License-Identifier: BSD-3-Clause
#include "progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <limits>

#include "problem.hpp"
#include "ranks.hpp"

namespace saltus::app {

ProgressText::ProgressText(Options const& options) : last_(-std::numeric_limits<double>::infinity()) {
  if (options.flag("quiet") || !Ranks::world().first()) return;
  if (isatty(STDERR_FILENO)) {
    out_ = stderr;
  } else if (Ranks::world().several()) {
    out_ = std::fopen("/dev/tty", "we");
    own_ = out_ != nullptr;
    if (own_) {
      std::signal(SIGTTOU, SIG_IGN);  // a launcher's programs run in the background: with 'stty tostop' writing would stop them
    } else {
      out_ = stderr;
      lines_ = true;
      last_ = now();  // a short run needs none
    }
  }
}

ProgressText::~ProgressText() {
  wipe();
  if (own_) std::fclose(out_);
}

bool ProgressText::due() const { return out_ && now() - last_ >= (lines_ ? 60 : 0.1); }

void ProgressText::show(std::string const& text) {
  if (!out_) return;
  last_ = now();
  std::fprintf(out_, lines_ ? "%s\n" : "\r\033[K%s", text.c_str());
  std::fflush(out_);
  shown_ = !lines_;
}

void ProgressText::wipe() {
  if (!shown_) return;
  std::fputs("\r\033[K", out_);
  std::fflush(out_);
  shown_ = false;
}

ProgressLine::ProgressLine(Options const& options, std::string what, std::size_t total)
    : text_(options), what_(std::move(what)), total_(total), start_(now()) {}

void ProgressLine::operator()(std::size_t done) {
  if (!text_.due()) return;
  double const rate = static_cast<double>(done) / std::max(now() - start_, 1e-9);
  char numbers[128];
  std::snprintf(numbers, sizeof numbers, "  %zu/%zu (%.0f%%)  %.3g/s  ", done, total_,
                100.0 * static_cast<double>(done) / static_cast<double>(total_), rate);
  text_.show(what_ + numbers + clock_text(static_cast<double>(total_ - done) / std::max(rate, 1e-9)) + " left");
}

std::string clock_text(double seconds) {
  auto const s = static_cast<long long>(std::min(seconds, 1e15));
  char text[48];
  std::snprintf(text, sizeof text, s >= 3600 ? "%lld:%02lld:%02lld" : "%lld:%02lld", s >= 3600 ? s / 3600 : s / 60,
                s >= 3600 ? s / 60 % 60 : s % 60, s % 60);
  return text;
}

}  // namespace saltus::app
