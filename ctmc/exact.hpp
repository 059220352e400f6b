// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <vector>

#include <saltus/ctmc/generator.hpp>
#include <saltus/ctmc/noise_schedule.hpp>

/// Exact laws on small spaces, by enumeration, on the host in double.
namespace saltus {

/// All sequences of a length, numbered with the first site most significant.
class StateSpace {
 public:
  /// UserError if states^length exceeds 1e8.
  StateSpace(int states, int length);
  int states() const { return states_; }
  int length() const { return length_; }
  std::size_t size() const { return size_; }
  /// The sequence with this number, into tokens[0..length).
  void tokens(std::size_t index, token_t* tokens) const;
  std::vector<token_t> tokens(std::size_t index) const;
  std::size_t index(token_t const* tokens) const;
  /// A law over sequences of the data states alone (numbered by their own space) as a law over this space, which also
  /// has the mask.
  std::vector<double> embed(std::vector<double> const& data_law, Generator const& generator) const;

 private:
  int states_, length_;
  std::size_t size_;
};

/// law * K (x) K (x) ... : every site moves by the same kernel K [states, states], K(x, y) from x to y; or each by its
/// own, [length, states, states]. Any matrix will do.
std::vector<double> push_sites(StateSpace const& space, std::vector<double> law, std::vector<double> const& kernel);

/// P_{t|s} of one site, [states, states] row by row, for the forward times s <= t.
std::vector<double> site_transition(Generator const& generator, NoiseSchedule const& noise, double s, double t);

/// p_t of the forward process started from p_0 at time 0.
std::vector<double> forward_law(StateSpace const& space, std::vector<double> const& p0, Generator const& generator,
                                NoiseSchedule const& noise, double t);

/// For every sequence of a space with a mask, the probability that data drawn from `p0` (over that space, no masks) agree
/// with it wherever it is not masked: 1 for nothing but masks, p0 itself where there are none.
std::vector<double> context_probabilities(StateSpace const& space, std::vector<double> const& p0,
                                          Generator const& generator);

/// One exact step of the reverse process from `from` down to `to`: law(x_from) -> law(x_to), by Bayes' rule on the
/// enumerated joint law. States that the forward process cannot reach at `from` must have no mass.
std::vector<double> reverse_step(StateSpace const& space, std::vector<double> const& p0, Generator const& generator,
                                 NoiseSchedule const& noise, Interval interval, std::vector<double> const& law);

/// 1/2 sum |p - q|.
double total_variation(std::vector<double> const& p, std::vector<double> const& q);
/// sum p ln(p/q) in nats; infinite where q misses mass of p; 0 ln 0 = 0. Of laws that sum to 1: it is summed up as
/// p ln(p/q) - (p - q), whose terms are none below 0, so that small divergences keep their digits.
double kl_divergence(std::vector<double> const& p, std::vector<double> const& q);
/// -sum p ln p in nats.
double entropy(std::vector<double> const& p);

}  // namespace saltus
