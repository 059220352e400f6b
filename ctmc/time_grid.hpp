// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <span>
#include <string>
#include <vector>

#include <saltus/ctmc/types.hpp>

namespace saltus {

/// Time points, checked once and then indexed (never accumulated): strictly decreasing for a reverse process, strictly
/// increasing for a forward one.
class TimeGrid {
 public:
  /// `steps` intervals of equal length from `from` to `to`; the ends are exact.
  static TimeGrid uniform(double from, double to, int steps);
  /// Points to + (from - to) cos(pi k / (2 steps)): steps grow shorter towards `from` and longest at `to` (MD4,
  /// arXiv:2406.04329).
  static TimeGrid cosine(double from, double to, int steps);
  /// The given points, at least two. Throws UserError that names the first point out of order.
  static TimeGrid from_points(std::vector<double> points);

  int steps() const { return static_cast<int>(points_.size()) - 1; }
  double point(int k) const { return points_[static_cast<std::size_t>(k)]; }
  Interval interval(int k) const { return {point(k), point(k + 1)}; }
  std::span<double const> points() const { return points_; }
  bool decreasing() const { return points_.front() > points_.back(); }

 private:
  explicit TimeGrid(std::vector<double> points) : points_(std::move(points)) {}
  std::vector<double> points_;
};

class NoiseSchedule;

/// Steps in which equal shares of alpha are gained (or lost): the expected number of reveals is the same in all of them.
TimeGrid noise_grid(NoiseSchedule const& noise, double from, double to, int steps);

/// From `from` to 0, such that a masked sequence of sum(sizes) sites is expected to have its next sizes[k] sites revealed in
/// step k: parallel-reveal blocks (A§9.3). Methods that reveal shares of fixed count reveal just these numbers.
TimeGrid block_grid(NoiseSchedule const& noise, double from, std::vector<int> const& sizes);

/// A grid by name: uniform, cosine, noise, or the path of a file with one time a line, from the first to the last. The file
/// brings its own number of steps; its ends must be `from` and `to`. UserError otherwise.
TimeGrid make_grid(std::string const& name, NoiseSchedule const& noise, double from, double to, int steps);

}  // namespace saltus
