# SPDX-License-Identifier: BSD-3-Clause
"""What a network has to beat: -ln p of validation sequences under a Markov chain of order 1 with a matrix for each position,
fitted to the training sequences as `--model chain` is (pseudo-count 1), pads included.

    python3 examples/backbones/fitted_chain.py TRAIN VALID [--smiles]
"""

import argparse
import collections
import math
import re


def read(path, smiles):
    lines = [line.strip() for line in open(path) if line.strip() and not line.startswith(">")]
    return [re.findall(r"\[[^\]]*\]|Br|Cl|%\d\d|.", line) if smiles else list(line) for line in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("valid")
    parser.add_argument("--smiles", action="store_true", help="tokens are atoms, bonds, ... instead of characters")
    options = parser.parse_args()
    train, valid = read(options.train, options.smiles), read(options.valid, options.smiles)
    length = max(map(len, train))
    pad = lambda row: row + ["<pad>"] * (length - len(row))
    train, valid = list(map(pad, train)), [pad(row) for row in valid if len(row) <= length]
    states = len({token for row in train for token in row})
    first = collections.Counter(row[0] for row in train)
    pairs = [collections.Counter((row[l], row[l + 1]) for row in train) for l in range(length - 1)]
    befores = [collections.Counter(row[l] for row in train) for l in range(length - 1)]
    nats = []
    for row in valid:
        p = math.log((first[row[0]] + 1 / states) / (len(train) + 1))
        for l in range(length - 1):
            p += math.log((pairs[l][row[l], row[l + 1]] + 1 / states) / (befores[l][row[l]] + 1))
        nats.append(-p)
    mean = sum(nats) / len(nats)
    error = (sum((x - mean) ** 2 for x in nats) / (len(nats) - 1) / len(nats)) ** 0.5
    print(f"{len(valid)} sequences, {states} tokens, {length} sites: {mean:.3f} +- {error:.3f} nats a sequence")


if __name__ == "__main__":
    main()
