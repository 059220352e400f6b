// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <array>
#include <cmath>

#include <saltus/ctmc/error.hpp>
#include <saltus/learnable/block_sweep.hpp>
#include <saltus/learnable/distance.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/sweep_log.hpp>

namespace saltus {
namespace {

// A factor and a power of the scores a step. With phi = sum J / sum B(power), which is best for each power, the
// divergence of J from phi B is one function of the power,
//   sum J ln(J / B(power)) - sum J ln(sum J / sum B(power)),
// computed at fixed powers in one pass and least at the top of a parabola through the three lowest points, in
// ln(power).
class LsdTemperature final : public Distiller {
 public:
  DistillerInfo const& info() const override { return info_; }

  std::string refuses(Process const& process, DistillPlan const& plan) const override {
    std::string const why = BlockSweep::refuses(process, plan);
    if (!why.empty()) return why;
    StepLaw const law = step_law(plan.base);
    if (law == StepLaw::two_stage || !process.is_masked())
      return "needs a masked process and a base of one evaluation a step (euler, exponential, tau_leaping, tweedie), "
             "got '" +
             plan.base + "' and generator '" + process.generator().name() + "'";
    return "";
  }

  Schedule distill(ExecSpace const& exec, Process& process, DistillPlan const& plan,
                   DistillHooks const& hooks) const override {
    std::string const why = refuses(process, plan);
    require(why.empty(), "lsd_temperature " + why);
    SweepLog log("lsd_temperature", process, plan, hooks);
    BlockSweep sweep(exec, process, plan, BlockSweep::Policy::student);
    while (log.done() < plan.sweeps) log.add(one_sweep(exec, process, sweep, plan, log));
    Schedule s = log.schedule(sweep.grid(), sweep.forced_last());
    double before = 0, after = 0;
    for (auto const& record : log.sweeps()) {
      before += record.extra[0] / log.done();
      after += record.extra[1] / log.done();
    }
    s.note += std::string(s.note.empty() ? "" : "; ") + "entropy of the next token, mean over steps and masked sites of the student: " + to_text(before) +
             " nats as the model has it, " + to_text(after) + " with these powers; compare samples at matched entropy";
    return s;
  }

 private:
  static constexpr std::array<double, 13> powers{0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 1, 1.06, 1.13, 1.25, 1.4, 1.65, 2};
  static constexpr std::size_t plain_power = 6;

  SweepRecord one_sweep(ExecSpace const& exec, Process& process, BlockSweep& sweep, DistillPlan const& plan,
                        SweepLog const& log) const {
    SweepRecord record;
    double before = 0, after = 0;
    int steps = 0;
    sweep.start(log.done());
    for (int k = 0; k < sweep.steps(); ++k) {
      auto const at = static_cast<std::size_t>(k);
      Factor factor;
      double power = 1, change = 1;  // of the masses of sites by the power
      if (!sweep.forced(k)) {
        std::array<BlockSums, powers.size()> sums{};
        auto const rows =
            sweep.measure(k, {}, [&](BlockSweep::Batch const& batch) { add(exec, process, sweep, k, batch, sums); });
        power = best_power(sums);
        factor = nearest_factor(Distance::gkl, sweep.law(), rows);
        double const total = std::exp(at_power(power, [&](std::size_t i) { return std::log(sums[i].student); }));
        if (sums[0].teacher > 0 && total > 0) {
          double const scale = std::clamp(sums[0].teacher / total, least_phi, most_phi) / factor.phi;
          factor = {factor.phi * scale, factor.error * scale};
          change = total / sums[plain_power].student;
          record.objective +=
              at_power(power, [&](std::size_t i) { return profile(sums[i]); }) / static_cast<double>(plan.trajectories);
        }
        auto const plain = sweep.features(k, {}), sharp = sweep.features(k, {1, power});
        std::vector<double> masks, of_plain, of_sharp;
        for (std::size_t b = 0; b < plain.size(); ++b) {
          masks.push_back(plain[b].share);
          of_plain.push_back(plain[b].share * plain[b].entropy);
          of_sharp.push_back(plain[b].share * sharp[b].entropy);
        }
        RatioMean const e0 = ratio_mean(of_plain, masks), e1 = ratio_mean(of_sharp, masks);
        if (std::isfinite(e0.value)) {
          before += e0.value;
          after += e1.value;
          ++steps;
        }
      }
      record.phi.push_back(factor.phi);
      record.phi_error.push_back(factor.error);
      record.power.push_back(power);
      StepFactors const used{log.mean_with(&SweepRecord::phi, at, factor.phi),
                             log.mean_with(&SweepRecord::power, at, power)};
      RatioMean const reveal = sweep.reveal(k, [&](std::size_t) { return used.phi * change; });
      record.reveal.push_back(reveal.value);
      record.reveal_error.push_back(reveal.error);
      record.clamps.push_back(sweep.forced(k) ? 0 : sweep.advance(k, used));
      log.tell((k + 1.0) / sweep.steps());
    }
    record.extra = {steps > 0 ? before / steps : 0, steps > 0 ? after / steps : 0};
    return record;
  }

  // The sums of one batch at every power, from one evaluation at the start of the block.
  static void add(ExecSpace const& exec, Process& process, BlockSweep const& sweep, int k,
                  BlockSweep::Batch const& batch, std::array<BlockSums, powers.size()>& sums) {
    auto const rows = static_cast<std::size_t>(batch.state.batch()),
               length = static_cast<std::size_t>(batch.state.length());
    SumRows const sum(rows, length);
    std::vector<BlockSums> of_rows(rows);
    process.refresh(exec, batch.state, 0);
    for (std::size_t i = 0; i < powers.size(); ++i) {
      StepTable const table = sweep.table(k, {1, powers[i]});
      read_masses(exec, process, batch.state, table.step(0, k), 0, mass_of(sweep.law()), batch.student);
      if (sweep.law() == StepLaw::exponential) scale_sites(exec, batch.student, batch.exposure);
      sum(exec, batch.state.tokens, batch.teacher, batch.student, {}, {}, of_rows);
      for (auto const& row : of_rows) sums[i] += row;
    }
  }

  static double profile(BlockSums const& s) {
    return s.teacher > 0 && s.student > 0 ? s.divergence - s.teacher * std::log(s.teacher / s.student) : 0;
  }
  static double best_power(std::array<BlockSums, powers.size()> const& sums) {
    std::size_t least = plain_power;  // if nothing tells them apart
    for (std::size_t i = 0; i < powers.size(); ++i) {
      if (profile(sums[i]) < profile(sums[least])) least = i;
    }
    if (least == 0 || least + 1 == powers.size()) return powers[least];
    double const x0 = std::log(powers[least - 1]), x1 = std::log(powers[least]), x2 = std::log(powers[least + 1]);
    double const y0 = profile(sums[least - 1]), y1 = profile(sums[least]), y2 = profile(sums[least + 1]);
    double const a = (x1 - x0) * (y1 - y2), b = (x1 - x2) * (y1 - y0);
    if (a == b || !std::isfinite(a - b)) return powers[least];
    return std::exp(std::clamp(x1 - 0.5 * ((x1 - x0) * a - (x1 - x2) * b) / (a - b), x0, x2));
  }
  // Of a function known at the powers, by the parabola through the three about `power`.
  template <class F>
  static double at_power(double power, F const& f) {
    std::size_t middle = 1;
    while (middle + 2 < powers.size() && powers[middle + 1] <= power) ++middle;
    double result = 0, x = std::log(power);
    for (std::size_t i = middle - 1; i <= middle + 1; ++i) {
      double weight = 1;
      for (std::size_t j = middle - 1; j <= middle + 1; ++j) {
        if (j != i) weight *= (x - std::log(powers[j])) / (std::log(powers[i]) - std::log(powers[j]));
      }
      result += weight == 0 ? 0 : weight * f(i);
    }
    return result;
  }

  DistillerInfo const info_{
      "lsd_temperature",
      "a factor on the rates and a power of the scores a step, with the entropy of tokens before and after",
      "this library's own; after Fu et al. 2025, arXiv:2509.19962, whose released code scales log-scores",
      {"euler", "exponential", "tau_leaping", "tweedie"}};
};

}  // namespace

std::unique_ptr<Distiller> make_lsd_temperature(Parameters const& parameters) {
  parameters.allow({});
  return std::make_unique<LsdTemperature>();
}

}  // namespace saltus
