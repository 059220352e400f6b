// SPDX-License-Identifier: BSD-3-Clause
// Short rows that lie one behind the other are scanned many at a time, to find the sites that stay. What happens must be what
// happens when each row is read by itself, as rows with gaps between them are.
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/integrators/registry.hpp>
#include <saltus/models/stored_scores.hpp>

#include "reference/harness.hpp"
#include "reference/stored_scores.hpp"

namespace saltus {
namespace {

using namespace reference;

constexpr int batch = 40, length = 70;  // more than one tile, and no multiple of a group of rows

// Rows of all sizes: some sum to more or less than single precision holds unshifted, some have nothing in them, one is broken.
std::vector<std::vector<double>> rows(ScoreKind kind, int states) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::vector<std::vector<double>> out(length);
  std::uint64_t seed = static_cast<std::uint64_t>(states);
  for (int l = 0; l < length; ++l) {
    double const level = l % 7 == 3 ? 84 : l % 11 == 5 ? -95 : l % 5 == 1 ? 2 : -2;
    for (int y = 0; y < states; ++y) {
      double const v = level + 4 * scramble(seed++);
      bool const empty = l == 40 || (l % 13 == 2 && scramble(seed++) < 0.5), broken = l == 60 && y == 0;
      double const logarithm = broken ? std::nan("") : empty ? -infinity : v;
      // Stored as bfloat16 too, so as numbers of it.
      auto const narrow = static_cast<float>(BFloat16::nearest(static_cast<float>(is_logarithmic(kind) ? logarithm : std::exp(std::min(logarithm, 60.0)))));
      out[static_cast<std::size_t>(l)].push_back(narrow);
    }
  }
  return out;
}

struct Outcome {
  Rows tokens;
  Counters counters;
};

Outcome outcome(std::string const& method, std::shared_ptr<ScoreModel> model, bool masked, int states, double jump, double phi) {
  auto process = Process::reverse(masked ? Generator::absorbing(states) : Generator::uniform(states), NoiseSchedule::log_linear(), std::move(model));
  auto const integrator = make_integrator(method, process);
  Rows start(batch, std::vector<token_t>(length, states - 1));
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t l = 0; l < length; ++l) {
      if (!masked || scramble(b * length + l) < 0.2) start[b][l] = static_cast<token_t>((b + l) % static_cast<std::size_t>(states));
    }
  }
  State const state = to_state(start, 0.5);
  Outcome out;
  out.counters = advance_once(process, *integrator, state, one_step(process, *integrator, {0.5, 0.5 - 0.5 * jump}, phi), 3);
  out.tokens = to_rows(state.tokens);
  return out;
}

void expect_same(Outcome const& got, Outcome const& want, std::string const& what) {
  EXPECT_EQ(got.tokens, want.tokens) << what;
  EXPECT_EQ(got.counters.jumps, want.counters.jumps) << what;
  EXPECT_EQ(got.counters.clamps, want.counters.clamps) << what;
  EXPECT_EQ(got.counters.bad_scores, want.counters.bad_scores) << what;
  EXPECT_EQ(got.counters.bad_site, want.counters.bad_site) << what;
}

TEST(AdjacentRows, AreReadAsRowsByThemselves) {
  std::int64_t jumps = 0, clamps = 0, bad = 0;
  for (int states : {2, 3, 5, 21, 33, 64, 65}) {
    for (bool masked : {true, false}) {
      for (ScoreKind kind : {ScoreKind::log_score, ScoreKind::score, ScoreKind::x0_leave_one_out, ScoreKind::x0_logits_leave_in}) {
        if (masked && is_x0(kind)) continue;  // the hazard is known then
        auto const values = rows(kind, states);
        auto const mask = masked ? std::optional<token_t>(states - 1) : std::nullopt;
        for (std::string const method : {"euler", "tweedie", "exponential", "tau_leaping"}) {
          for (auto const& [jump, phi] : {std::pair{0.03, 1.0}, std::pair{0.5, 0.3}}) {
            auto const run = [&, jump = jump, phi = phi](std::shared_ptr<ScoreModel> model) { return outcome(method, std::move(model), masked, states, jump, phi); };
            Outcome const apart = run(std::make_shared<reference::StoredScores<float>>(kind, mask, values, 3));
            auto const what = method + " of kind " + std::to_string(static_cast<int>(kind)) + (masked ? ", masked, " : ", uniform, ") +
                              std::to_string(states) + " states, step " + std::to_string(jump) + ", phi " + std::to_string(phi);
            expect_same(run(std::make_shared<reference::StoredScores<float>>(kind, mask, values, 0)), apart, what);
            expect_same(run(std::make_shared<reference::StoredScores<double>>(kind, mask, values, 0)),
                        run(std::make_shared<reference::StoredScores<double>>(kind, mask, values, 1)), what + ", double");
            saltus::StoredScores::Scores const narrow("test::scores", batch, length, static_cast<std::size_t>(states));
            auto const host = Kokkos::create_mirror_view(narrow);
            for (std::size_t b = 0; b < batch; ++b) {
              for (std::size_t l = 0; l < length; ++l) {
                for (std::size_t y = 0; y < static_cast<std::size_t>(states); ++y) host(b, l, y) = static_cast<float>(values[l][y]);
              }
            }
            Kokkos::deep_copy(narrow, host);
            expect_same(run(std::make_shared<saltus::StoredScores>(std::vector{narrow}, kind, masked, ScalarType::bf16)), apart, what + ", bf16");
            jumps += apart.counters.jumps;
            clamps += apart.counters.clamps;
            bad += apart.counters.bad_scores;
          }
        }
      }
    }
  }
  EXPECT_GT(jumps, 100000);
  EXPECT_GT(clamps, 1000);
  EXPECT_GT(bad, 1000);
}

}  // namespace
}  // namespace saltus
