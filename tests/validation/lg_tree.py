#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Evolves proteins down a 64-leaf tree with 'saltus simulate' and estimates the distances of all leaves again.

    SALTUS_PROGRAM=build/release/apps/saltus python3 tests/validation/lg_tree.py [--write docs]

The rates (Le and Gascuel 2008) are read from ../shared/data/proteins/rates beside the repository, not from the program.
Needs numpy. docs/validation.md explains the bounds.
Exit code: 0 if every number lies within its bound and every negative control fails, 1 if not, 77 if skipped.
"""

import argparse
import math
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

try:
    import numpy as np
except ImportError:
    print("skipped: no numpy")
    sys.exit(77)

from dsmts import DATA as STOCHASTIC, PROGRAM, SOURCE, replace_between, table

RATES = STOCHASTIC.parent / "proteins/rates"
RESIDUES = "ARNDCQEGHILKMFPSTWYV"  # PAML's order
LEAVES, TREE_SEED, SEED, REAL_SEED, CONTROL_SEED = 64, 2008, 1307, 1308, 1309
REPLICATE_SEED, REPLICATES = 20_000, 60  # with --write: how well the derived standard errors foretell the spread
LENGTH, REAL_LENGTH = 10_000, 1_000
STRETCH = 1.03
FAMILY_ERROR, MISSED = 1e-3, 1e-6
TESTS = (
    "stationary: mean z",
    "stationary: slope",
    "frequencies, all leaves",
    "frequencies, worst leaf",
    "real root: mean z",
    "real root: slope",
)
P_BOUND = FAMILY_ERROR / len(TESTS)
Q = NormalDist().inv_cdf(1 - P_BOUND / 2)
PAIR_BOUND = 5


class Rates:
    """A reversible generator from PAML's file; joint laws of two ends of a path of length t."""

    def __init__(self, name):
        numbers = []
        for word in (RATES / name).read_text().split():
            numbers.append(float(word))
            if len(numbers) == 210:
                break
        s = np.zeros((20, 20))
        s[np.tril_indices(20, -1)] = numbers[:190]
        self.pi = np.array(numbers[190:]) / sum(numbers[190:])
        root = np.sqrt(self.pi)
        sym = (s + s.T) * np.outer(root, root)  # off the diagonal: sqrt(pi_x) Q_xy / sqrt(pi_y)
        leave = (s + s.T) @ self.pi
        np.fill_diagonal(sym, -leave)
        self.values, u = np.linalg.eigh(sym / (self.pi @ leave))
        v = u * root[:, None]
        self.weights = np.einsum("xk,yk->kxy", v, v).reshape(20, 400)  # pi_x P_xy(t) = sum_k exp(l_k t) weights_k

    def joint(self, t, derivative=0):
        """A row of 400 for each t."""
        t = np.atleast_1d(np.asarray(t, float))
        return (self.values**derivative * np.exp(np.outer(t, self.values))) @ self.weights

    def transition(self, t):
        return self.joint(t)[0].reshape(20, 20) / self.pi[:, None]

    def information(self, t):
        """Fisher's, of one site."""
        return (self.joint(t, 1) ** 2 / self.joint(t)).sum(axis=1)

    def distances(self, counts, t):
        """Maximum-likelihood distances and observed information from the counts of 400 pairs, by Newton from t."""
        t = np.array(t, float)
        for _ in range(60):
            j, d1, d2 = (self.joint(t, k) for k in range(3))
            score = (counts * d1 / j).sum(axis=1)
            information = (counts * ((d1 / j) ** 2 - d2 / j)).sum(axis=1)
            step = score / np.where(information > 0, information, np.abs(information) + 1)
            new = np.clip(t + step, t / 2, t * 2)
            moved = np.max(np.abs(new / t - 1))
            t = new
            if moved < 1e-11:
                return t, information
        sys.exit("lg_tree.py: Newton's iteration did not converge")


@dataclass
class PairTree:
    newick: str
    names: list
    first: np.ndarray  # of each pair: index of a leaf
    second: np.ndarray
    path: np.ndarray  # sum of branch lengths
    above: np.ndarray  # from the root to the pair's last common ancestor
    arms: np.ndarray  # from there to the leaves, two columns
    total: float


def random_tree():
    """A Yule topology; branch lengths are uniform on 0.02..0.24 expected substitutions."""
    rng = random.Random(TREE_SEED)
    children, parent, length, tips = {}, {0: -1}, {0: 0.0}, [0]
    while len(tips) < LEAVES:
        node = tips.pop(int(rng.random() * len(tips)))
        children[node] = [len(parent), len(parent) + 1]
        for child in children[node]:
            parent[child], length[child] = node, round(0.02 + 0.22 * rng.random(), 4)
            tips.append(child)
    tips.sort()
    name = {tip: f"leaf{i + 1:02d}" for i, tip in enumerate(tips)}

    def text(node):
        label = name[node] if node in name else "(" + ",".join(text(c) for c in children[node]) + ")"
        return label + (f":{length[node]}" if node else ";")

    depth = {0: 0.0}
    for node in sorted(parent)[1:]:  # a parent comes before its children
        depth[node] = depth[parent[node]] + length[node]

    def line(node):
        found = []
        while node >= 0:
            found.append(node)
            node = parent[node]
        return found

    first, second, above, arms = [], [], [], []
    for i in range(LEAVES):
        ancestors = set(line(tips[i]))
        for j in range(i + 1, LEAVES):
            common = next(node for node in line(tips[j]) if node in ancestors)
            first.append(i)
            second.append(j)
            above.append(depth[common])
            arms.append((depth[tips[i]] - depth[common], depth[tips[j]] - depth[common]))
    arms = np.array(arms)
    return PairTree(
        text(0),
        [name[t] for t in tips],
        np.array(first),
        np.array(second),
        arms.sum(axis=1),
        np.array(above),
        arms,
        sum(length.values()),
    )


def read_fasta(path):
    found, name = {}, None
    for line in Path(path).read_text().splitlines():
        if line.startswith(">"):
            name = line[1:].split()[0]
            found[name] = ""
        else:
            found[name] += line.strip()
    return found


def evolve(tree, folder, seed, *start):
    """Residues by leaf and site, as numbers in PAML's order."""
    (folder / "tree.nwk").write_text(tree.newick + "\n")
    out = folder / "leaves.fasta"
    command = [
        PROGRAM,
        "simulate",
        "--generator",
        "lg",
        "--tree",
        str(folder / "tree.nwk"),
        *start,
        "--samples",
        "1",
        "--seed",
        str(seed),
        "--out",
        str(out),
        "--quiet",
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"lg_tree.py: {' '.join(command)}: code {done.returncode}: {done.stderr.strip()}")
    records = read_fasta(out)
    if sorted(records) != sorted(tree.names):
        sys.exit(f"lg_tree.py: the program wrote {len(records)} records, named {', '.join(sorted(records)[:3])}, ...")
    return np.array([[RESIDUES.index(c) for c in records[name]] for name in tree.names])


@dataclass
class Distances:
    sites: int
    path: np.ndarray  # what they are held against
    distance: np.ndarray
    error: np.ndarray  # standard error at the path sum, from the expected information
    z: np.ndarray
    observed_z: np.ndarray  # by the observed information at the estimate instead
    mean_z: float
    mean_z_error: float  # from independent sites, so pairs may depend on each other
    slope: float
    slope_error: float
    bias: float  # largest bias of the estimate of order 1/sites, in standard errors


def judge(rates, tree, leaves, path, target=None):
    """Distances of all pairs against path sums; with `target`, mean and slope against that instead."""
    sites = leaves.shape[1]
    pairs = len(path)
    target = path if target is None else target
    codes = [20 * leaves[i] + leaves[j] for i, j in zip(tree.first, tree.second)]
    counts = np.array([np.bincount(c, minlength=400) for c in codes], float)
    distance, observed = rates.distances(counts, path)
    information = rates.information(target)
    error = 1 / np.sqrt(sites * information)
    j, d1, d2 = (rates.joint(target, k) for k in range(3))
    score = d1 / j
    # What each site adds to the mean of z and to the slope, to first order: its scores of all pairs.
    mean_part, slope_part = np.zeros(sites), np.zeros(sites)
    for k in range(pairs):
        s = score[k][codes[k]]
        mean_part += s / (np.sqrt(sites * information[k]) * pairs)
        slope_part += target[k] * s
    weight = target**2 * sites * information
    slope_part /= weight.sum()
    spread = lambda part: float(np.sqrt(sites) * part.std(ddof=1))
    # Bias of order 1/n of a maximum-likelihood estimate: (E l''' + 2 E l' l'') / (2 n I^2).
    d3 = rates.joint(target, 3)
    second, third = d2 / j - score**2, d3 / j - 3 * score * d2 / j + 2 * score**3
    bias = ((j * third).sum(axis=1) + 2 * (j * score * second).sum(axis=1)) / (2 * sites * information**2)
    return Distances(
        sites,
        path,
        distance,
        error,
        (distance - path) / error,
        (distance - path) * np.sqrt(observed),
        float(np.mean((distance - target) / error)),
        spread(mean_part),
        float((weight * distance / target).sum() / weight.sum()),
        spread(slope_part),
        float(np.max(np.abs(bias / error))),
    )


def chi_square_tail(x, freedom):
    """P(chi-square > x) for odd degrees of freedom."""
    root = math.sqrt(x)
    term, total = root, 0.0
    for r in range(1, (freedom - 1) // 2 + 1):
        total += term
        term *= x / (2 * r + 1)
    return math.erfc(root / math.sqrt(2)) + math.sqrt(2 / math.pi) * math.exp(-x / 2) * total


def frequencies(rates, tree, leaves):
    """Chi-square and p-value: of the frequencies over all leaves, and of the worst leaf (p times the leaves)."""
    count, sites = leaves.shape
    shares = np.array([np.bincount(leaf, minlength=20) for leaf in leaves]) / sites
    # Covariance of a site's frequencies over the leaves: the exact joint laws of all pairs of leaves.
    covariance = count * np.diag(rates.pi)
    for t in tree.path:
        covariance += 2 * rates.joint(t)[0].reshape(20, 20)
    covariance = covariance / count**2 - np.outer(rates.pi, rates.pi)
    off = (shares.mean(axis=0) - rates.pi)[:19]
    pooled = sites * off @ np.linalg.solve(covariance[:19, :19], off)
    worst = max(float(sites * ((share - rates.pi) ** 2 / rates.pi).sum()) for share in shares)
    return (
        (pooled, chi_square_tail(pooled, 19)),
        (worst, min(1.0, count * chi_square_tail(worst, 19))),
        shares.mean(axis=0),
    )


def pseudo_distances(rates, tree, composition):
    """What the estimates tend to with many sites when the root has that composition instead of the stationary one."""
    expected = []
    for above, (a, b) in zip(tree.above, tree.arms):
        start = composition @ rates.transition(above)
        expected.append((rates.transition(a).T @ (start[:, None] * rates.transition(b))).ravel())
    return rates.distances(np.array(expected), tree.path)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", metavar="FOLDER", type=Path, help="rewrite the tables in FOLDER/validation.md")
    options = parser.parse_args()
    if not RATES.is_dir():
        print(f"skipped: no {RATES}")
        return 77
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"lg_tree.py: no program {PROGRAM}; set SALTUS_PROGRAM")
    problems = []
    check = lambda good, what: None if good else problems.append(what)
    lg, wag = Rates("lg.dat"), Rates("wag.dat")
    tree = random_tree()
    pairs = len(tree.path)

    records = read_fasta(SOURCE / "examples/data/kunitz.fasta")
    root, used = "", 0
    for sequence in records.values():
        if len(root) >= REAL_LENGTH:
            break
        root += sequence.replace("-", "")
        used += 1
    composition = np.array([root.count(r) for r in RESIDUES]) / len(root)

    rows = [["", "stationary root", "real root"]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        leaves = evolve(tree, folder, SEED, "--start", "stationary", "--length", str(LENGTH))
        (folder / "root.fasta").write_text(f">root\n{root}\n")
        real_leaves = evolve(tree, folder, REAL_SEED, "--start", str(folder / "root.fasta"))
        check(real_leaves.shape == (LEAVES, len(root)), f"real root: leaves of shape {real_leaves.shape}")
        stationary = judge(lg, tree, leaves, tree.path)
        target = pseudo_distances(lg, tree, composition)
        real = judge(lg, tree, real_leaves, tree.path, target)
        (pooled, pooled_p), (worst, worst_p), shares = frequencies(lg, tree, leaves)
        again = [
            judge(
                lg,
                tree,
                evolve(tree, folder, REPLICATE_SEED + i, "--start", "stationary", "--length", str(LENGTH)),
                tree.path,
            )
            for i in range(REPLICATES if options.write else 0)
        ]

        # Negative control: every branch 3 % longer than it was. The power of the mean of z, hence the length.
        stretched = STRETCH * tree.path

        def expected_shift(sites):
            return (
                float(np.mean((tree.path - stretched) * np.sqrt(sites * lg.information(stretched))))
                / stationary.mean_z_error
            )

        needed = math.ceil(((Q + NormalDist().inv_cdf(1 - MISSED)) / expected_shift(1)) ** 2 / 1000) * 1000
        control_length = max(LENGTH, needed)
        long_leaves = (
            leaves
            if control_length == LENGTH
            else evolve(tree, folder, CONTROL_SEED, "--start", "stationary", "--length", str(control_length))
        )
        wrong_length = judge(lg, tree, long_leaves, stretched)
        short_length = judge(lg, tree, leaves, stretched)
        longer = judge(lg, tree, long_leaves, tree.path)

    for label, d in (("stationary", stationary), ("real root", real)):
        check(np.max(np.abs(d.z)) < PAIR_BOUND, f"{label}: a distance is {np.max(np.abs(d.z)):.2f} standard errors off")
        check(
            abs(d.mean_z) < Q * d.mean_z_error,
            f"{label}: the mean of z is {d.mean_z:.3f}, beyond {Q * d.mean_z_error:.3f}",
        )
    check(
        abs(stationary.slope - 1) < Q * stationary.slope_error,
        f"stationary: the slope is {stationary.slope:.4f}, beyond 1 +- {Q * stationary.slope_error:.4f}",
    )
    check(
        abs(real.slope - 1) < Q * real.slope_error,
        f"real root: the slope is {real.slope:.4f}, beyond 1 +- {Q * real.slope_error:.4f}",
    )
    check(pooled_p > P_BOUND, f"frequencies of all leaves: chi-square {pooled:.1f}, p {pooled_p:.1e}")
    check(worst_p > P_BOUND, f"frequencies of the worst leaf: chi-square {worst:.1f}, corrected p {worst_p:.1e}")

    off = (target - tree.path) / real.error
    both = lambda name, f: rows.append([name, f(stationary), f(real)])
    both("sites", lambda d: f"{d.sites:,}")
    both("pairs", lambda d: f"{pairs:,}")
    both(
        "largest distance from the path sum, in standard errors (bound 5)",
        lambda d: f"{d.z[np.argmax(np.abs(d.z))]:+.2f}",
    )
    both(
        "the same by the observed information (not judged)",
        lambda d: f"{d.observed_z[np.argmax(np.abs(d.observed_z))]:+.2f}",
    )
    both(
        "largest relative distance from the path sum",
        lambda d: f"{100 * np.max(np.abs(d.distance / d.path - 1)):.1f} %",
    )
    both(
        "standard errors, relative to the path sum",
        lambda d: f"{100 * np.min(d.error / d.path):.1f} to {100 * np.max(d.error / d.path):.1f} %",
    )
    both("mean of z", lambda d: f"{d.mean_z:+.3f}")
    both(
        f"its standard error, and bound ({Q:.2f} of them)", lambda d: f"{d.mean_z_error:.3f}, {Q * d.mean_z_error:.3f}"
    )
    both("slope of distance on path", lambda d: f"{d.slope:.4f}")
    both(
        f"its standard error, and bound of its distance from 1 ({Q:.2f} of them)",
        lambda d: f"{d.slope_error:.4f}, {Q * d.slope_error:.4f}",
    )
    both("mean of distance / path sum", lambda d: f"{np.mean(d.distance / d.path):.4f}")
    both("largest bias of the estimator itself, in standard errors", lambda d: f"{d.bias:.3f}")

    z_wag = judge(wag, tree, leaves, tree.path)
    (pooled_wag, pooled_wag_p), (worst_wag, worst_wag_p), _ = frequencies(wag, tree, leaves)
    check(
        abs(wrong_length.mean_z) > Q * wrong_length.mean_z_error,
        f"negative control: branches {STRETCH - 1:.0%} longer were not noticed (mean of z {wrong_length.mean_z:.3f})",
    )
    check(
        abs(longer.mean_z) < Q * longer.mean_z_error,
        f"the sequences of the negative control fail with the right branches too: mean of z {longer.mean_z:.3f}",
    )
    check(pooled_wag_p < P_BOUND, f"negative control: frequencies of WAG were not noticed (p {pooled_wag_p:.1e})")
    check(
        abs(z_wag.mean_z) > Q * z_wag.mean_z_error or np.max(np.abs(z_wag.z)) > PAIR_BOUND,
        f"negative control: distances under WAG were not noticed (mean of z {z_wag.mean_z:.3f})",
    )
    control_rows = [
        ["wrong on purpose", "number", "bound", "right"],
        [
            f"branches 3 % longer, {wrong_length.sites:,} sites",
            f"mean of z {wrong_length.mean_z:+.3f} (expected {expected_shift(wrong_length.sites) * stationary.mean_z_error:+.3f})",
            f"{Q * wrong_length.mean_z_error:.3f}",
            f"{longer.mean_z:+.3f}",
        ],
    ]
    if long_leaves is not leaves:
        control_rows.append(
            [
                f"the same, {LENGTH:,} sites (not enough for a power of 1 - {MISSED:g}; reported)",
                f"mean of z {short_length.mean_z:+.3f} (expected {expected_shift(LENGTH) * stationary.mean_z_error:+.3f})",
                f"{Q * short_length.mean_z_error:.3f}",
                f"{stationary.mean_z:+.3f}",
            ]
        )
    control_rows += [
        ["WAG instead of LG", f"chi-square of all leaves {pooled_wag:,.0f}", f"p = {P_BOUND:.1e}", f"{pooled:.1f}"],
        [
            "WAG instead of LG",
            f"largest z {z_wag.z[np.argmax(np.abs(z_wag.z))]:+.2f}, mean of z {z_wag.mean_z:+.3f}",
            f"5, {Q * z_wag.mean_z_error:.3f}",
            f"{stationary.z[np.argmax(np.abs(stationary.z))]:+.2f}, {stationary.mean_z:+.3f}",
        ],
    ]

    text = "\n\n".join(
        [
            f"A tree of {LEAVES} leaves (seed {TREE_SEED}), {tree.total:.2f} expected substitutions a site in all; path sums of the {pairs:,} pairs from {tree.path.min():.3f} to {tree.path.max():.3f}, "
            f"median {np.median(tree.path):.2f}. Family error {FAMILY_ERROR:g} over {len(TESTS)} numbers: p = {P_BOUND:.1e} each, {Q:.2f} standard errors. "
            f"{PAIR_BOUND} standard errors for each pair: at most {2 * pairs * 2 * NormalDist().cdf(-PAIR_BOUND):.1e} for a false alarm among the pairs of both runs.",
            table(rows),
            f"The real root: the first {used} sequences of `examples/data/kunitz.fasta` without gaps, {len(root):,} residues. Its composition is not LG's, so estimates under LG do not tend to the path "
            f"sums exactly, but to values that follow from the composition: {100 * np.min(target / tree.path - 1):+.1f} to {100 * np.max(target / tree.path - 1):+.1f} % off, {off.min():+.2f} to {off.max():+.2f} standard errors, "
            f"{off.mean():+.2f} in the mean. Mean of z and slope are judged against those values, single distances against the path sums (whose mean of z is {np.mean(real.z):+.3f}).",
            f"Stationary frequencies, stationary root: chi-square of the mean over the leaves {pooled:.1f} with 19 degrees of freedom, p = {pooled_p:.2f}; of the worst of {LEAVES} leaves {worst:.1f}, p = {worst_p:.2f} "
            f"(times {LEAVES}). Largest difference of a frequency from LG's: {np.max(np.abs(shares - lg.pi)):.1e}.",
            "Negative controls:",
            table(control_rows),
        ]
    )
    if again:
        means, slopes = np.array([d.mean_z for d in again]), np.array([d.slope for d in again])
        text += (
            f"\n\n{len(again)} more runs with other seeds: the mean of z has mean {means.mean():+.3f} and standard deviation {means.std(ddof=1):.3f} (derived: {stationary.mean_z_error:.3f}); "
            f"the slope {slopes.mean():.4f} and {slopes.std(ddof=1):.4f} (derived: {stationary.slope_error:.4f}); the largest |z| of a pair lies between "
            f"{min(np.max(np.abs(d.z)) for d in again):.2f} and {max(np.max(np.abs(d.z)) for d in again):.2f}."
        )
    print(text)
    if options.write:
        replace_between(options.write / "validation.md", "lg_tree", text)
    for problem in problems:
        print(f"lg_tree.py: {problem}", file=sys.stderr)
    print("failed" if problems else "passed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
