// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace saltus {

/// A named array of a safetensors file: a header in JSON that gives each tensor's scalar type ("F32", "F16", "BF16", "F64",
/// "I64", ...), shape and place among the bytes that follow.
struct StoredTensor {
  std::string name;
  std::string type;
  std::vector<std::int64_t> shape;
  std::span<std::byte const> bytes;
};

/// A file in memory.
class TensorFile {
 public:
  /// Throws UserError that names the file and the tensor for a file that cannot be read, is truncated, whose header is no
  /// JSON or longer than the file, and for tensors that overlap, leave gaps, reach beyond the file, or whose shape does not
  /// fit their bytes. Nothing outside the file is read.
  explicit TensorFile(std::string const& path);
  /// In the order of their bytes; they borrow the file's.
  std::vector<StoredTensor> const& tensors() const { return tensors_; }
  std::map<std::string, std::string> const& metadata() const { return metadata_; }

 private:
  std::string bytes_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Writes a file in its whole, or not at all. Throws OutputError.
void write_tensors(std::string const& path, std::vector<StoredTensor> const& tensors,
                   std::map<std::string, std::string> const& metadata);

/// Bytes of a scalar of a type; 0 for a type that is not known.
std::size_t scalar_size(std::string const& type);

/// Single precision as half precision (IEEE 754 binary16, rounded to nearest even; too large becomes infinite).
std::vector<std::uint16_t> as_half(std::span<float const> values);

}  // namespace saltus
