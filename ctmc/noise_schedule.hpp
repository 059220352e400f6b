// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <saltus/ctmc/types.hpp>

namespace saltus {

/// A noise schedule: the rate sigma(t) that multiplies the generator, its integral sigma_bar(t) ("total"), the survival
/// probability alpha = exp(-sigma_bar) and their inverses, each computed without cancellation (A§2, A§5.4).
/// A value without pointers, about 4 KiB (the points of a table lie in it), that kernels may hold; only event-driven
/// methods do (fixed steps get StepCoeff). It may be made before Kokkos starts.
class NoiseSchedule {
 public:
  /// The largest number of points of piecewise_linear().
  static constexpr int max_points = 256;

  /// sigma_bar = -log1p(-(1-e) t) on [0,1]: 1 - alpha = (1-e) t. Source: SEDD.
  static NoiseSchedule log_linear(double floor = 1e-3);
  /// alpha = 1 - t on [0,1]: nothing survives at t = 1, where sigma and sigma_bar are infinite. Source: A§2.
  static NoiseSchedule linear();
  /// alpha = 1 - t^power on [0,1], power > 0; as linear() at t = 1. Source: MD4.
  static NoiseSchedule polynomial(double power = 2);
  /// alpha = e + (1-e) cos(pi t/2) on [0,1]. Source: MDLM.
  static NoiseSchedule cosine(double floor = 1e-3);
  /// alpha = e + (1-e) cos^2(pi t/2) on [0,1]. Source: MDLM.
  static NoiseSchedule cosine2(double floor = 1e-3);
  /// alpha = e + (1-2e) (1 - cos(pi (1-t)/2)) on [0,1], e < 1/2: alpha(0) = 1 - e is below 1. Source: MD4.
  static NoiseSchedule md4_cosine(double floor = 1e-4);
  /// sigma constant on [0, end]; `end` may be infinite. With the rate of one jump, the uniform schedule of tauLDR.
  static NoiseSchedule constant(double rate = 1, double end = 1);
  /// sigma_bar = min^(1-t) max^t on [0,1]; sigma_bar(0) = min > 0. Source: SEDD; class defaults of A§2.
  static NoiseSchedule geometric(double min = 1e-3, double max = 1);
  /// sigma_bar = min^2/2 ((max/min)^(2t) - 1) on [0,1]. Source: tauLDR, birth-death.
  static NoiseSchedule geometric2(double min = 1, double max = 100);
  /// sigma_bar = scale (base^t - 1) on [0,1], base > 1. Source: tauLDR, Gaussian target.
  static NoiseSchedule exponential(double base = 100, double scale = 3);
  /// sigma_bar linear between the points (times[i], totals[i]); T is the last time. On a flat piece (sigma = 0)
  /// time_at_total() gives the earliest time; rate() at a point is that of the piece that ends there, while
  /// coefficients() takes the piece that the step goes into. UserError unless there are 2 to max_points points, times
  /// rise strictly from 0, and totals are finite, not negative, never fall and rise somewhere.
  static NoiseSchedule piecewise_linear(std::vector<double> const& times, std::vector<double> const& totals);
  /// piecewise_linear() from the two columns t and sigma_bar of a text file, parted by blanks, tabs or a comma; empty
  /// lines and what follows '#' do not count. UserError that names the file and the line.
  static NoiseSchedule read(std::string const& path);

  /// A name of names() with parameters as above: "cosine", "constant:rate=2,end=3", "polynomial:power=3",
  /// "table:file=PATH" for read(), "table:times=0,1,3,totals=0,0.5,4" for piecewise_linear(). UserError otherwise.
  static NoiseSchedule parse(std::string_view text);
  /// The names that parse() knows.
  static std::vector<std::string> names();
  /// The text that parse() reads back as this schedule, bit for bit; a table is written out with its points.
  std::string describe() const;

  /// Whether sigma does not change with time.
  bool is_constant() const { return kind_ == Kind::constant; }

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

  /// Everything that a step from `interval.from` to `interval.to` needs; its direction is implied by the order.
  KOKKOS_INLINE_FUNCTION StepCoeff coefficients(Interval interval) const;

 private:
  enum class Kind {
    log_linear, linear, polynomial, cosine, cosine2, md4_cosine, constant, geometric, geometric2, exponential, table
  };
  NoiseSchedule(Kind kind, double a, double b, double end) : kind_(kind), a_(a), b_(b), end_(end) {}

  // Schedules whose alpha may reach 0: formulas divide by alpha last.
  KOKKOS_INLINE_FUNCTION bool by_alpha() const {
    return kind_ == Kind::linear || kind_ == Kind::polynomial || kind_ == Kind::cosine2 || kind_ == Kind::md4_cosine;
  }
  // -alpha'(t), by_alpha() kinds.
  KOKKOS_INLINE_FUNCTION double slope(double t) const;
  // alpha(s) - alpha(t), s <= t; log_linear, cosine and by_alpha() kinds.
  KOKKOS_INLINE_FUNCTION double drop(double s, double t) const;
  // geometric2 and exponential: sigma_bar = scale() expm1(t log_base()); geometric: a_ exp(t log_base()).
  KOKKOS_INLINE_FUNCTION double scale() const { return kind_ == Kind::geometric2 ? a_ * a_ / 2 : a_; }
  KOKKOS_INLINE_FUNCTION double log_base() const {
    return kind_ == Kind::exponential ? Kokkos::log(b_)
                                      : (kind_ == Kind::geometric2 ? 2 : 1) * Kokkos::log(b_ / a_);
  }
  // table: the number of the piece with times_[i] < t <= times_[i + 1] (0 for t = 0), and sigma on it.
  KOKKOS_INLINE_FUNCTION int piece(double t) const;
  KOKKOS_INLINE_FUNCTION double rate_of_piece(int i) const {
    return (totals_[i + 1] - totals_[i]) / (times_[i + 1] - times_[i]);
  }

  Kind kind_;
  double a_;    // log_linear, cosine, cosine2, md4_cosine: floor e; constant: rate; polynomial: power; geometric,
                // geometric2: min; exponential: scale
  double b_;    // geometric, geometric2: max; exponential: base
  double end_;  // T
  int points_ = 0;
  double times_[max_points] = {};   // table, [points_]
  double totals_[max_points] = {};  // table, [points_]
};

KOKKOS_INLINE_FUNCTION double NoiseSchedule::lost(double t) const {
  switch (kind_) {
    case Kind::log_linear: return (1 - a_) * t;
    case Kind::linear: return t;
    case Kind::polynomial: return Kokkos::pow(t, a_);
    case Kind::cosine: {
      double const s = Kokkos::sin(Kokkos::numbers::pi * t / 4);
      return (1 - a_) * 2 * s * s;
    }
    case Kind::cosine2: {
      double const s = Kokkos::sin(Kokkos::numbers::pi * t / 2);
      return (1 - a_) * s * s;
    }
    case Kind::md4_cosine: return a_ + (1 - 2 * a_) * Kokkos::sin(Kokkos::numbers::pi * t / 2);
    default: return -Kokkos::expm1(-total(t));
  }
}

KOKKOS_INLINE_FUNCTION double NoiseSchedule::alpha(double t) const {
  switch (kind_) {
    case Kind::log_linear: return 1 - (1 - a_) * t;
    case Kind::linear: return 1 - t;
    case Kind::polynomial: return 0 - Kokkos::expm1(a_ * Kokkos::log(t));  // +0 at t = 1
    case Kind::cosine: return a_ + (1 - a_) * Kokkos::cos(Kokkos::numbers::pi * t / 2);
    case Kind::cosine2: {
      double const c = Kokkos::cos(Kokkos::numbers::pi * t / 2);
      return a_ + (1 - a_) * c * c;
    }
    case Kind::md4_cosine: {
      double const s = Kokkos::sin(Kokkos::numbers::pi * (1 - t) / 4);
      return a_ + (1 - 2 * a_) * 2 * s * s;
    }
    default: return Kokkos::exp(-total(t));
  }
}

KOKKOS_INLINE_FUNCTION double NoiseSchedule::total(double t) const {
  switch (kind_) {
    case Kind::constant: return a_ * t;
    case Kind::geometric: return a_ * Kokkos::pow(b_ / a_, t);
    case Kind::geometric2:
    case Kind::exponential: return scale() * Kokkos::expm1(t * log_base());
    case Kind::table: {
      int const i = piece(t);
      return totals_[i] + rate_of_piece(i) * (t - times_[i]);
    }
    default: {
      double const gone = lost(t);
      return by_alpha() && gone > 0.5 ? -Kokkos::log(alpha(t)) : -Kokkos::log1p(-gone);
    }
  }
}

KOKKOS_INLINE_FUNCTION double NoiseSchedule::slope(double t) const {
  double const pi = Kokkos::numbers::pi;
  switch (kind_) {
    case Kind::polynomial: return a_ * Kokkos::pow(t, a_ - 1);
    case Kind::cosine2: return pi / 2 * (1 - a_) * Kokkos::sin(pi * (t > 0.5 ? 1 - t : t));
    case Kind::md4_cosine: return pi / 2 * (1 - 2 * a_) * Kokkos::sin(pi / 2 * (1 - t));
    default: return 1;  // linear
  }
}

KOKKOS_INLINE_FUNCTION double NoiseSchedule::drop(double s, double t) const {
  double const quarter_pi = Kokkos::numbers::pi / 4;
  switch (kind_) {
    case Kind::log_linear: return (1 - a_) * (t - s);
    case Kind::polynomial:
      if (s == t) return 0;
      return -Kokkos::pow(t, a_) * Kokkos::expm1(a_ * (2 * s < t ? Kokkos::log(s / t) : Kokkos::log1p((s - t) / t)));
    case Kind::cosine: return (1 - a_) * 2 * Kokkos::sin(quarter_pi * (t + s)) * Kokkos::sin(quarter_pi * (t - s));
    case Kind::cosine2:  // the sine of the sum vanishes at both ends
      return (1 - a_) * Kokkos::sin(2 * quarter_pi * (s + t > 1 ? (1 - s) + (1 - t) : s + t)) *
             Kokkos::sin(2 * quarter_pi * (t - s));
    case Kind::md4_cosine:
      return (1 - 2 * a_) * 2 * Kokkos::sin(quarter_pi * ((1 - s) + (1 - t))) * Kokkos::sin(quarter_pi * (t - s));
    default: return t - s;  // linear
  }
}

KOKKOS_INLINE_FUNCTION int NoiseSchedule::piece(double t) const {
  int first = 0, last = points_ - 2;
  while (first < last) {
    int const middle = (first + last) / 2;
    if (t <= times_[middle + 1]) {
      last = middle;
    } else {
      first = middle + 1;
    }
  }
  return first;
}

KOKKOS_INLINE_FUNCTION double NoiseSchedule::rate(double t) const {
  switch (kind_) {
    case Kind::log_linear: return (1 - a_) / alpha(t);
    case Kind::cosine: {
      double const half_pi = Kokkos::numbers::pi / 2;
      return half_pi * (1 - a_) * Kokkos::sin(half_pi * t) / alpha(t);
    }
    case Kind::constant: return a_;
    case Kind::geometric: return total(t) * log_base();
    case Kind::geometric2:
    case Kind::exponential: return scale() * log_base() * Kokkos::exp(t * log_base());
    case Kind::table: return rate_of_piece(piece(t));
    default: return slope(t) / alpha(t);
  }
}

KOKKOS_INLINE_FUNCTION double NoiseSchedule::total_between(double s, double t) const {
  switch (kind_) {
    case Kind::constant: return a_ * (t - s);
    case Kind::geometric: return total(s) * Kokkos::expm1((t - s) * log_base());
    case Kind::geometric2:
    case Kind::exponential: return scale() * Kokkos::exp(s * log_base()) * Kokkos::expm1((t - s) * log_base());
    case Kind::table: {
      int const i = piece(s), j = piece(t);
      if (i == j) return rate_of_piece(i) * (t - s);
      return rate_of_piece(i) * (times_[i + 1] - s) + (totals_[j] - totals_[i + 1]) +
             rate_of_piece(j) * (t - times_[j]);
    }
    default: {
      double const fall = drop(s, t);
      return fall == 0 ? 0 : Kokkos::log1p(fall / alpha(t));  // also where alpha(t) = 0
    }
  }
}

KOKKOS_INLINE_FUNCTION double NoiseSchedule::time_at_lost(double lost) const {
  double t = 0;
  switch (kind_) {
    case Kind::log_linear: t = lost / (1 - a_); break;
    case Kind::linear: t = lost; break;
    case Kind::polynomial: t = lost > 0 ? Kokkos::pow(lost, 1 / a_) : 0; break;
    case Kind::cosine: {
      double const s = lost / (2 * (1 - a_));
      t = s >= 0.5 ? 1.0 : 4 / Kokkos::numbers::pi * Kokkos::asin(Kokkos::sqrt(s > 0 ? s : 0));
      break;
    }
    case Kind::cosine2: {
      double const s = lost / (1 - a_);
      t = s >= 1 ? 1.0 : 2 / Kokkos::numbers::pi * Kokkos::asin(Kokkos::sqrt(s > 0 ? s : 0));
      break;
    }
    case Kind::md4_cosine: {
      double const s = (lost - a_) / (1 - 2 * a_);  // below 0 if less than lost(0) = e is asked for
      t = s >= 1 ? 1.0 : 2 / Kokkos::numbers::pi * Kokkos::asin(s > 0 ? s : 0);
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
    case Kind::geometric: t = Kokkos::log(total / a_) / log_base(); break;
    case Kind::geometric2:
    case Kind::exponential: t = Kokkos::log1p(total / scale()) / log_base(); break;
    case Kind::table: {
      if (!(total > totals_[0])) return 0;
      if (total > totals_[points_ - 1]) return end_;
      int i = 0;
      while (totals_[i + 1] < total) ++i;  // so piece i is not flat
      t = times_[i] + (total - totals_[i]) / rate_of_piece(i);
      return t > times_[i + 1] ? times_[i + 1] : t;
    }
    default: return time_at_lost(-Kokkos::expm1(-total));
  }
  return t < 0 ? 0 : (t > end_ ? end_ : t);  // also for total = infinity
}

KOKKOS_INLINE_FUNCTION StepCoeff NoiseSchedule::coefficients(Interval interval) const {
  double const from = interval.from, to = interval.to;
  double const early = from < to ? from : to, late = from < to ? to : from;
  StepCoeff c{};
  c.from = from;
  c.to = to;
  c.alpha_from = alpha(from);
  c.alpha_to = alpha(to);
  c.lost_from = lost(from);
  c.lost_to = lost(to);
  c.duration = late - early;
  c.rate = rate(from);
  if (kind_ == Kind::table && to > from) {  // at a point, the piece that the step goes into
    int const i = piece(from);
    c.rate = rate_of_piece(from >= times_[i + 1] && i + 2 < points_ ? i + 1 : i);
  }
  c.delta = total_between(early, late);
  c.lost = -Kokkos::expm1(-c.delta);
  c.retention = Kokkos::exp(-c.delta);
  c.growth = Kokkos::expm1(c.delta);
  // hazard = sigma alpha/(1-alpha), and reveal = alpha_to lost/(1-alpha_from); for the log-linear schedule alpha
  // cancels, and schedules that may reach alpha = 0 are written in alpha.
  if (kind_ == Kind::log_linear) {
    c.hazard = 1 / from;
    c.reveal = (from - to) / from;
  } else if (by_alpha()) {
    c.hazard = slope(from) / c.lost_from;
    c.reveal = drop(early, late) / c.lost_from;
  } else {
    c.hazard = c.rate * c.alpha_from / c.lost_from;
    c.reveal = c.alpha_to * c.lost / c.lost_from;
  }
  if (c.lost_from == 0) c.hazard = Kokkos::Experimental::infinity_v<double>;  // not 0/0: nothing may be masked there
  if (c.lost_to == 0) c.reveal = 1;  // exactly, whatever the rounding
  return c;
}

}  // namespace saltus
