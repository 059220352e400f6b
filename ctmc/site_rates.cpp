// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/site_rates.hpp>

#include <algorithm>
#include <filesystem>
#include <string>

#include <boost/math/special_functions/gamma.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/table.hpp>
#include <saltus/ctmc/parameters.hpp>
#include <saltus/ctmc/random.hpp>

namespace saltus {
namespace {

/// A share of sites at rate 0, the others equally likely at one of `varying`.
SiteRates drawn(double invariant, std::vector<double> varying, int length, std::uint64_t seed) {
  SiteRates rates{std::move(varying), {}};
  auto const classes = static_cast<double>(rates.multiplier.size());
  for (double& multiplier : rates.multiplier) multiplier /= 1 - invariant;
  auto const still = static_cast<int>(rates.multiplier.size());
  if (invariant > 0) rates.multiplier.push_back(0);
  StreamKey const key{seed, 0};
  rates.category.reserve(static_cast<std::size_t>(length));
  for (int l = 0; l < length; ++l) {
    auto const words = key.draw(0, Role::site_rate, static_cast<std::uint32_t>(l));
    bool const moves = uniform53(words.event) >= invariant;
    rates.category.push_back(moves ? static_cast<int>(uniform53(words.target) * classes) : still);
  }
  return rates;
}

SiteRates from_file(std::string const& path, int length) {
  auto const rows = read_columns(path, 1);
  require(rows.size() == static_cast<std::size_t>(length),
          "'" + path + "' has the rates of " + std::to_string(rows.size()) +
              " sites, expected one number for each of the " + std::to_string(length) + " sites");
  SiteRates rates;
  for (std::size_t l = 0; l < rows.size(); ++l) {
    double const value = rows[l][0];
    require(value >= 0, "'" + path + "': the rate of site " + std::to_string(l + 1) + " is " + to_text(value) +
                            ", expected a number >= 0");
    rates.multiplier.push_back(value);
  }
  auto& all = rates.multiplier;
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  for (auto const& row : rows) {
    rates.category.push_back(static_cast<int>(std::lower_bound(all.begin(), all.end(), row[0]) - all.begin()));
  }
  return rates;
}

double share(Parameters const& parameters, std::string_view key, double otherwise) {
  double const value = parameters.number(key, otherwise);
  require(value >= 0 && value < 1, parameters.where() + ": '" + std::string(key) +
                                       "' is the share of sites that never " +
                                       "change, a number from 0 to below 1, got " + to_text(value));
  return value;
}

}  // namespace

std::vector<double> discrete_gamma(double shape, int categories) {
  require(shape >= 1e-3 && shape <= 1e6,
          "the shape of the gamma law must be from 0.001 to 1000000, got " + to_text(shape));
  require(categories >= 1 && categories <= 1000,
          "the gamma law is cut into 1 to 1000 categories, got " + std::to_string(categories));
  // The mean below a quantile z of the law, in units of its mean, is P(shape + 1, z).
  std::vector<double> rates;
  double below = 0;
  for (int k = 1; k <= categories; ++k) {
    double const share = static_cast<double>(k) / categories;
    double const up_to = k == categories ? 1 : boost::math::gamma_p(shape + 1, boost::math::gamma_p_inv(shape, share));
    rates.push_back(categories * (up_to - below));
    below = up_to;
  }
  return rates;
}

SiteRates read_site_rates(std::string_view text, int length, std::uint64_t seed) {
  require(length >= 1, "rates of sites need at least 1 site, got " + std::to_string(length));
  auto const name = text.substr(0, text.find(':'));
  if (name == "gamma") {
    auto const parameters = Parameters::parse("site rates", text);
    parameters.allow({"shape", "categories", "invariant"});
    require(parameters.has("shape"), parameters.where() + " needs a shape, as in gamma:shape=0.5");
    int const categories = parameters.integer("categories", 4, 1, 1000);
    return drawn(share(parameters, "invariant", 0), discrete_gamma(parameters.number("shape", 1), categories), length,
                 seed);
  }
  if (name == "invariant") {
    auto const parameters = Parameters::parse("site rates", text);
    parameters.allow({"share"});
    require(parameters.has("share"), parameters.where() + " needs a share, as in invariant:share=0.2");
    return drawn(share(parameters, "share", 0), {1}, length, seed);
  }
  require(std::filesystem::exists(std::string(text)),
          unknown_name("law of site rates (and no such file)", name, {"gamma", "invariant"}));
  return from_file(std::string(text), length);
}

}  // namespace saltus
