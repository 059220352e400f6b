// SPDX-License-Identifier: BSD-3-Clause
#include "output_folder.hpp"

#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>

namespace saltus::app {

namespace fs = std::filesystem;

OutputFolder::OutputFolder(fs::path target) : target_(std::move(target)) {
  while (target_.has_relative_path() && !target_.has_filename()) target_ = target_.parent_path();
  std::error_code error;
  if (fs::exists(target_) && !fs::is_directory(target_))
    throw OutputError("--out '" + target_.string() + "' is a file; give a folder");
  if (fs::exists(target_)) check_writable((target_ / "results.csv").string());
  for (fs::path p = target_.parent_path(); !p.empty() && !fs::exists(p); p = p.parent_path()) made_.push_back(p);
  if (target_.has_parent_path()) fs::create_directories(target_.parent_path(), error);
  fs::path const base = target_.parent_path() / ("." + target_.filename().string() + ".tmp-" + std::to_string(getpid()));
  // Names that are taken are passed over, as by AtomicFile.
  for (int attempt = 0; parts_.empty() && !error; ++attempt) {
    fs::path const parts = attempt == 0 ? base : fs::path(base.string() + "-" + std::to_string(attempt));
    if (fs::create_directory(parts, error)) parts_ = parts;
  }
  if (error) {
    clear();
    throw OutputError("cannot make the folder '" + target_.string() + "': " + error.message());
  }
}

std::string OutputFolder::path(std::string const& name) const {
  fs::path const path = parts_ / name;
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  return path.string();
}

void OutputFolder::commit() {
  try {
    std::vector<fs::path> files;
    for (auto const& entry : fs::recursive_directory_iterator(parts_)) {
      if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), parts_));
    }
    for (auto const& file : files) {
      fs::create_directories((target_ / file).parent_path());
      fs::rename(parts_ / file, target_ / file);
    }
  } catch (fs::filesystem_error const& e) {
    throw OutputError("cannot put the results into '" + target_.string() + "': " + e.code().message());
  }
}

void OutputFolder::clear() noexcept {
  std::error_code ignored;
  if (!parts_.empty()) fs::remove_all(parts_, ignored);
  for (auto const& folder : made_) fs::remove(folder, ignored);  // those above it that are still empty
}

}  // namespace saltus::app
