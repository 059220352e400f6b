// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace saltus::app {

/// A colour on a light and on a dark page.
struct Colour {
  char const* variable;  ///< CSS
  char const* light;
  char const* dark;
};

/// Of methods: after Okabe and Ito, whose colours colour-blind people can tell apart, with the pale ones darkened so
/// that they stand out from white.
inline constexpr std::array<Colour, 8> palette{{{"--c0", "#0072b2", "#4aa8ee"},
                                                {"--c1", "#d55e00", "#ff8a4a"},
                                                {"--c2", "#009e73", "#2ccfa0"},
                                                {"--c3", "#b0578d", "#e59acb"},
                                                {"--c4", "#c28400", "#f0b440"},
                                                {"--c5", "#4b4b4b", "#c4c4c4"},
                                                {"--c6", "#3f9fd8", "#a5deff"},
                                                {"--c7", "#8c8000", "#efe45a"}}};
inline constexpr Colour text_colour{"--text", "#1b1f24", "#e8eaed"};
inline constexpr Colour frame_colour{"--frame", "#5a6068", "#a2a8b0"};
inline constexpr Colour grid_colour{"--grid", "#d9dce0", "#363b42"};
inline constexpr Colour band_colour{"--band", "#8a93a0", "#7d8794"};

/// How a method looks in every picture, by its place in the list of methods.
struct Look {
  std::size_t method;
  Colour const& colour() const { return palette[method % palette.size()]; }
  /// Of five shapes: circle, square, triangle, diamond, turned triangle.
  std::size_t marker() const { return method % 5; }
  /// Once the colours are used up: 0 solid, 1, 2, ...
  std::size_t dash() const { return method / palette.size(); }
};

/// Text for HTML and SVG, in content and in quoted attributes.
std::string escaped(std::string_view text);

/// A number for SVG: two decimals.
std::string coordinate(double value);

}  // namespace saltus::app
