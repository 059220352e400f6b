# SPDX-License-Identifier: BSD-3-Clause
"""The networks that come with the program, the data that they were trained on, and how their samples are judged."""

import json
import pathlib

SETS = {  # network: data, ending of the files, what 'saltus evaluate' has to know of them
    "qm9": ("qm9", ".smi", ["--kind", "smiles"]),
    "qm9_uniform": ("qm9", ".smi", ["--kind", "smiles"]),
    "kunitz": ("pf00014_kunitz", ".fasta", []),
    "books": ("books27", ".txt", ["--windows"]),
    "books_small": ("books27", ".txt", ["--windows"]),
    "books_time": ("books27", ".txt", ["--windows"]),
}
COLUMNS = {  # by the first word of the network's name; the first is what matters most
    "qm9": ["valid", "valid_distinct", "valid_novel", "judge_perplexity", "sequence_entropy"],
    "kunitz": ["pair_r", "pair_slope", "site_r", "judge_perplexity", "sequence_entropy"],
    "books": ["judge_perplexity", "sequence_entropy", "words_4_tv"],
}


def columns(network):
    return COLUMNS[network.split("_")[0]]


def manifest(network):
    """What model.json of a network that comes with the program says."""
    path = pathlib.Path(__file__).resolve().parents[1] / "models/backbones" / network / "model.json"
    if network not in SETS or not path.exists():
        raise SystemExit(f"no network '{network}' comes with the program; there are {', '.join(SETS)}")
    return json.loads(path.read_text())


def judge(run, network, arguments, samples, data, work, seed=7):
    """Draws sequences with 'saltus sample' and these arguments, and judges them: evaluations, seconds, and every number of
    'saltus evaluate' for the samples and for held-out sequences. `run` runs saltus; `work` is a folder for files."""
    stem, suffix, kind = SETS[network]
    file, summary, judged = (work / f"{network}{end}" for end in (suffix, ".summary.json", ".judged.json"))
    run("sample", "--model", network, "--samples", samples, "--out", file, "--summary", summary, "--seed", seed, "--quiet", *arguments)
    run("evaluate", "--samples", file, "--reference", data / f"{stem}_train{suffix}", "--valid", data / f"{stem}_valid{suffix}",
        "--judge", "--json", judged, *kind)
    about = json.loads(summary.read_text())
    rows = {r["measure"]: {w: r.get(w) for w in ("samples", "held_out")} for r in json.loads(judged.read_text())["rows"]}
    missing = [c for c in columns(network) if not rows.get(c, {}).get("samples")]
    if missing:
        raise SystemExit(f"saltus evaluate gave no {', '.join(missing)}; validity needs RDKit: set SALTUS_PYTHON to a Python that has it")
    return {"nfe": about["nfe"], "network_evaluations": about.get("network_evaluations"),
            "seconds": about["timings"]["sample_seconds"], "rows": rows}


def shown(cell, column, which="samples"):
    """A number with its 95 % interval; nothing if it is not known."""
    value = cell["rows"].get(column, {}).get(which)
    if not value or value.get("value") is None:
        return ""
    known = value.get("low") is not None and value["low"] != value["high"]
    return f"{value['value']:.3f}" + (f" [{value['low']:.3f}, {value['high']:.3f}]" if known else "")
