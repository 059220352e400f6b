# SPDX-License-Identifier: BSD-3-Clause
"""Exports a masked protein language model of transformers (EsmForMaskedLM: ESM-2, DPLM) as a masked diffusion model.

    python export_esm.py --checkpoint esm2_t6_8M_UR50D --out esm2

--checkpoint is a folder as save_pretrained() writes it. The exported network adds the model's special tokens itself: sites
are residues, <cls> stands before the first and <eos> after the last real one. It works at any length; sites that hold the
pad are not real, and nothing that is real sees them. A model trained with few masks at a time (ESM-2: 15 %) knows little of
sequences that are all masks: take one that was trained on all noise levels (DPLM), or fine-tune.
"""

import os

import torch
from torch import nn

import common

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
# The vocabulary of every ESM-2 model, where the folder has none.
ESM2 = ("<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>").split()


class Esm(nn.Module):
    def __init__(self, model, ids):
        super().__init__()
        self.model = model
        self.cls, self.eos, self.pad = ids["<cls>"], ids["<eos>"], ids["<pad>"]

    def forward(self, tokens, valid):
        start = torch.full_like(tokens[:, :1], self.cls)
        end = torch.full_like(start, self.pad)
        sites = torch.cat([start, torch.where(valid, tokens, self.pad), end], 1)
        # <eos> after the last real site
        numbers = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
        last = (valid * numbers).amax(1, keepdim=True)
        sites = sites.scatter(1, last + 1, torch.full_like(start, self.eos))
        real = torch.cat([torch.ones_like(valid[:, :1]), valid, torch.zeros_like(valid[:, :1])], 1)
        real = real.scatter(1, last + 1, torch.ones_like(valid[:, :1]))
        return self.model(input_ids=sites, attention_mask=real.long()).logits[:, 1:-1]


def vocabulary(folder):
    path = os.path.join(folder, "vocab.txt")
    names = open(path, encoding="utf-8").read().split() if os.path.exists(path) else ESM2
    return {name: i for i, name in enumerate(names)}


def main(argv):
    p = common.parser(__doc__.split("\n")[0], 100)
    p.add_argument("--noise", default="log_linear:floor=0.001", help="schedule (%(default)s)")
    args = p.parse_args(argv)
    try:
        from transformers import EsmForMaskedLM
    except ImportError as error:
        raise common.Refused(f"this script needs the package transformers: {error}")
    if not os.path.isdir(args.checkpoint):
        raise common.Refused(f"'{args.checkpoint}' is no folder; expected one with config.json and the weights")
    model = EsmForMaskedLM.from_pretrained(args.checkpoint, attn_implementation="eager", local_files_only=True)
    model = model.float().eval()
    ids = vocabulary(args.checkpoint)
    missing = [name for name in ("<cls>", "<eos>", "<pad>", "<mask>", *RESIDUES) if name not in ids]
    if missing:
        raise common.Refused(f"the vocabulary has no {', '.join(missing)}")

    def example(rows, length):
        valid = torch.arange(length) < torch.randint(max(1, length // 2), length + 1, (rows, 1))
        residues = torch.tensor([ids[x] for x in (*RESIDUES, "<mask>")])
        return residues[torch.randint(len(residues), (rows, length))], valid

    common.save(args, Esm(model, ids).eval(), example, {
        "network": {
            "output": "x0_logits_leave_one_out",
            "time": "none",
            "columns": model.config.vocab_size,
            "token_ids": [ids[x] for x in (*RESIDUES, "<pad>", "<mask>")],
            "any_length": True,
            "valid": True,
        },
        "tokens": {"tokenizer": "characters", "name": "residues", "names": [*RESIDUES, "<pad>"], "pad": True},
        "length": args.length,
        "mask": True,
        "generator": "absorbing",
        "noise": args.noise,
        "about": {"from": "transformers EsmForMaskedLM", "layers": model.config.num_hidden_layers},
    })


if __name__ == "__main__":
    common.run(main)
