// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include <saltus/ctmc/score_model.hpp>

#include "noise.hpp"

/// Scalar twins of the site laws of `euler` and `tweedie`: the formulas of A§4 and A§7 one after the other in long
/// double, without any of the library's device code.
namespace saltus::reference {

using Reals = std::vector<long double>;

/// What the formulas need of the noise between two times, from the 50-digit schedules.
struct StepNoise {
  long double alpha_from, alpha_to, lost_from, lost_to, sigma, hazard, reveal, growth, retention, lost, duration;

  StepNoise(Noise const& noise, double from, double to) {
    Real const a = noise.alpha(from), b = noise.alpha(to), rate = noise.rate(from);
    Real const delta = abs(noise.total(from) - noise.total(to));
    alpha_from = static_cast<long double>(a);
    alpha_to = static_cast<long double>(b);
    lost_from = static_cast<long double>(1 - a);
    lost_to = static_cast<long double>(1 - b);
    sigma = static_cast<long double>(rate);
    hazard = from == 0 ? 0 : static_cast<long double>(rate * a / (1 - a));
    reveal = from == 0 ? 0 : static_cast<long double>((b - a) / (1 - a));
    growth = static_cast<long double>(exp(delta) - 1);
    retention = static_cast<long double>(exp(-delta));
    lost = static_cast<long double>(1 - exp(-delta));
    duration = static_cast<long double>(abs(Real(from) - Real(to)));
  }
};

/// One site: its row of numbers, and how they are to be read.
struct Site {
  ScoreKind kind;
  Reals row;
  int own;
  std::optional<int> mask;  ///< set: absorbing generator
  bool normalise = false;   ///< absorbing: scores are taken as unnormalised laws
  long double phi = 1;
  long double power = 1;
  bool forced = false;
};

/// A law of the site's next token and, for each entry, the size of the terms that it was summed from: where they cancel
/// (inexact scores), an error relative to them is all that can be asked for.
struct SiteLaw {
  Reals p, terms;
};

/// Entries as positive numbers: exponentials of logarithmic rows, negative ones cut off, and the learned power.
inline Reals positive_row(Site const& site) {
  Reals v = site.row;
  for (long double& x : v) {
    x = is_logarithmic(site.kind) ? std::exp(site.power * x) : std::pow(x < 0 ? 0 : x, site.power);
  }
  return v;
}

inline long double sum_without(Reals const& v, int own) {
  long double sum = 0;
  for (std::size_t y = 0; y < v.size(); ++y) sum += static_cast<int>(y) == own ? 0 : v[y];
  return sum;
}

/// Concrete scores s_y with s_own = 1 under uniform noise (A§4.1 for leave-one-out laws, A§4.3 for leave-in ones).
inline Reals uniform_scores(Site const& site, StepNoise const& n) {
  Reals s = positive_row(site);
  auto const own = static_cast<std::size_t>(site.own);
  long double const S = static_cast<long double>(s.size()), alpha = n.alpha_from;
  if (is_x0(site.kind)) {
    long double const norm = sum_without(s, site.own) + s[own];
    for (long double& x : s) x /= norm;
    if (site.kind == ScoreKind::x0_leave_one_out) {  // (pL P)_y / (pL P)_x
      long double const at_own = alpha * s[own] + n.lost_from / S;
      for (long double& x : s) x = (alpha * x + n.lost_from / S) / at_own;
    } else {
      long double const a = n.lost_from + S * alpha, b = n.lost_from, mine = s[own];
      for (long double& x : s) x = mine * b / a + x * a / b + (1 - mine - x);
    }
  }
  s[own] = 1;
  return s;
}

/// Probabilities from the weights of the targets y != own and the weight of staying.
inline SiteLaw from_jumps(Site const& site, Reals const& jumps) {
  SiteLaw law{jumps, {}};
  long double const leave = sum_without(jumps, site.own);
  for (long double& x : law.p) x /= leave > 1 ? leave : 1;  // "now" where the step is too long (A§7, clamp)
  law.p[static_cast<std::size_t>(site.own)] = leave > 1 ? 0 : 1 - leave;
  law.terms = law.p;
  law.terms[static_cast<std::size_t>(site.own)] = 1;
  return law;
}

inline SiteLaw stays(Site const& site) {
  SiteLaw law{Reals(site.row.size(), 0), Reals(site.row.size(), 0)};
  law.p[static_cast<std::size_t>(site.own)] = law.terms[static_cast<std::size_t>(site.own)] = 1;
  return law;
}

/// A§4.2, 7.1: only masks move. `euler`: c = h sigma, u = h hazard; `tweedie`: c = e^dsb - 1, u = reveal probability.
inline SiteLaw reverse_masked(Site const& site, long double c, long double u) {
  if (site.own != *site.mask) return stays(site);
  Reals jumps = positive_row(site);
  bool const law = site.normalise || is_x0(site.kind);
  long double const sum = sum_without(jumps, site.own);
  for (long double& x : jumps) x *= site.forced ? 1 / sum : (law ? u / sum : c) * site.phi;
  return from_jumps(site, jumps);
}

inline SiteLaw euler_reverse(Site const& site, StepNoise const& n) {
  if (site.mask) return reverse_masked(site, n.duration * n.sigma, n.duration * n.hazard);
  Reals jumps = uniform_scores(site, n);  // A§4.3: R_y = (sigma/S) s_y
  for (long double& x : jumps) x *= site.phi * n.duration * n.sigma / static_cast<long double>(jumps.size());
  return from_jumps(site, jumps);
}

inline SiteLaw tweedie_reverse(Site const& site, StepNoise const& n) {
  if (site.mask) return reverse_masked(site, n.growth, n.reveal);
  // A§7.2: [s P^-1]_y P(y, own), then clamp and renormalise
  Reals s = uniform_scores(site, n);
  long double const S = static_cast<long double>(s.size()), e = n.growth + 1;
  for (std::size_t y = 0; y < s.size(); ++y) s[y] *= static_cast<int>(y) == site.own ? 1 : site.phi;
  long double sum = 0;
  for (long double const x : s) sum += x;
  SiteLaw law{Reals(s.size()), Reals(s.size())};
  long double total = 0;
  for (std::size_t y = 0; y < s.size(); ++y) {
    long double const kernel = n.lost / S + (static_cast<int>(y) == site.own ? n.retention : 0);
    law.p[y] = kernel * (e * s[y] - n.growth / S * sum);
    law.terms[y] = kernel * (e * s[y] + n.growth / S * sum);
    law.p[y] = law.p[y] < 0 ? 0 : law.p[y];
    total += law.p[y];
  }
  for (std::size_t y = 0; y < s.size(); ++y) {
    law.p[y] /= total;
    law.terms[y] /= total;
  }
  law.terms[static_cast<std::size_t>(site.own)] += 1;
  return law;
}

/// A§17.1 uniform_tweedie, from the leave-one-out law: a second road to the same law.
inline Reals tweedie_from_law(Reals const& law, int own, StepNoise const& n) {
  Reals w(law.size());
  long double const S = static_cast<long double>(law.size());
  long double total = 0;
  for (std::size_t y = 0; y < w.size(); ++y) {
    w[y] = (n.alpha_to * law[y] + n.lost_to / S) * (n.lost / S + (static_cast<int>(y) == own ? n.retention : 0));
    total += w[y];
  }
  for (long double& x : w) x /= total;
  return w;
}

/// Forward laws (A§3.1, 3.2) from the chance of an event (a jump to a uniform token, or to the mask).
inline SiteLaw forward_site(Site const& site, long double event) {
  if (site.own == site.mask) return stays(site);
  Reals jumps(site.row.size(), site.mask ? 0 : event / static_cast<long double>(site.row.size()));
  if (site.mask) jumps[static_cast<std::size_t>(*site.mask)] = event;
  return from_jumps(site, jumps);
}
/// Rates phi sigma Q over a step, and their exact transition.
inline SiteLaw euler_forward(Site const& site, StepNoise const& n) {
  return forward_site(site, site.phi * n.duration * n.sigma);
}
inline SiteLaw tweedie_forward(Site const& site, StepNoise const& n) {
  return forward_site(site, site.phi == 1 ? n.lost : 1 - std::pow(n.retention, site.phi));
}

/// All four kinds of numbers for one leave-one-out law (with own = mask for an absorbing generator): A§4.1-4.3.
inline Reals row_of_kind(ScoreKind kind, Reals const& law, int own, std::optional<int> mask, StepNoise const& n) {
  Reals row = law;
  long double const S = static_cast<long double>(law.size()), alpha = n.alpha_from;
  auto const mine = static_cast<std::size_t>(own);
  if (kind == ScoreKind::x0_leave_one_out || (kind == ScoreKind::x0_leave_in && mask)) return row;
  if (kind == ScoreKind::x0_leave_in) {  // pI(k) proportional to pL(k) P(k, own)
    long double sum = 0;
    for (std::size_t y = 0; y < row.size(); ++y) sum += row[y] *= n.lost_from / S + (y == mine ? alpha : 0);
    for (long double& x : row) x /= sum;
    return row;
  }
  long double const at_own = alpha * law[mine] + n.lost_from / S;
  for (std::size_t y = 0; y < row.size(); ++y) {
    row[y] = mask ? alpha / n.lost_from * law[y] : (alpha * law[y] + n.lost_from / S) / at_own;
  }
  if (kind == ScoreKind::log_score) {
    for (long double& x : row) x = std::log(x);
  }
  return row;
}

}  // namespace saltus::reference
