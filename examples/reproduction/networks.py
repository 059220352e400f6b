#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Learned samplers for the networks that come with the program: molecules, proteins and text.

    python3 examples/reproduction/networks.py --data FOLDER [--work results/networks] [--out docs/reproduction]
        [--only qm9,kunitz,...] [--budgets 8,16,32,64]

FOLDER holds the unpacked data as for examples/backbones/measure.py. For every network the plain methods, the schedules learned by
every method and the teacher (tweedie, 256 evaluations) draw 2,000 sequences a cell, and 10,000 at 8 evaluations, which 'saltus
evaluate' judges by the domain's own numbers, by a judge that the generator never saw, and by entropy. The gap between plain Euler
and the teacher that a method closes is given for the first column. A run that was cut short goes on where it was. Standard library
only; validity of molecules needs RDKit where saltus looks for it.
"""

import argparse
import json
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import cells
import shipped

# What the gap is measured by, after a change of scale in which a linear gap makes sense.
SCALE = {"valid": lambda v: v, "pair_r": lambda v: v, "judge_perplexity": math.log}

NAMES = str.maketrans(":,=", "___")  # in names of files
MASKED_PLAIN = ["euler", "tweedie", "fixed_count", "tweedie_trapezoidal"]
OTHER_PLAIN = ["euler", "tweedie", "theta_trapezoidal"]
LEARNED = [  # label, method, base, for masked models without time only
    ("JYS", "jys", "euler", False),
    ("LSD, paper", "lsd:mode=paper", "euler", False),
    ("LSD, code", "lsd:mode=code", "euler", False),
    ("LSD, block", "lsd", "euler", False),
    ("LSD, block, tweedie", "lsd", "tweedie", False),
    ("LSD+, euler", "lsd_plus", "euler", True),
    ("LSD+, exponential", "lsd_plus", "exponential", False),
    ("LSD, state", "lsd_state", "euler", False),
    ("LSD, temperature", "lsd_temperature", "euler", False),
    ("blocks", "blocks", "fixed_count", True),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("results/networks"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/reproduction"))
    parser.add_argument("--only", default=",".join(shipped.SETS))
    parser.add_argument("--budgets", default="8,16,32,64")
    parser.add_argument("--methods", default="", help="only learned methods whose label holds this text")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--most-samples", type=int, default=10000, help="at 8 evaluations")
    parser.add_argument("--trajectories", type=int, default=256)
    parser.add_argument("--sweeps", type=int, default=2)
    parser.add_argument("--saltus", default="build/release/apps/saltus")
    options = parser.parse_args()
    budgets = [int(b) for b in options.budgets.split(",")]
    store = cells.Cells(options.work, options.saltus)
    for network in options.only.split(","):
        manifest = shipped.manifest(network)
        if manifest:
            page(store, options, network, manifest, budgets)


def page(store, options, network, manifest, budgets):
    columns = shipped.columns(network)
    masked, timed = bool(manifest["mask"]), manifest["network"]["time"] != "none"
    key = f"{network} {manifest['about']['quality']['valid_nats_per_sequence']:.6f}"

    def count(budget):
        return options.most_samples if budget == 8 else options.samples

    def judged(budget, arguments):
        return shipped.judge(store.run, network, arguments, count(budget), options.data, options.work)

    def plain(method, budget):
        steps = budget // (2 if "trapezoidal" in method else 1)
        return store.cell(f"{key} {method} {budget} {count(budget)}", lambda: judged(budget, ["--integrator", method, "--steps", steps]))

    def learned(method, base, budget):
        schedule = options.work / f"{network}-{method}-{base}-{budget}.json".translate(NAMES)

        def compute():
            store.run("distill", "--model", network, "--method", method, "--base", base, "--nfe", budget, "--teacher-steps", 256,
                      "--trajectories", options.trajectories, "--sweeps", options.sweeps, "--out", schedule, "--quiet")
            about = json.loads(schedule.read_text())
            return {**judged(budget, ["--schedule", schedule]), "before": about.get("path_kl_before"), "after": about.get("path_kl_after"),
                    "phi": about.get("phi"), "learning_seconds": about.get("seconds")}

        return store.cell(f"{key} {method} {base} {budget} {count(budget)} {options.trajectories} {options.sweeps}", compute)

    scale = SCALE[columns[0]]
    teacher = plain("tweedie", 256)
    lines = ["<!-- SPDX-License-Identifier: BSD-3-Clause -->", f"# Learned samplers for {network}", "",
             f"Made by examples/reproduction/networks.py; see [reproduction](../reproduction.md). {options.samples} sequences a row, "
             f"{options.most_samples} at 8 evaluations; brackets are 95 % intervals. 'closed' is the share of the gap of {columns[0]}"
             + (" (its logarithm)" if scale is math.log else "") + " between plain Euler and the teacher (tweedie, 256 evaluations)."]
    for budget in budgets:
        floor, roof = (scale(cell["rows"][columns[0]]["samples"]["value"]) for cell in (plain("euler", budget), teacher))
        rows = []

        def add(label, cell):
            value = scale(cell["rows"][columns[0]]["samples"]["value"])
            closed = "" if roof == floor else f"{(value - floor) / (roof - floor):.2f}"
            rows.append([label, f"{cell['nfe']:.3g}", closed, *(shipped.shown(cell, c) for c in columns)])

        for method in MASKED_PLAIN if masked else OTHER_PLAIN:
            add(method, plain(method, budget))
        for label, method, base, needs_mask in LEARNED:
            if options.methods not in label or (needs_mask and (not masked or timed)):
                continue
            if masked and not timed and base == "exponential":
                continue  # biased low for masks (A§7.1)
            add(label, learned(method, base, budget))
        add("teacher", teacher)
        rows.append(["held-out data", "", "", *(shipped.shown(teacher, c, "held_out") for c in columns)])
        lines += ["", f"## {budget} evaluations", "", *cells.table(["sampler", "evaluations", "closed", *columns], rows)]
    cells.write_page(options.out / f"{network}.md", lines)


if __name__ == "__main__":
    main()
