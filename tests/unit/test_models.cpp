// SPDX-License-Identifier: BSD-3-Clause
// Sequence laws: posteriors against Bayes' rule over every clean sequence, the rest against enumeration and by hand.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/models/hidden_markov.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/markov_tree.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

#include "reference/cyclic.hpp"
#include "reference/brute_force.hpp"
#include "reference/harness.hpp"

namespace saltus {
namespace {

using namespace reference;

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Rows of `states` positive numbers that sum to 1; those of `holes` have zeros.
std::vector<double> some_rows(std::size_t count, int states, std::uint64_t seed, bool holes = false) {
  std::vector<double> p;
  for (std::size_t r = 0; r < count; ++r) {
    double sum = 0;
    for (int y = 0; y < states; ++y) {
      double const u = scramble(seed * 10'007 + r * 101 + static_cast<std::uint64_t>(y));
      p.push_back(holes && u < 0.4 && y != static_cast<int>(r) % states ? 0 : u + 0.02);
      sum += p.back();
    }
    for (int y = 0; y < states; ++y) p[p.size() - 1 - static_cast<std::size_t>(y)] /= sum;
  }
  return p;
}

struct Case {
  std::string name;
  std::shared_ptr<SequenceLaw const> law;
  Reals joint;  ///< of all_sequences(states, length)
};

Case chain_case(std::string name, int length, int states, std::vector<double> initial,
                std::vector<double> transitions) {
  Reals joint = chain_law(all_sequences(states, length), states, initial, transitions);
  return {std::move(name), std::make_shared<MarkovChain>(length, states, std::move(initial), std::move(transitions)),
          std::move(joint)};
}

Case hidden_case(std::string name, int length, int states, std::vector<double> initial, std::vector<double> transitions,
                 std::vector<double> emissions) {
  Reals joint = hidden_law(all_sequences(states, length), states, initial, transitions, emissions);
  return {std::move(name),
          std::make_shared<HiddenMarkov>(length, states, std::move(initial), std::move(transitions),
                                         std::move(emissions)),
          std::move(joint)};
}

Case tree_case(std::string name, std::vector<int> parents, int states, std::vector<double> initial,
               std::vector<double> transitions) {
  auto const n = static_cast<std::size_t>(states);
  bool const one = transitions.size() == n * n;
  Reals joint;
  for (auto const& x : all_sequences(states, static_cast<int>(parents.size()))) {
    long double p = initial[static_cast<std::size_t>(x[0])];
    for (std::size_t l = 1; l < x.size(); ++l) {
      auto const from = static_cast<std::size_t>(x[static_cast<std::size_t>(parents[l])]);
      p *= transitions[((one ? 0 : l - 1) * n + from) * n + static_cast<std::size_t>(x[l])];
    }
    joint.push_back(p);
  }
  return {std::move(name),
          std::make_shared<MarkovTree>(std::move(parents), states, std::move(initial), std::move(transitions)),
          std::move(joint)};
}

/// A reversible matrix that is not symmetric: symmetric exchangeabilities times a stationary law.
Generator reversible(int states) {
  auto const n = static_cast<std::size_t>(states);
  std::vector<double> const pi = some_rows(1, states, 31);
  std::vector<double> rates(n * n, 0.0);
  for (std::size_t x = 0; x < n; ++x) {
    for (std::size_t y = 0; y < n; ++y) {
      if (x == y) continue;
      rates[x * n + y] = (0.2 + scramble(std::min(x, y) * 64 + std::max(x, y))) * pi[y] * states;
      rates[x * n + x] -= rates[x * n + y];
    }
  }
  return Generator::dense("reversible", states, std::move(rates));
}

/// P(clean, seen) = exp(total Q) by a series in long double.
std::function<long double(token_t, token_t)> seen_through(Generator const& generator, long double total) {
  auto const n = static_cast<std::size_t>(generator.states());
  Reals q(n * n);
  for (std::size_t i = 0; i < n * n; ++i) {
    q[i] = total * static_cast<long double>(generator.rate(static_cast<token_t>(i / n), static_cast<token_t>(i % n)));
  }
  return [p = exponential_of(q, n), n](token_t clean, token_t seen) {
    return p[static_cast<std::size_t>(clean) * n + static_cast<std::size_t>(seen)];
  };
}

std::vector<Generator> fitting(int states) {
  return {Generator::absorbing(states + 1), Generator::uniform(states), Generator::path(states),
          Generator::gaussian_target(states, 2, 3), reversible(states)};
}

std::vector<Case> cases() {
  std::vector<Case> out;
  out.push_back(chain_case("chain", 4, 3, some_rows(1, 3, 1), some_rows(3, 3, 2)));
  out.push_back(chain_case("chain by position", 4, 3, some_rows(1, 3, 3), some_rows(9, 3, 4)));
  out.push_back(
      chain_case("chain with impossible transitions", 5, 3, some_rows(1, 3, 5, true), some_rows(3, 3, 6, true)));
  out.push_back(chain_case("chain by position with impossible transitions", 4, 4, some_rows(1, 4, 7, true),
                           some_rows(12, 4, 9, true)));
  out.push_back(chain_case("chain of one site", 1, 5, some_rows(1, 5, 10), {}));
  out.push_back(chain_case("chain of two sites", 2, 9, some_rows(1, 9, 11), some_rows(9, 9, 12)));
  out.push_back(hidden_case("hidden", 4, 3, some_rows(1, 2, 15), some_rows(2, 2, 16), some_rows(2, 3, 17)));
  out.push_back(hidden_case("hidden by position with holes", 4, 3, some_rows(1, 4, 18, true),
                            some_rows(12, 4, 19, true), some_rows(16, 3, 20, true)));
  out.push_back(hidden_case("hidden of one site", 1, 4, some_rows(1, 3, 21), {}, some_rows(3, 4, 22)));
  out.push_back(hidden_case("hidden of one state", 3, 2, {1}, {1}, some_rows(3, 2, 23)));
  out.push_back(tree_case("comb", {-1, 0, 0, 2, 3}, 3, some_rows(1, 3, 24), some_rows(3, 3, 25)));
  out.push_back(tree_case("star by position", {-1, 0, 0, 0, 1}, 3, some_rows(1, 3, 26), some_rows(12, 3, 27)));
  out.push_back(tree_case("tree with holes", {-1, 0, 1, 0}, 4, some_rows(1, 4, 28, true), some_rows(12, 4, 29, true)));
  out.push_back(tree_case("tree of one site", {-1}, 5, some_rows(1, 5, 30), some_rows(5, 5, 32)));
  {
    std::vector<double> const p = some_rows(4, 3, 13, true);
    Reals joint;
    for (auto const& x : all_sequences(3, 4)) {
      long double product = 1;
      for (std::size_t l = 0; l < 4; ++l) product *= p[l * 3 + static_cast<std::size_t>(x[l])];
      joint.push_back(product);
    }
    out.push_back({"product", std::make_shared<ProductLaw>(4, 3, p), std::move(joint)});
  }
  {
    std::vector<double> const p = some_rows(1, 81, 14, true);
    out.push_back({"table", std::make_shared<TableLaw>(4, 3, p), Reals(p.begin(), p.end())});
  }
  return out;
}

/// Output of a model, [rows][length][states]. `totals`: sigma_bar of each row.
SiteLaws ask(ScoreModel& model, std::vector<Sequence> const& rows, std::vector<double> const& totals,
             std::vector<int> const& only_site = {}) {
  int const length = static_cast<int>(rows.front().size()), states = model.info().states;
  model.reserve({static_cast<int>(rows.size()), length}, 1);
  Query query{to_tokens(rows, length), Times("test::time", rows.size()), {}};
  auto const time = Kokkos::create_mirror_view(query.time);
  for (std::size_t b = 0; b < rows.size(); ++b) time(b) = totals.size() == 1 ? totals[0] : totals[b];
  Kokkos::deep_copy(query.time, time);
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
  EXPECT_EQ(e.type, ScalarType::f64);
  EXPECT_EQ(e.kind, ScoreKind::x0_leave_one_out);
  Kokkos::View<double const*, MemorySpace, Kokkos::MemoryUnmanaged> const data(
      static_cast<double const*>(e.data), rows.size() * static_cast<std::size_t>(e.row_stride));
  auto const host = Kokkos::create_mirror_view_and_copy(HostSpace(), data);
  SiteLaws laws(rows.size(), std::vector<std::vector<double>>(rows.front().size()));
  for (std::size_t b = 0; b < rows.size(); ++b) {
    for (std::size_t l = 0; l < rows[b].size(); ++l) {
      for (int y = 0; y < states; ++y) {
        laws[b][l].push_back(host(b * static_cast<std::size_t>(e.row_stride) +
                                  l * static_cast<std::size_t>(e.site_stride) + static_cast<std::size_t>(y)));
      }
    }
  }
  return laws;
}

void expect_posterior(std::vector<double> const& got, Reals const& expected, bool masked, std::string const& where,
                      double tolerance = 1e-12) {
  if (masked) {
    EXPECT_EQ(got.back(), 0) << "the mask, " << where;
  }
  double sum = 0;
  for (std::size_t y = 0; y < got.size() - (masked ? 1 : 0); ++y) {
    EXPECT_TRUE(std::isfinite(got[y]) && got[y] >= 0) << where;
    sum += got[y];
    if (!expected.empty()) {
      EXPECT_NEAR(got[y], static_cast<double>(expected[y]), tolerance) << where << ", token " << y;
    }
  }
  EXPECT_NEAR(sum, 1, 1e-12) << where;  // impossible contexts too
}

TEST(Models, PosteriorsUnderAbsorbingNoise) {
  for (Case const& c : cases()) {
    int const V = c.law->states(), L = c.law->length();
    auto const clean = all_sequences(V, L), contexts = all_sequences(V + 1, L);
    auto const model = c.law->denoiser(Generator::absorbing(V + 1));
    EXPECT_EQ(model->info().time, TimeInput::none);
    auto const laws = ask(*model, contexts, {0});
    auto const seen = [&](token_t x, token_t y) { return seen_absorbing(x, y, V); };
    std::size_t possible = 0;
    for (std::size_t b = 0; b < contexts.size(); ++b) {
      for (std::size_t l = 0; l < static_cast<std::size_t>(L); ++l) {
        if (contexts[b][l] != V) continue;  // rows of revealed sites are undefined
        Reals const expected = leave_one_out(clean, c.joint, contexts[b], l, V, seen);
        possible += !expected.empty();
        expect_posterior(laws[b][l], expected, true,
                         c.name + ", context " + testing::PrintToString(contexts[b]) + ", site " + std::to_string(l));
        if (HasFailure()) return;
      }
    }
    EXPECT_GT(possible, 0u);
  }
}

TEST(Models, RowsOfRevealedSitesOnRequest) {
  for (Case const& c : cases()) {
    int const V = c.law->states(), L = c.law->length();
    auto const clean = all_sequences(V, L), contexts = all_sequences(V + 1, L);
    Generator const generator = Generator::absorbing(V + 1);
    EXPECT_FALSE(c.law->denoiser(generator)->info().leave_one_out_at_revealed);
    EXPECT_FALSE(c.law->denoiser(Generator::uniform(V), true)->info().leave_one_out_at_revealed);
    auto const model = c.law->denoiser(generator, true);
    EXPECT_TRUE(model->info().leave_one_out_at_revealed);
    auto const laws = ask(*model, contexts, {0});
    auto const seen = [&](token_t x, token_t y) { return seen_absorbing(x, y, V); };
    for (std::size_t b = 0; b < contexts.size(); ++b) {
      for (std::size_t l = 0; l < static_cast<std::size_t>(L); ++l) {
        expect_posterior(laws[b][l], leave_one_out(clean, c.joint, contexts[b], l, V, seen), true,
                         c.name + ", context " + testing::PrintToString(contexts[b]) + ", site " + std::to_string(l));
        if (HasFailure()) return;
      }
    }
    // One site of each row, from a model whose output starts empty.
    std::vector<int> only(contexts.size());
    for (std::size_t b = 0; b < contexts.size(); ++b) only[b] = static_cast<int>(b * 7 % static_cast<std::size_t>(L));
    auto const some = ask(*c.law->denoiser(generator, true), contexts, {0}, only);
    for (std::size_t b = 0; b < contexts.size(); ++b) {
      auto const site = static_cast<std::size_t>(only[b]);
      ASSERT_EQ(some[b][site], laws[b][site]) << c.name << ", row " << b;
    }
  }
}

// 3^16 patterns of masks and tokens are too many for a table of their sums, and the batch has more rows than there are
// pieces of scratch memory.
TEST(Models, LargeTablesUnderMasks) {
  constexpr int L = 16, V = 2;
  auto const clean = all_sequences(V, L);
  std::vector<double> const p = some_rows(1, 1 << L, 50, true);
  Reals const joint(p.begin(), p.end());
  std::vector<Sequence> contexts(600);
  for (std::size_t b = 0; b < contexts.size(); ++b) {
    for (std::size_t l = 0; l < L; ++l) contexts[b].push_back(static_cast<token_t>(scramble(b * 97 + l) * (V + 1)));
  }
  auto const seen = [](token_t x, token_t y) { return seen_absorbing(x, y, V); };
  auto const laws = ask(*TableLaw(L, V, p).denoiser(Generator::absorbing(V + 1), true), contexts, {0});
  for (std::size_t const b : {0u, 1u, 511u, 512u, 599u}) {
    for (std::size_t l = 0; l < L; ++l) {
      expect_posterior(laws[b][l], leave_one_out(clean, joint, contexts[b], l, V, seen), true,
                       "row " + std::to_string(b) + ", site " + std::to_string(l));
    }
  }
}

TEST(Models, PosteriorsUnderUniformNoise) {
  for (Case const& c : cases()) {
    int const V = c.law->states(), L = c.law->length();
    auto const clean = all_sequences(V, L);
    auto const model = c.law->denoiser(Generator::uniform(V));
    EXPECT_EQ(model->info().time, TimeInput::total);
    for (double const total : {1e-7, 0.3, 6.0}) {
      auto const laws = ask(*model, clean, {total});
      auto const seen = [&](token_t x, token_t y) { return seen_uniform(x, y, V, static_cast<long double>(total)); };
      for (std::size_t b = 0; b < clean.size(); ++b) {
        for (std::size_t l = 0; l < static_cast<std::size_t>(L); ++l) {
          Reals const expected = leave_one_out(clean, c.joint, clean[b], l, V, seen);
          ASSERT_FALSE(expected.empty());
          expect_posterior(
              laws[b][l], expected, false,
              c.name + ", total " + std::to_string(total) + ", context " + testing::PrintToString(clean[b]));
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST(Models, PosteriorsUnderReversibleNoise) {
  for (Case const& c : cases()) {
    int const V = c.law->states(), L = c.law->length();
    auto const clean = all_sequences(V, L);
    for (Generator const& generator : {Generator::path(V), Generator::gaussian_target(V, 2, 3), reversible(V)}) {
      auto const model = c.law->denoiser(generator);
      EXPECT_EQ(model->info().time, TimeInput::total);
      EXPECT_EQ(model->info().states, V);
      EXPECT_EQ(model->info().name, c.law->name());
      // Entries of P are good to a rounding of 1: what is far away at short times, and may be all that a law with holes
      // leaves, to so much less.
      for (auto const& [total, tolerance] : {std::pair{0.05, 1e-9}, {0.3, 1e-11}, {6.0, 1e-12}}) {
        auto const laws = ask(*model, clean, {total});
        auto const seen = seen_through(generator, static_cast<long double>(total));
        for (std::size_t b = 0; b < clean.size(); ++b) {
          for (std::size_t l = 0; l < static_cast<std::size_t>(L); ++l) {
            Reals const expected = leave_one_out(clean, c.joint, clean[b], l, V, seen);
            ASSERT_FALSE(expected.empty());
            expect_posterior(laws[b][l], expected, false,
                             c.name + ", " + generator.name() + ", total " + std::to_string(total) + ", context " +
                                 testing::PrintToString(clean[b]),
                             tolerance);
            if (HasFailure()) return;
          }
        }
      }
    }
  }
}

// Uniform noise given as a matrix is uniform noise.
TEST(Models, DenseUniformIsUniform) {
  for (Case const& c : cases()) {
    int const V = c.law->states();
    auto const n = static_cast<std::size_t>(V);
    std::vector<double> rates(n * n, 1.0 / V);
    for (std::size_t x = 0; x < n; ++x) rates[x * n + x] = 1.0 / V - 1;
    auto const contexts = all_sequences(V, c.law->length());
    auto const closed = ask(*c.law->denoiser(Generator::uniform(V)), contexts, {0.4}),
               dense = ask(*c.law->denoiser(Generator::dense("uniform", V, rates)), contexts, {0.4});
    for (std::size_t b = 0; b < contexts.size(); ++b) {
      for (std::size_t l = 0; l < contexts[b].size(); ++l) {
        for (std::size_t y = 0; y < n; ++y) EXPECT_NEAR(dense[b][l][y], closed[b][l][y], 1e-12) << c.name;
      }
    }
  }
}

// Rows of a batch have clocks of their own.
TEST(Models, TimesOfRowsAreTheirOwn) {
  for (Case const& c : cases()) {
    Sequence const x = all_sequences(c.law->states(), c.law->length()).back();
    for (Generator const& generator : fitting(c.law->states())) {
      if (generator.mask()) continue;
      auto const model = c.law->denoiser(generator);
      auto const both = ask(*model, {x, x}, {0.2, 2.0});
      EXPECT_EQ(both[0], ask(*model, {x}, {0.2})[0]) << c.name << ", " << generator.name();
      EXPECT_EQ(both[1], ask(*model, {x}, {2.0})[0]) << c.name << ", " << generator.name();
    }
  }
}

TEST(Models, OnlySiteGivesTheSameNumbers) {
  for (Case const& c : cases()) {
    int const V = c.law->states(), L = c.law->length();
    for (Generator const& generator : fitting(V)) {
      bool const masked = generator.mask().has_value();
      auto const contexts = all_sequences(generator.states(), L);
      auto const all = ask(*c.law->denoiser(generator), contexts, {0.4});
      // Every row another site, some rows none and some all; a model of its own, whose output starts empty.
      std::vector<int> only(contexts.size());
      for (std::size_t b = 0; b < contexts.size(); ++b) {
        only[b] = static_cast<int>(b * 7 % static_cast<std::size_t>(L + 2)) - 2;
      }
      static_assert(Query::no_site == -2 && Query::all_sites == -1);
      auto const some = ask(*c.law->denoiser(generator), contexts, {0.4}, only);
      for (std::size_t b = 0; b < contexts.size(); ++b) {
        for (int l = 0; l < L; ++l) {
          auto const site = static_cast<std::size_t>(l);
          if (only[b] == Query::no_site || (only[b] >= 0 && only[b] != l) || (masked && contexts[b][site] != V))
            continue;
          ASSERT_EQ(some[b][site], all[b][site])
              << c.name << ", " << generator.name() << ", row " << b << ", site " << l;
        }
      }
    }
  }
}

// Without noise, and in a context that the law cannot have, a sampler still needs somewhere to go.
TEST(Models, ImpossibleContextsWithoutNoiseGiveALaw) {
  for (Case const& c : cases()) {
    int const V = c.law->states(), L = c.law->length();
    auto const clean = all_sequences(V, L);
    for (Generator const& generator : fitting(V)) {
      if (generator.mask()) continue;
      auto const laws = ask(*c.law->denoiser(generator), clean, {0});
      for (std::size_t b = 0; b < clean.size(); ++b) {
        for (std::size_t l = 0; l < static_cast<std::size_t>(L); ++l) {
          expect_posterior(laws[b][l], {}, false,
                           c.name + ", " + generator.name() + ", context " + testing::PrintToString(clean[b]) +
                               ", site " + std::to_string(l));
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST(Models, LikelihoodEntropyAndMarginals) {
  for (Case const& c : cases()) {
    auto const V = static_cast<std::size_t>(c.law->states()), L = static_cast<std::size_t>(c.law->length());
    auto const clean = all_sequences(static_cast<int>(V), static_cast<int>(L));
    Reals sites(L * V, 0), pairs((L - 1) * V * V, 0), triples(L < 3 ? 0 : (L - 2) * V * V * V, 0);
    long double entropy = 0, sum = 0;
    for (std::size_t i = 0; i < clean.size(); ++i) {
      long double const p = c.joint[i];
      double const ln = c.law->log_likelihood(clean[i]);
      if (p == 0) {
        EXPECT_EQ(ln, -infinity) << c.name;
        continue;
      }
      sum += p;
      entropy -= p * std::log(p);
      EXPECT_NEAR(ln, static_cast<double>(std::log(p)), 1e-12) << c.name;
      for (std::size_t l = 0; l < L; ++l) {
        auto const y = static_cast<std::size_t>(clean[i][l]);
        sites[l * V + y] += p;
        if (l + 1 >= L) continue;
        std::size_t const pair = (l * V + y) * V + static_cast<std::size_t>(clean[i][l + 1]);
        pairs[pair] += p;
        if (l + 2 < L) triples[pair * V + static_cast<std::size_t>(clean[i][l + 2])] += p;
      }
    }
    ASSERT_NEAR(static_cast<double>(sum), 1, 1e-14) << c.name;
    EXPECT_NEAR(c.law->entropy(), static_cast<double>(entropy), 1e-12) << c.name;
    auto const got_sites = c.law->site_marginals(), got_pairs = c.law->pair_marginals(),
               got_triples = c.law->triple_marginals();
    ASSERT_EQ(got_sites.size(), sites.size()) << c.name;
    ASSERT_EQ(got_pairs.size(), pairs.size()) << c.name;
    ASSERT_EQ(got_triples.size(), triples.size()) << c.name;
    for (std::size_t i = 0; i < sites.size(); ++i)
      EXPECT_NEAR(got_sites[i], static_cast<double>(sites[i]), 1e-14) << c.name;
    for (std::size_t i = 0; i < pairs.size(); ++i)
      EXPECT_NEAR(got_pairs[i], static_cast<double>(pairs[i]), 1e-14) << c.name;
    for (std::size_t i = 0; i < triples.size(); ++i)
      EXPECT_NEAR(got_triples[i], static_cast<double>(triples[i]), 1e-14) << c.name;
  }
}

// ----------------------------------------------------------------------------------------------------- by hand

TEST(Models, CombByHand) {
  MarkovTree const comb = MarkovTree::comb(2, 3, 4, 1.5);
  EXPECT_EQ(comb.parents(), (std::vector<int>{-1, 0, 1, 0, 3, 4}));
  // From level 1 of 4 with width 1.5: weights exp(-d^2/4.5) of the distances 1, 0, 1, 2.
  double const near = std::exp(-1 / 4.5), far = std::exp(-4 / 4.5), sum = 1 + 2 * near + far;
  std::vector<token_t> const x{1, 1, 2, 3, 3, 3};
  double const stay3 = 1 / (1 + near + far + std::exp(-9 / 4.5));
  EXPECT_NEAR(comb.log_likelihood(x), std::log(0.25 * (1 / sum) * (near / sum) * (far / sum) * stay3 * stay3), 1e-12);
}

TEST(Models, EntropyOfTheCyclicChain) {
  EXPECT_NEAR(cyclic(8).entropy(), 5.662344, 5e-7);  // A§9.3
  EXPECT_NEAR(cyclic(8).entropy(), std::log(4) - 7 * (0.7 * std::log(0.7) + 0.3 * std::log(0.3)), 1e-13);
}

TEST(Models, CountdownPosteriorsByHand) {
  auto const chain = MarkovChain::countdown(4, 3);
  auto const model = chain.denoiser(Generator::absorbing(5));
  token_t const m = 4;
  auto const at = [&](Sequence const& x, std::size_t site) {
    auto law = ask(*model, {x}, {0})[0][site];
    law.pop_back();
    return law;
  };
  auto const expect = [](std::vector<double> const& got, std::vector<double> const& expected) {
    for (std::size_t y = 0; y < expected.size(); ++y) EXPECT_NEAR(got[y], expected[y], 1e-15) << y;
  };
  expect(at({3, m, 1}, 1), {0, 0, 1, 0});      // both neighbours agree
  expect(at({1, m, 3}, 1), {1, 0, 0, 0});      // 1 -> 0 -> anything
  expect(at({0, m, 2}, 1), {0.2, 0, 0, 0.8});  // 0 -> 3 -> 2 has 1/4, 0 -> 0 -> 2 has 1/16
  expect(at({m, 2, m}, 0), {0.2, 0, 0, 0.8});  // 3 -> 2 or 0 -> 2
  expect(at({m, 2, m}, 2), {0, 1, 0, 0});
  expect(at({m, 0, m}, 2), {0.25, 0.25, 0.25, 0.25});
  expect(at({m, m, 3}, 1), {1, 0, 0, 0});      // only 0 comes before 3
  expect(at({m, m, 3}, 0), {0.2, 0.8, 0, 0});  // 1 -> 0 has 1, 0 -> 0 has 1/4
}

TEST(Models, CountdownLikelihoods) {
  auto const chain = MarkovChain::countdown();
  EXPECT_EQ(chain.states(), 32);
  EXPECT_EQ(chain.length(), 256);
  EXPECT_EQ(chain.name(), "countdown");
  EXPECT_TRUE(chain.homogeneous());
  for (token_t x = 0; x < 32; ++x) {
    for (token_t y = 0; y < 32; ++y) EXPECT_EQ(chain.transition(9, x, y), x == 0 ? 1.0 / 32 : (y == x - 1 ? 1 : 0));
  }
  Sequence x(256);
  for (std::size_t l = 0; l < x.size(); ++l) x[l] = static_cast<token_t>(31 - l % 32);
  EXPECT_NEAR(chain.log_likelihood(x), -8 * std::log(32.0), 1e-12);  // the first token and seven restarts
  x[100] = x[99];
  EXPECT_EQ(chain.log_likelihood(x), -infinity);
  // H = ln 32 (1 + sum over l < L-1 of p(x^l = 0)), since only a 0 leaves a choice. By hand for L = 3, V = 2:
  // p(x^0 = 0) = 1/2, p(x^1 = 0) = 1/2 + 1/4 = 3/4.
  EXPECT_NEAR(MarkovChain::countdown(2, 3).entropy(), std::log(2.0) * (1 + 0.5 + 0.75), 1e-14);
}

HiddenMarkov shown(MarkovChain const& chain) {
  auto const n = static_cast<std::size_t>(chain.states());
  std::vector<double> identity(n * n, 0.0);
  for (std::size_t y = 0; y < n; ++y) identity[y * n + y] = 1;
  return {chain.length(), chain.states(), chain.initial(), chain.transitions(), std::move(identity)};
}

TEST(Models, HiddenChainByHand) {
  // A fair and a loaded coin; the coin is kept with 3/4.
  HiddenMarkov const law(2, 2, {0.5, 0.5}, {0.75, 0.25, 0.25, 0.75}, {0.5, 0.5, 0.9, 0.1});
  EXPECT_EQ(law.name(), "hidden_markov");
  EXPECT_EQ(law.hidden_states(), 2);
  // 00: 1/2 (1/2 (3/4 1/2 + 1/4 9/10) + 9/10 (1/4 1/2 + 3/4 9/10)) = 1/2 (0.3 + 0.72)
  EXPECT_NEAR(law.log_likelihood(Sequence{0, 0}), std::log(0.51), 1e-15);
  EXPECT_NEAR(law.site_marginals()[0], 0.7, 1e-15);
  EXPECT_NEAR(law.pair_marginals()[0], 0.51, 1e-15);
  EXPECT_NEAR(law.pair_marginals()[3], 0.11, 1e-15);
  // p(x^0 = 0 | x^1 = 0) = 0.51/0.7
  auto const masked = ask(*law.denoiser(Generator::absorbing(3)), {{2, 0}}, {0});
  EXPECT_NEAR(masked[0][0][0], 0.51 / 0.7, 1e-15);
}

TEST(Models, EntropyOfHiddenChains) {
  HiddenMarkov const small = shown(cyclic(8));  // 4^8 = 65536 sequences
  EXPECT_NEAR(small.entropy(), cyclic(8).entropy(), 1e-10);
  EXPECT_EQ(small.entropy_error(), 0);
  MarkovChain const chain(40, 4, some_rows(1, 4, 41), some_rows(4, 4, 42));
  HiddenMarkov const large = shown(chain);
  double const error = large.entropy_error();
  EXPECT_GT(error, 0);
  EXPECT_LT(error, 0.1);
  EXPECT_NEAR(large.entropy(), chain.entropy(), 5 * error);
  EXPECT_EQ(large.entropy(), large.entropy());
  // -ln p of the cyclic chain is a binomial count of steps: variance 199 p q ln(p/q)^2
  HiddenMarkov const steps = shown(cyclic(200));
  double const spread = std::sqrt(199 * 0.7 * 0.3) * std::log(0.7 / 0.3);
  EXPECT_NEAR(steps.entropy_error() / (spread / 64), 1, 0.1);
  EXPECT_NEAR(steps.entropy(), cyclic(200).entropy(), 5 * spread / 64);
  EXPECT_NEAR(shown(cyclic(2000)).log_likelihood(Sequence(2000, 2)), cyclic(2000).log_likelihood(Sequence(2000, 2)),
              1e-9);
}

TEST(Models, TableOfEqualNeighbours) {
  // p proportional to 1 + s #{equal neighbours}: 4 equal pairs of 16 for V = 4 ... by hand for V = 2, L = 2, s = 3
  auto const law = TableLaw::neighbours(2, 2, 3);
  std::vector<double> const expected{0.4, 0.1, 0.1, 0.4};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(law.probabilities()[i], expected[i], 1e-15);
  auto const three = TableLaw::neighbours(3, 2, 1);  // weights 3 2 1 2 2 1 2 3 over 000 ... 111
  std::vector<double> const weights{3, 2, 1, 2, 2, 1, 2, 3};
  for (std::size_t i = 0; i < 8; ++i) EXPECT_NEAR(three.probabilities()[i], weights[i] / 16, 1e-15);
}

TEST(Models, FitsByHand) {
  std::vector<token_t> const x{0, 1, 1, 0, 0, 1};  // 011 and 001
  auto const near = [](std::vector<double> const& got, std::vector<double> const& expected) {
    ASSERT_EQ(got.size(), expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-15) << i;
  };
  auto const homogeneous = MarkovChain::fit(x, 2, 3, 2, 1.0, true);
  EXPECT_TRUE(homogeneous.homogeneous());
  near(homogeneous.initial(), {2.5 / 3, 0.5 / 3});
  near(homogeneous.transitions(), {1.5 / 4, 2.5 / 4, 0.5 / 2, 1.5 / 2});  // 00 once, 01 twice, 11 once
  auto const by_position = MarkovChain::fit(x, 2, 3, 2, 1.0, false);
  EXPECT_FALSE(by_position.homogeneous());
  near(by_position.transitions(), {0.5, 0.5, 0.5, 0.5, 0.25, 0.75, 0.25, 0.75});
  EXPECT_EQ(by_position.transition(1, 0, 1), 0.75);
  near(ProductLaw::fit(x, 2, 3, 2, 0.5).site_marginals(), {2.25 / 2.5, 0.25 / 2.5, 0.5, 0.5, 0.25 / 2.5, 2.25 / 2.5});
}

TEST(Models, DrawIndexInvertsTheDistributionFunction) {
  std::vector<double> const weights{0, 1, 0, 3, 0};
  EXPECT_EQ(draw_index(weights, 0), 1);
  EXPECT_EQ(draw_index(weights, std::nextafter(0.25, 0)), 1);
  EXPECT_EQ(draw_index(weights, 0.25), 3);
  EXPECT_EQ(draw_index(weights, 1 - 0x1p-53), 3);
  std::vector<double> const tiny{1e-300, 0, 1e-320};
  EXPECT_EQ(draw_index(tiny, 1 - 0x1p-53), 0);
  std::vector<double> const tenths(10, 0.1);  // sums that round
  for (int k = 0; k < 10; ++k) EXPECT_EQ(draw_index(tenths, 0.1 * k + 0.05), k);
  EXPECT_EQ(draw_index(tenths, 1 - 0x1p-53), 9);
}

TEST(Models, DrawsAreReproducibleAndPossible) {
  for (Case const& c : cases()) {
    auto const L = static_cast<std::size_t>(c.law->length());
    std::set<Sequence> seen;
    for (std::uint64_t sample = 0; sample < 300; ++sample) {
      Sequence x(L, -1), again(L, -1);
      c.law->draw(11, sample, x);
      ASSERT_GT(c.law->log_likelihood(x), -infinity) << c.name;
      c.law->draw(11, sample, again);
      ASSERT_EQ(x, again) << c.name;
      seen.insert(x);
    }
    std::size_t possible = 0;  // those that 300 draws miss with probability below 1e-6
    for (std::size_t i = 0; i < c.joint.size(); ++i) {
      if (c.joint[i] * 300 < 20) continue;
      ++possible;
      EXPECT_TRUE(seen.contains(all_sequences(c.law->states(), c.law->length())[i])) << c.name;
    }
    EXPECT_GT(seen.size(), 1u) << c.name;
    Sequence first(L), other(L);
    int equal = 0;  // other seeds and samples beyond 32 bits are other sequences
    for (std::uint64_t sample = 0; sample < 40; ++sample) {
      c.law->draw(11, sample, first);
      c.law->draw(12, sample, other);
      equal += first == other;
      c.law->draw(11, sample + (std::uint64_t{1} << 32), other);
      equal += first == other;
    }
    EXPECT_LT(equal, 60) << c.name;
  }
}

// ----------------------------------------------------------------------------------------------------- long chains

// Forward-backward in long double (A§17.22), every message normalised: a twin for lengths that nothing can enumerate.
std::vector<Reals> messages(MarkovChain const& chain, Sequence const& x,
                            std::function<long double(token_t, token_t)> const& seen) {
  auto const V = static_cast<std::size_t>(chain.states()), L = x.size();
  auto const normalise = [](Reals& v) {
    long double const sum = std::accumulate(v.begin(), v.end(), 0.0L);
    for (long double& p : v) p /= sum;
  };
  std::vector<Reals> laws(L, Reals(V));
  laws[0].assign(chain.initial().begin(), chain.initial().end());
  for (std::size_t l = 1; l < L; ++l) {
    for (std::size_t y = 0; y < V; ++y) {
      laws[l][y] = 0;
      for (std::size_t k = 0; k < V; ++k) {
        auto const clean = static_cast<token_t>(k);
        laws[l][y] += laws[l - 1][k] * seen(clean, x[l - 1]) *
                      chain.transition(static_cast<int>(l - 1), clean, static_cast<token_t>(y));
      }
    }
    normalise(laws[l]);
  }
  Reals back(V, 1);
  for (std::size_t l = L; l-- > 0;) {
    for (std::size_t y = 0; y < V; ++y) laws[l][y] *= back[y];
    normalise(laws[l]);
    if (l == 0) break;
    Reals earlier(V, 0);
    for (std::size_t k = 0; k < V; ++k) {
      for (std::size_t y = 0; y < V; ++y) {
        earlier[k] += chain.transition(static_cast<int>(l - 1), static_cast<token_t>(k), static_cast<token_t>(y)) *
                      seen(static_cast<token_t>(y), x[l]) * back[y];
      }
    }
    back = earlier;
    normalise(back);
  }
  return laws;
}

TEST(Models, LongChainsDoNotUnderflow) {
  constexpr int L = 2000, V = 21;
  // positions of their own, nearly deterministic rows
  std::vector<double> transitions = some_rows(static_cast<std::size_t>(V) * (L - 1), V, 21);
  for (std::size_t row = 0; row < transitions.size() / V; ++row) {
    double sum = 0;
    for (std::size_t y = 0; y < V; ++y) sum += transitions[row * V + y] = std::pow(transitions[row * V + y], 8);
    for (std::size_t y = 0; y < V; ++y) transitions[row * V + y] /= sum;
  }
  MarkovChain const chain(L, V, some_rows(1, V, 22), transitions);
  Sequence noise(L), gaps(L), nothing(L, V);
  for (std::size_t l = 0; l < L; ++l) {
    noise[l] = static_cast<token_t>(scramble(l) * V);
    gaps[l] = l % 97 == 5 ? noise[l] : V;
  }
  auto const masked = ask(*chain.denoiser(Generator::absorbing(V + 1)), {gaps, nothing}, {0});
  auto const uniform = ask(*chain.denoiser(Generator::uniform(V)), {noise}, {2.5});
  auto const hole = [&](token_t clean, token_t seen) { return seen_absorbing(clean, seen, V); };
  auto const blur = [&](token_t clean, token_t seen) { return seen_uniform(clean, seen, V, 2.5L); };
  auto const expected_gaps = messages(chain, gaps, hole), expected_nothing = messages(chain, nothing, hole),
             expected_uniform = messages(chain, noise, blur);
  for (std::size_t l = 0; l < L; ++l) {
    if (gaps[l] == V) expect_posterior(masked[0][l], expected_gaps[l], true, "gaps, site " + std::to_string(l));
    expect_posterior(masked[1][l], expected_nothing[l], true, "all masks, site " + std::to_string(l));
    expect_posterior(uniform[0][l], expected_uniform[l], false, "uniform, site " + std::to_string(l));
    if (HasFailure()) return;
  }
  Generator const gaussian = Generator::gaussian_target(V, 3, 5);
  auto const dense = ask(*chain.denoiser(gaussian), {noise}, {2.5});
  auto const expected_dense = messages(chain, noise, seen_through(gaussian, 2.5L));
  for (std::size_t l = 0; l < L; ++l) {
    expect_posterior(dense[0][l], expected_dense[l], false, "Gaussian, site " + std::to_string(l), 1e-10);
    if (HasFailure()) return;
  }
  EXPECT_NEAR(cyclic(L).log_likelihood(Sequence(L, 2)), std::log(0.25) + (L - 1) * std::log(0.7), 1e-9);
}

// ----------------------------------------------------------------------------------------------------- errors

TEST(Models, ConstructorErrors) {
  std::vector<double> const half{0.5, 0.5}, matrix{0.5, 0.5, 0.25, 0.75};
  auto const message = [](auto const& make) { return message_of<UserError>(make); };
  EXPECT_TRUE(says(message([&] { MarkovChain(0, 2, half, matrix); }), {"at least 1 site"}));
  EXPECT_TRUE(says(message([&] { MarkovChain(3, 2, {1}, matrix); }), {"initial", "needs 2", "got 1"}));
  EXPECT_TRUE(says(message([&] { MarkovChain(4, 2, half, {0.5, 0.5, 0.25}); }), {"1 or 3 matrices", "got 3 numbers"}));
  EXPECT_TRUE(
      says(message([&] { MarkovChain(4, 2, half, {0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5}); }), {"1 or 3", "got 8"}));
  EXPECT_TRUE(says(message([&] { MarkovChain(3, 2, {0.5, 0.6}, matrix); }), {"initial law", "1.1"}));
  EXPECT_TRUE(says(message([&] { MarkovChain(3, 2, half, {0.5, 0.5, 0.5, 0.75}); }), {"row 1 of matrix 0", "1.25"}));
  EXPECT_TRUE(says(message([&] { MarkovChain(3, 2, half, {0.5, 0.5, 0.5, 0.5, 1.5, -0.5, 0.5, 0.5}); }),
                   {"row 0 of matrix 1", "negative"}));
  message([&] { MarkovChain(3, 2, {std::nan(""), 1}, matrix); });
  EXPECT_TRUE(says(message([&] { ProductLaw(2, 2, half); }), {"2 x 2", "got 2"}));
  EXPECT_TRUE(says(message([&] { ProductLaw(2, 2, {0.5, 0.5, 0.5, 0.25}); }), {"site 1", "0.75"}));
  EXPECT_TRUE(says(message([&] { ProductLaw(2, 2, {0.5, 0.5, 1.5, -0.5}); }), {"negative", "site 1"}));
  EXPECT_TRUE(says(message([&] { TableLaw(2, 2, half); }), {"needs 4", "got 2"}));
  EXPECT_TRUE(says(message([&] { TableLaw(2, 2, {0.5, 0.5, 0.5, 0.5}); }), {"sum to 2"}));
  EXPECT_TRUE(says(message([&] { TableLaw(2, 2, {0.5, 0.5, 0.5, -0.5}); }), {"negative"}));
  EXPECT_TRUE(says(message([&] { TableLaw::neighbours(30, 4, 1); }), {"4^30", "too many"}));
  EXPECT_TRUE(says(message([&] { MarkovTree({-1, 1}, 2, half, matrix); }), {"parent of site 1", "earlier", "got 1"}));
  EXPECT_TRUE(says(message([&] { MarkovTree({0, 0}, 2, half, matrix); }), {"site 0", "got 0"}));
  EXPECT_TRUE(says(message([&] { MarkovTree({-1, 0, 0, 0}, 2, half, {0.5, 0.5}); }), {"1 or 3 matrices", "got 2"}));
  EXPECT_TRUE(says(message([&] { HiddenMarkov(0, 2, half, matrix, matrix); }), {"at least 1 site", "got 0, 2 and 2"}));
  EXPECT_TRUE(says(message([&] { HiddenMarkov(3, 2, {}, {}, {}); }), {"1 hidden state", "3, 2 and 0"}));
  EXPECT_TRUE(says(message([&] { HiddenMarkov(4, 2, half, half, matrix); }),
                   {"4 sites", "1 or 3 transition matrices of 2 x 2", "got 2 numbers"}));
  EXPECT_TRUE(says(message([&] { HiddenMarkov(4, 3, half, matrix, matrix); }),
                   {"1 or 4 emission matrices of 2 x 3", "got 4 numbers"}));
  EXPECT_TRUE(says(message([&] { HiddenMarkov(4, 2, {0.5, 0.6}, matrix, matrix); }), {"initial law", "1.1"}));
  EXPECT_TRUE(says(message([&] { HiddenMarkov(4, 2, half, {0.5, 0.5, 1.5, -0.5}, matrix); }),
                   {"row 1 of transition matrix 0", "negative"}));
  EXPECT_TRUE(says(message([&] { HiddenMarkov(4, 2, half, matrix, {0.5, 0.5, 0.5, 0.75}); }),
                   {"row 1 of emission matrix 0", "1.25"}));
  std::vector<token_t> const x{0, 1, 1};
  EXPECT_TRUE(says(message([&] { MarkovChain::fit(x, 1, 3, 2, 0, true); }), {"pseudo-count", "0"}));
  EXPECT_TRUE(says(message([&] { MarkovChain::fit({}, 0, 3, 2, 1, true); }), {"at least 1 sequence"}));
  EXPECT_TRUE(says(message([&] { ProductLaw::fit(x, 1, 3, 2, -1); }), {"pseudo-count", "-1"}));
  EXPECT_TRUE(says(message([&] { ProductLaw::fit({}, 0, 3, 2, 1); }), {"at least 1 sequence"}));
}

TEST(Models, DenoisersNeedAFittingGenerator) {
  for (Case const& c : cases()) {
    int const V = c.law->states();
    auto const message = [&](Generator const& generator) {
      return message_of<UserError>([&] { c.law->denoiser(generator); });
    };
    EXPECT_TRUE(says(message(Generator::absorbing(V)),
                     {c.law->name(), std::to_string(V) + " states", std::to_string(V - 1) + " besides a mask"}));
    EXPECT_TRUE(says(message(Generator::uniform(V + 1)), {c.law->name(), std::to_string(V + 1)}));
    EXPECT_TRUE(says(message(Generator::absorbing(V + 1, 0)), {"last state", std::to_string(V)}));
    EXPECT_TRUE(says(message(Generator::path(V + 1)), {c.law->name(), "path", std::to_string(V + 1)}));
    std::vector<std::string> const kinds{c.law->name(), "absorbing", "uniform", "dense and reversible"};
    EXPECT_TRUE(says(message(Generator::population({1, 0, 1, 1})), kinds));
    std::vector<double> cycle(9, 0.0);
    for (std::size_t x = 0; x < 3; ++x) {
      cycle[x * 3 + x] = -1;
      cycle[x * 3 + (x + 1) % 3] = 1;
    }
    EXPECT_TRUE(says(message(Generator::dense("cycle", 3, cycle)), kinds));
    auto const model = c.law->denoiser(Generator::absorbing(V + 1));
    EXPECT_TRUE(says(message_of<UserError>([&] { model->reserve({1, c.law->length() + 1}, 1); }),
                     {c.law->name(), std::to_string(c.law->length()), std::to_string(c.law->length() + 1)}));
  }
}

}  // namespace
}  // namespace saltus
