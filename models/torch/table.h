/* SPDX-License-Identifier: BSD-3-Clause */
/* The boundary between the library and its LibTorch adapter, a shared library that is loaded on first use: a table of C
 * functions. No Kokkos, no exception and no C++ type crosses it (docs/decisions/0015). Functions that can fail return
 * null or a nonzero status; last_error() then says why, in one line. Nothing here is called by two threads at once. */
#ifndef SALTUS_MODELS_TORCH_TABLE_H
#define SALTUS_MODELS_TORCH_TABLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SALTUS_TORCH_ABI 3

enum { SALTUS_F32 = 0, SALTUS_F64 = 1, SALTUS_F16 = 2, SALTUS_BF16 = 3 };

/* A named array in host memory, contiguous, borrowed. */
typedef struct saltus_tensor {
  char const* name;
  int32_t scalar;
  int32_t rank;
  int64_t shape[8];
  void const* data;
} saltus_tensor;

enum { SALTUS_NETWORK_TRANSFORMER = 0, SALTUS_NETWORK_TORCHSCRIPT = 1, SALTUS_NETWORK_AOTI = 2 };
enum { SALTUS_TIME_NONE = 0, SALTUS_TIME_TIME = 1, SALTUS_TIME_TOTAL = 2 };

/* What the network's numbers are (the ScoreKinds of saltus/ctmc/score_model.hpp, with logits as networks give them). */
enum { SALTUS_OUTPUT_AS_IT_IS = 0, SALTUS_OUTPUT_SCALED_LOG_SCORE = 1 };

/* What to build or load. */
typedef struct saltus_network {
  int32_t format;
  char const* path;         /* torchscript, aoti: the file */
  int32_t columns;          /* the network's output has this many a site */
  int32_t states;           /* the library's states */
  int64_t const* token_ids; /* [states] the network's id of each state and its column, or null: the same numbers */
  int32_t length;           /* the transformer's number of positions */
  int32_t width, layers, heads; /* of the transformer */
  int32_t time;             /* whether and which time the network takes */
  int32_t output;
  int32_t takes_valid;      /* further inputs, in this order after tokens and time */
  int32_t forbidden;        /* a state that is never a target, -1: none; its column is filled with forbidden_value */
  float forbidden_value;
  int32_t condition_size;   /* 0: takes none */
  float const* condition;   /* [condition_size] for all rows, or null; host memory */
  int32_t fixed_batch;      /* the only batch that the network takes; 0: any */
  uint64_t seed;            /* of fresh weights, where no tensors are given */
  int64_t tensor_count;
  saltus_tensor const* tensors; /* of the transformer */
} saltus_network;

typedef struct saltus_torch_options {
  char const* device; /* "cpu" or "cuda:N" */
  int32_t threads;    /* 0: as LibTorch would */
  int32_t bf16;       /* run the network in bfloat16; train in mixed precision */
} saltus_torch_options;

/* Tokens of some rows, in the memory of the network's device. */
typedef struct saltus_batch {
  int32_t const* tokens;   /* [batch, length] */
  int64_t row_stride;      /* of tokens */
  double const* time;      /* [batch], or null */
  uint8_t const* valid;    /* [batch, length], 1: a real site; or null: all are */
  int32_t batch, length;
  void* stream;            /* the device's stream; null: the default one */
} saltus_batch;

/* The network's own output, [batch, length, columns], single precision or 16 bits: valid until the same slot is evaluated again. */
typedef struct saltus_scores {
  void const* data;
  int32_t scalar;
  int64_t row_stride, site_stride; /* in scalars */
} saltus_scores;

enum { SALTUS_LOSS_MASKED = 0, SALTUS_LOSS_SCORE_ENTROPY = 1, SALTUS_LOSS_UNIFORM = 2 };

/* A batch to learn from. */
typedef struct saltus_training_batch {
  int32_t const* noisy;  /* [batch, length] */
  int32_t const* clean;  /* [batch, length] */
  double const* time;    /* [batch] what the network takes; null without time */
  double const* weight;  /* [batch] of the row's sum over sites */
  double const* alpha;   /* [batch] probability that a site is as it was (LOSS_UNIFORM) */
  int32_t batch, length;
} saltus_training_batch;

typedef struct saltus_training_options {
  int32_t loss;
  int32_t mask;          /* the mask's state, or -1 */
  double beta1, beta2, epsilon, weight_decay, clip, ema;
} saltus_training_options;

typedef struct saltus_model saltus_model;     /* a network that is evaluated */
typedef struct saltus_trainer saltus_trainer; /* one that learns */

typedef struct saltus_torch_table {
  int32_t abi_version;
  char const* (*version)(void);
  char const* (*last_error)(void);

  saltus_model* (*open)(saltus_network const*, saltus_torch_options const*);
  int (*evaluate)(saltus_model*, int32_t slot, saltus_batch const*, saltus_scores*);
  void (*close)(saltus_model*);

  saltus_trainer* (*train_open)(saltus_network const*, saltus_training_options const*, saltus_torch_options const*);
  /* One step of the optimiser at a learning rate; the mean loss over the rows, and the norm of the gradient. */
  int (*train_step)(saltus_trainer*, saltus_training_batch const*, double rate, double* loss, double* norm);
  /* The loss of every row, with the averaged weights. */
  int (*train_evaluate)(saltus_trainer*, saltus_training_batch const*, double* losses);
  /* All tensors: the averaged weights by their names, or everything that train_restore() needs. Borrowed until the next
   * call with this trainer. */
  int (*train_tensors)(saltus_trainer*, int32_t everything, saltus_tensor const** tensors, int64_t* count);
  int (*train_restore)(saltus_trainer*, saltus_tensor const* tensors, int64_t count);
  void (*train_close)(saltus_trainer*);
} saltus_torch_table;

/* The one symbol of the shared library. */
typedef saltus_torch_table const* (*saltus_torch_entry)(void);
#define SALTUS_TORCH_ENTRY "saltus_torch"

#ifdef __cplusplus
}
#endif
#endif
