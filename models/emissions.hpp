// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/ctmc/generator.hpp>
#include <saltus/ctmc/types.hpp>

namespace saltus {

/// How probable what is seen is for each clean token: P_{t|0}(k, x) for the sites of a batch, as exact denoisers need
/// it. Generators as for require_fitting(): absorbing with the mask last, uniform, reversible dense.
class Emissions {
 public:
  using Table = Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace>;  ///< [batch, length, data states]

  explicit Emissions(Generator const& generator);
  /// Allocates for batches up to `extents`.
  void reserve(Extents extents);
  /// Entry (b, l, k) is P_{t|0}(k, tokens(b, l)) at sigma_bar = total(b), up to a factor that does not depend on k.
  /// Absorbing: 1 where k may be what is seen, and `total` is not read. Uniform: closed form. Dense: from the spectrum,
  /// O(states^2) a site, with an absolute error of a few roundings, and 0 where they would make it negative.
  /// Asynchronous on `exec`; allocates nothing; good until the next call.
  Table const& evaluate(ExecSpace const& exec, Tokens const& tokens, Times const& total);

 private:
  Generator::Kind kind_;
  int states_;    // of the data
  token_t mask_;  // -1: none
  // Dense, with S = states_: P(k, x) = sum over j of left(j, k) decay(j) right(x, j).
  Kokkos::View<double const*, MemorySpace> left_, values_, right_;  // [S,S], [S], [S,S]
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> decay_;  // [batch, S]
  Table table_;
};

}  // namespace saltus
