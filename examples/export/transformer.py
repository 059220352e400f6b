# SPDX-License-Identifier: BSD-3-Clause
"""The backbone that 'saltus train' writes, in plain PyTorch: for looking at it, training it on or exporting it.

    from transformer import load
    network, manifest = load("FOLDER")
    logits = network(tokens, total)   # tokens int64 [B, L]; total float [B]: sigma_bar, or None without a time input
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F

from common import read_safetensors

class Transformer(torch.nn.Module):
    """Pre-normalised bidirectional transformer; learned and rotary positions; with `timed`, adaptive normalisation by
    an embedding of exp(-total)."""

    def __init__(self, tensors, heads, timed):
        super().__init__()
        self.weights = torch.nn.ParameterDict({k.replace(".", "/"): torch.nn.Parameter(v.float()) for k, v in tensors.items()})
        self.heads, self.timed = heads, timed
        self.layers = len({k.split(".")[1] for k in tensors if k.startswith("blocks.")})
        self.width = tensors["embedding"].shape[1]

    def _linear(self, x, name):
        return F.linear(x, self.weights[f"{name}/weight".replace(".", "/")], self.weights[f"{name}/bias".replace(".", "/")])

    def _norm(self, x, name):
        key = name.replace(".", "/")
        return F.layer_norm(x, (self.width,), self.weights[f"{key}/weight"], self.weights[f"{key}/bias"])

    def _rotate(self, x):
        length, half = x.shape[1], x.shape[-1] // 2
        angle = torch.outer(torch.arange(length).double(), 1e4 ** (-torch.arange(half).double() / half))
        c, s = angle.cos().to(x.dtype)[:, None], angle.sin().to(x.dtype)[:, None]
        a, b = x.chunk(2, -1)
        return torch.cat([a * c - b * s, b * c + a * s], -1).transpose(1, 2)

    def forward(self, tokens, total=None):
        batch, length = tokens.shape
        x = F.embedding(tokens, self.weights["embedding"]) + self.weights["position"][:length]
        shifts = [0.0] * 6
        if self.timed:
            angles = torch.exp(-total)[:, None] * 2.0 ** torch.arange(8) * math.pi
            late = torch.log(torch.clamp_min(-torch.expm1(-total), 1e-6))[:, None] / 4
            features = torch.cat([angles.sin(), angles.cos(), late], 1)
            about = F.silu(self._linear(F.silu(self._linear(features, "time1")), "time2"))[:, None]
        for i in range(self.layers):
            name = f"blocks.{i}."
            if self.timed:
                shifts = self._linear(about, name + "modulation").chunk(6, -1)
            h = self._norm(x, name + "norm1") * (1 + shifts[0]) + shifts[1]
            q, k, v = self._linear(h, name + "qkv").view(batch, length, 3, self.heads, -1).unbind(2)
            h = F.scaled_dot_product_attention(self._rotate(q), self._rotate(k), v.transpose(1, 2))
            x = x + self._linear(h.transpose(1, 2).reshape(batch, length, -1), name + "out") * (1 + shifts[2])
            h = self._norm(x, name + "norm2") * (1 + shifts[3]) + shifts[4]
            x = x + self._linear(F.gelu(self._linear(h, name + "up"), approximate="tanh"), name + "down") * (1 + shifts[5])
        return self._linear(self._norm(x, "norm"), "head")


def load(folder):
    folder = pathlib.Path(folder)
    manifest = json.loads((folder / "model.json").read_text())
    network = manifest["network"]
    if network["kind"] != "transformer":
        raise SystemExit(f"{folder}: expected a network of kind 'transformer', got '{network['kind']}'")
    tensors = read_safetensors(folder / network["file"])
    return Transformer(tensors, network["heads"], network["time"] != "none").eval(), manifest
