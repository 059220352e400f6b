// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <saltus/ctmc/generator.hpp>
#include <saltus/ctmc/random.hpp>
#include <saltus/ctmc/score_model.hpp>

namespace saltus {

/// A law of sequences with everything exact: likelihood, entropy, marginals, draws, and posteriors under noise. On the
/// host, in double and in nats; immutable, so safe to share between threads.
class SequenceLaw {
 public:
  virtual ~SequenceLaw() = default;
  virtual std::string name() const = 0;
  virtual int states() const = 0;  ///< data states, without a mask
  virtual int length() const = 0;

  /// ln p(x); -infinity for an impossible sequence.
  virtual double log_likelihood(std::span<token_t const> x) const = 0;
  /// -E ln p.
  virtual double entropy() const = 0;
  /// Standard error of entropy(); 0 where it is computed rather than estimated.
  virtual double entropy_error() const { return 0; }
  /// [length, states]: p(x^l = y).
  virtual std::vector<double> site_marginals() const = 0;
  /// [length - 1, states, states]: p(x^l = y, x^(l+1) = z).
  virtual std::vector<double> pair_marginals() const = 0;
  /// [length - 2, states, states, states]: the same of three adjacent sites; empty below three sites.
  virtual std::vector<double> triple_marginals() const = 0;
  /// Draws sequence number `sample` of the stream `seed` into x.
  virtual void draw(std::uint64_t seed, std::uint64_t sample, std::span<token_t> x) const = 0;

  /// The exact denoiser of this law under an absorbing generator (states + 1 states), a uniform one or a reversible
  /// dense one: leave-one-out laws in double. Under an absorbing generator the rows of revealed sites are filled only
  /// if `at_revealed` asks for them: with the law of the site given the other revealed tokens. UserError unless the
  /// generator fits.
  std::shared_ptr<ScoreModel> denoiser(Generator const& generator, bool at_revealed = false) const;

 private:
  /// denoiser() for a generator that fits.
  virtual std::shared_ptr<ScoreModel> make_denoiser(Generator const& generator, bool at_revealed) const = 0;
};

/// p(x) of every sequence, numbered as by StateSpace. UserError if there are more than 1e8.
std::vector<double> enumerate(SequenceLaw const& law);

/// Index into the weights by inversion of a uniform; the last positive weight if rounding leaves a rest.
int draw_index(std::span<double const> weights, double uniform);

/// UserError that opens with `what` unless `p` is a law: not negative, sum 1 within 1e-9.
void require_law(std::span<double const> p, std::string const& what);

/// UserError unless `generator` is absorbing with the mask last, uniform, or dense and reversible, on `states` data
/// states.
void require_fitting(Generator const& generator, int states, std::string const& name);

}  // namespace saltus
