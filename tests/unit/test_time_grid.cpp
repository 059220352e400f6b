// SPDX-License-Identifier: BSD-3-Clause
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/time_grid.hpp>

#include "reference/harness.hpp"

namespace saltus {
namespace {

using namespace reference;

TEST(TimeGrid, UniformHasExactEndsAndEqualSteps) {
  for (int const steps : {1, 2, 3, 7, 1000}) {
    for (auto const& [from, to] : {Interval{1, 1e-5}, Interval{1, 0}, Interval{0, 3}, Interval{0.1, 0.3}}) {
      auto const grid = TimeGrid::uniform(from, to, steps);
      ASSERT_EQ(grid.steps(), steps);
      ASSERT_EQ(grid.points().size(), static_cast<std::size_t>(steps) + 1);
      EXPECT_EQ(grid.point(0), from);
      EXPECT_EQ(grid.point(steps), to);
      EXPECT_EQ(grid.decreasing(), from > to);
      for (int k = 0; k < steps; ++k) {
        EXPECT_NEAR(grid.point(k), from + (to - from) * k / steps, 1e-15);
        EXPECT_EQ(grid.interval(k).from, grid.point(k));
        EXPECT_EQ(grid.interval(k).to, grid.point(k + 1));
      }
    }
  }
  EXPECT_EQ(TimeGrid::uniform(1, 0, 4).point(1), 0.75);
}

TEST(TimeGrid, TakesAnyMonotonePoints) {
  auto const down = TimeGrid::from_points({1, 0.9, 1e-12, 0});
  EXPECT_TRUE(down.decreasing());
  EXPECT_EQ(down.steps(), 3);
  EXPECT_EQ(down.interval(1).to, 1e-12);
  EXPECT_FALSE(TimeGrid::from_points({0, 1e-300}).decreasing());
}

TEST(TimeGrid, RefusesWhatIsNotAGrid) {
  auto const message = [](auto const& make) { return message_of<UserError>(make); };
  EXPECT_TRUE(says(message([] { TimeGrid::uniform(1, 0, 0); }), {"at least 1 step", "got 0"}));
  EXPECT_TRUE(says(message([] { TimeGrid::uniform(1, 0, -3); }), {"got -3"}));
  EXPECT_TRUE(says(message([] { TimeGrid::uniform(0.5, 0.5, 4); }), {"strictly", "point 1"}));
  EXPECT_TRUE(says(message([] { TimeGrid::from_points({1}); }), {"at least 2 points", "got 1"}));
  EXPECT_TRUE(says(message([] { TimeGrid::from_points({}); }), {"got 0"}));
  EXPECT_TRUE(says(message([] { TimeGrid::from_points({1, 0.5, 0.5, 0}); }), {"decreasing", "point 2", "0.5"}));
  EXPECT_TRUE(says(message([] { TimeGrid::from_points({1, 0.5, 0.75}); }), {"decreasing", "point 2", "0.75", "0.5"}));
  EXPECT_TRUE(says(message([] { TimeGrid::from_points({0, 0.5, 0.25}); }), {"increasing", "point 2"}));
  EXPECT_TRUE(says(message([] { TimeGrid::from_points({1, -0.5}); }), {"at least 0", "-0.5"}));
  EXPECT_TRUE(says(message([] { TimeGrid::from_points({1, std::numeric_limits<double>::quiet_NaN()}); }), {"finite"}));
  EXPECT_TRUE(says(message([] { TimeGrid::from_points({std::numeric_limits<double>::infinity(), 0}); }), {"finite"}));
  // Small times must be told apart in the message.
  EXPECT_TRUE(says(message([] { TimeGrid::from_points({1, 1e-9, 2e-9}); }), {"point 2", "2e-09", "1e-09"}));
}

}  // namespace
}  // namespace saltus
