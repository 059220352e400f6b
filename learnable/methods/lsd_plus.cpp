// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <numeric>

#include <saltus/ctmc/error.hpp>
#include <saltus/learnable/distance.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/elbo_costs.hpp>
#include <saltus/learnable/path_kl.hpp>
#include <saltus/learnable/profile_draws.hpp>
#include <saltus/learnable/saved_numbers.hpp>

namespace saltus {
namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr int most_candidates = 256, fewest_by_default = 64, candidates_a_step = 8;
constexpr std::size_t groups = 8;  // of trajectories, for standard errors

// ------------------------------------------------------------------------------------------ statistics of blocks

// What a fine step of the teacher adds to a block that began at an earlier candidate, summed over sites unchanged
// since. With M the probability of the teacher's jump, m / M its targets, q the targets and lambda the hazard of the
// block's start, h the duration of the fine step:
enum Term {
  targets,  // sum of m ln((m/M) / q): the factorisation
  times,    // M ln M + (1 - M) ln(1 - M) + M - M ln(h lambda)
  jumps,    // M
  waits,    // h (1 - M/2) lambda: the sites are alive for that long
  terms
};
// An exponential student with the factor Phi has the path KL targets + times - jumps (1 + ln Phi) + waits Phi, up to
// O(h^2): the integral of R ln(R / (Phi R_start)) - R + Phi R_start. Phi = jumps/waits is best: targets + times - jumps
// ln Phi.

// Stands for ln 0: finite, so that 0 times it is 0; and what no sum of others comes near.
constexpr float ln_zero = -1e30f, impossible = -1e9f;

struct Starts {
  Kokkos::View<float****, Kokkos::LayoutRight, MemorySpace> ln_q;               // [starts, batch, length, states]
  Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace> hazard, ln_hazard;  // [starts, batch, length]
};

struct StartKernel {
  Starts starts;
  SiteMasses masses;  // rates times `duration`, or anything proportional where the hazard does not count
  int j, length, states;
  double duration;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    double const* const row = &masses(b, l, 0);
    double total = 0;
    for (int y = 0; y < states; ++y) total += row[y];
    starts.hazard(j, b, l) = total / duration;
    starts.ln_hazard(j, b, l) = Kokkos::log(total / duration);
    if (!(total > 0)) return;
    double const ln_total = Kokkos::log(total);
    for (int y = 0; y < states; ++y)
      starts.ln_q(j, b, l, y) = row[y] > 0 ? static_cast<float>(Kokkos::log(row[y]) - ln_total) : ln_zero;
  }
};

struct SiteStatistics {
  Tokens last;                                                    // tokens a fine step earlier
  Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace> changed;  // fine step before which the site last changed
  Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace>
      own;  // [batch, length, 3]: M, sum of m ln(m/M), `times` but for ln lambda
  Kokkos::View<float***, Kokkos::LayoutRight, MemorySpace> m;   // [batch, length, states]
  Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace> alive;  // [batch, 1 + length]: how many sites count, and which
};

// Of each site in a fine step.
struct SiteKernel {
  SiteStatistics sites;
  SiteMasses masses;
  Tokens tokens;
  int i, length, states;
  bool exponential, forced;
  double duration;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    if (i == 0 || tokens(b, l) != sites.last(b, l)) sites.changed(b, l) = i;
    sites.last(b, l) = tokens(b, l);
    double* const row = &masses(b, l, 0);
    double total = 0;
    for (int y = 0; y < states; ++y) total += row[y];
    double jump = exponential ? -Kokkos::expm1(-total) : total > 1 ? 1 : total;
    if ((forced && total > 0) || jump > 1 - 1e-12) jump = 1;
    sites.own(b, l, 0) = jump;
    sites.own(b, l, 1) = sites.own(b, l, 2) = 0;
    if (!(total > 0)) return;
    double const stay = jump < 1 ? (1 - jump) * Kokkos::log1p(-jump) : 0;
    sites.own(b, l, 2) = jump * (Kokkos::log(jump / duration) + 1) + stay;
    double sum = 0;
    for (int y = 0; y < states; ++y) {
      double const share = row[y] / total;
      sum += share > 0 ? share * Kokkos::log(share) : 0;
      sites.m(b, l, y) = static_cast<float>(jump * share);
    }
    sites.own(b, l, 1) = jump * sum;
  }
};

// The sites of a row that count in a fine step: all, but for revealed ones of a masked process.
struct AliveKernel {
  SiteStatistics sites;
  int length;
  bool masked;

  KOKKOS_FUNCTION void operator()(int b) const {
    int count = 0;
    for (int l = 0; l < length; ++l) {
      sites.alive(b, 1 + count) = l;
      count += !masked || sites.own(b, l, 0) > 0;
    }
    sites.alive(b, 0) = count;
  }
};

// The terms of the fine step for the block that began at start j.
struct TermKernel {
  Starts starts;
  SiteStatistics sites;
  Kokkos::View<double*** [terms], Kokkos::LayoutRight, MemorySpace> sums;  // [batch, starts, cells]
  Kokkos::View<int const*, MemorySpace> begins;                            // [starts]: their fine steps
  int count, cell, states;                                                 // starts so far
  double duration;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / count), j = static_cast<int>(item % count);
    double sum[terms] = {0, 0, 0, 0};
    for (int i = 1; i <= sites.alive(b, 0); ++i) {
      int const l = sites.alive(b, i);
      double const lambda = starts.hazard(j, b, l), jump = sites.own(b, l, 0);
      if (sites.changed(b, l) > begins(j) || (lambda == 0 && jump == 0)) continue;
      sum[jumps] += jump;
      sum[waits] += duration * (1 - jump / 2) * lambda;
      if (jump == 0) continue;
      sum[times] += sites.own(b, l, 2) - jump * starts.ln_hazard(j, b, l);
      float const* const ln_q = &starts.ln_q(j, b, l, 0);
      float const* const m = &sites.m(b, l, 0);
      float dot = 0;
#pragma omp simd reduction(+ : dot)
      for (int y = 0; y < states; ++y) dot += m[y] * ln_q[y];
      sum[targets] += dot < impossible ? infinite : sites.own(b, l, 1) - static_cast<double>(dot);
    }
    for (int t = 0; t < terms; ++t) sums(b, j, cell, t) += sum[t];
  }
};

// Sums over trajectories of what blocks between candidates need, in groups of trajectories.
class BlockStatistics {
 public:
  BlockStatistics(int candidates) : C_(static_cast<std::size_t>(candidates)), sums_(groups * C_ * C_ * terms, 0.0) {}

  double& at(std::size_t group, std::size_t start, std::size_t cell, std::size_t term) {
    return sums_[((group * C_ + start) * C_ + cell) * terms + term];
  }
  std::vector<double>& all() { return sums_; }
  std::vector<double> const& all() const { return sums_; }

  /// [terms] of the block between candidates, of one group or (-1) of all.
  std::array<double, terms> block(int from, int to, int group = -1) const {
    std::array<double, terms> sum{};
    for (std::size_t g = 0; g < groups; ++g) {
      if (group >= 0 && g != static_cast<std::size_t>(group)) continue;
      for (auto cell = static_cast<std::size_t>(from); cell < static_cast<std::size_t>(to); ++cell) {
        for (std::size_t t = 0; t < terms; ++t)
          sum[t] += sums_[((g * C_ + static_cast<std::size_t>(from)) * C_ + cell) * terms + t];
      }
    }
    return sum;
  }

 private:
  std::size_t C_;
  std::vector<double> sums_;
};

// Of the mean of numbers that the groups give.
double standard_error(std::vector<double> const& by_group) {
  auto const n = static_cast<double>(by_group.size());
  double const mean = std::accumulate(by_group.begin(), by_group.end(), 0.0) / n;
  double squares = 0;
  for (double const x : by_group) squares += (x - mean) * (x - mean);
  return std::sqrt(squares / (n - 1) / n);
}

// What a block costs a student; `last`: it ends where all masks are revealed.
struct BlockCost {
  bool exponential, forced_last;

  // The best within the bounds of all factors; 1 where no site was left to jump or to wait.
  double phi(std::array<double, terms> const& s) const {
    return s[jumps] == 0 && s[waits] == 0 ? 1 : std::clamp(s[jumps] / s[waits], least_phi, most_phi);
  }
  double operator()(std::array<double, terms> const& s, bool last) const {
    if (!exponential || (last && forced_last) || s[jumps] == 0) return s[targets];
    double const best = phi(s);
    return s[targets] + s[times] - s[jumps] * (1 + std::log(best)) + s[waits] * best;
  }
};

// ---------------------------------------------------------------------------------------------------- optimisers

struct Choice {
  std::vector<int> path;  // 0 = c_0 < ... < c_M = last
  double total;
};

// The candidates of least total cost; no path if all are infinite.
Choice cheapest(std::vector<std::vector<double>> const& cost, int steps) {
  int const last = static_cast<int>(cost.size()) - 1;
  auto const M = static_cast<std::size_t>(steps), C = static_cast<std::size_t>(last);
  std::vector<std::vector<double>> best(M + 1, std::vector<double>(C + 1, infinite));
  std::vector<std::vector<int>> from(M + 1, std::vector<int>(C + 1, -1));
  best[0][0] = 0;
  for (std::size_t k = 1; k <= M; ++k) {
    for (std::size_t to = k; to <= C; ++to) {
      for (std::size_t j = k - 1; j < to; ++j) {
        double const here = best[k - 1][j] + cost[j][to];
        if (!(here < best[k][to])) continue;
        best[k][to] = here;
        from[k][to] = static_cast<int>(j);
      }
    }
  }
  if (from[M][C] < 0) return {{}, infinite};
  std::vector<int> path(M + 1, last);
  for (std::size_t k = M; k > 0; --k) path[k - 1] = from[k][static_cast<std::size_t>(path[k])];
  return {path, best[M][C]};
}

// Cost of blocks between any points of the scale of candidates, by linear interpolation of the sums: of cumulative sums
// in the end, and between neighbouring starts.
class SmoothCost {
 public:
  SmoothCost(BlockStatistics const& statistics, BlockCost const& cost, int candidates)
      : cost_(cost), last_(candidates), cumulative_(static_cast<std::size_t>(candidates)) {
    for (int j = 0; j < candidates; ++j) {
      for (int to = 0; to <= candidates; ++to)
        cumulative_[static_cast<std::size_t>(j)].push_back(to > j ? statistics.block(j, to)
                                                                  : std::array<double, terms>{});
    }
  }
  std::array<double, terms> block(double from, double to) const {
    int const j = std::min(static_cast<int>(from), last_ - 1);
    double const w = from - j;
    auto sum = until(j, to);
    if (w == 0 || j + 1 == last_) return scaled(sum, j + 1 == last_ ? (to - from) / (to - j) : 1);
    // Of the start at j what lies before `from` does not count.
    auto const begun = until(j, from), next = until(j + 1, to);
    for (std::size_t t = 0; t < terms; ++t) sum[t] = (1 - w) * (sum[t] - begun[t]) + w * next[t];
    return sum;
  }
  double operator()(std::vector<double> const& points) const {
    double total = 0;
    for (std::size_t k = 0; k + 1 < points.size(); ++k)
      total += cost_(block(points[k], points[k + 1]), k + 2 == points.size());
    return total;
  }

 private:
  static std::array<double, terms> scaled(std::array<double, terms> sum, double factor) {
    for (double& s : sum) s *= factor;
    return sum;
  }
  std::array<double, terms> until(int j, double to) const {
    auto const& c = cumulative_[static_cast<std::size_t>(j)];
    int const i = std::min(static_cast<int>(to), last_ - 1);
    double const w = to - i;
    auto sum = c[static_cast<std::size_t>(i)];
    auto const& next = c[static_cast<std::size_t>(i) + 1];
    for (std::size_t t = 0; t < terms; ++t) sum[t] += w * (next[t] - sum[t]);
    return sum;
  }
  BlockCost cost_;
  int last_;
  std::vector<std::vector<std::array<double, terms>>> cumulative_;
};

// kappa = C softmax(omega), by gradient descent whose step doubles where it helps and is halved where it does not.
std::vector<double> descend(SmoothCost const& cost, int candidates, int steps) {
  auto const M = static_cast<std::size_t>(steps);
  std::vector<double> omega(M, 0.0);
  auto const points_of = [&](std::vector<double> const& w) {
    double sum = 0, passed = 0;
    for (double const x : w) sum += std::exp(x);
    std::vector<double> points{0};
    for (double const x : w) points.push_back(candidates * (passed += std::exp(x)) / sum);
    points.back() = candidates;
    return points;
  };
  std::vector<double> points = points_of(omega);
  double value = cost(points), rate = 1 / std::max(value, 1e-12);
  for (int iteration = 0; iteration < 2000 && rate > 1e-12; ++iteration) {
    // by the interior points, which enter two blocks each, and from them by omega
    std::vector<double> by_point(M + 1, 0.0), gradient(M, 0.0);
    for (std::size_t k = 1; k < M; ++k) {
      double const width = 1e-4 * std::min(points[k] - points[k - 1], points[k + 1] - points[k]);
      auto up = points, down = points;
      up[k] += width;
      down[k] -= width;
      by_point[k] = (cost(up) - cost(down)) / (2 * width);
    }
    // d point_k / d omega_l = kappa_l ([l < k] - point_k / C)
    for (std::size_t l = 0; l < M; ++l) {
      for (std::size_t k = 1; k < M; ++k)
        gradient[l] += by_point[k] * (points[l + 1] - points[l]) * ((l < k ? 1 : 0) - points[k] / candidates);
    }
    for (;; rate /= 2) {
      auto next = omega;
      for (std::size_t l = 0; l < M; ++l) next[l] -= rate * gradient[l];
      auto const there = points_of(next);
      bool const apart =
          std::adjacent_find(there.begin(), there.end(), [](double a, double b) { return !(b > a); }) == there.end();
      double const here = apart ? cost(there) : infinite;
      if (here < value) {
        omega = next;
        points = there;
        value = here;
        rate *= 2;
        break;
      }
      if (rate < 1e-12) break;
    }
  }
  return points;
}

// Eq. 8 of LSD+ as it stands: kappa_k c(tau_k) = `step` c(t_k), c = alpha/(1 - alpha), the factor that scores of equal
// posteriors have, tau_k = T - kappa_1 - ... - kappa_k; the last step takes what is left.
std::vector<double> literal_times(NoiseSchedule const& noise, double end, int steps, double step) {
  double const from = noise.end();
  auto const c = [&](double t) { return noise.alpha(t) / noise.lost(t); };
  TimeGrid const grid = TimeGrid::uniform(from, end, steps);
  std::vector<double> times{from};
  for (int k = 1; k < steps; ++k) {
    double const start = times.back(), wanted = step * c(grid.point(k));
    double low = 0, high = start - end;  // kappa: the left-hand side grows with it
    for (int i = 0; i < 200; ++i) {
      double const kappa = (low + high) / 2;
      (kappa * c(start - kappa) < wanted ? low : high) = kappa;
    }
    times.push_back(start - low);
    require(times.back() > end && times.back() < start, "the literal objective leaves nothing for step " +
                                                            std::to_string(k) + " of " + std::to_string(steps) +
                                                            "; take objective=girsanov");
  }
  times.push_back(end);
  return times;
}

// ------------------------------------------------------------------------------------------------------ distiller

class LsdPlus final : public Distiller {
 public:
  explicit LsdPlus(Parameters const& parameters) {
    objective_ = parameters.text("objective", "auto");
    if (objective_ == "auto" || objective_ == "girsanov") {
      parameters.allow({"candidates", "estimate", "objective", "optimiser"});
    } else if (objective_ == "elbo") {
      parameters.allow({"candidates", "objective"});
    } else {
      parameters.allow({"objective"});  // closed forms of the noise alone
    }
    candidates_ = parameters.integer("candidates", 0, 0, most_candidates);
    optimiser_ = parameters.text("optimiser", "dp");
    estimate_ = parameters.text("estimate", "auto");
    auto const known = [](std::string const& kind, std::string const& given, std::vector<std::string> const& names) {
      if (std::find(names.begin(), names.end(), given) == names.end())
        throw UserError(unknown_name(kind, given, names));
    };
    known("objective of lsd_plus", objective_, {"auto", "block", "elbo", "girsanov", "literal"});
    known("optimiser of lsd_plus", optimiser_, {"dp", "gradient"});
    known("estimate of lsd_plus", estimate_, {"auto", "paths", "profile"});
  }

  DistillerInfo const& info() const override { return info_; }

  std::string refuses(Process const& process, DistillPlan const& plan) const override {
    Parameters const base = Parameters::parse("base", plan.base);
    if (std::find(info_.bases.begin(), info_.bases.end(), base.name()) == info_.bases.end() ||
        base.text("rule", "first") != "first") {
      return "lsd_plus knows the path KL of euler, exponential, tau_leaping (rule=first) and tweedie, not of '" +
             plan.base + "'; take one of them, or lsd";
    }
    std::string const objective = objective_for(process);
    if (objective == "elbo") {
      if (process.is_masked()) return "lsd_plus with objective=elbo is for processes without a mask; take objective=girsanov, the same without its noise";
      if (estimate_ != "auto" || optimiser_ != "dp")
        return "lsd_plus takes no estimate and no optimiser where there is no mask, unless objective=girsanov";
      return too_many_steps(plan, elbo_candidates(plan));
    }
    if (path_law(plan.base) != StepLaw::exponential && !(process.is_masked() && process.normalised())) {
      return "lsd_plus with the base '" + plan.base + "' and objective=" + objective +
             " needs a masked process with laws of the clean token or normalised scores; take " +
             (process.is_masked() ? "the base exponential, or lsd" : "objective=elbo, or the base exponential");
    }
    if (objective != "girsanov") {
      if (!process.is_masked())
        return "lsd_plus with objective=" + objective + " needs a masked process; take objective=elbo";
      return "";
    }
    StepCoeff const c = process.noise().coefficients({process.noise().end(), plan.end});
    if (path_law(plan.base) != StepLaw::tweedie && !((process.is_masked() ? c.hazard : c.rate) > 0)) {
      return "lsd_plus finds no factor for the first step of '" + plan.base + "', since the rates under the noise " +
             process.noise().describe() + " begin at 0; take the base tweedie";
    }
    if (std::string const why = no_profile(process, plan); estimate_ == "profile" && !why.empty())
      return "lsd_plus with estimate=profile " + why + "; take estimate=paths";
    return too_many_steps(plan, by_profile(process, plan) ? times_by_profile(plan) : candidates(plan, process.generator().states()));
  }

  Schedule distill(ExecSpace const& exec, Process& process, DistillPlan const& plan,
                   DistillHooks const& hooks) const override {
    std::string const why = refuses(process, plan);
    require(why.empty(), why);
    Schedule schedule;
    schedule.base = plan.base;
    schedule.forced_last = process.is_masked() && plan.end == 0;
    auto const M = static_cast<std::size_t>(plan.steps);
    schedule.phi.assign(M, 1.0);
    std::string const objective = objective_for(process);
    if (objective == "elbo") {
      learn_by_elbo(exec, process, plan, hooks, schedule);
    } else if (objective == "girsanov") {
      by_profile(process, plan) ? learn_by_profile(exec, process, plan, hooks, schedule) : learn(exec, process, plan, hooks, schedule);
    } else {
      int const parts = objective == "literal" ? plan.teacher_steps : plan.steps;
      schedule.times = literal_times(process.noise(), plan.end, plan.steps, (process.noise().end() - plan.end) / parts);
    }
    StepLaw const law = path_law(plan.base);
    for (std::size_t k = 0; k < M; ++k) {
      StepCoeff const c = process.noise().coefficients({schedule.times[k], schedule.times[k + 1]});
      bool const forced = schedule.forced_last && k + 1 == M;
      // Phi makes the reveal probability u that of the process.
      if (law == StepLaw::linear && objective == "girsanov" && !forced)
        schedule.phi[k] = c.reveal / (c.duration * c.hazard);
      if (!process.is_masked() || !process.normalised()) continue;
      double const rate = schedule.phi[k] * c.duration * c.hazard;
      schedule.reveal.push_back(forced                        ? 1
                                : law == StepLaw::linear      ? std::min(rate, 1.0)
                                : law == StepLaw::exponential ? -std::expm1(-rate)
                                                              : c.reveal);
    }
    return schedule;
  }

 private:
  void learn(ExecSpace const& exec, Process& process, DistillPlan const& plan, DistillHooks const& hooks,
             Schedule& schedule) const;
  // The same where the cost of a step follows from the information profile: less noise from as many draws, and every time of
  // the teacher's grid.
  void learn_by_profile(ExecSpace const& exec, Process& process, DistillPlan const& plan, DistillHooks const& hooks,
                        Schedule& schedule) const;
  // Without a mask: every jump of a site in a step counts.
  void learn_by_elbo(ExecSpace const& exec, Process& process, DistillPlan const& plan, DistillHooks const& hooks, Schedule& schedule) const;

  std::string objective_for(Process const& process) const {
    return objective_ != "auto" ? objective_ : process.is_masked() ? "girsanov" : "elbo";
  }
  // Empty if so many intervals are enough.
  static std::string too_many_steps(DistillPlan const& plan, int intervals) {
    if (plan.steps <= intervals) return "";
    return "lsd_plus chooses " + std::to_string(plan.steps) + " steps among " + std::to_string(intervals) +
           " intervals of its candidate times; raise candidates (at most " + std::to_string(most_candidates) +
           "), the teacher's steps (" + std::to_string(plan.teacher_steps) + ") and --memory, or take fewer steps";
  }
  // Why costs do not follow from the profile; empty: they do.
  std::string no_profile(Process const& process, DistillPlan const& plan) const {
    if (std::string const why = ProfileDraws::refuses(process); !why.empty()) return "would " + why;
    if (!process.normalised() || path_law(plan.base) == StepLaw::exponential)
      return "would need laws of the clean token, and a base whose factors make its reveals those of the process";
    if (plan.end != 0) return "would need steps that end at t = 0";
    if (optimiser_ != "dp") return "would need optimiser=dp";
    std::size_t const draws = plan.trajectories * static_cast<std::size_t>(std::max(plan.sweeps, 0));
    return draws < 2 * ProfileDraws::groups ? "would need at least " + std::to_string(2 * ProfileDraws::groups) + " trajectories" : "";
  }
  bool by_profile(Process const& process, DistillPlan const& plan) const {
    return estimate_ != "paths" && objective_for(process) == "girsanov" && no_profile(process, plan).empty();
  }
  int times_by_profile(DistillPlan const& plan) const {
    int count = candidates_ > 0 ? std::min(candidates_, plan.teacher_steps) : plan.teacher_steps;
    while (candidates_ == 0 && count / 2 > plan.steps && 16.0 * count * count > static_cast<double>(plan.memory)) count /= 2;
    return count;
  }

  // Of a row of a batch.
  static double bytes(int count, int length, int states) {
    return 4.0 * count * length * states + 8.0 * (2.0 * count * length + 1.5 * length * states + 4.0 * length) +
           8.0 * count * count * static_cast<int>(terms);
  }
  // As many as were asked for; else some for each step (on the countdown in 8 steps four times as many lower the path KL by
  // 1 %, and their statistics grow with the square), fewer where batches of 16 rows would not fit.
  int candidates(DistillPlan const& plan, int states) const {
    int const by_steps = std::min(std::max(candidates_a_step * plan.steps, fewest_by_default), most_candidates);
    int count = std::min(candidates_ > 0 ? candidates_ : by_steps, plan.teacher_steps);
    while (candidates_ == 0 && count > fewest_by_default &&
           16 * bytes(count, plan.length, states) > static_cast<double>(plan.memory)) {
      count = std::max(count / 2, fewest_by_default);
    }
    return count;
  }

  // Statistics grow with the square, and each candidate is an evaluation.
  int elbo_candidates(DistillPlan const& plan) const {
    return candidates_ > 0 ? candidates_ : std::clamp(plan.steps, fewest_by_default, most_candidates);
  }

  int candidates_;  // 0: by the steps and the memory
  std::string objective_, optimiser_, estimate_;
  DistillerInfo info_{.name = "lsd_plus",
                      .summary = "times and factors together: least path KL among times of the teacher's grid; without a mask least evidence bound",
                      .reference = "Fu et al. 2025 (LSD+), arXiv:2509.19962; objective=literal: its Eq. 8; objective=elbo: Watson et al. 2021, arXiv:2106.03802",
                      .bases = {"euler", "exponential", "tau_leaping", "tweedie"}};
};

// Path KL of steps of a masked student that reveals each mask by itself, from the profile h_0, h_1, ... of the model. A step
// from a share s of masks to a share t reveals each with probability u = 1 - t/s; with i sites revealed before it and r in it
// it costs r h_i - (h_i + ... + h_(i+r-1)) (A§9.3). i is binomial, and so is i + r, so that the mean is
//   u B(s) + A(s) - A(t),  A(s) = E (h_0 + ... + h_(i-1)),  B(s) = E (length - i) h_i.
class ProfileCost {
 public:
  ProfileCost(std::vector<double> const& profile, std::vector<double> shares) : shares_(std::move(shares)) {
    auto const L = static_cast<double>(profile.size());
    for (double const s : shares_) {
      double a = 0, b = 0, before = 0;
      for (std::size_t i = 0; i <= profile.size(); ++i) {
        auto const n = static_cast<double>(i);
        double const p = s >= 1 ? (i == 0) : s <= 0 ? (i == profile.size())
                       : std::exp(std::lgamma(L + 1) - std::lgamma(n + 1) - std::lgamma(L - n + 1) + n * std::log1p(-s) + (L - n) * std::log(s));
        a += p * before;
        if (i == profile.size()) break;
        b += p * (L - n) * profile[i];
        before += profile[i];
      }
      a_.push_back(a);
      b_.push_back(b);
    }
  }
  double operator()(std::size_t from, std::size_t to) const {
    return (1 - shares_[to] / shares_[from]) * b_[from] + a_[from] - a_[to];
  }
  double total(std::vector<int> const& path) const {
    double sum = 0;
    for (std::size_t k = 0; k + 1 < path.size(); ++k) sum += (*this)(static_cast<std::size_t>(path[k]), static_cast<std::size_t>(path[k + 1]));
    return sum;
  }

 private:
  std::vector<double> shares_, a_, b_;
};

std::string saved(std::string const& head, std::size_t done, std::vector<double> const& objective,
                  std::vector<double> const& sums) {
  std::string text = head + " " + std::to_string(done) + " " + std::to_string(objective.size());
  save_numbers(text, objective);
  save_numbers(text, sums);
  return text;
}

void restore(std::string const& text, std::string const& head, std::size_t& done, std::vector<double>& objective,
             std::vector<double>& sums) {
  std::vector<double> const all = restore_numbers(text, head, "lsd_plus");
  require_whole(all.size() >= 2 && static_cast<double>(all.size()) == 2 + all[1] + static_cast<double>(sums.size()));
  done = static_cast<std::size_t>(all[0]);
  auto const begin = all.begin() + 2, middle = begin + static_cast<std::ptrdiff_t>(all[1]);
  objective.assign(begin, middle);
  sums.assign(middle, all.end());
}

void LsdPlus::learn_by_profile(ExecSpace const& exec, Process& process, DistillPlan const& plan, DistillHooks const& hooks,
                               Schedule& schedule) const {
  int const count = times_by_profile(plan);
  std::size_t const all = plan.trajectories * static_cast<std::size_t>(plan.sweeps);
  NoiseSchedule const& noise = process.noise();
  TimeGrid const grid = TimeGrid::uniform(noise.end(), plan.end, plan.teacher_steps);
  std::vector<double> times, shares;
  for (int c = 0; c <= count; ++c) {
    times.push_back(grid.point(static_cast<int>(std::int64_t{c} * plan.teacher_steps / count)));
    shares.push_back(c == count ? 0 : noise.lost(times.back()) / noise.lost(noise.end()));
  }
  ProfileDraws draws(plan, all,
                     "lsd_plus profile " + std::to_string(plan.length) + " " + std::to_string(all) + " " + std::to_string(plan.seed));
  std::vector<int> path;
  draws.draw(exec, process, hooks, [&] {
    ProfileCost const by_profile(draws.mean(), shares);
    auto const C = static_cast<std::size_t>(count);
    std::vector<std::vector<double>> cost(C + 1, std::vector<double>(C + 1, infinite));
    for (std::size_t j = 0; j < C; ++j) {
      for (std::size_t to = j + 1; to <= C; ++to) cost[j][to] = by_profile(j, to);
    }
    Choice const choice = cheapest(cost, plan.steps);
    path = choice.path;
    schedule.objective.push_back(choice.total);
    return choice.total;
  });
  schedule.times.clear();
  for (int const c : path) schedule.times.push_back(times[static_cast<std::size_t>(c)]);
  std::vector<int> equal;
  for (int k = 0; k <= plan.steps; ++k) equal.push_back(static_cast<int>(std::int64_t{k} * count / plan.steps));
  double const error = draws.error([&](auto const& profile) { return ProfileCost(profile, shares).total(path); });
  char note[160];
  std::snprintf(note, sizeof note, "path KL by the information profile: %.4g +- %.2g nats a sequence, of steps of equal length %.4g",
                schedule.objective.back(), error, ProfileCost(draws.mean(), shares).total(equal));
  schedule.note = note;
  schedule.trajectories = all;
}

void LsdPlus::learn(ExecSpace const& exec, Process& process, DistillPlan const& plan, DistillHooks const& hooks,
                    Schedule& schedule) const {
  int const N = plan.teacher_steps, length = plan.length, states = process.generator().states(),
            count = candidates(plan, states);
  auto const C = static_cast<std::size_t>(count), L = static_cast<std::size_t>(length),
             S = static_cast<std::size_t>(states);
  require(plan.trajectories >= groups && plan.sweeps >= 1,
          "lsd_plus needs at least " + std::to_string(groups) + " trajectories and a sweep, got " +
              std::to_string(plan.trajectories) + " and " + std::to_string(plan.sweeps));
  TimeGrid const grid = TimeGrid::uniform(process.noise().end(), plan.end, N);
  std::vector<int> begins;
  for (int c = 0; c <= count; ++c) begins.push_back(static_cast<int>(std::int64_t{c} * N / count));
  auto const time_of = [&](int c) { return grid.point(begins[static_cast<std::size_t>(c)]); };

  std::size_t const all = plan.trajectories * static_cast<std::size_t>(plan.sweeps);
  int const batch = rows_that_fit(
      "lsd_plus (" + std::to_string(count) + " candidate times; fewer need less)", bytes(count, length, states),
      plan.memory,
      static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(std::max(plan.batch, 0)), plan.trajectories)));
  auto const B = static_cast<std::size_t>(batch);
  TeacherPaths teacher(exec, process, plan.teacher, grid, length, batch, plan.seed, schedule.forced_last);
  Starts const starts{decltype(Starts::ln_q)("saltus::learnable::lsd_plus::ln_q", C, B, L, S),
                      decltype(Starts::hazard)("saltus::learnable::lsd_plus::hazard", C, B, L),
                      decltype(Starts::ln_hazard)("saltus::learnable::lsd_plus::ln_hazard", C, B, L)};
  SiteStatistics const sites{decltype(SiteStatistics::last)("saltus::learnable::lsd_plus::last", B, L),
                             decltype(SiteStatistics::changed)("saltus::learnable::lsd_plus::changed", B, L),
                             decltype(SiteStatistics::own)("saltus::learnable::lsd_plus::own", B, L, 3),
                             decltype(SiteStatistics::m)("saltus::learnable::lsd_plus::m", B, L, S),
                             decltype(SiteStatistics::alive)("saltus::learnable::lsd_plus::alive", B, L + 1)};
  SiteMasses const masses("saltus::learnable::lsd_plus::masses", B, L, S);
  Kokkos::View<double*** [terms], Kokkos::LayoutRight, MemorySpace> const sums("saltus::learnable::lsd_plus::sums", B,
                                                                               C, C);
  auto const host_sums = Kokkos::create_mirror_view(sums);
  Kokkos::View<int*, MemorySpace> const device_begins("saltus::learnable::lsd_plus::begins", C + 1);
  Kokkos::deep_copy(device_begins, Kokkos::View<int const*, HostSpace, Kokkos::MemoryUnmanaged>(begins.data(), C + 1));

  BlockStatistics statistics(count);
  BlockCost const block_cost{path_law(plan.base) == StepLaw::exponential, schedule.forced_last};
  auto const solve = [&] {
    std::vector<std::vector<double>> cost(C + 1, std::vector<double>(C + 1, infinite));
    for (int j = 0; j < count; ++j) {
      for (int to = j + 1; to <= count; ++to)
        cost[static_cast<std::size_t>(j)][static_cast<std::size_t>(to)] =
            block_cost(statistics.block(j, to), to == count);
    }
    return cheapest(cost, plan.steps);
  };

  std::string const head = "lsd_plus " + std::to_string(count) + " " + std::to_string(N) + " " + std::to_string(all) +
                           " " + std::to_string(plan.seed) + " " + std::to_string(length);
  std::size_t done = 0;
  if (!hooks.resume.empty()) restore(hooks.resume, head, done, schedule.objective, statistics.all());
  while (done < all) {
    std::size_t const sweep = done / plan.trajectories;
    int const rows = static_cast<int>(std::min(B, (sweep + 1) * plan.trajectories - done));
    Kokkos::deep_copy(exec, sums, 0);
    using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>;
    Policy const by_site(exec, 0, std::int64_t{rows} * length);
    int cell = -1;
    teacher.follow(done, rows, [&](State const& state, int i) {
      StepCoeff const& c = teacher.host(i);
      if (i == begins[static_cast<std::size_t>(cell) + 1]) {
        ++cell;
        read_masses(exec, process, state, teacher.step(i), 0, block_cost.exponential ? Mass::rates : Mass::transitions,
                    masses);
        Kokkos::parallel_for("saltus::learnable::lsd_plus::start", by_site,
                             StartKernel{starts, masses, cell, length, states, c.duration});
      }
      read_masses(exec, process, state, teacher.step(i), 0, mass_of(teacher.law()), masses);
      Kokkos::parallel_for("saltus::learnable::lsd_plus::sites", by_site,
                           SiteKernel{sites, masses, state.tokens, i, length, states,
                                      teacher.law() == StepLaw::exponential, c.forced, c.duration});
      Kokkos::parallel_for("saltus::learnable::lsd_plus::alive",
                           Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, rows),
                           AliveKernel{sites, length, process.is_masked()});
      Kokkos::parallel_for("saltus::learnable::lsd_plus::terms", Policy(exec, 0, std::int64_t{rows} * (cell + 1)),
                           TermKernel{starts, sites, sums, device_begins, cell + 1, cell, states, c.duration});
    });
    Kokkos::deep_copy(exec, host_sums, sums);
    exec.fence("saltus::learnable: statistics of blocks are summed on the host");
    for (std::size_t b = 0; b < static_cast<std::size_t>(rows); ++b) {
      std::size_t const group = (done + b) * groups / all;
      for (std::size_t at = 0; at < C; ++at) {
        for (std::size_t j = 0; j <= at; ++j) {
          bool const fine = std::isfinite(host_sums(b, j, at, jumps)) && std::isfinite(host_sums(b, j, at, waits)) &&
                            !std::isnan(host_sums(b, j, at, targets));
          if (!fine) {
            throw NumericalError(
                "the statistics of lsd_plus are not finite between t = " + to_text(time_of(static_cast<int>(at))) +
                " and t = " + to_text(time_of(static_cast<int>(at) + 1)) + " (steps from " +
                std::to_string(begins[at]) + " of the teacher), trajectory " + std::to_string(done + b));
          }
          for (std::size_t t = 0; t < terms; ++t) statistics.at(group, j, at, t) += host_sums(b, j, at, t);
        }
      }
    }
    done += static_cast<std::size_t>(rows);
    bool const swept = done % plan.trajectories == 0;
    if (swept) schedule.objective.push_back(solve().total / static_cast<double>(done));
    if (hooks.progress) {
      hooks.progress(static_cast<double>(done) / static_cast<double>(all),
                     schedule.objective.empty() ? NAN : schedule.objective.back());
    }
    if (hooks.save) hooks.save(saved(head, done, schedule.objective, statistics.all()));
  }

  auto const [path, total] = solve();
  if (path.empty() || !std::isfinite(total)) {
    throw NumericalError(
        "every choice of " + std::to_string(plan.steps) +
        " steps has an infinite path KL: the model gives "
        "probability 0 to tokens that it gives some later. If it does so where the teacher made an impossible "
        "sequence, take the teacher first_hitting, which makes none");
  }
  schedule.times.clear();
  schedule.phi_error.assign(schedule.phi.size(), 0.0);
  auto const scale = static_cast<double>(all);
  std::vector<double> points(path.begin(), path.end());
  SmoothCost const smooth(statistics, block_cost, count);
  if (optimiser_ == "gradient") {
    points = descend(smooth, count, plan.steps);
    schedule.objective.back() = smooth(points) / scale;
  }
  for (double const p : points) {
    int const c = std::min(static_cast<int>(p), count - 1);
    schedule.times.push_back(time_of(c) + (p - c) * (time_of(c + 1) - time_of(c)));
  }
  schedule.times.front() = grid.point(0);
  schedule.times.back() = plan.end;
  for (std::size_t k = 0; block_cost.exponential && k + 1 < points.size(); ++k) {
    if (schedule.forced_last && k + 2 == points.size()) continue;
    schedule.phi[k] = block_cost.phi(smooth.block(points[k], points[k + 1]));
    // By the spread between groups, at the nearest candidates.
    int const from = static_cast<int>(std::lround(points[k])), to = static_cast<int>(std::lround(points[k + 1]));
    std::vector<double> spread;
    for (std::size_t g = 0; g < groups; ++g)
      spread.push_back(block_cost.phi(statistics.block(from, std::max(to, from + 1), static_cast<int>(g))));
    schedule.phi_error[k] = standard_error(spread);
  }
  std::vector<double> equal;
  for (int k = 0; k <= plan.steps; ++k) equal.push_back(static_cast<double>(k) * count / plan.steps);
  char note[160];
  // A site may jump again, which a student of one jump a step cannot do: the sum of what is compared knows nothing of it.
  char const* const only_first = process.is_masked() ? "" : "; without a mask only the first jump of a site in a step is compared, which makes long steps look cheap";
  std::snprintf(note, sizeof note, "path KL on the paths learned from: %.4g nats a sequence, of steps of equal length %.4g",
                schedule.objective.back(), smooth(equal) / scale);
  schedule.note = std::string(note) + only_first;
  schedule.trajectories = all;
}

void LsdPlus::learn_by_elbo(ExecSpace const& exec, Process& process, DistillPlan const& plan, DistillHooks const& hooks, Schedule& schedule) const {
  std::size_t const all = plan.trajectories * static_cast<std::size_t>(std::max(plan.sweeps, 0));
  require(all >= groups, "lsd_plus needs at least " + std::to_string(groups) + " trajectories, got " + std::to_string(all));
  // Times alone. Factors that are best on the teacher's states misjudge those of the student: a network jumps to mend what is wrong,
  // of which the student's states have more.
  //
  // Equally spaced in the root of the share of tokens that are lost, whatever the clock of the noise: dense near the data,
  // where steps are short. And the times of equal steps, to hold the choice against.
  NoiseSchedule const& noise = process.noise();
  int const spaced = elbo_candidates(plan);
  TimeGrid const equal = TimeGrid::uniform(noise.end(), plan.end, plan.steps);
  std::vector<double> times(equal.points().begin(), equal.points().end());
  double const most = std::sqrt(noise.lost(noise.end())), fewest = std::sqrt(noise.lost(plan.end));
  for (int c = 1; c < spaced; ++c) times.push_back(noise.time_at_lost(std::pow(most + (fewest - most) * c / spaced, 2)));
  std::sort(times.begin(), times.end(), std::greater<>());
  times.erase(std::unique(times.begin(), times.end(), [&](double a, double b) { return a - b <= 1e-9 * noise.end(); }), times.end());
  times.back() = plan.end;
  int const count = static_cast<int>(times.size()) - 1;
  auto const C = static_cast<std::size_t>(count);
  ElboCosts costs(exec, process, plan, times, all);

  // The choice, and what the best one of any number of steps costs, which the objective is held against.
  auto const solve = [&] {
    std::vector<std::vector<double>> cost(C + 1, std::vector<double>(C + 1, infinite));
    for (int j = 0; j < count; ++j) {
      for (int to = j + 1; to <= count; ++to) cost[static_cast<std::size_t>(j)][static_cast<std::size_t>(to)] = costs(j, to);
    }
    std::vector<double> least(C + 1, infinite);
    least[0] = 0;
    for (std::size_t to = 1; to <= C; ++to) {
      for (std::size_t j = 0; j < to; ++j) least[to] = std::min(least[to], least[j] + cost[j][to]);
    }
    return std::make_pair(cheapest(cost, plan.steps), least[C]);
  };

  std::string const head = "lsd_plus elbo " + std::to_string(count) + " " + std::to_string(plan.teacher_steps) + " " + std::to_string(all) + " " +
                           std::to_string(plan.seed) + " " + std::to_string(plan.length);
  std::size_t done = 0;
  if (!hooks.resume.empty()) restore(hooks.resume, head, done, schedule.objective, costs.sums());
  while (done < all) {
    done += costs.add(done, (done / plan.trajectories + 1) * plan.trajectories);
    bool const swept = done % plan.trajectories == 0;
    if (swept) {
      auto const [choice, least] = solve();
      schedule.objective.push_back((choice.total - least) / static_cast<double>(done));
    }
    if (hooks.progress)
      hooks.progress(static_cast<double>(done) / static_cast<double>(all), schedule.objective.empty() ? NAN : schedule.objective.back());
    if (hooks.save && swept) hooks.save(saved(head, done, schedule.objective, costs.sums()));
  }
  auto const [choice, least] = solve();
  auto const& path = choice.path;
  if (path.empty()) {
    throw NumericalError("every choice of " + std::to_string(plan.steps) + " steps has an infinite evidence bound: the model gives probability 0 to tokens that the teacher drew");
  }
  schedule.times.clear();
  for (int const c : path) schedule.times.push_back(times[static_cast<std::size_t>(c)]);
  std::vector<int> plain;  // the choice of equal steps
  for (double const t : equal.points()) {
    auto const nearest = std::min_element(times.begin(), times.end(), [&](double a, double b) { return std::abs(a - t) < std::abs(b - t); });
    plain.push_back(static_cast<int>(nearest - times.begin()));
  }
  auto const over = [&](std::vector<int> const& points, int group = -1) {
    double sum = 0;
    for (std::size_t k = 0; k + 1 < points.size(); ++k) sum += costs(points[k], points[k + 1], group);
    return sum;
  };
  std::vector<double> gains;
  auto const scale = static_cast<double>(all);
  for (int g = 0; g < ElboCosts::groups; ++g) gains.push_back((over(plain, g) - over(path, g)) * ElboCosts::groups / scale);
  char note[240];
  std::snprintf(note, sizeof note,
                "evidence bound of tweedie at these times: %.4g nats a sequence above the best of any number of steps, of steps of equal length %.4g "
                "(difference %.4g +- %.2g)",
                (choice.total - least) / scale, (over(plain) - least) / scale, (over(plain) - choice.total) / scale, standard_error(gains));
  schedule.note = note;
  schedule.trajectories = all;
}

}  // namespace

std::unique_ptr<Distiller> make_lsd_plus(Parameters const& parameters) { return std::make_unique<LsdPlus>(parameters); }

}  // namespace saltus
