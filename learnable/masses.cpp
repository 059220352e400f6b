// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/masses.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/parameters.hpp>
#include <saltus/ctmc/visit_field.hpp>

namespace saltus {
namespace {

template <class Field>
struct MassKernel {
  Field field;
  SiteMasses out;
  int length, states;
  bool transitions;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    double* const masses = &out(b, l, 0);
    for (int y = 0; y < states; ++y) masses[y] = 0;
    if (!field.active(b, l)) return;
    StepCoeff const& c = field.coeff(b);
    token_t const own = field.tokens(b, l);
    auto const row = field.row(b, l);
    typename Field::Row::Scratch scratch;
    RowSums const sums = row.scan(own, scratch);
    Weights w = transitions ? field.transitions(c, sums) : field.rates(c, sums);
    if constexpr (requires { row.read(own, scratch, masses); }) {
      row.read(own, scratch, masses);
    } else {
      for (int y = 0; y < states; ++y) masses[y] = row.value(y, scratch);
    }
    double const factor = transitions ? 1 : c.duration;
    double others = 0;
    for (int y = 0; y < states; ++y) {
      double const v = w.slope * masses[y] + w.offset;
      masses[y] = y != own && !(v < 0) ? factor * v : 0;  // keeps a NaN
      others += masses[y];
    }
    if (!transitions) return;
    // Transition weights are a law up to a factor; those of masked processes are one, which phi may take beyond 1.
    constexpr bool masked = requires { field.normalised; };
    double const total = !masked ? others + w.stay : c.forced ? others : 1;
    if (total == 1 || !(total > 0)) return;
    for (int y = 0; y < states; ++y) masses[y] /= total;
  }
};

}  // namespace

StepLaw step_law(std::string_view integrator) {
  auto const parameters = Parameters::parse("base", integrator);
  std::string const& name = parameters.name();
  if (name == "tau_leaping") {
    std::string const rule = parameters.text("rule", "first");
    require(rule != "reject", "no factor is learned for tau_leaping:rule=reject, whose jumps grow rarer with large rates; take rule=first");
    return rule == "ordinal" ? StepLaw::linear : StepLaw::exponential;
  }
  if (name == "euler") return StepLaw::linear;
  if (name == "exponential") return StepLaw::exponential;
  if (name == "tweedie") return StepLaw::tweedie;
  if (name == "tweedie_trapezoidal") return StepLaw::two_stage;
  throw UserError(unknown_name("base", name, {"euler", "exponential", "tau_leaping", "tweedie", "tweedie_trapezoidal"}));
}

Mass mass_of(StepLaw law) {
  return law == StepLaw::linear || law == StepLaw::exponential ? Mass::rates : Mass::transitions;
}

void read_masses(ExecSpace const& exec, Process const& process, State const& state, Step const& step, int slot, Mass mass,
                 SiteMasses const& out) {
  require(process.is_reverse(), "masses are read of reverse processes");
  bool const transitions = mass == Mass::transitions;
  visit_field(process, state, step, slot, transitions, [&](auto const& field) {
    using Field = std::decay_t<decltype(field)>;
    if constexpr (requires { field.scores; }) {  // of a reverse process
      Kokkos::parallel_for("saltus::learnable::masses",
                           Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(
                               exec, 0, std::int64_t{state.batch()} * state.length()),
                           MassKernel<Field>{field, out, state.length(), process.generator().states(), transitions});
    }
  });
}

}  // namespace saltus
