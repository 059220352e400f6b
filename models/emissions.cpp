// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/emissions.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/models/native_model.hpp>

namespace saltus {
namespace {

using Vector = Kokkos::View<double const*, MemorySpace>;
using Rows = Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace>;

struct DecayKernel {
  Times total;
  Vector values;
  Rows decay;
  KOKKOS_FUNCTION void operator()(int b, int j) const { decay(b, j) = Kokkos::exp(values(j) * total(b)); }
};

struct ClosedKernel {
  Tokens tokens;
  Times total;
  Emissions::Table table;
  int states;
  token_t mask;
  KOKKOS_FUNCTION void operator()(int b, int l) const {
    token_t const seen = tokens(b, l);
    double const alpha = mask >= 0 ? 1 : Kokkos::exp(-total(b));
    double const off = mask >= 0 ? (seen == mask ? 1 : 0) : -Kokkos::expm1(-total(b)) / states;
    for (int k = 0; k < states; ++k) table(b, l, k) = off + (seen == k ? alpha : 0);
  }
};

struct SpectralKernel {
  Tokens tokens;
  Rows decay;
  Vector left, right;
  Emissions::Table table;
  int states;
  KOKKOS_FUNCTION void operator()(int b, int l) const {
    double* const out = &table(b, l, 0);
    double const* const column = right.data() + static_cast<std::int64_t>(tokens(b, l)) * states;
    for (int k = 0; k < states; ++k) out[k] = 0;
    for (int j = 0; j < states; ++j) {
      double const weight = decay(b, j) * column[j];
      double const* const row = left.data() + static_cast<std::int64_t>(j) * states;
      for (int k = 0; k < states; ++k) out[k] += weight * row[k];
    }
    for (int k = 0; k < states; ++k) out[k] = out[k] > 0 ? out[k] : 0;
  }
};

// Rows and columns exchanged, on the device.
Vector transposed(std::vector<double> const& matrix, int states, char const* label) {
  auto const n = static_cast<std::size_t>(states);
  std::vector<double> turned(n * n);
  for (std::size_t x = 0; x < n; ++x) {
    for (std::size_t y = 0; y < n; ++y) turned[y * n + x] = matrix[x * n + y];
  }
  return to_device(turned, label);
}

}  // namespace

Emissions::Emissions(Generator const& generator)
    : kind_(generator.kind()), states_(generator.data_states()), mask_(generator.mask().value_or(-1)) {
  if (kind_ != Generator::Kind::dense) return;
  Spectrum const& spectrum = generator.spectrum();
  left_ = transposed(spectrum.left, states_, "saltus::models::emissions::left");
  right_ = transposed(spectrum.right, states_, "saltus::models::emissions::right");
  values_ = to_device(spectrum.values, "saltus::models::emissions::values");
}

void Emissions::reserve(Extents extents) {
  auto const batch = static_cast<std::size_t>(extents.batch), length = static_cast<std::size_t>(extents.length),
             states = static_cast<std::size_t>(states_);
  if (table_.extent(0) >= batch && table_.extent(1) >= length) return;
  table_ = Table("saltus::models::emissions", batch, length, states);
  if (kind_ == Generator::Kind::dense) decay_ = Rows("saltus::models::emissions::decay", batch, states);
}

Emissions::Table const& Emissions::evaluate(ExecSpace const& exec, Tokens const& tokens, Times const& total) {
  int const batch = static_cast<int>(tokens.extent(0)), length = static_cast<int>(tokens.extent(1));
  SALTUS_ASSERT(table_.extent_int(0) >= batch && table_.extent_int(1) >= length);
  if (batch == 0) return table_;
  using Policy = Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>;
  if (kind_ == Generator::Kind::dense) {
    Kokkos::parallel_for("saltus::models::emissions::decay", Policy(exec, {0, 0}, {batch, states_}),
                         DecayKernel{total, values_, decay_});
    Kokkos::parallel_for("saltus::models::emissions", Policy(exec, {0, 0}, {batch, length}),
                         SpectralKernel{tokens, decay_, left_, right_, table_, states_});
  } else {
    Kokkos::parallel_for("saltus::models::emissions", Policy(exec, {0, 0}, {batch, length}),
                         ClosedKernel{tokens, total, table_, states_, mask_});
  }
  return table_;
}

}  // namespace saltus
