# SPDX-License-Identifier: BSD-3-Clause
"""The transformer that SEDD, MDLM and, without a time, RADD publish weights of, under their state-dict keys.

Lou, Meng, Ermon 2024 (SEDD), Sahoo et al. 2024 (MDLM), Ou et al. 2025 (RADD). Blocks with rotary positions; with a time,
normalisations are scaled, shifted and gated by an embedding of it (adaptive layer norm).
"""

import math
import re

import torch
from torch import nn
from torch.nn import functional as F

import common
from common import Refused, shape_of

FREQUENCIES = 256


class Embedding(nn.Module):
    def __init__(self, tokens, width):
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(tokens, width))

    def forward(self, x):
        return self.embedding[x]


class TimeEmbedding(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time):
        half = FREQUENCIES // 2
        frequencies = torch.exp(-math.log(10000) / half * torch.arange(half, dtype=torch.float32, device=time.device))
        angles = time[:, None].float() * frequencies
        return self.mlp(torch.cat([torch.cos(angles), torch.sin(angles)], -1))


class Rotary(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.register_buffer("inv_freq", 1 / 10000 ** (torch.arange(0, size, 2).float() / size))

    def forward(self, length):
        angles = torch.arange(length, device=self.inv_freq.device)[:, None] * self.inv_freq
        return torch.cos(angles)[:, None], torch.sin(angles)[:, None]  # [length, 1, size / 2]


def rotate(x, cosine, sine):
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


class Block(nn.Module):
    def __init__(self, width, heads, time_width):
        super().__init__()
        timed = time_width > 0
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, bias=not timed)
        self.attn_qkv = nn.Linear(width, 3 * width, bias=False)
        self.attn_out = nn.Linear(width, width, bias=False)
        self.norm2 = nn.LayerNorm(width, bias=not timed)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        if timed:
            self.adaLN_modulation = nn.Linear(time_width, 6 * width)

    def attend(self, x, cosine, sine):
        batch, length, width = x.shape
        q, k, v = self.attn_qkv(x).view(batch, length, 3, self.heads, width // self.heads).unbind(2)
        mixed = F.scaled_dot_product_attention(rotate(q, cosine, sine).transpose(1, 2), rotate(k, cosine, sine).transpose(1, 2),
                                               v.transpose(1, 2))
        return self.attn_out(mixed.transpose(1, 2).reshape(batch, length, width))

    def forward(self, x, cosine, sine, about):
        if about is None:
            x = x + self.attend(self.norm1(x), cosine, sine)
            return x + self.mlp(self.norm2(x))
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(about)[:, None].chunk(6, -1)
        x = x + gate1 * self.attend(self.norm1(x) * (1 + scale1) + shift1, cosine, sine)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class FinalLayer(nn.Module):
    def __init__(self, width, columns, time_width):
        super().__init__()
        self.norm_final = nn.LayerNorm(width, bias=time_width == 0)
        self.linear = nn.Linear(width, columns)
        if time_width > 0:
            self.adaLN_modulation = nn.Linear(time_width, 2 * width)

    def forward(self, x, about):
        x = self.norm_final(x)
        if about is not None:
            shift, scale = self.adaLN_modulation(about)[:, None].chunk(2, -1)
            x = x * (1 + scale) + shift
        return self.linear(x)


class DDiT(nn.Module):
    """[batch, length, columns] from tokens [batch, length] and what the time embedding takes, [batch] or [1]."""

    def __init__(self, columns, width, blocks, heads, time_width):
        super().__init__()
        self.vocab_embed = Embedding(columns, width)
        if time_width > 0:
            self.sigma_map = TimeEmbedding(time_width)
        self.rotary_emb = Rotary(width // heads)
        self.blocks = nn.ModuleList(Block(width, heads, time_width) for _ in range(blocks))
        self.output_layer = FinalLayer(width, columns, time_width)

    def forward(self, tokens, time=None):
        about = None if time is None else F.silu(self.sigma_map(time))
        x = self.vocab_embed(tokens)
        cosine, sine = self.rotary_emb(tokens.shape[1])
        for block in self.blocks:
            x = block(x, cosine, sine, about)
        return self.output_layer(x, about)


def heads_option(p):
    p.add_argument("--heads", type=int, help="attention heads, which weights do not tell (default: one for each 64 of the width, "
                   "as published)")


def network_of(weights, args):
    """The network that fits the weights."""
    columns, width = shape_of(weights, "vocab_embed.embedding")
    time_width = weights["sigma_map.mlp.2.bias"].shape[0] if "sigma_map.mlp.2.bias" in weights else 0
    blocks = 1 + max((int(re.match(r"blocks\.(\d+)\.", name)[1]) for name in weights if name.startswith("blocks.")), default=-1)
    heads = args.heads or max(1, width // 64)
    if width % (2 * heads):
        raise Refused(f"the width {width} is no multiple of twice the number of heads, {heads} (--heads)")
    return DDiT(columns, width, blocks, heads, time_width)


def export_timeless(argv, doc, name, weights_of, wrap=lambda body, columns, mask: body):
    """The command line of a masked network of this architecture that gives logits of the clean token and is told no time.
    `weights_of(checkpoint, args)` finds its weights; `wrap(body, columns, mask)` puts around it what is no weight."""
    p = common.parser(doc.split("\n")[0], 1024)
    p.add_argument("--noise", default="log_linear:floor=0.001", help="schedule (%(default)s)")
    common.vocabulary_options(p)
    heads_option(p)
    args = p.parse_args(argv)
    weights = weights_of(common.read_checkpoint(args.checkpoint), args)
    body = common.load(network_of(weights, args), weights)
    columns = body.output_layer.linear.out_features
    ids = common.states(args, columns, True)
    settings = {"output": "x0_logits_leave_one_out", "time": "none", "columns": columns}
    if ids != list(range(columns)):
        settings["token_ids"] = ids
    common.save(args, wrap(body, columns, ids[-1]), lambda rows, length: (torch.randint(columns, (rows, length)), ), {
        "network": settings,
        "tokens": common.tokens(args, len(ids) - 1),
        "length": args.length,
        "mask": True,
        "generator": "absorbing",
        "noise": args.noise,
        "about": {"from": name},
    })
