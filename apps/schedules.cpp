// SPDX-License-Identifier: BSD-3-Clause
#include "schedules.hpp"

#include <algorithm>
#include <filesystem>

#include <saltus/ctmc/error.hpp>
#include <saltus/learnable/schedule_file.hpp>
#include <saltus/models/model_hash.hpp>

namespace saltus::app {
namespace {

std::string hash_of(Model const& model) {
  if (model.law) return model_hash(*model.law);
  std::string const hash = model_hash(*model.network, model.folder);
  if (model.how.condition.empty()) return hash;
  std::string condition = "condition";
  for (float const v : model.how.condition) condition += " " + to_text(static_cast<double>(v));
  return model_hash(hash, condition);
}

}  // namespace

std::vector<NamedSchedule> read_schedules(Options const& options) {
  std::vector<NamedSchedule> schedules;
  if (!options.has("schedule")) return schedules;
  for (auto const& file : options.list("schedule")) {
    std::string name = std::filesystem::path(file).stem().string();
    auto const same = std::ranges::find(schedules, name, &NamedSchedule::name);
    require(same == schedules.end(), "--schedule: '" + (same == schedules.end() ? "" : same->file) + "' and '" + file +
                                         "' would both be called '" + name + "'; rename one of them");
    schedules.push_back({std::move(name), file, read_schedule(file)});
  }
  return schedules;
}

std::vector<std::string> integrators_of(Schedule const& schedule) {
  return schedule.bases.empty() ? std::vector{schedule.base} : schedule.bases;
}

Schedule::Model model_of(Problem const& problem) {
  Decoration const& changes = problem.decoration;
  std::string hash = hash_of(problem.model), name = problem.model.name();
  if (!changes.text.empty()) {
    hash = model_hash(hash, changes.text + (changes.guide ? " " + hash_of(*changes.guide) : ""));
    name += ", " + changes.text;
  }
  return {.name = std::move(name),
          .hash = std::move(hash),
          .generator = problem.generator_text,
          .noise = problem.noise.describe(),
          .states = problem.generator.states(),
          .length = problem.length()};
}

void check_fit(NamedSchedule const& named, Problem const& problem, Options const& options) {
  if (options.flag("force")) return;
  Schedule::Model const& learned = named.schedule.model;
  Schedule::Model const here = model_of(problem);
  auto const check = [&](bool fits, std::string const& what, std::string const& for_one, std::string const& for_other) {
    require(fits, "the schedule " + named.file + " was learned for " + what + " " + for_one + ", and this run has " + for_other +
                      "; learn one for it with 'saltus distill', or take it all the same with --force");
  };
  auto const text = [&](char const* what, std::string const& one, std::string const& other) {
    check(one.empty() || one == other, what, one, other);
  };
  auto const number = [&](char const* what, int one, int other) {
    check(one == 0 || one == other, what, std::to_string(one), std::to_string(other));
  };
  text("the generator", learned.generator, here.generator);
  text("the noise", learned.noise, here.noise);
  number("a number of states (with a mask) of", learned.states, here.states);
  number("a length of", learned.length, here.length);
  check(learned.hash.empty() || learned.hash == here.hash, "the model", "'" + learned.name + "' (" + learned.hash + ")",
        "'" + here.name + "' (" + here.hash + ")");
}

}  // namespace saltus::app
