# SPDX-License-Identifier: BSD-3-Clause
"""What the program does where it gets too little: a full disk, little memory; or something hostile; and that it writes nowhere else.

Needs SALTUS_PROGRAM and SALTUS_SOURCE; standard library only. The full disk is a small file system in memory, which needs
the right to mount one; without it that test is skipped.
"""

import json
import os
import pathlib
import resource
import subprocess
import tempfile
import unittest

PROGRAM = os.path.abspath(os.environ["SALTUS_PROGRAM"])
SOURCE = pathlib.Path(os.environ["SALTUS_SOURCE"]).resolve()
KUNITZ = SOURCE / "examples/data/kunitz.fasta"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Every command that needs no network, with its output at the end.
COMMANDS = {
    "sample": ["sample", "--model", "chain", "--data", KUNITZ, "--samples", 300, "--steps", 4, "--summary", "summary.json", "--out", "x.fasta"],
    "particles": ["sample", "--model", "chain", "--data", KUNITZ, "--samples", 4, "--steps", 4, "--particles", 8, "--power", 2, "--out", "p.fasta"],
    "simulate": ["simulate", "--generator", "birth_death:birth=0.1,death=0.11", "--start", 50, "--times", "0:5:1", "--samples", 500, "--trajectory", "j.csv",
                 "--statistics", "s.csv"],
    "tree": ["simulate", "--generator", "lg", "--start", "stationary", "--length", 50, "--tree", SOURCE / "examples/data/eight_leaves.nwk", "--out", "t.fasta"],
    "compare": ["compare", "--model", "chain", "--data", KUNITZ, "--integrators", "tweedie", "--nfe", 2, "--samples", 50, "--out", "compared"],
    "distill": ["distill", "--model", "countdown", "--nfe", 2, "--teacher-steps", 4, "--trajectories", 4, "--sweeps", 1, "--out", "d.json"],
    "evaluate": ["evaluate", "--samples", KUNITZ, "--reference", KUNITZ, "--json", "e.json", "--nearest", 20],
    "info": ["info"],
}


def run(arguments, cwd, limit=None, **more):
    def set_limit():
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, preexec_fn=set_limit, timeout=300, **more)


class Trust(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.at = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def files(self, folder):
        return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())

    def test_writes_nowhere_else(self):
        for name, arguments in COMMANDS.items():
            places = {place: self.at / name / place for place in ("work", "home", "tmp")}
            for place in places.values():
                place.mkdir(parents=True)
            environment = {**os.environ, "HOME": str(places["home"]), "TMPDIR": str(places["tmp"]), "XDG_CACHE_HOME": str(places["home"])}
            done = run(arguments, places["work"], env=environment)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(self.files(places["home"]) + self.files(places["tmp"]), [], name)
            named = {str(a).split("/")[0] for a in arguments} | {"d_report"}
            for file in self.files(places["work"]):
                self.assertIn(file.split("/")[0], named, name)

    def test_deeply_nested_files(self):
        """Whatever writes or compares a value goes level by level, and would run out of its stack."""
        deep = "[" * 200000 + "]" * 200000
        (self.at / "model").mkdir()
        for file, text in (("model/model.json", '{"format": "saltus-backbone", "version": 1, "about": %s}'), ("law.json", '{"format": "saltus-model", "x": %s}'),
                           ("process.json", '{"format": "saltus-process", "version": 1, "generator": %s}'),
                           ("schedule.json", '{"format": "saltus-schedule", "version": 1, "note": %s}'), ("run.json", '{"run": {"seed": %s}}')):
            (self.at / file).write_text(text % deep)
        (self.at / "law").mkdir()
        (self.at / "law.json").rename(self.at / "law/model.json")
        for arguments in (["sample", "--model", "model"], ["sample", "--model", "law"], ["simulate", "--process", "process.json"],
                          ["sample", "--model", "countdown", "--schedule", "schedule.json"],
                          ["sample", "--model", "countdown", "--checkpoint", "run.json", "--resume", "--out", "x.txt"]):
            done = run(arguments, self.at)
            self.assertEqual((done.returncode, "100 levels" in done.stderr), (2, True), (arguments, done.returncode, done.stderr[:200]))

    def test_little_memory(self):
        """From too little to start with up to enough: a result, or one line that says what is missing; never a signal."""
        seen = set()
        for name, arguments in COMMANDS.items():
            for megabytes in (60, 80, 100, 125, 150, 200, 300, 600):
                work = self.at / f"{name}-{megabytes}"
                work.mkdir()
                done = run([*arguments, *(["--threads", 1] if name != "info" else [])], work, megabytes << 20)
                with self.subTest(f"{name} {megabytes} MB"):
                    self.assertGreaterEqual(done.returncode, 0, done.stderr)  # a signal is negative
                    self.assertIn(done.returncode, (0, 1, 2, 5, 127), done.stderr)
                    if done.returncode not in (0, 127):  # 127: the system could not even load it
                        self.assertIn("memory", done.stderr.lower())
                        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                        self.assertEqual([f for f in self.files(work) if not f.endswith(".partial")], [])
                    seen.add(done.returncode)
        self.assertTrue({0, 2} <= seen, seen)

    def test_full_disk(self):
        disk = self.at / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True).returncode:
            self.skipTest("no right to mount a small file system")
        try:
            (disk / "x.txt").write_text("earlier")
            sample = ["sample", "--model", "countdown", "--steps", 2, "--samples", 20000, "--out", disk / "x.txt", "--quiet"]
            done = run(sample, self.at)
            self.assertEqual(done.returncode, 5, done.stderr)
            self.assertIn(str(disk / "x.txt"), done.stderr)
            self.assertIn("No space left", done.stderr)
            self.assertEqual((disk / "x.txt").read_text(), "earlier")
            self.assertEqual(self.files(disk), ["x.txt"])
            # With checkpoints what was finished is kept, and the run goes on when there is room again.
            kept = [*sample, "--checkpoint", self.at / "c.json", "--checkpoint-minutes", 0]
            done = run(kept, self.at)
            self.assertEqual(done.returncode, 5, done.stderr)
            finished = json.loads((self.at / "c.json").read_text())["samples"]
            self.assertGreater(finished, 0)
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            done = run([*kept, "--resume"], self.at)
            self.assertEqual(done.returncode, 0, done.stderr)
            whole = run([*sample[:-2], self.at / "whole.txt", "--quiet"], self.at)
            self.assertEqual(whole.returncode, 0, whole.stderr)
            self.assertEqual((disk / "x.txt").read_bytes(), (self.at / "whole.txt").read_bytes())
            # So with the three outputs of a simulation, of which any may be the one that finds no room; others may be finished before.
            for output, small in (("--out", "1m"), ("--trajectory", "1m"), ("--statistics", "4k")):
                with self.subTest(output):
                    places = {o: (disk if o == output else self.at) / f"y{o}.csv" for o in ("--out", "--trajectory", "--statistics")}
                    for file in self.files(disk):
                        (disk / file).unlink()
                    subprocess.run(["mount", "-o", f"remount,size={small}", disk], check=True)
                    arguments = ["simulate", "--generator", "birth_death:birth=0.1,death=0.11", "--start", 50, "--times", "0:5:0.01", "--samples", 3000, "--quiet"]
                    outputs = [x for o, place in places.items() for x in (o, place)]
                    kept = [*arguments, *outputs, "--checkpoint", self.at / "s.json", "--checkpoint-minutes", 0]
                    done = run(kept, self.at)
                    self.assertEqual(done.returncode, 5, done.stderr)
                    self.assertIn(str(places[output]), done.stderr)
                    self.assertIn("No space left", done.stderr)
                    self.assertFalse(places[output].exists())
                    subprocess.run(["mount", "-o", "remount,size=256m", disk], check=True)
                    done = run([*kept, *(["--resume"] if (self.at / "s.json").exists() else [])], self.at)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    expected = {o: self.at / f"z{o}.csv" for o in places}
                    done = run([*arguments, *(x for o, place in expected.items() for x in (o, place))], self.at)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    for o, place in places.items():
                        self.assertEqual(place.read_bytes(), expected[o].read_bytes(), o)
                        place.unlink()
            for name in ("simulate", "compare", "distill"):
                with self.subTest(name):
                    (disk / "fill").write_bytes(b"")
                    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
                    with open(disk / "fill", "wb") as fill:
                        try:
                            while True:
                                fill.write(bytes(1 << 16))
                                fill.flush()
                        except OSError:
                            pass
                    before = self.files(disk)
                    done = run(COMMANDS[name], disk)
                    self.assertIn(done.returncode, (2, 5), done.stderr)  # 2: seen before anything ran
                    self.assertIn("No space left", done.stderr)
                    self.assertEqual(self.files(disk), before)
                    (disk / "fill").unlink()
        finally:
            subprocess.run(["umount", "-l", disk])

    def test_memory_does_not_grow_with_the_samples(self):
        def peak(command, samples):
            read, write = os.pipe()
            process = subprocess.Popen([PROGRAM, *map(str, command), "--samples", str(samples), "--out", "-", "--quiet"], stdout=write)
            os.close(write)
            size = 0
            while block := os.read(read, 1 << 20):
                size += len(block)
            os.close(read)
            _, status, usage = os.wait4(process.pid, 0)
            self.assertEqual(status, 0)
            process.returncode = 0
            return size, usage.ru_maxrss

        law = self.at / "law"
        law.mkdir()
        (law / "model.json").write_bytes((SOURCE / "tests/fuzz/corpus/law/product").read_bytes())
        for command in (["sample", "--model", law, "--steps", 2, "--format", "txt"],
                        ["simulate", "--generator", "jc69", "--start", "AC", "--times", "1", "--format", "txt"]):
            few, before = peak(command, 200_000)
            many, after = peak(command, 4_000_000)
            self.assertEqual(many, 20 * few)
            self.assertLess(after, before + 8192, command)  # kilobytes; the output alone is 12 MB


if __name__ == "__main__":
    unittest.main()
