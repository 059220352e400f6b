// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/confidence.hpp>
#include <saltus/integrators/methods.hpp>

#include "../run_detail.hpp"

namespace saltus {
namespace {

struct SurestSites : Confidence {
  Kokkos::View<StepCoeff const*, MemorySpace> coefficients;
  Counts counts;
  int remaining;

  KOKKOS_FUNCTION bool open(int, int) const { return true; }
  KOKKOS_FUNCTION int count(int b, int n, std::uint64_t sample, StreamKey key) const {
    StepCoeff const& c = coefficients(coefficients.extent(0) == 1 ? 0 : b);
    return round_at_random(count_of(counts, c, n, remaining), uniform53(key.draw(sample, Role::order, 0).event));
  }
};

class TopK final : public Integrator {
 public:
  TopK(Confidence const& confidence, Counts counts) : confidence_(confidence), counts_(counts) {
    info_.takes_phi = counts == Counts::share;
  }
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
    Confidence confidence = confidence_;
    confidence.noise *= static_cast<double>(step.remaining - 1) / (step.index + step.remaining);
    choose_sites(exec, label_, process, state, step, key,
                 SurestSites{confidence, step.coefficients, counts_, step.remaining}, ranking_);
    draw_chosen(exec, label_, process, state, step, key, ranking_, counters);
    detail::finish(exec, label_ + "::finish", state, step);
  }

 private:
  Confidence confidence_;
  Counts counts_;
  Ranking ranking_;
  std::string const label_ = "saltus::integrators::top_k";
  IntegratorInfo info_{
      .name = "top_k",
      .summary = "biased: reveals the surest sites; score=confidence, margin or entropy, temperature, noise, counts=uniform or share",
      .reference = "Chang et al. 2022 (MaskGIT), arXiv:2202.04200; Nie et al. 2025 (LLaDA), arXiv:2502.09992",
      .needs = "a masked reverse process"};
};

}  // namespace

std::unique_ptr<Integrator> make_top_k(Parameters const& parameters) {
  parameters.allow({"score", "temperature", "noise", "counts"});
  Confidence const confidence{parse_score(parameters, Score::confidence), parameters.number("temperature", 1),
                              parameters.number("noise", 0)};
  require(confidence.temperature >= 0 && confidence.noise >= 0,
          parameters.where() + ": temperature and noise must be at least 0");
  return std::make_unique<TopK>(confidence, parse_counts(parameters, Counts::uniform));
}

}  // namespace saltus
