// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/field.hpp>
#include <saltus/ctmc/process.hpp>

namespace saltus {

/// Calls `visitor` with the field of `process` for this step, from the evaluation in `slot` (ignored by a forward
/// process). `transitions`: the law will ask the field for transitions() rather than rates(). Include it only in .cpp
/// files that launch kernels: each call instantiates the visitor for every structure and scalar type.
template <class Visitor>
void visit_field(Process const& process, State const& state, Step const& step, int slot, bool transitions,
                 Visitor&& visitor) {
  Generator const& generator = process.generator();
  FieldBase const base{state.tokens, state.frozen, step.coefficients, generator.states()};
  if (!process.is_reverse()) {
    ForwardField const forward{base, process.site_scale()};
    switch (generator.kind()) {
      case Generator::Kind::absorbing: return visitor(ForwardAbsorbingField{forward, *generator.mask()});
      case Generator::Kind::uniform: return visitor(ForwardUniformField{forward});
      case Generator::Kind::population: return visitor(ForwardPopulationField{forward, generator.population_rates()});
      default: break;
    }
    SALTUS_ASSERT(!transitions || !step.matrices.transitions.empty());
    if (transitions) return visitor(ForwardTableField{forward, step.matrices.transitions, process.site_category()});
    return visitor(ForwardTableField{forward, process.jump_table(), {}});
  }
  Evaluation const& e = process.evaluation(slot);
  SALTUS_ASSERT(e.data != nullptr);
  auto const with_scalar = [&]<class Scalar>(Stored<Scalar> const& scores) {
    if (generator.kind() == Generator::Kind::dense) {
      SALTUS_ASSERT(step.matrices.from.size() != 0);
      return visitor(ReverseDenseField<Scalar>{base, scores, e.row_stride, e.site_stride, e.kind, step.matrices,
                                               process.transposed(), transitions});
    }
    ScoredField<Scalar> const scored{base, scores, e.row_stride, e.site_stride, e.kind, e.normalised};
    if (auto const mask = generator.mask())
      return visitor(ReverseMaskedField<Scalar>{scored, *mask, process.normalised()});
    return visitor(ReverseUniformField<Scalar>{scored});
  };
  if (e.type == ScalarType::f64) return with_scalar(Stored<double>(e.data, e.type));
  return with_scalar(Stored<float>(e.data, e.type));
}

/// The same with the field of the corrector of a reverse process at the start of the step.
template <class Visitor>
void visit_corrector_field(Process const& process, State const& state, Step const& step, int slot, Visitor&& visitor) {
  SALTUS_ASSERT(process.is_reverse());
  visit_field(process, state, step, slot, false, [&]<class Field>(Field const& field) {
    if constexpr (requires { field.for_transitions; }) {
      visitor(CorrectorDenseField<typename Field::Value>{field});
    } else if constexpr (requires { field.normalised; }) {
      visitor(CorrectorMaskedField<typename Field::Value>{field});
    } else if constexpr (requires { field.own_left_out(StepCoeff{}, RowSums{}); }) {
      visitor(CorrectorUniformField<typename Field::Value>{field});
    }
  });
}

}  // namespace saltus
