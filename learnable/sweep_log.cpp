// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/sweep_log.hpp>

#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/learnable/distance.hpp>

namespace saltus {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no infinity and no NaN.
Json to_json(std::vector<double> const& values) {
  Json list = Json::array();
  for (double const v : values)
    list.push_back(std::isfinite(v) ? Json(v) : Json(std::isnan(v) ? "nan" : v > 0 ? "inf" : "-inf"));
  return list;
}
std::vector<double> to_doubles(Json const& list) {
  std::vector<double> values;
  for (auto const& v : list) {
    if (v.is_number()) {
      values.push_back(v.get<double>());
    } else {
      auto const text = v.get<std::string>();
      double const infinity = std::numeric_limits<double>::infinity();
      values.push_back(text == "nan" ? std::numeric_limits<double>::quiet_NaN() : text == "inf" ? infinity : -infinity);
    }
  }
  return values;
}

// Everything that decides a sweep, so that nothing is resumed with other numbers.
std::string describe(std::string const& method, Process const& process, DistillPlan const& plan) {
  return method + ", model " + process.model()->info().name + ", noise " + process.noise().describe() + ", base " +
         plan.base + ", " + std::to_string(plan.steps) + " of " + std::to_string(plan.teacher_steps) + " steps of " +
         plan.teacher + ", length " + std::to_string(plan.length) + ", end " + to_text(plan.end) + ", trajectories " +
         std::to_string(plan.trajectories) + ", seed " + std::to_string(plan.seed);
}

}  // namespace

SweepLog::SweepLog(std::string method, Process const& process, DistillPlan const& plan, DistillHooks const& hooks)
    : method_(std::move(method)), plan_text_(describe(method_, process, plan)), plan_(plan), hooks_(hooks) {
  if (hooks.resume.empty()) return;
  try {
    Json const json = Json::parse(hooks.resume);
    auto const plan_text = json.at("plan").get<std::string>();
    require(plan_text == plan_text_, "the sweeps to go on from are of another run: expected " + plan_text_ + "; got " +
                                         plan_text + "; start anew, or repeat the options of that run");
    for (auto const& j : json.at("sweeps")) {
      SweepRecord r{to_doubles(j.at("phi")),
                    to_doubles(j.at("phi_error")),
                    to_doubles(j.at("power")),
                    to_doubles(j.at("reveal")),
                    to_doubles(j.at("reveal_error")),
                    to_doubles(j.at("state")),
                    to_doubles(j.at("extra")),
                    j.at("clamps").get<std::vector<std::int64_t>>(),
                    to_doubles(j.at("objective")).at(0)};
      sweeps_.push_back(std::move(r));
    }
  } catch (Json::exception const& e) {
    throw UserError(std::string("the sweeps to go on from cannot be read (") + e.what() + "); start anew");
  }
}

std::string SweepLog::text() const {
  Json json{{"plan", plan_text_}, {"sweeps", Json::array()}};
  for (auto const& r : sweeps_) {
    json["sweeps"].push_back({{"phi", to_json(r.phi)},
                              {"phi_error", to_json(r.phi_error)},
                              {"power", to_json(r.power)},
                              {"reveal", to_json(r.reveal)},
                              {"reveal_error", to_json(r.reveal_error)},
                              {"state", to_json(r.state)},
                              {"extra", to_json(r.extra)},
                              {"clamps", r.clamps},
                              {"objective", to_json({r.objective})}});
  }
  return json.dump();
}

void SweepLog::add(SweepRecord record) {
  sweeps_.push_back(std::move(record));
  if (hooks_.save) hooks_.save(text());
  tell(0);
}

double SweepLog::mean_with(std::vector<double> SweepRecord::*numbers, std::size_t i, double now) const {
  double sum = now;
  for (auto const& r : sweeps_) sum += (r.*numbers)[i];
  return sum / static_cast<double>(sweeps_.size() + 1);
}

void SweepLog::tell(double within) const {
  if (!hooks_.progress) return;
  double const share = (static_cast<double>(sweeps_.size()) + within) / std::max(plan_.sweeps, done());
  hooks_.progress(std::min(share, 1.0),
                  sweeps_.empty() ? std::numeric_limits<double>::quiet_NaN() : sweeps_.back().objective);
}

Schedule SweepLog::schedule(TimeGrid const& grid, bool forced_last) const {
  Schedule s;
  s.method = method_;
  s.base = plan_.base;
  s.times.assign(grid.points().begin(), grid.points().end());
  s.forced_last = forced_last;
  s.trajectories = plan_.trajectories * sweeps_.size();
  auto const n = static_cast<double>(sweeps_.size());
  auto const mean = [&](std::vector<double> SweepRecord::*numbers, bool errors) {
    std::vector<double> out((sweeps_.front().*numbers).size(), 0.0);
    for (auto const& r : sweeps_) {
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] += errors ? (r.*numbers)[i] * (r.*numbers)[i] : (r.*numbers)[i];
    }
    for (double& v : out) v = errors ? std::sqrt(v) / n : v / n;
    return out;
  };
  s.phi = mean(&SweepRecord::phi, false);
  s.phi_error = mean(&SweepRecord::phi_error, true);
  s.power = mean(&SweepRecord::power, false);
  for (std::size_t k = 0; k < s.phi.size(); ++k) {
    bool const low = s.phi[k] <= least_phi * (1 + 1e-9);
    if (!low && s.phi[k] < most_phi * (1 - 1e-9)) continue;
    s.note += (s.note.empty() ? "" : "; ") + std::string("phi of step ") + std::to_string(k + 1) + " lies at the " +
              (low ? "lower" : "upper") + " end of its range, " + to_text(least_phi) + " to " + to_text(most_phi) +
              ": the rates at its start say little of the step; take the base tweedie";
  }
  s.reveal = mean(&SweepRecord::reveal, false);
  s.reveal_error = mean(&SweepRecord::reveal_error, true);
  s.clamps.assign(sweeps_.front().clamps.size(), 0);
  for (auto const& r : sweeps_) {
    s.objective.push_back(r.objective);
    for (std::size_t k = 0; k < s.clamps.size(); ++k) s.clamps[k] += r.clamps[k];
  }
  return s;
}

}  // namespace saltus
