// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/block_sweep.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>

namespace saltus {
namespace {

using Index = Kokkos::IndexType<std::int64_t>;
using SiteFlags = Kokkos::View<std::uint8_t**, Kokkos::LayoutRight, MemorySpace>;  ///< [batch, length]

// What the probabilities of the teacher's steps are added up to.
enum class Counting {
  first_jump,  // sites that have changed count no more
  all_jumps,   // as distances, between states that are numbers
  outcome      // where the site is at the end of the block, from the law of the last step
};

// Adds what the teacher's next step may do.
struct AddStep {
  Tokens start, now;
  SiteProbabilities laws;
  SiteMasses sums;
  SiteFlags alive;
  SiteNumbers exposure;
  double share;  // of the block that this step takes
  token_t mask;  // -1: none
  int length, states;
  Counting counting;
  bool first, last;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    token_t const origin = start(b, l), own = now(b, l);
    double* const out = &sums(b, l, 0);
    if (first) {
      for (int y = 0; y < states; ++y) out[y] = 0;
      exposure(b, l) = 0;
      alive(b, l) = mask < 0 || own == mask;
    } else if (counting == Counting::first_jump && own != origin) {
      alive(b, l) = 0;
    }
    if (!alive(b, l)) return;
    if (counting == Counting::outcome) {
      for (int y = 0; last && y < states; ++y) out[y] = y == origin ? 0 : laws(item, y);
      return;
    }
    double jump = 0;
    for (int y = 0; y < states; ++y) {
      if (y == own) continue;
      double const p = laws(item, y);
      jump += p;
      int const target = y + (counting == Counting::all_jumps ? origin - own : 0);
      out[target < 0 ? 0 : target < states ? target : states - 1] += p;
    }
    exposure(b, l) += share * (1 - jump / 2);  // on average half of the step, if it jumps in it
  }
};

// B of two stages from the masses of each.
struct CombineStages {
  SiteMasses first, second;
  SiteNumbers first_total, second_total;
  int length, states;
  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    double u1 = 0, u2 = 0;
    for (int y = 0; y < states; ++y) {
      u1 += first(b, l, y);
      u2 += second(b, l, y);
    }
    first_total(b, l) = u1;
    second_total(b, l) = u2;
    double const left = u1 < 1 ? 1 - u1 : 0;
    for (int y = 0; y < states; ++y) first(b, l, y) += left * second(b, l, y);
  }
};

struct TotalMasses {
  SiteMasses masses;
  SiteNumbers total;
  int length, states;
  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    double sum = 0;
    for (int y = 0; y < states; ++y) sum += masses(b, l, y);
    total(b, l) = sum;
  }
};

struct ScaleMasses {
  SiteMasses masses;
  SiteNumbers factor;
  int length, states;
  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    for (int y = 0; y < states; ++y) masses(b, l, y) *= factor(b, l);
  }
};

struct SumSites {
  Tokens start;
  SiteMasses teacher, student;
  SiteNumbers first, second;  // two_stage
  Kokkos::View<BlockSums*, MemorySpace> out;
  int length, states;
  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    token_t const own = start(b, l);
    BlockSums s;
    for (int y = 0; y < states; ++y) {
      double const t = teacher(b, l, y), m = student(b, l, y);
      s.teacher += t;
      if (y == own) continue;
      s.student += m;
      s.teacher_squared += t * t;
      s.product += t * m;
      s.student_squared += m * m;
      if (!(t > 0)) continue;
      double const log = Kokkos::log(t / m);  // infinite for m = 0
      s.divergence += t * log;
      if (m > 0) {
        s.logarithms += log;
        s.entries += 1;
      }
    }
    if (second.size() != 0) s.both = first(b, l) * second(b, l);
    out(item) = s;
  }
};

struct NumberSites {
  Kokkos::View<std::int64_t*, Kokkos::LayoutRight, MemorySpace> sites;
  KOKKOS_FUNCTION void operator()(std::int64_t i) const { sites(i) = i; }
};

struct SetTime {
  Times time;
  double t;
  KOKKOS_FUNCTION void operator()(int b) const { time(b) = t; }
};

// Clamps that were counted since the counters were last zeroed.
std::int64_t read_clamps(ExecSpace const& exec, CounterView const& counters, CounterView::HostMirror const& host, int k,
                         char const* who) {
  Kokkos::deep_copy(exec, host, counters);
  exec.fence("saltus::learnable: counters of a step are read on the host");
  std::int64_t clamps = 0;
  for (std::size_t i = 0; i < host.extent(0); ++i) {
    if (host(i).bad_scores > 0)
      throw NumericalError("scores are not finite or leave no target in step " + std::to_string(k) + " of the " + who +
                           " (counted from 0); check the model's output at that time");
    clamps += host(i).clamps;
  }
  return clamps;
}

std::size_t number(int n) { return static_cast<std::size_t>(n); }

}  // namespace

void set_time(ExecSpace const& exec, State const& state, double t) {
  Kokkos::parallel_for("saltus::learnable::time",
                       Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, state.batch()),
                       SetTime{state.time, t});
}

void scale_sites(ExecSpace const& exec, SiteMasses const& masses, SiteNumbers const& factors) {
  int const length = static_cast<int>(masses.extent(1)), states = static_cast<int>(masses.extent(2));
  Kokkos::parallel_for(
      "saltus::learnable::scale",
      Kokkos::RangePolicy<ExecSpace, Index>(exec, 0, static_cast<std::int64_t>(masses.extent(0)) * length),
      ScaleMasses{masses, factors, length, states});
}

SumRows::SumRows(std::size_t rows, std::size_t length)
    : sums_("saltus::learnable::sums", rows * length), host_(Kokkos::create_mirror_view(sums_)) {}

void SumRows::operator()(ExecSpace const& exec, Tokens const& own, SiteMasses const& teacher, SiteMasses const& student,
                         SiteNumbers const& first, SiteNumbers const& second, std::span<BlockSums> out) const {
  std::size_t const length = own.extent(1);
  Kokkos::parallel_for("saltus::learnable::sums",
                       Kokkos::RangePolicy<ExecSpace, Index>(exec, 0, static_cast<std::int64_t>(out.size() * length)),
                       SumSites{own, teacher, student, first, second, sums_, static_cast<int>(length),
                                static_cast<int>(student.extent(2))});
  Kokkos::deep_copy(exec, host_, sums_);
  exec.fence("saltus::learnable: sums of a batch are read on the host");
  for (std::size_t b = 0; b < out.size(); ++b) {
    out[b] = {};
    for (std::size_t l = 0; l < length; ++l) out[b] += host_(b * length + l);
  }
}

RatioMean ratio_mean(std::vector<double> const& numerators, std::vector<double> const& denominators, RatioMean none) {
  double above = 0, below = 0;
  for (double const v : numerators) above += v;
  for (double const v : denominators) below += v;
  double const nothing = std::numeric_limits<double>::quiet_NaN();
  if (!(below > 0)) return none;
  double const ratio = above / below;
  double squares = 0;
  for (std::size_t i = 0; i < numerators.size(); ++i) {
    double const rest = numerators[i] - ratio * denominators[i];
    squares += rest * rest;
  }
  auto const n = static_cast<double>(numerators.size());
  return {ratio, n > 1 ? std::sqrt(squares * n / (n - 1)) / below : nothing};
}

double divergence(BlockSweep const& sweep, BlockSums const& s, double phi) {
  double scale = 1;  // of B at these factors to B as it was measured
  if (sweep.linear()) {
    scale = phi;
  } else if (sweep.law() == StepLaw::two_stage && s.student > 0) {
    scale = phi * (s.student + s.both - phi * s.both) / s.student;
  }
  return s.divergence - (s.teacher > 0 ? s.teacher * std::log(scale) : 0) - s.teacher + scale * s.student;
}

struct BlockSweep::Work {
  ExecSpace exec;
  Process& process;
  DistillPlan plan;
  Policy policy;
  StepLaw law;
  bool masked, forced_last;
  Counting counting;
  int ratio;  // steps of the teacher in one of the student
  std::unique_ptr<Integrator> teacher, student;
  TimeGrid fine, grid;
  StepTable teacher_table;
  std::size_t rows;  // of a batch
  std::uint64_t first_sample = 0;
  StreamKey student_key, teacher_key;

  Tokens all;  // [trajectories, length]
  Tokens moving;
  Times time;
  Kokkos::View<std::int64_t*, Kokkos::LayoutRight, MemorySpace> sites;
  SiteProbabilities laws;
  SiteMasses sums, masses, second;
  SiteFlags alive;
  SiteNumbers exposure, first_total, second_total;
  std::optional<SumRows> sum_rows;
  CounterView counters;
  CounterView::HostMirror host_counters;
  std::vector<double> first_mass, second_mass;  // [trajectories x length] of the block measured last, at phi = 1

  static std::vector<double> student_points(TimeGrid const& fine, int ratio) {
    std::vector<double> points;
    for (int j = 0; j <= fine.steps(); j += ratio) points.push_back(fine.point(j));
    return points;
  }
  static StepOptions options(Integrator const& integrator, Process const& process, bool forced) {
    StepOptions options = step_options(integrator, process);
    options.forced_last = forced;
    return options;
  }

  Work(ExecSpace const& on, Process& p, DistillPlan const& asked, Policy policy_)
      : exec(on),
        process(p),
        plan(asked),
        policy(policy_),
        law(step_law(plan.base)),
        masked(p.is_masked()),
        forced_last(masked && plan.end == 0),
        counting(plan.base.starts_with("tau_leaping") && law == StepLaw::linear ? Counting::all_jumps
                 : law == StepLaw::tweedie && !masked                           ? Counting::outcome
                                                                                : Counting::first_jump),
        ratio(plan.teacher_steps / plan.steps),
        teacher(make_integrator(plan.teacher, p)),
        student(make_integrator(plan.base, p)),
        fine(TimeGrid::uniform(p.noise().end(), plan.end, plan.teacher_steps)),
        grid(TimeGrid::from_points(student_points(fine, ratio))),
        teacher_table(on, p, fine, options(*teacher, p, forced_last)) {
    std::size_t const length = number(plan.length), states = number(p.generator().states());
    std::size_t const arrays = law == StepLaw::two_stage ? 4 : 3;
    rows = std::clamp<std::size_t>(plan.memory / (arrays * length * states * sizeof(double)), 1,
                                   std::min(number(plan.batch), plan.trajectories));
    Extents const extents{static_cast<int>(rows), plan.length};
    process.reserve(extents, std::max(student->info().slots, 1));
    all = Tokens("saltus::learnable::trajectories", plan.trajectories, length);
    moving = Tokens("saltus::learnable::moving", rows, length);
    time = Times("saltus::learnable::time", rows);
    sites = decltype(sites)("saltus::learnable::sites", rows * length);
    launch("saltus::learnable::sites", rows, NumberSites{sites});
    laws = SiteProbabilities("saltus::learnable::laws", rows * length, states);
    sums = SiteMasses("saltus::learnable::teacher", rows, length, states);
    masses = SiteMasses("saltus::learnable::student", rows, length, states);
    alive = SiteFlags("saltus::learnable::alive", rows, length);
    exposure = SiteNumbers("saltus::learnable::exposure", rows, length);
    first_total = SiteNumbers("saltus::learnable::first_total", rows, length);
    if (law == StepLaw::two_stage) {
      second = SiteMasses("saltus::learnable::second", rows, length, states);
      second_total = SiteNumbers("saltus::learnable::second_total", rows, length);
    }
    sum_rows.emplace(rows, length);
    counters = CounterView("saltus::learnable::counters",
                           std::max(teacher->reserve(process, extents), student->reserve(process, extents)));
    host_counters = Kokkos::create_mirror_view(counters);
    // Not those of sampling with the same seed; nor are the teacher's those of the student.
    student_key = {StreamKey{plan.seed, 0}.derived(0x15D0).seed, 0};
    teacher_key = {StreamKey{plan.seed, 0}.derived(0x15D1).seed, 0};
  }

  // The state of the rows [first, first + n) of a batch array at time t.
  State state_of(Tokens const& tokens, std::size_t at, std::size_t first, std::size_t n, double t) {
    State const state{Kokkos::subview(tokens, std::make_pair(at, at + n), Kokkos::ALL),
                      Kokkos::subview(time, std::make_pair(std::size_t{0}, n)),
                      {},
                      first_sample + first};
    set_time(exec, state, t);
    return state;
  }
  template <class Take>
  void batches(Take const& take) {
    for (std::size_t first = 0; first < plan.trajectories; first += rows) {
      take(first, std::min(rows, plan.trajectories - first));
    }
  }
  template <class Kernel>
  void launch(char const* label, std::size_t n, Kernel const& kernel) {
    Kokkos::parallel_for(
        label, Kokkos::RangePolicy<ExecSpace, Index>(exec, 0, static_cast<std::int64_t>(n) * plan.length), kernel);
  }
  StepTable table(int k, StepFactors f) const {
    StepOptions o = options(*student, process, forced_last && k + 1 == plan.steps);
    o.phi = {f.phi};
    o.power = {f.power};
    return {exec, process, TimeGrid::from_points({grid.point(k), grid.point(k + 1)}), o};
  }

  // B of a state whose evaluation at the start of the step is in slot 0; its totals by site in first_total and
  // second_total. Two stages overwrite the slot with that at the start of the second.
  void read_student(State const& state, Step const& step) {
    int const states = process.generator().states();
    std::size_t const n = number(state.batch());
    if (law != StepLaw::two_stage) {
      read_masses(exec, process, state, step, 0, mass_of(law), masses);
      launch("saltus::learnable::totals", n, TotalMasses{masses, first_total, plan.length, states});
      return;
    }
    read_masses(exec, process, state, step.part(0), 0, Mass::transitions, masses);
    set_time(exec, state, step.parts[1].host->from);
    process.refresh(exec, state, 0);
    read_masses(exec, process, state, step.part(1), 0, Mass::transitions, second);
    launch("saltus::learnable::stages", n,
           CombineStages{masses, second, first_total, second_total, plan.length, states});
  }
  // A copy of [rows, length] numbers on the host, at the place of the batch.
  void keep(SiteNumbers const& numbers, std::size_t first, std::size_t n, std::vector<double>& kept) {
    std::size_t const length = number(plan.length);
    kept.resize(plan.trajectories * length);
    Kokkos::View<double**, Kokkos::LayoutRight, HostSpace, Kokkos::MemoryUnmanaged> const host(
        kept.data() + first * length, n, length);
    Kokkos::deep_copy(exec, host, Kokkos::subview(numbers, std::make_pair(std::size_t{0}, n), Kokkos::ALL));
    exec.fence("saltus::learnable: masses of a batch are kept on the host");
  }
};

BlockSweep::BlockSweep(ExecSpace const& exec, Process& process, DistillPlan const& plan, Policy policy)
    : work_(std::make_unique<Work>(exec, process, plan, policy)) {}
BlockSweep::~BlockSweep() = default;

std::string BlockSweep::refuses(Process const& process, DistillPlan const& plan) {
  auto const text = [](auto n) { return std::to_string(n); };
  if (!process.is_reverse()) return "learns samplers of reverse processes; this one is a forward process";
  if (plan.steps < 1 || plan.teacher_steps < 1 || plan.teacher_steps % plan.steps != 0)
    return "needs steps of the teacher that are a multiple of the student's, got " + text(plan.teacher_steps) +
           " and " + text(plan.steps) + "; take " +
           text(std::max(plan.teacher_steps / std::max(plan.steps, 1), 1) * std::max(plan.steps, 1)) +
           " steps for the teacher";
  if (plan.trajectories < 2) return "needs at least 2 trajectories, got " + text(plan.trajectories);
  if (plan.sweeps < 1 || plan.batch < 1)
    return "needs at least 1 sweep and 1 row at a time, got " + text(plan.sweeps) + " and " + text(plan.batch);
  try {
    step_law(plan.base);
    make_integrator(plan.base, process);
    make_integrator(plan.teacher, process);
    process.check_length(plan.length);
  } catch (UserError const& e) {
    return e.what();
  }
  auto const info = make_integrator(plan.teacher)->info();
  if (!info.has_site_law || info.stages != 1 || info.evaluations != 1 || info.selection != Selection::by_site)
    return "needs a teacher of one evaluation a step whose sites move on their own, as tweedie, got '" + plan.teacher +
           "'";
  return "";
}

int BlockSweep::steps() const { return work_->plan.steps; }
TimeGrid const& BlockSweep::grid() const { return work_->grid; }
bool BlockSweep::forced(int k) const { return work_->forced_last && k + 1 == work_->plan.steps; }
bool BlockSweep::forced_last() const { return work_->forced_last; }
StepLaw BlockSweep::law() const { return work_->law; }
bool BlockSweep::linear() const {
  return work_->law != StepLaw::two_stage && (work_->law != StepLaw::tweedie || work_->masked);
}

void BlockSweep::start(int sweep) {
  Work& w = *work_;
  w.first_sample = static_cast<std::uint64_t>(sweep) * w.plan.trajectories;
  w.batches([&](std::size_t first, std::size_t n) {
    draw_prior(w.exec, w.process, w.state_of(w.all, first, first, n, w.grid.point(0)), w.student_key.seed);
  });
}

std::vector<BlockSums> BlockSweep::measure(int k, StepFactors at, std::function<void(Batch const&)> const& also) {
  Work& w = *work_;
  std::vector<BlockSums> result(w.plan.trajectories);
  std::size_t const length = number(w.plan.length);
  int const states = w.process.generator().states();
  if (linear() || w.law == StepLaw::two_stage) at.phi = 1;
  StepTable const table = w.table(k, at);
  double const whole = w.grid.point(k) - w.grid.point(k + 1);
  token_t const mask = w.process.generator().mask().value_or(-1);
  Kokkos::deep_copy(w.exec, w.counters, Counters{});
  w.batches([&](std::size_t first, std::size_t n) {
    auto const rows = std::make_pair(std::size_t{0}, n);
    Tokens const start = Kokkos::subview(w.all, std::make_pair(first, first + n), Kokkos::ALL);
    State const state = w.state_of(w.moving, 0, first, n, w.grid.point(k));
    Kokkos::deep_copy(w.exec, state.tokens, start);
    SiteList const sites = Kokkos::subview(w.sites, std::make_pair(std::size_t{0}, n * length));
    if (w.law == StepLaw::two_stage) {
      w.process.refresh(w.exec, state, 0);
      w.read_student(state, table.step(0, k));
      set_time(w.exec, state, w.grid.point(k));
    }
    for (int j = k * w.ratio; j < (k + 1) * w.ratio; ++j) {
      bool const begins = j == k * w.ratio;
      w.process.refresh(w.exec, state, 0);
      if (begins && w.law != StepLaw::two_stage) w.read_student(state, table.step(0, k));
      Step const step = w.teacher_table.step(j);
      w.teacher->site_probabilities(w.exec, w.process, state, step, sites, w.laws);
      w.launch("saltus::learnable::add_step", n,
               AddStep{start, state.tokens, w.laws, w.sums, w.alive, w.exposure,
                       (w.fine.point(j) - w.fine.point(j + 1)) / whole, mask, w.plan.length, states, w.counting, begins,
                       j + 1 == (k + 1) * w.ratio});
      w.teacher->move(w.exec, w.process, state, step, w.teacher_key, w.counters);
    }
    w.keep(w.first_total, first, n, w.first_mass);
    if (w.law == StepLaw::two_stage) w.keep(w.second_total, first, n, w.second_mass);
    if (w.law == StepLaw::exponential) {
      scale_sites(w.exec, Kokkos::subview(w.masses, rows, Kokkos::ALL, Kokkos::ALL), w.exposure);
    }
    (*w.sum_rows)(w.exec, start, w.sums, w.masses, w.first_total, w.second_total, {result.data() + first, n});
    for (std::size_t b = 0; b < n; ++b) {
      BlockSums const& row = result[first + b];
      if (!std::isfinite(row.teacher) || !std::isfinite(row.student))
        throw NumericalError("the masses of step " + std::to_string(k) +
                             " (counted from 0, from t = " + to_text(w.grid.point(k)) + " to " +
                             to_text(w.grid.point(k + 1)) + ") are not finite in trajectory " +
                             std::to_string(first + b) + "; check the model's output at that time");
    }
    if (also) {
      State const at_start{start, state.time, {}, state.first_sample};
      set_time(w.exec, at_start, w.grid.point(k));
      also({first, at_start, Kokkos::subview(w.sums, rows, Kokkos::ALL, Kokkos::ALL),
            Kokkos::subview(w.masses, rows, Kokkos::ALL, Kokkos::ALL), w.exposure});
    }
    if (w.policy == Policy::teacher) Kokkos::deep_copy(w.exec, start, state.tokens);
  });
  read_clamps(w.exec, w.counters, w.host_counters, k, "teacher");
  return result;
}

std::vector<double> BlockSweep::student_masses(int k, StepFactors at) {
  Work& w = *work_;
  std::size_t const length = number(w.plan.length);
  StepTable const table = w.table(k, at);
  std::vector<double> sites, result(w.plan.trajectories, 0.0);
  w.batches([&](std::size_t first, std::size_t n) {
    State const state = w.state_of(w.all, first, first, n, w.grid.point(k));
    w.process.refresh(w.exec, state, 0);
    w.read_student(state, table.step(0, k));
    w.keep(w.first_total, first, n, sites);
  });
  for (std::size_t i = 0; i < sites.size(); ++i) result[i / length] += sites[i];
  return result;
}

RatioMean BlockSweep::reveal(int k, std::function<double(std::size_t)> const& phi) const {
  Work const& w = *work_;
  std::size_t const length = number(w.plan.length);
  std::vector<double> revealed(w.plan.trajectories, 0.0), masks(revealed);
  if (forced(k)) return {1, 0};
  if (!w.masked) return ratio_mean(revealed, masks);
  for (std::size_t b = 0; b < revealed.size(); ++b) {
    double const factor = phi(b);
    for (std::size_t i = b * length; i < (b + 1) * length; ++i) {
      double const m = w.first_mass[i];
      if (!(m > 0)) continue;
      masks[b] += 1;
      double const u = w.law == StepLaw::exponential ? -std::expm1(-factor * m) : std::min(1.0, factor * m);
      double const later = w.law == StepLaw::two_stage ? std::min(1.0, factor * w.second_mass[i]) : 0;
      revealed[b] += 1 - (1 - u) * (1 - later);
    }
  }
  return ratio_mean(revealed, masks, {1, 0});  // of none that are left, all
}

StepTable BlockSweep::table(int k, StepFactors factors) const { return work_->table(k, factors); }

std::int64_t BlockSweep::advance(int k, StepFactors factors) {
  Work& w = *work_;
  if (w.policy == Policy::teacher) return 0;
  StepTable const table = w.table(k, factors);
  Kokkos::deep_copy(w.exec, w.counters, Counters{});
  w.batches([&](std::size_t first, std::size_t n) {
    State const state = w.state_of(w.all, first, first, n, w.grid.point(k));
    w.student->advance(w.exec, w.process, state, table.step(0, k), w.student_key, w.counters);
  });
  return read_clamps(w.exec, w.counters, w.host_counters, k, "student");
}

std::int64_t BlockSweep::advance(int k, std::vector<double> const& phi) {
  Work& w = *work_;
  if (w.policy == Policy::teacher) return 0;
  StepTable const table = w.table(k, {});
  Kokkos::View<StepCoeff*, MemorySpace> const device("saltus::learnable::coefficients", w.rows);
  auto const host = Kokkos::create_mirror_view(device);
  Kokkos::deep_copy(w.exec, w.counters, Counters{});
  w.batches([&](std::size_t first, std::size_t n) {
    for (std::size_t b = 0; b < n; ++b) {
      host(b) = table.host(0);
      if (!host(b).forced) host(b).phi = phi[first + b];
    }
    Kokkos::deep_copy(w.exec, device, host);
    State const state = w.state_of(w.all, first, first, n, w.grid.point(k));
    Step step = table.step(0, k);
    step.coefficients = Kokkos::subview(device, std::make_pair(std::size_t{0}, n));
    step.host = nullptr;
    w.process.refresh(w.exec, state, 0);
    w.student->move(w.exec, w.process, state, step, w.student_key, w.counters);
    w.exec.fence("saltus::learnable: factors of a batch are about to be overwritten");
  });
  return read_clamps(w.exec, w.counters, w.host_counters, k, "student");
}

std::vector<RowFeatures> BlockSweep::features(int k, StepFactors at) {
  Work& w = *work_;
  StepTable const table = w.table(k, at);
  FeatureView const device("saltus::learnable::features", w.rows);
  SiteEntropies const entropies("saltus::learnable::entropies", w.rows, number(w.plan.length));
  std::vector<RowFeatures> result(w.plan.trajectories);
  w.batches([&](std::size_t first, std::size_t n) {
    State const state = w.state_of(w.all, first, first, n, w.grid.point(k));
    w.process.refresh(w.exec, state, 0);
    state_features(w.exec, w.process, state, table.step(0, k), 0, entropies, device);
    w.exec.fence("saltus::learnable: features of a batch are read on the host");
    auto const host = Kokkos::create_mirror_view_and_copy(HostSpace(), device);
    for (std::size_t b = 0; b < n; ++b) result[first + b] = host(b);
  });
  return result;
}

RatioMean held_out_divergence(ExecSpace const& exec, Process& process, DistillPlan const& plan,
                              Schedule const& schedule) {
  BlockSweep sweep(exec, process, plan, BlockSweep::Policy::student);
  std::vector<double> total(plan.trajectories, 0.0);
  sweep.start(plan.sweeps);
  for (int k = 0; k < sweep.steps(); ++k) {
    if (sweep.forced(k)) break;
    auto const at = static_cast<std::size_t>(k);
    StepFactors const f{schedule.phi.empty() ? 1 : schedule.phi[at], schedule.power.empty() ? 1 : schedule.power[at]};
    auto const rows = sweep.measure(k, f);
    std::vector<double> phi(rows.size(), f.phi);
    if (schedule.state) {
      auto const features = sweep.features(k, f);
      for (std::size_t b = 0; b < rows.size(); ++b)
        phi[b] = schedule.state->phi[at * bins_of(*schedule.state) + bin_of(*schedule.state, features[b])];
    }
    for (std::size_t b = 0; b < rows.size(); ++b) total[b] += divergence(sweep, rows[b], phi[b]);
    if (schedule.state) {
      sweep.advance(k, phi);
    } else {
      sweep.advance(k, f);
    }
  }
  return ratio_mean(total, std::vector<double>(total.size(), 1.0));
}

std::size_t bins_of(StateFactors const& state) { return (state.shares.size() + 1) * (state.entropies.size() + 1); }

std::size_t bin_of(StateFactors const& state, RowFeatures const& features) {
  auto const bin = [](std::vector<double> const& edges, double x) {
    return static_cast<std::size_t>(std::upper_bound(edges.begin(), edges.end(), x) - edges.begin());
  };
  return bin(state.shares, features.share) * (state.entropies.size() + 1) + bin(state.entropies, features.entropy);
}

}  // namespace saltus
