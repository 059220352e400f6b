// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/path_kl.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include <saltus/ctmc/error.hpp>
#include <saltus/learnable/scheduled.hpp>

namespace saltus {
namespace {

using SiteNumbers = Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace>;  // [batch, length]

// What the kernels keep of the sites of a batch.
struct Sites {
  Tokens start;          // tokens at the start of the student's step
  SiteMasses targets;    // [batch, length, states]: ln q
  SiteNumbers strength;  // the student's: probability of a jump, or hazard times duration if the hazard is constant
  SiteNumbers discretisation, factorisation;  // sums
  Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace> moved,
      bad;  // since the start; fine step + 1 that is not finite
};

KOKKOS_INLINE_FUNCTION double jump_probability(StepLaw law, double mass, bool forced) {
  if (forced) return mass > 0 ? 1 : mass;
  if (law == StepLaw::exponential) return -Kokkos::expm1(-mass);
  return mass > 1 ? 1 : mass;
}

// A step of the student begins: its masses, which lie in `targets`, become ln q.
struct StartKernel {
  Sites sites;
  Tokens tokens;
  int length, states, j;
  StepLaw law;
  bool forced, constant_hazard;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    double* const row = &sites.targets(b, l, 0);
    double mass = 0;
    for (int y = 0; y < states; ++y) mass += row[y];
    sites.start(b, l) = tokens(b, l);
    sites.moved(b, l) = 0;
    sites.strength(b, l) = constant_hazard ? mass : jump_probability(law, mass, forced);
    if (!Kokkos::isfinite(mass) && sites.bad(b, l) == 0) sites.bad(b, l) = j + 1;
    if (!(mass > 0)) return;
    double const ln_mass = Kokkos::log(mass);
    for (int y = 0; y < states; ++y) row[y] = Kokkos::log(row[y]) - ln_mass;
  }
};

// p ln(p/q); 0 ln 0 = 0.
KOKKOS_INLINE_FUNCTION double divergence_term(double p, double q) { return p > 0 ? p * Kokkos::log(p / q) : 0; }

// A fine step of the teacher, before it is taken.
struct TermKernel {
  Sites sites;
  SiteMasses masses;
  Tokens tokens;
  int length, states, j;
  StepLaw law;
  bool forced, constant_hazard;
  double before,
      after;  // share of the student's jump that has passed before and after; constant hazard: of its duration

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    if (tokens(b, l) != sites.start(b, l)) sites.moved(b, l) = 1;
    if (sites.moved(b, l)) return;
    double const* const m = &masses(b, l, 0);
    double mass = 0;
    for (int y = 0; y < states; ++y) mass += m[y];
    if (!Kokkos::isfinite(mass) && sites.bad(b, l) == 0) sites.bad(b, l) = j + 1;
    double jump = jump_probability(law, mass, forced);
    if (jump > 1 - 1e-12) jump = 1;  // of rounding
    double const strength = sites.strength(b, l);
    double const student = constant_hazard ? -Kokkos::expm1(-strength * (after - before))
                                           : strength * (after - before) / (1 - strength * before);
    sites.discretisation(b, l) += divergence_term(jump, student) + divergence_term(1 - jump, 1 - student);
    if (!(mass > 0)) return;
    double const* const ln_q = &sites.targets(b, l, 0);
    double const ln_mass = Kokkos::log(mass);
    double sum = 0;
    for (int y = 0; y < states; ++y) sum += m[y] > 0 ? m[y] * (Kokkos::log(m[y]) - ln_mass - ln_q[y]) : 0;
    sites.factorisation(b, l) += jump / mass * sum;
  }
};

// The times of all schedules and `steps` uniform steps together, falling; a uniform point that is next to a time of a schedule is
// that time.
std::vector<double> fine_points(std::vector<Schedule> const& schedules, int steps) {
  double const from = schedules.front().times.front(), to = schedules.front().times.back(), close = 1e-9 * (from - to);
  std::vector<double> points;
  for (Schedule const& schedule : schedules) points.insert(points.end(), schedule.times.begin(), schedule.times.end());
  std::size_t const own = points.size();
  TimeGrid const uniform = TimeGrid::uniform(from, to, steps);
  for (int j = 1; j < steps; ++j) {
    double const t = uniform.point(j);
    if (std::none_of(points.begin(), points.begin() + static_cast<std::ptrdiff_t>(own), [&](double time) { return std::abs(time - t) <= close; }))
      points.push_back(t);
  }
  std::sort(points.begin(), points.end(), std::greater<>());
  points.erase(std::unique(points.begin(), points.end()), points.end());
  return points;
}

// Of each fine step, the step of a student with these times that it lies in.
std::vector<int> owners(std::vector<double> const& points, std::vector<double> const& times) {
  std::vector<int> owner;
  for (std::size_t j = 0, k = 0; j + 1 < points.size(); ++j) {
    while (points[j] <= times[k + 1]) ++k;
    owner.push_back(static_cast<int>(k));
  }
  return owner;
}

// Share of the jump of the student's step that has passed at every fine point: [fine steps, before and after].
std::vector<std::pair<double, double>> shares_of(TeacherPaths const& teacher, std::vector<double> const& points, std::vector<int> const& owner, bool masked) {
  std::size_t const n = owner.size();
  std::vector<std::pair<double, double>> shares(n);
  for (std::size_t begin = 0, end = 0; begin < n; begin = end) {
    double passed = 0;
    for (end = begin; end < n && owner[end] == owner[begin]; ++end) {
      StepCoeff const& c = teacher.host(static_cast<int>(end));
      shares[end].first = passed;
      passed += masked ? (1 - passed) * (c.forced ? 1 : c.reveal) : c.delta;
      shares[end].second = passed;
    }
    require(std::isfinite(passed) && passed > 0, "between t = " + to_text(points[begin]) +
                                                     " and t = " + to_text(points[end]) + " the noise passes " +
                                                     to_text(passed) +
                                                     "; a path KL needs steps in which it passes some, and not all");
    for (std::size_t j = begin; j < end; ++j) {
      shares[j].first /= passed;
      shares[j].second /= passed;
    }
    shares[end - 1].second = 1;
  }
  return shares;
}

// One of the schedules that are compared with the teacher.
struct Student {
  std::vector<StepLaw> laws;  // of its steps
  std::vector<int> owner;     // of each fine step
  std::vector<std::pair<double, double>> shares;
  StepTable steps;
  std::optional<StateSteps> by_state;
  Sites sites;
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace>::HostMirror discretisation, factorisation;
  PathKl sum{};  // means, and in `error` the sum of squares about them
};

void require_finite(Student const& student, std::vector<double> const& points, int rows, int length, std::uint64_t first) {
  auto const bad = Kokkos::create_mirror_view_and_copy(HostSpace(), student.sites.bad);
  for (int b = 0; b < rows; ++b) {
    for (int l = 0; l < length; ++l) {
      int const j = bad(b, l) - 1;
      if (j < 0) continue;
      throw NumericalError(
          "the statistics of the path KL are not finite at t = " + to_text(points[static_cast<std::size_t>(j)]) +
          " (step " + std::to_string(student.owner[static_cast<std::size_t>(j)]) + " of the schedule), trajectory " +
          std::to_string(first + static_cast<std::uint64_t>(b)) + ", site " + std::to_string(l));
    }
  }
}

std::vector<StepLaw> laws_of(Schedule const& schedule) {
  std::vector<StepLaw> laws;
  for (int k = 0; k < schedule.steps(); ++k) {
    auto const& base = schedule.bases.empty() ? schedule.base : schedule.bases[static_cast<std::size_t>(k)];
    laws.push_back(path_law(base));
    require(laws.back() != StepLaw::two_stage,
            "the path KL of '" + base +
                "' is not known: its steps have two evaluations; on an enumerable model compare outputs");
  }
  return laws;
}

PathKl finished(PathKl sum, std::size_t trajectories) {
  auto const n = static_cast<double>(trajectories);
  // A path that the student misses is infinite, and so then is everything.
  constexpr double infinite = Kokkos::Experimental::infinity_v<double>;
  if (!std::isfinite(sum.discretisation)) sum.discretisation = infinite;
  if (!std::isfinite(sum.factorisation)) sum.factorisation = infinite;
  if (!std::isfinite(sum.value)) return {infinite, infinite, sum.discretisation, sum.factorisation};
  sum.error = std::sqrt(sum.error / (n - 1) / n);
  return sum;
}

}  // namespace

PathKl path_kl(ExecSpace const& exec, Process& process, Schedule const& schedule, TeacherPlan const& plan) {
  return path_kls(exec, process, {schedule}, plan)[0];
}

std::vector<PathKl> path_kls(ExecSpace const& exec, Process& process, std::vector<Schedule> const& schedules, TeacherPlan const& plan) {
  SALTUS_ASSERT(!schedules.empty());
  Schedule const& one = schedules.front();
  for (Schedule const& schedule : schedules) {
    require(schedule.steps() >= 1, "a path KL needs a schedule of at least 1 step");
    require(schedule.times.front() == one.times.front() && schedule.times.back() == one.times.back() && schedule.forced_last == one.forced_last,
            "schedules whose path KLs are computed together must begin and end alike");
  }
  require(plan.trajectories >= 2, "a path KL needs at least 2 trajectories, got " + std::to_string(plan.trajectories));
  require(plan.steps >= 1, "a teacher needs at least 1 step, got " + std::to_string(plan.steps));
  std::vector<std::vector<StepLaw>> laws;
  for (Schedule const& schedule : schedules) laws.push_back(laws_of(schedule));
  bool const masked = process.is_masked(), forced_last = masked && one.forced_last;
  std::vector<double> const points = fine_points(schedules, plan.steps);
  int const length = plan.length, states = process.generator().states();
  auto const L = static_cast<std::size_t>(length), S = static_cast<std::size_t>(states);
  auto const students_count = static_cast<double>(schedules.size());
  int const batch = rows_that_fit(
      "the path KL", 8.0 * (1 + students_count) * length * states + 48.0 * students_count * length, plan.memory,
      static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(std::max(plan.batch, 0)), plan.trajectories)));
  auto const B = static_cast<std::size_t>(batch);
  TeacherPaths teacher(exec, process, plan.integrator, TimeGrid::from_points(points), length, batch, plan.seed, forced_last);
  std::vector<Student> students;
  for (std::size_t i = 0; i < schedules.size(); ++i) {
    Schedule const& schedule = schedules[i];
    auto owner = owners(points, schedule.times);
    auto shares = shares_of(teacher, points, owner, masked);
    std::optional<StateSteps> by_state;
    if (schedule.state) by_state.emplace(schedule).allocate(batch, length);
    Sites const sites{Tokens("saltus::learnable::path_kl::start", B, L),
                      SiteMasses("saltus::learnable::path_kl::targets", B, L, S),
                      SiteNumbers("saltus::learnable::path_kl::strength", B, L),
                      SiteNumbers("saltus::learnable::path_kl::discretisation", B, L),
                      SiteNumbers("saltus::learnable::path_kl::factorisation", B, L),
                      Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace>("saltus::learnable::path_kl::moved", B, L),
                      Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace>("saltus::learnable::path_kl::bad", B, L)};
    students.push_back({laws[i], std::move(owner), std::move(shares),
                        StepTable(exec, process, TimeGrid::from_points(schedule.times),
                                  StepOptions{.phi = schedule.phi, .power = schedule.power, .forced_last = forced_last}),
                        std::move(by_state), sites, Kokkos::create_mirror_view(sites.discretisation), Kokkos::create_mirror_view(sites.factorisation)});
  }
  SiteMasses const masses("saltus::learnable::path_kl::masses", B, L, S);

  for (std::size_t first = 0; first < plan.trajectories; first += B) {
    int const rows = static_cast<int>(std::min(B, plan.trajectories - first));
    for (Student const& student : students) {
      Kokkos::deep_copy(exec, student.sites.discretisation, 0);
      Kokkos::deep_copy(exec, student.sites.factorisation, 0);
    }
    using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>;
    Policy const policy(exec, 0, std::int64_t{rows} * length);
    teacher.follow(first, rows, [&](State const& state, int j) {
      auto const at = static_cast<std::size_t>(j);
      read_masses(exec, process, state, teacher.step(j), 0, mass_of(teacher.law()), masses);
      for (Student const& student : students) {
        int const k = student.owner[at];
        StepLaw const law = student.laws[static_cast<std::size_t>(k)];
        StepCoeff const& c = student.steps.host(k);
        bool const constant_hazard = law == StepLaw::exponential && !c.forced;
        if (j == 0 || student.owner[at - 1] != k) {
          Step const step = student.by_state ? (*student.by_state)(exec, process, state, student.steps.step(k)) : student.steps.step(k);
          read_masses(exec, process, state, step, 0, mass_of(law), student.sites.targets);
          Kokkos::parallel_for("saltus::learnable::path_kl::start", policy,
                               StartKernel{student.sites, state.tokens, length, states, j, law, c.forced, constant_hazard});
        }
        auto const [before, after] = constant_hazard ? std::make_pair((c.from - points[at]) / c.duration, (c.from - points[at + 1]) / c.duration)
                                                     : student.shares[at];
        Kokkos::parallel_for("saltus::learnable::path_kl::terms", policy,
                             TermKernel{student.sites, masses, state.tokens, length, states, j, teacher.law(),
                                        teacher.host(j).forced, constant_hazard, before, after});
      }
    });
    for (Student& student : students) {
      require_finite(student, points, rows, length, first);
      Kokkos::deep_copy(exec, student.discretisation, student.sites.discretisation);
      Kokkos::deep_copy(exec, student.factorisation, student.sites.factorisation);
      exec.fence("saltus::learnable: the path KL is averaged on the host");
      for (int b = 0; b < rows; ++b) {
        double discretisation = 0, factorisation = 0;
        for (int l = 0; l < length; ++l) {
          discretisation += student.discretisation(b, l);
          factorisation += student.factorisation(b, l);
        }
        PathKl& sum = student.sum;
        auto const n = static_cast<double>(first + static_cast<std::size_t>(b) + 1);
        double const value = discretisation + factorisation, off = value - sum.value;
        sum.discretisation += (discretisation - sum.discretisation) / n;
        sum.factorisation += (factorisation - sum.factorisation) / n;
        sum.value += off / n;
        sum.error += off * (value - sum.value);
      }
    }
  }
  std::vector<PathKl> found;
  for (Student const& student : students) found.push_back(finished(student.sum, plan.trajectories));
  return found;
}

}  // namespace saltus
