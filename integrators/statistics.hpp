// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <vector>

#include <saltus/integrators/simulate.hpp>

namespace saltus {

/// A mean over samples with its standard error.
struct Averaged {
  double value, error;
};

/// Statistics of a simulation on its grid of times, gathered batch by batch. Samples are independent, sites need not be:
/// errors come from the spread between samples.
class PathStatistics {
 public:
  /// `occupied`: shares of the states 0 to occupied - 1 are kept too (memory: times x occupied).
  PathStatistics(std::size_t times, int length, int occupied);

  void add(Sight const& sight);

  /// Everything gathered so far, and the same put back into statistics of the same form, to the last bit. Throws UserError if
  /// the numbers are of another form.
  std::vector<double> sums() const;
  void restore(std::size_t samples, std::vector<double> const& sums);

  std::size_t samples() const { return samples_; }
  /// Mean state (a number) at time i over samples and sites.
  Averaged mean(std::size_t i) const;
  /// Its standard deviation over samples and sites (n - 1 in the denominator); the error by the delta method.
  Averaged deviation(std::size_t i) const;
  /// Jumps of a site since the start.
  Averaged jumps(std::size_t i) const;
  /// Share of sites in `state`.
  Averaged occupancy(std::size_t i, int state) const;

 private:
  // Sums over samples of a (mean over sites of x - pivot) and q (mean over sites of (x - pivot)^2, less `square`). The
  // pivots, the first sample's, keep them from cancelling.
  struct Moments {
    double pivot = 0, square = 0, a = 0, q = 0, aa = 0, aq = 0, qq = 0, j = 0, jj = 0;
  };
  Averaged average(double sum, double squares) const;
  template <class Statistics, class Visitor>
  static void each_sum(Statistics& statistics, Visitor&& visitor);

  std::size_t samples_ = 0;
  int length_, occupied_;
  std::vector<Moments> moments_;           // [times]
  std::vector<double> shares_, squares_;   // [times, occupied]
};

}  // namespace saltus
