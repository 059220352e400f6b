#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Simulates the 400-state chain of pairs of amino acids of CherryML (Prillo et al., Nat. Methods 20:1232, 2023) with all
exact methods and holds the states at t = 1 against the matrix exponential, made here from the file by scaling and
squaring. Control: the same test must reject t = 1.05. Exit code 0 or 1; 77 (skipped) without numpy or ../shared.
"""
import lzma
import math
import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy
except ImportError:
    print("skipped: numpy is missing")
    sys.exit(77)

SOURCE = pathlib.Path(os.environ.get("SALTUS_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
PROGRAM = os.environ.get("SALTUS_PROGRAM", str(SOURCE / "build/release/apps/saltus"))
PACKED = SOURCE.parent / "shared/data/proteins/rates/cherryml_coevolution400.txt.xz"
SAMPLES = 400_000


def exponential(q):
    """exp(q) by Taylor's series after halving until the norm is below 1/2; entries stay above 0 by uniformization."""
    rate = -q.diagonal().min()
    halvings = max(0, math.ceil(math.log2(2 * rate)))
    jump, step = numpy.eye(len(q)) + q / rate, rate / 2**halvings
    term, total = numpy.eye(len(q)) * math.exp(-step), numpy.zeros_like(q)
    for k in range(1, 40):
        total += term
        term = term @ jump * (step / k)
    for _ in range(halvings):
        total = total @ total
    return total


def z_of_chi_square(counts, law):
    """Wilson and Hilferty's normal deviate of Pearson's statistic, cells under 20 expected merged."""
    expected = law * counts.sum()
    order = numpy.argsort(expected)
    small = numpy.searchsorted(numpy.cumsum(expected[order]), 20) + 1
    cells = [order[:small], *([i] for i in order[small:])]
    statistic = sum((counts[c].sum() - expected[c].sum()) ** 2 / expected[c].sum() for c in cells)
    freedom = len(cells) - 1
    return ((statistic / freedom) ** (1 / 3) - 1 + 2 / (9 * freedom)) / math.sqrt(2 / (9 * freedom))


def main():
    if not PACKED.exists():
        print(f"skipped: {PACKED.name} does not lie beside the checkout")
        return 77
    text = lzma.open(PACKED, "rt").read()
    lines = text.splitlines()
    names = lines[0].split()
    q = numpy.array([[float(x) for x in line.split()[1:]] for line in lines[1:]])
    numpy.fill_diagonal(q, 0)
    numpy.fill_diagonal(q, -q.sum(axis=1))
    law = exponential(q)[names.index("AA")]
    bound = 5.0  # one normal deviate in 3.5 million lies above
    good = True
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/pairs.txt"
        pathlib.Path(path).write_text(text)
        for method, time in (("gillespie", 1), ("uniformization", 1), ("tweedie", 1), ("gillespie", 1.05)):
            subprocess.run([PROGRAM, "simulate", "--generator", path, "--start", "AA", "--times", str(time), "--samples", str(SAMPLES),
                            "--integrator", method, "--out", f"{folder}/x.npy", "--quiet"], check=True)
            counts = numpy.bincount(numpy.load(f"{folder}/x.npy").ravel(), minlength=len(names)).astype(float)
            z = z_of_chi_square(counts, law)
            right = z < bound if time == 1 else z > bound
            good &= right
            print(f"{method:15} t = {time:<5} z = {z:+.2f}  {'as it should be' if right else 'WRONG'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
