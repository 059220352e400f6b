// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/select.hpp>

namespace saltus {
namespace {

// Reveals a number of masks that is fixed but for rounding, chosen at random: the marginals of tweedie without the binomial
// noise in the number, which costs about a factor of two in path KL (A§9.3).
class FixedCount final : public ChoosingMethod {
 public:
  explicit FixedCount(Counts counts)
      : ChoosingMethod({.name = "fixed_count",
                        .summary = "first order: the step's share of the masks, chosen at random; counts=share or uniform",
                        .reference = "Sahoo et al. 2024 (MDLM), arXiv:2406.07524, without the binomial noise; cost: arXiv:2510.25544",
                        .weak_order = 1,
                        .has_site_law = true,
                        .selection = Selection::fixed_count,
                        .takes_phi = counts == Counts::share,
                        .needs = "a masked reverse process"}),
        counts_(counts) {}

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    reveal(exec, process, state, step, key, counters, RandomSites{step.coefficients, counts_, step.remaining});
  }

  void site_probabilities(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                          SiteList const& sites, SiteProbabilities const& out) const override {
    share_probabilities(exec, label_, process, state, step, counts_, step.remaining, sites, out);
  }

 private:
  Counts counts_;
};

}  // namespace

std::unique_ptr<Integrator> make_fixed_count(Parameters const& parameters) {
  parameters.allow({"counts"});
  return std::make_unique<FixedCount>(parse_counts(parameters, Counts::share));
}

}  // namespace saltus
