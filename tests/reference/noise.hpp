// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <boost/multiprecision/cpp_bin_float.hpp>

#include <saltus/ctmc/noise_schedule.hpp>

/// The noise schedules of A§2 as they stand in the table there, in 50 digits: differences may be taken without thought.
namespace saltus::reference {

using Real = boost::multiprecision::cpp_bin_float_50;

struct Noise {
  enum class Kind { log_linear, cosine, constant, geometric } kind;
  double a;      ///< log_linear, cosine: floor; constant: rate; geometric: min
  double b = 0;  ///< geometric: max
  double end = 1;

  NoiseSchedule schedule() const {
    switch (kind) {
      case Kind::log_linear:
        return NoiseSchedule::log_linear(a);
      case Kind::cosine:
        return NoiseSchedule::cosine(a);
      case Kind::constant:
        return NoiseSchedule::constant(a, end);
      default:
        return NoiseSchedule::geometric(a, b);
    }
  }
  /// sigma_bar(t).
  Real total(Real const& t) const {
    Real const e = a, pi = boost::math::constants::pi<Real>();
    switch (kind) {
      case Kind::log_linear:
        return -log(1 - (1 - e) * t);
      case Kind::cosine:
        return -log(e + (1 - e) * cos(pi * t / 2));
      case Kind::constant:
        return e * t;
      default:
        return pow(e, 1 - t) * pow(Real(b), t);
    }
  }
  Real alpha(Real const& t) const { return exp(-total(t)); }
  /// sigma(t) as the slope of the integral: no second formula to get wrong. Error of order 1e-32.
  Real rate(Real const& t) const {
    Real const h("1e-16");
    return (total(t + h) - total(t - h)) / (2 * h);
  }
};

inline std::vector<Noise> all_noises() {
  using enum Noise::Kind;
  return {{log_linear, 1e-3}, {log_linear, 0.2},     {cosine, 1e-3},       {cosine, 0.1},
          {constant, 1},      {constant, 2.5, 0, 3}, {geometric, 1e-3, 1}, {geometric, 1e-4, 20}};
}

}  // namespace saltus::reference
