// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/statistics.hpp>

#include <algorithm>
#include <cmath>

#include <saltus/ctmc/error.hpp>

namespace saltus {

PathStatistics::PathStatistics(std::size_t times, int length, int occupied)
    : length_(length), occupied_(occupied), moments_(times), shares_(times * static_cast<std::size_t>(occupied)), squares_(shares_) {}

void PathStatistics::add(Sight const& sight) {
  auto const length = static_cast<std::size_t>(length_), states = static_cast<std::size_t>(occupied_);
  SALTUS_ASSERT(sight.tokens.extent(0) == moments_.size() && sight.tokens.extent(2) == length);
  bool const first = samples_ == 0, counted = sight.jumps.size() != 0;
  auto const one_time = [&](std::size_t i) {
    Moments m = moments_[i];
    token_t const* const tokens = &sight.tokens(i, 0, 0);
    if (first && sight.rows > 0) {
      for (std::size_t l = 0; l < length; ++l) m.pivot += tokens[l] / static_cast<double>(length);
    }
    std::vector<int> count(states, 0);
    std::vector<std::size_t> met;
    double const share = 1.0 / static_cast<double>(length_);
    for (std::size_t b = 0; b < sight.rows; ++b) {
      double a = 0, q = 0, j = 0;
      for (std::size_t l = 0; l < length; ++l) {
        double const x = static_cast<double>(tokens[b * length + l]) - m.pivot;
        a += x;
        q += x * x;
        if (counted) j += static_cast<double>(sight.jumps(i, b, l));
        if (states == 0) continue;
        auto const y = static_cast<std::size_t>(tokens[b * length + l]);
        if (y < states && count[y]++ == 0) met.push_back(y);
      }
      a *= share;
      q *= share;
      if (first && b == 0) m.square = q;
      q -= m.square;
      j *= share;
      m.a += a;
      m.q += q;
      m.aa += a * a;
      m.aq += a * q;
      m.qq += q * q;
      m.j += j;
      m.jj += j * j;
      for (std::size_t const y : met) {
        double const p = count[y] * share;
        shares_[i * states + y] += p;
        squares_[i * states + y] += p * p;
        count[y] = 0;
      }
      met.clear();
    }
    moments_[i] = m;
  };
  Kokkos::parallel_for("saltus::integrators::statistics",
                       Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace, Kokkos::IndexType<std::size_t>>(0, moments_.size()), one_time);
  Kokkos::DefaultHostExecutionSpace().fence("saltus::integrators: the statistics of a batch are read on the host");
  samples_ += sight.rows;
}

// Every number of `statistics`, in the order in which they are saved.
template <class Statistics, class Visitor>
void PathStatistics::each_sum(Statistics& statistics, Visitor&& visitor) {
  for (auto& m : statistics.moments_) {
    for (auto* const sum : {&m.pivot, &m.square, &m.a, &m.q, &m.aa, &m.aq, &m.qq, &m.j, &m.jj}) visitor(*sum);
  }
  for (auto* const values : {&statistics.shares_, &statistics.squares_}) {
    for (auto& value : *values) visitor(value);
  }
}

std::vector<double> PathStatistics::sums() const {
  std::vector<double> out;
  each_sum(*this, [&](double value) { out.push_back(value); });
  return out;
}

void PathStatistics::restore(std::size_t samples, std::vector<double> const& sums) {
  std::size_t const expected = this->sums().size();
  require(sums.size() == expected, "statistics to go on with should be " + std::to_string(expected) + " sums, got " + std::to_string(sums.size()));
  auto next = sums.begin();
  each_sum(*this, [&](double& value) { value = *next++; });
  samples_ = samples;
}

Averaged PathStatistics::average(double sum, double squares) const {
  auto const n = static_cast<double>(samples_);
  double const mean = sum / n;
  return {mean, samples_ > 1 ? std::sqrt(std::max(0.0, squares / n - mean * mean) / (n - 1)) : 0};
}

Averaged PathStatistics::mean(std::size_t i) const {
  Moments const& m = moments_[i];
  Averaged const a = average(m.a, m.aa);
  return {m.pivot + a.value, a.error};
}

Averaged PathStatistics::deviation(std::size_t i) const {
  Moments const& m = moments_[i];
  auto const n = static_cast<double>(samples_), all = n * length_;
  if (all < 2) return {0, 0};
  double const a = m.a / n, q = m.q / n;
  double const variance = std::max(0.0, m.square + q - a * a);
  double const deviation = std::sqrt(variance * all / (all - 1));
  // Var(q - 2 a_0 a) over samples, a_0 the mean: the gradient of q - a^2.
  double const spread = m.qq / n - q * q - 4 * a * (m.aq / n - a * q) + 4 * a * a * (m.aa / n - a * a);
  double const error = samples_ > 1 && deviation > 0 ? std::sqrt(std::max(0.0, spread) / (n - 1)) / (2 * deviation) : 0;
  return {deviation, error};
}

Averaged PathStatistics::jumps(std::size_t i) const { return average(moments_[i].j, moments_[i].jj); }

Averaged PathStatistics::occupancy(std::size_t i, int state) const {
  SALTUS_ASSERT(state >= 0 && state < occupied_);
  std::size_t const k = i * static_cast<std::size_t>(occupied_) + static_cast<std::size_t>(state);
  return average(shares_[k], squares_[k]);
}

}  // namespace saltus
