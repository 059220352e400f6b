// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>
#include <string>

#include <saltus/ctmc/stored.hpp>
#include <saltus/ctmc/types.hpp>

namespace saltus {

/// What a model's numbers are, for site l of row b with current token x (A§4). Entry y of a row belongs to state y.
enum class ScoreKind {
  score,            ///< p_t(x with x^l := y) / p_t(x); the own entry counts as 1 whatever is stored
  log_score,        ///< its logarithm; the own entry counts as 0
  x0_leave_in,      ///< p(x_0^l = y | x_t): what a denoiser puts out; need not be normalised
  x0_leave_one_out,  ///< p(x_0^l = y | x_t without site l); need not be normalised
  x0_logits_leave_in,      ///< the logarithm of x0_leave_in up to a constant of the site: a denoiser's logits
  x0_logits_leave_one_out  ///< the same of x0_leave_one_out
};

/// True for the kinds whose rows are laws of the clean token: the sampler normalises them itself.
KOKKOS_INLINE_FUNCTION constexpr bool is_x0(ScoreKind kind) {
  return kind != ScoreKind::score && kind != ScoreKind::log_score;
}
KOKKOS_INLINE_FUNCTION constexpr bool is_logits(ScoreKind kind) {
  return kind == ScoreKind::x0_logits_leave_in || kind == ScoreKind::x0_logits_leave_one_out;
}
KOKKOS_INLINE_FUNCTION constexpr bool is_logarithmic(ScoreKind kind) { return kind == ScoreKind::log_score || is_logits(kind); }
/// True for laws of the clean token that look at the site's own token.
KOKKOS_INLINE_FUNCTION constexpr bool is_leave_in(ScoreKind kind) {
  return kind == ScoreKind::x0_leave_in || kind == ScoreKind::x0_logits_leave_in;
}

/// What a model wants to know of the time.
enum class TimeInput {
  none,  ///< nothing
  time,  ///< t
  total  ///< sigma_bar(t)
};

struct ModelInfo {
  std::string name;
  int states = 0;                ///< site values that a row covers, the mask included
  std::optional<token_t> mask;   ///< set for masked models
  ScoreKind kind = ScoreKind::x0_leave_one_out;
  TimeInput time = TimeInput::none;
  int length = 0;                ///< the length it works at; 0: any
  bool leave_one_out_at_revealed = false;  ///< rows of revealed sites of a masked model are leave-one-out laws too
  int evaluations = 1;           ///< network evaluations that one evaluation costs
};

/// A borrowed view [batch, length, states] of a model's output, in MemorySpace, valid until the same slot is evaluated
/// again or the model dies. The last index is contiguous.
struct Evaluation {
  ScalarType type = ScalarType::f64;
  void const* data = nullptr;
  std::int64_t row_stride = 0;   ///< scalars from row b to b + 1
  std::int64_t site_stride = 0;  ///< scalars from site l to l + 1
  int states = 0;
  ScoreKind kind = ScoreKind::x0_leave_one_out;
  bool normalised = false;       ///< rows of an x0 kind sum to 1 over the tokens: one entry says a probability
};

/// What a model is asked.
struct Query {
  /// Value of `only_site` for a row of which nothing will be read.
  static constexpr int no_site = -2;
  /// Value of `only_site` for a row of which every site may be read.
  static constexpr int all_sites = -1;

  Tokens tokens;  ///< [batch, length]; not to be changed
  Times time;     ///< [batch]; t or sigma_bar(t), as ModelInfo::time says; undefined for TimeInput::none
  /// [batch] or empty (all sites of all rows): the only site of a row that will be read, or all_sites, or no_site. A hint:
  /// a model may evaluate more.
  Kokkos::View<int const*, MemorySpace> only_site;
};

/// Gives the scores of a batch of sequences. The only thing that samplers know of a network or a closed form.
class ScoreModel {
 public:
  virtual ~ScoreModel() = default;
  virtual ModelInfo info() const = 0;
  /// Allocates everything that evaluate() will need for batches up to `extents` and `slots` outputs alive at a time.
  virtual void reserve(Extents extents, int slots) = 0;
  /// Evaluates all rows of the query into a slot. Asynchronous on `exec`; allocates and fences nothing. For absorbing
  /// models the rows of revealed sites may be left undefined unless info() promises otherwise.
  virtual Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) = 0;
  /// Rows that a network was evaluated at so far, where a model counts them: fewer than were asked for, if it remembers
  /// rows. -1: not counted.
  virtual std::int64_t rows_evaluated() const { return -1; }
};

}  // namespace saltus
