#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prints what the example prints, without the library.

Both sites start masked, and each step k reveals a masked site with a probability u_k that does not depend on the tokens.
Let q_k be the probability that a site is revealed in step k. Sites revealed in different steps follow p (the second is
drawn given the first); sites revealed in one step follow p1 x p2 (neither knows of the other). So the output law is
(1 - c) p + c p1 x p2 with c = sum_k q_k^2, and its error is c TV(p, p1 x p2).

For log-linear noise q_k = 1/M and c = 1/M for both methods. For cosine noise, alpha = e + (1 - e) cos(pi t / 2):
- tweedie: q_k = (alpha_k+1 - alpha_k) / (1 - alpha_0) = cos(pi t_k+1 / 2) - cos(pi t_k / 2); the floor e cancels;
- euler: u_k = min(1, h hazard), hazard = -alpha' / (1 - alpha) = (pi/2) sin(pi t/2) / (1 - cos(pi t/2)) at the start of
  the step, and 1 in the last step.
"""
from math import cos, log, pi, sin, sqrt

STATES, STRENGTH, SAMPLES = 3, 9, 100_000

total = STATES * STATES + STATES * STRENGTH
joint = [[(1 + STRENGTH * (x == y)) / total for y in range(STATES)] for x in range(STATES)]
dependence = sum(abs(joint[x][y] - sum(joint[x]) * sum(row[y] for row in joint)) for x in range(STATES) for y in range(STATES)) / 2


def revealed(name, steps):
    """q_k for every step."""
    left, shares = 1.0, []
    for k in range(steps):
        start, end = 1 - k / steps, 1 - (k + 1) / steps
        if name == "tweedie":
            u = (cos(pi * end / 2) - cos(pi * start / 2)) / (1 - cos(pi * start / 2))
        else:
            u = min(1.0, (start - end) * (pi / 2) * sin(pi * start / 2) / (1 - cos(pi * start / 2)))
        if k + 1 == steps:
            u = 1.0
        shares.append(left * u)
        left *= 1 - u
    return shares


# Samples follow a law if their total variation from it stays under the alarm; they do not if even the largest
# fluctuation cannot close the gap. What lies between would not be decided here.
alarm = sqrt(STATES**2 / SAMPLES) / 2 + sqrt(log(1e9) / (2 * SAMPLES))

print("method     steps  error of the law  samples follow it  samples follow the data")
for name in ("euler", "tweedie"):
    for steps in (1, 2, 4, 8, 16):
        error = sum(q * q for q in revealed(name, steps)) * dependence
        assert error > 2 * alarm, f"{name}, {steps} steps: more samples are needed to tell the laws apart"
        print(f"{name:<9}  {steps:5}  {error:16.6f}  {'yes':>17}  {'no':>23}")
print(f"{'gillespie':<9}  {'-':>5}  {0:16.6f}  {'yes':>17}  {'yes':>23}")
