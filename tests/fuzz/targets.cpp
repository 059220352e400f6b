// SPDX-License-Identifier: BSD-3-Clause
// A parser for each program, which has its name: whatever the bytes are, it gives a result or one of the errors that it
// announces; and what it read is written and read again where there is a writer. Built with libFuzzer (preset fuzz), or
// with replay.cpp, which runs the corpus and changed copies of it.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>

#include <Kokkos_Core.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/generators.hpp>
#include <saltus/ctmc/io/newick.hpp>
#include <saltus/ctmc/io/npy.hpp>
#include <saltus/ctmc/io/sequences.hpp>
#include <saltus/ctmc/io/table.hpp>
#include <saltus/learnable/schedule_file.hpp>
#include <saltus/models/backbone_manifest.hpp>
#include <saltus/models/model_file.hpp>
#include <saltus/models/safetensors.hpp>

#include "forward.hpp"

namespace {

using namespace saltus;
namespace fs = std::filesystem;

// The bytes as a file that nobody else sees.
class File {
 public:
  explicit File(std::string_view bytes) : fd_(memfd_create("saltus-fuzz", 0)) {
    if (fd_ < 0 || write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
  }
  ~File() { close(fd_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

// A folder of this process, for models and for what is written.
fs::path const& folder() {
  static fs::path const made = [] {
    fs::path const path = fs::path("/dev/shm") / ("saltus-fuzz-" + std::to_string(getpid()));
    fs::create_directories(path);
    return path;
  }();
  return made;
}
void put(fs::path const& name, std::string_view bytes) {
  std::ofstream(folder() / name, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void same(bool condition) {
  if (!condition) {
    std::fputs("what was read, written and read again is not the same\n", stderr);
    std::abort();
  }
}

void sequences(std::string_view bytes) {
  File const file(bytes);
  SequenceSet const set = read_sequences(file.path());
  if (set.count == 0) return;
  // Written and read again.
  std::string const path = (folder() / "out.txt").string();
  SequenceWriter writer(path, SequenceFormat::fasta, set.alphabet, set.count, set.length);
  writer.append(set.tokens);
  writer.commit();
  same(read_sequences(path, set.alphabet).tokens == set.tokens);
}
void tokens(std::string_view bytes) {  // the first byte chooses the tokenizer
  if (bytes.empty()) return;
  static constexpr Tokenizer all[] = {Tokenizer::characters, Tokenizer::smiles, Tokenizer::words};
  File const file(bytes.substr(1));
  Tokenizer const tokenizer = all[static_cast<unsigned char>(bytes[0]) % 3];
  Alphabet const alphabet = learn_alphabet(file.path(), tokenizer);
  SequenceFiles const files = read_sequence_files({file.path()}, tokenizer);
  for (std::size_t b = 0; b < files.sets[0].count(); ++b) files.alphabet.text(files.sets[0].row(b));
}
void table(std::string_view bytes) {  // the first byte is the number of columns
  if (bytes.empty()) return;
  File const file(bytes.substr(1));
  int const columns = 1 + static_cast<unsigned char>(bytes[0]) % 8;
  for (auto const& row : read_columns(file.path(), columns)) same(row.size() == static_cast<std::size_t>(columns));
}
void npy(std::string_view bytes) {
  File const file(bytes);
  NpyArray const array = read_npy(file.path());
  std::string const path = (folder() / "out.npy").string();
  write_npy(path, array.shape, array.values);
  NpyArray const again = read_npy(path);
  same(again.shape == array.shape && again.values.size() == array.values.size());
  same(array.values.empty() || std::memcmp(again.values.data(), array.values.data(), array.values.size() * sizeof(double)) == 0);
}
void generator(std::string_view bytes) {  // matrix, PAML, Matrix Market, NPY
  File const file(bytes);
  read_generator(file.path());
}
void generator_name(std::string_view bytes) {
  if (bytes.size() < 200 && bytes.find('/') == bytes.npos) read_generator(bytes);
}
void newick(std::string_view bytes) {
  Tree const tree = parse_newick(bytes, "the file");
  for (std::size_t i = 0; i < tree.nodes.size(); ++i) same(tree.nodes[i].parent < static_cast<int>(i));
}
void process(std::string_view bytes) {
  File const file(bytes);
  auto const options = app::Options::parse(app::command_simulate, {"--process", file.path(), "--quiet"});
  app::ProcessText const text = app::read_process_text(options);
  std::string const json = app::process_json(text);
  File const again(json);
  same(app::process_json(app::read_process_text(app::Options::parse(app::command_simulate, {"--process", again.path()}))) == json);
  // Names may ask for any amount of memory, and files for anything that lies on this machine.
  if (text.generator.size() < 40 && text.generator.find_first_of("/0123456789") == text.generator.npos && text.length < 10000 &&
      text.start.find('/') == text.start.npos && text.site_rates.find('/') == text.site_rates.npos)
    app::read_forward(options);
}
void manifest(std::string_view bytes) {
  put("model.json", bytes);
  BackboneManifest const manifest = read_manifest(folder().string());
  write_manifest(folder().string(), manifest);
  same(read_manifest(folder().string()) == manifest);
}
void law(std::string_view bytes) {
  put("model.json", bytes);
  load_law(folder().string());
}
void schedule(std::string_view bytes) {
  File const file(bytes);
  Schedule const schedule = read_schedule(file.path());
  std::string const one = (folder() / "one.json").string(), two = (folder() / "two.json").string();
  write_schedule(one, schedule);
  write_schedule(two, read_schedule(one));
  same(read_file(one) == read_file(two));
}
void safetensors(std::string_view bytes) {
  File const file(bytes);
  TensorFile const tensors(file.path());
  std::size_t sum = 0;
  for (auto const& tensor : tensors.tensors()) {
    for (std::byte const b : tensor.bytes) sum += static_cast<std::size_t>(b);
  }
  std::string const path = (folder() / "out.safetensors").string();
  write_tensors(path, tensors.tensors(), tensors.metadata());
  same(TensorFile(path).tensors().size() == tensors.tensors().size() && sum < SIZE_MAX);
}

struct Target {
  std::string_view name;
  void (*run)(std::string_view bytes);
};
constexpr Target targets[] = {{"sequences", sequences}, {"tokens", tokens}, {"table", table}, {"npy", npy}, {"generator", generator},
                              {"generator_name", generator_name}, {"newick", newick}, {"process", process}, {"manifest", manifest},
                              {"law", law}, {"schedule", schedule}, {"safetensors", safetensors}};
Target const* target = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char*** argv) {
  std::string const name = fs::path((*argv)[0]).filename().string();
  target = std::find_if(std::begin(targets), std::end(targets), [&](Target const& t) { return t.name == name; });
  if (target == std::end(targets)) {
    std::fprintf(stderr, "there is no target '%s': the program has another name than it was built with\n", name.c_str());
    std::exit(2);
  }
  static Kokkos::ScopeGuard const guard(Kokkos::InitializationSettings().set_num_threads(1).set_disable_warnings(true));
  std::atexit([] { fs::remove_all(folder()); });
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  try {
    target->run({reinterpret_cast<char const*>(data), size});
  } catch (UserError const&) {
  } catch (NumericalError const&) {  // an eigen-decomposition that does not come off
  } catch (std::bad_alloc const&) {  // the program says so, and what would help
  }
  return 0;
}
