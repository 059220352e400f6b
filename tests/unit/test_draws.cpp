// SPDX-License-Identifier: BSD-3-Clause
// Draws from rows: inversion of the distribution function, extreme weights, and the threshold of a jump.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/field.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/site_law.hpp>

#include "reference/harness.hpp"
#include "reference/noise.hpp"
#include "reference/stored_scores.hpp"

namespace saltus {
namespace {

using namespace reference;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double last_uniform = 1 - 0x1p-53;

// ------------------------------------------------------------------------------------------------ inversion

template <class Scalar>
struct RowOf {
  std::vector<Scalar> values;
  ScoreRow<Scalar> row;
  Partials<Scalar> scratch;
  RowSums sums;

  RowOf(std::vector<double> const& v, ScoreKind kind, int own)
      : values(v.begin(), v.end()),
        row{values.data(), static_cast<int>(v.size()), kind, Scalar(1)},
        sums(row.scan(own, scratch)) {}

  int draw(int own, Weights const& weights, double uniform) { return row.draw(own, weights, uniform, scratch); }
};

// Every draw must be the token at which the distribution function passes the uniform, summed here in long double;
// within `slack` of a step either side will do.
template <class Scalar>
void check_inversion(std::vector<double> const& v, ScoreKind kind, int own, double slope, double offset) {
  int const states = static_cast<int>(v.size());
  SCOPED_TRACE("S=" + std::to_string(states) + ", own " + std::to_string(own) + ", offset " + std::to_string(offset) +
               ", kind " + std::to_string(static_cast<int>(kind)) +
               (std::is_same_v<Scalar, float> ? ", float" : ", double"));
  RowOf<Scalar> r(v, kind, own);
  long double const unit =
      kind == ScoreKind::log_score ? std::exp(static_cast<long double>(*std::max_element(v.begin(), v.end()))) : 1;
  std::vector<long double> cumulated{0};
  std::vector<long double> w(v.size(), 0);
  for (int y = 0; y < states; ++y) {
    long double const x = static_cast<Scalar>(v[static_cast<std::size_t>(y)]);
    long double const weight = slope * (kind == ScoreKind::log_score ? std::exp(x) / unit : std::max(x, 0.0L)) + offset;
    if (y != own && weight > 0) w[static_cast<std::size_t>(y)] = weight;
    cumulated.push_back(cumulated.back() + w[static_cast<std::size_t>(y)]);
  }
  double const slack = std::is_same_v<Scalar, float> ? 2e-6 : 1e-13;
  Weights const weights{kind == ScoreKind::log_score ? slope / static_cast<double>(unit) : slope, offset, 0};
  double const total = r.row.weigh(own, weights, r.sums, r.scratch);
  EXPECT_NEAR(total / static_cast<double>(cumulated.back()), 1, 5 * slack);
  std::vector<double> uniforms{0, 0x1p-53, last_uniform};
  for (int i = 0; i < 400; ++i) uniforms.push_back((i + scramble(static_cast<std::uint64_t>(i))) / 400);
  for (double const u : uniforms) {
    int const y = r.draw(own, weights, u);
    ASSERT_GE(y, 0) << "no target at " << u;
    ASSERT_LT(y, states);
    auto const i = static_cast<std::size_t>(y);
    ASSERT_GT(w[i], 0) << "token " << y << " has no weight";
    double const before = static_cast<double>(cumulated[i] / cumulated.back()),
                 through = static_cast<double>(cumulated[i + 1] / cumulated.back());
    ASSERT_LE(before - slack, u);
    ASSERT_GE(through + slack, u);
  }
}

std::vector<double> some_weights(int states, std::uint64_t seed) {
  std::vector<double> v(static_cast<std::size_t>(states));
  for (std::size_t y = 0; y < v.size(); ++y) {
    double const u = scramble(seed * 999'983 + y);
    v[y] = u < 0.25 ? 0 : std::pow(u, 5);
  }
  v[v.size() / 2] = 0.3;
  return v;
}

template <class Scalar>
void check_inversions() {
  for (int const states : {2, 3, 21, 63, 64, 65, 511, 512, 513, 600, 1025, 65'536, 65'537, 70'000, 262'144}) {
    auto const v = some_weights(states, 1);
    for (int const own : {0, states / 3, states - 1}) {
      if (own == states / 2) continue;  // the only positive entry of two
      check_inversion<Scalar>(v, ScoreKind::score, own, 1.5, 0);
      if (states > 70'000) continue;
      check_inversion<Scalar>(v, ScoreKind::x0_leave_one_out, own, 0.75, 0.01);  // uniform noise, laws
      check_inversion<Scalar>(v, ScoreKind::score, own, 1, -0.02);               // uniform noise, inexact scores
      std::vector<double> logs(v);
      for (double& x : logs) x = std::log(x) - 40;
      check_inversion<Scalar>(logs, ScoreKind::log_score, own, 1, 0);
    }
  }
}

TEST(Draws, InvertTheDistributionFunctionInDouble) { check_inversions<double>(); }
TEST(Draws, InvertTheDistributionFunctionInFloat) { check_inversions<float>(); }

// A stretch far under the others has a positive sum and entries that underflow: uniform 0 must not end there.
TEST(Draws, UniformZeroPassesOverWhatUnderflowed) {
  for (double const low : {-100.0, -300.0, -700.0}) {
    for (int const states : {600, 1500}) {
      std::vector<double> v(static_cast<std::size_t>(states), low);
      for (int y = 512; y < states; ++y) v[static_cast<std::size_t>(y)] = 0;
      RowOf<float> single(v, ScoreKind::log_score, 0);
      EXPECT_GE(single.draw(0, {1, 0, 0}, 0), 0) << low << ", float";
      RowOf<double> twice(v, ScoreKind::log_score, 0);
      EXPECT_GE(twice.draw(0, {1, 0, 0}, 0), 0) << low << ", double";
      EXPECT_GE(single.draw(0, {1, 0, 0}, 0x1p-53), 512) << low;
      EXPECT_GE(twice.draw(0, {1, 0, 0}, 0x1p-53), 512) << low;
      EXPECT_EQ(single.draw(0, {1, 0, 0}, last_uniform), states - 1) << low;
    }
  }
}

TEST(Draws, NothingToDrawGivesNoTarget) {
  for (int const states : {3, 64, 65, 1500}) {
    std::vector<double> v(static_cast<std::size_t>(states), 0.0);
    v[1] = 5;  // the own entry
    for (double const u : {0.0, 0.5, last_uniform}) {
      EXPECT_EQ(RowOf<float>(v, ScoreKind::score, 1).draw(1, {1, 0, 0}, u), -1);
      EXPECT_EQ(RowOf<double>(v, ScoreKind::x0_leave_in, 1).draw(1, {1, 0, 0}, u), -1);
      std::vector<double> logs(v.size(), -infinity);
      logs[1] = 5;
      EXPECT_EQ(RowOf<float>(logs, ScoreKind::log_score, 1).draw(1, {1, 0, 0}, u), -1);
      EXPECT_EQ(RowOf<double>(logs, ScoreKind::log_score, 1).draw(1, {1, 0, 0}, u), -1);
    }
  }
}

TEST(Draws, ClosedFormRows) {
  UnitRow::Scratch nothing;
  for (int const states : {2, 3, 5, 1000, 262'144}) {
    UnitRow const row{states};
    RowSums const sums = row.scan(1, nothing);
    EXPECT_EQ(sums.others, states - 1);
    EXPECT_EQ(row.weigh(1, {0.25, 0, 0}, sums, nothing), 0.25 * (states - 1));
    for (int const own : {0, states / 2, states - 1}) {
      EXPECT_EQ(row.draw(own, {1, 0, 0}, 0, nothing), own == 0 ? 1 : 0);
      EXPECT_EQ(row.draw(own, {1, 0, 0}, last_uniform, nothing), own == states - 1 ? states - 2 : states - 1);
      for (int i = 0; i < 200; ++i) {
        int const y = row.draw(own, {1, 0, 0}, scramble(static_cast<std::uint64_t>(i)), nothing);
        EXPECT_TRUE(y >= 0 && y < states && y != own) << y;
      }
    }
  }
  // Equal thirds of [0, 1) go to equal tokens.
  for (int const own : {0, 1, 2, 3}) {
    std::vector<int> order;
    for (double const u : {0.1, 0.4, 0.9}) order.push_back(UnitRow{4}.draw(own, {1, 0, 0}, u, nothing));
    std::vector<int> expected{0, 1, 2, 3};
    expected.erase(expected.begin() + own);
    EXPECT_EQ(order, expected);
  }
  EXPECT_EQ(UnitRow{1}.draw(0, {1, 0, 0}, 0.5, nothing), -1);
  PointRow::Scratch none;
  PointRow const point{3};
  EXPECT_EQ(point.weigh(0, {0.5, 0, 0}, point.scan(0, none), none), 0.5);
  EXPECT_EQ(point.draw(0, {1, 0, 0}, last_uniform, none), 3);
}

// ------------------------------------------------------------------------------------------------ the event

// (word >> 11) < jump_threshold(p) must be uniform53(word) < p.
TEST(Draws, JumpThresholdIsTheComparisonOfTheUniform) {
  constexpr std::uint64_t top = (std::uint64_t{1} << 53) - 1;
  std::vector<double> ps{0,   1e-300,      0x1p-54, 0x1p-53, 1.5 * 0x1p-53, 1e-12,    0.1, 1.0 / 3,
                         0.5, 1 - 0x1p-53, 1,       2,       1e300,         infinity, -0.1};
  for (int i = 0; i < 200; ++i) ps.push_back(scramble(static_cast<std::uint64_t>(i)));
  for (double const p : ps) {
    std::uint64_t const threshold = jump_threshold(p);
    auto const guess = static_cast<std::uint64_t>(std::clamp(p, 0.0, 1.0) * 0x1p53);
    for (std::int64_t const shift : {-2, -1, 0, 1, 2}) {
      std::uint64_t const n =
          std::clamp<std::int64_t>(static_cast<std::int64_t>(guess) + shift, 0, static_cast<std::int64_t>(top));
      EXPECT_EQ(n < threshold, static_cast<double>(n) * 0x1p-53 < p) << p << ", " << n;
    }
    EXPECT_EQ(0 < threshold, 0 < p) << p;
    EXPECT_EQ(top < threshold, last_uniform < p) << p;
  }
  EXPECT_EQ(jump_threshold(std::numeric_limits<double>::quiet_NaN()), 0u);
  EXPECT_EQ(jump_threshold(1e-12), 9008u);  // ceil(9007.19...)
}

Process masked(ScoreKind kind, std::vector<double> const& row, bool as_float, bool normalise = true) {
  auto const states = static_cast<int>(row.size());
  token_t const mask = states / 2;
  std::shared_ptr<ScoreModel> model;
  if (as_float) {
    model = std::make_shared<StoredScores<float>>(kind, mask, std::vector<std::vector<double>>{row});
  } else {
    model = std::make_shared<StoredScores<double>>(kind, mask, std::vector<std::vector<double>>{row});
  }
  return Process::reverse(Generator::absorbing(states, mask), NoiseSchedule::log_linear(), model, normalise);
}

/// Tokens after one step to time `to` of `sites` masks; how often each token came.
std::vector<std::int64_t> histogram(Process& process, int sites, double to, double phi = 1,
                                    char const* name = "tweedie") {
  auto const mask = *process.generator().mask();
  State const state = to_state({std::vector<token_t>(static_cast<std::size_t>(sites), mask)}, 0.5);
  Counters const counters =
      advance_once(process, *make_integrator(name), state, one_step(process.noise(), {0.5, to}, phi));
  EXPECT_EQ(counters.bad_scores, 0);
  std::vector<std::int64_t> count(static_cast<std::size_t>(process.generator().states()), 0);
  Rows const after = to_rows(state.tokens);
  for (token_t const y : after[0]) ++count[static_cast<std::size_t>(y)];
  EXPECT_EQ(counters.jumps, sites - count[static_cast<std::size_t>(mask)]);
  return count;
}

TEST(Draws, JumpProbabilitiesZeroAndOne) {
  Process process = masked(ScoreKind::x0_leave_one_out, {1, 2, 99, 3}, true);
  EXPECT_EQ(histogram(process, 100'000, 0)[2], 0);                  // all are revealed
  EXPECT_EQ(histogram(process, 100'000, 0.25, 0)[2], 100'000);      // phi = 0
  EXPECT_EQ(histogram(process, 100'000, 0.25, 1e-13)[2], 100'000);  // 1e5 trials of 5e-14
  auto const some = histogram(process, 100'000, 0.25)[2];           // 50,000 +- 5 sigma (158)
  EXPECT_NEAR(static_cast<double>(some), 50'000, 800);
}

TEST(Draws, ZeroWeightsAndTheMaskAreNeverDrawn) {
  for (int const states : {5, 64, 65, 600}) {
    std::vector<double> row(static_cast<std::size_t>(states), 0.0);
    for (std::size_t y = 0; y < row.size(); y += 2) row[y] = 1 + scramble(y);
    row[static_cast<std::size_t>(states / 2)] = 1e6;  // the mask
    std::vector<double> logs(row);
    for (double& x : logs) x = std::log(x);
    for (bool const as_float : {true, false}) {
      for (ScoreKind const kind : {ScoreKind::x0_leave_one_out, ScoreKind::score, ScoreKind::log_score}) {
        Process process = masked(kind, kind == ScoreKind::log_score ? logs : row, as_float);
        auto const count = histogram(process, states < 600 ? 200'000 : 20'000, 0);
        for (std::size_t y = 0; y < row.size(); ++y) {
          if (row[y] == 0 || y == static_cast<std::size_t>(states / 2)) {
            EXPECT_EQ(count[y], 0) << y;
          } else if (states < 600) {
            EXPECT_GT(count[y], 0) << y;
          }
        }
      }
    }
  }
}

TEST(Draws, ASingleWeightIsAlwaysDrawn) {
  for (int const states : {2, 3, 64, 65, 1500, 70'000}) {
    for (int const only : {0, states / 3, states - 1}) {
      if (only == states / 2) continue;
      for (double const weight : {1e-30, 1.0, 1e30}) {
        std::vector<double> row(static_cast<std::size_t>(states), 0.0);
        row[static_cast<std::size_t>(only)] = weight;
        std::vector<double> logs(row);
        for (double& x : logs) x = std::log(x);
        for (bool const as_float : {true, false}) {
          int const sites = states > 1500 ? 20 : 500;
          Process plain = masked(ScoreKind::x0_leave_one_out, row, as_float),
                  logarithmic = masked(ScoreKind::log_score, logs, as_float);
          EXPECT_EQ(histogram(plain, sites, 0)[static_cast<std::size_t>(only)], sites)
              << states << ", " << only << ", " << weight;
          EXPECT_EQ(histogram(logarithmic, sites, 0)[static_cast<std::size_t>(only)], sites)
              << states << ", " << only << ", " << weight;
        }
      }
    }
  }
}

// Weights over 30 orders of magnitude: the two largest share the draws as they should, the others are never seen.
TEST(Draws, WeightsOverThirtyOrdersOfMagnitude) {
  for (int const states : {31, 70, 700}) {
    std::vector<double> row(static_cast<std::size_t>(states), 1e-15);
    row[0] = 1e15;
    row[static_cast<std::size_t>(states - 1)] = 3e15;
    row[1] = 1e0;
    for (bool const as_float : {true, false}) {
      Process process = masked(ScoreKind::score, row, as_float);
      auto const count = histogram(process, 40'000, 0);
      EXPECT_EQ(count.front() + count.back(), 40'000);
      EXPECT_NEAR(static_cast<double>(count.front()), 10'000, 5 * std::sqrt(7'500));
      std::vector<double> logs(row);
      for (double& x : logs) x = std::log(x);
      Process logarithmic = masked(ScoreKind::log_score, logs, as_float);
      auto const same = histogram(logarithmic, 40'000, 0);  // the same random numbers
      EXPECT_NEAR(static_cast<double>(same.front()), static_cast<double>(count.front()), 2);
    }
  }
}

// Under uniform noise: the own token is no target, and weights that are cut off at 0 are never drawn.
TEST(Draws, OwnAndCutOffTokensAreNeverDrawn) {
  for (int const states : {5, 65}) {
    for (bool const as_float : {true, false}) {
      std::vector<double> s(static_cast<std::size_t>(states), 1.0);
      s[3] = 1e-3;  // below the mean by so much that its weight is negative
      std::shared_ptr<ScoreModel> model;
      if (as_float) {
        model =
            std::make_shared<StoredScores<float>>(ScoreKind::score, std::nullopt, std::vector<std::vector<double>>{s});
      } else {
        model =
            std::make_shared<StoredScores<double>>(ScoreKind::score, std::nullopt, std::vector<std::vector<double>>{s});
      }
      Process process = Process::reverse(Generator::uniform(states), NoiseSchedule::constant(1, 2), model);
      State const state = to_state({std::vector<token_t>(50'000, 1)}, 1.5);
      Counters const counters =
          advance_once(process, *make_integrator("tweedie"), state, one_step(process.noise(), {1.5, 0.5}));
      std::vector<std::int64_t> count(static_cast<std::size_t>(states), 0);
      Rows const after = to_rows(state.tokens);
      for (token_t const y : after[0]) ++count[static_cast<std::size_t>(y)];
      EXPECT_EQ(count[3], 0);
      EXPECT_EQ(counters.jumps, 50'000 - count[1]) << "a jump to the own token was counted";
      for (std::size_t y = 0; y < count.size(); ++y) {
        if (y != 3) {
          EXPECT_GT(count[y], 0) << y;
        }
      }
    }
  }
}

// Numbers belong to (seed, sample, site, step) and not to a row's place in memory or its neighbours.
TEST(Draws, DependOnTheGlobalIndexAlone) {
  Process process = masked(ScoreKind::x0_leave_one_out, {1, 2, 99, 3, 4}, true);
  auto const advanced = [&](std::size_t rows, std::uint64_t first, int step) {
    State state = to_state(Rows(rows, std::vector<token_t>(131, 2)), 0.5);
    state.first_sample = first;
    advance_once(process, *make_integrator("tweedie"), state, one_step(process.noise(), {0.5, 0.2}), 9, step);
    return to_rows(state.tokens);
  };
  std::uint64_t const far = (std::uint64_t{1} << 40) + 3;
  auto const all = advanced(6, far, 2), tail = advanced(2, far + 4, 2);
  EXPECT_EQ(all[4], tail[0]);
  EXPECT_EQ(all[5], tail[1]);
  EXPECT_NE(all[0], all[1]);
  EXPECT_NE(advanced(1, 3, 2)[0], all[0]) << "the index of the sample was cut to 32 bits";
  EXPECT_NE(advanced(1, far, 3)[0], all[0]) << "steps share their numbers";
}

}  // namespace
}  // namespace saltus
