// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <Kokkos_Core.hpp>

/// The integral over tau = sigma_bar of the largest rate at which a site of a reverse process with uniform noise can leave
/// under exact scores, and its inverse; not installed.
namespace saltus::detail {

/// F(tau) = ((S-1)/S) tau + ln(1 - e^-tau), whose derivative is the bound (S-1+e^-tau)/(S(1-e^-tau)) of A§4.3. tau > 0.
KOKKOS_INLINE_FUNCTION double uniform_envelope(double tau, int states) {
  return (states - 1.0) / states * tau + Kokkos::log(-Kokkos::expm1(-tau));
}

/// The tau with F(tau) = f, from any `above` at or beyond it; at least 2 states. Relative error: some 1e-15 (1 + |f|).
/// Newton's method in v = ln tau: dF/dv = ((S-1)/S) tau + tau/(e^tau - 1) rises with v (the second term falls by less
/// than 1/2 for each 1 in tau), so F is convex in v and the iterates fall to the root and never pass it.
KOKKOS_INLINE_FUNCTION double uniform_envelope_inverse(double f, double above, int states) {
  double const slow = (states - 1.0) / states;
  double tau = above;
  for (;;) {
    double const lost = -Kokkos::expm1(-tau);
    double const slope = slow * tau + tau * Kokkos::exp(-tau) / lost;
    double const lower = tau * Kokkos::exp((f - (slow * tau + Kokkos::log(lost))) / slope);
    if (!(lower < tau * (1 - 1e-15))) return lower < tau ? lower : tau;
    tau = lower;
  }
}

}  // namespace saltus::detail
