// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/confidence.hpp>
#include <saltus/integrators/methods.hpp>

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

class TopK final : public ChoosingMethod {
 public:
  TopK(Confidence const& confidence, Counts counts)
      : ChoosingMethod({.name = "top_k",
                        .summary = "biased: reveals the surest sites; score=confidence, margin or entropy, temperature, noise, counts=uniform or share",
                        .reference = "Chang et al. 2022 (MaskGIT), arXiv:2202.04200; Nie et al. 2025 (LLaDA), arXiv:2502.09992",
                        .takes_phi = counts == Counts::share,
                        .needs = "a masked reverse process"}),
        confidence_(confidence),
        counts_(counts) {}

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    Confidence confidence = confidence_;
    confidence.noise *= static_cast<double>(step.remaining - 1) / (step.index + step.remaining);
    reveal(exec, process, state, step, key, counters,
           SurestSites{confidence, step.coefficients, counts_, step.remaining});
  }

 private:
  Confidence confidence_;
  Counts counts_;
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
