// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/poisson.hpp>
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/site_law.hpp>

namespace saltus {
namespace {

// Poisson numbers of jumps to each target at rates frozen over the step. Between categories several jumps of a site have no
// meaning: `first` takes the first of them, `reject` none (A§7; its bias is twice as large).
template <bool reject>
struct CategoricalLaw {
  template <class Field>
  KOKKOS_FUNCTION static Weights weights(Field const& field, StepCoeff const& c, RowSums const& sums) {
    return field.rates(c, sums);
  }
  KOKKOS_FUNCTION static double jump(StepCoeff const& c, double leave, double, bool&) {
    double const mean = c.duration * leave;
    return reject ? mean * Kokkos::exp(-mean) : -Kokkos::expm1(-mean);
  }
};

// Between numbers jumps add up: x + sum of n_y (y - x), cut off at the ends, which is counted.
template <class Field>
struct OrdinalKernel {
  Field field;
  CounterView counters;
  Times time;
  StreamKey key;
  std::uint64_t first_sample;
  int length, states;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    StepCoeff const& c = field.coeff(b);
    if (l == 0) time(b) = c.to;
    if (!field.active(b, l)) return;
    auto const row = field.row(b, l);
    token_t const own = field.tokens(b, l);
    typename Field::Row::Scratch scratch;
    RowSums const sums = row.scan(own, scratch);
    Weights const weights = field.rates(c, sums);
    double const mean = c.duration * row.weigh(own, weights, sums, scratch);
    Counters count = counters(item);
    // Where each jump has a target of its own, they are drawn one by one.
    double const most_jumps = std::is_same_v<Field, ForwardPopulationField> ? most_poisson_mean : 1e7;
    if (!Kokkos::isfinite(mean) || !(mean >= 0) || mean > most_jumps) {
      count.note_bad_score(key.step, b, l);
      counters(item) = count;
      return;
    }
    SiteStream stream(key, first_sample + static_cast<std::uint64_t>(b), static_cast<std::uint32_t>(l));
    double x = own;
    if constexpr (requires { field.population; }) {
      double const scale = c.duration * c.phi * c.rate * sums.time_scale;
      x += static_cast<double>(field.population.batch) *
               static_cast<double>(poisson(scale * field.population.up(own), stream)) -
           static_cast<double>(poisson(scale * field.population.down(own), stream));
    } else {
      std::int64_t const jumps = poisson(mean, stream);
      for (std::int64_t j = 0; j < jumps; ++j) x += row.draw(own, weights, stream.uniform(), scratch) - own;
    }
    double last = states - 1;
    if constexpr (requires { field.population; }) {
      last = static_cast<double>(PopulationRates::limit);
      count.overflows += x > last ? 1 : 0;
    }
    bool const clamped = x < 0 || x > last;
    x = x < 0 ? 0 : (x > last ? last : x);
    count.clamps += clamped;
    count.jumps += x != own;
    field.tokens(b, l) = static_cast<token_t>(x);
    counters(item) = count;
  }
};

IntegratorInfo about(std::string rule) {
  return {.name = "tau_leaping",
          .summary = rule,
          .reference = "Gillespie 2001, doi:10.1063/1.1378322; Campbell et al. 2022, arXiv:2205.14987",
          .weak_order = 1};
}

class OrdinalTauLeaping final : public Integrator {
 public:
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override {
    return process.generator().ordinal() ? "" : "with rule=ordinal needs " + info_.needs;
  }
  std::size_t reserve(Process const&, Extents extents) override {
    return static_cast<std::size_t>(extents.batch) * static_cast<std::size_t>(extents.length);
  }
  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    process.refresh(exec, state, 0);
    visit_field(process, state, step, 0, false, [&]<class Field>(Field const& field) {
      Kokkos::parallel_for(
          "saltus::integrators::tau_leaping",
          Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(exec, 0,
                                                                          std::int64_t{state.batch()} * state.length()),
          OrdinalKernel<Field>{field, counters, state.time, key.at(static_cast<std::uint32_t>(step.index)),
                               state.first_sample, state.length(), process.generator().states()});
    });
  }

 private:
  IntegratorInfo const info_ = [] {
    IntegratorInfo info = about("first order: Poisson numbers of jumps at frozen rates, added up (rule=ordinal)");
    info.needs = "states that are numbers (birth_death, immigration_death, path, gaussian_target)";
    return info;
  }();
};

}  // namespace

std::unique_ptr<Integrator> make_tau_leaping(Parameters const& parameters) {
  parameters.allow({"rule"});
  std::string const rule = parameters.text("rule", "first");
  if (rule == "ordinal") return std::make_unique<OrdinalTauLeaping>();
  if (rule == "first") {
    return std::make_unique<IndependentSites<CategoricalLaw<false>>>(
        about("first order: Poisson numbers of jumps at frozen rates; rule=first, reject or ordinal"));
  }
  if (rule == "reject") {
    return std::make_unique<IndependentSites<CategoricalLaw<true>>>(
        about("first order: Poisson numbers of jumps; a site with more than one stays (rule=reject)"));
  }
  throw UserError(unknown_name("rule of tau_leaping", rule, {"first", "ordinal", "reject"}));
}

}  // namespace saltus
