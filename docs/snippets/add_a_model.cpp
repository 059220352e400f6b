// SPDX-License-Identifier: BSD-3-Clause
#include <cstdio>
#include <memory>

#include <saltus/ctmc/score_model.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>

using namespace saltus;

using Scores = Kokkos::View<float***, Kokkos::LayoutRight, MemorySpace>;

// At namespace scope: compilers for devices refuse kernels that are private.
struct FollowKernel {
  Tokens tokens;
  Scores out;
  KOKKOS_FUNCTION void operator()(int b, int l) const {
    token_t const left = l > 0 ? tokens(b, l - 1) : 4;
    for (int y = 0; y < 4; ++y) out(b, l, y) = left == 4 ? 0.25f : y == left ? 0.85f : 0.05f;
    out(b, l, 4) = 0;
  }
};

// A masked model of sequences over 0..3: a token is likely to be that of its left neighbour, if that is revealed.
class Follow final : public ScoreModel {
 public:
  ModelInfo info() const override {
    return {.name = "follow", .states = 5, .mask = 4, .kind = ScoreKind::x0_leave_one_out};
  }
  void reserve(Extents extents, int slots) override {  // all memory of a run
    out_.resize(static_cast<std::size_t>(slots));
    for (auto& out : out_)
      out = Scores("follow::scores", static_cast<std::size_t>(extents.batch), static_cast<std::size_t>(extents.length), 5);
  }
  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    Scores const& out = out_[static_cast<std::size_t>(slot)];
    int const batch = static_cast<int>(query.tokens.extent(0)), length = static_cast<int>(query.tokens.extent(1));
    Kokkos::parallel_for("follow::evaluate",
                         Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(exec, {0, 0}, {batch, length}),
                         FollowKernel{query.tokens, out});
    return {ScalarType::f32, out.data(), static_cast<std::int64_t>(out.stride(0)), static_cast<std::int64_t>(out.stride(1)), 5,
            ScoreKind::x0_leave_one_out, true};
  }

 private:
  std::vector<Scores> out_;
};

int main() {
  Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  Process process = Process::reverse(Generator::absorbing(5), NoiseSchedule::log_linear(), std::make_shared<Follow>());
  auto const integrator = make_integrator("tweedie", process);
  SamplePlan plan = make_plan(process, *integrator, 64, 40);
  plan.samples = 1000;
  HostTokens const x = sample(ExecSpace(), process, *integrator, plan);
  int same = 0;
  for (int b = 0; b < 1000; ++b) {
    for (int l = 1; l < 40; ++l) same += x(b, l) == x(b, l - 1);
  }
  std::printf("%.2f of the tokens are that of their left neighbour\n", same / 39e3);
  return same / 39e3 > 0.4 && same / 39e3 < 0.7 ? 0 : 1;
}
