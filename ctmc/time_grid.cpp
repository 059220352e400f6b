// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/time_grid.hpp>

#include <cmath>
#include <string>

#include <saltus/ctmc/error.hpp>

namespace saltus {

TimeGrid TimeGrid::uniform(double from, double to, int steps) {
  require(steps >= 1, "a time grid needs at least 1 step, got " + std::to_string(steps));
  std::vector<double> points(static_cast<std::size_t>(steps) + 1);
  for (int k = 0; k <= steps; ++k) {
    // A weighted mean of both ends: exact at k = 0 and k = steps.
    points[static_cast<std::size_t>(k)] = (from * (steps - k) + to * k) / steps;
  }
  points.front() = from;
  points.back() = to;
  return from_points(std::move(points));
}

TimeGrid TimeGrid::from_points(std::vector<double> points) {
  require(points.size() >= 2, "a time grid needs at least 2 points, got " + std::to_string(points.size()));
  for (double const t : points) {
    require(std::isfinite(t) && t >= 0, "times must be finite and at least 0, got " + to_text(t));
  }
  bool const down = points.front() > points.back();
  for (std::size_t k = 1; k < points.size(); ++k) {
    require(down ? points[k] < points[k - 1] : points[k] > points[k - 1],
            "time points must be strictly " + std::string(down ? "decreasing" : "increasing") + ": point " +
                std::to_string(k) + " is " + to_text(points[k]) + " after " + to_text(points[k - 1]));
  }
  return TimeGrid(std::move(points));
}

}  // namespace saltus
