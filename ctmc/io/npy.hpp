// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace saltus {

/// An array of NumPy, in C order (last index fastest).
struct NpyArray {
  std::vector<std::size_t> shape;  ///< empty: a single number
  std::vector<double> values;
};

/// Reads an NPY file, version 1 or 2, of little-endian f4, f8, i1 to i8 or u1 to u8 in C or Fortran order and of rank
/// 0 to 64. Throws UserError if the file is anything else, does not agree with its own header, or holds an integer that
/// double cannot (above 2^53).
NpyArray read_npy(std::string const& path);

/// Writes doubles in C order. Throws OutputError; InternalError if the shape does not hold `values`.
void write_npy(std::string const& path, std::vector<std::size_t> const& shape, std::span<double const> values);

/// Magic, version 1 and header, a multiple of 64 bytes; the data follow in C order. `descr` as NumPy has it ("<f8").
std::string npy_header(std::string_view descr, std::vector<std::size_t> const& shape);

}  // namespace saltus
