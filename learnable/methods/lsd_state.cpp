// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/block_sweep.hpp>
#include <saltus/learnable/distance.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/sweep_log.hpp>

namespace saltus {
namespace {

// Sums over the trajectories of a bin, which is all that its factor needs.
struct BinSums {
  double rows = 0, teacher = 0, student = 0, teacher_squared = 0, product = 0, student_squared = 0;
  static constexpr std::size_t numbers = 6;

  void add(BlockSums const& s) {
    rows += 1;
    teacher += s.teacher;
    student += s.student;
    teacher_squared += s.teacher * s.teacher;
    product += s.teacher * s.student;
    student_squared += s.student * s.student;
  }
  void add(BinSums const& s) {
    rows += s.rows;
    teacher += s.teacher;
    student += s.student;
    teacher_squared += s.teacher_squared;
    product += s.product;
    student_squared += s.student_squared;
  }
  // Of the logarithm of the ratio, to first order; 0 if there are too few rows to say.
  double variance() const {
    if (rows < 2 || !(teacher > 0) || !(student > 0)) return 0;
    double const ratio = teacher / student;
    double const rest = teacher_squared - 2 * ratio * product + ratio * ratio * student_squared;
    return std::max(rest, 0.0) / (teacher * teacher) * rows / (rows - 1);
  }
};

// The factors of a step's bins, drawn towards the factor of all of them: in logarithms
//   phi_bin = all + tau^2 / (tau^2 + e_bin^2) (ratio_bin - all),
// e_bin the standard error of the bin's ratio and tau^2 the variance between bins that errors do not explain, by
// moments (DerSimonian and Laird 1986): max(0, sum w (ratio - mean)^2 - (bins - 1)) / (sum w - sum w^2 / sum w), w = 1
// / e^2. Bins of fewer than 4 trajectories get the factor of all.
std::vector<double> shrunk(std::vector<BinSums> const& bins, double all) {
  std::vector<double> phi(bins.size(), all), logarithm(bins.size(), 0.0), variance(bins.size(), 0.0);
  double sum = 0, squares = 0, weighted = 0;
  int count = 0;
  for (std::size_t i = 0; i < bins.size(); ++i) {
    if (bins[i].rows < 4) continue;
    variance[i] = bins[i].variance();
    if (!(variance[i] > 0)) continue;
    logarithm[i] = std::log(bins[i].teacher / bins[i].student);
    double const w = 1 / variance[i];
    sum += w;
    squares += w * w;
    weighted += w * logarithm[i];
    ++count;
  }
  if (count < 2) return phi;
  double spread = 0;
  for (std::size_t i = 0; i < bins.size(); ++i) {
    if (variance[i] > 0) spread += (logarithm[i] - weighted / sum) * (logarithm[i] - weighted / sum) / variance[i];
  }
  double const between = std::max(0.0, spread - (count - 1)) / (sum - squares / sum);
  for (std::size_t i = 0; i < bins.size(); ++i) {
    if (!(variance[i] > 0)) continue;
    double const to_all = std::log(all);
    phi[i] =
        std::clamp(std::exp(to_all + between / (between + variance[i]) * (logarithm[i] - to_all)), least_phi, most_phi);
  }
  return phi;
}

// Inner quantiles of a sample, without ends and repetitions.
void add_quantiles(std::vector<double> values, int count, std::vector<double>& edges) {
  std::sort(values.begin(), values.end());
  for (int i = 1; i <= count; ++i) {
    double const edge = values[values.size() * static_cast<std::size_t>(i) / static_cast<std::size_t>(count + 1)];
    if (edge > values.front()) edges.push_back(edge);
  }
}
void make_increasing(std::vector<double>& edges) {
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
}

// Factors by the state of a row. The first sweep goes by one factor a step, as lsd does, and sets the edges of the
// bins: of the share of masks at quantiles within each step, of entropies at quantiles of all steps together. Later
// sweeps go by the factors so far; sums of all sweeps are pooled.
class LsdState final : public Distiller {
 public:
  LsdState(int shares, int entropies) : shares_(shares), entropies_(entropies) {}
  DistillerInfo const& info() const override { return info_; }

  std::string refuses(Process const& process, DistillPlan const& plan) const override {
    std::string const why = BlockSweep::refuses(process, plan);
    if (!why.empty()) return why;
    StepLaw const law = step_law(plan.base);
    if (law == StepLaw::two_stage || (law == StepLaw::tweedie && !process.is_masked()) ||
        !make_integrator(plan.base)->info().has_site_law)
      return "needs a base of one stage with a law by site whose masses are proportional to phi (euler, exponential, "
             "tau_leaping; "
             "tweedie of a masked process), got '" +
             plan.base + "'";
    return "";
  }

  Schedule distill(ExecSpace const& exec, Process& process, DistillPlan const& plan,
                   DistillHooks const& hooks) const override {
    std::string const why = refuses(process, plan);
    require(why.empty(), "lsd_state " + why);
    SweepLog log("lsd_state:shares=" + std::to_string(shares_) + ",entropies=" + std::to_string(entropies_), process,
                 plan, hooks);
    BlockSweep sweep(exec, process, plan, BlockSweep::Policy::student);
    while (log.done() < plan.sweeps) log.add(one_sweep(sweep, log, process.is_masked()));
    Schedule s = log.schedule(sweep.grid(), sweep.forced_last());
    s.state = edges_of(log.sweeps().front());
    Pool const pool = pooled(log, *s.state, sweep.steps());
    for (int k = 0; k < sweep.steps(); ++k) {
      auto const phi = factors(pool, k, sweep.forced(k));
      s.state->phi.insert(s.state->phi.end(), phi.begin(), phi.end());
    }
    return s;
  }

 private:
  using Pool = std::vector<std::vector<BinSums>>;  // [steps][bins]

  static std::vector<double> factors(Pool const& pool, int k, bool forced) {
    auto const& bins = pool[static_cast<std::size_t>(k)];
    BinSums all;
    for (auto const& bin : bins) all.add(bin);
    double const phi =
        !forced && all.teacher > 0 && all.student > 0 ? std::clamp(all.teacher / all.student, least_phi, most_phi) : 1;
    return forced ? std::vector<double>(bins.size(), 1.0) : shrunk(bins, phi);
  }
  // The edges, kept in the record of the first sweep: their numbers, shares, entropies.
  StateFactors edges_of(SweepRecord const& first) const {
    auto const at = first.extra.begin() + 1;
    auto const split = at + static_cast<std::ptrdiff_t>(first.extra.front());
    return {{at, split}, {split, first.extra.end()}, {}};
  }
  static Pool pooled(SweepLog const& log, StateFactors const& edges, int steps) {
    std::size_t const bins = bins_of(edges);
    Pool pool(static_cast<std::size_t>(steps), std::vector<BinSums>(bins));
    for (auto const& record : log.sweeps()) {
      for (std::size_t i = 0; i < pool.size() * bins; ++i) {
        double const* const v = record.state.data() + i * BinSums::numbers;
        pool[i / bins][i % bins].add(BinSums{v[0], v[1], v[2], v[3], v[4], v[5]});
      }
    }
    return pool;
  }

  SweepRecord one_sweep(BlockSweep& sweep, SweepLog const& log, bool masked) const {
    SweepRecord record;
    std::vector<std::vector<BlockSums>> sums;
    std::vector<std::vector<RowFeatures>> features;
    bool const first = log.done() == 0;
    StateFactors edges;
    Pool pool;
    if (!first) {
      edges = edges_of(log.sweeps().front());
      pool = pooled(log, edges, sweep.steps());
    }
    sweep.start(log.done());
    for (int k = 0; k < sweep.steps(); ++k) {
      auto const at = static_cast<std::size_t>(k);
      sums.emplace_back();
      features.emplace_back();
      Factor factor;
      std::vector<double> phi;
      if (!sweep.forced(k)) {
        sums[at] = sweep.measure(k, {});
        features[at] = sweep.features(k, {});
        factor = nearest_factor(Distance::gkl, sweep.law(), sums[at]);
        phi.assign(sums[at].size(), factor.phi);
        if (!first) {  // with the sums of this sweep, too
          for (std::size_t b = 0; b < phi.size(); ++b) pool[at][bin_of(edges, features[at][b])].add(sums[at][b]);
          auto const of_bins = factors(pool, k, false);
          for (std::size_t b = 0; b < phi.size(); ++b) phi[b] = of_bins[bin_of(edges, features[at][b])];
        }
        for (std::size_t b = 0; b < phi.size(); ++b)
          record.objective += divergence(sweep, sums[at][b], phi[b]) / static_cast<double>(phi.size());
      }
      RatioMean const reveal = sweep.reveal(k, [&](std::size_t b) { return phi[b]; });
      record.phi.push_back(factor.phi);
      record.phi_error.push_back(factor.error);
      record.reveal.push_back(reveal.value);
      record.reveal_error.push_back(reveal.error);
      record.clamps.push_back(sweep.forced(k) ? 0 : sweep.advance(k, phi));
      log.tell((k + 1.0) / sweep.steps());
    }
    if (!std::isfinite(record.reveal.front())) record.reveal.clear(), record.reveal_error.clear();  // no mask
    if (first) {
      std::vector<double> entropies;
      for (auto const& of_step : features) {
        std::vector<double> shares;
        for (auto const& f : of_step) {
          shares.push_back(f.share);
          entropies.push_back(f.entropy);
        }
        if (masked && !shares.empty()) add_quantiles(shares, shares_, edges.shares);
      }
      make_increasing(edges.shares);
      if (!entropies.empty()) add_quantiles(entropies, entropies_, edges.entropies);
      make_increasing(edges.entropies);
      record.extra.push_back(static_cast<double>(edges.shares.size()));
      record.extra.insert(record.extra.end(), edges.shares.begin(), edges.shares.end());
      record.extra.insert(record.extra.end(), edges.entropies.begin(), edges.entropies.end());
    }
    // What this sweep adds to the bins.
    std::size_t const bins = bins_of(edges);
    std::vector<BinSums> own(sums.size() * bins);
    for (std::size_t k = 0; k < sums.size(); ++k) {
      for (std::size_t b = 0; b < sums[k].size(); ++b) own[k * bins + bin_of(edges, features[k][b])].add(sums[k][b]);
    }
    for (auto const& s : own) {
      record.state.insert(record.state.end(),
                          {s.rows, s.teacher, s.student, s.teacher_squared, s.product, s.student_squared});
    }
    return record;
  }

  int shares_, entropies_;
  DistillerInfo const info_{"lsd_state",
                            "factors by step, share of masked sites and mean entropy of the next token, at no further "
                            "evaluation; shares=2 edges a step, "
                            "entropies=2 edges",
                            "this library's own; after Fu et al. 2025, arXiv:2509.19962, who name factors that do not "
                            "depend on the input as their limit",
                            {"euler", "exponential", "tau_leaping", "tweedie"}};
};

}  // namespace

std::unique_ptr<Distiller> make_lsd_state(Parameters const& parameters) {
  parameters.allow({"shares", "entropies"});
  return std::make_unique<LsdState>(parameters.integer("shares", 2, 0, 16), parameters.integer("entropies", 2, 0, 16));
}

}  // namespace saltus
