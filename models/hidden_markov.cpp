// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/hidden_markov.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/exact.hpp>
#include <saltus/models/emissions.hpp>
#include <saltus/models/native_model.hpp>

namespace saltus {
namespace {

constexpr double most_enumerated = 1e5;
constexpr int entropy_draws = 4096;
constexpr std::uint64_t entropy_seed = 0x656E74726F7079;

using Vectors = Kokkos::View<double const*, MemorySpace>;
using Rows = Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace>;

// to(h) = sum over k of emission(h, k) * P_{t|0}(k, seen): what each hidden state says of the seen token.
struct SeenKernel {
  Emissions::Table noise;  // [batch, length, states]
  Vectors transposed;      // [1 or length, states, hidden]
  Emissions::Table out;    // [batch, length, hidden]
  int states, hidden, stride;
  KOKKOS_FUNCTION void operator()(int b, int l) const {
    double* const to = &out(b, l, 0);
    for (int h = 0; h < hidden; ++h) to[h] = 0;
    for (int k = 0; k < states; ++k) {
      double const p = noise(b, l, k);
      if (p == 0) continue;
      double const* const column = transposed.data() + static_cast<std::int64_t>(l) * stride + k * hidden;
      for (int h = 0; h < hidden; ++h) to[h] += p * column[h];
    }
  }
};

// Leave-one-out laws of one row by messages over hidden states (A§13.8, 17.22).
struct HiddenKernel {
  Kokkos::View<int const*, MemorySpace> only_site;
  Emissions::Table seen;  // [batch, length, hidden]
  Emissions::Table out;   // [batch, length, states]
  Rows scratch;           // [batch, (length + 2) * hidden]
  Vectors initial, matrices, transposed, emissions;
  int length, states, hidden, matrix_stride, emission_stride;

  KOKKOS_FUNCTION void operator()(int b) const {
    int const only = only_site.size() == 0 ? Query::all_sites : only_site(b);
    if (only == Query::no_site) return;
    double* const forward = &scratch(b, 0);  // [length][hidden], predictions from the left
    double *back = forward + length * hidden, *weighted = back + hidden;
    for (int h = 0; h < hidden; ++h) forward[h] = initial(h);
    for (int l = 1; l < length; ++l) {
      emit(forward + (l - 1) * hidden, &seen(b, l - 1, 0), weighted);
      multiply(weighted, matrices.data() + static_cast<std::int64_t>(l - 1) * matrix_stride, forward + l * hidden);
    }
    for (int h = 0; h < hidden; ++h) back[h] = 1;
    for (int l = length; l-- > 0;) {
      if (only == Query::all_sites || only == l) combine(b, l, forward + l * hidden, back, weighted);
      if (l == 0 || only == l) break;
      emit(back, &seen(b, l, 0), weighted);
      multiply(weighted, transposed.data() + static_cast<std::int64_t>(l - 1) * matrix_stride, back);
      scale(back);
    }
  }

 private:
  KOKKOS_FORCEINLINE_FUNCTION bool scale(double* v) const {
    double sum = 0;
    for (int h = 0; h < hidden; ++h) sum += v[h];
    if (!(sum > 0)) return false;
    for (int h = 0; h < hidden; ++h) v[h] /= sum;
    return true;
  }
  // to = from * m
  KOKKOS_FORCEINLINE_FUNCTION void multiply(double const* from, double const* m, double* to) const {
    for (int h = 0; h < hidden; ++h) to[h] = 0;
    for (int g = 0; g < hidden; ++g) {
      double const f = from[g];
      double const* const row = m + g * hidden;
      for (int h = 0; h < hidden; ++h) to[h] += f * row[h];
    }
  }
  // to = message * what is seen; where the two contradict each other what is seen alone, and where no hidden state can
  // emit that, the message alone
  KOKKOS_FORCEINLINE_FUNCTION void emit(double const* message, double const* emitted, double* to) const {
    for (int h = 0; h < hidden; ++h) to[h] = message[h] * emitted[h];
    if (scale(to)) return;
    for (int h = 0; h < hidden; ++h) to[h] = emitted[h];
    if (scale(to)) return;
    for (int h = 0; h < hidden; ++h) to[h] = message[h];
  }
  // out(b, l, .) proportional to (f * h) emissions; f alone where the two contradict each other
  KOKKOS_FORCEINLINE_FUNCTION void combine(int b, int l, double const* f, double const* g, double* weights) const {
    for (int h = 0; h < hidden; ++h) weights[h] = f[h] * g[h];
    if (!scale(weights)) {
      for (int h = 0; h < hidden; ++h) weights[h] = f[h];
    }
    double* const law = &out(b, l, 0);
    for (int k = 0; k < states; ++k) law[k] = 0;
    for (int h = 0; h < hidden; ++h) {
      double const* const row = emissions.data() + static_cast<std::int64_t>(l) * emission_stride + h * states;
      for (int k = 0; k < states; ++k) law[k] += weights[h] * row[k];
    }
  }
};

// Each [rows, columns] block of `matrices` with rows and columns exchanged.
std::vector<double> transposed(std::vector<double> const& matrices, std::size_t rows, std::size_t columns) {
  std::vector<double> turned(matrices.size());
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    std::size_t const block = i / (rows * columns), row = i / columns % rows, column = i % columns;
    turned[(block * columns + column) * rows + row] = matrices[i];
  }
  return turned;
}

class HiddenDenoiser final : public NativeModel {
 public:
  HiddenDenoiser(HiddenMarkov const& law, Generator const& generator, bool at_revealed)
      : NativeModel(law.name(), generator, law.length(), at_revealed), noise_(generator), hidden_(law.hidden_states()) {
    auto const n = static_cast<std::size_t>(hidden_), s = static_cast<std::size_t>(law.states());
    matrix_stride_ = law.transitions().size() == n * n ? 0 : hidden_ * hidden_;
    emission_stride_ = law.emissions().size() == n * s ? 0 : hidden_ * law.states();
    initial_ = to_device(law.initial(), "saltus::models::hidden::initial");
    matrices_ = to_device(law.transitions(), "saltus::models::hidden::matrices");
    transposed_matrices_ =
        to_device(transposed(law.transitions(), n, n), "saltus::models::hidden::transposed_matrices");
    emissions_ = to_device(law.emissions(), "saltus::models::hidden::emissions");
    transposed_emissions_ =
        to_device(transposed(law.emissions(), n, s), "saltus::models::hidden::transposed_emissions");
  }

  void reserve(Extents extents, int slots) override {
    NativeModel::reserve(extents, slots);
    noise_.reserve(extents);
    auto const batch = static_cast<std::size_t>(extents.batch), n = static_cast<std::size_t>(hidden_),
               sites = static_cast<std::size_t>(length());
    if (scratch_.extent(0) >= batch) return;
    scratch_ = Rows("saltus::models::hidden::scratch", batch, (sites + 2) * n);
    seen_ = Emissions::Table("saltus::models::hidden::seen", batch, sites, n);
  }

  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    int const batch = static_cast<int>(query.tokens.extent(0));
    if (batch == 0) return evaluation(slot);
    auto const noise = noise_.evaluate(exec, query.tokens, query.time);
    Kokkos::parallel_for(
        "saltus::models::hidden::seen",
        Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(exec, {0, 0}, {batch, length()}),
        SeenKernel{noise, transposed_emissions_, seen_, data_states(), hidden_, emission_stride_});
    Kokkos::parallel_for("saltus::models::hidden",
                         Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, batch),
                         HiddenKernel{query.only_site, seen_, output(slot), scratch_, initial_, matrices_,
                                      transposed_matrices_, emissions_, length(), data_states(), hidden_,
                                      matrix_stride_, emission_stride_});
    return evaluation(slot);
  }

 private:
  Emissions noise_;
  int hidden_, matrix_stride_, emission_stride_;
  Vectors initial_, matrices_, transposed_matrices_, emissions_, transposed_emissions_;
  Emissions::Table seen_;
  Rows scratch_;
};

}  // namespace

HiddenMarkov::HiddenMarkov(int length, int states, std::vector<double> initial, std::vector<double> transitions,
                           std::vector<double> emissions, std::string name)
    : length_(length), states_(states), hidden_(static_cast<int>(initial.size())), initial_(std::move(initial)),
      transitions_(std::move(transitions)), emissions_(std::move(emissions)), name_(std::move(name)) {
  require(length >= 1 && states >= 1 && hidden_ >= 1,
          "a hidden Markov chain needs at least 1 site, 1 state and 1 hidden state, got " + std::to_string(length) +
              ", " + std::to_string(states) + " and " + std::to_string(hidden_));
  auto const n = initial_.size(), s = static_cast<std::size_t>(states), sites = static_cast<std::size_t>(length);
  // How many blocks of `size` numbers there are: 1 or `most`.
  auto const blocks = [&](std::vector<double> const& values, std::size_t size, std::size_t most,
                          std::string const& what) {
    require(values.size() == size || values.size() == most * size,
            "a hidden Markov chain of " + std::to_string(length) + " sites needs 1 or " + std::to_string(most) + " " +
                what + ", got " + std::to_string(values.size()) + " numbers");
    return values.size() == size;
  };
  std::string const h = std::to_string(n);
  one_matrix_ = blocks(transitions_, n * n, sites - 1, "transition matrices of " + h + " x " + h);
  one_emission_ = blocks(emissions_, n * s, sites, "emission matrices of " + h + " x " + std::to_string(states));
  require_law(initial_, "the initial law");
  for (std::size_t row = 0; row * n < transitions_.size(); ++row) {
    require_law(std::span(transitions_).subspan(row * n, n),
                "row " + std::to_string(row % n) + " of transition matrix " + std::to_string(row / n));
  }
  for (std::size_t row = 0; row * s < emissions_.size(); ++row) {
    require_law(std::span(emissions_).subspan(row * s, s),
                "row " + std::to_string(row % n) + " of emission matrix " + std::to_string(row / n));
  }
}

double HiddenMarkov::log_likelihood(std::span<token_t const> x) const {
  auto const n = initial_.size(), s = static_cast<std::size_t>(states_);
  std::vector<double> message = initial_, next(n);
  double ln = 0;
  for (std::size_t l = 0; l < x.size(); ++l) {
    if (l > 0) {
      double const* const m = matrix(static_cast<int>(l) - 1);
      next.assign(n, 0);
      for (std::size_t g = 0; g < n; ++g) {
        for (std::size_t h = 0; h < n; ++h) next[h] += message[g] * m[g * n + h];
      }
      std::swap(message, next);
    }
    double sum = 0;
    for (std::size_t h = 0; h < n; ++h) {
      sum += message[h] *= emission(static_cast<int>(l))[h * s + static_cast<std::size_t>(x[l])];
    }
    if (sum == 0) return -std::numeric_limits<double>::infinity();
    for (double& p : message) p /= sum;
    ln += std::log(sum);
  }
  return ln;
}

std::pair<double, double> HiddenMarkov::entropy_and_error() const {
  std::vector<token_t> x(static_cast<std::size_t>(length_));
  if (std::pow(states_, length_) <= most_enumerated) {
    StateSpace const space(states_, length_);
    double sum = 0;
    for (std::size_t i = 0; i < space.size(); ++i) {
      space.tokens(i, x.data());
      double const ln = log_likelihood(x);
      if (std::isfinite(ln)) sum -= std::exp(ln) * ln;
    }
    return {sum, 0};
  }
  double mean = 0, squares = 0;  // Welford
  for (int i = 0; i < entropy_draws; ++i) {
    draw(entropy_seed, static_cast<std::uint64_t>(i), x);
    double const value = -log_likelihood(x), before = value - mean;
    mean += before / (i + 1);
    squares += before * (value - mean);
  }
  return {mean, std::sqrt(squares / (entropy_draws - 1) / entropy_draws)};
}

std::vector<double> HiddenMarkov::hidden_marginals() const {
  auto const n = initial_.size();
  std::vector<double> p(static_cast<std::size_t>(length_) * n, 0.0);
  std::copy(initial_.begin(), initial_.end(), p.begin());
  for (int l = 0; l + 1 < length_; ++l) {
    std::size_t const here = static_cast<std::size_t>(l) * n;
    for (std::size_t g = 0; g < n; ++g) {
      for (std::size_t h = 0; h < n; ++h) p[here + n + h] += p[here + g] * matrix(l)[g * n + h];
    }
  }
  return p;
}

std::vector<double> HiddenMarkov::site_marginals() const {
  auto const n = initial_.size(), s = static_cast<std::size_t>(states_);
  std::vector<double> const hidden = hidden_marginals();
  std::vector<double> p(static_cast<std::size_t>(length_) * s, 0.0);
  for (std::size_t i = 0; i < hidden.size(); ++i) {
    double const* const row = emission(static_cast<int>(i / n)) + i % n * s;
    for (std::size_t y = 0; y < s; ++y) p[i / n * s + y] += hidden[i] * row[y];
  }
  return p;
}

std::vector<double> HiddenMarkov::pair_marginals() const {
  auto const n = initial_.size(), s = static_cast<std::size_t>(states_);
  std::vector<double> const hidden = hidden_marginals();
  std::vector<double> pairs(static_cast<std::size_t>(length_ - 1) * s * s, 0.0), next(s);
  for (int l = 0; l + 1 < length_; ++l) {
    for (std::size_t g = 0; g < n; ++g) {
      next.assign(s, 0);  // law of the next token after hidden state g
      for (std::size_t h = 0; h < n; ++h) {
        for (std::size_t z = 0; z < s; ++z) next[z] += matrix(l)[g * n + h] * emission(l + 1)[h * s + z];
      }
      for (std::size_t y = 0; y < s; ++y) {
        double const p = hidden[static_cast<std::size_t>(l) * n + g] * emission(l)[g * s + y];
        for (std::size_t z = 0; z < s; ++z) pairs[(static_cast<std::size_t>(l) * s + y) * s + z] += p * next[z];
      }
    }
  }
  return pairs;
}

std::vector<double> HiddenMarkov::triple_marginals() const {
  auto const n = initial_.size(), s = static_cast<std::size_t>(states_);
  std::vector<double> const hidden = hidden_marginals();
  std::vector<double> triples, next(n), last(n);
  // to(h) = sum over g of from(g) * what emits `token` at site l * the way from g to h
  auto const through = [&](double const* from, int l, std::size_t token, std::vector<double>& to) {
    to.assign(n, 0);
    for (std::size_t g = 0; g < n; ++g) {
      double const p = from[g] * emission(l)[g * s + token];
      for (std::size_t h = 0; h < n; ++h) to[h] += p * matrix(l)[g * n + h];
    }
  };
  for (int l = 0; l + 2 < length_; ++l) {
    for (std::size_t x = 0; x < s; ++x) {
      through(hidden.data() + static_cast<std::size_t>(l) * n, l, x, next);
      for (std::size_t y = 0; y < s; ++y) {
        through(next.data(), l + 1, y, last);
        for (std::size_t z = 0; z < s; ++z) {
          double p = 0;
          for (std::size_t h = 0; h < n; ++h) p += last[h] * emission(l + 2)[h * s + z];
          triples.push_back(p);
        }
      }
    }
  }
  return triples;
}

void HiddenMarkov::draw(std::uint64_t seed, std::uint64_t sample, std::span<token_t> x) const {
  auto const n = initial_.size(), s = static_cast<std::size_t>(states_);
  int hidden = 0;
  for (std::size_t l = 0; l < x.size(); ++l) {
    RandomPair const random = StreamKey{seed, 0}.draw(sample, Role::ancestral, static_cast<std::uint32_t>(l));
    double const* const weights =
        l == 0 ? initial_.data() : matrix(static_cast<int>(l) - 1) + static_cast<std::size_t>(hidden) * n;
    hidden = draw_index({weights, n}, uniform53(random.event));
    double const* const row = emission(static_cast<int>(l)) + static_cast<std::size_t>(hidden) * s;
    x[l] = draw_index({row, s}, uniform53(random.target));
  }
}

std::shared_ptr<ScoreModel> HiddenMarkov::make_denoiser(Generator const& generator, bool at_revealed) const {
  return std::make_shared<HiddenDenoiser>(*this, generator, at_revealed);
}

}  // namespace saltus
