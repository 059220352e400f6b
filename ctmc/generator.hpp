// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <saltus/ctmc/types.hpp>

namespace saltus {

/// The jumps of a sparse generator: row x has the entries row_begin[x] to row_begin[x + 1], sorted by column, without the
/// diagonal and without zeros.
struct SparseRates {
  std::vector<std::int64_t> row_begin;  ///< [states + 1]
  std::vector<token_t> column;          ///< [jumps]
  std::vector<double> rate;             ///< [jumps], above 0
  int states() const { return static_cast<int>(row_begin.size()) - 1; }
};

/// A population of n >= 0 individuals, without an upper end: n -> n + batch at rate immigration + birth * n, and
/// n -> n - 1 at rate death * n (A§13.5, 13.6). Rates are computed, not stored.
struct PopulationRates {
  double immigration = 0;
  double birth = 0;
  double death = 0;
  int batch = 1;
  /// The largest population that can still grow; what would be above is reported as an error.
  static constexpr std::int64_t limit = 2'000'000'000;
  KOKKOS_FORCEINLINE_FUNCTION double up(double n) const { return immigration + birth * n; }
  KOKKOS_FORCEINLINE_FUNCTION double down(double n) const { return death * n; }
};

/// Q = left diag(values) right with right = left^-1: what a reversible generator has (A§3.4).
struct Spectrum {
  std::vector<double> left, values, right;  ///< [S,S], [S], [S,S], row by row
};

/// The rate matrix Q of one site (row convention: Q(x, y) is the rate x -> y, rows sum to 0), multiplied by the noise
/// rate sigma(t). Sites are independent copies under the forward process. Cheap to copy; immutable.
class Generator {
 public:
  enum class Kind { absorbing, uniform, dense, sparse, population };

  /// Every token jumps to the mask at rate 1; the mask stays (A§3.1). `states` counts the mask, which is
  /// `mask` (default: the last state).
  static Generator absorbing(int states, std::optional<token_t> mask = std::nullopt);

  /// Every token jumps to each other token at rate 1/states (A§3.2, the normalisation of SEDD).
  static Generator uniform(int states);

  /// Any matrix `rates` [states, states], row by row, with the diagonal. UserError that names the entry unless all are
  /// finite, those off the diagonal >= 0, and the rows sum to 0 within 1e-6 of their exit rate (the diagonal is then set
  /// to minus the sum). At most 4096 states. `ordinal`: states are numbers whose differences mean something.
  static Generator dense(std::string name, int states, std::vector<double> rates, bool ordinal = false);

  /// For large state spaces: memory is proportional to the number of jumps. UserError as dense().
  static Generator sparse(std::string name, SparseRates rates, bool ordinal = false);

  /// birth_death (no immigration) or immigration_death. UserError unless the rates are finite, >= 0 and batch >= 1.
  static Generator population(PopulationRates rates);

  /// Neighbours on a path of `states` states at rate 1, reflecting ends (A§3.3). Dense and reversible.
  static Generator path(int states);

  /// The discretised Gaussian target of tauLDR (A§3.4). Dense and reversible.
  static Generator gaussian_target(int states, double rate_sigma = 6, double target_sigma = 512);

  Kind kind() const { return kind_; }
  /// Number of states; for a population as many as token_t can count.
  int states() const { return states_; }
  bool is_bounded() const { return kind_ != Kind::population; }
  std::optional<token_t> mask() const {
    return kind_ == Kind::absorbing ? std::optional<token_t>(mask_) : std::nullopt;
  }
  /// Number of states that data can have (all but the mask).
  int data_states() const { return kind_ == Kind::absorbing ? states_ - 1 : states_; }
  std::string const& name() const { return name_; }
  /// Whether states are numbers whose differences mean something (ordinal tau-leaping adds them up).
  bool ordinal() const { return ordinal_; }

  /// Q(x, y); host.
  double rate(token_t x, token_t y) const;
  /// -Q(x, x); host.
  double exit_rate(token_t x) const { return -rate(x, x); }
  /// The largest exit rate; infinite for a population.
  double max_exit_rate() const;
  /// P(x, y) = exp(sigma_bar Q)(x, y) of the closed forms absorbing and uniform, with survival probability
  /// alpha = exp(-sigma_bar); host. `lost` is 1 - alpha, passed apart so that nothing cancels.
  double transition(token_t x, token_t y, double alpha, double lost) const;
  /// exp(total Q), [states, states] row by row, entries >= 0 and rows that sum to 1: closed forms, a symmetric
  /// eigensolver where the generator is reversible, scaling and squaring otherwise (A§3.5). UserError for a population
  /// or above 4096 states. Entries are good to about 1e-16 max_exit_rate() total; UserError where that product exceeds 1e10.
  std::vector<double> transition_matrix(double total) const;
  /// The same where alpha = exp(-total) and 1 - alpha are known with all their digits.
  std::vector<double> transition_matrix(double alpha, double lost, double total) const;
  /// law * exp(total Q) for one law [states]: through transition_matrix(), or for sparse generators by uniformization
  /// (positive terms only), which costs (jumps in the generator) x (largest exit rate x total) operations.
  std::vector<double> push(std::vector<double> const& law, double total) const;

  /// Recurrent classes: the closed sets of states that communicate (1 if irreducible). Not for a population.
  int closed_classes() const;
  /// Whether all states communicate.
  bool irreducible() const;
  /// The stationary law [states] by elimination without subtractions (GTH). UserError unless there is exactly one closed
  /// class, or above 4096 states, or for a population.
  std::vector<double> stationary() const;
  /// Expected jumps per unit time in the stationary law.
  double mean_rate() const;
  /// The same chain with time scaled: all rates times `factor`. Dense and sparse only.
  Generator scaled(double factor) const;
  /// Dense: whether detailed balance holds for every pair of states within 1e-9 of its flow.
  bool reversible() const;
  /// The spectrum of a reversible dense generator; UserError otherwise.
  Spectrum const& spectrum() const;

  /// Dense: [states, states] with the diagonal.
  std::vector<double> const& matrix() const;
  /// The jumps of a dense or sparse generator.
  SparseRates const& jumps() const;
  PopulationRates const& population_rates() const { return population_; }

 private:
  struct Tables;  // what dense and sparse generators hold
  Generator(Kind kind, std::string name, int states, bool ordinal)
      : kind_(kind), name_(std::move(name)), states_(states), ordinal_(ordinal) {}
  std::vector<double> dense_form() const;  // [states, states] of any bounded generator

  Kind kind_;
  std::string name_;
  int states_;
  bool ordinal_;
  token_t mask_ = -1;
  PopulationRates population_{};
  std::shared_ptr<Tables const> tables_;
};

}  // namespace saltus
