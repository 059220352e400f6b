# SPDX-License-Identifier: BSD-3-Clause
"""Exports an MDLM checkpoint (Sahoo et al. 2024; kuleshov-group/mdlm, the backbone "dit").

    python export_mdlm.py --checkpoint mdlm.ckpt --out mdlm
    python export_mdlm.py --checkpoint lm1b.ckpt --mask-id 103 --exclude 0-102 --length 128 --out mdlm_lm1b

Takes a Lightning checkpoint (with the moving average) or published weights. The time input of these networks is always 0,
so the exported one has none; it gives logits of the clean token, the mask's never (zero masking probabilities). What is
revealed is carried over by saltus itself.
"""

import torch
from torch import nn

import common
import ddit


class Mdlm(nn.Module):
    def __init__(self, body, columns, mask):
        super().__init__()
        self.body = body
        self.register_buffer("never", -1e6 * (torch.arange(columns) == mask))

    def forward(self, tokens):
        return self.body(tokens, torch.zeros(1, device=tokens.device)) + self.never


def weights_of(checkpoint, args):
    weights = common.without_prefix(checkpoint.get("state_dict", checkpoint), "backbone.")
    shadow = None if args.raw else checkpoint.get("ema")
    return common.averaged(weights, shadow["shadow_params"]) if shadow else weights


def main(argv):
    ddit.export_timeless(argv, __doc__, "MDLM", weights_of, lambda body, columns, mask: Mdlm(body, columns, mask).eval())


if __name__ == "__main__":
    common.run(main)
