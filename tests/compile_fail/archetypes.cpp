// SPDX-License-Identifier: BSD-3-Clause
// The least that a user writes to add a model, a method or an observer. As it stands it compiles and is part of the
// build; with one of the macros MISSING_... or WRONG_... defined it must not (CMakeLists.txt lists them).
#include <memory>

#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/ctmc/score_model.hpp>
#include <saltus/integrators/integrator.hpp>
#include <saltus/integrators/observer.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/integrators/site_law.hpp>

namespace user {

using namespace saltus;

// A denoiser that knows nothing: every token equally likely.
class Model final : public ScoreModel {
 public:
#ifndef MISSING_MODEL_INFO
  ModelInfo info() const override { return {.name = "flat", .states = 5, .mask = 4}; }
#endif
#ifndef MISSING_MODEL_RESERVE
  void reserve(Extents extents, int) override {
    auto const batch = static_cast<std::size_t>(extents.batch), length = static_cast<std::size_t>(extents.length);
    scores_ = Scores("user::flat", batch, length, 5);
    Kokkos::deep_copy(scores_, 0.25F);
  }
#endif
#ifdef WRONG_MODEL_QUERY  // may change the tokens that it is asked about
  Evaluation evaluate(ExecSpace const&, Query& query, int) override {
#else
  Evaluation evaluate(ExecSpace const&, Query const& query, int) override {
#endif
    (void)query;
    return {ScalarType::f32, scores_.data(), static_cast<std::int64_t>(scores_.stride(0)),
            static_cast<std::int64_t>(scores_.stride(1)), 5, ScoreKind::x0_leave_one_out};
  }

 private:
  using Scores = Kokkos::View<float***, Kokkos::LayoutRight, MemorySpace>;
  Scores scores_;
};

// A method that only moves the clock.
class Method final : public Integrator {
 public:
#ifndef MISSING_METHOD_INFO
  IntegratorInfo const& info() const override { return info_; }
#endif
#ifndef MISSING_METHOD_REFUSES
  std::string refuses(Process const& process) const override {
    return process.is_reverse() ? std::string() : "needs a reverse process";
  }
#endif
  std::size_t reserve(Process const&, Extents extents) override { return static_cast<std::size_t>(extents.batch); }
#ifndef MISSING_METHOD_ADVANCE
  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey,
               CounterView const&) override {
    process.refresh(exec, state, 0);
    (void)step;
    Kokkos::deep_copy(exec, state.time, 0.0);
  }
#endif

 private:
  IntegratorInfo info_{.name = "clock", .summary = "moves nothing", .reference = "none"};
};

// Sites move independently, by their rates times the step: the field's structure and the random numbers come for free.
struct Law {
#ifndef MISSING_LAW_WEIGHTS
  template <class Field>
  KOKKOS_FUNCTION static Weights weights(Field const& field, StepCoeff const& c, RowSums const& sums) {
    return field.rates(c, sums);
  }
#endif
#if defined(WRONG_LAW_JUMP)  // has no way to say that it clamped
  KOKKOS_FUNCTION static double jump(StepCoeff const& c, double leave) { return c.duration * leave; }
#elif !defined(MISSING_LAW_JUMP)
  KOKKOS_FUNCTION static double jump(StepCoeff const& c, double leave, double, bool& clamped) {
    double const p = c.duration * leave;
    clamped = p > 1;
    return clamped ? 1 : p;
  }
#endif
};

class Observer final : public StepObserver {
 public:
#ifndef MISSING_OBSERVE
  void observe(ExecSpace const&, StepEvent const& event, State const& state) override {
    sites = event.step * state.batch() * state.length();
  }
#endif
  int sites = 0;
};

// Everything comes together, so that what is missing is missed.
SampleReport run(NoiseSchedule const& noise, Sink const& sink) {
  Process process = Process::reverse(Generator::absorbing(5), noise, std::make_shared<Model>());
  Observer observer;
  StepObserver* const observers[] = {&observer};
  Method method;
  IndependentSites<Law> sites({.name = "sites", .summary = "by rates", .reference = "none", .has_site_law = true});
  sample(ExecSpace(), process, method, make_plan(process, method, 4, 10), sink, observers);
#ifdef WRONG_PROCESS_CONST  // a run changes the process: it holds the evaluations
  Process const& same = process;
#else
  Process& same = process;
#endif
  return sample(ExecSpace(), same, sites, make_plan(same, sites, 4, 10), sink, observers);
}

// A file that is written once cannot be copied.
AtomicFile moved(AtomicFile& file) {
#ifdef WRONG_FILE_COPY
  return AtomicFile(file);
#else
  return AtomicFile(std::move(file));
#endif
}

}  // namespace user
