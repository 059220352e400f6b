// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/exact_law.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include <saltus/ctmc/error.hpp>

#include "site_products.hpp"

namespace saltus {
namespace {

using detail::for_each_on_host;
using detail::Place;
using detail::SiteProducts;
using detail::SiteRows;

using Law = std::vector<double>;
using Indices = std::vector<std::size_t>;

// Bytes of the laws of second stages.
constexpr std::size_t second_memory = std::size_t{1} << 26;
// The logarithm of nothing.
constexpr double impossible = std::numeric_limits<double>::infinity();
// Entries of all targets of the states that two stages start from, at a time.
constexpr std::size_t most_targets = std::size_t{1} << 22;
// Sequences that a work item handles where each costs little.
constexpr std::size_t group = 256;

template <class Function>
void for_each_row(std::string const& label, std::size_t n, Function const& f) {
  for_each_on_host(label, (n + group - 1) / group, [&](std::int64_t item) {
    std::size_t const first = static_cast<std::size_t>(item) * group;
    for (std::size_t r = first; r < std::min(first + group, n); ++r) f(r);
  });
}

double sum_of(std::vector<double> const& terms) { return std::accumulate(terms.begin(), terms.end(), 0.0); }

/// The sites of rows that may move: of row r those at first[r] .. first[r + 1] - 1.
struct Movers {
  Indices first{0};
  std::vector<std::int32_t> sites;   // which site of the row
  std::vector<std::int64_t> listed;  // the same as a list for Integrator::site_probabilities()

  void clear() {
    first.resize(1);
    sites.clear();
    listed.clear();
  }
};

/// Laws of sites, computed on the device and read on the host. Memory grows as needed.
class LawBuffer {
 public:
  /// compute(list on the device, [sites, states] there); returns [sites, states], which may be changed and lives until
  /// the next call.
  template <class Compute>
  double* laws(ExecSpace const& exec, std::vector<std::int64_t> const& listed, std::size_t states,
               Compute const& compute) {
    std::size_t const n = listed.size();
    if (list_.extent(0) < n) {
      list_ = List(Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::integrators::law::list"), n);
      laws_ = SiteProbabilities(Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::integrators::law::sites"), n,
                                states);
      host_ = Kokkos::create_mirror_view(laws_);
    }
    if (n == 0) return nullptr;
    auto const range = std::make_pair(std::size_t{0}, n);
    Kokkos::View<std::int64_t const*, HostSpace, Kokkos::MemoryUnmanaged> const from(listed.data(), n);
    auto const list = Kokkos::subview(list_, range);
    auto const laws = Kokkos::subview(laws_, range, Kokkos::ALL);
    Kokkos::deep_copy(exec, list, from);
    compute(SiteList(list), SiteProbabilities(laws));
    Kokkos::deep_copy(exec, Kokkos::subview(host_, range, Kokkos::ALL), laws);
    exec.fence("saltus::integrators: the laws of the sites are read on the host");
    return host_.data();
  }

 private:
  using List = Kokkos::View<std::int64_t*, Kokkos::LayoutRight, MemorySpace>;
  List list_;
  SiteProbabilities laws_;
  SiteProbabilities::HostMirror host_;
};

/// Sequences on the device with their evaluations, and the laws of their sites on the host.
class Rows {
 public:
  Rows(ExecSpace const& exec, Process& process, StateSpace const& space, Integrator const& integrator,
       std::size_t memory)
      : exec_(exec), process_(process), space_(space), slots_(std::max(integrator.info().slots, 1)) {
    std::size_t const row = 8 * static_cast<std::size_t>(space.length()) * static_cast<std::size_t>(space.states());
    capacity_ = std::max<std::size_t>(memory / row / static_cast<std::size_t>(slots_), 2);
  }

  std::size_t capacity() const { return capacity_; }
  State const& state() const { return state_; }
  token_t const* tokens(std::size_t row) const { return &host_tokens_(row, 0); }

  /// Whether they were not there already.
  bool load(std::span<std::size_t const> indices) {
    if (std::equal(indices.begin(), indices.end(), loaded_.begin(), loaded_.end())) return false;
    loaded_.assign(indices.begin(), indices.end());
    times_ = {};
    auto const rows = indices.size(), length = static_cast<std::size_t>(space_.length());
    if (all_tokens_.extent(0) < rows) {
      all_tokens_ = Tokens("saltus::integrators::law::tokens", rows, length);
      all_times_ = Times("saltus::integrators::law::time", rows);
      host_tokens_ = Kokkos::create_mirror_view(all_tokens_);
      process_.reserve({static_cast<int>(rows), space_.length()}, slots_);
    }
    auto const range = std::make_pair(std::size_t{0}, rows);
    state_ = {Kokkos::subview(all_tokens_, range, Kokkos::ALL), Kokkos::subview(all_times_, range), {}, 0};
    for_each_row("saltus::integrators::law::tokens", rows,
                 [&](std::size_t b) { space_.tokens(indices[b], &host_tokens_(b, 0)); });
    Kokkos::deep_copy(exec_, state_.tokens, Kokkos::subview(host_tokens_, range, Kokkos::ALL));
    exec_.fence("saltus::integrators: tokens of the host");
    return true;
  }

  /// Scores at `time` into the slot, unless they are there.
  void evaluate(double time, int slot) {
    auto& at = times_[static_cast<std::size_t>(slot)];
    bool const timeless = !process_.model() || process_.model()->info().time == TimeInput::none;
    if (at && (timeless || *at == time)) return;
    Kokkos::deep_copy(exec_, state_.time, time);
    process_.refresh(exec_, state_, slot);
    at = time;
  }

  /// [sites, states] of the first stage; may be changed, and lives until the next call.
  double* first(Integrator const& integrator, Step const& step, Movers const& movers) {
    return buffer_.laws(exec_, movers.listed, static_cast<std::size_t>(space_.states()),
                        [&](SiteList const& list, SiteProbabilities const& laws) {
                          integrator.site_probabilities(exec_, process_, state_, step, list, laws);
                        });
  }

 private:
  ExecSpace exec_;
  Process& process_;
  StateSpace const& space_;
  int slots_;
  std::size_t capacity_;
  Indices loaded_;
  State state_{};
  std::array<std::optional<double>, 2> times_{};
  // as large as was needed so far
  Tokens all_tokens_;
  Times all_times_;
  Tokens::HostMirror host_tokens_;
  LawBuffer buffer_;
};

/// One step of the exact process, q(y|x) = to(y) prod_l site_l(x_l, y_l) / from(x).
struct ExactStep {
  double const *from, *to;
  std::vector<double> sites;   // [states, states], or [length, states, states]
  double reveal = 0;           // masked: v
  std::vector<Law> others{};   // [length], or empty: see marginal_of()
  double const* site(std::size_t l, std::size_t x, std::size_t states) const {
    return sites.data() + (sites.size() == states * states ? x : l * states + x) * states;
  }
  /// The array A, over the space, by which site l alone has the law site_l(x_l, y) A(x with y at l) / from(x): the
  /// other sites summed out. With a mask and forwards that changes nothing.
  double const* marginal_of(std::size_t l) const { return others.empty() ? to : others[l].data(); }
};

/// The exact process that a run is held against.
class ExactProcess {
 public:
  ExactProcess(Process const& process, StateSpace const& space, Law const& data, Law const& start, TimeGrid const& grid)
      : process_(process), space_(space), generator_(process.generator()), law_(start) {
    if (!process.is_reverse()) {
      next_.assign(space.size(), 1.0);
      return;
    }
    StateSpace const sequences(generator_.data_states(), space.length());
    require(data.size() == sequences.size(),
            "the exact law of a reverse process needs the law of the data: expected " +
                std::to_string(sequences.size()) + " probabilities, got " + std::to_string(data.size()));
    p0_ = space.embed(data, generator_);
    next_ = masked() ? context_probabilities(space, p0_, generator_)
                     : forward_law(space, p0_, generator_, process.noise(), grid.point(0));
    if (!masked()) law_ = next_;
  }

  bool masked() const { return process_.is_reverse() && process_.is_masked(); }
  /// Now; at first the law it starts from.
  Law const& law() const { return law_; }

  ExactStep step(StepCoeff const& c) {
    auto const n = static_cast<std::size_t>(space_.states());
    if (masked()) {
      double const v = c.forced ? 1 : c.reveal;
      auto const mask = static_cast<std::size_t>(*generator_.mask());
      Law kernel(n * n, 0.0);
      for (std::size_t y = 0; y < n; ++y) {
        kernel[y * n + y] = 1;
        kernel[mask * n + y] = y == mask ? 1 - v : v;
      }
      return {next_.data(), next_.data(), std::move(kernel), v};
    }
    if (!process_.is_reverse()) {
      auto const& rates = process_.site_rates();
      std::vector<double> sites;
      if (rates.empty()) sites = generator_.transition_matrix(c.delta);
      for (int const category : rates.category) {
        auto const kernel =
            generator_.transition_matrix(rates.multiplier[static_cast<std::size_t>(category)] * c.delta);
        sites.insert(sites.end(), kernel.begin(), kernel.end());
      }
      return {next_.data(), next_.data(), std::move(sites)};
    }
    from_ = std::move(next_);
    next_ = forward_law(space_, p0_, generator_, process_.noise(), c.to);
    auto const forward = site_transition(generator_, process_.noise(), c.to, c.from);
    Law kernel(n * n);
    for (std::size_t x = 0; x < n; ++x) {
      for (std::size_t y = 0; y < n; ++y) kernel[y * n + x] = forward[x * n + y];
    }
    ExactStep q{from_.data(), next_.data(), std::move(kernel)};
    auto const length = static_cast<std::size_t>(space_.length());
    for (std::size_t l = 0; l < length; ++l) {
      std::vector<double> kernels;  // K(y, x) = site(x, y), and nothing at site l
      for (std::size_t d = 0; d < length; ++d) {
        for (std::size_t y = 0; y < n; ++y) {
          for (std::size_t x = 0; x < n; ++x) kernels.push_back(d == l ? x == y : q.sites[x * n + y]);
        }
      }
      q.others.push_back(push_sites(space_, next_, kernels));
    }
    return q;
  }

  void advance(ExactStep const& q) {
    for (std::size_t i = 0; i < law_.size(); ++i) {
      if (law_[i] == 0) continue;
      require(q.from[i] > 0, "the run starts at sequences that data and noise cannot lead to");
      law_[i] /= q.from[i];
    }
    law_ = push_sites(space_, std::move(law_), q.sites);
    for (std::size_t i = 0; i < law_.size(); ++i) law_[i] *= q.to[i];
  }

 private:
  Process const& process_;
  StateSpace const& space_;
  Generator const& generator_;
  Law p0_, law_, from_, next_;
};

/// The terms of a path divergence, and the law that their expectations are over.
struct PathTerms {
  Law law;  // before the step: of the exact process or, with fixed counts, of one that shares them
  Law next;                          // fixed counts: after the step
  ExactStep const* exact = nullptr;  // of this step
  bool masked = false;
  double total = 0, discretisation = 0, factorisation = 0;
};

// v ln(v/u) + (1-v) ln((1-v)/(1-u)).
double bernoulli_divergence(double v, double u) {
  auto const term = [](double p, double q) { return p > 0 ? (q > 0 ? p * std::log(p / q) : impossible) : 0.0; };
  return term(v, u) + term(1 - v, 1 - u);
}

// E ln f under p.
double expected_log(Law const& p, double const* f) {
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += p[i] > 0 ? p[i] * std::log(f[i]) : 0;
  return sum;
}

/// Pushes laws through kernels of methods.
class Pusher {
 public:
  Pusher(ExecSpace const& exec, Process& process, StateSpace const& space, Integrator const& integrator,
         std::size_t memory)
      : exec_(exec), process_(process), space_(space), rows_(exec, process, space, integrator, memory),
        products_(space.states(), space.length()), length_(static_cast<std::size_t>(space.length())),
        states_(static_cast<std::size_t>(space.states())), stride_(length_) {
    for (std::size_t l = length_, stride = 1; l-- > 0; stride *= states_) stride_[l] = stride;
    if (process.is_reverse() && process.is_masked()) mask_ = *process.generator().mask();
  }

  Law push(Integrator const& integrator, Step const& step, Law const& law, PathTerms* path) {
    SALTUS_ASSERT(law.size() == space_.size() && step.host != nullptr);
    Law out(space_.size(), 0.0);
    if (path) path->next.assign(counted(integrator) ? space_.size() : 0, 0.0);
    Indices used;
    mark(integrator);
    for (std::size_t i = 0; i < law.size(); ++i) {
      bool const exact = path && path->law[i] > 0;
      if (!(law[i] > 0) && !exact) continue;
      if (!ends_[i]) {
        used.push_back(i);
        continue;
      }
      out[i] += law[i];
      if (exact && counted(integrator)) path->next[i] += path->law[i] / path->exact->from[i];
    }
    if (integrator.info().stages == 2) {
      push_two_stages(integrator, step, law, used, path, out);
    } else {
      std::size_t const most = rows_.capacity();
      for (std::size_t begin = 0; begin < used.size(); begin += most) {
        push_rows(integrator, step, law, std::span(used).subspan(begin, std::min(most, used.size() - begin)), path,
                  out);
      }
    }
    if (path && counted(integrator)) {
      for (std::size_t i = 0; i < out.size(); ++i) path->next[i] *= path->exact->to[i];
      path->law = std::move(path->next);
    }
    return out;
  }

  /// [states, states]: which tokens a site can get from which, as far as a few sequences show.
  std::vector<char> reached(Integrator const& integrator, Step const& step);

 private:
  static bool counted(Integrator const& integrator) { return integrator.info().selection == Selection::fixed_count; }
  void load(std::span<std::size_t const> indices) {
    if (rows_.load(indices)) places_.clear();
  }
  void mark(Integrator const& integrator);
  void find_movers(std::span<std::size_t const> used);
  template <class Function>
  void check(double const* laws, Movers const& movers, Step const& step, Function const& number_of) const;
  std::vector<double> count_laws(double* laws, Movers const& movers, token_t const* tokens) const;
  void push_rows(Integrator const& integrator, Step const& step, Law const& law, std::span<std::size_t const> used,
                 PathTerms* path, Law& out);
  void add_path(PathTerms& path, std::span<std::size_t const> used, Movers const& movers, double const* laws,
                double const* counts);

  struct Group;
  void push_two_stages(Integrator const& integrator, Step const& step, Law const& law, Indices const& used,
                       PathTerms* path, Law& out);
  void push_pairs(Integrator const& integrator, Step const& step, Group& g, bool whole);
  void add_path(PathTerms& path, Group& g, bool fixed_counts);
  void unpack(Group const& g, std::vector<double> const& values, std::vector<double> const& weights, Law& out) const;
  template <class Function>
  void for_each_target(Group const& g, std::size_t i, std::size_t l, std::size_t compact, std::size_t index,
                       std::size_t bit, std::size_t pattern, Function const& f) const;

  ExecSpace exec_;
  Process& process_;
  StateSpace const& space_;
  Rows rows_;
  SiteProducts products_;
  std::size_t length_, states_;
  std::vector<std::size_t> stride_;  // of the space
  std::optional<token_t> mask_;      // of a masked reverse process
  LawBuffer second_;
  std::vector<char> moves_;          // [states]: whether a site with this token may move
  std::vector<char> ends_;           // [space]: the sequences that have no site left to move
  // of push_rows(), kept while the rows are the same; places_ is empty where they are not
  Movers movers_;
  std::vector<Place> places_;
  std::vector<double> weights_;
};

// Which tokens and sequences the method moves.
void Pusher::mark(Integrator const& integrator) {
  std::vector<char> moves(states_, !mask_ || integrator.info().moves_revealed);
  if (mask_) moves[static_cast<std::size_t>(*mask_)] = 1;
  if (moves == moves_) return;
  moves_ = std::move(moves);
  places_.clear();
  ends_.assign(1, 1);
  for (std::size_t l = 0; l < length_; ++l) {
    std::vector<char> longer;
    longer.reserve(ends_.size() * states_);
    for (char const end : ends_) {
      for (char const move : moves_) longer.push_back(end && !move);
    }
    ends_ = std::move(longer);
  }
}

// Of the rows that are loaded, movers_ and places_.
void Pusher::find_movers(std::span<std::size_t const> used) {
  movers_.clear();
  places_.resize(used.size());
  for (std::size_t r = 0; r < used.size(); ++r) {
    token_t const* const tokens = rows_.tokens(r);
    Place& place = places_[r] = {used[r], stride_.data()};
    for (std::size_t l = 0; l < length_; ++l) {
      auto const x = static_cast<std::size_t>(tokens[l]);
      if (!moves_[x]) continue;
      movers_.sites.push_back(static_cast<std::int32_t>(l));
      movers_.listed.push_back(static_cast<std::int64_t>(r * length_ + l));
      place.base -= x * stride_[l];
    }
    movers_.first.push_back(movers_.sites.size());
  }
}

// NumericalError that names the sequence unless all laws are finite.
template <class Function>
void Pusher::check(double const* laws, Movers const& movers, Step const& step, Function const& number_of) const {
  std::size_t const n = movers.sites.size();
  std::vector<char> bad((n + group - 1) / group, 0);  // of each group of sites
  auto const is_bad = [&](std::size_t i) {
    double sum = 0;
    for (std::size_t y = 0; y < states_; ++y) sum += laws[i * states_ + y];
    return !std::isfinite(sum);
  };
  for_each_row("saltus::integrators::law::check", n, [&](std::size_t i) { bad[i / group] |= is_bad(i); });
  auto const first = std::find(bad.begin(), bad.end(), 1);
  if (first == bad.end()) return;
  auto site = static_cast<std::size_t>(first - bad.begin()) * group;
  while (!is_bad(site)) ++site;
  auto const row = std::upper_bound(movers.first.begin(), movers.first.end(), site) - movers.first.begin() - 1;
  std::string text;
  for (token_t const x : space_.tokens(number_of(static_cast<std::size_t>(row)))) {
    text += (text.empty() ? "" : " ") + std::to_string(x);
  }
  throw NumericalError("the scores at t = " + to_text(step.host->from) + " of the sequence " + text +
                       " are not finite or leave no target");
}

// Turns laws of sites into what a method of fixed counts does: a site that was chosen goes to a target, the others
// stay. Returns the probability of one set of chosen sites by its size, [rows, length + 1].
std::vector<double> Pusher::count_laws(double* laws, Movers const& movers, token_t const* tokens) const {
  std::size_t const n = movers.first.size() - 1;
  std::vector<double> counts(n * (length_ + 1), 0.0);
  for_each_row("saltus::integrators::law::counts", n, [&](std::size_t r) {
    double mean = 0;
    int sites = 0;
    for (std::size_t i = movers.first[r]; i < movers.first[r + 1]; ++i) {
      double* const p = laws + i * states_;
      auto const own = static_cast<std::size_t>(tokens[r * length_ + static_cast<std::size_t>(movers.sites[i])]);
      double jump = 0;
      for (std::size_t y = 0; y < states_; ++y) jump += y == own ? 0 : p[y];
      p[own] = 1;
      if (!(jump > 0)) continue;
      for (std::size_t y = 0; y < states_; ++y) p[y] /= y == own ? 1 : jump;
      mean += jump;
      ++sites;
    }
    if (std::abs(mean - std::round(mean)) < 1e-9) mean = std::round(mean);
    double const low = std::floor(mean), share = mean - low;
    double subsets = 1;  // of size a
    for (int a = 0; a <= sites; ++a) {
      double const p = a == low ? 1 - share : (a == low + 1 ? share : 0);
      counts[r * (length_ + 1) + static_cast<std::size_t>(a)] = p / subsets;
      subsets = subsets * (sites - a) / (a + 1);
    }
  });
  return counts;
}

void Pusher::push_rows(Integrator const& integrator, Step const& step, Law const& law,
                       std::span<std::size_t const> used, PathTerms* path, Law& out) {
  load(used);
  if (places_.empty()) find_movers(used);
  rows_.evaluate(step.host->from, 0);
  std::size_t const n = used.size();
  weights_.resize(n);
  for (std::size_t r = 0; r < n; ++r) weights_[r] = law[used[r]];
  double* const laws = rows_.first(integrator, step, movers_);
  check(laws, movers_, step, [&](std::size_t r) { return used[r]; });
  std::vector<double> const counts =
      counted(integrator) ? count_laws(laws, movers_, rows_.tokens(0)) : std::vector<double>();
  double const* const factors = counts.empty() ? nullptr : counts.data();
  if (path) add_path(*path, used, movers_, laws, factors);
  SiteRows const rows{n, movers_.first.data(), movers_.sites.data(), laws, weights_.data(), places_.data(),
                      rows_.tokens(0), factors};
  products_.add(rows, out.data());
  if (!path || !factors) return;
  // The process that shares the counts takes its own step; push() multiplies by to(y).
  std::vector<double> choices(movers_.sites.size() * states_);
  for_each_row("saltus::integrators::law::choices", n, [&](std::size_t r) {
    weights_[r] = path->law[used[r]] > 0 ? path->law[used[r]] / path->exact->from[used[r]] : 0;
    for (std::size_t i = movers_.first[r]; i < movers_.first[r + 1]; ++i) {
      auto const own = static_cast<std::size_t>(rows_.tokens(r)[movers_.sites[i]]);
      double jump = 0;
      for (std::size_t y = 0; y < states_; ++y) jump += y == own ? 0 : laws[i * states_ + y];
      for (std::size_t y = 0; y < states_; ++y) choices[i * states_ + y] = y == own || jump > 0 ? 1 : 0;
    }
  });
  SiteRows next = rows;
  next.laws = choices.data();
  products_.add(next, path->next.data());
}

// The terms of these rows, from the laws of one stage: logarithms of products, so that laws of single sites will do.
// push() adds what does not belong to a site.
void Pusher::add_path(PathTerms& path, std::span<std::size_t const> used, Movers const& movers, double const* laws,
                      double const* counts) {
  ExactStep const& q = *path.exact;
  std::size_t const n = used.size();
  token_t const mask = path.masked ? *mask_ : -1;
  std::size_t const groups = (n + group - 1) / group;
  std::vector<double> total(groups, 0.0), discretisation(groups, 0.0), factorisation(groups, 0.0);
  for_each_row("saltus::integrators::law::path", n, [&](std::size_t r) {
    std::size_t const g = r / group;
    double const p = path.law[used[r]];
    if (!(p > 0)) return;
    std::size_t const begin = movers.first[r], end = movers.first[r + 1];
    auto const own_of = [&](std::size_t i) { return static_cast<std::size_t>(rows_.tokens(r)[movers.sites[i]]); };
    auto const jump_of = [&](std::size_t i) {
      double jump = 0;
      for (std::size_t y = 0; y < states_; ++y) jump += y == own_of(i) ? 0 : laws[i * states_ + y];
      return jump;
    };
    // with fixed counts, the probability that a site is chosen that may be
    double chosen = 0, sites = 0;
    for (std::size_t i = begin; counts && i < end; ++i) sites += jump_of(i) > 0;
    double subsets = 1;  // of size a
    for (std::size_t a = 0; counts && static_cast<double>(a) <= sites && sites > 0; ++a) {
      auto const size = static_cast<double>(a);
      chosen += counts[r * (length_ + 1) + a] * subsets * size / sites;
      subsets = subsets * (sites - size) / (size + 1);
    }
    for (std::size_t i = begin; i < end; ++i) {
      auto const l = static_cast<std::size_t>(movers.sites[i]), own = own_of(i);
      double const* const k = laws + i * states_;
      double const* const w = q.site(l, own, states_);
      if (!counts && k[own] == 1 && w[own] == 1) continue;  // stays, under both
      double const* const others = q.marginal_of(l) + used[r] - own * stride_[l];
      double const scale = p / q.from[used[r]], jump = jump_of(i);
      bool const masked = static_cast<token_t>(own) == mask;
      if (masked && !counts) discretisation[g] += p * bernoulli_divergence(q.reveal, jump);
      for (std::size_t y = 0; y < states_; ++y) {
        double const now = scale * w[y] * others[y * stride_[l]];
        if (masked && y != own) {
          double const revealed = counts ? scale * (jump > 0 ? chosen : 0) * others[y * stride_[l]] : now;
          if (revealed > 0) factorisation[g] += revealed * (k[y] > 0 ? std::log(jump / k[y]) : impossible);
        }
        if (!counts && now > 0) total[g] += now * (k[y] > 0 ? std::log(w[y] / k[y]) : impossible);
      }
    }
  });
  path.factorisation += sum_of(factorisation);
  path.discretisation += sum_of(discretisation);
  path.total += sum_of(total);
}

/// States that two stages start from, with what they lead to: entry `compact` of state i is at begin[i] + sum_l y_l
/// stride[i, l], where only sites that may move have a stride.
struct Pusher::Group {
  Indices states;                      // numbers in the space
  std::vector<token_t> tokens;         // [states, length]
  std::vector<std::size_t> begin;      // [states + 1]
  Movers movers;                       // listed as rows of what is loaded
  std::vector<std::size_t> stride;     // [states, length]
  std::vector<double> between, after;  // [begin.back()]: the law between the stages, and after both
  std::vector<Place> places() const {
    std::vector<Place> all;
    std::size_t const length = states.empty() ? 0 : stride.size() / states.size();
    for (std::size_t i = 0; i < states.size(); ++i) all.push_back({begin[i], stride.data() + i * length});
    return all;
  }
};

// f(compact, index in the space, which of the sites that may move have moved) for everything that state i may lead to.
template <class Function>
void Pusher::for_each_target(Group const& g, std::size_t i, std::size_t l, std::size_t compact, std::size_t index,
                             std::size_t bit, std::size_t pattern, Function const& f) const {
  if (l == length_) return f(compact, index, pattern);
  auto const own = static_cast<std::size_t>(g.tokens[i * length_ + l]);
  std::size_t const stride = g.stride[i * length_ + l];
  if (stride == 0) return for_each_target(g, i, l + 1, compact, index + own * stride_[l], bit, pattern, f);
  for (std::size_t y = 0; y < states_; ++y) {
    for_each_target(g, i, l + 1, compact + y * stride, index + y * stride_[l], bit << 1, pattern | (y == own ? 0 : bit),
                    f);
  }
}

void Pusher::push_two_stages(Integrator const& integrator, Step const& step, Law const& law, Indices const& used,
                             PathTerms* path, Law& out) {
  bool const whole = space_.size() <= rows_.capacity();
  if (whole) {
    Indices everything(space_.size());
    std::iota(everything.begin(), everything.end(), std::size_t{0});
    load(everything);
    rows_.evaluate(step.host->from, 0);
    if (integrator.info().slots == 2) rows_.evaluate(step.parts[1].host->from, 1);
  }
  for (std::size_t next = 0; next < used.size();) {
    Group g;
    g.begin.push_back(0);
    for (; next < used.size() && g.begin.back() < most_targets && g.states.size() < rows_.capacity() / 2; ++next) {
      auto const tokens = space_.tokens(used[next]);
      std::size_t stride = 1;
      g.stride.resize(g.stride.size() + length_);
      for (std::size_t l = length_; l-- > 0;) {
        bool const moving = moves_[static_cast<std::size_t>(tokens[l])];
        g.stride[g.states.size() * length_ + l] = moving ? stride : 0;
        stride *= moving ? states_ : 1;
      }
      for (std::size_t l = 0; l < length_; ++l) {
        if (!moves_[static_cast<std::size_t>(tokens[l])]) continue;
        g.movers.sites.push_back(static_cast<std::int32_t>(l));
        g.movers.listed.push_back(static_cast<std::int64_t>((whole ? used[next] : g.states.size()) * length_ + l));
      }
      g.movers.first.push_back(g.movers.sites.size());
      g.begin.push_back(g.begin.back() + stride);
      g.states.push_back(used[next]);
      g.tokens.insert(g.tokens.end(), tokens.begin(), tokens.end());
    }
    std::size_t const n = g.states.size();
    if (!whole) {
      load(g.states);
      rows_.evaluate(step.host->from, 0);
    }
    double* const laws = rows_.first(integrator, step, g.movers);
    check(laws, g.movers, step, [&](std::size_t i) { return g.states[i]; });
    std::vector<double> const counts =
        counted(integrator) ? count_laws(laws, g.movers, g.tokens.data()) : std::vector<double>();
    g.between.assign(g.begin.back(), 0.0);
    g.after.assign(g.begin.back(), 0.0);
    std::vector<double> const ones(n, 1.0);
    auto const places = g.places();
    products_.add({n, g.movers.first.data(), g.movers.sites.data(), laws, ones.data(), places.data(), g.tokens.data(),
                   counts.empty() ? nullptr : counts.data()},
                  g.between.data());
    push_pairs(integrator, step, g, whole);
    std::vector<double> weights(n);
    for (std::size_t i = 0; i < n; ++i) weights[i] = law[g.states[i]];
    unpack(g, g.after, weights, out);
    if (path) add_path(*path, g, counted(integrator));
  }
}

// The second stage: g.after from g.between.
void Pusher::push_pairs(Integrator const& integrator, Step const& step, Group& g, bool whole) {
  std::size_t const n = g.states.size(),
                    most = std::clamp<std::size_t>(second_memory / 8 / length_ / states_, 256, 1 << 18);
  Kokkos::View<int* [2], Kokkos::LayoutRight, MemorySpace> const pairs("saltus::integrators::law::pairs", most);
  auto const host_pairs = Kokkos::create_mirror_view(pairs);
  auto const places = g.places();
  Movers movers;
  std::vector<double> weights(most);
  std::vector<Place> targets(most);
  std::vector<token_t> tokens(most * length_);
  std::size_t count = 0;

  auto const flush = [&] {
    for_each_row("saltus::integrators::law::between", count, [&](std::size_t r) {
      std::copy_n(rows_.tokens(static_cast<std::size_t>(host_pairs(r, 1))), length_, tokens.data() + r * length_);
    });
    Kokkos::deep_copy(exec_, pairs, host_pairs);
    auto const used = Kokkos::subview(pairs, std::make_pair(std::size_t{0}, count), Kokkos::ALL);
    double* const laws =
        second_.laws(exec_, movers.listed, states_, [&](SiteList const& list, SiteProbabilities const& out) {
          integrator.second_probabilities(exec_, process_, rows_.state(), step, used, list, out);
        });
    check(laws, movers, step, [&](std::size_t r) { return space_.index(tokens.data() + r * length_); });
    std::vector<double> const counts =
        counted(integrator) ? count_laws(laws, movers, tokens.data()) : std::vector<double>();
    products_.add({count, movers.first.data(), movers.sites.data(), laws, weights.data(), targets.data(),
                   tokens.data(), counts.empty() ? nullptr : counts.data()},
                  g.after.data());
    count = 0;
    movers.clear();
  };
  auto const take = [&](auto const& row_of_first, auto const& row_of_second) {
    for (std::size_t i = 0; i < n; ++i) {
      for_each_target(g, i, 0, g.begin[i], 0, 1, 0, [&](std::size_t compact, std::size_t index, std::size_t) {
        if (g.between[compact] == 0) return;
        int const row = row_of_second(index);
        if (row < 0) return;
        host_pairs(count, 0) = row_of_first(i);
        host_pairs(count, 1) = row;
        weights[count] = g.between[compact];
        targets[count] = places[i];
        for (std::size_t k = g.movers.first[i]; k < g.movers.first[i + 1]; ++k) {
          movers.sites.push_back(g.movers.sites[k]);
          movers.listed.push_back(static_cast<std::int64_t>(count * length_) + g.movers.sites[k]);
        }
        movers.first.push_back(movers.sites.size());
        if (++count == most) flush();
      });
    }
    if (count > 0) flush();
  };

  if (whole) {
    take([&](std::size_t i) { return static_cast<int>(g.states[i]); },
         [](std::size_t z) { return static_cast<int>(z); });
    return;
  }
  // As many of the states between as there is memory for, beside those they come from.
  std::vector<int> row_of(space_.size(), -1);
  Indices between;
  for (std::size_t i = 0; i < n; ++i) {
    for_each_target(g, i, 0, g.begin[i], 0, 1, 0, [&](std::size_t compact, std::size_t index, std::size_t) {
      if (g.between[compact] == 0 || row_of[index] == 0) return;
      row_of[index] = 0;
      between.push_back(index);
    });
  }
  std::sort(between.begin(), between.end());
  std::size_t const at_once = rows_.capacity() - n;
  for (std::size_t begin = 0; begin < between.size(); begin += at_once) {
    std::size_t const end = std::min(begin + at_once, between.size());
    Indices all = g.states;
    all.insert(all.end(), between.begin() + static_cast<std::ptrdiff_t>(begin),
               between.begin() + static_cast<std::ptrdiff_t>(end));
    load(all);
    rows_.evaluate(step.host->from, 0);
    if (integrator.info().slots == 2) rows_.evaluate(step.parts[1].host->from, 1);
    for (std::size_t const z : between) row_of[z] = -1;
    for (std::size_t k = begin; k < end; ++k) row_of[between[k]] = static_cast<int>(n + k - begin);
    take([](std::size_t i) { return static_cast<int>(i); }, [&](std::size_t z) { return row_of[z]; });
  }
}

// out[y] += weight of state i times its value at y; every work item has the targets with one first token.
void Pusher::unpack(Group const& g, std::vector<double> const& values, std::vector<double> const& weights,
                    Law& out) const {
  for_each_on_host("saltus::integrators::law::unpack", states_, [&](std::int64_t item) {
    auto const first = static_cast<std::size_t>(item);
    for (std::size_t i = 0; i < g.states.size(); ++i) {
      double const weight = weights[i];
      std::size_t const stride = g.stride[i * length_];
      if (weight == 0 || (stride == 0 && g.tokens[i * length_] != static_cast<token_t>(first))) continue;
      for_each_target(
          g, i, 1, g.begin[i] + first * stride, first * stride_[0], 0, 0,
          [&](std::size_t compact, std::size_t index, std::size_t) { out[index] += weight * values[compact]; });
    }
  });
}

// The terms of a group, from the law after both stages.
void Pusher::add_path(PathTerms& path, Group& g, bool fixed_counts) {
  ExactStep const& q = *path.exact;
  std::size_t const n = g.states.size();
  std::vector<double> total(n, 0.0), factorisation(n, 0.0), discretisation(n, 0.0), weights(n, 0.0);
  for_each_on_host("saltus::integrators::law::path", n, [&](std::int64_t item) {
    auto const i = static_cast<std::size_t>(item);
    double const p = path.law[g.states[i]];
    if (!(p > 0)) return;
    weights[i] = p / q.from[g.states[i]];
    int moving = 0;
    for (std::size_t l = 0; l < length_; ++l) moving += g.stride[i * length_ + l] != 0;
    // the method's law of the set of sites that move, and that of the exact process
    std::vector<double> set(path.masked ? std::size_t{1} << moving : 0, 0.0), exact_set(set);
    for (std::size_t a = 0; a < set.size(); ++a) {
      int const moved = std::popcount(a);
      exact_set[a] = std::pow(q.reveal, moved) * std::pow(1 - q.reveal, moving - moved);
    }
    if (path.masked) {
      for_each_target(g, i, 0, g.begin[i], 0, 1, 0,
                      [&](std::size_t compact, std::size_t, std::size_t a) { set[a] += g.after[compact]; });
      for (std::size_t a = 0; a < set.size(); ++a) {
        if (exact_set[a] > 0)
          discretisation[i] += exact_set[a] * (set[a] > 0 ? std::log(exact_set[a] / set[a]) : impossible);
      }
    }
    for_each_target(g, i, 0, g.begin[i], 0, 1, 0, [&](std::size_t compact, std::size_t y, std::size_t a) {
      double const r = g.after[compact];
      double chosen = 1;
      if (!path.masked) {
        for (std::size_t l = 0; l < length_; ++l) {
          chosen *= q.site(l, static_cast<std::size_t>(g.tokens[i * length_ + l]), states_)[y / stride_[l] % states_];
        }
      } else {
        chosen = fixed_counts ? set[a] : exact_set[a];
      }
      // Of what comes from the exact process; g.between is no longer needed.
      g.between[compact] = chosen;
      double const now = chosen * q.to[y] / q.from[g.states[i]];
      if (!(now > 0)) return;
      if (path.masked) factorisation[i] += now * (r > 0 ? std::log(set[a] / r) : impossible);
      if (!fixed_counts) total[i] += now * (r > 0 ? std::log(chosen / r) : impossible);
    });
    total[i] *= p;
    factorisation[i] *= p;
    discretisation[i] *= p;
  });
  path.factorisation += sum_of(factorisation);
  if (fixed_counts) return unpack(g, g.between, weights, path.next);
  path.total += sum_of(total);
  path.discretisation += sum_of(discretisation);
}

// Asked of sequences of one token, and of that token and the mask by turns.
std::vector<char> Pusher::reached(Integrator const& integrator, Step const& step) {
  std::vector<char> reached(states_ * states_, 0);
  auto const mask = process_.generator().mask();
  Indices asked;
  for (std::size_t x = 0; x < states_; ++x) {
    std::vector<token_t> row(length_, static_cast<token_t>(x));
    asked.push_back(space_.index(row.data()));
    for (std::size_t parity = 0; mask && parity < 2; ++parity) {
      for (std::size_t l = 0; l < length_; ++l) row[l] = l % 2 == parity ? static_cast<token_t>(x) : *mask;
      asked.push_back(space_.index(row.data()));
    }
  }
  std::size_t const most = rows_.capacity();
  for (std::size_t begin = 0; begin < asked.size(); begin += most) {
    std::size_t const n = std::min(most, asked.size() - begin);
    load(std::span(asked).subspan(begin, n));
    rows_.evaluate(step.host->from, 0);
    Movers all;
    all.listed.resize(n * length_);
    std::iota(all.listed.begin(), all.listed.end(), std::int64_t{0});
    double const* const laws = rows_.first(integrator, step, all);
    for (std::size_t i = 0; i < n * length_; ++i) {
      auto const x = static_cast<std::size_t>(rows_.tokens(0)[i]);
      for (std::size_t y = 0; y < states_; ++y) reached[x * states_ + y] |= laws[i * states_ + y] > 0;
    }
  }
  return reached;
}

// UserError if some part of the step has no law.
std::vector<Integrator::Kernel> kernels_of(Integrator const& integrator, Step const& step) {
  require(integrator.info().has_site_law, "the integrator '" + integrator.info().name +
                                              "' has no law by site, so its exact law cannot be computed");
  auto kernels = integrator.kernels(step);
  require(!kernels.empty(), "a part of the integrator '" + integrator.info().name +
                                "' has no law by site, so its exact law cannot be computed");
  return kernels;
}

StepTable table_of(ExecSpace const& exec, Process const& process, Integrator const& integrator, LawPlan const& plan) {
  StepOptions options = step_options(integrator, process);
  options.phi = plan.phi;
  options.power = plan.power;
  options.forced_last = plan.forced_last;
  return {exec, process, plan.grid, options};
}

double count(Pusher& pusher, Integrator const& integrator, StateSpace const& space, StepTable const& table,
             Law const& start) {
  auto const length = static_cast<std::size_t>(space.length()), states = static_cast<std::size_t>(space.states());
  // which tokens each site may have
  std::vector<char> has(length * states, 0);
  std::vector<token_t> x(length);
  for (std::size_t i = 0; i < start.size(); ++i) {
    if (!(start[i] > 0)) continue;
    space.tokens(i, x.data());
    for (std::size_t l = 0; l < length; ++l) has[l * states + static_cast<std::size_t>(x[l])] = 1;
  }
  double sum = 0;
  for (int k = 0; k < table.steps(); ++k) {
    for (auto const& kernel : kernels_of(integrator, table.step(k))) {
      auto const reached = pusher.reached(*kernel.integrator, kernel.step);
      int const stages = kernel.integrator->info().stages;
      double once = 1, twice = 1;
      for (std::size_t l = 0; l < length; ++l) {
        double one = 0, two = 0;
        std::vector<char> after(states, 0);
        for (std::size_t from = 0; from < states; ++from) {
          if (!has[l * states + from]) continue;
          for (std::size_t y = 0; y < states; ++y) {
            if (!reached[from * states + y]) continue;
            ++one;
            after[y] = 1;
            for (std::size_t z = 0; stages == 2 && z < states; ++z) {
              two += reached[y * states + z];
              if (reached[y * states + z]) after[z] = 1;
            }
          }
        }
        once *= one;
        twice *= two;
        std::copy(after.begin(), after.end(), has.begin() + static_cast<std::ptrdiff_t>(l * states));
      }
      sum += once + (stages == 2 ? twice : 0);
    }
  }
  return sum;
}

void require_within(double transitions, double limit) {
  require(transitions <= limit, "the exact law would need " + to_text(transitions) + " transitions (limit " +
                                    to_text(limit) + "); take fewer sites, states or steps, or sample");
}

Law start_of(Process const& process, StateSpace const& space, LawPlan const& plan) {
  Law start = plan.start.empty() ? prior_law(process, space) : plan.start;
  require(start.size() == space.size(), "the law at the start needs " + std::to_string(space.size()) +
                                            " probabilities, got " + std::to_string(start.size()));
  return start;
}

}  // namespace

Law prior_law(Process const& process, StateSpace const& space) {
  require(process.is_reverse(), "a forward process has no prior: give the law at the start");
  Generator const& generator = process.generator();
  auto const n = static_cast<std::size_t>(space.states()), length = static_cast<std::size_t>(space.length());
  Law site = generator.mask() ? Law(n, 0.0) : generator.stationary();
  if (generator.mask()) site[static_cast<std::size_t>(*generator.mask())] = 1;
  Law law{1};
  for (std::size_t l = 0; l < length; ++l) {
    Law longer;
    longer.reserve(law.size() * n);
    for (double const p : law) {
      for (double const q : site) longer.push_back(p * q);
    }
    law = std::move(longer);
  }
  return law;
}

Law push_law(ExecSpace const& exec, Process& process, Integrator const& integrator, StateSpace const& space,
             Law const& law, Step const& step) {
  Pusher pusher(exec, process, space, integrator, law_memory);
  Law out = law;
  for (auto const& kernel : kernels_of(integrator, step))
    out = pusher.push(*kernel.integrator, kernel.step, out, nullptr);
  return out;
}

Law output_law(ExecSpace const& exec, Process& process, Integrator const& integrator, StateSpace const& space, Law law,
               TimeGrid const& grid, bool forced_last, std::vector<double> const& phi) {
  LawPlan const plan{.grid = grid, .phi = phi, .forced_last = forced_last};
  StepTable const table = table_of(exec, process, integrator, plan);
  Pusher pusher(exec, process, space, integrator, plan.memory);
  require_within(count(pusher, integrator, space, table, law), plan.limit);
  for (int k = 0; k < table.steps(); ++k) {
    for (auto const& kernel : kernels_of(integrator, table.step(k))) {
      law = pusher.push(*kernel.integrator, kernel.step, law, nullptr);
    }
  }
  return law;
}

double count_transitions(ExecSpace const& exec, Process& process, Integrator const& integrator, StateSpace const& space,
                         LawPlan const& plan) {
  StepTable const table = table_of(exec, process, integrator, plan);
  Pusher pusher(exec, process, space, integrator, plan.memory);
  return count(pusher, integrator, space, table, start_of(process, space, plan));
}

LawReport law_report(ExecSpace const& exec, Process& process, Integrator const& integrator, StateSpace const& space,
                     LawPlan const& plan) {
  StepTable const table = table_of(exec, process, integrator, plan);
  Pusher pusher(exec, process, space, integrator, plan.memory);
  Law law = start_of(process, space, plan);
  LawReport report{};
  report.transitions = count(pusher, integrator, space, table, law);
  require_within(report.transitions, plan.limit);

  ExactProcess exact(process, space, plan.data, law, plan.grid);
  PathTerms path;
  path.masked = exact.masked();
  bool fixed_counts = false, moves_revealed = false;
  for (int k = 0; k < table.steps(); ++k) {
    auto const kernels = kernels_of(integrator, table.step(k));
    if (kernels.size() != 1) report.why_not = "a step of '" + integrator.info().name + "' is more than one kernel";
    for (auto const& kernel : kernels) {
      fixed_counts |= kernel.integrator->info().selection == Selection::fixed_count;
      moves_revealed |= kernel.integrator->info().moves_revealed;
    }
  }
  if (fixed_counts && !exact.masked()) report.why_not = "with fixed counts it is defined for masked processes alone";
  bool const with_path = report.why_not.empty();
  if (with_path) path.total = kl_divergence(exact.law(), law);
  path.law = exact.law();
  for (int k = 0; k < table.steps(); ++k) {
    ExactStep const q = exact.step(table.host(k));
    path.exact = &q;
    double rise = -expected_log(path.law, q.from);
    exact.advance(q);
    for (auto const& kernel : kernels_of(integrator, table.step(k))) {
      law = pusher.push(*kernel.integrator, kernel.step, law, with_path ? &path : nullptr);
    }
    if (!fixed_counts) path.law = exact.law();
    // of ln q(y|x), what does not belong to a site
    rise += expected_log(path.law, q.to);
    path.total += fixed_counts ? 0 : rise;
    path.factorisation += rise;
  }
  bool const in_parts = with_path && exact.masked() && !moves_revealed;
  if (in_parts) report.factorisation = path.factorisation;
  if (in_parts && !fixed_counts) report.discretisation = path.discretisation;
  if (with_path) report.path_kl = fixed_counts ? path.total + path.factorisation : path.total;
  report.tv = total_variation(exact.law(), law);
  report.kl = kl_divergence(exact.law(), law);
  report.reverse_kl = kl_divergence(law, exact.law());
  report.exact = exact.law();
  report.law = std::move(law);
  return report;
}

}  // namespace saltus
