// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <saltus/ctmc/generator.hpp>
#include <saltus/ctmc/noise_schedule.hpp>
#include <saltus/ctmc/random.hpp>
#include <saltus/ctmc/score_model.hpp>

namespace saltus {

/// A row at a level of noise.
struct RowNoise {
  double alpha;   ///< probability that a site is as it was
  double total;   ///< sigma_bar = -ln alpha
  double weight;  ///< of the row's sum over sites in the bound
};

/// Puts noise on rows so that a weighted sum over sites is, on average over `level` uniform in [0, 1), the integral over
/// the noise levels of a bound of A§4.5.
/// Absorbing: the integral over the share m of masks, of the sum over masked sites dm/m. With u_l uniform for each site, n
/// uniform in 1..L and the n sites of least u masked, it is the mean of (L/n) times the sum, m given n being the n-th
/// smallest u: exact, and without weights of 1/m near m = 0.
/// Uniform: the integral over sigma_bar / states, by 1 - alpha = v^2 with v uniform, from 1 - alpha = 1e-5 (below, next to
/// nothing has changed) to 1 - 1e-3 (above, next to nothing is left).
class RowNoiser {
 public:
  /// `states` of the generator; `mask` -1: uniform noise.
  RowNoiser(int length, int states, token_t mask);
  /// Random numbers of (key, row).
  RowNoise operator()(StreamKey key, std::uint64_t row, double level, std::span<token_t const> clean, std::span<token_t> noisy);

 private:
  int states_;
  token_t mask_;
  std::vector<double> u_, sorted_;
};

/// An estimate of the bound of one sequence, in nats: mean over the draws, and their variance over its number.
struct BoundEstimate {
  double nats, error;
};

/// Upper bounds on -ln p of sequences [count, length] under a model with its exact sampler (the negative evidence bound of
/// continuous-time discrete diffusion: Ou et al. 2025 eq. 3 for absorbing noise, with rows normalised, and Lou et al. 2024
/// for uniform noise), each by `draws` noises in strata. Models of absorbing and of uniform noise. Deterministic in `seed`.
/// Host memory only; needs Kokkos. UserError for another noise, and for uniform noise unless the model gives laws of the
/// clean token. Sites that hold `fixed`, the pad of a network that is told where sequences end, are given: they have no noise.
std::vector<BoundEstimate> likelihood_bounds(ScoreModel& model, Generator const& generator, NoiseSchedule const& noise,
                                             std::span<token_t const> tokens, std::size_t count, int draws, int batch,
                                             std::uint64_t seed, std::optional<token_t> fixed = {});

}  // namespace saltus
