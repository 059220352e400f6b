// SPDX-License-Identifier: BSD-3-Clause
// Masses against the laws of the methods that they stand for, which tests of methods hold to closed forms.
#include <cmath>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/masses.hpp>
#include <saltus/models/markov_chain.hpp>

#include "reference/harness.hpp"

namespace saltus {
namespace {

using namespace reference;

void expect_masses(Generator const& generator, std::string const& name, double phi) {
  int const length = 5, states = generator.states();
  auto const law = std::make_shared<MarkovChain const>(MarkovChain::countdown(4, length));
  auto process = Process::reverse(generator, NoiseSchedule::log_linear(), law->denoiser(generator));
  process.reserve({2, length}, 1);
  auto const method = make_integrator(name, process);
  bool const masked = process.is_masked();
  State const state = masked ? to_state({{4, 2, 4, 4, 3}, {4, 4, 4, 4, 4}}, 0.6) : to_state({{3, 2, 0, 1, 3}, {0, 0, 1, 2, 2}}, 0.6);
  StepTable const table(ExecSpace(), process, TimeGrid::from_points({0.6, 0.55}), StepOptions{.phi = {phi}});
  process.refresh(ExecSpace(), state, 0);
  SiteMasses const masses("test::masses", 2, length, states);
  StepLaw const step_law = saltus::step_law(name);
  read_masses(ExecSpace(), process, state, table.step(0), 0, mass_of(step_law), masses);

  Kokkos::View<std::int64_t*, Kokkos::LayoutRight, MemorySpace> const sites("test::sites", 2 * length);
  Kokkos::parallel_for(Kokkos::RangePolicy<ExecSpace>(0, 2 * length), KOKKOS_LAMBDA(int i) { sites(i) = i; });
  SiteProbabilities const laws("test::laws", 2 * length, states);
  method->site_probabilities(ExecSpace(), process, state, table.step(0), sites, laws);
  auto const m = Kokkos::create_mirror_view_and_copy(HostSpace(), masses);
  auto const p = Kokkos::create_mirror_view_and_copy(HostSpace(), laws);
  auto const x = to_rows(state.tokens);
  int moving = 0;
  for (std::size_t b = 0; b < 2; ++b) {
    for (std::size_t l = 0; l < static_cast<std::size_t>(length); ++l) {
      double total = 0;
      for (int y = 0; y < states; ++y) total += m(b, l, static_cast<std::size_t>(y));
      double const jump = step_law == StepLaw::exponential ? -std::expm1(-total) : total;
      ASSERT_LT(jump, 1) << "a clamped jump tests nothing";
      for (int y = 0; y < states; ++y) {
        auto const i = static_cast<std::size_t>(y);
        double const expected = p(b * static_cast<std::size_t>(length) + l, i);
        if (y == x[b][l]) {
          EXPECT_EQ(m(b, l, i), 0);
          EXPECT_NEAR(1 - jump, expected, 1e-13) << name;
        } else {
          EXPECT_NEAR(total > 0 ? m(b, l, i) / total * jump : 0, expected, 1e-13) << name << ' ' << y;
        }
      }
      moving += total > 0;
    }
  }
  EXPECT_EQ(moving, masked ? 8 : 10);
}

TEST(Masses, AreTheLawsOfTheMethods) {
  for (double const phi : {1.0, 1.3}) {
    for (char const* const name : {"euler", "tweedie", "exponential"}) {
      SCOPED_TRACE(std::string(name) + ", phi " + std::to_string(phi));
      expect_masses(Generator::absorbing(5), name, phi);
      expect_masses(Generator::uniform(4), name, phi);
    }
  }
}

TEST(Masses, OtherBasesAreRefusedByName) {
  EXPECT_NE(message_of<UserError>([] { step_law("gillespie"); }).find("tweedie_trapezoidal"), std::string::npos);
  EXPECT_EQ(step_law("euler:categorical=gumbel32"), StepLaw::linear);
}

}  // namespace
}  // namespace saltus
