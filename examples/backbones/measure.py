#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes the tables of docs/models: every shipped network at several numbers of evaluations, judged by 'saltus evaluate'; and the
table of all networks in docs/models.md.

    python3 examples/backbones/measure.py --data FOLDER [--out docs/models] [--work results/models] [--only qm9,...]

FOLDER holds the unpacked data (qm9_train.smi, qm9_valid.smi, pf00014_kunitz_train.fasta, ..., books27_valid.txt). A run that was
cut short goes on where it was. Standard library only; validity of molecules needs RDKit where saltus looks for it.
"""

import argparse
import json
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import cells
import fitted_chain
import shipped

BUDGETS = [4, 8, 16, 32, 64, 256]

def runs_of(manifest, budgets):
    """(label, integrator, steps, budget) of every row; steps None: as many as the method's events need."""
    masked, length, timed = bool(manifest["mask"]), manifest["length"], manifest["network"]["time"] != "none"
    rows = []
    if masked and not timed:
        rows += [("exact", f"first_hitting:calls={b}", None, b) for b in budgets if b < length]
        rows.append(("exact", "first_hitting", None, length))
    methods = ["euler", "tweedie", "fixed_count", "tweedie_trapezoidal"] if masked else ["euler", "tweedie", "theta_trapezoidal"]
    for method in methods:
        cost = 2 if "trapezoidal" in method else 1
        rows += [(method, method, b // cost, b) for b in budgets]
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default="docs/models")
    parser.add_argument("--work", type=pathlib.Path, default="results/models")
    parser.add_argument("--only", default=",".join(shipped.SETS))
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    parser.add_argument("--saltus", default="build/release/apps/saltus")
    options = parser.parse_args()
    budgets = [int(b) for b in options.budgets.split(",")]
    for network in filter(None, options.only.split(",")):
        manifest = shipped.manifest(network)
        columns = shipped.columns(network)
        quality = manifest["about"]["quality"]
        bound = quality["valid_nats_per_sequence"]
        store = cells.Cells(options.work, options.saltus)
        rows, held_out = [], None
        for label, integrator, steps, budget in runs_of(manifest, budgets):
            arguments = ["--integrator", integrator, *([] if steps is None else ["--steps", steps])]
            got = store.cell(f"{network} {bound:.6f} {integrator} {steps} {options.samples}",
                             lambda: shipped.judge(store.run, network, arguments, options.samples, options.data, options.work))
            used = got["network_evaluations"]
            rows.append([label, f"{got['nfe']:.4g}", "" if used is None else f"{used:.3g}",
                         *(shipped.shown(got, c) for c in columns)])
            held_out = [shipped.shown(got, c, "held_out") for c in columns]
        cells.write_page(options.out / f"{network}.md", [
            "<!-- SPDX-License-Identifier: BSD-3-Clause -->", f"# The network {network}: samples by method and budget", "",
            "Made by examples/backbones/measure.py; see [models](../models.md).", "",
            f"Bound on the validation data: {bound:.3f} ± {1.96 * quality['standard_error']:.3f} nats a sequence, "
            f"{quality['valid_nats_per_token']:.4f} a token. {options.samples} samples a row; brackets are 95 % intervals. "
            "'of the network' counts rows that were evaluated, which are fewer where they did not change.", "",
            *cells.table(["method", "evaluations", "of the network", *columns],
                         [*rows, ["held-out data", "", "", *held_out]])])
    summary(options)


def parameters(network):
    """How many numbers the weights hold."""
    with open(pathlib.Path("models/backbones") / network / "weights.safetensors", "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(t["shape"]) for name, t in header.items() if name != "__metadata__")


def summary(options):
    """Puts the table of all networks between the two marks of docs/models.md."""
    store, rows = cells.Cells(options.work, options.saltus), []
    for network, (stem, suffix, kind) in shipped.SETS.items():
        manifest = shipped.manifest(network)
        about = manifest["about"]
        windows = manifest["length"] if "--windows" in kind else 0
        chain = store.cell(f"chain {stem} {windows}", lambda: fitted_chain.bound(
            options.data / f"{stem}_train{suffix}", options.data / f"{stem}_valid{suffix}", "smiles" in kind, windows))
        quality = about["quality"]
        rows.append([f"[`{network}`](models/{network}.md)", about["training"]["loss"] if manifest["mask"] else "uniform",
                     manifest["length"], f"{parameters(network) / 1e6:.2f} million", f"{about['training']['steps']}, {about['training']['minutes']:.0f} min",
                     cells.interval(quality["valid_nats_per_sequence"], quality["standard_error"], 2), cells.interval(*chain, 2)])
    page = options.out.parent / "models.md"
    text = page.read_text()
    begin, end = "<!-- begin of the table -->\n", "<!-- end of the table -->"
    head, rest = text.split(begin)
    table = cells.table(["network", "loss", "sites", "parameters", "steps, time", "bound on the validation data, nats", "fitted chain there"], rows)
    cells.write_page(page, [head + begin + "\n".join(table), end + rest.split(end)[1].rstrip("\n")])


if __name__ == "__main__":
    main()
