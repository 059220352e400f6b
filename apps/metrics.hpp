// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <saltus/models/sequence_law.hpp>

#include "estimate.hpp"

namespace saltus::app {

/// What a set of sequences, or the exact law of a method, is measured by against an exact law.
enum class Metric {
  tv_site,
  tv_pair,
  tv_triple,
  nll,
  token_entropy,
  impossible_transitions,
  tv,
  kl,
  reverse_kl,
  path_kl,
  path_kl_discretisation,
  path_kl_factorisation
};
struct MetricSpec {
  Metric metric;
  char const* name;   ///< in results.csv
  char const* title;  ///< in tables and plots
  char const* unit;   ///< at the axis of a plot
  bool of_laws;       ///< of exact laws (saltus::LawReport) rather than of sequences
  char const* help;
};
std::vector<MetricSpec> const& metric_table();
MetricSpec const& spec_of(Metric metric);

/// The metrics of exact laws, in the order of metric_table(); only those of masked processes split the path divergence.
std::vector<Metric> exact_metrics(bool masked);

/// The metrics that sequences are measured by against `law`, in the order of metric_table(): all, but tv_triple only
/// while states^3 length is at most 4e6.
std::vector<Metric> metrics_for(SequenceLaw const& law);

/// The errors of sequences [count, length] against `law`:
/// - tv_site, tv_pair, tv_triple: total variation of the laws of one site (two, three adjacent sites) from the exact
///   ones, mean over the sequence; interval by the delete-a-group jackknife over 20 groups. Sampling noise alone makes
///   them positive: see null_bands();
/// - nll: mean of -ln p in nats a sequence, the cross-entropy (its expectation under the law is the entropy); normal
///   interval;
/// - token_entropy: mean over sequences of the entropy of a sequence's token histogram, in nats; normal interval;
/// - impossible_transitions: share of adjacent pairs that the law forbids; normal interval clustered by sequence.
/// In the order of metrics_for(law). Host, parallel, deterministic.
std::vector<Estimate> measure(SequenceLaw const& law, std::span<token_t const> tokens, std::size_t count);

/// [length, states]: how often each token stands at each site of sequences [count, length].
std::vector<double> site_frequencies(std::span<token_t const> tokens, std::size_t length, std::size_t states);

/// Where a perfect sampler's values of each metric lie.
struct NullBand {
  double mean, low, high;
};

/// Simulates `replicates` perfect samplers of `count` sequences each (drawn from the law itself) and returns for each
/// metric the interval that one more of them leaves with probability `error` (Student's t; the mean of nll is the exact
/// entropy). In the order of metrics_for(law). Deterministic in `seed`.
std::vector<NullBand> null_bands(SequenceLaw const& law, std::size_t count, int replicates, double error,
                                 std::uint64_t seed);

}  // namespace saltus::app
