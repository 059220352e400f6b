#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a learned schedule adds to the time of sampling: the same base with and without it, by turns.

    python3 tests/perf/schedule_cost.py [--rounds 5] [--models qm9,countdown] [--saltus build/release/apps/saltus]

Schedules of 8 evaluations are learned from few trajectories: what they hold does not matter here, that the steps use it
does. The time is sample_seconds of --summary, without start and model; a ratio is that of a run with the schedule by that of the
run of its base beside it, the median over rounds with the smallest and the largest. Every round also has the base twice:
the last row of a base is what two equal runs differ by. Standard library only.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

METHODS = [("euler", ["lsd", "lsd:mode=code", "lsd_plus", "jys", "lsd_state", "lsd_temperature"]), ("tweedie", ["lsd", "lsd_plus"]),
           ("tweedie_trapezoidal", ["lsd"])]
SAMPLES = {"countdown": 4000}  # no network


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", default="qm9,countdown")
    parser.add_argument("--saltus", default="build/release/apps/saltus")
    options = parser.parse_args()
    program = os.path.abspath(options.saltus)

    print("| model | base | schedule | time with / without |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models.split(","):
            for base, methods in METHODS:
                row = {}
                plain = ["--integrator", base, "--steps", "4" if "trapezoidal" in base else "8"]
                runs = {method: ["--schedule", learn(program, folder, model, base, method)] for method in methods} | {"none": plain}
                for _ in range(options.rounds):
                    for name, arguments in runs.items():
                        without = seconds(program, folder, model, plain)
                        row.setdefault(name, []).append(seconds(program, folder, model, arguments) / without)
                for name, ratios in row.items():
                    print(f"| {model} | {base} | {name} | {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) |", flush=True)


def learn(program, folder, model, base, method):
    path = pathlib.Path(folder) / f"{model}-{base}-{method.replace(':', '-')}.json"
    subprocess.run([program, "distill", "--model", model, "--method", method, "--base", base, "--nfe", "8", "--teacher-steps", "32",
                    "--trajectories", "16", "--sweeps", "1", "--quiet", "--out", path], check=True)
    return path


def seconds(program, folder, model, arguments):
    summary = pathlib.Path(folder) / "summary.json"
    subprocess.run([program, "sample", "--model", model, *arguments, "--samples", str(SAMPLES.get(model, 512)), "--out",
                    pathlib.Path(folder) / "samples.npy", "--summary", summary, "--quiet"], check=True)
    return json.loads(summary.read_text())["timings"]["sample_seconds"]


if __name__ == "__main__":
    main()
