# SPDX-License-Identifier: BSD-3-Clause
"""Runs of several ranks: 'mpirun -n R saltus ...' writes what one process writes, byte for byte, or fails as one.

Needs SALTUS_PROGRAM, SALTUS_SOURCE and the launcher SALTUS_MPIRUN; with SALTUS_HAS_TORCH a network too. Standard library only.
"""

import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import termios
import time
import unittest

PROGRAM = os.path.abspath(os.environ["SALTUS_PROGRAM"])
SOURCE = pathlib.Path(os.environ["SALTUS_SOURCE"]).resolve()
MPIRUN = os.environ["SALTUS_MPIRUN"]
HAS_TORCH = os.environ.get("SALTUS_HAS_TORCH", "0") not in ("0", "OFF", "FALSE")
KUNITZ = SOURCE / "examples/data/kunitz.fasta"
# Containers run as root and have few cores.
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_WAIT_POLICY": "passive",
               "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_mpi_yield_when_idle": "1"}
RANKS = (1, 2, 3)


def launch(ranks, *arguments):
    """The command of a run: with 0 ranks the program by itself; `ranks` may be a list of the arguments of each rank."""
    if ranks == 0:
        return [PROGRAM, *map(str, arguments)]
    if isinstance(ranks, int):
        return [MPIRUN, "-n", str(ranks), PROGRAM, *map(str, arguments)]
    command = [MPIRUN]
    for i, own in enumerate(ranks):
        command += [":"] * (i > 0) + ["-n", "1", PROGRAM, *map(str, own)]
    return command


def ranks_of(launcher):
    """Process numbers of the ranks that a launcher has started."""
    try:
        children = pathlib.Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
        return [int(c) for c in children if pathlib.Path(f"/proc/{c}/comm").read_text().strip() == "saltus"]
    except OSError:
        return []


class Ranks(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.at = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def run_ranks(self, ranks, *arguments, code=0):
        done = subprocess.run(launch(ranks, *arguments), capture_output=True, text=True, env=ENVIRONMENT, cwd=self.at, timeout=300,
                              start_new_session=True)  # no terminal
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def same_whatever_the_ranks(self, outputs, *arguments):
        """Outputs of one process, and that 1, 2 and 3 ranks write the same."""
        def read(ranks):
            self.run_ranks(ranks, *arguments)
            contents = {name: (self.at / name).read_bytes() for name in outputs}
            for name in outputs:
                (self.at / name).unlink()
            return contents

        expected = read(0)
        for ranks in RANKS:
            self.assertEqual(read(ranks), expected, (ranks, arguments))
        return expected

    def test_sample(self):
        for more in (["--batch", 64], ["--batch", 7, "--integrator", "gillespie"], ["--samples", 2], ["--generator", "uniform"]):
            samples = [] if "--samples" in more else ["--samples", 1501]
            out = self.same_whatever_the_ranks(["x.fasta"], "sample", "--model", "chain", "--data", KUNITZ, *samples, "--out", "x.fasta", *more)
            self.assertEqual(out["x.fasta"].count(b">"), 2 if "--samples" in more else 1501)

    def test_sample_to_a_pipe_with_a_summary(self):
        arguments = ("sample", "--model", "countdown", "--samples", 500, "--steps", 8, "--summary", "s.json")
        expected = self.run_ranks(0, *arguments).stdout
        one = json.loads((self.at / "s.json").read_text())
        for ranks in RANKS:
            self.assertEqual(self.run_ranks(ranks, *arguments).stdout, expected)
            summary = json.loads((self.at / "s.json").read_text())
            for key in ("samples", "nfe", "max_nfe", "jumps", "clamps"):
                self.assertEqual(summary[key], one[key], key)

    def test_simulate(self):
        self.same_whatever_the_ranks(
            ["s.csv", "j.csv", "x.csv"], "simulate", "--generator", "birth_death:birth=0.1,death=0.11", "--start", 100, "--times", "0:20:5",
            "--samples", 900, "--batch", 50, "--statistics", "s.csv", "--trajectory", "j.csv", "--out", "x.csv")
        self.same_whatever_the_ranks(["j.npy"], "simulate", "--generator", "jc69", "--start", "ACGT", "--times", "1", "--samples", 300, "--batch", 10, "--trajectory", "j.npy")
        self.same_whatever_the_ranks(
            ["t.fasta"], "simulate", "--generator", "hky85:kappa=2,freqs=0.3,0.2,0.2,0.3", "--start", "stationary", "--length", 200, "--tree",
            SOURCE / "examples/data/eight_leaves.nwk", "--samples", 30, "--batch", 4, "--out", "t.fasta")

    def test_compare(self):
        names = ["out/results.csv", "out/samples/tweedie_nfe4.fasta", "out/samples/gillespie.fasta"]

        def rows(contents):  # without the column of seconds
            lines = [line.split(",") for line in contents["out/results.csv"].decode().splitlines()]
            unstable = [i for i, name in enumerate(lines[0]) if "seconds" in name or "per_second" in name]
            return [[v for i, v in enumerate(line) if i not in unstable] for line in lines]

        def read(ranks):
            self.run_ranks(ranks, "compare", "--model", "chain", "--data", KUNITZ, "--integrators", "gillespie,tweedie", "--nfe", "4", "--samples",
                           400, "--batch", 32, "--reference", 16, "--out", "out")
            return {name: (self.at / name).read_bytes() for name in names}

        expected = read(0)
        for ranks in RANKS:
            got = read(ranks)
            self.assertEqual(rows(got), rows(expected))
            self.assertEqual({n: got[n] for n in names[1:]}, {n: expected[n] for n in names[1:]})

    def test_distill(self):
        for method in ("lsd", "jys", "lsd_plus", "lsd_state"):
            self.same_whatever_the_ranks(
                ["s.json"], "distill", "--model", "countdown", "--method", method, "--nfe", 4, "--teacher-steps", 16, "--trajectories", 10, "--sweeps", 2,
                "--batch", 4, "--out", "s.json")

    @unittest.skipUnless(HAS_TORCH, "this build has no LibTorch")
    def test_networks(self):
        # Promised for models with laws; for networks it is what is found where a row's scores do not depend on the batch.
        out = self.same_whatever_the_ranks(["x.smi"], "sample", "--model", "qm9", "--samples", 192, "--steps", 4, "--batch", 32, "--out", "x.smi")
        self.assertEqual(out["x.smi"].count(b"\n"), 192)

    def test_one_message_and_no_result(self):
        done = self.run_ranks(3, "sample", "--model", "nosuch", "--out", "x.txt", code=2)
        self.assertEqual(done.stderr.count("unknown model"), 1)
        self.assertEqual(list(self.at.iterdir()), [])
        done = self.run_ranks(2, "train", "--data", KUNITZ, "--out", "net", code=2)
        self.assertIn("one rank", done.stderr)

    def test_a_rank_that_fails_ends_the_run(self):
        good = ["sample", "--model", "countdown", "--samples", 100000, "--out", "x.txt", "--quiet"]
        done = self.run_ranks([good, ["sample", "--model", "nosuch"]], code=2)
        self.assertIn("rank 1: unknown model", done.stderr)
        self.assertEqual(list(self.at.iterdir()), [])

    @unittest.skipUnless(HAS_TORCH, "this build has no LibTorch")
    def test_a_rank_that_fails_at_its_work_ends_the_run(self):
        """The network of rank 1 computes what is no number."""
        shutil.copytree(SOURCE / "models/backbones/qm9", self.at / "bad")
        file = self.at / "bad/weights.safetensors"
        bytes_ = file.read_bytes()
        begin = 8 + int.from_bytes(bytes_[:8], "little")
        file.write_bytes(bytes_[:begin] + b"\xff" * (len(bytes_) - begin))
        options = ["--samples", 100000, "--steps", 16, "--out", "x.smi", "--quiet"]
        done = self.run_ranks([["sample", "--model", "qm9", *options], ["sample", "--model", self.at / "bad", *options]], code=4)
        self.assertRegex(done.stderr, "saltus: rank 1: .*(NaN|finite|number)")
        self.assertEqual(done.stderr.count("saltus: "), 1, done.stderr)
        self.assertEqual([file.name for file in self.at.iterdir()], ["bad"])

    def test_one_progress_line(self):
        """On the terminal that the ranks were started from, counting the samples of all; nothing where there is none."""
        command = launch(2, "sample", "--model", "countdown", "--samples", 6000, "--steps", 32, "--out", "x.txt")
        child, terminal = pty.fork()
        if child == 0:
            flags = termios.tcgetattr(0)
            flags[3] |= termios.TOSTOP  # who writes in the background is stopped
            termios.tcsetattr(0, termios.TCSANOW, flags)
            os.chdir(self.at)
            os.execvpe(command[0], command, ENVIRONMENT)
        text = b""
        while True:
            try:
                text += os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
        os.close(terminal)
        self.assertEqual(os.waitpid(child, 0)[1], 0, text)
        lines = text.split(b"\r\033[K")
        self.assertEqual((lines[0], lines[-1]), (b"", b""), text)  # wiped in the end
        counts = [int(re.fullmatch(rb"tweedie  (\d+)/6000 \(\d+%\)  \S+/s  \d+:\d\d left", line)[1]) for line in lines[1:-1]]
        self.assertGreater(len(counts), 2)
        self.assertEqual(counts, sorted(set(counts)))
        self.assertEqual(self.run_ranks(2, *command[4:]).stderr, "")

    def test_a_rank_that_dies_ends_the_run(self):
        process = subprocess.Popen(launch(3, "sample", "--model", "countdown", "--samples", 1000000, "--integrator", "gillespie", "--out", "x.txt"), env=ENVIRONMENT,
                                   cwd=self.at, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            for _ in range(200):
                time.sleep(0.1)
                ranks = ranks_of(process.pid)
                if len(ranks) == 3 and any(self.at.iterdir()):
                    break
            self.assertEqual(len(ranks), 3)
            os.kill(ranks[1], signal.SIGKILL)
            self.assertNotEqual(process.wait(timeout=60), 0)
        finally:
            process.kill()
            process.stderr.close()
        self.assertFalse((self.at / "x.txt").exists())

    def test_sigterm_keeps_what_there_is(self):
        arguments = ["sample", "--model", "countdown", "--samples", 400000, "--steps", 16, "--out", "x.txt", "--quiet", "--checkpoint", "c.json",
                     "--checkpoint-minutes", 60]
        process = subprocess.Popen(launch(2, *arguments), env=ENVIRONMENT, cwd=self.at, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            time.sleep(0.05)
            partial = self.at / "x.txt.partial"
            if partial.exists() and partial.stat().st_size > 1 << 20:
                break
        process.send_signal(signal.SIGTERM)
        self.assertNotEqual(process.wait(timeout=60), 0)
        self.assertGreater(json.loads((self.at / "c.json").read_text())["samples"], 0)

    def test_a_checkpointed_run_goes_on_with_another_number_of_ranks(self):
        runs = ((["sample", "--model", "chain", "--data", KUNITZ, "--samples", 200000, "--steps", 4], {"--out": "x.npy"}, 200000),
                (["simulate", "--generator", "k80", "--start", "stationary", "--length", 40, "--times", "1,2", "--samples", 100000],
                 {"--out": "x.csv", "--trajectory": "j.npy", "--statistics": "m.csv"}, 100000))
        for arguments, outputs, samples in runs:
            arguments = [*arguments, "--quiet", *(x for output in outputs.items() for x in output)]
            self.run_ranks(0, *arguments)
            expected = {file: (self.at / file).read_bytes() for file in outputs.values()}
            for file in expected:
                (self.at / file).unlink()
            arguments += ["--checkpoint", "c.json", "--checkpoint-minutes", 0]
            process = subprocess.Popen(launch(2, *arguments), env=ENVIRONMENT, cwd=self.at, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(600):
                time.sleep(0.02)
                try:
                    if json.loads((self.at / "c.json").read_text())["samples"] > 0:
                        break
                except (OSError, ValueError):
                    pass
            for rank in ranks_of(process.pid):
                os.kill(rank, signal.SIGKILL)
            process.wait(timeout=60)
            for file in expected:
                self.assertFalse((self.at / file).exists(), "the run was over before it could be broken off")
            kept = json.loads((self.at / "c.json").read_text())["samples"]
            self.assertTrue(0 < kept < samples, kept)
            self.run_ranks(3, *arguments, "--resume")
            for file, bytes_ in expected.items():
                self.assertEqual((self.at / file).read_bytes(), bytes_, file)
            self.assertFalse((self.at / "c.json").exists())


if __name__ == "__main__":
    unittest.main()
