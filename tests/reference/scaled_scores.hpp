// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <vector>

#include <saltus/ctmc/generator.hpp>
#include <saltus/ctmc/score_model.hpp>

namespace saltus::reference {

/// Scores of independent sites that all have the law `clean`, under absorbing or uniform noise, times `factor`: of kind
/// score, so that their sum says how fast a site moves (A§4.2, 4.3).
class ScaledScores final : public ScoreModel {
 public:
  using Output = Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace>;

  ScaledScores(Generator const& generator, std::vector<double> const& clean, double factor) : factor_(factor) {
    info_.name = "scaled";
    info_.states = generator.states();
    info_.mask = generator.mask();
    info_.kind = ScoreKind::score;
    info_.time = TimeInput::total;
    clean_ = Kokkos::View<double*, MemorySpace>("test::clean", clean.size());
    auto const host = Kokkos::create_mirror_view(clean_);
    for (std::size_t y = 0; y < clean.size(); ++y) host(y) = clean[y];
    Kokkos::deep_copy(clean_, host);
  }
  ModelInfo info() const override { return info_; }
  void reserve(Extents extents, int) override {
    out_ = Output("test::scores", static_cast<std::size_t>(extents.batch), static_cast<std::size_t>(extents.length),
                  static_cast<std::size_t>(info_.states));
  }
  struct Fill {
    Output out;
    Tokens tokens;
    Times total;
    Kokkos::View<double*, MemorySpace> clean;
    double factor;
    bool masked;
    KOKKOS_FUNCTION void operator()(int b, int l) const {
      double const lost = -Kokkos::expm1(-total(b)), alpha = Kokkos::exp(-total(b));
      int const states = static_cast<int>(clean.extent(0));
      token_t const own = tokens(b, l);
      for (int y = 0; y < states; ++y) {
        out(b, l, y) = factor * (masked ? alpha / lost * clean(y)
                                        : (alpha * clean(y) + lost / states) / (alpha * clean(own) + lost / states));
      }
      if (masked) out(b, l, states) = 0;
    }
  };
  Evaluation evaluate(ExecSpace const& exec, Query const& query, int) override {
    Kokkos::parallel_for("test::scaled_scores",
                         Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(
                             exec, {0, 0},
                             {static_cast<int>(query.tokens.extent(0)), static_cast<int>(query.tokens.extent(1))}),
                         Fill{out_, query.tokens, query.time, clean_, factor_, info_.mask.has_value()});
    return {ScalarType::f64, out_.data(), static_cast<std::int64_t>(out_.stride(0)),
            static_cast<std::int64_t>(out_.stride(1)), info_.states, info_.kind};
  }

 private:
  ModelInfo info_;
  double factor_;
  Kokkos::View<double*, MemorySpace> clean_;
  Output out_;
};

}  // namespace saltus::reference
