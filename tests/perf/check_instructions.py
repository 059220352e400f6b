# SPDX-License-Identifier: BSD-3-Clause
"""Instructions that a step of the library executes for each site, counted by callgrind, against budgets.

    check_instructions.py SOURCE WORK [-D... for CMake] [--write]

Timings are noisy where machines are shared; counts are the same in every run of the same binary. The bench is built anew in
WORK for x86-64-v2, so that counts do not depend on this machine's processor (and since valgrind knows no AVX-512). Between
STEPS and 3 STEPS everything but the steps cancels. A count above its budget in instructions.json fails; one far below
should lower it: --write sets every budget to 3 % above what was counted. Skipped (77) without valgrind. Budgets are of g++ 12: CMake registers the test for it alone.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

STEPS, ROOM, SLACK = 2, 1.03, 0.85


def main():
    source, work, write = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), "--write" in sys.argv
    try:
        subprocess.run(["valgrind", "--version"], check=True, capture_output=True)
    except OSError:
        print("skipped: no valgrind")
        return 77
    off = [a for a in sys.argv[3:] if a.startswith("-D")] + [f"-DSALTUS_{name}=OFF" for name in ("BUILD_APPS", "BUILD_EXAMPLES", "NATIVE", "TORCH", "MPI")]
    subprocess.run(["cmake", "-S", source, "-B", work, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS=-march=x86-64-v2",
                    "-DCMAKE_CXX_FLAGS_RELEASE=-O3 -DNDEBUG", "-DSALTUS_BUILD_TESTS=ON", *off], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", work, "--target", "saltus_instruction_bench"], check=True, stdout=subprocess.DEVNULL)
    bench = work / "tests/perf/instruction_bench"
    cases = subprocess.run([bench], check=True, capture_output=True, text=True).stdout.split()

    def instructions(case, steps):
        done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", bench, case, str(steps)], check=True,
                              capture_output=True, text=True,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})  # other threads would wait, by looking again and again
        return int(re.search(r"Collected : (\d+)", done.stderr).group(1)), int(done.stdout)

    counts = {}
    for case in cases:
        (few, sites), (many, _) = instructions(case, STEPS), instructions(case, 3 * STEPS)
        counts[case] = (many - few) / (2 * STEPS) / sites
    path = source / "tests/perf/instructions.json"
    if write:
        path.write_text(json.dumps({case: round(ROOM * n, 1 if n < 1e4 else None) for case, n in counts.items()}, indent=2) + "\n")
    budgets = json.loads(path.read_text())
    failed = set(counts) != set(budgets)
    print(f"{'instructions a site':40}{'counted':>12}{'budget':>12}")
    for case, n in counts.items():
        budget = budgets.get(case, 0)
        note = "  OVER ITS BUDGET" if n > budget else "  far below: lower the budget (--write)" if n < SLACK * budget else ""
        failed = failed or n > budget
        print(f"{case:40}{n:12.1f}{budget:12.1f}{note}")
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
