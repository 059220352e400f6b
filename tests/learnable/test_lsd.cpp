// SPDX-License-Identifier: BSD-3-Clause
// LSD against closed forms of the noise alone (A§12.6), against sums over all states written out here, and what it must
// refuse, repeat and resume.
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/distance.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/score_lsd.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

#include "reference/harness.hpp"
#include "reference/scaled_scores.hpp"
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace reference;
using statistics::accepts;
using statistics::false_alarm;
using statistics::normal_p_value;

Process masked_process(SequenceLaw const& law, NoiseSchedule const& noise) {
  Generator const generator = Generator::absorbing(law.states() + 1);
  return Process::reverse(generator, noise, law.denoiser(generator));
}

// Uniform noise: rows as laws of the clean token, all of them times a factor.
class WholeRow final : public ScoreModel {
 public:
  WholeRow(Generator const& generator, std::vector<double> const& clean, double factor) : clean_(clean) {
    info_.name = "whole row";
    info_.states = generator.states();
    for (double& p : clean_) p *= factor;
  }
  ModelInfo info() const override { return info_; }
  void reserve(Extents extents, int) override {
    out_ = SiteMasses("test::rows", static_cast<std::size_t>(extents.batch), static_cast<std::size_t>(extents.length),
                      clean_.size());
    auto const host = Kokkos::create_mirror_view(out_);
    for (std::size_t i = 0; i < host.size(); ++i) host.data()[i] = clean_[i % clean_.size()];
    Kokkos::deep_copy(out_, host);
  }
  Evaluation evaluate(ExecSpace const&, Query const&, int) override {
    return {ScalarType::f64,
            out_.data(),
            static_cast<std::int64_t>(out_.stride(0)),
            static_cast<std::int64_t>(out_.stride(1)),
            info_.states,
            info_.kind};
  }

 private:
  ModelInfo info_;
  std::vector<double> clean_;
  SiteMasses out_;
};

struct Case {
  std::string name;
  NoiseSchedule noise;
  double end;
};
std::vector<Case> const& cases() {
  static std::vector<Case> const list{{"constant", NoiseSchedule::constant(1, 3), 0.05},
                                      {"geometric", NoiseSchedule::geometric(0.01, 5), 1e-3},
                                      {"log-linear", NoiseSchedule::log_linear(), 1e-3}};
  return list;
}

// A§12.6: what makes Euler's reveal probability Tweedie's.
std::vector<double> euler_factors(NoiseSchedule const& noise, double end, int steps) {
  TimeGrid const grid = TimeGrid::uniform(noise.end(), end, steps);
  std::vector<double> phi;
  for (int k = 0; k < steps; ++k) {
    double const from = grid.point(k), to = grid.point(k + 1), slope = noise.rate(from) * noise.alpha(from);
    phi.push_back((noise.alpha(to) - noise.alpha(from)) / ((from - to) * slope));
  }
  return phi;
}

// Girsanov's optimum for a masked site: P(revealed in the block) / (hazard at its start x expected time as a mask).
std::vector<double> exponential_factors(NoiseSchedule const& noise, double end, int steps) {
  TimeGrid const grid = TimeGrid::uniform(noise.end(), end, steps);
  std::vector<double> phi;
  for (int k = 0; k < steps; ++k) {
    double const from = grid.point(k), to = grid.point(k + 1);
    int const pieces = 20000;
    double masked = 0;
    for (int i = 0; i < pieces; ++i) masked += noise.lost(to + (from - to) * (i + 0.5) / pieces) * (from - to) / pieces;
    phi.push_back((noise.alpha(to) - noise.alpha(from)) /
                  (noise.rate(from) * noise.alpha(from) / noise.lost(from) * masked));
  }
  return phi;
}

void expect_factors(Schedule const& s, std::vector<double> const& expected, double tolerance) {
  ASSERT_EQ(s.phi.size(), expected.size());
  for (std::size_t k = 0; k < expected.size(); ++k) {
    SCOPED_TRACE("step " + std::to_string(k) + ": " + std::to_string(s.phi[k]) + " +- " +
                 std::to_string(s.phi_error[k]) + ", expected " + std::to_string(expected[k]));
    EXPECT_TRUE(accepts(normal_p_value((s.phi[k] - expected[k]) / s.phi_error[k])));
    EXPECT_NEAR(s.phi[k], expected[k], tolerance * expected[k]);
    EXPECT_LT(normal_p_value(0.05 * expected[k] / s.phi_error[k]), false_alarm) << "5 % off must be seen";
  }
}

DistillPlan plan_of(std::string const& base, int steps, double end, int length) {
  return {.base = base,
          .steps = steps,
          .teacher_steps = 32,
          .length = length,
          .end = end,
          .trajectories = 20000,
          .sweeps = 2,
          .batch = 1000};
}

TEST(Lsd, EulerFactorsOfMasksAreThoseOfTheNoiseForAnyLaw) {
  TableLaw const law = TableLaw::neighbours(6, 2, 3);
  for (auto const& c : cases()) {
    SCOPED_TRACE(c.name);
    auto process = masked_process(law, c.noise);
    Schedule const s = make_distiller("lsd")->distill(ExecSpace(), process, plan_of("euler", 4, c.end, 6), {});
    expect_factors(s, euler_factors(c.noise, c.end, 4), 0.02);
    for (int k = 0; k < 4; ++k) {  // then masks are revealed as often as they should be
      StepCoeff const coeff =
          c.noise.coefficients({s.times[static_cast<std::size_t>(k)], s.times[static_cast<std::size_t>(k) + 1]});
      EXPECT_NEAR(s.reveal[static_cast<std::size_t>(k)], coeff.reveal, 0.02 * coeff.reveal);
    }
  }
  std::vector<double> const constant = euler_factors(cases()[0].noise, 0.05, 4),
                            geometric = euler_factors(cases()[1].noise, 1e-3, 4),
                            documented{6.503, 0.793, 0.555, 0.517};  // A§12.6
  EXPECT_NEAR(constant[0], 1.479, 5e-4);
  EXPECT_NEAR(euler_factors(cases()[0].noise, 0.05, 8)[0], 1.209, 5e-4);
  EXPECT_NEAR(euler_factors(cases()[0].noise, 0.05, 16)[0], 1.098, 5e-4);
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(geometric[k], documented[k], 5e-4);
  for (double const phi : euler_factors(cases()[2].noise, 1e-3, 4)) EXPECT_NEAR(phi, 1, 1e-12);
}

TEST(Lsd, CorrectedEulerIsTweedie) {
  TableLaw const law = TableLaw::neighbours(3, 3, 3);
  for (auto const& c : cases()) {
    SCOPED_TRACE(c.name);
    auto process = masked_process(law, c.noise);
    StateSpace const space(4, 3);
    TimeGrid const grid = TimeGrid::uniform(c.noise.end(), c.end, 4);
    auto const run = [&](char const* name, std::vector<double> const& phi) {
      return output_law(ExecSpace(), process, *make_integrator(name), space, prior_law(process, space), grid, false,
                        phi);
    };
    auto const tweedie = run("tweedie", {}), corrected = run("euler", euler_factors(c.noise, c.end, 4)),
               plain = run("euler", {});
    EXPECT_LT(total_variation(corrected, tweedie), 1e-12);
    EXPECT_TRUE(c.name == "log-linear" || total_variation(plain, tweedie) > 0.02);
    Schedule const s = make_distiller("lsd")->distill(ExecSpace(), process, plan_of("euler", 4, c.end, 3), {});
    EXPECT_LT(total_variation(run("euler", s.phi), tweedie), 0.005);
  }
}

TEST(Lsd, ExponentialFactorsAreGirsanovs) {
  NoiseSchedule const noise = NoiseSchedule::constant(1, 3);
  std::vector<double> const expected = exponential_factors(noise, 0.05, 4),
                            documented{1.517, 1.566, 1.706, 2.464};  // A§12.6
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(expected[k], documented[k], 5e-4);
  TableLaw const law = TableLaw::neighbours(2, 3, 6);
  for (char const* const base : {"exponential", "tau_leaping"}) {
    auto process = masked_process(law, noise);
    DistillPlan plan = plan_of(base, 4, 0.05, 2);
    plan.trajectories = 4000;
    plan.teacher_steps = 128;
    expect_factors(make_distiller("lsd")->distill(ExecSpace(), process, plan, {}), expected, 0.02);
  }
}

// A§12.6: the factors bring the student of two dependent sites nearer, from below 1 nat to a fraction.
TEST(Lsd, ExponentialFactorsLowerTheDivergence) {
  NoiseSchedule const noise = NoiseSchedule::constant(1, 3);
  TableLaw const law = TableLaw::neighbours(2, 3, 6);
  auto process = masked_process(law, noise);
  StateSpace const space(4, 2);
  for (int const steps : {4, 8}) {
    LawPlan plan{.grid = TimeGrid::uniform(3, 0.05, steps), .data = enumerate(law)};
    auto const method = make_integrator("exponential");
    double const before = law_report(ExecSpace(), process, *method, space, plan).kl;
    plan.phi = exponential_factors(noise, 0.05, steps);
    double const after = law_report(ExecSpace(), process, *method, space, plan).kl;
    EXPECT_LT(after, before / 4);
  }
}

// States that are numbers: jumps within a block add up. Sites that stay in the stationary law jump as often at all
// times.
TEST(Lsd, OrdinalTauLeapingCountsAllJumps) {
  Generator const generator = Generator::gaussian_target(5, 1.5, 2);
  NoiseSchedule const noise = NoiseSchedule::constant(1, 3);
  std::vector<double> pi = generator.stationary();
  std::vector<double> both = pi;
  both.insert(both.end(), pi.begin(), pi.end());
  ProductLaw const law(2, 5, both);
  auto process = Process::reverse(generator, noise, law.denoiser(generator));
  Schedule const s = make_distiller("lsd:policy=teacher")
                         ->distill(ExecSpace(), process, plan_of("tau_leaping:rule=ordinal", 4, 0.05, 2), {});
  double const h = 2.95 / 32;
  auto const p = generator.transition_matrix(h);
  double exit = 0, jump = 0;
  for (std::size_t x = 0; x < 5; ++x) {
    exit -= pi[x] * generator.rate(static_cast<token_t>(x), static_cast<token_t>(x));
    jump += pi[x] * (1 - p[x * 5 + x]);
  }
  expect_factors(s, std::vector<double>(4, jump / (h * exit)), 0.02);
}

TEST(Lsd, TweedieNeedsNoFactorForMasks) {
  TableLaw const law = TableLaw::neighbours(6, 2, 3);
  for (char const* const base : {"tweedie", "tweedie_trapezoidal"}) {
    for (auto const& c : {cases()[0], cases()[1]}) {
      SCOPED_TRACE(std::string(base) + ", " + c.name);
      auto process = masked_process(law, c.noise);
      expect_factors(make_distiller("lsd")->distill(ExecSpace(), process, plan_of(base, 4, c.end, 6), {}), {1, 1, 1, 1},
                     0.02);
    }
  }
}

TEST(Lsd, TheForcedStepHasNoFactor) {
  ProductLaw const law(3, 2, {0.5, 0.5, 0.2, 0.8, 0.9, 0.1});
  auto process = masked_process(law, NoiseSchedule::log_linear());
  Schedule const s = make_distiller("lsd")->distill(ExecSpace(), process, plan_of("euler", 4, 0, 3), {});
  EXPECT_TRUE(s.forced_last);
  EXPECT_EQ(s.phi.back(), 1);
  EXPECT_EQ(s.phi_error.back(), 0);
  EXPECT_EQ(s.reveal.back(), 1);
  for (std::size_t k = 0; k < 3; ++k) {  // A§12.7-9
    EXPECT_TRUE(accepts(normal_p_value((s.phi[k] - 1) / s.phi_error[k])));
    EXPECT_NEAR(s.phi[k], 1, 0.02);
  }
  EXPECT_EQ(s.times.front(), 1);
  EXPECT_EQ(s.times.back(), 0);
  EXPECT_EQ(s.objective.size(), 2);
}

// Independent uniform sites are stationary: a site jumps in a step of the teacher with probability p whatever its
// token, so sum J = 1 - (1 - p)^r, and Euler says h (S - 1)/S.
TEST(Lsd, EulerFactorsUnderUniformNoise) {
  NoiseSchedule const noise = NoiseSchedule::constant(1, 3);
  for (int const states : {3, 32}) {
    Generator const generator = Generator::uniform(states);
    auto const count = static_cast<std::size_t>(states);
    ProductLaw const law(2, states, std::vector<double>(2 * count, 1.0 / states));
    auto process = Process::reverse(generator, noise, law.denoiser(generator));
    DistillPlan plan = plan_of("euler", 8, 0.05, 2);
    plan.trajectories = states == 3 ? 20000 : 4000;
    Schedule const s = make_distiller("lsd")->distill(ExecSpace(), process, plan, {});
    double const exit = (states - 1.0) / states, h = 2.95 / 8, p = exit * -std::expm1(-2.95 / 32),
                 expected = -std::expm1(4 * std::log1p(-p)) / (h * exit);
    expect_factors(s, std::vector<double>(8, expected), 0.02);
    if (states == 32) {
      EXPECT_NEAR(expected, 0.84, 0.01);  // A§12.6
    }
    EXPECT_TRUE(s.reveal.empty());
  }
}

// Log-linear noise has nearly infinite rates where it begins: a step that goes by them says so.
TEST(Lsd, AFactorAtTheEndOfItsRangeIsNoted) {
  ProductLaw const law(2, 3, {0.5, 0.3, 0.2, 0.1, 0.1, 0.8});
  auto process = Process::reverse(Generator::uniform(3), NoiseSchedule::log_linear(), law.denoiser(Generator::uniform(3)));
  DistillPlan plan = plan_of("euler", 4, 1e-3, 2);
  plan.trajectories = 200;
  Schedule const s = make_distiller("lsd")->distill(ExecSpace(), process, plan, {});
  EXPECT_EQ(s.phi[0], least_phi);
  EXPECT_NE(s.note.find("phi of step 1 lies at the lower end of its range, 0.1 to 10"), std::string::npos) << s.note;
  EXPECT_EQ(s.note.find("step 2"), std::string::npos) << s.note;
  plan.base = "tweedie";
  EXPECT_EQ(make_distiller("lsd")->distill(ExecSpace(), process, plan, {}).note, "");
}

// Tweedie knows of repeated jumps, so that sites on their own need no factor.
TEST(Lsd, TweedieNeedsNoFactorForIndependentSites) {
  ProductLaw const law(3, 3, {0.5, 0.3, 0.2, 0.2, 0.7, 0.1, 0.9, 0.05, 0.05});
  for (Generator const& generator : {Generator::uniform(3), Generator::gaussian_target(3, 1.5, 2)}) {
    auto process = Process::reverse(generator, NoiseSchedule::constant(1, 3), law.denoiser(generator));
    expect_factors(make_distiller("lsd")->distill(ExecSpace(), process, plan_of("tweedie", 4, 0.05, 3), {}),
                   {1, 1, 1, 1}, 0.02);
  }
}

TEST(Lsd, BothStagesOfTweedieTrapezoidalAreScaled) {
  ProductLaw const law(1, 2, {0.25, 0.75});
  NoiseSchedule const noise = NoiseSchedule::cosine();
  auto process = masked_process(law, noise);
  auto const method = make_integrator("tweedie_trapezoidal");
  StateSpace const space(3, 1);
  auto const parts = method->parts(noise, {0.9, 0.5});
  double const u1 = noise.coefficients(parts[0].interval).reveal, u2 = noise.coefficients(parts[1].interval).reveal;
  for (double const phi : {1.0, 0.6, 1.4}) {
    auto const end = output_law(ExecSpace(), process, *method, space, prior_law(process, space),
                                TimeGrid::from_points({0.9, 0.5}), false, {phi});
    EXPECT_NEAR(end[2], (1 - phi * u1) * (1 - phi * u2), 1e-14);
    EXPECT_NEAR(end[1], 0.75 * (1 - end[2]), 1e-14);
  }
}

// Random J and B, and for each distance the best factor of a fine grid.
TEST(Lsd, DistancesAreLeastAtTheirFactors) {
  std::size_t const rows = 12, length = 5, states = 4;
  SiteMasses const teacher("test::teacher", rows, length, states), student("test::student", rows, length, states);
  auto const j = Kokkos::create_mirror_view(teacher), b = Kokkos::create_mirror_view(student);
  std::vector<BlockSums> sums(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t l = 0; l < length; ++l) {
      for (std::size_t y = 1; y < states; ++y) {  // 0 is the own token
        std::uint64_t const n = (i * length + l) * states + y;
        b(i, l, y) = scramble(n) * static_cast<double>(1 + i);
        j(i, l, y) =
            n % 7 == 0
                ? 0
                : b(i, l, y) * (0.3 + scramble(n) + 0.1 * static_cast<double>(i) * std::pow(scramble(n + 10000), 2));
        double const t = j(i, l, y), m = b(i, l, y), log = t > 0 ? std::log(t / m) : 0;
        sums[i] += {t, m, t * t, t * m, m * m, t * log, log, t > 0 ? 1.0 : 0.0, 0};
      }
    }
  }
  Kokkos::deep_copy(teacher, j);
  Kokkos::deep_copy(student, b);
  RatioHistogram ratios(group_count(rows));
  add_ratios(ExecSpace(), to_tokens(Rows(rows, std::vector<token_t>(length, 0)), static_cast<int>(length)), teacher,
             student, 0, rows, ratios);
  auto const loss = [&](Distance distance, double phi) {
    double sum = 0;
    for (std::size_t i = 0; i < rows; ++i) {
      double row = 0;
      for (std::size_t l = 0; l < length; ++l) {
        for (std::size_t y = 1; y < states; ++y) {
          double const t = j(i, l, y), m = phi * b(i, l, y);
          switch (distance) {
            case Distance::gkl:
              row += m - (t > 0 ? t * std::log(m) : 0);
              break;
            case Distance::l1:
              row += std::abs(t - m);
              break;
            case Distance::log_squared:
              row += t > 0 ? std::pow(std::log(t / m), 2) : 0;
              break;
            default:
              row += (t - m) * (t - m);
          }
        }
      }
      sum += distance == Distance::l2 ? std::sqrt(row) : row;
    }
    return sum;
  };
  std::vector<double> found;
  for (char const* const name : {"gkl", "l2squared", "l2", "l1", "log_squared"}) {
    Distance const distance = parse_distance(name);
    double best = 0;
    for (double phi = 0.2; phi < 4; phi += 1e-4) {
      if (best == 0 || loss(distance, phi) < loss(distance, best)) best = phi;
    }
    Factor const factor = nearest_factor(distance, StepLaw::linear, sums, ratios);
    EXPECT_NEAR(factor.phi, best, 1.1e-3) << name;  // a bin of the histogram
    EXPECT_GT(factor.error, 0) << name;
    found.push_back(factor.phi);
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k)
      EXPECT_GT(std::abs(found[i] - found[k]), 1.2e-3) << "distances that cannot be told apart";
  }
  // sum over sites of 1 - (1 - phi u1)(1 - phi u2) = sum J
  double const u1 = 0.3, u2 = 0.2, phi = 1.7, reached = 1 - (1 - phi * u1) * (1 - phi * u2);
  std::vector<BlockSums> const stages(2, BlockSums{reached, u1 + u2 - u1 * u2, 0, 0, 0, 0, 0, 0, u1 * u2});
  EXPECT_NEAR(nearest_factor(Distance::gkl, StepLaw::two_stage, stages).phi, phi, 1e-14);
}

DistillPlan small_plan() {
  return {.base = "euler",
          .steps = 4,
          .teacher_steps = 16,
          .length = 5,
          .end = 0,
          .trajectories = 60,
          .sweeps = 3,
          .batch = 60,
          .seed = 3};
}

void expect_equal(Schedule const& a, Schedule const& b) {
  EXPECT_EQ(a.method, b.method);
  EXPECT_EQ(a.times, b.times);
  EXPECT_EQ(a.phi, b.phi);
  EXPECT_EQ(a.phi_error, b.phi_error);
  EXPECT_EQ(a.power, b.power);
  ASSERT_EQ(a.state.has_value(), b.state.has_value());
  if (a.state) {
    EXPECT_EQ(a.state->shares, b.state->shares);
    EXPECT_EQ(a.state->entropies, b.state->entropies);
    EXPECT_EQ(a.state->phi, b.state->phi);
  }
  EXPECT_EQ(a.note, b.note);
  EXPECT_EQ(a.reveal, b.reveal);
  EXPECT_EQ(a.reveal_error, b.reveal_error);
  EXPECT_EQ(a.clamps, b.clamps);
  EXPECT_EQ(a.objective, b.objective);
  EXPECT_EQ(a.trajectories, b.trajectories);
}

std::vector<std::string> const& methods() {
  static std::vector<std::string> const list{"lsd",
                                             "lsd:distance=l1",
                                             "lsd:policy=teacher",
                                             "lsd:mode=paper",
                                             "lsd:mode=paper,distance=l1,coupling=masks,relax=0.4",
                                             "lsd:mode=code,relax=0.2",
                                             "lsd_state",
                                             "lsd_temperature"};
  return list;
}

TEST(Lsd, BatchesAndMemoryChangeNothing) {
  auto const law = MarkovChain::countdown(4, 5);
  auto process = masked_process(law, NoiseSchedule::cosine());
  for (auto const& name : methods()) {
    SCOPED_TRACE(name);
    auto const distiller = make_distiller(name);
    DistillPlan plan = small_plan();
    Schedule const all = distiller->distill(ExecSpace(), process, plan, {});
    plan.batch = 7;
    expect_equal(all, distiller->distill(ExecSpace(), process, plan, {}));
    plan.memory = 1;  // a row at a time
    expect_equal(all, distiller->distill(ExecSpace(), process, plan, {}));
    plan.seed = 4;
    Schedule const other = distiller->distill(ExecSpace(), process, plan, {});
    EXPECT_NE(all.objective, other.objective);
  }
}

TEST(Lsd, GoesOnFromItsLastSweep) {
  auto const law = MarkovChain::countdown(4, 5);
  auto process = masked_process(law, NoiseSchedule::cosine());
  std::string const automatic = "lsd:mode=paper,distance=gkl,relax=auto";
  auto names = methods();
  names.push_back(automatic);
  for (auto const& name : names) {
    SCOPED_TRACE(name);
    auto const distiller = make_distiller(name);
    DistillPlan const plan = small_plan();
    std::vector<std::string> kept;
    std::vector<double> shares;
    Schedule const all = distiller->distill(ExecSpace(), process, plan,
                                            {.progress = [&](double share, double) { shares.push_back(share); },
                                             .save = [&](std::string const& text) { kept.push_back(text); }});
    ASSERT_EQ(kept.size(), name == automatic ? 5 * 3 : 3);
    EXPECT_TRUE(std::is_sorted(shares.begin(), shares.end()));
    EXPECT_EQ(shares.back(), 1);
    for (auto const& text : kept) {
      expect_equal(all, distiller->distill(ExecSpace(), process, plan, {.resume = text}));
    }
    DistillPlan other = plan;
    other.seed = 9;
    std::string const message =
        message_of<UserError>([&] { distiller->distill(ExecSpace(), process, other, {.resume = kept[0]}); });
    EXPECT_NE(message.find("seed 9"), std::string::npos) << message;
    EXPECT_NE(message.find("seed 3"), std::string::npos) << message;
    EXPECT_NE(message_of<UserError>([&] {
                distiller->distill(ExecSpace(), process, plan, {.resume = "{"});
              }).find("start anew"),
              std::string::npos);
  }
}

TEST(Lsd, RefusesWithBothValues) {
  auto const law = MarkovChain::countdown(4, 5);
  auto process = masked_process(law, NoiseSchedule::cosine());
  auto const refused = [&](char const* method, auto const& change) {
    DistillPlan plan = small_plan();
    change(plan);
    std::string const why = make_distiller(method)->refuses(process, plan);
    EXPECT_NE(message_of<UserError>([&] { make_distiller(method)->distill(ExecSpace(), process, plan, {}); }).find(why),
              std::string::npos);
    return why;
  };
  auto const has = [](std::string const& text, std::vector<std::string> const& parts) {
    for (auto const& part : parts) EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  EXPECT_EQ(make_distiller("lsd")->refuses(process, small_plan()), "");
  has(refused("lsd", [](DistillPlan& p) { p.steps = 5; }), {"16", "5", "take 15"});
  has(refused("lsd", [](DistillPlan& p) { p.steps = 32; }), {"16", "32", "take 32"});
  has(refused("lsd", [](DistillPlan& p) { p.base = "first_hitting"; }), {"first_hitting", "tweedie_trapezoidal"});
  has(refused("lsd", [](DistillPlan& p) { p.base = "tau_leaping:rule=reject"; }), {"reject", "rule=first"});
  has(refused("lsd", [](DistillPlan& p) { p.teacher = "theta_rk2"; }), {"teacher", "theta_rk2"});
  has(refused("lsd", [](DistillPlan& p) { p.teacher = "fixed_count"; }), {"teacher", "fixed_count"});
  has(refused("lsd", [](DistillPlan& p) { p.trajectories = 1; }), {"trajectories", "1"});
  has(refused("lsd:distance=l1", [](DistillPlan& p) { p.base = "tweedie_trapezoidal"; }), {"distance=gkl", "l1"});
  EXPECT_NE(message_of<UserError>([] { make_distiller("lsd:distance=l3"); }).find("l2"), std::string::npos);
  EXPECT_NE(message_of<UserError>([] { make_distiller("lsd:mode=blok"); }).find("block"), std::string::npos);
  EXPECT_NE(message_of<UserError>([] { make_distiller("ldd"); }).find("lsd"), std::string::npos);
}

// The rows of another model times factor(time), of another kind if one is given.
template <class Factor>
class Multiplied final : public ScoreModel {
 public:
  Multiplied(std::shared_ptr<ScoreModel> inner, Factor factor, std::optional<ScoreKind> kind = {})
      : inner_(std::move(inner)), factor_(factor), kind_(kind) {}
  ModelInfo info() const override {
    ModelInfo info = inner_->info();
    info.time = TimeInput::time;
    info.kind = kind_.value_or(info.kind);
    return info;
  }
  void reserve(Extents extents, int slots) override { inner_->reserve(extents, slots); }
  struct Kernel {
    double* data;
    std::int64_t row, site;
    int states;
    Times time;
    Factor factor;
    KOKKOS_FUNCTION void operator()(int b, int l) const {
      for (int y = 0; y < states; ++y) data[b * row + l * site + y] *= factor(time(b));
    }
  };
  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    Evaluation e = inner_->evaluate(exec, query, slot);
    Kokkos::parallel_for(
        "test::multiplied",
        Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(
            exec, {0, 0}, {static_cast<int>(query.tokens.extent(0)), static_cast<int>(query.tokens.extent(1))}),
        Kernel{static_cast<double*>(const_cast<void*>(e.data)), e.row_stride, e.site_stride, e.states, query.time, factor_});
    e.normalised = e.normalised && !kind_;
    e.kind = kind_.value_or(e.kind);
    return e;
  }

 private:
  std::shared_ptr<ScoreModel> inner_;
  Factor factor_;
  std::optional<ScoreKind> kind_;
};

// Of no use below some time.
struct BrokenBelow {
  double below;
  KOKKOS_FUNCTION double operator()(double time) const { return time >= below ? 1 : Kokkos::Experimental::quiet_NaN_v<double>; }
};
// Of the scores of a masked law under log-linear noise.
struct LogLinearOdds {
  KOKKOS_FUNCTION double operator()(double time) const { return (1 - 0.999 * time) / (0.999 * time); }
};

TEST(Lsd, ScoresThatAreNotFiniteNameTheStep) {
  auto const law = MarkovChain::countdown(4, 5);
  Generator const generator = Generator::absorbing(5);
  auto process =
      Process::reverse(generator, NoiseSchedule::log_linear(), std::make_shared<Multiplied<BrokenBelow>>(law.denoiser(generator), BrokenBelow{0.4}));
  for (auto const& name : methods()) {
    std::string const message =
        message_of<NumericalError>([&] { make_distiller(name)->distill(ExecSpace(), process, small_plan(), {}); });
    EXPECT_NE(message.find("step 2"), std::string::npos) << message;
  }
}

// ------------------------------------------------------------------------------------------- modes paper and code

// A§12.4-2: a cyclic chain, stay with probability p, else one down; 8 sites, 4 tokens, 64 steps to 4.
MarkovChain cyclic_chain() {
  std::vector<double> transitions(16, 0.0);
  for (std::size_t x = 0; x < 4; ++x) {
    transitions[x * 4 + x] = 0.7;
    transitions[x * 4 + (x + 3) % 4] = 0.3;
  }
  return {8, 4, std::vector<double>(4, 0.25), transitions};
}

TEST(LsdPaper, SquaredDistanceIsDilutedMassRatiosAreNot) {
  auto const law = cyclic_chain();
  auto process = masked_process(law, NoiseSchedule::log_linear());
  DistillPlan plan{.base = "tweedie",
                   .steps = 4,
                   .teacher_steps = 64,
                   .length = 8,
                   .end = 1e-5,
                   .trajectories = 10000,
                   .sweeps = 1,
                   .batch = 1000};
  struct Expected {
    char const* coupling;
    std::vector<double> phi;
  };
  for (auto const& [coupling, expected] :
       {Expected{"independent", {1, 0.41, 0.21, 0.09}}, Expected{"masks", {1, 0.54, 0.42, 0.37}},
        Expected{"full", {1, 0.87, 0.83, 0.81}}}) {
    SCOPED_TRACE(coupling);
    auto const learn = [&](std::string const& options) {
      return make_distiller("lsd:mode=paper,relax=0,coupling=" + std::string(coupling) + options)
          ->distill(ExecSpace(), process, plan, {});
    };
    Schedule const squared = learn(",paths=plain"), ratio = learn(",distance=gkl"), fed_back = learn("");
    for (std::size_t k = 0; k < 4; ++k) {
      EXPECT_NEAR(squared.phi[k], expected[k], 0.02);
      EXPECT_NEAR(ratio.phi[k], 1, 0.02);
      EXPECT_TRUE(std::string(coupling) == "independent" || fed_back.phi[k] < squared.phi[k] + 1e-9)
          << "a student that lags has more masks";
    }
  }
}

// A student that starts with revealed sites has fewer masks than its teacher, whose first scores are those of its own.
TEST(LsdPaper, RelaxedStartsMoveTheFirstFactor) {
  ProductLaw const law(8, 2, {0.5, 0.5, 0.2, 0.8, 0.9, 0.1, 0.3, 0.7, 0.5, 0.5, 0.2, 0.8, 0.9, 0.1, 0.3, 0.7});
  auto process = masked_process(law, NoiseSchedule::log_linear());
  DistillPlan const plan{.base = "euler",
                         .steps = 4,
                         .teacher_steps = 8,
                         .length = 8,
                         .end = 0,
                         .trajectories = 500,
                         .sweeps = 1,
                         .batch = 100};
  for (auto const& [relax, first] : {std::pair{"0.1", 1.0}, std::pair{"0.13", 8.0 / 7}, std::pair{"0.5", 2.0}}) {
    Schedule const s = make_distiller(std::string("lsd:mode=paper,distance=gkl,relax=") + relax)
                           ->distill(ExecSpace(), process, plan, {});
    EXPECT_NEAR(s.phi[0], first, 1e-12) << relax;  // floor(relax 8) sites fewer
    EXPECT_EQ(s.phi.back(), 1);
  }
  // Of the shares that auto tries, only those without a site leave phi_0 = 1, which is right for these data.
  Schedule const chosen =
      make_distiller("lsd:mode=paper,distance=gkl,relax=auto")->distill(ExecSpace(), process, plan, {});
  EXPECT_NEAR(chosen.phi[0], 1, 1e-12) << chosen.note;
  EXPECT_NE(chosen.note.find("0.2: "), std::string::npos) << chosen.note;
}

// Every set of sites and every token alike; the mask is none of them.
TEST(LsdPaper, RelaxedSitesAreAnyWithAnyToken) {
  int const rows = 100000, length = 4, sites = 2;
  auto const law = MarkovChain::countdown(2, length);
  auto process = masked_process(law, NoiseSchedule::log_linear());
  State const state = to_state(Rows(rows, std::vector<token_t>(length, 2)), 1);
  relax_start(ExecSpace(), process, state, sites, 5);
  std::vector<std::int64_t> counts(6 * 4, 0);
  for (auto const& x : to_rows(state.tokens)) {
    int first = -1, second = -1;
    for (int l = 0; l < length; ++l) {
      if (x[static_cast<std::size_t>(l)] == 2) continue;
      ASSERT_EQ(second, -1);
      (first < 0 ? first : second) = l;
    }
    ASSERT_GE(second, 0);
    int const pair = first * (2 * length - first - 1) / 2 + second - first - 1;
    ++counts[static_cast<std::size_t>(4 * pair + 2 * x[static_cast<std::size_t>(first)] +
                                      x[static_cast<std::size_t>(second)])];
  }
  std::vector<double> const uniform(counts.size(), 1.0 / 24);
  EXPECT_TRUE(accepts(statistics::g_test(counts, uniform)));
  ASSERT_GT(statistics::power(uniform, statistics::five_percent_off(uniform), rows), 1 - statistics::missed_alarm);
  EXPECT_TRUE(statistics::rejects(statistics::g_test(counts, statistics::five_percent_off(uniform))));
}

TEST(LsdPaper, DescentComesToTheClosedForm) {
  auto const law = cyclic_chain();
  auto process = masked_process(law, NoiseSchedule::log_linear());
  DistillPlan const plan{.base = "tweedie",
                         .steps = 4,
                         .teacher_steps = 16,
                         .length = 8,
                         .end = 1e-3,
                         .trajectories = 6400,
                         .sweeps = 1,
                         .batch = 800};
  Schedule const closed = make_distiller("lsd:mode=paper,relax=0")->distill(ExecSpace(), process, plan, {}),
                 descent = make_distiller("lsd:mode=paper,relax=0,optimiser=sgd,rate=0.1,iterations=60,rows=200")
                               ->distill(ExecSpace(), process, plan, {}),
                 raw = make_distiller("lsd:mode=paper,relax=0,optimiser=sgd,rate=0.1,iterations=20,rows=50,raw=1")
                           ->distill(ExecSpace(), process, plan, {});
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(descent.phi[k], closed.phi[k], 0.04) << k;
  EXPECT_TRUE(descent.phi_error.empty());
  // A§12.5: one rate cannot serve all steps, since |s|^2 grows by orders of magnitude from the noise to the data.
  EXPECT_GT(std::abs(raw.phi[3] - closed.phi[3]), 0.05);
}

// -------------------------------------------------------------------------------------------------- what is scaled

// A§12.7-4: scores of the whole row times anything are the same row to a method that normalises it; the factor phi
// takes the other entries alone, and acts.
TEST(Lsd, TweedieIsScaledOffTheDiagonal) {
  std::vector<double> const clean{0.5, 0.3, 0.2};
  Generator const generator = Generator::uniform(3);
  auto const tokens = [&](double whole, double phi) {
    auto process =
        Process::reverse(generator, NoiseSchedule::constant(1, 3), std::make_shared<WholeRow>(generator, clean, whole));
    auto const method = make_integrator("tweedie");
    SamplePlan plan = make_plan(process, *method, 6, 5, 0.1);
    plan.samples = 200;
    plan.phi.assign(6, phi);
    HostTokens const x = sample(ExecSpace(), process, *method, plan);
    return std::vector<token_t>(x.data(), x.data() + x.size());
  };
  auto const plain = tokens(1, 1);
  EXPECT_EQ(tokens(3.7, 1), plain);
  EXPECT_NE(tokens(1, 1.3), plain);
}

// A§12.3 D1, A§12.7-7: a power c of scores s = pL / (e^sb - 1) of a masked process draws tokens at temperature 1/c and
// takes the hazard times (e^sb - 1)^(1 - c) sum pL^c; of scores that are normalised it changes the tokens alone.
TEST(Lsd, PowersAreTemperatureAndHazard) {
  int const words = 32000;
  std::vector<double> zipf(words);
  for (int y = 0; y < words; ++y) zipf[static_cast<std::size_t>(y)] = 1.0 / (y + 1);
  double const total = std::accumulate(zipf.begin(), zipf.end(), 0.0), c = 1.15;
  for (double& p : zipf) p /= total;
  double powers = 0;
  for (double const p : zipf) powers += std::pow(p, c);
  Generator const generator = Generator::absorbing(words + 1);
  NoiseSchedule const noise = NoiseSchedule::log_linear();
  auto process = Process::reverse(generator, noise, std::make_shared<ScaledScores>(generator, zipf, 1));
  process.reserve({1, 1}, 1);
  SiteMasses const masses("test::masses", 1, 1, words + 1);
  for (auto const& [t, documented] : {std::pair{0.999, 0.15}, {0.9, 0.27}, {0.5, 0.37}, {0.1, 0.52}, {0.01, 0.74}}) {
    State const state = to_state({{words}}, t);
    process.refresh(ExecSpace(), state, 0);
    auto const read = [&](double power) {
      StepTable const table = one_step(noise, {t, t / 2}, 1, power);
      read_masses(ExecSpace(), process, state, table.step(0), 0, Mass::rates, masses);
      auto const host = Kokkos::create_mirror_view_and_copy(HostSpace(), masses);
      return std::vector<double>(host.data(), host.data() + host.size());
    };
    auto const plain = read(1), sharp = read(c);
    double const hazard = std::accumulate(plain.begin(), plain.end(), 0.0),
                 sharper = std::accumulate(sharp.begin(), sharp.end(), 0.0);
    double const lost = 0.999 * t, expected = std::pow(lost / (1 - lost), 1 - c) * powers;
    EXPECT_NEAR(sharper / hazard, expected, 1e-10);
    EXPECT_NEAR(sharper / hazard, documented, 0.005);
    for (std::size_t y : {0u, 1u, 10u, 31999u}) EXPECT_NEAR(sharp[y] / sharper, std::pow(zipf[y], c) / powers, 1e-12);
  }
  auto normalised = Process::reverse(generator, noise, std::make_shared<ScaledScores>(generator, zipf, 1), true);
  normalised.reserve({1, 1}, 1);
  State const state = to_state({{words}}, 0.5);
  normalised.refresh(ExecSpace(), state, 0);
  StepTable const table = one_step(noise, {0.5, 0.25}, 1, c);
  read_masses(ExecSpace(), normalised, state, table.step(0), 0, Mass::rates, masses);
  auto const host = Kokkos::create_mirror_view_and_copy(HostSpace(), masses);
  EXPECT_NEAR(std::accumulate(host.data(), host.data() + host.size(), 0.0), table.host(0).hazard * 0.25, 1e-12);
  EXPECT_NEAR(host(0, 0, 0) / host(0, 0, 1), std::pow(2.0, c), 1e-10);
}

// Mode code on independent sites: teacher and student say the same wherever both have masks, so that the power is 1.
TEST(LsdCode, EqualScoresNeedNoPower) {
  ProductLaw const law(6, 2, {0.5, 0.5, 0.2, 0.8, 0.9, 0.1, 0.3, 0.7, 0.5, 0.5, 0.2, 0.8});
  auto process = masked_process(law, NoiseSchedule::log_linear());
  DistillPlan plan{.base = "euler",
                   .steps = 4,
                   .teacher_steps = 8,
                   .length = 6,
                   .end = 0,
                   .trajectories = 100,
                   .sweeps = 2,
                   .batch = 100};
  Schedule const s = make_distiller("lsd:mode=code,relax=0.2,coupling=full")->distill(ExecSpace(), process, plan, {});
  EXPECT_TRUE(s.phi.empty());
  ASSERT_EQ(s.power.size(), 4);
  for (double const power : s.power) EXPECT_NEAR(power, 1, 1e-9);
  EXPECT_NE(s.note.find("temperature"), std::string::npos);
}

// Two sites, independent paths, log-linear noise: after the first step each site of either path is revealed with
// probability q = 1/4, and the first to be so from its marginal law. With o(y; z) the logarithm of the law of a masked site
// whose neighbour holds z, <o*, o> is the square of its mean over z, summed over y, and <o, o> the mean of its square (17.19). Of
// a model of scores o has the logarithm of alpha/(1 - alpha) more.
TEST(LsdCode, IndependentPathsDiluteThePower) {
  TableLaw const law(2, 2, {0.45, 0.05, 0.05, 0.45});
  NoiseSchedule const noise = NoiseSchedule::log_linear();
  Generator const generator = Generator::absorbing(3);
  DistillPlan plan{.base = "euler", .steps = 4, .teacher_steps = 8, .length = 2, .end = 0, .trajectories = 20000, .sweeps = 1, .batch = 1000};
  for (bool const scores : {false, true}) {
    auto process = Process::reverse(generator, noise, scores ? std::make_shared<Multiplied<LogLinearOdds>>(law.denoiser(generator), LogLinearOdds{}, ScoreKind::score) : law.denoiser(generator));
    Schedule const s = make_distiller("lsd:mode=code,coupling=independent")->distill(ExecSpace(), process, plan, {});
    double const lost = 0.999 * 0.75, q = 1 - lost, unit = scores ? q / lost : 1;  // log-linear noise has a floor of 0.001
    double const none = std::log(unit * 0.5), same = std::log(unit * 0.9), other = std::log(unit * 0.1);
    double const mean = (1 - q) * none + q / 2 * (same + other),
                 square = (1 - q) * none * none + q / 2 * (same * same + other * other), expected = mean * mean / square;
    EXPECT_LT(expected, 0.95);
    ASSERT_EQ(s.power.size(), 4);
    EXPECT_EQ(s.power[0], 1);  // the released code starts without disturbance: both say the same
    EXPECT_TRUE(accepts(normal_p_value((s.power[1] - expected) / s.phi_error[1])));
    EXPECT_NEAR(s.power[1], expected, 0.01);
    EXPECT_LT(s.phi_error[1], 0.005);
    EXPECT_EQ(s.power[3], 1);
  }
}

// Without a mask the power is that of the law that leaves the site out, which is found from scores that depend on the noise and on
// the token that is there: independent sites have one law, and scores on two paths that are far from equal.
TEST(LsdCode, UniformLawsAreFoundFromTheirScores) {
  ProductLaw const law(6, 2, {0.5, 0.5, 0.2, 0.8, 0.9, 0.1, 0.3, 0.7, 0.5, 0.5, 0.2, 0.8});
  Generator const generator = Generator::uniform(2);
  auto process = Process::reverse(generator, NoiseSchedule::constant(1, 3), law.denoiser(generator));
  DistillPlan plan{.base = "euler", .steps = 4, .teacher_steps = 8, .length = 6, .end = 0.05, .trajectories = 100, .sweeps = 2, .batch = 100};
  Schedule const s = make_distiller("lsd:mode=code,coupling=full")->distill(ExecSpace(), process, plan, {});
  ASSERT_EQ(s.power.size(), 4);
  for (double const power : s.power) EXPECT_NEAR(power, 1, 1e-5);
}

TEST(LsdCode, RefusesWhatTakesNoPowers) {
  TableLaw const law = TableLaw::neighbours(2, 4, 3);
  Generator const generator = Generator::path(4);
  auto process = Process::reverse(generator, NoiseSchedule::constant(1, 3), law.denoiser(generator));
  DistillPlan plan = small_plan();
  plan.length = 2;
  plan.end = 0.05;
  EXPECT_SAYS(message_of<UserError>([&] { make_distiller("lsd:mode=code")->distill(ExecSpace(), process, plan, {}); }), "masked or uniform noise");
  EXPECT_SAYS(message_of<UserError>([&] {
                StepTable(ExecSpace(), process, TimeGrid::uniform(3, 0.05, 2), {.power = {1, 0.9}});
              }),
              "powers of scores");
}

}  // namespace
}  // namespace saltus
