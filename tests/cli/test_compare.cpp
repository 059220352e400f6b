// SPDX-License-Identifier: BSD-3-Clause
// What 'compare' makes of its runs: the bias check, the table, files and pictures.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/models/product.hpp>

#include "check.hpp"
#include "logo.hpp"
#include "options.hpp"
#include "results.hpp"
#include "statistics.hpp"

namespace saltus::app {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Run run(std::string name, bool exact, Estimate pair, Estimate nll) {
  Run run{.integrator = std::move(name), .exact = exact, .steps = 4, .estimates = {pair, nll}};
  run.report.samples = 10;
  run.report.evaluations = 4;
  run.report.seconds = 0.5;
  return run;
}

// Two metrics with bands 0.1 to 0.2 and 2 to 3.
Results made(std::vector<Run> runs) {
  return {.title = "a law",
          .header = {{"version", "1"}},
          .command = {"saltus compare", "--out 'a b'"},
          .alphabet = Alphabet::dna(),
          .samples = 10,
          .entropy = 2.5,
          .sites = {},
          .rank = Metric::tv_pair,
          .metrics = {Metric::tv_pair, Metric::nll},
          .bands = {{0.15, 0.1, 0.2}, {2.5, 2, 3}},
          .replicates = 100,
          .band_error = 5e-4,
          .family_error = 1e-3,
          .methods = {"right", "wrong"},
          .runs = std::move(runs)};
}

TEST(Check, AClaimHoldsInsideEveryBandEndsIncluded) {
  EXPECT_TRUE(broken_claims(made({run("right", true, {0.1, 0, 1}, {3, 1, 4})})).empty());
  EXPECT_NO_THROW(require_claims(made({run("right", true, {0.2, 0, 1}, {2, 1, 4})})));
}

TEST(Check, ALineForEachMethodThatSaysWhatWasMeasuredAndAllowed) {
  auto const lines =
      broken_claims(made({run("right", true, {0.15, 0, 1}, {2.5, 1, 4}), run("wrong", true, {0.25, 0, 1}, {1.5, 1, 4}),
                          run("other", true, {0.15, 0, 1}, {infinity, infinity, infinity})}));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0],
            "wrong claims to be exact: tv_pair is 0.25, allowed is 0.1 to 0.2, nll is 1.5, allowed is 2 to 3");
  EXPECT_EQ(lines[1], "other claims to be exact: nll is inf, allowed is 2 to 3");
}

TEST(Check, WhoClaimsNothingIsNotChecked) {
  EXPECT_TRUE(broken_claims(made({run("euler", false, {0.9, 0, 1}, {9, 1, 4})})).empty());
}

TEST(Check, ABrokenClaimIsACheckError) {
  try {
    require_claims(made({run("wrong", true, {0.25, 0, 1}, {2.5, 1, 4})}));
    FAIL();
  } catch (CheckError const& e) {
    EXPECT_NE(std::string(e.what()).find("0.001"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("\n  wrong claims"), std::string::npos) << e.what();
  }
}

// Exact laws: tv of a method at numbers of steps.
Results computed(std::string const& name, bool exact, double order, std::vector<std::pair<double, double>> errors) {
  Results results = made({});
  results.exact_law = true;
  results.metrics = {Metric::tv};
  results.rank = Metric::tv;
  results.bands = {};
  results.methods = {name};
  for (auto const& [steps, tv] : errors)
    results.runs.push_back({.integrator = name, .exact = exact, .weak_order = order, .steps = steps, .transitions = 12,
                            .estimates = {{tv, tv, tv}}});
  return results;
}

TEST(Check, AnOrderIsThatOfTheTwoLargestNumbersOfSteps) {
  // In whatever order they come; before that anything goes.
  EXPECT_TRUE(broken_claims(computed("euler", false, 1, {{16, 0.01}, {4, 0.011}, {8, 0.02}})).empty());
  // 2^-0.75 is just enough.
  EXPECT_TRUE(broken_claims(computed("euler", false, 1, {{8, 1}, {16, std::exp2(-0.751)}})).empty());
  auto const lines = broken_claims(computed("euler", false, 1, {{8, 1}, {16, std::exp2(-0.749)}}));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(lines[0].starts_with("euler claims order 1: tv is 1 in 8 steps and 0.59")) << lines[0];
  EXPECT_TRUE(lines[0].ends_with("order 0.749, allowed is at least 0.75")) << lines[0];
  // A quarter of the error at twice the steps: order 2.
  EXPECT_TRUE(broken_claims(computed("trapezoidal", false, 2, {{8, 0.04}, {16, 0.01}})).empty());
  EXPECT_EQ(broken_claims(computed("trapezoidal", false, 2, {{8, 0.04}, {16, 0.02}})).size(), 1u);
}

TEST(Check, WhatHasNoOrderIsNotChecked) {
  EXPECT_TRUE(broken_claims(computed("top_k", false, 0, {{8, 0.1}, {16, 0.2}})).empty());
  EXPECT_TRUE(broken_claims(computed("euler", false, 1, {{8, 0.1}})).empty());
  // Nothing left but rounding.
  EXPECT_TRUE(broken_claims(computed("tweedie", false, 1, {{8, 1e-15}, {16, 3e-15}})).empty());
}

TEST(Check, AnExactLawHasNoErrorAtAll) {
  EXPECT_TRUE(broken_claims(computed("right", true, 0, {{1, 9e-11}})).empty());
  auto const lines = broken_claims(computed("wrong", true, 0, {{1, 2e-10}}));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0], "wrong claims to be exact: tv is 2e-10, allowed is less than 1e-10");
}

TEST(Results, OfExactLawsHaveNoBandsAndNoClamps) {
  Results results = computed("euler", false, 1, {{4, 0.125}});
  results.metrics.push_back(Metric::path_kl);
  results.runs[0].estimates.push_back({std::nan(""), std::nan(""), std::nan("")});
  results.runs[0].report.evaluations = 4;
  results.left_out = {{"gillespie", "is exact"}};
  EXPECT_EQ(results_csv(results),
            "integrator,nfe,metric,value,low,high,null_low,null_high\neuler,4,tv,0.125,0.125,0.125,,\n");
  Json const json = results_json(results);
  EXPECT_FALSE(json.contains("null"));
  EXPECT_EQ(json["runs"][0]["transitions"], 12);
  EXPECT_EQ(json["left_out"][0]["integrator"], "gillespie");
  Table const table = comparison_table(results, results.metrics);
  EXPECT_EQ(table.head, (std::vector<std::string>{"integrator", "NFE", "tv", "path KL", "transitions"}));
  ASSERT_EQ(table.rows.size(), 1u);
  EXPECT_EQ(table.rows[0], (std::vector<std::string>{"euler", "4", "0.125", "", "12"}));
}

TEST(Results, NamesWithCommasAreQuotedInCsv) {
  auto const csv = results_csv(made({run("top_k:score=margin,noise=1", false, {0.1, 0.05, 0.3}, {3, 1, 4})}));
  EXPECT_NE(csv.find("\n\"top_k:score=margin,noise=1\",4,tv_pair,"), csv.npos) << csv;
}

// The whole way from sequences to the verdict: a sampler whose probabilities are 5 % off is caught, a perfect one not.
TEST(Check, ASamplerThatIsFivePercentOffIsCaught) {
  constexpr std::size_t count = 20000;
  std::vector<double> p, q;
  for (int l = 0; l < 8; ++l) {
    std::vector<double> const site{0.4, 0.3, 0.2, 0.1};
    auto const off = statistics::five_percent_off(site);
    p.insert(p.end(), site.begin(), site.end());
    q.insert(q.end(), off.begin(), off.end());
  }
  ProductLaw const law(8, 4, p), wrong(8, 4, q);
  auto const measured = [&](SequenceLaw const& drawn, std::uint64_t seed) {
    std::vector<token_t> tokens(count * 8);
    for (std::size_t b = 0; b < count; ++b) drawn.draw(seed, b, std::span(tokens).subspan(b * 8, 8));
    return measure(law, tokens, count);
  };
  Results results = made({run("right", true, {}, {}), run("wrong", true, {}, {})});
  results.metrics = metrics_for(law);
  results.bands = null_bands(law, count, 100, 1e-3 / static_cast<double>(2 * results.metrics.size()), 31);
  results.runs[0].estimates = measured(law, 32);
  results.runs[1].estimates = measured(wrong, 33);
  auto const lines = broken_claims(results);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(lines[0].starts_with("wrong claims to be exact: tv_site is ")) << lines[0];
}

TEST(Results, CsvAndJsonHoldTheSameRows) {
  Results const results = made({run("right", true, {0.1, 0.05, 0.3}, {3, 1, 4}),
                                run("wrong", false, {0.5, 0.4, 0.6}, {infinity, infinity, infinity})});
  EXPECT_EQ(results_csv(results),
            "integrator,nfe,metric,value,low,high,null_low,null_high\n"
            "right,4,tv_pair,0.1,0.05,0.3,0.1,0.2\nright,4,nll,3,1,4,2,3\n"
            "right,4,clamps,0,0,0,,\nwrong,4,tv_pair,0.5,0.4,0.6,0.1,0.2\n"
            "wrong,4,nll,inf,inf,inf,2,3\nwrong,4,clamps,0,0,0,,\n");
  Json const json = results_json(results);
  ASSERT_EQ(json["rows"].size(), 6u);
  EXPECT_EQ(json["rows"][0]["null_high"], 0.2);
  EXPECT_FALSE(json["rows"][2].contains("null_low"));
  EXPECT_EQ(json["command"], "saltus compare --out 'a b'");
  EXPECT_EQ(json["entropy_nats"], 2.5);
  EXPECT_EQ(json["null"]["band_error"], 5e-4);
  // 0.5 s for 10 samples of 4 steps.
  EXPECT_EQ(json["runs"][0]["milliseconds_a_sample"], 50);
  EXPECT_EQ(json["runs"][0]["microseconds_a_step"], 12500);
  EXPECT_EQ(json["runs"][0]["inside_null_band"], true);
  EXPECT_FALSE(json["runs"][1].contains("inside_null_band"));
}

TEST(Results, TheTableShowsWhatWasMeasuredAndAsked) {
  Results const results = made({run("right", true, {0.1, 0.05, 0.3}, {3, 1, 4}),
                                run("wrong", false, {0.5, 0.4, 0.6}, {infinity, infinity, infinity})});
  Table const table = comparison_table(results, {Metric::nll, Metric::tv_triple, Metric::tv_pair});
  EXPECT_EQ(table.head,
            (std::vector<std::string>{"integrator", "NFE", "nll - entropy", "pair error", "clamps", "seconds"}));
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_EQ(table.rows[0], (std::vector<std::string>{"right", "4", "+0.500 [-1.500, +1.500]", "0.1000 [0.0500, 0.3000]",
                                                     "0", "0.50"}));
  EXPECT_EQ(table.rows[1][2], "inf");
  EXPECT_EQ(table.rows[2], (std::vector<std::string>{"(perfect)", "", "-0.500 to +0.500", "0.1000 to 0.2000", "", ""}));
}

// The stack of a site: information times frequency, in the order of the frequencies from below.
TEST(Logo, HeightsByHand) {
  // Site 1 is certain: 2 bits, all G. Site 2: A and C half each: 1 bit, half a bit each.
  Alphabet const alphabet = Alphabet::nucleotides();
  std::size_t shown = 0;
  std::string const svg = logos({{"law", "red", {0, 0, 1, 0, 0.5, 0.5, 0, 0}}}, alphabet, shown);
  EXPECT_EQ(shown, 2u);
  std::vector<std::pair<std::string, double>> letters;
  for (auto at = svg.find("scale(1 "); at != svg.npos; at = svg.find("scale(1 ", at + 1)) {
    letters.emplace_back(svg.substr(svg.find('>', at) + 1, 1), std::stod(svg.substr(at + 8)));
  }
  // G as high as the axis, 2 bits of 72 units, in a font with capitals of 7.2; the others a quarter of that.
  ASSERT_EQ(letters.size(), 3u);
  EXPECT_EQ(letters[0], std::pair(std::string("G"), 10.0));
  EXPECT_EQ(letters[1], std::pair(std::string("A"), 2.5));
  EXPECT_EQ(letters[2], std::pair(std::string("C"), 2.5));
}

TEST(Logo, LongSequencesAreWrappedAndCut) {
  Alphabet const alphabet = Alphabet::nucleotides();
  std::vector<double> sites;
  for (int l = 0; l < 400; ++l) sites.insert(sites.end(), {1, 0, 0, 0});
  std::size_t shown = 0;
  std::string const svg = logos({{"a<b", "red", sites}, {"b", "red", sites}}, alphabet, shown);
  EXPECT_EQ(shown, 180u);
  std::size_t figures = 0;
  for (auto at = svg.find("<figure>"); at != svg.npos; at = svg.find("<figure>", at + 1)) ++figures;
  EXPECT_EQ(figures, 6u);  // three rows of two
  EXPECT_NE(svg.find("a&lt;b"), svg.npos);
  EXPECT_EQ(svg.find("a<b"), svg.npos);
}

TEST(Logo, SymbolsAreEscaped) {
  std::size_t shown = 0;
  std::string const svg = logos({{"law", "red", {1, 0}}}, Alphabet::named("chars:&A"), shown);
  EXPECT_NE(svg.find(">&amp;</text>"), svg.npos);
}

TEST(Look, EveryCharacterThatMeansSomethingIsEscaped) {
  EXPECT_EQ(escaped("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
}

TEST(Look, MethodsKeepTheirLookAndDiffer) {
  for (std::size_t a = 0; a < 20; ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      bool const same = Look{a}.colour().variable == Look{b}.colour().variable &&
                        Look{a}.marker() == Look{b}.marker() && Look{a}.dash() == Look{b}.dash();
      EXPECT_FALSE(same) << a << " and " << b;
    }
  }
}

TEST(Options, TheCallIsQuotedForAShell) {
  auto const options =
      Options::parse(command_compare, {"--data", "it's a file.fasta", "--out", "x", "--nfe", "4,8", "--quiet"});
  EXPECT_EQ(options.call(), (std::vector<std::string>{"saltus compare", "--data 'it'\\''s a file.fasta'", "--nfe 4,8",
                                                      "--out x", "--quiet"}));
}

}  // namespace
}  // namespace saltus::app
