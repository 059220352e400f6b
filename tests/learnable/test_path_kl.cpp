// SPDX-License-Identifier: BSD-3-Clause
// Path KLs from sampled paths against exact ones: law_report(), closed forms and A§12.6.
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/learnable/path_kl.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

#include "reference/harness.hpp"
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace reference;
using statistics::accepts;
using statistics::normal_p_value;

TableLaw some_law(int length, int states) {
  std::vector<double> p(StateSpace(states, length).size());
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += p[i] = 0.02 + std::pow(scramble(i + 31), 3);
  for (double& x : p) x /= sum;
  return {length, states, p};
}

Schedule uniform_schedule(std::string const& base, NoiseSchedule const& noise, double end, int steps, bool forced_last,
                          double phi = 1) {
  auto const points = TimeGrid::uniform(noise.end(), end, steps);
  return {.method = "none",
          .base = base,
          .bases = {},
          .times = {points.points().begin(), points.points().end()},
          .phi = std::vector<double>(static_cast<std::size_t>(steps), phi),
          .power = {},
          .forced_last = forced_last};
}

LawReport exact_report(Process& process, std::string const& base, TableLaw const& law, Schedule const& schedule) {
  StateSpace const space(process.generator().states(), law.length());
  return law_report(ExecSpace(), process, *make_integrator(base, process), space,
                    {.grid = TimeGrid::from_points(schedule.times),
                     .data = law.probabilities(),
                     .phi = schedule.phi,
                     .forced_last = schedule.forced_last});
}

double deviation(double estimate, double expected, double error) { return (estimate - expected) / error; }

// A teacher of N steps is no exact process: what it lacks itself, its own path divergence, is missing in the estimate.
void expect_exact(NoiseSchedule const& noise, std::string const& base, double end, double phi,
                  std::string const& teacher = "tweedie") {
  TableLaw const law = some_law(3, 3);
  Generator const generator = Generator::absorbing(4);
  Process process = Process::reverse(generator, noise, law.denoiser(generator));
  Schedule const schedule = uniform_schedule(base, noise, end, 4, end == 0, phi);
  int const steps = teacher == "tweedie" ? 512 : 128;
  TeacherPlan const plan{
      .integrator = teacher, .steps = steps, .length = 3, .trajectories = 4000, .batch = 1000, .seed = 5};
  PathKl const found = path_kl(ExecSpace(), process, schedule, plan);
  LawReport const exact = exact_report(process, base, law, schedule);
  double const lacking =
      *exact_report(process, "tweedie", law, uniform_schedule("tweedie", noise, end, steps, end == 0)).path_kl;
  SCOPED_TRACE(teacher + ", " + base + ", " + noise.describe() + ", phi " + to_text(phi) + ": " + to_text(found.value) +
               " +- " + to_text(found.error) + ", exact " + to_text(*exact.path_kl) + ", teacher lacks " +
               to_text(lacking));
  ASSERT_GT(found.error, 0);
  EXPECT_LT(found.error, 0.03 * found.value);
  EXPECT_LT(lacking, 0.1 * found.value);
  EXPECT_TRUE(accepts(normal_p_value(deviation(found.value, *exact.path_kl - lacking, found.error))));
  EXPECT_NEAR(found.discretisation + found.factorisation, found.value, 1e-12);
  EXPECT_NEAR(found.discretisation, *exact.discretisation, 5 * found.error + 1e-9);
  EXPECT_NEAR(found.factorisation, *exact.factorisation - lacking, 5 * found.error);
  // Control: a divergence that is 20 % off would be seen.
  EXPECT_LT(normal_p_value(deviation(found.value, 1.2 * *exact.path_kl, found.error)), statistics::false_alarm);
}

TEST(PathKl, IsThatOfTheExactLaw) {
  auto const constant = NoiseSchedule::constant(1, 3);
  expect_exact(NoiseSchedule::log_linear(), "tweedie", 0, 1);
  expect_exact(constant, "tweedie", 0, 1);
  expect_exact(constant, "tweedie", 0.05, 1);
  expect_exact(constant, "tweedie", 0.05, 0.8);
  expect_exact(constant, "euler", 0.05, 1);
  expect_exact(NoiseSchedule::cosine(), "euler", 0.05, 0.5);
  // Exact paths on a coarse grid.
  expect_exact(NoiseSchedule::log_linear(), "tweedie", 0, 1, "first_hitting");
  expect_exact(constant, "euler", 0.05, 1, "first_hitting");
}

TEST(PathKl, TweedieHasNoDiscretisationAndEulerHas) {
  TableLaw const law = some_law(3, 3);
  Generator const generator = Generator::absorbing(4);
  auto const noise = NoiseSchedule::constant(1, 3);
  Process process = Process::reverse(generator, noise, law.denoiser(generator));
  TeacherPlan const plan{.steps = 64, .length = 3, .trajectories = 200, .seed = 5};
  PathKl const tweedie = path_kl(ExecSpace(), process, uniform_schedule("tweedie", noise, 0, 4, true), plan);
  EXPECT_NEAR(tweedie.discretisation, 0, 1e-12);
  PathKl const euler = path_kl(ExecSpace(), process, uniform_schedule("euler", noise, 0, 4, true), plan);
  EXPECT_GT(euler.discretisation, 0.05);
  EXPECT_NEAR(euler.factorisation, tweedie.factorisation, 1e-12);
  // A wrong factor costs more than the estimate can miss, either way.
  for (double const phi : {0.8, 1.2}) {
    PathKl const wrong = path_kl(ExecSpace(), process, uniform_schedule("tweedie", noise, 0.3, 4, false, phi), plan);
    PathKl const right = path_kl(ExecSpace(), process, uniform_schedule("tweedie", noise, 0.3, 4, false), plan);
    EXPECT_GT(wrong.value, right.value + 4 * wrong.error) << phi;
  }
}

// On the points of all of them: schedules whose times are uniform points lose nothing by company, bit for bit; others get finer paths.
TEST(PathKl, OfSeveralSchedulesOnTheSamePaths) {
  TableLaw const law = some_law(3, 3);
  Generator const generator = Generator::absorbing(4);
  auto const noise = NoiseSchedule::constant(1, 3);
  Process process = Process::reverse(generator, noise, law.denoiser(generator));
  TeacherPlan const plan{.steps = 64, .length = 3, .trajectories = 2000, .batch = 300, .seed = 6};
  Schedule const four = uniform_schedule("euler", noise, 0.05, 4, false, 0.9), eight = uniform_schedule("tweedie", noise, 0.05, 8, false),
                 exponential = uniform_schedule("exponential", noise, 0.05, 2, false), seven = uniform_schedule("tweedie", noise, 0.05, 7, false);
  auto const alone = [&](Schedule const& schedule) { return path_kl(ExecSpace(), process, schedule, plan); };
  std::vector<Schedule> const schedules{four, eight, exponential};
  auto const together = path_kls(ExecSpace(), process, schedules, plan);
  ASSERT_EQ(together.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    PathKl const one = alone(schedules[i]);
    EXPECT_EQ(together[i].value, one.value) << i;
    EXPECT_EQ(together[i].error, one.error) << i;
    EXPECT_EQ(together[i].discretisation, one.discretisation) << i;
    EXPECT_TRUE(one.value > 0 && std::isfinite(one.value)) << i;
  }
  EXPECT_NE(together[0].value, together[1].value);
  auto const others = path_kls(ExecSpace(), process, {four, seven}, plan);
  for (auto const& [i, schedule] : {std::pair{0u, four}, std::pair{1u, seven}}) {
    PathKl const one = alone(schedule);
    EXPECT_NEAR(others[i].value, one.value, 5 * std::hypot(one.error, others[i].error)) << i;
  }
  EXPECT_NE(others[0].value, together[0].value);
  Schedule const longer = uniform_schedule("tweedie", noise, 0, 4, true);
  EXPECT_THROW(path_kls(ExecSpace(), process, {four, longer}, plan), UserError);
}

// A product needs no other sites: every tweedie run is exact, whatever its times, and so is its path.
TEST(PathKl, ProductsCostNothing) {
  ProductLaw const law(4, 3, {0.5, 0.25, 0.25, 0.1, 0.2, 0.7, 0.6, 0.2, 0.2, 0.3, 0.3, 0.4});
  Generator const generator = Generator::absorbing(4);
  for (auto const& noise : {NoiseSchedule::log_linear(), NoiseSchedule::cosine2()}) {
    Process process = Process::reverse(generator, noise, law.denoiser(generator));
    PathKl const kl = path_kl(ExecSpace(), process, uniform_schedule("tweedie", noise, 0, 3, true),
                              {.steps = 50, .length = 4, .trajectories = 30});
    EXPECT_NEAR(kl.value, 0, 1e-11) << noise.describe();
  }
}

// Two sites of three tokens, constant rate, T = 3, end .05: the integral of A§12.6 by quadrature, from all masks.
struct TwoSites {
  TableLaw law = some_law(2, 3);
  double end = 0.05, horizon = 3;
  NoiseSchedule noise = NoiseSchedule::constant(1, horizon);
  Generator generator = Generator::absorbing(4);
  Process process = Process::reverse(generator, noise, law.denoiser(generator));

  double mutual_information() const {
    auto const& p = law.probabilities();
    auto const sites = law.site_marginals();
    double sum = 0;
    for (std::size_t i = 0; i < 9; ++i) sum += p[i] * std::log(p[i] / sites[i / 3] / sites[3 + i % 3]);
    return sum;
  }
  // Phi* of each step, and the path KL with given factors (of exponential law).
  double optimum(double from, double to) const {
    double jumps = 0, waits = 0;
    integrate(from, to, [&](double masked, double hazard, double dt) {
      jumps += masked * hazard * dt;
      waits += masked * dt;
    });
    return jumps / (waits * hazard_at(from));
  }
  double path(std::vector<double> const& times, std::vector<double> const& phi) const {
    double sum = 0;
    for (std::size_t k = 0; k + 1 < times.size(); ++k) {
      double const student = phi[k] * hazard_at(times[k]);
      double jumps = 0;
      integrate(times[k], times[k + 1], [&](double masked, double hazard, double dt) {
        sum += 2 * masked * dt * (hazard * std::log(hazard / student) - hazard + student);
        jumps += masked * hazard * dt;
      });
      sum += jumps * jumps * mutual_information();  // both in this step
    }
    return sum;
  }
  static double hazard_at(double t) { return std::exp(-t) / -std::expm1(-t); }
  template <class Function>
  void integrate(double from, double to, Function const& f) const {
    int const n = 20000;
    for (int i = 0; i < n; ++i) {
      double const t = to + (from - to) * (i + 0.5) / n;
      f(std::expm1(-t) / std::expm1(-horizon), hazard_at(t), (from - to) / n);
    }
  }
};

TEST(PathKl, OfAConstantHazardIsTheIntegral) {
  std::vector<std::vector<double>> const reference{{1.517, 1.566, 1.706, 2.464}, {1.223, 0, 0, 0, 0, 0, 0, 2.024}};
  TwoSites two;
  for (auto const& published : reference) {
    int const steps = static_cast<int>(published.size());
    Schedule schedule = uniform_schedule("exponential", two.noise, two.end, steps, false);
    std::vector<double> const ones = schedule.phi;
    std::vector<double> best;
    for (int k = 0; k < steps; ++k) {
      auto const at = static_cast<std::size_t>(k);
      best.push_back(two.optimum(schedule.times[at], schedule.times[at + 1]));
      if (published[at] > 0) {
        EXPECT_NEAR(best.back(), published[at], 5.1e-4);
      }
    }
    double last = std::numeric_limits<double>::infinity();
    for (auto const& phi : {ones, best}) {
      schedule.phi = phi;
      TeacherPlan const plan{.steps = 1024, .length = 2, .trajectories = 3000, .batch = 1000, .seed = 8};
      PathKl const found = path_kl(ExecSpace(), two.process, schedule, plan);
      double const expected = two.path(schedule.times, phi);
      SCOPED_TRACE("M " + std::to_string(steps) + ": " + to_text(found.value) + " +- " + to_text(found.error) +
                   ", integral " + to_text(expected));
      EXPECT_TRUE(accepts(normal_p_value(deviation(found.value, expected, found.error))));
      EXPECT_LT(found.error, 0.05 * found.value);
      // It bounds the divergence of the outputs.
      LawReport const report = exact_report(two.process, "exponential", two.law, schedule);
      EXPECT_LT(report.kl, found.value - 4 * found.error);
      EXPECT_LT(*report.path_kl, found.value + 4 * found.error);
      EXPECT_LT(found.value, last - 4 * found.error);
      last = found.value;
    }
  }
}

// Without a mask: one site, of which everything is known. First jumps under the process against those of the student.
TEST(PathKl, WithoutAMaskItIsThatOfFirstJumps) {
  ProductLaw const law(1, 2, {0.8, 0.2});
  Generator const generator = Generator::uniform(2);
  auto const noise = NoiseSchedule::constant(1, 1);
  Process process = Process::reverse(generator, noise, law.denoiser(generator));
  double const from = 1, to = 0.1;
  // p_t(x) = 1/2 + a (p_0(x) - 1/2); the rate from x is 1/2 p_t(other)/p_t(x).
  auto const at = [&](int x, double t) { return 0.5 + std::exp(-t) * (x == 0 ? 0.3 : -0.3); };
  double expected = 0;
  for (int const x : {0, 1}) {
    double const start = 0.5 * at(1 - x, from) / at(x, from);
    double alive = 0.5;  // the prior is uniform
    int const n = 100000;
    double const dt = (from - to) / n;
    for (int i = 0; i < n; ++i) {
      double const t = from - (i + 0.5) * dt, rate = 0.5 * at(1 - x, t) / at(x, t);
      expected += alive * std::exp(-rate * dt / 2) * dt * (rate * std::log(rate / start) - rate + start);
      alive *= std::exp(-rate * dt);
    }
  }
  Schedule schedule = uniform_schedule("exponential", noise, to, 1, false);
  PathKl const found =
      path_kl(ExecSpace(), process, schedule, {.steps = 400, .length = 1, .trajectories = 4000, .batch = 500});
  EXPECT_TRUE(accepts(normal_p_value(deviation(found.value, expected, found.error))))
      << found.value << " and " << expected;
  EXPECT_NEAR(found.factorisation, 0, 1e-12);
  EXPECT_GT(found.value, 10 * found.error);
}

TEST(PathKl, InfiniteWhereTheStudentMissesSomething) {
  ProductLaw const law(2, 3, {0.9, 0.07, 0.03, 0.9, 0.07, 0.03});
  Generator const generator = Generator::absorbing(4);
  auto const noise = NoiseSchedule::constant(1, 3);
  Process process = Process::reverse(generator, noise, law.denoiser(generator));
  TeacherPlan const plan{.steps = 64, .length = 2, .trajectories = 100};
  // A reveal that is certain before the end: paths that are masked longer are impossible.
  PathKl const certain = path_kl(ExecSpace(), process, uniform_schedule("tweedie", noise, 0.05, 4, false, 5), plan);
  EXPECT_EQ(certain.value, INFINITY);
  EXPECT_EQ(certain.error, INFINITY);
  EXPECT_EQ(certain.discretisation, INFINITY);
  EXPECT_TRUE(std::isfinite(certain.factorisation));
  // A power that leaves nothing of 0.03: 0.03^300 < 1e-456.
  Schedule cold = uniform_schedule("tweedie", noise, 0, 4, true);
  cold.power = {300, 1, 1, 1};
  PathKl const missing = path_kl(ExecSpace(), process, cold, plan);
  EXPECT_EQ(missing.value, INFINITY);
  EXPECT_EQ(missing.factorisation, INFINITY);
  EXPECT_TRUE(std::isfinite(missing.discretisation));
}

TEST(PathKl, DoesNotDependOnTheBatch) {
  TableLaw const law = some_law(2, 3);
  Generator const generator = Generator::absorbing(4);
  auto const noise = NoiseSchedule::constant(1, 3);
  Process process = Process::reverse(generator, noise, law.denoiser(generator));
  Schedule const schedule = uniform_schedule("euler", noise, 0, 4, true);
  auto const found = [&](int batch, std::size_t memory) {
    return path_kl(ExecSpace(), process, schedule,
                   {.steps = 32, .length = 2, .trajectories = 37, .batch = batch, .memory = memory});
  };
  PathKl const one = found(64, 1 << 20);
  for (auto const& other : {found(10, 1 << 20), found(64, 1000)}) {
    EXPECT_EQ(other.value, one.value);
    EXPECT_EQ(other.error, one.error);
  }
  EXPECT_SAYS(message_of<UserError>([&] { found(64, 100); }), "allow more memory");
}

// Factors of the state that are the same for all states are those of the step; others are not.
TEST(PathKl, FactorsOfTheState) {
  TableLaw const law = some_law(4, 3);
  Generator const generator = Generator::absorbing(4);
  auto const noise = NoiseSchedule::cosine();
  Process process = Process::reverse(generator, noise, law.denoiser(generator));
  for (std::string const base : {"euler", "exponential"}) {
    Schedule by_step = uniform_schedule(base, noise, 0, 3, true), by_state = by_step;
    by_step.phi = {1.1, 0.8, 1};
    by_state.state = StateFactors{{0.5}, {0.4, 0.8}, {}};
    for (double const phi : {1.1, 0.8, 5.0})  // the last step is forced
      by_state.state->phi.insert(by_state.state->phi.end(), 6, phi);
    TeacherPlan const plan{.steps = 24, .length = 4, .trajectories = 300, .batch = 128};
    PathKl const expected = path_kl(ExecSpace(), process, by_step, plan), found = path_kl(ExecSpace(), process, by_state, plan);
    EXPECT_EQ(found.value, expected.value) << base;
    EXPECT_EQ(found.discretisation, expected.discretisation) << base;
    by_state.state->phi[6 + 5] = 3;  // step 1, more than half masked, high entropy
    EXPECT_NE(path_kl(ExecSpace(), process, by_state, plan).value, expected.value) << base;
  }
}

TEST(PathKl, Refusals) {
  TableLaw const law = some_law(2, 3);
  Generator const generator = Generator::absorbing(4);
  auto const noise = NoiseSchedule::log_linear();
  Process process = Process::reverse(generator, noise, law.denoiser(generator));
  auto const message = [&](Schedule const& schedule, TeacherPlan const& plan) {
    return message_of<UserError>([&] { path_kl(ExecSpace(), process, schedule, plan); });
  };
  TeacherPlan const plan{.steps = 8, .length = 2, .trajectories = 4};
  EXPECT_SAYS(message(uniform_schedule("tweedie_trapezoidal", noise, 0, 2, true), plan), "two evaluations");
  EXPECT_SAYS(message(uniform_schedule("tau_leaping:rule=reject", noise, 0, 2, true), plan), "rule=first");
  EXPECT_EQ(path_law("tau_leaping"), StepLaw::exponential);
  EXPECT_SAYS(message(uniform_schedule("fixed_count", noise, 0, 2, true), plan), "fixed_count");
  Schedule const good = uniform_schedule("tweedie", noise, 0, 2, true);
  EXPECT_SAYS(message(good, {.steps = 8, .length = 2, .trajectories = 1}), "at least 2 trajectories");
  EXPECT_SAYS(message(good, {.integrator = "top_k", .steps = 8, .length = 2}), "top_k");
  EXPECT_SAYS(message(good, {.steps = 0, .length = 2}), "at least 1 step");
}

}  // namespace
}  // namespace saltus
