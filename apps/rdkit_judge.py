# SPDX-License-Identifier: BSD-3-Clause
"""What RDKit says of SMILES strings; `saltus evaluate` runs it, but it needs nothing of Saltus.

    python3 rdkit_judge.py --samples FILE --reference FILE [--held FILE [--held-is-reference]] [--draw N]

Files hold a SMILES string a line (an empty line is an empty string). Writes JSON: for the samples, and for the held-out
strings against the rest of the reference,

    count       strings
    valid       those that RDKit parses and sanitises into a molecule of at least one atom
    distinct    different canonical SMILES among these
    novel       of the distinct ones, those that no string of the reference is equal to in canonical form

and drawings of the first N distinct molecules of the samples and of the reference as SVG, whose colours are CSS
variables (--text, --c0, ...). With --held-is-reference the samples are held against the held-out strings too.
"""

import argparse
import json
import re
import sys

# RDKit's colours of atoms, and those of the page.
COLOURS = {"#000000": "var(--text)", "#0000FF": "var(--c0)", "#FF0000": "var(--c1)", "#33CCCC": "var(--c2)",
           "#CCCC00": "var(--c4)", "#00CC00": "var(--c2)", "#7F4C19": "var(--c4)", "#7F7F7F": "var(--frame)",
           "#FF7F00": "var(--c1)", "#A01EEF": "var(--c3)"}


def canonical(line):
    """The canonical SMILES, or nothing if it is no molecule."""
    molecule = Chem.MolFromSmiles(line)
    if molecule is None or molecule.GetNumAtoms() == 0:
        return None
    return Chem.MolToSmiles(molecule)


def counts(forms, known):
    valid = [form for form in forms if form]
    distinct = set(valid)
    return {"count": len(forms), "valid": len(valid), "distinct": len(distinct), "novel": len(distinct - known)}


def drawing(form):
    picture = rdMolDraw2D.MolDraw2DSVG(200, 150)
    picture.drawOptions().clearBackground = False
    picture.drawOptions().fixedBondLength = 26
    rdMolDraw2D.PrepareAndDrawMolecule(picture, Chem.MolFromSmiles(form))
    picture.FinishDrawing()
    text = picture.GetDrawingText()
    text = re.sub(r"<!--.*?-->", "", text[text.index("<svg"):], flags=re.S)
    text = re.sub(r"(<svg)\b.*?(viewBox='[^']*')[^>]*>", r"\1 xmlns='http://www.w3.org/2000/svg' \2 role='img'>", text, count=1,
                  flags=re.S)
    return re.sub(r"#[0-9A-Fa-f]{6}", lambda colour: COLOURS.get(colour[0].upper(), colour[0]), text).replace("\n", "")


def drawings(forms, most):
    first = list(dict.fromkeys(form for form in forms if form))[:most]
    return [{"smiles": form, "svg": drawing(form)} for form in first]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", required=True)
    parser.add_argument("--reference", required=True)
    parser.add_argument("--held")
    parser.add_argument("--held-is-reference", action="store_true")
    parser.add_argument("--draw", type=int, default=0)
    options = parser.parse_args()

    def read(path):
        if not path:
            return []
        with open(path, encoding="utf-8", errors="replace") as file:
            return [canonical(line.rstrip("\n")) for line in file]

    samples, reference, held = read(options.samples), read(options.reference), read(options.held)
    known = {form for form in reference if form}
    out = {"rdkit": rdBase.rdkitVersion,
           "samples": counts(samples, known | {f for f in held if f} if options.held_is_reference else known),
           "sample_drawings": drawings(samples, options.draw),
           "reference_drawings": drawings(reference, options.draw)}
    if options.held:
        out["held"] = counts(held, known)
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    try:
        from rdkit import Chem, RDLogger, rdBase
        from rdkit.Chem.Draw import rdMolDraw2D
    except ImportError as error:
        sys.exit(f"RDKit was not found: {error}")
    RDLogger.DisableLog("rdApp.*")
    main()
