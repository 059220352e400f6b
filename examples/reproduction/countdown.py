#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Learned samplers on the countdown of JYS and LSD (A§13.7), with exact posteriors and with a small trained network.

    python3 examples/reproduction/countdown.py [--work results/countdown] [--page docs/reproduction/countdown.md]
        [--network FOLDER] [--samples 2048] [--network-samples 512] [--budgets 8,16,32,64]

Every transition is counted: x > 0 must be followed by x - 1, and 0 may be followed by anything. The page gives the share of
transitions that break the rule with a 95 % interval over sequences, and for every schedule the computed path KL relative to the
teacher. The network is trained by 'examples/reproduction/train_countdown.sh'. A run that was cut short goes on where it was.
Needs NumPy.
"""

import argparse
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import cells

NAMES = str.maketrans(":,=", "___")  # in names of files
PLAIN = ["euler", "tweedie", "tau_leaping", "fixed_count"]
LEARNED = [  # label, method, base
    ("JYS", "jys", "euler"),
    ("LSD, paper", "lsd:mode=paper", "euler"),
    ("LSD, paper, gKL", "lsd:mode=paper,distance=gkl", "euler"),
    ("LSD, code", "lsd:mode=code", "euler"),
    ("LSD, block", "lsd", "euler"),
    ("LSD+, paths", "lsd_plus:estimate=paths", "euler"),
    ("LSD+", "lsd_plus", "euler"),
    ("LSD, state", "lsd_state", "euler"),
    ("blocks", "blocks", "fixed_count"),
]


def errors(path):
    """Mean and standard error over sequences of the share of transitions that break the rule."""
    x = np.loadtxt(path, dtype=int)  # numbers, where the tokens of a network are in another order
    wrong = (x[:, :-1] > 0) & (x[:, 1:] != x[:, :-1] - 1)
    per = wrong.mean(axis=1)
    return {"rate": float(per.mean()), "error": float(per.std(ddof=1) / np.sqrt(len(per))),
            "entropy": float(token_entropy(x))}


def token_entropy(x):
    p = np.bincount(x.ravel()) / x.size
    p = p[p > 0]
    return -(p * np.log(p)).sum()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("results/countdown"))
    parser.add_argument("--page", type=pathlib.Path, default=pathlib.Path("docs/reproduction/countdown.md"))
    parser.add_argument("--network", help="folder of the trained network")
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--network-samples", type=int, default=512)
    parser.add_argument("--budgets", default="8,16,32,64")
    parser.add_argument("--trajectories", type=int, default=256)
    parser.add_argument("--network-trajectories", type=int, default=64)
    parser.add_argument("--precision", default="bf16", help="of the network")
    parser.add_argument("--sweeps", type=int, default=2)
    parser.add_argument("--saltus", default="build/release/apps/saltus")
    options = parser.parse_args()
    budgets = [int(b) for b in options.budgets.split(",")]
    store = cells.Cells(options.work, options.saltus)

    def settings(model):
        """Of a cell: what its key says of the model, the model and its process, sequences and trajectories."""
        if model == "countdown":
            return model, ["--model", model, "--noise", "log_linear"], options.samples, options.trajectories
        name = f"{pathlib.Path(model).name} {options.precision}"
        return name, ["--model", model, "--precision", options.precision], options.network_samples, options.network_trajectories

    def sampled(model, arguments):
        _, process, samples, _ = settings(model)
        out = options.work / f"{pathlib.Path(model).name}.txt"
        store.run("sample", *process, "--samples", samples, "--out", out, "--seed", 7, "--quiet", *arguments)
        return errors(out)

    def plain(model, method, budget):
        name, _, samples, _ = settings(model)
        return store.cell(f"{name} {method} {budget} {samples}",
                          lambda: sampled(model, ["--integrator", method, "--steps", budget]))

    def learned(model, method, base, budget):
        schedule = options.work / f"{pathlib.Path(model).name}-{method}-{budget}.json".translate(NAMES)
        name, process, samples, trajectories = settings(model)

        def compute():
            # Steps of tweedie make impossible sequences now and then, which no student can be near; exact paths are none.
            teacher = ["--teacher", "first_hitting"] if method.split(":")[0] in ("lsd_plus", "jys", "blocks") else []
            about = store.distill(schedule, *process, *teacher, "--method", method, "--base", base, "--nfe", budget,
                                  "--teacher-steps", 256, "--trajectories", trajectories, "--sweeps", options.sweeps)
            got = sampled(model, ["--schedule", schedule])
            return {**got, "before": about.get("path_kl_before"), "after": about.get("path_kl_after"), "phi": about.get("phi")}

        return store.cell(f"{name} {method} {base} {budget} {samples} {trajectories} {options.sweeps}", compute)

    def kl(value):
        if not value:
            return ""
        return "infinite" if value["value"] == "infinity" else cells.interval(value["value"], value["error"], 2)

    lines = ["<!-- SPDX-License-Identifier: BSD-3-Clause -->", "# Countdown", "",
             f"Made by examples/reproduction/countdown.py with {options.samples} sequences a cell"
             + (f", of the trained network {options.network_samples} in {options.precision}, learned from {options.network_trajectories} trajectories" if options.network else "") + "; see [reproduction](../reproduction.md).",
             "Per cent of transitions that break the rule, with 95 % intervals over sequences; path KL relative to the teacher "
             "in nats a sequence: tweedie with 256 steps, for JYS, LSD+ and blocks exact paths (256 steps of tweedie make impossible "
             "sequences now and then, which no student can be near)."]
    for model in ["countdown"] + ([options.network] if options.network else []):
        name, _, samples, _ = settings(model)
        exact = store.cell(f"{name} first_hitting {samples}", lambda: sampled(model, ["--integrator", "first_hitting"]))
        rows = []
        for method in PLAIN:
            rows.append([method, *(rate(plain(model, method, b)) for b in budgets)])
        for label, method, base in LEARNED:
            rows.append([label, *(rate(learned(model, method, base, b)) for b in budgets)])
        lines += ["", "## " + ("Exact posteriors" if model == "countdown" else "A trained network"), "",
                  *cells.table(["per cent wrong", *map(str, budgets)], [*rows, ["exact sampler", rate(exact), *[""] * (len(budgets) - 1)]]), "",
                  *cells.table(["path KL", *map(str, budgets)],
                               [["euler (before)", *(kl(learned(model, "lsd", "euler", b)["before"]) for b in budgets)]]
                               + [[label, *(kl(learned(model, method, base, b)["after"]) for b in budgets)] for label, method, base in LEARNED])]
    cells.write_page(options.page, lines)


def rate(cell):
    return cells.interval(cell["rate"], cell["error"], 2, 100)


if __name__ == "__main__":
    main()
