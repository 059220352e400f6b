// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/noise_schedule.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include <saltus/ctmc/error.hpp>

namespace saltus {
namespace {

// "a=1,b=2" against the parameters of a schedule, given with their defaults.
std::map<std::string, double> parameters(std::string_view name, std::string_view text,
                                         std::map<std::string, double> values) {
  std::vector<std::string> known, given;
  for (auto const& [key, value] : values) known.push_back(key);
  while (!text.empty()) {
    auto const item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    auto const equals = item.find('=');
    require(equals != item.npos, "noise '" + std::string(name) + "': expected name=value, got '" + std::string(item) + "'");
    std::string const key(item.substr(0, equals));
    auto const found = values.find(key);
    require(std::find(given.begin(), given.end(), key) == given.end(), "noise '" + std::string(name) + "': '" + key + "' is given twice");
    given.push_back(key);
    if (found == values.end()) throw UserError(unknown_name("parameter of noise " + std::string(name), key, known));
    auto const digits = item.substr(equals + 1);
    double value = 0;
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    require(error == std::errc() && end == digits.data() + digits.size(),
            "noise '" + std::string(name) + "': '" + key + "' must be a number, got '" + std::string(digits) + "'");
    found->second = value;
  }
  return values;
}

void check_floor(double floor) {
  require(floor > 0 && floor < 1, "the floor of alpha must lie between 0 and 1, got " + to_text(floor));
}

}  // namespace

NoiseSchedule NoiseSchedule::log_linear(double floor) {
  check_floor(floor);
  return {Kind::log_linear, floor, 0, 1};
}

NoiseSchedule NoiseSchedule::cosine(double floor) {
  check_floor(floor);
  return {Kind::cosine, floor, 0, 1};
}

NoiseSchedule NoiseSchedule::constant(double rate, double end) {
  require(std::isfinite(rate) && rate > 0, "constant noise needs a rate above 0, got " + to_text(rate));
  require(std::isfinite(end) && end > 0, "constant noise needs an end above 0, got " + to_text(end));
  return {Kind::constant, rate, 0, end};
}

NoiseSchedule NoiseSchedule::geometric(double min, double max) {
  require(std::isfinite(max) && min > 0 && max > min,
          "geometric noise needs 0 < min < max, got min=" + to_text(min) + ", max=" + to_text(max));
  return {Kind::geometric, min, max, 1};
}

std::vector<std::string> NoiseSchedule::names() { return {"constant", "cosine", "geometric", "log_linear"}; }

NoiseSchedule NoiseSchedule::parse(std::string_view text) {
  auto const name = text.substr(0, text.find(':'));
  auto const rest = name.size() == text.size() ? std::string_view() : text.substr(name.size() + 1);
  auto with = [&](std::map<std::string, double> defaults) { return parameters(name, rest, std::move(defaults)); };
  if (name == "log_linear") return log_linear(with({{"floor", 1e-3}})["floor"]);
  if (name == "cosine") return cosine(with({{"floor", 1e-3}})["floor"]);
  if (name == "constant") {
    auto p = with({{"rate", 1}, {"end", 1}});
    return constant(p["rate"], p["end"]);
  }
  if (name == "geometric") {
    auto p = with({{"min", 1e-3}, {"max", 1}});
    return geometric(p["min"], p["max"]);
  }
  throw UserError(unknown_name("noise", name, names()));
}

std::string NoiseSchedule::describe() const {
  switch (kind_) {
    case Kind::log_linear: return "log_linear:floor=" + to_text(a_);
    case Kind::cosine: return "cosine:floor=" + to_text(a_);
    case Kind::constant: return "constant:rate=" + to_text(a_) + ",end=" + to_text(end_);
    default: return "geometric:min=" + to_text(a_) + ",max=" + to_text(b_);
  }
}

StepCoeff NoiseSchedule::coefficients(Interval interval) const {
  auto const [from, to] = interval;
  double const early = std::min(from, to), late = std::max(from, to);
  StepCoeff c{};
  c.from = from;
  c.to = to;
  c.alpha_from = alpha(from);
  c.alpha_to = alpha(to);
  c.lost_from = lost(from);
  c.lost_to = lost(to);
  c.duration = late - early;
  c.rate = rate(from);
  c.delta = total_between(early, late);
  c.lost = -std::expm1(-c.delta);
  c.retention = std::exp(-c.delta);
  c.growth = std::expm1(c.delta);
  // hazard = sigma alpha/(1-alpha), and reveal = alpha_to lost/(1-alpha_from); for the log-linear schedule alpha cancels.
  c.hazard = kind_ == Kind::log_linear ? 1 / from : c.rate * c.alpha_from / c.lost_from;
  c.reveal = kind_ == Kind::log_linear ? (from - to) / from : c.alpha_to * c.lost / c.lost_from;
  if (c.lost_to == 0) c.reveal = 1;  // exactly, whatever the rounding
  return c;
}

}  // namespace saltus
