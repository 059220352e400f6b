// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/score_lsd.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/learnable/block_sweep.hpp>
#include <saltus/learnable/coupled.hpp>
#include <saltus/learnable/distance.hpp>
#include <saltus/learnable/sweep_log.hpp>

namespace saltus {
namespace {

using Index = Kokkos::IndexType<std::int64_t>;

struct Options {
  bool code = false;
  Distance distance = Distance::l2squared;
  Coupling coupling = Coupling::full;
  bool sgd = false, raw = false, automatic = false, plain = false;
  double rate = 0.1, relax = 0.05;
  int iterations = 100, rows = 16;
};

// Chooses `count` of the sites of each row, all sets alike (selection sampling), and gives them uniform tokens.
struct Relax {
  Tokens tokens;
  StreamKey key;
  std::uint64_t first_sample;
  int count, choices;  // of tokens
  token_t mask;        // which is none of them

  KOKKOS_FUNCTION void operator()(int b) const {
    int const length = static_cast<int>(tokens.extent(1));
    int left = count;
    for (int l = 0; l < length && left > 0; ++l) {
      RandomPair const pair =
          key.draw(first_sample + static_cast<std::uint64_t>(b), Role::coupled, static_cast<std::uint32_t>(l));
      if (uniform53(pair.event) * (length - l) >= left) continue;
      --left;
      auto const y = static_cast<token_t>(uniform53(pair.target) * choices);
      tokens(b, l) = mask >= 0 && y >= mask ? y + 1 : y;
    }
  }
};

// In place: logarithms of what a power of a step is taken of, where that is above 0 in both, else 0 in both: the score, or, where
// the model gives one, the law of the clean token, whose power is a temperature.
struct TakeLogarithms {
  enum class Of { score, masked_law, uniform_law };
  SiteMasses teacher, student;
  Of of;
  double scale;        // a score is this times a mass
  double alpha, lost;  // of the noise at this time
  int length, states;
  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    double total[2] = {0, 0};  // the own entries are 0
    for (int y = 0; y < states; ++y) {
      total[0] += scale * teacher(b, l, y);
      total[1] += scale * student(b, l, y);
    }
    for (int y = 0; y < states; ++y) {
      double const t = value(teacher(b, l, y), total[0]), s = value(student(b, l, y), total[1]);
      bool const both = t > 0 && s > 0;
      bool const bad = Kokkos::isnan(t) || Kokkos::isnan(s);
      teacher(b, l, y) = both ? Kokkos::log(t) : bad ? t + s : 0;
      student(b, l, y) = both ? Kokkos::log(s) : bad ? t + s : 0;
    }
  }
  KOKKOS_FUNCTION double value(double mass, double total) const {
    double const score = scale * mass;
    if (of == Of::score || !(score > 0)) return score;
    if (of == Of::masked_law) return score / total;
    return (score / (1 + total) - lost / states) / alpha;  // A§4.1: score = (alpha pL(y) + lost/S) / (alpha pL(own) + lost/S)
  }
};

// Teacher and student of some trajectories, which are kept as tokens at the student's times.
class Paths {
 public:
  Paths(ExecSpace const& exec, Process& process, DistillPlan const& plan, Options const& options,
        std::size_t trajectories)
      : exec_(exec),
        process_(process),
        plan_(plan),
        options_(options),
        trajectories_(trajectories),
        ratio_(plan.teacher_steps / plan.steps),
        forced_last_(process.is_masked() && plan.end == 0),
        fine_(TimeGrid::uniform(process.noise().end(), plan.end, plan.teacher_steps)),
        grid_(TimeGrid::from_points(points(fine_, ratio_))),
        teacher_(plan.teacher, process),
        student_(plan.base, process),
        table_(exec, process, fine_, step_options_of(teacher_)) {
    auto const length = static_cast<std::size_t>(plan.length),
               states = static_cast<std::size_t>(process.generator().states());
    rows_ = std::clamp<std::size_t>(plan.memory / (4 * length * states * sizeof(double)), 1,
                                    std::min(static_cast<std::size_t>(plan.batch), trajectories));
    Extents const extents{static_cast<int>(rows_), plan.length};
    process.reserve(extents, 1);
    teacher_.reserve(process, extents, rows_);
    student_.reserve(process, extents, trajectories);
    for (int k = 0; k <= plan.steps; ++k)
      teacher_states_.emplace_back("saltus::learnable::teacher_states", trajectories, length);
    states_ = Tokens("saltus::learnable::student_states", trajectories, length);
    time_ = Times("saltus::learnable::time", rows_);
    teacher_masses_ = SiteMasses("saltus::learnable::teacher", rows_, length, states);
    student_masses_ = SiteMasses("saltus::learnable::student", rows_, length, states);
    sum_.emplace(rows_, length);
  }

  int steps() const { return plan_.steps; }
  std::size_t trajectories() const { return trajectories_; }
  TimeGrid const& grid() const { return grid_; }
  bool forced_last() const { return forced_last_; }
  bool forced(int k) const { return forced_last_ && k + 1 == plan_.steps; }

  // Common starts of trajectories that are numbered from `first_sample`, and the teacher's paths.
  void start(std::uint64_t first_sample) {
    first_sample_ = first_sample;
    std::uint64_t const seed = StreamKey{plan_.seed, 0}.derived(0x15D2).seed;
    CoupledSeeds const of_teacher = coupled_seeds(options_.coupling, seed, 1);
    batches([&](std::size_t first, std::size_t n) {
      State state = state_of(teacher_states_[0], first, n, 0);
      draw_prior(exec_, process_, state, seed);
      Kokkos::deep_copy(exec_, rows_of(states_, first, n), state.tokens);
      for (int k = 0; k < plan_.steps; ++k) {
        Tokens const next = rows_of(teacher_states_[static_cast<std::size_t>(k) + 1], first, n);
        Kokkos::deep_copy(exec_, next, state.tokens);
        state.tokens = next;
        if (k == 0) teacher_.start(exec_, of_teacher);
        for (int j = k * ratio_; j < (k + 1) * ratio_; ++j) {
          process_.refresh(exec_, state, 0);
          teacher_.move(exec_, process_, state, table_.step(j));
        }
        check(teacher_, "teacher", k);
      }
    });
    student_.start(exec_, coupled_seeds(options_.coupling, seed, 0));
    if (common_start()) return;
    batches([&](std::size_t first, std::size_t n) {
      relax_start(exec_, process_, state_of(states_, first, n, 0), relaxed_sites(), seed);
    });
  }
  int relaxed_sites() const { return static_cast<int>(options_.relax * plan_.length); }
  bool common_start() const { return relaxed_sites() == 0; }

  // What teacher and student say at t_k: sums for each trajectory; of logarithms in mode code.
  std::vector<BlockSums> compare(int k, RatioHistogram* ratios) {
    std::vector<BlockSums> rows(trajectories_);
    StepTable const table = this->table(k, {});
    Step const step = table.step(0, k);
    batches([&](std::size_t first, std::size_t n) {
      State const teacher = state_of(teacher_states_[static_cast<std::size_t>(k)], first, n, k);
      process_.refresh(exec_, teacher, 0);
      read_masses(exec_, process_, teacher, step, 0, Mass::rates, teacher_masses_);
      State const student = state_of(states_, first, n, k);
      process_.refresh(exec_, student, 0);
      read_masses(exec_, process_, student, step, 0, Mass::rates, student_masses_);
      if (options_.code) {
        Kokkos::parallel_for(
            "saltus::learnable::logarithms",
            Kokkos::RangePolicy<ExecSpace, Index>(exec_, 0, static_cast<std::int64_t>(n) * plan_.length),
            TakeLogarithms{teacher_masses_, student_masses_, powered(process_), score_unit(k),
                           table.host(0).alpha_from, table.host(0).lost_from, plan_.length, process_.generator().states()});
      }
      (*sum_)(exec_, student.tokens, teacher_masses_, student_masses_, {}, {}, {rows.data() + first, n});
      for (std::size_t b = first; b < first + n; ++b) {
        if (!std::isfinite(rows[b].teacher) || !std::isfinite(rows[b].student))
          throw NumericalError(
              "the scores of step " + std::to_string(k) + " (counted from 0, at t = " + to_text(grid_.point(k)) +
              ") are not finite in trajectory " + std::to_string(b) + "; check the model's output at that time");
      }
      if (ratios) {
        auto const part = std::make_pair(std::size_t{0}, n);
        add_ratios(exec_, student.tokens, Kokkos::subview(teacher_masses_, part, Kokkos::ALL, Kokkos::ALL),
                   Kokkos::subview(student_masses_, part, Kokkos::ALL, Kokkos::ALL), first, trajectories_, *ratios);
      }
    });
    return rows;
  }

  static TakeLogarithms::Of powered(Process const& process) {
    if (process.is_masked()) return process.normalised() ? TakeLogarithms::Of::masked_law : TakeLogarithms::Of::score;
    return is_x0(process.model()->info().kind) ? TakeLogarithms::Of::uniform_law : TakeLogarithms::Of::score;
  }
  // A score is this times a mass of step k; 1 where that is infinite.
  double score_unit(int k) const {
    StepCoeff const c = process_.noise().coefficients(grid_.interval(k));
    double const unit = 1 / (c.duration * c.rate) * (process_.is_masked() ? 1.0 : process_.generator().states());
    return std::isfinite(unit) && unit > 0 ? unit : 1;
  }

  // The student's step k: mean probability that it reveals a mask, and jumps that are certain.
  RatioMean advance(int k, StepFactors factors, std::int64_t& certain) {
    StepTable const table = this->table(k, factors);
    std::vector<double> revealed(trajectories_, 0.0), masks(revealed);
    auto const length = static_cast<std::size_t>(plan_.length);
    batches([&](std::size_t first, std::size_t n) {
      State const state = state_of(states_, first, n, k);
      process_.refresh(exec_, state, 0);
      student_.move(exec_, process_, state, table.step(0, k), first);
      exec_.fence("saltus::learnable: probabilities of a batch are read on the host");
      auto const jumps = Kokkos::create_mirror_view_and_copy(HostSpace(), student_.jumps());
      for (std::size_t i = 0; i < n * length; ++i) {
        if (!(jumps(i) >= 0)) continue;
        certain += jumps(i) == 1 && !forced(k);
        revealed[first + i / length] += jumps(i);
        masks[first + i / length] += 1;
      }
    });
    check(student_, "student", k);
    return process_.is_masked() ? ratio_mean(revealed, masks, {1, 0}) : ratio_mean({}, {});  // of none left, all
  }

 private:
  static std::vector<double> points(TimeGrid const& fine, int ratio) {
    std::vector<double> list;
    for (int j = 0; j <= fine.steps(); j += ratio) list.push_back(fine.point(j));
    return list;
  }
  StepOptions step_options_of(CoupledStepper const& stepper) const {
    StepOptions options = step_options(stepper.integrator(), process_);
    options.forced_last = forced_last_;
    return options;
  }
  StepTable table(int k, StepFactors f) const {
    StepOptions options = step_options_of(student_);
    options.forced_last = forced(k);
    options.phi = {f.phi};
    options.power = {f.power};
    return {exec_, process_, TimeGrid::from_points({grid_.point(k), grid_.point(k + 1)}), options};
  }
  Tokens rows_of(Tokens const& tokens, std::size_t first, std::size_t n) const {
    return Kokkos::subview(tokens, std::make_pair(first, first + n), Kokkos::ALL);
  }
  State state_of(Tokens const& tokens, std::size_t first, std::size_t n, int k) const {
    State const state{rows_of(tokens, first, n),
                      Kokkos::subview(time_, std::make_pair(std::size_t{0}, n)),
                      {},
                      first_sample_ + first};
    set_time(exec_, state, grid_.point(k));
    return state;
  }
  template <class Take>
  void batches(Take const& take) {
    for (std::size_t first = 0; first < trajectories_; first += rows_)
      take(first, std::min(rows_, trajectories_ - first));
  }
  void check(CoupledStepper const& stepper, char const* who, int k) const {
    if (stepper.bad_sites(exec_) > 0)
      throw NumericalError(std::string("scores are not finite or leave no target on the ") + who + "'s path in step " +
                           std::to_string(k) + " of the student (counted from 0); check the model's output there");
  }

  ExecSpace exec_;
  Process& process_;
  DistillPlan plan_;
  Options options_;
  std::size_t trajectories_;
  int ratio_;
  bool forced_last_;
  TimeGrid fine_, grid_;
  CoupledStepper teacher_, student_;
  StepTable table_;
  std::size_t rows_ = 1;
  std::uint64_t first_sample_ = 0;
  std::vector<Tokens> teacher_states_;  // [steps + 1]
  Tokens states_;
  Times time_;
  SiteMasses teacher_masses_, student_masses_;
  std::optional<SumRows> sum_;
};

class ScoreLsd final : public Distiller {
 public:
  ScoreLsd(Options const& options, std::string name) : options_(options), name_(std::move(name)) {
    info_.name = "lsd";
    info_.summary = "scores of coupled paths; mode=paper or code";
    info_.reference = "Fu et al. 2025, arXiv:2509.19962, Eqs 4-6 and 9-10";
    info_.bases = {"euler", "exponential", "tau_leaping", "tweedie"};
  }
  DistillerInfo const& info() const override { return info_; }

  std::string refuses(Process const& process, DistillPlan const& plan) const override {
    std::string const why = BlockSweep::refuses(process, plan);
    if (!why.empty()) return why;
    try {
      CoupledStepper(plan.base, process);
    } catch (UserError const& e) {
      return e.what();
    }
    bool const powers = process.is_masked() || (process.generator().kind() == Generator::Kind::uniform &&
                                                !is_leave_in(process.model()->info().kind));
    if (options_.code && !powers)
      return "in mode=code needs masked or uniform noise (without a mask, scores or laws that leave the site out): nothing else takes powers of "
             "what the model says; got the generator '" + process.generator().name() + "'";
    if (options_.automatic && !(process.is_masked() || step_law(plan.base) != StepLaw::tweedie))
      return "cannot choose relax=auto for the base 'tweedie' without a mask; give a number";
    return "";
  }

  Schedule distill(ExecSpace const& exec, Process& process, DistillPlan const& plan,
                   DistillHooks const& hooks) const override {
    std::string const why = refuses(process, plan);
    require(why.empty(), "lsd " + why);
    if (!options_.automatic) return learn(exec, process, plan, hooks, options_);
    std::optional<Schedule> best;
    double least = 0;
    std::string tried;
    std::vector<double> const shares{0, 0.01, 0.05, 0.1, 0.2};
    std::vector<std::string> states = lines_of(hooks.resume);  // of the shares so far
    require(states.size() <= shares.size(), "the sweeps to go on from are of another run than one of relax=auto; start anew");
    for (std::size_t i = 0; i < shares.size(); ++i) {
      double const relax = shares[i];
      Options options = options_;
      options.relax = relax;
      DistillHooks own;
      if (i < states.size()) own.resume = states[i];
      states.resize(std::max(states.size(), i + 1));
      if (hooks.progress) {
        own.progress = [&](double share, double objective) {
          hooks.progress((static_cast<double>(i) + share) / static_cast<double>(shares.size()), objective);
        };
      }
      if (hooks.save) {
        own.save = [&](std::string const& state) {
          states[i] = state;
          std::string all;
          for (auto const& one : states) all += one + "\n";
          hooks.save(all);
        };
      }
      Schedule s = learn(exec, process, plan, own, options);
      RatioMean const held = held_out_divergence(exec, process, plan, s);
      tried += (tried.empty() ? "" : ", ") + to_text(relax) + ": " + to_text(held.value) + " +- " + to_text(held.error);
      if (!best || held.value < least) {
        best = std::move(s);
        least = held.value;
      }
    }
    best->note += (best->note.empty() ? "" : "; ") + std::string("divergence by blocks, in nats a trajectory, by share of relaxed sites: ") + tried;
    return *best;
  }

 private:
  static std::vector<std::string> lines_of(std::string const& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }

  Schedule learn(ExecSpace const& exec, Process& process, DistillPlan const& plan, DistillHooks const& hooks,
                 Options const& options) const {
    SweepLog log(name_ + ",relax=" + to_text(options.relax), process, plan, hooks);
    Paths paths(exec, process, plan, options, options.sgd ? static_cast<std::size_t>(options.rows) : plan.trajectories);
    while (log.done() < plan.sweeps) {
      if (options.sgd) {
        log.add(descend(paths, log, options));
      } else {
        paths.start(static_cast<std::uint64_t>(log.done()) * plan.trajectories);
        log.add(pass(paths, log, options, nullptr));
      }
    }
    Schedule s = log.schedule(paths.grid(), paths.forced_last());
    if (options.sgd) {
      s.phi = log.sweeps().back().phi;
      s.trajectories =
          static_cast<std::size_t>(options.rows) * static_cast<std::size_t>(options.iterations) * log.sweeps().size();
    }
    if (options.code) {
      s.power = s.phi;
      s.phi.clear();
      s.note += (s.note.empty() ? "" : "; ") + std::string("powers of the scores: tokens are drawn at temperature 1/power");
    }
    return s;
  }

  // Each step's factor when the student comes to it; or, with `phi`, one step of descent for all of them.
  SweepRecord pass(Paths& paths, SweepLog const& log, Options const& options, std::vector<double> const* phi) const {
    SweepRecord record;
    Distance const distance = options.code ? Distance::l2squared : options.distance;
    for (int k = 0; k < paths.steps(); ++k) {
      auto const at = static_cast<std::size_t>(k);
      Factor factor;
      if (!paths.forced(k) && (k > 0 || !paths.common_start())) {
        RatioHistogram ratios(distance == Distance::l1 ? group_count(paths.trajectories()) : 0);
        auto const rows = paths.compare(k, distance == Distance::l1 ? &ratios : nullptr);
        factor = nearest_factor(distance, StepLaw::linear, rows, ratios);
        BlockSums s;
        for (auto const& row : rows) s += row;
        if (phi) {
          double const unit = options.raw ? paths.score_unit(k) : 1, n = static_cast<double>(rows.size());
          double const scale = options.raw ? unit * unit / n : s.student_squared > 0 ? 1 / s.student_squared : 0;
          double const now = (*phi)[at];
          factor = {
              std::clamp(now - options.rate * 2 * scale * (now * s.student_squared - s.product), least_phi, most_phi),
              0};
        }
        record.objective += distance_of(distance, s, factor.phi, static_cast<double>(rows.size()));
      }
      double used = phi ? (*phi)[at] : log.mean_with(&SweepRecord::phi, at, factor.phi);
      std::int64_t certain = 0;
      if (options.plain) used = 1;
      RatioMean const reveal = paths.advance(k, options.code ? StepFactors{1, used} : StepFactors{used, 1}, certain);
      record.phi.push_back(factor.phi);
      record.phi_error.push_back(factor.error);
      record.reveal.push_back(reveal.value);
      record.reveal_error.push_back(reveal.error);
      record.clamps.push_back(certain);
      if (!phi) log.tell((k + 1.0) / paths.steps());
    }
    if (!std::isfinite(record.reveal.front())) record.reveal.clear(), record.reveal_error.clear();  // no mask
    return record;
  }
  // The published simultaneous descent: `iterations` steps, each on paths of its own.
  SweepRecord descend(Paths& paths, SweepLog const& log, Options const& options) const {
    std::vector<double> phi(static_cast<std::size_t>(paths.steps()), 1.0);
    if (log.done() > 0) phi = log.sweeps().back().phi;
    SweepRecord record;
    for (int i = 0; i < options.iterations; ++i) {
      auto const number = static_cast<std::uint64_t>(log.done()) * static_cast<std::uint64_t>(options.iterations) +
                          static_cast<std::uint64_t>(i);
      paths.start(number * static_cast<std::uint64_t>(options.rows));
      record = pass(paths, log, options, &phi);
      phi = record.phi;
      log.tell((i + 1.0) / options.iterations);
    }
    record.phi_error.clear();  // a descent has none
    return record;
  }

  static double distance_of(Distance distance, BlockSums const& s, double phi, double rows) {
    if (distance == Distance::gkl)
      return (s.divergence - s.teacher * std::log(phi) - s.teacher + phi * s.student) / rows;
    if (!(s.teacher_squared > 0)) return 0;
    return (s.teacher_squared - 2 * phi * s.product + phi * phi * s.student_squared) / s.teacher_squared;
  }

  Options options_;
  std::string name_;
  DistillerInfo info_;
};

}  // namespace

void relax_start(ExecSpace const& exec, Process const& process, State const& state, int sites, std::uint64_t seed) {
  auto const mask = process.generator().mask();
  Kokkos::parallel_for("saltus::learnable::relax",
                       Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, state.batch()),
                       Relax{state.tokens,
                             {StreamKey{seed, 0}.derived(0xC9).seed, 0},
                             state.first_sample,
                             sites,
                             process.generator().data_states(),
                             mask.value_or(-1)});
}

std::unique_ptr<Distiller> make_score_lsd(Parameters const& parameters) {
  Options o;
  o.code = parameters.text("mode", "paper") == "code";
  std::vector<std::string> known{"mode", "coupling", "paths", "relax"};
  if (!o.code) known.insert(known.end(), {"distance", "optimiser"});
  if (!o.code && parameters.text("optimiser", "") == "sgd") known.insert(known.end(), {"rate", "iterations", "rows", "raw"});
  parameters.allow(known);
  o.distance = parse_distance(parameters.text("distance", "l2squared"));
  o.coupling = parse_coupling(parameters.text("coupling", "full"));
  std::string const of = parameters.text("paths", "learned");
  if (of != "learned" && of != "plain") throw UserError(unknown_name("paths of lsd", of, {"learned", "plain"}));
  o.plain = of == "plain";
  std::string const optimiser = parameters.text("optimiser", "closed");
  if (optimiser != "closed" && optimiser != "sgd")
    throw UserError(unknown_name("optimiser", optimiser, {"closed", "sgd"}));
  o.sgd = optimiser == "sgd";
  require(
      !o.sgd || o.distance == Distance::l2squared,
      parameters.where() + ": optimiser=sgd descends distance=l2squared, got distance=" + distance_name(o.distance));
  o.rate = parameters.number("rate", 0.1);
  require(o.rate > 0 && std::isfinite(o.rate), parameters.where() + ": rate must be positive, got " + to_text(o.rate));
  o.iterations = parameters.integer("iterations", 100, 1, 1000000);
  o.rows = parameters.integer("rows", 16, 1, 1000000);
  o.raw = parameters.integer("raw", 0, 0, 1) == 1;
  o.automatic = parameters.text("relax", "") == "auto";
  o.relax = o.automatic ? 0 : parameters.number("relax", o.code ? 0 : 0.05);
  require(o.relax >= 0 && o.relax <= 1,
          parameters.where() + ": relax is a share of the sites, from 0 to 1, or auto; got " + to_text(o.relax));
  std::string name = std::string("lsd:mode=") + (o.code ? "code" : "paper");
  if (!o.code) name += ",distance=" + distance_name(o.distance);
  name += ",coupling=" + coupling_name(o.coupling);
  if (o.plain) name += ",paths=plain";
  if (o.sgd) {
    name += ",optimiser=sgd,rate=" + to_text(o.rate) + ",iterations=" + std::to_string(o.iterations) +
            ",rows=" + std::to_string(o.rows) + ",raw=" + std::to_string(static_cast<int>(o.raw));
  }
  return std::make_unique<ScoreLsd>(o, name);
}

}  // namespace saltus
