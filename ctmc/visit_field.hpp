// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/field.hpp>
#include <saltus/ctmc/process.hpp>

namespace saltus {

/// Calls `visitor` with the field of `process` for this step, from the evaluation in `slot` (ignored by a forward
/// process). Include it only in .cpp files that launch kernels: each call instantiates the visitor for every structure
/// and scalar type.
template <class Visitor>
void visit_field(Process const& process, State const& state, Step const& step, int slot, Visitor&& visitor) {
  FieldBase const base{state.tokens, state.frozen, step.coefficients, process.generator().states()};
  auto const mask = process.generator().mask();
  if (!process.is_reverse()) {
    if (mask) return visitor(ForwardAbsorbingField{base, *mask});
    return visitor(ForwardUniformField{base});
  }
  Evaluation const& e = process.evaluation(slot);
  SALTUS_ASSERT(e.data != nullptr);
  auto const with_scalar = [&]<class Scalar>(Scalar const* scores) {
    ScoredField<Scalar> const scored{base, scores, e.row_stride, e.site_stride, e.kind};
    if (mask) return visitor(ReverseMaskedField<Scalar>{scored, *mask, process.normalised()});
    return visitor(ReverseUniformField<Scalar>{scored});
  };
  if (e.type == ScalarType::f32) return with_scalar(static_cast<float const*>(e.data));
  return with_scalar(static_cast<double const*>(e.data));
}

}  // namespace saltus
