// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cmath>
#include <memory>

#include <saltus/integrators/sampler.hpp>

/// Sequential Monte Carlo on the particles of a run: sampling from the integrator's own law, reweighted. A group of K
/// particles, consecutive rows of a batch with consecutive global indices, gives one result. (Doucet, Johansen 2009, A
/// tutorial on particle filtering and smoothing; for diffusion models Singhal et al. 2025, arXiv:2501.06848.)
namespace saltus {

/// [rows]: one number for each sequence.
using Rewards = Kokkos::View<double*, MemorySpace>;
/// [1 or length, states]: one number for each token of each site; one row stands for all sites.
using SiteRewards = Kokkos::View<double const**, Kokkos::LayoutRight, MemorySpace>;

/// A number r(x) for each clean sequence x.
class Reward {
 public:
  virtual ~Reward() = default;
  /// Allocates for batches up to `extents`; before the step loop. UserError if it does not work at this length.
  virtual void reserve(Extents extents) = 0;
  /// Writes r of each row of `clean` [rows, length] to `out` [rows]; -infinity: a sequence that must not come out.
  /// Asynchronous on `exec`; allocates and fences nothing.
  virtual void evaluate(ExecSpace const& exec, Tokens const& clean, Rewards const& out) = 0;
  /// The table of r(x) = sum over sites of table(site, x_site), if it has this form: expectations are then computed and
  /// not drawn. Empty otherwise.
  virtual SiteRewards additive() const { return {}; }
};

/// A reward that is a sum over sites.
class TokenReward final : public Reward {
 public:
  /// `table` [1 or length, states], row by row, one row standing for all sites; the entry of a mask is never used.
  /// Entries are finite or -infinity, and each row has a finite one. UserError otherwise.
  TokenReward(int states, std::vector<double> const& table);
  /// The number of sites that hold `token`.
  static TokenReward count(int states, token_t token);

  void reserve(Extents extents) override;
  void evaluate(ExecSpace const& exec, Tokens const& clean, Rewards const& out) override;
  SiteRewards additive() const override { return table_; }

 private:
  SiteRewards table_;
};

/// What is made of the weights.
enum class ParticleScheme {
  /// Weights are carried, and resampled systematically when their effective size is small: the weighted set is a sample
  /// of the target.
  resampling,
  /// After each step one survivor of the group, drawn in proportion to the exponential of its value, is copied to all
  /// (soft-value selection: Li et al. 2024, arXiv:2408.08252). Greedy: its law is NOT the target, for any number of
  /// particles.
  selection
};

/// A run of groups of particles. With q the law of what the integrator puts out under this plan, the target is
///   q(x) exp(strength * r(x) + (power - 1) a(x)) / Z.
/// With a template (run.fixed) q is the law of the sites that are drawn, given its tokens; r and `likelihood` are of whole
/// sequences, and a is of the sites that are revealed. The integrator is thus the proposal: where its law is the model's, so is the target's base.
///
/// a is the accumulated log-probability of the reveals of a masked process: the sum over sites of ln p(its token |
/// state at the start of the step that revealed it), by the rows of the evaluation. It belongs to the path. If steps
/// reveal one site each it is the logarithm of the model's any-order law, and the target is a power of that law; if
/// several are revealed at once their dependence is left out, unless `likelihood` says what ln p(x) is in the end. A
/// method that masks sites again counts each of their reveals.
struct ParticlePlan {
  SamplePlan run;     ///< samples: results; batch: particles at a time (at least a group); first_sample: first result
  int particles = 8;  ///< K, of each group
  ParticleScheme scheme = ParticleScheme::resampling;
  double threshold = 0.5;    ///< resampling when the effective sample size is under this share of K; 0: never
  std::shared_ptr<Reward> reward{};      ///< r; empty: no tilt
  double strength = 1;                   ///< lambda
  int clean_draws = 4;                   ///< draws of x_0 for the value of a state, if the reward is not additive
  double power = 1;                      ///< gamma; other than 1: masked processes only
  std::shared_ptr<Reward> likelihood{};  ///< ln p(x), for the power alone: what replaces a(x) in the end; may be empty
};

/// Finished groups, on the host. `first` is the index of the first result; particle i of group g is row g K + i.
struct ParticleSets {
  std::uint64_t first;
  int groups, particles;
  HostTokens tokens;  ///< [groups K, length]
  /// [groups K]: weights, of sum 1 in each group; all 0 in a group whose particles all have reward -infinity.
  Kokkos::View<double*, HostSpace> weights;
  Kokkos::View<double*, HostSpace> values;  ///< [groups K]: the exponent of the target; the largest marks the best
  /// [groups]: the logarithm of the estimate of Z, whose expectation is Z for every K: the sum over periods between
  /// resamplings of the log mean weight. With selection: NaN.
  Kokkos::View<double*, HostSpace> log_normaliser;
  /// [groups]: one particle drawn by weight, 0 to K - 1; -1 in a group whose weights are all 0.
  Kokkos::View<int*, HostSpace> drawn;
};
using ParticleSink = std::function<void(ParticleSets const& sets)>;

struct ParticleReport {
  std::size_t results = 0;
  double evaluations = 0;        ///< mean number of network evaluations of a result: K times those of a particle
  double effective_size = 0;     ///< mean over groups of the effective size of the final weights
  double least_effective = 0;    ///< mean over groups of the smallest one of any step, before resampling
  double resamplings = 0;        ///< mean number a group
  std::int64_t dead = 0;         ///< groups whose weights are all 0
  std::int64_t jumps = 0, clamps = 0;
  double seconds = 0;
};

/// Draws plan.run.samples groups, batch by batch, and hands them to `sink` in order. After each step each particle has
/// the value log E[exp(strength r(x_0)) | x_t] + (power - 1) a under the model's law of each clean token, sites taken
/// as independent: in closed form for additive rewards, by the log mean of exp over plan.clean_draws draws otherwise.
/// Weights are multiplied by exp(value - value of the ancestor), which telescopes (A§10 `diff`, A§17.21): after the
/// last step the value is the exact exponent of the target, so that weights are right whatever the values on the way
/// were. A value of -infinity ends a particle; one that comes from draws leaves its weight as it is.
///
/// A step of a fixed-step method begins with the evaluation that the weights were made from: M evaluations a particle
/// for M steps of one evaluation. (Its first one in slot 0 must be at the start of the step.) Event-driven methods work
/// too, with one more a step. No fence or allocation in the step loop but the integrator's and the reward's.
///
/// UserError: a process that is not a reverse one with an absorbing or uniform generator, a masked plan without
/// forced_last, a plan without reward and power. NumericalError: rewards that are NaN or +infinity, scores that are not
/// finite. Determinism: a group depends on the seed, its index, K and the grid, not on batch or threads.
ParticleReport sample_particles(ExecSpace const& exec, Process const& process, Integrator& integrator,
                                ParticlePlan const& plan, ParticleSink const& sink, Progress const& progress = {});

/// One particle of each group, drawn by weight: [samples, length]. For finite K its law is near the target, not equal
/// to it. NumericalError if a group has no weight.
HostTokens sample_particles(ExecSpace const& exec, Process const& process, Integrator& integrator,
                            ParticlePlan const& plan, ParticleReport* report = nullptr);

/// Systematic resampling: the ancestors of n particles with weights exp(log_weights[i] - largest) of sum `sum` > 0, in
/// order. Particle i is chosen floor or ceiling of n w_i times, n w_i on average over the uniform.
KOKKOS_INLINE_FUNCTION void systematic_ancestors(double const* log_weights, double largest, double sum, int n,
                                                 double uniform, int* ancestors) {
  int i = -1, alive = 0;
  double reached = 0;
  for (int j = 0; j < n; ++j) {
    // point j is at the share (j + uniform)/n; written so that equal weights give one copy each for every uniform
    while (uniform >= reached / sum * n - j && i + 1 < n) {
      ++i;
      double const w = Kokkos::exp(log_weights[i] - largest);
      reached += w;
      if (w > 0) alive = i;  // rounding may leave the last points past the end: they belong to the last positive weight
    }
    ancestors[j] = alive;
  }
}

}  // namespace saltus
