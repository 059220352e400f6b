// SPDX-License-Identifier: BSD-3-Clause
#include "estimate.hpp"

#include <cmath>
#include <numeric>

#include <saltus/ctmc/error.hpp>

namespace saltus::app {
namespace {

// What a plain sum rounds off is added again: the mean of many equal values is that value.
double mean(std::span<double const> values) {
  auto const n = static_cast<double>(values.size());
  double const rough = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (!std::isfinite(rough)) return rough;
  double rest = 0;
  for (double const v : values) rest += v - rough;
  return rough + rest / n;
}

double squares_about(double center, std::span<double const> values) {
  double squares = 0;
  for (double const v : values) squares += (v - center) * (v - center);
  return squares;
}

}  // namespace

Estimate normal_interval(double value, double standard_error) {
  double const half = normal_975 * standard_error;
  return {value, value - half, value + half};
}

Estimate mean_of(std::span<double const> values) {
  SALTUS_ASSERT(!values.empty());
  double const value = mean(values), n = static_cast<double>(values.size());
  if (values.size() < 2 || !std::isfinite(value)) return {value, value, value};
  return normal_interval(value, std::sqrt(squares_about(value, values) / (n - 1) / n));
}

double jackknife_variance(std::span<double const> left_out) {
  if (left_out.size() < 2) return 0;
  auto const g = static_cast<double>(left_out.size());
  return (g - 1) / g * squares_about(mean(left_out), left_out);
}

}  // namespace saltus::app
