// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/confidence.hpp>
#include <saltus/integrators/methods.hpp>

#include "../own_steps.hpp"
#include "../run_detail.hpp"

namespace saltus {
namespace {

// Rounds have no times: a network that is told one gets that at which as many masks are expected as a row has.
struct ClockByMasks {
  Tokens tokens;
  Times time;
  Kokkos::View<StepCoeff const*, MemorySpace> step;
  NoiseSchedule noise;
  token_t mask;

  KOKKOS_FUNCTION void operator()(int b) const {
    int const length = static_cast<int>(tokens.extent(1));
    int masks = 0;
    for (int l = 0; l < length; ++l) masks += tokens(b, l) == mask;
    StepCoeff const& c = step(step.extent(0) == 1 ? 0 : b);
    double const t = masks < length ? noise.time_at_lost(c.lost_from * masks / length) : c.from;
    double const least = c.to + 1e-9 * (c.from - c.to);  // at c.to a row is done
    time(b) = t > least ? t : least;
  }
};

struct WithinBound : Confidence {
  double most;
  KOKKOS_FUNCTION bool open(int, int) const { return true; }
};

// Steps of its own: as many sites at once as their entropies allow, until no mask is left.
class EntropyBound final : public Integrator {
 public:
  EntropyBound(Confidence const& confidence, double most) : confidence_(confidence), most_(most) {}
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override { return needs_mask(info_, process); }

  std::size_t reserve(Process const&, Extents extents) override {
    ranking_.reserve(label_, extents);
    std::size_t const counters = static_cast<std::size_t>(extents.batch) * static_cast<std::size_t>(extents.length);
    left_.reserve(extents, counters);
    return counters;
  }

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    key = key.at(static_cast<std::uint32_t>(step.index)).derived();
    // A round reveals a site of every row that it finds; where it cannot, for want of good scores, it must end all the same.
    auto const most = static_cast<std::uint32_t>(state.length());
    bool const told = process.model()->info().time != TimeInput::none;
    for (std::uint32_t round = 0; round < most && left_.find(exec, process, state, step, counters); ++round) {
      if (told)
        Kokkos::parallel_for(label_ + "::clock", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, state.batch()),
                             ClockByMasks{state.tokens, state.time, step.coefficients, process.noise(), *process.generator().mask()});
      process.refresh(exec, state, 0, left_.rows());
      choose_sites(exec, label_, process, state, step, key.at(round), WithinBound{confidence_, most_}, ranking_);
      draw_chosen(exec, label_, process, state, step, key.at(round), ranking_, counters);
    }
    detail::finish(exec, label_ + "::finish", state, step);
  }

 private:
  Confidence confidence_;
  double most_;
  Ranking ranking_;
  std::string const label_ = "saltus::integrators::entropy_bound";
  detail::RowsLeft left_{label_};
  IntegratorInfo const info_{
      .name = "entropy_bound",
      .summary = "biased: at once all sites whose entropies but the largest sum to gamma=0.1 nats; score, temperature",
      .reference = "Ben-Hamu et al. 2025 (EB-sampler), arXiv:2505.24857",
      .evaluations = 0,
      .host_syncs = 1,
      .takes_phi = false,
      .needs = "a masked reverse process"};
};

}  // namespace

std::unique_ptr<Integrator> make_entropy_bound(Parameters const& parameters) {
  parameters.allow({"gamma", "score", "temperature"});
  Confidence const confidence{parse_score(parameters, Score::entropy), parameters.number("temperature", 1)};
  double const gamma = parameters.number("gamma", 0.1);
  require(gamma >= 0 && confidence.temperature >= 0, parameters.where() + ": gamma and temperature must be at least 0");
  return std::make_unique<EntropyBound>(confidence, gamma);
}

}  // namespace saltus
