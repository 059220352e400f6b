// SPDX-License-Identifier: BSD-3-Clause
// Adaptive steps by the embedded estimate: what a tolerance costs, and what it buys.
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

#include "statistics.hpp"

namespace saltus {
namespace {

using namespace statistics;

constexpr int tokens = 3, length = 3;
constexpr std::size_t samples = 100'000;
// The frequencies' distance from a law exceeds their own law's by at most this on average, and is within this of its
// average but for a chance below 1e-5 (one sequence moves it by at most 1/samples: McDiarmid).
double const sampling = std::sqrt(27.0 / samples) / 2;

struct Outcome {
  std::vector<std::int64_t> counts;
  double evaluations;
  double distance(std::vector<double> const& law) const {
    double sum = 0;
    for (std::size_t i = 0; i < law.size(); ++i)
      sum += std::abs(static_cast<double>(counts[i]) / static_cast<double>(samples) - law[i]) / 2;
    return sum;
  }
};

HostTokens draws(SequenceLaw const& law, bool masked, std::string const& error, std::size_t count, SampleReport& report) {
  Generator const q = masked ? Generator::absorbing(tokens + 1) : Generator::uniform(tokens);
  Process process = Process::reverse(q, NoiseSchedule::cosine(), law.denoiser(q));
  // Without a limit on the expected jumps, so that the estimate alone decides.
  auto const adaptive = make_integrator("adaptive:change=1e9,error=" + error, process);
  SamplePlan plan = make_plan(process, *adaptive, 1, law.length());
  plan.samples = count;
  plan.batch = 4096;
  plan.seed = 11;
  return sample(ExecSpace(), process, *adaptive, plan, &report);
}

Outcome run(SequenceLaw const& law, bool masked, std::string const& error) {
  SampleReport report;
  HostTokens const drawn = draws(law, masked, error, samples, report);
  return {count_sequences(StateSpace(tokens, length), drawn), report.evaluations};
}

// p(x) of sites that do not know of each other.
std::vector<double> product_of_sites(SequenceLaw const& law) {
  auto const sites = law.site_marginals();
  StateSpace const space(tokens, length);
  std::vector<double> p(space.size(), 1.0);
  std::vector<token_t> x(length);
  for (std::size_t i = 0; i < p.size(); ++i) {
    space.tokens(i, x.data());
    for (std::size_t l = 0; l < length; ++l) p[i] *= sites[l * tokens + static_cast<std::size_t>(x[l])];
  }
  return p;
}

TEST(AdaptiveError, OneStepIfAnythingIsAllowed) {
  TableLaw const law = TableLaw::neighbours(length, tokens, 5);
  Outcome const outcome = run(law, true, "1");
  EXPECT_EQ(outcome.evaluations, 1);
  auto const sites = product_of_sites(law);
  EXPECT_TRUE(accepts(g_test(outcome.counts, sites)));
  EXPECT_GT(power(five_percent_off(sites), sites, samples), 1 - missed_alarm);
  EXPECT_TRUE(rejects(g_test(outcome.counts, five_percent_off(sites))));
}

TEST(AdaptiveError, LessOfItTakesMoreStepsAndComesNearer) {
  TableLaw const law = TableLaw::neighbours(length, tokens, 5);
  auto const data = enumerate(law);
  for (bool const masked : {true, false}) {
    double evaluations = 0, distance = 1;
    for (std::string const error : {"0.8", "0.3", "0.1"}) {
      Outcome const outcome = run(law, masked, error);
      EXPECT_GT(outcome.evaluations, 1.5 * evaluations) << masked << error;
      EXPECT_LT(outcome.distance(data), distance - 2 * sampling) << masked << error;
      evaluations = outcome.evaluations;
      distance = outcome.distance(data);
    }
  }
}

// Where laws do not move, shares double from the tolerance on, and nothing is lost.
TEST(AdaptiveError, IndependentSitesAreDoneInFewSteps) {
  constexpr int sites = 200;
  std::vector<double> const start{0.5, 0.3, 0.2}, stay{0.8, 0.1, 0.1, 0.1, 0.8, 0.1, 0.1, 0.1, 0.8};
  std::vector<double> rows;
  for (int l = 0; l < sites; ++l) rows.insert(rows.end(), start.begin(), start.end());
  SampleReport alone, chained;
  draws(ProductLaw(sites, tokens, rows), true, "0.04", 100, alone);
  draws(MarkovChain(sites, tokens, start, stay), true, "0.04", 100, chained);
  // .04, .08, .16, .32, .64, 1: the first one reveals nothing with a probability of .96^200
  EXPECT_LT(alone.evaluations, 6.2);
  EXPECT_GT(chained.evaluations, 3 * alone.evaluations);

  ProductLaw const law(length, tokens, {0.5, 0.3, 0.2, 0.1, 0.2, 0.7, 0.4, 0.4, 0.2});
  auto const p = enumerate(law);
  Outcome const outcome = run(law, true, "0.2");
  EXPECT_TRUE(accepts(g_test(outcome.counts, p)));
  EXPECT_GT(power(five_percent_off(p), p, samples), 1 - missed_alarm);
  EXPECT_TRUE(rejects(g_test(outcome.counts, five_percent_off(p))));
}

}  // namespace
}  // namespace saltus
