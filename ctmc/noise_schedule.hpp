// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <saltus/ctmc/types.hpp>

namespace saltus {

/// A noise schedule: the rate sigma(t) that multiplies the generator, its integral sigma_bar(t) ("total"), the survival
/// probability alpha = exp(-sigma_bar) and their inverses, each computed without cancellation (A§2, A§5.4).
/// A small value that kernels may hold; only event-driven methods do (fixed steps get StepCoeff).
class NoiseSchedule {
 public:
  /// sigma_bar = -log1p(-(1-e) t) on [0,1]: 1 - alpha = (1-e) t. Source: SEDD.
  static NoiseSchedule log_linear(double floor = 1e-3);
  /// alpha = e + (1-e) cos(pi t/2) on [0,1]. Source: MDLM.
  static NoiseSchedule cosine(double floor = 1e-3);
  /// sigma constant on [0, end].
  static NoiseSchedule constant(double rate = 1, double end = 1);
  /// sigma_bar = min^(1-t) max^t on [0,1]; sigma_bar(0) = min > 0. Source: SEDD; class defaults of A§2.
  static NoiseSchedule geometric(double min = 1e-3, double max = 1);

  /// "cosine", "log_linear", "constant", "geometric", with parameters as in "constant:rate=2,end=3".
  static NoiseSchedule parse(std::string_view text);
  /// The names that parse() knows.
  static std::vector<std::string> names();
  /// The text that parse() reads back as this schedule.
  std::string describe() const;

  /// Latest time T.
  KOKKOS_INLINE_FUNCTION double end() const { return end_; }

  /// sigma(t).
  KOKKOS_INLINE_FUNCTION double rate(double t) const;
  /// sigma_bar(t).
  KOKKOS_INLINE_FUNCTION double total(double t) const;
  /// alpha(t) = exp(-sigma_bar(t)).
  KOKKOS_INLINE_FUNCTION double alpha(double t) const;
  /// 1 - alpha(t).
  KOKKOS_INLINE_FUNCTION double lost(double t) const;
  /// sigma_bar(t) - sigma_bar(s).
  KOKKOS_INLINE_FUNCTION double total_between(double s, double t) const;
  /// The time t at which 1 - alpha(t) = lost; 0 if no time is that early, T if none is that late.
  KOKKOS_INLINE_FUNCTION double time_at_lost(double lost) const;
  /// The time t at which sigma_bar(t) = total; clipped to [0, T].
  KOKKOS_INLINE_FUNCTION double time_at_total(double total) const;

  /// Everything that a step from `interval.from` to `interval.to` needs; host. `direction` is implied by the order.
  StepCoeff coefficients(Interval interval) const;

 private:
  enum class Kind { log_linear, cosine, constant, geometric };
  NoiseSchedule(Kind kind, double a, double b, double end) : kind_(kind), a_(a), b_(b), end_(end) {}

  Kind kind_;
  double a_;    // log_linear, cosine: floor e; constant: rate; geometric: min
  double b_;    // geometric: max
  double end_;  // T
};

KOKKOS_INLINE_FUNCTION double NoiseSchedule::lost(double t) const {
  switch (kind_) {
    case Kind::log_linear: return (1 - a_) * t;
    case Kind::cosine: {
      double const s = Kokkos::sin(Kokkos::numbers::pi * t / 4);
      return (1 - a_) * 2 * s * s;
    }
    default: return -Kokkos::expm1(-total(t));
  }
}

KOKKOS_INLINE_FUNCTION double NoiseSchedule::alpha(double t) const {
  switch (kind_) {
    case Kind::log_linear: return 1 - (1 - a_) * t;
    case Kind::cosine: return a_ + (1 - a_) * Kokkos::cos(Kokkos::numbers::pi * t / 2);
    default: return Kokkos::exp(-total(t));
  }
}

KOKKOS_INLINE_FUNCTION double NoiseSchedule::total(double t) const {
  switch (kind_) {
    case Kind::constant: return a_ * t;
    case Kind::geometric: return a_ * Kokkos::pow(b_ / a_, t);
    default: return -Kokkos::log1p(-lost(t));
  }
}

KOKKOS_INLINE_FUNCTION double NoiseSchedule::rate(double t) const {
  switch (kind_) {
    case Kind::log_linear: return (1 - a_) / alpha(t);
    case Kind::cosine: {
      double const half_pi = Kokkos::numbers::pi / 2;
      return half_pi * (1 - a_) * Kokkos::sin(half_pi * t) / alpha(t);
    }
    case Kind::constant: return a_;
    default: return total(t) * Kokkos::log(b_ / a_);
  }
}

KOKKOS_INLINE_FUNCTION double NoiseSchedule::total_between(double s, double t) const {
  switch (kind_) {
    case Kind::log_linear: return Kokkos::log1p((1 - a_) * (t - s) / alpha(t));
    case Kind::cosine: {
      double const quarter_pi = Kokkos::numbers::pi / 4;
      return Kokkos::log1p((1 - a_) * 2 * Kokkos::sin(quarter_pi * (t + s)) * Kokkos::sin(quarter_pi * (t - s)) /
                           alpha(t));
    }
    case Kind::constant: return a_ * (t - s);
    default: return total(s) * Kokkos::expm1((t - s) * Kokkos::log(b_ / a_));
  }
}

KOKKOS_INLINE_FUNCTION double NoiseSchedule::time_at_lost(double lost) const {
  double t = 0;
  switch (kind_) {
    case Kind::log_linear: t = lost / (1 - a_); break;
    case Kind::cosine: {
      double const s = lost / (2 * (1 - a_));
      t = s >= 0.5 ? 1.0 : 4 / Kokkos::numbers::pi * Kokkos::asin(Kokkos::sqrt(s > 0 ? s : 0));
      break;
    }
    default: return time_at_total(-Kokkos::log1p(-lost));
  }
  return t < 0 ? 0 : (t > end_ ? end_ : t);
}

KOKKOS_INLINE_FUNCTION double NoiseSchedule::time_at_total(double total) const {
  double t = 0;
  switch (kind_) {
    case Kind::constant: t = total / a_; break;
    case Kind::geometric: t = Kokkos::log(total / a_) / Kokkos::log(b_ / a_); break;
    default: return time_at_lost(-Kokkos::expm1(-total));
  }
  return t < 0 ? 0 : (t > end_ ? end_ : t);  // also for total = infinity
}

}  // namespace saltus
