# SPDX-License-Identifier: BSD-3-Clause
"""Runs 'saltus evaluate' as a user would.

Needs SALTUS_PROGRAM and SALTUS_SOURCE as test_cli.py; standard library only. What the program says is recomputed here
from the sequences, and samples with one site of twenty redrawn must be told apart. Where $SALTUS_PYTHON or this Python has
RDKit, molecules are judged in earnest; everywhere, the program must say what is missing.
"""

import collections
import csv
import importlib.util
import json
import math
import os
import random
import re
import struct
import subprocess
import sys
import unittest

from test_cli import KUNITZ, Case, Html, saltus

MOLECULES = [
    "CCO",
    "CCN",
    "CC(=O)O",
    "c1ccccc1",
    "C1CC1",
    "CC#N",
    "OCC=O",
    "CNC",
    "COC",
    "C[N+](=O)[O-]",
    "NC=O",
     "CC(C)C"]


def rdkit_python():
    """A Python that has RDKit, or nothing."""
    for python in (os.environ.get("SALTUS_PYTHON"), sys.executable):
        if python and subprocess.run([python, "-c", "import rdkit"], capture_output=True).returncode == 0:
            return python
    return None


def entropy(counts):
    total = sum(counts.values())
    return -sum(c / total * math.log(c / total) for c in counts.values())


class Evaluate(Case):
    def test_a_law_over_numbers_says_what_samples_have(self):
        joint = [0.5, 0.1, 0.1, 0.3]
        header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }"
        header += " " * (-(11 + len(header)) % 64) + "\n"
        (self.cwd / "joint.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack("<4d", *joint))
        samples = self.write("numbers.txt", ["0 0"] * 50 + ["1 1"] * 30 + ["0 1"] * 10 + ["1 0"] * 10)
        rows = self.judge(samples, samples, "--kind", "words", "--model", "table:joint.npy")
        expected = -(0.5 * math.log(0.5) + 0.3 * math.log(0.3) + 0.2 * math.log(0.1))
        self.assertAlmostEqual(rows["model_sequence"]["samples"]["value"], expected, places=9)
        self.assertNotIn("low", rows["distinct"]["samples"])  # no interval of it is known

    def write(self, name, lines):
        path = self.cwd / name
        path.write_text("".join(line + "\n" for line in lines))
        return path

    def judge(self, samples, reference, *arguments, env=None):
        """The rows by name."""
        options = {"env": env} if env else {}
        self.run_well(
    "evaluate",
    "--samples",
    samples,
    "--reference",
    reference,
    "--quiet",
    "--json",
    "e.json",
    *arguments,
     **options)
        self.results = json.loads((self.cwd / "e.json").read_text())
        return {row["measure"]: row for row in self.results["rows"]}

    def refusal(self, *arguments):
        result = saltus("evaluate", *arguments, cwd=self.cwd)
        self.assertEqual((result.returncode, result.stdout), (2, b""), arguments)
        message = result.stderr.decode()
        self.assertTrue(message.startswith("saltus: ") and message.count("\n") == 1, message)
        return message

    def texts(self, count, generator):
        words = ["a", "an", "the", "cat", "dog", "sat", "ran", "on", "under", "mat"]
        return [" ".join(generator.choice(words) for _ in range(generator.randint(1, 6))) for _ in range(count)]

    def test_numbers_of_text(self):
        generator = random.Random(3)
        samples, reference, valid = (self.texts(n, generator) for n in (40, 100, 30))
        samples[3] = samples[5] = reference[7]
        samples[8] = ""  # a sampler may draw nothing
        rows = self.judge(
    self.write(
        "s.txt",
        samples),
        self.write(
            "r.txt",
            reference),
            "--valid",
            self.write(
                "v.txt",
                 valid))
        self.assertEqual(self.results["alphabet"], "characters")
        for key, lines in (("samples", samples), ("held_out", valid)):
            with self.subTest(of=key):
                self.assertEqual(rows["count"][key]["value"], len(lines))
                self.assertAlmostEqual(rows["length"][key]["value"], sum(map(len, lines)) / len(lines))
                self.assertAlmostEqual(rows["distinct"][key]["value"], len(set(lines)) / len(lines))
                self.assertAlmostEqual(rows["novel"][key]["value"], sum(x not in reference for x in lines) / len(lines))
                self.assertAlmostEqual(rows["sequence_entropy"][key]["value"],
                                       sum(entropy(collections.Counter(x)) if x else 0 for x in lines) / len(lines))
                self.assertAlmostEqual(
    rows["pooled_entropy"][key]["value"], entropy(
        collections.Counter(
            "".join(lines))))
        # One part of 30 samples, and one of 30 held-out ones.
        self.assertEqual(self.results["sequences"]["part"], 30)
        for k in range(1, 5):
            def words(lines):
                counts = collections.Counter(x[i:i + k] for x in lines for i in range(len(x) - k + 1))
                return {word: count / sum(counts.values()) for word, count in counts.items()}
            for key, lines in (("samples", samples[:30]), ("held_out", valid)):
                p, q = words(lines), words(reference)
                self.assertAlmostEqual(rows[f"words_{k}_tv"][key]["value"],
                                       sum(abs(p.get(w, 0) - q.get(w, 0)) for w in set(p) | set(q)) / 2)
            p, q = words(valid), words(reference)
            divergence = sum(a * math.log(2 * a / (a + q.get(w, 0))) for w, a in p.items())
            divergence += sum(b * math.log(2 * b / (b + p.get(w, 0))) for w, b in q.items())
            self.assertAlmostEqual(rows[f"words_{k}_js"]["held_out"]["value"], divergence / 2)
        self.assertNotIn("judge_token", rows)
        self.assertNotIn("pair_r", rows)

    def alignment(self, count, seed, share=0):
        """Sequences of the exact sampler of a chain, with a share of their sites redrawn."""
        out = f"x{count}_{seed}_{share}.txt"
        self.run_well("sample", "--model", "chain", "--data", KUNITZ, "--samples", count, "--seed", seed, "--integrator",
                      "first_hitting", "--out", out)
        generator = random.Random(seed)
        lines = ["".join(generator.choice("ACDEFGHIKLMNPQRSTVWY-") if generator.random() < share else c for c in line)
                 for line in (self.cwd / out).read_text().split()]
        return self.write(out, lines)

    def test_five_percent_of_the_sites_are_told_apart(self):
        names = ("judge_token", "judge_sequence", "judge_perplexity", "words_1_tv", "words_2_tv", "words_2_js")
        stars = {share: collections.Counter() for share in (0, 0.05)}
        for run in range(8):
            reference = self.alignment(3000, 100 + run)
            rows = {}
            for share in stars:
                rows[share] = self.judge(self.alignment(600, 200 + run, share), reference, "--judge", "--seed", run)
                self.assertTrue(self.results["aligned"])
                stars[share].update(name for name in names if rows[share][name]["apart"])
                self.assertAlmostEqual(rows[share]["judge_perplexity"]["samples"]["value"],
                                       math.exp(rows[share]["judge_token"]["samples"]["value"]))
                self.assertAlmostEqual(rows[share]["judge_sequence"]["samples"]["value"],
                                       53 * rows[share]["judge_token"]["samples"]["value"])
            self.assertGreater(rows[0]["pair_r"]["samples"]["value"], rows[0.05]["pair_r"]["samples"]["value"])
            self.assertGreater(
    rows[0]["pair_r_halves"]["held_out"]["value"],
     0.05)  # a chain has few correlations, and much noise
            self.assertIsNone(rows[0]["pair_r_halves"]["samples"])
        for name in names:
            with self.subTest(row=name):
                # a star in twenty is chance: five of eight would come once in 60,000
                self.assertLessEqual(stars[0][name], 4)
                self.assertGreaterEqual(stars[0.05][name], 4 if name == "words_1_tv" else 8)

    def test_nearest_neighbours_find_copies(self):
        lines = self.alignment(450, 5).read_text().split()
        reference, valid = self.write("r.txt", lines[:400]), self.write("v.txt", lines[400:])
        rows = self.judge(self.write("copies.txt", lines[:50]), reference, "--valid", valid)
        self.assertEqual(rows["nearest"]["samples"]["value"], 0)
        self.assertEqual(rows["novel"]["samples"]["value"], 0)
        self.assertEqual(rows["nearest"]["held_out"]["value"],
                         sum(min(sum(a != b for a, b in zip(x, y)) for y in lines[:400]) for x in lines[400:]) / 50)
        changed = [x[:9] + ("A" if x[9] != "A" else "C") + x[10:] for x in lines[:50]]
        rows = self.judge(self.write("changed.txt", changed), reference, "--valid", valid)
        self.assertEqual(rows["nearest"]["samples"]["value"], 1)
        self.assertEqual(rows["nearest_share"]["samples"]["value"], 1 / 53)

    def test_windows_of_running_text(self):
        generator = random.Random(9)
        text = [" ".join(self.texts(400, generator))]
        pieces = [text[0][i:i + 20] for i in generator.sample(range(len(text[0]) - 20), 60)]
        rows = self.judge(self.write("s.txt", pieces), self.write("r.txt", text), "--windows", "--judge")
        self.assertEqual(rows["length"]["samples"]["value"], 20)  # blanks at the ends count
        self.assertEqual(rows["length"]["held_out"]["value"], 20)
        self.assertEqual(self.results["sequences"]["reference"], len(text[0]) // 20)
        self.assertFalse(self.results["aligned"])
        self.assertFalse(rows["judge_token"]["apart"])
        before = rows["sequence_entropy"]["samples"]["value"]
        shuffled = ["".join(generator.sample(piece, 20)) for piece in pieces]
        rows = self.judge(self.write("w.txt", shuffled), self.cwd / "r.txt", "--windows", "--judge")
        self.assertTrue(rows["judge_token"]["apart"])
        self.assertAlmostEqual(rows["sequence_entropy"]["samples"]["value"], before)  # which order does not change

    def molecules(self, env):
        samples = ["OCC", "CCO", "C(C", "", "CCCl", "c1ccccc1", "N(C", "C[N+](=O)[O-]"]
        return self.judge(self.write("s.smi", samples), self.write("r.smi", MOLECULES), env=env)

    def test_molecules_without_rdkit(self):
        rows = self.molecules(os.environ | {"SALTUS_PYTHON": "false"})
        for name in ("valid", "valid_distinct", "valid_novel"):
            self.assertIsNone(rows[name]["samples"])
            self.assertEqual(rows[name]["note"],
                             "not measured: RDKit was not found (pip install rdkit, or apt-get install python3-rdkit)")
        self.assertEqual(self.results["kind"], "smiles")
        # Br, Cl and bracket atoms are one token; the samples may hold tokens of their own.
        self.assertAlmostEqual(rows["length"]["samples"]["value"], (3 + 3 + 3 + 0 + 3 + 8 + 3 + 7) / 8)
        result = saltus(
    "evaluate",
    "--samples",
    "s.smi",
    "--reference",
    "r.smi",
    cwd=self.cwd,
    env=os.environ | {
        "SALTUS_PYTHON": "false"})
        self.assertIn(b"molecules: not measured: RDKit was not found", result.stdout)

    def test_molecules_by_a_stand_in(self):
        """What a program in RDKit's place says comes out."""
        python = self.cwd / "python"
        python.write_text("""#!/bin/sh
[ "$1" = -c ] && exit 0
echo '{"rdkit": "0", "samples": {"count": 8, "valid": 5, "distinct": 4, "novel": 1},
 "held": {"count": 2, "valid": 2, "distinct": 2, "novel": 2}, "sample_drawings": [{"smiles": "C<", "svg": "<svg></svg>"}],
 "reference_drawings": []}'
""")
        python.chmod(0o755)
        rows = self.molecules(os.environ | {"SALTUS_PYTHON": str(python)})
        self.assertEqual([rows[name]["samples"]["value"]
                         for name in ("valid", "valid_distinct", "valid_novel")], [5 / 8, 4 / 5, 1 / 4])
        python.write_text("#!/bin/sh\n[ \"$1\" = -c ] && exit 0\necho first >&2; echo last words >&2; exit 1\n")
        rows = self.molecules(os.environ | {"SALTUS_PYTHON": str(python)})
        self.assertEqual(rows["valid"]["note"], "not measured: RDKit failed: last words")

    @unittest.skipUnless(rdkit_python(), "needs RDKit")
    def test_molecules_with_rdkit(self):
        rows = self.molecules(os.environ | {"SALTUS_PYTHON": rdkit_python()})
        # OCC and CCO are ethanol; CCCl is new; two do not parse and one is empty.
        self.assertEqual([rows[name]["samples"]["value"]
                         for name in ("valid", "valid_distinct", "valid_novel")], [5 / 8, 4 / 5, 1 / 4])
        self.assertEqual(rows["valid"]["held_out"]["value"], 1)
        self.run_well("evaluate", "--samples", "s.smi", "--reference", "r.smi", "--out", "o", "--quiet",
                      env=os.environ | {"SALTUS_PYTHON": rdkit_python()})
        text = (self.cwd / "o/report.html").read_text()
        self.assertEqual(text.count("<svg xmlns='http://www.w3.org/2000/svg' viewBox="), 4 + 10)
        self.assertNotIn("#000000", text)

    def test_table_csv_json_and_page_agree(self):
        samples, reference = self.alignment(200, 6), self.alignment(500, 7)
        out = self.run_well(
    "evaluate",
    "--samples",
    samples,
    "--reference",
    reference,
    "--judge",
    "--out",
     "o").decode()
        results = json.loads((self.cwd / "o/results.json").read_text())
        with open(self.cwd / "o/results.csv", newline="") as file:
            lines = {line["measure"]: line for line in csv.DictReader(file)}
        self.assertEqual(list(lines), [row["measure"] for row in results["rows"]])
        text = (self.cwd / "o/report.html").read_text()
        page = Html(text)
        cells = [row for row in page.tables[0] if len(row) == 4]
        for row in results["rows"]:
            line = lines[row["measure"]]
            for key in ("samples", "held_out"):
                for part, column in (("value", key), ("low", key + "_low"), ("high", key + "_high")):
                    known = row[key] is not None and part in row[key]
                    self.assertEqual(line[column] == "", not known)
                    if known:
                        self.assertEqual(float(line[column]), row[key][part])
            self.assertTrue(any(row["title"].strip() in cell[0] for cell in cells), row["title"])
        self.assertIn("{value:.4f} [{low:.4f}, {high:.4f}]".format(**results["rows"][0]["samples"]), out)
        self.assertLessEqual(set(re.findall(r"https?://[^\"']*", text)), {"http://www.w3.org/2000/svg"})
        self.assertEqual(text.count('aria-label="sequence logo of '), 2)
        for chart in results["histograms"]:
            self.assertLessEqual(sum(chart["samples"]), 1 + 1e-12)
        for variable in set(re.findall(r"var\((--[a-z0-9]+)\)", text)):
            self.assertGreaterEqual(page.style.count(variable + ":"), 1 if variable == "--sans" else 2, variable)
        # Deterministic, whatever the threads.
        self.run_well(
    "evaluate",
    "--samples",
    samples,
    "--reference",
    reference,
    "--judge",
    "--out",
    "p",
    "--quiet",
    "--threads",
     1)
        self.assertEqual((self.cwd / "p/results.csv").read_bytes(), (self.cwd / "o/results.csv").read_bytes())

    def test_judge_data(self):
        generator = random.Random(4)
        samples, reference, other = (self.texts(n, generator) for n in (40, 100, 200))
        rows = self.judge(
    self.write(
        "s.txt",
        samples),
        self.write(
            "r.txt",
            reference),
            "--judge-data",
            self.write(
                "j.txt",
                 other))
        self.assertIn("judge_token", rows)
        self.assertTrue(any("fitted to --judge-data (200 sequences)" in remark for remark in self.results["remarks"]))

    def test_what_is_refused(self):
        reference = self.write("r.txt", self.texts(100, random.Random(5)))
        good = self.write("s.txt", ["the cat", "a dog"])
        empty = self.write("empty.txt", [])
        for arguments, words in (((), ["--samples"]),
                                 (("--samples", good), ["--reference"]),
                                 (("--samples", empty, "--reference", reference), ["empty.txt", "is empty"]),
                                 (("--samples", good, "--reference", empty), ["empty.txt", "is empty"]),
                                 (("--samples", "none.txt", "--reference", reference), ["none.txt"]),
                                 (("--samples", good, "--reference", reference,
                                  "--kind", "smile"), ["did you mean smiles"]),
                                 (("--samples", self.write("d.txt", ["THE CAT"]), "--reference", reference),
                                  ["alphabets do not fit", "'T'", "d.txt", "sequence 1", "r.txt"]),
                                 (("--samples", good, "--reference", good), ["s.txt", "at least 10"]),
                                 (("--samples", good, "--reference", reference, "--nearest", 0), ["--nearest"]),
                                 (("--samples", good, "--reference", reference, "--out", good), ["s.txt", "is a file"]),
                                 (("--samples", good, "--reference", reference,
                                  "--json", self.cwd / "no/x.json"), ["x.json"]),
                                 (("--samples", self.write("long.txt", ["the cat " * 500]), "--reference", reference, "--windows"),
                                  ["r.txt", "shorter than one piece"])):
            with self.subTest(arguments=arguments):
                message = self.refusal(*arguments)
                for word in words:
                    self.assertIn(word, message)
        self.assertFalse((self.cwd / "no").exists())


if __name__ == "__main__":
    unittest.main()
