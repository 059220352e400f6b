// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <saltus/ctmc/process.hpp>
#include <saltus/ctmc/random.hpp>
#include <saltus/ctmc/types.hpp>

namespace saltus {

/// Which sites move in a stage, for the exact law.
enum class Selection {
  by_site,     ///< each on its own, with the probability that its law gives
  fixed_count  ///< as many as the probabilities of the row sum to, rounded at random to a neighbouring integer, all sets alike
};

/// What a method declares of itself; `saltus info`, tests and documents follow from it.
struct IntegratorInfo {
  std::string name;
  std::string summary;           ///< one line
  std::string reference;         ///< paper and equation
  bool exact = false;            ///< draws from the law of the process itself (given exact scores)
  bool exact_forward = false;    ///< the same, but of forward processes only
  double weak_order = 0;         ///< of the law in the step; 0: not applicable
  int evaluations = 1;           ///< a step; 0: as many as its events or own steps
  int slots = 1;                 ///< evaluations alive at a time
  int host_syncs = 0;            ///< fences a step, the least number where it depends on the scores
  bool uses_transitions = false; ///< asks fields for transition probabilities rather than rates
  bool has_site_law = false;     ///< given the state, and the selection, sites move independently: exact laws can be computed
  Selection selection = Selection::by_site;
  bool moves_revealed = false;   ///< of a masked reverse process, with a law by site: moves sites that hold a token, too
  bool takes_phi = true;         ///< learned factors mean something to it; else they are refused
  int stages = 1;                ///< of a step; 2: see Integrator::second_probabilities()
  bool remembers = false;        ///< keeps something of each row from step to step: rows keep their places, and every step is its own
  std::string needs{};            ///< in words, for messages; empty: any process
};

/// One jump of a path.
struct JumpRecord {
  std::uint64_t sample;  ///< global index
  double time;
  std::int32_t site;
  token_t from, to;
};

/// What an event-driven method is to note while it follows the paths of a forward process through consecutive windows of
/// time. Views that are empty are not written.
struct PathPlan {
  Kokkos::View<double const*, MemorySpace> windows;  ///< [windows]: sigma_bar that passes in each
  Kokkos::View<double const*, MemorySpace> totals;   ///< [windows]: sigma_bar at the end of each
  Kokkos::View<token_t***, Kokkos::LayoutRight, MemorySpace> tokens;  ///< [windows, batch, length]: at the end of each
  Kokkos::View<std::int64_t***, Kokkos::LayoutRight, MemorySpace> jumps;  ///< [windows, batch, length]: since the start
  /// First pass of a recording: only the jumps of each path are counted, and the state stays as it is.
  bool counting = false;
  Kokkos::View<std::int64_t*, MemorySpace> counts;         ///< [batch x length]; written while counting
  Kokkos::View<std::int64_t const*, MemorySpace> offsets;  ///< [batch x length]: where a path's records begin
  Kokkos::View<JumpRecord*, MemorySpace> records;
  NoiseSchedule noise = NoiseSchedule::constant();         ///< turns sigma_bar into the time of a record
};

/// Sites of a batch, site l of row b as b * length + l.
using SiteList = Kokkos::View<std::int64_t const*, Kokkos::LayoutRight, MemorySpace>;
/// [sites, states]: laws of single sites.
using SiteProbabilities = Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace>;

/// Advances a batch over one interval. Integrators hold workspaces and, unless info().remembers, no state of a run; one object
/// serves any number of runs, one at a time.
class Integrator {
 public:
  virtual ~Integrator() = default;
  virtual IntegratorInfo const& info() const = 0;

  /// Empty if this method can advance `process`; else why not ("needs a masked reverse process").
  virtual std::string refuses(Process const& process) const = 0;

  /// Allocates for batches up to `extents`; before the step loop. Returns the number of counters it writes to.
  virtual std::size_t reserve(Process const& process, Extents extents) = 0;

  /// Moves every row of `state` over the step's interval: tokens and time are updated. Asynchronous on `exec` but for
  /// the fences declared in info(); allocates nothing. Results depend on the seed in `key`, the row's global index and
  /// the step's index, not on batch, threads or tiles. Counts into `counters`, of the size that reserve() returned.
  virtual void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
                       CounterView const& counters) = 0;

  /// advance() from the evaluation that the process holds in slot 0. Only methods of one stage with a law by site.
  virtual void move(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
                    CounterView const& counters);

  /// Whether follow() works on this process.
  virtual bool follows_paths(Process const&) const { return false; }
  /// Carries every row of `state` through all windows of `plan` and notes what it asks for. Where and how often one looks
  /// changes nothing of the paths. `state.time` is left as it is. Otherwise as advance().
  virtual void follow(ExecSpace const& exec, Process& process, State const& state, PathPlan const& plan, StreamKey key,
                      CounterView const& counters);

  /// The intervals within a step over `interval` that the method needs coefficients of: Step::parts.
  virtual std::vector<Part> parts(NoiseSchedule const& noise, Interval interval) const;

  /// [sites, states]: for each site of the list the law of its token at the end of the step given the state, by the very
  /// code that advance() samples from. The process must hold the evaluation (slot 0). Only if info().has_site_law.
  virtual void site_probabilities(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                                  SiteList const& sites, SiteProbabilities const& out) const;

  /// Of a method of two stages, whose site_probabilities() is the law of the first one: the same of the second, where the
  /// list has site l of pair i as i * length + l. Pair i is the state at the start of the step, row pairs(i, 0) of `state`, and the one between
  /// the stages, row pairs(i, 1). The process holds evaluations of all rows: slot 0 at the start of the step and, if
  /// info().slots is 2, slot 1 at the start of the second part. Only if info().stages is 2.
  virtual void second_probabilities(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                                    Kokkos::View<int const* [2], Kokkos::LayoutRight, MemorySpace> const& pairs,
                                    SiteList const& sites, SiteProbabilities const& out) const;

  /// What one step consists of, in order, each with a law of its own: the method itself, or what it wraps and what it
  /// adds. Empty if some of it has none.
  struct Kernel {
    Integrator const* integrator;
    Step step;
  };
  virtual std::vector<Kernel> kernels(Step const& step) const;
};

/// What a StepTable needs to know of the integrator that it is for.
StepOptions step_options(Integrator const& integrator, Process const& process);

}  // namespace saltus
