// SPDX-License-Identifier: BSD-3-Clause
// Every registered method is held against what it claims: one that is exact against the law of the process itself, one
// with a law by site against its own law multiplied out. A new line in integrators.def is tested without a line here.
#include <algorithm>
#include <cctype>
#include <memory>
#include <optional>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/table.hpp>
#include "reference/twins.hpp"
#include "statistics.hpp"

namespace saltus {
namespace {

using namespace statistics;

constexpr int data_states = 3;
// The exact denoiser of a table sums over states^length sequences for every site, so three sites cost six times as much
// a sample as two; forward processes cost next to nothing. The power of each test is checked below.
std::size_t samples_of(bool reverse, int length) { return !reverse ? 1'000'000 : length == 2 ? 400'000 : 150'000; }

struct Setting {
  bool masked;
  int length;
  double strength;  // of the dependence between neighbours
  NoiseSchedule noise;
  bool gaussian = false;

  std::string describe() const {
    return std::string(masked ? "absorbing" : gaussian ? "gaussian_target" : "uniform") + ", " + std::to_string(length) + " sites, strength " +
           std::to_string(strength) + ", " + noise.describe();
  }
  Generator generator() const {
    if (gaussian) return Generator::gaussian_target(data_states, 1.5, 1.2);
    return masked ? Generator::absorbing(data_states + 1) : Generator::uniform(data_states);
  }
  TableLaw law() const { return TableLaw::neighbours(length, data_states, strength); }
  StateSpace space() const { return {generator().states(), length}; }
  std::vector<double> data() const { return space().embed(enumerate(law()), generator()); }
  Process reverse() const { return Process::reverse(generator(), noise, law().denoiser(generator())); }
  Process forward() const { return Process::forward(generator(), noise); }
  Setting with(NoiseSchedule const& other) const { return {masked, length, strength, other, gaussian}; }
};

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (bool const masked : {true, false}) {
    for (int const length : {2, 3}) {
      for (double const strength : {0.2, 5.0}) {
        // A Latin square rather than all pairs: each noise meets each length and each strength.
        if ((length == 2) == (strength < 1)) {
          all.push_back({masked, length, strength, NoiseSchedule::log_linear()});
          all.push_back({masked, length, strength, NoiseSchedule::constant(1, 3)});
        } else {
          all.push_back({masked, length, strength, NoiseSchedule::cosine()});
          all.push_back({masked, length, strength, NoiseSchedule::geometric()});
        }
      }
    }
  }
  all.push_back({false, 2, 0.2, NoiseSchedule::constant(1, 3), true});
  all.push_back({false, 2, 5, NoiseSchedule::cosine(), true});
  return all;
}

// One run: from where, over which times.
struct Scenario {
  bool reverse;
  TimeGrid grid;
  bool forced_last = false;
  std::optional<std::vector<token_t>> start{};  // none: the prior of the process
};

// From the prior to data: the last step of a masked process reveals what is left.
Scenario generation(Setting const& s) {
  double const end = s.noise.end();
  return {true, TimeGrid::from_points({end, 0.55 * end, 0.2 * end, s.masked ? 0 : 0.02 * end}), s.masked};
}

// From one sequence, between two times inside: the law at the end depends on every rate on the way.
Scenario passage(Setting const& s) {
  double const end = s.noise.end();
  token_t const mask = data_states;
  std::vector<token_t> x = s.masked ? std::vector<token_t>{mask, mask, 1} : std::vector<token_t>{0, 1, 1};
  x.resize(static_cast<std::size_t>(s.length));
  return {true, TimeGrid::from_points({0.7 * end, 0.4 * end, 0.25 * end}), false, x};
}

Scenario forward_passage(Setting const& s) {
  double const end = s.noise.end();
  std::vector<token_t> x{0, 2, 1};
  x.resize(static_cast<std::size_t>(s.length));
  return {false, TimeGrid::from_points({0.2 * end, 0.4 * end, 0.7 * end}), false, x};
}

std::size_t samples(Setting const& s, Scenario const& run) { return samples_of(run.reverse, s.length); }

Process process_of(Setting const& s, Scenario const& run) { return run.reverse ? s.reverse() : s.forward(); }

std::vector<double> start_law(Setting const& s, Scenario const& run) {
  StateSpace const space = s.space();
  if (run.start) return point_law(space, *run.start);
  return prior_law(s.reverse(), space);
}

// The law that the method claims to draw from; empty if it claims nothing that could be checked.
std::vector<double> claimed_law(Integrator const& integrator, Setting const& s, Scenario const& run) {
  StateSpace const space = s.space();
  std::vector<double> law = start_law(s, run);
  if (integrator.info().exact) {
    Interval const whole{run.grid.point(0), run.grid.point(run.grid.steps())};
    if (!run.reverse) return push_sites(space, law, site_transition(s.generator(), s.noise, whole.from, whole.to));
    // Whether a site is masked says nothing of the data: from all masks, revealing the last ones gives p_0 itself,
    // also where the noise leaves some tokens at T or takes some at 0.
    if (run.forced_last) return s.data();
    return reverse_step(space, s.data(), s.generator(), s.noise, whole, law);
  }
  if (!integrator.info().has_site_law) return {};
  Process process = process_of(s, run);
  return output_law(ExecSpace(), process, integrator, space, law, run.grid, run.forced_last);
}

std::vector<std::int64_t> sampled(Integrator& integrator, Setting const& s, Scenario const& run, std::uint64_t seed,
                                  std::vector<double> phi = {}) {
  Process process = process_of(s, run);
  SamplePlan const plan{.grid = run.grid,
                        .seed = seed,
                        .samples = samples(s, run),
                        .length = s.length,
                        .batch = 50'000,
                        .phi = std::move(phi),
                        .forced_last = run.forced_last,
                        .start = run.start ? fixed_start(*run.start) : Start{}};
  return count_sequences(s.space(), sample(ExecSpace(), process, integrator, plan));
}

// Forward, sites do not depend on each other: a quarter of the settings will do. Candidates without masks cost an evaluation
// each: a quarter must.
bool is_spared(Integrator const& integrator, Setting const& s, Scenario const& run) {
  if (integrator.info().evaluations != 0) return false;
  if (!run.reverse) return s.length > 2 || s.strength < 1;
  if (s.masked) return false;
  return s.length > 2 || (s.noise.describe() != NoiseSchedule::log_linear().describe() &&
                          s.noise.describe() != NoiseSchedule::constant(1, 3).describe());
}

// Every method, and variants that run code of their own.
std::vector<std::string> methods() {
  std::vector<std::string> all = integrator_names();
  for (char const* const variant :
       {"tau_leaping:rule=reject", "theta_trapezoidal:rule=reject,theta=0.4", "theta_rk2:repair=own,theta=0.7",
        "theta_rk2:rule=reject,theta=0.33", "tweedie_trapezoidal:counts=fixed", "tweedie_trapezoidal:split=0.3",
        "fixed_count:counts=uniform", "tweedie+forward_backward:scale=0.5", "euler+forward_backward:steps=2,entry=0.5",
        "tweedie+remasking:eta=0.2", "euler+remasking:variant=rescale,eta=0.5",
        "tweedie+remasking:variant=loop,eta=0.3"}) {
    all.emplace_back(variant);
  }
  return all;
}

bool claims(Integrator const& integrator) { return integrator.info().exact || integrator.info().has_site_law; }

class Registry : public testing::TestWithParam<std::string> {
 protected:
  // Runs the settings that the method takes.
  void hold(Scenario (*scenario)(Setting const&)) {
    auto const integrator = make_integrator(GetParam());
    if (!claims(*integrator)) GTEST_SKIP() << "held against its scalar twin";
    int taken = 0, powerful = 0;
    std::uint64_t seed = 1;
    for (Setting const& s : settings()) {
      SCOPED_TRACE(s.describe());
      Scenario const run = scenario(s);
      ++seed;
      if (!integrator->refuses(process_of(s, run)).empty()) continue;
      if (is_spared(*integrator, s, run)) continue;
      ++taken;
      std::vector<double> const law = claimed_law(*integrator, s, run);
      auto const counts = sampled(*integrator, s, run, seed);
      EXPECT_TRUE(accepts(g_test(counts, law)));
      // the test sees laws that are 5 % off
      auto const wrong = five_percent_off(law);
      bool const seen = power(law, wrong, static_cast<double>(samples(s, run))) > 1 - missed_alarm;
      powerful += seen;
      if (seen) {
        EXPECT_TRUE(rejects(g_test(counts, wrong)));
      }
    }
    if (taken == 0) GTEST_SKIP() << "takes no process of this direction";
    // Correctors spread the samples over more states, each of which is then seen less well.
    EXPECT_GE(powerful, GetParam().find('+') == std::string::npos ? taken - 1 : (taken + 1) / 3);
  }

  // A sampler whose rates are 5 % too high, by way of its noise, is seen.
  void control(Scenario (*scenario)(Setting const&)) {
    auto const integrator = make_integrator(GetParam());
    // Where counts are fixed, the noise does not say how many sites are revealed.
    if (!claims(*integrator) || !integrator->info().takes_phi) GTEST_SKIP() << "nothing that faster noise would change";
    int taken = 0, powerful = 0;
    for (Setting const& s : settings()) {
      // Weakly dependent data under a matrix near its stationary law hardly show how fast the noise is.
      if (s.noise.describe() != NoiseSchedule::constant(1, 3).describe() || s.gaussian) continue;
      SCOPED_TRACE(s.describe());
      Scenario const run = scenario(s);
      if (!integrator->refuses(process_of(s, run)).empty()) continue;
      ++taken;
      Setting const fast = s.with(NoiseSchedule::constant(1.05, 3));
      auto const law = claimed_law(*integrator, s, run), wrong = claimed_law(*integrator, fast, run);
      if (!(power(wrong, law, static_cast<double>(samples(s, run))) > 1 - missed_alarm)) continue;
      ++powerful;
      EXPECT_TRUE(rejects(g_test(sampled(*integrator, fast, run, 7), law)));
    }
    if (taken == 0) GTEST_SKIP() << "takes no process of this direction";
    // Weakly dependent data, or exchanged tokens, hide how fast the noise is.
    EXPECT_GE(powerful, GetParam().find('+') == std::string::npos ? 1 : 0);
  }
};

TEST_P(Registry, TakesAProcess) {
  auto const integrator = make_integrator(GetParam());
  int taken = 0;
  for (Setting const& s : settings()) {
    for (Process const& process : {s.reverse(), s.forward()}) taken += integrator->refuses(process).empty();
  }
  EXPECT_GT(taken, 0);
}
TEST_P(Registry, GenerationFollowsTheClaimedLaw) { hold(generation); }
TEST_P(Registry, PassageFollowsTheClaimedLaw) { hold(passage); }
TEST_P(Registry, ForwardFollowsTheClaimedLaw) { hold(forward_passage); }
TEST_P(Registry, ControlPassageWithFasterNoiseIsRejected) { control(passage); }
TEST_P(Registry, ControlForwardWithFasterNoiseIsRejected) { control(forward_passage); }

// With the plan that make_plan() gives, a masked process ends without masks, whatever the noise leaves at t = 0.
TEST_P(Registry, PlansForMaskedProcessesLeaveNoMask) {
  auto const integrator = make_integrator(GetParam());
  for (Setting const& s : settings()) {
    Process process = s.reverse();
    if (!s.masked || !integrator->refuses(process).empty()) continue;
    SamplePlan plan = make_plan(process, *integrator, 3, s.length);
    // A mask survives to t = 0 with the least probability under geometric noise of those that leave any: 1.6e-3 a site.
    plan.samples = 20'000;
    plan.batch = 20'000;
    HostTokens const tokens = sample(ExecSpace(), process, *integrator, plan);
    auto const masks = std::count(tokens.data(), tokens.data() + tokens.size(), token_t{data_states});
    EXPECT_EQ(masks, 0) << s.describe();
  }
}

INSTANTIATE_TEST_SUITE_P(Method, Registry, testing::ValuesIn(methods()), [](auto const& method) {
  std::string name = method.param;
  std::replace_if(name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

// A method that is neither exact nor has a law must have a scalar twin, which tests/method holds it against.
TEST_P(Registry, IsHeldAgainstSomething) {
  auto const integrator = make_integrator(GetParam());
  if (claims(*integrator)) return;
  std::string const name = GetParam().substr(0, GetParam().find(':'));
  EXPECT_TRUE(std::count(reference::twins.begin(), reference::twins.end(), name))
      << "'" << name << "' claims neither exactness nor a law by site and has no scalar twin: nothing says what it should draw";
}

// The factor phi on the rates shows in the samples of a method with a law by site and in that law alike.
TEST_P(Registry, RatesTimesPhiFollowTheClaimedLaw) {
  auto const integrator = make_integrator(GetParam());
  if (!integrator->info().has_site_law || !integrator->info().takes_phi) GTEST_SKIP() << "the next test is about those";
  for (bool const masked : {true, false}) {
    Setting const s{masked, 2, 5, NoiseSchedule::constant(1, 3)};
    SCOPED_TRACE(s.describe());
    Scenario const run = passage(s);
    Process process = s.reverse();
    if (!integrator->refuses(process).empty()) continue;
    std::vector<double> const phi(static_cast<std::size_t>(run.grid.steps()), 1.05);
    auto const law = claimed_law(*integrator, s, run);
    auto const faster =
        output_law(ExecSpace(), process, *integrator, s.space(), start_law(s, run), run.grid, false, phi);
    auto const counts = sampled(*integrator, s, run, 11, phi);
    EXPECT_TRUE(accepts(g_test(counts, faster)));
    // The leaps of a corrector, which phi does not touch, hide some of it.
    bool const seen = power(faster, law, static_cast<double>(samples(s, run))) > 1 - missed_alarm;
    EXPECT_TRUE(seen || GetParam().find('+') != std::string::npos);
    if (seen) {
      EXPECT_TRUE(rejects(g_test(counts, law)));
    }
  }
}

// Learned factors are honoured or refused, never ignored: with rates half as large again the law is another one.
TEST_P(Registry, PhiIsNotIgnored) {
  auto const integrator = make_integrator(GetParam());
  if (!claims(*integrator)) GTEST_SKIP() << "nothing to compare with";
  if (GetParam().find("forward_backward") != std::string::npos) GTEST_SKIP() << "its leaps hide the predictor's factor";
  for (Scenario (*scenario)(Setting const&) : {passage, forward_passage}) {
    for (bool const masked : {true, false}) {
      Setting const s{masked, 2, 5, NoiseSchedule::constant(1, 3)};
      Scenario const run = scenario(s);
      if (!integrator->refuses(process_of(s, run)).empty()) continue;
      SCOPED_TRACE(std::string(run.reverse ? "reverse, " : "forward, ") + s.describe());
      try {
        auto const counts =
            sampled(*integrator, s, run, 12, std::vector<double>(static_cast<std::size_t>(run.grid.steps()), 1.5));
        EXPECT_TRUE(rejects(g_test(counts, claimed_law(*integrator, s, run)))) << "phi has no effect";
      } catch (UserError const&) {
      }
    }
  }
}

}  // namespace
}  // namespace saltus
