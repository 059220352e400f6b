// SPDX-License-Identifier: BSD-3-Clause
#include "ranks.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <saltus/ctmc/error.hpp>

#include "mpi/table.h"
#include "problem.hpp"

namespace saltus::app {

AdapterLibrary const mpi_adapter{"libsaltus_mpi.so", SALTUS_MPI_ENTRY, "SALTUS_MPI_ADAPTER", "the MPI adapter",
                                 "a launcher started this as one of several ranks, which needs the MPI adapter, which",
                                 "install an MPI (Debian: libopenmpi-dev) and build again"};

namespace {

enum Tag : std::int32_t { tag_result = 1, tag_failure = 2 };

bool above_one(char const* variable) {
  char const* const value = std::getenv(variable);
  return value && std::atoi(value) > 1;
}

// What launchers say to the programs that they start: Open MPI's, those that speak PMI (MPICH, Slurm), and Slurm with PMIx.
bool launched() {
  return above_one("OMPI_COMM_WORLD_SIZE") || above_one("PMI_SIZE") || (std::getenv("PMIX_RANK") && above_one("SLURM_STEP_NUM_TASKS"));
}

saltus_mpi_table const& mpi() {
  static auto const* const table = static_cast<saltus_mpi_table const*>(adapter_table(mpi_adapter, SALTUS_MPI_ABI));
  return *table;
}

void check(bool fine) {
  if (!fine) throw std::runtime_error(std::string("MPI: ") + mpi().last_error());
}

}  // namespace

struct Ranks::Transfers {
  // Sleeping rather than spinning: ranks may share cores. A second of work is waited for in some milliseconds.
  static constexpr useconds_t pause = 50, longest = 2000;

  static void wait(Ranks const& ranks, saltus_transfer* transfer) {
    check(transfer != nullptr);
    for (useconds_t sleep = 0;;) {
      std::int32_t finished = 0;
      check(mpi().done(transfer, &finished) == 0);
      if (finished) return;
      if (ranks.first()) {
        look_for_failures();
        if (ranks.idle_) ranks.idle_();
      }
      if (sleep > 0) usleep(sleep);
      sleep = std::min(std::max(2 * sleep, pause), longest);
    }
  }

  static void look_for_failures() {
    std::int64_t count = -1;
    std::int32_t sender = 0, finished = 0;
    check(mpi().waiting(-1, tag_failure, &count, &sender) == 0);
    if (count < 0) return;
    std::string text(static_cast<std::size_t>(count), ' ');
    saltus_transfer* const transfer = mpi().receive(text.data(), count, sender, tag_failure);
    check(transfer != nullptr);
    while (!finished) check(mpi().done(transfer, &finished) == 0);
    std::int32_t code = 1;
    std::memcpy(&code, text.data(), sizeof code);
    throw RankError("rank " + std::to_string(sender) + ": " + text.substr(sizeof code), code);
  }
};

Ranks& Ranks::world() {
  static Ranks ranks = [] {
    Ranks made;
    if (launched()) {
      std::int32_t rank = 0, size = 1, here = 1;
      check(mpi().open(&rank, &size, &here) == 0);
      made.rank_ = rank;
      made.size_ = size;
      made.here_ = here;
      require(size > 1, std::string("a launcher started this as one of several ranks, but its MPI is not that of the adapter (") +
                            mpi().version() + "): use the launcher that belongs to it");
    }
    return made;
  }();
  return ranks;
}

std::uint64_t Ranks::share(std::uint64_t number) {
  if (several()) Transfers::wait(*this, mpi().broadcast(&number, sizeof number));
  return number;
}

std::string Ranks::share(std::string text) {
  if (!several()) return text;
  text.resize(share(std::uint64_t{text.size()}));
  Transfers::wait(*this, mpi().broadcast(text.data(), static_cast<std::int64_t>(text.size())));
  return text;
}

void Ranks::gather_all(std::span<std::byte const> mine, std::span<std::byte> all, std::vector<std::int64_t> const& counts) {
  Transfers::wait(*this, mpi().gather_all(mine.data(), all.data(), counts.data()));
}

void Ranks::deal(std::uint64_t first, std::size_t count, std::size_t least, std::size_t most, Work const& work, Take const& take) {
  // What is on its way outlives an error here: the transfers go on until the run has ended.
  static std::vector<std::byte> sent;
  static std::uint64_t size_sent = 0;
  std::vector<std::byte> received;
  std::vector<saltus_transfer*> under_way;
  auto const ranks = static_cast<std::size_t>(size_);
  std::size_t portion = least;
  for (std::size_t done = 0; done < count;) {  // a round: a portion for each rank
    std::size_t const each = std::min(portion, (count - done + ranks - 1) / ranks);
    auto const begin = [&](std::size_t r) { return std::min(done + r * each, count); };
    auto const here = static_cast<std::size_t>(rank_);
    double const start = now();
    std::vector<std::byte> result;
    if (begin(here) < begin(here + 1)) result = work(first + begin(here), begin(here + 1) - begin(here));
    double const seconds = now() - start;
    if (!this->first()) {
      for (auto* const transfer : under_way) Transfers::wait(*this, transfer);
      sent = std::move(result);
      size_sent = sent.size();
      under_way = {mpi().send(&size_sent, sizeof size_sent, 0, tag_result),
                   mpi().send(sent.data(), static_cast<std::int64_t>(sent.size()), 0, tag_result)};
    } else {
      take(result);
      for (std::size_t r = 1; r < ranks && begin(r) < begin(r + 1); ++r) {
        auto const from = static_cast<std::int32_t>(r);
        std::uint64_t size = 0;
        Transfers::wait(*this, mpi().receive(&size, sizeof size, from, tag_result));
        received.resize(size);
        Transfers::wait(*this, mpi().receive(received.data(), static_cast<std::int64_t>(size), from, tag_result));
        take(received);
      }
    }
    if (done == 0) {
      double const rounds = std::clamp(0.5 / std::max(seconds, 1e-9), 1.0, static_cast<double>(most / least));
      portion = share(std::uint64_t{least * static_cast<std::size_t>(rounds)});
    }
    done = begin(ranks);
  }
  for (auto* const transfer : under_way) Transfers::wait(*this, transfer);
}

void Ranks::leave() {
  if (several()) mpi().close();
}

void Ranks::fail(int code, std::string const& message) {
  if (!first()) {
    std::int32_t const number = code;
    std::string const text = std::string(reinterpret_cast<char const*>(&number), sizeof number) + message;
    saltus_transfer* const transfer = mpi().send(text.data(), static_cast<std::int64_t>(text.size()), 0, tag_failure);
    std::int32_t finished = transfer == nullptr;
    // The first rank looks when it has finished what it is at; if it never does, this one ends the run.
    for (int i = 0; i < 3000; ++i) {
      if (!finished) mpi().done(transfer, &finished);
      usleep(10'000);
    }
  }
  std::fprintf(stderr, "saltus: %s%s\n", first() ? "" : ("rank " + std::to_string(rank_) + ": ").c_str(), message.c_str());
  std::fflush(stderr);
  mpi().abort(code);
  std::_Exit(code);
}

}  // namespace saltus::app
