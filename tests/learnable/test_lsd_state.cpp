// SPDX-License-Identifier: BSD-3-Clause
// Factors by state and powers of the scores, against sums written out here for models whose scores depend on the number
// of masks or on the time in a known way.
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/integrators/sampler.hpp>
#include <saltus/learnable/block_sweep.hpp>
#include <saltus/learnable/distiller.hpp>
#include <saltus/learnable/path_kl.hpp>
#include <saltus/models/product.hpp>

#include "reference/harness.hpp"

namespace saltus {
namespace {

using namespace reference;

double share_factor(double share) { return 0.4 + 0.8 * share * share; }
double sharpness(double t) { return 2 - t; }

// Independent masked sites of the law `clean`: as scores times share_factor(share of masks), or as laws to the power of
// sharpness(t).
class Distorted final : public ScoreModel {
 public:
  Distorted(std::vector<double> const& clean, bool by_share) : by_share_(by_share) {
    info_.name = by_share ? "by share" : "by time";
    info_.states = static_cast<int>(clean.size()) + 1;
    info_.mask = static_cast<token_t>(clean.size());
    info_.kind = by_share ? ScoreKind::score : ScoreKind::x0_leave_one_out;
    info_.time = by_share ? TimeInput::total : TimeInput::time;
    clean_ = Kokkos::View<double*, MemorySpace>("test::clean", clean.size());
    auto const host = Kokkos::create_mirror_view(clean_);
    for (std::size_t y = 0; y < clean.size(); ++y) host(y) = clean[y];
    Kokkos::deep_copy(clean_, host);
  }
  ModelInfo info() const override { return info_; }
  void reserve(Extents extents, int) override {
    out_ = SiteMasses("test::scores", static_cast<std::size_t>(extents.batch), static_cast<std::size_t>(extents.length),
                      static_cast<std::size_t>(info_.states));
  }
  struct Fill {
    SiteMasses out;
    Tokens tokens;
    Times time;
    Kokkos::View<double*, MemorySpace> clean;
    bool by_share;
    KOKKOS_FUNCTION void operator()(int b) const {
      int const length = static_cast<int>(tokens.extent(1)), mask = static_cast<int>(clean.extent(0));
      int masks = 0;
      for (int l = 0; l < length; ++l) masks += tokens(b, l) == mask;
      double const share = static_cast<double>(masks) / length, alpha = Kokkos::exp(-time(b));
      double const factor = by_share ? (0.4 + 0.8 * share * share) * alpha / (1 - alpha) : 1,
                   power = by_share ? 1 : 2 - time(b);
      for (int l = 0; l < length; ++l) {
        for (int y = 0; y < mask; ++y) out(b, l, y) = factor * Kokkos::pow(clean(y), power);
        out(b, l, mask) = 0;
      }
    }
  };
  Evaluation evaluate(ExecSpace const& exec, Query const& query, int) override {
    Kokkos::parallel_for(
        "test::distorted",
        Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, static_cast<int>(query.tokens.extent(0))),
        Fill{out_, query.tokens, query.time, clean_, by_share_});
    return {ScalarType::f64,
            out_.data(),
            static_cast<std::int64_t>(out_.stride(0)),
            static_cast<std::int64_t>(out_.stride(1)),
            info_.states,
            info_.kind};
  }

 private:
  bool by_share_;
  ModelInfo info_;
  Kokkos::View<double*, MemorySpace> clean_;
  SiteMasses out_;
};

Process distorted(bool by_share) {
  return Process::reverse(Generator::absorbing(3), NoiseSchedule::log_linear(),
                          std::make_shared<Distorted>(std::vector<double>{0.3, 0.7}, by_share));
}

// Two sites, two steps of tweedie in a block: what becomes of one or two masks is a sum of a few terms.
TEST(LsdState, FactorsAreRatiosGivenTheNumberOfMasks) {
  auto process = distorted(true);
  NoiseSchedule const& noise = process.noise();
  DistillPlan const plan{.base = "euler",
                         .steps = 4,
                         .teacher_steps = 8,
                         .length = 2,
                         .end = 0.05,
                         .trajectories = 40000,
                         .sweeps = 2,
                         .batch = 4000};
  Schedule const s = make_distiller("lsd_state:shares=16,entropies=0")->distill(ExecSpace(), process, plan, {});
  ASSERT_TRUE(s.state);
  EXPECT_EQ(s.state->shares, (std::vector<double>{0.5, 1}));
  EXPECT_TRUE(s.state->entropies.empty());
  ASSERT_EQ(s.state->phi.size(), 12);
  TimeGrid const fine = TimeGrid::uniform(1, 0.05, 8);
  for (int k = 0; k < 4; ++k) {
    double p[2][3];  // probability of a reveal in both steps, by the number of masks
    for (int j = 0; j < 2; ++j) {
      StepCoeff const c = noise.coefficients(fine.interval(2 * k + j));
      for (int n = 1; n <= 2; ++n) p[j][n] = c.growth * c.alpha_from / c.lost_from * share_factor(n / 2.0);
    }
    StepCoeff const c = noise.coefficients({fine.point(2 * k), fine.point(2 * k + 2)});
    auto const student = [&](int n) {
      return n * c.duration * c.rate * c.alpha_from / c.lost_from * share_factor(n / 2.0);
    };
    double const stay = 1 - p[0][2], one = p[0][1] + (1 - p[0][1]) * p[1][1],
                 two = 2 * p[0][2] + stay * stay * 2 * p[1][2] + 2 * p[0][2] * stay * p[1][1];
    auto const phi = [&](int bin) { return s.state->phi[static_cast<std::size_t>(3 * k + bin)]; };
    EXPECT_NEAR(phi(2), two / student(2), 0.01 * phi(2)) << k;
    if (k == 0) continue;  // all masks
    EXPECT_NEAR(phi(1), one / student(1), 0.01 * phi(1)) << k;
    EXPECT_GT(std::abs(one / student(1) - two / student(2)), 0.03) << "bins that cannot be told apart";
  }
}

TEST(LsdState, BeatsOneFactorAStepOnTrajectoriesHeldBack) {
  auto process = distorted(true);
  for (char const* const base : {"euler", "exponential"}) {
    DistillPlan const plan{.base = base,
                           .steps = 4,
                           .teacher_steps = 16,
                           .length = 8,
                           .end = 0,
                           .trajectories = 30000,
                           .sweeps = 1,
                           .batch = 3000};
    Schedule const one = make_distiller("lsd")->distill(ExecSpace(), process, plan, {}),
                   many = make_distiller("lsd_state")->distill(ExecSpace(), process, plan, {});
    EXPECT_TRUE(many.state->phi.size() == 4 * bins_of(*many.state));
    RatioMean const plain = held_out_divergence(ExecSpace(), process, plan, one),
                    state = held_out_divergence(ExecSpace(), process, plan, many);
    EXPECT_LT(state.value + 3 * std::hypot(plain.error, state.error), plain.value) << base;
    TeacherPlan const paths{.steps = 16, .length = 8, .trajectories = 3000, .batch = 3000, .seed = 77};
    EXPECT_LT(path_kl(ExecSpace(), process, many, paths).value, path_kl(ExecSpace(), process, one, paths).value) << base;
    for (std::size_t i = 3 * bins_of(*many.state); i < many.state->phi.size(); ++i)
      EXPECT_EQ(many.state->phi[i], 1) << "the forced step";
  }
}

// Where the state says nothing, its factors are drawn to the one of the step.
TEST(LsdState, FactorsAreOneWhereStatesDoNotMatter) {
  ProductLaw const law(8, 2, {0.5, 0.5, 0.2, 0.8, 0.9, 0.1, 0.3, 0.7, 0.5, 0.5, 0.2, 0.8, 0.9, 0.1, 0.3, 0.7});
  Generator const generator = Generator::absorbing(3);
  auto process = Process::reverse(generator, NoiseSchedule::log_linear(), law.denoiser(generator));
  DistillPlan const plan{.base = "euler",
                         .steps = 4,
                         .teacher_steps = 16,
                         .length = 8,
                         .end = 0,
                         .trajectories = 4000,
                         .sweeps = 2,
                         .batch = 1000};
  Schedule const s = make_distiller("lsd_state")->distill(ExecSpace(), process, plan, {});
  double worst = 0;
  for (double const phi : s.state->phi) worst = std::max(worst, std::abs(phi - 1));
  EXPECT_LT(worst, 0.05);
}

// Two steps of tweedie in a block, with laws p^sharpness at their two times.
TEST(LsdTemperature, FindsThePowerThatIsBest) {
  auto process = distorted(false);
  NoiseSchedule const& noise = process.noise();
  DistillPlan const plan{.base = "euler",
                         .steps = 4,
                         .teacher_steps = 8,
                         .length = 4,
                         .end = 0.02,
                         .trajectories = 20000,
                         .sweeps = 1,
                         .batch = 4000};
  Schedule const s = make_distiller("lsd_temperature")->distill(ExecSpace(), process, plan, {});
  ASSERT_EQ(s.power.size(), 4);
  TimeGrid const fine = TimeGrid::uniform(1, 0.02, 8);
  auto const first_token = [](double power) {
    return std::pow(0.3, power) / (std::pow(0.3, power) + std::pow(0.7, power));
  };
  for (int k = 0; k < 4; ++k) {
    double const u1 = noise.coefficients(fine.interval(2 * k)).reveal,
                 u2 = (1 - u1) * noise.coefficients(fine.interval(2 * k + 1)).reveal;
    double const at = fine.point(2 * k),
                 mean =
                     (u1 * first_token(sharpness(at)) + u2 * first_token(sharpness(fine.point(2 * k + 1)))) / (u1 + u2);
    // -sum J ln B_c is least where the student's law is the teacher's mean
    double low = 0.5, high = 2;
    for (int i = 0; i < 60; ++i) (first_token((low + high) / 2 * sharpness(at)) > mean ? low : high) = (low + high) / 2;
    EXPECT_GT(low, 1.01);
    EXPECT_NEAR(s.power[static_cast<std::size_t>(k)], low, 0.01) << k;
    StepCoeff const c = noise.coefficients({fine.point(2 * k), fine.point(2 * k + 2)});
    EXPECT_NEAR(s.phi[static_cast<std::size_t>(k)], (u1 + u2) / (c.duration * c.hazard), 0.02) << k;
  }
  EXPECT_NE(s.note.find("matched entropy"), std::string::npos) << s.note;
}

TEST(LsdTemperature, RefusesWhatHasNoTemperature) {
  ProductLaw const law(2, 2, {0.5, 0.5, 0.2, 0.8});
  Generator const generator = Generator::uniform(2);
  auto process = Process::reverse(generator, NoiseSchedule::constant(1, 3), law.denoiser(generator));
  DistillPlan const plan{.base = "euler", .steps = 4, .teacher_steps = 8, .length = 2, .end = 0.05};
  EXPECT_NE(make_distiller("lsd_temperature")->refuses(process, plan).find("masked"), std::string::npos);
  DistillPlan two = plan;
  two.base = "tweedie";
  EXPECT_NE(make_distiller("lsd_state")->refuses(process, two).find("tweedie"), std::string::npos);
}

}  // namespace
}  // namespace saltus
