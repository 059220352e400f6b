// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <saltus/ctmc/process.hpp>

namespace saltus {

/// The KL divergence of the paths of a teacher from those of a student, an upper bound on that of their outputs, in nats a
/// sequence; see path_kl().
struct PathKl {
  double value = 0, error = 0;                     ///< estimate and standard error; infinite if the student misses a path
  double discretisation = 0, factorisation = 0;    ///< its two parts: when sites jump, and where to
};

/// Factors on the rates that depend on the state of a row (lsd_state): of the bin of its features in each step.
struct StateFactors {
  std::vector<double> shares;     ///< inner edges of bins by the share of masked sites (without a mask: none), increasing
  std::vector<double> entropies;  ///< inner edges of bins by the mean entropy of the sites that may move, in nats, increasing
  std::vector<double> phi;        ///< [steps, shares + 1, entropies + 1]
};

/// A learned sampler: what a student does in each of its steps, and how it was learned. Steps are numbered k = 0..M-1 from
/// the noise to the data; step k goes from times[k] to times[k+1] with all factors of index k (A§12.6).
struct Schedule {
  std::string method{};              ///< distiller with its parameters
  std::string base{};                ///< integrator of the steps, with its parameters
  std::vector<std::string> bases{};  ///< [M] integrator of each step, or empty: `base` in all of them
  std::vector<double> times{};       ///< [M + 1], from T down
  std::vector<double> phi{};         ///< [M] factors on the rates, or empty: 1
  std::vector<double> power{};       ///< [M] powers of the scores, or empty: 1
  std::optional<StateFactors> state{};
  bool forced_last = false;        ///< as in SamplePlan

  // How it was learned; nothing here changes what is sampled.
  struct Model {
    std::string name, hash, generator, noise;  ///< hash: of the numbers that make the model what it is; see model_hash()
    int states = 0, length = 0;
  } model{};
  struct Teacher {
    std::string integrator;
    int steps = 0;
  } teacher{};
  std::uint64_t seed = 0;
  std::size_t trajectories = 0;          ///< of the teacher, in all
  std::vector<double> phi_error{};       ///< [M] standard errors
  std::vector<double> reveal{};          ///< [M] u_k: probabilities that a mask is revealed in step k, means over masks
  std::vector<double> reveal_error{};    ///< [M]
  std::vector<double> objective{};       ///< of each sweep
  std::vector<std::int64_t> clamps{};    ///< [M] jump probabilities above 1 while learning
  std::optional<PathKl> before{}, after{};
  std::string note{};                    ///< one line on what a reader should know, e.g. the matched entropy

  int steps() const { return static_cast<int>(times.size()) - 1; }
};

}  // namespace saltus
