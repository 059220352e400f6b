// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/last_step.hpp>

#include <saltus/ctmc/visit_field.hpp>
#include <saltus/integrators/registry.hpp>

namespace saltus {
namespace {

template <class Field>
struct ArgmaxKernel {
  Field field;
  CounterView counters;
  Times time;
  std::int32_t step;
  int length;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    StepCoeff const& c = field.coeff(b);
    if (l == 0) time(b) = c.to;
    if (!field.active(b, l)) return;
    auto const row = field.row(b, l);
    token_t const own = field.tokens(b, l);
    typename Field::Row::Scratch scratch;
    RowSums const sums = row.scan(own, scratch);
    Counters& count = counters(item);
    Weights const weights = field.transitions(c, sums);
    int best = -1;
    double most = 0;
    bool const good = Kokkos::isfinite(sums.others) && Kokkos::isfinite(sums.own);
    for (int y = 0; good && y < field.states; ++y) {
      double const w =
          y == own ? (field.forced(c) ? 0 : weights.stay) : weights.slope * row.value(y, scratch) + weights.offset;
      if (w > most) {
        most = w;
        best = y;
      }
    }
    if (best < 0) {
      count.note_bad_score(step, b, l);
      return;
    }
    count.jumps += best != own;
    field.tokens(b, l) = static_cast<token_t>(best);
  }
};

class Argmax final : public Integrator {
 public:
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override {
    return process.is_reverse() ? "" : "needs " + info_.needs;
  }
  std::size_t reserve(Process const&, Extents extents) override {
    return static_cast<std::size_t>(extents.batch) * static_cast<std::size_t>(extents.length);
  }
  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    process.refresh(exec, state, 0);
    visit_field(process, state, step, 0, true, [&]<class Field>(Field const& field) {
      if constexpr (requires { typename Field::Value; }) {
        Kokkos::parallel_for("saltus::integrators::argmax",
                             Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(
                                 exec, 0, std::int64_t{state.batch()} * state.length()),
                             ArgmaxKernel<Field>{field, counters, state.time, step.index, state.length()});
      }
    });
  }

 private:
  IntegratorInfo const info_{.name = "argmax",
                             .summary = "the most probable token of each site",
                             .reference = "Sahoo et al. 2024 (MDLM), arXiv:2406.07524",
                             .uses_transitions = true,
                             .needs = "a reverse process"};
};

}  // namespace

std::unique_ptr<Integrator> make_last_step(LastStep last) {
  if (last == LastStep::none) return nullptr;
  if (last == LastStep::sample) return make_integrator("tweedie");
  return std::make_unique<Argmax>();
}

}  // namespace saltus
