#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Ranks x threads: the same run (strong scaling) and runs that grow with the workers (weak scaling), by turns.

    python3 tests/perf/scaling.py [--rounds 3] [--saltus build/release/apps/saltus] [--mpirun mpirun] [--network qm9]

Speedups are medians over rounds of the time of one worker by that of the others, with the smallest and the largest; the time
is that of sampling (sample_seconds of --summary), without start and model. Also what ranks send: bytes a sample, and how long
a rank takes for them. Standard library only.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

WORKERS = [(1, 1), (1, 2), (2, 1)]  # ranks, threads
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", 
               "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--saltus", default="build/release/apps/saltus")
    parser.add_argument("--mpirun", default="mpirun")
    parser.add_argument("--network", default="qm9")
    options = parser.parse_args()
    program = os.path.abspath(options.saltus)
    cases = [("chain of 53 sites, exact", ["--model", "chain", "--data", "examples/data/kunitz.fasta", "--integrator", "gillespie"], 40000),
             ("countdown, 256 sites, 32 steps", ["--model", "countdown", "--steps", "32"], 8000)]
    if options.network:
        cases.append((f"network {options.network}, 16 steps", ["--model", options.network, "--steps", "16"], 512))

    with tempfile.TemporaryDirectory() as folder:
        summary = pathlib.Path(folder) / "summary.json"

        def seconds(arguments, samples, ranks, threads):
            command = [program, "sample", *arguments, "--samples", str(samples), "--threads", str(threads), "--out",
                       str(pathlib.Path(folder) / "samples.npy"), "--summary", str(summary), "--quiet"]
            if ranks > 1:
                command = [options.mpirun, "-n", str(ranks), *command]
            subprocess.run(command, check=True, env=ENVIRONMENT)
            return json.loads(summary.read_text())["timings"]["sample_seconds"]

        rows = {}
        for _ in range(options.rounds):
            for name, arguments, samples in cases:
                for workers in WORKERS:
                    ranks, threads = workers
                    rows.setdefault((name, "strong", workers), []).append(seconds(arguments, samples, ranks, threads))
                    if workers != (1, 1):
                        rows.setdefault((name, "weak", workers), []).append(seconds(arguments, samples * ranks * threads, ranks, threads))
    print("| run | ranks x threads | strong: speedup | weak: efficiency |\n|---|---|---|---|")
    for name, _, samples in cases:
        one = rows[name, "strong", (1, 1)]
        print(f"| {name} | 1 x 1 | 1 ({samples / statistics.median(one):.3g} samples/s) | 1 |")
        for workers in WORKERS[1:]:
            strong = [a / b for a, b in zip(one, rows[name, "strong", workers])]
            weak = [a / b for a, b in zip(one, rows[name, "weak", workers])]
            print(f"| {name} | {workers[0]} x {workers[1]} | {spread(strong)} | {spread(weak)} |")


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
