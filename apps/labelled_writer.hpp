// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <saltus/ctmc/io/sequences.hpp>

namespace saltus::app {

/// Sequences that have a label besides their sample: a time or a node of a tree. They come sample by sample, and within a
/// sample label by label.
/// FASTA: >sample_<index> (several labels of a time: >sample_<index> t=<time>; of nodes: ><node>, or with several samples
/// ><node>_sample_<index>). CSV: columns sample, <what>, sequence. NPY: int32 [samples, labels, length]. txt: a line each.
class LabelledWriter {
 public:
  /// `what` the labels are: "time" or "node"; `shape`: samples, labels. Throws as SequenceWriter.
  /// `kept`: a file that outlives a run that breaks off, after so many bytes of an earlier one (AtomicFile::kept()).
  LabelledWriter(std::string const& path, SequenceFormat format, Alphabet alphabet, std::string what,
                 std::vector<std::size_t> shape, int length, std::optional<std::uint64_t> kept = {});
  /// `tell_apart`: there are several labels of a time, or several samples of nodes.
  void add(std::uint64_t sample, std::string const& label, bool tell_apart, std::span<token_t const> row);
  std::uint64_t sync() { return file_.sync(); }
  void commit();

 private:
  AtomicFile file_;
  SequenceFormat format_;
  Alphabet alphabet_;
  std::string what_;
  std::string buffer_;
};

}  // namespace saltus::app
