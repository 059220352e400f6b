// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/select.hpp>

#include "../run_detail.hpp"

namespace saltus {
namespace {

// Reveals a number of masks that is fixed but for rounding, chosen at random: the marginals of tweedie without the binomial
// noise in the number, which costs about a factor of two in path KL (A§9.3).
class FixedCount final : public Integrator {
 public:
  explicit FixedCount(Counts counts) : counts_(counts) { info_.takes_phi = counts == Counts::share; }
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override { return needs_mask(info_, process); }

  std::size_t reserve(Process const&, Extents extents) override {
    ranking_.reserve(label_, extents);
    return static_cast<std::size_t>(extents.batch) * static_cast<std::size_t>(extents.length);
  }

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    key = key.at(static_cast<std::uint32_t>(step.index));
    process.refresh(exec, state, 0);
    choose_sites(exec, label_, process, state, step, key, RandomSites{step.coefficients, counts_, step.remaining},
                 ranking_);
    draw_chosen(exec, label_, process, state, step, key, ranking_, counters);
    detail::finish(exec, label_ + "::finish", state, step);
  }

  void site_probabilities(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                          SiteProbabilities const& out) const override {
    share_probabilities(exec, label_, process, state, step, counts_, step.remaining, out);
  }

 private:
  Counts counts_;
  Ranking ranking_;
  std::string const label_ = "saltus::integrators::fixed_count";
  IntegratorInfo info_{
      .name = "fixed_count",
      .summary = "first order: the step's share of the masks, chosen at random; counts=share or uniform",
      .reference = "Sahoo et al. 2024 (MDLM), arXiv:2406.07524, without the binomial noise; cost: arXiv:2510.25544",
      .weak_order = 1,
      .has_site_law = true,
      .selection = Selection::fixed_count,
      .needs = "a masked reverse process"};
};

}  // namespace

std::unique_ptr<Integrator> make_fixed_count(Parameters const& parameters) {
  parameters.allow({"counts"});
  return std::make_unique<FixedCount>(parse_counts(parameters, Counts::share));
}

}  // namespace saltus
