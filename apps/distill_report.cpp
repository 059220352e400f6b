// SPDX-License-Identifier: BSD-3-Clause
#include "distill_report.hpp"

#include <cmath>
#include <cstdio>

#include "page.hpp"
#include "plot.hpp"

namespace saltus::app {
namespace {

std::string number(double value, char const* format = "%.4g") {
  if (std::isinf(value)) return "infinite";
  if (std::isnan(value)) return "";
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string with_error(double value, double error) {
  std::string const text = number(value);
  return std::isfinite(value) && error > 1e-12 * std::abs(value) && std::isfinite(error) ? text + " +- " + number(error, "%.2g") : text;
}

double at(std::vector<double> const& values, std::size_t k) { return k < values.size() ? values[k] : std::nan(""); }

std::string html_table(Table const& table) {
  std::string html = "<div class=\"scroll\"><table>\n<thead><tr>";
  for (auto const& cell : table.head) html += "<th>" + escaped(cell) + "</th>";
  html += "</tr></thead>\n<tbody>\n";
  for (auto const& row : table.rows) {
    html += "<tr>";
    for (std::string cell : row) {
      if (auto const error = cell.find("+-"); error != cell.npos) cell.replace(error, 2, "±");
      html += "<td>" + escaped(cell) + "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

// Values by step, the first of which is 1, with intervals of two-sided 95 %.
Series by_step(std::string name, std::size_t look, std::vector<double> const& values, std::vector<double> const& errors) {
  Series series{.name = std::move(name), .look = {look}};
  for (std::size_t k = 0; k < values.size(); ++k) {
    double const error = at(errors, k), half = std::isfinite(error) ? 1.96 * error : 0;
    if (std::isfinite(values[k])) series.points.push_back({static_cast<double>(k + 1), values[k], values[k] - half, values[k] + half});
  }
  return series;
}

Plot plot_by(std::string name, std::string x_label, std::string y_label, std::size_t count) {
  Plot plot{.name = std::move(name), .x_label = std::move(x_label), .y_label = std::move(y_label), .log_x = false, .log_y = false, .beside = false};
  std::size_t const stride = 1 + (count - 1) / 12;
  for (std::size_t k = 0; k < count; k += stride) plot.x_ticks.push_back(static_cast<double>(k + 1));
  return plot;
}

class Page {
 public:
  Page(Distilled const& distilled, OutputFolder const& folder) : d_(distilled), s_(distilled.schedule), folder_(folder) {}

  std::string html() {
    std::string const steps = std::to_string(s_.steps());
    std::string body =
        "<h1>A learned schedule</h1>\n<p class=\"lead\">" +
        escaped(s_.method + " for " + steps + " steps of " + base() + ", " + std::to_string(d_.nfe) +
                " evaluations a sample, from a teacher of " + std::to_string(s_.teacher.steps) + " " + s_.teacher.integrator +
                " steps on " + s_.model.name + " (" + std::to_string(s_.model.length) + " sites, " + std::to_string(s_.model.states) +
                " states), " + s_.model.generator + " noise " + s_.model.noise + ". " + std::to_string(s_.trajectories) +
                " trajectories, " + number(d_.seconds, "%.3g") + " s.") +
        "</p>\n";
    if (!s_.note.empty()) body += "<p>" + escaped(s_.note) + "</p>\n";
    body += before_after() + plots() + "<h2>Steps</h2>\n<p class=\"note\">From the noise to the data. phi multiplies the rates of a step; u "
            "is the probability that a mask is revealed in it, the mean over masks; ± are standard errors; clamps are jump "
            "probabilities above 1 while learning." +
            (s_.forced_last ? " The last step reveals every mask that is left, whatever phi." : "") + "</p>\n" + html_table(step_table(s_));
    body += html_repeat(d_.command, d_.header) +
            std::string("<p class=\"note\">plots/ beside this file holds data and gnuplot scripts of the plots.</p>\n");
    return html_page("A learned schedule: " + s_.method + " on " + s_.model.name, body);
  }

 private:
  std::string base() const { return s_.bases.empty() ? s_.base : "the integrators below"; }

  std::string before_after() const {
    std::string html = "<h2>Before and after</h2>\n";
    Table const table = before_after_table(d_);
    if (!table.rows.empty()) {
      html += "<p class=\"note\">Before: phi = 1 and steps of equal length." +
              (s_.after ? std::string(" The path KL of the teacher from the student ") +
                              (masked(s_) ? "is an upper bound on the KL of their outputs" : "compares the first jumps of sites within a step") +
                              "; it was estimated on trajectories of the teacher that nothing was learned from."
                        : "") +
              "</p>\n" + html_table(table);
    }
    if (!d_.no_path_kl.empty()) html += "<p class=\"note\">" + escaped("No path KL: " + d_.no_path_kl) + "</p>\n";
    return html;
  }

  std::string figure(Plot const& plot, std::string const& caption) {
    if (plot.series.empty() || plot.series.front().points.empty()) return "";
    if (auto const svg = draw(plot, folder_)) return "<figure>" + *svg + "<figcaption>" + escaped(caption) + "</figcaption></figure>\n";
    return "";
  }

  // One factor a step, or one for each bin of the state.
  std::string factors() {
    auto const steps = static_cast<std::size_t>(s_.steps());
    Plot plot = plot_by("phi", "step", "phi", steps);
    std::string bins;
    if (auto const& state = s_.state) {
      std::size_t const count = state->phi.size() / steps;
      for (std::size_t i = 0; i < count; ++i) {
        std::vector<double> values;
        for (std::size_t k = 0; k < steps; ++k) values.push_back(state->phi[k * count + i]);
        plot.series.push_back(by_step(bin_name(*state, i), i, values, {}));
      }
      bins = " A line for each bin of the state, in the colours of the list.";
      legend_ = "<ul class=\"legend\">";
      for (std::size_t i = 0; i < count; ++i) {
        legend_ += "<li><svg class=\"key\" viewBox=\"0 0 36 16\" aria-hidden=\"true\"><path d=\"M0 8h36\" stroke-width=\"2\"" +
                   std::string(Look{i}.dash() > 0 ? " stroke-dasharray=\"6 3\"" : "") + " stroke=\"var(" + Look{i}.colour().variable +
                   ")\"/></svg>" + escaped(bin_name(*state, i)) + "</li>";
      }
      legend_ += "</ul>\n";
    } else if (!s_.phi.empty()) {
      plot.series.push_back(by_step("phi", 0, s_.phi, s_.phi_error));
    }
    if (s_.forced_last) {  // has no use for one
      for (auto& series : plot.series) {
        if (!series.points.empty() && series.points.back().x == static_cast<double>(steps)) series.points.pop_back();
      }
    }
    if (!plot.series.empty()) plot.series.push_back({.name = "1", .look = {5}, .level = true, .points = {{0, 1, 1, 1}}});
    return figure(plot, "Factors on the rates" + std::string(s_.state ? "" : ", with 95 % intervals") + "; dashed: 1, which changes nothing." + bins);
  }

  std::string bin_name(StateFactors const& state, std::size_t i) const {
    std::size_t const entropies = state.entropies.size() + 1;
    auto const range = [](std::vector<double> const& edges, std::size_t bin, std::string const& what) {
      if (edges.empty()) return std::string();
      std::string const low = bin == 0 ? "" : number(edges[bin - 1]) + " <= ", high = bin == edges.size() ? "" : " < " + number(edges[bin]);
      return low + what + high;
    };
    std::string const share = range(state.shares, i / entropies, "masks"), entropy = range(state.entropies, i % entropies, "entropy");
    return share + (share.empty() || entropy.empty() ? "" : ", ") + entropy;
  }

  std::string plots() {
    auto const steps = static_cast<std::size_t>(s_.steps());
    std::vector<double> kappa;
    for (std::size_t k = 0; k < steps; ++k) kappa.push_back(s_.times[k] - s_.times[k + 1]);
    std::string html = factors();
    Plot lengths = plot_by("kappa", "step", "kappa", steps);
    double const equal = (s_.times.front() - s_.times.back()) / static_cast<double>(steps);
    lengths.series = {by_step("kappa", 1, kappa, {}), {.name = "equal", .look = {5}, .level = true, .points = {{0, equal, equal, equal}}}};
    html += figure(lengths, "Lengths of the steps in time; dashed: steps of equal length.");
    Plot reveal = plot_by("u", "step", "u", steps);
    reveal.series = {by_step("u", 2, s_.reveal, s_.reveal_error)};
    html += figure(reveal, "Probability that a mask is revealed in the step, mean over masks, with 95 % intervals.");
    if (!s_.objective.empty()) {
      Plot objective = plot_by("objective", "sweep", "objective", s_.objective.size());
      objective.series = {by_step("objective", 3, s_.objective, {})};
      html += figure(objective, s_.method.starts_with("jys") ? "What was made large, by sweep." : "What was made small, by sweep.");
    }
    return "<h2>The schedule</h2>\n" + legend_ + "<div class=\"plots\">\n" + html + "</div>\n" +
           (html.empty() ? "<p class=\"note\">The plots are drawn by gnuplot, which is not there or failed: install gnuplot (Debian: gnuplot-nox) "
                           "and run this again, or draw plots/*.gp with it.</p>\n"
                         : "");
  }

  Distilled const& d_;
  Schedule const& s_;
  OutputFolder const& folder_;
  std::string legend_;
};

}  // namespace

Table step_table(Schedule const& schedule) {
  Table table;
  table.head = {"step", "from t", "to t"};
  bool const phi = !schedule.phi.empty(), power = !schedule.power.empty(), reveal = !schedule.reveal.empty(),
             bases = !schedule.bases.empty(), clamps = !schedule.clamps.empty();
  for (auto const& [there, name] : {std::pair{bases, "integrator"}, {phi, "phi"}, {power, "power"}, {reveal, "u"}, {clamps, "clamps"}}) {
    if (there) table.head.emplace_back(name);
  }
  for (std::size_t k = 0; k < static_cast<std::size_t>(schedule.steps()); ++k) {
    std::vector<std::string> row{std::to_string(k + 1), number(schedule.times[k]), number(schedule.times[k + 1])};
    if (bases) row.push_back(schedule.bases[k]);
    if (phi) row.push_back(with_error(schedule.phi[k], at(schedule.phi_error, k)));
    if (power) row.push_back(phi ? number(schedule.power[k]) : with_error(schedule.power[k], at(schedule.phi_error, k)));  // of phi, if there is one
    if (reveal) row.push_back(with_error(schedule.reveal[k], at(schedule.reveal_error, k)));
    if (clamps) row.push_back(std::to_string(schedule.clamps[k]));
    table.rows.push_back(std::move(row));
  }
  return table;
}

bool masked(Schedule const& schedule) { return schedule.model.generator.starts_with("absorbing"); }

Table before_after_table(Distilled const& distilled) {
  Schedule const& s = distilled.schedule;
  Table table;
  table.head = {"nats a sequence", "before", "after"};
  if (s.before && s.after) {
    table.rows.push_back({std::string("path KL from the teacher") + (masked(s) ? "" : ", first jumps"), with_error(s.before->value, s.before->error), with_error(s.after->value, s.after->error)});
    table.rows.push_back({"  when sites jump", number(s.before->discretisation), number(s.after->discretisation)});
    table.rows.push_back({"  where to", number(s.before->factorisation), number(s.after->factorisation)});
  }
  if (!std::isnan(distilled.output_after))
    table.rows.push_back({"KL of the output, computed", number(distilled.output_before), number(distilled.output_after)});
  return table;
}

void write_report(Distilled const& distilled, OutputFolder const& folder) {
  write_text(folder.path("report.html"), Page(distilled, folder).html());
}

}  // namespace saltus::app
