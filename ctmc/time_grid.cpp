// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/time_grid.hpp>

#include <cmath>
#include <filesystem>
#include <sstream>
#include <string>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/ctmc/noise_schedule.hpp>

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

TimeGrid TimeGrid::cosine(double from, double to, int steps) {
  require(steps >= 1, "a time grid needs at least 1 step, got " + std::to_string(steps));
  std::vector<double> points(static_cast<std::size_t>(steps) + 1);
  for (int k = 0; k <= steps; ++k) {
    points[static_cast<std::size_t>(k)] = to + (from - to) * std::cos(1.5707963267948966 * k / steps);
  }
  points.front() = from;
  points.back() = to;
  return from_points(std::move(points));
}

TimeGrid noise_grid(NoiseSchedule const& noise, double from, double to, int steps) {
  require(steps >= 1, "a time grid needs at least 1 step, got " + std::to_string(steps));
  double const first = noise.lost(from), last = noise.lost(to);
  std::vector<double> points(static_cast<std::size_t>(steps) + 1);
  for (int k = 0; k <= steps; ++k) {
    points[static_cast<std::size_t>(k)] = noise.time_at_lost((first * (steps - k) + last * k) / steps);
  }
  points.front() = from;
  points.back() = to;
  return TimeGrid::from_points(std::move(points));
}

TimeGrid block_grid(NoiseSchedule const& noise, double from, std::vector<int> const& sizes) {
  std::int64_t length = 0;
  for (int const size : sizes) {
    require(size >= 1, "a block must have at least 1 site, got " + std::to_string(size));
    length += size;
  }
  require(length > 0, "a grid of blocks needs at least 1 block");
  // The share of the masks that a step reveals is 1 - lost_to / lost_from.
  double const first = noise.lost(from), last = noise.lost(0);
  std::vector<double> points{from};
  std::int64_t left = length;
  for (int const size : sizes) {
    left -= size;
    double const lost = first * static_cast<double>(left) / static_cast<double>(length);
    require(left == 0 || lost > last, "the noise " + noise.describe() + " masks a share of " + to_text(last) +
                                          " at t = 0 already, so that no time fits a block that leaves " +
                                          std::to_string(left) + " of " + std::to_string(length) + " sites masked");
    points.push_back(left == 0 ? 0 : noise.time_at_lost(lost));
  }
  return TimeGrid::from_points(std::move(points));
}

TimeGrid make_grid(std::string const& name, NoiseSchedule const& noise, double from, double to, int steps) {
  if (name == "uniform") return TimeGrid::uniform(from, to, steps);
  if (name == "cosine") return TimeGrid::cosine(from, to, steps);
  if (name == "noise") return noise_grid(noise, from, to, steps);
  if (!std::filesystem::exists(name)) {
    throw UserError(unknown_name("grid", name, {"cosine", "noise", "uniform"}) + " A file with a time a line would do too.");
  }
  std::istringstream in(read_file(name));
  std::vector<double> points;
  for (double t; in >> t;) points.push_back(t);
  require(in.eof(), name + ": expected a number a line, got something else after " + std::to_string(points.size()) +
                        " of them");
  TimeGrid grid = TimeGrid::from_points(std::move(points));
  require(grid.point(0) == from && grid.point(grid.steps()) == to,
          name + ": the grid must go from " + to_text(from) + " to " + to_text(to) + ", but goes from " +
              to_text(grid.point(0)) + " to " + to_text(grid.point(grid.steps())));
  return grid;
}

}  // namespace saltus
