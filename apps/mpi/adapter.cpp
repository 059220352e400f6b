// SPDX-License-Identifier: BSD-3-Clause
// The C interface of MPI behind table.h. Counts are cut to pieces that fit into MPI's int.
#include <mpi.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "table.h"

struct saltus_transfer {
  std::vector<MPI_Request> requests;
};

namespace {

constexpr std::int64_t most = std::int64_t{1} << 30;  // bytes in one message
std::string error;
int ranks = 1;

bool failed(int status) {
  if (status == MPI_SUCCESS) return false;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(status, text, &length);
  error.assign(text, static_cast<std::size_t>(length));
  return true;
}

char const* version() {
  static char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  return text;
}

char const* last_error() { return error.c_str(); }

int open(std::int32_t* rank, std::int32_t* size, std::int32_t* here) {
  int provided = 0, r = 0, local = 1;
  if (failed(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided))) return 1;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm machine = MPI_COMM_NULL;
  if (failed(MPI_Comm_rank(MPI_COMM_WORLD, &r)) || failed(MPI_Comm_size(MPI_COMM_WORLD, &ranks)) ||
      failed(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine)) ||
      failed(MPI_Comm_size(machine, &local)))
    return 1;
  MPI_Comm_free(&machine);
  *rank = r;
  *size = ranks;
  *here = local;
  return 0;
}

void close() { MPI_Finalize(); }

void abort(std::int32_t code) { MPI_Abort(MPI_COMM_WORLD, code); }

// One transfer of pieces, each begun by `begin(offset, count, request)`.
template <class Begin>
saltus_transfer* pieces(std::int64_t count, Begin const& begin) {
  auto transfer = std::make_unique<saltus_transfer>();
  for (std::int64_t at = 0; at == 0 || at < count; at += most) {
    MPI_Request request = MPI_REQUEST_NULL;
    if (failed(begin(at, static_cast<int>(count - at < most ? count - at : most), &request))) return nullptr;
    transfer->requests.push_back(request);
  }
  return transfer.release();
}

saltus_transfer* send(void const* bytes, std::int64_t count, std::int32_t to, std::int32_t tag) {
  return pieces(count, [&](std::int64_t at, int n, MPI_Request* request) {
    return MPI_Isend(static_cast<std::byte const*>(bytes) + at, n, MPI_BYTE, to, tag, MPI_COMM_WORLD, request);
  });
}

saltus_transfer* receive(void* bytes, std::int64_t count, std::int32_t from, std::int32_t tag) {
  return pieces(count, [&](std::int64_t at, int n, MPI_Request* request) {
    return MPI_Irecv(static_cast<std::byte*>(bytes) + at, n, MPI_BYTE, from, tag, MPI_COMM_WORLD, request);
  });
}

saltus_transfer* broadcast(void* bytes, std::int64_t count) {
  return pieces(count, [&](std::int64_t at, int n, MPI_Request* request) {
    return MPI_Ibcast(static_cast<std::byte*>(bytes) + at, n, MPI_BYTE, 0, MPI_COMM_WORLD, request);
  });
}

// A broadcast of each part by its rank: unlike one MPI_Allgatherv, its offsets do not have to fit into an int.
saltus_transfer* gather_all(void const* bytes, void* all, std::int64_t const* counts) {
  auto transfer = std::make_unique<saltus_transfer>();
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  std::byte* to = static_cast<std::byte*>(all);
  for (int r = 0; r < ranks; to += counts[r++]) {
    if (r == rank) std::copy_n(static_cast<std::byte const*>(bytes), counts[r], to);
    for (std::int64_t at = 0; at < counts[r]; at += most) {
      MPI_Request request = MPI_REQUEST_NULL;
      int const n = static_cast<int>(counts[r] - at < most ? counts[r] - at : most);
      if (failed(MPI_Ibcast(to + at, n, MPI_BYTE, r, MPI_COMM_WORLD, &request))) return nullptr;
      transfer->requests.push_back(request);
    }
  }
  return transfer.release();
}

int done(saltus_transfer* transfer, std::int32_t* finished) {
  int all = 0;
  if (failed(MPI_Testall(static_cast<int>(transfer->requests.size()), transfer->requests.data(), &all, MPI_STATUSES_IGNORE))) return 1;
  *finished = all;
  if (all) delete transfer;
  return 0;
}

int waiting(std::int32_t from, std::int32_t tag, std::int64_t* count, std::int32_t* sender) {
  int there = 0, n = 0;
  MPI_Status status;
  if (failed(MPI_Iprobe(from < 0 ? MPI_ANY_SOURCE : from, tag, MPI_COMM_WORLD, &there, &status))) return 1;
  *count = -1;
  if (!there) return 0;
  MPI_Get_count(&status, MPI_BYTE, &n);
  *count = n;
  *sender = status.MPI_SOURCE;
  return 0;
}

constexpr saltus_mpi_table table{SALTUS_MPI_ABI, version, last_error, open, close, abort, send, receive, broadcast, gather_all, done, waiting};

}  // namespace

extern "C" __attribute__((visibility("default"))) saltus_mpi_table const* saltus_mpi() { return &table; }
