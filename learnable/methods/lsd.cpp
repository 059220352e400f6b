// SPDX-License-Identifier: BSD-3-Clause
#include <cmath>
#include <numeric>

#include <saltus/ctmc/error.hpp>
#include <saltus/learnable/block_sweep.hpp>
#include <saltus/learnable/distance.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/score_lsd.hpp>
#include <saltus/learnable/sweep_log.hpp>

namespace saltus {
namespace {

// One factor a step, in one forward sweep: the states at t_k depend only on the factors before k, so each is the
// optimum when the student comes to it (A§12.6).
class Lsd final : public Distiller {
 public:
  Lsd(Distance distance, BlockSweep::Policy policy) : distance_(distance), policy_(policy) {}

  DistillerInfo const& info() const override { return info_; }

  std::string refuses(Process const& process, DistillPlan const& plan) const override {
    std::string const why = BlockSweep::refuses(process, plan);
    if (!why.empty()) return why;
    StepLaw const law = step_law(plan.base);
    bool const proportional = law != StepLaw::two_stage && (law != StepLaw::tweedie || process.is_masked());
    if (distance_ != Distance::gkl && !proportional)
      return "has a closed form for distance=gkl alone with the base '" + plan.base +
             "', whose masses are not proportional to phi, got distance=" + distance_name(distance_);
    return "";
  }

  Schedule distill(ExecSpace const& exec, Process& process, DistillPlan const& plan,
                   DistillHooks const& hooks) const override {
    std::string const why = refuses(process, plan);
    require(why.empty(), "lsd " + why);
    SweepLog log("lsd:mode=block,distance=" + distance_name(distance_) +
                     ",policy=" + (policy_ == BlockSweep::Policy::student ? "student" : "teacher"),
                 process, plan, hooks);
    BlockSweep sweep(exec, process, plan, policy_);
    while (log.done() < plan.sweeps) log.add(one_sweep(exec, sweep, plan, log));
    return log.schedule(sweep.grid(), sweep.forced_last());
  }

 private:
  SweepRecord one_sweep(ExecSpace const& exec, BlockSweep& sweep, DistillPlan const& plan, SweepLog const& log) const {
    SweepRecord record;
    sweep.start(log.done());
    for (int k = 0; k < sweep.steps(); ++k) {
      auto const at = static_cast<std::size_t>(k);
      Factor factor;
      if (!sweep.forced(k)) {
        double const guess = log.done() > 0 ? log.sweeps().back().phi[at] : k > 0 ? record.phi.back() : 1;
        RatioHistogram ratios(distance_ == Distance::l1 ? group_count(plan.trajectories) : 0);
        auto rows = sweep.measure(
            k, {guess},
            distance_ != Distance::l1 ? std::function<void(BlockSweep::Batch const&)>{}
                                      : [&](BlockSweep::Batch const& batch) {
                                          add_ratios(exec, batch.state.tokens, batch.teacher, batch.student,
                                                     batch.first, plan.trajectories, ratios);
                                        });
        record.objective += mean_divergence(rows, sweep, distance_, ratios);
        factor = sweep.linear() || sweep.law() == StepLaw::two_stage
                     ? nearest_factor(distance_, sweep.law(), rows, ratios)
                     : solve(sweep, k, guess, rows);
      }
      record.phi.push_back(factor.phi);
      record.phi_error.push_back(factor.error);
      double const phi = log.mean_with(&SweepRecord::phi, at, factor.phi);
      RatioMean const reveal = sweep.reveal(k, [&](std::size_t) { return phi; });
      record.reveal.push_back(reveal.value);
      record.reveal_error.push_back(reveal.error);
      record.clamps.push_back(sweep.forced(k) ? 0 : sweep.advance(k, StepFactors{phi, 1}));
      log.tell((k + 1.0) / sweep.steps());
    }
    if (!std::isfinite(record.reveal.front())) record.reveal.clear(), record.reveal_error.clear();  // no mask
    return record;
  }

  // Where B is no multiple of phi: sum B(phi) = sum J by secants in logarithms. `rows` are of the guess.
  static Factor solve(BlockSweep& sweep, int k, double guess, std::vector<BlockSums>& rows) {
    double teacher = 0, student = 0, phi = guess, slope = 1;
    for (auto const& row : rows) {
      teacher += row.teacher;
      student += row.student;
    }
    if (!(teacher > 0) || !(student > 0)) return {};
    for (int i = 0; i < 24 && std::abs(std::log(teacher / student)) > 1e-7; ++i) {
      double const next = std::clamp(phi * std::exp(std::log(teacher / student) / slope), least_phi, most_phi);
      if (next == phi) break;  // at the end of the range
      auto const masses = sweep.student_masses(k, {next});
      double const total = std::accumulate(masses.begin(), masses.end(), 0.0);
      if (!(total > 0)) {
        // Long steps of tweedie without a mask hang on small differences of scores: little less leaves no jump at all.
        slope *= 4;
        continue;
      }
      for (std::size_t b = 0; b < rows.size(); ++b) rows[b].student = masses[b];
      double const seen = std::log(total / student) / std::log(next / phi);
      if (seen > 0.05) slope = seen;
      phi = next;
      student = total;
    }
    Factor const rest = nearest_factor(Distance::gkl, StepLaw::linear, rows);  // about 1: of it, the error
    return {phi, phi * rest.error / slope};
  }

  // Mean over trajectories of sum [J ln(J / B) - J + B] with the nearest multiple of B.
  static double mean_divergence(std::vector<BlockSums> const& rows, BlockSweep const& sweep, Distance distance,
                                RatioHistogram const& ratios) {
    BlockSums s;
    for (auto const& row : rows) s += row;
    if (!(s.teacher > 0)) return s.student / static_cast<double>(rows.size());
    double const scale =
        sweep.linear() ? nearest_factor(distance, sweep.law(), rows, ratios).phi : s.teacher / s.student;
    return (s.divergence - s.teacher * std::log(scale) - s.teacher + scale * s.student) /
           static_cast<double>(rows.size());
  }

  Distance distance_;
  BlockSweep::Policy policy_;
  DistillerInfo const info_{"lsd",
                            "one factor on the rates a step; mode=block (sums over blocks of a teacher's steps), paper "
                            "or code, distance=gkl, l2squared, l2, "
                            "l1 or log_squared, policy=student or teacher",
                            "Fu et al. 2025, arXiv:2509.19962, Eqs 4-6, and this library's reference A§12.6",
                            {"euler", "exponential", "tau_leaping", "tweedie", "tweedie_trapezoidal"}};
};

}  // namespace

std::unique_ptr<Distiller> make_lsd(Parameters const& parameters) {
  std::string const mode = parameters.text("mode", "block");
  if (mode == "paper" || mode == "code") return make_score_lsd(parameters);
  if (mode != "block") throw UserError(unknown_name("mode of lsd", mode, {"block", "code", "paper"}));
  parameters.allow({"mode", "distance", "policy"});
  std::string const policy = parameters.text("policy", "student");
  if (policy != "student" && policy != "teacher")
    throw UserError(unknown_name("policy of lsd", policy, {"student", "teacher"}));
  return std::make_unique<Lsd>(parse_distance(parameters.text("distance", "gkl")),
                               policy == "student" ? BlockSweep::Policy::student : BlockSweep::Policy::teacher);
}

}  // namespace saltus
