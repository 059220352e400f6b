# SPDX-License-Identifier: BSD-3-Clause
"""Experiments of many cells: each is computed once and kept as a JSON file, so that a run that was cut short goes on."""

import hashlib
import json
import math
import os
import pathlib
import subprocess
import time


class Cells:
    """Cells of an experiment below FOLDER; PROGRAM is the path of saltus."""

    def __init__(self, folder, program):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.program = os.path.abspath(program)

    def run(self, *arguments):
        """Standard output of a saltus command; stops with its message if it fails."""
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"saltus {' '.join(map(str, arguments))}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def distill(self, schedule, *arguments):
        """Learns SCHEDULE, a path, with 'saltus distill' and gives its JSON; goes on with a run that was broken off."""
        broken_off = pathlib.Path(f"{schedule}.partial").exists()
        self.run("distill", *arguments, "--out", schedule, "--quiet", *(["--resume"] if broken_off else []))
        return json.loads(pathlib.Path(schedule).read_text())

    def cell(self, name, compute):
        """compute(), a dictionary, or what it gave in an earlier run. The key of a cell is its name: it must say everything
        that the result depends on."""
        stem = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
        if len(stem) > 100:
            stem = stem[:80] + hashlib.sha256(name.encode()).hexdigest()[:16]
        path = self.folder / f"{stem}.json"
        if path.exists():
            return json.loads(path.read_text())
        start = time.time()
        value = compute()
        beside = path.with_suffix(".tmp")
        beside.write_text(json.dumps(value, indent=1))
        beside.rename(path)
        print(f"{name}: {time.time() - start:.0f} s", flush=True)
        return value


def mean_and_error(values):
    """Mean of numbers and its standard error."""
    n = len(values)
    mean = math.fsum(values) / n
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n) if n > 1 else math.inf


def interval(mean, error, digits=3, scale=1.0):
    """'0.123 ± 0.004', the error a 95 % one."""
    return f"{scale * mean:.{digits}f} ± {scale * 1.96 * error:.{digits}f}"


def table(header, rows):
    """Lines of a Markdown table."""
    return ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"] + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def write_page(path, lines):
    """Lines to a file, beside and then renamed."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_text("\n".join(lines) + "\n")
    beside.rename(path)
