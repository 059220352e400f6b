// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include <saltus/models/backbone_manifest.hpp>
#include <saltus/models/sequence_law.hpp>

namespace saltus {

/// A name for the numbers that make a model what it is, 16 hexadecimal digits (FNV-1a of 64 bits): equal models have equal
/// ones, on every machine, and what was learned for one model can tell another. Not for defence against forgery.

/// Of a law: name, length, states, the laws of its sites and the likelihoods of 16 sequences that it draws, to twelve digits.
std::string model_hash(SequenceLaw const& law);

/// Of a network: the bytes of its file, and what the manifest says of its states, inputs and outputs. UserError if the
/// file cannot be read.
std::string model_hash(BackboneManifest const& manifest, std::string const& folder);

/// The hash of a model that was changed as the text says.
std::string model_hash(std::string const& hash, std::string const& change);

}  // namespace saltus
