# SPDX-License-Identifier: BSD-3-Clause
"""Networks as --model of the program: sample, compare, evaluate. A small network is trained on a chain whose law is known.

Needs SALTUS_PROGRAM, SALTUS_SOURCE and a build with LibTorch (SALTUS_HAS_TORCH); standard library only.
"""

import collections
import json
import math
import os
import pathlib
import random
import sys
import tempfile
import unittest

if os.environ.get("SALTUS_HAS_TORCH", "1") in ("0", "OFF", "FALSE"):
    print("skipped: this build has no LibTorch")
    sys.exit(77)

from small_chain import ENTROPY, LENGTH, LETTERS, SMALL, chain, saltus  # noqa: E402

STEPS, SAMPLES = 64, 2000


def forbidden(rows):
    """Share of adjacent pairs that the chain never has."""
    pairs = [(LETTERS.index(a), LETTERS.index(b)) for row in rows for a, b in zip(row, row[1:])]
    return sum((b - a) % 3 == 2 for a, b in pairs) / len(pairs)


class Networks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.at = pathlib.Path(cls.folder.name)
        (cls.at / "train.txt").write_text(chain(20000, 1))
        (cls.at / "valid.txt").write_text(chain(2000, 2))
        for name, steps, more in [("net", 700, []), ("raw", 1, []), ("flat", 700, ["--generator", "uniform"])]:
            saltus("train", "--data", cls.at / "train.txt", "--valid", cls.at / "valid.txt", *SMALL, "--steps", steps, "--out",
                   cls.at / name, "--quiet", *more)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def sample(self, *more, model="net", steps=STEPS, samples=SAMPLES):
        out, summary = self.at / "samples.txt", self.at / "summary.json"
        saltus("sample", "--model", self.at / model, "--steps", steps, "--samples", samples, "--out", out, "--summary", summary, "--quiet", *more)
        return out.read_text().split(), json.loads(summary.read_text())

    def test_samples_follow_the_chain(self):
        for model, more in [("net", []), ("net", ["--integrator", "first_hitting"]), ("flat", []), ("net", ["--precision", "bf16"])]:
            rows, _ = self.sample(*more, model=model)
            self.assertEqual(len(rows), SAMPLES)
            self.assertLess(forbidden(rows), 0.03, (model, more))
            first = collections.Counter(row[0] for row in rows)
            self.assertTrue(all(abs(first[c] / SAMPLES - 1 / 3) < 0.08 for c in LETTERS), (model, more, first))
        rows, _ = self.sample(model="raw")  # the control: an untrained network
        self.assertGreater(forbidden(rows), 0.2)

    def test_rows_are_evaluated_only_when_they_changed(self):
        # A§13.12: an evaluation at first and after each step but the last in which a site was revealed, unless none is left.
        # Sites are revealed at independent uniform times, each in one of the steps: count the different ones.
        rng = random.Random(3)
        counts = []
        for _ in range(20000):
            steps = {rng.randrange(STEPS) for _ in range(LENGTH)}
            counts.append(1 + len(steps) - 1)  # after the last one no mask is left
        mean = sum(counts) / len(counts)
        sd = (sum((c - mean) ** 2 for c in counts) / len(counts)) ** 0.5
        _, summary = self.sample()
        self.assertEqual(summary["nfe"], STEPS)
        # log-linear noise begins with one reveal in a thousand already done: a change of mean below .01
        self.assertAlmostEqual(summary["network_evaluations"], mean, delta=0.02 + 5 * sd / SAMPLES**0.5)
        _, summary = self.sample(model="flat", steps=8)
        self.assertEqual(summary["network_evaluations"], 8)  # it is told the time

    def test_templates_are_kept(self):
        for model in ("net", "flat"):
            rows, _ = self.sample("--template", "A??B??", model=model, samples=200)
            self.assertTrue(all(row[0] == "A" and row[3] == "B" for row in rows))
        rows, _ = self.sample("--template", "A??B??", samples=500)
        self.assertLess(forbidden(rows), 0.05)

    def test_samples_do_not_depend_on_the_batch_beyond_rounding(self):
        one, _ = self.sample("--batch", 7, samples=300)
        two, _ = self.sample("--batch", 300, samples=300)
        self.assertLess(sum(a != b for a, b in zip(one, two)), 3)

    def test_a_network_guides_another(self):
        rows, _ = self.sample("--guide", self.at / "raw", "--guide-weight", "0.5", samples=300)
        self.assertLess(forbidden(rows), 0.1)

    def test_compare_judges_by_a_reference_run(self):
        out = self.at / "compared"
        text = saltus("compare", "--model", self.at / "net", "--integrators", "tweedie,first_hitting", "--nfe", "1,16", "--samples", 1000,
                      "--reference", 64, "--out", out).stdout
        self.assertIn("reference run of 64 tweedie steps", text)
        results = json.loads((out / "results.json").read_text())
        self.assertEqual(results["reference_steps"], 64)
        error = {(r["integrator"], r["nfe"]): r for r in results["rows"] if r["metric"] == "tv_pair"}
        high = error[("tweedie", 16)]["null_high"]
        self.assertGreater(error[("tweedie", 1)]["value"], 2 * high)  # all sites at once: they know nothing of each other
        self.assertLess(error[("tweedie", 16)]["value"], 1.5 * high)
        report = (out / "report.html").read_text()
        self.assertIn("reference run", report)
        self.assertNotIn("nan", report)

    def test_evaluate_gives_the_bound(self):
        out = self.at / "judged.json"
        saltus("evaluate", "--samples", self.at / "valid.txt", "--reference", self.at / "train.txt", "--model", self.at / "net", "--json", out, "--quiet")
        rows = {r["measure"]: r for r in json.loads(out.read_text())["rows"]}
        quality = json.loads((self.at / "net/model.json").read_text())["about"]["quality"]
        bound = rows["bound_sequence"]["samples"]
        error = (bound["high"] - bound["low"]) / 2 / 1.96
        self.assertAlmostEqual(bound["value"], quality["valid_nats_per_sequence"], delta=5 * math.hypot(error, quality["standard_error"]))
        self.assertGreater(bound["value"], ENTROPY - 5 * error)

    def test_bad_input(self):
        net = self.at / "net"
        broken = self.at / "broken"
        broken.mkdir(exist_ok=True)
        manifest = json.loads((net / "model.json").read_text())
        (broken / "weights.safetensors").write_bytes((net / "weights.safetensors").read_bytes())

        def refused(words, *arguments, **changes):
            (broken / "model.json").write_text(json.dumps(manifest | changes))
            done = saltus(*arguments, code=2)
            for word in words:
                self.assertIn(word, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

        sample = ("sample", "--samples", 2, "--out", self.at / "never.txt", "--model")
        refused(["absorbing", "uniform"], *sample, net, "--generator", "uniform")
        refused(["no condition", "2"], *sample, net, "--condition", "1,2")
        refused(["bf16", "fp16"], *sample, net, "--precision", "fp16")
        refused(["cpu", "cuda:0"], *sample, net, "--device", "cuda:0")
        refused(["informed", "forward_backward"], *sample, net, "--integrator", "tweedie+informed")
        refused(["network"], "compare", "--model", net, "--law", "exact", "--out", self.at / "never")
        refused(["--check"], "compare", "--model", net, "--check", "--integrators", "first_hitting", "--out", self.at / "never")
        refused(["position", "[7, 32]", "[6, 32]"], *sample, broken, length=7)
        refused(["width"], *sample, broken, network=manifest["network"] | {"width": 33})
        refused(["law", "network"], *sample, net, "--particles", 4, "--power", 2)
        self.assertFalse((self.at / "never.txt").exists())
        self.assertFalse((self.at / "never").exists())


if __name__ == "__main__":
    unittest.main()
