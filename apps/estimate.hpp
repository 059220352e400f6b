// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <span>

namespace saltus::app {

/// A value with its 95 % interval.
struct Estimate {
  double value, low, high;
  bool has_interval() const { return low != high; }  ///< else none is known
};

/// The 0.975 quantile of the standard normal law.
inline constexpr double normal_975 = 1.959963984540054;

/// value -+ normal_975 standard_error.
Estimate normal_interval(double value, double standard_error);

/// Mean with its 95 % interval (normal); without an interval (low = high = value) for fewer than 2 values and where a value
/// is infinite. At least 1 value.
Estimate mean_of(std::span<double const> values);

/// Variance of an estimate by the delete-a-group jackknife, from what it is without each of the groups; 0 for fewer than 2.
double jackknife_variance(std::span<double const> left_out);

}  // namespace saltus::app
