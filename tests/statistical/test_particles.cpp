// SPDX-License-Identifier: BSD-3-Clause
// Sequential Monte Carlo against enumerated laws (A§13.16). The statement that holds for every number of particles is
// that of unnormalised averages: E[Zhat sum_i W_i f(x_i)] = sum_x q(x) e^{lambda r(x)} f(x), f = 1 being the
// normalising constant.
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/particles.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

#include "statistics.hpp"

namespace saltus {
namespace {

using namespace statistics;

// r = number of equal neighbours: no sum over sites.
struct CountEqual {
  Tokens x;
  Rewards out;
  KOKKOS_FUNCTION void operator()(int b) const {
    out(b) = 0;
    for (std::size_t l = 0; l + 1 < x.extent(1); ++l) out(b) += x(b, l) == x(b, l + 1) ? 1 : 0;
  }
};
class EqualNeighbours final : public Reward {
 public:
  void reserve(Extents) override {}
  void evaluate(ExecSpace const& exec, Tokens const& clean, Rewards const& out) override {
    Kokkos::parallel_for("test::equal", Kokkos::RangePolicy<ExecSpace>(exec, 0, clean.extent(0)), CountEqual{clean, out});
  }
};

// The same reward as `inner`, whose table nobody is told of.
class Hidden final : public Reward {
 public:
  explicit Hidden(std::shared_ptr<Reward> inner) : inner_(std::move(inner)) {}
  void reserve(Extents extents) override { inner_->reserve(extents); }
  void evaluate(ExecSpace const& exec, Tokens const& clean, Rewards const& out) override {
    inner_->evaluate(exec, clean, out);
  }

 private:
  std::shared_ptr<Reward> inner_;
};

// ln p of a table, from the joint law.
struct LookUp {
  Tokens x;
  Rewards out;
  Kokkos::View<double const*, MemorySpace> logarithms;
  int states;
  KOKKOS_FUNCTION void operator()(int b) const {
    int index = 0;
    for (std::size_t l = 0; l < x.extent(1); ++l) index = index * states + x(b, l);
    out(b) = logarithms(index);
  }
};
class TableLikelihood final : public Reward {
 public:
  explicit TableLikelihood(TableLaw const& law) : states_(law.states()) {
    Kokkos::View<double*, MemorySpace> device("test::ln p", law.probabilities().size());
    auto const mirror = Kokkos::create_mirror_view(device);
    for (std::size_t i = 0; i < mirror.extent(0); ++i) mirror(i) = std::log(law.probabilities()[i]);
    Kokkos::deep_copy(device, mirror);
    logarithms_ = device;
  }
  void reserve(Extents) override {}
  void evaluate(ExecSpace const& exec, Tokens const& clean, Rewards const& out) override {
    Kokkos::parallel_for("test::likelihood", Kokkos::RangePolicy<ExecSpace>(exec, 0, clean.extent(0)),
                         LookUp{clean, out, logarithms_, states_});
  }

 private:
  int states_;
  Kokkos::View<double const*, MemorySpace> logarithms_;
};

// Sums over groups of Zhat times the weight of each sequence, with their squares; the last cell is Zhat itself.
class Averages {
 public:
  explicit Averages(StateSpace const& space) : space_(space), sum_(space.size() + 1, 0.0), squares_(sum_) {}

  void add(double z, token_t const* tokens, double const* weights, int particles) {
    std::vector<double> y(sum_.size(), 0.0);
    for (int i = 0; i < particles; ++i) y[space_.index(tokens + i * space_.length())] += z * weights[i];
    y.back() = z;
    for (std::size_t c = 0; c < y.size(); ++c) {
      sum_[c] += y[c];
      squares_[c] += y[c] * y[c];
    }
    ++count_;
  }
  void add(ParticleSets const& sets) {
    for (int g = 0; g < sets.groups; ++g) {
      add(std::exp(sets.log_normaliser(g)), &sets.tokens(g * sets.particles, 0), &sets.weights(g * sets.particles),
          sets.particles);
    }
  }

  // The smallest p-value of the cells, times their number.
  double p_value(std::vector<double> expected) const {
    double total = 0;
    for (double const e : expected) total += e;
    expected.push_back(total);
    double smallest = 1;
    auto const n = static_cast<double>(count_);
    for (std::size_t c = 0; c < expected.size(); ++c) {
      double const mean = sum_[c] / n, variance = squares_[c] / n - mean * mean;
      if (expected[c] == 0) {
        EXPECT_EQ(mean, 0);
        continue;
      }
      smallest = std::min(smallest, normal_p_value((mean - expected[c]) / std::sqrt(variance / n)));
    }
    return std::min(1.0, smallest * static_cast<double>(expected.size()));
  }
  double normaliser() const { return sum_.back() / static_cast<double>(count_); }

 private:
  StateSpace space_;
  std::vector<double> sum_, squares_;
  std::size_t count_ = 0;
};

struct Case {
  bool masked;
  TableLaw law;
  std::string method = "tweedie";
  int steps = 3;

  int states() const { return law.states() + (masked ? 1 : 0); }
  Generator generator() const { return masked ? Generator::absorbing(states()) : Generator::uniform(states()); }
  Process process() const {
    return Process::reverse(generator(), NoiseSchedule::log_linear(), law.denoiser(generator()));
  }
  StateSpace space() const { return {states(), law.length()}; }
  SamplePlan run(std::size_t groups, std::uint64_t seed) const {
    return {.grid = TimeGrid::uniform(1, masked ? 0 : 0.05, steps),
            .seed = seed,
            .samples = groups,
            .length = law.length(),
            .batch = 4096,
            .forced_last = masked};
  }
  // What the integrator puts out, exactly.
  std::vector<double> base() const {
    Process p = process();
    std::vector<double> start(space().size(), 0.0);
    if (masked) {
      start.back() = 1;  // the mask is the last state
    } else {
      start.assign(space().size(), 1.0 / static_cast<double>(space().size()));
    }
    auto const plan = run(1, 0);
    return output_law(ExecSpace(), p, *make_integrator(method), space(), start, plan.grid, masked);
  }
};

TableLaw uneven(int length, int states) {
  auto p = TableLaw::neighbours(length, states, 3).probabilities();
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += p[i] *= 1 + 0.5 * std::sin(static_cast<double>(3 * i));
  for (double& x : p) x /= sum;
  return {length, states, p};
}

std::vector<double> tilted(StateSpace const& space, std::vector<double> law, double strength,
                           std::function<double(std::vector<token_t> const&)> const& reward) {
  for (std::size_t i = 0; i < law.size(); ++i) {
    if (law[i] > 0) law[i] *= std::exp(strength * reward(space.tokens(i)));
  }
  return law;
}
double ones(std::vector<token_t> const& x) { return static_cast<double>(std::count(x.begin(), x.end(), token_t{1})); }
double equal(std::vector<token_t> const& x) {
  double r = 0;
  for (std::size_t l = 0; l + 1 < x.size(); ++l) r += x[l] == x[l + 1] ? 1 : 0;
  return r;
}
std::vector<double> normalised(std::vector<double> law) {
  double const sum = std::accumulate(law.begin(), law.end(), 0.0);
  for (double& p : law) p /= sum;
  return law;
}

std::vector<Case> cases() {
  return {{true, uneven(3, 2)}, {false, uneven(2, 3)}, {true, uneven(4, 2), "tweedie", 6}, {true, uneven(3, 2), "gillespie", 3}};
}

// ------------------------------------------------------------------------------------------------------------ the tilt

TEST(Particles, UnnormalisedAveragesAreUnbiased) {
  double const strength = 1.2;
  std::uint64_t seed = 400;
  for (auto const& c : cases()) {
    auto const process = c.process();
    // Of an exact method the base law is the data's.
    auto const base = c.method == "gillespie" ? c.space().embed(c.law.probabilities(), c.generator()) : c.base();
    auto const count = std::make_shared<TokenReward>(TokenReward::count(c.states(), 1));
    struct Kind {
      char const* name;
      std::shared_ptr<Reward> reward;
      double (*value)(std::vector<token_t> const&);
    };
    for (Kind const& kind : {Kind{"additive", count, ones}, Kind{"drawn", std::make_shared<Hidden>(count), ones},
                             Kind{"pairs", std::make_shared<EqualNeighbours>(), equal}}) {
      SCOPED_TRACE(std::string(kind.name) + (c.masked ? ", masked, " : ", uniform, ") + c.method);
      ParticlePlan const plan{
          .run = c.run(30'000, ++seed), .particles = 5, .threshold = 0.9, .reward = kind.reward, .strength = strength};
      Averages averages(c.space());
      auto const report = sample_particles(ExecSpace(), process, *make_integrator(c.method), plan,
                                           [&](ParticleSets const& sets) { averages.add(sets); });
      EXPECT_GT(report.resamplings, 0.05);
      auto const target = tilted(c.space(), base, strength, kind.value);
      EXPECT_TRUE(accepts(averages.p_value(target), "Z = " + std::to_string(averages.normaliser())));
      EXPECT_LT(averages.p_value(tilted(c.space(), base, 1.05 * strength, kind.value)), false_alarm);
      if (c.method == "tweedie" && c.masked) {  // the control sees that the base is the integrator's law, not the data's
        auto const data = c.space().embed(c.law.probabilities(), c.generator());
        EXPECT_LT(averages.p_value(tilted(c.space(), data, strength, kind.value)), false_alarm);
      }
    }
  }
}

// Under a template the base is the law of the other sites given its tokens. (Masked: an exact method's is the data's,
// conditioned; that of any other starts from the template.)
TEST(Particles, UnnormalisedAveragesUnderATemplate) {
  double const strength = 1.2;
  std::uint64_t seed = 450;
  for (char const* const method : {"gillespie", "tweedie"}) {
    Case const c{true, uneven(3, 2), method};
    StateSpace const space = c.space();
    auto const data = space.embed(c.law.probabilities(), c.generator());
    std::vector<double> base(space.size(), 0.0);
    if (c.method == "gillespie") {
      for (std::size_t i = 0; i < base.size(); ++i) base[i] = space.tokens(i)[1] == 0 ? data[i] : 0;
      base = normalised(base);
    } else {
      Process p = c.process();
      base = output_law(ExecSpace(), p, *make_integrator(method), space, point_law(space, {2, 0, 2}), c.run(1, 0).grid, true);
    }
    auto const count = std::make_shared<TokenReward>(TokenReward::count(c.states(), 1));
    for (std::shared_ptr<Reward> const& reward : {std::shared_ptr<Reward>(count), std::shared_ptr<Reward>(std::make_shared<Hidden>(count))}) {
      for (double const power : {1.0, 2.0}) {
        SCOPED_TRACE(c.method + ", power " + std::to_string(power));
        ParticlePlan plan{.run = c.run(30'000, ++seed), .particles = 5, .threshold = 0.9, .reward = reward,
                          .strength = strength, .power = power};
        plan.run.fixed = Template{{-1, 0, -1}, {0, 1, 0}};
        if (power != 1) plan.likelihood = std::make_shared<TableLikelihood>(c.law);
        Averages averages(space);
        sample_particles(ExecSpace(), c.process(), *make_integrator(method), plan,
                         [&](ParticleSets const& sets) { averages.add(sets); });
        auto const target = [&](double lambda) {
          auto law = tilted(space, base, lambda, ones);
          for (std::size_t i = 0; i < law.size(); ++i) law[i] *= law[i] > 0 ? std::pow(data[i], power - 1) : 0;
          return law;
        };
        EXPECT_TRUE(accepts(averages.p_value(target(strength)), "Z = " + std::to_string(averages.normaliser())));
        EXPECT_LT(averages.p_value(target(1.05 * strength)), false_alarm);
      }
    }
  }
}

// One particle drawn by weight: for K = 1 the base law, for many the target.
TEST(Particles, DrawnParticlesApproachTheTarget) {
  Case const c{true, uneven(3, 2)};
  auto const process = c.process();
  double const strength = 1.2;
  auto const base = c.base(), target = normalised(tilted(c.space(), base, strength, ones));
  std::size_t const samples = 30'000;
  for (int const particles : {1, 50}) {
    ParticlePlan const plan{.run = c.run(samples, 31 + static_cast<std::uint64_t>(particles)),
                            .particles = particles,
                            .reward = std::make_shared<TokenReward>(TokenReward::count(c.states(), 1)),
                            .strength = strength};
    ParticleReport report;
    auto const tokens = sample_particles(ExecSpace(), process, *make_integrator(c.method), plan, &report);
    auto const counts = count_sequences(c.space(), tokens);
    EXPECT_TRUE(accepts(g_test(counts, particles == 1 ? base : target)));
    EXPECT_TRUE(rejects(g_test(counts, particles == 1 ? target : base)));
    auto const wrong = normalised(tilted(c.space(), base, 1.25 * strength, ones));
    ASSERT_GT(power(target, wrong, samples), 1 - missed_alarm);
    EXPECT_TRUE(rejects(g_test(counts, wrong)));
    EXPECT_EQ(report.evaluations, particles * c.steps);
    if (particles == 1) {
      EXPECT_EQ(report.resamplings, 0);
    }
  }
}

// ------------------------------------------------------------------------------ what the averages see: a scalar twin

// The masked process enumerated: conditionals, kernel of a step, values, all from the joint law.
struct Enumerated {
  TableLaw const& law;
  double strength;  // of the reward `ones`
  int length = law.length(), states = law.states();
  token_t mask = states;
  StateSpace data{states, length}, all{states + 1, length};

  // p(x^l = y | the revealed sites of x)
  double conditional(std::vector<token_t> const& x, int l, token_t y) const {
    double hit = 0, total = 0;
    for (std::size_t i = 0; i < data.size(); ++i) {
      auto const clean = data.tokens(i);
      bool fits = true;
      for (std::size_t j = 0; j < x.size(); ++j) fits = fits && (x[j] == mask || x[j] == clean[j]);
      if (!fits) continue;
      total += law.probabilities()[i];
      if (clean[static_cast<std::size_t>(l)] == y) hit += law.probabilities()[i];
    }
    return hit / total;
  }
  // ln E e^{strength r}, sites independent
  double value(std::vector<token_t> const& x) const {
    double sum = 0;
    for (int l = 0; l < length; ++l) {
      token_t const own = x[static_cast<std::size_t>(l)];
      double e = 0;
      for (token_t y = 0; y < states; ++y) {
        e += (own == mask ? conditional(x, l, y) : (own == y ? 1 : 0)) * std::exp(y == 1 ? strength : 0);
      }
      sum += std::log(e);
    }
    return sum;
  }
  // Probability of a step x to y in which a mask is revealed with probability u; `factor` gets the product of the
  // conditionals of what was revealed.
  double kernel(std::vector<token_t> const& x, std::vector<token_t> const& y, double u, double* factor = nullptr) const {
    double p = 1;
    if (factor) *factor = 1;
    for (int l = 0; l < length; ++l) {
      auto const i = static_cast<std::size_t>(l);
      if (x[i] != mask) {
        p *= y[i] == x[i] ? 1 : 0;
      } else if (y[i] == mask) {
        p *= 1 - u;
      } else {
        double const c = conditional(x, l, y[i]);
        p *= u * c;
        if (factor) *factor *= c;
      }
    }
    return p;
  }
};

// Log-linear noise: alpha = 1 - (1 - e) t, so of the masks at t the share 1 - s/t is revealed by s.
double revealed(int k, int steps) { return 1.0 / (steps - k); }

// Averages of a host SMC; `drop`: weights are forgotten when a step does not resample, as the published code does.
double twin_p_value(Case const& c, double strength, bool drop, std::vector<double> const& target) {
  Enumerated const e{c.law, strength};
  std::size_t const groups = 60'000;
  int const particles = 5;
  std::size_t const size = e.all.size();
  std::vector<double> values(size);
  std::vector<std::vector<std::vector<double>>> cumulative(static_cast<std::size_t>(c.steps),
                                                           std::vector<std::vector<double>>(size));
  for (std::size_t i = 0; i < size; ++i) {
    values[i] = e.value(e.all.tokens(i));
    for (int k = 0; k < c.steps; ++k) {
      double sum = 0;
      for (std::size_t j = 0; j < size; ++j) {
        sum += e.kernel(e.all.tokens(i), e.all.tokens(j), revealed(k, c.steps));
        cumulative[static_cast<std::size_t>(k)][i].push_back(sum);
      }
    }
  }
  std::mt19937_64 bits(7);
  auto const uniform = [&] { return uniform53(bits()); };
  Averages averages(c.space());
  for (std::size_t g = 0; g < groups; ++g) {
    std::vector<std::size_t> x(particles, size - 1), next(particles);
    std::vector<double> w(particles, 1), before(particles, 0);
    double z = 1;
    for (int k = 0; k < c.steps; ++k) {
      double sum = 0, squares = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        auto const& row = cumulative[static_cast<std::size_t>(k)][x[i]];
        x[i] = static_cast<std::size_t>(std::upper_bound(row.begin(), row.end() - 1, uniform() * row.back()) - row.begin());
        w[i] *= std::exp(values[x[i]] - before[i]);
        before[i] = values[x[i]];
        sum += w[i];
        squares += w[i] * w[i];
      }
      bool const last = k + 1 == c.steps;
      if (!last && sum * sum / squares < 0.9 * particles) {
        double const u = uniform();
        std::vector<std::size_t> ancestors;
        double reached = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
          reached += w[i];
          while (static_cast<int>(ancestors.size()) < particles &&
                 (static_cast<double>(ancestors.size()) + u) / particles * sum < reached) {
            ancestors.push_back(i);
          }
        }
        while (static_cast<int>(ancestors.size()) < particles) ancestors.push_back(x.size() - 1);
        for (std::size_t i = 0; i < x.size(); ++i) next[i] = x[ancestors[i]];
        x = next;
        for (std::size_t i = 0; i < x.size(); ++i) before[i] = values[x[i]];
        z *= sum / particles;
        std::fill(w.begin(), w.end(), 1.0);
      } else if (drop && !last) {
        z *= sum / particles;
        std::fill(w.begin(), w.end(), 1.0);
      }
    }
    double const sum = std::accumulate(w.begin(), w.end(), 0.0);
    std::vector<token_t> tokens;
    for (std::size_t i = 0; i < x.size(); ++i) {
      auto const t = e.all.tokens(x[i]);
      tokens.insert(tokens.end(), t.begin(), t.end());
      w[i] /= sum;
    }
    averages.add(z * sum / particles, tokens.data(), w.data(), particles);
  }
  return averages.p_value(target);
}

TEST(Particles, ControlDroppedWeightsAreSeen) {
  Case const c{true, uneven(3, 2)};
  auto const target = tilted(c.space(), c.base(), 1.2, ones);
  EXPECT_TRUE(accepts(twin_p_value(c, 1.2, false, target), "twin"));
  EXPECT_LT(twin_p_value(c, 1.2, true, target), false_alarm);
}

// ----------------------------------------------------------------------------------------------------------- the power

// The measure that a power weights: each step's kernel times the product of what it revealed to the power gamma - 1.
std::vector<double> power_measure(Enumerated const& e, int steps, double gamma) {
  std::vector<double> m(e.all.size(), 0.0);
  m.back() = 1;
  for (int k = 0; k < steps; ++k) {
    std::vector<double> next(m.size(), 0.0);
    for (std::size_t i = 0; i < m.size(); ++i) {
      for (std::size_t j = 0; m[i] > 0 && j < m.size(); ++j) {
        double factor = 1;
        double const p = e.kernel(e.all.tokens(i), e.all.tokens(j), revealed(k, steps), &factor);
        if (p > 0) next[j] += m[i] * p * std::pow(factor, gamma - 1);
      }
    }
    m = next;
  }
  return m;
}

TEST(Particles, PowersOfTheLaw) {
  std::uint64_t seed = 500;
  for (double const gamma : {2.0, 0.5}) {
    for (int const steps : {3, 20}) {
      for (bool const exact : {false, true}) {
        Case const c{true, uneven(3, 2), "tweedie", steps};
        SCOPED_TRACE(std::to_string(gamma) + ", " + std::to_string(steps) + " steps" + (exact ? ", with likelihood" : ""));
        ParticlePlan plan{.run = c.run(20'000, ++seed), .particles = 5, .threshold = 0.9, .power = gamma};
        if (exact) plan.likelihood = std::make_shared<TableLikelihood>(c.law);
        Averages averages(c.space());
        sample_particles(ExecSpace(), c.process(), *make_integrator("tweedie"), plan,
                         [&](ParticleSets const& sets) { averages.add(sets); });
        auto const p = c.space().embed(c.law.probabilities(), c.generator());
        auto const target = [&](double g) {
          if (!exact) return power_measure({c.law, 0}, steps, g);
          auto law = c.base();
          for (std::size_t i = 0; i < law.size(); ++i) law[i] *= law[i] > 0 ? std::pow(p[i], g - 1) : 0;
          return law;
        };
        EXPECT_TRUE(accepts(averages.p_value(target(gamma)), "power"));
        EXPECT_LT(averages.p_value(target(1.05 * gamma)), false_alarm);
        // With many steps it is a power of the data's law, up to the pairs that are still revealed together.
        auto power_of_data = p;
        for (double& x : power_of_data) x = x > 0 ? std::pow(x, gamma) : 0;
        if (steps == 20) {
          EXPECT_LT(total_variation(normalised(target(gamma)), normalised(power_of_data)), 0.04);
        }
      }
    }
  }
}

// ------------------------------------------------------------------------------------------------ soft-value selection

// p(x_0^l = y | x_t), [site][token], by Bayes' rule on the enumerated joint law; alpha at t.
std::vector<std::vector<double>> posterior(Case const& c, std::vector<token_t> const& x, double alpha) {
  StateSpace const data(c.law.states(), c.law.length());
  std::vector<std::vector<double>> p(x.size(), std::vector<double>(static_cast<std::size_t>(c.law.states()), 0.0));
  double total = 0;
  for (std::size_t i = 0; i < data.size(); ++i) {
    auto const clean = data.tokens(i);
    double w = c.law.probabilities()[i];
    for (std::size_t l = 0; l < x.size(); ++l) {
      double const kept = x[l] == clean[l] ? alpha : 0;
      w *= c.masked ? (x[l] == c.law.states() ? 1 - alpha : kept) : kept + (1 - alpha) / c.law.states();
    }
    total += w;
    for (std::size_t l = 0; l < x.size(); ++l) p[l][static_cast<std::size_t>(clean[l])] += w;
  }
  for (auto& site : p) {
    for (double& v : site) v /= total;
  }
  return p;
}

// The values of a state at time t, as (probability, exponential of the value): one in closed form, or that of a single
// draw.
using Values = std::vector<std::pair<double, double>>;
Values values_of(Case const& c, std::vector<token_t> const& x, double t, bool last, bool drawn, double strength) {
  if (last) return {{1, std::exp(strength * ones(x))}};
  auto const p = posterior(c, x, NoiseSchedule::log_linear().alpha(t));
  StateSpace const data(c.law.states(), c.law.length());
  Values all;
  double mean = 0;
  for (std::size_t i = 0; i < data.size(); ++i) {
    auto const clean = data.tokens(i);
    double w = 1;
    for (std::size_t l = 0; l < x.size(); ++l) w *= p[l][static_cast<std::size_t>(clean[l])];
    all.emplace_back(w, std::exp(strength * ones(clean)));
    mean += w * all.back().second;
  }
  return drawn ? all : Values{{1, mean}};
}

// With K = 2 the state of the group is a Markov chain: of two proposals y, z the first survives with probability
// e^V(y) / (e^V(y) + e^V(z)). Proposals by the integrator's own exact law.
std::vector<double> selected_law(Case const& c, bool drawn, double strength) {
  auto const space = c.space();
  auto const plan = c.run(1, 0);
  Process process = c.process();
  auto const integrator = make_integrator(c.method);
  std::vector<double> law(space.size(), c.masked ? 0.0 : 1.0 / static_cast<double>(space.size()));
  if (c.masked) law.back() = 1;
  for (int k = 0; k < c.steps; ++k) {
    bool const last = k + 1 == c.steps;
    auto const step = TimeGrid::from_points({plan.grid.point(k), plan.grid.point(k + 1)});
    std::vector<double> next(law.size(), 0.0);
    for (std::size_t i = 0; i < law.size(); ++i) {
      if (law[i] == 0) continue;
      auto const p = output_law(ExecSpace(), process, *integrator, space, point_law(space, space.tokens(i)), step, c.masked && last);
      std::vector<Values> v(law.size());
      for (std::size_t j = 0; j < law.size(); ++j) {
        if (p[j] > 0) v[j] = values_of(c, space.tokens(j), plan.grid.point(k + 1), last, drawn, strength);
      }
      for (std::size_t j = 0; j < law.size(); ++j) {
        for (std::size_t h = 0; h < law.size(); ++h) {
          double survives = 0;
          for (auto const& [a, x] : v[j]) {
            for (auto const& [b, y] : v[h]) survives += a * b * x / (x + y);
          }
          next[j] += law[i] * p[j] * p[h] * 2 * survives;
        }
      }
    }
    law = next;
  }
  return law;
}

// Selection depends on the values on the way, so this holds them too against the posterior of the joint law.
TEST(Particles, SelectionHasItsOwnLaw) {
  std::size_t const samples = 150'000;
  double const strength = 1.2;
  std::uint64_t seed = 60;
  for (auto const& c : {Case{true, uneven(3, 2)}, Case{false, uneven(2, 3)}}) {
    auto const process = c.process();
    auto const count = std::make_shared<TokenReward>(TokenReward::count(c.states(), 1));
    for (bool const drawn : {false, true}) {
      SCOPED_TRACE(std::string(c.masked ? "masked" : "uniform") + (drawn ? ", drawn" : ", closed"));
      ParticlePlan plan{.run = c.run(samples, ++seed),
                        .particles = 2,
                        .scheme = ParticleScheme::selection,
                        .reward = count,
                        .strength = strength,
                        .clean_draws = 1};
      if (drawn) plan.reward = std::make_shared<Hidden>(count);
      auto const tokens = sample_particles(ExecSpace(), process, *make_integrator("tweedie"), plan);
      auto const counts = count_sequences(c.space(), tokens);
      auto const law = selected_law(c, drawn, strength), wrong = selected_law(c, drawn, 1.2 * strength),
                 other = selected_law(c, !drawn, strength);
      EXPECT_TRUE(accepts(g_test(counts, law)));
      ASSERT_GT(power(law, wrong, samples), 1 - missed_alarm);
      EXPECT_TRUE(rejects(g_test(counts, wrong)));
      ASSERT_GT(power(law, other, samples), 1 - missed_alarm);
      EXPECT_TRUE(rejects(g_test(counts, other)));
      // Biased, as documented: neither the base nor the target.
      EXPECT_TRUE(rejects(g_test(counts, c.base())));
      EXPECT_TRUE(rejects(g_test(counts, normalised(tilted(c.space(), c.base(), strength, ones)))));
      // All particles of a finished group are the survivor.
      plan.run.samples = 10;
      sample_particles(ExecSpace(), process, *make_integrator("tweedie"), plan, [&](ParticleSets const& sets) {
        for (int g = 0; g < sets.groups; ++g) {
          EXPECT_TRUE(std::equal(&sets.tokens(2 * g, 0), &sets.tokens(2 * g, 0) + c.law.length(), &sets.tokens(2 * g + 1, 0)));
          EXPECT_TRUE(std::isnan(sets.log_normaliser(g)));
          EXPECT_EQ(sets.weights(2 * g), 0.5);
        }
      });
    }
  }
}

}  // namespace
}  // namespace saltus
