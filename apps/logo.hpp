// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <span>
#include <string>
#include <vector>

#include <saltus/ctmc/io/alphabet.hpp>

#include "look.hpp"

namespace saltus::app {

/// Frequencies of tokens at each site, to be looked at.
struct Frequencies {
  std::string title;
  std::string css_colour;     ///< of bars
  std::vector<double> sites;  ///< [length, states]
};

/// Sequence logos as SVG, a figure each: at each site letters in a stack as high as the site's information,
/// log2(states) minus its entropy, in bits and without a correction for the number of sequences; each letter's share of
/// the height is its frequency. At most three rows of sixty sites, row by row; `shown` becomes the number of sites
/// there are. For alphabets of symbols.
std::string logos(std::vector<Frequencies> const& pictures, Alphabet const& alphabet, std::size_t& shown);

/// A histogram: shares as bars, those of something else as an outline over them.
struct BarChart {
  std::string title, x_label;
  std::string label;                ///< for who cannot see it
  std::string css_colour;           ///< of bars
  std::vector<std::string> names;   ///< of bars, from left to right
  std::vector<double> shares, outline;
  double most;                      ///< at the top of the axis; above 0
  bool all_names = false;           ///< show all names that find room, else the first, the middle and the last
};
/// As SVG, in a figure.
std::string bar_chart(BarChart const& chart);

/// A histogram of all tokens for each of `pictures` but the first, whose outline is drawn over it. More than 64 tokens
/// share bars.
std::string histograms(std::vector<Frequencies> const& pictures, Alphabet const& alphabet);

}  // namespace saltus::app
