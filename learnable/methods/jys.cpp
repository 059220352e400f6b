// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numbers>

#include <saltus/ctmc/device.hpp>
#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/random.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/saved_numbers.hpp>
#include <saltus/learnable/teacher_paths.hpp>

#include "../../integrators/run_detail.hpp"

namespace saltus {
namespace {

// What a point t between w and u is worth (A§11). R_t and R_w are the rates at the noised sequences of either time.
enum class Objective {
  bound,    // masked: reveal(t, u) sum over masks of KL(p_t, p_w), by which t lowers the path KL; others: full
  full,     // (t - u) sum of R_t ln(R_t / R_w) - R_t + R_w, over sites with the same token at both times
  released  // (t - u) sum of R_t [ln(R_t + 1e-8) - ln(R_w + 1e-8)] over all sites
};

// Sequences at a time: the same uniform of a site at all times, so that masks of an earlier time are masks of a later
// one.
struct NoiseKernel {
  Tokens clean, tokens;
  Times time;
  StreamKey key;
  std::uint64_t first;
  int states;
  token_t mask;                                         // -1: none
  double share, now;                                    // of sites that lost their token
  Kokkos::View<double const*, MemorySpace> cumulative;  // [states, states] transition probabilities summed up; or empty

  KOKKOS_FUNCTION void operator()(int b, int l) const {
    RandomPair const pair = key.draw(first + static_cast<std::uint64_t>(b), Role::noise, static_cast<std::uint32_t>(l));
    double const u = uniform53(pair.event);
    token_t const x = clean(static_cast<std::size_t>(first) + static_cast<std::size_t>(b), static_cast<std::size_t>(l));
    token_t y = x;
    if (cumulative.size() != 0) {
      y = detail::draw_cumulative(&cumulative(static_cast<std::size_t>(x) * static_cast<std::size_t>(states)), states,
                                  u);
    } else if (u < share) {
      y = mask >= 0 ? mask : static_cast<token_t>(uniform53(pair.target) * states);
    }
    tokens(b, l) = y;
    if (l == 0) time(b) = now;
  }
};

// Of a row: the sum over sites, without the factor of time.
struct ValueKernel {
  SiteMasses now, before;  // rates times durations, or anything proportional for the bound; at t and at w
  Tokens tokens, tokens_before;
  Kokkos::View<double*, MemorySpace> out;
  int length, states;
  double rate_now, rate_before;  // 1 / duration
  Objective objective;

  KOKKOS_FUNCTION void operator()(int b) const {
    double sum = 0;
    for (int l = 0; l < length; ++l) {
      if (objective != Objective::released && tokens(b, l) != tokens_before(b, l)) continue;
      double const* const r = &now(b, l, 0);
      double const* const q = &before(b, l, 0);
      double total = 0, total_before = 0, site = 0;
      for (int y = 0; y < states; ++y) {
        total += r[y];
        total_before += q[y];
      }
      double const scale = objective == Objective::bound ? 1 / total : rate_now;
      double const scale_before = objective == Objective::bound ? 1 / total_before : rate_before;
      if (total == 0 && (objective != Objective::full || total_before == 0)) continue;
      for (int y = 0; y < states; ++y) {
        double const p = r[y] * scale, p_before = q[y] * scale_before;
        if (objective == Objective::released) {
          site += p * (Kokkos::log(p + 1e-8) - Kokkos::log(p_before + 1e-8));
        } else {
          site += p > 0 ? p * Kokkos::log(p / p_before) : 0;
          if (objective == Objective::full) site += p_before - p;
        }
      }
      sum += site;
    }
    out(b) = sum;
  }
};

// Clean sequences, and the worth of points by them.
class Worth {
 public:
  Worth(ExecSpace const& exec, Process& process, DistillPlan const& plan, Objective objective)
      : exec_(exec),
        process_(process),
        plan_(plan),
        objective_(objective == Objective::bound && !process.is_masked() ? Objective::full : objective) {
    auto const teacher = make_integrator(plan.teacher, process);
    SamplePlan draws = make_plan(process, *teacher, plan.teacher_steps, plan.length, plan.end);
    draws.seed = plan.seed;
    draws.samples = plan.trajectories;
    draws.batch = plan.batch;
    HostTokens const host = sample(exec, process, *teacher, draws);
    auto const L = static_cast<std::size_t>(plan.length), S = static_cast<std::size_t>(process.generator().states());
    clean_ = Tokens("saltus::learnable::jys::clean", plan.trajectories, L);
    Kokkos::deep_copy(clean_, host);
    batch_ = rows_that_fit(
        "jys", 16.0 * static_cast<double>(L * S), plan.memory,
        static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(std::max(plan.batch, 0)), plan.trajectories)));
    auto const B = static_cast<std::size_t>(batch_);
    for (int i : {0, 1}) {
      masses_[i] = SiteMasses("saltus::learnable::jys::masses", B, L, S);
      tokens_[i] = Tokens("saltus::learnable::jys::tokens", B, L);
      time_[i] = Times("saltus::learnable::jys::time", B);
    }
    out_ = Kokkos::View<double*, MemorySpace>("saltus::learnable::jys::out", B);
    host_out_ = Kokkos::create_mirror_view(out_);
    process.reserve({batch_, plan.length}, 2);
  }

  /// Of t between w > t and u < t, in nats a sequence.
  double operator()(double w, double t, double u) {
    StepTable const now(exec_, process_, TimeGrid::from_points({t, u})),
        before(exec_, process_, TimeGrid::from_points({w, u}));
    double sum = 0;
    for (std::size_t first = 0; first < plan_.trajectories; first += static_cast<std::size_t>(batch_)) {
      int const rows = static_cast<int>(std::min(static_cast<std::size_t>(batch_), plan_.trajectories - first));
      State const at_t = noised(0, t, first, rows), at_w = noised(1, w, first, rows);
      process_.refresh(exec_, at_t, 0);
      process_.refresh(exec_, at_w, 1);
      // For the bound only their targets count, which rates do not tell where the noise begins with a rate of 0.
      Mass const mass = objective_ == Objective::bound ? Mass::transitions : Mass::rates;
      read_masses(exec_, process_, at_t, now.step(0), 0, mass, masses_[0]);
      read_masses(exec_, process_, at_w, before.step(0), 1, mass, masses_[1]);
      Kokkos::parallel_for("saltus::learnable::jys::value",
                           Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec_, 0, rows),
                           ValueKernel{masses_[0], masses_[1], at_t.tokens, at_w.tokens, out_, plan_.length,
                                       process_.generator().states(), 1 / (t - u), 1 / (w - u), objective_});
      Kokkos::deep_copy(exec_, host_out_, out_);
      exec_.fence("saltus::learnable: worths of rows are summed on the host");
      for (int b = 0; b < rows; ++b) sum += host_out_(b);
    }
    double const mean = sum / static_cast<double>(plan_.trajectories);
    if (std::isnan(mean)) {
      throw NumericalError("the worth of the time t = " + to_text(t) + " between " + to_text(w) + " and " + to_text(u) +
                           " is not a number: the scores at one of them are not finite");
    }
    return mean * (objective_ == Objective::bound ? now.host(0).reveal : t - u);
  }

 private:
  State noised(int which, double t, std::size_t first, int rows) {
    auto const range = std::make_pair(std::size_t{0}, static_cast<std::size_t>(rows));
    State const state{
        Kokkos::subview(tokens_[which], range, Kokkos::ALL), Kokkos::subview(time_[which], range), {}, first};
    NoiseSchedule const& noise = process_.noise();
    Generator const& generator = process_.generator();
    // Runs of a masked process start from nothing but masks, whatever the noise leaves.
    double const share = noise.lost(t) / (process_.is_masked() ? noise.lost(noise.end()) : 1);
    Kokkos::parallel_for(
        "saltus::learnable::jys::noise",
        Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(exec_, {0, 0}, {rows, plan_.length}),
        NoiseKernel{clean_, state.tokens, state.time, StreamKey{plan_.seed, 0}, first, generator.states(),
                    generator.mask().value_or(-1), share, t, transitions(t)});
    return state;
  }
  // Of a dense generator.
  Kokkos::View<double const*, MemorySpace> transitions(double t) {
    Generator const& generator = process_.generator();
    if (generator.kind() != Generator::Kind::dense) return {};
    auto const found = tables_.find(t);
    if (found != tables_.end()) return found->second;
    if (tables_.size() >= 64) tables_.clear();
    std::vector<double> p = generator.transition_matrix(process_.noise().total(t));
    auto const S = static_cast<std::size_t>(generator.states());
    for (std::size_t i = 0; i < p.size(); ++i) p[i] += i % S == 0 ? 0 : p[i - 1];
    return tables_[t] = to_device(exec_, p, "saltus::learnable::jys::transitions");
  }

  ExecSpace exec_;
  Process& process_;
  DistillPlan const& plan_;
  Objective objective_;
  int batch_ = 0;
  Tokens clean_;
  SiteMasses masses_[2];
  Tokens tokens_[2];
  Times time_[2];
  Kokkos::View<double*, MemorySpace> out_;
  Kokkos::View<double*, MemorySpace>::HostMirror host_out_;
  std::map<double, Kokkos::View<double const*, MemorySpace>> tables_;
};

struct Point {
  double time, worth;
};

// The best point between w and u by golden section: the best of those that were tried. Where all are worth nothing, the
// middle in alpha.
Point best_point(Worth& worth, NoiseSchedule const& noise, double w, double u) {
  double const range = noise.end(), margin = std::min(1e-3 * range, 0.05 * (w - u)),
               tolerance = std::min(0.25 / 1024 * range, 0.01 * (w - u));
  double low = u + margin, high = w - margin;
  Point best{0, -std::numeric_limits<double>::infinity()};
  double most = 0;
  auto const tried = [&](double t) {
    double const value = worth(w, t, u);
    most = std::max(most, std::abs(value));
    if (value > best.worth) best = {t, value};
    return value;
  };
  double const part = 1 / std::numbers::phi;
  double left = high - part * (high - low), right = low + part * (high - low);
  double at_left = tried(left), at_right = tried(right);
  for (int i = 0; i < 32 && high - low > tolerance; ++i) {
    if (at_left > at_right) {
      high = right;
      right = left;
      at_right = at_left;
      left = high - part * (high - low);
      at_left = tried(left);
    } else {
      low = left;
      left = right;
      at_left = at_right;
      right = low + part * (high - low);
      at_right = tried(right);
    }
  }
  if (most > 1e-12) return best;
  return {noise.time_at_lost((noise.lost(w) + noise.lost(u)) / 2), 0};
}

class Jys final : public Distiller {
 public:
  explicit Jys(Parameters const& parameters) {
    parameters.allow({"objective", "refine"});
    std::string const objective = parameters.text("objective", "bound");
    if (objective == "bound") {
      objective_ = Objective::bound;
    } else if (objective == "full") {
      objective_ = Objective::full;
    } else if (objective == "released") {
      objective_ = Objective::released;
    } else {
      throw UserError(unknown_name("objective of jys", objective, {"bound", "full", "released"}));
    }
    refine_ = parameters.integer("refine", objective_ == Objective::released ? 0 : 10, 0, 1000);
  }

  DistillerInfo const& info() const override { return info_; }

  std::string refuses(Process const& process, DistillPlan const& plan) const override {
    std::string const name = Parameters::parse("base", plan.base).name();
    if (std::find(info_.bases.begin(), info_.bases.end(), name) == info_.bases.end())
      return "jys chooses times for euler, exponential, tau_leaping, tweedie and tweedie_trapezoidal, not for '" +
             plan.base + "'; take one of them";
    if (!process.is_reverse()) return "jys needs a reverse process";
    if (plan.steps < 1 || plan.trajectories < 1)
      return "jys needs at least 1 step and 1 trajectory, got " + std::to_string(plan.steps) + " and " +
             std::to_string(plan.trajectories);
    return "";
  }

  Schedule distill(ExecSpace const& exec, Process& process, DistillPlan const& plan,
                   DistillHooks const& hooks) const override {
    std::string const why = refuses(process, plan);
    require(why.empty(), why);
    NoiseSchedule const& noise = process.noise();
    Schedule schedule;
    schedule.base = plan.base;
    schedule.forced_last = process.is_masked() && plan.end == 0;
    schedule.times = {noise.end(), plan.end};
    schedule.trajectories = plan.trajectories;
    std::string const head =
        "jys " + std::to_string(plan.steps) + " " + std::to_string(plan.trajectories) + " " + std::to_string(plan.seed);
    if (!hooks.resume.empty()) restore(hooks.resume, head, schedule);
    int levels = 0;  // in all
    while ((1 << levels) < plan.steps) ++levels;
    int const sweeps = levels + (plan.steps > 1 ? refine_ : 0);
    Worth worth(exec, process, plan, objective_);
    bool changed = true;
    for (int sweep = static_cast<int>(schedule.objective.size()); sweep < sweeps && changed; ++sweep) {
      double gained = 0;
      changed = sweep < levels ? insert(worth, noise, plan.steps, schedule.times, gained)
                               : refined(worth, noise, schedule.times, gained);
      schedule.objective.push_back(gained);
      if (hooks.progress) hooks.progress(changed ? static_cast<double>(sweep + 1) / sweeps : 1, gained);
      if (hooks.save && changed) hooks.save(saved(head, schedule));
    }
    for (int k = 0; process.is_masked() && process.normalised() && k < plan.steps; ++k) {
      StepCoeff const c = noise.coefficients(
          {schedule.times[static_cast<std::size_t>(k)], schedule.times[static_cast<std::size_t>(k) + 1]});
      StepLaw const law = path_law_or_two_stage(plan.base);
      double const rate = c.duration * c.hazard;
      schedule.reveal.push_back(schedule.forced_last && k + 1 == plan.steps ? 1
                                : law == StepLaw::linear                    ? std::min(rate, 1.0)
                                : law == StepLaw::exponential               ? -std::expm1(-rate)
                                                                            : c.reveal);
    }
    return schedule;
  }

 private:
  static StepLaw path_law_or_two_stage(std::string const& base) {
    return Parameters::parse("base", base).text("rule", "first") == "first" ? path_law(base) : StepLaw::exponential;
  }

  // A point into every interval, or, where fewer are wanted, into those in which it is worth most.
  static bool insert(Worth& worth, NoiseSchedule const& noise, int steps, std::vector<double>& times, double& gained) {
    std::vector<Point> points;
    for (std::size_t k = 0; k + 1 < times.size(); ++k)
      points.push_back(best_point(worth, noise, times[k], times[k + 1]));
    std::stable_sort(points.begin(), points.end(), [](Point const& a, Point const& b) { return a.worth > b.worth; });
    points.resize(std::min(points.size(), static_cast<std::size_t>(steps) + 1 - times.size()));
    for (Point const& point : points) {
      times.push_back(point.time);
      gained += point.worth;
    }
    std::sort(times.begin(), times.end(), std::greater<>());
    return true;
  }

  // Every point anew between its neighbours; whether one has moved. The worth of a point is a step function of time (of
  // a finite sample), so that moves of less than the tolerance mean nothing.
  static bool refined(Worth& worth, NoiseSchedule const& noise, std::vector<double>& times, double& gained) {
    bool changed = false;
    for (std::size_t k = 1; k + 1 < times.size(); ++k) {
      double const w = times[k - 1], u = times[k + 1];
      Point const found = best_point(worth, noise, w, u);
      double const now = worth(w, times[k], u);
      bool const better =
          found.worth > now && std::abs(found.time - times[k]) > std::min(0.25 / 1024 * noise.end(), 0.01 * (w - u));
      gained += better ? found.worth : now;
      if (better) times[k] = found.time;
      changed |= better;
    }
    return changed;
  }

  static std::string saved(std::string const& head, Schedule const& schedule) {
    std::string text = head + " " + std::to_string(schedule.times.size());
    save_numbers(text, schedule.times);
    save_numbers(text, schedule.objective);
    return text;
  }
  static void restore(std::string const& text, std::string const& head, Schedule& schedule) {
    std::vector<double> const all = restore_numbers(text, head, "jys");
    require_whole(!all.empty() && static_cast<double>(all.size()) > all[0]);
    auto const times = all.begin() + 1, objective = times + static_cast<std::ptrdiff_t>(all[0]);
    schedule.times.assign(times, objective);
    schedule.objective.assign(objective, all.end());
  }

  Objective objective_;
  int refine_;
  DistillerInfo info_{.name = "jys",
                      .summary = "times alone: where a point lowers the bound on the path KL most, by golden section",
                      .reference = "Park et al. 2024 (JYS), arXiv:2410.07761; objective=released: its code",
                      .bases = {"euler", "exponential", "tau_leaping", "tweedie", "tweedie_trapezoidal"}};
};

}  // namespace

std::unique_ptr<Distiller> make_jys(Parameters const& parameters) { return std::make_unique<Jys>(parameters); }

}  // namespace saltus
