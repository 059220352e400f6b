// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/corrector.hpp>
#include <saltus/integrators/select.hpp>

#include "../run_detail.hpp"

namespace saltus {
namespace {

// Revealed sites, the least sure of their tokens first, with Gumbel noise: k of them without replacement with probability
// proportional to exp(-c/temperature).
struct DoubtfulSites {
  int number;  // of sites
  double temperature;
  bool margin;

  KOKKOS_FUNCTION bool open(int, int) const { return true; }
  template <class Field>
  KOKKOS_FUNCTION Candidate rank(Field const& field, int b, int l, StreamKey key, std::uint64_t sample) const {
    auto const row = field.row(b, l);
    typename Field::Row::Scratch scratch;
    RowSums const sums = row.scan(field.mask, scratch);
    if (!Kokkos::isfinite(sums.others) || !(sums.others > 0)) return {-1e300, 0, -1};
    RowShape const shape = row.shape(field.mask, scratch);
    token_t const x = field.tokens(b, l);
    double const own = row.value(x, scratch) / sums.others;
    double const other = x == shape.best ? shape.second : shape.largest;
    // A token that the others forbid is the most doubtful, one that they force the least.
    double const sure = Kokkos::log(own) - (margin ? Kokkos::log(other) : 0);
    double const gumbel = -Kokkos::log(
        exponential(uniform53(key.draw(sample, Role::step, static_cast<std::uint32_t>(l)).event)));
    double const doubt = -sure / temperature + gumbel;
    return {doubt > 1e300 ? -1e300 : (doubt < -1e300 ? 1e300 : -doubt), 0, -1};
  }
  KOKKOS_FUNCTION int count(int, int, std::uint64_t, StreamKey) const { return number; }
};

// Gibbs updates of the doubtful tokens after each step; the mask stays where it is.
class Informed final : public Corrected {
 public:
  Informed(std::unique_ptr<Integrator> predictor, int rounds, DoubtfulSites sites)
      : Corrected({.name = "informed",
                   .summary = "redraws the k=1 least sure revealed tokens after each step; steps=1, temperature=1, score=margin or confidence",
                   .reference = "Zhao et al. 2024, arXiv:2407.21243, informed correctors",
                   .evaluations = rounds,
                   .needs = "a masked reverse process with a model that gives conditionals at revealed sites"},
                  std::move(predictor)),
        rounds_(rounds),
        sites_(sites) {}

  std::string refuses(Process const& process) const override {
    bool const fits = process.is_reverse() && process.is_masked() && process.model()->info().leave_one_out_at_revealed;
    return fits ? Corrected::refuses(process) : "needs " + info_.needs;
  }
  std::vector<Part> parts(NoiseSchedule const& noise, Interval step) const override {
    return {predictor_part(noise, step), {.interval = {step.to, step.to}, .learned = false}};
  }
  std::size_t reserve(Process const& process, Extents extents) override {
    ranking_.reserve(label(), extents);
    return Corrected::reserve(process, extents);
  }
  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    detail::check_parts(*this, step, 1);
    predictor().advance(exec, process, state, step.part(0), key, counters);
    for (int i = 0; i < rounds_; ++i) {
      StreamKey const own =
          stream(key, step, 16 + static_cast<std::uint32_t>(i)).at(static_cast<std::uint32_t>(step.index));
      process.refresh(exec, state, 0);
      choose_sites<true>(exec, label(), process, state, step.part(1), own, sites_, ranking_);
      draw_chosen(exec, label(), process, state, step.part(1), own, ranking_, counters);
    }
  }

 private:
  int rounds_;
  DoubtfulSites sites_;
  Ranking ranking_;
};

}  // namespace

std::unique_ptr<Integrator> correct_informed(std::unique_ptr<Integrator> predictor, Parameters const& parameters) {
  parameters.allow({"k", "steps", "temperature", "score"});
  std::string const score = parameters.text("score", "margin");
  if (score != "margin" && score != "confidence")
    throw UserError(unknown_name("score of informed", score, {"confidence", "margin"}));
  double const temperature = parameters.number("temperature", 1);
  require(temperature > 0, parameters.where() + ": temperature must be above 0");
  return std::make_unique<Informed>(
      std::move(predictor), parameters.integer("steps", 1, 1, 1'000'000),
      DoubtfulSites{parameters.integer("k", 1, 1, 1'000'000'000), temperature, score == "margin"});
}

}  // namespace saltus
