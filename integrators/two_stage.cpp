// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/two_stage.hpp>

#include <saltus/ctmc/fast_log.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/select.hpp>
#include <saltus/integrators/site_law.hpp>

#include "run_detail.hpp"

namespace saltus {
namespace {

KOKKOS_FORCEINLINE_FUNCTION double positive(double v) { return v > 0 ? v : 0; }

// The most states of a row that its scratch keeps whole.
template <class Row>
constexpr int most_kept_of() {
  if constexpr (requires { Row::most_states; }) {
    return Row::most_states;
  } else {
    return Row::Scratch::cached;
  }
}

// One of the two evaluations at one site. Rows are read only when something of them is needed.
template <class Field>
struct Side {
  using Row = typename Field::Row;
  Field const& field;
  Row row;
  StepCoeff const& c;
  token_t own;
  bool rates;
  bool there;  // false: nothing leaves this state, as from a revealed site of a masked process
  typename Row::Scratch scratch;
  RowSums sums{};
  Weights weights{};
  double leave = 0;  // total weight, once it is known
  bool read = false;

  KOKKOS_FUNCTION Side(Field const& f, int b, int l, bool with_rates)
      : field(f), row(f.row(b, l)), c(f.coeff(b)), own(f.tokens(b, l)), rates(with_rates), there(true) {
    if constexpr (requires { f.mask; }) there = own == f.mask;
    if (!there) {
      read = true;
    } else if (!rates) {
      leave = 1;
    } else if (f.jump_known()) {
      RowSums const unread = f.unread();
      leave = f.rates(c, unread).slope * unread.others;
    }
  }

  // The total weight: where the schedule does not give it, from the row.
  KOKKOS_FUNCTION double total() {
    if (rates && !field.jump_known()) look();
    return leave;
  }

  KOKKOS_FUNCTION void look() {
    if (read) return;
    read = true;
    sums = row.scan(own, scratch);
    if constexpr (requires { field.clean(c, sums); }) {
      weights = rates ? field.rates(c, sums) : field.clean(c, sums);
    } else {
      weights = field.rates(c, sums);
    }
    leave = row.weigh(own, weights, sums, scratch);
  }
  // Masked processes whose rows are known to be normalised: a weight is this multiple of its entry; nothing else is read.
  KOKKOS_FUNCTION bool is_law() const { return field.normalised && field.sums_to_one && c.power == 1; }
  KOKKOS_FUNCTION double law_slope() const {
    return (rates ? field.rates(c, field.unread()) : field.clean(c, field.unread())).slope;
  }
  // One entry.
  KOKKOS_FUNCTION double at(int y) {
    if (!there || y == own) return 0;
    if constexpr (requires { field.normalised; }) {
      if (!read && is_law()) {
        row.skip_scan(scratch);
        return positive(law_slope() * row.value(y, scratch));
      }
    }
    look();
    return positive(weights.slope * row.value(y, scratch) + weights.offset);
  }
  KOKKOS_FUNCTION int draw(double uniform) {
    look();
    return row.draw(own, weights, uniform, scratch);
  }

  static constexpr int most_kept = most_kept_of<Row>();
  // out[y] += factor * w(y) for every target, of a row that is kept whole; not finite where an entry is not.
  KOKKOS_FUNCTION void add(double factor, double* out) {
    if (!there || factor == 0) return;
    double const before = out[own];
    add_all(factor, out);
    out[own] = before;
  }

 private:
  KOKKOS_FUNCTION void add_all(double factor, double* out) {
    if constexpr (requires { field.normalised; }) {
      if (is_law() && !is_logarithmic(row.kind)) {
        std::remove_const_t<std::remove_pointer_t<decltype(row.values.in_place())>> buffer[most_kept];
        return accumulate(factor, {law_slope(), 0, 0}, row.values.load(0, field.states, buffer), out);
      }
    }
    look();
    if constexpr (requires { scratch.cache; }) {
      accumulate(factor, {weights.slope * scratch.unit, weights.offset, 0}, scratch.cache, out);
    } else {
      accumulate(factor, weights, scratch.v, out);
    }
  }
  template <class Scalar>
  KOKKOS_FUNCTION void accumulate(double factor, Weights const& w, Scalar const* v, double* out) const {
#pragma omp simd
    for (int y = 0; y < field.states; ++y) {
      double const weight = w.slope * static_cast<double>(v[y]) + w.offset;
      out[y] += factor * (weight < 0 ? 0 : weight);
    }
  }
};

// The random numbers of one site beyond its first pair, as many as it needs.
struct LaterDraws {
  StreamKey key;
  std::uint64_t sample;
  std::uint32_t site;
  std::uint32_t count = 0;
  KOKKOS_FUNCTION RandomPair next() { return key.at(count++).draw(sample, Role::target, site); }
};

// What may become of one site in the second stage.
template <class Field>
struct Combination {
  Side<Field> start, between;
  double c0, c1;
  token_t x;  // from where it jumps
  int states;
  bool moves;
  static constexpr int most_kept = Side<Field>::most_kept;
  double kept[most_kept];

  KOKKOS_FUNCTION Combination(Field const& f0, Field const& f1, int b0, int b1, int l, SecondStage const& stage, double a,
                              double b)
      : start(f0, b0, l, stage.rates), between(f1, b1, l, stage.rates), c0(a), c1(b), states(f1.states) {
    bool const moved = start.own != between.own;
    x = stage.restart ? start.own : between.own;
    moves = !f1.is_frozen(b1, l);
    if constexpr (requires { f1.mask; }) moves = moves && x == f1.mask;
    if (!stage.restart && moved) {  // by target, the first rates say nothing of the new state
      c0 = 0;
      c1 = 1;
    } else if (stage.restart && moved && stage.repair) {
      c0 = 1;
      c1 = 0;
    }
  }

  // [c0]_+ w0 + [c1]_+ w1, which bounds the weight, in total and of one target.
  KOKKOS_FUNCTION double bound() {
    return (c0 > 0 ? c0 * start.total() : 0) + (c1 > 0 ? c1 * between.total() : 0);
  }
  KOKKOS_FUNCTION double combined(int y) { return y == x ? 0 : c0 * start.at(y) + c1 * between.at(y); }
  KOKKOS_FUNCTION int candidate(double uniform) {
    double const first = c0 > 0 ? c0 * start.total() : 0, second = c1 > 0 ? c1 * between.total() : 0;
    double const u = uniform * (first + second);
    return u < first ? start.draw(u / first) : between.draw((u - first) / second);
  }
  // Whether a candidate is taken; counts those whose combination was negative.
  KOKKOS_FUNCTION bool accepts(int y, double uniform, Counters& count) {
    double const w = combined(y), most = positive(c0) * start.at(y) + positive(c1) * between.at(y);
    count.clamps += w < 0;
    return uniform * most < w;
  }
  // The total over all targets: of rows that are kept whole in one pass over both, which makes their weights; it is not
  // finite where an entry is not.
  KOKKOS_FUNCTION bool is_kept() const { return states <= most_kept; }
  KOKKOS_FUNCTION double total(Counters& count) {
    double sum = 0, below = 0;
    if (!is_kept()) {
      for (int y = 0; y < states; ++y) sum += positive(combined(y));
      return sum;
    }
    for (int y = 0; y < states; ++y) kept[y] = 0;
    start.add(c0, kept);
    between.add(c1, kept);
    kept[x] = 0;
#pragma omp simd reduction(+ : sum, below)
    for (int y = 0; y < states; ++y) {
      double const w = kept[y];
      kept[y] = w < 0 ? 0 : w;
      sum += w < 0 ? 0 : w;
      below += w < 0 ? w : 0;
    }
    count.clamps += below < 0;
    return Kokkos::isfinite(below) ? sum : below;
  }
  // After total(): the weight of a target, and a target with probability proportional to it.
  KOKKOS_FUNCTION double weight(int y) { return is_kept() ? kept[y] : positive(combined(y)); }
  KOKKOS_FUNCTION int draw(double rest) {
    int found = -1;
    for (int y = 0; y < states; ++y) {
      double const w = weight(y);
      if (!(w > 0)) continue;
      found = y;
      rest -= w;
      if (rest < 0) break;
    }
    return found;
  }
  // Without a positive weight, the evaluation between decides, or the one at the start.
  KOKKOS_FUNCTION void fall_back() {
    c0 = between.there ? 0 : 1;
    c1 = between.there ? 1 : 0;
  }
  KOKKOS_FUNCTION bool is_bad() const { return !Kokkos::isfinite(start.leave) || !Kokkos::isfinite(between.leave); }
};

template <class Field>
struct SecondKernel {
  Field start, between;
  Kokkos::View<StepCoeff const*, MemorySpace> whole;
  SecondStage stage;
  double c0, c1;
  CounterView counters;
  Times time;
  StreamKey key;
  std::uint32_t step;
  std::uint64_t first_sample;
  int length, tile, tiles;
  Ranking ranking;  // with fixed counts

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / tiles), begin = static_cast<int>(item % tiles) * tile;
    int const n = begin + tile < length ? tile : length - begin;
    StepCoeff const& all = whole(whole.extent(0) == 1 ? 0 : b);
    StepCoeff const& c = between.coeff(b);
    if (begin == 0) time(b) = all.to;
    double const h = stage.restart ? all.duration : c.duration;
    bool const forced = between.forced(c);

    std::uint64_t event[max_tile], target[max_tile];
    std::uint64_t const sample = first_sample + static_cast<std::uint64_t>(b);
#pragma omp simd
    for (int i = 0; i < n; ++i) {
      RandomPair const pair = key.draw(sample, Role::step, static_cast<std::uint32_t>(begin + i));
      event[i] = pair.event;
      target[i] = pair.target;
    }
    // Where the schedule gives the rates, most sites stop at this comparison and nothing is read.
    std::uint64_t threshold = std::uint64_t{1} << 53;
    bool const known = between.jump_known() && !forced;
    if (known) {
      RowSums const unread = between.unread();
      double const first = start.rates(start.coeff(b), unread).slope, second = between.rates(c, unread).slope;
      double const most = (c0 > 0 ? c0 * first : 0) + (c1 > 0 ? c1 * second : 0);
      threshold = jump_threshold(stage.rates ? -Kokkos::expm1(-h * most) : tweedie(c, unread));
    }

    // Without branches, which are hard to foresee here.
    Field const& origin = stage.restart ? start : between;
    int due[max_tile], sites = 0;
    for (int i = 0; i < n; ++i) {
      due[sites] = begin + i;
      sites += static_cast<int>(origin.active(b, begin + i)) &
               (static_cast<int>((event[i] >> 11) < threshold) | static_cast<int>(has_moved(b, begin + i)));
    }
    if (!known && !forced) {
      int left = 0;
      for (int i = 0; i < sites; ++i) {
        int const l = due[i];
        due[left] = l;
        left += static_cast<int>(has_moved(b, l) || !stays(b, l, c, h, uniform53(event[l - begin])));
      }
      sites = left;
    }
    if (sites == 0) return;
    for (int i = 0; i < sites; ++i) {
      prefetch(start.row(b, due[i]));
      prefetch(between.row(b, due[i]));
    }
    Counters count = counters(item);
    for (int i = 0; i < sites; ++i) {
      int const at = due[i] - begin;
      visit(count, b, due[i], forced, h, event[at], target[at]);
    }
    counters(item) = count;
  }

  KOKKOS_FORCEINLINE_FUNCTION bool has_moved(int b, int l) const { return start.tokens(b, l) != between.tokens(b, l); }

  // Asks a host's memory for a row, or for its beginning if it is long, so that the rows of a tile arrive together.
  template <class Row>
  KOKKOS_FORCEINLINE_FUNCTION static void prefetch([[maybe_unused]] Row const& row) {
    if constexpr (requires { row.values; }) {
      KOKKOS_IF_ON_HOST((
          int const n = row.size < Row::Scratch::cached ? row.size : Row::Scratch::cached;
          auto const* const first = static_cast<char const*>(row.values.data());
          auto const* const last = static_cast<char const*>(row.values.from(n - 1).data());
          for (auto const* line = first; line < last; line += 64) __builtin_prefetch(line);
          __builtin_prefetch(last);))
    }
  }

  // Whether a site that has not moved stays for certain, from the rows that bound its rates: true of most sites.
  KOKKOS_FORCEINLINE_FUNCTION bool stays(int b, int l, StepCoeff const& c, double h, double uniform) const {
    typename Field::Row::Scratch scratch;
    token_t const own = between.tokens(b, l);
    auto const row = between.row(b, l);
    RowSums const sums = row.scan(own, scratch);
    if (!stage.rates) return uniform >= tweedie(c, sums);
    double most = positive(c1) * row.weigh(own, between.rates(c, sums), sums, scratch);
    if (c0 > 0) {
      StepCoeff const& at_start = start.coeff(b);
      auto const first = start.row(b, l);
      RowSums const others = first.scan(own, scratch);
      most += c0 * first.weigh(own, start.rates(at_start, others), others, scratch);
    }
    return uniform >= h * most && Kokkos::isfinite(most);  // 1 - exp(-x) <= x
  }

  // A site of which something may become.
  KOKKOS_FUNCTION void visit(Counters& count, int b, int l, bool forced, double h, std::uint64_t event,
                             std::uint64_t target) const {
    Combination<Field> site(start, between, b, b, l, stage, c0, c1);
    if (stage.restart && site.x != between.tokens(b, l)) {
      between.tokens(b, l) = site.x;
      --count.jumps;  // of the first stage
    }
    if (!site.moves) return;
    LaterDraws stream{key, first_sample + static_cast<std::uint64_t>(b), static_cast<std::uint32_t>(l)};
    if (forced) return reveal(count, site, b, l, target, stream);
    if (!stage.rates) {
      double const p = jump(between.coeff(b), site);
      if (site.is_bad()) return count.note_bad_score(step, b, l);
      if (uniform53(event) < p) reveal(count, site, b, l, target, stream);
      return;
    }
    double const end = h * site.bound();
    if (site.is_bad()) return count.note_bad_score(step, b, l);
    if (uniform53(event) >= end) return;  // 1 - exp(-end) <= end: most sites stop here, without a logarithm
    if (site.is_kept()) {
      double const sum = site.total(count), mean = h * sum;
      if (!Kokkos::isfinite(sum)) return count.note_bad_score(step, b, l);
      if (uniform53(event) >= mean) return;
      double const p = stage.reject ? mean * Kokkos::exp(-mean) : -Kokkos::expm1(-mean);
      if (uniform53(event) < p) set(count, b, l, site.draw(uniform53(target) * sum));
      return;
    }
    int found = -1, jumps = 0;
    for (double clock = exponential(uniform53(event)); clock < end;) {  // the same order as the threshold
      int const y = site.candidate(uniform53(target));
      RandomPair const more = stream.next();
      if (y < 0 || site.is_bad()) return count.note_bad_score(step, b, l);
      if (site.accepts(y, uniform53(more.event), count)) {
        found = y;
        ++jumps;
        if (!stage.reject) break;
      }
      target = more.target;
      clock += exponential_from(stream.next().event);
    }
    if (jumps == 1) set(count, b, l, found);
  }

  // A jump is due: where to. Of long rows by rejection at first, and after some attempts by the whole rows.
  KOKKOS_FUNCTION void reveal(Counters& count, Combination<Field>& site, int b, int l, std::uint64_t target,
                              LaterDraws& stream) const {
    constexpr int attempts = 16;
    bool const proposes = !site.is_kept() && site.bound() > 0;
    if (site.is_bad()) return count.note_bad_score(step, b, l);
    for (int i = 0; proposes && i < attempts; ++i) {
      int const y = site.candidate(uniform53(target));
      RandomPair const more = stream.next();
      if (y < 0 || site.is_bad()) return count.note_bad_score(step, b, l);
      if (site.accepts(y, uniform53(more.event), count)) return set(count, b, l, y);
      target = more.target;
    }
    double sum = site.total(count);
    if (sum == 0) {
      site.fall_back();
      sum = site.total(count);
    }
    set(count, b, l, Kokkos::isfinite(sum) ? site.draw(uniform53(target) * sum) : -1);
  }

  // Only masked processes: tweedie's probability of a jump, for normalised rows without reading them.
  KOKKOS_FUNCTION double tweedie(StepCoeff const& c, RowSums const& sums) const {
    Weights const w = between.transitions(c, sums);
    double const leave = w.slope * sums.others;
    return w.stay < 0 ? 1 : leave / (leave + w.stay);
  }
  KOKKOS_FUNCTION double jump(StepCoeff const& c, Combination<Field>& site) const {
    if (between.jump_known()) return tweedie(c, between.unread());
    site.between.look();
    return tweedie(c, site.between.sums);
  }
  KOKKOS_FUNCTION void set(Counters& count, int b, int l, int y) const {
    if (y < 0) return count.note_bad_score(step, b, l);
    between.tokens(b, l) = static_cast<token_t>(y);
    ++count.jumps;
  }
};

// With fixed counts: reveals the chosen sites.
template <class Field>
struct SecondChosenKernel {
  SecondKernel<Field> second;
  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const length = second.length;
    int const b = static_cast<int>(item / length), i = static_cast<int>(item % length);
    if (i == 0) second.time(b) = second.whole(second.whole.extent(0) == 1 ? 0 : b).to;
    if (i >= second.ranking.chosen(b)) return;
    int const l = second.ranking.order(b, i);
    std::uint64_t const sample = second.first_sample + static_cast<std::uint64_t>(b);
    Combination<Field> site(second.start, second.between, b, b, l, second.stage, second.c0, second.c1);
    LaterDraws stream{second.key, sample, static_cast<std::uint32_t>(l)};
    Counters count = second.counters(item);
    second.reveal(count, site, b, l,
                  second.key.draw(sample, Role::step, static_cast<std::uint32_t>(l)).target, stream);
    second.counters(item) = count;
  }
};

template <class Field>
struct SecondLawKernel {
  SecondKernel<Field> second;
  Kokkos::View<int const* [2], Kokkos::LayoutRight, MemorySpace> pairs;
  SiteList sites;
  SiteProbabilities out;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const length = second.length;
    int const i = static_cast<int>(sites(item) / length), l = static_cast<int>(sites(item) % length);
    int const b0 = pairs(i, 0), b1 = pairs(i, 1);
    SecondStage const& stage = second.stage;
    StepCoeff const& all = second.whole(0);
    StepCoeff const& c = second.between.coeff(b1);
    Combination<Field> site(second.start, second.between, b0, b1, l, stage, second.c0, second.c1);
    for (int y = 0; y < site.states; ++y) out(item, y) = y == site.x ? 1 : 0;
    if (!site.moves) return;
    bool const forced = second.between.forced(c);
    Counters count;
    double total = site.total(count), jump = 1;
    double const mean = (stage.restart ? all.duration : c.duration) * total;
    if (!forced && stage.rates) {
      jump = stage.reject ? mean * Kokkos::exp(-mean) : -Kokkos::expm1(-mean);
    } else if (!forced && stage.fixed) {
      int n = 0;
      for (int d = 0; d < length; ++d) n += second.between.active(b1, d);
      jump = count_of(Counts::share, c, n, 1) / n;
    } else if (!forced) {
      jump = second.jump(c, site);
    }
    if (!(jump > 0)) return;
    if (!(total > 0)) {
      site.fall_back();
      total = site.total(count);
    }
    for (int y = 0; y < site.states; ++y) {
      if (y != site.x) out(item, y) = jump * (site.weight(y) / total);
    }
    out(item, site.x) = 1 - jump;
  }
};

// Visits with the fields of both evaluations, which are of one type.
template <class Visitor>
void visit_both(Process const& process, State const& at_start, State const& between, Step const& step,
                Visitor&& visitor) {
  visit_field(process, at_start, step.part(0), 0, false, [&]<class Field>(Field const& first) {
    if constexpr (requires { typename Field::Value; }) {
      visit_field(process, between, step.part(1), 1, false, [&]<class Other>(Other const& second) {
        if constexpr (std::is_same_v<Field, Other>) visitor(first, second);
      });
    }
  });
}

}  // namespace

struct TwoStage::Work {
  Tokens before;
  Ranking ranking;
};

TwoStage::TwoStage(IntegratorInfo info, std::string const& first, SecondStage second)
    : info_(std::move(info)),
      second_(second),
      label_("saltus::integrators::" + info_.name),
      first_(make_integrator(first)),
      work_(std::make_unique<Work>()) {
  info_.evaluations = 2;
  info_.slots = 2;
  info_.stages = 2;
  info_.has_site_law = true;
  info_.uses_transitions = first_->info().uses_transitions;
  info_.selection = second.fixed ? Selection::fixed_count : Selection::by_site;
}

TwoStage::~TwoStage() = default;

std::size_t TwoStage::reserve(Process const& process, Extents extents) {
  auto const batch = static_cast<std::size_t>(extents.batch), length = static_cast<std::size_t>(extents.length);
  if (work_->before.extent(0) < batch || work_->before.extent(1) != length) {
    work_->before = Tokens(label_ + "::before", batch, length);
  }
  if (second_.fixed) work_->ranking.reserve(label_, extents);
  return std::max(first_->reserve(process, extents), batch * length);
}

void TwoStage::advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
                       CounterView const& counters) {
  if (state.batch() == 0) return;
  detail::check_parts(*this, step, 2);
  using Index = Kokkos::IndexType<std::int64_t>;
  std::int64_t const sites = std::int64_t{state.batch()} * state.length();
  // Without a restart only sites that are still masked move on, and these were masked at the start.
  State at_start = state;
  if (second_.restart || !process.is_masked()) {
    at_start.tokens = Kokkos::subview(work_->before, std::make_pair(0, state.batch()), Kokkos::ALL);
    detail::copy_tokens(exec, label_ + "::before", state.tokens, at_start.tokens);
  }
  first_->advance(exec, process, state, step.part(0), key, counters);
  process.refresh(exec, state, 1);
  StreamKey const second_key = key.at(static_cast<std::uint32_t>(step.index)).derived(1);
  if (second_.fixed) {
    choose_sites(exec, label_, process, state, step.part(1), second_key,
                 RandomSites{step.parts[1].coefficients, Counts::share, step.remaining}, work_->ranking);
  }
  Factors const f = factors(step);
  int const tile = tile_size(process), tiles = (state.length() + tile - 1) / tile;
  visit_both(process, at_start, state, step, [&]<class Field>(Field const& first, Field const& second) {
    SecondKernel<Field> const kernel{first, second, step.coefficients, second_, f.c0, f.c1, counters, state.time,
                                     second_key, static_cast<std::uint32_t>(step.index), state.first_sample,
                                     state.length(), tile, tiles, work_->ranking};
    if (second_.fixed) {
      Kokkos::parallel_for(label_, Kokkos::RangePolicy<ExecSpace, Index>(exec, 0, sites),
                           SecondChosenKernel<Field>{kernel});
    } else {
      Kokkos::parallel_for(label_, Kokkos::RangePolicy<ExecSpace, Index>(exec, 0, std::int64_t{tiles} * state.batch()),
                           kernel);
    }
  });
}

void TwoStage::site_probabilities(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                                  SiteList const& sites, SiteProbabilities const& out) const {
  detail::check_parts(*this, step, 2);
  first_->site_probabilities(exec, process, state, step.part(0), sites, out);
}

void TwoStage::second_probabilities(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                                    Kokkos::View<int const* [2], Kokkos::LayoutRight, MemorySpace> const& pairs,
                                    SiteList const& sites, SiteProbabilities const& out) const {
  Factors const f = factors(step);
  visit_both(process, state, state, step, [&]<class Field>(Field const& first, Field const& second) {
    SecondKernel<Field> const kernel{first, second, step.coefficients, second_, f.c0, f.c1, {}, state.time, {},
                                     static_cast<std::uint32_t>(step.index), 0, state.length(), 1, state.length(), {}};
    Kokkos::parallel_for(label_ + "::law",
                         Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(
                             exec, 0, static_cast<std::int64_t>(sites.extent(0))),
                         SecondLawKernel<Field>{kernel, pairs, sites, out});
  });
}

}  // namespace saltus
