# SPDX-License-Identifier: BSD-3-Clause
"""What the export scripts share: checkpoints, states, the network file and its manifest (docs/backbones.md)."""

import argparse
import itertools
import json
import os
import pathlib
import pickle
import struct
import sys
import types
import warnings

import torch


class Refused(Exception):
    """Something the caller can mend."""


# ------------------------------------------------------------------------------------------------------ checkpoints


class Stranger:
    """Stands in for every class that a checkpoint names and that is not needed: nothing of it is run."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def append(self, value):
        pass

    def extend(self, values):
        pass


class Unpickler(pickle.Unpickler):
    ALLOWED = {"collections": {"OrderedDict"},
               "torch": {"Size", "FloatStorage", "HalfStorage", "BFloat16Storage", "DoubleStorage", "LongStorage", "IntStorage",
                         "ShortStorage", "CharStorage", "ByteStorage", "BoolStorage"},
               "torch._utils": {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"}}

    def find_class(self, module, name):
        return super().find_class(module, name) if name in self.ALLOWED.get(module, ()) else Stranger


def read_safetensors(path):
    """The format is a header in JSON after its length, then the bytes of the tensors."""
    kinds = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
             "I32": torch.int32, "U8": torch.uint8, "BOOL": torch.bool}
    data = bytearray(pathlib.Path(path).read_bytes())
    size, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        flat = torch.frombuffer(data[8 + size + first:8 + size + last], dtype=kinds[entry["dtype"]]) if last > first else torch.empty(0)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def read_checkpoint(path):
    """The content of a file of torch.save() or safetensors. Classes other than tensors' become placeholders, so that no
    other package is needed and no code in the file is run."""
    if not os.path.isfile(path):
        raise Refused(f"cannot read '{path}': no such file")
    if str(path).endswith(".safetensors"):
        return read_safetensors(path)
    module = types.SimpleNamespace(Unpickler=Unpickler, load=lambda f, **kw: Unpickler(f, **kw).load(), __name__="pickle")
    return torch.load(path, map_location="cpu", weights_only=False, pickle_module=module)


def averaged(weights, shadow):
    """Weights with an exponential moving average in their place. It is a list in the order of the parameters, which is that
    of the state dict without buffers; parameters of the noise schedule may follow it."""
    names = [name for name in weights if not name.endswith("inv_freq")]
    if len(shadow) < len(names):
        raise Refused(f"the moving average has {len(shadow)} tensors, but the network has {len(names)}")
    for name, value in zip(names, shadow):
        if weights[name].shape != value.shape:
            raise Refused(f"the moving average of '{name}' has the shape {list(value.shape)}, expected {list(weights[name].shape)}")
    return {**weights, **dict(zip(names, shadow))}


def without_prefix(weights, prefix):
    """The tensors under a prefix, without it; all of them if there are none."""
    inner = {name[len(prefix):]: value for name, value in weights.items() if name.startswith(prefix)}
    return inner or weights


def load(network, weights):
    """Copies weights into a network. Every tensor must be there, in its shape, and none may be left."""
    weights = {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise Refused("the checkpoint is of another network: " + " ".join(str(error).split()))
    return network.eval()


def shape_of(weights, name):
    if name not in weights:
        raise Refused(f"the checkpoint has no tensor '{name}'; it has {', '.join(list(weights)[:4])}, ...")
    return weights[name].shape


# ----------------------------------------------------------------------------------------------------------- states


def numbers(text):
    """0,3,7-9 as a set."""
    chosen = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        chosen.update(range(int(first), int(last or first) + 1))
    return chosen


def states(args, columns, masked):
    """The network's number of each state: the tokens in their order without special and padding ones, then the mask."""
    left_out = numbers(args.exclude)
    mask = None
    if masked:
        mask = columns - 1 if args.mask_id is None else args.mask_id
        if not 0 <= mask < columns:
            raise Refused(f"--mask-id should lie below the {columns} columns of the network, got {mask}")
    ids = [y for y in range(columns) if y not in left_out and y != mask]
    return ids + ([mask] if masked else [])


def tokens(args, count):
    """The manifest's tokens for `count` data states."""
    if args.vocabulary is None:
        return {"tokenizer": "numbers", "states": count}
    names = pathlib.Path(args.vocabulary).read_text(encoding="utf-8").split("\n")
    names = names[:-1] if names[-1] == "" else names
    if len(names) != count:
        raise Refused(f"'{args.vocabulary}' has {len(names)} lines, but there are {count} tokens besides the mask")
    return {"tokenizer": args.tokenizer, "name": pathlib.Path(args.vocabulary).stem, "names": names}


# ----------------------------------------------------------------------------------------------------------- export


def parser(description, length):
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--checkpoint", required=True, help="weights: torch.save() or safetensors")
    p.add_argument("--out", required=True, help="folder to be written: the network and model.json")
    p.add_argument("--format", choices=("torchscript", "aoti"), default="torchscript")
    p.add_argument("--name", help="of the model (default: of the folder)")
    p.add_argument("--length", type=int, default=length, help="sites of a sequence (%(default)s)")
    p.add_argument("--batch", type=int, default=0, help="the only batch that the network will take (0: any)")
    p.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of the arithmetic of an aoti package")
    p.add_argument("--raw", action="store_true", help="take the last weights, not their moving average")
    return p


def vocabulary_options(p):
    p.add_argument("--mask-id", type=int, help="the mask's number in the network (default: the last)")
    p.add_argument("--exclude", default="", metavar="IDS", help="special tokens and padding of the vocabulary, as 0,3,7-9: "
                   "never sampled")
    p.add_argument("--vocabulary", metavar="FILE", help="a token a line, in the network's order, without mask and excluded ones "
                   "(default: tokens are numbers)")
    p.add_argument("--tokenizer", choices=("characters", "smiles", "words"), default="words", help="of --vocabulary")


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated upstream; tracing doubts every shape
        return function(*args, **kwargs)


class Autocast(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, *inputs):
        with torch.autocast("cpu", torch.bfloat16):
            return self.network(*inputs).float()


def save(args, network, inputs, manifest):
    """Writes the network file and model.json. `inputs(batch, length)` makes example inputs: tokens [batch, length], then time
    [batch], valid [batch, length] and condition, as far as the manifest names them. The file is loaded again and compared
    with the network itself, at other batches (and lengths, where any will do) than it was traced with."""
    folder = pathlib.Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    settings = manifest["network"]
    settings["kind"] = args.format
    settings["file"] = "network.pt" if args.format == "torchscript" else "network.pt2"
    if args.batch:
        settings["batch"] = args.batch
    if args.precision == "bf16":
        if args.format == "torchscript":
            raise Refused("--precision bf16 is for --format aoti; TorchScript takes the precision of the run (--precision of saltus)")
        network = Autocast(network).eval()
    path = str(folder / settings["file"])
    example = inputs(args.batch or 2, args.length)
    with torch.no_grad():
        if args.format == "torchscript":
            quietly(torch.jit.trace, network, example, check_trace=False).save(path)
            again = quietly(torch.jit.load, path)
        else:
            # A size of 1 would be held for a constant: saltus asks for two rows or more.
            rows = torch.export.Dim("batch", min=2, max=1 << 16)
            sites = torch.export.Dim("length", min=2, max=1 << 14) if settings.get("any_length") else None
            shapes = [{0: rows} if x.dim() == 1 else {0: rows, 1: sites} if sites and x.dim() == 2 and x.shape[1] == args.length
                      else {0: rows} for x in example]
            shapes = (tuple(shapes), ) if isinstance(network, Autocast) else tuple(shapes)
            program = torch.export.export(network, example, dynamic_shapes=None if args.batch else shapes)
            torch._inductor.aoti_compile_and_package(program, package_path=path)
            again = torch._inductor.aoti_load_package(path)
        largest = 0.0
        lengths = [args.length, args.length + 3, 2] if settings.get("any_length") else [args.length]
        for batch, length in itertools.product([args.batch] if args.batch else [3, 5], lengths):
            these = inputs(batch, length)
            expected, got = network(*these), again(*these)
            if expected.shape[-1] != settings.get("columns", expected.shape[-1]):
                raise Refused(f"the network gives {expected.shape[-1]} columns, but the manifest says {settings['columns']}")
            # Columns that a network rules out (the mask's, at -1e6 or -inf) must be ruled out, and say nothing of the others' size.
            ruled_out = ~(expected.abs() < 1e5)
            if bool((~(got[ruled_out].abs() >= 1e5) | (got[ruled_out].sign() != expected[ruled_out].sign())).any()):
                raise Refused("the file does not rule out what the network does")
            there = expected[~ruled_out]
            largest = max(largest, float((there - got[~ruled_out]).abs().max() / there.abs().max().clamp(min=1)))
    if not largest < (1e-4 if args.precision == "fp32" else 0.1):
        raise Refused(f"the file differs from the network by {largest:.1e} of its largest number")
    manifest = {"format": "saltus-backbone", "version": 1, "name": args.name or folder.resolve().name, **manifest}
    (folder / "model.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    print(f"{path}: {settings['output']}, time {settings['time']}, batch {args.batch or 'any'}, "
          f"differs from the network by {largest:.1e} of its largest number")


def run(main, argv=None):
    """The main program: what the caller can mend is said in one line."""
    try:
        main(sys.argv[1:] if argv is None else argv)
    except Refused as error:
        sys.exit(f"error: {error}")
