# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of training and of networks share: the program, and data whose law is known."""

import math
import os
import random
import subprocess

PROGRAM = os.path.abspath(os.environ["SALTUS_PROGRAM"])
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait must not take the cores from other tests
LENGTH, LETTERS = 6, "ABC"
# Of a chain: the next letter is the same with probability .8, the next one in the circle with .2, never the one before.
ENTROPY = math.log(3) + (LENGTH - 1) * -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
# A network that learns it within seconds.
SMALL = ["--tokenizer", "characters", "--width", 32, "--layers", 2, "--heads", 2, "--batch", 128, "--rate", "4e-3", "--ema", "0.99",
         "--threads", 2]


def chain(count, seed):
    """Sequences of it, one a line."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        row = [rng.randrange(3)]
        for _ in range(LENGTH - 1):
            row.append(row[-1] if rng.random() < 0.8 else (row[-1] + 1) % 3)
        rows.append("".join(LETTERS[i] for i in row))
    return "\n".join(rows) + "\n"


def saltus(*arguments, code=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=600)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done
