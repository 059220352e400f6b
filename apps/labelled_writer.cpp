// SPDX-License-Identifier: BSD-3-Clause
#include "labelled_writer.hpp"

#include <charconv>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/npy.hpp>

namespace saltus::app {
namespace {
void append(std::string& text, std::uint64_t value) {
  char buffer[24];
  text.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}
}  // namespace

LabelledWriter::LabelledWriter(std::string const& path, SequenceFormat format, Alphabet alphabet, std::string what,
                               std::vector<std::size_t> shape, int length, std::optional<std::uint64_t> kept)
    : file_(AtomicFile::open(path, kept)), format_(format), alphabet_(std::move(alphabet)), what_(std::move(what)) {
  if (format_ == SequenceFormat::csv) {
    for (char const c : alphabet_.symbols())
      require(c != ',' && c != '"',
              "the alphabet " + alphabet_.name() + " has symbols that CSV would have to quote; use another format");
    if (kept.value_or(0) == 0) file_.write("sample," + what_ + ",sequence\n");
  } else if (format_ == SequenceFormat::npy) {
    shape.push_back(static_cast<std::size_t>(length));
    if (kept.value_or(0) == 0) file_.write(npy_header("<i4", shape));
  }
}

void LabelledWriter::add(std::uint64_t sample, std::string const& label, bool tell_apart,
                         std::span<token_t const> row) {
  if (format_ == SequenceFormat::npy) {
    file_.write({reinterpret_cast<char const*>(row.data()), row.size_bytes()});
    return;
  }
  buffer_.clear();
  if (format_ == SequenceFormat::csv) {
    append(buffer_, sample);
    // A label of a tree can be anything that Newick allows.
    bool const quote = label.find_first_of(",\"") != label.npos;
    std::string doubled;
    for (char const c : label) doubled += c == '"' ? std::string("\"\"") : std::string(1, c);
    buffer_ += ',' + (quote ? '"' + doubled + '"' : label) + ',';
  } else if (format_ == SequenceFormat::fasta) {
    buffer_ += '>';
    if (what_ == "node") {
      buffer_ += label;
      if (tell_apart) buffer_ += '_';
    }
    if (what_ != "node" || tell_apart) {
      buffer_ += "sample_";
      append(buffer_, sample);
    }
    if (what_ == "time" && tell_apart) buffer_ += " t=" + label;
    buffer_ += '\n';
  }
  if (alphabet_.numbered()) {
    for (std::size_t l = 0; l < row.size(); ++l) {
      if (l) buffer_ += ' ';
      append(buffer_, static_cast<std::uint64_t>(row[l]));
    }
  } else {
    buffer_ += alphabet_.text(row);
  }
  buffer_ += '\n';
  file_.write(buffer_);
}

void LabelledWriter::commit() { file_.commit(); }

}  // namespace saltus::app
