# SPDX-License-Identifier: BSD-3-Clause
"""Learned schedules from outside: 'saltus distill', and --schedule of 'sample' and 'compare'.

Needs SALTUS_PROGRAM (the program) and SALTUS_SOURCE (the repository); standard library only. Expected values are
closed forms, or runs of the program that must agree.
"""

import csv
import json
import math
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

PROGRAM = os.path.abspath(os.environ["SALTUS_PROGRAM"])
SOURCE = pathlib.Path(os.environ["SALTUS_SOURCE"]).resolve()
SCHEMA = json.loads((SOURCE / "docs/schedule.schema.json").read_text())
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
QUICK = ["--trajectories", 64, "--sweeps", 2, "--teacher-steps", 32, "--nfe", 4]


def complaints(value, schema, where="schedule"):
    """What a JSON schema has against a value: the keywords that docs/schedule.schema.json uses."""
    if "$ref" in schema:
        return complaints(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], where)
    known = {"type", "const", "required", "properties", "additionalProperties", "items", "minimum", "exclusiveMinimum",
             "minItems", "anyOf", "description", "default", "examples", "title", "$schema", "$defs"}
    assert set(schema) <= known, set(schema) - known
    found = []
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "number": (int, float),
             "null": type(None)}
    if "type" in schema and (not isinstance(value, kinds[schema["type"]])
                             or (schema["type"] in ("integer", "number") and isinstance(value, bool))):
        return [f"{where}: {value!r} is no {schema['type']}"]
    if "const" in schema and value != schema["const"]:
        found.append(f"{where}: {value!r}")
    if "anyOf" in schema and all(complaints(value, one, where) for one in schema["anyOf"]):
        found.append(f"{where}: {value!r} fits nothing")
    if isinstance(value, (int, float)) and not (value >= schema.get("minimum", -math.inf)
                                                and value > schema.get("exclusiveMinimum", -math.inf)):
        found.append(f"{where}: {value} is too small")
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            found.append(f"{where}: too short")
        found += [x for i, item in enumerate(value) for x in complaints(item, schema.get("items", {}), f"{where}[{i}]")]
    if isinstance(value, dict):
        inner = schema.get("properties", {})
        found += [f"{where}: {key} is missing" for key in schema.get("required", []) if key not in value]
        if schema.get("additionalProperties") is False:
            found += [f"{where}: {key} is not known" for key in value.keys() - inner.keys()]
        found += [x for key in value.keys() & inner.keys() for x in complaints(value[key], inner[key], f"{where}.{key}")]
    return found


class Case(unittest.TestCase):
    def setUp(self):
        self.holder = tempfile.TemporaryDirectory()
        self.cwd = pathlib.Path(self.holder.name)
        self.sequences("data.fasta", 1)
        self.model = ["--data", "data.fasta", "--alphabet", "dna", "--noise", "log_linear"]

    def tearDown(self):
        self.holder.cleanup()

    def sequences(self, name, seed, length=6):
        numbers = random.Random(seed)
        rows = []
        for i in range(40):
            first = numbers.choice("ACGT")
            rows.append(f">s{i}\n" + "".join(numbers.choice(first * 3 + "ACGT") for _ in range(length)))
        (self.cwd / name).write_text("\n".join(rows) + "\n")

    def saltus(self, *arguments, code=0):
        got = subprocess.run([PROGRAM, *map(str, arguments)], cwd=self.cwd, capture_output=True, timeout=300,
                             stdin=subprocess.DEVNULL)
        self.assertEqual(got.returncode, code, (arguments, got.stderr.decode()))
        return got.stderr.decode() if code else got.stdout.decode()

    def refused(self, words, *arguments):
        message = self.saltus(*arguments, code=2)
        for word in words:
            self.assertIn(str(word), message)

    def distill(self, *arguments, out="s.json", code=0):
        return self.saltus("distill", *self.model, *arguments, "--out", out, code=code)

    def schedule(self, name="s.json"):
        return json.loads((self.cwd / name).read_text())

    def write(self, name, **keys):
        schedule = {"format": "saltus-schedule", "version": 1, "base": "euler", "times": [1, 0.75, 0.5, 0.25, 0],
                    "forced_last": True} | keys
        (self.cwd / name).write_text(json.dumps(schedule))
        return schedule


class Using(Case):
    def test_a_plain_schedule_is_the_integrator_itself(self):
        for base, steps in (("euler", 4), ("tweedie", 4), ("tweedie_trapezoidal", 4)):
            self.write("plain.json", base=base, phi=[1, 1, 1, 1])
            run = [*self.model, "--samples", 50, "--seed", 3]
            self.assertEqual(self.saltus("sample", *run, "--schedule", "plain.json"),
                             self.saltus("sample", *run, "--integrator", base, "--steps", steps), base)
        self.write("twice.json", phi=[2, 1, 1, 1])
        self.assertNotEqual(self.saltus("sample", *run, "--schedule", "twice.json"),
                            self.saltus("sample", *run, "--integrator", "euler", "--steps", 4))

    def test_summary_counts_evaluations(self):
        self.write("s.json", bases=["euler", "tweedie_trapezoidal", "euler", "tweedie"], method="by hand")
        self.saltus("sample", *self.model, "--samples", 5, "--schedule", "s.json", "--summary", "sum.json")
        summary = json.loads((self.cwd / "sum.json").read_text())
        self.assertEqual(summary["nfe"], 5)
        self.assertEqual(summary["schedule"], {"file": "s.json", "method": "by hand", "steps": 4,
                                               "integrators": ["euler", "tweedie_trapezoidal", "euler", "tweedie"]})
        self.assertNotIn("steps", summary["parameters"])

    def test_what_a_schedule_brings_is_refused_beside_it(self):
        self.write("s.json")
        for option, value in (("integrator", "euler"), ("steps", 8), ("grid", "cosine"), ("last", "none"),
                              ("categorical", "gumbel32")):
            self.refused([f"leave --{option} away", "--schedule"], "sample", *self.model, "--schedule", "s.json",
                         f"--{option}", value)

    def test_masks_that_are_left_are_written(self):
        self.write("s.json", times=[1, 0.9], forced_last=False)
        self.assertIn("?", self.saltus("sample", *self.model, "--samples", 20, "--schedule", "s.json"))
        self.refused(["s.json", "may leave masks"], "compare", *self.model, "--schedule", "s.json", "--out", "c")

    def test_files_that_are_no_schedules(self):
        """What the schema calls wrong the program refuses too, by the key; and it takes what the schema takes."""
        good = self.write("good.json", method="m", bases=["euler"] * 4, kappa=[0.25] * 4, phi=[1.5] * 4, power=[1] * 4,
                          model={"name": "n", "hash": "", "generator": "", "noise": "", "states": 0, "length": 0},
                          teacher={"integrator": "tweedie", "steps": 4}, seed=1, trajectories=2, phi_error=[None] * 4,
                          u=[0.5] * 4, u_error=["infinity"] * 4, objective=[-1.5], clamps=[0] * 4,
                          path_kl_before={"value": "infinity", "error": 0}, path_kl_after={"value": 1}, note="")
        self.assertEqual(complaints(good, SCHEMA), [])
        self.assertEqual(set(good) | {"state"}, set(SCHEMA["properties"]), "a key of the schema is not tried here")
        self.saltus("sample", *self.model, "--samples", 2, "--schedule", "good.json")
        for key in SCHEMA["properties"]:
            bad = dict(good)
            bad[key] = {"no": "such"}
            self.assertNotEqual(complaints(bad, SCHEMA), [], key)
            (self.cwd / "bad.json").write_text(json.dumps(bad))
            self.refused(["bad.json", key], "sample", *self.model, "--schedule", "bad.json")
        for key, value in (("phi", [0] * 4), ("power", [-1] * 4), ("times", [1]), ("clamps", [0.5] * 4), ("unheard", 1)):
            self.assertNotEqual(complaints(good | {key: value}, SCHEMA), [], key)
            self.write("bad.json", **{key: value})
            self.refused(["bad.json", key], "sample", *self.model, "--schedule", "bad.json")
        state = self.write("state.json", state={"shares": [0.5], "entropies": [0.5, 1], "phi": [1.1] * 24})
        self.assertEqual(complaints(state, SCHEMA), [])
        self.saltus("sample", *self.model, "--samples", 2, "--schedule", "state.json")
        self.refused(["none.json"], "sample", *self.model, "--schedule", "none.json")

    def test_schedules_compete(self):
        self.write("slow.json", phi=[0.2, 0.2, 0.2, 1])
        self.write("two.json", base="tweedie_trapezoidal")
        (self.cwd / "more").mkdir()
        self.write("more/slow.json")
        table = self.saltus("compare", *self.model, "--integrators", "euler", "--nfe", 4, "--samples", 200, "--schedule",
                            "slow.json", "--schedule", "two.json", "--out", "c", "--seed", 5)
        for name in ("slow", "two", "euler"):
            self.assertIn(name, table)
        rows = list(csv.DictReader((self.cwd / "c/results.csv").read_text().splitlines()))
        self.assertEqual({(row["integrator"], row["nfe"]) for row in rows}, {("euler", "4"), ("slow", "4"), ("two", "8")})
        page = (self.cwd / "c/report.html").read_text()
        self.assertIn("--schedule slow.json,two.json", page)
        # The call of the report gives the same results.
        self.saltus("compare", *self.model, "--integrators", "euler", "--nfe", 4, "--samples", 200, "--schedule",
                    "slow.json,two.json", "--out", "d", "--seed", 5, "--quiet")
        for file in ("samples/slow_nfe4.fasta", "samples/two_nfe8.fasta"):
            self.assertEqual((self.cwd / "c" / file).read_bytes(), (self.cwd / "d" / file).read_bytes())
        for words, names in ((["'slow'", "rename"], ["slow.json", "more/slow.json"]), (["twice"], ["slow.json"] * 2)):
            self.refused(words, "compare", *self.model, "--out", "e", *[x for n in names for x in ("--schedule", n)])
        shutil.copy(self.cwd / "two.json", self.cwd / "euler.json")
        self.refused(["euler.json", "method 'euler'"], "compare", *self.model, "--out", "e", "--schedule", "euler.json")
        self.refused(["reverse process"], "compare", "--generator", "jc69", "--start", "ACGT", "--times", "1", "--out", "e",
                     "--schedule", "slow.json")

    def test_exact_laws_of_schedules(self):
        """One site: a step reveals it with probability phi h / t, and what is left is revealed at the end."""
        self.sequences("short.fasta", 2, length=2)
        model = ["--data", "short.fasta", "--alphabet", "dna", "--noise", "log_linear"]
        self.write("plain.json")
        self.write("retimed.json", base="tweedie")
        self.write("slow.json", phi=[0.5, 0.5, 0.5, 1])
        self.saltus("compare", *model, "--law", "exact", "--integrators", "euler", "--nfe", 4, "--schedule",
                    "plain.json,retimed.json,slow.json", "--out", "c", "--quiet")
        rows = {(r["integrator"], r["metric"]): float(r["value"]) for r in csv.DictReader((self.cwd / "c/results.csv").read_text().splitlines())}
        for metric in ("tv", "kl", "path_kl"):
            self.assertEqual(rows["plain", metric], rows["euler", metric])
            self.assertAlmostEqual(rows["retimed", metric], rows["euler", metric], 12)  # with this noise they are one
            self.assertGreater(rows["slow", metric], 1.001 * rows["plain", metric])


@unittest.skipUnless("lsd" in subprocess.run([PROGRAM, "distill", "--help"], capture_output=True).stdout.decode(),
                     "no method that learns")
class Learning(Case):
    def test_a_schedule_comes_with_everything(self):
        text = self.distill(*QUICK, "--report", "page")
        schedule = self.schedule()
        self.assertEqual(complaints(schedule, SCHEMA), [])
        self.assertEqual(schedule["base"], "euler")
        self.assertEqual(schedule["times"], [1, 0.75, 0.5, 0.25, 0])
        self.assertTrue(schedule["forced_last"])
        self.assertEqual(schedule["model"]["generator"], "absorbing")
        self.assertIn("log_linear", schedule["model"]["noise"])
        self.assertEqual((schedule["model"]["states"], schedule["model"]["length"]), (6, 6))
        self.assertEqual(schedule["teacher"], {"integrator": "tweedie", "steps": 32})
        self.assertEqual(schedule["trajectories"], 128)
        # Log-linear noise: phi = 1 whatever the data (A§12.6), u_k = kappa / t.
        for phi, error in zip(schedule["phi"][:-1], schedule["phi_error"]):
            self.assertLess(abs(phi - 1), 5 * error + 1e-12)
        for u, kappa, t in zip(schedule["u"], schedule["kappa"], schedule["times"]):
            self.assertLess(abs(u - kappa / t), 0.1)
        self.assertGreater(schedule["path_kl_before"]["value"], 0)
        for word in ("phi", "path KL from the teacher", "s.json", "page/report.html"):
            self.assertIn(word, text)
        page = (self.cwd / "page/report.html").read_text()
        for word in ("A learned schedule", "To get this again", "prefers-color-scheme", "Before and after"):
            self.assertIn(word, page)
        self.assertFalse((self.cwd / "s.json.partial").exists())
        self.saltus("sample", *self.model, "--samples", 3, "--schedule", "s.json")

    def test_methods_are_listed(self):
        listed = json.loads(self.saltus("info", "--json"))["distillers"]
        names = [method["name"] for method in listed]
        self.assertEqual(names, sorted(names))
        text, help_ = self.saltus("info"), self.saltus("distill", "--help")
        for method in listed:
            self.assertTrue(method["summary"] and method["reference"] and method["bases"], method)
            self.assertIn(f"\n  {method['name']} ", text)
        self.assertIn(", ".join(names), " ".join(help_.split()))

    def test_every_method_makes_a_schedule_that_runs(self):
        for method in json.loads(self.saltus("info", "--json"))["distillers"]:
            base = "tweedie" if "tweedie" in method["bases"] else method["bases"][0]
            with self.subTest(method["name"]):
                self.distill(*QUICK, "--method", method["name"], "--base", base, "--quiet")
                schedule = self.schedule()
                self.assertEqual(complaints(schedule, SCHEMA), [])
                self.assertEqual(schedule["method"].split(":")[0], method["name"])
                self.assertEqual(len(schedule["times"]), 5)
                self.assertEqual(self.saltus("sample", *self.model, "--samples", 7, "--schedule", "s.json").count(">"), 7)

    def test_without_a_mask(self):
        plus = [*QUICK, "--generator", "uniform", "--method", "lsd_plus"]
        text = self.distill(*plus, "--base", "tweedie")
        self.assertIn("evidence bound", text)
        self.assertIn("path KL from the teacher, first jumps", text)
        schedule = self.schedule()
        self.assertEqual(complaints(schedule, SCHEMA), [])
        self.assertLess(schedule["times"][1], 0.75)  # steps grow shorter towards the data
        self.assertEqual(self.saltus("sample", *self.model, "--generator", "uniform", "--samples", 7, "--schedule", "s.json").count(">"), 7)
        self.assertNotIn("may harm", text)
        self.assertIn("may harm", self.distill(*QUICK, "--generator", "uniform", out="lsd.json"))
        self.assertNotIn("may harm", self.distill(*QUICK, out="masked.json"))
        self.distill(*plus, "--base", "euler", "--quiet", out="euler.json")
        self.assertEqual(self.schedule("euler.json")["times"], schedule["times"])

    def test_learning_does_not_depend_on_threads_or_batch(self):
        self.distill(*QUICK, "--threads", 1, "--quiet")
        self.distill(*QUICK, "--threads", 2, "--quiet", out="two.json")
        self.assertEqual((self.cwd / "s.json").read_bytes(), (self.cwd / "two.json").read_bytes())
        self.distill(*QUICK, "--batch", 7, "--quiet", out="batch.json")
        for one, other in zip(self.schedule()["phi"], self.schedule("batch.json")["phi"]):
            self.assertAlmostEqual(one, other, 12)
        self.distill(*QUICK, "--seed", 2, "--quiet", out="seed.json")
        self.assertNotEqual(self.schedule()["phi"], self.schedule("seed.json")["phi"])

    def test_what_it_was_not_learned_for_is_refused_with_both_values(self):
        self.distill(*QUICK, "--quiet")
        hash_ = self.schedule()["model"]["hash"]
        self.sequences("other.fasta", 7)
        self.sequences("long.fasta", 7, length=9)
        self.sequences("rna.fasta", 7)
        cases = [(["was learned for the model", hash_], ["--data", "other.fasta", *self.model[2:]]),
                 (["a length of 6", "this run has 9"], ["--data", "long.fasta", *self.model[2:]]),
                 (["the noise", "log_linear", "cosine"], [*self.model[:4], "--noise", "cosine"]),
                 (["the generator absorbing", "uniform:states=5"], [*self.model, "--generator", "uniform"]),
                 (["a number of states", "6", "22"], ["--data", "data.fasta", "--alphabet", "protein", *self.model[4:]]),
                 (["was learned for the model", "temperature 0.5"], [*self.model, "--temperature", "0.5"])]
        for words, model in cases:
            for command in (["sample"], ["compare", "--out", "c", "--integrators", "euler", "--nfe", "4"]):
                self.refused([*words, "s.json", "--force"], *command, *model, "--samples", 20, "--schedule", "s.json")
        for words, model in cases[:3]:
            self.saltus("sample", *model, "--samples", 3, "--schedule", "s.json", "--force")

    def test_what_cannot_be_learned(self):
        for words, arguments in ((["256", "6", "252"], ["--nfe", 6]),
                                 (["--nfe 64", "64 steps", "32"], ["--nfe", 64, "--teacher-steps", 32]),
                                 (["2 evaluations", "multiple", "9"], ["--base", "tweedie_trapezoidal", "--nfe", 9]),
                                 (["top_k:counts=uniform", "ignores phi"], ["--base", "top_k:counts=uniform"]),
                                 (["gillespie", "chooses its own steps"], ["--base", "gillespie"]),
                                 (["theta_rk2", "lsd"], ["--base", "theta_rk2"]),
                                 (["eule", "did you mean euler"], ["--base", "eule"]),
                                 (["lsdd", "did you mean lsd"], ["--method", "lsdd"]),
                                 (["--resume", "s.json.partial"], ["--resume"]),
                                 (["--trajectories"], ["--trajectories", 0])):
            with self.subTest(arguments=arguments):
                message = self.distill(*arguments, code=2)
                for word in words:
                    self.assertIn(word, message)
                self.assertFalse((self.cwd / "s.json").exists())
        self.assertIn("--out", self.saltus("distill", *self.model, code=2))
        self.assertIn("no/such", self.distill(*QUICK, out="no/such/s.json", code=2))

    def test_memory_does_not_grow_with_the_teachers_steps(self):
        def peak(method, steps):
            process = subprocess.Popen([PROGRAM, "distill", "--model", "countdown", "--method", method, "--nfe", "4", "--teacher-steps", str(steps),
                                        "--trajectories", "32", "--sweeps", "1", "--batch", "32", "--quiet", "--out", "s.json"], cwd=self.cwd)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            self.assertEqual(status, 0)
            return usage.ru_maxrss

        for method in ("lsd", "lsd:mode=paper", "lsd_state", "lsd_plus:estimate=paths,candidates=16", "jys"):
            with self.subTest(method):
                # Kilobytes. The scores of a step of the teacher alone are 32 x 256 x 33 numbers: 256 of them, 500 MB.
                self.assertLess(peak(method, 512), peak(method, 64) + 8192)

    def test_an_interrupted_run_goes_on(self):
        call = ["distill", *self.model, "--nfe", 4, "--teacher-steps", 128, "--trajectories", 2048, "--sweeps", 4, "--quiet"]
        self.saltus(*call, "--out", "whole.json")
        started = subprocess.Popen([PROGRAM, *map(str, call), "--out", "s.json"], cwd=self.cwd)
        partial = self.cwd / "s.json.partial"
        for _ in range(6000):
            if partial.exists() or started.poll() is not None:
                break
            time.sleep(0.01)
        self.assertIsNone(started.poll(), "it ended before it could be broken off: take more trajectories")
        started.send_signal(signal.SIGKILL)
        started.wait()
        self.assertTrue(partial.exists())
        self.assertFalse((self.cwd / "s.json").exists())
        self.refused(["s.json.partial", "--resume"], *call, "--out", "s.json")
        self.refused(["seed 1", "2"], *call, "--out", "s.json", "--resume", "--seed", 2)
        self.saltus(*call, "--out", "s.json", "--resume")
        self.assertEqual((self.cwd / "s.json").read_bytes(), (self.cwd / "whole.json").read_bytes())
        self.assertFalse(partial.exists())


if __name__ == "__main__":
    unittest.main()
