// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/scheduled.hpp>

#include <algorithm>
#include <utility>

#include <saltus/ctmc/device.hpp>
#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/visit_field.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/schedule_file.hpp>

namespace saltus {
namespace {

template <class Field>
struct EntropyKernel {
  Field field;
  SiteEntropies out;
  int length;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    if (!field.active(b, l)) return;
    token_t const own = field.tokens(b, l);
    auto const row = field.row(b, l);
    typename Field::Row::Scratch scratch;
    RowSums const sums = row.scan(own, scratch);
    if constexpr (requires { row.shape(own, scratch); }) {
      out(b, l) = row.shape(own, scratch).entropy;
    } else {
      double entropy = 0;
      for (int y = 0; y < field.states; ++y) {
        double const p = y == own ? 0 : row.value(y, scratch) / sums.others;
        if (p > 0) entropy -= p * Kokkos::log(p);
      }
      out(b, l) = entropy;
    }
  }
};

template <class Field>
struct FeatureKernel {
  Field field;
  SiteEntropies entropies;  // of the sites that may move; or empty
  FeatureView out;
  int length;

  KOKKOS_FUNCTION void operator()(int b) const {
    int moving = 0;
    double sum = 0;
    for (int l = 0; l < length; ++l) {
      if (!field.active(b, l)) continue;
      ++moving;
      if (entropies.size() != 0) sum += entropies(b, l);
    }
    RowFeatures features;
    constexpr bool masked = requires { field.normalised; };
    if (masked) features.share = static_cast<double>(moving) / length;
    if (moving > 0) features.entropy = sum / moving;
    out(b) = features;
  }
};

struct FactorKernel {
  Kokkos::View<StepCoeff const*, MemorySpace> step;
  FeatureView features;
  StateBins bins;
  Kokkos::View<double const*, MemorySpace> phi;  // of the step's bins
  Kokkos::View<StepCoeff*, MemorySpace> out;

  KOKKOS_FUNCTION void operator()(int b) const {
    StepCoeff c = step(step.extent(0) == 1 ? 0 : b);
    if (!c.forced) c.phi = phi(bins(features(b)));
    out(b) = c;
  }
};

std::string const label = "saltus::learnable::scheduled";

Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>> rows_of(ExecSpace const& exec, State const& state) {
  return {exec, 0, state.batch()};
}

std::string const& base_of(Schedule const& schedule, std::size_t k) {
  return schedule.bases.empty() ? schedule.base : schedule.bases[k];
}

std::unique_ptr<Integrator> make_base(std::string const& name, Schedule const& schedule, Process const& process) {
  auto base = make_integrator(name, process);
  require(base->info().evaluations > 0, "the integrator '" + name + "' chooses its own steps: a schedule has nothing to tell it");
  require(base->info().takes_phi || (schedule.phi.empty() && !schedule.state),
          "the integrator '" + name + "' ignores the factors phi of a schedule; take a method that reveals by its rates");
  return base;
}

// Another integrator in each step.
class BySteps final : public Integrator {
 public:
  BySteps(Schedule const& schedule, Process const& process) : times_(schedule.times) {
    std::vector<std::string> names;
    for (std::size_t k = 0; k < schedule.bases.size(); ++k) {
      std::string const& name = base_of(schedule, k);
      auto const found = std::find(names.begin(), names.end(), name);
      of_step_.push_back(static_cast<std::size_t>(found - names.begin()));
      if (found != names.end()) continue;
      names.push_back(name);
      bases_.push_back(make_base(name, schedule, process));
    }
    info_ = bases_.front()->info();
    for (auto const& base : bases_) {
      IntegratorInfo const& other = base->info();
      info_.evaluations = std::max(info_.evaluations, other.evaluations);
      info_.slots = std::max(info_.slots, other.slots);
      info_.stages = std::max(info_.stages, other.stages);
      info_.host_syncs = std::max(info_.host_syncs, other.host_syncs);
      info_.weak_order = std::min(info_.weak_order, other.weak_order);
      info_.uses_transitions = info_.uses_transitions || other.uses_transitions;
      info_.has_site_law = info_.has_site_law && other.has_site_law;
      info_.moves_revealed = info_.moves_revealed || other.moves_revealed;
      info_.takes_phi = info_.takes_phi && other.takes_phi;
      info_.remembers |= other.remembers;
      require(!other.remembers || bases_.size() == 1, "the integrator '" + other.name + "' keeps something of each sequence from step to step: "
                                                      "a schedule takes it for all steps or for none");
    }
    info_.name = "scheduled";
    info_.summary = "another integrator in each step of a schedule";
  }

  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override {
    for (auto const& base : bases_) {
      if (std::string why = base->refuses(process); !why.empty()) return why;
    }
    return "";
  }
  std::size_t reserve(Process const& process, Extents extents) override {
    std::size_t counters = 0;
    for (auto const& base : bases_) counters = std::max(counters, base->reserve(process, extents));
    return counters;
  }
  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    at(step.index).advance(exec, process, state, step, key, counters);
  }
  std::vector<Part> parts(NoiseSchedule const& noise, Interval interval) const override {
    auto const found = std::find(times_.begin(), times_.end(), interval.from);
    return at(found - times_.begin()).parts(noise, interval);
  }
  std::vector<Kernel> kernels(Step const& step) const override { return at(step.index).kernels(step); }

 private:
  Integrator& at(std::ptrdiff_t k) const {
    require(k >= 0 && k < std::ssize(of_step_), "this integrator has the " + std::to_string(of_step_.size()) +
                                                    " steps of its schedule and serves no other grid");
    return *bases_[of_step_[static_cast<std::size_t>(k)]];
  }

  std::vector<double> times_;
  std::vector<std::unique_ptr<Integrator>> bases_;
  std::vector<std::size_t> of_step_;
  IntegratorInfo info_;
};

// A method of one stage with a factor for each row, by what the evaluation says of it.
class ByState final : public Integrator {
 public:
  ByState(Schedule const& schedule, Process const& process)
      : base_(make_base(schedule.base, schedule, process)), steps_(schedule), info_(base_->info()) {
    require(info_.evaluations == 1 && info_.stages == 1 && info_.has_site_law && info_.selection == Selection::by_site,
            "factors that depend on the state need a base of one stage with a law by site (euler, exponential, tau_leaping, tweedie), got '" +
                schedule.base + "'");
  }

  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override { return base_->refuses(process); }

  std::size_t reserve(Process const& process, Extents extents) override {
    if (steps_.batch() < extents.batch || length_ != extents.length) steps_.allocate(extents.batch, length_ = extents.length);
    return base_->reserve(process, extents);
  }

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    process.refresh(exec, state, 0);
    base_->move(exec, process, state, steps_(exec, process, state, step), key, counters);
  }

  void site_probabilities(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                          SiteList const& sites, SiteProbabilities const& out) const override {
    StateSteps steps = steps_;
    steps.allocate(state.batch(), state.length());
    base_->site_probabilities(exec, process, state, steps(exec, process, state, step), sites, out);
    exec.fence(label + ": work views are about to be freed");
  }

 private:
  std::unique_ptr<Integrator> base_;
  StateSteps steps_;
  int length_ = 0;  // that there is room for
  IntegratorInfo info_;
};

}  // namespace

StateBins::StateBins(ExecSpace const& exec, StateFactors const& factors)
    : shares(to_device(exec, factors.shares, label + "::shares")),
      entropies(to_device(exec, factors.entropies, label + "::entropies")) {}

StateSteps::StateSteps(Schedule const& schedule)
    : bins_(ExecSpace(), *schedule.state), phi_(to_device(ExecSpace(), schedule.state->phi, label + "::phi")) {}

void StateSteps::allocate(int batch, int length) {
  auto const B = static_cast<std::size_t>(batch);
  if (bins_.entropies.extent(0) > 0) entropies_ = SiteEntropies(label + "::entropies", B, static_cast<std::size_t>(length));
  features_ = FeatureView(label + "::features", B);
  rows_ = Kokkos::View<StepCoeff*, MemorySpace>(label + "::rows", B);
}

Step StateSteps::operator()(ExecSpace const& exec, Process const& process, State const& state, Step const& step) const {
  auto const bins = static_cast<std::size_t>(bins_.count()), first = static_cast<std::size_t>(step.index) * bins;
  require(step.index >= 0 && first < phi_.extent(0), "this integrator has the steps of its schedule and serves no other grid");
  state_features(exec, process, state, step, 0, entropies_, features_);
  auto const rows = Kokkos::subview(rows_, std::make_pair(0, state.batch()));
  Kokkos::parallel_for(label + "::factors", rows_of(exec, state),
                       FactorKernel{step.coefficients, features_, bins_, Kokkos::subview(phi_, std::make_pair(first, first + bins)), rows});
  Step own = step;
  own.coefficients = rows;
  own.host = nullptr;
  return own;
}

void state_features(ExecSpace const& exec, Process const& process, State const& state, Step const& step, int slot,
                    SiteEntropies const& work, FeatureView const& out) {
  if (state.batch() == 0) return;
  require(process.is_reverse(), "the state of a reverse process has features; this is a forward one");
  visit_field(process, state, step, slot, false, [&]<class Field>(Field const& field) {
    if constexpr (requires { field.scores; }) {  // of a reverse process
      if (work.size() != 0) {
        Kokkos::parallel_for(label + "::entropies",
                             Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(
                                 exec, 0, std::int64_t{state.batch()} * state.length()),
                             EntropyKernel<Field>{field, work, state.length()});
      }
      Kokkos::parallel_for(label + "::features", rows_of(exec, state), FeatureKernel<Field>{field, work, out, state.length()});
    }
  });
}

std::unique_ptr<Integrator> make_scheduled(Schedule const& schedule, Process const& process) {
  check_schedule(schedule);
  if (schedule.state) return std::make_unique<ByState>(schedule, process);
  if (schedule.bases.empty()) return make_base(schedule.base, schedule, process);
  return std::make_unique<BySteps>(schedule, process);
}

SamplePlan make_plan(Schedule const& schedule, Process const& process, int length) {
  check_schedule(schedule);
  require(process.is_reverse(), "a schedule is for reverse processes; this is a forward one");
  return {.grid = TimeGrid::from_points(schedule.times),
          .length = length,
          .phi = schedule.phi,
          .power = schedule.power,
          .forced_last = schedule.forced_last};
}

int evaluations(Schedule const& schedule) {
  int count = 0;
  for (std::size_t k = 0; k < static_cast<std::size_t>(schedule.steps()); ++k)
    count += make_integrator(base_of(schedule, k))->info().evaluations;
  return count;
}

}  // namespace saltus
