#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Learned samplers on image-like ordered states: 8 x 8 images of 16 levels from a comb-tree field (the model 'comb', exact by
message passing) under Gaussian-target rates.

    python3 examples/reproduction/images.py [--work results/images] [--page docs/reproduction/images.md]
        [--samples 50000] [--budgets 8,16,32,64]

Fréchet distance of the pixels' means and covariances (the squared 2-Wasserstein distance of the Gaussians with these moments,
the formula of FID), against the field's exact moments, and the mean total variation of neighbouring pairs. What remains for
draws of the field itself, of the same number, stands in the last row. A run that was cut short goes on where it was. Needs
NumPy.
"""

import argparse
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import cells

ROWS = COLUMNS = 8
STATES, WIDTH = 16, 1.5
NAMES = str.maketrans(":,=", "___")  # in names of files
PLAIN = ["euler", "tau_leaping", "tweedie"]
LEARNED = [  # label, method, base
    ("JYS, Euler", "jys", "euler"),
    ("LSD, Euler", "lsd", "euler"),
    ("LSD, tau-leaping", "lsd", "tau_leaping"),
    ("LSD, paper, Euler", "lsd:mode=paper", "euler"),
    ("LSD, tweedie", "lsd", "tweedie"),
    ("LSD+, Euler", "lsd_plus", "euler"),
    ("LSD+, tau-leaping", "lsd_plus", "tau_leaping"),
    ("LSD+, tweedie", "lsd_plus", "tweedie"),
    ("LSD+, first jumps, exponential", "lsd_plus:objective=girsanov", "exponential"),
]


class Field:
    """The law of MarkovTree::comb, for exact moments and exact draws."""

    def __init__(self):
        x = np.arange(STATES)
        step = np.exp(-(x[:, None] - x[None, :]) ** 2 / (2 * WIDTH**2))
        self.step = step / step.sum(1, keepdims=True)
        self.parent = [-1 if l == 0 else l - COLUMNS if l % COLUMNS == 0 else l - 1 for l in range(ROWS * COLUMNS)]
        n = ROWS * COLUMNS
        # Laws of pairs (l, m), by the way from a common ancestor.
        self.site = [np.full(STATES, 1 / STATES)]
        for l in range(1, n):
            self.site.append(self.site[self.parent[l]] @ self.step)
        self.joint = {}
        for m in range(n):
            self.joint[m, m] = np.diag(self.site[m])
            for l in range(m):  # x_l, x_m with x_m from its parent, all earlier pairs known
                p = self.parent[m]
                both = self.joint[l, p] if l <= p else self.joint[p, l].T
                self.joint[l, m] = both @ self.step
        self.mean = np.array([p @ x for p in self.site])
        self.covariance = np.empty((n, n))
        for m in range(n):
            for l in range(m + 1):
                self.covariance[l, m] = self.covariance[m, l] = x @ self.joint[l, m] @ x - self.mean[l] * self.mean[m]

    def draw(self, count, seed):
        random = np.random.default_rng(seed)
        out = np.empty((count, ROWS * COLUMNS), dtype=np.int64)
        cumulative = self.step.cumsum(1)
        out[:, 0] = random.integers(STATES, size=count)
        for l in range(1, ROWS * COLUMNS):
            u = random.random(count)
            out[:, l] = (u[:, None] >= cumulative[out[:, self.parent[l]]]).sum(1).clip(max=STATES - 1)
        return out


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def judge(field, x):
    """Fréchet distance, with a jackknife error over 20 groups, and the mean total variation of neighbouring pairs."""

    def frechet(mean, covariance):
        half = root(field.covariance)
        cross = np.linalg.eigvalsh(half @ covariance @ half).clip(min=0)
        return float(((mean - field.mean) ** 2).sum() + np.trace(field.covariance) + np.trace(covariance) - 2 * np.sqrt(cross).sum())

    groups = np.array_split(x.astype(float), 20)
    sums = [(len(g), g.sum(0), g.T @ g) for g in groups]
    n, first, second = sum(s[0] for s in sums), sum(s[1] for s in sums), sum(s[2] for s in sums)

    def moments(n, first, second):
        mean = first / n
        return mean, (second - n * np.outer(mean, mean)) / (n - 1)

    whole = frechet(*moments(n, first, second))
    left = np.array([frechet(*moments(n - a, first - b, second - c)) for a, b, c in sums])
    error = float(np.sqrt((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum()))
    distances = []
    for l in range(ROWS * COLUMNS):
        for m in ([l + 1] if (l + 1) % COLUMNS else []) + ([l + COLUMNS] if l + COLUMNS < ROWS * COLUMNS else []):
            counts = np.bincount(x[:, l] * STATES + x[:, m], minlength=STATES**2).reshape(STATES, STATES) / len(x)
            distances.append(abs(counts - field.joint[l, m]).sum() / 2)
    return {"frechet": whole, "error": error, "pair_tv": float(np.mean(distances))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("results/images"))
    parser.add_argument("--page", type=pathlib.Path, default=pathlib.Path("docs/reproduction/images.md"))
    parser.add_argument("--samples", type=int, default=50000)
    parser.add_argument("--budgets", default="8,16,32,64")
    parser.add_argument("--trajectories", type=int, default=512)
    parser.add_argument("--saltus", default="build/release/apps/saltus")
    parser.add_argument("--noise", default="log_linear")
    options = parser.parse_args()
    budgets = [int(b) for b in options.budgets.split(",")]
    store = cells.Cells(options.work, options.saltus)
    field = Field()
    process = ["--model", "comb", "--generator", "gaussian_target", "--noise", options.noise]

    def sampled(arguments):
        out = options.work / "samples.npy"
        store.run("sample", *process, "--samples", options.samples, "--out", out, "--seed", 7, "--quiet", *arguments)
        return judge(field, np.load(out))

    def plain(method, budget):
        return store.cell(f"{options.noise} {method} {budget} {options.samples}",
                          lambda: sampled(["--integrator", method, "--steps", budget]))

    def learned(method, base, budget):
        schedule = options.work / f"{method}-{base}-{budget}.json".translate(NAMES)

        def compute():
            about = store.distill(schedule, *process, "--method", method, "--base", base, "--nfe", budget, "--teacher-steps", 256,
                                  "--trajectories", options.trajectories)
            return {**sampled(["--schedule", schedule]), "phi": about.get("phi")}

        return store.cell(f"{options.noise} {method} {base} {budget} {options.samples} {options.trajectories}", compute)

    def shown(cell):
        return f"{cells.interval(cell['frechet'], cell['error'], 3)}; {cell['pair_tv']:.4f}"

    rows = [[method, *(shown(plain(method, b)) for b in budgets)] for method in PLAIN]
    rows += [[label, *(shown(learned(method, base, b)) for b in budgets)] for label, method, base in LEARNED]
    rows.append(["teacher: tweedie, 256 steps", shown(plain("tweedie", 256)), *[""] * (len(budgets) - 1)])
    rows.append(["draws of the field", shown(store.cell(f"field {options.samples}", lambda: judge(field, field.draw(options.samples, 5)))),
                 *[""] * (len(budgets) - 1)])
    cells.write_page(options.page, [
        "<!-- SPDX-License-Identifier: BSD-3-Clause -->", "# Image-like ordered states", "",
        f"Made by examples/reproduction/images.py with {options.samples} images a cell; see [reproduction](../reproduction.md).",
        "Fréchet distance of pixel means and covariances with a 95 % interval; mean total variation of neighbouring pairs.", "",
        *cells.table(["sampler", *(f"{b} evaluations" for b in budgets)], rows)])


if __name__ == "__main__":
    main()
