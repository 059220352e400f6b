// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/table.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/exact.hpp>
#include <saltus/models/emissions.hpp>
#include <saltus/models/native_model.hpp>

namespace saltus {
namespace {

// p(x_0^l | x_t without l) by summing over every x_0: states^length terms a row.
struct TableKernel {
  Tokens tokens;
  Times total;
  Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace> out;
  Kokkos::View<double const*, MemorySpace> probabilities;
  Kokkos::View<double const*, MemorySpace> marginals;
  int length, states;
  token_t mask;
  Emissions::Table emissions;  // [batch, length, states], dense noise; empty: closed forms

  KOKKOS_FUNCTION void operator()(int b, int l) const {
    double const alpha = mask >= 0 ? 0 : Kokkos::exp(-total(b));
    double const off = mask >= 0 ? 0 : -Kokkos::expm1(-total(b)) / states;
    for (int y = 0; y < states; ++y) out(b, l, y) = 0;
    double sum = 0;
    for (std::size_t i = 0; i < probabilities.extent(0); ++i) {
      double weight = probabilities(i);
      std::size_t rest = i;
      int mine = 0;
      for (int d = length; d-- > 0; rest /= static_cast<std::size_t>(states)) {
        auto const clean = static_cast<token_t>(rest % static_cast<std::size_t>(states));
        token_t const seen = tokens(b, d);
        if (d == l) {
          mine = clean;
        } else if (mask >= 0) {
          if (seen != mask && seen != clean) weight = 0;
        } else if (emissions.size() > 0) {
          weight *= emissions(b, d, clean);
        } else {
          weight *= off + (seen == clean ? alpha : 0);
        }
      }
      out(b, l, mine) += weight;
      sum += weight;
    }
    // An impossible context: the site's own law, so that samplers have somewhere to go.
    for (int y = 0; y < states; ++y) out(b, l, y) = sum > 0 ? out(b, l, y) / sum : marginals(l * states + y);
  }
};

class TableDenoiser final : public NativeModel {
 public:
  TableDenoiser(TableLaw const& law, Generator const& generator)
      : NativeModel(law.name(), generator, law.length()),
        probabilities_(to_device(law.probabilities(), "saltus::models::table")),
        marginals_(to_device(law.site_marginals(), "saltus::models::table")) {
    if (generator.kind() == Generator::Kind::dense) dense_.emplace(generator);
  }

  void reserve(Extents extents, int slots) override {
    NativeModel::reserve(extents, slots);
    if (dense_) dense_->reserve(extents);
  }

  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    auto const batch = static_cast<int>(query.tokens.extent(0));
    if (batch > 0) {
      auto const emissions = dense_ ? dense_->evaluate(exec, query.tokens, query.time) : Emissions::Table();
      Kokkos::parallel_for(
          "saltus::models::table",
          Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(exec, {0, 0}, {batch, length()}),
          TableKernel{query.tokens, query.time, output(slot), probabilities_, marginals_, length(), data_states(), mask(), emissions});
    }
    return evaluation(slot);
  }

 private:
  Kokkos::View<double const*, MemorySpace> probabilities_, marginals_;
  std::optional<Emissions> dense_;
};

}  // namespace

TableLaw::TableLaw(int length, int states, std::vector<double> probabilities)
    : length_(length), states_(states), probabilities_(std::move(probabilities)) {
  StateSpace const space(states, length);
  require(probabilities_.size() == space.size(), "a table of " + std::to_string(length) + " sites and " + std::to_string(states) +
                                                     " states needs " + std::to_string(space.size()) + " probabilities, got " +
                                                     std::to_string(probabilities_.size()));
  double sum = 0;
  for (double const p : probabilities_) {
    require(p >= 0, "probabilities must not be negative");
    sum += p;
  }
  require(std::abs(sum - 1) < 1e-9, "the probabilities sum to " + std::to_string(sum) + ", not 1");
}

TableLaw TableLaw::neighbours(int length, int states, double strength) {
  StateSpace const space(states, length);
  std::vector<double> p(space.size());
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    auto const x = space.tokens(i);
    p[i] = 1;
    for (std::size_t l = 0; l + 1 < x.size(); ++l) p[i] += x[l] == x[l + 1] ? strength : 0;
    sum += p[i];
  }
  for (double& value : p) value /= sum;
  return {length, states, std::move(p)};
}

double TableLaw::log_likelihood(std::span<token_t const> x) const {
  return std::log(probabilities_[StateSpace(states_, length_).index(x.data())]);
}

double TableLaw::entropy() const { return saltus::entropy(probabilities_); }

std::vector<double> TableLaw::site_marginals() const {
  StateSpace const space(states_, length_);
  std::vector<double> p(static_cast<std::size_t>(length_ * states_), 0.0);
  for (std::size_t i = 0; i < space.size(); ++i) {
    auto const x = space.tokens(i);
    for (std::size_t l = 0; l < x.size(); ++l) p[l * static_cast<std::size_t>(states_) + static_cast<std::size_t>(x[l])] += probabilities_[i];
  }
  return p;
}

std::vector<double> TableLaw::pair_marginals() const {
  StateSpace const space(states_, length_);
  auto const n = static_cast<std::size_t>(states_);
  std::vector<double> p(static_cast<std::size_t>(length_ - 1) * n * n, 0.0);
  for (std::size_t i = 0; i < space.size(); ++i) {
    auto const x = space.tokens(i);
    for (std::size_t l = 0; l + 1 < x.size(); ++l) p[(l * n + static_cast<std::size_t>(x[l])) * n + static_cast<std::size_t>(x[l + 1])] += probabilities_[i];
  }
  return p;
}

std::vector<double> TableLaw::triple_marginals() const {
  StateSpace const space(states_, length_);
  auto const n = static_cast<std::size_t>(states_);
  std::vector<double> p(static_cast<std::size_t>(std::max(length_ - 2, 0)) * n * n * n, 0.0);
  for (std::size_t i = 0; i < space.size(); ++i) {
    auto const x = space.tokens(i);
    for (std::size_t l = 0; l + 2 < x.size(); ++l) {
      auto const at = [&](std::size_t d) { return static_cast<std::size_t>(x[l + d]); };
      p[((l * n + at(0)) * n + at(1)) * n + at(2)] += probabilities_[i];
    }
  }
  return p;
}

void TableLaw::draw(std::uint64_t seed, std::uint64_t sample, std::span<token_t> x) const {
  double const u = uniform53(StreamKey{seed, 0}.draw(sample, Role::ancestral, 0).event);
  StateSpace(states_, length_).tokens(static_cast<std::size_t>(draw_index(probabilities_, u)), x.data());
}

std::shared_ptr<ScoreModel> TableLaw::denoiser(Generator const& generator) const {
  require_fitting(generator, states_, name());
  return std::make_shared<TableDenoiser>(*this, generator);
}

}  // namespace saltus
