#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Times one masked step of the library and the same step in PyTorch (eager and compiled) and NumPy, by turns on one machine.

    .venv/bin/python tests/perf/versus_pytorch.py [--json FILE] [--rounds N]

README.md in this folder says what is compared and how to read the table. Exit code: 0 whatever the numbers, 1 if a
measurement or the check of PyTorch's step failed, 2 for usage trouble.
"""
import argparse
import ctypes
import importlib.util
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
STEP_BENCH = ROOT / "build/release/tests/perf/step_bench"
BUILD = "cmake --preset release && cmake --build --preset release --target saltus_step_bench"
THREADS = 2

# As in step_bench.cpp: one step of log-linear noise, at which a site jumps with probability 1/16.
FROM, TO, FLOOR = 0.5, 0.46875, 1e-3
SIGMA = (1 - FLOOR) / (1 - (1 - FLOOR) * FROM)
JUMP = (FROM - TO) / FROM


class Case(NamedTuple):
    name: str
    batch: int
    length: int
    states: int
    law: bool  # scores are a normalised law over tokens, not log-scores
    repeats: int  # of step_bench, in one round
    steps: int  # of PyTorch, in one round
    narrow: bool = False  # scores are stored in bfloat16


CASES = [
    Case("masked_euler_log_scores_S50258", 2, 1024, 50258, False, 5, 1),
    Case("masked_euler_log_scores_S33", 64, 256, 33, False, 5, 20),
    Case("masked_step_normalised_S50258", 2, 1024, 50258, True, 5, 1),
    Case("masked_step_normalised_S33", 64, 256, 33, True, 5, 20),
    Case("masked_euler_log_scores_S4", 64, 256, 5, False, 5, 20),
    Case("masked_euler_log_scores_S20", 64, 256, 21, False, 5, 20),
    Case("masked_euler_log_scores_S50258_bf16", 2, 1024, 50258, False, 5, 1, True),
]


# ---- PyTorch's side, in a process of its own: memory goes back to the system, and no thread of it outlives a round.


def fill(torch, case):
    """Scores distributed as step_bench.cpp's Fill, and tokens that are all masks."""
    mask = case.states - 1
    scores = torch.rand(case.batch, case.length, case.states).mul_(6).sub_(3)
    scores.sub_(math.log(case.states * math.sinh(3) / 3))
    if case.law:
        scores.exp_()
        scores[..., mask] = 0
        scores.div_(scores.sum(-1, keepdim=True))
    if case.narrow:
        scores = scores.to(torch.bfloat16)
    return scores, torch.full((case.batch, case.length), mask)


def race(torch, weights):
    """The published draw from unnormalised weights: a uniform number for each, exponential race, argmax."""
    return (weights / (1e-10 - torch.rand_like(weights).log())).argmax(-1)


def race_log_scores(torch, log_scores, tokens):
    """Euler step on the absorbing graph, every quantity at full size as SEDD, JYS and LSD have it."""
    states = log_scores.shape[-1]
    mask = states - 1
    score = log_scores.exp()
    own = tokens[..., None]
    # Row x of the transposed generator: +1 towards all tokens from the mask, -1 for staying.
    transposed = (own == mask).long() - torch.nn.functional.one_hot(tokens, states)
    rate = transposed * score
    rate.scatter_(-1, own, 0)
    rate.scatter_(-1, own, -rate.sum(-1, keepdim=True))
    probs = torch.nn.functional.one_hot(tokens, states) + (FROM - TO) * SIGMA * rate
    return race(torch, probs)


def race_law(torch, law, tokens):
    """The step of samplers with a normalised denoiser (MDLM): one law over tokens and mask, drawn everywhere."""
    mask = law.shape[-1] - 1
    probs = law * JUMP
    probs[..., mask] = 1 - JUMP
    return torch.where(tokens == mask, race(torch, probs), tokens)


def multinomial_log_scores(torch, log_scores, tokens):
    """The same law by softmax, torch.multinomial and one coin a site."""
    mask = log_scores.shape[-1] - 1
    log_scores = log_scores[..., :mask]
    leave = log_scores.logsumexp(-1).exp() * ((FROM - TO) * SIGMA)
    target = torch.multinomial(log_scores.softmax(-1).view(-1, mask), 1).view(tokens.shape)
    return torch.where((tokens == mask) & (torch.rand(tokens.shape) < leave), target, tokens)


def multinomial_law(torch, law, tokens):
    """The same for a law: torch.multinomial (its mask column is zero) and one coin a site."""
    mask = law.shape[-1] - 1
    target = torch.multinomial(law.view(-1, mask + 1), 1).view(tokens.shape)
    return torch.where((tokens == mask) & (torch.rand(tokens.shape) < JUMP), target, tokens)


def numpy_log_scores(numpy, log_scores):
    """The same with NumPy, all sites masked: weights once, a coin a site, and a cumulative sum of the rows that jump."""
    weights = numpy.exp(log_scores[..., :-1])
    total = weights.sum(-1)
    b, l = numpy.nonzero(numpy.random.random_sample(total.shape) < total * ((FROM - TO) * SIGMA))
    return numpy_targets(numpy, weights[b, l])


def numpy_law(numpy, law):
    b, l = numpy.nonzero(numpy.random.random_sample(law.shape[:2]) < JUMP)
    return numpy_targets(numpy, law[b, l, :-1])


def numpy_targets(numpy, rows):
    sums = rows.cumsum(-1, dtype=numpy.float64)
    return (sums < (numpy.random.random_sample(len(rows)) * sums[:, -1])[:, None]).sum(-1)


def steps_of(case):
    return (race_law, multinomial_law) if case.law else (race_log_scores, multinomial_log_scores)


def keep_memory():
    """From here on glibc keeps what is freed; by default it returns large blocks, and new ones cost page faults."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(-4, 0)  # M_MMAP_MAX
        mallopt(-1, -1)  # M_TRIM_THRESHOLD


def worker_time(torch, case):
    """Medians of the steps in ns a site, and the peak of memory beyond the scores."""
    scores, tokens = fill(torch, case)
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def time_step(step, warm_up=1):
        seconds = []
        for _ in range(warm_up + case.steps):
            start = time.perf_counter()
            step(torch, scores, tokens)
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds[warm_up:]) * 1e9 / tokens.numel()

    race_step, multinomial_step = steps_of(case)
    result = {"race": time_step(race_step)}
    result["extra_gib"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) / 2**20
    result["multinomial"] = time_step(multinomial_step, warm_up=0)
    import numpy

    step = numpy_law if case.law else numpy_log_scores
    array = scores.float().numpy()  # NumPy has no bfloat16
    result["numpy"] = time_step(lambda *_: step(numpy, array))
    compiled = torch.compile(race_step, dynamic=False)
    result["compiled"] = time_step(lambda _, *inputs: compiled(torch, *inputs), warm_up=2)
    keep_memory()
    result["kept"] = time_step(race_step, warm_up=2)  # the heap may still grow in the second step
    return result


def worker_check(torch):
    """Each step of PyTorch must do the library's work: sites jump with probability 1/16, tokens as the scores say."""
    result = {}
    for case in CASES:
        if case.states > 1000 or case.states < 20:  # few states: the nominal probability is rough
            continue
        scores, tokens = fill(torch, case)
        mask, repeats = case.states - 1, 20
        weights = scores[..., :mask].double()
        weights = weights * JUMP if case.law else weights.exp() * ((FROM - TO) * SIGMA)
        jump = weights.sum(-1).clamp(max=1)
        n = repeats * tokens.numel()
        expected = jump.mean().item()
        assert abs(expected / JUMP - 1) < 0.05, f"{case.name}: a site jumps with probability {expected}, not {JUMP}"
        for step in steps_of(case):
            name = f"{step.__name__} in {case.name}"
            drawn = [step(torch, scores, tokens) for _ in range(repeats)]
            observed = sum((x != mask).sum().item() for x in drawn) / n
            deviation = math.sqrt((jump * (1 - jump)).mean().item() / tokens.numel() / repeats)
            assert abs(observed - expected) < 5 * deviation, f"{name}: {observed} of the sites jumped, not {expected}"
            # Sum over jumps of the score of the token drawn: catches targets drawn from another law than the scores'.
            taken = weights.gather(-1, drawn[0].clamp(max=mask - 1)[..., None])[..., 0][drawn[0] != mask]
            mean = (weights.square().sum(-1).sum() / weights.sum(-1).sum()).item()
            spread = taken.std().item() / math.sqrt(len(taken))
            assert abs(taken.mean().item() - mean) < 5 * spread, f"{name}: tokens do not follow the scores"
            kept = tokens.clone()
            kept[:, ::2] = 0
            assert (step(torch, scores, kept)[:, ::2] == 0).all(), f"{name}: an unmasked site changed"
            result[name] = observed
    return result


def worker(name):
    import torch

    torch.set_num_threads(THREADS)
    torch.manual_seed(7)
    with torch.inference_mode():
        if name == "check":
            result = worker_check(torch)
        else:
            result = worker_time(torch, next(case for case in CASES if case.name == name))
    print(json.dumps(result))


# ---- The comparison.


def stop(code, message):
    print(f"versus_pytorch.py: {message}", file=sys.stderr)
    sys.exit(code)


def run_json(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        if done.returncode == -9:
            why = "killed (out of memory? PyTorch needs up to 8 GiB)"
        else:
            why = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        stop(1, f"{' '.join(command)}: {why}")
    return json.loads(done.stdout)


def busy_seconds():
    """CPU seconds that others than this program's children used on this machine; None where that is not known."""
    try:
        user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    except (OSError, ValueError):
        return None
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    all_work = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return all_work - own.ru_utime - own.ru_stime


def run_worker(name):
    return run_json([sys.executable, str(Path(__file__).resolve()), "--worker", name])


def measure(step_bench, case):
    """One round: the library, then PyTorch."""
    start, before = time.perf_counter(), busy_seconds()
    library = run_json(
        [str(step_bench), "--threads", str(THREADS), "--repeats", str(case.repeats), "--cases", case.name]
    )
    if case.name not in library:
        stop(2, f"{step_bench} knows no case {case.name}; rebuild it: {BUILD}")
    pytorch = run_worker(case.name)
    after, seconds = busy_seconds(), time.perf_counter() - start
    others = 0 if before is None or after is None else max(0, (after - before) / seconds)
    return {"library": library[case.name], "sum": library[case.name + "_plain_sum"], "others": others, **pytorch}


def make_row(case, rounds):
    """Medians over the rounds; each ratio also has its smallest and largest value over the rounds."""
    median = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
    ratios = [r["race"] / r["library"] for r in rounds]
    shares = [r["sum"] / r["library"] for r in rounds]
    return {
        "case": case.name,
        "ns_per_site": median["library"],
        "pytorch_ns_per_site": median["race"],
        "pytorch_memory_kept_ns_per_site": median["kept"],
        "pytorch_multinomial_ns_per_site": median["multinomial"],
        "pytorch_compiled_ns_per_site": median["compiled"],
        "numpy_ns_per_site": median["numpy"],
        "ratio_compiled": median["compiled"] / median["library"],
        "ratio_numpy": median["numpy"] / median["library"],
        "ratio": median["race"] / median["library"],
        "ratio_memory_kept": median["kept"] / median["library"],
        "ratio_multinomial": median["multinomial"] / median["library"],
        "share_of_read_bandwidth": statistics.median(shares),
        "ratio_range": [min(ratios), max(ratios)],
        "share_range": [min(shares), max(shares)],
        "pytorch_extra_gib": median["extra_gib"],
        "cpus_used_by_others": max(r["others"] for r in rounds),
    }


def judge(rows):
    """Adds to each row its target, what was reached, and whether that meets it."""
    row = {r["case"]: r for r in rows}
    large = row["masked_euler_log_scores_S50258"]
    share = large["share_of_read_bandwidth"]
    large["target"] = "100x PyTorch, 80 % of a plain sum"
    large["reached"] = f"{large['ratio']:.3g}x, {100 * share:.0f} %"
    large["met"] = large["ratio"] >= 100 and share >= 0.8
    for r in (row[f"masked_{c}"] for c in ("euler_log_scores_S4", "euler_log_scores_S20", "euler_log_scores_S33", "step_normalised_S33")):
        r["target"] = "8x PyTorch"
        r["reached"] = f"{r['ratio']:.3g}x"
        r["met"] = r["ratio"] >= 8
    law_large = row["masked_step_normalised_S50258"]
    faster = large["ns_per_site"] / law_large["ns_per_site"]
    law_large["target"] = "10x case 1"
    law_large["reached"] = f"{faster:.3g}x"
    law_large["met"] = faster >= 10
    narrow = row["masked_euler_log_scores_S50258_bf16"]
    narrow["target"] = "1.4x case 1"
    narrow["reached"] = f"{large['ns_per_site'] / narrow['ns_per_site']:.3g}x"
    narrow["met"] = large["ns_per_site"] / narrow["ns_per_site"] >= 1.4


def print_table(rows):
    head = ["case", "library", "race", "kept", "compiled", "multinomial", "NumPy", "ratio", "kept", "compiled", "NumPy", "bandwidth", "target", "reached", "met"]
    lines = [head] + [
        [
            f"{k} {row['case']}",
            f"{row['ns_per_site']:.4g}",
            f"{row['pytorch_ns_per_site']:.4g}",
            f"{row['pytorch_memory_kept_ns_per_site']:.4g}",
            f"{row['pytorch_compiled_ns_per_site']:.4g}",
            f"{row['pytorch_multinomial_ns_per_site']:.4g}",
            f"{row['numpy_ns_per_site']:.4g}",
            f"{row['ratio']:.3g} ({row['ratio_range'][0]:.3g}-{row['ratio_range'][1]:.3g})",
            f"{row['ratio_memory_kept']:.3g}",
            f"{row['ratio_compiled']:.3g}",
            f"{row['ratio_numpy']:.3g}",
            f"{100 * row['share_of_read_bandwidth']:.0f} %",
            row["target"],
            row["reached"],
            "yes" if row["met"] else "no",
        ]
        for k, row in enumerate(rows, 1)
    ]
    widths = [max(map(len, column)) for column in zip(*lines)]
    print("ns a site; PyTorch: race (as published), the same with freed memory kept, by torch.compile, multinomial; NumPy;")
    print("ratio: race / library (over the rounds), then of kept, compiled, NumPy; bandwidth: of a plain sum")
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())
    others = max(row["cpus_used_by_others"] for row in rows)
    if others > 0.1:
        print(f"NOT A QUIET MACHINE: other programs used up to {others:.2g} CPUs; PyTorch suffers most; repeat")
    missed = [f"case {k} ({row['case']})" for k, row in enumerate(rows, 1) if not row["met"]]
    print("targets missed: " + ", ".join(missed) if missed else "all targets are met")


def positive(text):
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="rounds of library, PyTorch (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows of the table here")
    parser.add_argument("--step-bench", type=Path, default=STEP_BENCH, metavar="FILE", help="the library's program")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker(options.worker)
    if importlib.util.find_spec("torch") is None:
        stop(2, "this Python has no torch: run ./quickstart.sh, then .venv/bin/python tests/perf/versus_pytorch.py")
    if not os.access(options.step_bench, os.X_OK) or not options.step_bench.is_file():
        stop(2, f"there is no program {options.step_bench}: {BUILD}")
    if options.json and not options.json.parent.is_dir():
        stop(2, f"there is no folder {options.json.parent}")
    step_bench = options.step_bench.resolve()

    jumps = run_worker("check").values()
    print(f"PyTorch's steps: {100 * min(jumps):.2f} to {100 * max(jumps):.2f} % of the sites jump (6.25 % nominal)")
    rounds = {case: [] for case in CASES}
    for k in range(options.rounds):
        for case in CASES:
            print(f"round {k + 1} of {options.rounds}: {case.name}", file=sys.stderr, flush=True)
            rounds[case].append(measure(step_bench, case))
    rows = [make_row(case, rounds[case]) for case in CASES]
    judge(rows)
    print_table(rows)
    if options.json:
        beside = options.json.with_name(options.json.name + ".part")
        beside.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
        beside.replace(options.json)


if __name__ == "__main__":
    main()
