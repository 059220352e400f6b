// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <vector>

#include <saltus/ctmc/process.hpp>
#include <saltus/learnable/schedule.hpp>
#include <saltus/learnable/teacher_paths.hpp>

namespace saltus {

/// KL of the paths of a teacher from those of the student that a schedule describes, estimated on paths of the teacher:
/// an upper bound on the KL of their outputs.
///
/// Paths are compared on the union of N uniform points and the times of the schedule. In each of these fine steps a
/// site jumps, under the teacher, with probability M to y with probability m(y). The student decides once for a whole
/// step k, from the evaluation at its start: a jump with probability P, to y with probability q(y). Within the step its
/// jump is spread as that of the process is, by the share of it that has passed: of the reveals of a masked process, of
/// the integral of the noise of any other. A student of exponential law has the constant hazard that gives the law its
/// name instead (unless its last step is forced), so that its path KL is the integral of A§12.6. Given no jump so far,
/// it jumps in the fine step with a probability S, and a site that has not moved since the start of step k adds
///   KL(Bernoulli(M), Bernoulli(S))                the part `discretisation`, and
///   sum over y of m(y) ln((m(y) / M) / q(y))      the part `factorisation`:
/// expectations over the teacher's fine step, averaged over its paths. Both are infinite as soon as a site may jump
/// under the teacher alone, or only under the teacher stay.
///
/// Masked processes with laws of the clean token and a base other than exponential: by the chain rule this is the path
/// divergence of law_report(), less what the teacher lacks itself in N steps (binomial_cost() of its reveals), and the
/// discretisation of tweedie with phi = 1 is 0. Without a mask a site may jump again within step k, which the student
/// cannot do: sites count no further after their first jump in it, so that what is compared are first jumps.
///
/// `schedule`: times, phi or factors of the state, power, base or bases, forced_last; its bases must have laws of one stage
/// that path_law() knows (UserError). Deterministic: a trajectory's number does not depend
/// on the batch. NumericalError that names the fine step and the sample where statistics are not finite.
PathKl path_kl(ExecSpace const& exec, Process& process, Schedule const& schedule, TeacherPlan const& plan);

/// The same of several schedules that begin and end alike (UserError), on the same paths of the teacher, which are evaluated once: the
/// union of points is that with the times of all of them.
std::vector<PathKl> path_kls(ExecSpace const& exec, Process& process, std::vector<Schedule> const& schedules, TeacherPlan const& plan);

}  // namespace saltus
