# SPDX-License-Identifier: BSD-3-Clause
"""Runs 'saltus simulate', and 'saltus compare' on forward processes, as a user would.

Needs SALTUS_PROGRAM and SALTUS_SOURCE as test_cli.py; standard library only. Laws are compared with closed forms that
are written down here by hand, and every comparison must reject a law that is 5 % off.
"""

import array
import ast
import collections
import csv
import filecmp
import functools
import itertools
import json
import math
import os
import pathlib
import random
import re
import signal
import struct
import subprocess
import sys
import time
import unittest

from test_cli import PROGRAM, SOURCE, Case, listing, read_sequences, saltus

NUCLEOTIDES = "ACGT"
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
EXACT = ("gillespie", "uniformization", "tweedie")
SURE = 1e-6  # a fit that is less likely than this is none


def read_array(data):
    """Shape and values of an NPY file of int32 or float64, version 1, whatever its number of dimensions."""
    if data[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("not an NPY file of version 1")
    size, = struct.unpack("<H", data[8:10])
    header = ast.literal_eval(data[10:10 + size].decode())
    if header["fortran_order"] or (10 + size) % 64:
        raise ValueError(f"unexpected header {header}")
    values = array.array({"<i4": "i", "<f8": "d"}[header["descr"]], data[10 + size:])
    if len(values) != math.prod(header["shape"]):
        raise ValueError(f"{len(values)} values for the shape {header['shape']}")
    return header["shape"], values


def npy(values, shape):
    """An NPY file of int32."""
    header = repr({"descr": "<i4", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(11 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + array.array("i", values).tobytes()


def gamma_p(a, x):
    """The regularised lower incomplete gamma function."""
    return 1 - gamma_q(a, x) if x >= a + 1 else gamma_series(a, x)


def gamma_q(a, x):
    """The upper one: series, or Lentz's continued fraction."""
    if x < a + 1:
        return 1 - gamma_series(a, x)
    tiny, b = 1e-300, x + 1 - a
    c, d = 1 / tiny, 1 / b
    fraction = d
    for i in range(1, 10000):
        b += 2
        d = 1 / (i * (a - i) * d + b)
        c = b + i * (a - i) / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return math.exp(-x + a * math.log(x) - math.lgamma(a)) * fraction


def gamma_series(a, x):
    if x <= 0:
        return 0.0
    term = total = 1 / a
    for i in range(1, 10000):
        term *= x / (a + i)
        total += term
        if term < 1e-16 * total:
            break
    return total * math.exp(-x + a * math.log(x) - math.lgamma(a))


def fit(counts, law):
    """Probability of a chi-square at least as large as that of the counts {state: number} under the law {state: p}."""
    n = sum(counts.values())
    if any(law.get(y, 0) <= 0 for y in counts):
        return 0.0
    cells, rest = [], [0.0, 0]
    for y, p in law.items():
        if n * p >= 5:
            cells.append([n * p, counts.get(y, 0)])
        else:
            rest = [rest[0] + n * p, rest[1] + counts.get(y, 0)]
    missing = n - sum(e for e, _ in cells) - rest[0]  # a law that is cut off
    rest[0] += max(missing, 0)
    if rest[0] > 5:
        cells.append(rest)
    else:
        least = min(cells)
        least[0] += rest[0]
        least[1] += rest[1]
    if len(cells) < 2:
        return 1.0
    x = sum((observed - expected)**2 / expected for expected, observed in cells)
    return gamma_q((len(cells) - 1) / 2, x / 2)


def times_matrix(a, b):
    columns = list(zip(*b))
    return [[math.fsum(x * y for x, y in zip(row, column)) for column in columns] for row in a]


def expm(q, t):
    """exp(q t) by scaling and squaring of a Taylor series."""
    n, scale = len(q), max(-row[i] for i, row in enumerate(q)) * t
    halvings = max(0, math.ceil(math.log2(max(scale, 1e-30))) + 4)
    step = [[value * t / 2**halvings for value in row] for row in q]
    identity = [[float(i == j) for j in range(n)] for i in range(n)]
    p, term = [row[:] for row in identity], identity
    for k in range(1, 13):
        term = [[value / k for value in row] for row in times_matrix(term, step)]
        p = [[x + y for x, y in zip(r, s)] for r, s in zip(p, term)]
    for _ in range(halvings):
        p = times_matrix(p, p)
    return p


def reversible(exchangeability, pi):
    """Q(x, y) = s(x, y) pi(y), one expected jump per unit time."""
    n = len(pi)
    q = [[exchangeability(x, y) * pi[y] if x != y else 0.0 for y in range(n)] for x in range(n)]
    mean = sum(p * sum(row) for p, row in zip(pi, q))
    q = [[value / mean for value in row] for row in q]
    for x in range(n):
        q[x][x] = -sum(q[x])
    return q


def gaussian(states, rate_sigma, target_sigma):
    """The rates and the stationary law of A§3.4, with i and j from 0."""
    q = [[0.0] * states for _ in range(states)]
    weight = lambda k: math.exp(-(k / rate_sigma)**2)
    for i in range(states):
        inward = (range(i + 1, states - i) if i < states // 2 else range(states - i, i) if i > states // 2 else ())
        for j in inward:
            q[i][j] = weight(abs(i - j) - 1)
    balance = lambda i, j: math.exp(-((j + 1)**2 - (i + 1)**2 + states * (i - j)) / (2 * target_sigma**2))
    for i, j in itertools.permutations(range(states), 2):
        if q[i][j] == 0:
            q[i][j] = q[j][i] * balance(i, j)
    for i in range(states):
        q[i][i] = -sum(q[i])
    pi = [math.exp(-(i + 1 - states / 2)**2 / (2 * target_sigma**2)) for i in range(states)]
    return q, [p / sum(pi) for p in pi]


def hky85(x, y, kappa, pi, t):
    """P(y | x) of A§13.3; A, C, G, T."""
    group = pi[y] + pi[y ^ 2]
    own = [(pi[i] * (1 - (pi[i] + pi[i ^ 2])) + pi[i] * pi[i ^ 2] * kappa) for i in range(4)]
    beta = 1 / sum(own)
    slow, fast = math.exp(-beta * t), math.exp(-beta * (1 + group * (kappa - 1)) * t)
    if x == y:
        return pi[y] + pi[y] * (1 / group - 1) * slow + (group - pi[y]) / group * fast
    if x == y ^ 2:
        return pi[y] + pi[y] * (1 / group - 1) * slow - pi[y] / group * fast
    return pi[y] * (1 - slow)


def jc69(t):
    """The probability that a site is as it was."""
    return 0.25 + 0.75 * math.exp(-4 * t / 3)


def lg_table():
    """Exchangeabilities s(x, y) and frequencies of LG in alphabetical order, from the source."""
    text = (SOURCE / "ctmc/io/amino_acid_tables.hpp").read_text()
    triangle, pi = re.search(r"lg_table = \{\s*\{([^}]*)\},\s*\{([^}]*)\}", text).groups()
    triangle, pi = [[float(number) for number in part.split(",")] for part in (triangle, pi)]
    s = {(x, y): triangle[x * (x - 1) // 2 + y] for x in range(20) for y in range(x)}
    return (lambda x, y: s[max(x, y), min(x, y)]), [p / sum(pi) for p in pi]


class Simulation(Case):
    def simulate(self, *arguments):
        """Standard output of a run without notes."""
        return self.run_well("simulate", "--quiet", *arguments)

    def tokens(self, *arguments):
        """[samples, looks, length] and the values."""
        self.simulate(*arguments, "--out", "tokens.npy")
        return read_array((self.cwd / "tokens.npy").read_bytes())

    def seen(self, *arguments):
        """sample -> look -> sequence of states."""
        (samples, looks, length), values = self.tokens(*arguments)
        return [[list(values[(s * looks + i) * length:(s * looks + i + 1) * length]) for i in range(looks)]
                for s in range(samples)]

    def summary(self, *arguments):
        self.simulate(*arguments, "--summary", "s.json")
        return json.loads((self.cwd / "s.json").read_text())

    def put(self, name, text):
        (self.cwd / name).write_text(text)
        return name

    def put_process(self, name, generator, **more):
        return self.put(name, json.dumps({"format": "saltus-process", "version": 1, "generator": generator} | more))


class Laws(Simulation):
    """100,000 sites of one law each."""

    def check(self, arguments, t, law, control, integrators=EXACT):
        for integrator in integrators:
            with self.subTest(" ".join(map(str, arguments)), integrator=integrator):
                shape, values = self.tokens(*arguments, "--length", 10, "--samples", 10000, "--times", t,
                                            "--integrator", integrator)
                self.assertEqual(shape, (10000, 1, 10))
                counts = collections.Counter(values)
                self.assertGreater(fit(counts, law), SURE)
                self.assertLess(fit(counts, control), SURE, "the test must see 5 %")

    def test_jc69(self):
        law = lambda t: {y: jc69(t) if y == 1 else (1 - jc69(t)) / 3 for y in range(4)}
        self.check(["--generator", "jc69", "--start", "C"], 0.75, law(0.75), law(0.75 * 1.05))

    def test_k80(self):
        law = lambda t: {y: hky85(0, y, 4, [0.25] * 4, t) for y in range(4)}
        self.assertAlmostEqual(sum(law(0.6).values()), 1, delta=1e-14)
        self.check(["--generator", "k80:kappa=4", "--start", "A"], 0.6, law(0.6), law(0.63))

    def test_hky85(self):
        pi = [0.4, 0.1, 0.2, 0.3]
        law = lambda t: {y: hky85(2, y, 3, pi, t) for y in range(4)}
        self.check(["--generator", "hky85:kappa=3,freqs=0.4,0.1,0.2,0.3", "--start", "G"], 0.7, law(0.7), law(0.735))

    def test_noise_scales_time(self):
        law = lambda t: {y: jc69(t) if y == 0 else (1 - jc69(t)) / 3 for y in range(4)}
        run = ["--generator", "jc69", "--start", "A"]
        self.check([*run, "--noise", "constant:rate=3,end=inf"], 0.25, law(0.75), law(0.75 * 1.05))
        # sigma_bar(0.5) of the table is 0.2 + 0.5 * 1.1.
        self.check([*run, "--noise", "table:times=0,0.25,1,totals=0,0.2,1.85"], 0.5, law(0.75), law(0.75 * 1.05))

    def test_two_states(self):
        a, b, t = 1.0, 0.25, 0.8
        def law(t):
            moved = a / (a + b) * -math.expm1(-(a + b) * t)
            return {0: 1 - moved, 1: moved}
        self.put("two.tsv", f"{-a}\t{a}\n{b}\t{-b}\n")
        self.put("named.csv", f",s0,s1\ns0,{-a},{a}\ns1,{b},{-b}\n")
        (self.cwd / "two.mtx").write_text(f"%%MatrixMarket matrix coordinate real general\n2 2 2\n1 2 {a}\n2 1 {b}\n")
        self.put_process("two.json", {"matrix": [[-a, a], [b, -b]]})
        self.put_process("named.json", {"matrix": [[-a, a], [b, -b]], "names": ["x", "y"]})
        for process, start in ((["--generator", "two.tsv"], "0"), (["--generator", "named.csv"], "s0"),
                               (["--generator", "two.mtx"], "0"), (["--process", "two.json"], "0"),
                               (["--process", "named.json"], "x")):
            self.check([*process, "--start", start], t, law(t), law(t * 1.05))

    def test_path(self):
        s = 8
        def law(t):
            wave = lambda k, i: math.cos(math.pi * k * (i + 0.5) / s)
            return {j: 1 / s + 2 / s * sum(wave(k, 2) * wave(k, j) * math.exp(t * (2 * math.cos(math.pi * k / s) - 2))
                                           for k in range(1, s)) for j in range(s)}
        self.assertAlmostEqual(sum(law(1).values()), 1, delta=1e-14)
        self.check(["--generator", "path:states=8", "--start", "2"], 1, law(1), law(1.05))

    def test_uniform_and_absorbing(self):
        alpha = lambda t: math.exp(-t)
        law = lambda t: {y: alpha(t) * (y == 3) + (1 - alpha(t)) / 5 for y in range(5)}
        self.check(["--generator", "uniform:states=5", "--start", "3"], 0.9, law(0.9), law(0.945))
        law = lambda t: {3: alpha(t), 4: 1 - alpha(t)}
        self.check(["--generator", "absorbing:states=5", "--start", "3"], 0.9, law(0.9), law(0.945))

    def test_gaussian_target(self):
        q, pi = gaussian(16, 4, 3)
        run = ["--generator", "gaussian_target:states=16,rate_sigma=4,target_sigma=3"]
        law = lambda t: dict(enumerate(expm(q, t)[1]))
        self.check([*run, "--start", "1"], 0.3, law(0.3), law(0.315))
        # Stationarity: what starts in pi stays there; another pi is told from it.
        other = dict(enumerate(gaussian(16, 4, 3 * 1.05)[1]))
        self.check([*run, "--start", "stationary"], 5, dict(enumerate(pi)), other)
        self.check([*run, "--start", "stationary"], 0, dict(enumerate(pi)), other, ["gillespie"])

    def test_immigration_death(self):
        n0, v, d = 5, 3.0, 1.0
        def law(t):
            kept, mean = math.exp(-d * t), v / d * -math.expm1(-d * t)
            staying = [math.comb(n0, k) * kept**k * (1 - kept)**(n0 - k) for k in range(n0 + 1)]
            coming = [math.exp(-mean) * mean**k / math.factorial(k) for k in range(40)]
            return {n: sum(staying[k] * coming[n - k] for k in range(min(n, n0) + 1)) for n in range(40)}
        self.check(["--generator", "immigration_death:immigration=3,death=1", "--start", "5"], 0.4, law(0.4),
                   law(0.42), ["gillespie"])

    def test_birth_death(self):
        birth, death = 1.0, 0.2
        def law(t):
            e = math.exp((birth - death) * t)
            gone, b = death * (e - 1) / (birth * e - death), birth * (e - 1) / (birth * e - death)
            return {0: gone} | {n: (1 - gone) * (1 - b) * b**(n - 1) for n in range(1, 200)}
        self.check(["--generator", "birth_death:birth=1,death=0.2", "--start", "1"], 0.7, law(0.7), law(0.735),
                   ["gillespie"])

    def test_lg(self):
        s, pi = lg_table()
        # Le and Gascuel 2008: frequencies of A, R, N, D, C, Q, E, G and the first exchangeabilities, up to one factor.
        published = dict(zip("ARNDCQEG",
                             (0.079066, 0.055941, 0.041977, 0.053052, 0.012937, 0.040767, 0.071586, 0.057337)))
        for letter, p in published.items():
            self.assertAlmostEqual(pi[AMINO_ACIDS.index(letter)], p, delta=2e-6)
        place = AMINO_ACIDS.index
        for pair, value in (("RA", 0.425093), ("NA", 0.276818), ("NR", 0.751878), ("DA", 0.395144), ("DN", 5.076149)):
            self.assertAlmostEqual(s(place(pair[0]), place(pair[1])) / value, 1, delta=1e-4)
        q = reversible(s, pi)
        law = lambda t: dict(enumerate(expm(q, t)[AMINO_ACIDS.index("W")]))
        right, wrong = law(1), law(1.05)
        paml = "ARNDCQEGHILKMFPSTWYV"
        lines = ["", *(" ".join(repr(s(place(x), place(y))) for y in paml[:i]) for i, x in enumerate(paml) if i), "",
                 " ".join(repr(pi[place(x)]) for x in paml), "", "Notes, as such files have them."]
        self.put("lg.dat", "\n".join(lines))
        for generator in ("lg", "lg.dat"):
            self.check(["--generator", generator, "--start", "W"], 1, right, wrong)

    def test_sites_are_independent(self):
        _, values = self.tokens("--generator", "jc69", "--start", "AA", "--times", "0.5", "--samples", 100000)
        counts = collections.Counter(zip(values[::2], values[1::2]))
        one = lambda y: jc69(0.5) if y == 0 else (1 - jc69(0.5)) / 3
        self.assertGreater(fit(counts, {(x, y): one(x) * one(y) for x in range(4) for y in range(4)}), SURE)

    def test_euler_is_as_wrong_as_it_should_be(self):
        # One step of t = 0.6: a jump with probability 0.6, to the others alike.
        run = ["--generator", "jc69", "--start", "A"]
        euler = lambda n: 0.25 + 0.75 * (1 - 4 / 3 * 0.6 / n)**n
        law = lambda p: {y: p if y == 0 else (1 - p) / 3 for y in range(4)}
        self.check([*run, "--step", "1"], 0.6, law(euler(1)), law(jc69(0.6)), ["euler"])
        self.check([*run, "--step", "0.2"], 0.6, law(euler(3)), law(jc69(0.6)), ["euler"])


class Looking(Simulation):
    RUN = ("--generator", "hky85:kappa=2,freqs=0.3,0.2,0.2,0.3", "--start", "ACGTACGT", "--samples", 300)

    def test_times_and_ranges(self):
        def names(times):
            text = self.simulate("--generator", "jc69", "--start", "A", "--samples", 1, "--times", times, "--format",
                                 "csv")
            return [row["time"] for row in csv.DictReader(text.decode().splitlines())]
        self.assertEqual(names("0:1:0.25"), ["0", "0.25", "0.5", "0.75", "1"])
        self.assertEqual(names("0:0.9:0.25,1,2:3:1"), ["0", "0.25", "0.5", "0.75", "1", "2", "3"])
        self.assertEqual(names("0:0.3:0.1")[-1][:3], "0.3", "the end belongs to it whatever the rounding")
        self.assertEqual(names("2:2:1"), ["2"])
        self.assertEqual(names("1e-3,1"), ["0.001", "1"])

    def test_the_start_is_seen_at_zero(self):
        for integrator in EXACT + ("euler",):
            rows = self.seen(*self.RUN, "--times", "0,2", "--integrator", integrator)
            self.assertEqual({tuple(row[0]) for row in rows}, {(0, 1, 2, 3) * 2})
            self.assertGreater(len({tuple(row[1]) for row in rows}), 200)
            only = self.seen(*self.RUN, "--times", "0", "--integrator", integrator)
            self.assertEqual([row[0] for row in only], [row[0] for row in rows])

    def test_formats_and_labels(self):
        run = [*self.RUN[:-1], 3, "--times", "0,0.5,1"]
        expected = self.seen(*run)
        words = [["".join(NUCLEOTIDES[y] for y in x) for x in row] for row in expected]
        flat = [(s, t, words[s][i]) for s in range(3) for i, t in enumerate(("0", "0.5", "1"))]
        fasta = "".join(f">sample_{s} t={t}\n{x}\n" for s, t, x in flat).encode()
        table = ("sample,time,sequence\n" + "".join(f"{s},{t},{x}\n" for s, t, x in flat)).encode()
        self.assertEqual(self.simulate(*run), fasta)
        self.assertEqual(self.simulate(*run, "--format", "csv"), table)
        self.assertEqual(self.simulate(*run, "--format", "txt"), "".join(x + "\n" for _, _, x in flat).encode())
        for ending, data in ((".fasta", fasta), (".fa", fasta), (".csv", table)):
            self.assertEqual(self.simulate(*run, "--out", "x" + ending), b"")
            self.assertEqual((self.cwd / ("x" + ending)).read_bytes(), data)
        # One time needs no label in FASTA.
        one = [*self.RUN, "--times", "1"]
        sequences = read_sequences(self.simulate(*one), "fasta", NUCLEOTIDES)
        self.assertEqual(sequences, [row[0] for row in self.seen(*one)])
        self.assertEqual(read_sequences(self.simulate(*one, "--format", "txt"), "txt", NUCLEOTIDES), sequences)
        other = self.simulate(*self.RUN[:3], "wxyzwxyz", *self.RUN[4:], "--times", "1", "--alphabet", "chars:wxyz",
                              "--format", "txt")
        self.assertEqual(other.translate(bytes.maketrans(b"wxyz", b"ACGT")), self.simulate(*one, "--format", "txt"))

    def test_numbers_and_words(self):
        run = ["--generator", "path:states=300", "--start", "150,151", "--samples", 4, "--times", "3"]
        rows = [row[0] for row in self.seen(*run)]
        self.assertEqual(self.simulate(*run), "".join(f"{a} {b}\n" for a, b in rows).encode())  # txt by default
        self.assertEqual(self.simulate(*run, "--format", "csv").decode().splitlines()[1],
                         f"0,3,{rows[0][0]} {rows[0][1]}")
        codons = self.simulate("--generator", "codon", "--start", "ATGTTT", "--samples", 5, "--times", "0,1").decode()
        lines = codons.splitlines()
        self.assertEqual((lines[0], lines[1]), (">sample_0 t=0", "ATGTTT"))
        for line in lines[1::2]:
            self.assertRegex(line, "^[ACGT]{6}$")
            self.assertFalse({line[:3], line[3:]} & {"TAA", "TAG", "TGA"})

    def test_bytes_depend_on_the_seed_alone(self):
        for integrator, more in (("gillespie", []), ("uniformization", []), ("tweedie", []),
                                 ("euler", ["--step", 0.1]),
                                 ("exponential", ["--step", 0.1]), ("tau_leaping", ["--step", 0.1])):
            run = lambda *extra: self.simulate(*self.RUN, "--times", "0.4,1", "--integrator", integrator, *more, *extra)
            reference = run("--threads", 1)
            for extra in (["--threads", 2], ["--threads", 4, "--batch", 7], ["--batch", 1], ["--seed", 1]):
                with self.subTest(integrator=integrator, extra=extra):
                    self.assertEqual(run(*extra), reference)
            self.assertNotEqual(run("--seed", 2), reference)
            fewer = self.simulate(*self.RUN[:-1], 50, "--times", "0.4,1", "--integrator", integrator, *more)
            self.assertTrue(reference.startswith(fewer) and len(fewer) * 5 < len(reference))

    def test_where_one_looks_changes_nothing_of_a_path(self):
        for integrator in ("gillespie", "uniformization"):
            at_one = [row[-1] for row in self.seen(*self.RUN, "--times", "1", "--integrator", integrator)]
            for times in ("0.5,1", "0:1:0.125", "0.1,0.9,1"):
                found = self.seen(*self.RUN, "--times", times, "--integrator", integrator)
                self.assertEqual([row[-1] for row in found], at_one, (integrator, times))

    def test_summary(self):
        summary = self.summary(*self.RUN, "--times", "0.5,1", "--seed", 9, "--threads", 2, "--out", "x.npy")
        self.assertEqual((summary["samples"], summary["seed"], summary["integrator"]), (300, 9, "gillespie"))
        self.assertEqual((summary["length"], summary["threads"]), (8, 2))
        self.assertEqual(summary["generator"]["states"], 4)
        self.assertEqual(summary["process"]["generator"], self.RUN[1])
        # One expected jump per unit time in the stationary law: 2400 +- 5 deviations, started near it.
        self.assertAlmostEqual(summary["jumps"], 2400, delta=300)
        self.assertGreater(summary["timings"]["simulate_seconds"], 0)
        self.assertTrue(summary["version"] and summary["git_state"] and summary["parameters"])


class Trajectories(Simulation):
    def read_jumps(self, name, symbols=None):
        if name.endswith(".npy"):
            (count, width), values = read_array((self.cwd / name).read_bytes())
            self.assertEqual(width, 5)
            rows = [values[5 * i:5 * i + 5] for i in range(count)]
            return [(int(s), t, int(l), int(x), int(y)) for s, t, l, x, y in rows]
        lines = (self.cwd / name).read_text().splitlines()
        self.assertEqual(lines[0], "sample,time,site,from,to")
        state = int if symbols is None else symbols.index
        rows = (line.split(",") for line in lines[1:])
        return [(int(s), float(t), int(l), state(x), state(y)) for s, t, l, x, y in rows]

    def replayed(self, jumps, starts, looks, last):
        """Sequences at the looks, from the jumps alone."""
        rows = [[list(start) for _ in looks] for start in starts]
        now = [list(start) for start in starts]
        previous = (-1, 0.0)
        seen = [0] * len(starts)
        for s, t, l, x, y in jumps:
            self.assertGreater((s, t), previous, "by sample and time")
            self.assertTrue(0 < t <= last and 0 <= l < len(starts[0]) and 0 <= s < len(starts))
            self.assertNotEqual(x, y)
            self.assertEqual(now[s][l], x)
            previous = (s, t)
            now[s][l] = y
            seen[s] += 1
            for i, look in enumerate(looks):
                if t <= look:
                    rows[s][i][l] = y
        return rows, seen

    def test_replay(self):
        cases = (("jc69", "ACGTAC", NUCLEOTIDES, 60), ("path:states=9", "4,4,8,0", None, 60),
                 ("birth_death:birth=1,death=0.7", "3,10", None, 200), ("absorbing:states=4", "0,1,2,3", None, 60),
                 ("immigration_death:immigration=2,death=1,batch=3", "0", None, 100))
        for generator, start, symbols, samples in cases:
            first = [symbols.index(c) for c in start] if symbols else [int(word) for word in start.split(",")]
            looks = [0.0, 0.3, 1.5]
            for integrator in ("gillespie", "uniformization"):
                if integrator == "uniformization" and "death" in generator:
                    continue
                for noise in ("constant:rate=1,end=inf", "exponential:base=2,scale=2"):
                    if noise.startswith("exp"):
                        looks = [0.0, 0.3, 1.0]
                    with self.subTest(generator=generator, integrator=integrator, noise=noise):
                        run = ["--generator", generator, "--start", start, "--samples", samples, "--integrator",
                               integrator, "--noise", noise, "--times", ",".join(map(str, looks))]
                        plain = self.seen(*run)
                        for name in ("t.csv", "t.npy"):
                            summary = self.summary(*run, "--trajectory", name, "--out", "with.npy", "--batch", 17)
                            self.assertEqual((self.cwd / "with.npy").read_bytes(),
                                             (self.cwd / "tokens.npy").read_bytes())
                            jumps = self.read_jumps(name, symbols)
                            self.assertEqual(len(jumps), summary["jumps"])
                            self.assertGreater(len(jumps), samples // 2)
                            rows, _ = self.replayed(jumps, [first] * samples, looks, looks[-1])
                            self.assertEqual(rows, plain)
                        self.assertEqual(self.read_jumps("t.csv", symbols), jumps)

    def test_times_of_jumps_have_the_law(self):
        # Time of the first jump of a site is exponential: rates 1 and 0.5, the second site's by a file.
        self.put("rates", "1\n0.5\n")
        self.simulate("--generator", "absorbing:states=2", "--start", "00", "--alphabet", "chars:01", "--times", 1,
                      "--samples", 40000, "--site-rates", "rates", "--trajectory", "t.npy")
        jumps = self.read_jumps("t.npy")
        for site, rate in ((0, 1.0), (1, 0.5)):
            law = lambda r: {k: math.exp(-r * k / 10) * -math.expm1(-r / 10) for k in range(10)} | {10: math.exp(-r)}
            counts = collections.Counter(int(t * 10) for _, t, l, _, _ in jumps if l == site)
            counts[10] = 40000 - sum(counts.values())
            self.assertGreater(fit(counts, law(rate)), SURE)
            self.assertLess(fit(counts, law(rate * 1.05)), SURE)

    def test_only_the_trajectory(self):
        out = self.simulate("--generator", "jc69", "--start", "A", "--times", 1, "--samples", 5, "--trajectory",
                            "t.csv")
        self.assertEqual((out, set(listing(self.cwd))), (b"", {"t.csv"}))
        shown = self.simulate("--generator", "jc69", "--start", "A", "--times", 1, "--samples", 5, "--trajectory", "-")
        self.assertEqual(shown, (self.cwd / "t.csv").read_bytes())
        self.simulate("--generator", "jc69", "--start", "A", "--times", 0, "--samples", 5, "--trajectory", "none.npy")
        self.assertEqual(read_array((self.cwd / "none.npy").read_bytes())[0], (0, 5))


class Statistics(Simulation):
    def statistics(self, *arguments):
        self.simulate(*arguments, "--statistics", "s.csv", "--out", "tokens.npy")
        rows = list(csv.DictReader((self.cwd / "s.csv").read_text().splitlines()))
        return [{key: float(value) for key, value in row.items()} for row in rows]

    def values(self):
        (samples, looks, length), values = read_array((self.cwd / "tokens.npy").read_bytes())
        return [[values[(s * looks + i) * length:(s * looks + i + 1) * length] for s in range(samples)]
                for i in range(looks)]

    def mean_and_error(self, values):
        n, mean = len(values), math.fsum(values) / len(values)
        return mean, math.sqrt(math.fsum((v - mean)**2 for v in values) / (n - 1) / n)

    def compare(self, row, key, values):
        mean, error = self.mean_and_error(values)
        self.assertAlmostEqual(row[key], mean, delta=1e-9 * max(1, abs(mean)))
        self.assertAlmostEqual(row[key + "_se"], error, delta=1e-7 + 1e-6 * error)

    def test_numbers(self):
        for generator, start, states in (("immigration_death:immigration=4,death=1", "3,100,3", 0),
                                         ("path:states=6", "0,0,5", 6)):
            rows = self.statistics("--generator", generator, "--start", start, "--samples", 500, "--times", "0,0.5,2")
            expected = ["time", "mean", "mean_se", "sd", "sd_se", "jumps", "jumps_se"]
            expected += [f"p_{y}{end}" for y in range(states) for end in ("", "_se")]
            self.assertEqual(list(rows[0]), expected)
            self.assertEqual([row["time"] for row in rows], [0, 0.5, 2])
            self.assertEqual((rows[0]["jumps"], rows[0]["jumps_se"]), (0, 0))
            self.assertLess(rows[0]["mean_se"], 1e-6)
            for row, samples in zip(rows, self.values()):
                self.compare(row, "mean", [sum(x) / 3 for x in samples])
                every = [y for x in samples for y in x]
                mean = sum(every) / len(every)
                sd = math.sqrt(math.fsum((y - mean)**2 for y in every) / (len(every) - 1))
                self.assertAlmostEqual(row["sd"], sd, delta=1e-9 * max(1, sd))
                # Delta method: the deviation's slope in each sample's mean of squares.
                slopes = [sum((y - mean)**2 for y in x) / 3 / (2 * sd) for x in samples]
                self.assertAlmostEqual(row["sd_se"], self.mean_and_error(slopes)[1], delta=0.02 * row["sd_se"] + 1e-7)
                for y in range(states):
                    self.compare(row, f"p_{y}", [list(x).count(y) / 3 for x in samples])
                if states:
                    self.assertAlmostEqual(sum(row[f"p_{y}"] for y in range(states)), 1, delta=1e-12)

    def test_moments_of_a_population(self):
        # A§13.5: mean n0 e^-t + v (1 - e^-t), variance n0 e^-t (1 - e^-t) + v (1 - e^-t).
        row, = self.statistics("--generator", "immigration_death:immigration=4,death=1", "--start", "10", "--samples",
                               50000, "--times", "0.7")
        kept = math.exp(-0.7)
        mean, sd = 10 * kept + 4 * (1 - kept), math.sqrt((10 * kept + 4) * (1 - kept))
        self.assertLess(abs(row["mean"] - mean), 5 * row["mean_se"])
        self.assertLess(abs(row["sd"] - sd), 5 * row["sd_se"])
        self.assertAlmostEqual(row["mean_se"], sd / math.sqrt(50000), delta=0.02 * row["mean_se"])
        self.assertGreater(abs(row["mean"] - mean * 1.05), 5 * row["mean_se"])
        # Jumps: arrivals 4 t, and deaths 4 t + n0 - mean.
        self.assertLess(abs(row["jumps"] - (2 * 4 * 0.7 + 10 - mean)), 5 * row["jumps_se"])

    def test_letters(self):
        run = ["--generator", "k80", "--start", "ACGTT", "--samples", 400, "--times", "0.2,1"]
        rows = self.statistics(*run)
        columns = [f"p_{letter}{end}" for letter in NUCLEOTIDES for end in ("", "_se")]
        self.assertEqual(list(rows[0]), ["time", "jumps", "jumps_se", *columns])
        for row, samples in zip(rows, self.values()):
            for y, letter in enumerate(NUCLEOTIDES):
                self.compare(row, "p_" + letter, [list(x).count(y) / 5 for x in samples])
        # The same from a method that knows no jumps.
        self.assertEqual(list(self.statistics(*run, "--integrator", "tweedie")[0]), ["time", *columns])
        # Names of states.
        self.put("q.csv", ",open,shut\nopen,-1,1\nshut,1,-1\n")
        self.assertIn("p_open",
                      self.statistics("--generator", "q.csv", "--start", "open", "--samples", 4, "--times", 1)[0])

    def test_jumps_agree_with_the_trajectory(self):
        for batch in (7, 4096):
            rows = self.statistics("--generator", "jc69", "--start", "ACGT", "--samples", 200, "--times", "0.25,1",
                                   "--trajectory", "t.npy", "--batch", batch)
            (count, _), values = read_array((self.cwd / "t.npy").read_bytes())
            jumps = [(int(values[5 * i]), values[5 * i + 1]) for i in range(count)]
            for row in rows:
                counts = collections.Counter(s for s, t in jumps if t <= row["time"])
                self.compare(row, "jumps", [counts[s] / 4 for s in range(200)])

    def test_only_the_statistics_and_one_sample(self):
        out = self.simulate("--generator", "jc69", "--start", "A", "--times", "1,2", "--statistics", "s.csv")
        self.assertEqual((out, set(listing(self.cwd))), (b"", {"s.csv"}))
        row, = self.statistics("--generator", "path:states=3", "--start", "1", "--times", "1", "--samples", 1)
        self.assertIn(row["mean"], (0, 1, 2))

    def test_large_numbers_do_not_cancel(self):
        row, = self.statistics("--generator", "immigration_death:immigration=0,death=1e-9", "--start", "1000000000",
                               "--times", "1e-3", "--samples", 300)
        samples, = self.values()
        every = [x[0] for x in samples]
        mean = sum(every) / 300
        self.assertAlmostEqual(row["mean"], mean, delta=1e-6)
        self.assertAlmostEqual(row["sd"], math.sqrt(sum((y - mean)**2 for y in every) / 299), delta=1e-9)


class Starts(Simulation):
    def at_zero(self, *arguments, samples=5, generator="jc69"):
        rows = self.seen("--generator", generator, "--times", "0,1", "--samples", samples, *arguments)
        self.assertEqual(len(rows), samples)
        return [row[0] for row in rows]

    def test_states_and_sequences(self):
        self.assertEqual(self.at_zero("--start", "C"), [[1]] * 5)
        self.assertEqual(self.at_zero("--start", "C", "--length", 4), [[1] * 4] * 5)
        self.assertEqual(self.at_zero("--start", "GATTACA"), [[2, 0, 3, 3, 0, 1, 0]] * 5)
        self.assertEqual(self.at_zero("--start", "acgt", "--length", 4), [[0, 1, 2, 3]] * 5)
        self.assertEqual(self.at_zero("--start", "7", "--length", 3, generator="path:states=9"), [[7] * 3] * 5)
        for text in ("7 0 8", "7,0,8"):
            with self.subTest(text):
                self.assertEqual(self.at_zero("--start", text, generator="path:states=9"), [[7, 0, 8]] * 5)

    def test_files(self):
        three = [[0, 1, 2], [3, 3, 3], [2, 1, 0]]
        expected = [three[i % 3] for i in range(8)]
        self.put("a.fasta", ">x\nACG\n>y some words\nTT\nT\n>z\nGCA\n")
        self.put("a.txt", "ACG\nTTT\nGCA\n")
        (self.cwd / "a.npy").write_bytes(npy(sum(three, []), (3, 3)))
        for name in ("a.fasta", "a.txt", "a.npy"):
            with self.subTest(name):
                self.assertEqual(self.at_zero("--start", name, samples=8), expected)
                self.assertEqual(self.at_zero("--start", name, "--batch", 2, samples=8), expected)
        (self.cwd / "one.npy").write_bytes(npy([2, 1, 0], (3,)))
        self.assertEqual(self.at_zero("--start", "one.npy"), [[2, 1, 0]] * 5)
        self.put("numbers.txt", "8 0\n1 2\n")
        self.assertEqual(self.at_zero("--start", "numbers.txt", samples=3, generator="path:states=9"),
                         [[8, 0], [1, 2], [8, 0]])
        self.assertEqual(self.at_zero("--start", "numbers.txt", samples=1, generator="birth_death:birth=1,death=1"),
                         [[8, 0]])

    def test_stationary(self):
        pi = {0: 0.3, 1: 0.1, 2: 0.2, 3: 0.4}
        _, values = self.tokens("--generator", "hky85:kappa=2,freqs=0.3,0.1,0.2,0.4", "--start", "stationary",
                                "--length",
                                10, "--times", 0, "--samples", 10000)
        counts = collections.Counter(values)
        self.assertGreater(fit(counts, pi), SURE)
        self.assertLess(fit(counts, {0: 0.315, 1: 0.095, 2: 0.2, 3: 0.39}), SURE)
        self.assertEqual(len(self.at_zero("--start", "stationary")[0]), 1)  # one site unless --length says otherwise

    def test_tables(self):
        laws = [[0.7, 0.1, 0.1, 0.1], [0, 0.5, 0.25, 0.25], [0, 0, 0, 1]]
        self.put("one.tsv", "# of any site\n0.7\t0.1\t0.1\t0.1\n")
        self.put("each.csv", "A,C,G,T\n" + "".join(",".join(map(str, law)) + "\n" for law in laws))
        (_, _, length), values = self.tokens("--generator", "jc69", "--start", "table:one.tsv", "--length", 3,
                                             "--times",
                                             0, "--samples", 20000)
        self.assertEqual(length, 3)
        self.assertGreater(fit(collections.Counter(values), dict(enumerate(laws[0]))), SURE)
        (_, _, length), values = self.tokens("--generator", "jc69", "--start", "table:each.csv", "--times", 0,
                                             "--samples",
                                             20000)
        self.assertEqual(length, 3)
        for site, law in enumerate(laws):
            counts = collections.Counter(values[site::3])
            self.assertGreater(fit(counts, dict(enumerate(law))), SURE)
            self.assertLess(fit(counts, dict(enumerate(laws[site - 1]))), SURE)


class SiteRates(Simulation):
    def shares(self, rates, length, samples, t, seed=1):
        """By site, how many samples changed."""
        _, values = self.tokens("--generator", "jc69", "--start", "A", "--length", length, "--times", t, "--samples",
                                samples, "--site-rates", rates, "--integrator", "tweedie", "--seed", seed)
        return [sum(map(bool, values[l::length])) for l in range(length)]

    def test_file(self):
        multipliers = [0, 0.5, 2, 1, 0]
        self.put("rates.txt", "# five sites\n" + "".join(f"{r}\n" for r in multipliers))
        law = lambda r: {0: jc69(0.6 * r)} | {y: (1 - jc69(0.6 * r)) / 3 for y in (1, 2, 3)}
        for integrator in EXACT:
            _, values = self.tokens("--generator", "jc69", "--start", "A", "--length", 5, "--times", 0.6, "--samples",
                                    100000, "--site-rates", "rates.txt", "--integrator", integrator)
            for l, r in enumerate(multipliers):
                counts = collections.Counter(values[l::5])
                if r == 0:
                    self.assertEqual(counts, {0: 100000})
                    continue
                self.assertGreater(fit(counts, law(r)), SURE, (integrator, r))
                self.assertLess(fit(counts, law(r * 1.05)), SURE, (integrator, r))

    def test_invariant(self):
        changed = self.shares("invariant:share=0.3", 2000, 100, 1)
        still = changed.count(0)
        self.assertGreater(fit({0: still, 1: 2000 - still}, {0: 0.3, 1: 0.7}), SURE)
        # Others at rate 1/0.7, so that the mean stays 1.
        total, trials = sum(changed), (2000 - still) * 100
        law = lambda t: {1: 1 - jc69(t), 0: jc69(t)}
        self.assertGreater(fit({1: total, 0: trials - total}, law(1 / 0.7)), SURE)
        self.assertLess(fit({1: total, 0: trials - total}, law(1)), SURE)

    def test_gamma(self):
        # Means of the quarters of a gamma law of shape 0.5 and mean 1 (Yang 1994: 0.0334, 0.2519, 0.8203, 2.8944).
        def quantile(p, low=0.0, high=50.0):
            for _ in range(100):
                middle = (low + high) / 2
                low, high = (middle, high) if gamma_p(0.5, middle) < p else (low, middle)
            return low
        below = [gamma_p(1.5, quantile(k / 4)) if k else 0.0 for k in range(4)] + [1.0]
        means = [4 * (b - a) for a, b in zip(below, below[1:])]
        for mean, published in zip(means, (0.0334, 0.2519, 0.8203, 2.8944)):
            self.assertAlmostEqual(mean, published, delta=6e-5)
        length, samples, t = 2000, 500, 0.5
        changed = self.shares("gamma:shape=0.5,categories=4,invariant=0.3", length, samples, t)
        expected = [0.0] + [1 - jc69(t * mean / 0.7) for mean in means]
        classes = [0 if k == 0 else min(range(1, 5), key=lambda c: abs(k / samples - expected[c])) for k in changed]
        counts = collections.Counter(classes)
        self.assertGreater(fit(counts, dict(enumerate([0.3] + [0.175] * 4))), SURE)
        self.assertLess(fit(counts, dict(enumerate([0.2] * 5))), SURE)
        for c in range(1, 5):
            total, trials = sum(k for k, of in zip(changed, classes) if of == c), counts[c] * samples
            deviation = math.sqrt(trials * expected[c] * (1 - expected[c]))
            self.assertLess(abs(total - trials * expected[c]), 5 * deviation, c)
        # Drawn from the seed; the same sites whatever the samples.
        self.assertEqual([k == 0 for k in self.shares("invariant:share=0.5", 50, 200, 2)],
                         [k == 0 for k in self.shares("invariant:share=0.5", 50, 300, 2)])
        self.assertNotEqual([k == 0 for k in self.shares("invariant:share=0.5", 50, 200, 2)],
                            [k == 0 for k in self.shares("invariant:share=0.5", 50, 200, 2, seed=2)])


class Trees(Simulation):
    TREE = "((A:0.3,B:0.5)ab:0.2,('leaf C':0,D:0.4):0.1);"
    NODES = ["node_0", "ab", "A", "B", "node_4", "leaf C", "D"]
    LEAVES = ["A", "B", "leaf C", "D"]

    def setUp(self):
        super().setUp()
        self.put("t.nwk", self.TREE)

    def down(self, *arguments):
        return self.simulate("--generator", "jc69", "--tree", "t.nwk", *arguments)

    def test_names_and_formats(self):
        run = ["--start", "ACGTACGTAC", "--samples", 3]
        one = self.down(*run[:-1], 1).decode().splitlines()
        self.assertEqual(one[::2], [">" + name for name in self.LEAVES])
        fasta = self.down(*run).decode().splitlines()
        self.assertEqual(fasta[::2], [f">{name}_sample_{s}" for s in range(3) for name in self.LEAVES])
        table = list(csv.DictReader(self.down(*run, "--format", "csv").decode().splitlines()))
        self.assertEqual([(row["sample"], row["node"]) for row in table],
                         [(str(s), name) for s in range(3) for name in self.LEAVES])
        self.assertEqual([row["sequence"] for row in table], fasta[1::2])
        self.down(*run, "--out", "t.npy")
        shape, values = read_array((self.cwd / "t.npy").read_bytes())
        self.assertEqual(shape, (3, 4, 10))
        self.assertEqual("".join(NUCLEOTIDES[y] for y in values), "".join(fasta[1::2]))
        self.put("quoted.nwk", "('a,\"b':1,c:1);")
        quoted = self.simulate("--generator", "jc69", "--tree", "quoted.nwk", "--start", "A", "--samples", 1,
                               "--format",
                               "csv").decode()
        self.assertEqual([row[1] for row in csv.reader(quoted.splitlines())], ["node", 'a,"b', "c"])

    def test_ancestors_and_zero_lengths(self):
        run = ["--start", "stationary", "--length", 30, "--samples", 40]
        self.down(*run, "--ancestors", "--out", "t.npy")
        (samples, nodes, length), values = read_array((self.cwd / "t.npy").read_bytes())
        self.assertEqual((samples, nodes, length), (40, 7, 30))
        rows = [[list(values[(s * 7 + k) * 30:(s * 7 + k + 1) * 30]) for k in range(7)] for s in range(40)]
        for row in rows:
            self.assertEqual(row[4], row[5], "a branch of length 0")
        self.assertNotEqual([row[1] for row in rows], [row[2] for row in rows])
        names = [line[1:] for line in self.down(*run[:-1], 1, "--ancestors").decode().splitlines()[::2]]
        self.assertEqual(names, self.NODES)
        # Leaves are the same whether or not one looks at the ancestors.
        self.down(*run, "--out", "leaves.npy")
        _, leaves = read_array((self.cwd / "leaves.npy").read_bytes())
        self.assertEqual(list(leaves), [y for row in rows for k in (2, 3, 5, 6) for y in row[k]])
        self.put("still.nwk", "((A:0,B:0):0,C:0);")
        still = self.simulate("--generator", "jc69", "--tree", "still.nwk", "--start", "ACGT", "--samples", 2).decode()
        self.assertEqual(set(still.splitlines()[1::2]), {"ACGT"})

    def test_laws(self):
        for integrator in EXACT:
            self.down("--start", "stationary", "--length", 20, "--samples", 5000, "--ancestors", "--out", "t.npy",
                      "--integrator", integrator)
            (samples, nodes, length), values = read_array((self.cwd / "t.npy").read_bytes())
            of = lambda k: [y for s in range(samples) for y in values[(s * 7 + k) * 20:(s * 7 + k + 1) * 20]]
            # Stationary and reversible: two nodes are alike by the length of the path between them alone.
            for a, b, t in ((2, 3, 0.8), (2, 6, 1.0), (0, 1, 0.2), (0, 3, 0.7), (1, 4, 0.3)):
                counts = collections.Counter(zip(of(a), of(b)))
                pair = lambda x, y, t: (jc69(t) if x == y else (1 - jc69(t)) / 3) / 4
                law = lambda t: {(x, y): pair(x, y, t) for x in range(4) for y in range(4)}
                self.assertGreater(fit(counts, law(t)), SURE, (integrator, a, b))
                alike = sum(k for (x, y), k in counts.items() if x == y)
                counts = {True: alike, False: 100000 - alike}
                law = lambda t: {True: jc69(t), False: 1 - jc69(t)}
                self.assertGreater(fit(counts, law(t)), SURE, (integrator, a, b))
                self.assertLess(fit(counts, law(t * 1.05)), SURE, (integrator, a, b))

    def test_bytes_depend_on_the_seed_alone(self):
        for integrator, more in (("gillespie", []), ("tweedie", []), ("euler", ["--step", 0.05])):
            run = lambda *extra: self.down("--start", "ACGTACGT", "--samples", 60, "--integrator", integrator, *more,
                                           *extra)
            reference = run("--threads", 1)
            for extra in (["--threads", 2], ["--threads", 4, "--batch", 7], ["--batch", 1]):
                self.assertEqual(run(*extra), reference, (integrator, extra))
            self.assertNotEqual(run("--seed", 2), reference)

    def test_fixed_steps(self):
        # A branch of 0.6 in steps of 0.2 and in one step, as in Laws.
        self.put("one.nwk", "(A:0.6);")
        euler = lambda n: 0.25 + 0.75 * (1 - 4 / 3 * 0.6 / n)**n
        for step, n in ((0.2, 3), (0.25, 3), (1, 1), (None, 1)):
            more = [] if step is None else ["--step", step]
            self.simulate("--generator", "jc69", "--tree", "one.nwk", "--start", "A", "--length", 10, "--samples",
                          10000,
                          "--integrator", "euler", *more, "--out", "t.npy")
            _, values = read_array((self.cwd / "t.npy").read_bytes())
            counts = collections.Counter(map(bool, values))
            self.assertGreater(fit(counts, {False: euler(n), True: 1 - euler(n)}), SURE, step)
            self.assertLess(fit(counts, {False: jc69(0.6), True: 1 - jc69(0.6)}), SURE, step)

    def test_populations(self):
        out = self.simulate("--generator", "birth_death:birth=1,death=0.5", "--tree", "t.nwk", "--start", "20",
                            "--samples", 1,
                            "--integrator", "gillespie", "--format", "csv").decode()
        self.assertEqual([row["node"] for row in csv.DictReader(out.splitlines())], self.LEAVES)

    def test_summary_and_notes(self):
        self.down("--start", "ACGT", "--samples", 10, "--summary", "s.json", "--out", "x.fasta")
        summary = json.loads((self.cwd / "s.json").read_text())
        self.assertEqual((summary["samples"], summary["integrator"]), (10, "tweedie"))
        self.put("q.tsv", "-2 2\n2 -2\n")
        result = saltus("simulate", "--generator", "q.tsv", "--tree", "t.nwk", "--start", "0", "--samples", 1,
                        cwd=self.cwd)
        self.assertEqual(result.returncode, 0)
        self.assertIn(b"branch lengths are times here", result.stderr)
        result = saltus("simulate", "--generator", "q.tsv", "--normalise", "--tree", "t.nwk", "--start", "0",
                        "--samples",
                        1, cwd=self.cwd)
        self.assertNotIn(b"branch lengths", result.stderr)


def valid(value, schema):
    """Whether a value satisfies a schema, as far as process.schema.json goes."""
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    def is_kind(kind):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if kind in ("number", "integer"):
            return number and (kind == "number" or float(value).is_integer())
        return isinstance(value, kinds[kind])
    known = {"$schema", "title", "description", "default", "examples", "type", "required", "additionalProperties",
             "properties",
             "const", "oneOf", "minLength", "pattern", "minItems", "items", "uniqueItems", "minimum", "maximum"}
    assert set(schema) <= known, set(schema) - known
    wanted = schema.get("type", [])
    if wanted and not any(map(is_kind, [wanted] if isinstance(wanted, str) else wanted)):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "oneOf" in schema and sum(valid(value, one) for one in schema["oneOf"]) != 1:
        return False
    if isinstance(value,
                  str) and (len(value) < schema.get("minLength", 0) or not re.search(schema.get("pattern", ""), value)):
        return False
    if is_kind("number") and not schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf):
        return False
    if isinstance(value, list):
        texts = [json.dumps(item) for item in value]
        return (len(value) >= schema.get("minItems", 0) and all(valid(item, schema.get("items", {})) for item in value)
                and not (schema.get("uniqueItems") and len(set(texts)) < len(texts)))
    if isinstance(value, dict):
        named = schema.get("properties", {})
        return (set(schema.get("required", [])) <= set(value)
                and not (schema.get("additionalProperties") is False and set(value) - set(named))
                and all(valid(item, named[key]) for key, item in value.items() if key in named))
    return True


class ProcessFiles(Simulation):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.schema = json.loads((SOURCE / "docs/process.schema.json").read_text())

    def setUp(self):
        super().setUp()
        self.put("q.tsv", "-1 1\n1 -1\n")
        self.put("broken.tsv", "0 1\n2 0\n")
        self.put("rates.txt", "1\n0.5\n0\n")
        self.put("laws.csv", "0.7,0.1,0.1,0.1\n")
        self.put("s.fasta", ">a\nACG\n>b\nTTT\n")

    def test_round_trip(self):
        run = ["--times", "0.3,1", "--samples", 20]
        for process in (["--generator", "jc69", "--start", "ACGT"],
                        ["--generator", "hky85:kappa=2,freqs=0.3,0.2,0.2,0.3", "--start", "stationary", "--length", 7],
                        ["--generator", "broken.tsv", "--fix-diagonal", "--normalise", "--start", "01", "--alphabet",
                         "chars:01"],
                        ["--generator", "lg", "--start", "ACD", "--site-rates", "rates.txt"],
                        ["--generator", "k80", "--start", "A", "--length", 9, "--site-rates",
                         "gamma:shape=0.4,invariant=0.2"],
                        ["--generator", "jc69", "--start", "s.fasta", "--noise", "exponential:base=3,scale=0.5"],
                        ["--generator", "jc69", "--start", "table:laws.csv", "--length", 5],
                        ["--generator", "birth_death:birth=1,death=2", "--start", "5,7"]):
            with self.subTest(process[1]):
                before = set(listing(self.cwd))
                printed = self.simulate(*process, "--print-config")
                self.assertEqual(set(listing(self.cwd)), before)
                self.assertTrue(valid(json.loads(printed), self.schema), printed)
                (self.cwd / "p.json").write_bytes(printed)
                self.assertEqual(self.simulate("--process", "p.json", "--print-config"), printed)
                self.assertEqual(self.simulate("--process", "p.json", *run, "--format", "csv"),
                                 self.simulate(*process, *run, "--format", "csv"))
                (self.cwd / "p.json").unlink()

    def test_matrices_and_laws(self):
        self.put_process("p.json", {"matrix": [[-1, 1, 0], [0.25, -0.5, 0.25], [0, 2, -2]], "names": ["a", "b", "c"]},
                         start=[0.5, 0, 0.5], length=6)
        printed = self.simulate("--process", "p.json", "--print-config")
        self.assertTrue(valid(json.loads(printed), self.schema))
        (self.cwd / "again.json").write_bytes(printed)
        run = ["--times", "0,1", "--samples", 30]
        output = self.simulate("--process", "p.json", *run)
        self.assertEqual(self.simulate("--process", "again.json", *run), output)
        at_zero = "".join(output.decode().splitlines()[1::4])
        self.assertEqual((len(at_zero), set(at_zero)), (180, {"a", "c"}))
        # Defaults are those of the schema.
        minimal = self.put_process("minimal.json", "jc69", start="ACGT")
        full = self.put_process("full.json", "jc69",
                                **{key: part["default"] for key, part in self.schema["properties"].items()
                                                        if "default" in part} | {"start": "ACGT"})
        self.assertEqual(self.simulate("--process", minimal, *run), self.simulate("--process", full, *run))
        self.assertEqual(self.simulate("--process", minimal, *run),
                         self.simulate("--generator", "jc69", "--start", "ACGT", *run))

    def test_options_win(self):
        self.put_process("p.json", "jc69", start="ACG", length=3, noise="constant:rate=2,end=inf",
                         site_rates="rates.txt")
        run = ["--times", "0,0.5", "--samples", 20]
        base = {"--start": "ACG", "--noise": "constant:rate=2,end=inf", "--site-rates": "rates.txt"}
        plain = lambda options: self.simulate("--generator", "jc69", *itertools.chain(*options.items()), *run)
        self.assertEqual(self.simulate("--process", "p.json", *run), plain(base))
        for option, value in (("--start", "TTT"), ("--noise", "constant:rate=1,end=inf"),
                              ("--site-rates", "invariant:share=0.5"),
                              ("--alphabet", "chars:acgt"), ("--start", "stationary")):
            with self.subTest(option):
                more = {"--length": "3"} if value == "stationary" else {}
                start = {"--start": "acg"} if option == "--alphabet" else {}
                given = {option: value} | start
                won = self.simulate("--process", "p.json", *itertools.chain(*given.items()), *run)
                self.assertEqual(won, plain(base | given | more))
                self.assertNotEqual(won, plain(base))
        self.put_process("law.json", "jc69", start=[1, 0, 0, 0], length=2)
        out = self.simulate("--process", "law.json", "--start", "G", "--length", 4, "--times", 0, "--samples", 1,
                            "--format", "txt")
        self.assertEqual(out, b"GGGG\n")
        self.put_process("broken.json", "broken.tsv", start="0")
        self.simulate("--process", "broken.json", "--fix-diagonal", "--times", 1)

    def test_files_lie_beside_the_process(self):
        (self.cwd / "deep").mkdir()
        self.put("deep/only_here.tsv", "-3 3\n3 -3\n")
        self.put("deep/start.txt", "0 1\n")
        self.put("deep/two.txt", "1\n2\n")
        self.put("deep/law.tsv", "0.5 0.5\n")
        self.put_process("deep/p.json", "only_here.tsv", start="start.txt", site_rates="two.txt")
        self.put_process("deep/q.json", "only_here.tsv", start="table:law.tsv", length=2)
        run = ["--times", 1, "--samples", 5]
        self.assertEqual(self.simulate("--process", "deep/p.json", *run),
                         self.simulate("--generator", "deep/only_here.tsv", "--start", "deep/start.txt", "--site-rates",
                                       "deep/two.txt", *run))
        self.simulate("--process", "deep/q.json", *run)
        self.put_process("r.json", "q.tsv", start="0")
        self.simulate("--process", self.cwd / "r.json", *run)

    def test_the_schema_lists_the_keys_of_the_program(self):
        source = (SOURCE / "apps/forward.cpp").read_text()
        quoted = lambda text: re.findall(r'"(\w+)"', text)
        keys = quoted(re.search(r"std::string> const keys\{([^}]*)\}", source)[1])
        self.assertEqual(list(self.schema["properties"]), keys)
        inner = self.schema["properties"]["generator"]["oneOf"][1]
        self.assertEqual(list(inner["properties"]), quoted(re.search(r"check_keys\(generator, \{([^}]*)\}", source)[1]))
        self.assertIs(self.schema["additionalProperties"], False)
        self.assertIs(inner["additionalProperties"], False)
        self.assertEqual(self.schema["$schema"], "https://json-schema.org/draft/2020-12/schema")
        for name, part in (self.schema["properties"] | inner["properties"]).items():
            self.assertIn("description", part, name)
            self.assertTrue("const" in part or part["examples"], name)
            self.assertTrue(set(part) & {"type", "const", "oneOf"}, name)

    def test_examples_of_the_schema_run(self):
        self.put("rates.tsv", "-1 1\n2 -2\n")
        self.put("sequences.fasta", ">a\nACGT\n")
        self.put("laws.tsv", "0.25 0.25 0.25 0.25\n")
        for example in self.schema["examples"]:
            self.assertTrue(valid(example, self.schema))
            self.put("p.json", json.dumps(example))
            self.simulate("--process", "p.json", "--times", "0.1", "--samples", 2)
        base = {"format": "saltus-process", "version": 1, "generator": "jc69", "start": "ACGT"}
        fitting = {"rates.tsv": "0", "chars:01": "01"}  # starts of two states
        for key, part in self.schema["properties"].items():
            for example in part.get("examples", []) + ([part["default"]] if "default" in part else []):
                document = base | {key: example}
                if key == "generator" and example != "jc69":
                    document["start"] = fitting.get(example, "ACGT") if isinstance(example, str) else "a"
                elif key == "alphabet" and example == "chars:01":
                    document |= {"generator": "rates.tsv", "start": "01"}
                elif key == "alphabet" and example == "dna":
                    continue  # five symbols: below
                elif key == "start" and example is None:
                    continue
                elif key == "start" and isinstance(example, list):
                    document["generator"] = "rates.tsv"
                elif key == "start" and example == "0":
                    document["generator"] = "rates.tsv"
                elif key == "site_rates" and example == "rates.txt":
                    document["start"] = "ACG"
                elif key == "length":
                    document["start"] = "A"
                with self.subTest(key=key, example=example):
                    self.assertTrue(valid(document, self.schema))
                    self.put("p.json", json.dumps(document))
                    self.simulate("--process", "p.json", "--times", "0.1", "--samples", 2)
        self.put_process("dna.json", "uniform:states=5", alphabet="dna", start="AC-")
        self.assertRegex(self.simulate("--process", "dna.json", "--times", "0,0.1", "--samples", 1).decode(),
                         r"\nAC-\n")
        self.put_process("null.json", "jc69", start=None)
        self.simulate("--process", "null.json", "--start", "A", "--times", "0.1", "--samples", 2)

    def test_compare_reads_the_same_file(self):
        self.put_process("p.json", "jc69", start="ACGT")
        self.run_well("compare", "--process", "p.json", "--times", "0.5", "--integrators", "gillespie", "--samples", 50,
                      "--out", "r", "--quiet")
        self.assertTrue((self.cwd / "r/results.csv").exists())


class Refused(Simulation):
    """What must end with exit code 2 and one line, and leave nothing behind."""

    JC = ("--generator", "jc69", "--start", "A")

    def setUp(self):
        super().setUp()
        self.put("sum.tsv", "-1 1\n2 -1\n")
        self.put("negative.tsv", "-1 1\n-2 2\n")
        self.put("nan.tsv", "-1 nan\n2 -2\n")
        self.put("inf.tsv", "-1 inf\n2 -2\n")
        self.put("tall.tsv", "-1 1\n1 -1\n0 0\n")
        self.put("wide.tsv", "-1 0.5 0.25 0.25\n0.5 -1 0.25 0.25\n")
        self.put("word.tsv", "-1 1\n1 x\n")
        self.put("q.tsv", "-1 1\n1 -1\n")
        self.put("bad.fasta", ">a\nACGT\n>b\nACXT\n")
        self.put("ragged.fasta", ">a\nACGT\n>b\nACG\n")
        self.put("bad.txt", "ACGT\nAC T\n")
        self.put("t.nwk", "(A:1,B:1);")

    def refused(self, arguments, *fragments, command="simulate", code=2):
        with self.subTest(" ".join(map(str, arguments))):
            before = listing(self.cwd)
            given = [] if "--out" in arguments or "--print-config" in arguments else ["--out", "new"]
            result = saltus(command, *arguments, *given, cwd=self.cwd)
            lines = [line for line in result.stderr.decode().split("\n")[:-1] if not line.startswith("saltus: note: ")]
            self.assertEqual(result.returncode, code, lines)
            self.assertEqual((result.stdout, len(lines)), (b"", 1), lines)
            self.assertTrue(result.stderr.endswith(b"\n"))
            self.assertRegex(lines[0], r"\Asaltus: \S")
            self.assertNotIn("internal error", lines[0])
            for fragment in fragments:
                self.assertIn(str(fragment), lines[0])
            self.assertEqual(listing(self.cwd), before)

    def test_generators(self):
        run = lambda generator, *more: ["--generator", generator, "--start", "0", "--times", 1, *more]
        self.refused(run("sum.tsv"), "'sum.tsv', row 2", "to 1", "--fix-diagonal")
        self.refused(run("negative.tsv"), "'negative.tsv', row 2, column 1", "-2", ">= 0")
        self.refused(run("negative.tsv", "--fix-diagonal"), "row 2, column 1", "-2")
        self.refused(run("nan.tsv"), "row 1, column 2", "finite", "nan")
        self.refused(run("inf.tsv"), "row 1, column 2", "finite", "inf")
        self.refused(run("tall.tsv"), "'tall.tsv'", "3 rows", "2 columns", "square")
        self.refused(run("wide.tsv"), "'wide.tsv'", "2 rows", "square")
        self.refused(run("word.tsv"), "line 2", "row 2, column 2", "'x'")
        self.refused(run("jc96"), "unknown generator", "'jc96'", "did you mean jc69", "hky85")
        self.refused(run("no/such.tsv"), "cannot read 'no/such.tsv'", "No such file")
        self.refused(run("k80:kapa=3"), "'kapa'", "did you mean kappa")
        self.refused(run("k80:kappa=x"), "'k80'", "'kappa'", "'x'")
        self.refused(run("k80:kappa=-1"), "'kappa'", "above 0", "-1")
        self.refused(run("jc69:kappa=1"), "'kappa'")
        self.refused(run("hky85"), "'hky85'", "'freqs'", "A,C,G,T")
        self.refused(run("hky85:freqs=0.5,0.5,0.5,0.5"), "'freqs'", "sum to 1", "got 2")
        self.refused(run("uniform"), "'uniform'", "number of states", "uniform:states=")
        self.refused(run("birth_death:birth=1"), "'birth_death'", "needs 'death'")
        self.refused(run("birth_death:birth=-1,death=1"), "birth_death", "-1")
        self.refused(run("jc69", "--alphabet", "dna"), "dna", "5 symbols", "4 states")
        self.refused(run("birth_death:birth=1,death=1", "--normalise"), "birth_death", "cannot be normalised")
        self.refused(["--start", "A", "--times", 1], "--generator", "--process")

    def test_fix_diagonal_does_what_the_message_says(self):
        run = ["--generator", "sum.tsv", "--start", "0", "--length", 10, "--samples", 10000, "--times", 0.5]
        _, values = self.tokens(*run, "--fix-diagonal")
        moved = lambda t: 1 / 3 * -math.expm1(-3 * t)  # the rates are 1 and 2
        self.assertGreater(fit(collections.Counter(values), {0: 1 - moved(0.5), 1: moved(0.5)}), SURE)

    def test_starts(self):
        run = lambda start, *more: ["--generator", "jc69", "--start", start, "--times", 1, *more]
        self.refused(run("bad.fasta"), "'bad.fasta', line 4, column 3", "record 'b'", "'X'", "ACGT")
        self.refused(run("bad.txt"), "'bad.txt', line 2, column 3", "' '")
        self.refused(run("ragged.fasta"), "different lengths", "record 'b' (line 3)")
        self.refused(run("ACXT"), "'ACXT'", "'X'", "column 3")
        self.refused(run("ACGT", "--length", 5), "--length is 5", "length 4")
        self.refused(run("t.fasta"), "'t.fasta'", "neither a file nor")
        self.refused(run("A", "--length", 0), "--length", "'0'")
        self.refused(run("A", "--length", "x"), "--length", "'x'")
        self.refused(["--generator", "jc69", "--times", 1], "--start")
        number = lambda start, generator="path:states=4": ["--generator", generator, "--start", start, "--times", 1]
        self.refused(number("4"), "'4'", "0 to 3")
        self.refused(number("-1"), "'-1'", "0 to 3")
        self.refused(number("1.5"), "'1.5'", "0 to 3")
        self.put("numbers.txt", "1 2\n1 7\n")
        self.refused(number("numbers.txt"), "'numbers.txt', line 2, column 3", "'7'", "0 to 3")
        (self.cwd / "wrong.npy").write_bytes(npy([0, 1, 2, 9], (2, 2)))
        self.refused(number("wrong.npy"), "wrong.npy", "entry 3", "0 to 3", "9")
        self.refused(number("stationary", "birth_death:birth=1,death=2"), "birth_death", "no largest state")
        self.put("two.tsv", "-1 1 0\n1 -1 0\n0 0 0\n")
        self.refused(number("stationary", "two.tsv"), "2 closed classes")
        self.put("laws.tsv", "0.5 0.6 0 0\n")
        self.refused(run("table:laws.tsv"), "sum to 1", "1.1")
        self.put("minus.tsv", "1.5 -0.5 0 0\n")
        self.refused(run("table:minus.tsv"), "negative probability", "state 1")
        self.put("narrow.tsv", "0.5 0.5\n")
        self.refused(run("table:narrow.tsv"), "'narrow.tsv', line 1", "4 numbers", "got 2")
        self.refused(run("table:none.tsv"), "'none.tsv'", "No such file")
        self.put("sites.tsv", "1 0 0 0\n0 1 0 0\n")
        self.refused(run("table:sites.tsv", "--length", 3), "--length is 3", "length 2")

    def test_times(self):
        run = lambda *times: [*self.JC, *times]
        self.refused(run(), "--times")
        self.refused(run("--times", "1,0.5"), "--times", "increase", "0.5 after 1")
        self.refused(run("--times", "1,1"), "--times", "'1' twice")
        self.refused(run("--times", "0:1:0.5,1"), "--times", "increase", "1 after 1")
        self.refused(run("--times", "-1"), "--times", "before 0", "-1")
        self.refused(run("--times", "-1:1:0.5"), "--times", "before 0")
        for text in ("x", "0:1", "0:1:0", "0:1:-1", "1:0:0.5", "0:1:0.5:2", "0:1:x", "nan", "inf", "0:1:1e-9"):
            self.refused(run("--times", text), "--times", f"'{text}'")
        self.refused(run("--times", "1,,2"), "--times", "empty")
        self.refused(run("--times", "0.5,2", "--noise", "cosine"), "t = 2", "end of the noise", "t = 1")
        self.refused(run("--times", "2", "--noise", "cosine", "--integrator", "tweedie"), "2", "noise")
        self.refused(run("--times", "0.5,1", "--out", "x.txt"), "--format", "several times")

    def test_methods(self):
        run = [*self.JC, "--times", 1]
        self.refused([*run, "--integrator", "gilespie"], "unknown integrator 'gilespie'", "did you mean gillespie")
        self.refused([*run, "--integrator", "tau_leaping:rule=frist"], "'frist'", "did you mean first", "ordinal")
        self.refused([*run, "--integrator", "tau_leaping:rul=first"], "'rul'", "did you mean rule")
        self.refused([*run, "--integrator", "euler:rule=first"], "euler", "'rule'")
        self.refused([*run, "--integrator", "tau_leaping:rule=ordinal"], "ordinal", "path", "these would do",
                     "gillespie")
        for name in ("gillespie", "uniformization"):
            self.refused([*run, "--step", 0.1, "--integrator", name], "--step", name)
        for step in ("-1", "nan", "inf", "x"):
            self.refused([*run, "--step", step, "--integrator", "euler"], "--step", step)
        for name in ("tweedie", "euler"):
            self.refused([*run, "--trajectory", "t.csv", "--integrator", name], "--trajectory", "gillespie", name)
        population = ["--generator", "birth_death:birth=1,death=1", "--start", "1", "--times", 1]
        self.refused([*population, "--integrator", "tweedie"], "'tweedie'", "birth_death", "these would do",
                     "gillespie")
        self.refused([*population, "--integrator", "uniformization"], "'uniformization'", "these would do", "gillespie")

    def test_site_rates(self):
        run = lambda rates: [*self.JC, "--length", 2, "--times", 1, "--site-rates", rates]
        self.put("three.txt", "1\n1\n1\n")
        self.put("minus.txt", "1\n-1\n")
        self.refused(run("three.txt"), "'three.txt'", "3 sites", "2 sites")
        self.refused(run("minus.txt"), "'minus.txt'", "site 2", "-1")
        self.refused(run("gama:shape=1"), "'gama'", "did you mean gamma")
        self.refused(run("gamma"), "gamma", "needs a shape")
        self.refused(run("gamma:shape=0"), "shape", "got 0")
        self.refused(run("gamma:shape=1,category=4"), "'category'", "did you mean categories")
        self.refused(run("invariant:share=1"), "'share'", "got 1")

    def test_trees(self):
        run = lambda name, *more: [*self.JC, "--tree", name, *more]
        for text, *fragments in (("((A:0.1,B:0.2):0.3,C:1", "line 1, column 23", "';'"),
                                 ("(A:0.1,\nB:-0.2);", "line 2, column 3", ">= 0", "'-0.2'"),
                                 ("(A:1,B:x);", "line 1, column 8", "'x'"), ("(A:1,B);", "'B'", "no length"),
                                 ("(A:1,A:1);", "column 6", "two leaves", "'A'"), ("(A:1,B:1));", "column 10", "')'"),
                                 ("(A:1,B:1); x", "column 12", "nothing after"), ("", "no tree"),
                                 ("(A:1,:1);", "column 6", "name of a leaf")):
            self.put("bad.nwk", text)
            self.refused(run("bad.nwk"), "'bad.nwk'", *fragments)
        self.refused(run("none.nwk"), "'none.nwk'", "No such file")
        for option, value in (("--times", "1"), ("--trajectory", "t.csv"), ("--statistics", "s.csv")):
            self.refused(run("t.nwk", option, value), option, "--tree")
        self.refused(run("t.nwk", "--noise", "constant:rate=2,end=inf"), "noise", "--tree")
        self.refused([*self.JC, "--times", 1, "--ancestors"], "--ancestors", "--tree")
        for step in ("-1", "nan", "x"):
            self.refused(run("t.nwk", "--step", step, "--integrator", "euler"), "--step", step)
        self.refused(run("t.nwk", "--step", "0.1", "--integrator", "gillespie"), "--step", "gillespie")

    def test_process_files(self):
        base = {"format": "saltus-process", "version": 1, "generator": "jc69", "start": "A"}
        schema = json.loads((SOURCE / "docs/process.schema.json").read_text())
        def refused(document, *fragments):
            if not isinstance(document, str):
                self.assertFalse(valid(document, schema), document)
                document = json.dumps(document)
            self.put("p.json", document)
            self.refused(["--process", "p.json", "--times", 1], "p.json", *fragments)
        refused('{"format": ', "not valid JSON")
        refused([1, 2], "JSON object")
        refused(base | {"format": "other"}, '"saltus-process"')
        refused({key: base[key] for key in base if key != "format"}, "'format' is missing")
        refused(base | {"version": 2}, '"version": 1')
        refused({key: base[key] for key in base if key != "generator"}, "'generator' is missing")
        refused(base | {"lenght": 3}, "unknown key 'lenght'", "did you mean length")
        refused(base | {"noize": "cosine"}, "'noize'", "did you mean noise")
        refused(base | {"generator": {"matrx": [[0]]}}, "generator", "'matrx'", "did you mean matrix")
        refused(base | {"generator": {"names": ["a"]}}, "generator", "'matrix' is missing")
        refused(base | {"generator": {"matrix": [1, 2]}}, "'matrix'", "list of rows")
        refused(base | {"generator": {"matrix": [[0]], "names": [1]}}, "'names'", "list of names")
        for key, value in (("generator", 3), ("alphabet", 4), ("fix_diagonal", "yes"), ("normalise", 1), ("noise", 2.5),
                           ("site_rates", [1, 2]), ("start", {"x": 1}), ("start", ["a"]), ("length", "two"),
                           ("length", 2.5), ("length", 0),
                           ("length", -3), ("length", True), ("noise", None), ("length", None)):
            refused(base | {key: value}, f"'{key}'")
        self.put("p.json", json.dumps(base))
        self.refused(["--process", "p.json", "--generator", "k80", "--times", 1], "--process", "--generator",
                     "not both")
        self.refused(["--process", "none.json", "--times", 1], "'none.json'", "No such file")
        self.put("p.json", json.dumps(base | {"start": None}))
        self.refused(["--process", "p.json", "--times", 1], "--start")
        for law, *fragments in (([0.5, 0.5], "2 probabilities", "4 states"),
                                ([0.5, 0.5, 0.5, 0.5], "sum to 1", "got 2"),
                                ([1.5, -0.5, 0, 0], "negative", "state 1")):
            self.put("p.json", json.dumps(base | {"start": law}))
            self.refused(["--process", "p.json", "--times", 1], *fragments)
        for matrix, *fragments in (([[-1, 1], [2, -1]], "row 2", "--fix-diagonal"),
                                   ([[-1, 1], [-2, 2]], "row 2, column 1", "-2"),
                                   ([[-1, 1], [1]], "row 2", "1 entries"), ([[-1, 1, 0], [1, -1, 0]], "square"),
                                   ([], "matrix")):
            self.put("p.json", json.dumps(base | {"generator": {"matrix": matrix}, "start": "0"}))
            self.refused(["--process", "p.json", "--times", 1], "matrix", *fragments)
        self.put("p.json",
                 json.dumps(base | {"generator": {"matrix": [[-1, 1], [1, -1]], "names": ["a", "a"]}, "start": "a"}))
        self.refused(["--process", "p.json", "--times", 1], "'a'", "differ")
        self.put("p.json",
                 json.dumps(base | {"generator": {"matrix": [[-1, 1], [1, -1]], "names": ["a"]}, "start": "a"}))
        self.refused(["--process", "p.json", "--times", 1], "2 rows", "1 names")
        # Names that a matrix in a file could not have.
        for names in (["a b", "c d"], ["a,b", "c,d"], ["#a", "#b"], ["", "b"], ["0.5", "1.5"]):
            generator = {"matrix": [[-1, 1], [1, -1]], "names": names}
            refused(base | {"generator": generator, "start": "0"}, "name", f"'{names[0]}'")

    def test_outputs(self):
        run = [*self.JC, "--times", 1]
        (self.cwd / "folder").mkdir()
        for option in ("--out", "--statistics", "--trajectory", "--summary"):
            more = [] if option == "--out" else ["--out", "x.fasta"]
            self.refused([*run, *more, option, "missing/x"], "'missing/x'", "No such file",
                         "make the directory 'missing'")
            self.refused([*run, *more, option, "folder"], "'folder'", "Is a directory")
            self.refused([*run, *more, option, "/proc/x"], "'/proc/x'", "cannot write")
        self.refused([*self.JC, "--tree", "t.nwk", "--out", "missing/x"], "'missing/x'", "No such file")

    def test_numbers_and_options(self):
        run = [*self.JC, "--times", 1]
        for option, value, *fragments in (("samples", "0", "from 1"), ("samples", "1e3", "'1e3'"),
                                          ("batch", "0", "from 1"),
                                          ("seed", "-1", "from 0"), ("threads", "-1", "from 0"),
                                          ("format", "fast", "did you mean fasta"),
                                          ("noise", "constnat", "did you mean constant"),
                                          ("noise", "constant:rate=-1", "rate above 0"),
                                          ("alphabet", "dnaa", "did you mean dna")):
            self.refused([*run, "--" + option, value], *fragments)
        self.refused([*run, "--stpe", 1], "unknown option '--stpe'", "did you mean --step")
        self.refused([*run, "--steps", 4], "unknown option '--steps'")
        self.refused([*run, "--config", "x"], "unknown option '--config'")
        self.refused([*run, "stray"], "stray argument 'stray'", "simulate --help")

    def test_compare(self):
        forward = ["--generator", "jc69", "--start", "A", "--samples", 10]
        refused = functools.partial(self.refused, command="compare")
        refused(forward, "--times")
        refused([*forward, "--times", "1,2"], "one time")
        refused([*forward, "--times", "0"], "above 0")
        refused([*forward, "--times", "1", "--integrators", "gilespie"], "did you mean gillespie")
        refused(["--generator", "birth_death:birth=1,death=1", "--start", "1", "--times", 1], "birth_death",
                "largest state")
        self.put("two.fasta", ">a\nA\n>b\nC\n")
        refused(["--generator", "jc69", "--start", "two.fasta", "--times", 1], "one start", "2")
        for option, value in (("--start", "A"), ("--process", "p.json"), ("--times", "1"), ("--length", "3"),
                              ("--site-rates", "x")):
            refused(["--model", "product", "--data", self.data, option, value], option, "--model")
        for option in ("--fix-diagonal", "--normalise"):
            refused(["--model", "product", "--data", self.data, option], option, "--model")
        refused(["--model", "product", "--data", self.data, "--generator", "path:states=3"], "3 states", "5")


class Checkpoints(Simulation):
    """A simulation that is broken off at any moment gives, taken up again, what a whole run gives."""

    # Every kind of output; each takes about a second.
    RUNS = {
        "times": (["--generator", "k80:kappa=3", "--start", "stationary", "--length", 40, "--times", "0.5,1", "--samples", 40000,
                   "--integrator", "gillespie", "--batch", 32], {"out": "s.csv", "trajectory": "j.csv", "statistics": "m.csv"}),
        "arrays": (["--generator", "birth_death:birth=1,death=1.1", "--start", "20", "--length", 1, "--times", "1,2,3", "--samples", 60000,
                    "--integrator", "gillespie", "--batch", 64], {"out": "s.npy", "trajectory": "j.npy", "statistics": "m.csv"}),
        "tree": (["--generator", "jc69", "--start", "stationary", "--length", 100, "--tree", "tree.nwk", "--samples", 20000, "--batch", 64],
                 {"out": "s.fasta"}),
    }

    def call(self, arguments, outputs, folder):
        files = [x for name, file in outputs.items() for x in (f"--{name}", f"{folder}/{file}")]
        return ["simulate", *arguments, *files, "--summary", f"{folder}/summary.json", "--threads", 1, "--quiet"]

    def test_killed_at_random_moments(self):
        draw = random.Random(2)
        for name, (arguments, outputs) in self.RUNS.items():
            self.put("tree.nwk", "((a:0.1,b:0.2):0.1,(c:0.3,d:0.1):0.2);")
            for folder in ("whole", "cut"):
                (self.cwd / name / folder).mkdir(parents=True)
            began = time.time()
            self.run_well(*self.call(arguments, outputs, f"{name}/whole"))
            length = time.time() - began
            kept = self.cwd / f"{name}.json"
            kills = 0
            for attempt in range(60):
                more = ["--checkpoint", kept.name, "--checkpoint-minutes", 0, *(["--resume"] if kept.exists() else [])]
                run = subprocess.Popen([PROGRAM, *map(str, [*self.call(arguments, outputs, f"{name}/cut"), *more])], cwd=self.cwd, stderr=subprocess.PIPE)
                if attempt < 50:
                    time.sleep(draw.uniform(0, 0.12 * length))
                    if run.poll() is None:
                        run.kill()
                        kills += 1
                message = run.communicate()[1]
                if run.returncode == 0:
                    break
                self.assertEqual((run.returncode, message), (-signal.SIGKILL, b""))
            self.assertEqual(run.returncode, 0)
            self.assertGreater(kills, 20, name)
            for file in outputs.values():
                self.assertTrue(filecmp.cmp(self.cwd / name / "cut" / file, self.cwd / name / "whole" / file, shallow=False), (name, file))
            whole, cut = (json.loads((self.cwd / name / folder / "summary.json").read_text()) for folder in ("whole", "cut"))
            for key in ("samples", "jumps", "clamps"):
                self.assertEqual(cut[key], whole[key], (name, key))
            # (Hidden temporary files of the moment are what kill -9 may leave.)
            self.assertEqual(sorted(p.name for p in (self.cwd / name / "cut").iterdir() if not p.name.startswith(".")), sorted([*outputs.values(), "summary.json"]))
            self.assertFalse(kept.exists())

    def test_signals_save_first_and_another_run_is_refused(self):
        arguments, outputs = self.RUNS["times"]
        arguments = [10**7 if x == 40000 else x for x in arguments]
        call = ["simulate", *arguments, "--out", "s.csv", "--statistics", "m.csv", "--quiet", "--site-rates", "rates.txt", "--checkpoint", "c.json"]
        self.put("rates.txt", "\n".join(["1"] * 40))
        run = subprocess.Popen([PROGRAM, *map(str, call)], cwd=self.cwd, stderr=subprocess.PIPE)
        while not (self.cwd / "c.json").exists() and run.poll() is None:
            time.sleep(0.01)
        time.sleep(0.5)
        run.terminate()
        message = run.communicate()[1].decode()
        self.assertEqual(run.returncode, -signal.SIGTERM, message)
        kept = json.loads((self.cwd / "c.json").read_text())
        self.assertGreater(kept["samples"], 0)
        self.assertIn(f"stopped after {kept['samples']} samples; --resume", message)
        self.assertGreaterEqual((self.cwd / "s.csv.partial").stat().st_size, kept["outputs"]["out"])
        self.refused([*call[1:]], "--resume, or remove")
        self.refused([*call[1:], "--resume", "--seed", 5], 'has seed "1", and this call seed "5"')
        self.put("rates.txt", "\n".join(["2"] + ["1"] * 39))
        self.refused([*call[1:], "--resume"], "site-rates (hash of its file)")
        self.refused([*arguments, "--resume", "--out", "x.csv"], "--checkpoint FILE")
        self.refused([*arguments, "--checkpoint", "d.json"], "of it nothing can be kept")

    def refused(self, arguments, *parts):
        done = saltus("simulate", *arguments, cwd=self.cwd)
        self.assertEqual(done.returncode, 2, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr.decode())


class FullDisk(Simulation):
    """Exit code 5; the message names what could not be written, and no temporary file is left."""

    def failed(self, *arguments, stdout=subprocess.PIPE):
        run = [PROGRAM, "simulate", "--quiet", *map(str, arguments)]
        result = subprocess.run(run, cwd=self.cwd, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                                timeout=60)
        message = result.stderr.decode()
        self.assertEqual(result.returncode, 5, message)
        self.assertRegex(message, r"\Asaltus: cannot write .*No space left.*\n\Z")
        self.assertEqual([name for name in listing(self.cwd) if name.startswith(".")], [])
        return message

    def test_every_output(self):
        self.put("t.nwk", "(A:1,B:1);")
        run = ["--generator", "jc69", "--start", "A", "--samples", 3]
        for option in ("--out", "--statistics", "--trajectory", "--summary"):
            more = [] if option == "--out" else ["--out", "x"]
            self.assertIn("'/dev/full'", self.failed(*run, "--times", 1, *more, option, "/dev/full"))
        self.failed(*run, "--tree", "t.nwk", "--out", "/dev/full")
        with open("/dev/full", "wb") as full:
            self.failed(*run, "--times", 1, stdout=full)
            self.failed(*run, "--print-config", stdout=full)


class Notes(Simulation):
    def notes(self, *arguments, code=0):
        result = saltus("simulate", *arguments, "--out", "x", cwd=self.cwd)
        lines = result.stderr.decode().splitlines()
        self.assertEqual(result.returncode, code, lines)
        for line in lines:
            self.assertTrue(line.startswith("saltus: note: "), line)
        quiet = saltus("simulate", *arguments, "--out", "x", "--quiet", cwd=self.cwd)
        self.assertEqual((quiet.returncode, quiet.stderr), (0, b""))
        return "\n".join(lines)

    def test_absorbing_and_unreachable_states(self):
        self.put("absorbing.tsv", "-1 1\n0 0\n")
        self.put("named.csv", ",on,off\non,-1,1\noff,0,0\n")
        self.put("two.tsv", "0 0 0\n1 -2 1\n0 0 0\n")
        self.put("unreachable.tsv", "-1 1 0\n1 -1 0\n1 0 -1\n")
        self.put("fine.tsv", "-1 1\n1 -1\n")
        self.assertIn("state 1 (row 2 of the file) is absorbing",
                      self.notes("--generator", "absorbing.tsv", "--start", 0, "--times", 1))
        self.assertIn("state 'off' is absorbing", self.notes("--generator", "named.csv", "--start", "1", "--times", 1))
        two = self.notes("--generator", "two.tsv", "--start", 1, "--times", 1)
        self.assertIn("2 states are absorbing", two)
        self.assertIn("2 closed classes", two)
        self.assertIn("cannot be reached", self.notes("--generator", "unreachable.tsv", "--start", 2, "--times", 1))
        self.assertEqual(self.notes("--generator", "fine.tsv", "--start", 0, "--times", 1), "")

    def test_normalised_or_not(self):
        self.put("q.tsv", "-3 3\n3 -3\n")
        self.assertIn("normalised to one expected jump", self.notes("--generator", "lg", "--start", "A", "--times", 1))
        self.assertIn("not normalised: mean rate 3", self.notes("--generator", "q.tsv", "--start", 0, "--times", 1))
        self.assertIn("normalised to one expected jump",
                      self.notes("--generator", "q.tsv", "--start", 0, "--times", 1, "--normalise"))
        a, b = ["--start", 0, "--samples", 500, "--times"], ["--generator", "q.tsv"]
        self.assertEqual(self.simulate(*b, *a, 1, "--normalise"),
                         self.simulate(*b, *a, 1, "--noise", f"constant:rate={1 / 3},end=inf"))

    def test_names_that_are_no_words(self):
        self.put("q.csv", ",open,shut tight\nopen,-1,1\nshut tight,1,-1\n")
        self.assertIn("written as numbers", self.notes("--generator", "q.csv", "--start", 0, "--times", 1))


class Extremes(Simulation):
    def soon(self, *arguments):
        """Standard output of a run that must end within 20 seconds."""
        result = subprocess.run([PROGRAM, "simulate", "--quiet", *map(str, arguments)], cwd=self.cwd,
                                capture_output=True,
                                timeout=20, stdin=subprocess.DEVNULL)
        self.assertEqual((result.returncode, result.stderr), (0, b""), arguments)
        return result.stdout.decode()

    def test_nothing_can_happen(self):
        self.put("absorbing.tsv", "-1 1\n0 0\n")
        self.put("zero.tsv", "0 0\n0 0\n")
        self.put("rates.txt", "0\n0\n")
        for generator, start, integrators, more in (
                ("birth_death:birth=1,death=1", "0", ["gillespie", "euler", "tau_leaping", "tau_leaping:rule=ordinal"],
                 []),
                ("immigration_death:immigration=0,death=1", "0", ["gillespie", "euler"], []),
                ("absorbing.tsv", "1", [*EXACT, "euler"], []), ("zero.tsv", "0", [*EXACT, "euler"], []),
                ("absorbing:states=4", "3", [*EXACT, "euler", "exponential"], []),
                ("jc69", "CC", [*EXACT, "euler"], ["--site-rates", "rates.txt"])):
            for integrator in integrators:
                with self.subTest(generator=generator, integrator=integrator):
                    output = self.soon("--generator", generator, "--start", start, "--times", "1,1000000", "--samples",
                                       50,
                                       "--integrator", integrator, "--format", "csv", *more)
                    self.assertEqual({line.split(",")[2] for line in output.splitlines()[1:]}, {start})

    def test_all_are_absorbed_in_the_end(self):
        self.put("line.tsv", "-1 1 0\n0 -1 1\n0 0 0\n")
        for integrator in EXACT:
            output = self.soon("--generator", "line.tsv", "--start", "0", "--times", "1000", "--samples", 200,
                               "--integrator",
                               integrator)
            self.assertEqual(set(output.split()), {"2"})
        output = self.soon("--generator", "birth_death:birth=1,death=3", "--start", "10", "--times", "100", "--samples",
                           200)
        self.assertEqual(set(output.split()), {"0"})

    def test_rates_far_apart(self):
        self.put("stiff.tsv", "-1e-12 1e-12 0\n1e12 -1e12 0\n0 1 -1\n")
        output = self.soon("--generator", "stiff.tsv", "--start", "1", "--times", "1e-3,1", "--samples", 1000,
                           "--format", "csv")
        self.assertEqual({line.split(",")[2] for line in output.splitlines()[1:]}, {"0"})
        # A matrix of transition probabilities would have no digits left: it is refused, and what does without is named.
        result = saltus("simulate", "--generator", "stiff.tsv", "--start", "1", "--times", "1", "--integrator", "tweedie",
                        cwd=self.cwd)
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"'gillespie' does without", result.stderr)
        # From state 2 at rate 1 to 1, and at once to 0.
        output = self.soon("--generator", "stiff.tsv", "--start", "2", "--times", "1", "--samples", 50000)
        counts = collections.Counter(output.split())
        law = lambda t: {"2": math.exp(-t), "0": -math.expm1(-t)}
        self.assertGreater(fit(counts, law(1)), SURE)
        self.assertLess(fit(counts, law(1.05)), SURE)
        # A jump that takes 1e12: none within 1e6.
        output = self.soon("--generator", "stiff.tsv", "--start", "0", "--times", "1e6", "--samples", 100)
        self.assertEqual(output.split(), ["0"] * 100)

    def test_many_states(self):
        # A walk on 100,000 states, up at rate 1 and down at rate 0.5: a dense matrix would take 80 GB.
        n = 100000
        with open(self.cwd / "walk.mtx", "w") as file:
            file.write(f"%%MatrixMarket matrix coordinate real general\n% a walk\n{n} {n} {2 * n - 2}\n")
            file.write("".join(f"{x} {x + 1} 1\n{x + 1} {x} 0.5\n" for x in range(1, n)))
        for integrator in ("gillespie", "uniformization"):
            begin = time.monotonic()
            process = subprocess.Popen([PROGRAM, "simulate", "--quiet", "--generator", "walk.mtx", "--start",
                                        str(n // 2), "--times",
                                        "20", "--samples", "1000", "--out", "x.npy", "--integrator", integrator],
                                       cwd=self.cwd)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual(process.returncode, 0)
            self.assertLess(time.monotonic() - begin, 20)
            self.assertLess(usage.ru_maxrss / 1024, 400, "MB")
            shape, values = read_array((self.cwd / "x.npy").read_bytes())
            self.assertEqual(shape, (1000, 1, 1))
            # Far from the ends: a difference of Poisson numbers with means 20 and 10.
            moved = [y - n // 2 for y in values]
            mean = sum(moved) / 1000
            self.assertLess(abs(mean - 10), 5 * math.sqrt(30 / 1000))
            variance = sum((x - mean)**2 for x in moved) / 999
            self.assertLess(abs(variance - 30), 5 * 30 * math.sqrt(2.1 / 1000))
        output = self.soon("--generator", "walk.mtx", "--start", "0,99999", "--times", "5", "--samples", 100).split()
        self.assertTrue(all(0 <= int(y) < n for y in output))
        refused = saltus("simulate", "--generator", "walk.mtx", "--start", "0", "--times", "1", "--integrator",
                         "tweedie", cwd=self.cwd)
        self.assertEqual(refused.returncode, 2)
        self.assertRegex(refused.stderr.decode(), r"these would do: .*gillespie")


class CompareForward(Simulation):
    """compare where the process runs forwards, or backwards without a mask."""

    METRICS = {"tv_site", "tv_pair", "tv_triple", "nll", "token_entropy", "impossible_transitions", "clamps"}

    def biased(self):
        """Data of which every site prefers one letter, other than its neighbour's."""
        lines = ["".join("ACGT"[(l + (i % 10 == l)) % 4] for l in range(6)) for i in range(50)]
        return self.put("biased.txt", "\n".join(lines) + "\n")

    def results(self, *arguments):
        table = self.run_well("compare", *arguments, "--out", "r").decode()
        rows = list(csv.DictReader((self.cwd / "r/results.csv").read_text().splitlines()))
        return rows, json.loads((self.cwd / "r/results.json").read_text()), table

    def inside(self, rows, integrator, nfe=None):
        """Metrics outside their bands."""
        rows = [row for row in rows if row["integrator"] == integrator and nfe in (None, row["nfe"])]
        inside = lambda row: float(row["null_low"]) <= float(row["value"]) <= float(row["null_high"])
        return [row["metric"] for row in rows if row["null_low"] and not inside(row)]

    def test_forward(self):
        self.put("rates.txt", "0.5\n1\n2\n1\n")
        rows, results, table = self.results("--quiet", "--generator", "hky85:kappa=2,freqs=0.3,0.2,0.2,0.3", "--start",
                                            "ACGT", "--times",
                                            "0.8", "--site-rates", "rates.txt", "--integrators",
                                            "gillespie,uniformization,tweedie,euler,exponential,tau_leaping", "--nfe",
                                            "1,64", "--samples", 4000)
        self.assertEqual(table, "")
        steps = itertools.product(("euler", "exponential", "tau_leaping"), ("1", "64"))
        expected = {(name, "0") for name in EXACT} | set(steps)
        self.assertEqual(collections.Counter((row["integrator"], row["nfe"], row["metric"]) for row in rows),
                         collections.Counter((*run, metric) for run in expected for metric in self.METRICS))
        site = {(row["integrator"], row["nfe"]): row for row in rows if row["metric"] == "tv_site"}
        for name in EXACT:
            self.assertEqual(self.inside(rows, name), [], name)
        for name in ("euler", "exponential", "tau_leaping"):
            self.assertIn("tv_site", self.inside(rows, name, "1"))
            self.assertGreater(float(site[name, "1"]["low"]), float(site[name, "64"]["high"]))
        claims = {run["integrator"]: run["inside_null_band"] for run in results["runs"] if "inside_null_band" in run}
        self.assertEqual(claims, {name: True for name in EXACT})
        # tv_site of gillespie from its file and the closed form; the multiplier of a site multiplies its time.
        pi = [0.3, 0.2, 0.2, 0.3]
        sequences = read_sequences((self.cwd / "r/samples/gillespie.fasta").read_bytes(), "fasta", NUCLEOTIDES)
        self.assertEqual(len(sequences), 4000)
        distance = 0
        for l, rate in enumerate((0.5, 1, 2, 1)):
            counts = collections.Counter(x[l] for x in sequences)
            distance += sum(abs(counts[y] / 4000 - hky85(l, y, 2, pi, 0.8 * rate)) for y in range(4)) / 2
        self.assertAlmostEqual(float(site["gillespie", "0"]["value"]), distance / 4, delta=1e-9)

    def test_table(self):
        # A generator by name that is no matrix from a file has no notes.
        _, _, table = self.results("--generator", "path:states=5", "--start", "0", "--length", 3, "--times", "1",
                                   "--integrators",
                                   "gillespie,euler", "--nfe", "2", "--samples", 500)
        self.assertIn("gillespie claims to be exact and lies inside all bands", table)
        self.assertRegex(table, r"(?m)^gillespie +exact ")
        self.assertRegex(table, r"(?m)^euler +2 ")
        self.assertEqual({p for p in listing(self.cwd / "r") if p.startswith("samples/")},
                         {"samples/gillespie.txt", "samples/euler_steps2.txt"})

    def test_starts_from_laws(self):
        rows, _, _ = self.results("--quiet", "--generator", "jc69", "--start", "stationary", "--length", 4, "--times",
                                  "0.5", "--integrators",
                                  "gillespie,tweedie", "--samples", 3000)
        self.assertEqual(self.inside(rows, "gillespie") + self.inside(rows, "tweedie"), [])

    def test_threads_and_batch(self):
        run = ["--quiet", "--generator", "jc69", "--start", "ACGT", "--times", "0.5", "--nfe", "2", "--samples", 200]
        reference, _, _ = self.results(*run)
        self.assertEqual(self.results(*run, "--threads", 1, "--batch", 7)[0], reference)
        self.assertNotEqual(self.results(*run, "--seed", 2)[0], reference)

    def test_print_config(self):
        run = ["--generator", "jc69", "--start", "ACGT", "--times", "0.5", "--nfe", "2", "--samples", 200, "--quiet"]
        (self.cwd / "c.cfg").write_bytes(self.run_well("compare", *run, "--print-config"))
        self.assertEqual(self.results("--config", "c.cfg")[0], self.results(*run)[0])

    def test_reverse_uniform(self):
        rows, results, _ = self.results("--quiet", "--model", "product", "--data", self.biased(), "--generator",
                                        "uniform", "--integrators",
                                        "uniformization,tweedie,euler", "--nfe", "4,64", "--samples", 2000)
        self.assertEqual(self.inside(rows, "uniformization"), [])
        self.assertEqual([run["inside_null_band"] for run in results["runs"] if run["integrator"] == "uniformization"],
                         [True])
        self.assertIn("tv_site", self.inside(rows, "euler", "4"))
        sequences = read_sequences((self.cwd / "r/samples/uniformization.fasta").read_bytes(), "fasta", "ACGT-")
        self.assertEqual([len(x) for x in sequences], [6] * 2000)

    def test_reverse_ordinal(self):
        rows, _, _ = self.results("--quiet", "--model", "product", "--data", self.biased(), "--generator",
                                  "gaussian_target:rate_sigma=3,target_sigma=2", "--integrators",
                                  "tweedie,euler,tau_leaping,tau_leaping:rule=ordinal",
                                  "--nfe", "2,64", "--noise", "exponential:base=100,scale=0.2", "--samples", 1000)
        site = {(row["integrator"], row["nfe"]): float(row["value"]) for row in rows if row["metric"] == "tv_site"}
        self.assertEqual(len(site), 8)
        for name in ("euler", "tau_leaping", "tau_leaping:rule=ordinal"):
            self.assertLess(site[name, "64"], site[name, "2"])
        # Products: the exact law of a site with the others frozen is the law itself, whatever the steps.
        self.assertEqual(self.inside(rows, "tweedie", "64"), [])


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
