/* SPDX-License-Identifier: BSD-3-Clause */
/* The boundary between the program and its MPI adapter, a shared library that is loaded only where a launcher started the
 * program as one rank of several: so that everybody else neither needs MPI nor waits for it. Functions that can fail
 * return a nonzero status; last_error() then says why. Called by one thread. */
#ifndef SALTUS_APPS_MPI_TABLE_H
#define SALTUS_APPS_MPI_TABLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SALTUS_MPI_ABI 1

typedef struct saltus_transfer saltus_transfer; /* one that is under way */

typedef struct {
  int32_t abi_version;
  char const* (*version)(void);
  char const* (*last_error)(void);

  int (*open)(int32_t* rank, int32_t* size, int32_t* on_this_machine);
  void (*close)(void);
  /* Ends all ranks; does not return. */
  void (*abort)(int32_t code);

  /* Transfers: null on failure. The bytes must live until done() has said so, which then forgets the transfer. */
  saltus_transfer* (*send)(void const* bytes, int64_t count, int32_t to, int32_t tag);
  saltus_transfer* (*receive)(void* bytes, int64_t count, int32_t from, int32_t tag);
  saltus_transfer* (*broadcast)(void* bytes, int64_t count);
  /* counts[rank] bytes of each rank, one after the other. */
  saltus_transfer* (*gather_all)(void const* bytes, void* all, int64_t const* counts);
  int (*done)(saltus_transfer*, int32_t* finished);
  /* Whether a message from that rank (-1: any) waits: its bytes and sender, or count -1. */
  int (*waiting)(int32_t from, int32_t tag, int64_t* count, int32_t* sender);
} saltus_mpi_table;

typedef saltus_mpi_table const* (*saltus_mpi_entry)(void);
#define SALTUS_MPI_ENTRY "saltus_mpi"

#ifdef __cplusplus
}
#endif
#endif
