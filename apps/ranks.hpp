// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <saltus/models/adapter_library.hpp>

namespace saltus::app {

extern AdapterLibrary const mpi_adapter;

/// What a rank other than the first could not go on with: its message and exit code, at the first rank.
struct RankError : std::runtime_error {
  RankError(std::string const& what, int exit_code) : std::runtime_error(what), code(exit_code) {}
  int code;
};

/// The ranks of a run that an MPI launcher started several times (mpirun -n R saltus ...). All of them read the same options
/// and models; the first one alone prints and writes. Started by itself the program is the only rank, and nothing here
/// loads or costs anything. Every function is to be called by all ranks in the same order, on the main thread.
class Ranks {
 public:
  /// Joins the others. UserError where a launcher is at work and this build has no MPI adapter.
  static Ranks& world();

  int rank() const { return rank_; }
  int size() const { return size_; }
  int on_this_machine() const { return here_; }
  bool first() const { return rank_ == 0; }
  bool several() const { return size_ > 1; }

  /// The first rank's text, at all ranks.
  std::string share(std::string text);
  std::uint64_t share(std::uint64_t number);
  /// `all`: the bytes of all ranks, counts[r] of rank r, one after the other; `mine` are this rank's.
  void gather_all(std::span<std::byte const> mine, std::span<std::byte> all, std::vector<std::int64_t> const& counts);

  using Work = std::function<std::vector<std::byte>(std::uint64_t first, std::size_t count)>;
  using Take = std::function<void(std::span<std::byte const> result)>;
  /// Deals the numbers first .. first + count - 1 out in portions, which are computed by all ranks, and hands their results to
  /// the first rank's `take` in the order of the numbers. The first portions hold `least` numbers; then about half a
  /// second's worth, in multiples of `least` and at most `most`. A rank holds two results at a time.
  void deal(std::uint64_t first, std::size_t count, std::size_t least, std::size_t most, Work const& work, Take const& take);

  /// What the first rank does now and then while it waits for others; empty: nothing.
  void while_waiting(std::function<void()> idle) { idle_ = std::move(idle); }

  /// The end of a run that went well at this rank; waits for the others.
  void leave();
  /// The end of one that did not: the first rank takes all others with it; any other tells the first one why, and waits
  /// for that. Does not return.
  [[noreturn]] void fail(int code, std::string const& message);

 private:
  Ranks() = default;
  struct Transfers;  // waits for transfers, and looks for ranks that failed
  int rank_ = 0, size_ = 1, here_ = 1;
  std::function<void()> idle_;
};

}  // namespace saltus::app
