// SPDX-License-Identifier: BSD-3-Clause
#include <bit>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/learnable/schedule_file.hpp>

#include "reference/harness.hpp"

namespace saltus {
namespace {

namespace fs = std::filesystem;
using namespace reference;

class ScheduleFile : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(std::string const& name) const { return (folder_ / name).string(); }
  std::string read(std::string const& name) const {
    std::ifstream in(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(std::string const& name, std::string const& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
  }
  /// What reading says of a good file in which `from` is replaced by `to`.
  std::string message_after(std::string const& from, std::string const& to) const {
    std::string text = read("good");
    auto const place = text.find(from);
    EXPECT_NE(place, std::string::npos) << "'" << from << "' is not in " << text;
    if (place == std::string::npos) return {};
    write("bad", text.replace(place, from.size(), to));
    return message_of<UserError>([&] { read_schedule(path("bad")); });
  }

 private:
  fs::path const folder_ = fs::temp_directory_path() / ("saltus_schedule_file_" + std::to_string(::getpid()));
};

// Numbers of all magnitudes without short decimals.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : seed_(seed * 1'000'003) {}
  double uniform() { return scramble(seed_++); }
  double positive() { return (uniform() + 1e-3) * std::exp2(std::floor(40 * uniform()) - 20); }
  std::vector<double> list(std::size_t n) {
    std::vector<double> values(n);
    for (double& v : values) v = positive();
    return values;
  }
  std::vector<double> increasing(std::size_t n) {
    std::vector<double> values(n);
    double sum = 0;
    for (double& v : values) v = sum += uniform() + 1e-6;
    return values;
  }

 private:
  std::uint64_t seed_;
};

Schedule random_schedule(std::uint64_t seed) {
  Numbers numbers(seed);
  auto const coin = [&] { return numbers.uniform() < 0.5; };
  Schedule s;
  auto const steps = static_cast<std::size_t>(1 + 9 * numbers.uniform());
  auto const up = numbers.increasing(steps + 1);
  s.times.assign(up.rbegin(), up.rend());
  if (coin()) s.times.back() = 0;
  s.method = "lsd:mode=\"quoted\"\n";
  s.base = coin() ? "euler" : "tweedie:categorical=exact";
  if (coin()) s.phi = numbers.list(steps);
  if (coin()) s.power = numbers.list(steps);
  if (coin()) {
    StateFactors& state = s.state.emplace();
    state.shares = numbers.increasing(static_cast<std::size_t>(3 * numbers.uniform()));
    state.entropies = numbers.increasing(static_cast<std::size_t>(3 * numbers.uniform()));
    state.phi = numbers.list(steps * (state.shares.size() + 1) * (state.entropies.size() + 1));
  } else if (coin()) {
    for (std::size_t k = 0; k < steps; ++k) s.bases.push_back(coin() ? "euler" : "exponential");
  }
  s.forced_last = coin();
  s.model = {"a name", "0123456789abcdef", "absorbing", "log_linear", 33, 256};
  s.teacher = {"tweedie", 256};
  s.seed = ~seed;
  s.trajectories = 1536;
  if (coin()) s.phi_error = numbers.list(steps);
  if (coin()) s.reveal = numbers.list(steps);
  if (coin()) s.reveal_error = numbers.list(steps);
  if (coin()) s.clamps.assign(steps, 9'007'199'254'740'993);
  s.objective = {numbers.positive(), -numbers.positive(), 0.0, -0.0, std::numeric_limits<double>::infinity()};
  if (coin()) s.before = PathKl{std::numeric_limits<double>::infinity(), 0, numbers.positive(), numbers.positive()};
  if (coin()) s.after = PathKl{numbers.positive(), numbers.positive(), numbers.positive(), numbers.positive()};
  s.note = coin() ? "entropy 1.5 nats, \u00b1 0.1" : "";
  return s;
}

std::vector<std::uint64_t> bits(std::vector<double> const& values) {
  std::vector<std::uint64_t> out;
  for (double const v : values) out.push_back(std::bit_cast<std::uint64_t>(v));
  return out;
}
std::vector<double> numbers_of(std::optional<PathKl> const& kl) {
  return kl ? std::vector{kl->value, kl->error, kl->discretisation, kl->factorisation} : std::vector<double>();
}

TEST_F(ScheduleFile, EveryNumberComesBackBitForBit) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    Schedule const s = random_schedule(seed);
    write_schedule(path("a"), s);
    Schedule const r = read_schedule(path("a"));
    EXPECT_EQ(r.method, s.method);
    EXPECT_EQ(r.base, s.base);
    EXPECT_EQ(r.bases, s.bases);
    EXPECT_EQ(bits(r.times), bits(s.times));
    EXPECT_EQ(bits(r.phi), bits(s.phi));
    EXPECT_EQ(bits(r.power), bits(s.power));
    ASSERT_EQ(r.state.has_value(), s.state.has_value());
    if (s.state) {
      EXPECT_EQ(bits(r.state->shares), bits(s.state->shares));
      EXPECT_EQ(bits(r.state->entropies), bits(s.state->entropies));
      EXPECT_EQ(bits(r.state->phi), bits(s.state->phi));
    }
    EXPECT_EQ(r.forced_last, s.forced_last);
    EXPECT_EQ(r.model.name, s.model.name);
    EXPECT_EQ(r.model.hash, s.model.hash);
    EXPECT_EQ(r.model.generator, s.model.generator);
    EXPECT_EQ(r.model.noise, s.model.noise);
    EXPECT_EQ(r.model.states, s.model.states);
    EXPECT_EQ(r.model.length, s.model.length);
    EXPECT_EQ(r.teacher.integrator, s.teacher.integrator);
    EXPECT_EQ(r.teacher.steps, s.teacher.steps);
    EXPECT_EQ(r.seed, s.seed);
    EXPECT_EQ(r.trajectories, s.trajectories);
    EXPECT_EQ(bits(r.phi_error), bits(s.phi_error));
    EXPECT_EQ(bits(r.reveal), bits(s.reveal));
    EXPECT_EQ(bits(r.reveal_error), bits(s.reveal_error));
    EXPECT_EQ(bits(r.objective), bits(s.objective));
    EXPECT_EQ(r.clamps, s.clamps);
    EXPECT_EQ(bits(numbers_of(r.before)), bits(numbers_of(s.before)));
    EXPECT_EQ(bits(numbers_of(r.after)), bits(numbers_of(s.after)));
    EXPECT_EQ(r.note, s.note);
    write_schedule(path("b"), r);
    EXPECT_EQ(read("a"), read("b"));
  }
}

TEST_F(ScheduleFile, WhatIsNotKnownIsNull) {
  Schedule s{.base = "euler", .times = {1, 0}};
  s.phi_error = {std::nan("")};
  write_schedule(path("a"), s);
  EXPECT_NE(read("a").find("[null]"), std::string::npos);
  EXPECT_TRUE(std::isnan(read_schedule(path("a")).phi_error[0]));
}

TEST_F(ScheduleFile, HandwrittenFilesNeedLittle) {
  write("a", R"({"format": "saltus-schedule", "version": 1, "base": "tweedie", "times": [1, 0.5, 0]})");
  Schedule const s = read_schedule(path("a"));
  EXPECT_EQ(s.steps(), 2);
  EXPECT_TRUE(s.phi.empty());
  EXPECT_FALSE(s.forced_last);
}

TEST_F(ScheduleFile, RefusalsNameFileAndKey) {
  Schedule s{.method = "lsd", .base = "euler", .times = {1, 0.5, 0}, .phi = {1.25, 1.5}};
  s.power = {0.75, 1};
  s.reveal = {0.5, 1};
  s.state = StateFactors{{0.25, 0.75}, {2}, std::vector<double>(12, 3)};
  write_schedule(path("good"), s);
  ASSERT_NO_THROW(read_schedule(path("good")));
  struct Case {
    char const *from, *to, *key, *says;
  };
  for (Case const& c : std::initializer_list<Case>{
           {"[1.0,0.5,0.0]", "[1.0,0.5]", "phi", "needs 1 numbers for the steps of 'times', got 2"},
           {"[1.0,0.5,0.0]", "[1.0]", "times", "at least 2"},
           {"[1.0,0.5,0.0]", "[1.0,1.0,0.0]", "times", "decrease, got 1 in place 1"},
           {"[1.0,0.5,0.0]", "[1.0,0.5,-0.1]", "times", "got -0.1"},
           {"[1.0,0.5,0.0]", "[1.0,\"half\",0.0]", "times", "should hold numbers"},
           {"[1.0,0.5,0.0]", "[\"infinity\",0.5,0.0]", "times", "got inf"},
           {"[1.0,0.5,0.0]", "0.5", "times", "a list of numbers, got 0.5"},
           {"\"times\"", "\"time\"", "time", "unknown key 'time'; did you mean times"},
           {"\"times\":[1.0,0.5,0.0],", "", "times", "missing"},
           {"[0.5,0.5]", "[0.5,0.4]", "kappa", "which are 0.5 in place 1, got 0.4"},
           {"[0.5,0.5]", "[0.5]", "kappa", "needs 2 numbers"},
           {"[1.25,1.5]", "[1.25]", "phi", "needs 2 numbers"},
           {"[1.25,1.5]", "[1.25,0]", "phi", "above 0, got 0 in place 1"},
           {"[1.25,1.5]", "[\"infinity\",1]", "phi", "finite numbers above 0, got inf in place 0"},
           {"[0.75,1.0]", "[0.75,null]", "power", "got nan in place 1"},
           {"[0.25,0.75]", "[0.75,0.25]", "state.shares", "increase, got 0.25 in place 1"},
           {"[0.25,0.75]", "[0.25]", "state.phi", "needs 8 numbers for the steps of 'times', got 12"},
           {"\"euler\"", "\"eulr\"", "base", "did you mean euler"},
           {"\"u\":[0.5,1.0]", "\"u\":[0.5]", "u", "needs 2 numbers"},
           {"\"forced_last\":false", "\"forced_last\":0", "forced_last", "true or false"},
           {"\"states\":0", "\"states\":-1", "states", "whole numbers"},
           {"\"states\":0", "\"states\":3000000000", "states", "to 2147483647"},
           {"\"seed\":0", "\"seed\":1.5", "seed", "whole numbers"},
           {"\"version\":1", "\"version\":2", "version", "got 2"},
           {"saltus-schedule", "saltus-native", "format", "saltus-schedule"}}) {
    // Files have a blank after each colon of the top level.
    std::string from = c.from, to = c.to;
    for (std::string* const text : {&from, &to}) {
      auto const colon = text->find("\":");
      bool const top = text->find("states") == std::string::npos;
      if (colon != std::string::npos && top) text->insert(colon + 2, " ");
    }
    if (to.empty()) from += "\n ";
    std::string const message = message_after(from, to);
    EXPECT_NE(message.find(path("bad")), std::string::npos) << c.from << " -> " << c.to << ": " << message;
    EXPECT_NE(message.find(c.key), std::string::npos) << c.from << " -> " << c.to << ": " << message;
    EXPECT_NE(message.find(c.says), std::string::npos) << c.from << " -> " << c.to << ": " << message;
  }
  s.bases = {"euler", "tweedie"};
  EXPECT_NE(message_of<UserError>([&] { write_schedule(path("never"), s); }).find("not with 'bases'"), std::string::npos);
  EXPECT_FALSE(fs::exists(path("never")));
}

}  // namespace
}  // namespace saltus
