// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/particles.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include <saltus/ctmc/device.hpp>
#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/visit_field.hpp>

#include "clean_law.hpp"
#include "fixed_sites.hpp"
#include "run_detail.hpp"

namespace saltus {
namespace {

using Reals = Kokkos::View<double*, MemorySpace>;
using Indices = Kokkos::View<int*, MemorySpace>;
constexpr double minus_infinity = -Kokkos::Experimental::infinity_v<double>;

Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>> items(ExecSpace const& exec, std::int64_t count) {
  return {exec, 0, count};
}

struct SumOfTable {
  Tokens tokens;
  SiteRewards table;
  Rewards out;
  int length;
  KOKKOS_FUNCTION void operator()(std::int64_t b) const {
    double sum = 0;
    for (int l = 0; l < length; ++l) sum += table(table.extent(0) == 1 ? 0 : l, tokens(b, l));
    out(b) = sum;
  }
};

// ------------------------------------------------------------------------------------------------ values of a state

/// out(b, l) = ln E exp(strength * table(l, clean token)).
template <class Field>
struct SiteExpectation {
  Field field;
  SiteRewards table;
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> out;
  double strength;
  int length;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    double const* const reward = &table(table.extent(0) == 1 ? 0 : l, 0);
    if (!field.active(b, l)) {
      out(b, l) = strength * reward[field.tokens(b, l)];
      return;
    }
    CleanLaw<Field> const law(field, b, l);
    if (!Kokkos::isfinite(law.total) || !(law.total > 0)) {
      out(b, l) = Kokkos::Experimental::quiet_NaN_v<double>;
      return;
    }
    double top = minus_infinity, sum = 0;
    for (int y = 0; y < field.states; ++y) {
      double const p = law(y);
      if (!(p > 0)) continue;
      double const v = strength * reward[y];
      if (v > top) {
        sum = sum * Kokkos::exp(top - v) + p;
        top = v;
      } else if (v > minus_infinity) {
        sum += p * Kokkos::exp(v - top);
      }
    }
    out(b, l) = sum > 0 ? top + Kokkos::log(sum) : minus_infinity;
  }
};

template <class Field>
struct DrawClean {
  Field field;
  Tokens out;
  StreamKey key;
  std::uint64_t first_sample;
  int length;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    out(b, l) = field.tokens(b, l);
    if (!field.active(b, l)) return;
    CleanLaw<Field> const law(field, b, l);
    RandomPair const pair =
        key.draw(first_sample + static_cast<std::uint64_t>(b), Role::clean, static_cast<std::uint32_t>(l));
    if (uniform53(pair.event) * law.total < law.weights.stay) return;
    int const y = law.row.draw(law.own, law.weights, uniform53(pair.target), law.scratch);
    // Without a target the scores are not finite, which the step that follows reports.
    if (y >= 0) out(b, l) = y;
  }
};

/// Adds ln p(token) of the masked sites that a step has revealed.
template <class Field>
struct AddReveals {
  Field field;  // of the state before
  Tokens after;
  Reals accumulated;
  int length;

  KOKKOS_FUNCTION void operator()(std::int64_t b) const {
    double sum = 0;
    for (int l = 0; l < length; ++l) {
      int const row = static_cast<int>(b);
      if (!field.active(row, l) || after(b, l) == field.tokens(b, l)) continue;
      sum += Kokkos::log(CleanLaw<Field>(field, row, l)(after(b, l)));
    }
    accumulated(b) += sum;
  }
};

// ------------------------------------------------------------------------------------------------- values and weights

/// top and sum of a running sum of exponentials.
struct Accumulate {
  Rewards rewards;
  Reals top, sum;
  double strength;
  bool first;
  KOKKOS_FUNCTION void operator()(std::int64_t b) const {
    double t = first ? minus_infinity : top(b), s = first ? 0 : sum(b);
    double const v = strength * rewards(b);
    if (!(v <= t)) {  // a NaN stays one
      s = s * Kokkos::exp(t - v) + 1;
      t = v;
    } else if (v > minus_infinity) {
      s += Kokkos::exp(v - t);
    }
    top(b) = t;
    sum(b) = s;
  }
};

/// Of the terms of the values, those that are not empty. `previous`: the ancestors' values.
struct Combine {
  Kokkos::View<double const**, Kokkos::LayoutRight, MemorySpace> terms;  // intermediate, additive
  Reals top, sum;                                                        // intermediate, from draws
  Rewards rewards;                                                       // final
  Reals logarithms;                                                      // power: a(x) or ln p(x)
  Reals previous, values;
  double strength, power;
  int draws;

  KOKKOS_FUNCTION void operator()(std::int64_t b) const {
    double value = 0;
    for (std::size_t l = 0; l < terms.extent(1); ++l) value += terms(b, l);
    if (top.size() != 0) {
      double const mean = top(b) + Kokkos::log(sum(b) / draws);
      if (mean == minus_infinity) {
        values(b) = previous(b);
        return;
      }
      value += mean;
    }
    if (rewards.size() != 0) value += strength * rewards(b);
    if (logarithms.size() != 0) value += (power - 1) * logarithms(b);
    values(b) = value;
  }
};

struct Group {
  double log_normaliser = 0;
  double effective = 0, least = Kokkos::Experimental::infinity_v<double>;
  int resamplings = 0;
  int drawn = -1;
  int bad_step = -1, bad_particle = -1;
};

struct Update {
  Reals values, previous, log_weights;
  Indices ancestors;  // within the group
  Kokkos::View<Group*, MemorySpace> groups;
  StreamKey key;
  std::uint64_t first_sample;
  int particles;
  double threshold;
  bool selection, last;

  KOKKOS_FUNCTION void operator()(std::int64_t g) const {
    std::int64_t const begin = g * particles;
    double* const w = &log_weights(begin);
    Group group = groups(g);
    double largest = minus_infinity;
    for (int i = 0; i < particles; ++i) {
      double& value = values(begin + i);
      if (!(value < Kokkos::Experimental::infinity_v<double>)) {
        if (group.bad_step < 0) {
          group.bad_step = static_cast<int>(key.step);
          group.bad_particle = i;
        }
        value = minus_infinity;
      }
      if (selection) {
        w[i] = value;
      } else if (w[i] > minus_infinity) {
        w[i] += value - previous(begin + i);
      }
      largest = largest > w[i] ? largest : w[i];
      ancestors(begin + i) = i;
    }
    bool const alive = largest > minus_infinity;
    double sum = 0, squares = 0;
    for (int i = 0; alive && i < particles; ++i) {
      double const x = Kokkos::exp(w[i] - largest);
      sum += x;
      squares += x * x;
    }
    group.effective = alive ? sum * sum / squares : 0;
    group.least = group.least < group.effective ? group.least : group.effective;

    RandomPair const pair = key.draw(first_sample + static_cast<std::uint64_t>(begin), Role::resample, 0);
    if (alive && selection) {
      int const survivor = drawn(w, largest, sum, uniform53(pair.event));
      for (int i = 0; i < particles; ++i) ancestors(begin + i) = survivor;
    } else if (alive && !last && group.effective < threshold * particles * (1 - 1e-12)) {  // rounding is no difference
      group.log_normaliser += largest + Kokkos::log(sum / particles);
      ++group.resamplings;
      systematic_ancestors(w, largest, sum, particles, uniform53(pair.event), &ancestors(begin));
      for (int i = 0; i < particles; ++i) w[i] = 0;
    }
    for (int i = 0; i < particles; ++i) previous(begin + i) = values(begin + ancestors(begin + i));
    if (last) finish(group, w, largest, sum, alive, uniform53(pair.target));
    groups(g) = group;
  }

 private:
  KOKKOS_FUNCTION int drawn(double const* w, double largest, double sum, double uniform) const {
    double reached = 0;
    int found = -1;
    for (int i = 0; i < particles && !(reached > uniform * sum); ++i) {
      double const x = Kokkos::exp(w[i] - largest);
      reached += x;
      if (x > 0) found = i;
    }
    return found;
  }
  // Log-weights become weights.
  KOKKOS_FUNCTION void finish(Group& group, double* w, double largest, double sum, bool alive, double uniform) const {
    if (alive) group.drawn = selection ? 0 : drawn(w, largest, sum, uniform);
    group.log_normaliser = selection ? Kokkos::Experimental::quiet_NaN_v<double>
                           : alive   ? group.log_normaliser + largest + Kokkos::log(sum / particles)
                                     : minus_infinity;
    for (int i = 0; i < particles; ++i) {
      w[i] = !alive ? 0 : selection ? 1.0 / particles : Kokkos::exp(w[i] - largest) / sum;
    }
  }
};

struct Begin {
  Reals previous, log_weights, accumulated;
  Indices ancestors;
  Kokkos::View<Group*, MemorySpace> groups;
  int particles;
  KOKKOS_FUNCTION void operator()(std::int64_t b) const {
    previous(b) = log_weights(b) = accumulated(b) = 0;
    ancestors(b) = static_cast<int>(b % particles);
    if (b % particles == 0) groups(b / particles) = Group{};
  }
};

struct Gather {
  Tokens from, to;
  Reals accumulated_from, accumulated_to;
  Indices ancestors;
  int length, particles;
  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    std::int64_t const b = item / length, l = item % length;
    std::int64_t const ancestor = b / particles * particles + ancestors(b);
    to(b, l) = from(ancestor, l);
    if (l == 0) accumulated_to(b) = accumulated_from(ancestor);
  }
};

template <class Scalar>
struct GatherScores {
  Scalar const* from;
  Scalar* to;
  Indices ancestors;
  std::int64_t row_stride, site_stride;
  int length, states, particles;
  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    std::int64_t const b = item / length, l = item % length;
    std::int64_t const ancestor = b / particles * particles + ancestors(b);
    Scalar const* const in = from + ancestor * row_stride + l * site_stride;
    for (int y = 0; y < states; ++y) to[item * states + y] = in[y];
  }
};

// ------------------------------------------------------------------------------------------------------------- the run

/// Lends the evaluation that weights were made from to the step that begins with it; each row gets its ancestor's
/// scores.
class Relay final : public ScoreModel {
 public:
  explicit Relay(std::shared_ptr<ScoreModel> inner) : inner_(std::move(inner)) {}
  ModelInfo info() const override { return inner_->info(); }
  void reserve(Extents extents, int slots) override {
    inner_->reserve(extents, slots);
    extents_ = extents;
  }
  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    bool const whole = query.only_site.size() == 0;
    if (std::exchange(lent_, false) && slot == 0 && whole) return held_;
    if (whole) ++count_;
    return inner_->evaluate(exec, query, slot);
  }

  /// Keeps what `latest` holds. The first call allocates, since only now the type of the scores is known.
  void hold(ExecSpace const& exec, Evaluation const& latest, Indices const& ancestors, State const& state,
            int particles) {
    auto const size = static_cast<std::size_t>(extents_.batch) * static_cast<std::size_t>(extents_.length) *
                      static_cast<std::size_t>(latest.states) * scalar_size(latest.type);
    if (scores_.size() * sizeof(double) < size)
      scores_ = decltype(scores_)(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "saltus::integrators::particles::held"),
                                  (size + sizeof(double) - 1) / sizeof(double));
    held_ = latest;
    held_.site_stride = latest.states;
    held_.row_stride = std::int64_t{latest.states} * state.length();
    held_.data = scores_.data();
    visit_numbers(latest.data, latest.type, [&]<class Number>(Number const* from) {
      Kokkos::parallel_for("saltus::integrators::particles::scores",
                           items(exec, std::int64_t{state.batch()} * state.length()),
                           GatherScores<Number>{from, reinterpret_cast<Number*>(scores_.data()), ancestors,
                                                latest.row_stride, latest.site_stride, state.length(), latest.states,
                                                particles});
    });
  }
  /// Whether the next call gets what is held.
  void lend(bool lent) { lent_ = lent; }
  std::int64_t count() const { return count_; }

 private:
  std::shared_ptr<ScoreModel> inner_;
  Extents extents_{};
  Kokkos::View<double*, MemorySpace> scores_;  // the bytes of what is held
  Evaluation held_{};
  bool lent_ = false;
  std::int64_t count_ = 0;
};

/// Calls the visitor with the field of the process if it knows the laws of clean tokens (checked before the run).
template <class Visitor>
void visit_clean(Process const& process, State const& state, Step const& step, Visitor&& visitor) {
  visit_field(process, state, step, 0, false, [&]<class Field>(Field const& field) {
    if constexpr (requires { field.clean(StepCoeff{}, RowSums{}); }) visitor(field);
  });
}

template <class T>
T first(T const& view, std::int64_t count) {
  return Kokkos::subview(view, std::make_pair(std::int64_t{0}, count));
}

/// The memory of a run and its step loop.
class Particles {
 public:
  Particles(ExecSpace const& exec, Process& process, Relay& relay, Integrator& integrator, ParticlePlan const& plan,
            StepTable const& table, Extents extents)
      : exec_(exec), process_(process), relay_(relay), integrator_(integrator), plan_(plan), table_(table),
        length_(extents.length), lends_(integrator.info().evaluations > 0),
        fixed_(exec, process, plan.run, static_cast<std::size_t>(extents.batch)) {
    auto const rows = static_cast<std::size_t>(extents.batch), length = static_cast<std::size_t>(extents.length);
    auto const reals = [&](bool needed = true) { return Reals("saltus::integrators::particles", needed ? rows : 0); };
    auto const tokens = [&](bool needed = true) {
      return Tokens("saltus::integrators::particles::tokens", needed ? rows : 0, needed ? length : 0);
    };
    table_of_rewards_ = plan.reward ? plan.reward->additive() : SiteRewards{};
    bool const closed = table_of_rewards_.size() != 0, drawn = plan.reward && !closed;
    for (auto& t : tokens_) t = tokens();
    for (auto& a : accumulated_) a = reals();
    before_ = tokens(plan.power != 1);
    clean_ = tokens(drawn);
    top_ = reals(drawn);
    sum_ = reals(drawn);
    terms_ = decltype(terms_)("saltus::integrators::particles::terms", closed ? rows : 0, closed ? length : 0);
    rewards_ = reals(plan.reward != nullptr);
    likelihoods_ = reals(plan.likelihood != nullptr);
    values_ = reals();
    previous_ = reals();
    log_weights_ = reals();
    time_ = Times("saltus::integrators::particles::time", rows);
    ancestors_ = Indices("saltus::integrators::particles::ancestors", rows);
    groups_ = Kokkos::View<Group*, MemorySpace>("saltus::integrators::particles::groups",
                                                rows / static_cast<std::size_t>(plan.particles));
    if (plan.reward) plan.reward->reserve(extents);
    if (plan.likelihood) plan.likelihood->reserve(extents);
  }

  /// Carries `rows` particles from their start to the end; returns where they are.
  State run(std::int64_t rows, std::uint64_t first_sample, CounterView const& counters) {
    State state{first_rows(tokens_[0], rows), first(time_, rows), fixed_.frozen(static_cast<int>(rows)), first_sample};
    State other{first_rows(tokens_[1], rows), state.time, state.frozen, first_sample};
    auto& accumulated = accumulated_[0];
    detail::reset(exec_, counters, state.time, plan_.run.grid.point(0));
    Kokkos::parallel_for("saltus::integrators::particles::begin", items(exec_, rows),
                         Begin{previous_, log_weights_, accumulated, ancestors_, groups_, plan_.particles});
    if (plan_.run.start) {
      plan_.run.start(exec_, state);
    } else {
      draw_prior(exec_, process_, state, plan_.run.seed);
    }
    fixed_.put(exec_, state);
    relay_.lend(false);
    if (lends_ || plan_.power != 1) {
      relay_.hold(exec_, process_.refresh(exec_, state, 0), ancestors_, state, plan_.particles);
    }
    for (int k = 0; k < table_.steps(); ++k) {
      bool const last = k + 1 == table_.steps();
      StreamKey const key{plan_.run.seed, static_cast<std::uint32_t>(k)};
      if (plan_.power != 1) Kokkos::deep_copy(exec_, first_rows(before_, rows), state.tokens);
      relay_.lend(lends_);
      integrator_.advance(exec_, process_, state, table_.step(k), StreamKey{plan_.run.seed, 0}, counters);
      relay_.lend(false);
      if (plan_.power != 1) add_reveals(state, k, accumulated);
      if (last) {
        evaluate_end(state, accumulated);
      } else {
        evaluate_state(state, k + 1, key, accumulated);
      }
      Kokkos::parallel_for(
          "saltus::integrators::particles::update", items(exec_, rows / plan_.particles),
          Update{values_, previous_, log_weights_, ancestors_, groups_, key, first_sample, plan_.particles,
                 plan_.threshold, plan_.scheme == ParticleScheme::selection, last});
      Kokkos::parallel_for("saltus::integrators::particles::gather", items(exec_, rows * length_),
                           Gather{state.tokens, other.tokens, accumulated, accumulated_[1], ancestors_, length_,
                                  plan_.particles});
      if (!last && (lends_ || plan_.power != 1)) {
        relay_.hold(exec_, process_.evaluation(0), ancestors_, state, plan_.particles);
      }
      std::swap(state, other);
      std::swap(accumulated_[0], accumulated_[1]);
    }
    return state;
  }

  Reals const& weights() const { return log_weights_; }
  Reals const& values() const { return previous_; }
  Kokkos::View<Group*, MemorySpace> const& groups() const { return groups_; }

 private:
  static Tokens first_rows(Tokens const& tokens, std::int64_t rows) {
    return Kokkos::subview(tokens, std::make_pair(std::int64_t{0}, rows), Kokkos::ALL);
  }

  void add_reveals(State const& after, int k, Reals const& accumulated) {
    State const before{first_rows(before_, after.batch()), after.time, after.frozen, after.first_sample};
    relay_.lend(true);
    process_.refresh(exec_, before, 0);
    visit_clean(process_, before, table_.step(k), [&]<class Field>(Field const& field) {
      Kokkos::parallel_for("saltus::integrators::particles::reveals", items(exec_, after.batch()),
                           AddReveals<Field>{field, after.tokens, accumulated, length_});
    });
  }

  void combine(State const& state, Combine const& terms) {
    Kokkos::parallel_for("saltus::integrators::particles::values", items(exec_, state.batch()), terms);
  }

  // The values of a state that is the start of step k.
  void evaluate_state(State const& state, int k, StreamKey key, Reals const& accumulated) {
    Reals const logarithms = plan_.power != 1 ? accumulated : Reals{};
    process_.refresh(exec_, state, 0);
    std::int64_t const sites = std::int64_t{state.batch()} * length_;
    if (terms_.size() != 0) {
      visit_clean(process_, state, table_.step(k), [&]<class Field>(Field const& field) {
        Kokkos::parallel_for("saltus::integrators::particles::expectation", items(exec_, sites),
                             SiteExpectation<Field>{field, table_of_rewards_, terms_, plan_.strength, length_});
      });
    }
    Tokens const clean = first_rows(clean_, clean_.size() != 0 ? state.batch() : 0);
    for (int j = 0; clean.size() != 0 && j < plan_.clean_draws; ++j) {
      visit_clean(process_, state, table_.step(k), [&]<class Field>(Field const& field) {
        Kokkos::parallel_for("saltus::integrators::particles::clean", items(exec_, sites),
                             DrawClean<Field>{field, clean, key.derived(static_cast<std::uint32_t>(j)),
                                              state.first_sample, length_});
      });
      Rewards const rewards = first(rewards_, state.batch());
      plan_.reward->evaluate(exec_, clean, rewards);
      Kokkos::parallel_for("saltus::integrators::particles::mean", items(exec_, state.batch()),
                           Accumulate{rewards, top_, sum_, plan_.strength, j == 0});
    }
    combine(state, {terms_, top_, sum_, {}, logarithms, previous_, values_, plan_.strength, plan_.power,
                    plan_.clean_draws});
  }

  // The exponents of the target.
  void evaluate_end(State const& state, Reals const& accumulated) {
    Rewards const rewards = first(rewards_, plan_.reward ? state.batch() : 0);
    if (plan_.reward) plan_.reward->evaluate(exec_, state.tokens, rewards);
    Reals logarithms = plan_.power != 1 ? accumulated : Reals{};
    if (plan_.power != 1 && plan_.likelihood) {
      logarithms = first(likelihoods_, state.batch());
      plan_.likelihood->evaluate(exec_, state.tokens, logarithms);
    }
    combine(state, {{}, {}, {}, rewards, logarithms, previous_, values_, plan_.strength, plan_.power, 1});
  }

  ExecSpace exec_;
  Process& process_;
  Relay& relay_;
  Integrator& integrator_;
  ParticlePlan const& plan_;
  StepTable const& table_;
  int length_;
  bool lends_;  // steps begin with an evaluation at their start
  detail::FixedSites fixed_;
  SiteRewards table_of_rewards_;
  Tokens tokens_[2], before_, clean_;
  Times time_;
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> terms_;
  Reals accumulated_[2], top_, sum_, rewards_, likelihoods_, values_, previous_, log_weights_;
  Indices ancestors_;
  Kokkos::View<Group*, MemorySpace> groups_;
};

void check(Process const& process, Integrator const& integrator, ParticlePlan const& plan) {
  require(process.is_reverse() && process.generator().kind() != Generator::Kind::dense,
          "particles need a reverse process with an absorbing or a uniform generator, got " +
              std::string(process.is_reverse() ? "" : "a forward one with ") + "generator '" +
              process.generator().name() + "'");
  require(plan.particles >= 1, "a group must have at least 1 particle, got " + std::to_string(plan.particles));
  require(plan.threshold >= 0 && plan.threshold <= 1,
          "the resampling threshold is a share of the particles, from 0 to 1, got " + to_text(plan.threshold));
  require(plan.clean_draws >= 1,
          "the value of a state needs at least 1 draw of a clean sequence, got " + std::to_string(plan.clean_draws));
  require(std::isfinite(plan.strength), "the strength of the reward must be finite, got " + to_text(plan.strength));
  require(std::isfinite(plan.power), "the power of the law must be finite, got " + to_text(plan.power));
  require(plan.reward || plan.power != 1,
          "expected a reward or a power other than 1, got neither; without them 'sample' does the same at less cost");
  require(plan.power == 1 || process.is_masked(),
          "a power of the law needs a masked process; without a mask give the log-likelihood as the reward, with "
          "strength power - 1");
  require(!plan.likelihood || plan.power != 1, "a log-likelihood was given, but the power is 1");
  require(!process.is_masked() || plan.run.forced_last,
          "rewards are of clean sequences: the last step of a masked process must reveal every mask (forced_last)");
  require(plan.run.grid.decreasing(), "a reverse process needs a decreasing time grid");
  require(plan.run.batch >= 1, "the batch must hold at least 1 particle, got " + std::to_string(plan.run.batch));
  require(plan.run.length >= 1, "sequences must have at least 1 site, got " + std::to_string(plan.run.length));
  if (SiteRewards const table = plan.reward ? plan.reward->additive() : SiteRewards{}; table.size() != 0) {
    require(static_cast<int>(table.extent(1)) == process.generator().states(),
            "the table of rewards has " + std::to_string(table.extent(1)) + " states, but the process has " +
                std::to_string(process.generator().states()));
  }
  require(plan.run.last == LastStep::none, "particles take no last step after the grid");
  require(integrator.info().takes_phi || plan.run.phi.empty(),
          "learned factors phi mean nothing to '" + integrator.info().name + "'");
  require(!integrator.info().remembers, "particles change places, but '" + integrator.info().name +
                                            "' keeps something of each from step to step: take another method");
  detail::check(integrator, process);
  process.check_length(plan.run.length);
}

}  // namespace

TokenReward::TokenReward(int states, std::vector<double> const& table) {
  require(states >= 1 && !table.empty() && table.size() % static_cast<std::size_t>(states) == 0,
          "a table of rewards needs " + std::to_string(states) + " entries a site, got " +
              std::to_string(table.size()));
  auto const n = static_cast<std::size_t>(states);
  for (std::size_t i = 0; i < table.size(); ++i) {
    require(table[i] < INFINITY, "rewards must be finite or -infinity, got " + to_text(table[i]));
    if (i % n != 0) continue;
    require(std::any_of(&table[i], &table[i] + n, [](double r) { return std::isfinite(r); }),
            "site " + std::to_string(i / n) + " has no token with a finite reward");
  }
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> device("saltus::integrators::rewards", table.size() / n, n);
  auto const mirror = Kokkos::create_mirror_view(device);
  std::copy(table.begin(), table.end(), mirror.data());
  Kokkos::deep_copy(device, mirror);
  table_ = device;
}

TokenReward TokenReward::count(int states, token_t token) {
  require(token >= 0 && token < states, "expected a token from 0 to " + std::to_string(states - 1) + ", got " +
                                            std::to_string(token));
  std::vector<double> row(static_cast<std::size_t>(states), 0.0);
  row[static_cast<std::size_t>(token)] = 1;
  return {states, row};
}

void TokenReward::reserve(Extents extents) {
  require(table_.extent(0) == 1 || static_cast<int>(table_.extent(0)) == extents.length,
          "the table of rewards has " + std::to_string(table_.extent(0)) + " sites, but the sequences have " +
              std::to_string(extents.length));
}

void TokenReward::evaluate(ExecSpace const& exec, Tokens const& clean, Rewards const& out) {
  Kokkos::parallel_for("saltus::integrators::token_reward", items(exec, static_cast<std::int64_t>(clean.extent(0))),
                       SumOfTable{clean, table_, out, static_cast<int>(clean.extent(1))});
}

ParticleReport sample_particles(ExecSpace const& exec, Process const& process, Integrator& integrator,
                                ParticlePlan const& plan, ParticleSink const& sink, Progress const& progress) {
  check(process, integrator, plan);
  Kokkos::Timer timer;
  auto const size = static_cast<std::size_t>(plan.particles);
  std::size_t const most = std::min(std::max<std::size_t>(static_cast<std::size_t>(plan.run.batch) / size, 1),
                                    std::max<std::size_t>(plan.run.samples, 1));
  Extents const extents{static_cast<int>(most * size), plan.run.length};

  // All memory of the run, but what holds the scores.
  auto const relay = std::make_shared<Relay>(
      std::shared_ptr<ScoreModel>(process.model(), [](ScoreModel*) {}));  // the process outlives the run
  Process relayed = Process::reverse(process.generator(), process.noise(), relay, process.normalised());
  relayed.reserve(extents, std::max(integrator.info().slots, 1));
  CounterView const counters(Kokkos::view_alloc(exec, "saltus::integrators::counters"),
                             integrator.reserve(relayed, extents));
  auto const host_counters = Kokkos::create_mirror_view(counters);
  StepOptions options = step_options(integrator, relayed);
  options.phi = plan.run.phi;
  options.power = plan.run.power;
  options.forced_last = plan.run.forced_last;
  StepTable const table(exec, relayed, plan.run.grid, options);
  Particles particles(exec, relayed, *relay, integrator, plan, table, extents);
  HostTokens const host_tokens(Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::integrators::host_tokens"),
                               most * size, static_cast<std::size_t>(plan.run.length));
  Kokkos::View<double*, HostSpace> const weights("saltus::integrators::particles::host", most * size),
      values("saltus::integrators::particles::host", most * size),
      normalisers("saltus::integrators::particles::host", most);
  Kokkos::View<int*, HostSpace> const drawn("saltus::integrators::particles::host", most);
  auto const host_groups = Kokkos::create_mirror_view(particles.groups());

  ParticleReport report;
  double evaluations = 0;
  while (report.results < plan.run.samples) {
    std::size_t const groups = std::min(most, plan.run.samples - report.results);
    auto const rows = static_cast<std::int64_t>(groups * size);
    std::uint64_t const first_result = plan.run.first_sample + report.results, first_sample = first_result * size;
    std::int64_t const before = relay->count();
    State const state = particles.run(rows, first_sample, counters);

    auto const range = std::make_pair(std::int64_t{0}, rows);
    HostTokens const host_rows = Kokkos::subview(host_tokens, range, Kokkos::ALL);
    Kokkos::deep_copy(exec, host_rows, state.tokens);
    Kokkos::deep_copy(exec, first(weights, rows), first(particles.weights(), rows));
    Kokkos::deep_copy(exec, first(values, rows), first(particles.values(), rows));
    Kokkos::deep_copy(exec, host_groups, particles.groups());
    std::int64_t largest = 0;
    Counters const sum = detail::collect(exec, counters, host_counters, relayed, first_sample, largest);
    report.jumps += sum.jumps;
    report.clamps += sum.clamps;
    evaluations += static_cast<double>(sum.evaluations) +
                   static_cast<double>(relay->count() - before) * static_cast<double>(rows);
    for (std::size_t g = 0; g < groups; ++g) {
      Group const& group = host_groups(g);
      if (group.bad_step >= 0) {
        throw NumericalError("the reward or the power of the law is NaN or +infinity, first in step " +
                             std::to_string(group.bad_step) + ", result " + std::to_string(first_result + g) +
                             ", particle " + std::to_string(group.bad_particle) +
                             " (all counted from 0); rewards must be finite or -infinity");
      }
      normalisers(g) = group.log_normaliser;
      drawn(g) = group.drawn;
      report.dead += group.drawn < 0;
      report.effective_size += group.effective / static_cast<double>(plan.run.samples);
      report.least_effective += group.least / static_cast<double>(plan.run.samples);
      report.resamplings += group.resamplings / static_cast<double>(plan.run.samples);
    }
    auto const count = static_cast<std::int64_t>(groups);
    sink({first_result, static_cast<int>(groups), plan.particles, host_rows, first(weights, rows), first(values, rows),
          first(normalisers, count), first(drawn, count)});
    report.results += groups;
    if (progress) progress(report.results);
  }
  if (report.results > 0) report.evaluations = evaluations / static_cast<double>(report.results);
  report.seconds = timer.seconds();
  return report;
}

HostTokens sample_particles(ExecSpace const& exec, Process const& process, Integrator& integrator,
                            ParticlePlan const& plan, ParticleReport* report) {
  HostTokens all("saltus::integrators::samples", plan.run.samples, static_cast<std::size_t>(plan.run.length));
  auto const done = sample_particles(exec, process, integrator, plan, [&](ParticleSets const& sets) {
    for (int g = 0; g < sets.groups; ++g) {
      std::uint64_t const result = sets.first + static_cast<std::uint64_t>(g);
      if (sets.drawn(g) < 0) {
        throw NumericalError("no particle of result " + std::to_string(result) +
                             " has a reward above -infinity; take more particles, or a reward that is finite");
      }
      std::copy_n(&sets.tokens(g * sets.particles + sets.drawn(g), 0), plan.run.length,
                  &all(result - plan.run.first_sample, 0));
    }
  });
  if (report) *report = done;
  return all;
}

}  // namespace saltus
