// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/elbo_costs.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/learnable/teacher_paths.hpp>

#include "../integrators/run_detail.hpp"

namespace saltus {
namespace {

constexpr std::uint64_t noise_seed = 0x5EED'E1B0'0000'0000u;  // the noise is independent of the teacher's draws

// ln q(x_t | x_s) of the forward interval that a step undoes.
struct ForwardLog {
  double stay, leave;            // uniform
  StepMatrices::Matrix between;  // dense: StepMatrices::between_transposed

  KOKKOS_FUNCTION double operator()(token_t from, token_t to) const {
    return between.size() != 0 ? Kokkos::log(between(to, from)) : from == to ? stay : leave;
  }
};

// Of a row: what the step from `start` to `end` costs.
struct CostKernel {
  SiteMasses masses;  // of the step, at `start`
  Tokens start, end;
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> out;  // [steps, batch]
  ForwardLog forward;
  int step, length, states;

  KOKKOS_FUNCTION void operator()(int b) const {
    double sum = 0;
    for (int l = 0; l < length; ++l) {
      token_t const x = start(b, l), y = end(b, l);
      double const* const row = &masses(b, l, 0);
      double mass = 0;
      for (int z = 0; z < states; ++z) mass += row[z];
      double const p = x != y ? row[y] : mass > 1 ? 0 : 1 - mass;
      sum += forward(y, x) - Kokkos::log(p) + 0 * mass;  // not a number if any of the row is not
    }
    out(step, b) = sum;
  }
};

// Rows summed up, in order.
struct SumKernel {
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> rows;  // [steps, batch]
  Kokkos::View<double*, MemorySpace> sums;                        // [pairs]
  std::size_t first;                                              // pair of step 0
  int batch;

  KOKKOS_FUNCTION void operator()(int step) const {
    double sum = 0;
    for (int b = 0; b < batch; ++b) sum += rows(step, b);
    sums(first + static_cast<std::size_t>(step)) = sum;
  }
};

ForwardLog forward_log(Generator const& generator, Step const& step) {
  if (generator.kind() != Generator::Kind::uniform) return {0, 0, step.matrices.between_transposed};
  auto const log = [&](token_t to) { return std::log(generator.transition(0, to, step.host->retention, step.host->lost)); };
  return {log(0), log(1), {}};
}

}  // namespace

struct ElboCosts::Work {
  ExecSpace exec;
  Process& process;
  DistillPlan const& plan;
  std::vector<double> times;
  std::size_t all;
  std::unique_ptr<Integrator> teacher, noiser;
  Process forward;
  StepTable noise_steps;
  std::vector<StepTable> steps;  // [pairs]
  int batch = 0;
  std::vector<Tokens> chain;  // [times], of one batch
  Times time;
  SiteMasses masses;
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> rows;
  Kokkos::View<double*, MemorySpace> sums;
  Kokkos::View<double*, MemorySpace>::HostMirror host_sums;
  CounterView counters;
  CounterView::HostMirror host_counters;

  Work(ExecSpace const& e, Process& p, DistillPlan const& d, std::vector<double> t, std::size_t n)
      : exec(e),
        process(p),
        plan(d),
        times(std::move(t)),
        all(n),
        teacher(make_integrator(d.teacher, p)),
        forward(Process::forward(p.generator(), p.noise())),
        noise_steps(e, forward, TimeGrid::from_points({times.rbegin(), times.rend()}), {.transitions = true}) {
    noiser = make_integrator("tweedie", forward);
  }
};

ElboCosts::ElboCosts(ExecSpace const& exec, Process& process, DistillPlan const& plan, std::vector<double> times, std::size_t all)
    : work_(std::make_unique<Work>(exec, process, plan, std::move(times), all)), count_(static_cast<int>(work_->times.size()) - 1) {
  SALTUS_ASSERT(!process.is_masked() && count_ >= 1);
  Work& w = *work_;
  auto const C = static_cast<std::size_t>(count_), L = static_cast<std::size_t>(plan.length), S = static_cast<std::size_t>(process.generator().states());
  std::size_t const pairs = C * (C + 1) / 2;
  bool const dense = process.generator().kind() == Generator::Kind::dense;
  double const tables = dense ? 24.0 * static_cast<double>(pairs * S * S) : 0;
  double const memory = static_cast<double>(plan.memory) - tables;
  std::string const what = "the evidence bound (" + std::to_string(count_) + " times; fewer candidates need less)";
  require(memory > 0, what + " needs " + to_text(tables) + " bytes for transition matrices, more than the " +
                          to_text(static_cast<double>(plan.memory)) + " allowed; allow more memory");
  w.batch = rows_that_fit(what, static_cast<double>(4 * (C + 1) * L + 8 * L * S + 8 * C), static_cast<std::size_t>(memory),
                          static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(std::max(plan.batch, 0)), all)));
  auto const B = static_cast<std::size_t>(w.batch);
  for (int from = 0; from < count_; ++from) {
    for (int to = from + 1; to <= count_; ++to) {
      w.steps.emplace_back(exec, process, TimeGrid::from_points({w.times[static_cast<std::size_t>(from)], w.times[static_cast<std::size_t>(to)]}));
    }
  }
  for (std::size_t c = 0; c <= C; ++c) w.chain.emplace_back("saltus::learnable::elbo::chain", B, L);
  w.time = Times("saltus::learnable::elbo::time", B);
  w.masses = SiteMasses("saltus::learnable::elbo::masses", B, L, S);
  w.rows = decltype(w.rows)("saltus::learnable::elbo::rows", C, B);
  w.sums = decltype(w.sums)("saltus::learnable::elbo::sums", pairs);
  w.host_sums = Kokkos::create_mirror_view(w.sums);
  w.counters = CounterView("saltus::learnable::elbo::counters", w.noiser->reserve(w.forward, {w.batch, plan.length}));
  w.host_counters = Kokkos::create_mirror_view(w.counters);
  sums_.assign(groups * pairs, 0.0);
}

ElboCosts::~ElboCosts() = default;

std::size_t ElboCosts::pair(int from, int to) const {
  auto const j = static_cast<std::size_t>(from), C = static_cast<std::size_t>(count_);
  return j * (2 * C + 1 - j) / 2 + static_cast<std::size_t>(to - from - 1);
}

std::size_t ElboCosts::add(std::size_t first, std::size_t last) {
  Work& w = *work_;
  // A batch lies in one group.
  std::size_t const group = first * groups / w.all;
  std::size_t const end = std::min({last, first + static_cast<std::size_t>(w.batch), ((group + 1) * w.all + groups - 1) / groups});
  int const rows = static_cast<int>(end - first), length = w.plan.length, states = w.process.generator().states();

  SamplePlan draws = make_plan(w.process, *w.teacher, w.plan.teacher_steps, length, w.plan.end);
  draws.seed = w.plan.seed;
  draws.samples = static_cast<std::size_t>(rows);
  draws.first_sample = first;
  draws.batch = w.batch;
  HostTokens const clean = sample(w.exec, w.process, *w.teacher, draws);
  auto const range = std::make_pair(std::size_t{0}, static_cast<std::size_t>(rows));
  Kokkos::deep_copy(w.exec, Kokkos::subview(w.chain.back(), range, Kokkos::ALL), clean);
  detail::reset(w.exec, w.counters, w.time, w.times.back());
  for (int c = count_; c > 0; --c) {
    auto const at = static_cast<std::size_t>(c);
    Kokkos::deep_copy(w.exec, w.chain[at - 1], w.chain[at]);
    State const state{Kokkos::subview(w.chain[at - 1], range, Kokkos::ALL), Kokkos::subview(w.time, range), {}, first};
    w.noiser->advance(w.exec, w.forward, state, w.noise_steps.step(count_ - c), StreamKey{w.plan.seed ^ noise_seed, 0}, w.counters);
  }
  std::int64_t most = 0;
  detail::collect(w.exec, w.counters, w.host_counters, w.forward, first, most);

  w.process.reserve({w.batch, length}, 1);
  for (int from = 0; from < count_; ++from) {
    auto const j = static_cast<std::size_t>(from);
    State const state{Kokkos::subview(w.chain[j], range, Kokkos::ALL), Kokkos::subview(w.time, range), {}, first};
    Kokkos::deep_copy(w.exec, w.time, w.times[j]);
    w.process.refresh(w.exec, state, 0);
    for (int to = from + 1; to <= count_; ++to) {
      std::size_t const at = pair(from, to);
      Step const step = w.steps[at].step(0);
      read_masses(w.exec, w.process, state, step, 0, Mass::transitions, w.masses);
      Kokkos::parallel_for("saltus::learnable::elbo::cost", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(w.exec, 0, rows),
                           CostKernel{w.masses, state.tokens, w.chain[static_cast<std::size_t>(to)], w.rows, forward_log(w.process.generator(), step), to - from - 1, length,
                                      states});
    }
    Kokkos::parallel_for("saltus::learnable::elbo::sum",
                         Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(w.exec, 0, count_ - from),
                         SumKernel{w.rows, w.sums, pair(from, from + 1), rows});
  }
  Kokkos::deep_copy(w.exec, w.host_sums, w.sums);
  w.exec.fence("saltus::learnable: costs of steps are summed on the host");
  std::size_t const pairs = w.steps.size();
  for (int from = 0; from < count_; ++from) {
    for (int to = from + 1; to <= count_; ++to) {
      std::size_t const at = pair(from, to);
      double const value = w.host_sums(at);
      if (std::isnan(value) || value == -std::numeric_limits<double>::infinity()) {
        throw NumericalError("the evidence bound is not finite between t = " + to_text(w.times[static_cast<std::size_t>(from)]) + " and t = " +
                             to_text(w.times[static_cast<std::size_t>(to)]) + ", trajectories " + std::to_string(first) + " to " +
                             std::to_string(end - 1) + ": the scores there are not finite");
      }
      sums_[group * pairs + at] += value;
    }
  }
  return end - first;
}

double ElboCosts::operator()(int from, int to, int group) const {
  std::size_t const pairs = work_->steps.size(), at = pair(from, to);
  if (group >= 0) return sums_[static_cast<std::size_t>(group) * pairs + at];
  double sum = 0;
  for (std::size_t g = 0; g < groups; ++g) sum += sums_[g * pairs + at];
  return sum;
}

}  // namespace saltus
