# SPDX-License-Identifier: BSD-3-Clause
"""The scripts below examples/reproduction run from nothing to their page, with a few samples of everything; and go on from what there is.

Needs SALTUS_PROGRAM, SALTUS_SOURCE and NumPy; with SALTUS_HAS_TORCH also those of networks.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy  # noqa: F401, of the scripts
except ImportError:
    print("skipped: no NumPy")
    sys.exit(77)

PROGRAM = os.path.abspath(os.environ["SALTUS_PROGRAM"])
SOURCE = pathlib.Path(os.environ["SALTUS_SOURCE"]).resolve()
HAS_TORCH = os.environ.get("SALTUS_HAS_TORCH", "0") not in ("0", "OFF", "FALSE")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


class Reproduction(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.at = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def page(self, script, *arguments, out="--page", name="page.md"):
        """The page that a script makes; made again from its cells it is the same."""
        pages = []
        for _ in range(2):
            where = self.at / name if out == "--page" else self.at
            done = subprocess.run([sys.executable, "-B", SOURCE / "examples/reproduction" / script, "--saltus", PROGRAM, "--work", self.at / "cells", out, where,
                                   *map(str, arguments)], cwd=self.at, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            pages.append(((self.at / name).read_text(), done.stdout))
        self.assertEqual(pages[0][0], pages[1][0])
        self.assertEqual(pages[1][1], "")  # nothing was computed
        return pages[0][0]

    def rows(self, page):
        """Cells of all rows of tables by the first."""
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")]
        return {row[0]: row[1:] for row in rows}

    def test_countdown(self):
        page = self.page("countdown.py", "--budgets", 8, "--samples", 32, "--trajectories", 16, "--sweeps", 1)
        self.assertNotIn("nan", page)
        rows = self.rows(page)
        for name in ("euler", "JYS", "LSD, paper", "LSD, code", "LSD, block", "LSD+", "LSD, state", "blocks"):
            self.assertIn(name, rows)

    def test_relaxation(self):
        rows = self.rows(self.page("relaxation.py", "--only", "countdown", "--samples", 16, "--trajectories", 16))
        self.assertEqual(len(rows["5 %"]), 3)
        self.assertLessEqual({"no factors", "0 %", "1 %", "10 %", "20 %", "auto"}, set(rows))

    def test_images(self):
        rows = self.rows(self.page("images.py", "--budgets", 8, "--samples", 400, "--trajectories", 16))
        distance = {name: float(row[0].split()[0]) for name, row in rows.items() if name != "sampler"}
        self.assertLess(distance["draws of the field"], distance["euler"])
        self.assertLess(distance["LSD+, tweedie"], 0.8 * distance["tweedie"])

    @unittest.skipUnless(HAS_TORCH, "this build has no LibTorch")
    def test_networks(self):
        for part in ("train", "valid"):
            shutil.copy(SOURCE / "examples/data/kunitz.fasta", self.at / f"pf00014_kunitz_{part}.fasta")
        page = self.page("networks.py", "--only", "kunitz", "--budgets", 8, "--methods", "LSD, block", "--data", self.at, "--samples", 8, "--most-samples", 8,
                         "--trajectories", 8, "--sweeps", 1, "--precision", "bf16", out="--out", name="kunitz.md")
        rows = self.rows(page)
        self.assertIn("At matched entropy", page)
        self.assertLessEqual({"euler", "tau_leaping", "top_k:noise=4.5", "LSD, block", "teacher", "held-out data"}, set(rows))


if __name__ == "__main__":
    unittest.main()
