// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>

#include <saltus/learnable/distiller.hpp>

namespace saltus {

/// The modes `paper` and `code` of lsd: scores of a student and of its teacher, coupled from a common start and compared at
/// the student's times t_k (Fu et al. 2025, arXiv:2509.19962, Eqs 4-6, Alg. 2; A§12.4 on why a block is the better target).
///
/// paper: phi_k takes the student's scores s next to the teacher's s*, entries y other than the own token of sites that may
/// move: l2squared <s*, s> / <s, s> with s* = 0 where the teacher's site moves no more, gkl sum s* / sum s with each sum over
/// its own path; or, optimiser=sgd, by the published descent phi -= rate 2 <phi s - s*, s>, divided by E <s, s> unless raw=1.
/// code: the released variant, which scales log-scores: power c_k = <o*, o> / <o, o> with o = ln s, over sites that may move
/// in both.
/// The student's path is made with the factors before k (paths=learned), or with none (paths=plain).
/// Of a start that both share phi_0 is 1. relax=ZETA lets the student start with floor(ZETA length) sites, chosen at random,
/// at uniform random tokens (Eqs 9-10); relax=auto takes of 0, 0.01, 0.05, 0.1 and 0.2 that whose schedule has the least
/// divergence by blocks (held_out_divergence) on trajectories that nothing was learned from.
/// Objective of a sweep: gkl: mean over trajectories of sum [M* ln(M* / (phi M)) - M* + phi M] with M = h R, the masses of
/// the step; else sum over steps of E |s* - phi s|^2 / E |s*|^2.
std::unique_ptr<Distiller> make_score_lsd(Parameters const& parameters);

}  // namespace saltus
