// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <vector>

#include <boost/multiprecision/cpp_bin_float.hpp>

#include <saltus/ctmc/noise_schedule.hpp>

/// The noise schedules of A§2 as they stand in the table there, in 100 digits: differences may be taken without thought.
namespace saltus::reference {

using Real = boost::multiprecision::cpp_bin_float_100;

struct Noise {
  enum class Kind {
    log_linear, linear, polynomial, cosine, cosine2, md4_cosine, constant, geometric, geometric2, exponential, table
  } kind;
  double a = 0;  ///< floor; constant: rate; polynomial: power; geometric, geometric2: min; exponential: scale
  double b = 0;  ///< geometric, geometric2: max; exponential: base
  double end = 1;
  std::vector<double> times = {}, totals = {};  ///< table

  NoiseSchedule schedule() const {
    switch (kind) {
      case Kind::log_linear:
        return NoiseSchedule::log_linear(a);
      case Kind::linear:
        return NoiseSchedule::linear();
      case Kind::polynomial:
        return NoiseSchedule::polynomial(a);
      case Kind::cosine:
        return NoiseSchedule::cosine(a);
      case Kind::cosine2:
        return NoiseSchedule::cosine2(a);
      case Kind::md4_cosine:
        return NoiseSchedule::md4_cosine(a);
      case Kind::constant:
        return NoiseSchedule::constant(a, end);
      case Kind::geometric:
        return NoiseSchedule::geometric(a, b);
      case Kind::geometric2:
        return NoiseSchedule::geometric2(a, b);
      case Kind::exponential:
        return NoiseSchedule::exponential(b, a);
      default:
        return NoiseSchedule::piecewise_linear(times, totals);
    }
  }
  /// sigma_bar(t).
  Real total(Real const& t) const {
    Real const e = a, pi = boost::math::constants::pi<Real>();
    switch (kind) {
      case Kind::log_linear:
        return -log(1 - (1 - e) * t);
      case Kind::linear:
        return -log(1 - t);
      case Kind::polynomial:
        return -log(1 - pow(t, e));
      case Kind::cosine:
        return -log(e + (1 - e) * cos(pi * t / 2));
      case Kind::cosine2:
        return -log(e + (1 - e) * pow(cos(pi * t / 2), 2));
      case Kind::md4_cosine:
        return -log((1 - 2 * e) * (1 - cos(pi * (1 - t) / 2)) + e);
      case Kind::constant:
        return e * t;
      case Kind::geometric:
        return pow(e, 1 - t) * pow(Real(b), t);
      case Kind::geometric2:
        return e * e / 2 * (pow(Real(b) / e, 2 * t) - 1);
      case Kind::exponential:
        return e * (pow(Real(b), t) - 1);
      default: {
        std::size_t i = 0;
        while (i + 2 < times.size() && t > times[i + 1]) ++i;
        return totals[i] + (Real(totals[i + 1]) - totals[i]) * (t - times[i]) / (Real(times[i + 1]) - times[i]);
      }
    }
  }
  Real alpha(Real const& t) const { return exp(-total(t)); }
  /// sigma(t) as the slope of the integral: no second formula to get wrong. Relative error of order 1e-20 for
  /// t >= 1e-12 and up to 1e-12 before the end.
  Real rate(Real const& t) const {
    Real const h("1e-22");
    return (total(t + h) - total(t - h)) / (2 * h);
  }
  /// Whether nothing survives at the end: sigma and sigma_bar are infinite there.
  bool ends_infinite() const { return kind == Kind::linear || kind == Kind::polynomial; }
  /// Whether alpha(0) is below 1.
  bool starts_noisy() const {
    return kind == Kind::geometric || kind == Kind::md4_cosine || (kind == Kind::table && totals[0] > 0);
  }
  /// Whether the schedule is given by sigma_bar and not by alpha.
  bool by_total() const {
    return kind == Kind::constant || kind == Kind::geometric || kind == Kind::geometric2 || kind == Kind::exponential ||
           kind == Kind::table;
  }
};

inline std::vector<Noise> all_noises() {
  using enum Noise::Kind;
  return {{log_linear, 1e-3},
          {log_linear, 0.2},
          {linear},
          {polynomial, 2},
          {polynomial, 0.7},
          {polynomial, 3.5},
          {cosine, 1e-3},
          {cosine, 0.1},
          {cosine2, 1e-3},
          {cosine2, 0.1},
          {md4_cosine, 1e-4},
          {md4_cosine, 0.2},
          {constant, 1},
          {constant, 2.5, 0, 3},
          {geometric, 1e-3, 1},
          {geometric, 1e-4, 20},
          {geometric2, 0.1, 3},
          {exponential, 3, 100},
          {exponential, 0.5, 1000},
          // points away from the times that tests ask for; a flat piece between 0.6 and 1.2
          {table, 0, 0, 2, {0, 0.3, 0.6, 1.2, 2}, {0, 0.1, 2, 2, 5}},
          {table, 0, 0, 1, {0, 1}, {0.25, 3}}};
}

}  // namespace saltus::reference
