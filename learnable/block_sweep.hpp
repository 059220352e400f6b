// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <saltus/integrators/integrator.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/masses.hpp>
#include <saltus/learnable/scheduled.hpp>

namespace saltus {

/// What one trajectory says of one block: the steps of the teacher within one step of the student (A§12.6, 17.17). Sums
/// over sites l and tokens y of
///   J(l, y), the probability that l becomes y within the block, added up over the teacher's steps from the laws of the
///   sites and not from jumps (Rao-Blackwell); a site that has changed since the block's start counts 0. Two bases mean
///   something else by y: tau_leaping:rule=ordinal adds up all jumps, as distances from the site's first token, and
///   tweedie without a mask says where the site is at the end, so that J is the law of the last step. And of B(l, y),
///   what the evaluation at the block's start says of it for phi = 1 (see BlockSweep::measure).
struct BlockSums {
  double teacher = 0, student = 0;                               ///< J, B
  double teacher_squared = 0, product = 0, student_squared = 0;  ///< J J, J B, B B
  double divergence = 0;                                         ///< J ln(J / B); infinite if B misses something
  double logarithms = 0;                                         ///< ln(J / B) where both are positive
  double entries = 0;                                            ///< number of those
  double both = 0;  ///< two_stage: sum over sites of u1 u2, the reveal probabilities of its stages

  KOKKOS_INLINE_FUNCTION BlockSums& operator+=(BlockSums const& s) {
    teacher += s.teacher;
    student += s.student;
    teacher_squared += s.teacher_squared;
    product += s.product;
    student_squared += s.student_squared;
    divergence += s.divergence;
    logarithms += s.logarithms;
    entries += s.entries;
    both += s.both;
    return *this;
  }
};

/// [batch, length]
using SiteNumbers = Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace>;

/// Adds up arrays [rows, length, states] row by row, in a fixed order.
class SumRows {
 public:
  SumRows(std::size_t rows, std::size_t length);
  /// out[b]: of row b; entries at the own token count in `teacher` alone. `first`, `second` [rows, length]: u1 and u2
  /// of two stages, or empty. Waits.
  void operator()(ExecSpace const& exec, Tokens const& own, SiteMasses const& teacher, SiteMasses const& student,
                  SiteNumbers const& first, SiteNumbers const& second, std::span<BlockSums> out) const;

 private:
  Kokkos::View<BlockSums*, MemorySpace> sums_;
  Kokkos::View<BlockSums*, MemorySpace>::HostMirror host_;
};

/// Masses [rows, length, states] times the factor of their site, factors(b, l). Asynchronous.
void scale_sites(ExecSpace const& exec, SiteMasses const& masses, SiteNumbers const& factors);

/// The clock of every row to t. Asynchronous.
void set_time(ExecSpace const& exec, State const& state, double t);

/// Factors of a step of the student.
struct StepFactors {
  double phi = 1, power = 1;
};

/// A mean over trajectories of ratios with its standard error.
struct RatioMean {
  double value = std::numeric_limits<double>::quiet_NaN(), error = value;
};
/// sum numerators / sum denominators, its error to first order (delta method) over trajectories; `none` if there is nothing
/// to average.
RatioMean ratio_mean(std::vector<double> const& numerators, std::vector<double> const& denominators, RatioMean none = {});

/// One pass over the student's steps for all trajectories of a plan, which are kept as tokens [trajectories, length]
/// and worked on in batches: every statistic is a sum over rows one after the other, so that results depend on the plan
/// (without batch and memory) and the model alone. Memory: the tokens, and four arrays [rows, length, states] of a
/// batch, whose rows are cut to plan.memory.
class BlockSweep {
 public:
  /// Whose states the blocks start from.
  enum class Policy {
    student,  ///< on-policy: a branch of the teacher from the student's state, which is then thrown away
    teacher   ///< teacher forcing: the teacher's own path
  };
  /// The plan must have passed refuses().
  BlockSweep(ExecSpace const& exec, Process& process, DistillPlan const& plan, Policy policy);
  ~BlockSweep();

  /// Empty if blocks can be measured; else why not, with the remedy.
  static std::string refuses(Process const& process, DistillPlan const& plan);

  int steps() const;
  TimeGrid const& grid() const;  ///< of the student
  /// The last step of a masked process that ends at 0: every mask is revealed whatever the factors.
  bool forced(int k) const;
  bool forced_last() const;
  StepLaw law() const;
  /// Whether B is proportional to phi; else BlockSums are of the factors that measure() was given.
  bool linear() const;

  /// Draws the start of all trajectories, with random numbers of this sweep.
  void start(int sweep);

  /// A batch of the block that is being measured.
  struct Batch {
    std::size_t first;     ///< trajectory of row 0
    State state;           ///< [rows]: at the start of the block
    SiteMasses teacher;    ///< [rows, length, states]: J
    SiteMasses student;    ///< [rows, length, states]: B
    SiteNumbers exposure;  ///< [rows, length]: see measure()
  };
  /// The sums of block k for each trajectory; with policy teacher the trajectories move on to its end. B is, by the
  /// law of the step,
  ///   linear: h R(x; l, y),
  ///   exponential: the same times the share of the block for which site l of the teacher has not changed, so that
  ///     J / B is Girsanov's optimum (A§12.6),
  ///   tweedie: the transition probability at the given factors (of a masked process: proportional to phi),
  ///   two_stage: u1 p(y) + (1 - u1) u2 p(y) at phi = 1, with both laws from the tokens at the block's start.
  /// `also` is called for every batch, after its sums. NumericalError that names the step if anything is not finite.
  std::vector<BlockSums> measure(int k, StepFactors at, std::function<void(Batch const&)> const& also = {});

  /// Sum over sites and tokens of B alone for each trajectory, at other factors.
  std::vector<double> student_masses(int k, StepFactors at);

  /// Mean probability over masked sites at the block's start that the student reveals one in block k with
  /// phi(trajectory), clamped; from the last measure(). NaN without a mask.
  RatioMean reveal(int k, std::function<double(std::size_t)> const& phi) const;

  /// The student takes step k (with policy teacher: nothing moves). Returns the jump probabilities that were clamped.
  std::int64_t advance(int k, StepFactors factors);

  /// The same with a factor for each trajectory; a base of one stage with a law by site.
  std::int64_t advance(int k, std::vector<double> const& phi);
  /// What factors may depend on, of each trajectory at the start of block k; evaluates the model there.
  std::vector<RowFeatures> features(int k, StepFactors at);

  /// Step 0 of it is step k of the student.
  StepTable table(int k, StepFactors factors) const;

 private:
  struct Work;
  std::unique_ptr<Work> work_;
};

/// Bins of a step, and the one of these features, as StateBins numbers them.
std::size_t bins_of(StateFactors const& state);
std::size_t bin_of(StateFactors const& state, RowFeatures const& features);

/// Sum of J ln(J / B) - J + B of sums that measure() gave, B with the factor phi; where B is no multiple of phi, phi
/// must be what measure() was given.
double divergence(BlockSweep const& sweep, BlockSums const& sums, double phi);

/// Mean over trajectories of sum [J ln(J / B) - J + B] over the blocks of a schedule, B with its factors, in nats, with
/// its standard error: how far the student's steps are from the teacher's on the student's own way. The trajectories
/// are those of sweep number plan.sweeps, which nothing was learned from; steps, base and teacher are the plan's,
/// factors the schedule's, also those by state. Infinite if a step misses something.
RatioMean held_out_divergence(ExecSpace const& exec, Process& process, DistillPlan const& plan,
                              Schedule const& schedule);

}  // namespace saltus
