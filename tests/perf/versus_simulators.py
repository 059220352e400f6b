#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Speed of forward simulation beside other programs, side by side in one run.

  versus_simulators.py BUILD_FOLDER [--rounds 7] [--markdown FILE]

Needs the Python packages libroadrunner, numba and numpy (in an environment of their own) and a quiet machine.

1. Birth-death, DSMTS case 00001: birth 0.1, death 0.11, 100 individuals, to time 50, statistics on a grid of 51 points.
   - saltus simulate --statistics, as a user runs it (its own clock: simulation and statistics, without the start of the
     process), on all threads and on one;
   - libRoadRunner's 'gillespie' integrator, one thread, 51 points;
   - a hand-written loop compiled by Numba, one thread, end states only, without statistics.
   Events of a trajectory are those expected, 826.4, for the others; saltus counts its own.
2. Exact transition sampling: sites x branches a second for 4 and 20 states (tests/perf/forward_bench).
3. A sparse generator of 1e5 states, 1e6 rates: events a second, peak memory.
4. How the time of one run grows with samples, sites and jumps.
"""
import argparse
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numba
import numpy
import roadrunner

BIRTH, DEATH, START, END = 0.1, 0.11, 100, 50.0
EVENTS = (BIRTH + DEATH) * START * (1 - math.exp((BIRTH - DEATH) * END)) / (DEATH - BIRTH)

SBML = f"""<?xml version="1.0" encoding="UTF-8"?>
<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="birth_death">
<listOfCompartments><compartment id="C" size="1" constant="true"/></listOfCompartments>
<listOfSpecies><species id="X" compartment="C" initialAmount="{START}" hasOnlySubstanceUnits="true" boundaryCondition="false" constant="false"/></listOfSpecies>
<listOfParameters><parameter id="b" value="{BIRTH}" constant="true"/><parameter id="d" value="{DEATH}" constant="true"/></listOfParameters>
<listOfReactions>
<reaction id="birth" reversible="false" fast="false"><listOfReactants><speciesReference species="X" stoichiometry="1" constant="true"/></listOfReactants>
<listOfProducts><speciesReference species="X" stoichiometry="2" constant="true"/></listOfProducts>
<kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/><ci>b</ci><ci>X</ci></apply></math></kineticLaw></reaction>
<reaction id="death" reversible="false" fast="false"><listOfReactants><speciesReference species="X" stoichiometry="1" constant="true"/></listOfReactants>
<kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/><ci>d</ci><ci>X</ci></apply></math></kineticLaw></reaction>
</listOfReactions></model></sbml>"""


@numba.njit
def numba_loop(trajectories, seed):
    numpy.random.seed(seed)
    events = 0
    total = 0
    for _ in range(trajectories):
        x, t = 100, 0.0
        while x > 0:
            t -= math.log(1.0 - numpy.random.random()) / (0.21 * x)
            if t > 50.0:
                break
            events += 1
            if numpy.random.random() * 0.21 < 0.1:
                x += 1
            else:
                x -= 1
        total += x
    return events, total / trajectories


def saltus_events(program, threads, samples):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, "simulate", "--generator", f"birth_death:birth={BIRTH},death={DEATH}", "--start", str(START),
                        "--times", "0:50:1", "--samples", str(samples), "--statistics", f"{folder}/s.csv", "--summary", f"{folder}/s.json",
                        "--threads", str(threads), "--quiet"], check=True)
        summary = json.load(open(f"{folder}/s.json"))
        last = open(f"{folder}/s.csv").read().split("\n")[-2].split(",")
        expected = START * math.exp((BIRTH - DEATH) * END)
        assert abs(float(last[1]) - expected) < 5 * float(last[2]), "the mean is off"
        return summary["timings"]["jumps_per_second"]


def roadrunner_events(model, trajectories):
    begin = time.perf_counter()
    mean = 0.0
    for _ in range(trajectories):
        model.reset()
        mean += model.simulate(0, END, 51)[-1, 1] / trajectories
    return trajectories * EVENTS / (time.perf_counter() - begin), mean


def transitions(bench, states):
    out = subprocess.run([bench, "transitions", str(states)], check=True, capture_output=True, text=True).stdout
    return statistics.median(float(x) for x in re.findall(r"site-branches/s ([0-9.]+)", out)[2:])


def sparse_walk(program, states):
    """Peak memory and events a second of a sparse generator with 10 jumps a state."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "walk.mtx"
        offsets = (1, 2, 3, 5, 8, -1, -2, -3, -5, -8)
        with open(path, "w") as file:
            rows = [(x + 1, (x + o) % states + 1, 0.1) for x in range(states) for o in offsets]
            file.write(f"%%MatrixMarket matrix coordinate real general\n{states} {states} {len(rows)}\n")
            file.write("".join(f"{x} {y} {r}\n" for x, y, r in rows))
        process = subprocess.Popen([program, "simulate", "--generator", str(path), "--start", "0", "--times", "100", "--samples", "200000",
                                    "--statistics", f"{folder}/s.csv", "--summary", f"{folder}/s.json", "--quiet"])
        memory = 0
        while process.poll() is None:  # ru_maxrss would count this interpreter, from which the process was forked
            found = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{process.pid}/status").read_text())
            memory = max(memory, int(found.group(1)) if found else 0)
            time.sleep(0.005)
        assert process.returncode == 0
        return json.load(open(f"{folder}/s.json"))["timings"]["jumps_per_second"], memory / 1024


def seconds(program, samples, length, time):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, "simulate", "--generator", "lg", "--start", "stationary", "--length", str(length), "--times", str(time),
                        "--samples", str(samples), "--statistics", f"{folder}/s.csv", "--summary", f"{folder}/s.json", "--quiet"], check=True)
        return json.load(open(f"{folder}/s.json"))["timings"]["simulate_seconds"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--markdown")
    args = parser.parse_args()
    program, bench = f"{args.build}/apps/saltus", f"{args.build}/tests/perf/forward_bench"
    model = roadrunner.RoadRunner(SBML)
    model.setIntegrator("gillespie")
    model.integrator.seed = 7
    numba_loop(10, 1)
    cores = os.cpu_count()
    figures = {"all": [], "one": [], "roadrunner": [], "numba": []}
    for k in range(args.rounds):
        figures["all"].append(saltus_events(program, cores, 200_000))
        rate, mean = roadrunner_events(model, 300)
        figures["roadrunner"].append(rate)
        figures["one"].append(saltus_events(program, 1, 100_000))
        begin = time.perf_counter()
        events, end = numba_loop(20_000, k)
        figures["numba"].append(events / (time.perf_counter() - begin))
    expected = START * math.exp((BIRTH - DEATH) * END)
    assert abs(mean - expected) < 5 * 22.6 / math.sqrt(300) and abs(end - expected) < 5 * 22.6 / math.sqrt(20_000)
    ratio = lambda a, b: statistics.median(x / y for x, y in zip(figures[a], figures[b]))
    median = {name: statistics.median(values) / 1e6 for name, values in figures.items()}
    lines = ["| what | million events/s | against libRoadRunner | against Numba |", "|---|---|---|---|"]
    for name, text in (("all", f"`saltus simulate --statistics`, {cores} threads"), ("one", "the same, 1 thread"),
                       ("numba", "hand-written Numba loop, 1 thread, no statistics"), ("roadrunner", "libRoadRunner gillespie, 1 thread")):
        lines.append(f"| {text} | {median[name]:.3g} | {ratio(name, 'roadrunner'):.3g} | {ratio(name, 'numba'):.3g} |")
    lines += ["", "| exact transitions | million site-branches/s |", "|---|---|"]
    for states in (4, 20, 61):
        lines.append(f"| {states} states | {transitions(bench, states):.0f} |")
    lines += ["", "| sparse generator, 10 jumps a state | million events/s | peak memory, MB |", "|---|---|---|"]
    for states in (1000, 100_000):
        rate, memory = sparse_walk(program, states)
        lines.append(f"| {states} states | {rate / 1e6:.3g} | {memory:.0f} |")
    lines += ["", "| LG, gillespie | seconds |", "|---|---|"]
    for samples, length, end in ((2000, 1000, 1), (20000, 1000, 1), (2000, 10000, 1), (2000, 1000, 10)):
        best = min(seconds(program, samples, length, end) for _ in range(3))
        lines.append(f"| {samples} samples, {length} sites, to time {end} | {best:.3g} |")
    text = "\n".join(lines) + "\n"
    print(text)
    print(f"(medians of {args.rounds} rounds; roadrunner {roadrunner.__version__.split(';')[0]}, numba {numba.__version__})")
    if args.markdown:
        pathlib.Path(args.markdown).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
