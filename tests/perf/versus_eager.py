# SPDX-License-Identifier: BSD-3-Clause
"""`saltus sample` on a shipped network against the same network sampled by an eager PyTorch loop, by turns.

    .venv/bin/python tests/perf/versus_eager.py [--model qm9] [--steps 64] [--samples 1024] [--rounds 5]

The loop is what public samplers do: in every step the network at every row, softmax, one uniform number a site for the
event and `torch.multinomial` for the target of masked sites (Tweedie's law, as `--integrator tweedie`). Both use the same
number of threads and batch. Printed: seconds, the ratio with its range, and how much of it rests on rows that are not
evaluated again because they did not change (the ratio of evaluations).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "examples/export"))
import transformer  # noqa: E402


@torch.no_grad()
def eager(network, manifest, steps, samples, batch):
    """Tokens [samples, L] by Tweedie steps on a uniform grid, log-linear noise (alpha = 1 - .999 t), last step forced."""
    length, mask = manifest["length"], len(manifest["tokens"]["names"])
    alpha = [1 - 0.999 * (1 - k / steps) for k in range(steps + 1)]
    out = []
    for first in range(0, samples, batch):
        x = torch.full((min(batch, samples - first), length), mask)
        for k in range(steps):
            law = network(x)[..., :mask].softmax(-1)
            reveal = 1.0 if k + 1 == steps else (alpha[k + 1] - alpha[k]) / (1 - alpha[k])
            jump = (x == mask) & (torch.rand(x.shape) < reveal)
            drawn = torch.multinomial(law.flatten(0, 1), 1).view(x.shape)
            x = torch.where(jump, drawn, x)
        out.append(x)
    return torch.cat(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="qm9", help="a name in models/backbones, or a folder")
    parser.add_argument("--saltus", default="build/release/apps/saltus")
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = options.model if os.path.isdir(options.model) else SOURCE / "models/backbones" / options.model
    network, manifest = transformer.load(folder)
    if not manifest["mask"] or manifest["network"]["time"] != "none":
        raise SystemExit("versus_eager compares masked networks without a time input")
    rows = []
    evaluations = 0
    with tempfile.TemporaryDirectory() as work:
        summary = pathlib.Path(work) / "summary.json"
        command = [options.saltus, "sample", "--model", str(folder), "--integrator", "tweedie", "--steps", options.steps, "--samples",
                   options.samples, "--batch", options.batch, "--threads", options.threads, "--summary", summary, "--quiet",
                   "--out", pathlib.Path(work) / "samples.txt"]
        for _ in range(options.rounds + 1):  # the first warms up
            start = time.perf_counter()
            subprocess.run(list(map(str, command)), check=True)
            ours = time.perf_counter() - start
            start = time.perf_counter()
            eager(network, manifest, options.steps, options.samples, options.batch)
            theirs = time.perf_counter() - start
            rows.append((ours, theirs))
            evaluations = json.loads(summary.read_text())["network_evaluations"]
    rows = rows[1:]
    ratios = sorted(b / a for a, b in rows)
    print(f"{folder}: {options.samples} samples, {options.steps} steps, batch {options.batch}, {options.threads} threads")
    print(f"saltus sample   {statistics.median(a for a, _ in rows):.2f} s, the program's start included")
    print(f"eager PyTorch   {statistics.median(b for _, b in rows):.2f} s")
    print(f"ratio           {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    print(f"evaluations     {evaluations:.2f} a sample instead of {options.steps}: a factor of {options.steps / evaluations:.2f}")


if __name__ == "__main__":
    main()
