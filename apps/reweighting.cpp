// SPDX-License-Identifier: BSD-3-Clause
#include "reweighting.hpp"

#include <cmath>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/npy.hpp>

namespace saltus::app {
namespace {

// ln p of finished sequences, on the host: it is asked for once a run, after the last step.
class LawReward final : public Reward {
 public:
  explicit LawReward(std::shared_ptr<SequenceLaw const> law) : law_(std::move(law)) {}
  void reserve(Extents extents) override {
    tokens_ = HostTokens("saltus::apps::law_reward", static_cast<std::size_t>(extents.batch),
                         static_cast<std::size_t>(extents.length));
    rewards_ = Kokkos::View<double*, HostSpace>("saltus::apps::law_reward", static_cast<std::size_t>(extents.batch));
  }
  void evaluate(ExecSpace const& exec, Tokens const& clean, Rewards const& out) override {
    auto const rows = std::make_pair(std::size_t{0}, clean.extent(0));
    HostTokens const tokens = Kokkos::subview(tokens_, rows, Kokkos::ALL);
    auto const rewards = Kokkos::subview(rewards_, rows);
    Kokkos::deep_copy(exec, tokens, clean);
    exec.fence("saltus::apps: the likelihood is computed on the host");
    Kokkos::parallel_for("saltus::apps::law_reward",
                         Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace>(0, static_cast<int>(clean.extent(0))),
                         [&](int b) {
                           rewards(b) = law_->log_likelihood({&tokens(b, 0), tokens.extent(1)});
                         });
    Kokkos::DefaultHostExecutionSpace().fence("saltus::apps: the likelihood is copied back");
    Kokkos::deep_copy(exec, out, rewards);
  }

 private:
  std::shared_ptr<SequenceLaw const> law_;
  HostTokens tokens_;
  Kokkos::View<double*, HostSpace> rewards_;
};

std::shared_ptr<Reward> read_reward(std::string const& text, Problem const& problem) {
  int const states = problem.generator.states();
  std::string const count = "count:", table = "table:";
  if (text.starts_with(count)) {
    std::string const symbol = text.substr(count.size());
    Alphabet const& alphabet = problem.model.alphabet;
    std::optional<token_t> token;
    for (token_t y = 0; y < alphabet.size(); ++y) {
      if (symbol == alphabet.shown(y)) token = y;
    }
    require(token.has_value(), "--reward counts a token of the alphabet '" + alphabet.name() + "', but '" + symbol + "' is none");
    return std::make_shared<TokenReward>(TokenReward::count(states, *token));
  }
  require(text.starts_with(table), "--reward is count:TOKEN or table:FILE, got '" + text + "'");
  std::string const path = text.substr(table.size());
  NpyArray const array = read_npy(path);
  auto const tokens = static_cast<std::size_t>(problem.model.tokens());
  auto const length = static_cast<std::size_t>(problem.length());
  bool const per_site = array.shape.size() == 2 && array.shape[0] == length && array.shape[1] == tokens;
  require(per_site || (array.shape.size() == 1 && array.shape[0] == tokens),
          path + ": a table of rewards has one number a token (" + std::to_string(tokens) + "), or a row of them for each of the " +
              std::to_string(length) + " sites");
  std::vector<double> values;
  for (std::size_t i = 0; i < array.values.size(); ++i) {
    values.push_back(array.values[i]);
    if (problem.masked() && i % tokens == tokens - 1) values.push_back(0);  // the mask, which is the last state
  }
  return std::make_shared<TokenReward>(states, values);
}

}  // namespace

std::optional<ParticlePlan> read_reweighting(Options const& options, Problem const& problem, SamplePlan const& run) {
  if (!options.has("particles")) {
    for (char const* const name : {"reward", "strength", "power", "selection"}) {
      require(!options.changed(name), "--" + std::string(name) + " is for particles: give their number with --particles K");
    }
    return std::nullopt;
  }
  require(run.last == LastStep::none, "--particles weighs the sequences at the end of the grid: leave --last away");
  ParticlePlan plan{.run = run,
                    .particles = static_cast<int>(options.integer("particles", 1, 1 << 20)),
                    .scheme = options.flag("selection") ? ParticleScheme::selection : ParticleScheme::resampling,
                    .strength = options.number("strength"),
                    .power = options.number("power")};
  require(std::isfinite(plan.strength) && std::isfinite(plan.power) && plan.power >= 0,
          "--strength must be finite and --power at least 0");
  if (options.has("reward")) plan.reward = read_reward(options.text("reward"), problem);
  require(plan.reward || plan.power != 1, "--particles weighs by --reward, or by --power other than 1; neither is given");
  require(plan.power == 1 || problem.masked(), "--power needs a masked process (no --generator)");
  if (plan.power != 1) {
    problem.law("--power");
    plan.likelihood = std::make_shared<LawReward>(problem.model.law);
  }
  return plan;
}

ParticleReport run_reweighting(Process const& process, Integrator& integrator, ParticlePlan const& plan,
                               SequenceWriter& writer, Progress const& progress, Json& summary) {
  std::vector<double> normalisers;
  std::vector<token_t> row(static_cast<std::size_t>(plan.run.length));
  std::size_t dead = 0;
  ParticleReport const report = sample_particles(
      ExecSpace(), process, integrator, plan,
      [&](ParticleSets const& sets) {
        for (int g = 0; g < sets.groups; ++g) {
          normalisers.push_back(sets.log_normaliser(g));
          int const drawn = sets.drawn(g);
          dead += drawn < 0;
          if (drawn < 0) continue;
          for (std::size_t l = 0; l < row.size(); ++l) row[l] = sets.tokens(g * sets.particles + drawn, l);
          if (dead == 0) writer.append(row);
        }
      },
      progress);
  if (dead > 0) {
    throw NumericalError(std::to_string(dead) + " of " + std::to_string(report.results) +
                         " groups have only particles of reward -infinity; take more particles or a milder reward");
  }
  summary["particles"] = plan.particles;
  summary["effective_size"] = report.effective_size;
  summary["least_effective_size"] = report.least_effective;
  summary["resamplings"] = report.resamplings;
  if (plan.scheme == ParticleScheme::selection) return report;
  // The mean of the estimates has the normalising constant as its expectation; its logarithm, with the error of the mean.
  double largest = -INFINITY, sum = 0, squares = 0;
  for (double const x : normalisers) largest = std::max(largest, x);
  for (double const x : normalisers) sum += std::exp(x - largest);
  double const n = static_cast<double>(normalisers.size()), mean = sum / n;
  for (double const x : normalisers) squares += (std::exp(x - largest) - mean) * (std::exp(x - largest) - mean);
  summary["log_normaliser"] = largest + std::log(mean);
  if (n > 1) summary["log_normaliser_error"] = std::sqrt(squares / (n - 1) / n) / mean;
  return report;
}

}  // namespace saltus::app
