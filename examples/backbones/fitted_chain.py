#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a network has to beat: -ln p of validation sequences under a Markov chain of order 1 fitted to the training sequences as
`--model chain` is (pseudo-count 1), pads included: a matrix for each position, or for pieces of running text one for all.

    python3 examples/backbones/fitted_chain.py TRAIN VALID [--smiles] [--windows LENGTH]
"""

import argparse
import collections
import math
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import cells


def read(path, smiles):
    lines = [line.strip("\n") for line in open(path)]
    lines = [line for line in lines if line.strip() and not line.startswith(">")]
    return [re.findall(r"\[[^\]]*\]|Br|Cl|%\d\d|.", line) if smiles else list(line) for line in lines]


def chain_of_rows(train, valid):
    """-ln p of every validation sequence, with a matrix for each position."""
    length = max(map(len, train))
    pad = lambda row: row + ["<pad>"] * (length - len(row))
    train, valid = list(map(pad, train)), [pad(row) for row in valid if len(row) <= length]
    states = len({token for row in train for token in row})
    first = collections.Counter(row[0] for row in train)
    pairs = [collections.Counter((row[l], row[l + 1]) for row in train) for l in range(length - 1)]
    befores = [collections.Counter(row[l] for row in train) for l in range(length - 1)]
    for row in valid:
        p = math.log((first[row[0]] + 1 / states) / (len(train) + 1))
        for l in range(length - 1):
            p += math.log((pairs[l][row[l], row[l + 1]] + 1 / states) / (befores[l][row[l]] + 1))
        yield -p


def chain_of_text(train, valid, length):
    """The same of pieces of running text that follow each other, with one matrix."""
    train, valid = "".join(map("".join, train)), "".join(map("".join, valid))
    states = len(set(train))
    single, pairs = collections.Counter(train), collections.Counter(zip(train, train[1:]))
    after = {pair: math.log((n + 1 / states) / (single[pair[0]] + 1)) for pair, n in pairs.items()}
    missing = {x: math.log(1 / states / (n + 1)) for x, n in single.items()}
    for start in range(0, len(valid) - length + 1, length):
        piece = valid[start:start + length]
        p = math.log((single[piece[0]] + 1 / states) / (len(train) + 1))
        yield -(p + sum(after.get(pair, missing[pair[0]]) for pair in zip(piece, piece[1:])))


def bound(train, valid, smiles=False, windows=0):
    """Mean in nats a sequence, and its standard error."""
    train, valid = read(train, smiles), read(valid, smiles)
    return cells.mean_and_error(list(chain_of_text(train, valid, windows) if windows else chain_of_rows(train, valid)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("valid")
    parser.add_argument("--smiles", action="store_true", help="tokens are atoms, bonds, ... instead of characters")
    parser.add_argument("--windows", type=int, default=0, help="running text: pieces of so many characters")
    options = parser.parse_args()
    mean, error = bound(options.train, options.valid, options.smiles, options.windows)
    print(f"{mean:.3f} +- {error:.3f} nats a sequence")
