// SPDX-License-Identifier: BSD-3-Clause
// What the library does to Kokkos, seen through Kokkos' own tool callbacks: labels, kernels, allocations, fences,
// copies, and the instance that the work runs on.
#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <Kokkos_Core.hpp>

#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/decorators.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

#include "reference/instances.hpp"

namespace saltus {
namespace {

namespace tools = Kokkos::Tools::Experimental;

struct Event {
  enum class Kind { kernel, allocation, fence, copy } kind;
  std::string label;
  std::uint32_t device = 0;  // of kernels and fences
  std::uint64_t bytes = 0;   // of allocations
};
using Kind = Event::Kind;

std::vector<Event>* recording = nullptr;

void on_kernel(char const* label, std::uint32_t device, std::uint64_t*) {
  recording->push_back({Kind::kernel, label, device});
}
void on_allocation(Kokkos_Profiling_SpaceHandle, char const* label, void const*, std::uint64_t bytes) {
  recording->push_back({Kind::allocation, label, 0, bytes});
}
void on_fence(char const* label, std::uint32_t device, std::uint64_t*) {
  // Kokkos adds this fence around every kernel as soon as a callback is set.
  if (std::string(label).find("Profile Tool Fence") == std::string::npos)
    recording->push_back({Kind::fence, label, device});
}
void on_copy(Kokkos_Profiling_SpaceHandle, char const* to, void const*, Kokkos_Profiling_SpaceHandle, char const* from,
             void const*, std::uint64_t bytes) {
  recording->push_back({Kind::copy, std::string(from) + " -> " + to, 0, bytes});
}

// Everything that Kokkos is asked for while `action` runs. What was asked before is waited for first.
std::vector<Event> record(std::function<void()> const& action) {
  Kokkos::fence("saltus::tests: only what follows is recorded");
  std::vector<Event> events;
  tools::EventSet const before = tools::get_callbacks();
  recording = &events;
  tools::set_begin_parallel_for_callback(on_kernel);
  tools::set_begin_parallel_reduce_callback(on_kernel);
  tools::set_begin_parallel_scan_callback(on_kernel);
  tools::set_allocate_data_callback(on_allocation);
  tools::set_begin_fence_callback(on_fence);
  tools::set_begin_deep_copy_callback(on_copy);
  try {
    action();
  } catch (...) {
    tools::set_callbacks(before);
    throw;
  }
  tools::set_callbacks(before);
  recording = nullptr;
  return events;
}

std::int64_t count(std::vector<Event> const& events, Kind kind) {
  return std::count_if(events.begin(), events.end(), [&](Event const& e) { return e.kind == kind; });
}
bool is_ours(std::string const& label) { return label.starts_with("saltus::"); }

std::string name_of(Kind kind) {
  switch (kind) {
    case Kind::kernel:
      return "kernel";
    case Kind::allocation:
      return "allocation";
    case Kind::fence:
      return "fence";
    default:
      return "copy";
  }
}

// What a step loop may not do, in words, one entry a breach.
std::vector<std::string> breaches(std::vector<Event> const& events, std::uint32_t device, std::int64_t allowed_syncs) {
  std::vector<std::string> found;
  std::int64_t fences = 0, copies = 0;
  for (Event const& e : events) {
    if (e.kind == Kind::kernel && !is_ours(e.label)) found.push_back("kernel without our prefix: " + e.label);
    if (e.kind == Kind::kernel && e.device != device) found.push_back("kernel on another instance: " + e.label);
    if (e.kind == Kind::allocation) found.push_back("allocation: " + e.label);
    if (e.kind == Kind::fence && !is_ours(e.label)) found.push_back("fence without our label: " + e.label);
    if (e.kind == Kind::fence && ++fences > allowed_syncs) found.push_back("undeclared fence: " + e.label);
    if (e.kind == Kind::copy && ++copies > allowed_syncs) found.push_back("undeclared copy: " + e.label);
  }
  return found;
}

bool mentions(std::vector<std::string> const& found, std::string const& what) {
  return std::any_of(found.begin(), found.end(),
                     [&](auto const& text) { return text.find(what) != std::string::npos; });
}
std::string listed(std::vector<std::string> const& found) {
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(found.size(), 8); ++i) text += "\n  " + found[i];
  return text;
}
std::string listed(std::vector<Event> const& events) {
  std::vector<std::string> lines;
  for (Event const& e : events) lines.push_back(name_of(e.kind) + " " + e.label + " " + std::to_string(e.bytes));
  return listed(lines);
}

constexpr int length = 7, states = 5, batch = 40;

MarkovChain chain() {
  std::vector<double> transitions(states * states);
  for (std::size_t i = 0; i < transitions.size(); ++i) transitions[i] = i / states == i % states ? 0.6 : 0.1;
  return {length, states, std::vector<double>(states, 1.0 / states), transitions};
}

enum class Direction { masked, uniform, forward_absorbing, forward_uniform };
std::string name_of(Direction d) {
  return std::vector<std::string>{"masked", "uniform", "forward_absorbing",
                                  "forward_uniform"}[static_cast<std::size_t>(d)];
}
constexpr Direction directions[] = {Direction::masked, Direction::uniform, Direction::forward_absorbing,
                                    Direction::forward_uniform};

Process make_process(Direction direction) {
  Generator const absorbing = Generator::absorbing(states + 1), uniform = Generator::uniform(states);
  NoiseSchedule const noise = NoiseSchedule::cosine();
  switch (direction) {
    case Direction::masked:
      return Process::reverse(absorbing, noise, chain().denoiser(absorbing));
    case Direction::uniform:
      return Process::reverse(uniform, noise, chain().denoiser(uniform));
    case Direction::forward_absorbing:
      return Process::forward(absorbing, noise);
    default:
      return Process::forward(uniform, noise);
  }
}

TimeGrid grid(Process const& process, int steps) {
  return process.is_reverse() ? TimeGrid::uniform(1, 0.01, steps) : TimeGrid::uniform(0.01, 1, steps);
}

struct Zero {
  Tokens tokens;
  KOKKOS_FUNCTION void operator()(int b) const {
    for (std::size_t l = 0; l < tokens.extent(1); ++l) tokens(b, l) = 0;
  }
};
void all_zero(ExecSpace const& exec, State const& state) {
  Kokkos::parallel_for("saltus::tests::start",
                       Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, state.batch()),
                       Zero{state.tokens});
}

// The step loop alone, with everything allocated before.
class StepLoop {
 public:
  StepLoop(ExecSpace const& exec, Process& process, Integrator& integrator, int steps)
      : exec_(exec),
        process_(process),
        integrator_(integrator),
        state_{Tokens("saltus::tests::tokens", batch, length), Times("saltus::tests::time", batch), {}, 0},
        table_(exec, process, grid(process, steps), step_options(integrator, process)) {
    process.reserve({batch, length}, integrator.info().slots);
    counters_ = CounterView("saltus::tests::counters", integrator.reserve(process, {batch, length}));
    if (process.is_reverse()) draw_prior(exec, process, state_, 1);
    Kokkos::deep_copy(exec, state_.time, table_.host(0).from);
    exec.fence("saltus::tests: only the loop is watched");
  }
  void run() { advance_all(exec_, process_, integrator_, table_, state_, 1, counters_); }
  std::vector<Event> events() {
    return record([&] { run(); });
  }

 private:
  ExecSpace exec_;
  Process& process_;
  Integrator& integrator_;
  State state_;
  StepTable table_;
  CounterView counters_;
};

std::vector<Event> loop_events(ExecSpace const& exec, Process& process, Integrator& integrator, int steps) {
  return StepLoop(exec, process, integrator, steps).events();
}

// Whether all kernels and reductions of `action` run on `exec`, which is not the default instance.
template <class Space>
testing::AssertionResult stays_on(Space const& exec, std::function<void()> const& action,
                                  [[maybe_unused]] std::chrono::seconds patience = std::chrono::seconds(20)) {
  if (exec == Space()) return testing::AssertionFailure() << "that is the default instance";
  if constexpr (reference::on_threads) {
    // All OpenMP instances have the same device id. But Kokkos holds an instance's mutex while a kernel runs on it: while
    // we hold the default instance's, work that goes there waits, and work on `exec` does not.
    std::unique_lock<std::mutex> lock(Space().impl_internal_space_instance()->m_instance_mutex);
    auto const done = std::async(std::launch::async, action);
    bool const waits = done.wait_for(patience) == std::future_status::timeout;
    lock.unlock();
    done.wait();
    if (waits) return testing::AssertionFailure() << "work waits for the default instance";
  } else {
    std::uint32_t const device = tools::device_id(exec);
    for (Event const& e : record(action)) {
      bool const work = e.kind == Kind::kernel || e.kind == Kind::fence;
      if (work && e.device != device) return testing::AssertionFailure() << "on another instance: " << e.label;
    }
  }
  return testing::AssertionSuccess();
}

// Models of which no process above is made.
TEST(ToolsModels, EvaluationsKeepTheirPromises) {
  ExecSpace const exec;
  auto const table = TableLaw::neighbours(4, states, 2);
  Generator const absorbing = Generator::absorbing(states + 1), uniform = Generator::uniform(states);
  auto const masked = table.denoiser(absorbing), noisy = table.denoiser(uniform);
  auto const product = ProductLaw(4, states, table.site_marginals()).denoiser(absorbing);
  for (auto const& model : {masked, noisy, temperature(masked, 0.5), nucleus(masked, 0.7), top_tokens(masked, 2),
                            classifier_free(masked, product, 0.5), nucleus(temperature(noisy, 2), 0.7)}) {
    model->reserve({batch, 4}, 2);
    Tokens const tokens("saltus::tests::tokens", batch, 4);
    Times const time("saltus::tests::time", batch);
    Kokkos::deep_copy(time, 0.5);
    auto const events = record([&] {
      for (int slot : {0, 1, 0}) model->evaluate(exec, {tokens, time, {}}, slot);
    });
    auto const found = breaches(events, tools::device_id(exec), 0);
    EXPECT_TRUE(found.empty()) << model->info().name << listed(found);
    EXPECT_GE(count(events, Kind::kernel), 3) << model->info().name;
  }
}

class Tools : public testing::TestWithParam<std::string> {
 protected:
  // Calls `check(process)` for every kind of process that the method takes.
  template <class Check>
  void each(Check const& check) {
    int taken = 0;
    for (Direction const direction : directions) {
      SCOPED_TRACE(name_of(direction));
      Process process = make_process(direction);
      if (!integrator_->refuses(process).empty()) continue;
      ++taken;
      check(process, direction);
    }
    EXPECT_GT(taken, 0);
  }
  std::unique_ptr<Integrator> integrator_ = make_integrator(GetParam());
};

TEST_P(Tools, TheStepLoopKeepsItsPromises) {
  ExecSpace const exec;
  each([&](Process& process, Direction) {
    constexpr int steps = 20;
    auto const events = loop_events(exec, process, *integrator_, steps);
    // Methods with steps of their own wait once for each of those; the others as often as they declare.
    IntegratorInfo const& info = integrator_->info();
    std::int64_t const own_steps = info.evaluations == 0 && !info.exact ? 1000 : 1;
    auto const found = breaches(events, tools::device_id(exec), steps * info.host_syncs * own_steps);
    EXPECT_TRUE(found.empty()) << listed(found);
    EXPECT_GE(count(events, Kind::kernel), steps) << "nothing ran, so nothing was checked";
  });
}

TEST_P(Tools, TenTimesTheStepsLaunchTenTimesTheKernels) {
  ExecSpace const exec;
  each([&](Process& process, Direction) {
    // Event-driven methods launch as many kernels as the busiest row has events; others the same number a step.
    if (integrator_->info().evaluations == 0 && process.is_reverse()) return;
    auto const few = loop_events(exec, process, *integrator_, 4), many = loop_events(exec, process, *integrator_, 40);
    EXPECT_GT(count(few, Kind::kernel), 0);
    EXPECT_EQ(10 * count(few, Kind::kernel), count(many, Kind::kernel));
    EXPECT_EQ(count(few, Kind::allocation), count(many, Kind::allocation));
    EXPECT_EQ(10 * count(few, Kind::fence), count(many, Kind::fence));
  });
}

TEST_P(Tools, WorkRunsOnTheGivenInstance) {
  ExecSpace const exec = reference::another_instance();
  each([&](Process& process, Direction) {
    StepLoop loop(exec, process, *integrator_, 3);
    EXPECT_TRUE(stays_on(exec, [&] { loop.run(); }));
  });
}

TEST_P(Tools, EveryAllocationOfARunIsLabelled) {
  ExecSpace const exec;
  each([&](Process& process, Direction) {
    auto const fresh = make_integrator(GetParam());  // its workspace is allocated within the run
    SamplePlan plan{.grid = grid(process, 5), .samples = 2 * batch, .length = length, .batch = batch};
    if (!process.is_reverse()) plan.start = all_zero;
    auto const events = record([&] { sample(exec, process, *fresh, plan); });
    EXPECT_GT(count(events, Kind::allocation), 3);
    for (Event const& e : events) {
      if (e.kind == Kind::allocation) {
        EXPECT_TRUE(is_ours(e.label)) << e.label;
      }
      if (e.kind == Kind::kernel) {  // Kokkos fills fresh Views itself; the label in brackets is ours
        EXPECT_NE(e.label.find("saltus::"), std::string::npos) << e.label;
      }
    }
  });
}

// Ten times the steps need the same memory but for the table of their coefficients, and ten times the batches the same.
TEST_P(Tools, MemoryDoesNotGrowWithTheRun) {
  ExecSpace const exec;
  each([&](Process& process, Direction direction) {
    auto const allocated = [&](int steps, int batches, std::int64_t& number) {
      Process fresh_process = make_process(direction);
      auto const fresh = make_integrator(GetParam());
      std::vector<Event> events;
      SamplePlan plan{.grid = grid(process, steps),
                      .samples = static_cast<std::size_t>(batch * batches),
                      .length = length,
                      .batch = batch};
      if (!process.is_reverse()) plan.start = all_zero;
      auto const sink = [](std::uint64_t, HostTokens const&) {};
      events = record([&] { sample(exec, fresh_process, *fresh, plan, sink); });
      std::uint64_t bytes = 0, table = 0;
      number = count(events, Kind::allocation);
      for (Event const& e : events) {
        if (e.kind == Kind::allocation) (e.label == "saltus::ctmc::step_table" ? table : bytes) += e.bytes;
      }
      auto const parts = fresh->parts(process.noise(), plan.grid.interval(0)).size();
      std::uint64_t const needed = static_cast<std::uint64_t>(steps) * (1 + parts) * sizeof(StepCoeff);
      EXPECT_GE(table, needed);
      EXPECT_LE(table, needed + 256);  // header and alignment
      return bytes;
    };
    std::int64_t number = 0, longer_number = 0, more_number = 0;
    auto const bytes = allocated(5, 2, number);
    EXPECT_GT(bytes, 0u);
    EXPECT_EQ(bytes, allocated(50, 2, longer_number));
    EXPECT_EQ(number, longer_number);
    EXPECT_EQ(bytes, allocated(5, 20, more_number));
    EXPECT_EQ(number, more_number);
  });
}

INSTANTIATE_TEST_SUITE_P(Method, Tools, testing::ValuesIn(integrator_names()),
                         [](auto const& method) { return method.param; });

// The numbers of kernels a step, one by one.
TEST(Kernels, AStepOfIndependentSitesIsOneKernelBesidesTheModels) {
  ExecSpace const exec;
  constexpr int steps = 6;
  for (std::string const name : {"euler", "tweedie"}) {
    auto const integrator = make_integrator(name);
    auto const kernels = [&](Direction direction) {
      Process process = make_process(direction);
      return count(loop_events(exec, process, *integrator, steps), Kind::kernel);
    };
    EXPECT_EQ(kernels(Direction::masked), 2 * steps);   // model, step
    EXPECT_EQ(kernels(Direction::uniform), 3 * steps);  // time input, model, step
    EXPECT_EQ(kernels(Direction::forward_absorbing), steps);
    EXPECT_EQ(kernels(Direction::forward_uniform), steps);
  }
}

TEST(Kernels, EventsLaunchThreePerEventOfTheBusiestRow) {
  ExecSpace const exec;
  auto const integrator = make_integrator("gillespie");
  for (Direction const direction : {Direction::forward_absorbing, Direction::forward_uniform}) {
    Process process = make_process(direction);
    EXPECT_EQ(count(loop_events(exec, process, *integrator, 6), Kind::kernel), 6);
  }
  // From all masks to 0 in one interval every row has `length` events: two kernels ahead (which times, how many), finish,
  // and aim, model, reveal of each. Thinning counts again when all have been looked at.
  for (std::string const name : {"first_hitting", "gillespie", "next_reaction", "thinning"}) {
    Process process = make_process(Direction::masked);
    SamplePlan const plan{.grid = TimeGrid::uniform(1, 0, 1), .samples = batch, .length = length, .batch = batch};
    std::int64_t kernels = 0;
    for (Event const& e : record([&] { sample(exec, process, *make_integrator(name), plan); })) {
      kernels += e.kind == Kind::kernel &&
                 (e.label.starts_with("saltus::integrators::" + name) || e.label == "saltus::models::chain");
    }
    EXPECT_EQ(kernels, 3 + 3 * length + (name == "thinning" ? 1 : 0)) << name;
  }
}

// How many candidates of a masked process come depends on those before: the host waits again, but not for each of them.
TEST(Kernels, ThinningWaitsSeldom) {
  ExecSpace const exec;
  Process process = make_process(Direction::masked);
  auto const counted = [&](std::string const& name, std::int64_t& waits) {
    SamplePlan const plan{.grid = TimeGrid::uniform(1, 0, 1), .samples = batch, .length = length, .batch = batch};
    std::int64_t evaluations = 0;
    waits = 0;
    for (Event const& e : record([&] { sample(exec, process, *make_integrator(name), plan); })) {
      evaluations += e.kind == Kind::kernel && e.label == "saltus::integrators::thinning::aim";
      waits += e.kind == Kind::fence && e.label.starts_with("saltus::integrators::thinning");
    }
    return evaluations;
  };
  std::int64_t waits = 0;
  EXPECT_EQ(counted("thinning", waits), length);
  EXPECT_EQ(waits, 2);
  auto const evaluations = counted("thinning:bound=4", waits);
  EXPECT_GT(evaluations, 4 * length);  // of the busiest row of 40, which needs 28 on average
  EXPECT_LT(2 * waits, evaluations);
}

// Negative control: a method that breaks every promise is caught by the same checker.
struct Touch {
  Tokens tokens;
  KOKKOS_FUNCTION void operator()(int b) const { tokens(b, 0) = 0; }
};

class Careless final : public Integrator {
 public:
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const&) const override { return {}; }
  std::size_t reserve(Process const&, Extents) override { return 1; }
  void advance(ExecSpace const& exec, Process&, State const& state, Step const&, StreamKey,
               CounterView const&) override {
    Tokens const scratch("careless scratch", state.tokens.extent(0), 1);
    // on the default instance, not on `exec`
    Kokkos::parallel_for("careless kernel", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(0, state.batch()),
                         Touch{scratch});
    ExecSpace().fence("careless fence");
    exec.fence("saltus::tests: a fence with a label, but not declared");
    Kokkos::deep_copy(exec, state.tokens, scratch.extent(0) > 0 ? 1 : 0);
    Kokkos::deep_copy(exec, Kokkos::subview(state.tokens, Kokkos::ALL, std::make_pair(0, 1)), scratch);
  }

 private:
  IntegratorInfo const info_{.name = "careless", .summary = {}, .reference = {}};
};

TEST(Control, ACarelessIntegratorIsCaught) {
  ExecSpace const exec = reference::another_instance();
  Careless careless;
  Process process = make_process(Direction::forward_uniform);
  auto const few = loop_events(exec, process, careless, 2), many = loop_events(exec, process, careless, 20);
  auto const found = breaches(few, tools::device_id(exec), 0);
  EXPECT_TRUE(mentions(found, "kernel without our prefix: careless kernel")) << listed(found);
  EXPECT_TRUE(mentions(found, "allocation: careless scratch")) << listed(found);
  EXPECT_TRUE(mentions(found, "fence without our label: careless fence")) << listed(found);
  EXPECT_TRUE(mentions(found, "undeclared fence: saltus::tests")) << listed(found);
  EXPECT_TRUE(mentions(found, "undeclared copy: ")) << listed(few);
  EXPECT_NE(count(few, Kind::allocation), count(many, Kind::allocation));
  StepLoop loop(exec, process, careless, 1);
  EXPECT_FALSE(stays_on(exec, [&] { loop.run(); }, std::chrono::seconds(1)));
}

}  // namespace
}  // namespace saltus
