// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "contest.hpp"
#include "metrics.hpp"
#include "two_sample.hpp"

namespace saltus::app {

/// What a run gave.
struct Run {
  std::string integrator;
  bool exact = false;      ///< claims to be
  bool own_steps = false;  ///< had no number of steps to keep to
  double weak_order = 0;   ///< claims that tv falls like steps^(-weak_order); 0: nothing
  double steps = 1;        ///< of a sample; of methods that go by events its mean number of evaluations
  double transitions = 0;  ///< exact law: what it took
  SampleReport report{};
  std::vector<Estimate> estimates{};  ///< of Results::metrics; not a number where a method has none
  std::vector<double> sites{};        ///< [length, states]: frequencies, for pictures; may be empty
  std::vector<TwoSampleDistance> apart{};  ///< from the reference run; empty without one
};

/// Everything that a comparison found out; tables, files and the report follow from it.
struct Results {
  std::string title;                 ///< in words: what was sampled
  Json header;                       ///< version, machine, parameters, model or process
  std::vector<std::string> command;  ///< that gives these results again, in pieces
  Alphabet alphabet;
  bool forward = false;
  bool exact_law = false;     ///< laws were computed: no bands, no intervals
  std::size_t samples = 0;    ///< of each run
  int reference = 0;          ///< steps of the reference run; 0: none
  double entropy = 0;         ///< of the law, nats a sequence; not a number for a network, judged by the reference run alone
  std::vector<double> sites;  ///< [length, states]: the law's own
  Metric rank{};
  std::vector<Metric> metrics;
  std::vector<NullBand> bands;       ///< of metrics
  int replicates = 0;                ///< perfect samplers behind the bands
  double band_error = 0;             ///< probability that a perfect sampler leaves one band
  double family_error = 0;           ///< all bands that are asserted together
  std::vector<std::string> methods;  ///< in the order that they were asked for
  std::vector<std::pair<std::string, std::string>> left_out{};  ///< methods that did not take part, and why
  std::vector<Run> runs;                                        ///< best first

  bool known_law() const { return !std::isnan(entropy); }
  /// Position in metrics and estimates; metrics.size() if it was not measured.
  std::size_t position(Metric metric) const;
  /// Whether the estimate lies inside its band; an infinite one never does.
  bool inside(Run const& run, std::size_t metric) const;
  bool inside(Run const& run) const;
};

/// Mean evaluations (forward: steps) of a sample: a whole number where it is one.
Json evaluations(Run const& run);
/// The cost of a run, evaluations of the model included: a sample, and a step of a sample.
double milliseconds_a_sample(Run const& run);
double microseconds_a_step(Run const& run);

/// A row for each run and metric.
std::string results_csv(Results const& results);
/// The same rows, the runs, the bands and the header.
Json results_json(Results const& results);

/// The table that a person reads: a row for each run, best first, and one for a perfect sampler.
struct Table {
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
};
/// With the errors of `shown` that were measured, in that order.
Table comparison_table(Results const& results, std::vector<Metric> const& shown);
/// To standard output, in columns.
void print_table(Table const& table);

}  // namespace saltus::app
