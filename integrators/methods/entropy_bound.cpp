// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/confidence.hpp>
#include <saltus/integrators/methods.hpp>

#include "../run_detail.hpp"

namespace saltus {
namespace {

using RowInts = Kokkos::View<int*, MemorySpace>;

struct WithinBound : Confidence {
  double most;
  KOKKOS_FUNCTION bool open(int, int) const { return true; }
};

// Names the rows that still hold masks, which alone are evaluated.
struct LeftKernel {
  Tokens tokens;
  Frozen frozen;
  RowInts left;
  CounterView counters;
  token_t mask;
  KOKKOS_FUNCTION void operator()(int b, int& rows) const {
    int const length = static_cast<int>(tokens.extent(1));
    bool any = false;
    for (int l = 0; l < length && !any; ++l) any = tokens(b, l) == mask && (frozen.size() == 0 || frozen(b, l) == 0);
    left(b) = any ? Query::all_sites : Query::no_site;
    counters(std::int64_t{b} * length).evaluations += any;
    rows += any;
  }
};

// Steps of its own: as many sites at once as their entropies allow, until no mask is left.
class EntropyBound final : public Integrator {
 public:
  EntropyBound(Confidence const& confidence, double most) : confidence_(confidence), most_(most) {}
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override { return needs_mask(info_, process); }

  std::size_t reserve(Process const&, Extents extents) override {
    ranking_.reserve(label_, extents);
    auto const batch = static_cast<std::size_t>(extents.batch);
    if (left_.extent(0) < batch) {
      left_ = RowInts(label_ + "::left", batch);
      rows_ = Kokkos::View<int, MemorySpace>(label_ + "::rows");
      host_rows_ = Kokkos::create_mirror_view(rows_);
    }
    return batch * static_cast<std::size_t>(extents.length);
  }

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    key = key.at(static_cast<std::uint32_t>(step.index)).derived();
    RowInts const left = Kokkos::subview(left_, std::make_pair(0, state.batch()));
    // A round reveals a site of every row that it finds; where it cannot, for want of good scores, it must end all the same.
    for (std::uint32_t round = 0; round < static_cast<std::uint32_t>(state.length()); ++round) {
      Kokkos::parallel_reduce(
          label_ + "::left", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, state.batch()),
          LeftKernel{state.tokens, state.frozen, left, counters, *process.generator().mask()},
          Kokkos::Sum<int, MemorySpace>(rows_));
      Kokkos::deep_copy(exec, host_rows_, rows_);
      exec.fence(label_ + ": the host needs to know whether a mask is left");
      if (host_rows_() == 0) break;
      process.refresh(exec, state, 0, left);
      choose_sites(exec, label_, process, state, step, key.at(round), WithinBound{confidence_, most_}, ranking_);
      draw_chosen(exec, label_, process, state, step, key.at(round), ranking_, counters);
    }
    detail::finish(exec, label_ + "::finish", state, step);
  }

 private:
  Confidence confidence_;
  double most_;
  Ranking ranking_;
  RowInts left_;
  Kokkos::View<int, MemorySpace> rows_;
  Kokkos::View<int, MemorySpace>::HostMirror host_rows_;
  std::string const label_ = "saltus::integrators::entropy_bound";
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
