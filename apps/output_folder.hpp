// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace saltus::app {

/// A folder that appears, or changes, only when everything in it is there: files are written to a sibling and then
/// moved. Without commit() nothing is left behind.
class OutputFolder {
 public:
  /// Throws OutputError if the target cannot be written to, so that a run can be refused before it starts.
  explicit OutputFolder(std::filesystem::path target);
  ~OutputFolder() { clear(); }
  OutputFolder(OutputFolder const&) = delete;
  OutputFolder& operator=(OutputFolder const&) = delete;

  /// Where the file `name` (with folders) is written to; its folder is made.
  std::string path(std::string const& name) const;
  /// Where it will be after commit().
  std::string final_path(std::string const& name) const { return (target_ / name).string(); }

  /// Moves every file to its place, over one of the same name. Throws OutputError.
  void commit();

 private:
  void clear() noexcept;

  std::filesystem::path target_, parts_;
  std::vector<std::filesystem::path> made_;  // parents that were not there, innermost first
};

}  // namespace saltus::app
