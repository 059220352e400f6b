#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prints what the example prints, without the library: the same random numbers, plain Python for everything else.

It follows docs/determinism.md (random stream, version 2) and the definitions of both methods, so that the stored output
is derived and not recorded. Probabilities are exact fractions; the library's are doubles, which differ from them by some
1e-16, so that a token differs with about that probability.
"""
from fractions import Fraction

STATES, LENGTH, STEPS, SAMPLES, SEED, MASK = 4, 8, 4, 1000, 0, 4
STEP, TARGET, EVENT, SUBKEY = 1, 3, 4, 5  # roles


def philox(counter, key):
    """Philox4x32-10 (Salmon et al. 2011)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [k[0] + 0x9E3779B9 & 0xFFFFFFFF, k[1] + 0xBB67AE85 & 0xFFFFFFFF]
    return c


def words(sample, role, site, step, seed=SEED):
    """64 bits for when and 64 bits for what."""
    word = philox((sample & 0xFFFFFFFF, sample >> 32 & 0xFFFFFF | role << 24, site, step), (seed & 0xFFFFFFFF, seed >> 32))
    return word[1] << 32 | word[0], word[3] << 32 | word[2]


def uniforms(sample, role, site, step, seed=SEED):
    """The uniform for when and the uniform for what, as whole numbers below 2^53."""
    return tuple(bits >> 11 for bits in words(sample, role, site, step, seed))


def power(gap):
    """P(token y, `gap` sites after token x) of the countdown, [x][y]: 0 goes to a uniform token, x > 0 to x - 1."""
    rows = [[Fraction(x == y) for y in range(STATES)] for x in range(STATES)]
    for _ in range(gap):
        rows = [[row[0] / STATES + (row[y + 1] if y + 1 < STATES else 0) for y in range(STATES)] for row in rows]
    return rows


POWERS = [power(gap) for gap in range(LENGTH + 1)]
FIRST = [Fraction(1, STATES)] * STATES


def weights(x, site):
    """p(token | revealed tokens), not normalised: only the nearest revealed site on each side matters."""
    left = max((l for l in range(site) if x[l] != MASK), default=None)
    right = min((l for l in range(site + 1, LENGTH) if x[l] != MASK), default=None)
    if left is None:
        before = [sum(FIRST[z] * POWERS[site][z][y] for z in range(STATES)) for y in range(STATES)]
    else:
        before = POWERS[site - left][x[left]]
    if right is None:
        return before
    both = [before[y] * POWERS[right - site][y][x[right]] for y in range(STATES)]
    return both if sum(both) > 0 else before  # docs/decisions/0005


def draw(law, uniform):
    rest = Fraction(uniform, 2**53) * sum(law)
    for y, weight in enumerate(law):
        if rest < weight:
            return y
        rest -= weight
    raise AssertionError


def gillespie(sample):
    """Any of the masks is as likely to be next; when it is says nothing of its token. The last of the masks takes the
    place of the one that goes."""
    x, masks, seed = [MASK] * LENGTH, list(range(LENGTH)), words(0, SUBKEY, 0, 0)[0]
    for event in range(LENGTH):
        place = uniforms(sample, EVENT, 0, event, seed)[1] * len(masks) >> 53
        site, masks[place] = masks[place], masks[-1]
        masks.pop()
        x[site] = draw(weights(x, site), uniforms(sample, TARGET, site, event + 1, seed)[1])
    return x, LENGTH


def tweedie(sample):
    """Uniform steps from 1 to 0 on log-linear noise: of what is masked, 1/(steps left) is revealed."""
    x = [MASK] * LENGTH
    for step in range(STEPS):
        before = list(x)
        for site in range(LENGTH):
            when, what = uniforms(sample, STEP, site, step)
            if before[site] == MASK and Fraction(when, 2**53) < Fraction(1, STEPS - step):
                x[site] = draw(weights(before, site), what)
    return x, STEPS


def possible(x):
    return all(a == 0 or b == a - 1 for a, b in zip(x, x[1:]))


for name, method in (("gillespie", gillespie), ("tweedie", tweedie)):
    runs = [method(sample) for sample in range(SAMPLES)]
    evaluations = sum(cost for _, cost in runs) / SAMPLES
    broken = sum(not possible(x) for x, _ in runs)
    print(f"{name:<9} {evaluations:.0f} evaluations a sequence, {broken:3d} of {SAMPLES} break the rule")
