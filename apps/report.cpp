// SPDX-License-Identifier: BSD-3-Clause
#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include <saltus/ctmc/error.hpp>

#include "logo.hpp"
#include "page.hpp"
#include "plot.hpp"

namespace saltus::app {
namespace {

constexpr std::size_t most_pictures = 6;  // methods whose sequences are shown

std::string joined(std::vector<std::string> const& items, std::string const& between, std::string const& last) {
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i)
    text += (i == 0 ? "" : i + 1 == items.size() ? last : between) + items[i];
  return text;
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

class Page {
 public:
  Page(Results const& results, OutputFolder const& folder) : results_(results), folder_(folder) {}

  std::string html() {
    std::string const body = opening() + plots() + table() + (results_.exact_law ? "" : cost()) + sequences() + again();
    return html_page("Integrators compared: " + results_.title, body);
  }

 private:
  Look look(std::string const& integrator) const {
    auto const& methods = results_.methods;
    return {static_cast<std::size_t>(std::find(methods.begin(), methods.end(), integrator) - methods.begin())};
  }

  // Line and marker of a method, as the plots have them.
  static std::string key(Look look) {
    static constexpr std::array shapes{
        "<circle cx=\"18\" cy=\"8\" r=\"4.2\"/>", "<path d=\"M14 4h8v8h-8z\"/>", "<path d=\"M18 2.6l5 8.6h-10z\"/>",
        "<path d=\"M18 2.4l5.6 5.6-5.6 5.6-5.6-5.6z\"/>", "<path d=\"M18 13.4l5-8.6h-10z\"/>"};
    static constexpr std::array dashes{"", " stroke-dasharray=\"6 3\"", " stroke-dasharray=\"2 2\""};
    std::string const colour = "var(" + std::string(look.colour().variable) + ")";
    return "<svg class=\"key\" viewBox=\"0 0 36 16\" aria-hidden=\"true\"><g fill=\"" + colour + "\" stroke=\"" +
           colour + "\"><path d=\"M0 8h36\" stroke-width=\"2\"" + dashes[look.dash() % dashes.size()] + "/>" +
           shapes[look.marker()] + "</g></svg>";
  }

  std::string opening() const {
    std::string const entropy = results_.known_law() ? "(entropy " + short_number(results_.entropy) + " nats a sequence)."
                                                     : "of " + std::to_string(results_.reference) + " tweedie steps.";
    std::string html =
        "<h1>Integrators compared</h1>\n<p class=\"lead\">" +
        escaped(joined(results_.methods, ", ", " and ") + " on: " + results_.title + ", noise " +
                results_.header["parameters"]["noise"].get<std::string>() + ". " +
                (results_.exact_law ? "The laws of their sequences, computed and not sampled, against the exact one "
                                    : std::to_string(results_.samples) + " sequences of each, judged by " +
                                          (results_.known_law() ? "the exact law " : "a reference run ")) +
                entropy) +
        "</p>\n";
    for (auto const& [method, why] : results_.left_out)
      html += "<p class=\"note\">" + escaped(method + " " + why) + ".</p>\n";
    if (results_.exact_law) return html;
    for (auto const& run : results_.runs) {
      if (!run.exact) continue;
      bool const fine = results_.inside(run);
      html += std::string("<p") + (fine ? "" : " class=\"bad\"") + ">" + escaped(run.integrator) +
              " claims to be exact and lies " + (fine ? "inside all bands of" : "OUTSIDE a band of") +
              " a perfect sampler.</p>\n";
    }
    return html;
  }

  std::string legend() const {
    std::string html = "<ul class=\"legend\">";
    for (auto const& method : results_.methods) html += "<li>" + key(look(method)) + escaped(method) + "</li>";
    if (results_.exact_law) return html + "</ul>\n";
    return html +
           "<li><svg class=\"key\" viewBox=\"0 0 36 16\" aria-hidden=\"true\"><rect width=\"36\" height=\"16\" "
           "fill=\"var(--band)\" fill-opacity=\".22\"/></svg>perfect sampler</li></ul>\n";
  }

  // The errors of a metric over x(run), a series a method.
  template <class X>
  Plot plot_of(std::size_t m, std::string name, X const& x) const {
    MetricSpec const& spec = spec_of(results_.metrics[m]);
    bool const nll = spec.metric == Metric::nll;
    double const center = nll ? results_.entropy : 0;
    Plot plot{.name = std::move(name),
              .x_label = "",
              .y_label = std::string(spec.title) + (nll ? " - entropy" : "") + " (" + spec.unit + ")",
              .log_y = !nll};
    if (results_.exact_law) {
      plot.beside = plot.intervals = false;
    } else {
      plot.band = {{results_.bands[m].low - center, results_.bands[m].high - center}};
    }
    for (auto const& method : results_.methods) {
      Series series{.name = method, .look = look(method)};
      for (auto const& run : results_.runs) {
        Estimate const& e = run.estimates[m];
        if (run.integrator != method || !std::isfinite(e.value) || (plot.log_y && !(e.value > 0))) continue;
        series.level = run.exact;
        series.points.push_back({x(run), e.value - center, e.low - center, e.high - center});
      }
      std::sort(series.points.begin(), series.points.end(), [](Point const& a, Point const& b) { return a.x < b.x; });
      if (!series.points.empty()) plot.series.push_back(std::move(series));
    }
    return plot;
  }

  static std::string infinite_because(Metric metric) {
    std::string const what = "Infinite " + std::string(spec_of(metric).title) + ", since they ";
    switch (metric) {
      case Metric::nll:
        return what + "drew sequences that the law forbids: ";
      case Metric::reverse_kl:
        return what + "give mass to sequences that the law forbids: ";
      default:
        return what + "miss what the law allows: ";
    }
  }

  std::string infinite(std::size_t m) const {
    std::vector<std::string> names;
    for (auto const& method : results_.methods) {
      std::set<double> budgets;
      for (auto const& run : results_.runs) {
        if (run.integrator == method && std::isinf(run.estimates[m].value)) budgets.insert(run.report.evaluations);
      }
      if (budgets.empty()) continue;
      std::vector<std::string> at;
      for (double const budget : budgets) at.push_back(to_text(budget));
      names.push_back(method + " at " + joined(at, ", ", " and "));
    }
    return names.empty()
               ? ""
               : infinite_because(results_.metrics[m]) + joined(names, "; ", "; ") + ".";
  }

  // A figure; nothing where there is nothing to draw (no errors above 0), and one line for the whole page if gnuplot
  // does not draw.
  std::string figure(Plot const& plot, std::string const& caption) {
    if (plot.series.empty()) return "";
    auto const svg = draw(plot, folder_);
    if (svg) return "<figure>" + *svg + "<figcaption>" + escaped(caption) + "</figcaption></figure>\n";
    bool const first = !missing_;
    missing_ = true;
    return first ? "<p class=\"note\">The plots are drawn by gnuplot, which is not there or failed: install gnuplot "
                   "(Debian: gnuplot-nox) and run this again, or draw plots/*.gp with it.</p>\n"
                 : "";
  }

  std::string plots() {
    std::set<double> budgets;
    for (auto const& run : results_.runs) {
      if (!run.own_steps) budgets.insert(run.report.evaluations);
    }
    std::string html, notes;
    for (Metric const metric :
         {results_.rank, Metric::tv_pair, Metric::tv_triple, Metric::tv_site, Metric::nll, Metric::kl,
          Metric::reverse_kl, Metric::path_kl, Metric::path_kl_discretisation, Metric::path_kl_factorisation}) {
      std::size_t const m = results_.position(metric);
      std::string const name = spec_of(metric).name;
      if (m == results_.metrics.size() || !drawn_.insert(metric).second) continue;
      Plot plot = plot_of(m, name, [](Run const& run) { return run.report.evaluations; });
      plot.x_label = results_.forward ? "steps" : "evaluations of the model a sample (NFE)";
      if (!budgets.empty() && budgets.size() <= 9) plot.x_ticks.assign(budgets.begin(), budgets.end());
      std::string help = spec_of(metric).help;
      help[0] = static_cast<char>(std::toupper(help[0]));
      html += figure(plot, help + ".");
      if (std::string const words = infinite(m); !words.empty())
        notes += "<p class=\"note\">" + escaped(words) + "</p>\n";
    }
    std::string const note =
        results_.exact_law
            ? "Computed, not sampled: there is no noise. On logarithmic axes an error of order p falls like a line of slope "
              "-p."
            : "Bars are 95 % intervals. Sampling noise alone puts a perfect sampler of as many sequences into the shaded "
              "band (it leaves one band with probability " +
                  short_number(results_.band_error) +
                  "): what lies inside cannot be told from " + (results_.known_law() ? "exact" : "it") +
                  ". Points are moved a little sideways where methods share a budget; dashed lines carry exact methods across.";
    return "<h2>Error</h2>\n<p class=\"note\">" + note + "</p>\n" +
           legend() + "<div class=\"plots\">\n" + html + "</div>\n" + notes;
  }

  std::string html_table(std::vector<std::string> const& head,
                         std::vector<std::vector<std::string>> const& rows) const {
    std::string html = "<div class=\"scroll\"><table>\n<thead><tr>";
    for (auto const& cell : head) html += "<th>" + escaped(cell) + "</th>";
    html += "</tr></thead>\n<tbody>\n";
    for (auto const& row : rows) {
      bool const run = look(row[0]).method < results_.methods.size();
      html += run ? "<tr>" : "<tr class=\"perfect\">";
      for (std::size_t i = 0; i < row.size(); ++i)
        html += "<td>" + (i == 0 && run ? key(look(row[0])) : "") + escaped(row[i]) + "</td>";
      html += "</tr>\n";
    }
    return html + "</tbody></table></div>\n";
  }

  std::string table() const {
    Table const table = comparison_table(
        results_, results_.exact_law ? results_.metrics
                                     : std::vector{Metric::tv_pair, Metric::tv_triple, Metric::tv_site, Metric::nll,
                                                   Metric::token_entropy, Metric::impossible_transitions});
    std::string const note =
        results_.exact_law
            ? "Best first. tv is total variation, the others are in nats; with a mask path KL is the sum of its two parts."
        : results_.known_law()
            ? "Best first. Read likelihood and token entropy together: a sampler that prefers likely tokens has a negative "
              "nll - entropy and too little token entropy."
            : "Best first. Distances are from the frequencies of the reference run, whose own row is the last. Read them "
              "beside the token entropy: a sampler that prefers likely tokens has too little.";
    return "<h2>Table</h2>\n<p class=\"note\">" + note + "</p>\n" + html_table(table.head, table.rows);
  }

  std::string cost() {
    std::vector<std::vector<std::string>> rows;
    for (auto const& run : results_.runs) {
      rows.push_back({run.integrator, results_.forward && run.own_steps ? "exact" : evaluations(run).dump(),
                      short_number(milliseconds_a_sample(run)), short_number(microseconds_a_step(run)),
                      std::to_string(run.report.jumps), std::to_string(run.report.clamps)});
    }
    std::size_t const m = results_.position(results_.rank);
    Plot plot = plot_of(m, "cost", [](Run const& run) { return milliseconds_a_sample(run); });
    plot.x_label = "milliseconds a sample";
    plot.beside = false;
    return "<h2>Cost</h2>\n<p class=\"note\">Wall clock on the machine named below, evaluations of the model "
           "included; a step of a method that goes by events is one event. A clamp is a jump probability above 1 that "
           "was cut off.</p>\n<div class=\"plots cost\">\n" +
           html_table({"integrator", results_.forward ? "steps" : "NFE", "ms a sample", "µs a step", "jumps", "clamps"},
                      rows) +
           figure(plot, "The same error against the time that a sample takes.") + "</div>\n";
  }

  std::string sequences() const {
    std::vector<Frequencies> pictures{{results_.known_law() ? "exact law" : "reference run", "var(--text)", results_.sites}};
    for (auto const& method : results_.methods) {
      for (auto const& run : results_.runs) {
        if (run.integrator != method || run.sites.empty() || pictures.size() > most_pictures) continue;
        std::string const steps = results_.forward ? (run.own_steps ? "" : ", steps: ") : ", NFE ";
        pictures.push_back({method + steps + (steps.empty() ? "" : evaluations(run).dump()),
                            "var(" + std::string(look(method).colour().variable) + ")", run.sites});
      }
    }
    Alphabet const& alphabet = results_.alphabet;
    auto const states = static_cast<std::size_t>(alphabet.size());
    bool const letters = !alphabet.numbered() && alphabet.width() == 1;
    if (pictures.size() == 1) return "";
    std::string html = "<h2>Sequences</h2>\n<p class=\"note\">Each method at its smallest budget";
    if (results_.methods.size() > most_pictures) html += " (the first " + std::to_string(most_pictures) + " methods)";
    if (!letters)
      return html +
             ": all tokens of its sequences as bars, those of the " + (results_.known_law() ? "exact law" : "reference run") + " as a line.</p>\n<div "
             "class=\"histograms\">" +
             histograms(pictures, alphabet) + "</div>\n";
    std::size_t shown = 0;
    std::string const svg = logos(pictures, alphabet, shown);
    std::size_t const length = results_.sites.size() / states;
    html +=
        ". A stack is as high as the information of its site, log2 of the alphabet less the entropy; letters share "
        "it by their frequency.";
    if (shown < length) html += " Sites 1 to " + std::to_string(shown) + " of " + std::to_string(length) + ".";
    return html + "</p>\n<div class=\"logos\">" + svg + "</div>\n";
  }

  std::string again() const {
    return html_repeat(results_.command, results_.header) +
           std::string("<p class=\"note\">results.json and results.csv beside this file hold every number in it, ") +
           (results_.exact_law ? "" : "samples/ the sequences, ") +
           "plots/ data and gnuplot scripts of the plots.</p>\n";
  }

  Results const& results_;
  OutputFolder const& folder_;
  std::set<Metric> drawn_;
  bool missing_ = false;
};

}  // namespace

void write_report(Results const& results, OutputFolder const& folder) {
  write_text(folder.path("report.html"), Page(results, folder).html());
}

}  // namespace saltus::app
