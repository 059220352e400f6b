// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <vector>

#include <saltus/ctmc/random.hpp>
#include <saltus/ctmc/score_model.hpp>

namespace saltus {

namespace detail {
struct NarrowNumbers {
  float const* from;
  std::uint16_t* to;
  bool bfloat;
  KOKKOS_FUNCTION void operator()(std::int64_t i) const {
    to[i] = bfloat ? BFloat16::nearest(from[i]).bits : Float16::nearest(from[i]).bits;
  }
};
}  // namespace detail

/// Scores that lie in memory, the same whatever is asked: what a step costs when no network is evaluated.
class StoredScores final : public ScoreModel {
 public:
  using Scores = Kokkos::View<float***, Kokkos::LayoutRight, MemorySpace>;  ///< [batch, length, states]

  /// One array for each slot, all of the same extents; rows of an x0 kind are normalised. The mask is the last state. `type`:
  /// what they are stored as; f16 and bf16 are copies, rounded to nearest.
  StoredScores(std::vector<Scores> slots, ScoreKind kind, bool masked = true, ScalarType type = ScalarType::f32)
      : slots_(std::move(slots)), kind_(kind), masked_(masked), type_(type) {
    for (auto const& slot : slots_) {
      data_.push_back(slot.data());
      if (type_ == ScalarType::f32) continue;
      narrow_.emplace_back(Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::models::stored_scores"), slot.size());
      Kokkos::parallel_for("saltus::models::narrow", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(0, static_cast<std::int64_t>(slot.size())),
                           detail::NarrowNumbers{slot.data(), narrow_.back().data(), type_ == ScalarType::bf16});
      data_.back() = narrow_.back().data();
    }
    Kokkos::fence("saltus::models: stored scores are ready");
  }

  ModelInfo info() const override {
    ModelInfo info;
    info.name = "stored";
    info.states = static_cast<int>(slots_[0].extent(2));
    if (masked_) info.mask = info.states - 1;
    info.kind = kind_;
    info.length = static_cast<int>(slots_[0].extent(1));
    return info;
  }
  void reserve(Extents, int) override {}
  Evaluation evaluate(ExecSpace const&, Query const&, int slot) override {
    Scores const& s = slots_[static_cast<std::size_t>(slot)];
    return {type_, data_[static_cast<std::size_t>(slot)], static_cast<std::int64_t>(s.stride(0)), static_cast<std::int64_t>(s.stride(1)),
            static_cast<int>(s.extent(2)), kind_, is_x0(kind_)};
  }

 private:
  std::vector<Scores> slots_;
  ScoreKind kind_;
  bool masked_;
  ScalarType type_;
  std::vector<void const*> data_;
  std::vector<Kokkos::View<std::uint16_t*, MemorySpace>> narrow_;
};

namespace detail {
struct FillLikeANetwork {
  StoredScores::Scores scores;
  bool law;
  std::uint64_t seed;
  KOKKOS_FUNCTION void operator()(int b, int l) const {
    int const states = static_cast<int>(scores.extent(2));
    auto const draw = [&](std::uint64_t of, int y, Role role) {
      StreamKey const key{of, static_cast<std::uint32_t>(y)};
      return uniform53(key.draw(static_cast<std::uint64_t>(b), role, static_cast<std::uint32_t>(l)).event);
    };
    double sum = 0;
    for (int y = 0; y < states; ++y) {
      // E exp(6u - 3) = sinh(3)/3: unnormalised, but summing to about 1 = alpha/(1 - alpha) at t = 1/2
      double const o = 6 * draw(7, y, Role::ancestral) - 3 + 0.2 * draw(seed, y, Role::prior) -
                       Kokkos::log(states * Kokkos::sinh(3.0) / 3);
      scores(b, l, y) = static_cast<float>(law ? Kokkos::exp(o) : o);
      sum += Kokkos::exp(o);
    }
    for (int y = 0; law && y < states; ++y) scores(b, l, y) = static_cast<float>(scores(b, l, y) / sum);
  }
};
}  // namespace detail

/// Numbers like a network's: log-scores with a spread of a few nats or, for an x0 kind, the law that is proportional to
/// their exponentials. Other seeds differ a little, as evaluations at the stages of a step do.
inline StoredScores::Scores scores_like_a_network(ExecSpace const& exec, int batch, int length, int states, ScoreKind kind,
                                                  std::uint64_t seed = 1) {
  StoredScores::Scores const scores(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, "saltus::models::stored_scores"),
                                    static_cast<std::size_t>(batch), static_cast<std::size_t>(length),
                                    static_cast<std::size_t>(states));
  Kokkos::parallel_for(
      "saltus::models::scores_like_a_network",
      Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(exec, {0, 0}, {batch, length}),
      detail::FillLikeANetwork{scores, is_x0(kind), seed});
  return scores;
}

}  // namespace saltus
