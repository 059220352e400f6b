#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Time to compile a file that includes <saltus/saltus.hpp>, beside one that includes Kokkos_Core.hpp alone.

    python3 tests/perf/compile_time.py [--rounds 9] [--build build/release]

With the compiler and the options of the build, by turns in one run; the least seconds of the processor, and their ratio.
"""

import argparse
import json
import os
import pathlib
import shlex
import subprocess
import tempfile

FILES = {"Kokkos_Core.hpp": "#include <Kokkos_Core.hpp>\n", "saltus/saltus.hpp": "#include <saltus/saltus.hpp>\n"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    options = parser.parse_args()
    commands = json.loads(subprocess.run(["ninja", "-C", options.build, "-t", "compdb"], check=True, capture_output=True, text=True).stdout)
    entry = next(c for c in commands if c["file"].endswith("apps/main.cpp") and " -c " in c["command"])
    words = shlex.split(entry["command"])
    words = words[next(i for i, w in enumerate(words) if "ccache" not in w):]
    # The file itself, its object and the list of what it includes are ours.
    flags = [w for i, w in enumerate(words) if w not in ("-c", "-o", "-MD", "-MT", "-MF", "-Werror") and words[i - 1] not in ("-c", "-o", "-MT", "-MF")]
    best = dict.fromkeys(FILES, float("inf"))
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for name, text in FILES.items():
                file = pathlib.Path(folder) / "file.cpp"
                file.write_text(text + "int main() {}\n")
                process = subprocess.Popen([*flags, "-c", str(file), "-o", f"{folder}/file.o"], cwd=entry["directory"])
                _, status, usage = os.wait4(process.pid, 0)
                if status:
                    raise SystemExit(f"status {status}")
                best[name] = min(best[name], usage.ru_utime + usage.ru_stime)
    for name, seconds in best.items():
        print(f"{name:20} {seconds:.2f} s  {seconds / best['Kokkos_Core.hpp']:.2f}")


if __name__ == "__main__":
    main()
