// SPDX-License-Identifier: BSD-3-Clause
// The draw of a token: its law over large and small alphabets, and the probability of the event before it. Published
// code draws both by a race of truncated exponentials, which suppresses rare tokens and rare events (A§5.1); that race
// is the negative control here.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace statistics;

// Tokens of a Zipf law as in A§5.1, scattered so that heavy and light ones stand side by side in every block.
std::vector<double> zipf(int tokens) {
  std::vector<double> p(static_cast<std::size_t>(tokens));
  double sum = 0;
  for (std::size_t r = 0; r < p.size(); ++r) sum += p[r] = std::pow(static_cast<double>(r) + 2.7, -1.1);
  std::vector<double> scattered(p.size());
  std::size_t stride = p.size() * 5 / 8 + 1;
  while (std::gcd(stride, p.size()) != 1) ++stride;
  for (std::size_t r = 0; r < p.size(); ++r) scattered[r * stride % p.size()] = p[r] / sum;
  return scattered;
}

// One row of numbers, handed out for every site of every sample.
template <class Scalar>
class OneRow final : public ScoreModel {
 public:
  // `weights` of the tokens; the mask's entry, the last, is junk that no sampler may read.
  OneRow(std::vector<double> const& weights, ScoreKind kind)
      : row_("saltus::tests::row", weights.size() + 1), kind_(kind) {
    auto const host = Kokkos::create_mirror_view(row_);
    for (std::size_t y = 0; y < weights.size(); ++y) {
      host(y) = static_cast<Scalar>(is_logarithmic(kind) ? std::log(weights[y]) : weights[y]);
    }
    host(weights.size()) = 7;
    Kokkos::deep_copy(row_, host);
  }
  ModelInfo info() const override {
    int const states = static_cast<int>(row_.extent(0));
    return {"one row", states, states - 1, kind_, TimeInput::none, 0, false};
  }
  void reserve(Extents, int) override {}
  Evaluation evaluate(ExecSpace const&, Query const&, int) override {
    return {std::is_same_v<Scalar, float> ? ScalarType::f32 : ScalarType::f64,
            row_.data(),
            0,
            0,
            static_cast<int>(row_.extent(0)),
            kind_};
  }

 private:
  Kokkos::View<Scalar*, MemorySpace> row_;
  ScoreKind kind_;
};

std::string name_of(ScoreKind kind) {
  switch (kind) {
    case ScoreKind::score:
      return "score";
    case ScoreKind::log_score:
      return "log_score";
    case ScoreKind::x0_leave_in:
      return "x0_leave_in";
    default:
      return "x0_leave_one_out";
  }
}
constexpr ScoreKind kinds[] = {ScoreKind::score, ScoreKind::log_score, ScoreKind::x0_leave_in,
                               ScoreKind::x0_leave_one_out};

// Counts of the tokens, the mask last, after one Tweedie step from all masks in which a mask is revealed with
// probability 1/`inverse`; log-linear noise: h/t.
struct Outcome {
  std::vector<std::int64_t> tokens;
  std::int64_t masks = 0;
  std::int64_t total = 0;
};

Outcome one_step(std::shared_ptr<ScoreModel> const& model, double reveal, bool normalise, std::size_t draws,
                 std::uint64_t seed) {
  int const states = model->info().states;
  constexpr int length = 100;
  Process process = Process::reverse(Generator::absorbing(states), NoiseSchedule::log_linear(), model, normalise);
  auto const integrator = make_integrator("tweedie", process);
  SamplePlan const plan{.grid = TimeGrid::from_points({0.5, 0.5 * (1 - reveal)}),
                        .seed = seed,
                        .samples = draws / length,
                        .length = length,
                        .batch = 2000};
  Outcome out{std::vector<std::int64_t>(static_cast<std::size_t>(states - 1), 0)};
  sample(ExecSpace(), process, *integrator, plan, [&](std::uint64_t, HostTokens const& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      token_t const y = rows.data()[i];
      ++out.total;
      if (y == states - 1) {
        ++out.masks;
      } else {
        ++out.tokens[static_cast<std::size_t>(y)];
      }
    }
  });
  return out;
}

// The tests, the same for the library and for the race that it is held against.

Fit token_fit(Outcome const& out, std::vector<double> const& law) { return g_test(out.tokens, law); }

// Sums over 64 neighbouring tokens: what an error in the partial sums of blocks would move.
Fit block_fit(Outcome const& out, std::vector<double> const& law) {
  std::vector<std::int64_t> counts(law.size() / 64 + 1, 0);
  std::vector<double> sums(counts.size(), 0.0);
  for (std::size_t y = 0; y < law.size(); ++y) {
    counts[y / 64] += out.tokens[y];
    sums[y / 64] += law[y];
  }
  return g_test(counts, sums);
}

double event_p_value(Outcome const& out, double reveal) {
  return binomial_p_value(out.total - out.masks, out.total, reveal);
}

// Mean surprise of the tokens against the entropy: where a bias against all rare tokens at once adds up.
double entropy_p_value(Outcome const& out, std::vector<double> const& law) {
  double mean = 0, second = 0, seen = 0, n = 0;
  for (std::size_t y = 0; y < law.size(); ++y) {
    double const surprise = -std::log(law[y]);
    mean += law[y] * surprise;
    second += law[y] * surprise * surprise;
    seen += static_cast<double>(out.tokens[y]) * surprise;
    n += static_cast<double>(out.tokens[y]);
  }
  return normal_p_value((seen / n - mean) / std::sqrt((second - mean * mean) / n));
}

template <class Scalar>
void draw_everything(char const* scalar) {
  std::uint64_t seed = 500;
  for (int const tokens : {5, 64, 65, 1000, 50258}) {
    auto const law = zipf(tokens);
    std::size_t const draws = tokens < 10'000 ? 400'000 : std::is_same_v<Scalar, float> ? 100'000 : 20'000;
    for (ScoreKind const kind : kinds) {
      SCOPED_TRACE(name_of(kind) + ", " + scalar + ", " + std::to_string(tokens) + " tokens");
      // scores sum to alpha/(1-alpha), log-scores are shifted far from 0, laws need not be normalised
      std::vector<double> weights = law;
      for (double& w : weights) w *= kind == ScoreKind::log_score ? 1e-25 : 3.5;
      Outcome const out = one_step(std::make_shared<OneRow<Scalar>>(weights, kind), 0.9375, true, draws, ++seed);
      EXPECT_TRUE(accepts(token_fit(out, law)));
      EXPECT_TRUE(accepts(block_fit(out, law)));
      EXPECT_TRUE(accepts(entropy_p_value(out, law), "entropy"));
      EXPECT_TRUE(accepts(event_p_value(out, 0.9375), "event"));
      // the control: weights that are 5 % off, up and down in turn
      auto const wrong = five_percent_off(law);
      double const n = 0.93 * static_cast<double>(draws);
      if (power(law, wrong, n) > 1 - missed_alarm) {
        EXPECT_TRUE(rejects(token_fit(out, wrong)));
      } else {
        EXPECT_GT(tokens, 10'000) << "more draws are needed";
      }
    }
  }
}

TEST(DrawLaw, TokensOfEveryKindInSingle) { draw_everything<float>("f32"); }
TEST(DrawLaw, TokensOfEveryKindInDouble) { draw_everything<double>("f64"); }

// 5 % off is not seen in 50,258 cells of so few draws; in 64 classes of tokens it is.
TEST(DrawLaw, ControlLargeAlphabetsInClasses) {
  auto const law = zipf(50258);
  auto const wrong = five_percent_off(law);
  std::vector<double> classes(64, 0.0), wrong_classes(classes);
  Outcome const out = one_step(std::make_shared<OneRow<float>>(law, ScoreKind::x0_leave_one_out), 1, true, 200'000, 41);
  std::vector<std::int64_t> counts(64, 0);
  for (std::size_t y = 0; y < law.size(); ++y) {
    classes[y % 64] += law[y];
    wrong_classes[y % 64] += wrong[y];
    counts[y % 64] += out.tokens[y];
  }
  ASSERT_GT(power(classes, wrong_classes, 200'000), 1 - missed_alarm);
  EXPECT_TRUE(accepts(g_test(counts, classes)));
  EXPECT_TRUE(rejects(g_test(counts, wrong_classes)));
}

constexpr double events[] = {1.0 / 16, 1e-3};

// The realised probability of a jump is the nominal one: known before the row is read (normalised), and computed from
// the row's sum in f32 (scores that sum to alpha/(1-alpha), and log-scores).
TEST(DrawLaw, EventsHaveTheirProbability) {
  std::uint64_t seed = 700;
  double const alpha = NoiseSchedule::log_linear().alpha(0.5), odds = alpha / NoiseSchedule::log_linear().lost(0.5);
  for (int const tokens : {1000, 50258}) {
    auto const law = zipf(tokens);
    std::vector<double> scores = law;
    for (double& s : scores) s *= odds;
    for (double const reveal : events) {
      std::size_t const draws = reveal < 0.01 ? 10'000'000 : 2'000'000;
      for (ScoreKind const kind : {ScoreKind::x0_leave_one_out, ScoreKind::score, ScoreKind::log_score}) {
        bool const known = is_x0(kind);
        // where the event is not known before, the row is scanned for every site: fewer draws
        std::size_t const n = known ? draws : tokens < 10'000 ? draws / 4 : 100'000;
        Outcome const out =
            one_step(std::make_shared<OneRow<float>>(known ? law : scores, kind), reveal, false, n, ++seed);
        SCOPED_TRACE(name_of(kind) + ", " + std::to_string(reveal) + ", " + std::to_string(tokens) + " tokens");
        EXPECT_TRUE(accepts(event_p_value(out, reveal), "event"));
        EXPECT_TRUE(accepts(token_fit(out, law)));
        EXPECT_TRUE(accepts(entropy_p_value(out, law), "entropy"));
        // a probability that is off by a factor is seen: |factor - 1| sqrt(n p) >= 2 x 4.9 standard deviations
        double const deviation = 1 / std::sqrt(static_cast<double>(n) * reveal);
        EXPECT_LT(event_p_value(out, (1 + std::max(0.05, 12 * deviation)) * reveal), false_alarm);
      }
    }
  }
}

// Probability that the entries of a race with exponentials cut off below `cut` win (A§5.1), mask last. The race is run
// by JYS and LSD with cut = 1e-6.
std::vector<double> truncated_race_law(std::vector<double> const& p, double cut) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](auto i, auto j) { return p[i] < p[j]; });
  auto const count = p.size();
  std::vector<double> law(count);
  double rest = 1, beta = 0;  // rest: sum of the weights from here on
  for (std::size_t i = 0; i < count; ++i) {
    double const w = p[order[i]], previous = i == 0 ? 0 : p[order[i - 1]], shift = static_cast<double>(count - i) * cut;
    double const from = std::exp(shift - rest * cut / w),
                 to = previous == 0 ? 0 : std::exp(shift - rest * cut / previous);
    beta += (from - to) / rest;
    law[order[i]] = w * beta;
    rest -= w;
  }
  return law;
}

Outcome truncated_race(std::vector<double> const& p, double cut, std::size_t draws) {
  Outcome out{std::vector<std::int64_t>(p.size() - 1, 0)};
  std::uint64_t state = 4711;  // SplitMix64: numbers that owe nothing to the library
  auto const uniform = [&] {
    std::uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return uniform53(z ^ (z >> 31));
  };
  std::size_t const mask = p.size() - 1;
  for (std::size_t i = 0; i < draws; ++i) {
    std::size_t winner = mask;
    double best = p[mask] / (cut - std::log(cut + (1 - cut) * uniform()));
    for (std::size_t y = 0; y < mask; ++y) {
      double const v = cut + (1 - cut) * uniform();
      if (v <= 1 - p[y] / best) continue;  // -ln v >= 1 - v: it cannot win, so its logarithm is not needed
      double const value = p[y] / (cut - std::log(v));
      if (value > best) best = value, winner = y;
    }
    ++out.total;
    if (winner == mask) {
      ++out.masks;
    } else {
      ++out.tokens[winner];
    }
  }
  return out;
}

// The same tests reject the truncated race.
TEST(DrawLaw, ControlTruncatedRaceIsRejected) {
  struct Case {
    int tokens;
    double reveal;
    std::size_t draws;
  };
  for (auto const [tokens, reveal, draws] : {Case{1000, 1e-3, 1'500'000}, Case{50258, 1.0 / 16, 60'000}}) {
    SCOPED_TRACE(std::to_string(tokens) + " tokens, " + std::to_string(reveal));
    auto const law = zipf(tokens);
    std::vector<double> p = law;
    for (double& w : p) w *= reveal;
    p.push_back(1 - reveal);
    auto const race = truncated_race_law(p, 1e-6);
    auto const n = static_cast<double>(draws);
    ASSERT_GT((reveal - (1 - race.back())) * std::sqrt(n / reveal), 9.8) << "too few draws to see it";
    Outcome const out = truncated_race(p, 1e-6, draws);
    // the race follows the law of A§5.1, so it is what was published
    std::vector<std::int64_t> counts = out.tokens;
    counts.push_back(out.masks);
    EXPECT_TRUE(accepts(g_test(counts, race)));
    EXPECT_LT(event_p_value(out, reveal), false_alarm);
    EXPECT_TRUE(rejects(token_fit(out, law)));
    EXPECT_LT(entropy_p_value(out, law), false_alarm);
  }
}

}  // namespace
}  // namespace saltus
