// SPDX-License-Identifier: BSD-3-Clause
#include "logo.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace saltus::app {
namespace {

constexpr std::size_t sites_a_row = 60, most_rows = 3;
constexpr double letter_width = 14, logo_height = 72, left = 44;
constexpr double cap_height = 7.2;  // of capitals in a font of size 10: Arial, Helvetica, Liberation Sans, DejaVu Sans

double information(std::span<double const> law) {
  double bits = std::log2(static_cast<double>(law.size()));
  for (double const p : law) bits += p > 0 ? p * std::log2(p) : 0;
  return std::max(0.0, bits);
}

std::string svg_open(double width, double height, std::string const& label) {
  return "<svg class=\"drawn\" width=\"" + coordinate(1.15 * width) + "\" viewBox=\"0 0 " + coordinate(width) + " " +
         coordinate(height) + "\" role=\"img\" aria-label=\"" + escaped(label) + "\">\n";
}

std::string text(double x, double y, char const* anchor, std::string const& words) {
  return "<text x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" text-anchor=\"" + anchor + "\">" +
         escaped(words) + "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2) {
  return "<path class=\"axis\" d=\"M" + coordinate(x1) + " " + coordinate(y1) + "L" + coordinate(x2) + " " +
         coordinate(y2) + "\"/>\n";
}

// Amino acids by chemistry, nucleotides each in its own; anything else in turn.
std::string letter_colour(Alphabet const& alphabet, char symbol, std::size_t token) {
  auto const of = [](std::string_view group, char c) { return group.find(c) != group.npos; };
  auto const variable = [](std::string const& name) { return "var(" + name + ")"; };
  if (symbol == '-') return variable(frame_colour.variable);
  std::string const& name = alphabet.name();
  if (name == "protein" || name == "amino_acids") {
    return variable(of("AVLIPWFM", symbol) ? text_colour.variable
                    : of("GSTYC", symbol)  ? "--c2"
                    : of("NQ", symbol)     ? "--c3"
                    : of("KRH", symbol)    ? "--c0"
                                           : "--c1");
  }
  if (name == "dna" || name == "rna" || name == "nucleotides")
    return variable(symbol == 'A' ? "--c2" : symbol == 'C' ? "--c0" : symbol == 'G' ? "--c4" : "--c1");
  return variable(palette[token % palette.size()].variable);
}

// The stack of one site, small letters below.
std::string stack(std::span<double const> law, Alphabet const& alphabet, double x, double bottom, double bit) {
  std::vector<std::size_t> order(law.size());
  for (std::size_t y = 0; y < order.size(); ++y) order[y] = y;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return law[a] < law[b]; });
  double const total = information(law) * bit;
  std::string out;
  for (std::size_t const y : order) {
    double const height = law[y] * total;
    if (height >= 0.8) {
      char const symbol = alphabet.symbol(static_cast<token_t>(y));
      out += "<text fill=\"" + letter_colour(alphabet, symbol, y) + "\" textLength=\"" + coordinate(letter_width - 1) +
             "\" lengthAdjust=\"spacingAndGlyphs\" transform=\"translate(" + coordinate(x) + " " + coordinate(bottom) +
             ")scale(1 " + coordinate(height / cap_height) + ")\">" + escaped(std::string(1, symbol)) + "</text>";
    }
    bottom -= height;
  }
  return out;
}

}  // namespace

std::string logos(std::vector<Frequencies> const& pictures, Alphabet const& alphabet, std::size_t& shown) {
  auto const states = static_cast<std::size_t>(alphabet.size());
  std::size_t const length = pictures[0].sites.size() / states;
  shown = std::min(length, sites_a_row * most_rows);
  std::size_t const rows = (shown + sites_a_row - 1) / sites_a_row;
  auto const law = [&](Frequencies const& picture, std::size_t l) {
    return std::span(picture.sites).subspan(l * states, states);
  };
  double most = 0.1;
  for (auto const& picture : pictures) {
    for (std::size_t l = 0; l < shown; ++l) most = std::max(most, information(law(picture, l)));
  }
  most = std::ceil(most * 2) / 2;  // bits at the top of the axis
  std::string out;
  for (std::size_t r = 0; r < rows; ++r) {
    std::size_t const first = r * sites_a_row, last = std::min(shown, first + sites_a_row);
    double const bottom = 4 + logo_height;
    auto const x = [&](std::size_t l) { return left + letter_width * static_cast<double>(l - first); };
    for (auto const& picture : pictures) {
      out += "<figure><figcaption>" + escaped(picture.title) + "</figcaption>" +
             svg_open(x(last) + 4, bottom + 20, "sequence logo of " + picture.title) +
             line(left - 4, bottom - logo_height, left - 4, bottom) +
             text(left - 8, bottom - logo_height + 8, "end", coordinate(most).substr(0, 3)) +
             text(left - 8, bottom, "end", "0") + "<text text-anchor=\"middle\" transform=\"translate(" +
             coordinate(left - 26) + " " + coordinate(bottom - logo_height / 2) + ")rotate(-90)\">bits</text>\n";
      for (std::size_t l = first; l < last; ++l) {
        if (l == first || (l + 1) % 5 == 0)
          out += text(x(l) + letter_width / 2, bottom + 15, "middle", std::to_string(l + 1));
      }
      out += "<g class=\"letters\">";
      for (std::size_t l = first; l < last; ++l)
        out += stack(law(picture, l), alphabet, x(l), bottom, logo_height / most);
      out += "</g></svg></figure>\n";
    }
  }
  return out;
}

std::string bar_chart(BarChart const& chart) {
  constexpr double width = 340, height = 170, right = 8, top = 12, foot = 36, side = 46;
  std::size_t const bars = chart.names.size();
  double const wide = (width - side - right) / static_cast<double>(bars), tall = height - top - foot;
  auto const x = [&](std::size_t bar) { return side + wide * static_cast<double>(bar); };
  auto const y = [&](double share) { return height - foot - tall * share / chart.most; };
  char percent[32];
  std::snprintf(percent, sizeof percent, "%.3g %%", 100 * chart.most);
  std::string out = "<figure><figcaption>" + escaped(chart.title) + "</figcaption>" +
                    svg_open(width, height, chart.label);
  std::string outline;
  for (std::size_t b = 0; b < bars; ++b) {
    out += "<rect x=\"" + coordinate(x(b) + 0.1 * wide) + "\" y=\"" + coordinate(y(chart.shares[b])) + "\" width=\"" +
           coordinate(0.8 * wide) + "\" height=\"" + coordinate(height - foot - y(chart.shares[b])) + "\" fill=\"" +
           chart.css_colour + "\"/>";
    outline += (b ? "L" : "M") + coordinate(x(b)) + " " + coordinate(y(chart.outline[b])) + "H" + coordinate(x(b + 1));
  }
  out += "\n<path class=\"outline\" d=\"" + outline + "\"/>\n" +
         line(side, height - foot, width - right, height - foot) + line(side, top, side, height - foot) +
         text(side - 6, top + 5, "end", percent) + text(side - 6, height - foot + 4, "end", "0");
  std::vector<std::size_t> named{0, bars / 2, bars - 1};
  if (chart.all_names) {
    named.resize(bars);
    for (std::size_t b = 0; b < bars; ++b) named[b] = b;
  }
  double used = 0;  // up to where names stand: those that would overlap are left out
  for (std::size_t const b : named) {
    double const half = 3.8 * static_cast<double>(chart.names[b].size()), middle = std::min(x(b) + wide / 2, width - half);
    if (middle - half < used) continue;
    out += text(middle, height - foot + 16, "middle", chart.names[b]);
    used = middle + half + 3;
  }
  return out + text((side + width) / 2, height - 4, "middle", chart.x_label) + "</svg></figure>\n";
}

std::string histograms(std::vector<Frequencies> const& pictures, Alphabet const& alphabet) {
  auto const states = static_cast<std::size_t>(alphabet.size());
  std::size_t const a_bar = (states + 63) / 64, bars = (states + a_bar - 1) / a_bar;
  std::vector<std::vector<double>> shares;
  double most = 0;
  for (auto const& picture : pictures) {
    std::size_t const length = picture.sites.size() / states;
    std::vector<double> share(bars, 0.0);
    for (std::size_t i = 0; i < picture.sites.size(); ++i)
      share[i % states / a_bar] += picture.sites[i] / static_cast<double>(length);
    for (double const s : share) most = std::max(most, s);
    shares.push_back(std::move(share));
  }
  std::vector<std::string> names;
  for (std::size_t b = 0; b < bars; ++b) names.push_back(alphabet.shown(static_cast<token_t>(b * a_bar)));
  std::string out;
  for (std::size_t p = 1; p < pictures.size(); ++p)
    out += bar_chart({pictures[p].title, "token", "tokens of " + pictures[p].title, pictures[p].css_colour, names,
                      shares[p], shares[0], most});
  return out;
}

}  // namespace saltus::app
