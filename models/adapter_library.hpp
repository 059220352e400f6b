// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

namespace saltus {

/// A part of the program that is a shared library of its own, so that nobody pays for what it links who does not use it.
struct AdapterLibrary {
  char const* file;         ///< libsaltus_torch.so
  char const* symbol;       ///< its one function, which gives a table of others
  char const* environment;  ///< a variable that may name the file
  char const* name;         ///< in messages: "the LibTorch adapter"
  char const* missing;      ///< what to say where it is not there: "learned backbones need the LibTorch adapter, which"
  char const* remedy;
};

/// What the library's function gives. Looked for in the environment variable, beside the program (../lib/saltus, and the
/// same below the name of the architecture) and where the build put it; never unloaded. Every table begins with its
/// int32_t version of the interface. Throws UserError that says how to get it, or that its version is not `abi_version`.
void const* adapter_table(AdapterLibrary const& library, int abi_version);

/// Where it would be loaded from; empty: it is not there. Loads nothing.
std::string adapter_file(AdapterLibrary const& library);

}  // namespace saltus
