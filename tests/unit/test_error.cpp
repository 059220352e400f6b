// SPDX-License-Identifier: BSD-3-Clause
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>

#include "reference/harness.hpp"

namespace saltus {
namespace {

using namespace reference;
using Names = std::vector<std::string>;

TEST(Error, NearestNamesComeByEditDistance) {
  Names const known{"euler", "gillespie", "tweedie", "theta"};
  EXPECT_EQ(nearest_names("tweedi", known), (Names{"tweedie"}));
  EXPECT_EQ(nearest_names("oiler", known), (Names{"euler"}));  // 2 substitutions
  EXPECT_EQ(nearest_names("gilespi", known), (Names{"gillespie"}));
  EXPECT_EQ(nearest_names("euler", known), (Names{"euler"}));
  EXPECT_EQ(nearest_names("", known), Names{});
  EXPECT_EQ(nearest_names("xyzw", known), Names{});
  EXPECT_EQ(nearest_names("anything", {}), Names{});
}

TEST(Error, NearestNamesAreOrderedAndFew) {
  // distances from "aaaa": aaab 1, aabb 2, abaa 1, abbb 3, aaaa 0
  Names const known{"abbb", "aabb", "aaab", "abaa"};
  EXPECT_EQ(nearest_names("aaaa", known), (Names{"aaab", "abaa", "aabb"}));
  EXPECT_EQ(nearest_names("aaaa", known, 1), (Names{"aaab"}));
  EXPECT_EQ(nearest_names("aaaa", {"aaaa", "aaab", "aabb"}), (Names{"aaaa", "aaab"}));  // one edit further at most
}

TEST(Error, UnknownNameSaysWhatItKnows) {
  std::string const near = unknown_name("integrator", "tweedi", {"euler", "gillespie", "tweedie"});
  EXPECT_EQ(near, "unknown integrator 'tweedi'; did you mean tweedie? Known: euler, gillespie, tweedie.");
  std::string const far = unknown_name("noise", "q", {"cosine", "constant"});
  EXPECT_TRUE(says(far, {"unknown noise 'q'", "Known: cosine, constant."}));
  EXPECT_EQ(far.find("did you mean"), std::string::npos);
  EXPECT_EQ(far.find("' Known"), std::string::npos) << "two sentences without a stop between them: " << far;
}

TEST(Error, RequireThrowsItsMessage) {
  EXPECT_NO_THROW(require(true, "no"));
  EXPECT_EQ(message_of<UserError>([] { require(false, "expected 1, got 2"); }), "expected 1, got 2");
}

TEST(Error, InternalErrorsNameTheirPlace) {
  EXPECT_NO_THROW(SALTUS_ASSERT(1 + 1 == 2));
  EXPECT_TRUE(says(message_of<InternalError>([] { SALTUS_ASSERT(1 + 1 == 3); }),
                   {"1 + 1 == 3", "test_error.cpp:", "report it"}));
}

}  // namespace
}  // namespace saltus
