// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include <boost/math/distributions/gamma.hpp>
#include <boost/math/quadrature/gauss_kronrod.hpp>
#include <gtest/gtest.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/site_rates.hpp>

#include "reference/messages.hpp"

namespace saltus {
namespace {

using reference::message_of;

TEST(SiteRates, PublishedCategories) {
  // Yang 1994 and PAML for shape 0.5 and four categories.
  std::vector<double> const known{0.0334, 0.2519, 0.8203, 2.8944};
  auto const rates = discrete_gamma(0.5, 4);
  ASSERT_EQ(rates.size(), 4u);
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(rates[k], known[k], 6e-5);
}

TEST(SiteRates, MeansOfTheQuantileClasses) {
  for (double const shape : {1.0, 2.5, 30.0}) {
    int const categories = 5;
    boost::math::gamma_distribution<> const law(shape, 1 / shape);
    auto const rates = discrete_gamma(shape, categories);
    for (int k = 0; k + 1 < categories; ++k) {
      double const from = k == 0 ? 0 : quantile(law, k / 5.0);
      double const mean =
          categories * boost::math::quadrature::gauss_kronrod<double, 61>::integrate(
                           [&](double x) { return x * pdf(law, x); }, from, quantile(law, (k + 1) / 5.0));
      EXPECT_NEAR(rates[static_cast<std::size_t>(k)], mean, 1e-9) << shape << ' ' << k;
    }
  }
}

TEST(SiteRates, MeanIsOneAndOrderRises) {
  for (double const shape : {0.001, 0.05, 0.5, 1.0, 100.0, 1e6}) {
    for (int const categories : {1, 2, 4, 16, 1000}) {
      auto const rates = discrete_gamma(shape, categories);
      ASSERT_EQ(rates.size(), static_cast<std::size_t>(categories));
      EXPECT_TRUE(std::is_sorted(rates.begin(), rates.end())) << shape << ' ' << categories;
      EXPECT_GE(rates[0], 0);
      EXPECT_NEAR(std::accumulate(rates.begin(), rates.end(), 0.0) / categories, 1, 1e-12);
    }
  }
  EXPECT_EQ(discrete_gamma(0.5, 1), std::vector<double>{1});
}

TEST(SiteRates, DrawnFromTheSeed) {
  int const length = 20000;
  auto const rates = read_site_rates("gamma:shape=0.5,categories=4,invariant=0.2", length, 7);
  auto const varying = discrete_gamma(0.5, 4);
  ASSERT_EQ(rates.multiplier.size(), 5u);
  for (std::size_t k = 0; k < 4; ++k) EXPECT_DOUBLE_EQ(rates.multiplier[k], varying[k] / 0.8);
  EXPECT_EQ(rates.multiplier[4], 0);
  ASSERT_EQ(rates.category.size(), static_cast<std::size_t>(length));
  for (int k = 0; k < 5; ++k) {
    auto const count = std::count(rates.category.begin(), rates.category.end(), k);
    EXPECT_NEAR(static_cast<double>(count), 0.2 * length, 6 * std::sqrt(0.2 * 0.8 * length)) << k;
  }
  EXPECT_EQ(read_site_rates("gamma:shape=0.5,categories=4,invariant=0.2", length, 7).category, rates.category);
  EXPECT_NE(read_site_rates("gamma:shape=0.5,categories=4,invariant=0.2", length, 8).category, rates.category);
  // The category of a site does not depend on the length.
  auto const shorter = read_site_rates("gamma:shape=0.5,categories=4,invariant=0.2", 100, 7);
  EXPECT_TRUE(std::equal(shorter.category.begin(), shorter.category.end(), rates.category.begin()));
}

TEST(SiteRates, Invariant) {
  auto const rates = read_site_rates("invariant:share=0.25", 4000, 1);
  EXPECT_EQ(rates.multiplier, (std::vector<double>{1 / 0.75, 0}));
  EXPECT_NEAR(static_cast<double>(std::count(rates.category.begin(), rates.category.end(), 1)), 1000,
              6 * std::sqrt(750));
  EXPECT_EQ(read_site_rates("invariant:share=0", 3, 1).multiplier, std::vector<double>{1});
  EXPECT_FALSE(rates.empty());
  EXPECT_TRUE(SiteRates().empty());
}

TEST(SiteRates, FromAFile) {
  auto const path =
      (std::filesystem::temp_directory_path() / ("saltus-test-site-rates-" + std::to_string(::getpid()))).string();
  auto const write = [&](std::string const& text) { std::ofstream(path) << text; };
  write("# rates\n2\n0\n0.5\n2\n");
  auto const rates = read_site_rates(path, 4, 1);
  EXPECT_EQ(rates.multiplier, (std::vector<double>{0, 0.5, 2}));
  EXPECT_EQ(rates.category, (std::vector<int>{2, 0, 1, 2}));
  auto const refusal = [&](int length) { return message_of<UserError>([&] { read_site_rates(path, length, 1); }); };
  EXPECT_SAYS(refusal(5), "has the rates of 4 sites, expected one number for each of the 5 sites");
  write("1\n-2\n");
  EXPECT_SAYS(refusal(2), "the rate of site 2 is -2");
  write("1\n2 3\n");
  EXPECT_SAYS(refusal(2), "line 2: expected 1 number");
  std::filesystem::remove(path);
}

TEST(SiteRates, Refusals) {
  auto const refusal = [](std::string const& text) {
    return message_of<UserError>([&] { read_site_rates(text, 3, 1); });
  };
  EXPECT_SAYS(refusal("gama:shape=1"), "did you mean gamma");
  EXPECT_SAYS(refusal("gamma"), "needs a shape");
  EXPECT_SAYS(refusal("gamma:shape=0"), "must be from 0.001 to 1000000, got 0");
  EXPECT_SAYS(refusal("gamma:shape=nan"), "must be from 0.001");
  EXPECT_SAYS(refusal("gamma:shape=1,categories=0"), "'categories' must be a whole number from 1 to 1000, got 0");
  EXPECT_SAYS(refusal("gamma:shape=1,invariant=1"), "from 0 to below 1, got 1");
  EXPECT_SAYS(refusal("gamma:shape=1,alpha=1"), "alpha");
  EXPECT_SAYS(refusal("invariant"), "needs a share");
  EXPECT_SAYS(refusal("invariant:share=-0.1"), "got -0.1");
  EXPECT_THROW(discrete_gamma(1, 0), UserError);
  EXPECT_THROW(discrete_gamma(1, 1001), UserError);
  EXPECT_SAYS(message_of<UserError>([] { read_site_rates("gamma:shape=1", 0, 1); }), "at least 1 site");
}

}  // namespace
}  // namespace saltus
