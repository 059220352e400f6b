# SPDX-License-Identifier: BSD-3-Clause
"""Exports a SEDD checkpoint (Lou, Meng, Ermon 2024; louaaron/Score-Entropy-Discrete-Diffusion).

    python export_sedd.py --checkpoint checkpoints-meta/checkpoint.pth --graph absorb --out sedd

Takes a checkpoint of its training (with the moving average) or published weights (safetensors, .bin). The network takes
the total noise and gives log-scores, the own token's entry 0. Tokens are numbers of the GPT-2 tokenizer unless --vocabulary
names them.
"""

import math

import torch
from torch import nn

import common
import ddit


class Sedd(nn.Module):
    def __init__(self, body, absorbing):
        super().__init__()
        self.body = body
        self.absorbing = absorbing

    def forward(self, tokens, total):
        x = self.body(tokens, total)
        if self.absorbing:
            x = x - torch.log(torch.expm1(total))[:, None, None] - math.log(x.shape[-1] - 1)
        return x.scatter(-1, tokens[..., None], torch.zeros_like(x[..., :1]))


def network(weights, args):
    return Sedd(common.load(ddit.network_of(weights, args), weights), args.graph == "absorb").eval()


def weights_of(checkpoint, args):
    if "model" not in checkpoint:
        return checkpoint
    weights = checkpoint["model"]
    return weights if args.raw else common.averaged(weights, checkpoint["ema"]["shadow_params"])


def main(argv):
    p = common.parser(__doc__.split("\n")[0], 1024)
    p.add_argument("--graph", choices=("absorb", "uniform"), default="absorb")
    p.add_argument("--noise", help="schedule (default: log_linear:floor=0.001 for absorb, geometric:min=0.0001,max=20 for uniform)")
    common.vocabulary_options(p)
    ddit.heads_option(p)
    args = p.parse_args(argv)
    weights = weights_of(common.read_checkpoint(args.checkpoint), args)
    absorbing = args.graph == "absorb"
    model = network(weights, args)
    columns = model.body.output_layer.linear.out_features
    ids = common.states(args, columns, absorbing)
    settings = {"output": "log_score", "time": "total", "columns": columns}
    if ids != list(range(columns)):
        settings["token_ids"] = ids
    example = lambda rows, length: (torch.randint(columns, (rows, length)), torch.rand(rows) * 3 + 0.1)
    common.save(args, model, example, {
        "network": settings,
        "tokens": common.tokens(args, len(ids) - absorbing),
        "length": args.length,
        "mask": absorbing,
        "generator": "absorbing" if absorbing else "uniform",
        "noise": args.noise or ("log_linear:floor=0.001" if absorbing else "geometric:min=0.0001,max=20"),
        "about": {"from": "SEDD", "graph": args.graph},
    })


if __name__ == "__main__":
    common.run(main)
