// SPDX-License-Identifier: BSD-3-Clause
// A sample depends on the seed, its global index and the grid alone. ctest runs this program with 1, 2 and 4 threads
// (SALTUS_TEST_THREADS); the golden tokens are what compares the runs with each other.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/random.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>

#include "reference/instances.hpp"

namespace saltus {
namespace {

// One tile of 64 sites is not full at this length, and a row of scores is no multiple of a vector.
constexpr int length = 53, states = 21;
constexpr std::size_t samples = 1000;

// A chain with a matrix per position, so that no two sites are alike.
MarkovChain chain() {
  auto const law = [](std::uint32_t row) {
    std::vector<double> p(states);
    double sum = 0;
    for (std::size_t y = 0; y < states; ++y) {
      double const u = uniform53(StreamKey{99, row}.draw(y, Role::ancestral, 0).event);
      sum += p[y] = 0.01 + u * u * u;
    }
    for (double& value : p) value /= sum;
    return p;
  };
  std::vector<double> transitions;
  for (std::uint32_t row = 1; row <= (length - 1) * states; ++row) {
    auto const p = law(row);
    transitions.insert(transitions.end(), p.begin(), p.end());
  }
  return {length, states, law(0), transitions};
}

enum class Direction { masked, uniform, forward_absorbing, forward_uniform };
constexpr Direction directions[] = {Direction::masked, Direction::uniform, Direction::forward_absorbing,
                                    Direction::forward_uniform};
std::string name_of(Direction d) {
  return std::vector<std::string>{"masked", "uniform", "forward_absorbing",
                                  "forward_uniform"}[static_cast<std::size_t>(d)];
}
bool is_reverse(Direction d) { return d == Direction::masked || d == Direction::uniform; }
Generator generator_of(Direction d, int data_states) {
  return d == Direction::masked || d == Direction::forward_absorbing ? Generator::absorbing(data_states + 1)
                                                                     : Generator::uniform(data_states);
}

Process make_process(Direction direction, SequenceLaw const& law, NoiseSchedule const& noise) {
  Generator const generator = generator_of(direction, law.states());
  return is_reverse(direction) ? Process::reverse(generator, noise, law.denoiser(generator))
                               : Process::forward(generator, noise);
}

// Token l mod `data_states` at site l.
struct Ramp {
  Tokens tokens;
  int data_states;
  KOKKOS_FUNCTION void operator()(int b) const {
    for (int l = 0; l < static_cast<int>(tokens.extent(1)); ++l) tokens(b, l) = static_cast<token_t>(l % data_states);
  }
};

SamplePlan make_run(Direction direction, int run_length, int data_states, std::uint64_t seed) {
  constexpr int steps = 5;
  SamplePlan plan{
      .grid = is_reverse(direction) ? TimeGrid::uniform(1, 0.0625, steps) : TimeGrid::uniform(0.0625, 1, steps),
      .seed = seed,
      .samples = samples,
      .length = run_length};
  if (!is_reverse(direction)) {
    plan.start = [data_states](ExecSpace const& exec, State const& state) {
      Kokkos::parallel_for("saltus::tests::start",
                           Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, state.batch()),
                           Ramp{state.tokens, data_states});
    };
  }
  return plan;
}

// Equal, or the first place where they differ; `b` is compared with the rows of `a` from `first` on.
testing::AssertionResult equal(HostTokens const& a, HostTokens const& b, std::size_t first = 0) {
  for (std::size_t i = 0; i < b.extent(0); ++i) {
    for (std::size_t l = 0; l < b.extent(1); ++l) {
      if (a(first + i, l) == b(i, l)) continue;
      return testing::AssertionFailure() << "sample " << first + i << ", site " << l << ": " << a(first + i, l)
                                         << " and " << b(i, l);
    }
  }
  return testing::AssertionSuccess();
}

class Determinism : public testing::TestWithParam<std::string> {
 protected:
  template <class Check>
  void each(Check const& check) {
    int taken = 0;
    MarkovChain const law = chain();
    for (Direction const direction : directions) {
      SCOPED_TRACE(name_of(direction));
      Process process = make_process(direction, law, NoiseSchedule::cosine());
      if (!integrator_->refuses(process).empty()) continue;
      ++taken;
      // A candidate of an event-driven method without masks costs an evaluation of all sites: fewer samples do.
      fewer_ = direction == Direction::uniform && integrator_->info().evaluations == 0 ? 50 : 1;
      SamplePlan run = make_run(direction, length, states, 2024);
      run.samples = samples / fewer_;
      check(process, run);
    }
    EXPECT_GT(taken, 0);
  }
  std::unique_ptr<Integrator> integrator_ = make_integrator(GetParam());
  std::size_t fewer_ = 1;
};

TEST_P(Determinism, BatchesOfAnySizeGiveTheSameTokens) {
  each([&](Process& process, SamplePlan plan) {
    plan.batch = 1000;
    HostTokens const whole = sample(ExecSpace(), process, *integrator_, plan);
    for (int const batch : {1, 7, 64}) {
      plan.batch = batch;
      EXPECT_TRUE(equal(whole, sample(ExecSpace(), process, *integrator_, plan))) << "batch of " << batch;
    }
    // the comparison sees another seed, which must differ
    plan.seed += 1;
    EXPECT_FALSE(equal(whole, sample(ExecSpace(), process, *integrator_, plan)));
  });
}

TEST_P(Determinism, ARunMayStartAtAnySample) {
  each([&](Process& process, SamplePlan plan) {
    // beyond 2^32 the index spills into the second word of the counter
    for (std::uint64_t const offset : {std::uint64_t{0}, (std::uint64_t{1} << 32) - 700}) {
      plan.first_sample = offset;
      plan.samples = samples / fewer_;
      plan.batch = 256;
      HostTokens const whole = sample(ExecSpace(), process, *integrator_, plan);
      plan.first_sample = offset + 500 / fewer_;
      plan.samples = 500 / fewer_;
      plan.batch = 77;
      HostTokens const later = sample(ExecSpace(), process, *integrator_, plan);
      EXPECT_TRUE(equal(whole, later, 500 / fewer_));
      EXPECT_FALSE(equal(whole, later, 0)) << "all samples are alike, so nothing was compared";
    }
  });
}

// A workspace that has served another run leaves no trace in the next.
TEST_P(Determinism, AUsedIntegratorGivesWhatAFreshOneGives) {
  each([&](Process& process, SamplePlan plan) {
    plan.samples = 100 / fewer_;
    HostTokens const used = sample(ExecSpace(), process, *integrator_, plan);
    auto const fresh = make_integrator(GetParam());
    EXPECT_TRUE(equal(used, sample(ExecSpace(), process, *fresh, plan)));
    plan.seed += 1;
    sample(ExecSpace(), process, *integrator_, plan);
    plan.seed -= 1;
    EXPECT_TRUE(equal(used, sample(ExecSpace(), process, *integrator_, plan)));
  });
}

// The same on another instance: on one thread as on those that this program was started with, or on another stream of a device.
TEST_P(Determinism, OneThreadGivesWhatManyGive) {
  ExecSpace const other = reference::another_instance();
  each([&](Process& process, SamplePlan plan) {
    plan.samples = 300 / fewer_;
    HostTokens const many = sample(ExecSpace(), process, *integrator_, plan);
    EXPECT_TRUE(equal(many, sample(other, process, *integrator_, plan)));
  });
}

// 64-bit FNV-1a of the tokens as 32-bit little-endian words.
std::uint64_t hash(HostTokens const& tokens) {
  std::uint64_t h = 0xCBF29CE484222325u;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    auto const word = static_cast<std::uint32_t>(tokens.data()[i]);
    for (int shift = 0; shift < 32; shift += 8) h = (h ^ ((word >> shift) & 0xFFu)) * 0x100000001B3u;
  }
  return h;
}

// Golden tokens: the one place where stored output of the program is what a test compares with. What they guard is not
// that the tokens are right (the statistical tests do) but that they stay: a seed written down by a user gives the same
// sequences with every later version of the library, compiler and number of threads. When the stream changes on
// purpose, raise random_stream_version in random.hpp and put the new hashes here under the new version; this test
// prints them. The law has dyadic probabilities and the noise closed forms, so that sums are exact or far from a
// decision (an event within 1e-15 of its threshold has probability 1e-10 in all these runs), whatever a compiler
// contracts or reorders.
constexpr int golden_version = 3;
std::map<std::string, std::uint64_t> const golden = {
    {"adaptive masked", 0x8E013BB189AE3CD4},
    {"adaptive uniform", 0xBA2CE5690D46E313},
    {"entropy_bound masked", 0xA216681EBB3E81C3},
    {"euler masked", 0x9A19874533D6DE55},
    {"euler uniform", 0x70A3B6F3470BD9B2},
    {"euler forward_absorbing", 0x67BCB0CB166C43E7},
    {"euler forward_uniform", 0x600F26F3A9AEA2D3},
    {"exponential masked", 0xF9D7459B318FF3E6},
    {"exponential uniform", 0xB6C6D2B90D7B2404},
    {"exponential forward_absorbing", 0xCCB1CA0B78C4A2D0},
    {"exponential forward_uniform", 0xAA2A3DA5671489B1},
    {"first_hitting masked", 0xACB36F95FDFA8D22},
    {"fixed_count masked", 0x2C84614AB2FB97D2},
    // masked: 1 - exp(-step x hazard), as exponential has it
    {"flow_matching masked", 0xF9D7459B318FF3E6},
    {"flow_matching uniform", 0x3849D29A9C3DDFC5},
    {"gillespie masked", 0xF97E7D7215E02830},
    {"gillespie forward_absorbing", 0x24F07CCEF85FDF24},
    {"gillespie forward_uniform", 0x62C041916B8D4767},
    {"k_gillespie masked", 0x8D394F6BBCF7BE61},
    // sites do not depend on each other's clocks here: the same paths as first_hitting and, forward, gillespie
    {"next_reaction masked", 0xACB36F95FDFA8D22},
    {"next_reaction forward_absorbing", 0x24F07CCEF85FDF24},
    {"next_reaction forward_uniform", 0x62C041916B8D4767},
    {"semi_autoregressive masked", 0xF184AC947ABEA771},
    // between categories the first jump of a leap is the exponential law
    {"tau_leaping masked", 0xF9D7459B318FF3E6},
    {"tau_leaping uniform", 0xB6C6D2B90D7B2404},
    {"tau_leaping forward_absorbing", 0xCCB1CA0B78C4A2D0},
    {"tau_leaping forward_uniform", 0xAA2A3DA5671489B1},
    {"theta_rk2 masked", 0x961388DC6B367507},
    {"theta_rk2 uniform", 0xB133D2F47477F720},
    {"theta_trapezoidal masked", 0x4CCEA0AC8CB3CC40},
    {"theta_trapezoidal uniform", 0x83AB5FDF169D0A94},
    // rows that are laws touch the bound, so that every candidate is an event of gillespie
    {"thinning masked", 0xF97E7D7215E02830},
    {"thinning uniform", 0xD0799300AF56C534},
    {"top_k masked", 0x5B7137C5DF722557},
    {"tweedie_trapezoidal masked", 0x912578D9E2394107},
    // all states leave at one rate here, so that every event of uniformization is a jump
    {"uniformization uniform", 0x15BA71DC8A1FE790},
    {"uniformization forward_absorbing", 0x24F07CCEF85FDF24},
    {"uniformization forward_uniform", 0x62C041916B8D4767},
    // log-linear noise: the same as euler but for the uniform reverse process (A§7.1)
    {"tweedie masked", 0x9A19874533D6DE55},
    {"tweedie uniform", 0x8DAB98F59D672F13},
    {"tweedie forward_absorbing", 0x67BCB0CB166C43E7},
    {"tweedie forward_uniform", 0x600F26F3A9AEA2D3},
};

ProductLaw dyadic_law() {
  std::vector<double> p;
  std::vector<double> const row{0.5, 0.25, 0.125, 0.0625, 0.0625};
  for (std::size_t l = 0; l < 19; ++l) {
    for (std::size_t y = 0; y < row.size(); ++y) p.push_back(row[(y + l) % row.size()]);
  }
  return {19, 5, p};
}

TEST_P(Determinism, GoldenTokens) {
  ASSERT_EQ(random_stream_version, golden_version) << "the stream has a new version: store its tokens";
  ProductLaw const law = dyadic_law();
  for (Direction const direction : directions) {
    Process process = make_process(direction, law, NoiseSchedule::log_linear());
    if (!integrator_->refuses(process).empty()) continue;
    std::string const name = GetParam() + " " + name_of(direction);
    SamplePlan plan = make_run(direction, law.length(), law.states(), 20240229);
    plan.samples = 64;
    std::uint64_t const now = hash(sample(ExecSpace(), process, *integrator_, plan));
    auto const stored = golden.find(name);
    char text[32];
    std::snprintf(text, sizeof text, "0x%016llX", static_cast<unsigned long long>(now));
    if (stored == golden.end()) {
      ADD_FAILURE() << "no golden tokens yet; store\n    {\"" << name << "\", " << text << "},";
    } else {
      EXPECT_EQ(now, stored->second) << "the stream has changed:\n    {\"" << name << "\", " << text << "},";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Method, Determinism, testing::ValuesIn(integrator_names()),
                         [](auto const& method) { return method.param; });

}  // namespace
}  // namespace saltus
