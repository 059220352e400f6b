// SPDX-License-Identifier: BSD-3-Clause
#include "plot.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>

#include "problem.hpp"
#include "run_program.hpp"

namespace saltus::app {
namespace {

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

Range x_range(Plot const& plot) {
  Range range;
  for (double const x : plot.x_ticks) range.add(x);
  for (auto const& series : plot.series) {
    for (auto const& point : series.points) {
      if (point.x > 0) range.add(point.x);
    }
  }
  if (!plot.log_x) {
    double const margin = range.high > range.low ? 0.06 * (range.high - range.low) : 0.5;
    return {range.low - margin, range.high + margin};
  }
  double const margin = std::max(1.25, std::pow(range.high / range.low, 0.06));
  return {range.low / margin, range.high * margin};
}

Range y_range(Plot const& plot) {
  Range range;
  auto const add = [&](double value) {
    if (!plot.log_y || value > 0) range.add(value);
  };
  for (auto const& series : plot.series) {
    for (auto const& point : series.points) {
      add(point.y);
      add(point.high);
      // An interval that reaches (almost) to 0 must not stretch a logarithmic axis.
      if (!plot.log_y || point.low > 0.1 * point.y) add(point.low);
    }
  }
  if (plot.band) {
    add(plot.band->first);
    add(plot.band->second);
  }
  constexpr double share = 0.06;
  if (plot.log_y) {
    double const margin = range.high > range.low ? std::pow(range.high / range.low, share) : 2;
    return {range.low / margin, range.high * margin};
  }
  double const margin = range.high > range.low ? share * (range.high - range.low) : range.high != 0 ? std::abs(range.high) / 2 : 1;
  return {range.low - margin, range.high + margin};
}

// For a logarithmic axis: powers of ten where they are many, else 1, 2 and 5 times these, else equal steps.
std::vector<double> ticks(Range range) {
  std::vector<double> out;
  double const ratio = range.high / range.low;
  if (ratio < 6) {
    double const wanted = (range.high - range.low) / 5, power = std::pow(10, std::floor(std::log10(wanted)));
    double const step = power * (wanted > 5 * power ? 10 : wanted > 2 * power ? 5 : wanted > power ? 2 : 1);
    for (double i = std::ceil(range.low / step); i * step <= range.high; ++i) out.push_back(i * step);
    return out;
  }
  for (int power = static_cast<int>(std::floor(std::log10(range.low))); std::pow(10, power) <= range.high; ++power) {
    for (double const first : {1.0, 2.0, 5.0}) {
      double const tick = first * std::pow(10, power);
      if (tick >= range.low && tick <= range.high && (first == 1 || ratio < 500)) out.push_back(tick);
    }
  }
  return out;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string list(std::vector<double> const& values) {
  std::string text;
  for (double const value : values) text += (text.empty() ? "" : ", ") + number(value);
  return "(" + text + ")";
}

std::string quoted(std::string const& text) {
  std::string out = "'";
  for (char const c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
  return out + "'";
}

bool has_points(Series const& series) {
  return std::any_of(series.points.begin(), series.points.end(), [](Point const& point) { return point.x > 0; });
}

// A block for each series with points. `beside`: points of several series at one x stand side by side, so that their
// intervals can be told apart.
std::string data(Plot const& plot, Range x, Range y) {
  std::string text = "# x value low high; a block for each method\n";
  double const step = plot.beside && plot.log_x ? 0.009 * std::log(x.high / x.low) : 0;
  double place = -0.5 * static_cast<double>(plot.series.size() - 1);
  for (auto const& series : plot.series) {
    double const shift = std::exp(step * place++);
    if (!has_points(series)) continue;
    text += "\n\n# " + series.name + "\n";
    for (auto const& point : series.points) {
      if (point.x > 0)
        text += number(point.x * shift) + " " + number(point.y) + " " + number(std::max(point.low, y.low)) + " " +
                number(point.high) + "\n";
    }
  }
  return text;
}

std::string script(Plot const& plot, Range x, Range y) {
  std::string const grey = frame_colour.light, text = text_colour.light;
  std::string s = "# gnuplot " + plot.name + ".gp > " + plot.name + ".svg\n";
  s += "set terminal svg size 560,380 dynamic font 'sans-serif,14' name '" + plot.name + "'\n";
  s += "set encoding utf8\nunset key\nset lmargin 10\nset rmargin 2\n";
  s += "set border 3 linecolor rgb '" + grey + "'\n";
  s += "set grid linecolor rgb '" + std::string(grid_colour.light) + "' linewidth 1 dashtype 1\n";
  s += "set tics nomirror out scale 0.6 textcolor rgb '" + text + "'\n";
  s += "set format '%g'\nunset mxtics\nunset mytics\n";
  if (plot.log_x) s += "set logscale x\n";
  s += "set xrange [" + number(x.low) + ":" + number(x.high) + "]\n";
  s += "set xtics " + list(plot.x_ticks.empty() ? ticks(x) : plot.x_ticks) + "\n";
  if (plot.log_y) s += "set logscale y\nset ytics " + list(ticks(y)) + "\n";
  s += "set yrange [" + number(y.low) + ":" + number(y.high) + "]\n";
  s += "set xlabel " + quoted(plot.x_label) + " offset 0,0.4 textcolor rgb '" + text + "'\n";
  s += "set ylabel " + quoted(plot.y_label) + " textcolor rgb '" + text + "'\n";
  if (plot.band) {
    double const low = std::max(plot.band->first, y.low);
    s += "set object rectangle from graph 0, first " + number(low) + " to graph 1, first " + number(plot.band->second) +
         " behind fillcolor rgb '" + band_colour.light + "' fillstyle solid 0.22 noborder\n";
  }
  static constexpr std::array markers{7, 5, 9, 13, 11};
  std::string curves;
  int block = 0;
  for (auto const& series : plot.series) {
    std::string const colour = std::string("linecolor rgb '") + series.look.colour().light + "'";
    for (auto const& point : series.points) {
      if (series.level)
        s += "set arrow from graph 0, first " + number(point.y) + " to graph 1, first " + number(point.y) +
             " nohead back linewidth 1.4 dashtype (8,6) " + colour + "\n";
    }
    if (!has_points(series)) continue;
    curves += (curves.empty() ? "plot " : ", \\\n     ") + quoted(plot.name + ".dat") + " index " +
              std::to_string(block++) +
              (plot.intervals ? " using 1:2:3:4 with yerrorlines " : " using 1:2 with linespoints ") + colour +
              " linewidth 1.8 dashtype " +
              std::to_string(series.look.dash() + 1) + " pointtype " + std::to_string(markers[series.look.marker()]) +
              " pointsize 0.7 title " + quoted(series.name) + " noenhanced";
  }
  return s + (curves.empty() ? "plot NaN" : curves) + "\n";
}

void replace_all(std::string& text, std::string const& from, std::string const& to) {
  for (auto at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

// gnuplot's file as part of a page: names that are unique there, and colours that follow it.
std::string inlined(std::string svg, std::string const& name) {
  auto const begin = svg.find("<svg");
  if (begin == svg.npos) return "";
  svg.erase(0, begin);
  for (char const* const attribute : {"id='", "id=\"", "href='#", "href=\"#", "url(#"})
    replace_all(svg, attribute, attribute + name + "_");
  std::vector<Colour> colours(palette.begin(), palette.end());
  colours.insert(colours.end(), {text_colour, frame_colour, grid_colour, band_colour});
  for (auto at = svg.find("rgb("); at != svg.npos; at = svg.find("rgb(", at + 1)) {
    int red = 0, green = 0, blue = 0;
    if (std::sscanf(svg.c_str() + at, "rgb(%d,%d,%d)", &red, &green, &blue) != 3) continue;
    char hex[32];
    std::snprintf(hex, sizeof hex, "#%02x%02x%02x", static_cast<unsigned>(red) & 0xff,
                  static_cast<unsigned>(green) & 0xff, static_cast<unsigned>(blue) & 0xff);
    for (auto const& colour : colours) {
      if (std::string_view(colour.light) == hex)
        svg.replace(at, svg.find(')', at) + 1 - at, std::string("var(") + colour.variable + ")");
    }
  }
  return svg;
}

}  // namespace

std::optional<std::string> draw(Plot const& plot, OutputFolder const& folder) {
  SALTUS_ASSERT(!plot.series.empty());
  Range const x = x_range(plot), y = y_range(plot);
  std::string const stem = "plots/" + plot.name;
  write_text(folder.path(stem + ".dat"), data(plot, x, y));
  write_text(folder.path(stem + ".gp"), script(plot, x, y));
  std::filesystem::path const svg = folder.path(stem + ".svg");
  std::string picture;
  bool const drawn = run_program({"gnuplot", "--default-settings", plot.name + ".gp"}, svg.parent_path().string(),
                                 svg.filename().string(), "/dev/null");
  if (drawn) picture = inlined(read_file(svg.string()), plot.name);
  std::error_code ignored;
  if (picture.empty()) std::filesystem::remove(svg, ignored);
  return picture.empty() ? std::nullopt : std::optional(picture);
}

}  // namespace saltus::app
