# SPDX-License-Identifier: BSD-3-Clause
"""Exports a RADD checkpoint (Ou et al. 2025; ML-GSAI/RADD).

    python export_radd.py --checkpoint model.safetensors --out radd

Takes a checkpoint of its training (with the moving average) or published weights. The network takes no time and gives logits
of the clean token of each masked site, so that saltus evaluates only the rows that changed.
"""

import torch

import common
import ddit
from export_sedd import weights_of


def main(argv):
    p = common.parser(__doc__.split("\n")[0], 1024)
    p.add_argument("--noise", default="log_linear:floor=0.001", help="schedule (%(default)s)")
    common.vocabulary_options(p)
    ddit.heads_option(p)
    args = p.parse_args(argv)
    weights = weights_of(common.read_checkpoint(args.checkpoint), args)
    model = common.load(ddit.network_of(weights, args), weights)
    columns = model.output_layer.linear.out_features
    ids = common.states(args, columns, True)
    settings = {"output": "x0_logits_leave_one_out", "time": "none", "columns": columns}
    if ids != list(range(columns)):
        settings["token_ids"] = ids
    common.save(args, model, lambda rows, length: (torch.randint(columns, (rows, length)), ), {
        "network": settings,
        "tokens": common.tokens(args, len(ids) - 1),
        "length": args.length,
        "mask": True,
        "generator": "absorbing",
        "noise": args.noise,
        "about": {"from": "RADD"},
    })


if __name__ == "__main__":
    common.run(main)
