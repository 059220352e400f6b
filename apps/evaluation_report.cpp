// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>
#include <cstdio>

#include <saltus/ctmc/error.hpp>

#include "evaluation.hpp"
#include "page.hpp"
#include "problem.hpp"
#include "results.hpp"

namespace saltus::app {
namespace {

constexpr std::size_t most_lines = 10, line_width = 100;  // sequences shown as text
constexpr char const* apart_words = "* the intervals of samples and held-out sequences do not meet.";

std::string shown(std::optional<Estimate> const& e, int decimals) {
  if (!e) return "";
  auto const number = [&](double value) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
    return std::string(text);
  };
  if (!e->has_interval()) return number(e->value);
  return number(e->value) + " [" + number(e->low) + ", " + number(e->high) + "]";
}

std::string mark(EvaluationRow const& row) { return row.apart() ? "*" : ""; }

Json json_of(std::optional<Estimate> const& e) {
  if (!e) return nullptr;
  if (!e->has_interval()) return {{"value", e->value}};
  return {{"value", e->value}, {"low", e->low}, {"high", e->high}};
}

std::string table_html(Evaluation const& evaluation) {
  std::string html =
      "<div class=\"scroll\"><table>\n<thead><tr><th></th><th>samples</th><th>held "
      "out</th><th></th></tr></thead>\n<tbody>\n";
  std::string section;
  for (auto const& row : evaluation.rows) {
    if (row.section != section) {
      section = row.section;
      html += "<tr class=\"section\"><td colspan=\"4\">" + escaped(section) + "</td></tr>\n";
    }
    html += "<tr><td>" + escaped(row.title) + "</td>";
    html += row.note.empty()
                ? "<td>" + shown(row.samples, row.decimals) + "</td><td>" + shown(row.held, row.decimals) + "</td>"
                : "<td colspan=\"2\" class=\"words\">" + escaped(row.note) + "</td>";
    html += "<td class=\"bad\">" + mark(row) + "</td></tr>\n";
  }
  return html + "</tbody></table></div>\n<p class=\"note\">" + apart_words + "</p>\n";
}

std::string logos_html(EvaluationData const& data) {
  auto const length = data.samples[0].size();
  auto const states = static_cast<std::size_t>(data.files.alphabet.size());
  std::size_t shown = 0;
  std::string const svg = logos({{"reference", "", site_frequencies(data.reference_set().tokens, length, states)},
                                 {"samples", "", site_frequencies(data.sample_set().tokens, length, states)}},
                                data.files.alphabet, shown);
  std::string html =
      "<h2>Sequence logos</h2>\n<p class=\"note\">A stack is as high as the information of its site, log2 of the "
      "alphabet less the entropy; letters share it by their frequency.";
  if (shown < length) html += " Sites 1 to " + std::to_string(shown) + " of " + std::to_string(length) + ".";
  return html + "</p>\n<div class=\"logos\">" + svg + "</div>\n";
}

std::string drawings_html(std::string const& title, std::vector<MoleculeDrawing> const& drawings) {
  if (drawings.empty()) return "";
  std::string html = "<h3>" + title + "</h3>\n<div class=\"molecules\">\n";
  for (auto const& drawing : drawings)
    html +=
        "<figure>" + drawing.svg + "<figcaption class=\"note\">" + escaped(drawing.smiles) + "</figcaption></figure>\n";
  return html + "</div>\n";
}

std::string lines_html(EvaluationData const& data, std::string const& title, Sequences const& sequences) {
  std::string lines;
  for (std::size_t b = 0; b < std::min(most_lines, sequences.size()); ++b) {
    std::string const text = data.files.alphabet.text(sequences[b]);
    lines += text.substr(0, line_width) + (text.size() > line_width ? " ..." : "") + "\n";
  }
  return "<h3>" + title + "</h3>\n<pre class=\"lines\">" + escaped(lines) + "</pre>\n";
}

// Connected correlations of the samples over those of the reference, as a picture of how many fall where.
std::string pairs_html(AlignmentFit const& fit) {
  constexpr double size = 300, left = 62, top = 10, foot = 44;
  constexpr std::size_t middle = picture_bins / 2;
  std::size_t reach = 1;  // bins from 0 that hold anything
  for (std::size_t y = 0; y < picture_bins; ++y) {
    for (std::size_t x = 0; x < picture_bins; ++x) {
      if (!fit.picture[y * picture_bins + x]) continue;
      for (std::size_t const bin : {x, y}) reach = std::max(reach, bin >= middle ? bin - middle + 1 : middle - bin);
    }
  }
  std::size_t const coarse = (2 * reach + 59) / 60, half = (reach + coarse - 1) / coarse, cells = 2 * half;
  double const cell = size / static_cast<double>(cells);
  double const end = 2 * picture_end * static_cast<double>(half * coarse) / picture_bins;
  std::vector<double> count(cells * cells, 0.0);
  double most = 1;
  auto const coarse_bin = [&](std::size_t bin) { return (bin + half * coarse - middle) / coarse; };
  for (std::size_t y = middle - reach; y < middle + reach; ++y) {
    for (std::size_t x = middle - reach; x < middle + reach; ++x) {
      double& c = count[coarse_bin(y) * cells + coarse_bin(x)];
      c += fit.picture[y * picture_bins + x];
      most = std::max(most, c);
    }
  }
  char labels[2][32];
  std::snprintf(labels[0], sizeof labels[0], "%.3f", -end);
  std::snprintf(labels[1], sizeof labels[1], "%.3f", end);
  auto const text = [](double x, double y, char const* anchor, std::string const& words) {
    return "<text x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" text-anchor=\"" + anchor + "\">" + words +
           "</text>\n";
  };
  std::string svg = "<svg class=\"drawn\" viewBox=\"0 0 " + coordinate(left + size + 14) + " " +
                    coordinate(top + size + foot) +
                    "\" role=\"img\" aria-label=\"connected pair correlations of samples over those of the "
                    "reference\">\n<g class=\"dots\">";
  for (std::size_t y = 0; y < cells; ++y) {
    for (std::size_t x = 0; x < cells; ++x) {
      if (count[y * cells + x] == 0) continue;
      svg += "<rect x=\"" + coordinate(left + cell * static_cast<double>(x)) + "\" y=\"" +
             coordinate(top + size - cell * static_cast<double>(y + 1)) + "\" width=\"" + coordinate(cell) +
             "\" height=\"" + coordinate(cell) + "\" fill-opacity=\"" +
             coordinate(0.12 + 0.88 * std::log1p(count[y * cells + x]) / std::log1p(most)) + "\"/>";
    }
  }
  svg += "</g>\n<path class=\"axis\" stroke-dasharray=\"4 3\" d=\"M" + coordinate(left) + " " + coordinate(top + size) +
         "L" + coordinate(left + size) + " " + coordinate(top) + "\"/>\n<path class=\"axis\" d=\"M" + coordinate(left) +
         " " + coordinate(top) + "V" + coordinate(top + size) + "H" + coordinate(left + size) + "\"/>\n";
  svg += text(left - 6, top + size, "end", labels[0]) + text(left - 6, top + 10, "end", labels[1]) +
         text(left, top + size + 16, "middle", labels[0]) +
         text(left + size - 8, top + size + 16, "middle", labels[1]) +
         text(left + size / 2, top + size + 36, "middle", "C of the reference") +
         "<text text-anchor=\"middle\" transform=\"translate(14 " + coordinate(top + size / 2) +
         ")rotate(-90)\">C of the samples</text>\n";
  return "<h2>Connected pair correlations</h2>\n<p class=\"note\">C<sub>ij</sub>(a, b) = f<sub>ij</sub>(a, b) - "
         "f<sub>i</sub>(a) "
         "f<sub>j</sub>(b) of all pairs of sites and tokens; the darker, the more of them (logarithmically). Perfect "
         "samples lie "
         "along the dashed line, scattered by their number.</p>\n<div class=\"plots\"><figure>" +
         svg + "</svg></figure></div>\n";
}

}  // namespace

void print_evaluation(Evaluation const& evaluation) {
  std::printf("%s\n\n", evaluation.title.c_str());
  Table table{{"", "samples", "held out", ""}, {}};
  std::string section;
  for (auto const& row : evaluation.rows) {
    if (row.section != section) {
      section = row.section;
      table.rows.push_back({section, "", "", ""});
    }
    table.rows.push_back(
        {"  " + row.title, shown(row.samples, row.decimals), shown(row.held, row.decimals), mark(row)});
  }
  print_table(table);
  std::printf("\n%s\n", apart_words);
  std::string note;  // once for the rows that share it
  for (auto const& row : evaluation.rows) {
    if (row.note.empty() || row.note == note) continue;
    note = row.note;
    std::printf("%s: %s.\n", row.section.c_str(), note.c_str());
  }
  for (auto const& remark : evaluation.remarks) std::printf("%s\n", remark.c_str());
}

std::string evaluation_csv(Evaluation const& evaluation) {
  std::string csv = "section,measure,samples,samples_low,samples_high,held_out,held_out_low,held_out_high,note\n";
  auto const cells = [](std::optional<Estimate> const& e) {
    if (!e) return std::string(",,,");
    return "," + to_text(e->value) + (e->has_interval() ? "," + to_text(e->low) + "," + to_text(e->high) : ",,");
  };
  for (auto const& row : evaluation.rows)
    csv += row.section + "," + row.name + cells(row.samples) + cells(row.held) + "," +
           (row.note.empty() ? "" : '"' + row.note + '"') + "\n";
  return csv;
}

Json evaluation_json(Evaluation const& evaluation, EvaluationData const& data, Options const& options) {
  Json json = run_header(options);
  std::string command;
  for (auto const& piece : options.call()) command += (command.empty() ? "" : " ") + piece;
  json["command"] = command;
  json["title"] = evaluation.title;
  json["kind"] = data.kind;
  json["alphabet"] = data.files.alphabet.name();
  json["aligned"] = data.aligned;
  json["sequences"] = {{"samples", data.samples.size()},
                       {"reference", data.reference.size()},
                       {"held_out", data.held.size()},
                       {"part", data.held_parts[0].size()}};
  json["remarks"] = evaluation.remarks;
  Json rows = Json::array();
  for (auto const& row : evaluation.rows) {
    Json one{{"section", row.section},          {"measure", row.name},           {"title", row.title},
             {"samples", json_of(row.samples)}, {"held_out", json_of(row.held)}, {"apart", row.apart()}};
    if (!row.note.empty()) one["note"] = row.note;
    rows.push_back(std::move(one));
  }
  json["rows"] = std::move(rows);
  Json charts = Json::array();
  for (auto const& chart : evaluation.charts)
    charts.push_back(
        {{"title", chart.title}, {"names", chart.names}, {"samples", chart.shares}, {"compared_with", chart.outline}});
  json["histograms"] = std::move(charts);
  return json;
}

std::string evaluation_page(Evaluation const& evaluation, EvaluationData const& data, Options const& options) {
  std::string html = "<h1>Samples judged</h1>\n<p class=\"lead\">" + escaped(evaluation.title) + ".</p>\n";
  for (auto const& remark : evaluation.remarks) html += "<p class=\"note\">" + escaped(remark) + "</p>\n";
  html += "<h2>Table</h2>\n" + table_html(evaluation);
  bool const symbols = !data.files.alphabet.tokenized() && data.files.alphabet.width() == 1;
  if (data.aligned && symbols) html += logos_html(data);
  if (evaluation.fit) html += pairs_html(*evaluation.fit);
  html +=
      "<h2>Histograms</h2>\n<p class=\"note\">Bars: samples. Lines: the reference, for nearest neighbours the held-out "
      "sequences.</p>\n<div class=\"histograms\">";
  for (auto const& chart : evaluation.charts) html += bar_chart(chart);
  html += "</div>\n";
  if (evaluation.molecules && evaluation.molecules->missing.empty()) {
    html += "<h2>Molecules</h2>\n" + drawings_html("Samples", evaluation.molecules->sample_drawings) +
            drawings_html("Reference", evaluation.molecules->reference_drawings);
  } else {
    html += "<h2>Sequences</h2>\n" + lines_html(data, "Samples", data.samples) +
            lines_html(data, "Reference", data.reference);
  }
  return html_page(
      "Samples judged: " + evaluation.title,
      html + html_repeat(options.call(), run_header(options)) +
          "<p class=\"note\">results.json and results.csv beside this file hold every number in it.</p>\n");
}

}  // namespace saltus::app
