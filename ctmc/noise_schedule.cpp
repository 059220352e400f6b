// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/noise_schedule.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/ctmc/parameters.hpp>

namespace saltus {
namespace {

void check_floor(double floor, double most = 1) {
  require(floor > 0 && floor < most,
          "the floor of alpha must lie between 0 and " + to_text(most) + ", got " + to_text(floor));
}

std::string list(double const* values, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += (i == 0 ? "" : ",") + to_text(values[i]);
  return text;
}

// The numbers of one line of a file, up to '#'.
std::vector<double> numbers(std::string_view line, std::string const& where) {
  constexpr std::string_view gaps = " \t\r,";
  line = line.substr(0, line.find('#'));
  std::vector<double> all;
  while (true) {
    line.remove_prefix(std::min(line.size(), line.find_first_not_of(gaps)));
    if (line.empty()) return all;
    auto const word = line.substr(0, line.find_first_of(gaps));
    double value = 0;
    auto const [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    require(error == std::errc() && end == word.data() + word.size(),
            where + ": expected a number, got '" + std::string(word) + "'");
    all.push_back(value);
    line.remove_prefix(word.size());
  }
}

}  // namespace

NoiseSchedule NoiseSchedule::log_linear(double floor) {
  check_floor(floor);
  return {Kind::log_linear, floor, 0, 1};
}

NoiseSchedule NoiseSchedule::linear() { return {Kind::linear, 0, 0, 1}; }

NoiseSchedule NoiseSchedule::polynomial(double power) {
  require(std::isfinite(power) && power > 0, "polynomial noise needs a power above 0, got " + to_text(power));
  return {Kind::polynomial, power, 0, 1};
}

NoiseSchedule NoiseSchedule::cosine(double floor) {
  check_floor(floor);
  return {Kind::cosine, floor, 0, 1};
}

NoiseSchedule NoiseSchedule::cosine2(double floor) {
  check_floor(floor);
  return {Kind::cosine2, floor, 0, 1};
}

NoiseSchedule NoiseSchedule::md4_cosine(double floor) {
  check_floor(floor, 0.5);
  return {Kind::md4_cosine, floor, 0, 1};
}

NoiseSchedule NoiseSchedule::constant(double rate, double end) {
  require(std::isfinite(rate) && rate > 0, "constant noise needs a rate above 0, got " + to_text(rate));
  require(end > 0, "constant noise needs an end above 0 (it may be inf), got " + to_text(end));
  return {Kind::constant, rate, 0, end};
}

NoiseSchedule NoiseSchedule::geometric(double min, double max) {
  require(std::isfinite(max) && min > 0 && max > min,
          "geometric noise needs 0 < min < max, got min=" + to_text(min) + ", max=" + to_text(max));
  return {Kind::geometric, min, max, 1};
}

NoiseSchedule NoiseSchedule::geometric2(double min, double max) {
  require(std::isfinite(max) && min > 0 && max > min,
          "geometric2 noise needs 0 < min < max, got min=" + to_text(min) + ", max=" + to_text(max));
  return {Kind::geometric2, min, max, 1};
}

NoiseSchedule NoiseSchedule::exponential(double base, double scale) {
  require(std::isfinite(base) && base > 1, "exponential noise needs a base above 1, got " + to_text(base));
  require(std::isfinite(scale) && scale > 0, "exponential noise needs a scale above 0, got " + to_text(scale));
  return {Kind::exponential, scale, base, 1};
}

NoiseSchedule NoiseSchedule::piecewise_linear(std::vector<double> const& times, std::vector<double> const& totals) {
  std::string const what = "a table of noise ";
  require(times.size() == totals.size(), what + "needs one total for each time, got " + std::to_string(times.size()) +
                                             " times and " + std::to_string(totals.size()) + " totals");
  require(times.size() >= 2 && times.size() <= static_cast<std::size_t>(max_points),
          what + "needs 2 to " + std::to_string(max_points) + " points, got " + std::to_string(times.size()) +
              (times.size() > 2 ? "; take every other point" : ""));
  NoiseSchedule table(Kind::table, 0, 0, times.back());
  table.points_ = static_cast<int>(times.size());
  for (std::size_t i = 0; i < times.size(); ++i) {
    std::string const point = what + "(point " + std::to_string(i) + ") ";
    require(std::isfinite(times[i]) && (i == 0 ? times[i] == 0 : times[i] > times[i - 1]),
            point + (i == 0 ? "must start at t = 0, got " : "needs times that rise, got ") + to_text(times[i]) +
                (i == 0 ? "" : " after " + to_text(times[i - 1])));
    require(std::isfinite(totals[i]) && totals[i] >= (i == 0 ? 0 : totals[i - 1]),
            point + "needs totals sigma_bar that are finite, at least 0 and never fall, got " + to_text(totals[i]) +
                (i == 0 ? "" : " after " + to_text(totals[i - 1])));
    table.times_[i] = times[i];
    table.totals_[i] = totals[i];
  }
  require(totals.back() > totals.front(),
          what + "needs totals sigma_bar that rise somewhere, got only " + to_text(totals.back()));
  return table;
}

NoiseSchedule NoiseSchedule::read(std::string const& path) {
  std::string const text = read_file(path);
  std::string_view rest = text;
  std::vector<double> times, totals;
  for (int line = 1; !rest.empty(); ++line) {
    auto const here = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), here.size() + 1));
    std::string const where = path + ", line " + std::to_string(line);
    auto const values = numbers(here, where);
    if (values.empty()) continue;
    require(values.size() == 2,
            where + ": expected two numbers, t and sigma_bar(t), got " + std::to_string(values.size()));
    times.push_back(values[0]);
    totals.push_back(values[1]);
  }
  try {
    return piecewise_linear(times, totals);
  } catch (UserError const& e) {
    throw UserError(path + ": " + e.what());
  }
}

std::vector<std::string> NoiseSchedule::names() {
  return {"constant", "cosine",     "cosine2",    "exponential", "geometric", "geometric2",
          "linear",   "log_linear", "md4_cosine", "polynomial",  "table"};
}

NoiseSchedule NoiseSchedule::parse(std::string_view text) {
  auto const p = Parameters::parse("noise", text);
  auto const& name = p.name();
  if (name == "log_linear" || name == "cosine" || name == "cosine2") {
    p.allow({"floor"});
    double const floor = p.number("floor", 1e-3);
    return name == "log_linear" ? log_linear(floor) : name == "cosine" ? cosine(floor) : cosine2(floor);
  }
  if (name == "md4_cosine") {
    p.allow({"floor"});
    return md4_cosine(p.number("floor", 1e-4));
  }
  if (name == "linear") {
    p.allow({});
    return linear();
  }
  if (name == "polynomial") {
    p.allow({"power"});
    return polynomial(p.number("power", 2));
  }
  if (name == "constant") {
    p.allow({"end", "rate"});
    return constant(p.number("rate", 1), p.number("end", 1));
  }
  if (name == "geometric") {
    p.allow({"max", "min"});
    return geometric(p.number("min", 1e-3), p.number("max", 1));
  }
  if (name == "geometric2") {
    p.allow({"max", "min"});
    return geometric2(p.number("min", 1), p.number("max", 100));
  }
  if (name == "exponential") {
    p.allow({"base", "scale"});
    return exponential(p.number("base", 100), p.number("scale", 3));
  }
  if (name == "table") {
    p.allow({"file", "times", "totals"});
    bool const points = p.has("times") && p.has("totals");
    require(p.has("file") ? !p.has("times") && !p.has("totals") : points,
            p.where() + ": expected table:file=PATH or table:times=0,...,totals=..., got '" + std::string(text) + "'");
    return points ? piecewise_linear(p.numbers("times"), p.numbers("totals")) : read(p.text("file", ""));
  }
  throw UserError(unknown_name("noise", name, names()));
}

std::string NoiseSchedule::describe() const {
  switch (kind_) {
    case Kind::log_linear: return "log_linear:floor=" + to_text(a_);
    case Kind::linear: return "linear";
    case Kind::polynomial: return "polynomial:power=" + to_text(a_);
    case Kind::cosine: return "cosine:floor=" + to_text(a_);
    case Kind::cosine2: return "cosine2:floor=" + to_text(a_);
    case Kind::md4_cosine: return "md4_cosine:floor=" + to_text(a_);
    case Kind::constant: return "constant:rate=" + to_text(a_) + ",end=" + to_text(end_);
    case Kind::geometric: return "geometric:min=" + to_text(a_) + ",max=" + to_text(b_);
    case Kind::geometric2: return "geometric2:min=" + to_text(a_) + ",max=" + to_text(b_);
    case Kind::exponential: return "exponential:base=" + to_text(b_) + ",scale=" + to_text(a_);
    default: return "table:times=" + list(times_, points_) + ",totals=" + list(totals_, points_);
  }
}

}  // namespace saltus
