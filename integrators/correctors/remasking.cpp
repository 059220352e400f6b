// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/visit_field.hpp>
#include <saltus/integrators/corrector.hpp>

#include "../run_detail.hpp"

namespace saltus {
namespace {

using Numbers = Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace>;

enum class Variant { cap, rescale, confidence, loop };

struct SetTime {
  Times time;
  double now;
  KOKKOS_FUNCTION void operator()(int b) const { time(b) = now; }
};

// Keeps the probability that each token had when it was revealed.
template <class Field>
struct RememberKernel {
  Field field;
  Tokens before;
  Numbers sureness;
  int length;
  bool first;  // of the run: tokens that were there from the start are sure

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    if (first) sureness(b, l) = 1;
    token_t const y = field.tokens(b, l);
    if (before(b, l) != field.mask || y == field.mask) return;
    auto const row = field.row(b, l);
    typename Field::Row::Scratch scratch;
    RowSums const sums = row.scan(field.mask, scratch);
    sureness(b, l) = row.value(y, scratch) / sums.others;
  }
};

// Masks again sites that were revealed before the step, each with its probability.
struct RemaskKernel {
  Tokens tokens, before;
  Frozen frozen;
  Numbers sureness;  // empty: all alike
  CounterView counters;
  StreamKey key;
  std::uint64_t first_sample;
  token_t mask;
  double probability;

  KOKKOS_FUNCTION bool may(int b, int l) const {
    return before(b, l) != mask && (frozen.size() == 0 || frozen(b, l) == 0);
  }
  KOKKOS_FUNCTION void operator()(int b) const {
    int const length = static_cast<int>(tokens.extent(1));
    double total = 0;
    for (int l = 0; sureness.size() > 0 && l < length; ++l) total += may(b, l) ? Kokkos::exp(-sureness(b, l)) : 0;
    Counters& count = counters(std::int64_t{b} * length);
    for (int l = 0; l < length; ++l) {
      if (!may(b, l)) continue;
      double const share = sureness.size() > 0 ? Kokkos::exp(-sureness(b, l)) / total : 1;
      std::uint64_t const bits =
          key.draw(first_sample + static_cast<std::uint64_t>(b), Role::step, static_cast<std::uint32_t>(l)).event;
      if (!(uniform53(bits) < probability * share)) continue;
      tokens(b, l) = mask;
      ++count.jumps;
    }
  }
};

// The law of sites that were revealed at the start of the step, which the predictor leaves alone.
struct RemaskLawKernel {
  Tokens tokens;
  Frozen frozen;
  SiteList sites;
  SiteProbabilities out;
  int length;
  token_t mask;
  double probability;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(sites(item) / length), l = static_cast<int>(sites(item) % length);
    token_t const x = tokens(b, l);
    if (x == mask || (frozen.size() > 0 && frozen(b, l) != 0)) return;
    out(item, x) = 1 - probability;
    out(item, mask) = probability;
  }
};

// ReMDM: sites that were revealed before the step are masked again with probability sigma, and the predictor reveals as much
// more, alpha_to + sigma alpha_from in place of alpha_to, so that the marginals stay (A§8.4, 17.11).
class Remasking final : public Corrected {
 public:
  struct Settings {
    Variant variant;
    double eta, on, off, alpha_on;
  };
  Remasking(std::unique_ptr<Integrator> predictor, Settings const& settings)
      : Corrected({.name = "remasking",
                   .summary = "masks revealed sites again; variant=cap, rescale, confidence or loop; eta, on, off, alpha_on",
                   .reference = "Wang et al. 2025 (ReMDM), arXiv:2503.00307",
                   .evaluations = 0,
                   .needs = "a masked reverse process"},
                  std::move(predictor)),
        settings_(settings) {
    IntegratorInfo const& inner = this->predictor().info();
    // The predictor moves masked sites, this moves others: both together are one law by site.
    bool const simple = inner.has_site_law && inner.stages == 1 && inner.selection == Selection::by_site &&
                        dynamic_cast<Corrected const*>(&this->predictor()) == nullptr;
    info_.has_site_law = simple && settings.variant != Variant::confidence;
    info_.moves_revealed = true;
    info_.remembers |= settings.variant == Variant::confidence;
  }

  std::string refuses(Process const& process) const override {
    return process.is_reverse() && process.is_masked() ? Corrected::refuses(process) : "needs " + info_.needs;
  }
  std::vector<Part> parts(NoiseSchedule const& noise, Interval step) const override {
    Move const move = plan(noise, step);
    return {predictor_part(noise, {noise.time_at_lost(move.lost_from), noise.time_at_lost(move.lost_to)})};
  }
  std::size_t reserve(Process const& process, Extents extents) override {
    auto const batch = static_cast<std::size_t>(extents.batch), length = static_cast<std::size_t>(extents.length);
    if (before_.extent(0) < batch || before_.extent(1) != length) {
      before_ = Tokens(label() + "::before", batch, length);
      if (settings_.variant == Variant::confidence) sureness_ = Numbers(label() + "::sureness", batch, length);
    }
    return Corrected::reserve(process, extents);
  }
  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    detail::check_parts(*this, step, 1);
    using Rows = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>;
    Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>> const sites(
        exec, 0, std::int64_t{state.batch()} * state.length());
    Step const inner = step.part(0);
    Tokens const before = Kokkos::subview(before_, std::make_pair(0, state.batch()), Kokkos::ALL);
    detail::copy_tokens(exec, label() + "::before", state.tokens, before);
    Kokkos::parallel_for(label() + "::time", Rows(exec, 0, state.batch()), SetTime{state.time, inner.host->from});
    predictor().advance(exec, process, state, inner, key, counters);
    if (settings_.variant == Variant::confidence) {
      visit_field(process, state, inner, 0, false, [&]<class Field>(Field const& field) {
        if constexpr (requires { field.normalised; }) {
          Kokkos::parallel_for(label() + "::remember", sites,
                               RememberKernel<Field>{field, before, sureness_, state.length(), step.index == 0});
        }
      });
    }
    Move const move = plan(process.noise(), {step.host->from, step.host->to});
    Kokkos::parallel_for(
        label() + "::remask", Rows(exec, 0, state.batch()),
        RemaskKernel{state.tokens, before, state.frozen, sureness_, counters,
                     stream(key, step, 2), state.first_sample,
                     *process.generator().mask(), sigma(move, step)});
    detail::finish(exec, label() + "::finish", state, step);
  }
  void site_probabilities(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                          SiteList const& sites, SiteProbabilities const& out) const override {
    predictor().site_probabilities(exec, process, state, step.part(0), sites, out);
    Move const move = plan(process.noise(), {step.host->from, step.host->to});
    Kokkos::parallel_for(label() + "::law",
                         Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(
                             exec, 0, static_cast<std::int64_t>(sites.extent(0))),
                         RemaskLawKernel{state.tokens, state.frozen, sites, out, state.length(), *process.generator().mask(),
                                         sigma(move, step)});
  }

 private:
  struct Move {
    double lost_from, lost_to;  // of the predictor
    double sigma;               // with confidence: of all sites together
  };

  // A step that reveals every mask leaves none, also where the noise does not end at 0.
  static double sigma(Move const& move, Step const& step) { return step.host->forced ? 0 : move.sigma; }

  Move plan(NoiseSchedule const& noise, Interval step) const {
    double from = noise.lost(step.from), to = noise.lost(step.to);
    // No structured binding: clang 16 captures none where OpenMP is on.
    Variant const variant = settings_.variant;
    double const eta = settings_.eta, on = settings_.on, off = settings_.off, alpha_on = settings_.alpha_on;
    bool looping = false;
    if (variant == Variant::loop) {
      // The schedule waits at alpha_on between the times `on` and `off`, and tokens are exchanged.
      auto const lost = [&](double t) {
        if (t > on) return 1 - (1 - t) * alpha_on / (1 - on);
        return t > off ? 1 - alpha_on : t * (1 - alpha_on) / off;
      };
      double const u = step.from / noise.end();
      looping = u <= on && u > off;
      from = lost(u);
      to = lost(step.to / noise.end());
    }
    double const alpha_from = 1 - from, most = alpha_from > 0 ? std::min(1.0, to / alpha_from) : 1.0;
    switch (variant) {
      case Variant::confidence: return {from, to, most};
      case Variant::cap: return exchanged(from, to, std::min(eta, most));
      case Variant::rescale: return exchanged(from, to, eta * most);
      default: return exchanged(from, to, looping ? std::min(eta, most) : 0.0);
    }
  }
  static Move exchanged(double from, double to, double sigma) {
    return {from, std::max(0.0, to - sigma * (1 - from)), sigma};
  }

  Settings settings_;
  Tokens before_;
  Numbers sureness_;
};

}  // namespace

std::unique_ptr<Integrator> correct_remasking(std::unique_ptr<Integrator> predictor, Parameters const& parameters) {
  parameters.allow({"variant", "eta", "on", "off", "alpha_on"});
  constexpr char const* names[] = {"cap", "rescale", "confidence", "loop"};
  std::string const text = parameters.text("variant", "cap");
  auto const found = std::find(std::begin(names), std::end(names), text);
  if (found == std::end(names))
    throw UserError(unknown_name("variant of remasking", text, {"cap", "confidence", "loop", "rescale"}));
  auto const variant = static_cast<Variant>(found - std::begin(names));
  for (char const* const of_loop : {"on", "off", "alpha_on"})
    require(variant == Variant::loop || !parameters.has(of_loop), parameters.where() + ": '" + of_loop + "' is for variant=loop");
  require(variant != Variant::confidence || !parameters.has("eta"), parameters.where() + ": 'eta' is not for variant=confidence");
  constexpr double defaults[] = {0.008, 0.015, 0, 0.02};  // of the scripts of the paper
  Remasking::Settings const s{variant, parameters.number("eta", defaults[static_cast<int>(variant)]),
                              parameters.number("on", 0.55), parameters.number("off", 0.05),
                              parameters.number("alpha_on", 0.9)};
  require(s.eta >= 0 && s.eta <= 1, parameters.where() + ": eta must lie between 0 and 1, got " + to_text(s.eta));
  require(0 < s.off && s.off < s.on && s.on < 1 && s.alpha_on > 0 && s.alpha_on < 1,
          parameters.where() + ": expected 0 < off < on < 1 and 0 < alpha_on < 1");
  return std::make_unique<Remasking>(std::move(predictor), s);
}

}  // namespace saltus
