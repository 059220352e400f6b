// SPDX-License-Identifier: BSD-3-Clause
#include "metrics.hpp"

#include <algorithm>
#include <cmath>

#include <boost/math/distributions/students_t.hpp>

#include <saltus/ctmc/error.hpp>

namespace saltus::app {
namespace {

constexpr std::size_t groups = 20;
constexpr double most_triples = 4e6;  // counters, in each of the groups

// The law's side of the metrics, computed once.
struct Exact {
  explicit Exact(SequenceLaw const& law_)
      : law(law_), metrics(metrics_for(law_)), states(static_cast<std::size_t>(law_.states())),
        length(static_cast<std::size_t>(law_.length())), sites(law_.site_marginals()), pairs(law_.pair_marginals()) {
    if (std::find(metrics.begin(), metrics.end(), Metric::tv_triple) != metrics.end()) triples = law_.triple_marginals();
  }
  SequenceLaw const& law;
  std::vector<Metric> metrics;
  std::size_t states, length;
  std::vector<double> sites, pairs, triples;  // no triples: they are not measured
};

// What is counted over a group of sequences.
struct Tally {
  std::vector<std::uint32_t> sites, pairs, triples;
  std::size_t count = 0;
  std::vector<double> nll, entropy, impossible;  // of each sequence

  explicit Tally(Exact const& exact)
      : sites(exact.sites.size()), pairs(exact.pairs.size()), triples(exact.triples.size()) {}

  void add(Exact const& exact, std::span<token_t const> x, std::vector<double>& histogram) {
    std::size_t const n = exact.states;
    std::fill(histogram.begin(), histogram.end(), 0.0);
    std::size_t bad = 0;
    for (std::size_t l = 0; l < x.size(); ++l) {
      auto const here = static_cast<std::size_t>(x[l]);
      ++sites[l * n + here];
      histogram[here] += 1;
      if (l + 1 < x.size()) {
        std::size_t const pair = (l * n + here) * n + static_cast<std::size_t>(x[l + 1]);
        ++pairs[pair];
        bad += exact.pairs[pair] == 0 && exact.sites[l * n + here] > 0;
        if (l + 2 < x.size() && !triples.empty()) ++triples[pair * n + static_cast<std::size_t>(x[l + 2])];
      }
    }
    double h = 0;
    for (double const k : histogram) h -= k > 0 ? k / static_cast<double>(x.size()) * std::log(k / static_cast<double>(x.size())) : 0;
    nll.push_back(-exact.law.log_likelihood(x));
    entropy.push_back(h);
    impossible.push_back(x.size() > 1 ? static_cast<double>(bad) / static_cast<double>(x.size() - 1) : 0);
    ++count;
  }

  void add(Tally const& other) {
    for (std::size_t i = 0; i < sites.size(); ++i) sites[i] += other.sites[i];
    for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] += other.pairs[i];
    for (std::size_t i = 0; i < triples.size(); ++i) triples[i] += other.triples[i];
    count += other.count;
    nll.insert(nll.end(), other.nll.begin(), other.nll.end());
    entropy.insert(entropy.end(), other.entropy.begin(), other.entropy.end());
    impossible.insert(impossible.end(), other.impossible.begin(), other.impossible.end());
  }
};

// Mean over blocks of `block` entries of the total variation between counts/total (less `without`'s) and p.
double mean_tv(std::vector<std::uint32_t> const& counts, std::vector<std::uint32_t> const* without, std::size_t total,
               std::vector<double> const& p, std::size_t block) {
  if (p.empty()) return 0;
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    double const k = counts[i] - (without ? (*without)[i] : 0);
    sum += std::abs(k / static_cast<double>(total) - p[i]);
  }
  return sum / 2 / (static_cast<double>(p.size()) / static_cast<double>(block));
}

Estimate tv(Tally const& all, std::vector<Tally> const& parts, std::vector<std::uint32_t> Tally::*counts,
            std::vector<double> const& p, std::size_t block) {
  double const value = mean_tv(all.*counts, nullptr, all.count, p, block);
  // Delete-a-group jackknife; empty groups (fewer sequences than groups) leave it out.
  std::vector<double> left_out;
  for (auto const& part : parts) {
    if (part.count > 0 && part.count < all.count) left_out.push_back(mean_tv(all.*counts, &(part.*counts), all.count - part.count, p, block));
  }
  Estimate const e = normal_interval(value, std::sqrt(jackknife_variance(left_out)));
  return {value, std::max(0.0, e.low), std::min(1.0, e.high)};
}

std::vector<Estimate> estimates(Exact const& exact, std::vector<Tally> const& parts) {
  Tally all(exact);
  for (auto const& part : parts) all.add(part);
  std::vector<Estimate> out;
  std::size_t const n = exact.states;
  for (Metric const metric : exact.metrics) {
    switch (metric) {
      case Metric::tv_site: out.push_back(tv(all, parts, &Tally::sites, exact.sites, n)); break;
      case Metric::tv_pair: out.push_back(tv(all, parts, &Tally::pairs, exact.pairs, n * n)); break;
      case Metric::tv_triple: out.push_back(tv(all, parts, &Tally::triples, exact.triples, n * n * n)); break;
      case Metric::nll: out.push_back(mean_of(all.nll)); break;
      case Metric::token_entropy: out.push_back(mean_of(all.entropy)); break;
      case Metric::impossible_transitions: {
        auto share = mean_of(all.impossible);
        share.low = std::max(0.0, share.low);
        out.push_back(share);
        break;
      }
      default: internal_error("a metric of exact laws");
    }
  }
  return out;
}

}  // namespace

std::vector<MetricSpec> const& metric_table() {
  static std::vector<MetricSpec> const table{
      {Metric::tv_site, "tv_site", "site error", "total variation", false,
       "total variation of the one-site laws, mean over sites"},
      {Metric::tv_pair, "tv_pair", "pair error", "total variation", false,
       "total variation of the laws of two adjacent sites, mean over pairs"},
      {Metric::tv_triple, "tv_triple", "triple error", "total variation", false,
       "total variation of the laws of three adjacent sites, mean over triples"},
      {Metric::nll, "nll", "nll", "nats a sequence", false, "mean negative log-likelihood, nats a sequence"},
      {Metric::token_entropy, "token_entropy", "token entropy", "nats", false,
       "mean entropy of the tokens of a sequence (of their histogram), nats"},
      {Metric::impossible_transitions, "impossible_transitions", "impossible", "share", false,
       "share of adjacent pairs that the law forbids"},
      {Metric::tv, "tv", "tv", "total variation", true, "total variation of the laws of whole sequences"},
      {Metric::kl, "kl", "KL", "nats", true, "Kullback-Leibler divergence of the exact law from that of the method"},
      {Metric::reverse_kl, "reverse_kl", "reverse KL", "nats", true,
       "Kullback-Leibler divergence of the law of the method from the exact one"},
      {Metric::path_kl, "path_kl", "path KL", "nats", true,
       "Kullback-Leibler divergence of the law of the states at all times of the grid; at least KL"},
      {Metric::path_kl_discretisation, "path_kl_discretisation", "discretisation", "nats", true,
       "the part of path KL that comes from which sites are revealed in a step"},
      {Metric::path_kl_factorisation, "path_kl_factorisation", "factorisation", "nats", true,
       "the part of path KL that comes from tokens that are revealed together and do not know of each other"}};
  return table;
}

MetricSpec const& spec_of(Metric metric) {
  for (auto const& spec : metric_table()) {
    if (spec.metric == metric) return spec;
  }
  internal_error("a metric that is not in the table");
}

std::vector<Metric> metrics_for(SequenceLaw const& law) {
  std::vector<Metric> metrics;
  for (auto const& spec : metric_table()) {
    bool const large = std::pow(law.states(), 3) * law.length() > most_triples;
    if (!spec.of_laws && (spec.metric != Metric::tv_triple || !large)) metrics.push_back(spec.metric);
  }
  return metrics;
}

std::vector<Metric> exact_metrics(bool masked) {
  std::vector<Metric> metrics;
  for (auto const& spec : metric_table()) {
    bool const part = spec.metric == Metric::path_kl_discretisation || spec.metric == Metric::path_kl_factorisation;
    if (spec.of_laws && (masked || !part)) metrics.push_back(spec.metric);
  }
  return metrics;
}

std::vector<double> site_frequencies(std::span<token_t const> tokens, std::size_t length, std::size_t states) {
  std::vector<double> share(length * states, 0.0);
  double const one = static_cast<double>(length) / static_cast<double>(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i)
    share[i % length * states + static_cast<std::size_t>(tokens[i])] += one;
  return share;
}

std::vector<Estimate> measure(SequenceLaw const& law, std::span<token_t const> tokens, std::size_t count) {
  Exact const exact(law);
  SALTUS_ASSERT(count >= 1 && tokens.size() == count * exact.length);
  std::vector<Tally> parts(groups, Tally(exact));
  // Groups are fixed ranges of samples, so that sums do not depend on threads.
  Kokkos::parallel_for("saltus::apps::measure",
                       Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace>(0, groups), [&](std::size_t g) {
                         std::vector<double> histogram(exact.states);
                         for (std::size_t b = count * g / groups; b < count * (g + 1) / groups; ++b) {
                           parts[g].add(exact, tokens.subspan(b * exact.length, exact.length), histogram);
                         }
                       });
  Kokkos::fence("saltus::apps: metrics are read on the host");
  return estimates(exact, parts);
}

std::vector<NullBand> null_bands(SequenceLaw const& law, std::size_t count, int replicates, double error, std::uint64_t seed) {
  SALTUS_ASSERT(replicates >= 2 && error > 0 && error < 1);
  Exact const exact(law);
  auto const runs = static_cast<std::size_t>(replicates);
  std::vector<std::vector<Estimate>> results(runs);
  Kokkos::parallel_for(
      "saltus::apps::null_bands",
      Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace, Kokkos::Schedule<Kokkos::Dynamic>>(0, runs), [&](std::size_t r) {
        std::vector<Tally> one(1, Tally(exact));
        std::vector<double> histogram(exact.states);
        std::vector<token_t> x(exact.length);
        for (std::size_t b = 0; b < count; ++b) {
          law.draw(seed, r * count + b, x);
          one[0].add(exact, x, histogram);
        }
        results[r] = estimates(exact, one);
      });
  Kokkos::fence("saltus::apps: null bands are read on the host");
  double const n = replicates;
  double const quantile = boost::math::quantile(boost::math::complement(boost::math::students_t(n - 1), error / 2));
  std::vector<NullBand> bands;
  for (std::size_t m = 0; m < exact.metrics.size(); ++m) {
    double mean = 0, squares = 0;
    for (auto const& result : results) mean += result[m].value / n;
    for (auto const& result : results) squares += (result[m].value - mean) * (result[m].value - mean);
    bool const known = exact.metrics[m] == Metric::nll && law.entropy_error() == 0;  // the entropy, exactly
    double const center = known ? law.entropy() : mean;
    double const half = quantile * std::sqrt(squares / (n - 1) * (known ? 1 : 1 + 1 / n));
    bands.push_back({center, std::max(0.0, center - half), center + half});  // no metric is negative
  }
  return bands;
}

}  // namespace saltus::app
