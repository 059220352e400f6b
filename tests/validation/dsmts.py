#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Holds 'saltus simulate' against the Discrete Stochastic Model Test Suite (Evans, Gillespie, Wilkinson 2008).

    SALTUS_PROGRAM=build/release/apps/saltus python3 tests/validation/dsmts.py [--write docs]

Needs numpy and ../shared/data/stochastic beside the repository. docs/validation.md explains the bounds.
Exit code: 0 if every point lies within its bound and every negative control fails, 1 if not, 77 if skipped.
"""

import argparse
import csv
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import NormalDist
from typing import Callable

try:
    import numpy as np
except ImportError:
    print("skipped: no numpy")
    sys.exit(77)

SOURCE = Path(os.environ.get("SALTUS_SOURCE", Path(__file__).resolve().parents[2])).resolve()
PROGRAM = os.path.abspath(os.environ.get("SALTUS_PROGRAM", SOURCE / "build/release/apps/saltus"))
DATA = SOURCE.parent / "shared/data/stochastic"
SAMPLES = 10_000
FAMILY_ERROR = 1e-3
MISSED = 1e-6  # probability that a negative control passes
NORMAL = NormalDist()
ADVANCE = 0.02  # how wrong the rate of a negative control is


# Processes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """One chain on 0, 1, ...: what the program is told, and rates for the oracle, which is cut at `states`."""

    name: str
    rates: dict  # by the names of the parameters
    start: int
    states: int
    arguments: Callable  # (rates, folder) -> generator as the program reads it
    up: Callable  # (rates, x) -> rate of x -> x + step
    down: Callable  # (rates, x) -> rate of x -> x - 1
    step: int = 1
    moments: Callable | None = None  # (rates, start, t) -> mean and variance in closed form
    finite: bool = False
    reset: tuple | None = None  # (time, state) of the timed event

    def with_rates(self, **rates):
        return replace(self, rates=self.rates | rates)


def by_name(name, *extra):
    return lambda r, folder: name + ":" + ",".join([f"{k}={v!r}" for k, v in r.items()] + list(extra))


def dimerisation_file(r, folder):
    path = folder / "dimerisation.mtx"
    entries = []
    for n in range(501):
        p = 1000 - 2 * n
        if n < 500:
            entries.append(f"{n + 1} {n + 2} {r['k1'] * p * (p - 1) / 2!r}")
        if n > 0:
            entries.append(f"{n + 1} {n} {r['k2'] * n!r}")
    path.write_text(
        "\n".join(["%%MatrixMarket matrix coordinate real general", f"501 501 {len(entries)}", *entries]) + "\n"
    )
    return str(path)


def birth_death_moments(r, start, t):
    g, e = r["birth"] - r["death"], math.exp((r["birth"] - r["death"]) * t)
    return start * e, start * (r["birth"] + r["death"]) / g * e * (e - 1)


def immigration_moments(batch):
    def moments(r, start, t):
        v, d = r["immigration"], r["death"]
        e = math.exp(-d * t)
        mean = start * e + batch * v / d * (1 - e)
        return mean, start * e * (1 - e) + v * (batch * (batch - 1) * (1 - e * e) / (2 * d) + batch * (1 - e) / d)

    return moments


def immigration(name, rates, states, batch=1, **more):
    return Process(
        name,
        rates,
        0,
        states,
        by_name("immigration_death", f"batch={batch}"),
        lambda r, x: r["immigration"] + 0 * x,
        lambda r, x: r["death"] * x,
        batch,
        immigration_moments(batch),
        **more,
    )


BIRTH_DEATH = Process(
    "birth-death",
    {"birth": 0.1, "death": 0.11},
    100,
    512,
    by_name("birth_death"),
    lambda r, x: r["birth"] * x,
    lambda r, x: r["death"] * x,
    moments=birth_death_moments,
)
IMMIGRATION = immigration("immigration-death", {"immigration": 1.0, "death": 0.1}, 64)
RESET = immigration("immigration-death, X := 50 at t = 25", {"immigration": 1.0, "death": 0.1}, 128, reset=(25, 50))
BATCH = immigration("batch immigration-death", {"immigration": 1.0, "death": 0.2}, 192, 5)
DIMERISATION = Process(
    "dimerisation",
    {"k1": 0.0002, "k2": 0.004},
    0,
    501,
    dimerisation_file,
    lambda r, n: r["k1"] * (1000 - 2 * n) * (999 - 2 * n) / 2,
    lambda r, n: r["k2"] * n,
    finite=True,
)

CASES = {f"{n:05d}": BIRTH_DEATH for n in (1, 2, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 19)}
CASES |= {"00020": IMMIGRATION, "00027": IMMIGRATION, "00028": RESET, "00031": DIMERISATION, "00037": BATCH}
FIRST = {id(p): case for case, p in reversed(CASES.items())}  # the case that stands for the process

# The columns that are functions of the state x: offset + factor x.
COLUMNS = {"X": (0, 1), "y": (0, 2), "P": (1000, -2), "P2": (0, 1)}


# The oracle: master equation by uniformization -----------------------------------------------------------------------


def advance(p, leak, up, down, step, t):
    """The law t later on 0..len(p)-1; what jumps out of the top is added to the leak."""
    rate = float(np.max(up + down))
    mean = rate * t
    term, out, lost = p, np.zeros_like(p), 0.0
    out_leak = 0.0
    weight_log, k, gone = -mean, 0, 0.0
    last = mean + 12 * math.sqrt(mean) + 40
    while k <= last:
        w = math.exp(weight_log)
        out += w * term
        out_leak += w * lost
        flow_up, flow_down = term * up / rate, term * down / rate
        new = term - flow_up - flow_down
        new[step:] += flow_up[:-step]
        new[:-1] += flow_down[1:]
        lost += float(flow_up[-step:].sum())
        term = new
        k += 1
        weight_log += math.log(mean / k)
    return out, leak + out_leak


def laws(process, times):
    """The law at 0, 1, ... and the probability that left the truncated space by the end."""
    x = np.arange(process.states, dtype=float)
    up, down = process.up(process.rates, x), process.down(process.rates, x)
    p, leak, found = np.zeros(process.states), 0.0, []
    p[process.start] = 1
    for i, t in enumerate(times):
        if i:
            p, leak = advance(p, leak, up, down, process.step, t - times[i - 1])
        if process.reset and t == process.reset[0]:
            p = np.zeros(process.states)
            p[process.reset[1]] = 1
        found.append(p)
    return found, leak


class Law:
    """Moments of one law, and the skewness and excess kurtosis of one summand of the sample's mean and variance."""

    def __init__(self, p):
        x = np.arange(len(p), dtype=float)
        self.mean = float(p @ x)
        c = x - self.mean
        self.variance = float(p @ c**2)
        self.sd = math.sqrt(self.variance)
        if self.sd == 0:
            return
        self.mean_shape = self.shape(p, c)
        v = c**2 - self.variance
        self.variance_spread = math.sqrt(p @ v**2)  # sqrt(mu4 - sigma^4)
        self.variance_shape = self.shape(p, v)
        # d log(sd_se^2) of one observation, where sd_se^2 = (m4 - s^4) / (4 n s^2)
        third, fourth = p @ c**3, p @ c**4
        w = (c**4 - fourth - 4 * third * c - 2 * self.variance * v) / self.variance_spread**2 - v / self.variance
        self.error_spread = math.sqrt(p @ w**2) / 2
        self.error_shape = self.shape(p, w)

    @staticmethod
    def shape(p, c):
        s = math.sqrt(p @ c**2)
        return float(p @ c**3) / s**3, float(p @ c**4) / s**4 - 3


def cornish_fisher(q, shape, n):
    """The q-quantile (in standard deviations) of a mean of n summands with that skewness and excess kurtosis."""
    g, k = shape
    return q + (q * q - 1) * g / (6 * math.sqrt(n)) + ((q**3 - 3 * q) * k / 24 - (2 * q**3 - 5 * q) * g * g / 36) / n


# The program ---------------------------------------------------------------------------------------------------------


def simulate(process, generator, folder, start, times, samples, seed):
    """One run's columns by name, a row for each time."""
    out = folder / "statistics.csv"
    command = [
        PROGRAM,
        "simulate",
        "--generator",
        generator,
        "--start",
        str(start),
        "--times",
        times,
        "--samples",
        str(samples),
        "--seed",
        str(seed),
        "--statistics",
        str(out),
        "--quiet",
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"dsmts.py: {' '.join(command)}: code {done.returncode}: {done.stderr.strip()}")
    with open(out) as lines:
        rows = list(csv.DictReader(lines))
    return {name: np.array([float(r[name]) for r in rows]) for name in ("mean", "mean_se", "sd", "sd_se", "jumps")}


def run(process, folder, samples, seed):
    generator = process.arguments(process.rates, folder)
    if not process.reset:
        return simulate(process, generator, folder, process.start, "0:50:1", samples, seed)
    at, state = process.reset
    before = simulate(process, generator, folder, process.start, f"0:{at}:1", samples, seed)
    after = simulate(process, generator, folder, state, f"0:{50 - at}:1", samples, seed + 1)
    return {name: np.concatenate([before[name][:-1], after[name]]) for name in before}


def read_reference(case):
    with open(DATA / case / f"{case}-results.csv") as lines:
        rows = list(csv.DictReader(lines))
    return {name: np.array([float(r[name]) for r in rows]) for name in rows[0]}


# Comparison ----------------------------------------------------------------------------------------------------------


@dataclass
class Point:
    column: str
    kind: str  # mean, sd or sd_se
    time: int
    z: float  # distance in standard errors of the statistic
    shape: tuple  # of its summands
    suite: float  # the suite's Z or Y

    def bounds(self, q, n):
        return cornish_fisher(-q, self.shape, n), cornish_fisher(q, self.shape, n)

    def excess(self, q, n):
        low, high = self.bounds(q, n)
        return self.z / high if self.z > 0 else self.z / low


@dataclass
class Comparison:
    points: list = field(default_factory=list)
    defects: list = field(default_factory=list)
    not_compared: list = field(default_factory=list)

    def worst(self, kind):
        return max((p for p in self.points if p.kind == kind), key=lambda p: abs(p.z))

    def beyond(self, kind, limit):
        return sum(abs(p.suite) > limit for p in self.points if p.kind == kind)

    def failures(self, q, n):
        return [p for p in self.points if p.excess(q, n) > 1]


def compare(process, reference, oracle, got, n):
    c = Comparison()
    for column in sorted({name.rsplit("-", 1)[0] for name in reference} - {"time"}):
        mu, sigma = reference[column + "-mean"], reference[column + "-sd"]
        if column in COLUMNS:
            offset, factor = COLUMNS[column]
            m, s = offset + factor * got["mean"], abs(factor) * got["sd"]
        elif column == "Sink" and not sigma.any() and not mu.any():
            c.not_compared.append("Sink (0 by definition: a boundary species)")
            continue
        elif column == "Sink":
            # Deaths = (jumps - births + deaths) / 2: their mean follows from means, their deviation does not.
            c.not_compared.append(
                "sd of Sink (the number of deaths is no function of X); its mean through the mean number of jumps"
            )
            m, s = (got["jumps"] - got["mean"] + process.start) / 2, None
        else:
            c.defects.append(f"column {column} is unknown")
            continue
        for t in range(len(mu)):
            if sigma[t] == 0:
                if m[t] != mu[t] or (s is not None and s[t] != 0):
                    c.defects.append(f"{column} at {t}: {m[t]}, {s[t]} instead of the constant {mu[t]}")
                continue
            law = oracle[t]
            z = math.sqrt(n) * (m[t] - mu[t]) / sigma[t]
            c.points.append(Point(column, "mean", t, z, law.mean_shape if column != "Sink" else (0, 0), z))
            if s is None:
                continue
            scale = abs(COLUMNS[column][1])
            difference = (s[t] ** 2 - sigma[t] ** 2) / scale**2
            c.points.append(
                Point(
                    column,
                    "sd",
                    t,
                    math.sqrt(n) * difference / law.variance_spread,
                    law.variance_shape,
                    math.sqrt(n / 2) * (s[t] ** 2 / sigma[t] ** 2 - 1),
                )
            )
            if scale == 1:
                true = law.variance_spread / (2 * law.sd * math.sqrt(n))
                z = math.sqrt(n) * math.log(got["sd_se"][t] / true) / law.error_spread
                c.points.append(Point(column, "sd_se", t, z, law.error_shape, got["sd_se"][t] / true - 1))
                if abs(got["mean_se"][t] * math.sqrt(n) - got["sd"][t]) > 1e-9 * got["sd"][t]:
                    c.defects.append(f"mean_se at {t} is not sd / sqrt(samples)")
    return c


# Negative controls ---------------------------------------------------------------------------------------------------


@dataclass
class Control:
    case: str
    change: str
    process: Process
    kinds: tuple  # the statistics that it is meant to move


def controls():
    b = BIRTH_DEATH.rates
    both = ADVANCE * (b["birth"] + b["death"]) / 2
    yield Control(
        "00001", "birth rate 2 % up", BIRTH_DEATH.with_rates(birth=b["birth"] * (1 + ADVANCE)), ("mean", "sd")
    )
    yield Control(
        "00001",
        "birth and death rate up by 2 % of their mean",
        BIRTH_DEATH.with_rates(birth=b["birth"] + both, death=b["death"] + both),
        ("sd",),
    )
    yield Control("00020", "immigration rate 2 % up", IMMIGRATION.with_rates(immigration=1 + ADVANCE), ("mean", "sd"))
    yield Control("00028", "immigration rate 2 % up", RESET.with_rates(immigration=1 + ADVANCE), ("mean", "sd"))
    yield Control(
        "00031", "k1 2 % up", DIMERISATION.with_rates(k1=DIMERISATION.rates["k1"] * (1 + ADVANCE)), ("mean", "sd")
    )
    yield Control("00037", "immigration rate 2 % up", BATCH.with_rates(immigration=1 + ADVANCE), ("mean", "sd"))


def plan(control, oracle, wrong, q):
    """The point that gives the control away, its shift for 10,000 trajectories, and how many make the power 1 - 1e-6."""
    best = None
    for t, (law, other) in enumerate(zip(oracle, wrong)):
        if law.sd == 0:
            continue
        for kind in control.kinds:
            if kind == "mean":
                shift, ratio, shape = (other.mean - law.mean) / law.sd, other.sd / law.sd, law.mean_shape
            else:
                shift = (other.variance - law.variance) / law.variance_spread
                ratio, shape = other.variance_spread / law.variance_spread, law.variance_shape
            bound = max(abs(cornish_fisher(s * q, shape, SAMPLES)) for s in (-1, 1))
            needed = ((bound + NORMAL.inv_cdf(1 - MISSED) * ratio) / abs(shift)) ** 2
            if best is None or needed < best[0]:
                power = NORMAL.cdf((abs(shift) * math.sqrt(SAMPLES) - bound) / ratio)
                best = needed, kind, t, shift * math.sqrt(SAMPLES), power
    needed, kind, t, shift, power = best
    return max(SAMPLES, math.ceil(needed / 1000) * 1000), kind, t, shift, power


# Report --------------------------------------------------------------------------------------------------------------


def replace_between(path, name, text):
    page = path.read_text()
    begin, end = f"<!-- {name}: written by tests/validation/{name}.py --write docs -->", f"<!-- end of {name} -->"
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        sys.exit(f"{name}.py: {path} has no markers '{begin}' and '{end}'")
    path.write_text(f"{head}{begin}\n{text}\n{end}{tail}")


def table(rows):
    return "\n".join(["| " + " | ".join(map(str, r)) + " |" for r in [rows[0], ["---"] * len(rows[0]), *rows[1:]]])


def number(x):
    return f"{x:+.2f}"


def shown(point):
    return f"{point.z:+.2f} ({point.column}, t = {point.time})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", metavar="FOLDER", type=Path, help="rewrite the tables in FOLDER/validation.md")
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: no {DATA}")
        return 77
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"dsmts.py: no program {PROGRAM}; set SALTUS_PROGRAM")
    problems = []
    folders = sorted(p.name for p in DATA.iterdir() if p.is_dir())
    if folders != sorted(CASES):
        problems.append(f"cases {sorted(set(folders) ^ set(CASES))} are here or there only")

    times = list(range(51))
    references = {case: read_reference(case) for case in CASES}
    oracles, process_rows = {}, [
        [
            "case",
            "process",
            "states of the oracle",
            "leak by t = 50",
            "oracle - closed form: mean; sd",
            "suite's table - oracle: mean; sd",
            "true deviation of the suite's Y",
        ]
    ]
    for case, process in CASES.items():
        if FIRST[id(process)] != case:
            continue
        p, leak = laws(process, times)
        oracle = oracles[id(process)] = [Law(q) for q in p]
        closed = "none known"
        if process.moments:

            def exact(t):
                if process.reset and t >= process.reset[0]:
                    return process.moments(process.rates, process.reset[1], t - process.reset[0])
                return process.moments(process.rates, process.start, t)

            off = [
                max(abs(l.mean - exact(t)[0]) for t, l in enumerate(oracle)),
                max(abs(l.sd - math.sqrt(exact(t)[1])) for t, l in enumerate(oracle)),
            ]
            closed = "; ".join(f"{x:.1e}" for x in off)
            if max(off) > 1e-8:
                problems.append(f"{process.name}: the oracle and the closed form differ by {max(off)}")
        column = "P2" if process is DIMERISATION else "X"
        mine = [c for c, other in CASES.items() if other is process]
        csv_off = [
            max(np.max(np.abs(references[c][column + end] - [getattr(l, name) for l in oracle])) for c in mine)
            for end, name in (("-mean", "mean"), ("-sd", "sd"))
        ]
        if max(csv_off) > 1e-4:
            problems.append(f"{process.name}: the suite's table and the oracle differ by {max(csv_off)}")
        process_rows.append(
            [
                case,
                process.name,
                f"0..{process.states - 1}" + (" (all)" if process.finite else ""),
                f"{leak:.1e}",
                closed,
                "; ".join(f"{x:.1e}" for x in csv_off),
                "{:.2f} to {:.2f}".format(
                    *(
                        end(l.variance_spread / (math.sqrt(2) * l.variance) for l in oracle if l.sd > 0)
                        for end in (min, max)
                    )
                ),
            ]
        )

    compared = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case, process in CASES.items():
            got = run(process, folder, SAMPLES, 1000 * int(case))
            compared[case] = compare(process, references[case], oracles[id(process)], got, SAMPLES)
        points = sum(len(c.points) for c in compared.values())
        q = NORMAL.inv_cdf(1 - FAMILY_ERROR / points / 2)

        case_rows = [
            [
                "case",
                "process",
                "points: means, sds",
                "worst z of a mean",
                "worst z of an sd",
                "suite: means beyond 3",
                "suite: sds beyond 5",
                "largest error of sd_se",
                "not compared",
            ]
        ]
        for case, c in compared.items():
            process, first = CASES[case], FIRST[id(CASES[case])]
            problems += [f"case {case}: {d}" for d in c.defects]
            for p in c.failures(q, SAMPLES):
                low, high = p.bounds(q, SAMPLES)
                problems.append(
                    f"case {case}: {p.kind} of {p.column} at t = {p.time}: z {p.z:.2f} is not within {low:.2f}..{high:.2f}"
                )
            means, sds = (sum(p.kind == k for p in c.points) for k in ("mean", "sd"))
            errors = max((abs(p.suite) for p in c.points if p.kind == "sd_se"))
            case_rows.append(
                [
                    case,
                    process.name if case == first else f"same as {first}",
                    f"{means}, {sds}",
                    shown(c.worst("mean")),
                    shown(c.worst("sd")),
                    c.beyond("mean", 3),
                    c.beyond("sd", 5),
                    f"{100 * errors:.1f} %",
                    "; ".join(c.not_compared) or "-",
                ]
            )
        bounds = {
            k: [b for c in compared.values() for p in c.points if p.kind == k for b in map(abs, p.bounds(q, SAMPLES))]
            for k in ("mean", "sd", "sd_se")
        }
        worst = {
            k: max((p for c in compared.values() for p in c.points if p.kind == k), key=lambda p: p.excess(q, SAMPLES))
            for k in bounds
        }

        control_rows = [
            [
                "case",
                "wrong on purpose",
                "given away by",
                "expected z, 10,000 trajectories",
                "power then",
                "trajectories used",
                "expected z",
                "worst z found",
                "points beyond their bounds",
            ]
        ]
        for i, control in enumerate(controls()):
            oracle = oracles[id(CASES[control.case])]
            wrong = [Law(p) for p in laws(control.process, times)[0]]
            n, kind, t, shift, power = plan(control, oracle, wrong, q)
            c = compare(
                control.process,
                references[control.case],
                oracle,
                run(control.process, folder, n, 77_000_000 + 1000 * i),
                n,
            )
            beyond = [p for p in c.failures(q, n) if p.kind in control.kinds]
            if not beyond:
                problems.append(f"negative control of case {control.case} ({control.change}) was not noticed")
            top = max((p for p in c.points if p.kind in control.kinds), key=lambda p: abs(p.z))
            control_rows.append(
                [
                    control.case,
                    control.change,
                    f"{kind} at t = {t}",
                    number(shift),
                    f"{power:.4f}" if power < 1 - MISSED else f"> 1 - {MISSED:g}",
                    f"{n:,}",
                    number(shift * math.sqrt(n / SAMPLES)),
                    f"{top.z:+.2f} ({top.kind} of {top.column}, t = {top.time})",
                    len(beyond),
                ]
            )

    counts = {k: sum(p.kind == k for c in compared.values() for p in c.points) for k in bounds}
    bound_rows = [
        ["statistic", "points", "bound at q (normal)", "bounds with skewness and kurtosis", "nearest to its bound"]
    ]
    for k in bounds:
        bound_rows.append(
            [
                k,
                counts[k],
                f"{q:.2f}",
                f"{min(bounds[k]):.2f} to {max(bounds[k]):.2f}",
                f"{shown(worst[k])}: {100 * worst[k].excess(q, SAMPLES):.0f} % of it",
            ]
        )
    beyond_mean, beyond_sd = (
        sum(c.beyond(k, limit) for c in compared.values()) for k, limit in (("mean", 3), ("sd", 5))
    )
    text = "\n\n".join(
        [
            f"{len(CASES)} cases, {len(oracles)} distinct processes, {SAMPLES:,} trajectories a case, {points:,} points. Family error {FAMILY_ERROR:g}: "
            f"{FAMILY_ERROR / points:.1e} a point, two-sided, which is q = {q:.3f} standard errors of a normal statistic.",
            table(bound_rows),
            f"By the suite's own rule {beyond_mean} of {counts['mean']} means lie beyond 3 and {beyond_sd} of {counts['sd']} standard deviations beyond 5.",
            table(case_rows),
            "The oracle of each distinct process:",
            table(process_rows),
            "Negative controls:",
            table(control_rows),
        ]
    )
    print(text)
    if options.write:
        replace_between(options.write / "validation.md", "dsmts", text)
    for problem in problems:
        print(f"dsmts.py: {problem}", file=sys.stderr)
    print("failed" if problems else "passed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
