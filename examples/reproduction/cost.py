#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Time and memory of learning a schedule of 8 evaluations from a teacher of 256, by every method.

    python3 examples/reproduction/cost.py [--networks books,qm9] [--precision bf16] [--methods "LSD, block;LSD+, euler"]
        [--work results/cost] [--page docs/reproduction/cost.md]

With the trajectories and sweeps that 'saltus distill' takes by default, and its path KLs before and after, which it computes in
the same run. Seconds of wall time on all cores; the largest memory of the process. A run that was cut short goes on where it
was. Standard library only.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import cells
import networks as experiment
import shipped


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default="books,qm9")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("results/cost"))
    parser.add_argument("--page", type=pathlib.Path, default=pathlib.Path("docs/reproduction/cost.md"))
    parser.add_argument("--precision", default="fp32", help="of the networks")
    parser.add_argument("--methods", default="", help="only learned methods with these labels, separated by ;")
    parser.add_argument("--saltus", default="build/release/apps/saltus")
    options = parser.parse_args()
    store = cells.Cells(options.work, options.saltus)

    def learn(network, method, base):
        command = [store.program, "distill", "--model", network, "--method", method, "--base", base, "--nfe", "8", "--teacher-steps", "256",
                   "--precision", options.precision, "--out", str(options.work / "schedule.json"), "--quiet"]
        (options.work / "schedule.json.partial").unlink(missing_ok=True)  # of a run that was broken off: what is timed is a whole one
        start = time.time()
        process = subprocess.Popen(command)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)}: status {status}")
        return {"seconds": time.time() - start, "megabytes": usage.ru_maxrss / 1024, "processor": usage.ru_utime + usage.ru_stime}

    lines = ["<!-- SPDX-License-Identifier: BSD-3-Clause -->", "# What learning costs", "",
             f"Made by examples/reproduction/cost.py --precision {options.precision} on {os.cpu_count()} cores; see "
             "[reproduction](../reproduction.md). A schedule of 8 evaluations from a teacher of 256 steps, path KLs before and after "
             "included."]
    for network in options.networks.split(","):
        manifest = shipped.manifest(network)
        rows = []
        for label, method, base, needs in experiment.LEARNED:
            if not experiment.suits(manifest, base, needs) or (options.methods and label not in options.methods.split(";")):
                continue
            got = store.cell(f"{network} {options.precision} {method} {base}", lambda: learn(network, method, base))
            rows.append([label, f"{got['seconds']:.0f}", f"{got['processor']:.0f}", f"{got['megabytes']:.0f}"])
        lines += ["", f"## {network}", "", *cells.table(["method", "seconds", "seconds of the processor", "megabytes"], rows)]
    cells.write_page(options.page, lines)


if __name__ == "__main__":
    main()
