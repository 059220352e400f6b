// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/confidence.hpp>
#include <saltus/integrators/methods.hpp>

namespace saltus {
namespace {

// Where a step stands: blocks from left to right, each with as equal a number of steps as can be.
struct BlockSteps {
  int begin, end;  // sites
  int remaining;   // steps of the block that are left

  static BlockSteps at(int length, int block, int index, int steps) {
    int const blocks = (length + block - 1) / block;
    // Block i has the steps from i steps / blocks on. With fewer steps than blocks, several blocks share one.
    if (steps <= blocks) {
      return {static_cast<int>(std::int64_t{index} * blocks / steps) * block,
              static_cast<int>(std::int64_t{index + 1} * blocks / steps) * block, 1};
    }
    int i = static_cast<int>(std::int64_t{index} * blocks / steps);
    while (std::int64_t{i + 1} * steps / blocks <= index) ++i;
    return {i * block, (i + 1) * block, static_cast<int>(std::int64_t{i + 1} * steps / blocks) - index};
  }
};

struct SitesOfBlock : Confidence {
  bool at_random;
  BlockSteps steps;

  KOKKOS_FUNCTION bool open(int, int l) const { return l < steps.end; }
  template <class Field>
  KOKKOS_FUNCTION Candidate rank(Field const& field, int b, int l, StreamKey key, std::uint64_t sample) const {
    // The token of a site chosen at random may wait until it is chosen, unless it is drawn at a temperature.
    Candidate c{0, 0, -1};
    if (!at_random || temperature != 1) c = Confidence::rank(field, b, l, key, sample);
    if (at_random) c.key = uniform53(key.draw(sample, Role::step, static_cast<std::uint32_t>(l)).event);
    return c;
  }
  KOKKOS_FUNCTION int count(int, int n, std::uint64_t, StreamKey) const {
    return (n + steps.remaining - 1) / steps.remaining;
  }
};

class SemiAutoregressive final : public ChoosingMethod {
 public:
  SemiAutoregressive(Confidence const& confidence, bool at_random, int block)
      : ChoosingMethod({.name = "semi_autoregressive",
                        .summary = "biased: blocks from left to right, each by order=confidence, margin, entropy or random; block=8, temperature",
                        .reference = "Nie et al. 2025 (LLaDA), arXiv:2502.09992; Arriola et al. 2025 (BD3-LM), arXiv:2503.09573",
                        .takes_phi = false,
                        .needs = "a masked reverse process"}),
        confidence_(confidence),
        at_random_(at_random),
        block_(block) {}

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    auto const steps = BlockSteps::at(state.length(), block_, step.index, step.index + step.remaining);
    reveal(exec, process, state, step, key, counters, SitesOfBlock{confidence_, at_random_, steps});
  }

 private:
  Confidence confidence_;
  bool at_random_;
  int block_;
};

}  // namespace

std::unique_ptr<Integrator> make_semi_autoregressive(Parameters const& parameters) {
  parameters.allow({"block", "order", "temperature"});
  std::string const order = parameters.text("order", "confidence");
  Confidence confidence{.temperature = parameters.number("temperature", 1)};
  require(confidence.temperature >= 0, parameters.where() + ": temperature must be at least 0");
  if (order == "margin") {
    confidence.score = Score::margin;
  } else if (order == "entropy") {
    confidence.score = Score::entropy;
  } else if (order != "confidence" && order != "random") {
    throw UserError(unknown_name("order", order, {"confidence", "entropy", "margin", "random"}));
  }
  return std::make_unique<SemiAutoregressive>(confidence, order == "random",
                                              parameters.integer("block", 8, 1, 1'000'000'000));
}

}  // namespace saltus
