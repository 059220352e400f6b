// SPDX-License-Identifier: BSD-3-Clause
#include "molecules.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <nlohmann/json.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>

#include "run_program.hpp"

namespace saltus::app {
namespace {

namespace fs = std::filesystem;

// A folder for what is passed to a program, gone with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    path_ = (fs::temp_directory_path() / "saltus-XXXXXX").string();
    if (!mkdtemp(path_.data()))
      throw OutputError("cannot make a folder in '" + fs::temp_directory_path().string() + "'");
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(TemporaryFolder const&) = delete;
  TemporaryFolder& operator=(TemporaryFolder const&) = delete;
  std::string file(char const* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

void write_lines(std::string const& path, std::vector<std::string> const& lines) {
  AtomicFile file(path);
  for (auto const& line : lines) file.write(line + "\n");
  file.commit();
}

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.find_last_of('\n') + 1);
}

MoleculeCounts counts_of(nlohmann::json const& json) {
  return {json.at("count"), json.at("valid"), json.at("distinct"), json.at("novel")};
}

std::vector<MoleculeDrawing> drawings_of(nlohmann::json const& json) {
  std::vector<MoleculeDrawing> drawings;
  for (auto const& one : json) drawings.push_back({one.at("smiles"), one.at("svg")});
  return drawings;
}

}  // namespace

Molecules judge_molecules(std::vector<std::string> const& samples, std::vector<std::string> const& rest,
                          std::vector<std::string> const& held, bool held_is_reference, std::size_t drawings) {
  std::error_code ignored;
  fs::path const folder = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  TemporaryFolder const files;
  std::string const out = files.file("out"), error = files.file("error");
  std::vector<std::string> pythons;
  if (char const* const chosen = std::getenv("SALTUS_PYTHON")) {
    pythons.emplace_back(chosen);
  } else {
    for (fs::path above = folder; above.has_relative_path(); above = above.parent_path()) {
      fs::path const python = above / ".venv/bin/python";
      if (fs::exists(python, ignored)) pythons.push_back(python.string());
    }
    pythons.emplace_back("python3");
  }
  auto const python = std::ranges::find_if(
      pythons, [&](std::string const& p) { return run_program({p, "-c", "import rdkit"}, ".", out, error); });
  if (python == pythons.end())
    return {.missing = "not measured: RDKit was not found (pip install rdkit, or apt-get install python3-rdkit)"};

  write_lines(files.file("samples"), samples);
  write_lines(files.file("reference"), rest);
  std::vector<std::string> call{*python,
                                "-B",
                                (folder.parent_path() / "share/saltus/rdkit_judge.py").string(),
                                "--samples",
                                files.file("samples"),
                                "--reference",
                                files.file("reference"),
                                "--draw",
                                std::to_string(drawings)};
  if (!held.empty()) {
    write_lines(files.file("held"), held);
    call.insert(call.end(), {"--held", files.file("held")});
    if (held_is_reference) call.emplace_back("--held-is-reference");
  }
  if (!run_program(call, ".", out, error))
    return {.missing = "not measured: RDKit failed: " + last_line(read_file(error))};
  auto const json = nlohmann::json::parse(read_file(out));
  Molecules molecules{.missing = "",
                      .rdkit = json.at("rdkit"),
                      .samples = counts_of(json.at("samples")),
                      .sample_drawings = drawings_of(json.at("sample_drawings")),
                      .reference_drawings = drawings_of(json.at("reference_drawings"))};
  if (!held.empty()) molecules.held = counts_of(json.at("held"));
  return molecules;
}

}  // namespace saltus::app
