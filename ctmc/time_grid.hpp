// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <span>
#include <vector>

#include <saltus/ctmc/types.hpp>

namespace saltus {

/// Time points, checked once and then indexed (never accumulated): strictly decreasing for a reverse process, strictly
/// increasing for a forward one.
class TimeGrid {
 public:
  /// `steps` intervals of equal length from `from` to `to`; the ends are exact.
  static TimeGrid uniform(double from, double to, int steps);
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

}  // namespace saltus
