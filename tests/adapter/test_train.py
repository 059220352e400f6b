# SPDX-License-Identifier: BSD-3-Clause
"""'saltus train' as a user would: it learns what can be learned, resumes bit for bit, and its weights load in Python.

Needs SALTUS_PROGRAM, SALTUS_SOURCE and a Python with PyTorch. Expected values are entropies of the sources that the data
are drawn from, computed here.
"""

import csv
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import torch

SOURCE = pathlib.Path(os.environ["SALTUS_SOURCE"]).resolve()
sys.path.insert(0, str(SOURCE / "examples/export"))
import transformer  # noqa: E402
from small_chain import ENTROPY, LENGTH, PROGRAM, SMALL, chain, saltus  # noqa: E402

class Train(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.at = pathlib.Path(cls.folder.name)
        (cls.at / "train.txt").write_text(chain(20000, 1))
        (cls.at / "valid.txt").write_text(chain(4000, 2))
        cls.data = ["--data", cls.at / "train.txt", "--valid", cls.at / "valid.txt"]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def learn(self, name, *more):
        """The bound in nats a sequence and its standard error; what has been learned under that name is learned once."""
        out = self.at / name
        if not out.exists():
            saltus("train", *self.data, *SMALL, "--out", out, "--quiet", *more)
        quality = json.loads((out / "model.json").read_text())["about"]["quality"]
        return quality["valid_nats_per_sequence"], quality["standard_error"]

    def check_bound(self, name, *more, slack):
        bound, error = self.learn(name, "--steps", 700, *more)
        # A bound lies above the entropy of the source, and a network that learned lies near it; independent letters would
        # cost LENGTH ln 3 = 6.59 nats, the source has 3.6.
        self.assertGreater(bound, ENTROPY - 4 * error - 0.02)
        self.assertLess(bound, ENTROPY + slack + 4 * error)

    def test_masked_bound_comes_near_the_entropy(self):
        self.check_bound("masked", slack=0.12)

    def test_masked_with_time(self):
        self.check_bound("timed", "--time", slack=0.15)

    def test_score_entropy_bound(self):
        self.check_bound("entropy", "--loss", "score_entropy", slack=0.2)

    def test_uniform_bound(self):
        self.check_bound("uniform", "--generator", "uniform", slack=0.3)

    def test_an_untrained_network_is_far_away(self):  # the negative control of the tests above
        bound, error = self.learn("untrained", "--steps", 1)
        self.assertGreater(bound, ENTROPY + 1)

    def test_the_bound_of_few_sequences_has_all_levels_of_noise(self):
        """One bit a sequence: the first letter costs it, all others nothing. Low levels of noise alone would see nothing of it."""
        (self.at / "bit.txt").write_text(("a" * LENGTH + "\n" + "b" * LENGTH + "\n") * 1000)
        (self.at / "few.txt").write_text(("a" * LENGTH + "\n" + "b" * LENGTH + "\n") * 6)
        out = self.at / "bit"
        saltus("train", "--data", self.at / "bit.txt", "--valid", self.at / "few.txt", *SMALL, "--steps", 150, "--out", out, "--quiet")
        quality = json.loads((out / "model.json").read_text())["about"]["quality"]
        self.assertAlmostEqual(quality["valid_nats_per_sequence"], math.log(2), delta=max(0.35, 5 * quality["standard_error"]))
        self.assertGreater(quality["valid_nats_per_sequence"], 0.2)

    def check_resuming(self, name, *more):
        """The weights of a run that was killed and resumed are those of one that was not: these."""
        whole, parts = self.at / (name + "_whole"), self.at / (name + "_parts")
        options = [*self.data, *SMALL, "--quiet", "--steps", 60, "--checkpoint", 20, *more]
        saltus("train", *options, "--out", whole)
        process = subprocess.Popen([PROGRAM, *map(str, ["train", *options, "--out", parts])])
        # Killed once a checkpoint is there, wherever it is then.
        while process.poll() is None and not (parts / "checkpoint.safetensors").exists():
            pass
        process.kill()
        process.wait()
        data = self.data[1].read_text()
        self.data[1].write_text(data[:-LENGTH - 1])
        refused = subprocess.run([PROGRAM, "train", "--resume", "--out", parts], capture_output=True)
        self.data[1].write_text(data)
        self.assertEqual((refused.returncode, b"not what the run began with" in refused.stderr), (2, True), refused.stderr)
        saltus("train", "--resume", "--out", parts, "--threads", 2, "--quiet")
        self.assertEqual((whole / "weights.safetensors").read_bytes(), (parts / "weights.safetensors").read_bytes())
        curves = [[(r["step"], r["train_nats"], r["valid_nats"]) for r in csv.DictReader((f / "curve.csv").read_text().splitlines())] for f in (whole, parts)]
        self.assertEqual(curves[0], curves[1])
        self.assertEqual([r[0] for r in curves[0]], ["20", "40", "60"])
        return (whole / "weights.safetensors").read_bytes()

    def test_resuming_gives_the_same_bits(self):
        single = self.check_resuming("fp32")
        mixed = self.check_resuming("bf16", "--precision", "bf16")  # the precision is remembered
        self.assertNotEqual(single, mixed)

    def test_bf16_learns_as_much(self):
        single, single_error = self.learn("masked", "--steps", 700)
        mixed, mixed_error = self.learn("mixed", "--steps", 700, "--precision", "bf16")
        # One standard error of two bounds that know nothing of each other; these two are judged by the same noised rows.
        tolerance = math.hypot(single_error, mixed_error)
        self.assertLess(abs(mixed - single), tolerance)
        self.assertLess(tolerance, 0.05)  # so that a network that learned less would be seen
        training = json.loads((self.at / "mixed/model.json").read_text())["about"]["training"]
        self.assertEqual(training["precision"], "bf16")
        self.assertIn("--precision bf16", training["command"])

    def test_weights_load_in_python_and_give_the_bound(self):
        bound, error = self.learn("python", "--steps", 300)
        network, manifest = transformer.load(self.at / "python")
        rows = (self.at / "valid.txt").read_text().split()
        names = manifest["tokens"]["names"]
        clean = torch.tensor([[names.index(c) for c in row] for row in rows])
        generator = torch.Generator().manual_seed(1)
        # The bound in its discrete form: n masked sites, n uniform, the sum of cross-entropies times L / n.
        losses = []
        with torch.no_grad():
            for n in range(1, LENGTH + 1):
                order = torch.rand(clean.shape, generator=generator).argsort(1)
                masked = order < n
                logits = network(torch.where(masked, len(names), clean))[..., : len(names)]
                nll = -logits.log_softmax(-1).gather(-1, clean[..., None]).squeeze(-1)
                losses.append((nll * masked).sum(1) * LENGTH / n)
        per_row = torch.stack(losses).mean(0)
        se = (per_row.std() / len(rows) ** 0.5).item()
        self.assertAlmostEqual(per_row.mean().item(), bound, delta=5 * math.hypot(se, error))
        self.assertLess(5 * math.hypot(se, error), 0.3)  # so that a wrong network would be seen

    def test_halves_are_the_singles_rounded(self):
        self.learn("f32", "--steps", 10)
        self.learn("f16", "--steps", 10, "--weights", "f16")
        singles = transformer.read_safetensors(self.at / "f32/weights.safetensors")
        halves = transformer.read_safetensors(self.at / "f16/weights.safetensors")
        self.assertEqual(list(singles), list(halves))
        for name, value in singles.items():
            self.assertTrue(torch.equal(value.half(), halves[name]), name)

    def test_minutes_become_steps(self):
        self.learn("minutes", "--minutes", "0.05")
        steps = json.loads((self.at / "minutes/model.json").read_text())["about"]["training"]["steps"]
        self.assertGreater(steps, 5)

    def test_smiles_of_different_lengths_are_padded(self):
        (self.at / "a.smi").write_text("CCO\nC[NH+]Cl\nBrC%12C%12\nC\n" * 30)
        saltus("train", "--data", self.at / "a.smi", *SMALL[2:], "--tokenizer", "smiles", "--steps", 2, "--out", self.at / "smiles", "--quiet")
        manifest = json.loads((self.at / "smiles/model.json").read_text())
        self.assertEqual(manifest["tokens"]["names"], ["%12", "Br", "C", "Cl", "O", "[NH+]", "<pad>"])
        self.assertEqual(manifest["length"], 5)

    def test_bad_input(self):
        out = self.at / "bad"
        for arguments, words in [
            (["--out", out], "--data"),
            ([*self.data], "--out"),
            ([*self.data, "--out", out, "--tokenizer", "smile"], "smiles"),
            ([*self.data, "--out", out, "--width", 30, "--heads", 4], "--heads"),
            ([*self.data, "--out", out, "--generator", "cauchy"], "absorbing"),
            ([*self.data, "--out", out, "--steps", 1, "--minutes", 1], "not both"),
            ([*self.data, "--out", out, "--resume"], "checkpoint"),
            ([*self.data, "--out", out, "--batch", "2x"], "must be a number, got '2x'"),
            ([*self.data, "--out", out, "--windows"], "--length"),
            ([*self.data, "--out", out, "--precision", "fp8"], "bf16, fp32"),
        ]:
            done = saltus("train", *arguments, code=2)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertFalse((out / "model.json").exists())

    def test_running_text_joins_lines_of_any_length(self):
        (self.at / "text.txt").write_text("abcdefgh" * 40 + "abc\n" + "defgh" + "abcdefgh" * 60 + "\n")
        saltus("train", "--data", self.at / "text.txt", "--tokenizer", "characters", "--windows", "--length", 6, *SMALL[2:],
               "--steps", 4, "--out", self.at / "text")
        manifest = json.loads((self.at / "text/model.json").read_text())
        self.assertEqual(manifest["length"], 6)
        self.assertEqual(len(manifest["tokens"]["names"]), 8)  # eight letters, no pad

    def test_a_run_is_not_overwritten(self):
        self.learn("once", "--steps", 2)
        done = saltus("train", *self.data, *SMALL, "--steps", 2, "--out", self.at / "once", code=2)
        self.assertIn("--resume", done.stderr)


if __name__ == "__main__":
    unittest.main()
