// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "look.hpp"
#include "output_folder.hpp"

namespace saltus::app {

/// A value over x with its interval; x 0: it has none, and is a line right across.
struct Point {
  double x, y, low, high;
};

struct Series {
  std::string name;
  Look look;
  bool level = false;  ///< drawn on as a line right across, to compare others with
  std::vector<Point> points{};
};

/// Values with intervals. Everything finite; on logarithmic axes above 0 but for intervals.
struct Plot {
  std::string name;  ///< of its files
  std::string x_label, y_label;
  bool log_x = true, log_y = true;
  bool beside = true;                               ///< points that share an x are drawn side by side; with log_x
  bool intervals = true;                            ///< bars from low to high
  std::vector<double> x_ticks{};                    ///< empty: round numbers
  std::optional<std::pair<double, double>> band{};  ///< shaded right across
  std::vector<Series> series{};
};

/// Writes plots/NAME.dat and plots/NAME.gp and has gnuplot draw plots/NAME.svg with them. Returns the picture for a
/// page with the colours of look.hpp as CSS variables; nothing if there is no gnuplot or it fails.
std::optional<std::string> draw(Plot const& plot, OutputFolder const& folder);

}  // namespace saltus::app
