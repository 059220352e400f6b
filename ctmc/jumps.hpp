// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/ctmc/alias.hpp>
#include <saltus/ctmc/process.hpp>

/// The jumps of a forward process as event-driven methods ask for them: the exit rate of a token and, given that it jumps,
/// its target. In units of the noise's integral sigma_bar and before a site's multiplier. All are free of branches where
/// they can be, since loops over many trajectories at once go through them.
namespace saltus {

struct AbsorbingJumps {
  token_t mask;
  KOKKOS_FORCEINLINE_FUNCTION double exit(std::int64_t x) const { return x == mask ? 0.0 : 1.0; }
  KOKKOS_FORCEINLINE_FUNCTION std::int64_t next(std::int64_t, double) const { return mask; }
};

struct UniformJumps {
  int states;
  KOKKOS_FORCEINLINE_FUNCTION double exit(std::int64_t) const { return (states - 1.0) / states; }
  KOKKOS_FORCEINLINE_FUNCTION std::int64_t next(std::int64_t x, double uniform) const {
    auto const y = static_cast<std::int64_t>(uniform * (states - 1));
    return y < x ? y : y + 1;
  }
};

struct TableJumps {
  double const* total;
  std::int64_t const* row_begin;
  AliasTable::Entry const* entries;
  KOKKOS_FORCEINLINE_FUNCTION double exit(std::int64_t x) const { return total[x]; }
  KOKKOS_FORCEINLINE_FUNCTION std::int64_t next(std::int64_t x, double uniform) const {
    return AliasTable::draw(row_begin, entries, x, uniform);
  }
};

struct PopulationJumps {
  PopulationRates rates;
  KOKKOS_FORCEINLINE_FUNCTION double exit(std::int64_t x) const {
    auto const n = static_cast<double>(x);
    double const rate = rates.up(n) + rates.down(n);
    return x > PopulationRates::limit ? 0.0 : rate;  // it stands still
  }
  KOKKOS_FORCEINLINE_FUNCTION std::int64_t next(std::int64_t x, double uniform) const {
    auto const n = static_cast<double>(x);
    double const up = rates.up(n);
    return uniform * (up + rates.down(n)) < up ? x + rates.batch : x - 1;
  }
};

/// Calls `visitor` with the jumps of a forward process. Include it only in .cpp files that launch kernels.
template <class Visitor>
void visit_jumps(Process const& process, Visitor&& visitor) {
  Generator const& generator = process.generator();
  switch (generator.kind()) {
    case Generator::Kind::absorbing: return visitor(AbsorbingJumps{*generator.mask()});
    case Generator::Kind::uniform: return visitor(UniformJumps{generator.states()});
    case Generator::Kind::population: return visitor(PopulationJumps{generator.population_rates()});
    default: break;
  }
  AliasTable const& table = process.jump_table();
  visitor(TableJumps{table.total.data(), table.row_begin.data(), table.entries.data()});
}

}  // namespace saltus
