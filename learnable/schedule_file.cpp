// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/schedule_file.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <saltus/integrators/registry.hpp>
#include <saltus/models/json_file.hpp>

namespace saltus {
namespace {

using Json = nlohmann::ordered_json;
constexpr char const* format_name = "saltus-schedule";
constexpr int format_version = 1;
constexpr char const* infinite = "infinity";

// A JSON object that knows where it stands. Keys that are missing stand for what a schedule has without them, unless they
// are asked for with need().
class Reader {
 public:
  Reader(Json const& json, std::string where) : json_(json), where_(std::move(where)) {
    require(json.is_object(), where_ + ": expected a JSON object, got " + json.dump().substr(0, 60));
  }
  bool has(char const* key) const { return json_.contains(key); }
  void need(char const* key) const { require(has(key), where_ + ": the key '" + key + "' is missing"); }
  void allow(std::vector<std::string> const& known) const {
    for (auto const& [key, value] : json_.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end())
        throw UserError(where_ + ": " + unknown_name("key", key, known));
    }
  }
  void read(char const* key, std::string& out) const {
    if (has(key)) out = text(json_.at(key), key);
  }
  void read(char const* key, bool& out) const {
    if (!has(key)) return;
    require(json_.at(key).is_boolean(), wrong(key, "true or false"));
    out = json_.at(key).get<bool>();
  }
  void read(char const* key, double& out) const {
    if (has(key)) out = number(json_.at(key), key);
  }
  void read(char const* key, int& out) const {
    if (has(key)) out = static_cast<int>(whole(json_.at(key), key, std::numeric_limits<int>::max()));
  }
  void read(char const* key, std::uint64_t& out) const {
    if (has(key)) out = whole(json_.at(key), key, std::numeric_limits<std::uint64_t>::max());
  }
  void read(char const* key, std::vector<double>& out) const {
    for_each(key, "a list of numbers", [&](Json const& item) { out.push_back(number(item, key)); });
  }
  void read(char const* key, std::vector<std::int64_t>& out) const {
    for_each(key, "a list of whole numbers", [&](Json const& item) {
      out.push_back(static_cast<std::int64_t>(whole(item, key, std::numeric_limits<std::int64_t>::max())));
    });
  }
  void read(char const* key, std::vector<std::string>& out) const {
    for_each(key, "a list of texts", [&](Json const& item) { out.push_back(text(item, key)); });
  }
  Reader inner(char const* key) const { return {json_.at(key), where_ + ", '" + key + "'"}; }

 private:
  template <class Take>
  void for_each(char const* key, char const* what, Take&& take) const {
    if (!has(key)) return;
    require(json_.at(key).is_array(), wrong(key, what));
    for (auto const& item : json_.at(key)) take(item);
  }
  std::string text(Json const& value, char const* key) const {
    require(value.is_string(), wrong(key, "text"));
    return value.get<std::string>();
  }
  double number(Json const& value, char const* key) const {
    if (value == infinite) return std::numeric_limits<double>::infinity();
    if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
    require(value.is_number(), wrong(key, "numbers"));
    return value.get<double>();
  }
  std::uint64_t whole(Json const& value, char const* key, std::uint64_t most) const {
    bool const fits = value.is_number_unsigned() && value.get<std::uint64_t>() <= most;
    require(fits, wrong(key, "whole numbers from 0 to " + std::to_string(most)));
    return value.get<std::uint64_t>();
  }
  std::string wrong(char const* key, std::string const& expected) const {
    return where_ + ": the key '" + key + "' should hold " + expected + ", got " + json_.at(key).dump().substr(0, 60);
  }
  Json const& json_;
  std::string where_;
};

Json to_json(double value) {
  if (std::isnan(value)) return nullptr;
  return value == std::numeric_limits<double>::infinity() ? Json(infinite) : Json(value);
}
Json to_json(std::vector<double> const& values) {
  Json list = Json::array();
  for (double const value : values) list.push_back(to_json(value));
  return list;
}
Json to_json(PathKl const& kl) {
  return {{"value", to_json(kl.value)},
          {"error", to_json(kl.error)},
          {"discretisation", to_json(kl.discretisation)},
          {"factorisation", to_json(kl.factorisation)}};
}

std::vector<double> lengths(Schedule const& schedule) {
  std::vector<double> kappa;
  for (std::size_t k = 0; k + 1 < schedule.times.size(); ++k) kappa.push_back(schedule.times[k] - schedule.times[k + 1]);
  return kappa;
}

void check_size(char const* key, std::size_t size, std::size_t expected, bool may_be_empty = true) {
  require(size == expected || (may_be_empty && size == 0), "the key '" + std::string(key) + "' needs " + std::to_string(expected) +
                                                               " numbers for the steps of 'times', got " + std::to_string(size));
}
void check_positive(char const* key, std::vector<double> const& values) {
  for (std::size_t k = 0; k < values.size(); ++k) {
    require(values[k] > 0 && std::isfinite(values[k]), "the key '" + std::string(key) + "' needs finite numbers above 0, got " +
                                                           to_text(values[k]) + " in place " + std::to_string(k));
  }
}
void check_increasing(char const* key, std::vector<double> const& edges) {
  for (std::size_t i = 0; i < edges.size(); ++i) {
    require(std::isfinite(edges[i]) && (i == 0 || edges[i] > edges[i - 1]),
            "the key '" + std::string(key) + "' needs finite numbers that increase, got " + to_text(edges[i]) + " in place " +
                std::to_string(i));
  }
}
void check_integrator(char const* key, std::string const& name) {
  try {
    make_integrator(name);
  } catch (UserError const& e) {
    throw UserError("the key '" + std::string(key) + "': " + e.what());
  }
}

}  // namespace

void check_schedule(Schedule const& schedule) {
  require(schedule.times.size() >= 2, "the key 'times' needs at least 2 numbers, got " + std::to_string(schedule.times.size()));
  for (std::size_t k = 0; k < schedule.times.size(); ++k) {
    require(std::isfinite(schedule.times[k]) && schedule.times[k] >= 0 && (k == 0 || schedule.times[k] < schedule.times[k - 1]),
            "the key 'times' needs numbers of at least 0 that decrease, got " + to_text(schedule.times[k]) + " in place " +
                std::to_string(k));
  }
  std::size_t const steps = schedule.times.size() - 1;
  check_integrator("base", schedule.base);
  check_size("bases", schedule.bases.size(), steps);
  for (auto const& base : schedule.bases) check_integrator("bases", base);
  check_size("phi", schedule.phi.size(), steps);
  check_positive("phi", schedule.phi);
  check_size("power", schedule.power.size(), steps);
  check_positive("power", schedule.power);
  if (auto const& state = schedule.state) {
    check_increasing("state.shares", state->shares);
    check_increasing("state.entropies", state->entropies);
    check_size("state.phi", state->phi.size(), steps * (state->shares.size() + 1) * (state->entropies.size() + 1), false);
    check_positive("state.phi", state->phi);
    require(schedule.bases.empty(), "the key 'state' goes with one 'base' in all steps, not with 'bases'");
  }
  check_size("phi_error", schedule.phi_error.size(), steps);
  check_size("u", schedule.reveal.size(), steps);
  check_size("u_error", schedule.reveal_error.size(), steps);
  check_size("clamps", schedule.clamps.size(), steps);
}

Schedule read_schedule(std::string const& path) {
  Json const json = read_json(path, format_name, format_version);
  Reader const in(json, path);
  in.allow({"format", "version", "method", "base", "bases", "times", "kappa", "phi", "power", "state", "forced_last", "model",
            "teacher", "seed", "trajectories", "phi_error", "u", "u_error", "objective", "clamps", "path_kl_before",
            "path_kl_after", "note"});
  for (auto const* const key : {"base", "times"}) in.need(key);
  Schedule schedule;
  in.read("method", schedule.method);
  in.read("base", schedule.base);
  in.read("bases", schedule.bases);
  in.read("times", schedule.times);
  in.read("phi", schedule.phi);
  in.read("power", schedule.power);
  if (in.has("state")) {
    Reader const state = in.inner("state");
    state.allow({"shares", "entropies", "phi"});
    state.need("phi");
    StateFactors& factors = schedule.state.emplace();
    state.read("shares", factors.shares);
    state.read("entropies", factors.entropies);
    state.read("phi", factors.phi);
  }
  in.read("forced_last", schedule.forced_last);
  if (in.has("model")) {
    Reader const model = in.inner("model");
    model.allow({"name", "hash", "generator", "noise", "states", "length"});
    model.read("name", schedule.model.name);
    model.read("hash", schedule.model.hash);
    model.read("generator", schedule.model.generator);
    model.read("noise", schedule.model.noise);
    model.read("states", schedule.model.states);
    model.read("length", schedule.model.length);
  }
  if (in.has("teacher")) {
    Reader const teacher = in.inner("teacher");
    teacher.allow({"integrator", "steps"});
    teacher.read("integrator", schedule.teacher.integrator);
    teacher.read("steps", schedule.teacher.steps);
  }
  in.read("seed", schedule.seed);
  std::uint64_t trajectories = 0;
  in.read("trajectories", trajectories);
  schedule.trajectories = trajectories;
  in.read("phi_error", schedule.phi_error);
  in.read("u", schedule.reveal);
  in.read("u_error", schedule.reveal_error);
  in.read("objective", schedule.objective);
  in.read("clamps", schedule.clamps);
  for (auto const& [key, out] : {std::pair{"path_kl_before", &schedule.before}, std::pair{"path_kl_after", &schedule.after}}) {
    if (!in.has(key)) continue;
    Reader const kl = in.inner(key);
    kl.allow({"value", "error", "discretisation", "factorisation"});
    PathKl& read = out->emplace();
    kl.read("value", read.value);
    kl.read("error", read.error);
    kl.read("discretisation", read.discretisation);
    kl.read("factorisation", read.factorisation);
  }
  in.read("note", schedule.note);
  std::vector<double> kappa;
  in.read("kappa", kappa);
  try {
    check_schedule(schedule);
    check_size("kappa", kappa.size(), schedule.times.size() - 1);
    auto const steps = lengths(schedule);
    for (std::size_t k = 0; k < kappa.size(); ++k) {
      require(std::abs(kappa[k] - steps[k]) <= 1e-9 * schedule.times.front(),
              "the key 'kappa' holds the lengths of the steps of 'times', which are " + to_text(steps[k]) + " in place " +
                  std::to_string(k) + ", got " + to_text(kappa[k]) + "; change 'times' and leave 'kappa' away");
    }
  } catch (UserError const& e) {
    throw UserError(path + ": " + e.what());
  }
  return schedule;
}

void write_schedule(std::string const& path, Schedule const& schedule) {
  check_schedule(schedule);
  Json json{{"format", format_name}, {"version", format_version}, {"method", schedule.method}, {"base", schedule.base}};
  if (!schedule.bases.empty()) json["bases"] = schedule.bases;
  auto const put = [&](char const* key, std::vector<double> const& values) {
    if (!values.empty()) json[key] = to_json(values);
  };
  put("times", schedule.times);
  put("kappa", lengths(schedule));
  put("phi", schedule.phi);
  put("power", schedule.power);
  if (auto const& state = schedule.state) {
    json["state"] = {{"shares", to_json(state->shares)}, {"entropies", to_json(state->entropies)}, {"phi", to_json(state->phi)}};
  }
  json["forced_last"] = schedule.forced_last;
  json["model"] = {{"name", schedule.model.name},           {"hash", schedule.model.hash},
                   {"generator", schedule.model.generator}, {"noise", schedule.model.noise},
                   {"states", schedule.model.states},       {"length", schedule.model.length}};
  json["teacher"] = {{"integrator", schedule.teacher.integrator}, {"steps", schedule.teacher.steps}};
  json["seed"] = schedule.seed;
  json["trajectories"] = schedule.trajectories;
  put("phi_error", schedule.phi_error);
  put("u", schedule.reveal);
  put("u_error", schedule.reveal_error);
  put("objective", schedule.objective);
  if (!schedule.clamps.empty()) json["clamps"] = schedule.clamps;
  if (schedule.before) json["path_kl_before"] = to_json(*schedule.before);
  if (schedule.after) json["path_kl_after"] = to_json(*schedule.after);
  json["note"] = schedule.note;

  // A key a line.
  std::string text;
  for (auto const& [key, value] : json.items()) {
    text += (text.empty() ? "{\n  " : ",\n  ") + Json(key).dump() + ": " + value.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  AtomicFile file(path);
  file.write(text + "\n}\n");
  file.commit();
}

}  // namespace saltus
