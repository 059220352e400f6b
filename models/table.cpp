// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/table.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/exact.hpp>
#include <saltus/models/emissions.hpp>
#include <saltus/models/native_model.hpp>

namespace saltus {
namespace {

constexpr double most_patterns = 1 << 24;
constexpr std::size_t most_scratch = std::size_t{1} << 25;

using Vector = Kokkos::View<double const*, MemorySpace>;

// m(pattern) = sum of p over the sequences that match it, for every pattern of tokens and masks (= any token); numbered
// like sequences over states + 1 tokens.
std::vector<double> pattern_sums(TableLaw const& law) {
  auto const n = static_cast<std::size_t>(law.states());
  StateSpace const clean(law.states(), law.length()), patterns(law.states() + 1, law.length());
  std::vector<double> sums(patterns.size(), 0.0);
  std::vector<token_t> x(static_cast<std::size_t>(law.length()));
  for (std::size_t i = 0; i < clean.size(); ++i) {
    clean.tokens(i, x.data());
    sums[patterns.index(x.data())] = law.probabilities()[i];
  }
  for (std::size_t stride = 1; stride < sums.size(); stride *= n + 1) {
    for (std::size_t first = 0; first < sums.size(); first += stride * (n + 1)) {
      double* const any = sums.data() + first + n * stride;
      for (std::size_t y = 0; y < n; ++y) {
        for (std::size_t i = 0; i < stride; ++i) any[i] += sums[first + y * stride + i];
      }
    }
  }
  return sums;
}

// Masks: pL(y) is proportional to m(x with y at site l).
struct PatternKernel {
  Tokens tokens;
  Kokkos::View<int const*, MemorySpace> only_site;
  Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace> out;
  Vector sums;       // [(states + 1)^length]
  Vector marginals;  // [length * states]
  int length, states;
  bool at_revealed;

  KOKKOS_FUNCTION void operator()(int b, int l) const {
    int const only = only_site.size() == 0 ? Query::all_sites : only_site(b);
    if (only != Query::all_sites && only != l) return;
    if (!at_revealed && tokens(b, l) != states) return;
    int first = 0, stride = 1;  // of the pattern with token 0 at site l; from y to y + 1 there
    for (int d = 0; d < length; ++d) {
      first = first * (states + 1) + (d == l ? 0 : tokens(b, d));
      if (d > l) stride *= states + 1;
    }
    double const total = sums(first + states * stride);
    // An impossible context: the site's own law, so that samplers have somewhere to go.
    for (int y = 0; y < states; ++y) {
      out(b, l, y) = total > 0 ? sums(first + y * stride) / total : marginals(l * states + y);
    }
  }
};

// Any noise: the sites before and after l are summed out one by one, each with what its token says. A work item takes
// every `items`-th row, so that the scratch memory is bounded.
struct ContractionKernel {
  Kokkos::View<int const*, MemorySpace> only_site;
  Emissions::Table emissions;  // [batch, length, states]
  Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace> out;
  Vector probabilities;  // [states^length]
  Vector marginals;      // [length * states]
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> scratch;  // [items, 2 * states^(length - 1)]
  int batch, length, states, items;

  KOKKOS_FUNCTION void operator()(int item) const {
    for (int b = item; b < batch; b += items) row(b, item);
  }

 private:
  KOKKOS_FUNCTION void row(int b, int item) const {
    int const only = only_site.size() == 0 ? Query::all_sites : only_site(b);
    if (only == Query::no_site) return;
    std::int64_t rest = static_cast<std::int64_t>(probabilities.extent(0)) / states;  // sequences of the sites after l
    double *const left = &scratch(item, 0), *const right = left + rest;
    double const* table = probabilities.data();  // over the sites from l on
    for (int l = 0; l < length; ++l, rest /= states) {
      if (only == Query::all_sites || only == l) {
        from_the_right(b, l, table, rest, right);
        if (only == l) return;
      }
      if (l + 1 == length) return;
      for (int y = 0; y < states; ++y) {
        double const weight = emissions(b, l, y);
        double const* const block = table + y * rest;
        for (std::int64_t i = 0; i < rest; ++i) left[i] = (y == 0 ? 0 : left[i]) + weight * block[i];
      }
      table = left;
    }
  }

  // The row of site l: `table` over the sites from l on, the later ones summed out from the last.
  KOKKOS_FUNCTION void from_the_right(int b, int l, double const* table, std::int64_t rest, double* right) const {
    for (int d = length - 1; d > l; --d, rest /= states) {
      double const* const weights = &emissions(b, d, 0);
      for (std::int64_t i = 0; i < rest; ++i) {
        double sum = 0;
        for (int y = 0; y < states; ++y) sum += weights[y] * table[i * states + y];
        right[i] = sum;
      }
      table = right;
    }
    double total = 0;
    for (int y = 0; y < states; ++y) total += table[y];
    for (int y = 0; y < states; ++y) out(b, l, y) = total > 0 ? table[y] / total : marginals(l * states + y);
  }
};

class TableDenoiser final : public NativeModel {
 public:
  TableDenoiser(TableLaw const& law, Generator const& generator, bool at_revealed)
      : NativeModel(law.name(), generator, law.length(), at_revealed),
        marginals_(to_device(law.site_marginals(), "saltus::models::table::marginals")) {
    if (generator.mask() && std::pow(law.states() + 1, law.length()) <= most_patterns) {
      sums_ = to_device(pattern_sums(law), "saltus::models::table::sums");
    } else {
      probabilities_ = to_device(law.probabilities(), "saltus::models::table::probabilities");
      emissions_.emplace(generator);
    }
  }

  void reserve(Extents extents, int slots) override {
    NativeModel::reserve(extents, slots);
    if (!emissions_) return;
    emissions_->reserve(extents);
    std::size_t const row = 2 * probabilities_.size() / static_cast<std::size_t>(data_states());
    std::size_t const items = std::clamp<std::size_t>(most_scratch / row, 1, static_cast<std::size_t>(extents.batch));
    if (scratch_.extent(0) < items) {
      scratch_ = decltype(scratch_)(
          Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::models::table::scratch"), items, row);
    }
  }

  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    int const batch = static_cast<int>(query.tokens.extent(0));
    if (batch == 0) return evaluation(slot);
    if (emissions_) {
      int const items = std::min(batch, scratch_.extent_int(0));
      Kokkos::parallel_for("saltus::models::table::contraction",
                           Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, items),
                           ContractionKernel{query.only_site, emissions_->evaluate(exec, query.tokens, query.time),
                                             output(slot), probabilities_, marginals_, scratch_, batch, length(),
                                             data_states(), items});
    } else {
      Kokkos::parallel_for(
          "saltus::models::table::patterns",
          Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(exec, {0, 0}, {batch, length()}),
          PatternKernel{query.tokens, query.only_site, output(slot), sums_, marginals_, length(), data_states(),
                        info().leave_one_out_at_revealed});
    }
    return evaluation(slot);
  }

 private:
  Vector marginals_;
  Vector sums_;  // masks, and not too many patterns; otherwise:
  Vector probabilities_;
  std::optional<Emissions> emissions_;
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> scratch_;
};

}  // namespace

TableLaw::TableLaw(int length, int states, std::vector<double> probabilities)
    : length_(length), states_(states), probabilities_(std::move(probabilities)) {
  StateSpace const space(states, length);
  require(probabilities_.size() == space.size(), "a table of " + std::to_string(length) + " sites and " + std::to_string(states) +
                                                     " states needs " + std::to_string(space.size()) + " probabilities, got " +
                                                     std::to_string(probabilities_.size()));
  double sum = 0;
  for (std::size_t i = 0; i < probabilities_.size(); ++i) {
    if (!(probabilities_[i] >= 0)) {
      std::string tokens;
      for (token_t const x : space.tokens(i)) tokens += " " + std::to_string(x);
      throw UserError("probabilities must be numbers and not negative; that of the sequence" + tokens + " is " +
                      to_text(probabilities_[i]));
    }
    sum += probabilities_[i];
  }
  require(std::abs(sum - 1) < 1e-9, "the probabilities sum to " + to_text(sum) + ", not to 1 within 1e-9; divide them by their sum, in double");
}

TableLaw TableLaw::neighbours(int length, int states, double strength) {
  StateSpace const space(states, length);
  std::vector<double> p(space.size());
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    auto const x = space.tokens(i);
    p[i] = 1;
    for (std::size_t l = 0; l + 1 < x.size(); ++l) p[i] += x[l] == x[l + 1] ? strength : 0;
    sum += p[i];
  }
  for (double& value : p) value /= sum;
  return {length, states, std::move(p)};
}

double TableLaw::log_likelihood(std::span<token_t const> x) const {
  return std::log(probabilities_[StateSpace(states_, length_).index(x.data())]);
}

double TableLaw::entropy() const { return saltus::entropy(probabilities_); }

std::vector<double> TableLaw::site_marginals() const {
  StateSpace const space(states_, length_);
  std::vector<double> p(static_cast<std::size_t>(length_ * states_), 0.0);
  for (std::size_t i = 0; i < space.size(); ++i) {
    auto const x = space.tokens(i);
    for (std::size_t l = 0; l < x.size(); ++l) p[l * static_cast<std::size_t>(states_) + static_cast<std::size_t>(x[l])] += probabilities_[i];
  }
  return p;
}

std::vector<double> TableLaw::pair_marginals() const {
  StateSpace const space(states_, length_);
  auto const n = static_cast<std::size_t>(states_);
  std::vector<double> p(static_cast<std::size_t>(length_ - 1) * n * n, 0.0);
  for (std::size_t i = 0; i < space.size(); ++i) {
    auto const x = space.tokens(i);
    for (std::size_t l = 0; l + 1 < x.size(); ++l) p[(l * n + static_cast<std::size_t>(x[l])) * n + static_cast<std::size_t>(x[l + 1])] += probabilities_[i];
  }
  return p;
}

std::vector<double> TableLaw::triple_marginals() const {
  StateSpace const space(states_, length_);
  auto const n = static_cast<std::size_t>(states_);
  std::vector<double> p(static_cast<std::size_t>(std::max(length_ - 2, 0)) * n * n * n, 0.0);
  for (std::size_t i = 0; i < space.size(); ++i) {
    auto const x = space.tokens(i);
    for (std::size_t l = 0; l + 2 < x.size(); ++l) {
      auto const at = [&](std::size_t d) { return static_cast<std::size_t>(x[l + d]); };
      p[((l * n + at(0)) * n + at(1)) * n + at(2)] += probabilities_[i];
    }
  }
  return p;
}

void TableLaw::draw(std::uint64_t seed, std::uint64_t sample, std::span<token_t> x) const {
  double const u = uniform53(StreamKey{seed, 0}.draw(sample, Role::ancestral, 0).event);
  StateSpace(states_, length_).tokens(static_cast<std::size_t>(draw_index(probabilities_, u)), x.data());
}

std::shared_ptr<ScoreModel> TableLaw::make_denoiser(Generator const& generator, bool at_revealed) const {
  return std::make_shared<TableDenoiser>(*this, generator, at_revealed);
}

}  // namespace saltus
