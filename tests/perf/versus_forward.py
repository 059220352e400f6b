# SPDX-License-Identifier: BSD-3-Clause
"""What a step at a vocabulary of 50,258 costs beside the network that it samples: a forward pass of a 12-layer, 768-wide
transformer at 1,024 sites, by turns.

    cmake --build --preset release --target saltus_step_bench
    .venv/bin/python tests/perf/versus_forward.py [--rounds 5]

The step is step_bench's on stored scores of that shape (log-scores, where every masked row is read, and normalised rows); the
network is examples/export/transformer.py with random weights in PyTorch, in single precision and in bfloat16 (without turning
its scores into single ones), with the same number of threads. One sequence. Ratios are medians over the rounds, with their
range; the target is less than 5 %.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import torch

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "examples/export"))
import transformer  # noqa: E402

STATES, LENGTH, WIDTH, LAYERS, HEADS = 50258, 1024, 768, 12, 12
TARGET = 5
CASES = ["masked_euler_log_scores_S50258", "masked_step_normalised_S50258"]


def network():
    shapes = {"embedding": (STATES, WIDTH), "position": (LENGTH, WIDTH), "norm.weight": (WIDTH,), "norm.bias": (WIDTH,),
              "head.weight": (STATES, WIDTH), "head.bias": (STATES,)}
    for i in range(LAYERS):
        for name, out, inner in [("qkv", 3 * WIDTH, WIDTH), ("out", WIDTH, WIDTH), ("up", 4 * WIDTH, WIDTH), ("down", WIDTH, 4 * WIDTH)]:
            shapes[f"blocks.{i}.{name}.weight"], shapes[f"blocks.{i}.{name}.bias"] = (out, inner), (out,)
        for name in ("norm1", "norm2"):
            shapes[f"blocks.{i}.{name}.weight"] = shapes[f"blocks.{i}.{name}.bias"] = (WIDTH,)
    return transformer.Transformer({k: 0.02 * torch.randn(s) for k, s in shapes.items()}, HEADS, False).eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step-bench", default=SOURCE / "build/release/tests/perf/step_bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    networks, tokens = {"fp32": network(), "bf16": network().bfloat16()}, torch.randint(0, STATES, (1, LENGTH))
    passes, steps = {name: [] for name in networks}, {case: [] for case in CASES}
    with torch.no_grad():
        for net in networks.values():
            net(tokens)
        for _ in range(options.rounds):
            for name, net in networks.items():
                start = time.perf_counter()
                net(tokens)
                passes[name].append(time.perf_counter() - start)
            done = subprocess.run([options.step_bench, "--threads", str(options.threads), "--repeats", "3", "--cases", ",".join(CASES)],
                                  capture_output=True, text=True, check=True)
            timings = json.loads(done.stdout)
            for case in CASES:
                steps[case].append(timings[case] * 1e-9 * LENGTH)
    print(f"{LAYERS} layers, width {WIDTH}, {STATES} states, {LENGTH} sites, {options.threads} threads")
    print(f"{'':32}{'ms':>9}" + "".join(f"{'% of ' + name:>24}" for name in networks))
    for name, times in passes.items():
        print(f"{'forward pass, ' + name:32}{1e3 * statistics.median(times):9.2f}")
    met = True
    for case in CASES:
        line = f"{case:32}{1e3 * statistics.median(steps[case]):9.2f}"
        for times in passes.values():
            shares = [100 * step / pass_ for step, pass_ in zip(steps[case], times)]
            met = met and statistics.median(shares) < TARGET
            line += f"{f'{statistics.median(shares):.2f} ({min(shares):.2f}-{max(shares):.2f})':>24}"
        print(line)
    print(f"less than {TARGET} %: {'yes' if met else 'NO'}")


if __name__ == "__main__":
    main()
