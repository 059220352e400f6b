// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace saltus::app {

/// What RDKit says of SMILES strings.
struct MoleculeCounts {
  std::size_t count, valid, distinct, novel;  ///< as rdkit_judge.py says
};
struct MoleculeDrawing {
  std::string smiles, svg;
};
struct Molecules {
  std::string missing;  ///< why nothing was measured; then the rest means nothing
  std::string rdkit{};  ///< its version
  MoleculeCounts samples{}, held{};
  std::vector<MoleculeDrawing> sample_drawings{}, reference_drawings{};
};

/// Runs rdkit_judge.py, which lies beside the program (../share/saltus), with the first of $SALTUS_PYTHON (then no
/// other), .venv/bin/python in a folder above the program, and python3 that has RDKit. `rest` is the reference without
/// `held`; the samples are held against both if `held_is_reference`. A run that fails is reported in `missing`.
Molecules judge_molecules(std::vector<std::string> const& samples, std::vector<std::string> const& rest,
                          std::vector<std::string> const& held, bool held_is_reference, std::size_t drawings);

}  // namespace saltus::app
