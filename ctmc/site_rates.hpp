// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace saltus {

/// What the rates of each site are multiplied by.
struct SiteRates {
  std::vector<double> multiplier;  ///< [categories], >= 0
  std::vector<int> category;       ///< [length]: index into multiplier; empty: all rates are as they are
  bool empty() const { return category.empty(); }
};

/// The multipliers of `categories` equally likely classes that cut a gamma law of mean 1 at its quantiles: the mean of
/// each, in rising order; their mean is 1 (Yang 1994, doi:10.1007/BF00160154). `shape` is the inverse of the variance.
/// UserError unless 0.001 <= shape <= 1e6 and 1 <= categories <= 1000.
std::vector<double> discrete_gamma(double shape, int categories);

/// Multipliers of `length` sites from one of
///   "gamma:shape=A,categories=4,invariant=0": discrete_gamma(A, categories), and a share of sites at rate 0, for which
///       the others are divided by 1 - invariant so that the mean stays 1;
///   "invariant:share=P": a share of sites at rate 0, the others at 1/(1 - P);
///   a file with one number >= 0 a line, one for each site.
/// The categories of the first two are drawn for each site from `seed`. UserError for anything else.
SiteRates read_site_rates(std::string_view text, int length, std::uint64_t seed);

}  // namespace saltus
