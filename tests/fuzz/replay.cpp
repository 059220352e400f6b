// SPDX-License-Identifier: BSD-3-Clause
// The corpus of a parser, and copies of it with changes, for so many seconds:  PROGRAM SECONDS SEED FOLDER|FILE...
// A regression test where there is no libFuzzer; what a crash was given lies in crash-PROGRAM.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <unistd.h>

extern "C" int LLVMFuzzerInitialize(int*, char***);
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

namespace {

std::string current, crash;

void keep_and_die(int signal) {
  std::ofstream(crash, std::ios::binary).write(current.data(), static_cast<std::streamsize>(current.size()));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(std::string const& bytes) {
  current = bytes;
  LLVMFuzzerTestOneInput(reinterpret_cast<std::uint8_t const*>(current.data()), current.size());
}

std::string changed(std::string bytes, std::vector<std::string> const& corpus, std::mt19937_64& random) {
  auto const below = [&](std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(random() % n); };
  static char const* const pieces[] = {"-1", "0", "1e308", "99999999999999999999", "nan", "\"", "{", "[", "]", ",", "\n", "\r\n", "\t", " ", ">", ":", ";", "(", "%%", "\xff", "null"};
  for (std::size_t n = 1 + below(4); n > 0; --n) {
    std::size_t const at = below(bytes.size() + 1), length = 1 + below(std::min<std::size_t>(16, bytes.size()));
    switch (below(7)) {
      case 0: if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8))); break;
      case 1: if (at < bytes.size()) bytes[at] = static_cast<char>(below(256)); break;
      case 2: bytes.erase(at, length); break;
      case 3: bytes.insert(at, bytes.substr(below(bytes.size() + 1), length)); break;
      case 4: bytes.insert(at, pieces[below(std::size(pieces))]); break;
      case 5: bytes.resize(at); break;
      default: {
        std::string const& other = corpus[below(corpus.size())];
        bytes = bytes.substr(0, at) + other.substr(std::min(below(other.size() + 1), other.size()));
      }
    }
  }
  return bytes.substr(0, std::size_t{1} << 16);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return std::fputs("usage: PROGRAM SECONDS SEED FOLDER|FILE...\n", stderr), 2;
  LLVMFuzzerInitialize(&argc, &argv);
  crash = "crash-" + std::filesystem::path(argv[0]).filename().string();
  for (int const signal : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS, SIGILL}) std::signal(signal, keep_and_die);
  std::vector<std::string> corpus;
  for (int i = 3; i < argc; ++i) {
    std::vector<std::filesystem::path> files;
    if (std::filesystem::is_directory(argv[i])) {
      for (auto const& entry : std::filesystem::directory_iterator(argv[i])) files.push_back(entry.path());
    } else {
      files.emplace_back(argv[i]);
    }
    std::sort(files.begin(), files.end());
    for (auto const& file : files) {
      std::ifstream in(file, std::ios::binary);
      corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
  }
  if (corpus.empty()) return std::fputs("no corpus\n", stderr), 2;
  for (auto const& bytes : corpus) run(bytes);
  std::mt19937_64 random(std::strtoull(argv[2], nullptr, 10));
  auto const end = std::chrono::steady_clock::now() + std::chrono::duration<double>(std::strtod(argv[1], nullptr));
  long runs = 0;
  while (std::chrono::steady_clock::now() < end) {
    run(changed(corpus[random() % corpus.size()], corpus, random));
    ++runs;
  }
  std::printf("%zu files and %ld changed copies of them\n", corpus.size(), runs);
}
