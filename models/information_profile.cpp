// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/information_profile.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/exact.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

namespace saltus {
namespace {

constexpr double most_table_work = 1e10;
constexpr int rows_at_a_time = 256;

double log_binomial(int n, int k) { return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1); }

// C(n, k) / C(m, i); 0 where C(n, k) is.
double binomial_ratio(int n, int k, int m, int i) {
  return k < 0 || k > n ? 0 : std::exp(log_binomial(n, k) - log_binomial(m, i));
}

double entropy_of(double const* p, std::size_t n) {
  double sum = 0;
  for (std::size_t y = 0; y < n; ++y) sum -= p[y] > 0 ? p[y] * std::log(p[y]) : 0;
  return sum;
}

std::vector<double> product_profile(ProductLaw const& law) {
  return std::vector<double>(static_cast<std::size_t>(law.length()), law.entropy() / law.length());
}

// ------------------------------------------------------------------------------------------------------------ tables

// Adds the entropies of every set of sites to sums[its size]: p is over `kept` sites that are in the set, then `open`
// ones that are in some sets and not in others.
void add_entropies(std::vector<double> const& p, std::size_t states, int kept, int open, std::vector<double>& sums) {
  if (open == 0) {
    sums[static_cast<std::size_t>(kept)] += entropy(p);
    return;
  }
  add_entropies(p, states, kept + 1, open - 1, sums);
  std::size_t block = 1;  // sequences of the open sites after the first
  for (int l = 1; l < open; ++l) block *= states;
  std::vector<double> without(p.size() / states, 0.0);
  for (std::size_t i = 0; i < p.size(); ++i) without[i / (block * states) * block + i % block] += p[i];
  add_entropies(without, states, kept, open - 1, sums);
}

double table_work(TableLaw const& law) { return std::pow(law.states() + 1, law.length()); }

std::vector<double> table_profile(TableLaw const& law) {
  int const length = law.length();
  require(table_work(law) <= most_table_work,
          "the profile of a table takes (states + 1)^length = " + to_text(table_work(law)) +
              " operations, more than 1e10; estimate it with sampled_profile()");
  std::vector<double> sums(static_cast<std::size_t>(length) + 1, 0.0), profile;
  add_entropies(law.probabilities(), static_cast<std::size_t>(law.states()), 0, length, sums);
  for (int i = 0; i < length; ++i) {
    auto const at = static_cast<std::size_t>(i);
    profile.push_back(sums[at + 1] / std::exp(log_binomial(length, i + 1)) -
                      sums[at] / std::exp(log_binomial(length, i)));
  }
  return profile;
}

// ------------------------------------------------------------------------------------------------------------ chains

// after[a][b] = H(x^b | x^a) for a < b.
std::vector<std::vector<double>> entropies_after(MarkovChain const& chain, std::vector<double> const& marginals) {
  auto const n = static_cast<std::size_t>(chain.states()), length = static_cast<std::size_t>(chain.length());
  std::vector<std::vector<double>> after(length, std::vector<double>(length, 0.0));
  std::vector<double> between, longer(n * n);
  for (std::size_t a = 0; a + 1 < length; ++a) {
    between.assign(n * n, 0.0);  // P(x^b | x^a)
    for (std::size_t x = 0; x < n; ++x) between[x * n + x] = 1;
    for (std::size_t b = a + 1; b < length; ++b) {
      std::fill(longer.begin(), longer.end(), 0.0);
      for (std::size_t x = 0; x < n; ++x) {
        for (std::size_t z = 0; z < n; ++z) {
          double const p = between[x * n + z];
          if (p == 0) continue;
          for (std::size_t y = 0; y < n; ++y) {
            longer[x * n + y] +=
                p * chain.transition(static_cast<int>(b - 1), static_cast<token_t>(z), static_cast<token_t>(y));
          }
        }
      }
      std::swap(between, longer);
      if (chain.homogeneous()) {  // the same matrix wherever the distance is the same
        for (std::size_t x = 0; x < n; ++x) {
          double const h = entropy_of(between.data() + x * n, n);
          for (std::size_t from = 0; from + b < length; ++from) after[from][from + b] += marginals[from * n + x] * h;
        }
      } else {
        for (std::size_t x = 0; x < n; ++x) {
          after[a][b] += marginals[a * n + x] * entropy_of(between.data() + x * n, n);
        }
      }
    }
    if (chain.homogeneous()) break;
  }
  return after;
}

// Given the revealed sites, a hidden site depends on the nearest one on each side alone. With a < d < b,
// H(d | a, b) = H(d | a) + H(b | d) - H(b | a), and of the i-sets of the other sites, a fraction
// C(L - 1 - (b - a), i - 2) / C(L - 1, i) has them as the nearest.
std::vector<double> chain_profile(MarkovChain const& chain) {
  int const length = chain.length();
  auto const n = static_cast<std::size_t>(chain.states()), L = static_cast<std::size_t>(length);
  std::vector<double> const marginals = chain.site_marginals();
  auto const after = entropies_after(chain, marginals);
  std::vector<double> alone(L), left(L, 0.0), right(L, 0.0), both(L, 0.0);
  for (std::size_t d = 0; d < L; ++d) alone[d] = entropy_of(marginals.data() + d * n, n);
  for (std::size_t a = 0; a < L; ++a) {
    for (std::size_t d = a + 1; d < L; ++d) {
      left[a] += after[a][d];                         // H(d | a)
      right[d] += alone[a] + after[a][d] - alone[d];  // H(a | d)
      for (std::size_t b = d + 1; b < L; ++b) both[b - a] += after[a][d] + after[d][b] - after[a][b];
    }
  }
  std::vector<double> profile(L, 0.0);
  profile[0] = std::accumulate(alone.begin(), alone.end(), 0.0) / length;
  for (int i = 1; i < length; ++i) {
    double& h = profile[static_cast<std::size_t>(i)];
    for (int s = 0; s < length; ++s) {
      auto const at = static_cast<std::size_t>(s);
      h += binomial_ratio(s, i - 1, length - 1, i) * left[at];                // none revealed after d
      h += binomial_ratio(length - 1 - s, i - 1, length - 1, i) * right[at];  // none before
      h += binomial_ratio(length - 1 - s, i - 2, length - 1, i) * both[at];   // s = b - a
    }
    h /= length;
  }
  return profile;
}

// ---------------------------------------------------------------------------------------------------------- sampling

using Ranks = Kokkos::View<int**, Kokkos::LayoutRight, MemorySpace>;
using Entropies = Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace>;

// Sites of rank `revealed` and above are masked.
struct MaskKernel {
  Tokens data;
  Ranks ranks;
  Tokens tokens;
  int revealed;
  token_t mask;
  KOKKOS_FUNCTION void operator()(int b, int l) const { tokens(b, l) = ranks(b, l) < revealed ? data(b, l) : mask; }
};

// Entropies of the normalised laws at masked sites.
template <class Number>
struct EntropyKernel {
  Tokens tokens;
  Number const* scores;
  std::int64_t row_stride, site_stride;
  Entropies out;
  int states;
  token_t mask;
  bool logarithmic;

  KOKKOS_FUNCTION void operator()(int b, int l) const {
    out(b, l) = 0;
    if (tokens(b, l) != mask) return;
    Number const* const row = scores + b * row_stride + l * site_stride;
    double top = 0;
    if (logarithmic) {
      top = -Kokkos::Experimental::infinity_v<double>;
      for (int y = 0; y < states; ++y) top = y != mask && static_cast<double>(row[y]) > top ? static_cast<double>(row[y]) : top;
    }
    double sum = 0, weighted = 0;
    for (int y = 0; y < states; ++y) {
      if (y == mask) continue;
      auto const v = static_cast<double>(row[y]);
      double const ln = logarithmic ? v - top : Kokkos::log(v), p = logarithmic ? Kokkos::exp(ln) : v;
      if (p <= 0) continue;
      sum += p;
      weighted += p * ln;
    }
    out(b, l) = Kokkos::log(sum) - weighted / sum;
  }
};

}  // namespace

bool has_information_profile(SequenceLaw const& law) {
  if (auto const* const table = dynamic_cast<TableLaw const*>(&law)) return table_work(*table) <= most_table_work;
  return dynamic_cast<ProductLaw const*>(&law) != nullptr || dynamic_cast<MarkovChain const*>(&law) != nullptr;
}

std::vector<double> information_profile(SequenceLaw const& law) {
  if (auto const* const product = dynamic_cast<ProductLaw const*>(&law)) return product_profile(*product);
  if (auto const* const chain = dynamic_cast<MarkovChain const*>(&law)) return chain_profile(*chain);
  if (auto const* const table = dynamic_cast<TableLaw const*>(&law)) return table_profile(*table);
  throw UserError("the information profile of the law '" + law.name() +
                  "' has no exact form; chain, product and table have, and sampled_profile() estimates it");
}

SampledProfile sampled_profile(ExecSpace const& exec, ScoreModel& model, HostTokens const& data, std::uint64_t seed) {
  ModelInfo const info = model.info();
  int const draws = data.extent_int(0), length = data.extent_int(1);
  require(info.mask.has_value() && info.time == TimeInput::none,
          "a profile needs a masked model that is not told the time; '" + info.name + "' is not one");
  require(draws >= 2 && length >= 1 && (info.length == 0 || info.length == length),
          "a profile of '" + info.name + "' needs at least 2 sequences of its length (" + std::to_string(info.length) +
              "; 0: any), got " + std::to_string(draws) + " of length " + std::to_string(length));
  int const most = std::min(draws, rows_at_a_time);
  model.reserve({most, length}, 1);
  auto const L = static_cast<std::size_t>(length);
  SampledProfile profile{std::vector<double>(L, 0.0), std::vector<double>(L, 0.0)};  // `error` holds squares at first
  std::vector<int> order(L);
  std::vector<std::uint64_t> when(L);
  for (int first = 0; first < draws; first += most) {
    int const batch = std::min(most, draws - first);
    auto const rows = static_cast<std::size_t>(batch);
    Tokens const clean("saltus::models::profile::clean", rows, L), tokens("saltus::models::profile::tokens", rows, L);
    Ranks const ranks("saltus::models::profile::ranks", rows, L);
    Entropies const entropies("saltus::models::profile::entropies", rows, L);
    auto const host_clean = Kokkos::create_mirror_view(clean);
    auto const host_ranks = Kokkos::create_mirror_view(ranks);
    auto const host_entropies = Kokkos::create_mirror_view(entropies);
    for (int b = 0; b < batch; ++b) {
      for (std::size_t l = 0; l < L; ++l) {
        token_t const token = data(first + b, l);
        require(token >= 0 && token < info.states && token != *info.mask,
                "sequence " + std::to_string(first + b) + " has the token " + std::to_string(token) + " at site " +
                    std::to_string(l) + ", which '" + info.name + "' does not know");
        host_clean(b, l) = token;
        auto const draw = static_cast<std::uint64_t>(first + b);
        when[l] = StreamKey{seed, 0}.draw(draw, Role::order, static_cast<std::uint32_t>(l)).event;
      }
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int l, int d) {
        return when[static_cast<std::size_t>(l)] < when[static_cast<std::size_t>(d)];
      });
      for (int rank = 0; rank < length; ++rank) host_ranks(b, order[static_cast<std::size_t>(rank)]) = rank;
    }
    Kokkos::deep_copy(exec, clean, host_clean);
    Kokkos::deep_copy(exec, ranks, host_ranks);
    using Policy = Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>;
    Policy const policy(exec, {0, 0}, {batch, length});
    for (int i = 0; i < length; ++i) {
      Kokkos::parallel_for("saltus::models::profile::mask", policy, MaskKernel{clean, ranks, tokens, i, *info.mask});
      Evaluation const e = model.evaluate(exec, {tokens, {}, {}}, 0);
      visit_numbers(e.data, e.type, [&]<class Number>(Number const* scores) {
        Kokkos::parallel_for("saltus::models::profile::entropies", policy,
                             EntropyKernel<Number>{tokens, scores, e.row_stride, e.site_stride, entropies, info.states,
                                                   *info.mask, is_logarithmic(e.kind)});
      });
      Kokkos::deep_copy(exec, host_entropies, entropies);
      exec.fence("saltus::models::profile: entropies are averaged on the host");
      auto const at = static_cast<std::size_t>(i);
      for (int b = 0; b < batch; ++b) {
        double sum = 0;
        for (std::size_t l = 0; l < L; ++l) sum += host_entropies(b, l);
        double const value = sum / (length - i), before = value - profile.mean[at];
        profile.mean[at] += before / (first + b + 1);
        profile.error[at] += before * (value - profile.mean[at]);
      }
    }
  }
  for (double& square : profile.error) square = std::sqrt(square / (draws - 1) / draws);
  return profile;
}

// ------------------------------------------------------------------------------------------------------------ blocks

namespace {

// cost(i, n) of revealing n sites together after i, through prefix sums of the profile.
class BlockCost {
 public:
  explicit BlockCost(std::span<double const> profile) : profile_(profile), sums_(profile.size() + 1, 0.0) {
    std::partial_sum(profile.begin(), profile.end(), sums_.begin() + 1);
  }
  double operator()(int i, int n) const {
    if (n < 2) return 0;
    auto const from = static_cast<std::size_t>(i);
    return n * profile_[from] - (sums_[from + static_cast<std::size_t>(n)] - sums_[from]);
  }

 private:
  std::span<double const> profile_;
  std::vector<double> sums_;
};

void require_blocks(int length, int count) {
  require(count >= 1 && count <= length, "the number of blocks must lie between 1 and the length, " +
                                             std::to_string(length) + ", got " + std::to_string(count));
}

}  // namespace

double parallel_cost(std::span<double const> profile, std::span<int const> blocks) {
  std::size_t sum = 0;
  for (int const n : blocks) {
    require(n >= 1, "blocks must have at least 1 site, got " + std::to_string(n));
    sum += static_cast<std::size_t>(n);
  }
  require(sum == profile.size(), "the blocks must have " + std::to_string(profile.size()) + " sites together, got " +
                                     std::to_string(sum));
  BlockCost const cost(profile);
  double total = 0;
  int revealed = 0;
  for (int const n : blocks) {
    total += cost(revealed, n);
    revealed += n;
  }
  return total;
}

namespace {
// The nearest profile that does not increase, as those of laws do not, by least squares: neighbours that do are averaged
// (Ayer et al. 1955).
std::vector<double> without_rises(std::span<double const> profile) {
  std::vector<std::pair<double, std::size_t>> pools;  // mean, number
  for (double const h : profile) {
    pools.emplace_back(h, 1);
    while (pools.size() > 1 && pools.back().first > pools[pools.size() - 2].first) {
      auto const [mean, n] = pools.back();
      pools.pop_back();
      auto& [before, m] = pools.back();
      before = (before * static_cast<double>(m) + mean * static_cast<double>(n)) / static_cast<double>(m + n);
      m += n;
    }
  }
  std::vector<double> out;
  for (auto const& [mean, n] : pools) out.insert(out.end(), n, mean);
  return out;
}
}  // namespace

std::vector<int> optimal_blocks(std::span<double const> estimate, int count, double* cost) {
  int const length = static_cast<int>(estimate.size());
  require_blocks(length, count);
  std::vector<double> const profile = without_rises(estimate);
  BlockCost const block_cost(profile);
  auto const L = static_cast<std::size_t>(length), M = static_cast<std::size_t>(count);
  // best[m][e]: least cost of revealing the first e sites in m blocks; start[m][e]: where the last of them begins
  std::vector<std::vector<double>> best(M + 1, std::vector<double>(L + 1, std::numeric_limits<double>::infinity()));
  std::vector<std::vector<int>> start(M + 1, std::vector<int>(L + 1, 0));
  best[0][0] = 0;
  for (int m = 1; m <= count; ++m) {
    auto const& before = best[static_cast<std::size_t>(m - 1)];
    for (int e = m; e <= length; ++e) {
      double& least = best[static_cast<std::size_t>(m)][static_cast<std::size_t>(e)];
      for (int s = m - 1; s < e; ++s) {
        double const here = before[static_cast<std::size_t>(s)] + block_cost(s, e - s);
        if (!(here < least)) continue;
        least = here;
        start[static_cast<std::size_t>(m)][static_cast<std::size_t>(e)] = s;
      }
    }
  }
  if (cost != nullptr) *cost = best[M][L];
  std::vector<int> blocks(M);
  for (int e = length, m = count; m > 0; --m) {
    int const s = start[static_cast<std::size_t>(m)][static_cast<std::size_t>(e)];
    blocks[static_cast<std::size_t>(m - 1)] = e - s;
    e = s;
  }
  return blocks;
}

std::vector<int> equal_blocks(int length, int count) {
  require_blocks(length, count);
  std::vector<int> blocks(static_cast<std::size_t>(count), length / count);
  for (int k = 0; k < length % count; ++k) ++blocks[static_cast<std::size_t>(k)];
  return blocks;
}

double binomial_cost(std::span<double const> profile, std::span<double const> reveal) {
  for (double const r : reveal) {
    require(r >= 0 && r <= 1, "probabilities of being revealed must lie in [0, 1], got " + to_text(r));
  }
  require(!reveal.empty() && reveal.back() == 1,
          "the last step must reveal every mask: its probability must be 1, got " +
              (reveal.empty() ? "no steps" : to_text(reveal.back())));
  int const length = static_cast<int>(profile.size());
  BlockCost const cost(profile);
  std::vector<double> revealed(profile.size() + 1, 0.0), next;  // law of the number of revealed sites
  revealed[0] = 1;
  double total = 0;
  for (double const r : reveal) {
    next.assign(revealed.size(), 0.0);
    double const ln_yes = std::log(r), ln_no = std::log1p(-r);
    for (int i = 0; i <= length; ++i) {
      double const here = revealed[static_cast<std::size_t>(i)];
      if (here == 0) continue;
      for (int n = 0; n <= length - i; ++n) {
        int const kept = length - i - n;
        double const p = here * std::exp(log_binomial(length - i, n) + (n == 0 ? 0 : n * ln_yes) +
                                         (kept == 0 ? 0 : kept * ln_no));
        next[static_cast<std::size_t>(i + n)] += p;
        total += p * cost(i, n);
      }
    }
    std::swap(revealed, next);
  }
  return total;
}

double binomial_cost(std::span<double const> profile, int steps) {
  require(steps >= 1, "expected at least 1 step, got " + std::to_string(steps));
  std::vector<double> reveal;
  for (int k = 0; k < steps; ++k) reveal.push_back(1.0 / (steps - k));
  return binomial_cost(profile, reveal);
}

}  // namespace saltus
