# SPDX-License-Identifier: BSD-3-Clause
"""Small networks of the published architectures, with random weights under the published keys, are exported by the scripts of
examples/export and loaded by the adapter: its scores must be those of the forward pass in Python.

Needs SALTUS_SCORES (the program of scores.cpp), SALTUS_SOURCE and SALTUS_HAS_TORCH; torch, and transformers for the protein model.
Without LibTorch or torch everything is skipped (exit code 77), without transformers its tests are. SALTUS_WITHOUT_AOTI leaves
out what has to be compiled (about a minute).
"""

import contextlib
import io
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import types
import unittest

if os.environ.get("SALTUS_HAS_TORCH") != "1":
    print("skipped: this build has no LibTorch")
    sys.exit(77)
try:
    import numpy as np
    import torch
    from torch.nn import functional as F
except ImportError as error:
    print(f"skipped: exporting networks needs torch and numpy in {sys.executable}: {error}")
    sys.exit(77)

SCORES = os.environ["SALTUS_SCORES"]
sys.path.insert(0, str(pathlib.Path(os.environ["SALTUS_SOURCE"]) / "examples" / "export"))
import common  # noqa: E402
import ddit  # noqa: E402
import export_esm  # noqa: E402
import export_mdlm  # noqa: E402
import export_radd  # noqa: E402
import export_sedd  # noqa: E402
import export_tauldr  # noqa: E402

torch.set_num_threads(2)
AOTI = "SALTUS_WITHOUT_AOTI" not in os.environ
LENGTH, COLUMNS, HEADS = 12, 30, 4


def export(main, *args):
    """Runs an export script; its message if it refuses."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main([str(a) for a in args])
    return out.getvalue()


def run(*args, environment=None):
    return subprocess.run([SCORES, *map(str, args)], capture_output=True, text=True, env={**os.environ, **(environment or {})})


def random_weights(network, deviation=0.15):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(1 if parameter.dim() == 1 and "norm" in str(parameter) else 0, deviation)
    return network.eval()


def complaints(value, schema, where="manifest"):
    """What a JSON schema has against a value: the keywords that docs/model.schema.json uses."""
    known = {"type", "const", "enum", "required", "properties", "additionalProperties", "items", "minimum", "minItems", "minLength",
             "description", "default", "examples", "title", "$schema"}
    found = [f"{where}: keyword {key} is not known here" for key in schema.keys() - known]
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if "type" in schema and (not isinstance(value, kinds[schema["type"]]) or (schema["type"] == "integer" and isinstance(value, bool))):
        return found + [f"{where}: {value!r} is no {schema['type']}"]
    if "const" in schema and value != schema["const"] or value not in schema.get("enum", [value]):
        found.append(f"{where}: {value!r}")
    if isinstance(value, int) and value < schema.get("minimum", value):
        found.append(f"{where}: {value} is too small")
    if isinstance(value, (list, str)) and len(value) < schema.get("minItems", schema.get("minLength", 0)):
        found.append(f"{where}: too short")
    if isinstance(value, list) and "items" in schema:
        found += [x for i, item in enumerate(value) for x in complaints(item, schema["items"], f"{where}[{i}]")]
    if isinstance(value, dict):
        found += [f"{where}: {key} is missing" for key in schema.get("required", []) if key not in value]
        inner = schema.get("properties", {})
        if schema.get("additionalProperties", True) is False:
            found += [f"{where}: {key} is not known" for key in value.keys() - inner.keys()]
        found += [x for key in value.keys() & inner.keys() for x in complaints(value[key], inner[key], f"{where}.{key}")]
    return found


SCHEMA = json.loads((pathlib.Path(os.environ["SALTUS_SOURCE"]) / "docs" / "model.schema.json").read_text())


class Case(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(1)
        self.holder = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.holder.name)

    def tearDown(self):
        self.holder.cleanup()

    def scores(self, name, tokens, time=None, condition=(), refused=None, command="scores"):
        """What the adapter gives for tokens in the library's numbers, and the rows that it evaluated."""
        np.save(self.folder / "tokens.npy", np.asarray(tokens, dtype=np.int64))
        if time is not None:
            np.save(self.folder / "time.npy", np.asarray(time, dtype=np.float64))
        got = run(command, self.folder / name, self.folder / "tokens.npy", "-" if time is None else self.folder / "time.npy",
                  self.folder / "scores.npy", *condition)
        if refused is not None:
            self.refused(got, 2, refused)
            return None
        self.assertEqual(got.returncode, 0, got.stderr)
        return torch.from_numpy(np.load(self.folder / "scores.npy")), int(got.stdout)

    def refused(self, got, code, parts):
        self.assertEqual(got.returncode, code, got.stdout + got.stderr)
        message = got.stderr.splitlines()[-1]  # AOTInductor prints a line of its own before
        self.assertTrue(message.startswith("error: "), got.stderr)
        for part in parts:
            self.assertIn(part, message)

    def near(self, got, expected, tolerance=1e-5):
        self.assertEqual(got.shape, expected.shape)
        self.assertLess(float((got - expected).abs().max()), tolerance)

    def manifest(self, name):
        manifest = json.loads((self.folder / name / "model.json").read_text())
        self.assertEqual(complaints(manifest, SCHEMA), [])
        return manifest

    def change(self, name, **changes):
        """Changes keys of a manifest; those of its network under network__key. None removes."""
        manifest = self.manifest(name)
        for key, value in changes.items():
            at = manifest["network"] if key.startswith("network__") else manifest
            key = key.replace("network__", "")
            at[key] = value
            if value is None:
                del at[key]
        (self.folder / name / "model.json").write_text(json.dumps(manifest))

    def script(self, name, module, **keys):
        """A TorchScript network of the test's own, with a manifest."""
        (self.folder / name).mkdir()
        common.quietly(torch.jit.script, module).save(str(self.folder / name / "n.pt"))
        settings = {"kind": "torchscript", "file": "n.pt", "output": "x0_logits_leave_one_out", "time": "none"}
        settings.update(keys.pop("network", {}))
        (self.folder / name / "model.json").write_text(json.dumps({
            "format": "saltus-backbone", "version": 1, "name": name, "network": settings,
            "tokens": {"tokenizer": "numbers", "states": 3}, "length": 6, "mask": True, "noise": "linear", **keys}))


class Published(Case):
    """The architectures under their published keys."""

    def ddit(self, time_width, prefix=""):
        """A network, and a checkpoint whose moving average it is, unlike the weights beside it."""
        network = random_weights(ddit.DDiT(COLUMNS, 32, 2, HEADS, time_width))
        state = network.state_dict()
        raw = {prefix + name: value.clone() if name.endswith("inv_freq") else value + 0.3 for name, value in state.items()}
        shadow = [value.clone() for value in network.parameters()]
        return network, raw, {"decay": 0.9999, "num_updates": 10, "shadow_params": shadow}

    def test_published_keys(self):
        # louaaron/Score-Entropy-Discrete-Diffusion, model/transformer.py: what a state dict holds, in its order
        block = ["norm1.weight", "attn_qkv.weight", "attn_out.weight", "norm2.weight", "mlp.0.weight", "mlp.0.bias", "mlp.2.weight",
                 "mlp.2.bias", "adaLN_modulation.weight", "adaLN_modulation.bias"]
        expected = ["vocab_embed.embedding", "sigma_map.mlp.0.weight", "sigma_map.mlp.0.bias", "sigma_map.mlp.2.weight",
                    "sigma_map.mlp.2.bias", "rotary_emb.inv_freq", *(f"blocks.{i}.{name}" for i in range(2) for name in block),
                    "output_layer.norm_final.weight", "output_layer.linear.weight", "output_layer.linear.bias",
                    "output_layer.adaLN_modulation.weight", "output_layer.adaLN_modulation.bias"]
        self.assertEqual(list(ddit.DDiT(COLUMNS, 32, 2, HEADS, 16).state_dict()), expected)
        # ML-GSAI/RADD: no time; normalisations have a bias instead
        untimed = [name for name in expected if "adaLN" not in name and "sigma_map" not in name]
        with_bias = [x for name in untimed for x in ([name, name.replace("weight", "bias")] if "norm" in name else [name])]
        self.assertEqual(list(ddit.DDiT(COLUMNS, 32, 2, HEADS, 0).state_dict()), with_bias)

    def check_sedd(self, graph, *args, batches=(1, 2, 5)):
        network, raw, ema = self.ddit(16)
        torch.save({"optimizer": {"state": {}}, "model": raw, "ema": ema, "step": 9}, self.folder / "checkpoint.pth")
        export(export_sedd.main, "--checkpoint", self.folder / "checkpoint.pth", "--out", self.folder / "sedd", "--graph", graph,
               "--length", LENGTH, "--heads", HEADS, *args)
        manifest = self.manifest("sedd")
        self.assertEqual(manifest["mask"], graph == "absorb")
        self.assertEqual(manifest["tokens"]["states"], COLUMNS - (graph == "absorb"))
        for batch in batches:
            tokens, total = torch.randint(COLUMNS - 1, (batch, LENGTH)), torch.linspace(0.05, 4, batch)
            tokens[:, 3:7] = COLUMNS - 1
            got, rows = self.scores("sedd", tokens, total)
            self.assertEqual(rows, batch)
            # As published: log-scores; absorbing ones are scaled by the total noise (A§4.2)
            expected = network(tokens, total)
            if graph == "absorb":
                expected = expected - torch.log(torch.exp(total) - 1)[:, None, None] - math.log(COLUMNS - 1)
            expected.scatter_(-1, tokens[..., None], 0)
            self.near(got, expected.detach())
            self.assertEqual(float(got.gather(-1, tokens[..., None]).abs().max()), 0)

    def test_sedd_absorbing(self):
        self.check_sedd("absorb")

    def test_sedd_uniform(self):
        self.check_sedd("uniform")

    def test_sedd_fixed_batch(self):
        self.check_sedd("absorb", "--batch", 2, batches=(1, 2, 5))  # tails are padded

    @unittest.skipUnless(AOTI, "SALTUS_WITHOUT_AOTI")
    def test_sedd_aoti(self):
        self.check_sedd("absorb", "--format", "aoti")
        self.scores("sedd", [[0] * LENGTH], [1.0], command="wary", refused=["machine code", "--trust"])
        # Another length than it was exported for is refused before the first step.
        self.change("sedd", length=LENGTH + 1)
        self.scores("sedd", [[0] * (LENGTH + 1)], [1.0], refused=["cannot be evaluated", "got: 13"])

    def check_bf16(self, got, exact):
        """Near the single-precision scores, but no closer than bfloat16 is."""
        difference = float((got - exact).abs().max() / exact.abs().max())
        self.assertLess(difference, 0.05)
        self.assertGreater(difference, 1e-5)

    def test_sedd_bf16(self):
        self.check_sedd("absorb")
        tokens, total = torch.full((2, LENGTH), COLUMNS - 1), [0.3, 2.0]
        exact, _ = self.scores("sedd", tokens, total)
        self.check_bf16(self.scores("sedd", tokens, total, command="bf16")[0], exact)

    @unittest.skipUnless(AOTI, "SALTUS_WITHOUT_AOTI")
    def test_radd_aoti_bf16_fixed_batch(self):  # in one test, since each package is compiled for a quarter of a minute
        network, _, _ = self.ddit(0)
        torch.save(network.state_dict(), self.folder / "c.pth")
        export(export_radd.main, "--checkpoint", self.folder / "c.pth", "--out", self.folder / "radd", "--length", LENGTH, "--heads",
               HEADS, "--format", "aoti", "--precision", "bf16", "--batch", 2)
        for batch in (1, 2, 5):
            tokens = torch.randint(COLUMNS - 1, (batch, LENGTH))
            tokens[:, 4:6] = COLUMNS - 1
            got, rows = self.scores("radd", tokens)
            self.assertEqual(rows, batch)
            for b in range(batch):  # each row is that of its own tokens
                self.check_bf16(got[b], network(tokens[b:b + 1])[0].detach())
        self.scores("radd", tokens, refused=["in the precision that it was exported with"], command="bf16")

    def test_radd(self):
        network, raw, ema = self.ddit(0)
        torch.save({"optimizer": {}, "model": raw, "ema": ema, "step": 9}, self.folder / "checkpoint.pth")
        export(export_radd.main, "--checkpoint", self.folder / "checkpoint.pth", "--out", self.folder / "radd", "--length", LENGTH,
               "--heads", HEADS)
        tokens = torch.randint(COLUMNS, (4, LENGTH))
        tokens[:, 0] = COLUMNS - 1
        got, rows = self.scores("radd", tokens)
        self.near(got, network(tokens).detach())
        # the last weights
        export(export_radd.main, "--checkpoint", self.folder / "checkpoint.pth", "--out", self.folder / "raw", "--length", LENGTH,
               "--heads", HEADS, "--raw")
        other = common.load(ddit.DDiT(COLUMNS, 32, 2, HEADS, 0), raw)
        self.near(self.scores("raw", tokens)[0], other(tokens).detach(), 1e-4)
        self.assertGreater(float((other(tokens) - network(tokens)).detach().abs().max()), 0.1)

    def test_mdlm(self):
        # A Lightning checkpoint: a prefix, the moving average, objects of packages that are not there; a mask within the
        # vocabulary, special tokens and padding of it.
        network, raw, ema = self.ddit(16, "backbone.")
        ema["shadow_params"].append(torch.tensor(0.0))  # of the noise schedule
        stranger = types.ModuleType("omegaconf")
        stranger.DictConfig = type("DictConfig", (), {"__module__": "omegaconf"})
        sys.modules["omegaconf"] = stranger
        config = stranger.DictConfig()
        config.model = {"length": 7}
        torch.save({"state_dict": raw, "ema": ema, "hyper_parameters": {"config": config}, "loops": {}}, self.folder / "mdlm.ckpt")
        del sys.modules["omegaconf"]
        export(export_mdlm.main, "--checkpoint", self.folder / "mdlm.ckpt", "--out", self.folder / "mdlm", "--length", LENGTH, "--heads",
               HEADS, "--mask-id", 3, "--exclude", "0-2,28-29")
        ids = [*range(4, 28), 3]
        manifest = self.manifest("mdlm")
        self.assertEqual(manifest["network"]["token_ids"], ids)
        self.assertEqual(manifest["network"]["columns"], COLUMNS)
        self.assertEqual(manifest["tokens"]["states"], 24)
        states = torch.randint(len(ids), (3, LENGTH))
        states[:, 5] = 24
        got, _ = self.scores("mdlm", states)
        inner = torch.tensor(ids)[states]
        logits = network(inner, torch.zeros(3))
        self.near(got[..., :-1], logits[..., ids[:-1]].detach())
        # Zero masking probabilities: with the mask's logit at -1e6, as published, a softmax is that of the others.
        self.near(torch.softmax(got, -1)[..., :-1], torch.softmax(logits[..., ids[:-1]], -1).detach())
        self.assertEqual(float(torch.softmax(got, -1)[..., -1].max()), 0)

    def test_safetensors_and_names_of_tokens(self):
        network, _, _ = self.ddit(0)
        state = {name: value.half() for name, value in network.state_dict().items()}
        blobs = {name: value.contiguous().numpy().tobytes() for name, value in state.items()}
        header, end = {"__metadata__": {"format": "pt"}}, 0
        for name, blob in blobs.items():
            header[name] = {"dtype": "F16", "shape": list(state[name].shape), "data_offsets": [end, end + len(blob)]}
            end += len(blob)
        text = json.dumps(header).encode()
        (self.folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs.values()))
        (self.folder / "tokens.txt").write_text("\n".join(f"w{i}" for i in range(COLUMNS - 1)) + "\n")
        export(export_radd.main, "--checkpoint", self.folder / "model.safetensors", "--out", self.folder / "radd", "--length", LENGTH,
               "--heads", HEADS, "--vocabulary", self.folder / "tokens.txt")
        self.assertEqual(self.manifest("radd")["tokens"]["names"][:2], ["w0", "w1"])
        tokens = torch.full((2, LENGTH), COLUMNS - 1)
        rounded = common.load(ddit.DDiT(COLUMNS, 32, 2, HEADS, 0), state)
        self.near(self.scores("radd", tokens)[0], rounded(tokens).detach())

    def test_tauldr(self):
        settings = types.SimpleNamespace(multipliers=[1, 2], blocks=1, attention_scale=1, no_rescale=False, levels=256, time_scale=1000.0,
                                         height=4, width=4, fix_logistic=False)
        network = random_weights(export_tauldr.TauLdr(settings, 8, 3))
        # andrew-cr/tauLDR, lib/networks/networks.py: some of the keys, by hand
        keys = set(network.state_dict())
        for key in ("net.temb_modules.1.weight", "net.input_conv.bias", "net.downsampling_modules.0.groupnorm0.weight",
                    "net.downsampling_modules.0.dense0.weight", "net.downsampling_modules.1.conv.weight",
                    "net.downsampling_modules.2.nin.W", "net.downsampling_modules.3.NIN_3.b", "net.middle_modules.1.GroupNorm_0.weight",
                    "net.upsampling_modules.1.NIN_0.W", "net.upsampling_modules.4.conv.bias", "net.upsampling_modules.6.conv1.weight",
                    "net.output_modules.1.weight"):
            self.assertIn(key, keys)
        state = network.state_dict()
        content = {name: value + 0.2 for name, value in state.items()}
        content.update(ema_decay=0.9999, ema_num_updates=5, ema_shadow_params=[value.clone() for value in network.parameters()])
        torch.save({"model": content, "optimizer": {}, "n_iter": 5}, self.folder / "ckpt.pt")
        export(export_tauldr.main, "--checkpoint", self.folder / "ckpt.pt", "--out", self.folder / "tau", "--height", 4, "--width", 4,
               "--multipliers", "1,2", "--blocks", 1)
        manifest = self.manifest("tau")
        self.assertEqual((manifest["length"], manifest["mask"], manifest["network"]["time"]), (48, False, "time"))
        self.assertEqual(manifest["generator"], "gaussian_target:states=256,rate_sigma=6,target_sigma=512")
        tokens, time = torch.randint(256, (3, 48)), torch.tensor([0.01, 0.5, 1.0])
        got, _ = self.scores("tau", tokens, time)
        expected = network(tokens, time).detach()
        self.near(got, expected, 1e-4)  # logits down to -1e2
        self.near(torch.softmax(got, -1), torch.softmax(expected, -1))
        # The published formula in single precision: a logistic law of the grey level, cut off at the ends.
        with torch.no_grad():
            location, log_scale = network.net(tokens.view(3, 3, 4, 4).float(), time)
        location, sharpness = location.reshape(3, 48, 1), torch.exp(2 - log_scale).reshape(3, 48, 1)
        edges = torch.linspace(-1, 1, 257)
        cdf = torch.sigmoid((edges - location) * sharpness)
        law = cdf[..., 1:] - cdf[..., :-1]
        self.near(torch.softmax(got, -1), law / law.sum(-1, keepdim=True), 1e-4)
        got = run("sample", self.folder / "tau", 4, 2, self.folder / "x.npy")
        self.assertEqual(got.returncode, 0, got.stderr)
        x = np.load(self.folder / "x.npy")
        self.assertTrue(x.min() >= 0 and x.max() < 256)

    def test_checkpoints_of_other_networks(self):
        network, raw, ema = self.ddit(16)
        cases = [({"model": raw, "ema": {"shadow_params": ema["shadow_params"][:-1]}}, ["moving average has", "tensors"]),
                 ({"model": raw, "ema": {"shadow_params": ema["shadow_params"][::-1]}}, ["moving average of 'vocab_embed.embedding'"]),
                 ({name: value for name, value in raw.items() if name != "blocks.1.attn_out.weight"}, ["blocks.1.attn_out.weight"]),
                 ({**raw, "extra": torch.zeros(1)}, ["extra"]),
                 ({"weights": torch.zeros(1)}, ["vocab_embed.embedding", "weights"])]
        for content, parts in cases:
            torch.save(content, self.folder / "c.pth")
            with self.assertRaises(common.Refused) as refusal:
                export(export_sedd.main, "--checkpoint", self.folder / "c.pth", "--out", self.folder / "out", "--heads", HEADS)
            for part in parts:
                self.assertIn(part, str(refusal.exception))
            self.assertFalse((self.folder / "out" / "model.json").exists())
        with self.assertRaises(common.Refused):
            export(export_sedd.main, "--checkpoint", self.folder / "none.pth", "--out", self.folder / "out")


class Protein(Case):
    """EsmForMaskedLM with its special tokens."""

    def setUp(self):
        try:
            import transformers
        except ImportError as error:
            self.skipTest(f"needs transformers: {error}")
        super().setUp()
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.model = transformers.EsmForMaskedLM(transformers.EsmConfig(
            vocab_size=33, mask_token_id=32, pad_token_id=1, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=64, position_embedding_type="rotary", token_dropout=True, emb_layer_norm_before=False)).eval()
        random_weights(self.model, 0.1)
        self.model.save_pretrained(self.folder / "esm")
        self.ids = export_esm.vocabulary(self.folder / "esm")

    def check(self, *args):
        export(export_esm.main, "--checkpoint", self.folder / "esm", "--out", self.folder / "out", "--length", 10, *args)
        self.assertTrue(self.manifest("out")["network"]["any_length"])
        residues = [self.ids[x] for x in export_esm.RESIDUES]
        pad, mask = 20, 21
        torch.manual_seed(3)
        rows = [torch.randint(20, (n, )) for n in (10, 7, 1, 10, 4)]
        for row in rows:
            row[::2] = mask
        expected = []
        for row in rows:  # each alone, without padding, as transformers' own tokenizer would give it
            inner = [self.ids["<cls>"], *(self.ids["<mask>"] if y == mask else residues[y] for y in row.tolist()), self.ids["<eos>"]]
            with torch.no_grad():
                logits = self.model(input_ids=torch.tensor([inner]), attention_mask=torch.ones(1, len(inner), dtype=torch.long)).logits
            expected.append(logits[0, 1:-1][:, [*residues, self.ids["<pad>"], self.ids["<mask>"]]])
        for length in (10, 13):
            tokens = torch.full((len(rows), length), pad)
            for b, row in enumerate(rows):
                tokens[b, :len(row)] = row
            got, evaluated = self.scores("out", tokens)
            self.assertEqual(evaluated, len(rows))
            for b, row in enumerate(rows):
                self.near(got[b, :len(row), :20], expected[b][:, :20])
                self.near(got[b, :len(row), 21], expected[b][:, 21])
                self.assertTrue(bool((got[b, :, pad] == -math.inf).all()))  # the pad is never drawn

    def test_torchscript(self):
        self.check()

    @unittest.skipUnless(AOTI, "SALTUS_WITHOUT_AOTI")
    def test_aoti(self):
        self.check("--format", "aoti")


class Plain(torch.nn.Module):
    """Logits [batch, length, 4] of nothing but the own token and the position."""

    def __init__(self, length: int = 6, columns: int = 4):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.table = torch.nn.Parameter(torch.randn(columns, columns, generator=generator))
        self.places = torch.nn.Parameter(torch.randn(length, columns, generator=generator))

    def forward(self, tokens):
        return self.table[tokens] + self.places


class Timed(Plain):
    def forward(self, tokens, time):
        return self.table[tokens] + self.places * time[:, None, None]


class Everything(Plain):
    def forward(self, tokens, time, valid, condition):
        counted = (valid[:, :, None] * condition[:, None, :1]) + condition[:, None, 1:2] * time[:, None, None]
        return self.table[tokens] + counted


class Broken(Plain):
    """Not a number at site 5 of what is masked there, from the middle of a run on."""

    def forward(self, tokens, time):
        x = self.table[tokens] + self.places
        x[:, 5] += torch.where(time < 0.5, math.nan, 0.0)[:, None]
        return x


class Stored(Plain):
    """Gives memory that it keeps, the same for all rows."""

    def forward(self, tokens):
        return self.places.unsqueeze(0).expand(tokens.shape[0], 6, 4)


class Probabilities(Plain):
    def forward(self, tokens):
        return torch.softmax(self.table[tokens] + self.places, -1)


class Pair(Plain):
    def forward(self, tokens):
        return self.table[tokens], self.places


class Own(Case):
    """What an exporter of one's own may do, right and wrong."""

    X = [[3, 3, 0, 3, 1, 2], [0, 1, 2, 3, 3, 3], [3, 3, 3, 3, 3, 3]]

    def test_time_and_scaled_scores(self):
        network = Timed()
        self.script("timed", network, network={"time": "total", "output": "scaled_log_score"})
        total = torch.tensor([0.2, 1.0, 7.0], dtype=torch.float64)
        got, _ = self.scores("timed", self.X, total)
        expected = network(torch.tensor(self.X), total.float()).double() - torch.log(torch.expm1(total))[:, None, None]
        self.near(got, expected.detach())
        self.change("timed", network__output="log_score")
        self.near(self.scores("timed", self.X, total)[0], network(torch.tensor(self.X), total.float()).double().detach())

    def test_valid_and_condition(self):
        network = Everything()
        self.script("all", network, network={"time": "time", "valid": True, "condition": 2}, mask=False, generator="uniform",
                    tokens={"tokenizer": "words", "names": ["a", "b", "c", "<pad>"], "pad": True})
        time, condition = torch.tensor([0.2, 0.9, 0.5]), torch.tensor([[1.5, -2.0]])
        tokens = torch.tensor(self.X)
        got, _ = self.scores("all", self.X, time, condition=(1.5, -2.0))
        expected = network(tokens, time, tokens != 3, condition.expand(3, 2)).detach()
        self.near(got[..., :3], expected[..., :3])
        self.assertTrue(bool((got[..., 3] == -math.inf).all()))
        self.scores("all", self.X, time, condition=(1.5, ), refused=["condition of 2 numbers", "got 1"])
        self.scores("all", self.X, time, refused=["condition of 2 numbers", "got 0", "--condition"])

    def test_a_network_keeps_its_memory(self):
        network = Stored()
        self.script("stored", network, tokens={"tokenizer": "words", "names": ["a", "b", "c", "<pad>"], "pad": True}, mask=False,
                    generator="uniform")
        got, _ = self.scores("stored", self.X)
        self.near(got, network(torch.tensor(self.X)).detach())

    def test_manifests_that_do_not_fit(self):
        self.script("plain", Plain())
        self.near(self.scores("plain", self.X)[0], Plain()(torch.tensor(self.X)).detach())
        for changes, parts in [({"tokens": {"tokenizer": "numbers", "states": 4}}, ["5 states", "size 4"]),
                               ({"length": 7}, ["length 7", "(6)", "(7)"]),
                               ({"network__columns": 9}, ["[1, 6, 9]", "[1, 6, 4]"]),
                               ({"network__time": "time"}, ["at most 2 argument(s)", "received 3", "the time"]),
                               ({"network__output": "x0_leave_in"}, ["x0_leave_in", "never negative", "state", "site"]),
                               ({"network__kind": "aoti"}, ["does not load"])]:
            text = (self.folder / "plain" / "model.json").read_text()
            self.change("plain", **changes)
            got = run("sample", self.folder / "plain", 4, 1, self.folder / "x.npy")
            with self.subTest(changes=changes):
                self.assertEqual(got.returncode, 2, got.stderr)
                for part in parts:
                    self.assertRegex(got.stderr, re.escape(part))
                self.assertEqual(got.stderr.count("\n"), 1, got.stderr)
            (self.folder / "plain" / "model.json").write_text(text)
        self.script("law", Probabilities())
        self.scores("law", self.X, refused=["x0_logits_leave_one_out", "sum to 1", "x0_leave_in"])
        self.script("pair", Pair())
        self.scores("pair", self.X, refused=["Tensor", "Tuple"])

    def test_schema(self):
        # What the schema calls wrong the program refuses too, by the same name.
        self.script("plain", Plain())
        good = self.manifest("plain")
        for path in [("version", ), ("name", ), ("length", ), ("mask", ), ("generator", ), ("noise", ), ("about", ), ("tokens", "states"),
                     *(("network", key) for key in SCHEMA["properties"]["network"]["properties"] if key not in ("width", "layers", "heads"))]:
            bad = json.loads(json.dumps(good))
            at = bad[path[0]] if len(path) > 1 else bad
            at[path[-1]] = {"no": "such"} if path[-1] != "about" else 7
            self.assertNotEqual(complaints(bad, SCHEMA), [], path)
            (self.folder / "plain" / "model.json").write_text(json.dumps(bad))
            self.scores("plain", self.X, refused=[path[-1]])
        for at in ("network", "tokens"):
            bad = json.loads(json.dumps(good))
            bad[at]["unheard"] = 1
            self.assertNotEqual(complaints(bad, SCHEMA), [])
            (self.folder / "plain" / "model.json").write_text(json.dumps(bad))
            self.scores("plain", self.X, refused=["unheard"])

    def test_files_that_do_not_load(self):
        self.script("plain", Plain())
        file = self.folder / "plain" / "n.pt"
        whole = file.read_bytes()
        for size in (0, 10, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:size])
            self.scores("plain", self.X, refused=["plain", "does not load: "])
        torch.save({"a": torch.zeros(1)}, file)  # no TorchScript
        self.scores("plain", self.X, refused=["does not load: "])
        got = run("scores", self.folder / "plain", "-", "-", "-", environment={"SALTUS_TORCH_ADAPTER": "/no/such/adapter.so"})
        self.refused(got, 2, ["LibTorch adapter", "/no/such/adapter.so"])

    def test_numbers_that_are_none_stop_a_run(self):
        self.script("broken", Broken(), network={"time": "time"})
        got = run("sample", self.folder / "broken", 8, 100, self.folder / "x.npy")
        # Steps of 1/8: time is below 0.5 first in step 5 (0.375). Later batches are not begun.
        self.refused(got, 4, ["'broken'", "not finite", "first in step 5, sample ", ", site 5 "])
        self.assertFalse((self.folder / "x.npy").exists())

    def test_rows_that_did_not_change(self):
        self.script("plain", Plain())
        got = run("sample", self.folder / "plain", 64, 200, self.folder / "x.npy")
        self.assertEqual(got.returncode, 0, got.stderr)
        expected = 64 * (1 - (1 - 1 / 64)**6)  # A§13.12
        deviation = math.sqrt(expected / 200)
        self.assertLess(abs(int(got.stdout) / 200 - expected), 5 * deviation)
        self.assertEqual(np.load(self.folder / "x.npy").max(), 2)

    def test_export_that_does_not_generalise(self):
        # A network that only knows the batch it was traced with is found out.
        class Stuck(Plain):
            def forward(self, tokens):
                return self.table[tokens] + self.places + torch.zeros(len(tokens), 6, 4)

        args = types.SimpleNamespace(out=str(self.folder / "stuck"), batch=0, format="torchscript", precision="fp32", name=None, length=6)
        with self.assertRaises((common.Refused, RuntimeError)):
            common.save(args, Stuck(), lambda rows, length: (torch.randint(4, (rows, length)), ), {"network": {"output": "x0_logits_leave_in",
                                                                                                    "time": "none"}})
        self.assertFalse((self.folder / "stuck" / "model.json").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
