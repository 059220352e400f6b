// SPDX-License-Identifier: BSD-3-Clause
// Methods that are neither exact nor have a law by site, against scalar twins on the host, token for token.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/table.hpp>

#include "reference/harness.hpp"
#include "reference/methods.hpp"
#include "reference/stored_scores.hpp"
#include "reference/twins.hpp"

namespace saltus {
namespace {

using namespace reference;

// A model, and how its numbers are read.
struct Case {
  std::string name;
  Generator generator;
  Noise noise;
  bool normalise;
  int length;
  std::function<std::shared_ptr<ScoreModel>()> model;

  Process process() const { return Process::reverse(generator, noise.schedule(), model(), normalise); }
};

// Numbers as rough as networks' are: of very different sizes, with zeros, and negative ones where they are no logarithms.
std::vector<std::vector<double>> rough_numbers(ScoreKind kind, int length, int states, std::uint64_t seed) {
  std::vector<std::vector<double>> rows(static_cast<std::size_t>(length));
  for (auto& row : rows) {
    for (int y = 0; y < states; ++y) {
      double const u = scramble(seed++), v = scramble(seed++);
      row.push_back(is_logarithmic(kind) ? 6 * u - 4 : v < 0.08 ? -0.1 * u : v < 0.2 && states > 8 ? 0 : std::pow(u, 3) + 0.01);
    }
  }
  return rows;
}

template <class Scalar>
Case stored(std::string const& name, ScoreKind kind, bool masked, int length, int states, bool normalise, Noise const& noise) {
  auto const numbers = rough_numbers(kind, length, states, static_cast<std::uint64_t>(1000 * states + length));
  return {name, masked ? Generator::absorbing(states) : Generator::uniform(states), noise, normalise, length,
          [=] {
            return std::make_shared<StoredScores<Scalar>>(
                kind, masked ? std::optional<token_t>(states - 1) : std::nullopt, numbers);
          }};
}

// The same, promising that rows of revealed sites are what a corrector may read.
class AtRevealed final : public ScoreModel {
 public:
  explicit AtRevealed(std::shared_ptr<ScoreModel> model) : model_(std::move(model)) {}
  ModelInfo info() const override {
    ModelInfo info = model_->info();
    info.leave_one_out_at_revealed = true;
    return info;
  }
  void reserve(Extents extents, int slots) override { model_->reserve(extents, slots); }
  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    return model_->evaluate(exec, query, slot);
  }

 private:
  std::shared_ptr<ScoreModel> model_;
};
Case at_revealed(Case c) {
  c.name += ", at revealed sites too";
  c.model = [model = c.model] { return std::make_shared<AtRevealed>(model()); };
  return c;
}

Noise const log_linear{Noise::Kind::log_linear, 1e-3}, cosine{Noise::Kind::cosine, 1e-3},
    constant{Noise::Kind::constant, 1.3, 0, 2.5};

// Laws without symmetries, under which sites would be equally sure but for rounding.
std::vector<double> some_law(std::size_t size, std::uint64_t seed) {
  std::vector<double> p(size);
  double sum = 0;
  for (double& x : p) sum += x = 0.01 + std::pow(scramble(seed++), 4);
  for (double& x : p) x /= sum;
  return p;
}
Case table_case(bool masked, Noise const& noise) {
  TableLaw const law(4, 3, some_law(81, 500));
  Generator const generator = masked ? Generator::absorbing(4) : Generator::uniform(3);
  return {masked ? "table" : "table, uniform", generator, noise, false, 4,
          [=] { return law.denoiser(generator, masked); }};
}
Case chain_case(Noise const& noise) {
  std::vector<double> matrices;
  for (std::uint64_t row = 0; row < 8 * 4; ++row) {
    auto const p = some_law(4, 900 + 10 * row);
    matrices.insert(matrices.end(), p.begin(), p.end());
  }
  MarkovChain const law(9, 4, some_law(4, 800), matrices);
  Generator const generator = Generator::absorbing(5);
  return {"chain", generator, noise, false, 9, [=] { return law.denoiser(generator, true); }};
}

// What the twin is told of a case; the model answers one sequence at a time.
TwinProcess twin_process(Case const& c) {
  auto const process = std::make_shared<Process>(c.process());
  process->reserve({1, c.length}, 1);
  return {process->model()->info().kind, c.generator.states(),
          c.generator.mask() ? std::optional<int>(*c.generator.mask()) : std::nullopt, c.normalise, c.noise,
          [process](std::vector<token_t> const& tokens, double time) {
            ExecSpace const exec;
            Evaluation const& e = process->refresh(exec, to_state({tokens}, time), 0);
            auto const read = [&]<class Scalar>(Scalar const* data) {
              Numbers numbers;
              for (std::size_t l = 0; l < tokens.size(); ++l) {
                Kokkos::View<Scalar const*, MemorySpace, Kokkos::MemoryUnmanaged> const row(
                    data + static_cast<std::int64_t>(l) * e.site_stride, static_cast<std::size_t>(e.states));
                auto const host = Kokkos::create_mirror_view_and_copy(HostSpace(), row);
                numbers.emplace_back(host.data(), host.data() + host.extent(0));
              }
              return numbers;
            };
            exec.fence();
            return e.type == ScalarType::f32 ? read(static_cast<float const*>(e.data))
                                             : read(static_cast<double const*>(e.data));
          }};
}

std::vector<Case> masked_cases() {
  using enum ScoreKind;
  return {stored<double>("f64, x0", x0_leave_in, true, 7, 6, false, log_linear),
          stored<float>("f32, x0", x0_leave_one_out, true, 7, 6, false, cosine),
          stored<double>("f64, scores", score, true, 7, 6, false, cosine),
          stored<float>("f32, logarithms of scores", log_score, true, 7, 6, false, constant),
          stored<double>("f64, logarithms, normalised", log_score, true, 7, 6, true, log_linear),
          stored<float>("f32, long rows", x0_leave_in, true, 3, 700, false, log_linear),
          stored<float>("f32, long rows of logarithms", log_score, true, 3, 700, true, cosine),
          at_revealed(stored<float>("f32", x0_leave_one_out, true, 8, 6, false, log_linear)),
          at_revealed(stored<float>("f32, long rows", log_score, true, 4, 700, true, cosine)),
          table_case(true, cosine),
          chain_case(log_linear)};
}

std::vector<Case> uniform_cases() {
  using enum ScoreKind;
  return {stored<double>("f64, x0, uniform", x0_leave_one_out, false, 5, 6, false, log_linear),
          stored<float>("f32, leave-in, uniform", x0_leave_in, false, 5, 6, false, cosine),
          stored<double>("f64, scores, uniform", score, false, 5, 6, false, constant),
          stored<float>("f32, logarithms, uniform", log_score, false, 5, 6, false, cosine),
          table_case(false, constant)};
}

// Which sites are there from the start, which are frozen, and how rates are changed: all of it should be heard.
constexpr int batch = 12;
Rows first_rows(Case const& c) {
  Rows rows;
  int const tokens = c.generator.states() - (c.generator.mask() ? 1 : 0);
  for (int b = 0; b < batch; ++b) {
    rows.emplace_back();
    for (int l = 0; l < c.length; ++l) {
      auto const u = scramble(static_cast<std::uint64_t>(100 * b + l));
      bool const hidden = c.generator.mask() && (b % 3 != 2 || u > 0.3);
      rows.back().push_back(hidden ? *c.generator.mask() : static_cast<token_t>(scramble(static_cast<std::uint64_t>(7919 * b + l)) * tokens));
    }
  }
  return rows;
}
std::vector<std::vector<int>> frozen_sites(int length) {
  std::vector<std::vector<int>> rows(batch, std::vector<int>(static_cast<std::size_t>(length), 0));
  for (int b = 0; b < batch; b += 4) rows[static_cast<std::size_t>(b)][static_cast<std::size_t>(b / 4 % length)] = 1;
  return rows;
}

struct Settings {
  int steps = 4;
  bool forced = true;
  std::vector<double> phi{}, power{};
  double end = 0;
};

// Runs both and compares tokens, times and evaluations. Returns how many sites have moved.
int compare(Case const& c, std::string const& method, std::function<Twin()> const& make_twin, Settings const& s = {}) {
  SCOPED_TRACE(method + " on " + c.name);
  constexpr std::uint64_t seed = 77, first_sample = (std::uint64_t{1} << 32) - 5;
  ExecSpace const exec;
  Process process = c.process();
  auto const integrator = make_integrator(method);
  EXPECT_EQ(integrator->refuses(process), "");
  double const end = c.noise.end;
  TimeGrid const grid = TimeGrid::uniform(0.9 * end, s.end * end, s.steps);
  StepOptions options = step_options(*integrator, process);
  options.phi = s.phi;
  options.power = s.power;
  options.forced_last = s.forced;
  StepTable const table(exec, process, grid, options);

  Rows const start = first_rows(c);
  auto const frozen = frozen_sites(c.length);
  State state = to_state(start, grid.point(0));
  state.frozen = to_frozen(frozen);
  state.first_sample = first_sample;
  Extents const extents{batch, c.length};
  process.reserve(extents, integrator->info().slots);
  CounterView const counters("test::counters", integrator->reserve(process, extents));
  advance_all(exec, process, *integrator, table, state, seed, counters);
  exec.fence();
  Rows const tokens = to_rows(state.tokens);
  auto const times = Kokkos::create_mirror_view_and_copy(HostSpace(), state.time);
  auto const host_counters = Kokkos::create_mirror_view_and_copy(HostSpace(), counters);
  std::int64_t evaluations = process.full_evaluations() * batch, jumps = 0, bad = 0;
  for (std::size_t i = 0; i < host_counters.extent(0); ++i) {
    evaluations += host_counters(i).evaluations;
    jumps += host_counters(i).jumps;
    bad += host_counters(i).bad_scores;
  }
  EXPECT_EQ(bad, 0);

  TwinProcess const p = twin_process(c);
  std::int64_t asked = 0;
  int moved = 0;
  for (std::size_t b = 0; b < batch; ++b) {
    TwinRow row{start[b], frozen[b], grid.point(0), first_sample + b};
    Twin const twin = make_twin();
    for (int k = 0; k < s.steps; ++k) {
      auto const i = static_cast<std::size_t>(k);
      bool const forced = s.forced && c.generator.mask() && k + 1 == s.steps;
      twin(p, row,
           {k, s.steps, grid.point(k), grid.point(k + 1), forced || s.phi.empty() ? 1 : s.phi[i],
            s.power.empty() ? 1 : s.power[i], forced},
           StreamKey{seed, 0});
    }
    EXPECT_EQ(tokens[b], row.tokens) << "row " << b;
    EXPECT_NEAR(times(b), row.time, 1e-5 * end) << "row " << b;
    asked += row.evaluations;
    for (std::size_t l = 0; l < row.tokens.size(); ++l) moved += row.tokens[l] != start[b][l];
  }
  EXPECT_EQ(evaluations, asked);
  EXPECT_GE(jumps, moved);
  return moved;
}

// Twins of methods and correctors by name; with parameters that reach every branch.
struct Entry {
  std::string method;
  std::function<Twin()> twin;
  bool uniform = false;  // takes uniform noise too
};
std::vector<Entry> entries() {
  std::vector<Entry> all;
  for (std::string const score : {"confidence", "margin", "entropy"}) {
    for (std::string const counts : {"uniform", "share"}) {
      for (double const temperature : {0.0, 0.7, 1.0}) {
        double const noise = temperature == 0.7 ? 2.5 : 0;
        all.push_back({"top_k:score=" + score + ",counts=" + counts + ",temperature=" + std::to_string(temperature) +
                           ",noise=" + std::to_string(noise),
                       [=] { return top_k_twin(score, temperature, noise, counts); }});
      }
    }
  }
  for (std::string const order : {"confidence", "margin", "entropy", "random"}) {
    for (int const block : {1, 2, 3, 8}) {
      double const temperature = block == 2 ? 0.5 : 1;
      all.push_back({"semi_autoregressive:order=" + order + ",block=" + std::to_string(block) +
                         ",temperature=" + std::to_string(temperature),
                     [=] { return semi_autoregressive_twin(block, order, temperature); }});
    }
  }
  for (double const gamma : {0.0, 0.1, 1.5, 100.0}) {
    std::string const score = gamma == 0.1 ? "confidence" : gamma == 1.5 ? "margin" : "entropy";
    double const temperature = gamma == 1.5 ? 0.6 : 1;
    all.push_back({"entropy_bound:gamma=" + std::to_string(gamma) + ",score=" + score +
                       ",temperature=" + std::to_string(temperature),
                   [=] { return entropy_bound_twin(gamma, score, temperature); }});
  }
  all.push_back({"k_gillespie", [] { return k_gillespie_twin(); }});
  all.push_back({"adaptive", [] { return adaptive_twin("tweedie", 0.25, 0, 1e-3); }, true});
  all.push_back({"adaptive:method=euler,change=0.4,jumps=1.5,shortest=0.02",
                 [] { return adaptive_twin("euler", 0.4, 1.5, 0.02); }, true});
  for (double const error : {0.1, 0.4}) {
    all.push_back({"adaptive:change=10,error=" + std::to_string(error),
                   [=] { return adaptive_twin("tweedie", 10, 0, 1e-3, error); }, true});
  }
  for (std::string const method : {"tweedie", "euler"}) {
    for (std::string const categorical : {"gumbel32", "gumbel_eps"}) {
      all.push_back({method + ":categorical=" + categorical, [=] { return race_twin(method, categorical); }, true});
    }
  }
  all.push_back({"tweedie+remasking:variant=confidence", [] { return remasking_confidence_twin(); }});
  for (int const k : {1, 3, 100}) {
    std::string const score = k == 3 ? "confidence" : "margin";
    double const temperature = k == 1 ? 0.5 : 1;
    all.push_back({"tweedie+informed:k=" + std::to_string(k) + ",steps=" + std::to_string(k % 3 + 1) + ",score=" + score +
                       ",temperature=" + std::to_string(temperature),
                   [=] { return informed_twin(k, k % 3 + 1, temperature, score); }});
  }
  return all;
}

class Twins : public testing::TestWithParam<Entry> {};

TEST_P(Twins, TokensTimesAndEvaluationsAgree) {
  Entry const& e = GetParam();
  std::vector<Settings> const settings{{.steps = 4},
                                       {.steps = 2, .forced = false, .end = 0.1},
                                       {.steps = 3, .forced = false, .phi = {0.8, 1.3, 0.9}, .power = {1.2, 0.8, 1}, .end = 0.2}};
  int taken = 0, moved = 0;
  auto cases = masked_cases();
  if (e.uniform) {
    for (auto const& c : uniform_cases()) cases.push_back(c);
  }
  for (Case const& c : cases) {
    if (!make_integrator(e.method)->refuses(c.process()).empty()) continue;
    for (Settings s : settings) {
      // Without a mask the scores of a clean sequence are infinite.
      if (!c.generator.mask()) s.end = std::max(s.end, 0.05);
      if (!make_integrator(e.method)->info().takes_phi) s.phi.clear();
      ++taken;
      moved += compare(c, e.method, e.twin, s);
      if (HasFailure()) return;
    }
  }
  EXPECT_GE(taken, 6);
  EXPECT_GT(moved, 100);
}

void PrintTo(Entry const& entry, std::ostream* out) { *out << entry.method; }

INSTANTIATE_TEST_SUITE_P(Method, Twins, testing::ValuesIn(entries()), [](auto const& entry) {
  std::string name = entry.param.method;
  for (char& x : name) {
    if (!std::isalnum(static_cast<unsigned char>(x))) x = '_';
  }
  return name;
});

// Every method, and every corrector around tweedie, is exact, has a law by site, or has a twin here: otherwise nothing says
// what it should draw.
TEST(TwinsCover, EveryMethodWithoutALaw) {
  std::set<std::string> twins;
  for (Entry const& e : entries()) twins.insert(make_integrator(e.method)->info().name);
  // the list that the statistical suite goes by
  for (auto const name : reference::twins) EXPECT_TRUE(twins.contains(std::string(name))) << name;
  for (auto const& name : integrator_names()) {
    IntegratorInfo const info = make_integrator(name)->info();
    EXPECT_TRUE(info.exact || info.has_site_law || twins.contains(name)) << name;
  }
  for (auto const& name : corrector_names()) {
    IntegratorInfo const info = make_integrator("tweedie+" + name)->info();
    EXPECT_TRUE(info.exact || info.has_site_law || twins.contains("tweedie+" + name)) << name;
  }
  EXPECT_FALSE(twins.contains("tweedie+forward_backward"));
}

// Sites that a template fixes hold their tokens and are not counted among those that are left.
TEST(TwinsFixed, SitesOfATemplateStayAndTheOthersFollow) {
  struct Run {
    Case c;
    std::string method;
    std::function<Twin()> twin;
  };
  for (Run const& run : {Run{chain_case(cosine), "top_k:score=margin", [] { return top_k_twin("margin", 1, 0, "uniform"); }},
                         Run{chain_case(cosine), "k_gillespie", [] { return k_gillespie_twin(); }},
                         Run{chain_case(cosine), "entropy_bound", [] { return entropy_bound_twin(0.1, "entropy", 1); }},
                         Run{chain_case(cosine), "tweedie", [] { return plain_twin("tweedie"); }},
                         Run{chain_case(cosine), "tweedie+informed:k=2", [] { return informed_twin(2, 1, 1, "margin"); }},
                         Run{chain_case(cosine), "tweedie+remasking:variant=confidence", [] { return remasking_confidence_twin(); }},
                         Run{table_case(false, constant), "adaptive", [] { return adaptive_twin("tweedie", 0.25, 0, 1e-3); }},
                         Run{chain_case(cosine), "adaptive:error=0.1", [] { return adaptive_twin("tweedie", 0.25, 0, 1e-3, 0.1); }},
                         Run{table_case(false, constant), "tweedie", [] { return plain_twin("tweedie"); }}}) {
    Case const& c = run.c;
    SCOPED_TRACE(run.method + " on " + c.name);
    auto const length = static_cast<std::size_t>(c.length);
    Process process = c.process();
    auto const integrator = make_integrator(run.method);
    Template fixed{std::vector<token_t>(length, -1), std::vector<std::uint8_t>(length, 0)};
    for (std::size_t const l : {std::size_t{0}, length - 2}) {
      fixed.tokens[l] = static_cast<token_t>(l % 3);
      fixed.fixed[l] = 1;
    }
    bool const masked = c.generator.mask().has_value();
    constexpr int steps = 3;
    bool const whole = integrator->info().evaluations == 0;
    SamplePlan const plan{.grid = TimeGrid::uniform(c.noise.end, masked ? 0 : 0.1, whole ? 1 : steps),
                          .seed = 12,
                          .samples = 10,
                          .length = c.length,
                          .batch = 4,
                          .first_sample = 3,
                          .forced_last = masked,
                          .fixed = fixed};
    HostTokens const tokens = sample(ExecSpace(), process, *integrator, plan);
    TwinProcess const p = twin_process(c);
    for (std::uint64_t b = 0; b < 10; ++b) {
      TwinRow row{fixed.tokens, std::vector<int>(fixed.fixed.begin(), fixed.fixed.end()), plan.grid.point(0), 3 + b};
      for (std::size_t l = 0; l < length; ++l) {
        long double const u = uniform_of(StreamKey{12, 0}.draw(3 + b, Role::prior, static_cast<std::uint32_t>(l)).event);
        if (fixed.fixed[l] == 0) row.tokens[l] = masked ? *c.generator.mask() : static_cast<token_t>(u * c.generator.states());
      }
      Twin const twin = run.twin();
      for (int k = 0; k < plan.grid.steps(); ++k) {
        twin(p, row, {k, plan.grid.steps(), plan.grid.point(k), plan.grid.point(k + 1), 1, 1, masked && k + 1 == plan.grid.steps()},
             StreamKey{12, 0});
      }
      EXPECT_EQ(std::vector<token_t>(&tokens(b, 0), &tokens(b, 0) + c.length), row.tokens) << "sample " << b;
      EXPECT_EQ(tokens(b, 0), 0);
    }
  }
}

TEST(TwinsFixed, TemplatesThatDoNotFitAreRefused) {
  Case const c = chain_case(cosine);
  Process process = c.process();
  auto const integrator = make_integrator("tweedie");
  auto const error = [&](std::vector<token_t> tokens, std::vector<std::uint8_t> fixed) {
    SamplePlan plan = make_plan(process, *integrator, 2, c.length);
    plan.fixed = Template{std::move(tokens), std::move(fixed)};
    return message_of<UserError>([&] { sample(ExecSpace(), process, *integrator, plan); });
  };
  EXPECT_TRUE(says(error({1, 2}, {1, 1}), {"template", "2 sites", "9"}));
  EXPECT_TRUE(says(error(std::vector<token_t>(9, 1), {1}), {"template", "9"}));
  EXPECT_TRUE(says(error(std::vector<token_t>(9, 4), std::vector<std::uint8_t>(9, 1)), {"site 0", "token 4"}));  // the mask
  EXPECT_TRUE(says(error(std::vector<token_t>(9, -1), {0, 0, 1, 0, 0, 0, 0, 0, 0}), {"site 2", "token -1"}));
}

// Sites that are equally unsure are revealed like others, with noise too: their margin is 0.
TEST(TwinsEdge, SitesWithoutAMarginAreRevealed) {
  Case const c{"flat", Generator::absorbing(4), log_linear, false, 6, [] {
                 return std::make_shared<StoredScores<double>>(ScoreKind::x0_leave_in, token_t{3},
                                                               std::vector<std::vector<double>>{{0.25, 0.25, 0.25, 0}});
               }};
  for (std::string const noise : {"0", "2"}) {
    Process process = c.process();
    auto const integrator = make_integrator("top_k:score=margin,noise=" + noise);
    State const state = to_state(Rows(20, std::vector<token_t>(6, 3)), 1);
    StepTable const table(ExecSpace(), process, TimeGrid::uniform(1, 0, 3), step_options(*integrator, process));
    process.reserve({20, 6}, 1);
    CounterView const counters("counters", integrator->reserve(process, {20, 6}));
    integrator->advance(ExecSpace(), process, state, table.step(0), StreamKey{1, 0}, counters);
    ExecSpace().fence();
    for (auto const& row : to_rows(state.tokens)) EXPECT_EQ(std::count(row.begin(), row.end(), 3), 4) << "noise " << noise;
  }
}

// Noises that end at rate 0: no rate says then which site comes first, or how long a step may be.
TEST(TwinsEdge, NoiseThatEndsAtRateZero) {
  auto const law = std::make_shared<StoredScores<double>>(ScoreKind::x0_leave_in, token_t{3}, std::vector<std::vector<double>>{{0.2, 0.3, 0.5, 0}});
  for (NoiseSchedule const& noise : {NoiseSchedule::cosine2(), NoiseSchedule::md4_cosine()}) {
    SCOPED_TRACE(noise.describe());
    ASSERT_EQ(noise.coefficients({1, 0.5}).hazard, 0);
    Process process = Process::reverse(Generator::absorbing(4), noise, law);
    // The 2 of 8 sites that k_gillespie reveals first are any two alike: of 4,000 rows each site comes in 1,000.
    auto const gillespie = make_integrator("k_gillespie");
    State const state = to_state(Rows(4000, std::vector<token_t>(8, 3)), 1);
    StepTable const table(ExecSpace(), process, TimeGrid::uniform(1, 0, 4), step_options(*gillespie, process));
    process.reserve({4000, 8}, 1);
    CounterView const counters("counters", gillespie->reserve(process, {4000, 8}));
    Step step = table.step(0);
    step.remaining = 4;
    gillespie->advance(ExecSpace(), process, state, step, StreamKey{1, 0}, counters);
    ExecSpace().fence();
    std::vector<int> revealed(8, 0);
    for (auto const& row : to_rows(state.tokens)) {
      for (std::size_t l = 0; l < 8; ++l) revealed[l] += row[l] != 3;
    }
    EXPECT_EQ(std::accumulate(revealed.begin(), revealed.end(), 0), 8000);
    for (int const n : revealed) EXPECT_NEAR(n, 1000, 5 * std::sqrt(4000 * 0.25 * 0.75));
    auto const times = Kokkos::create_mirror_view_and_copy(HostSpace(), state.time);
    EXPECT_EQ(times(0), 0.75);  // that of the grid

    auto const adaptive = make_integrator("adaptive:change=0.1");
    SamplePlan plan = make_plan(process, *adaptive, 1, 30);
    plan.samples = 20;
    SampleReport report;
    sample(ExecSpace(), process, *adaptive, plan, &report);
    // A step reveals a share of 0.2 at most: of 30 masks the last is not expected before 0.8^n = 1/30.
    EXPECT_GT(report.evaluations, std::log(30) / -std::log(0.8));
    EXPECT_LT(report.evaluations, 200);
  }
}

// Near temperature 0 powers of small probabilities underflow, in single precision already at a tenth.
TEST(TwinsEdge, SmallTemperaturesKeepTheLikeliestTokens) {
  std::vector<double> row(1001, 1e-3);
  row[17] = row[333] = 1.3e-3;
  for (double const temperature : {0.1, 0.02, 1e-4}) {
    Process process = Process::reverse(Generator::absorbing(1001), NoiseSchedule::log_linear(),
                                       std::make_shared<StoredScores<float>>(ScoreKind::x0_leave_in, token_t{1000},
                                                                             std::vector<std::vector<double>>{row}));
    auto const integrator = make_integrator("top_k:temperature=" + std::to_string(temperature));
    SamplePlan plan = make_plan(process, *integrator, 1, 40);
    plan.samples = 50;
    HostTokens const tokens = sample(ExecSpace(), process, *integrator, plan);
    // weights 1 and (1/1.3)^(1/temperature) for the 998 others
    double const others = 998 * std::pow(1 / 1.3, 1 / temperature), expected = 2 / (2 + others);
    std::map<token_t, int> seen;
    for (std::size_t i = 0; i < tokens.size(); ++i) ++seen[tokens.data()[i]];
    EXPECT_NEAR((seen[17] + seen[333]) / 2000.0, expected, 0.03) << temperature;
    EXPECT_NEAR(seen[17], seen[333], 250) << temperature;
  }
}

// A twin that disagrees is seen: the comparison is of tokens that depend on what the twin is told.
TEST(TwinsControl, AnotherParameterGivesOtherTokens) {
  Case const c = chain_case(log_linear);
  TwinProcess const p = twin_process(c);
  auto const run = [&](Twin const& twin) {
    Rows rows;
    for (std::size_t b = 0; b < batch; ++b) {
      TwinRow row{first_rows(c)[b], {}, 0.9, b};
      for (int k = 0; k < 4; ++k) twin(p, row, {k, 4, 0.9 - 0.2 * k, 0.7 - 0.2 * k}, StreamKey{1, 0});
      rows.push_back(row.tokens);
    }
    return rows;
  };
  EXPECT_EQ(run(top_k_twin("margin", 1, 0, "uniform")), run(top_k_twin("margin", 1, 0, "uniform")));
  EXPECT_NE(run(top_k_twin("margin", 1, 0, "uniform")), run(top_k_twin("entropy", 1, 0, "uniform")));
  EXPECT_NE(run(top_k_twin("margin", 1, 0, "uniform")), run(top_k_twin("margin", 0.7, 0, "uniform")));
  EXPECT_NE(run(entropy_bound_twin(0.1, "entropy", 1)), run(entropy_bound_twin(1.5, "entropy", 1)));
  EXPECT_NE(run(semi_autoregressive_twin(2, "margin", 1)), run(semi_autoregressive_twin(3, "margin", 1)));
  EXPECT_NE(run(adaptive_twin("tweedie", 0.25, 0, 1e-3)), run(adaptive_twin("tweedie", 0.26, 0, 1e-3)));
  EXPECT_NE(run(adaptive_twin("tweedie", 10, 0, 1e-3, 0.05)), run(adaptive_twin("tweedie", 10, 0, 1e-3, 0.06)));
  EXPECT_NE(run(informed_twin(1, 1, 1, "margin")), run(informed_twin(1, 1, 1, "confidence")));
}

}  // namespace
}  // namespace saltus
