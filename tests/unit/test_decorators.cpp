// SPDX-License-Identifier: BSD-3-Clause Decorators of models against their definitions written out in long double, for
// every kind of scores, both scalar types and masks anywhere.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/models/decorators.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>

#include "reference/brute_force.hpp"
#include "reference/harness.hpp"
#include "reference/stored_scores.hpp"

namespace saltus {
namespace {

using namespace reference;
using Model = std::shared_ptr<ScoreModel>;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr ScoreKind kinds[] = {ScoreKind::score, ScoreKind::log_score, ScoreKind::x0_leave_in,
                               ScoreKind::x0_leave_one_out};

/// [rows][length][states] in double, from a slot.
SiteLaws read(Evaluation const& e, std::size_t batch, std::size_t length) {
  auto const copy = [&]<class Scalar>(Scalar const* data) {
    SiteLaws rows(batch, std::vector<std::vector<double>>(length));
    for (std::size_t b = 0; b < batch; ++b) {
      for (std::size_t l = 0; l < length; ++l) {
        Kokkos::View<Scalar const*, MemorySpace, Kokkos::MemoryUnmanaged> const row(
            data + static_cast<std::int64_t>(b) * e.row_stride + static_cast<std::int64_t>(l) * e.site_stride,
            static_cast<std::size_t>(e.states));
        auto const host = Kokkos::create_mirror_view_and_copy(HostSpace(), row);
        for (int y = 0; y < e.states; ++y) rows[b][l].push_back(static_cast<double>(host(y)));
      }
    }
    return rows;
  };
  return e.type == ScalarType::f32 ? copy(static_cast<float const*>(e.data)) : copy(static_cast<double const*>(e.data));
}

SiteLaws ask(ScoreModel& model, Rows const& rows, std::vector<int> const& only_site = {}) {
  int const length = static_cast<int>(rows.front().size());
  model.reserve({static_cast<int>(rows.size()), length}, 1);
  Query query{to_tokens(rows, length), Times("test::time", rows.size()), {}};
  if (!only_site.empty()) {
    Kokkos::View<int*, MemorySpace> const sites("test::only_site", only_site.size());
    auto const host = Kokkos::create_mirror_view(sites);
    for (std::size_t b = 0; b < only_site.size(); ++b) host(b) = only_site[b];
    Kokkos::deep_copy(sites, host);
    query.only_site = sites;
  }
  ExecSpace const exec;
  Evaluation const e = model.evaluate(exec, query, 0);
  exec.fence();
  return read(e, rows.size(), rows.front().size());
}

/// What is stored, as the model will have it, and what should come of it.
struct Row {
  ScoreKind kind;
  int mask;  // -1: none
  std::vector<double> stored;

  bool token(std::size_t y) const { return static_cast<int>(y) != mask; }
  long double weight(std::size_t y) const {
    if (!token(y)) return 0;
    long double const v = stored[y];
    return is_logarithmic(kind) ? std::exp(v) : std::max(v, 0.0L);
  }
  /// Weights as entries of this kind, the sum of those before kept where it means something.
  std::vector<double> entries(Reals weights) const {
    long double before = 0, after = 0;
    for (std::size_t y = 0; y < weights.size(); ++y) {
      before += weight(y);
      after += weights[y];
    }
    std::vector<double> out;
    for (std::size_t y = 0; y < weights.size(); ++y) {
      long double const w = weights[y] / after * (is_x0(kind) ? 1 : before);
      out.push_back(static_cast<double>(is_logarithmic(kind) ? std::log(w) : w));
      if (!token(y)) out.back() = stored[y];
    }
    return out;
  }
  std::vector<double> tempered(double T) const {
    Reals weights;
    for (std::size_t y = 0; y < stored.size(); ++y) weights.push_back(std::pow(weight(y), 1.0L / T));
    return entries(weights);
  }
  std::vector<double> cut_at(long double threshold) const {
    Reals weights;
    for (std::size_t y = 0; y < stored.size(); ++y) weights.push_back(weight(y) >= threshold ? weight(y) : 0);
    return entries(weights);
  }
  Reals sorted() const {
    Reals weights;
    for (std::size_t y = 0; y < stored.size(); ++y) {
      if (token(y)) weights.push_back(weight(y));
    }
    std::sort(weights.rbegin(), weights.rend());
    return weights;
  }
  std::vector<double> nucleus(double P) const {
    Reals const weights = sorted();
    long double const total = std::accumulate(weights.begin(), weights.end(), 0.0L);
    long double sum = 0;
    for (long double const w : weights) {
      if ((sum += w) >= P * total) return cut_at(w);
    }
    return cut_at(0);
  }
  std::vector<double> top(int K) const { return cut_at(sorted()[static_cast<std::size_t>(K - 1)]); }
};

/// Of laws only the proportions count; the mask's entry is compared as it is.
void expect_row(std::vector<double> got, std::vector<double> const& expected, Row const& row, bool single,
                std::string const& where) {
  ASSERT_EQ(got.size(), expected.size());
  if (!is_logarithmic(row.kind)) {
    for (double& v : got) v = v < 0 ? 0 : v;  // negative entries count as 0; what changes nothing leaves them
  }
  if (is_x0(row.kind)) {
    double sum = 0;
    for (std::size_t y = 0; y < got.size(); ++y) sum += row.token(y) ? got[y] : 0;
    for (std::size_t y = 0; y < got.size(); ++y) got[y] /= row.token(y) ? sum : 1;
  }
  for (std::size_t y = 0; y < got.size(); ++y) {
    std::string const at = where + ", entry " + std::to_string(y);
    if (expected[y] == 0 || std::isinf(expected[y])) {
      EXPECT_EQ(got[y], expected[y]) << at;
    } else {
      double const scale = is_logarithmic(row.kind) ? 1 + std::abs(expected[y]) : std::abs(expected[y]);
      EXPECT_NEAR(got[y], expected[y], (single ? 2e-5 : 1e-11) * scale) << at;
    }
  }
}

enum class Shape { smooth, spread, ties, one_token };

template <class Scalar>
Row some_row(ScoreKind kind, int mask, int states, Shape shape, std::uint64_t seed) {
  Row row{kind, mask, {}};
  int const point = mask == 0 ? 1 : 0;
  for (int y = 0; y < states; ++y) {
    double const u = scramble(seed * 7919 + static_cast<std::uint64_t>(y));
    double v = u;
    if (shape == Shape::spread) v = std::exp(-12 * u) * (u < 0.1 ? 0 : 3);
    if (shape == Shape::ties) v = std::floor(6 * u) / 8;
    if (shape == Shape::one_token) v = y == point ? 0.3 : 0;
    if (y == point && v == 0) v = 0.5;
    // The mask's entry must count for nothing; a negative one counts as 0.
    if (y == mask) v = 55;
    if (is_logarithmic(kind)) {
      v = std::log(v) + (y == mask ? 0 : 20);
    } else if (v == 0) {
      v = y % 2 == 0 ? 0 : -0.25;
    }
    row.stored.push_back(static_cast<double>(static_cast<Scalar>(v)));
  }
  return row;
}

/// make(model) decorates; expected(row) is the definition.
template <class Scalar, class Make, class Expected>
void expect_definition(std::string const& name, Make const& make, Expected const& expected, int fewest_tokens = 1) {
  for (ScoreKind const kind : kinds) {
    for (int const states : {2, 3, 9, 70, 1000}) {
      for (int const mask : {-1, 0, states / 2, states - 1}) {
        if ((mask < 0 && !is_x0(kind)) || states - (mask < 0 ? 0 : 1) < fewest_tokens) continue;
        for (Shape const shape : {Shape::smooth, Shape::spread, Shape::ties, Shape::one_token}) {
          std::vector<Row> rows;
          std::vector<std::vector<double>> stored;
          for (std::uint64_t l = 0; l < 3; ++l) {
            rows.push_back(some_row<Scalar>(kind, mask, states, shape, 10 * l + static_cast<std::uint64_t>(states)));
            stored.push_back(rows.back().stored);
          }
          auto const model = make(std::make_shared<StoredScores<Scalar>>(
              kind, mask < 0 ? std::nullopt : std::optional<token_t>(mask), stored));
          EXPECT_EQ(model->info().kind, kind);
          SiteLaws const got = ask(*model, Rows(2, std::vector<token_t>(3, std::max(mask, 0))));
          for (std::size_t b = 0; b < 2; ++b) {
            for (std::size_t l = 0; l < 3; ++l) {
              expect_row(got[b][l], expected(rows[l]), rows[l], std::is_same_v<Scalar, float>,
                         name + ", kind " + std::to_string(static_cast<int>(kind)) + ", " + std::to_string(states) +
                             " states, mask " + std::to_string(mask) + ", shape " +
                             std::to_string(static_cast<int>(shape)) + ", site " + std::to_string(l));
              if (testing::Test::HasFailure()) return;
            }
          }
        }
      }
    }
  }
}

TEST(Decorators, Temperature) {
  for (double const T : {0.3, 0.9, 1.0, 2.5}) {
    auto const make = [&](Model model) { return temperature(std::move(model), T); };
    auto const expected = [&](Row const& row) { return row.tempered(T); };
    expect_definition<double>("temperature " + std::to_string(T), make, expected);
    expect_definition<float>("temperature " + std::to_string(T), make, expected);
  }
}

TEST(Decorators, Nucleus) {
  for (double const P : {1e-9, 0.37, 0.9, 0.9999, 1.0}) {
    auto const make = [&](Model model) { return nucleus(std::move(model), P); };
    auto const expected = [&](Row const& row) { return row.nucleus(P); };
    expect_definition<double>("nucleus " + std::to_string(P), make, expected);
    expect_definition<float>("nucleus " + std::to_string(P), make, expected);
  }
}

TEST(Decorators, TopTokens) {
  for (int const K : {1, 2, 5, 69}) {
    auto const make = [&](Model model) { return top_tokens(std::move(model), K); };
    auto const expected = [&](Row const& row) { return row.top(K); };
    expect_definition<double>("top " + std::to_string(K), make, expected, K);
    expect_definition<float>("top " + std::to_string(K), make, expected, K);
  }
}

template <class Scalar = double>
Model stored(ScoreKind kind, std::optional<token_t> mask, std::vector<double> const& row) {
  return std::make_shared<StoredScores<Scalar>>(kind, mask, std::vector<std::vector<double>>{row});
}

TEST(Decorators, CutsByHand) {
  auto const law = stored(ScoreKind::x0_leave_one_out, 4, {0.5, 0.125, 0.25, 0.125, 0});
  auto const kept = [&](Model const& model) { return ask(*model, {{*model->info().mask}})[0][0]; };
  using V = std::vector<double>;
  EXPECT_EQ(kept(nucleus(law, 0.5)), (V{0.5, 0, 0, 0, 0}));           // reached exactly
  EXPECT_EQ(kept(nucleus(law, 0.51)), (V{0.5, 0, 0.25, 0, 0}));
  EXPECT_EQ(kept(nucleus(law, 0.76)), (V{0.5, 0.125, 0.25, 0.125, 0}));  // both of the last two
  EXPECT_EQ(kept(top_tokens(law, 2)), (V{0.5, 0, 0.25, 0, 0}));
  EXPECT_EQ(kept(top_tokens(law, 3)), (V{0.5, 0.125, 0.25, 0.125, 0}));
  auto const scores = stored(ScoreKind::score, 0, {9, 1, 2, 5});
  EXPECT_EQ(kept(top_tokens(scores, 1)), (V{9, 0, 0, 8}));  // the sum of the tokens stays 8
  EXPECT_EQ(kept(nucleus(scores, 0.5)), (V{9, 0, 0, 8}));
}

TEST(Decorators, LongRows) {
  constexpr int S = 262'144;
  Row const row = some_row<float>(ScoreKind::log_score, S - 1, S, Shape::spread, 3);
  auto const model = stored<float>(ScoreKind::log_score, S - 1, row.stored);
  Rows const masked{{S - 1}};
  expect_row(ask(*top_tokens(model, 1000), masked)[0][0], row.top(1000), row, true, "top");
  expect_row(ask(*nucleus(model, 0.8), masked)[0][0], row.nucleus(0.8), row, true, "nucleus");
  expect_row(ask(*temperature(model, 0.7), masked)[0][0], row.tempered(0.7), row, true, "temperature");
}

// What is not a number must reach the sampler, which reports it.
TEST(Decorators, BadScoresStayBad) {
  double const nan = std::nan("");
  for (double const bad : {nan, -nan}) {
    for (ScoreKind const kind : kinds) {
      auto const law = stored(kind, 3, {0.5, bad, 0.5, 0});
      for (Model const& model : {temperature(law, 0.5), nucleus(law, 0.6), top_tokens(law, 2),
                                 product_of({law, stored(kind, 3, {1, 1, 1, 0})}, {1, 0.5})}) {
        auto const row = ask(*model, {{3}})[0][0];
        EXPECT_TRUE(std::isnan(row[0] + row[1] + row[2])) << model->info().name << ", kind " << static_cast<int>(kind);
      }
    }
  }
}

// A row without any token stays one.
TEST(Decorators, EmptyRowsStayEmpty) {
  for (ScoreKind const kind : kinds) {
    double const nothing = is_logarithmic(kind) ? -infinity : 0;
    auto const law = stored(kind, 2, {nothing, nothing, 0});
    for (Model const& model :
         {temperature(law, 0.5), nucleus(law, 0.6), top_tokens(law, 1), product_of({law, law}, {1, 2})}) {
      auto const row = ask(*model, {{2}})[0][0];
      EXPECT_EQ(row[0], nothing) << model->info().name;
      EXPECT_EQ(row[1], nothing) << model->info().name;
    }
  }
}

// ------------------------------------------------------------------------------------------------------- products

template <class A, class B>
void expect_products(double tolerance) {
  for (ScoreKind const kind : kinds) {
    for (int const states : {2, 5, 80}) {
      for (int const mask : {-1, 0, states - 1}) {
        for (auto const& [v, w] : {std::pair{1.0, 1.0}, {0.5, 2.0}, {3.5, -2.5}, {-1.0, 2.0}}) {
          Row const a = some_row<A>(kind, mask, states, Shape::spread, 5),
                    b = some_row<B>(kind, mask, states, Shape::spread, 6);
          auto const m = mask < 0 ? std::nullopt : std::optional<token_t>(mask);
          auto const model = product_of({stored<A>(kind, m, a.stored), stored<B>(kind, m, b.stored)}, {v, w});
          std::vector<double> got = ask(*model, {{static_cast<token_t>(std::max(mask, 0))}})[0][0];
          Reals expected;
          long double sum = 0, got_sum = 0;
          for (std::size_t y = 0; y < got.size(); ++y) {
            long double const p = a.weight(y), q = b.weight(y);
            expected.push_back(p == 0 || q == 0 ? 0 : std::pow(p, 1.0L * v) * std::pow(q, 1.0L * w));
            if (!a.token(y)) continue;
            if (is_logarithmic(kind)) got[y] = std::exp(got[y]);
            sum += expected[y];
            got_sum += got[y];
          }
          if (!is_x0(kind)) sum = got_sum = 1;
          for (std::size_t y = 0; y < got.size(); ++y) {
            if (!a.token(y)) continue;
            auto const e = static_cast<double>(expected[y] / sum);
            EXPECT_NEAR(got[y] / static_cast<double>(got_sum), e, tolerance * e)
                << "kind " << static_cast<int>(kind) << ", " << states << " states, mask " << mask << ", powers " << v
                << " and " << w << ", token " << y;
          }
          if (mask >= 0 && is_x0(kind)) {
            EXPECT_EQ(got[static_cast<std::size_t>(mask)], 0);
          }
          if (testing::Test::HasFailure()) return;
        }
      }
    }
  }
}

TEST(Decorators, Products) {
  expect_products<double, double>(1e-11);
  expect_products<float, float>(1e-4);
  expect_products<float, double>(1e-4);
  expect_products<double, float>(1e-11);
}

TEST(Decorators, GuidanceByHand) {
  auto const conditional = stored(ScoreKind::x0_leave_one_out, 3, {0.5, 0.5, 0, 0});
  auto const unconditional = stored(ScoreKind::x0_leave_one_out, 3, {0.8, 0.1, 0.1, 0});
  auto const row = [](Model const& model) { return ask(*model, {{3}})[0][0]; };
  auto const guided = row(classifier_free(conditional, unconditional, 1));
  // 0.5^2/0.8 : 0.5^2/0.1 : 0
  EXPECT_NEAR(guided[0] / guided[1], 0.125, 1e-15);
  EXPECT_EQ(guided[2], 0);
  EXPECT_EQ(classifier_free(conditional, unconditional, 0), conditional);
  EXPECT_EQ(classifier_free(conditional, unconditional, -1), unconditional);
  // A token that the unconditional model excludes and the conditional one does not is excluded, and spoils nothing.
  auto const other = row(classifier_free(conditional, stored(ScoreKind::x0_leave_one_out, 3, {0, 0.5, 0.5, 0}), 1.5));
  EXPECT_EQ(other, (std::vector<double>{0, 1, 0, 0}));
  auto const rates = row(classifier_free(stored(ScoreKind::score, 3, {2, 4, 0, 1}),
                                         stored(ScoreKind::score, 3, {0, 2, 5, 1}), 1));
  EXPECT_EQ(rates[0], 0);
  EXPECT_NEAR(rates[1], 8, 1e-14);
  EXPECT_EQ(rates[2], 0);
  // Contradiction: no token is left.
  EXPECT_EQ(row(classifier_free(stored(ScoreKind::x0_leave_one_out, 3, {1, 0, 0, 0}),
                                stored(ScoreKind::x0_leave_one_out, 3, {0, 1, 0, 0}), 1)),
            (std::vector<double>{0, 0, 0, 0}));
}

TEST(Decorators, Information) {
  auto const chain = MarkovChain::countdown(3, 4).denoiser(Generator::absorbing(4));
  auto const any = stored(ScoreKind::x0_leave_one_out, 3, {1, 2, 3, 0});
  EXPECT_EQ(temperature(chain, 0.5)->info().name, "countdown, temperature 0.5");
  EXPECT_EQ(nucleus(chain, 0.9)->info().name, "countdown, nucleus 0.9");
  EXPECT_EQ(top_tokens(chain, 2)->info().name, "countdown, top 2");
  auto const guided = classifier_free(any, chain, 0.5);
  EXPECT_EQ(guided->info().name, "stored^1.5 * countdown^-0.5");
  EXPECT_EQ(guided->info().length, 4);
  EXPECT_EQ(guided->info().evaluations, 2);
  EXPECT_EQ(product_of({guided, chain, any}, {1, 1, 0})->info().evaluations, 3);
  EXPECT_EQ(temperature(guided, 2)->info().evaluations, 2);
  EXPECT_EQ(any->info().evaluations, 1);
  auto const revealed = MarkovChain::countdown(3, 4).denoiser(Generator::absorbing(4), true);
  EXPECT_TRUE(nucleus(revealed, 0.9)->info().leave_one_out_at_revealed);
  EXPECT_TRUE(product_of({chain, revealed}, {0, 2})->info().leave_one_out_at_revealed);
  EXPECT_FALSE(product_of({chain, revealed}, {1, 2})->info().leave_one_out_at_revealed);
  auto const timed = MarkovChain::countdown(4, 4).denoiser(Generator::uniform(4));
  EXPECT_EQ(temperature(timed, 2)->info().time, TimeInput::total);
  EXPECT_EQ(product_of({stored(ScoreKind::x0_leave_one_out, std::nullopt, {1, 1, 1, 1}), timed}, {1, 1})->info().time,
            TimeInput::total);
  // What changes nothing costs nothing.
  EXPECT_EQ(temperature(chain, 1), chain);
  EXPECT_EQ(nucleus(chain, 1), chain);
  EXPECT_EQ(top_tokens(chain, 3), chain);
  EXPECT_EQ(product_of({chain}, {1}), chain);
}

// ------------------------------------------------------------------------------------------------ inside a sampler

TEST(Decorators, OnlySiteGivesTheSameNumbers) {
  MarkovChain const chain(3, 3, {0.5, 0.3, 0.2}, {0.7, 0.2, 0.1, 0.1, 0.7, 0.2, 0.3, 0.3, 0.4});
  ProductLaw const product(3, 3, {0.2, 0.3, 0.5, 0.6, 0.3, 0.1, 0.1, 0.1, 0.8});
  for (bool const at_revealed : {false, true}) {
    for (int const which : {0, 1, 2, 3}) {
      auto const make = [&]() -> Model {
        auto const model = chain.denoiser(Generator::absorbing(4), at_revealed);
        if (which == 0) return temperature(model, 0.6);
        if (which == 1) return nucleus(model, 0.7);
        if (which == 2) return top_tokens(model, 2);
        return classifier_free(model, product.denoiser(Generator::absorbing(4), at_revealed), 0.8);
      };
      auto const contexts = all_sequences(4, 3);
      auto const all = ask(*make(), contexts);
      std::vector<int> only;
      for (std::size_t b = 0; b < contexts.size(); ++b) only.push_back(static_cast<int>(b * 7 % 5) - 2);
      static_assert(Query::no_site == -2 && Query::all_sites == -1);
      auto const some = ask(*make(), contexts, only);
      for (std::size_t b = 0; b < contexts.size(); ++b) {
        for (int l = 0; l < 3; ++l) {
          auto const site = static_cast<std::size_t>(l);
          if (only[b] != Query::all_sites && only[b] != l) continue;
          if (!at_revealed && contexts[b][site] != 3) continue;
          ASSERT_EQ(some[b][site], all[b][site]) << "decorator " << which << ", row " << b << ", site " << l;
        }
      }
    }
  }
}

TEST(Decorators, SlotsLiveSideBySide) {
  auto const model = temperature(MarkovChain::countdown(3, 2).denoiser(Generator::absorbing(4)), 2);
  model->reserve({1, 2}, 2);
  ExecSpace const exec;
  auto const evaluate = [&](Rows const& rows, int slot) {
    return model->evaluate(exec, {to_tokens(rows, 2), {}, {}}, slot);
  };
  Evaluation const first = evaluate({{2, 3}}, 0), second = evaluate({{1, 3}}, 1);
  exec.fence();
  EXPECT_EQ(read(first, 1, 2)[0][1][1], 1);  // 2 is followed by 1, 1 by 0
  EXPECT_EQ(read(second, 1, 2)[0][1][0], 1);
}

// Sites are independent, so a decorated model's law comes out whole in any number of steps.
TEST(Decorators, LawsOfSamplers) {
  std::vector<double> const p{0.5, 0.3, 0.2, 0.1, 0.2, 0.7}, q{0.2, 0.2, 0.6, 0.3, 0.3, 0.4};
  ProductLaw const law(2, 3, p), other(2, 3, q);
  for (Generator const& generator : {Generator::absorbing(4), Generator::uniform(3)}) {
    StateSpace const space(generator.states(), 2), data(3, 2);
    std::vector<double> start(space.size(), generator.mask() ? 0 : 1.0 / 9);
    if (generator.mask()) start.back() = 1;
    auto const noise = NoiseSchedule::linear();
    auto const output = [&](Model model) {
      Process process = Process::reverse(generator, noise, std::move(model));
      auto const out = output_law(ExecSpace(), process, *make_integrator("tweedie"), space, start,
                                  TimeGrid::uniform(noise.end(), 0, 3), true);
      return out;
    };
    auto const expected = [&](auto const& weight) {
      std::vector<double> sites;
      for (std::size_t i = 0; i < p.size(); ++i) sites.push_back(weight(i));
      std::vector<double> joint;
      for (std::size_t x = 0; x < 3; ++x) {
        for (std::size_t y = 0; y < 3; ++y) {
          joint.push_back(sites[x] / (sites[0] + sites[1] + sites[2]) * sites[3 + y] /
                          (sites[3] + sites[4] + sites[5]));
        }
      }
      return generator.mask() ? space.embed(joint, generator) : joint;
    };
    auto const tempered = output(temperature(law.denoiser(generator), 0.5));
    EXPECT_LT(total_variation(tempered, expected([&](std::size_t i) { return p[i] * p[i]; })), 1e-12);
    EXPECT_GT(total_variation(tempered, expected([&](std::size_t i) { return std::pow(p[i], 1.9); })), 1e-3);
    EXPECT_LT(total_variation(output(top_tokens(law.denoiser(generator), 2)),
                              expected([&](std::size_t i) { return i == 2 || i == 3 ? 0 : p[i]; })), 1e-12);
    EXPECT_LT(total_variation(output(nucleus(law.denoiser(generator), 0.6)),
                              expected([&](std::size_t i) { return i == 2 || i == 3 || i == 4 ? 0 : p[i]; })), 1e-12);
    EXPECT_LT(total_variation(output(classifier_free(law.denoiser(generator), other.denoiser(generator), 2)),
                              expected([&](std::size_t i) { return std::pow(p[i], 3) / (q[i] * q[i]); })), 1e-12);
  }
}

TEST(Decorators, Errors) {
  auto const message = [](auto const& make) { return message_of<UserError>(make); };
  auto const law = stored(ScoreKind::x0_leave_one_out, 3, {1, 1, 1, 0});
  for (ScoreKind const kind : {ScoreKind::score, ScoreKind::log_score}) {
    auto const scores = stored(kind, std::nullopt, {1, 1, 1, 1});
    for (std::string const& text : {message([&] { temperature(scores, 2); }), message([&] { nucleus(scores, 0.5); }),
                                    message([&] { top_tokens(scores, 2); })}) {
      EXPECT_TRUE(says(text, {"'stored'", "without a mask", "what the noise does", "x0_leave_in"}));
    }
    EXPECT_NO_THROW(product_of({scores, scores}, {1, 1}));
  }
  for (double const T : {0.0, -1.0, infinity, std::nan("")}) {
    EXPECT_TRUE(says(message([&] { temperature(law, T); }), {"temperature", "above 0", to_text(T)}));
  }
  for (double const P : {0.0, -0.1, 1.1, std::nan("")}) {
    EXPECT_TRUE(says(message([&] { nucleus(law, P); }), {"nucleus", "above 0", to_text(P)}));
  }
  EXPECT_TRUE(says(message([&] { top_tokens(law, 0); }), {"at least 1", "got 0"}));
  EXPECT_TRUE(says(message([&] { temperature(nullptr, 2); }), {"needs a model"}));
  EXPECT_TRUE(says(message([&] { product_of({law, nullptr}, {1, 1}); }), {"needs a model"}));
  EXPECT_TRUE(says(message([&] { product_of({}, {}); }), {"0 and 0"}));
  EXPECT_TRUE(says(message([&] { product_of({law, law}, {1}); }), {"2 and 1"}));
  EXPECT_TRUE(says(message([&] { product_of({law, law}, {1, infinity}); }), {"finite", "inf"}));
  EXPECT_TRUE(says(message([&] { product_of({law, law}, {0, 0}); }), {"not 0"}));
  auto const with = [&](Model const& other) { return message([&] { product_of({law, other}, {1, 1}); }); };
  EXPECT_TRUE(says(with(stored(ScoreKind::x0_leave_one_out, 4, {1, 1, 1, 1, 0})), {"states (4 and 5)"}));
  EXPECT_TRUE(says(with(stored(ScoreKind::x0_leave_one_out, 0, {1, 1, 1, 1})), {"mask"}));
  EXPECT_TRUE(says(with(stored(ScoreKind::x0_leave_in, 3, {1, 1, 1, 1})), {"kind"}));
  auto const chain = [](int length) { return MarkovChain::countdown(3, length).denoiser(Generator::absorbing(4)); };
  EXPECT_TRUE(says(message([&] { product_of({chain(4), law, chain(5)}, {1, 1, 1}); }),
                   {"length (4 and 5)", "'countdown'"}));
}

}  // namespace
}  // namespace saltus
