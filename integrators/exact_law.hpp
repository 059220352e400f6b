// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <saltus/ctmc/exact.hpp>
#include <saltus/integrators/integrator.hpp>

/// The law that a method draws from, computed and not sampled: the laws of sites by the very code that samples,
/// multiplied out over the enumerated space, on all threads of the host. Numbers do not depend on how many there are.
/// Memory is a few arrays of the space and what LawPlan::memory says; where that holds all sequences, a model that
/// knows no time is evaluated once a run, else once a step. Every function here waits for what it launches.
namespace saltus {

/// The most transitions that a run may need unless asked otherwise.
inline constexpr double most_transitions = 2e10;

/// Bytes for evaluations unless asked otherwise.
inline constexpr std::size_t law_memory = std::size_t{1} << 28;

/// A run from a law.
struct LawPlan {
  TimeGrid grid;
  std::vector<double> start{};     ///< [space], what runs start from; empty: prior_law()
  std::vector<double>
      data{};  ///< [sequences of data states], p_0 (StateSpace::embed); law_report() of reverse processes
  std::vector<double> phi{};       ///< as in SamplePlan
  std::vector<double> power{};     ///< as in SamplePlan
  bool forced_last = false;        ///< as in SamplePlan
  double limit = most_transitions; ///< of transitions
  std::size_t memory = law_memory; ///< bytes for evaluations, and as much again for the laws of sites
};

/// What draw_prior() draws from, [space]: all masks, or independent tokens from the stationary law of the generator.
std::vector<double> prior_law(Process const& process, StateSpace const& space);

/// The law of the state after one step of a method with a law by site, from its law before it. UserError if the method
/// has none, NumericalError if scores that count are not finite or leave no target.
std::vector<double> push_law(ExecSpace const& exec, Process& process, Integrator const& integrator,
                             StateSpace const& space, std::vector<double> const& law, Step const& step);

/// The law at the end of the grid when a run starts from `law`: what sample() draws from, exactly. UserError if the
/// method has no law by site, or past most_transitions.
std::vector<double> output_law(ExecSpace const& exec, Process& process, Integrator const& integrator,
                               StateSpace const& space, std::vector<double> law, TimeGrid const& grid,
                               bool forced_last = false, std::vector<double> const& phi = {});

/// The transitions that the law at the end of a run needs, counted before: for each step the sum over the states x that
/// may have mass of the products of laws of sites that are not 0 there, and for methods of two stages those by way of
/// every state between. An upper bound, sharp unless contexts forbid tokens or the start is no product: masked data of
/// V tokens and L sites take at most (2V+1)^L a step, (3V+1)^L + (2V+1)^L with two stages, and S states without a mask
/// S^(2L) and S^(3L) + S^(2L). Which tokens a site can leave and reach is asked of the method itself, at a few
/// sequences.
double count_transitions(ExecSpace const& exec, Process& process, Integrator const& integrator, StateSpace const& space,
                         LawPlan const& plan);

/// How far a method is from the process, in nats and to twelve digits (absolute).
///
/// The exact process is, backwards, the reverse process of the data: without a mask from p_T, its own law at the start
/// of the grid; with one from the start of the run itself, since which sites are masked tells nothing of the data, so
/// that all masks lead to the data whatever the noise leaves at T (A§2). In a step that reveals every mask it does so
/// too. Forwards it is the forward process from the start of the run.
///
/// Path divergence: KL of the law of the whole sequence of states at the grid's points under the exact process from
/// that under the method: KL of the starts plus, over steps, the expectation over the exact law of KL(q(.|x) from
/// r(.|x)), q the kernel of the exact process and r of the method, states between two stages summed out. At least `kl`;
/// infinite if the method misses something possible.
///
/// Methods of fixed counts are measured as A§9.3 does, with reveals in the method's own numbers and order on both
/// sides: q chooses sites as the method does and gives them tokens by the data. (Against the process' own binomial
/// counts it would be infinite.) Their discretisation has no meaning and is left out.
///
/// Of masked processes the path divergence is the sum of two, each computed for itself: `discretisation`, from which
/// sites are revealed, for sites that are on their own the sum over steps of E[sum over masks KL(Bernoulli(v),
/// Bernoulli(u))], v the true reveal probability and u the method's; and `factorisation`, from what they become, E of
/// the sum over reveals of ln(p given everything revealed before / the method's law at the start of the step). With
/// scores that are not those of the data, what they lack is in it. Methods that move revealed sites have no such parts.
struct LawReport {
  std::vector<double> law;    ///< [space]: of the state at the end of the grid
  std::vector<double> exact;  ///< [space]: of the exact process there
  double tv;                  ///< total variation of the two
  double kl;                  ///< KL(exact from law)
  double reverse_kl;          ///< KL(law from exact)
  std::optional<double> path_kl, discretisation, factorisation;
  std::string why_not;        ///< why there is no path divergence; else empty
  double transitions;         ///< count_transitions()
};

/// Pushes the law of the method and that of the exact process through the grid. UserError if the method has no law by
/// site, past the limit (it names the number), without the law of the data of a reverse process, or if it or the start
/// does not fit; NumericalError as push_law().
LawReport law_report(ExecSpace const& exec, Process& process, Integrator const& integrator, StateSpace const& space,
                     LawPlan const& plan);

}  // namespace saltus
