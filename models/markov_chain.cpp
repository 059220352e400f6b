// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/markov_chain.hpp>

#include <cmath>

#include <saltus/ctmc/error.hpp>
#include <saltus/models/hidden_markov.hpp>
#include <saltus/models/native_model.hpp>

namespace saltus {
namespace {

using Vectors = Kokkos::View<double const*, MemorySpace>;

// Leave-one-out laws of one row by messages (A§17.22). `width` is states rounded up so that loops over it have no tail;
// the padding is 0. A message is either a point (a revealed neighbour) or a vector.
struct ChainKernel {
  Tokens tokens;
  Times total;  // sigma_bar of each row; uniform noise
  Kokkos::View<int const*, MemorySpace> only_site;
  Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace> out;
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> scratch;  // [batch, (length + 2) * width]
  Vectors initial;     // [width]
  Vectors matrices;    // [1 or length - 1, width, width]
  Vectors transposed;  // the same with rows and columns exchanged
  int length, states, width, matrix_stride;
  token_t mask;  // -1: uniform noise
  bool at_revealed;

  KOKKOS_FUNCTION void operator()(int b) const {
    int const only = only_site.size() == 0 ? Query::all_sites : only_site(b);
    if (only == Query::no_site) return;
    if (mask >= 0) {
      masked(b, only);
    } else {
      uniform(b);
    }
  }

 private:
  KOKKOS_FORCEINLINE_FUNCTION double const* matrix(int l) const { return matrices.data() + static_cast<std::int64_t>(l) * matrix_stride; }
  KOKKOS_FORCEINLINE_FUNCTION double const* transpose(int l) const { return transposed.data() + static_cast<std::int64_t>(l) * matrix_stride; }

  // to = from * m (rows of m weighted by from); returns nothing, sums are kept by the matrices' rows summing to 1
  KOKKOS_FORCEINLINE_FUNCTION void multiply(double const* from, double const* m, double* to) const {
    for (int y = 0; y < width; ++y) to[y] = 0;
    for (int x = 0; x < states; ++x) {
      double const f = from[x];
      double const* const row = m + x * width;
      for (int y = 0; y < width; ++y) to[y] += f * row[y];
    }
  }
  KOKKOS_FORCEINLINE_FUNCTION double scale(double* v) const {
    double sum = 0;
    for (int y = 0; y < states; ++y) sum += v[y];
    if (sum > 0) {
      for (int y = 0; y < states; ++y) v[y] /= sum;
    }
    return sum;
  }
  // to = message * emission of token x; the emission alone where they contradict each other (only without noise)
  KOKKOS_FORCEINLINE_FUNCTION void emit(double const* message, token_t x, double alpha, double off, double* to) const {
    for (int y = 0; y < width; ++y) to[y] = message[y] * off;
    to[x] += message[x] * alpha;
    if (scale(to) > 0) return;
    for (int y = 0; y < states; ++y) to[y] = off;
    to[x] += alpha;
  }
  // out(b, l, .) proportional to f * h; f alone where the two contradict each other (a context that the chain cannot have)
  KOKKOS_FORCEINLINE_FUNCTION void combine(int b, int l, double const* f, double const* h) const {
    double sum = 0;
    for (int y = 0; y < states; ++y) sum += f[y] * h[y];
    bool const possible = sum > 0;
    if (!possible) {
      for (int y = 0; y < states; ++y) sum += f[y];
    }
    for (int y = 0; y < states; ++y) out(b, l, y) = (possible ? f[y] * h[y] : f[y]) / sum;
  }

  // Absorbing noise: of every site only the revealed neighbours on both sides count, and the masks between them.
  KOKKOS_FUNCTION void masked(int b, int only) const {
    bool const all = only == Query::all_sites;
    if (!all && !wanted(b, only)) return;
    int begin = all ? 0 : only, end = all ? length : only + 1;
    if (!all) {
      while (begin > 0 && tokens(b, begin - 1) == mask) --begin;
      while (end < length && tokens(b, end) == mask) ++end;
    }
    double* const forward = &scratch(b, 0);  // [length][width], predictions from the left
    for (int d = begin; d < (all ? end : only + 1); ++d) {
      if (!wanted(b, d)) continue;
      double* const f = forward + d * width;
      if (d > 0 && tokens(b, d - 1) == mask) {
        multiply(forward + (d - 1) * width, matrix(d - 1), f);
      } else {
        double const* const source = d == 0 ? initial.data() : matrix(d - 1) + tokens(b, d - 1) * width;
        for (int y = 0; y < width; ++y) f[y] = source[y];
      }
    }
    double *h = forward + length * width, *right = forward + (length + 1) * width;  // likelihoods from the right
    for (int d = end; d-- > (all ? begin : only);) {
      if (!wanted(b, d)) continue;
      if (d + 1 < length && tokens(b, d + 1) == mask) {
        multiply(right, transpose(d), h);
        scale(h);
      } else if (d + 1 < length) {
        double const* const source = transpose(d) + tokens(b, d + 1) * width;
        for (int y = 0; y < width; ++y) h[y] = source[y];
      } else {
        for (int y = 0; y < width; ++y) h[y] = 1;
      }
      if (all || d == only) combine(b, d, forward + d * width, h);
      double* const swap = h;
      h = right;
      right = swap;
    }
  }
  KOKKOS_FORCEINLINE_FUNCTION bool wanted(int b, int l) const { return at_revealed || tokens(b, l) == mask; }

  // Uniform noise: a hidden Markov chain with emission P(k, x) = alpha 1[k = x] + (1 - alpha)/states.
  KOKKOS_FUNCTION void uniform(int b) const {
    double const alpha = Kokkos::exp(-total(b)), off = -Kokkos::expm1(-total(b)) / states;
    double* const forward = &scratch(b, 0);
    double *h = forward + length * width, *weighted = forward + (length + 1) * width;
    for (int d = 0; d < length; ++d) {
      double* const f = forward + d * width;
      if (d == 0) {
        for (int y = 0; y < width; ++y) f[y] = initial(y);
      } else {
        emit(forward + (d - 1) * width, tokens(b, d - 1), alpha, off, weighted);
        multiply(weighted, matrix(d - 1), f);
      }
    }
    for (int y = 0; y < width; ++y) h[y] = 1;
    for (int d = length; d-- > 0;) {
      combine(b, d, forward + d * width, h);
      if (d == 0) break;
      emit(h, tokens(b, d), alpha, off, weighted);
      multiply(weighted, transpose(d - 1), h);
      scale(h);
    }
  }
};

class ChainDenoiser final : public NativeModel {
 public:
  ChainDenoiser(MarkovChain const& chain, Generator const& generator, bool at_revealed)
      : NativeModel(chain.name(), generator, chain.length(), at_revealed), width_((chain.states() + 7) / 8 * 8) {
    auto const n = static_cast<std::size_t>(chain.states()), width = static_cast<std::size_t>(width_);
    std::size_t const count = chain.transitions().size() / (n * n);
    std::vector<double> first(width, 0.0), plain(count * width * width, 0.0), turned(plain);
    std::copy(chain.initial().begin(), chain.initial().end(), first.begin());
    for (std::size_t l = 0; l < count; ++l) {
      for (std::size_t x = 0; x < n; ++x) {
        for (std::size_t y = 0; y < n; ++y) {
          double const p = chain.transitions()[(l * n + x) * n + y];
          plain[(l * width + x) * width + y] = p;
          turned[(l * width + y) * width + x] = p;
        }
      }
    }
    matrix_stride_ = count == 1 ? 0 : width_ * width_;
    initial_ = to_device(first, "saltus::models::chain::initial");
    matrices_ = to_device(plain, "saltus::models::chain::matrices");
    transposed_ = to_device(turned, "saltus::models::chain::transposed");
  }

  void reserve(Extents extents, int slots) override {
    NativeModel::reserve(extents, slots);
    auto const batch = static_cast<std::size_t>(extents.batch);
    if (scratch_.extent(0) < batch) {
      scratch_ = decltype(scratch_)("saltus::models::chain::scratch", batch,
                                    static_cast<std::size_t>(extents.length + 2) * static_cast<std::size_t>(width_));
    }
  }

  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    Kokkos::parallel_for("saltus::models::chain",
                         Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, static_cast<int>(query.tokens.extent(0))),
                         ChainKernel{query.tokens, query.time, query.only_site, output(slot), scratch_, initial_, matrices_,
                                     transposed_, length(), data_states(), width_, matrix_stride_, mask(),
                                     info().leave_one_out_at_revealed});
    return evaluation(slot);
  }

 private:
  int width_, matrix_stride_;
  Vectors initial_, matrices_, transposed_;
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> scratch_;
};

}  // namespace

MarkovChain::MarkovChain(int length, int states, std::vector<double> initial, std::vector<double> transitions, std::string name)
    : length_(length), states_(states), initial_(std::move(initial)), transitions_(std::move(transitions)), name_(std::move(name)) {
  auto const n = static_cast<std::size_t>(states);
  require(length >= 1 && states >= 1, "a chain needs at least 1 site and 1 state");
  require(initial_.size() == n, "the initial law needs " + std::to_string(states) + " probabilities, got " + std::to_string(initial_.size()));
  std::size_t const count = transitions_.size() / (n * n);
  require(transitions_.size() == count * n * n && (count == 1 || count == static_cast<std::size_t>(length - 1)),
          "a chain of " + std::to_string(length) + " sites and " + std::to_string(states) + " states needs 1 or " +
              std::to_string(length - 1) + " matrices of " + std::to_string(states) + " x " + std::to_string(states) +
              ", got " + std::to_string(transitions_.size()) + " numbers");
  require_law(initial_, "the initial law");
  for (std::size_t row = 0; row < count * n; ++row) {
    require_law(std::span(transitions_).subspan(row * n, n), "row " + std::to_string(row % n) + " of matrix " + std::to_string(row / n));
  }
}

MarkovChain MarkovChain::fit(std::span<token_t const> tokens, std::size_t count, int length, int states, double pseudo_count, bool homogeneous) {
  require(count >= 1, "fitting needs at least 1 sequence");
  require(pseudo_count > 0, "the pseudo-count must be above 0, got " + std::to_string(pseudo_count));
  auto const n = static_cast<std::size_t>(states), width = static_cast<std::size_t>(length);
  SALTUS_ASSERT(tokens.size() == count * width);
  std::size_t const matrices = homogeneous || length < 2 ? 1 : width - 1;
  std::vector<double> initial(n, pseudo_count / states), transitions(matrices * n * n, pseudo_count / states);
  for (std::size_t i = 0; i < count; ++i) {
    auto const x = tokens.subspan(i * width, width);
    initial[static_cast<std::size_t>(x[0])] += 1;
    for (std::size_t l = 0; l + 1 < width; ++l) {
      transitions[((homogeneous ? 0 : l) * n + static_cast<std::size_t>(x[l])) * n + static_cast<std::size_t>(x[l + 1])] += 1;
    }
  }
  auto normalise = [](std::span<double> p) {
    double sum = 0;
    for (double const value : p) sum += value;
    for (double& value : p) value /= sum;
  };
  normalise(initial);
  for (std::size_t row = 0; row < matrices * n; ++row) normalise(std::span(transitions).subspan(row * n, n));
  return {length, states, std::move(initial), std::move(transitions)};
}

MarkovChain MarkovChain::countdown(int states, int length) {
  auto const n = static_cast<std::size_t>(states);
  std::vector<double> transitions(n * n, 0.0);
  for (std::size_t y = 0; y < n; ++y) transitions[y] = 1.0 / states;
  for (std::size_t x = 1; x < n; ++x) transitions[x * n + x - 1] = 1;
  return {length, states, std::vector<double>(n, 1.0 / states), std::move(transitions), "countdown"};
}

double MarkovChain::log_likelihood(std::span<token_t const> x) const {
  double sum = std::log(initial_[static_cast<std::size_t>(x[0])]);
  for (std::size_t l = 0; l + 1 < x.size(); ++l) sum += std::log(transition(static_cast<int>(l), x[l], x[l + 1]));
  return sum;
}

std::vector<double> MarkovChain::site_marginals() const {
  auto const n = static_cast<std::size_t>(states_);
  std::vector<double> p = initial_;
  for (int l = 0; l + 1 < length_; ++l) {
    double const* const m = matrix(l);
    std::size_t const here = static_cast<std::size_t>(l) * n;
    p.resize(here + 2 * n, 0.0);
    for (std::size_t x = 0; x < n; ++x) {
      for (std::size_t y = 0; y < n; ++y) p[here + n + y] += p[here + x] * m[x * n + y];
    }
  }
  return p;
}

std::vector<double> MarkovChain::pair_marginals() const {
  auto const n = static_cast<std::size_t>(states_);
  std::vector<double> const sites = site_marginals();
  std::vector<double> pairs;
  for (int l = 0; l + 1 < length_; ++l) {
    for (std::size_t i = 0; i < n * n; ++i) pairs.push_back(sites[static_cast<std::size_t>(l) * n + i / n] * matrix(l)[i]);
  }
  return pairs;
}

std::vector<double> MarkovChain::triple_marginals() const {
  auto const n = static_cast<std::size_t>(states_);
  std::vector<double> const pairs = pair_marginals();
  std::vector<double> triples;
  for (int l = 0; l + 2 < length_; ++l) {
    double const* const here = pairs.data() + static_cast<std::size_t>(l) * n * n;
    for (std::size_t i = 0; i < n * n * n; ++i) triples.push_back(here[i / n] * matrix(l + 1)[i % (n * n)]);
  }
  return triples;
}

double MarkovChain::entropy() const {
  // H(x) = -sum over sites and pairs of p ln p(next | this)
  double sum = 0;
  for (double const p : initial_) sum -= p > 0 ? p * std::log(p) : 0;
  std::vector<double> const pairs = pair_marginals();
  auto const n = static_cast<std::size_t>(states_);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (pairs[i] > 0) sum -= pairs[i] * std::log(matrix(static_cast<int>(i / (n * n)))[i % (n * n)]);
  }
  return sum;
}

void MarkovChain::draw(std::uint64_t seed, std::uint64_t sample, std::span<token_t> x) const {
  auto const n = static_cast<std::size_t>(states_);
  for (std::size_t l = 0; l < x.size(); ++l) {
    double const u = uniform53(StreamKey{seed, 0}.draw(sample, Role::ancestral, static_cast<std::uint32_t>(l)).event);
    double const* const weights = l == 0 ? initial_.data() : matrix(static_cast<int>(l) - 1) + static_cast<std::size_t>(x[l - 1]) * n;
    x[l] = draw_index({weights, n}, u);
  }
}

std::shared_ptr<ScoreModel> MarkovChain::make_denoiser(Generator const& generator, bool at_revealed) const {
  if (generator.kind() == Generator::Kind::dense) {
    // The same messages with emissions that are not closed forms: a hidden chain whose states show themselves.
    auto const n = static_cast<std::size_t>(states_);
    std::vector<double> identity(n * n, 0.0);
    for (std::size_t y = 0; y < n; ++y) identity[y * n + y] = 1;
    return HiddenMarkov(length_, states_, initial_, transitions_, std::move(identity), name_)
        .denoiser(generator);
  }
  return std::make_shared<ChainDenoiser>(*this, generator, at_revealed);
}

}  // namespace saltus
