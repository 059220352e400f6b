#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Learned samplers for the networks that come with the program: molecules, proteins and text.

    python3 examples/reproduction/networks.py --data FOLDER [--work results/networks] [--out docs/reproduction]
        [--only qm9,kunitz,...] [--budgets 8,16,32,64] [--precision bf16]

FOLDER holds the unpacked data as for examples/backbones/measure.py. For every network the plain methods, the schedules learned by
every method and the teacher (tweedie, 256 evaluations) draw 2,000 sequences a cell, and 10,000 at 8 evaluations, which 'saltus
evaluate' judges by the domain's own numbers, by a judge that the generator never saw, and by entropy. The gap between plain Euler
and the teacher that a method closes is given for the first column. Since a judge finds samples of low entropy likely, whatever
they are worth, a last table holds every method at 8 evaluations against plain Euler steps at the temperature that has its
entropy. A run that was cut short goes on where it was. Standard library only; validity of molecules needs RDKit where saltus
looks for it.
"""

import argparse
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import cells
import shipped

# What the gap is measured by, after a change of scale in which a linear gap makes sense.
SCALE = {"valid": lambda v: v, "pair_r": lambda v: v, "judge_perplexity": math.log}

NAMES = str.maketrans(":,=", "___")  # in names of files
# Methods without learning, and at which temperature. The last of each gives up the teacher's law for what judges like: with a mask
# the surest sites, with MaskGIT's temperature of the choice, without one sharper tokens.
MASKED_PLAIN = [(method, 1) for method in ("euler", "tau_leaping", "tweedie", "fixed_count", "tweedie_trapezoidal", "tweedie_trapezoidal:counts=fixed",
                                           "top_k:noise=4.5")]
OTHER_PLAIN = [("euler", 1), ("tau_leaping", 1), ("exponential", 1), ("tweedie", 1), ("theta_trapezoidal", 1), ("tweedie", 0.6)]
TEMPERATURES = [0.7, 0.8, 0.9, 1, 1.1]
SHARPEST = [0.4, 0.5, 0.6]  # without a mask, so that the curve reaches the entropy of the row at 0.6
MATCHED_BUDGET = 8
# Networks of text are large: beyond 8 evaluations they learn from fewer trajectories.
TEXT_TRAJECTORIES = 64
# Golden sections ask the network hundreds of times for every step.
JYS_TRAJECTORIES = 64
LEARNED = [  # label, method, base, what of a network it needs
    ("JYS", "jys:refine=2", "euler", ""),
    ("LSD, paper", "lsd:mode=paper", "euler", ""),
    ("LSD, code", "lsd:mode=code", "euler", ""),
    ("LSD, block", "lsd", "euler", ""),
    ("LSD, block, tweedie", "lsd", "tweedie", ""),
    ("LSD, block, trapezoidal", "lsd", "tweedie_trapezoidal", "timeless mask"),
    ("LSD+, euler, paths", "lsd_plus:estimate=paths", "euler", "timeless mask"),
    ("LSD+, euler", "lsd_plus", "euler", "timeless mask"),
    ("LSD+, exponential", "lsd_plus", "exponential", ""),
    ("LSD+, euler", "lsd_plus", "euler", "no mask"),
    ("LSD+, tweedie", "lsd_plus", "tweedie", "no mask"),
    ("LSD+, first jumps, exponential", "lsd_plus:objective=girsanov", "exponential", "no mask"),
    ("LSD, state", "lsd_state", "euler", ""),
    ("LSD, temperature", "lsd_temperature", "euler", "mask"),
    ("blocks", "blocks", "fixed_count", "timeless mask"),
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
    parser.add_argument("--precision", default="fp32", help="of the networks; bf16 is faster where the processor has it")
    parser.add_argument("--saltus", default="build/release/apps/saltus")
    options = parser.parse_args()
    budgets = [int(b) for b in options.budgets.split(",")]
    store = cells.Cells(options.work, options.saltus)
    for network in options.only.split(","):
        page(store, options, network, shipped.manifest(network), budgets)


def page(store, options, network, manifest, budgets):
    columns = shipped.columns(network)
    masked = bool(manifest["mask"])
    key = f"{network} {manifest['about']['quality']['valid_nats_per_sequence']:.6f} {options.precision}"
    precision = ["--precision", options.precision]

    def count(budget):
        return options.most_samples if budget == 8 else options.samples

    def trajectories(method, budget):
        if method.startswith("jys"):
            return JYS_TRAJECTORIES
        return min(options.trajectories, TEXT_TRAJECTORIES) if columns[0] == "judge_perplexity" and budget > 8 else options.trajectories

    def judged(samples, arguments):
        return shipped.judge(store.run, network, [*arguments, *precision], samples, options.data, options.work)

    def plain(method, budget, temperature=1, samples=None):
        steps = budget // (2 if "trapezoidal" in method else 1)
        samples = samples or count(budget)
        warm = [] if temperature == 1 else ["--temperature", temperature]
        return store.cell(" ".join(map(str, [key, method, budget, samples, *warm])),
                          lambda: judged(samples, ["--integrator", method, "--steps", steps, *warm]))

    def learned(method, base, budget):
        schedule = options.work / f"{network}-{method}-{base}-{budget}.json".translate(NAMES)
        learn_from = trajectories(method, budget)

        def compute():
            about = store.distill(schedule, "--model", network, "--method", method, "--base", base, "--nfe", budget, "--teacher-steps", 256,
                                  "--trajectories", learn_from, "--sweeps", options.sweeps, *precision)
            return {**judged(count(budget), ["--schedule", schedule]), "before": about.get("path_kl_before"), "after": about.get("path_kl_after"),
                    "phi": about.get("phi")}

        return store.cell(f"{key} {method} {base} {budget} {count(budget)} {learn_from} {options.sweeps}", compute)

    scale = SCALE[columns[0]]
    few = trajectories("lsd", max(budgets))
    lines = ["<!-- SPDX-License-Identifier: BSD-3-Clause -->", f"# Learned samplers for {network}", "",
             f"Made by examples/reproduction/networks.py --precision {options.precision}; see [reproduction](../reproduction.md). "
             f"{options.samples} sequences a row, {options.most_samples} at 8 evaluations; brackets are 95 % intervals. 'closed' is the share of the gap of {columns[0]}"
             + (" (its logarithm)" if scale is math.log else "") + " between plain Euler and the teacher (tweedie, 256 evaluations). "
             f"Learned from {options.trajectories} trajectories"
             + (f", beyond 8 evaluations {few}" if few < options.trajectories else "") + f", by JYS from {JYS_TRAJECTORIES}."]
    matched = []
    for budget in budgets:
        # Correlations of pairs grow with the number of sequences: there the teacher draws as many.
        teacher = plain("tweedie", 256, samples=count(budget) if columns[0] == "pair_r" else options.samples)
        floor, roof = (scale(cell["rows"][columns[0]]["samples"]["value"]) for cell in (plain("euler", budget), teacher))
        rows = []

        def add(label, cell):
            value = scale(cell["rows"][columns[0]]["samples"]["value"])
            closed = "" if roof == floor else f"{round((value - floor) / (roof - floor), 2) + 0:.2f}"  # + 0: no -0.00
            rows.append([label, f"{cell['nfe']:.3g}", closed, path_kl(cell), *(shipped.shown(cell, c) for c in columns)])
            if budget == MATCHED_BUDGET and label != "teacher":
                matched.append((label, cell))

        for method, temperature in MASKED_PLAIN if masked else OTHER_PLAIN:
            add(method + (f", temperature {temperature}" if temperature != 1 else ""), plain(method, budget, temperature))
        for label, method, base, needs in LEARNED:
            if method == "blocks" and budget > manifest["length"]:  # a site a block: fixed_count
                continue
            if options.methods in label and suits(manifest, base, needs):
                add(label, learned(method, base, budget))
        add("teacher", teacher)
        rows.append(["held-out data", "", "", "", *(shipped.shown(teacher, c, "held_out") for c in columns)])
        lines += ["", f"## {budget} evaluations", "", *cells.table(["sampler", "evaluations", "closed", "path KL", *columns], rows)]
    if matched:
        temperatures = TEMPERATURES if masked else [*SHARPEST, *TEMPERATURES]
        curve = sorted((entropy(cell), judge(cell), t) for t in temperatures for cell in [plain("euler", MATCHED_BUDGET, t)])
        lines += ["", f"## At matched entropy, {MATCHED_BUDGET} evaluations", "",
                  f"'Euler' is the judge's perplexity of plain Euler steps at the temperature that gives the entropy of the row, by "
                  f"interpolation between temperatures of {', '.join(map(str, temperatures))}; a ratio below 1 is a gain that no lower "
                  "temperature explains.", "",
                  *cells.table(["sampler", "sequence entropy", "judge perplexity", "Euler", "ratio"], [at_entropy(curve, *m) for m in matched])]
    cells.write_page(options.out / f"{network}.md", lines)


def suits(manifest, base, needs):
    """Whether a row of LEARNED is for a network."""
    timeless_mask = bool(manifest["mask"]) and manifest["network"]["time"] == "none"
    if needs:
        return {"timeless mask": timeless_mask, "mask": bool(manifest["mask"]), "no mask": not manifest["mask"]}[needs]
    # Steps of exponential law are biased low for masks (A§7.1).
    return not (timeless_mask and base == "exponential")



def entropy(cell):
    return cell["rows"]["sequence_entropy"]["samples"]["value"]


def judge(cell):
    return cell["rows"]["judge_perplexity"]["samples"]["value"]


def path_kl(cell):
    """Before and after; nothing for plain methods and where it is not known."""
    def number(value):
        return "infinite" if value["value"] == "infinity" else f"{value['value']:.3g}"

    return f"{number(cell['before'])} → {number(cell['after'])}" if cell.get("before") and cell.get("after") else ""


def at_entropy(curve, label, cell):
    """A row: the judge's number beside that of the curve (entropy, judge, temperature) at the entropy of the cell."""
    at = entropy(cell)
    for (low, judge_low, _), (high, judge_high, _) in zip(curve, curve[1:]):
        if low <= at <= high:
            share = (at - low) / (high - low) if high > low else 0
            plain = math.exp((1 - share) * math.log(judge_low) + share * math.log(judge_high))
            return [label, f"{at:.3f}", f"{judge(cell):.3f}", f"{plain:.3f}", f"{judge(cell) / plain:.3f}"]
    return [label, f"{at:.3f}", f"{judge(cell):.3f}", "beyond the temperatures tried", ""]


if __name__ == "__main__":
    main()
