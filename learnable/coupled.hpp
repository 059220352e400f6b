// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <string>

#include <saltus/integrators/integrator.hpp>

namespace saltus {

/// Which random numbers two runs of one sample share.
enum class Coupling {
  full,        ///< when a site jumps, and where to
  masks,       ///< when a site jumps alone
  independent  ///< none
};
/// full, masks, independent; UserError with the nearest names.
Coupling parse_coupling(std::string const& name);
std::string coupling_name(Coupling coupling);

/// Seeds of the numbers that say when sites jump, and where to; two runs are coupled by having the same.
struct CoupledSeeds {
  std::uint64_t times, tokens;
};
/// Of run `which` (0, 1) of the two.
CoupledSeeds coupled_seeds(Coupling coupling, std::uint64_t seed, int which);

/// Steps of any method with a law by site, such that runs with different steps, methods or factors use common random
/// numbers (A§12.6). Every site keeps the probability S that it has not jumped, which starts at 1 and is multiplied by
/// its probability of staying in each step; it jumps in the first step that takes S to U or below, U uniform on [0, 1),
/// to the token at which the cumulative law of its targets, in the order of the tokens, passes a second uniform. After
/// a jump S starts at 1 again, with new uniforms. A step's law is the method's own: given that the site has not jumped
/// before, P(S_before P(stay) <= U | U < S_before) = 1 - P(stay). Of a masked process with normalised scores S = (1 -
/// alpha(t)) / (1 - alpha(T)) for methods that are exact on the masks, so that their masks agree at common times
/// whatever the steps. Without a mask each site has its clock of its own, which runs at its exit rate: the common
/// reaction path (A§12.6), site by site, with Anderson's internal times (2007, doi:10.1063/1.2799998).
class CoupledStepper {
 public:
  /// UserError unless `integrator` is a method of one stage with a law by site that can advance the process.
  CoupledStepper(std::string const& integrator, Process const& process);
  ~CoupledStepper();
  CoupledStepper(CoupledStepper&&) noexcept;

  Integrator const& integrator() const;
  /// For batches up to `extents`, of `rows` rows in all.
  void reserve(Process const& process, Extents extents, std::size_t rows);
  /// A new run of all rows: survivals to 1. Asynchronous.
  void start(ExecSpace const& exec, CoupledSeeds seeds);
  /// Moves the state over the step from the evaluation in slot 0. Row 0 of the state is row `first` of the run.
  /// Asynchronous; sites whose scores are of no use stay, and are counted by bad_sites().
  void move(ExecSpace const& exec, Process& process, State const& state, Step const& step, std::size_t first = 0);
  /// [batch x length]: the probabilities of a jump in the last step; -1 at sites that could not move.
  Kokkos::View<double const*, MemorySpace> jumps() const;
  /// Sites whose law was not finite since start(). Waits.
  std::int64_t bad_sites(ExecSpace const& exec) const;

 private:
  struct Work;
  std::unique_ptr<Work> work_;
};

}  // namespace saltus
