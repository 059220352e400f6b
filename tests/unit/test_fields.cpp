// SPDX-License-Identifier: BSD-3-Clause
// The laws that integrators draw sites from, against the formulas of A§4 and A§7 (tests/reference/site_law.hpp): every
// structure, kind of score, scalar type and place of the mask.
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

#include "reference/harness.hpp"
#include "reference/site_law.hpp"
#include "reference/stored_scores.hpp"

namespace saltus {
namespace {

using namespace reference;

constexpr ScoreKind kinds[] = {ScoreKind::score, ScoreKind::log_score, ScoreKind::x0_leave_in,
                               ScoreKind::x0_leave_one_out};
constexpr char const* integrators[] = {"euler", "tweedie"};
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

struct Case {
  Noise noise;
  double from, to;
};
std::vector<Case> const cases{{{Noise::Kind::log_linear, 1e-3}, 0.7, 0.45},
                              {{Noise::Kind::cosine, 1e-3}, 0.99, 0.8},
                              {{Noise::Kind::geometric, 1e-4, 20}, 0.8, 0.75},
                              {{Noise::Kind::constant, 2.5, 0, 3}, 0.02, 0.01}};

/// A law over `states` tokens with a wide spread and, if there is room, an impossible token; nothing on the mask.
Reals some_law(int states, std::optional<int> mask, std::uint64_t seed) {
  Reals law(static_cast<std::size_t>(states));
  for (std::size_t y = 0; y < law.size(); ++y) law[y] = std::pow(scramble(seed * 1'000'003 + y) + 1e-3, 6.0);
  if (states > 20) law[11] = 0;
  if (mask) law[static_cast<std::size_t>(*mask)] = 0;
  long double const sum = std::accumulate(law.begin(), law.end(), 0.0L);
  for (long double& x : law) x /= sum;
  return law;
}

std::vector<double> to_double(Reals const& row) { return {row.begin(), row.end()}; }

/// What is left of the numbers once they are stored as Scalar.
template <class Scalar>
Reals stored(Reals row) {
  for (long double& x : row) x = static_cast<Scalar>(static_cast<double>(x));
  return row;
}

template <class Scalar>
constexpr double tolerance = std::is_same_v<Scalar, float> ? 1e-5 : 1e-12;

testing::AssertionResult agree(std::vector<double> const& law, SiteLaw const& expected, double relative) {
  for (std::size_t y = 0; y < law.size(); ++y) {
    auto const scale = std::max(expected.p[y], expected.terms[y]);
    if (!(std::abs(law[y] - expected.p[y]) <= relative * scale)) {
      return testing::AssertionFailure() << "token " << y << ": " << law[y] << ", expected "
                                         << static_cast<double>(expected.p[y]) << " +- "
                                         << static_cast<double>(relative * scale);
    }
  }
  return testing::AssertionSuccess();
}

std::string describe(Case const& c, ScoreKind kind, int states, std::string const& integrator) {
  return c.noise.schedule().describe() + ", kind " + std::to_string(static_cast<int>(kind)) +
         ", S=" + std::to_string(states) + ", " + integrator;
}

template <class Scalar>
Process masked_process(Noise const& noise, ScoreKind kind, int states, token_t mask,
                       std::vector<std::vector<double>> const& rows, bool normalise = false) {
  return Process::reverse(Generator::absorbing(states, mask), noise.schedule(),
                          std::make_shared<StoredScores<Scalar>>(kind, mask, rows), normalise);
}
template <class Scalar>
Process uniform_process(Noise const& noise, ScoreKind kind, int states, std::vector<std::vector<double>> const& rows) {
  return Process::reverse(Generator::uniform(states), noise.schedule(),
                          std::make_shared<StoredScores<Scalar>>(kind, std::nullopt, rows));
}

SiteLaw twin(std::string const& integrator, Site const& site, StepNoise const& noise) {
  return integrator == "euler" ? euler_reverse(site, noise) : tweedie_reverse(site, noise);
}

std::vector<int> mask_places(int states) {
  if (states == 2) return {1, 0};
  return {states - 1, 0, states / 2};
}

// Sites: a mask, a revealed token, a mask, a frozen mask. Masks have different rows.
template <class Scalar>
void check_masked(Case const& c, int states) {
  StepNoise const noise(c.noise, c.from, c.to);
  for (int const mask : mask_places(states)) {
    int const token = (mask + 1) % states;
    for (ScoreKind const kind : kinds) {
      std::vector<Reals> rows;
      std::vector<std::vector<double>> values;
      for (std::uint64_t l = 0; l < 4; ++l) {
        rows.push_back(stored<Scalar>(row_of_kind(kind, some_law(states, mask, l), mask, mask, noise)));
        values.push_back(to_double(rows.back()));
      }
      for (bool const normalise : {false, true}) {
        Process process = masked_process<Scalar>(c.noise, kind, states, mask, values, normalise);
        State state = to_state({{mask, token, mask, mask}}, c.from);
        state.frozen = to_frozen({{0, 0, 0, 1}});
        for (auto const* const name : integrators) {
          SCOPED_TRACE(describe(c, kind, states, name) + ", mask " + std::to_string(mask) +
                       (normalise ? ", normalised" : ""));
          auto const laws =
              site_laws(process, *make_integrator(name), state, one_step(c.noise.schedule(), {c.from, c.to}));
          for (int const l : {0, 2}) {
            Site const site{kind, rows[static_cast<std::size_t>(l)], mask, mask, normalise};
            EXPECT_TRUE(agree(laws[0][static_cast<std::size_t>(l)], twin(name, site, noise), tolerance<Scalar>));
          }
          EXPECT_TRUE(agree(laws[0][1], stays({kind, rows[1], token, mask}), 0)) << "a revealed token moved";
          EXPECT_TRUE(agree(laws[0][3], stays({kind, rows[3], mask, mask}), 0)) << "a frozen site moved";
        }
      }
    }
  }
}

// Sites: the first, the middle and the last token, and a frozen one.
template <class Scalar>
void check_uniform(Case const& c, int states) {
  StepNoise const noise(c.noise, c.from, c.to);
  std::vector<token_t> const own{0, states / 2, states - 1, states - 1};
  for (ScoreKind const kind : kinds) {
    std::vector<Reals> rows;
    std::vector<std::vector<double>> values;
    for (std::size_t l = 0; l < own.size(); ++l) {
      rows.push_back(stored<Scalar>(row_of_kind(kind, some_law(states, {}, l), own[l], {}, noise)));
      // The own entry of a score counts as 1 whatever is stored.
      if (!is_x0(kind)) rows.back()[static_cast<std::size_t>(own[l])] = nan;
      values.push_back(to_double(rows.back()));
    }
    Process process = uniform_process<Scalar>(c.noise, kind, states, values);
    State state = to_state({own}, c.from);
    state.frozen = to_frozen({{0, 0, 0, 1}});
    for (auto const* const name : integrators) {
      SCOPED_TRACE(describe(c, kind, states, name));
      auto const laws = site_laws(process, *make_integrator(name), state, one_step(c.noise.schedule(), {c.from, c.to}));
      for (std::size_t l = 0; l < 3; ++l) {
        EXPECT_TRUE(agree(laws[0][l], twin(name, {kind, rows[l], own[l], {}}, noise), tolerance<Scalar>))
            << "site " << l;
      }
      EXPECT_TRUE(agree(laws[0][3], stays({kind, rows[3], own[3], {}}), 0)) << "a frozen site moved";
    }
  }
}

TEST(Fields, ReverseMaskedInDouble) {
  for (Case const& c : cases) {
    for (int const states : {2, 3, 21, 33, 64, 65, 600}) check_masked<double>(c, states);
  }
  check_masked<double>(cases[0], 70'000);
}
TEST(Fields, ReverseMaskedInFloat) {
  for (Case const& c : cases) {
    for (int const states : {2, 3, 21, 33, 64, 65, 600}) check_masked<float>(c, states);
  }
  check_masked<float>(cases[0], 70'000);
}
TEST(Fields, ReverseUniformInDouble) {
  for (Case const& c : cases) {
    for (int const states : {2, 3, 21, 33, 64, 65, 600}) check_uniform<double>(c, states);
  }
  check_uniform<double>(cases[0], 70'000);
}
TEST(Fields, ReverseUniformInFloat) {
  for (Case const& c : cases) {
    for (int const states : {2, 3, 21, 33, 64, 65, 600}) check_uniform<float>(c, states);
  }
  check_uniform<float>(cases[0], 70'000);
}

// The two roads of the twin itself: Tweedie from scores (A§7.2) and from the law (A§17.1).
TEST(Fields, TwinsOfTweedieAgree) {
  for (Case const& c : cases) {
    StepNoise const noise(c.noise, c.from, c.to);
    Reals const law = some_law(21, {}, 5);
    Reals const direct = tweedie_from_law(law, 4, noise);
    for (ScoreKind const kind : kinds) {
      SiteLaw const other = tweedie_reverse({kind, row_of_kind(kind, law, 4, {}, noise), 4, {}}, noise);
      for (std::size_t y = 0; y < direct.size(); ++y) {
        EXPECT_NEAR(static_cast<double>(other.p[y]), static_cast<double>(direct[y]), 1e-16);
      }
    }
  }
}

// The four kinds are four ways of writing one law: the library has to draw from the same site law for all of them.
TEST(Fields, KindsOfOneLawGiveOneSiteLaw) {
  for (Case const& c : cases) {
    StepNoise const noise(c.noise, c.from, c.to);
    for (int const states : {2, 3, 21, 64, 65, 600}) {
      Reals const law = some_law(states, {}, 3);
      auto const own = static_cast<token_t>(states / 3);
      SiteLaw expected{tweedie_from_law(law, own, noise), {}};
      // The rows are rounded to double; where scores cancel, the law moves by their rounding.
      expected.terms =
          tweedie_reverse({ScoreKind::score, row_of_kind(ScoreKind::score, law, own, {}, noise), own, {}}, noise).terms;
      Reals const masked_law = some_law(states, states - 1, 3);
      for (ScoreKind const kind : kinds) {
        SCOPED_TRACE(describe(c, kind, states, "tweedie"));
        Process process =
            uniform_process<double>(c.noise, kind, states, {to_double(row_of_kind(kind, law, own, {}, noise))});
        StepTable const step = one_step(c.noise.schedule(), {c.from, c.to});
        EXPECT_TRUE(agree(site_laws(process, *make_integrator("tweedie"), to_state({{own}}, c.from), step)[0][0],
                          expected, 1e-12));

        Process masked =
            masked_process<double>(c.noise, kind, states, states - 1,
                                   {to_double(row_of_kind(kind, masked_law, states - 1, states - 1, noise))});
        Site const site{ScoreKind::x0_leave_one_out, masked_law, states - 1, states - 1};
        EXPECT_TRUE(agree(site_laws(masked, *make_integrator("tweedie"), to_state({{states - 1}}, c.from), step)[0][0],
                          tweedie_reverse(site, noise), 1e-12));
      }
    }
  }
}

TEST(Fields, ForwardLaws) {
  for (Case const& c : cases) {
    StepNoise const noise(c.noise, c.to, c.from);  // the times of the case, upwards
    for (double const phi : {1.0, 0.3, 1.7}) {
      StepTable const step = one_step(c.noise.schedule(), {c.to, c.from}, phi);
      for (int const states : {2, 3, 21, 65}) {
        for (int const mask : mask_places(states)) {
          for (bool const absorbing : {true, false}) {
            Process process = Process::forward(
                absorbing ? Generator::absorbing(states, mask) : Generator::uniform(states), c.noise.schedule());
            std::vector<token_t> const own{0, states - 1, mask, states / 2};
            State const state = to_state({own}, c.to);
            for (auto const* const name : integrators) {
              SCOPED_TRACE(describe(c, ScoreKind::score, states, name) + (absorbing ? ", absorbing" : ", uniform"));
              auto const laws = site_laws(process, *make_integrator(name), state, step);
              for (std::size_t l = 0; l < own.size(); ++l) {
                Site site{ScoreKind::score, Reals(static_cast<std::size_t>(states), 0), own[l], {}};
                if (absorbing) site.mask = mask;
                site.phi = static_cast<long double>(phi);
                SiteLaw const expected =
                    std::string(name) == "euler" ? euler_forward(site, noise) : tweedie_forward(site, noise);
                EXPECT_TRUE(agree(laws[0][l], expected, 1e-12)) << "site " << l;
              }
            }
          }
        }
      }
    }
  }
}

// A§7.2: s = (1, .05, 3, 1.5, .45) with e^delta = 1.626 gives the entries -0.67 and -0.02: clamped, the rest
// renormalised.
TEST(Fields, InexactScoresAreClampedAndRenormalised) {
  Noise const noise{Noise::Kind::constant, 1};
  double const delta = std::log(1.626);
  std::vector<double> const s{1, 0.05, 3, 1.5, 0.45};
  Process process = uniform_process<double>(noise, ScoreKind::score, 5, {s});
  StepTable const step = one_step(noise.schedule(), {0.75 + delta / 2 - 0.25, 0.75 - delta / 2 - 0.25});
  auto const law = site_laws(process, *make_integrator("tweedie"), to_state({{0}}, 0.5), step)[0][0];
  // sum s = 6; q_y = 1.626 s_y - 0.626 * 6/5; kernel (1 - r)/5 with r = 1/1.626, plus r for the own token
  double const pull = 0.626 * 6 / 5, off = (1 - 1 / 1.626) / 5;
  EXPECT_NEAR(1.626 * 0.05 - pull, -0.67, 0.005);
  EXPECT_NEAR(1.626 * 0.45 - pull, -0.02, 0.005);
  std::vector<double> const w{(1.626 - pull) * (off + 1 / 1.626), 0, (1.626 * 3 - pull) * off,
                              (1.626 * 1.5 - pull) * off, 0};
  double const total = w[0] + w[2] + w[3];
  for (std::size_t y = 0; y < 5; ++y) EXPECT_NEAR(law[y], w[y] / total, 1e-14) << y;
}

TEST(Fields, ClampsAreCounted) {
  Noise const noise{Noise::Kind::constant, 1};
  // Weights below 0: as above.
  Process inexact = uniform_process<double>(noise, ScoreKind::score, 5, {{1, 0.05, 3, 1.5, 0.45}});
  StepTable const step = one_step(noise.schedule(), {0.75, 0.75 - std::log(1.626)});
  EXPECT_EQ(advance_once(inexact, *make_integrator("tweedie"), to_state({{0, 0, 0}}, 0.75), step).clamps, 3);
  Process exact = uniform_process<double>(noise, ScoreKind::score, 5, {{1, 1, 1, 1, 1}});
  EXPECT_EQ(advance_once(exact, *make_integrator("tweedie"), to_state({{0, 0, 0}}, 0.75), step).clamps, 0);
  // The exact scores of a law with impossible tokens, down to the end of a run: rounding is not a clamp.
  Noise const real{Noise::Kind::log_linear, 1e-3};
  for (double const from : {0.5, 0.01, 2e-5}) {
    StepNoise const to_end(real, from, 1e-5);
    std::vector<double> const scores = to_double(row_of_kind(ScoreKind::score, some_law(21, {}, 3), 4, {}, to_end));
    Process possible = uniform_process<double>(real, ScoreKind::score, 21, {scores});
    StepTable const last = one_step(real.schedule(), {from, 1e-5});
    EXPECT_EQ(advance_once(possible, *make_integrator("tweedie"), to_state({{4, 4}}, from), last).clamps, 0) << from;
  }
  // Jump probabilities above 1: masked, rate h sigma sum s = 0.5 * 4.
  Process steep = masked_process<double>(noise, ScoreKind::score, 3, 2, {{1, 3, 0}});
  StepTable const half = one_step(noise.schedule(), {0.75, 0.25});
  for (auto const* const name : integrators) {
    State const state = to_state({{2, 0, 2, 2}}, 0.75);
    Counters const counters = advance_once(steep, *make_integrator(name), state, half);
    EXPECT_EQ(counters.clamps, 3) << name;
    EXPECT_EQ(counters.jumps, 3) << name;
  }
  Process gentle = masked_process<double>(noise, ScoreKind::score, 3, 2, {{0.5, 0.5, 0}});
  for (auto const* const name : integrators) {
    EXPECT_EQ(advance_once(gentle, *make_integrator(name), to_state({{2, 0, 2, 2}}, 0.75), half).clamps, 0) << name;
  }
}

// Networks put out negative "scores" and "probabilities": they count as 0.
TEST(Fields, NegativeEntriesCountAsZero) {
  Case const& c = cases[0];
  StepNoise const noise(c.noise, c.from, c.to);
  for (ScoreKind const kind : {ScoreKind::score, ScoreKind::x0_leave_in, ScoreKind::x0_leave_one_out}) {
    for (std::optional<int> const mask : {std::optional<int>(2), std::optional<int>()}) {
      for (int const states : {5, 64, 65, 600}) {
        token_t const own = mask.value_or(1);
        Reals row = row_of_kind(kind, some_law(states, mask, 4), own, mask, noise);
        for (std::size_t y = 0; y < row.size(); y += 3) row[y] *= static_cast<token_t>(y) == own ? 1 : -0.5L;
        ASSERT_LT(*std::min_element(row.begin(), row.end()), 0);
        Process process = mask ? masked_process<double>(c.noise, kind, states, *mask, {to_double(row)})
                               : uniform_process<double>(c.noise, kind, states, {to_double(row)});
        for (auto const* const name : integrators) {
          SCOPED_TRACE(describe(c, kind, states, name) + (mask ? ", masked" : ", uniform"));
          auto const got = site_laws(process, *make_integrator(name), to_state({{own}}, c.from),
                                     one_step(c.noise.schedule(), {c.from, c.to}))[0][0];
          EXPECT_TRUE(agree(got, twin(name, {kind, row, own, mask}, noise), 1e-12));
        }
      }
    }
  }
}

TEST(Fields, PhiScalesTheJumpsOfMasks) {
  Case const& c = cases[0];
  StepNoise const noise(c.noise, c.from, c.to);
  for (ScoreKind const kind : kinds) {
    Reals const row = row_of_kind(kind, some_law(7, 3, 2), 3, 3, noise);
    Process process = masked_process<double>(c.noise, kind, 7, 3, {to_double(row)});
    for (auto const* const name : integrators) {
      SCOPED_TRACE(describe(c, kind, 7, name));
      auto const law_with = [&](double phi, bool forced) {
        return site_laws(process, *make_integrator(name), to_state({{3}}, c.from),
                         one_step(c.noise.schedule(), {c.from, c.to}, phi, 1, forced))[0][0];
      };
      auto const plain = law_with(1, false), scaled = law_with(1.75, false), surely = law_with(100, false),
                 forced = law_with(0.3, true);
      double const jump = 1 - plain[3];
      EXPECT_NEAR(1 - scaled[3], 1.75 * jump, 1e-14);
      EXPECT_EQ(surely[3], 0);
      EXPECT_EQ(forced[3], 0) << "a forced step does not use phi";
      for (std::size_t y = 0; y < 7; ++y) {
        if (y == 3) continue;
        EXPECT_NEAR(scaled[y], 1.75 * plain[y], 1e-14);
        EXPECT_NEAR(surely[y], plain[y] / jump, 1e-14);
        EXPECT_NEAR(forced[y], plain[y] / jump, 1e-14);
      }
    }
  }
}

// A§7.2: phi multiplies s_y, y != own, and nothing else; the kinds of the clean token go through their scores.
TEST(Fields, PhiScalesTheOtherScoresUnderUniformNoise) {
  for (Case const& c : cases) {
    StepNoise const noise(c.noise, c.from, c.to);
    Reals const law = some_law(9, {}, 2);
    token_t const own = 4;
    for (double const phi : {0.4, 1.6}) {
      for (ScoreKind const kind : kinds) {
        Reals const row = row_of_kind(kind, law, own, {}, noise);
        Process process = uniform_process<double>(c.noise, kind, 9, {to_double(row)});
        for (auto const* const name : integrators) {
          SCOPED_TRACE(describe(c, kind, 9, name));
          auto const got = site_laws(process, *make_integrator(name), to_state({{own}}, c.from),
                                     one_step(c.noise.schedule(), {c.from, c.to}, phi))[0][0];
          EXPECT_TRUE(agree(got, twin(name, {kind, row, own, {}, false, phi}, noise), 1e-12));
          // by hand: the same law from scores that are multiplied beforehand
          Reals multiplied = row_of_kind(ScoreKind::score, law, own, {}, noise);
          for (long double& x : multiplied) x *= static_cast<long double>(phi);
          EXPECT_TRUE(agree(got, twin(name, {ScoreKind::score, multiplied, own, {}}, noise), 1e-12));
        }
      }
    }
  }
}

TEST(Fields, PowerOfTheScore) {
  Case const& c = cases[0];
  StepNoise const noise(c.noise, c.from, c.to);
  for (std::optional<int> const mask : {std::optional<int>(5), std::optional<int>()}) {
    for (int const states : {21, 70}) {
      token_t const own = mask.value_or(4);
      for (double const power : {0.5, 1.5}) {
        for (ScoreKind const kind : {ScoreKind::score, ScoreKind::log_score}) {
          Reals const row = row_of_kind(kind, some_law(states, mask, 8), own, mask, noise);
          for (auto const* const name : integrators) {
            SCOPED_TRACE(describe(c, kind, states, name));
            Process process = mask ? masked_process<double>(c.noise, kind, states, *mask, {to_double(row)})
                                   : uniform_process<double>(c.noise, kind, states, {to_double(row)});
            auto const got = site_laws(process, *make_integrator(name), to_state({{own}}, c.from),
                                       one_step(c.noise.schedule(), {c.from, c.to}, 1, power))[0][0];
            Site const site{kind, row, own, mask, false, 1, static_cast<long double>(power)};
            EXPECT_TRUE(agree(got, twin(name, site, noise), 1e-12));
          }
        }
      }
    }
  }
}

// ------------------------------------------------------------------------------------------------ logarithmic rows

struct LogRow {
  std::string name;
  std::vector<double> values;
};

// Rows whose naive exponentials overflow, underflow, or do so in some blocks only.
std::vector<LogRow> log_rows(int states) {
  auto const n = static_cast<std::size_t>(states);
  std::vector<double> base(n);
  for (std::size_t y = 0; y < n; ++y) base[y] = 8 * scramble(y) - 5;
  std::vector<LogRow> rows{{"plain", base}};
  for (double const offset : {-300.0, -80.0, -46.0, 46.0, 80.0, 300.0}) {
    auto shifted = base;
    for (double& x : shifted) x += offset;
    rows.push_back({"offset " + std::to_string(offset), shifted});
  }
  for (double const level : {-250.0, 0.0, 150.0}) {
    for (std::size_t place = 0; place < 3; ++place) {  // one stretch far above the others: first, middle, last
      auto peak = base;
      std::size_t const width = std::max<std::size_t>(n / 3, 1), begin = place == 2 ? n - width : place * width;
      for (std::size_t y = 0; y < n; ++y) peak[y] += level + (y >= begin && y < begin + width ? 100 : 0);
      rows.push_back({"peak " + std::to_string(place) + " at " + std::to_string(level), peak});
    }
  }
  auto holes = base;
  for (std::size_t y = 0; y < n; ++y) {
    if (scramble(y + 77) < 0.5 && y != n / 2) holes[y] = -infinity;
  }
  rows.push_back({"-inf entries", holes});
  auto late = base;  // nothing before the middle, then far below 0
  for (std::size_t y = 0; y < n; ++y) late[y] = y < n / 2 ? -infinity : base[y] - 200;
  rows.push_back({"late and low", late});
  for (std::size_t const only : {std::size_t{1}, n / 2, n - 1}) {
    std::vector<double> single(n, -infinity);
    single[only] = -123.25;
    rows.push_back({"only " + std::to_string(only), single});
  }
  for (double const slope : {-400.0, 400.0}) {  // every block needs another shift
    std::vector<double> ramp(n);
    for (std::size_t y = 0; y < n; ++y) ramp[y] = slope * static_cast<double>(y) / static_cast<double>(n);
    rows.push_back({"ramp " + std::to_string(slope), ramp});
  }
  return rows;
}

template <class Scalar>
void check_log_rows(int states) {
  Noise const noise{Noise::Kind::log_linear, 1e-3};
  for (LogRow const& r : log_rows(states)) {
    Reals const row = stored<Scalar>(Reals(r.values.begin(), r.values.end()));
    Kokkos::View<Scalar*, HostSpace> const values("test::row", row.size());
    for (std::size_t y = 0; y < row.size(); ++y) values(y) = static_cast<Scalar>(row[y]);
    token_t const own = 0;
    SCOPED_TRACE(r.name + ", S=" + std::to_string(states) + (std::is_same_v<Scalar, float> ? ", float" : ", double"));

    // The sum in true units, and entries.
    ScoreRow<Scalar> const scored{values.data(), states, ScoreKind::log_score, Scalar(1)};
    Partials<Scalar> scratch;
    RowSums const sums = scored.scan(own, scratch);
    long double sum = 0;
    for (std::size_t y = 1; y < row.size(); ++y) sum += std::exp(row[y]);
    EXPECT_NEAR(sums.others / static_cast<double>(sum), 1, tolerance<Scalar>);
    EXPECT_EQ(sums.own, 1);
    for (std::size_t y = 1; y < row.size(); y += 1 + row.size() / 13) {
      // Entries 20 digits under the sum may be lost.
      EXPECT_NEAR(scored.value(static_cast<int>(y), scratch) / static_cast<double>(sum),
                  static_cast<double>(std::exp(row[y]) / sum),
                  tolerance<Scalar> * static_cast<double>(std::exp(row[y]) / sum) + 1e-17);
    }

    // The law of a mask that is revealed for sure, and that of a site under uniform noise.
    Process process = masked_process<Scalar>(noise, ScoreKind::log_score, states, own, {to_double(row)}, true);
    auto const law = site_laws(process, *make_integrator("tweedie"), to_state({{own}}, 0.5),
                               one_step(noise.schedule(), {0.5, 0}))[0][0];
    EXPECT_EQ(law[0], 0);
    for (std::size_t y = 1; y < row.size(); ++y) {
      double const expected = static_cast<double>(std::exp(row[y]) / sum);
      ASSERT_NEAR(law[y], expected, tolerance<Scalar> * expected + 1e-17) << y;
    }
    Process uniform = uniform_process<Scalar>(noise, ScoreKind::log_score, states, {to_double(row)});
    StepNoise const step(noise, 0.5, 0.4);
    for (auto const* const name : integrators) {
      auto const got = site_laws(uniform, *make_integrator(name), to_state({{own}}, 0.5),
                                 one_step(noise.schedule(), {0.5, 0.4}))[0][0];
      SiteLaw expected = twin(name, {ScoreKind::log_score, row, own, {}}, step);
      for (long double& x : expected.terms) x += 1e-12L;  // lost entries, relative to the whole
      EXPECT_TRUE(agree(got, expected, tolerance<Scalar>)) << name;
    }
  }
}

TEST(Fields, LogScoresFarFromZeroInDouble) {
  for (int const states : {21, 64, 65, 600, 1537}) check_log_rows<double>(states);
  check_log_rows<double>(70'000);
}
TEST(Fields, LogScoresFarFromZeroInFloat) {
  for (int const states : {21, 64, 65, 600, 1537}) check_log_rows<float>(states);
  check_log_rows<float>(70'000);
}

// --------------------------------------------------------------------------------------------------- bad scores

// Site 1 of three has a bad row: it is counted, named and left alone, and the others go on.
template <class Scalar>
void check_bad(ScoreKind kind, bool masked, bool normalise, char const* name, int states,
               std::vector<double> const& bad) {
  SCOPED_TRACE(std::string(name) + ", kind " + std::to_string(static_cast<int>(kind)) +
               (masked ? ", masked" : ", uniform") + (normalise ? ", normalised" : "") +
               ", S=" + std::to_string(states) + (std::is_same_v<Scalar, float> ? ", float" : ", double"));
  Noise const noise{Noise::Kind::log_linear, 1e-3};
  // good rows jump for sure or nearly so
  double const high = kind == ScoreKind::log_score ? 5 : 200;
  std::vector<double> const good(static_cast<std::size_t>(states), high);
  std::vector<std::vector<double>> const rows{good, bad, good};
  auto const own = static_cast<token_t>(states - 1);
  Process process = masked ? masked_process<Scalar>(noise, kind, states, own, rows, normalise)
                           : uniform_process<Scalar>(noise, kind, states, rows);
  State const state = to_state({{own, own, own}}, 0.5);
  StepTable const step = one_step(noise.schedule(), {0.5, 0}, 1);
  Counters const counters = advance_once(process, *make_integrator(name), state, step, 1, 6);
  EXPECT_EQ(counters.bad_scores, 1);
  EXPECT_EQ(counters.bad_site, 1);
  EXPECT_EQ(counters.bad_row, 0);
  EXPECT_EQ(counters.bad_step, 6);
  auto const after = to_rows(state.tokens)[0];
  EXPECT_EQ(after[1], own);
  if (masked) {
    EXPECT_NE(after[0], own);
    EXPECT_NE(after[2], own);
    EXPECT_EQ(counters.jumps, 2);
  }
}

template <class Scalar>
void check_all_bad(std::vector<ScoreKind> const& which, std::vector<std::vector<double>> (*bad_rows)(int)) {
  for (ScoreKind const kind : which) {
    for (auto const* const name : integrators) {
      for (int const states : {5, 64, 65, 1500}) {
        for (auto const& row : bad_rows(states)) {
          check_bad<Scalar>(kind, true, true, name, states, row);
          if (!is_x0(kind)) check_bad<Scalar>(kind, true, false, name, states, row);
          check_bad<Scalar>(kind, false, false, name, states, row);
        }
      }
    }
  }
}

TEST(Fields, NotANumberIsCountedAndLeftAlone) {
  auto const rows = [](int states) {
    std::vector<std::vector<double>> out;
    for (int const place : {0, states / 2, states - 2}) {
      out.emplace_back(static_cast<std::size_t>(states), 1.0);
      out.back()[static_cast<std::size_t>(place)] = nan;
      out.push_back(out.back());
      out.back()[static_cast<std::size_t>(place)] = -nan;
    }
    return out;
  };
  check_all_bad<double>({std::begin(kinds), std::end(kinds)}, rows);
  check_all_bad<float>({std::begin(kinds), std::end(kinds)}, rows);
}

TEST(Fields, InfiniteScoresAreCountedAndLeftAlone) {
  auto const rows = [](int states) {
    std::vector<std::vector<double>> out;
    for (int const place : {0, states / 2, states - 2}) {
      out.emplace_back(static_cast<std::size_t>(states), 1.0);
      out.back()[static_cast<std::size_t>(place)] = infinity;
    }
    return out;
  };
  check_all_bad<double>({std::begin(kinds), std::end(kinds)}, rows);
  check_all_bad<float>({std::begin(kinds), std::end(kinds)}, rows);
}

// Rows that are laws must have a target. Scores that are all 0 are rates that are all 0: the mask stays, whatever the
// integrator, until it is forced.
TEST(Fields, MaskedRowsWithoutTarget) {
  Noise const noise{Noise::Kind::log_linear, 1e-3};
  for (auto const* const name : integrators) {
    for (int const states : {5, 64, 65, 1500}) {
      std::vector<double> none(static_cast<std::size_t>(states), -infinity),
          zero(static_cast<std::size_t>(states), 0.0);
      none.back() = zero.back() = 1;  // the mask's own column is no target
      check_bad<double>(ScoreKind::log_score, true, true, name, states, none);
      check_bad<float>(ScoreKind::log_score, true, true, name, states, none);
      check_bad<double>(ScoreKind::score, true, true, name, states, zero);
      check_bad<float>(ScoreKind::x0_leave_one_out, true, true, name, states, zero);
      check_bad<double>(ScoreKind::x0_leave_in, true, true, name, states, zero);
      for (ScoreKind const kind : {ScoreKind::score, ScoreKind::log_score}) {
        auto const mask = static_cast<token_t>(states - 1);
        Process process = masked_process<double>(noise, kind, states, mask, {kind == ScoreKind::score ? zero : none});
        for (bool const forced : {false, true}) {
          SCOPED_TRACE(std::string(name) + ", S=" + std::to_string(states) + (forced ? ", forced" : ""));
          State const state = to_state({{mask, mask, mask}}, 0.5);
          Counters const counters = advance_once(process, *make_integrator(name), state,
                                                 one_step(noise.schedule(), {0.5, 0.25}, 1, 1, forced));
          EXPECT_EQ(counters.bad_scores, forced ? 3 : 0);
          EXPECT_EQ(counters.jumps, 0);
          EXPECT_EQ(to_rows(state.tokens), (Rows{{mask, mask, mask}}));
        }
        auto const law = site_laws(process, *make_integrator(name), to_state({{mask}}, 0.5),
                                   one_step(noise.schedule(), {0.5, 0.25}))[0][0];
        EXPECT_TRUE(agree(law, stays({kind, Reals(static_cast<std::size_t>(states)), mask, mask}), 0)) << name;
      }
    }
  }
}

// The law of a bad site is undefined and must not look like one: exact laws are summed over it.
TEST(Fields, LawsOfBadSitesAreNotNumbers) {
  Noise const noise{Noise::Kind::log_linear, 1e-3};
  StepTable const step = one_step(noise.schedule(), {0.5, 0.25});
  for (ScoreKind const kind : kinds) {
    for (double const junk : {nan, infinity}) {
      std::vector<std::vector<double>> const rows{{1, 1, 1, 1}, {1, junk, 1, 1}};
      for (auto const* const name : integrators) {
        for (bool const masked : {true, false}) {
          for (bool const normalise : {true, false}) {
            SCOPED_TRACE(std::string(name) + ", kind " + std::to_string(static_cast<int>(kind)) +
                         (masked ? ", masked" : ", uniform") + (normalise ? ", normalised, " : ", ") +
                         std::to_string(junk));
            Process process = masked ? masked_process<double>(noise, kind, 4, 3, rows, normalise)
                                     : uniform_process<double>(noise, kind, 4, rows);
            auto const laws = site_laws(process, *make_integrator(name), to_state({{3, 3}}, 0.5), step);
            EXPECT_FALSE(std::isnan(laws[0][0][0]));
            EXPECT_TRUE(std::isnan(laws[0][1][0])) << laws[0][1][0];
          }
        }
      }
    }
  }
}

// Networks may leave anything in the mask's column: it is no target.
TEST(Fields, MaskColumnIsNeverRead) {
  Noise const noise{Noise::Kind::log_linear, 1e-3};
  for (ScoreKind const kind : kinds) {
    for (int const states : {5, 65}) {
      for (double const junk : {nan, infinity, 1e30, -7.0}) {
        for (auto const* const name : integrators) {
          SCOPED_TRACE(std::string(name) + ", kind " + std::to_string(static_cast<int>(kind)) + ", " +
                       std::to_string(junk));
          std::vector<double> row(static_cast<std::size_t>(states),
                                  kind == ScoreKind::log_score ? std::log(0.25) : 0.25);
          row[2] = junk;
          Process process = masked_process<double>(noise, kind, states, 2, {row}, true);
          StepTable const step = one_step(noise.schedule(), {0.5, 0.25});
          auto const law = site_laws(process, *make_integrator(name), to_state({{2}}, 0.5), step)[0][0];
          for (int y = 0; y < states; ++y) {
            ASSERT_NEAR(law[static_cast<std::size_t>(y)], y == 2 ? 0.5 : 0.5 / (states - 1), 1e-15) << y;
          }
          State const state = to_state({std::vector<token_t>(64, 2)}, 0.5);
          Counters const counters = advance_once(process, *make_integrator(name), state, step);
          EXPECT_EQ(counters.bad_scores, 0);
          EXPECT_GT(counters.jumps, 0);
        }
      }
    }
  }
}

}  // namespace
}  // namespace saltus
