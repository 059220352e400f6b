# SPDX-License-Identifier: BSD-3-Clause
"""Derives expected_output.txt without the library: uniformization and Euler's steps in plain Python."""
import math

STATES, SAMPLES, TIME = 11, 100_000, 1.0


def up(n):
    return 0.01 * (20 - 2 * n) * (19 - 2 * n) / 2


def down(n):
    return 0.2 * n


def step(law, h):
    """law (1 + h Q)"""
    after = [p * (1 - h * (up(n) + down(n))) for n, p in enumerate(law)]
    for n, p in enumerate(law):
        if n > 0:
            after[n - 1] += p * h * down(n)
        if n < STATES - 1:
            after[n + 1] += p * h * up(n)
    return after


def distance(p, q):
    return sum(abs(a - b) for a, b in zip(p, q)) / 2


start = [1.0] + [0.0] * (STATES - 1)
rate = max(up(n) + down(n) for n in range(STATES))
exact, power = [0.0] * STATES, start
for k in range(80):  # the Poisson number of events at the constant rate
    weight = math.exp(-rate * TIME) * (rate * TIME) ** k / math.factorial(k)
    exact = [e + weight * p for e, p in zip(exact, power)]
    power = step(power, 1 / rate)

tolerance = math.sqrt(STATES / SAMPLES) / 2 + math.sqrt(math.log(1e9) / (2 * SAMPLES))
print(f"{sum(n * p for n, p in enumerate(exact)):.6f} dimers at t = 1 in the mean")
print("method          steps  error of its law  samples follow the process")
runs = [("gillespie", 0), ("uniformization", 0), ("tweedie", 1), ("euler", 2), ("euler", 4), ("euler", 8)]
for method, steps in runs:
    law = exact
    if method == "euler":
        law = start
        for _ in range(steps):
            law = step(law, TIME / steps)
    error = distance(law, exact)
    # Samples are within `tolerance` of their own law: the answer is certain only where the laws are equal or far apart.
    assert error == 0 or error > 2 * tolerance, f"{method} with {steps} steps: {error} is too near to {tolerance}"
    print(f"{method:14}  {steps:5}  {error:16.6f}  {'yes' if error == 0 else 'no':>27}")
