// SPDX-License-Identifier: BSD-3-Clause
// Exact laws of runs: against sums over all paths in long double for methods made up here, and against closed forms
// (A§9.3, 9.4, 13, 14) for those of the library.
#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/exact_law.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

#include "reference/cyclic.hpp"
#include "reference/brute_force.hpp"
#include "reference/harness.hpp"

namespace saltus {
namespace {

using namespace reference;
using Law = std::vector<double>;
using Rows3 = std::vector<std::vector<long double>>;  // laws of the sites of one sequence

// --------------------------------------------------------------------------------------------- methods made up here

/// Laws that are any function of the sequence, in one stage or two. With a mask only masked sites move, to any token.
class MadeUp final : public Integrator {
 public:
  MadeUp(std::optional<token_t> mask, int states, int stages, Selection selection) : mask_(mask), states_(states) {
    info_ = {.name = "made_up", .summary = "", .reference = "", .evaluations = stages, .slots = stages};
    info_.has_site_law = true;
    info_.selection = selection;
    info_.stages = stages;
  }
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const&) const override { return ""; }
  std::size_t reserve(Process const&, Extents) override { return 0; }
  void advance(ExecSpace const&, Process&, State const&, Step const&, StreamKey, CounterView const&) override {}
  std::vector<Part> parts(NoiseSchedule const&, Interval i) const override {
    double const middle = (i.from + i.to) / 2;
    return {{.interval = {i.from, middle}}, {.interval = {middle, i.to}}};
  }

  /// Of stage 1 (z empty), or of stage 2 of the pair (x, z).
  Rows3 laws(Sequence const& x, Sequence const& z, double time) const {
    Sequence const& now = z.empty() ? x : z;
    std::uint64_t seed = z.empty() ? 17 : 5000;
    for (token_t const token : x) seed = seed * 7 + static_cast<std::uint64_t>(token);
    for (token_t const token : z) seed = seed * 7 + static_cast<std::uint64_t>(token) + 3;
    seed += static_cast<std::uint64_t>(1e6 * time);
    Rows3 all;
    for (std::size_t l = 0; l < now.size(); ++l) {
      std::vector<long double> law(static_cast<std::size_t>(states_), 0);
      auto const own = static_cast<std::size_t>(now[l]);
      bool const moves = !mask_ || now[l] == *mask_;
      // Numbers of reveals that depend on what was revealed would leave no law of the sets alone.
      std::uint64_t const source =
          info_.selection == Selection::by_site
              ? seed * 31 + l
              : static_cast<std::uint64_t>(std::count(now.begin(), now.end(), token_t{0})) + 7 * z.size();
      long double const jump = moves ? 0.2L + 0.6L * static_cast<long double>(scramble(source)) : 0;
      long double sum = 0;
      for (std::size_t y = 0; y < law.size(); ++y)
        sum += y == own ? 0 : law[y] = 0.1L + static_cast<long double>(scramble(seed * 31 + 1000 * (l + 1) + y));
      for (std::size_t y = 0; y < law.size(); ++y) law[y] = y == own ? 1 - jump : law[y] * jump / sum;
      all.push_back(law);
    }
    return all;
  }

  void site_probabilities(ExecSpace const&, Process const&, State const& state, Step const& step,
                          SiteList const& sites, SiteProbabilities const& out) const override {
    auto const rows = to_rows(state.tokens);
    store(sites, out, state.length(), [&](std::size_t b) { return laws(rows[b], {}, step.host->from); });
  }
  void second_probabilities(ExecSpace const&, Process const& process, State const& state, Step const& step,
                            Kokkos::View<int const* [2], Kokkos::LayoutRight, MemorySpace> const& pairs,
                            SiteList const& sites, SiteProbabilities const& out) const override {
    // both evaluations are of these very rows
    EXPECT_NE(process.evaluation(0).data, nullptr);
    EXPECT_NE(process.evaluation(1).data, process.evaluation(0).data);
    auto const rows = to_rows(state.tokens);
    auto const which = Kokkos::create_mirror_view_and_copy(HostSpace(), pairs);
    store(sites, out, state.length(), [&](std::size_t i) {
      EXPECT_LT(i, which.extent(0));
      return laws(rows[static_cast<std::size_t>(which(i, 0))], rows[static_cast<std::size_t>(which(i, 1))],
                  step.parts[1].host->from);
    });
  }

 private:
  template <class RowLaws>
  static void store(SiteList const& sites, SiteProbabilities const& out, int length, RowLaws const& laws_of) {
    auto const list = Kokkos::create_mirror_view_and_copy(HostSpace(), sites);
    auto const host = Kokkos::create_mirror_view(out);
    ASSERT_EQ(out.extent(0), list.extent(0));
    std::size_t last = list.extent(0);  // a row that no list has
    Rows3 laws;
    for (std::size_t i = 0; i < list.extent(0); ++i) {
      auto const row = static_cast<std::size_t>(list(i) / length), l = static_cast<std::size_t>(list(i) % length);
      if (laws.empty() || row != last) laws = laws_of(last = row);
      for (std::size_t y = 0; y < laws[l].size(); ++y) host(i, y) = static_cast<double>(laws[l][y]);
    }
    Kokkos::deep_copy(out, host);
  }
  std::optional<token_t> mask_;
  int states_;
  IntegratorInfo info_;
};

/// A model that is evaluated and not looked at.
class Blank final : public ScoreModel {
 public:
  explicit Blank(Generator const& generator) : generator_(generator) {}
  ModelInfo info() const override {
    return {.name = "blank", .states = generator_.states(), .mask = generator_.mask(), .time = TimeInput::time};
  }
  void reserve(Extents extents, int slots) override {
    out_.clear();
    for (int i = 0; i < slots; ++i) {
      out_.emplace_back("test::blank", static_cast<std::size_t>(extents.batch),
                        static_cast<std::size_t>(extents.length), static_cast<std::size_t>(generator_.states()));
    }
  }
  Evaluation evaluate(ExecSpace const&, Query const& query, int slot) override {
    auto const& out = out_[static_cast<std::size_t>(slot)];
    EXPECT_LE(query.tokens.extent(0), out.extent(0));
    return {ScalarType::f64, out.data(), static_cast<std::int64_t>(out.stride(0)),
            static_cast<std::int64_t>(out.stride(1)), generator_.states(), ScoreKind::x0_leave_one_out};
  }

 private:
  Generator generator_;
  std::vector<Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace>> out_;
};

/// Another method with the reveals of each step in a fixed number.
class Counted final : public Integrator {
 public:
  explicit Counted(std::string const& name) : inner_(make_integrator(name)), info_(inner_->info()) {
    info_.selection = Selection::fixed_count;
  }
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override { return inner_->refuses(process); }
  std::size_t reserve(Process const&, Extents) override { return 0; }
  void advance(ExecSpace const&, Process&, State const&, Step const&, StreamKey, CounterView const&) override {}
  void site_probabilities(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                          SiteList const& sites, SiteProbabilities const& out) const override {
    inner_->site_probabilities(exec, process, state, step, sites, out);
  }

 private:
  std::unique_ptr<Integrator> inner_;
  IntegratorInfo info_;
};

/// Each step of another method twice.
class Twice final : public Integrator {
 public:
  explicit Twice(std::string const& name) : inner_(make_integrator(name)), info_(inner_->info()) {
    info_.name = "twice";
  }
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const&) const override { return ""; }
  std::size_t reserve(Process const&, Extents) override { return 0; }
  void advance(ExecSpace const&, Process&, State const&, Step const&, StreamKey, CounterView const&) override {}
  bool without_law = false;  // as if it wrapped something that has none
  std::vector<Kernel> kernels(Step const& step) const override {
    if (without_law) return {};
    return {{inner_.get(), step}, {inner_.get(), step}};
  }

 private:
  std::unique_ptr<Integrator> inner_;
  IntegratorInfo info_;
};

// -------------------------------------------------------------------------------------------------------- brute force

/// The probability that a stage takes x to y, straight from the definition.
long double stage(Rows3 const& laws, Sequence const& x, Sequence const& y, Selection selection) {
  std::size_t const n = x.size();
  if (selection == Selection::by_site) {
    long double p = 1;
    for (std::size_t l = 0; l < n; ++l) p *= laws[l][static_cast<std::size_t>(y[l])];
    return p;
  }
  // Every set of sites that may move, of either size.
  std::vector<long double> jump(n, 0);
  long double mean = 0;
  std::size_t able = 0;
  for (std::size_t l = 0; l < n; ++l) {
    for (std::size_t k = 0; k < laws[l].size(); ++k) jump[l] += static_cast<token_t>(k) == x[l] ? 0 : laws[l][k];
    mean += jump[l];
    able += jump[l] > 0;
  }
  if (std::abs(mean - std::round(mean)) < 1e-9L) mean = std::round(mean);
  auto const low = static_cast<int>(std::floor(mean));
  long double const share = mean - low;
  long double p = 0;
  for (std::size_t set = 0; set < (std::size_t{1} << n); ++set) {
    int const size = std::popcount(set);
    long double sets = 0;  // of this size
    bool allowed = true;
    for (std::size_t other = 0; other < (std::size_t{1} << n); ++other) {
      bool fits = std::popcount(other) == size;
      for (std::size_t l = 0; l < n; ++l) fits = fits && (!(other >> l & 1) || jump[l] > 0);
      sets += fits;
      if (other == set) allowed = fits;
    }
    if (!allowed) continue;
    long double here = size == low ? 1 - share : (size == low + 1 ? share : 0);
    for (std::size_t l = 0; l < n; ++l) {
      bool const chosen = set >> l & 1;
      here *= chosen ? (y[l] == x[l] ? 0 : laws[l][static_cast<std::size_t>(y[l])] / jump[l]) : (y[l] == x[l]);
    }
    p += here / sets;
  }
  return p;
}

/// [x][y]: the kernel of one step.
std::vector<Reals> step_kernel(MadeUp const& method, std::vector<Sequence> const& all, Interval interval) {
  std::vector<Reals> kernel;
  Selection const selection = method.info().selection;
  for (auto const& x : all) {
    Reals row(all.size(), 0);
    auto const first = method.laws(x, {}, interval.from);
    for (std::size_t i = 0; i < all.size(); ++i) {
      long double const p = stage(first, x, all[i], selection);
      if (p == 0) continue;
      if (method.info().stages == 1) {
        row[i] += p;
        continue;
      }
      auto const second = method.laws(x, all[i], (interval.from + interval.to) / 2);
      for (std::size_t j = 0; j < all.size(); ++j) row[j] += p * stage(second, all[i], all[j], selection);
    }
    kernel.push_back(row);
  }
  return kernel;
}

Reals times(Reals const& law, std::vector<Reals> const& kernel) {
  Reals out(law.size(), 0);
  for (std::size_t i = 0; i < law.size(); ++i) {
    for (std::size_t j = 0; j < law.size(); ++j) out[j] += law[i] * kernel[i][j];
  }
  return out;
}

struct Setting {
  bool masked;
  int states;  // of the data
  int length;
  NoiseSchedule noise;
  Generator generator() const { return masked ? Generator::absorbing(states + 1, 0) : Generator::uniform(states); }
  StateSpace space() const { return {generator().states(), length}; }
};

/// The reverse kernel of the process, from Bayes' rule on long doubles; 0 where it cannot be.
std::vector<Reals> exact_kernel(Setting const& s, Law const& p0, Interval interval) {
  Generator const g = s.generator();
  auto const all = all_sequences(g.states(), s.length);
  auto const forward = [&](Sequence const& x, Sequence const& y, long double alpha) {
    long double p = 1;
    for (std::size_t l = 0; l < x.size(); ++l) {
      p *= s.masked ? (x[l] == 0 ? (y[l] == 0 ? 1 : 0) : (y[l] == x[l] ? alpha : (y[l] == 0 ? 1 - alpha : 0)))
                    : (1 - alpha) / s.states + (x[l] == y[l] ? alpha : 0);
    }
    return p;
  };
  auto const at = [&](double t) {
    Reals law(all.size(), 0);
    for (std::size_t i = 0; i < all.size(); ++i) {
      for (std::size_t j = 0; j < all.size(); ++j)
        law[j] += p0[i] * forward(all[i], all[j], std::exp(-static_cast<long double>(s.noise.total(t))));
    }
    return law;
  };
  Reals const from = at(interval.from), to = at(interval.to);
  long double const kept = std::exp(-static_cast<long double>(s.noise.total_between(interval.to, interval.from)));
  std::vector<Reals> kernel(all.size(), Reals(all.size(), 0));
  for (std::size_t x = 0; x < all.size(); ++x) {
    for (std::size_t y = 0; y < all.size(); ++y) {
      if (from[x] > 0) kernel[x][y] = to[y] * forward(all[y], all[x], kept) / from[x];
    }
  }
  return kernel;
}

long double divergence(Reals const& p, Reals const& q) {
  long double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] > 0) sum += p[i] * std::log(p[i] / q[i]);
  }
  return sum;
}

std::vector<Setting> settings() {
  return {{true, 2, 3, NoiseSchedule::constant(1, 3)}, {true, 3, 2, NoiseSchedule::cosine()},
          {false, 3, 3, NoiseSchedule::constant(1, 3)}, {false, 2, 4, NoiseSchedule::cosine()}};
}

TableLaw some_data(int length, int states) {
  Law p(StateSpace(states, length).size());
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += p[i] = scramble(i + 99) < 0.2 ? 0 : 0.1 + scramble(i);
  for (double& x : p) x /= sum;
  return {length, states, p};
}

void expect_near(Law const& got, Reals const& expected, double tolerance) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], static_cast<double>(expected[i]), tolerance) << i;
}

// Laws and path divergences of one and two stages, of sites on their own and in fixed numbers, are sums over all paths;
// and they are the same when there is memory for two sequences only.
TEST(ExactLaw, IsTheSumOverAllPaths) {
  for (Setting const& s : settings()) {
    Generator const g = s.generator();
    StateSpace const space = s.space();
    auto const all = all_sequences(g.states(), s.length);
    TableLaw const data = some_data(s.length, s.states);
    Law const p0 = space.embed(data.probabilities(), g);
    auto const grid = TimeGrid::from_points({0.9 * s.noise.end(), 0.5 * s.noise.end(), 0.2 * s.noise.end()});
    for (int const stages : {1, 2}) {
      for (Selection const selection : {Selection::by_site, Selection::fixed_count}) {
        for (std::size_t const memory : {law_memory, std::size_t{1}}) {
          SCOPED_TRACE(g.name() + ", stages " + std::to_string(stages) + ", memory " + std::to_string(memory) +
                       (selection == Selection::by_site ? ", by site" : ", fixed counts"));
          MadeUp const method(g.mask(), g.states(), stages, selection);
          Process process = Process::reverse(g, s.noise, std::make_shared<Blank>(g));
          LawPlan plan{.grid = grid, .data = data.probabilities(), .memory = memory};
          plan.start.assign(space.size(), 0.0);
          if (s.masked) {
            plan.start[0] = 1;
          } else {
            for (std::size_t i = 0; i < space.size(); ++i) plan.start[i] = 1.0 / static_cast<double>(space.size());
          }
          LawReport const report = law_report(ExecSpace(), process, method, space, plan);

          Reals law(plan.start.begin(), plan.start.end()), exact = law, shared = law;
          long double path = 0, sets = 0, tokens = 0;
          if (!s.masked) {
            Law const from = forward_law(space, p0, g, s.noise, grid.point(0));
            exact.assign(from.begin(), from.end());
            path = divergence(exact, law);
          }
          for (int k = 0; k < grid.steps(); ++k) {
            auto const r = step_kernel(method, all, grid.interval(k)), q = exact_kernel(s, p0, grid.interval(k));
            std::vector<Reals> both(all.size(), Reals(all.size(), 0));
            Law const m = s.masked ? context_probabilities(space, p0, g) : Law();
            for (std::size_t x = 0; x < all.size(); ++x) {
              // what each set of sites that move has under either
              std::vector<long double> set_q(std::size_t{1} << s.length, 0), set_r(set_q);
              auto const set_of = [&](std::size_t y) {
                std::size_t set = 0;
                for (std::size_t l = 0; l < all[x].size(); ++l)
                  set |= (all[x][l] != all[y][l] ? std::size_t{1} : 0) << l;
                return set;
              };
              for (std::size_t y = 0; y < all.size(); ++y) {
                set_q[set_of(y)] += q[x][y];
                set_r[set_of(y)] += r[x][y];
              }
              for (std::size_t y = 0; s.masked && m[x] > 0 && y < all.size(); ++y) {
                both[x][y] = set_r[set_of(y)] * m[y] / m[x];
              }
              if (selection == Selection::fixed_count) {
                if (s.masked && shared[x] > 0) path += shared[x] * divergence(both[x], r[x]);
                continue;
              }
              if (!(exact[x] > 0)) continue;
              path += exact[x] * divergence(q[x], r[x]);
              if (!s.masked) continue;
              sets += exact[x] * divergence(set_q, set_r);
              for (std::size_t y = 0; y < all.size(); ++y) {
                if (q[x][y] > 0)
                  tokens += exact[x] * q[x][y] * std::log(q[x][y] / set_q[set_of(y)] / (r[x][y] / set_r[set_of(y)]));
              }
            }
            law = times(law, r);
            exact = times(exact, q);
            shared = times(shared, both);
          }
          expect_near(report.law, law, 1e-15);
          expect_near(report.exact, exact, 1e-14);
          auto const kl = static_cast<double>(divergence(exact, law));
          EXPECT_TRUE(report.kl == kl || std::abs(report.kl - kl) < 1e-13) << report.kl << " and not " << kl;
          if (selection == Selection::fixed_count && !s.masked) {
            EXPECT_FALSE(report.path_kl);
            EXPECT_SAYS(report.why_not, "masked");
            continue;
          }
          ASSERT_TRUE(report.path_kl) << report.why_not;
          EXPECT_NEAR(*report.path_kl, static_cast<double>(path), 1e-13);
          EXPECT_TRUE(selection != Selection::by_site || *report.path_kl >= report.kl);
          EXPECT_EQ(report.discretisation.has_value(), s.masked && selection == Selection::by_site);
          EXPECT_EQ(report.factorisation.has_value(), s.masked);
          if (report.discretisation) {
            EXPECT_NEAR(*report.discretisation, static_cast<double>(sets), 1e-13);
            EXPECT_NEAR(*report.factorisation, static_cast<double>(tokens), 1e-13);
            EXPECT_NEAR(*report.discretisation + *report.factorisation, *report.path_kl, 1e-12);
          }
          expect_near(output_law(ExecSpace(), process, method, space, plan.start, grid), law, 1e-15);
        }
      }
    }
  }
}

// ------------------------------------------------------------------------------------------- closed forms, by methods

struct Subject {
  Generator generator;
  NoiseSchedule noise;
  StateSpace space;
  Process process;
  Law data;
  Subject(SequenceLaw const& law, Generator const& g, NoiseSchedule const& schedule)
      : generator(g), noise(schedule), space(g.states(), law.length()),
        process(Process::reverse(g, schedule, law.denoiser(g))), data(enumerate(law)) {}
  LawReport report(Integrator const& integrator, TimeGrid const& grid, std::vector<double> const& phi = {}) {
    LawPlan const plan{.grid = grid,
                       .data = data,
                       .phi = phi,
                       .forced_last = generator.mask().has_value() && grid.point(grid.steps()) == 0};
    return law_report(ExecSpace(), process, integrator, space, plan);
  }
  LawReport report(std::string const& name, TimeGrid const& grid, std::vector<double> const& phi = {}) {
    return report(*make_integrator(name, process), grid, phi);
  }
};

// A§9.3: the digits given there, of blocks that are binomial and of blocks of fixed sizes.
TEST(ExactLaw, CyclicChain) {
  Subject run(cyclic(8), Generator::absorbing(5), NoiseSchedule::linear());
  double const binomial[] = {2.396806, 1.108578, 0.531067}, equal[] = {2.068863, 0.632776};
  for (int i = 0; i < 3; ++i) {
    LawReport const report = run.report("tweedie", TimeGrid::uniform(1, 0, 2 << i));
    EXPECT_NEAR(*report.path_kl, binomial[i], 5e-7);
    EXPECT_NEAR(*report.discretisation, 0, 1e-12);  // the probability of a reveal is the true one
    EXPECT_NEAR(*report.factorisation, *report.path_kl, 1e-12);
    EXPECT_LT(report.kl, *report.path_kl);
  }
  for (int i = 0; i < 2; ++i) {
    LawReport const report = run.report(Counted("tweedie"), TimeGrid::uniform(1, 0, 2 << i));
    EXPECT_NEAR(*report.path_kl, equal[i], 5e-7);
    EXPECT_FALSE(report.discretisation);
    EXPECT_LT(report.kl, *report.path_kl);
  }
}

// A§9.4: two sites keep their dependence with probability 1 - c, c = sum of (alpha_{k+1} - alpha_k)^2.
TEST(ExactLaw, TwoSitesUnderTweedie) {
  TableLaw const law = some_data(2, 3);
  auto const p = law.probabilities(), site = law.site_marginals();
  Law product;
  for (int x = 0; x < 3; ++x) {
    for (int y = 0; y < 3; ++y)
      product.push_back(site[static_cast<std::size_t>(x)] * site[static_cast<std::size_t>(3 + y)]);
  }
  double tv = 0, information = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    tv += std::abs(p[i] - product[i]) / 2;
    if (p[i] > 0) information += p[i] * std::log(p[i] / product[i]);
  }
  for (auto const& noise : {NoiseSchedule::linear(), NoiseSchedule::polynomial(2)}) {
    for (int const steps : {1, 2, 3, 8}) {
      Subject run(law, Generator::absorbing(4), noise);
      auto const grid = TimeGrid::uniform(1, 0, steps);
      double c = 0;
      for (int k = 0; k < steps; ++k) c += std::pow(noise.alpha(grid.point(k + 1)) - noise.alpha(grid.point(k)), 2);
      LawReport const report = run.report("tweedie", grid);
      Law expected(p.size());
      for (std::size_t i = 0; i < p.size(); ++i) expected[i] = (1 - c) * p[i] + c * product[i];
      Law const whole = run.space.embed(expected, run.generator);
      for (std::size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(report.law[i], whole[i], 1e-15);
      EXPECT_NEAR(report.tv, c * tv, 1e-14);
      EXPECT_NEAR(*report.path_kl, c * information, 1e-13);
      EXPECT_EQ(report.transitions, steps == 1 ? 9 : 16 + 49. * (steps - 2) + 36);
    }
  }
}

// A§13.9: without dependence Tweedie is exact in any number of steps, Euler where the hazard does not change (A§7.1).
TEST(ExactLaw, ProductsAreExact) {
  ProductLaw const law(3, 3, {0.2, 0.3, 0.5, 0.6, 0.3, 0.1, 0.25, 0.35, 0.4});
  for (auto const& noise : {NoiseSchedule::log_linear(), NoiseSchedule::cosine(), NoiseSchedule::geometric()}) {
    for (int const steps : {1, 3}) {
      SCOPED_TRACE(noise.describe() + ", steps " + std::to_string(steps));
      Subject masked(law, Generator::absorbing(4), noise), uniform(law, Generator::uniform(3), noise);
      LawReport const report = masked.report("tweedie", TimeGrid::uniform(1, 0, steps));
      EXPECT_LT(report.tv, 1e-14);
      EXPECT_NEAR(*report.path_kl, 0, 1e-13);
      for (std::size_t i = 0; i < report.exact.size(); ++i) {
        EXPECT_NEAR(report.exact[i], masked.space.embed(masked.data, masked.generator)[i], 1e-15);
      }
      LawPlan plan{.grid = TimeGrid::uniform(1, 0.1, steps), .data = uniform.data};
      plan.start = forward_law(uniform.space, uniform.data, uniform.generator, noise, 1);
      LawReport const other =
          law_report(ExecSpace(), uniform.process, *make_integrator("tweedie"), uniform.space, plan);
      EXPECT_LT(other.tv, 1e-14);
      EXPECT_NEAR(*other.path_kl, 0, 1e-13);
      bool const constant = noise.describe() == NoiseSchedule::log_linear().describe();
      LawReport const euler = masked.report("euler", TimeGrid::uniform(1, 0, steps));
      if (constant) {
        EXPECT_LT(euler.tv, 1e-14);
        EXPECT_NEAR(*euler.path_kl, 0, 1e-13);
      } else if (steps > 1) {
        EXPECT_GT(*euler.path_kl, 1e-3);
        EXPECT_NEAR(*euler.factorisation, 0, 1e-13);
      }
    }
  }
}

// A§13.13: one Euler step of constant hazard, a = lambda h. Backwards by way of phi: log-linear steps reveal (t - s)/t.
TEST(ExactLaw, OneEulerStepOfConstantHazard) {
  double const a = 0.1, v = -std::expm1(-a);
  double const expected = std::exp(-a) * std::log(std::exp(-a) / (1 - a)) + v * std::log(v / a);
  ASSERT_NEAR(expected, 1.319e-4, 5e-8);
  Subject run(some_data(3, 2), Generator::absorbing(3), NoiseSchedule::log_linear());
  LawReport const report = run.report("euler", TimeGrid::from_points({1, std::exp(-a)}), {a / v});
  EXPECT_NEAR(*report.discretisation, 3 * expected, 1e-15);

  Generator const g = Generator::absorbing(3);
  Process forward = Process::forward(g, NoiseSchedule::constant(1, 1));
  StateSpace const space(3, 2);
  LawPlan plan{.grid = TimeGrid::uniform(0, a, 1), .start = Law(9, 0.0)};
  plan.start[space.index(std::vector<token_t>{0, 1}.data())] = 1;
  LawReport const two = law_report(ExecSpace(), forward, *make_integrator("euler"), space, plan);
  EXPECT_NEAR(*two.path_kl, 2 * expected, 1e-15);
  EXPECT_NEAR(two.kl, 2 * expected, 1e-15);  // one step ends in different states wherever it goes
}

// A§14: of order 1 on dependent data, weak and strong.
TEST(ExactLaw, ErrorsHalveWithTheStep) {
  for (double const strength : {0.2, 5.0}) {
    TableLaw const law = TableLaw::neighbours(2, 3, strength);
    for (bool const masked : {true, false}) {
      for (std::string const method : {"euler", "tweedie", "exponential"}) {
        SCOPED_TRACE(method + (masked ? ", masked, " : ", uniform, ") + std::to_string(strength));
        Subject run(law, masked ? Generator::absorbing(4) : Generator::uniform(3), NoiseSchedule::constant(1, 3));
        double tv[3], path[3];
        for (int i = 0; i < 3; ++i) {
          LawPlan plan{.grid = TimeGrid::uniform(3, 0.05, 64 << i), .data = run.data};
          plan.start = forward_law(run.space, run.space.embed(run.data, run.generator), run.generator, run.noise, 3);
          LawReport const report = law_report(ExecSpace(), run.process, *make_integrator(method), run.space, plan);
          tv[i] = report.tv;
          path[i] = *report.path_kl;
          EXPECT_GE(*report.path_kl, report.kl);
          double sum = 0;
          for (double const p : report.law) sum += p;
          EXPECT_NEAR(sum, 1, 1e-13);
        }
        EXPECT_NEAR(std::log2(tv[1] / tv[2]), 1, 0.1);
        // what Euler and the first jump miss of the hazard is of second order
        if (method == "tweedie") {
          EXPECT_NEAR(std::log2(path[1] / path[2]), 1, 0.1);
        }
      }
    }
  }
}

// Every method with a law by site, on every kind of process that it takes.
TEST(ExactLaw, OfEveryMethodIsALaw) {
  TableLaw const law = TableLaw::neighbours(2, 3, 5);
  std::vector<Generator> const generators{Generator::absorbing(4), Generator::uniform(3),
                                          Generator::gaussian_target(3)};
  for (std::string const& name : integrator_names()) {
    for (Generator const& g : generators) {
      SCOPED_TRACE(name + ", " + g.name());
      Subject run(law, g, NoiseSchedule::constant(1, 2));
      auto const integrator = make_integrator(name);
      if (!integrator->info().has_site_law || !integrator->refuses(run.process).empty()) continue;
      LawReport const report = run.report(*integrator, TimeGrid::uniform(2, g.mask() ? 0 : 0.1, 4));
      double sum = 0, exact = 0;
      for (std::size_t i = 0; i < report.law.size(); ++i) {
        EXPECT_GE(report.law[i], 0);
        sum += report.law[i];
        exact += report.exact[i];
      }
      EXPECT_NEAR(sum, 1, 1e-13);
      EXPECT_NEAR(exact, 1, 1e-13);
      EXPECT_LT(report.tv, 0.3);
      EXPECT_EQ(report.path_kl.has_value(), report.why_not.empty());
      EXPECT_GE(report.path_kl.value_or(1e9), report.kl - 1e-13);
      if (report.discretisation) {
        EXPECT_NEAR(*report.discretisation + *report.factorisation, *report.path_kl, 1e-12);
      }
    }
  }
}

// Sites that hold a token are asked for only if the method says that it moves them.
TEST(ExactLaw, RevealedSitesMoveWhereTheMethodSaysSo) {
  ExecSpace const exec;
  Subject run(TableLaw::neighbours(2, 3, 5), Generator::absorbing(4), NoiseSchedule::constant(1, 2));
  State const state = to_state({{0, 3}, {2, 1}}, 1.5);  // 3 is the mask
  std::vector<std::string> names = integrator_names();
  names.insert(names.end(), {"tweedie+forward_backward", "tweedie+remasking:eta=1", "theta_rk2+forward_backward"});
  std::vector<std::string> moving;
  for (std::string const& name : names) {
    SCOPED_TRACE(name);
    auto const integrator = make_integrator(name);
    if (!integrator->info().has_site_law || !integrator->refuses(run.process).empty()) continue;
    StepTable const table(exec, run.process, TimeGrid::from_points({1.5, 1}), step_options(*integrator, run.process));
    for (auto const& kernel : integrator->kernels(table.step(0))) {
      run.process.reserve({2, 2}, 2);
      run.process.refresh(exec, state, 0);
      SiteProbabilities const out("out", 4, 4);
      kernel.integrator->site_probabilities(exec, run.process, state, kernel.step, all_sites(2, 2), out);
      exec.fence();
      auto const law = Kokkos::create_mirror_view_and_copy(HostSpace(), out);
      EXPECT_LT(law(1, 3), 1) << "the masked site stays";
      bool const moves = law(0, 0) < 1 || law(2, 2) < 1 || law(3, 1) < 1;
      EXPECT_EQ(moves, kernel.integrator->info().moves_revealed);
      if (moves) moving.push_back(name);
    }
  }
  EXPECT_EQ(moving, (std::vector<std::string>{"tweedie+forward_backward", "tweedie+remasking:eta=1",
                                              "theta_rk2+forward_backward"}));
}

// The path divergence of a method that masks again is one number: that of its predictor, and -ln(1 - sigma) for each token that the
// exact process keeps, here with sigma = 0.1.
TEST(ExactLaw, PathsOfAMethodThatMasksAgain) {
  Subject run(some_data(2, 2), Generator::absorbing(3), NoiseSchedule::log_linear());
  auto const grid = TimeGrid::from_points({1, 0.5, 0.25});
  LawReport const report = run.report("tweedie+remasking:eta=0.1", grid);
  ASSERT_TRUE(report.path_kl) << report.why_not;
  EXPECT_FALSE(report.discretisation || report.factorisation);
  EXPECT_GE(*report.path_kl, report.kl);
  // Steps reveal alpha_to + sigma alpha_from: Bernoulli divergences of the masked sites, half of which are left after the first step.
  auto const bernoulli = [](double v, double u) { return v * std::log(v / u) + (1 - v) * std::log((1 - v) / (1 - u)); };
  double const alpha = 1 - run.process.noise().lost(0.5), next = 1 - run.process.noise().lost(0.25);
  double const start = 1 - run.process.noise().lost(1);
  double const reveals = bernoulli((alpha - start) / (1 - start), (alpha - start + 0.1 * start) / (1 - start));
  double const reveals_next = bernoulli((next - alpha) / (1 - alpha), (next - alpha + 0.1 * alpha) / (1 - alpha));
  LawReport const plain = run.report("tweedie", grid);
  double const expected = 2 * (reveals + (1 - (alpha - start) / (1 - start)) * reveals_next - (alpha - start) / (1 - start) * std::log(1 - 0.1));
  EXPECT_NEAR(*report.path_kl, *plain.factorisation + expected, 1e-9);
}

// ------------------------------------------------------------------------------------------------------- corner cases

TEST(ExactLaw, InfiniteWhereTheMethodMissesSomething) {
  Subject run(some_data(2, 2), Generator::absorbing(3), NoiseSchedule::cosine());
  LawReport const report = run.report("tweedie", TimeGrid::from_points({0.8, 0.4}), {0});  // it never moves
  EXPECT_EQ(*report.path_kl, std::numeric_limits<double>::infinity());
  EXPECT_EQ(*report.discretisation, std::numeric_limits<double>::infinity());
  EXPECT_EQ(report.kl, std::numeric_limits<double>::infinity());
  EXPECT_LT(report.reverse_kl, 10);
}

TEST(ExactLaw, StepsOfSeveralKernels) {
  Subject run(some_data(2, 2), Generator::absorbing(3), NoiseSchedule::cosine());
  auto const grid = TimeGrid::from_points({0.8, 0.4});
  LawReport const report = run.report(Twice("tweedie"), grid);
  EXPECT_FALSE(report.path_kl);
  EXPECT_SAYS(report.why_not, "more than one kernel");
  auto const tweedie = make_integrator("tweedie");
  StepTable const table(ExecSpace(), run.process, grid, step_options(*tweedie, run.process));
  Law law = prior_law(run.process, run.space);
  for (int i = 0; i < 2; ++i) law = push_law(ExecSpace(), run.process, *tweedie, run.space, law, table.step(0));
  EXPECT_EQ(report.law, law);
  Twice other("tweedie");
  other.without_law = true;
  EXPECT_TRUE(says(message_of<UserError>([&] { run.report(other, grid); }), {"twice", "part", "by site"}));
}

TEST(ExactLaw, CountsTransitions) {
  auto const count = [](Generator const& g, Integrator const& method, int length, int steps, bool forced) {
    Process process = Process::reverse(g, NoiseSchedule::cosine(), std::make_shared<Blank>(g));
    return count_transitions(ExecSpace(), process, method, StateSpace(g.states(), length),
                             {.grid = TimeGrid::uniform(1, forced ? 0 : 0.1, steps), .forced_last = forced});
  };
  Generator const masked = Generator::absorbing(4), uniform = Generator::uniform(3);
  MadeUp const one(masked.mask(), 4, 1, Selection::by_site), two(masked.mask(), 4, 2, Selection::by_site);
  MadeUp const free_one({}, 3, 1, Selection::by_site), free_two({}, 3, 2, Selection::by_site);
  EXPECT_EQ(count(masked, one, 5, 3, false), std::pow(4, 5) + 2 * std::pow(7, 5));
  EXPECT_EQ(count(masked, two, 5, 3, false), std::pow(4, 5) + std::pow(7, 5) + 2 * (std::pow(7, 5) + std::pow(10, 5)));
  EXPECT_EQ(count(uniform, free_one, 4, 2, false), 2 * std::pow(9, 4));
  EXPECT_EQ(count(uniform, free_two, 4, 2, false), 2 * (std::pow(9, 4) + std::pow(27, 4)));
}

TEST(ExactLaw, RefusesWhatItCannotDo) {
  Subject run(some_data(3, 2), Generator::absorbing(3), NoiseSchedule::cosine());
  auto const grid = TimeGrid::uniform(1, 0, 4);
  auto const tweedie = make_integrator("tweedie");
  auto const refused = [&](Integrator const& integrator, LawPlan const& plan) {
    return message_of<UserError>([&] { law_report(ExecSpace(), run.process, integrator, run.space, plan); });
  };
  EXPECT_TRUE(says(refused(*make_integrator("gillespie"), {.grid = grid, .data = run.data}), {"gillespie", "by site"}));
  EXPECT_TRUE(says(refused(*tweedie, {.grid = grid}), {"law of the data", "expected 8", "got 0"}));
  EXPECT_TRUE(says(refused(*tweedie, {.grid = grid, .start = {1, 2}, .data = run.data}), {"start", "27", "got 2"}));
  EXPECT_TRUE(says(refused(*tweedie, {.grid = grid, .data = run.data, .forced_last = true, .limit = 300}),
                   {"341 transitions", "limit 300"}));  // 27 + 2 * 125 + 64
  LawPlan const enough{.grid = grid, .data = run.data, .forced_last = true, .limit = 341};
  EXPECT_EQ(law_report(ExecSpace(), run.process, *tweedie, run.space, enough).transitions, 341);
  Process forward = Process::forward(Generator::uniform(3), NoiseSchedule::cosine());
  EXPECT_TRUE(says(message_of<UserError>([&] { prior_law(forward, run.space); }), {"forward", "start"}));
}

TEST(ExactLaw, NamesTheSequenceOfBadScores) {
  Law p(8, 0.125);
  Subject run(TableLaw(3, 2, p), Generator::absorbing(3), NoiseSchedule::cosine());
  auto const grid = TimeGrid::uniform(1, 0.5, 1);
  auto const message = message_of<NumericalError>([&] {
    law_report(ExecSpace(), run.process, *make_integrator("euler"), run.space,
               {.grid = grid, .data = run.data, .phi = {std::numeric_limits<double>::max()}});
  });
  EXPECT_TRUE(says(message, {"t = 1", "2 2 2"}));
}

}  // namespace
}  // namespace saltus
