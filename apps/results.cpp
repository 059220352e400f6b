// SPDX-License-Identifier: BSD-3-Clause
#include "results.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <saltus/ctmc/error.hpp>

namespace saltus::app {
namespace {

// A cell of CSV; methods with several parameters hold commas.
std::string cell(std::string const& text) { return text.find(',') == text.npos ? text : '"' + text + '"'; }

std::string number(double value) { return to_text(value); }
std::string number(std::int64_t value) { return std::to_string(value); }

// The rows of results.csv and results.json: add(run, metric, value, low, high, band or null).
template <class Add>
void each_row(Results const& results, Add const& add) {
  for (auto const& run : results.runs) {
    for (std::size_t m = 0; m < results.metrics.size(); ++m) {
      Estimate const& e = run.estimates[m];
      if (std::isnan(e.value)) continue;
      add(run, spec_of(results.metrics[m]).name, e.value, e.low, e.high,
          results.exact_law ? nullptr : &results.bands[m]);
    }
    if (results.exact_law) continue;
    for (auto const& d : run.apart)
      add(run, "reference_" + d.name, d.estimate.value, d.estimate.low, d.estimate.high, &d.null);
    std::int64_t const clamps = run.report.clamps;
    add(run, "clamps", clamps, clamps, clamps, static_cast<NullBand const*>(nullptr));
  }
}

std::string shown(char const* format, double value) {
  if (std::isnan(value)) return "";
  if (!std::isfinite(value)) return "inf";
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// How a metric stands in the table.
struct Column {
  std::string head;
  char const* format;
  double center = 0;  // taken off
  bool interval = true;

  std::string cell(Estimate const& e) const {
    std::string const value = shown(format, e.value - center);
    if (!interval || !std::isfinite(e.value)) return value;
    return value + " [" + shown(format, e.low - center) + ", " + shown(format, e.high - center) + "]";
  }
  std::string cell(NullBand const& band) const {
    if (!interval) return shown(format, band.mean - center);
    return shown(format, band.low - center) + " to " + shown(format, band.high - center);
  }
};

Column column_of(Results const& results, Metric metric) {
  std::string const title = spec_of(metric).title;
  switch (metric) {
    case Metric::nll:
      return {title + " - entropy", "%+.3f", results.entropy};
    case Metric::token_entropy:
      return {title, "%.4f", 0, false};
    case Metric::impossible_transitions:
      return {title, "%.5f", 0, false};
    default:
      if (results.exact_law) return {title, "%.5g", 0, false};
      return {title, "%.4f"};
  }
}

}  // namespace

std::size_t Results::position(Metric metric) const {
  return static_cast<std::size_t>(std::find(metrics.begin(), metrics.end(), metric) - metrics.begin());
}

bool Results::inside(Run const& run, std::size_t metric) const {
  return run.estimates[metric].value >= bands[metric].low && run.estimates[metric].value <= bands[metric].high;
}

bool Results::inside(Run const& run) const {
  for (std::size_t m = 0; m < metrics.size(); ++m) {
    if (!inside(run, m)) return false;
  }
  return true;
}

Json evaluations(Run const& run) {
  double const mean = run.report.evaluations;
  return mean == std::round(mean) ? Json(static_cast<std::int64_t>(mean)) : Json(mean);
}

double milliseconds_a_sample(Run const& run) {
  return 1e3 * run.report.seconds / static_cast<double>(run.report.samples);
}

double microseconds_a_step(Run const& run) { return 1e3 * milliseconds_a_sample(run) / std::max(1.0, run.steps); }

std::string results_csv(Results const& results) {
  std::string csv = "integrator,nfe,metric,value,low,high,null_low,null_high\n";
  each_row(results, [&](Run const& run, std::string const& metric, auto value, auto low, auto high,
                        NullBand const* band) {
    csv += cell(run.integrator) + "," + evaluations(run).dump() + "," + metric + "," + number(value) + "," + number(low) +
           "," + number(high) + "," + (band ? number(band->low) : "") + "," + (band ? number(band->high) : "") + "\n";
  });
  return csv;
}

Json results_json(Results const& results) {
  Json json = results.header;
  std::string command;
  for (auto const& piece : results.command) command += (command.empty() ? "" : " ") + piece;
  json["command"] = command;
  json["title"] = results.title;
  if (results.known_law()) json["entropy_nats"] = results.entropy;
  if (results.reference > 0) json["reference_steps"] = results.reference;
  Json bands = Json::array();
  for (std::size_t m = 0; m < results.bands.size(); ++m) {
    NullBand const& band = results.bands[m];
    bands.push_back(
        {{"metric", spec_of(results.metrics[m]).name}, {"mean", band.mean}, {"low", band.low}, {"high", band.high}});
  }
  if (!results.exact_law) {
    json["null"] = {{"replicates", results.replicates},
                    {"band_error", results.band_error},
                    {"family_error", results.family_error},
                    {"bands", bands}};
  }
  for (auto const& [method, why] : results.left_out)
    json["left_out"].push_back({{"integrator", method}, {"why", why}});
  Json runs = Json::array();
  for (auto const& run : results.runs) {
    if (results.exact_law) {
      runs.push_back({{"integrator", run.integrator},
                      {"nfe", evaluations(run)},
                      {"steps", run.steps},
                      {"transitions", run.transitions},
                      {"seconds", run.report.seconds}});
      continue;
    }
    Json entry{{"integrator", run.integrator},
               {"nfe", evaluations(run)},
               {"max_nfe", run.report.max_evaluations},
               {"steps", run.steps},
               {"samples", run.report.samples},
               {"jumps", run.report.jumps},
               {"clamps", run.report.clamps},
               {"violations", run.report.violations},
               {"seconds", run.report.seconds},
               {"milliseconds_a_sample", milliseconds_a_sample(run)},
               {"microseconds_a_step", microseconds_a_step(run)}};
    if (run.exact) entry["inside_null_band"] = results.inside(run);
    for (auto const& d : run.apart) entry["reference_p_values"][d.name] = d.p_value;
    runs.push_back(std::move(entry));
  }
  json["runs"] = std::move(runs);
  Json rows = Json::array();
  each_row(results,
           [&](Run const& run, std::string const& metric, auto value, auto low, auto high, NullBand const* band) {
             Json row{{"integrator", run.integrator},
                      {"nfe", evaluations(run)},
                      {"metric", metric},
                      {"value", value},
                      {"low", low},
                      {"high", high}};
             if (band) {
               row["null_low"] = band->low;
               row["null_high"] = band->high;
             }
             rows.push_back(std::move(row));
           });
  json["rows"] = std::move(rows);
  return json;
}

Table comparison_table(Results const& results, std::vector<Metric> const& shown_metrics) {
  struct Measured {
    std::size_t position;
    Column column;
  };
  std::vector<Measured> columns;
  for (Metric const metric : shown_metrics) {
    std::size_t const m = results.position(metric);
    if (m == results.metrics.size()) continue;
    // What no run did is left out.
    if (metric == Metric::impossible_transitions &&
        std::none_of(results.runs.begin(), results.runs.end(),
                     [&](Run const& run) { return run.estimates[m].value > 0; }))
      continue;
    columns.push_back({m, column_of(results, metric)});
  }
  Table table;
  table.head = {"integrator", results.forward ? "steps" : "NFE"};
  for (auto const& measured : columns) table.head.push_back(measured.column.head);
  if (!results.exact_law) table.head.push_back("clamps");
  table.head.push_back(results.exact_law ? "transitions" : "seconds");
  for (auto const& run : results.runs) {
    std::vector<std::string> row{run.integrator, results.forward && run.own_steps ? "exact" : evaluations(run).dump()};
    for (auto const& measured : columns) row.push_back(measured.column.cell(run.estimates[measured.position]));
    if (!results.exact_law) row.push_back(std::to_string(run.report.clamps));
    row.push_back(results.exact_law ? shown("%.3g", run.transitions) : shown("%.2f", run.report.seconds));
    table.rows.push_back(std::move(row));
  }
  if (results.exact_law) return table;
  std::vector<std::string> perfect{"(perfect)", ""};
  for (auto const& measured : columns) perfect.push_back(measured.column.cell(results.bands[measured.position]));
  perfect.resize(table.head.size());
  table.rows.push_back(std::move(perfect));
  return table;
}

void print_table(Table const& table) {
  std::vector<std::vector<std::string>> lines{table.head};
  lines.insert(lines.end(), table.rows.begin(), table.rows.end());
  std::vector<std::size_t> widths(table.head.size());
  for (auto const& cells : lines) {
    for (std::size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  }
  for (std::size_t r = 0; r < lines.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      std::string const pad(widths[i] - lines[r][i].size(), ' ');
      line += (i ? "  " : "") + (i == 0 ? lines[r][i] + pad : pad + lines[r][i]);
    }
    std::printf("%s\n", line.substr(0, line.find_last_not_of(' ') + 1).c_str());
    if (r == 0) std::printf("%s\n", std::string(line.size(), '-').c_str());
  }
}

}  // namespace saltus::app
