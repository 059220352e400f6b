#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks the peak of memory of a run on 1 GB of stored scores: scores and tokens, whatever the number of steps.

    python3 tests/perf/check_memory.py [STEP_BENCH]

Exit code: 0 if so, 3 if not, 2 if there is nothing to check.
"""
import argparse
import json
import subprocess
import sys
from pathlib import Path

STEP_BENCH = Path(__file__).resolve().parents[2] / "build/release/tests/perf/step_bench"
STEPS = (4, 64)
OVER_NEEDED = 1.15
APART = 0.02


def stop(message):
    print(f"check_memory.py: {message}", file=sys.stderr)
    sys.exit(2)


def measure(step_bench, steps):
    command = [str(step_bench), "--cases", "none", "--memory-steps", str(steps)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            stop(f"{' '.join(command)}: code {done.returncode}")
        result = json.loads(done.stdout)
        if sorted(result) != ["memory_ratio", "peak_over_idle_kib", "scores_and_tokens_kib"]:
            stop(f"{' '.join(command)} printed {done.stdout.strip()}")
    except (OSError, ValueError) as error:
        stop(f"{' '.join(command)}: {error}")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("step_bench", nargs="?", type=Path, default=STEP_BENCH, metavar="STEP_BENCH")
    step_bench = parser.parse_args().step_bench.resolve()
    peaks, failures = [], []
    for steps in STEPS:
        result = measure(step_bench, steps)
        ratio = result["memory_ratio"]
        peaks.append(result["peak_over_idle_kib"])
        print(f"{steps} steps: peak {peaks[-1] / 1024:.1f} MiB, {ratio:.4f} of scores and tokens")
        # Far below 1 the measurement is broken: the scores themselves must show.
        if not 0.9 <= ratio <= OVER_NEEDED:
            failures.append(f"{steps} steps need {ratio:.4f} times the scores and tokens (at most {OVER_NEEDED})")
    if abs(peaks[1] / peaks[0] - 1) > APART:
        failures.append(f"the peak changes by {100 * (peaks[1] / peaks[0] - 1):.1f} % with the number of steps")
    for failure in failures:
        print(f"check_memory.py: {failure}", file=sys.stderr)
    return 3 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
