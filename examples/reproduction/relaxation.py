#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Disturbed starts (Fu et al. 2025, Eqs 9-10 and Table 5): what the share of disturbed sites does to learned factors.

    python3 examples/reproduction/relaxation.py --data FOLDER [--only countdown,qm9] [--work results/relaxation] [--page docs/reproduction/relaxation.md]
        [--samples 2048]

Factors are learned by lsd:mode=paper for Euler steps, with 0, 1, 5, 10 and 20 % of the sites disturbed and with the share that
--relax auto chooses, and judged as in countdown.py and networks.py: the share of transitions of the countdown that break its
rule, and the share of valid molecules of qm9. Intervals are of 95 %, over sequences and over three seeds of learning. A run that
was cut short goes on where it was. Needs NumPy, and RDKit where saltus looks for it.
"""

import argparse
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import cells
import countdown
import shipped

SHARES = ["0", "0.01", "0.05", "0.1", "0.2", "auto"]
SEEDS = [1, 2, 3]
BUDGETS = {"countdown": [8, 32], "qm9": [8]}
NOISE = {"countdown": ["--noise", "log_linear"], "qm9": []}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, help="for qm9")
    parser.add_argument("--only", default="countdown,qm9")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("results/relaxation"))
    parser.add_argument("--page", type=pathlib.Path, default=pathlib.Path("docs/reproduction/relaxation.md"))
    parser.add_argument("--samples", type=int, default=2048, help="for each seed of learning")
    parser.add_argument("--trajectories", type=int, default=128)
    parser.add_argument("--saltus", default="build/release/apps/saltus")
    options = parser.parse_args()
    store = cells.Cells(options.work, options.saltus)

    def cell(model, share, budget, seed):
        """Share of errors (countdown) or of valid molecules, its standard error, and the factors."""
        process = ["--model", model, *NOISE[model]]
        schedule = options.work / f"{model}-{share}-{budget}-{seed}.json"

        def compute():
            arguments = ["--integrator", "euler", "--steps", budget]
            phi = None
            if share != "plain":
                about = store.distill(schedule, *process, "--method", "lsd:mode=paper", "--base", "euler", "--nfe", budget, "--teacher-steps", 256,
                                      "--trajectories", options.trajectories, "--sweeps", 1, "--relax", share, "--seed", seed)
                arguments, phi = ["--schedule", schedule], about["phi"]
            if model == "countdown":
                out = options.work / "samples.txt"
                store.run("sample", *process, "--samples", options.samples, "--out", out, "--seed", 6 + seed, "--quiet", *arguments)
                got = countdown.errors(out)
                return {"value": got["rate"], "error": got["error"], "phi": phi}
            got = shipped.judge(store.run, model, arguments, options.samples, options.data, options.work, seed=6 + seed)
            valid = got["rows"]["valid"]["samples"]["value"]
            return {"value": valid, "error": math.sqrt(valid * (1 - valid) / options.samples), "phi": phi}

        return store.cell(f"{model} {share} {budget} {seed} {options.samples} {options.trajectories}", compute)

    def shown(model, share, budget):
        got = [cell(model, share, budget, seed) for seed in SEEDS]
        mean, spread = cells.mean_and_error([g["value"] for g in got])
        within = math.sqrt(math.fsum(g["error"] ** 2 for g in got)) / len(got)
        return cells.interval(mean, max(spread, within), 2, 100)

    def factors(model, share, budget):
        return ", ".join(f"{p:.3g}" for p in cell(model, share, budget, SEEDS[0])["phi"])

    lines = ["<!-- SPDX-License-Identifier: BSD-3-Clause -->", "# Disturbed starts", "",
             f"Made by examples/reproduction/relaxation.py with {len(SEEDS)} schedules a cell and {options.samples} sequences of each; see "
             "[reproduction](../reproduction.md). Intervals of 95 %: the larger of what the sequences and what the schedules give."]
    for model, what in (("countdown", "Countdown: per cent of transitions that break the rule"),
                        ("qm9", "QM9: per cent of valid molecules (of 22 sites 1 % is none)")):
        if model not in options.only.split(","):
            continue
        budgets = BUDGETS[model]
        lines += ["", f"## {what}", "",
                  *cells.table(["disturbed", *(f"{b} evaluations" for b in budgets), f"factors at {budgets[0]}"],
                               [["no factors", *(shown(model, "plain", b) for b in budgets), ""]]
                               + [[share if share == "auto" else f"{100 * float(share):g} %", *(shown(model, share, b) for b in budgets),
                                   factors(model, share, budgets[0])] for share in SHARES])]
    cells.write_page(options.page, lines)


if __name__ == "__main__":
    main()
