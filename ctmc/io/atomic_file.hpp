// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace saltus {

/// An output file that is there whole or not at all: bytes go to a temporary file beside the target, which commit()
/// renames over it; without commit() the temporary file is removed. What cannot be renamed over is written directly:
/// "-" (standard output), /dev/stdout, /dev/fd/N, pipes and devices. A symbolic link stays, the file behind it is
/// replaced.
class AtomicFile {
 public:
  /// Throws OutputError if the target cannot be written, so that a run can be refused before it starts. Opening a pipe
  /// waits for its reader.
  explicit AtomicFile(std::string path);
  /// A file that outlives a run that breaks off: bytes go to partial_name(path), which stays until commit(). Goes on
  /// after the first `kept` bytes of an earlier one, the rest of which is cut off; 0: begins anew. Throws OutputError as
  /// above, and UserError for what cannot be renamed over or if fewer bytes are there.
  static AtomicFile kept(std::string path, std::uint64_t kept);
  /// kept() of a number, or else AtomicFile(path).
  static AtomicFile open(std::string path, std::optional<std::uint64_t> kept);
  static std::string partial_name(std::string const& path);  ///< beside the file that a symbolic link names
  ~AtomicFile() { discard(); }
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;

  /// Throws OutputError, after which the temporary file is gone and the target as it was before.
  void write(std::string_view bytes);
  /// Puts the file in its place, once; nothing can be written afterwards. Throws OutputError as write() does.
  void commit();

  /// Whether rewrite_start() can be called: not where bytes go to a pipe or a device.
  bool rewritable() const { return !temporary_.empty(); }
  /// Puts other bytes in the place of the first ones written. Throws OutputError as write().
  void rewrite_start(std::string_view bytes);

  /// Waits until everything written so far is on the disk, and says how many bytes that is. Throws OutputError as write().
  std::uint64_t sync();

  std::string const& path() const { return path_; }

 private:
  AtomicFile() = default;
  void flush();
  void send(std::string_view bytes);
  [[noreturn]] void fail(int error);
  void discard() noexcept;

  std::string path_;       ///< as given, for messages
  std::string target_;     ///< without symbolic links
  std::string temporary_;  ///< empty: written directly
  std::string buffer_;
  int fd_ = -1;
  bool keep_ = false;  ///< the temporary file stays
};

/// Throws the OutputError that AtomicFile(path) would throw; leaves nothing behind and does not open pipes or devices.
void check_writable(std::string const& path);

/// The bytes of a file or pipe. Throws UserError if it is missing, a directory or cannot be read.
std::string read_file(std::string const& path);

}  // namespace saltus
