// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/exact.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <saltus/ctmc/error.hpp>

namespace saltus {

StateSpace::StateSpace(int states, int length) : states_(states), length_(length), size_(1) {
  require(states >= 1 && length >= 1, "a state space needs at least 1 state and 1 site");
  for (int l = 0; l < length; ++l) {
    size_ *= static_cast<std::size_t>(states);
    require(size_ <= 100'000'000, std::to_string(states) + "^" + std::to_string(length) +
                                      " sequences are too many to enumerate (limit 1e8)");
  }
}

void StateSpace::tokens(std::size_t index, token_t* tokens) const {
  for (int l = length_; l-- > 0;) {
    tokens[l] = static_cast<token_t>(index % static_cast<std::size_t>(states_));
    index /= static_cast<std::size_t>(states_);
  }
}

std::vector<token_t> StateSpace::tokens(std::size_t index) const {
  std::vector<token_t> out(static_cast<std::size_t>(length_));
  tokens(index, out.data());
  return out;
}

std::size_t StateSpace::index(token_t const* tokens) const {
  std::size_t index = 0;
  for (int l = 0; l < length_; ++l) index = index * static_cast<std::size_t>(states_) + static_cast<std::size_t>(tokens[l]);
  return index;
}

std::vector<double> StateSpace::embed(std::vector<double> const& data_law, Generator const& generator) const {
  SALTUS_ASSERT(generator.states() == states_);
  StateSpace const data(generator.data_states(), length_);
  SALTUS_ASSERT(data_law.size() == data.size());
  std::vector<double> law(size_, 0.0);
  std::vector<token_t> x(static_cast<std::size_t>(length_));
  for (std::size_t i = 0; i < data.size(); ++i) {
    data.tokens(i, x.data());
    for (token_t& token : x) token += generator.mask() && token >= *generator.mask() ? 1 : 0;
    law[index(x.data())] = data_law[i];
  }
  return law;
}

std::vector<double> push_sites(StateSpace const& space, std::vector<double> law, std::vector<double> const& kernel) {
  auto const n = static_cast<std::size_t>(space.states()), length = static_cast<std::size_t>(space.length());
  bool const one = kernel.size() == n * n;
  SALTUS_ASSERT(law.size() == space.size() && (one || kernel.size() == length * n * n));
  std::vector<double> block;
  std::size_t stride = 1;
  for (std::size_t l = length; l-- > 0; stride *= n) {
    double const* const k = kernel.data() + (one ? 0 : l * n * n);
    block.resize(n * stride);
    for (std::size_t base = 0; base < space.size(); base += n * stride) {
      std::fill(block.begin(), block.end(), 0.0);
      for (std::size_t x = 0; x < n; ++x) {
        for (std::size_t y = 0; y < n; ++y) {
          double const p = k[x * n + y];
          if (p == 0) continue;
          double const* const from = law.data() + base + x * stride;
          double* const to = block.data() + y * stride;
          for (std::size_t i = 0; i < stride; ++i) to[i] += from[i] * p;
        }
      }
      std::copy(block.begin(), block.end(), law.begin() + static_cast<std::ptrdiff_t>(base));
    }
  }
  return law;
}

std::vector<double> site_transition(Generator const& generator, NoiseSchedule const& noise, double s, double t) {
  return generator.transition_matrix(noise.total_between(s, t));
}

std::vector<double> forward_law(StateSpace const& space, std::vector<double> const& p0, Generator const& generator,
                                NoiseSchedule const& noise, double t) {
  // alpha(0) may be below 1 (geometric noise): from "no noise at all" to t.
  return push_sites(space, p0, generator.transition_matrix(noise.alpha(t), noise.lost(t), noise.total(t)));
}

std::vector<double> context_probabilities(StateSpace const& space, std::vector<double> const& p0,
                                          Generator const& generator) {
  SALTUS_ASSERT(generator.mask().has_value());
  auto const n = static_cast<std::size_t>(space.states()), mask = static_cast<std::size_t>(*generator.mask());
  std::vector<double> kernel(n * n, 0.0);
  for (std::size_t x = 0; x < n; ++x) kernel[x * n + x] = kernel[x * n + mask] = 1;
  return push_sites(space, p0, kernel);
}

std::vector<double> reverse_step(StateSpace const& space, std::vector<double> const& p0, Generator const& generator,
                                 NoiseSchedule const& noise, Interval interval, std::vector<double> const& law) {
  // q(x_s | x_t) = p_s(x_s) P(x_s -> x_t) / p_t(x_t)
  auto const n = static_cast<std::size_t>(generator.states());
  std::vector<double> const p_to = forward_law(space, p0, generator, noise, interval.to);
  std::vector<double> const p_from = forward_law(space, p0, generator, noise, interval.from);
  std::vector<double> const forward = site_transition(generator, noise, interval.to, interval.from);
  std::vector<double> backward(n * n);
  for (std::size_t x = 0; x < n; ++x) {
    for (std::size_t y = 0; y < n; ++y) backward[y * n + x] = forward[x * n + y];
  }
  std::vector<double> ratio(law.size(), 0.0);
  for (std::size_t i = 0; i < law.size(); ++i) {
    if (law[i] == 0) continue;
    require(p_from[i] > 0, "the law has mass on a state that the forward process cannot reach");
    ratio[i] = law[i] / p_from[i];
  }
  ratio = push_sites(space, std::move(ratio), backward);
  for (std::size_t i = 0; i < law.size(); ++i) ratio[i] *= p_to[i];
  return ratio;
}

double total_variation(std::vector<double> const& p, std::vector<double> const& q) {
  SALTUS_ASSERT(p.size() == q.size());
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += std::abs(p[i] - q[i]);
  return sum / 2;
}

double kl_divergence(std::vector<double> const& p, std::vector<double> const& q) {
  SALTUS_ASSERT(p.size() == q.size());
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    double const excess = p[i] - q[i];
    if (p[i] == 0) {
      sum += q[i];
    } else if (q[i] == 0) {
      return std::numeric_limits<double>::infinity();
    } else {
      sum += p[i] * (std::abs(excess) < 0.5 * q[i] ? std::log1p(excess / q[i]) : std::log(p[i] / q[i])) - excess;
    }
  }
  return sum;
}

double entropy(std::vector<double> const& p) {
  double sum = 0;
  for (double const x : p) {
    if (x > 0) sum -= x * std::log(x);
  }
  return sum;
}

}  // namespace saltus
