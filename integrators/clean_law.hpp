// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <utility>

#include <saltus/ctmc/field.hpp>

namespace saltus {

/// The law of the clean token of one site given everything seen (leave-in), from the field of a reverse process that knows
/// it (Field::clean). Where the scores are not finite, `total` is not, or not above 0.
template <class Field>
struct CleanLaw {
  decltype(std::declval<Field const&>().row(0, 0)) row;
  typename Field::Row::Scratch scratch;
  Weights weights;
  double leave, total;  // weight of the other tokens, and of all
  token_t own;

  KOKKOS_FUNCTION CleanLaw(Field const& field, int b, int l) : row(field.row(b, l)), own(field.tokens(b, l)) {
    RowSums const sums = row.scan(own, scratch);
    weights = field.clean(field.coeff(b), sums);
    leave = row.weigh(own, weights, sums, scratch);
    total = leave + weights.stay;
  }
  KOKKOS_FUNCTION double operator()(int y) const {
    double const w = y == own ? weights.stay : weights.slope * row.value(y, scratch) + weights.offset;
    return (w > 0 ? w : 0) / total;
  }
};

}  // namespace saltus
