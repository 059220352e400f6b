// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <limits>
#include <type_traits>
#include <vector>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/score_model.hpp>

namespace saltus::reference {

/// A model that answers with stored numbers, whatever the tokens and the time. Rows lie `padding` scalars further apart
/// than they are long, and the gaps hold NaN, so that reading past a row or with the wrong stride shows.
template <class Scalar>
class StoredScores final : public ScoreModel {
 public:
  /// `values` [sites][states]: site l of every row of the batch gets values[l], or values[0] if there is only one.
  StoredScores(ScoreKind kind, std::optional<token_t> mask, std::vector<std::vector<double>> const& values,
               int padding = 3)
      : sites_(values.size()) {
    info_.name = "stored";
    info_.states = static_cast<int>(values.front().size());
    info_.mask = mask;
    info_.kind = kind;
    info_.length = sites_ == 1 ? 0 : static_cast<int>(sites_);
    stride_ = values.front().size() + static_cast<std::size_t>(padding);
    data_ = Kokkos::View<Scalar*, MemorySpace>("test::scores", sites_ * stride_);
    auto const host = Kokkos::create_mirror_view(data_);
    Kokkos::deep_copy(host, std::numeric_limits<Scalar>::quiet_NaN());
    for (std::size_t l = 0; l < sites_; ++l) {
      for (std::size_t y = 0; y < values[l].size(); ++y) host(l * stride_ + y) = static_cast<Scalar>(values[l][y]);
    }
    Kokkos::deep_copy(data_, host);
  }

  ModelInfo info() const override { return info_; }
  void reserve(Extents, int) override {}
  Evaluation evaluate(ExecSpace const&, Query const& query, int) override {
    ++evaluations;
    rows += static_cast<std::int64_t>(query.tokens.extent(0));
    return {std::is_same_v<Scalar, float> ? ScalarType::f32 : ScalarType::f64,
            data_.data(),
            0,
            sites_ == 1 ? 0 : static_cast<std::int64_t>(stride_),
            info_.states,
            info_.kind};
  }

  std::int64_t evaluations = 0, rows = 0;  ///< calls, and rows in them

 private:
  ModelInfo info_;
  std::size_t sites_, stride_;
  Kokkos::View<Scalar*, MemorySpace> data_;
};

}  // namespace saltus::reference
