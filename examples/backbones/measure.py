#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes the tables of docs/models.md: every shipped network at several numbers of evaluations, judged by 'saltus evaluate'.

    python3 examples/backbones/measure.py --data FOLDER --out docs/models [--only qm9,...] [--samples 2000]

FOLDER holds the unpacked data (qm9_train.smi, qm9_valid.smi, pf00014_kunitz_train.fasta, ..., books27_valid.txt). Standard
library only. The tables go to OUT/<network>.md.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile

BUDGETS = [4, 8, 16, 32, 64, 256]
METHODS = ["euler", "tweedie", "fixed_count", "tweedie_trapezoidal"]
EXACT = "first_hitting"
SETS = {
    "qm9": ("qm9", ".smi", ["--kind", "smiles"]),
    "qm9_uniform": ("qm9", ".smi", ["--kind", "smiles"]),
    "kunitz": ("pf00014_kunitz", ".fasta", []),
    "books": ("books27", ".txt", ["--windows"]),
    "books_small": ("books27", ".txt", ["--windows"]),
    "books_time": ("books27", ".txt", ["--windows"]),
}
COLUMNS = {
    "qm9": ["valid", "valid_distinct", "valid_novel", "judge_perplexity", "sequence_entropy"],
    "kunitz": ["site_r", "pair_r", "pair_slope", "judge_perplexity", "sequence_entropy"],
    "books": ["judge_perplexity", "sequence_entropy", "words_4_tv"],
}


def run(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"saltus {' '.join(map(str, arguments))}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def methods_of(manifest):
    if manifest["mask"]:
        return METHODS, EXACT
    return ["euler", "tweedie", "theta_trapezoidal"], None


def judge(program, samples, network, data, extra, work):
    stem, suffix, kind = SETS[network]
    out = work / "judged.json"
    run(program, "evaluate", "--samples", samples, "--reference", data / f"{stem}_train{suffix}",
        "--valid", data / f"{stem}_valid{suffix}", "--judge", "--json", out, *kind, *extra)
    return json.loads(out.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    parser.add_argument("--saltus", default="build/release/apps/saltus")
    options = parser.parse_args()
    program = os.path.abspath(options.saltus)
    options.out.mkdir(parents=True, exist_ok=True)
    for network in options.only.split(","):
        folder = pathlib.Path("models/backbones") / network
        if not (folder / "model.json").exists():
            continue
        manifest = json.loads((folder / "model.json").read_text())
        stem, suffix, kind = SETS[network]
        columns = COLUMNS[network.split("_")[0]]
        methods, exact = methods_of(manifest)
        rows = []
        with tempfile.TemporaryDirectory() as name:
            work = pathlib.Path(name)
            for method in ([exact] if exact else []) + methods:
                for budget in [None] if method == exact else map(int, options.budgets.split(',')):
                    samples, summary = work / f"samples{suffix}", work / "summary.json"
                    cost = 2 if "trapezoidal" in method else 1
                    steps = [] if budget is None else ["--steps", budget // cost]
                    run(program, "sample", "--model", network, "--integrator", method, *steps, "--samples", options.samples,
                        "--out", samples, "--summary", summary, "--quiet")
                    about = json.loads(summary.read_text())
                    judged = judge(program, samples, network, options.data, [], work)
                    rows.append({"method": method, "nfe": about["nfe"], "network_evaluations": about.get("network_evaluations"),
                                 "seconds": about["timings"]["sample_seconds"], "judged": judged})
                    print(network, method, budget, flush=True)
        quality = manifest["about"]["quality"]
        lines = ["<!-- SPDX-License-Identifier: BSD-3-Clause -->", f"# The network {network}: samples by method and budget", "",
                 "Made by examples/backbones/measure.py; see [models](../models.md).", "",
                 f"Bound on the validation data: {quality['valid_nats_per_sequence']:.3f} ± {quality['standard_error']:.3f} nats a sequence, "
                 f"{quality['valid_nats_per_token']:.4f} a token. {options.samples} samples a row.", "",
                 "| method | evaluations | of the network | " + " | ".join(columns) + " |", "|---" * (3 + len(columns)) + "|"]
        def cell(judged, column, which):
            row = next((r for r in judged["rows"] if r["measure"] == column), None)
            value = row and row.get(which)
            return "" if not value or value.get("value") is None else f"{value['value']:.3f}"
        for row in rows:
            used = row["network_evaluations"]
            lines.append(f"| {row['method']} | {row['nfe']:.4g} | {'' if used is None else f'{used:.3g}'} | "
                         + " | ".join(cell(row["judged"], c, "samples") for c in columns) + " |")
        lines.append("| held-out data | | | " + " | ".join(cell(rows[0]["judged"], c, "held_out") for c in columns) + " |")
        (options.out / f"{network}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
