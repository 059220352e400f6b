// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <saltus/ctmc/poisson.hpp>
#include <saltus/ctmc/process.hpp>
#include <saltus/ctmc/random.hpp>

#include "noise.hpp"
#include "site_law.hpp"

/// Scalar twins of methods that are neither exact nor have a law by site: one row at a time, plain loops on the host, from
/// the reference document and the methods' descriptions. They draw the same numbers (ctmc/random.hpp, docs/determinism.md),
/// so that tokens must agree one by one.
namespace saltus::reference {

/// A model's numbers for one sequence, [site][state].
using Numbers = std::vector<std::vector<long double>>;

struct TwinProcess {
  ScoreKind kind;
  int states;
  std::optional<int> mask;  ///< set: absorbing generator
  bool normalise;           ///< scores are taken as unnormalised laws
  Noise noise;
  std::function<Numbers(std::vector<token_t> const& tokens, double time)> ask;

  bool scheduled() const { return normalise || is_x0(kind); }  ///< the schedule alone gives the hazard of a mask
};

struct TwinRow {
  std::vector<token_t> tokens;
  std::vector<int> frozen;
  double time;
  std::uint64_t sample;
  int evaluations = 0;

  bool is_frozen(std::size_t l) const { return !frozen.empty() && frozen[l] != 0; }
};

struct TwinStep {
  int index, steps;
  double from, to;
  long double phi = 1, power = 1;
  bool forced = false;
  int remaining() const { return steps - index; }
};

/// Carries a row over a step. It may remember: one for each row.
using Twin = std::function<void(TwinProcess const&, TwinRow&, TwinStep const&, StreamKey)>;

// ------------------------------------------------------------------------------------------------------------- pieces

inline long double uniform_of(std::uint64_t word) { return static_cast<long double>(word >> 11) / (1ull << 53); }
inline long double gumbel_of(std::uint64_t word) { return -std::log(-std::log1p(-uniform_of(word))); }
inline RandomPair numbers_of(StreamKey key, TwinRow const& row, std::size_t l) {
  return key.draw(row.sample, Role::step, static_cast<std::uint32_t>(l));
}

/// Inversion of the cumulative weights in the order of the states.
inline token_t draw_from(Reals const& weights, long double uniform) {
  long double rest = uniform * std::accumulate(weights.begin(), weights.end(), 0.0L);
  token_t found = -1;
  for (std::size_t y = 0; y < weights.size(); ++y) {
    if (!(weights[y] > 0)) continue;
    found = static_cast<token_t>(y);
    if (rest < weights[y]) break;
    rest -= weights[y];
  }
  return found;
}

/// The law of the clean token that a masked model's row says, the mask left out; not normalised: `mass`.
inline Reals clean_law(TwinProcess const& p, std::vector<long double> const& row, long double power, long double* mass = nullptr) {
  Site const site{.kind = p.kind, .row = row, .own = *p.mask, .mask = p.mask, .power = power};
  Reals law = positive_row(site);
  law[static_cast<std::size_t>(*p.mask)] = 0;
  long double const sum = std::accumulate(law.begin(), law.end(), 0.0L);
  if (mass) *mass = sum;
  for (long double& x : law) x /= sum;
  return law;
}

inline std::vector<std::size_t> masked_sites(TwinProcess const& p, TwinRow const& row) {
  std::vector<std::size_t> sites;
  for (std::size_t l = 0; l < row.tokens.size(); ++l) {
    if (row.tokens[l] == *p.mask && !row.is_frozen(l)) sites.push_back(l);
  }
  return sites;
}

inline long double entropy_of(Reals const& law) {
  long double h = 0;
  for (long double const x : law) h -= x > 0 ? x * std::log(x) : 0;
  return h;
}
inline std::size_t argmax_of(Reals const& law) {
  return static_cast<std::size_t>(std::max_element(law.begin(), law.end()) - law.begin());
}
inline long double margin_of(Reals law) {
  std::sort(law.rbegin(), law.rend());
  return law[0] - law[1];
}

/// A proposed token and how sure the model is of it (A§9.1).
struct Guess {
  token_t token;
  long double sure;
};
inline Guess guess(Reals const& law, std::string const& score, long double temperature, std::uint64_t word) {
  Reals tempered = law;
  for (long double& x : tempered) x = temperature > 0 && x > 0 ? std::exp(std::log(x) / temperature) : 0;
  auto const token =
      temperature > 0 ? draw_from(tempered, uniform_of(word)) : static_cast<token_t>(argmax_of(law));
  return {token, score == "confidence" ? law[static_cast<std::size_t>(token)]
                 : score == "margin"   ? margin_of(law)
                                       : -entropy_of(law)};
}

/// The first `count` of `sites` by their keys, ties to the left.
inline std::vector<std::size_t> soonest(std::vector<std::size_t> sites, Reals const& keys, std::size_t count) {
  std::vector<std::size_t> order(sites.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto i, auto j) { return keys[i] < keys[j]; });
  order.resize(std::min(count, order.size()));
  return order;
}

inline std::size_t divided(std::size_t n, int parts) {
  return (n + static_cast<std::size_t>(parts) - 1) / static_cast<std::size_t>(parts);
}

// ------------------------------------------------------------------------------------------- independent sites and races

/// What one site does in a step by itself.
inline SiteLaw law_of_site(TwinProcess const& p, std::string const& method, TwinRow const& row, Numbers const& numbers,
                           std::size_t l, TwinStep const& step) {
  StepNoise const noise(p.noise, step.from, step.to);
  Site const site{.kind = p.kind,
                  .row = numbers[l],
                  .own = row.tokens[l],
                  .mask = p.mask,
                  .normalise = p.normalise,
                  .phi = step.phi,
                  .power = step.power,
                  .forced = step.forced};
  return method == "euler" ? euler_reverse(site, noise) : tweedie_reverse(site, noise);
}

/// euler or tweedie over one step, with the numbers of `key`, which names the step.
inline void independent(TwinProcess const& p, std::string const& method, TwinRow& row, Numbers const& numbers,
                        TwinStep const& step, StreamKey key) {
  TwinRow const before = row;
  for (std::size_t l = 0; l < row.tokens.size(); ++l) {
    if (row.is_frozen(l) || (p.mask && row.tokens[l] != *p.mask)) continue;
    Reals law = law_of_site(p, method, before, numbers, l, step).p;
    law[static_cast<std::size_t>(before.tokens[l])] = 0;
    RandomPair const random = numbers_of(key, row, l);
    if (uniform_of(random.event) < std::accumulate(law.begin(), law.end(), 0.0L))
      row.tokens[l] = draw_from(law, uniform_of(random.target));
  }
  row.time = step.to;
}

inline Numbers asked(TwinProcess const& p, TwinRow& row) {
  ++row.evaluations;
  return p.ask(row.tokens, row.time);
}

inline Twin plain_twin(std::string const& method) {
  return [=](TwinProcess const& p, TwinRow& row, TwinStep const& step, StreamKey key) {
    independent(p, method, row, asked(p, row), step, key.at(static_cast<std::uint32_t>(step.index)));
  };
}

/// A§5.1: argmax of q_y / E_y over all states, with E at least eps.
inline Twin race_twin(std::string const& method, std::string const& categorical) {
  return [=](TwinProcess const& p, TwinRow& row, TwinStep const& step, StreamKey key) {
    key = key.at(static_cast<std::uint32_t>(step.index));
    Numbers const numbers = asked(p, row);
    TwinRow const before = row;
    for (std::size_t l = 0; l < row.tokens.size(); ++l) {
      if (row.is_frozen(l) || (p.mask && row.tokens[l] != *p.mask)) continue;
      Reals const law = law_of_site(p, method, before, numbers, l, step).p;
      SiteStream stream(key, row.sample, static_cast<std::uint32_t>(l));
      long double most = -1;
      RandomPair pair{};
      for (std::size_t y = 0; y < law.size(); ++y) {
        if (y % 4 == 0) pair = stream.next();
        std::uint32_t const words[] = {static_cast<std::uint32_t>(pair.event), static_cast<std::uint32_t>(pair.event >> 32),
                                       static_cast<std::uint32_t>(pair.target), static_cast<std::uint32_t>(pair.target >> 32)};
        long double const u = (words[y % 4] + 0.5L) / 4294967296.0L;
        long double const wait = categorical == "gumbel32" ? -std::log1p(-std::ldexp(1.0L, -24)) - std::log(u)
                                                           : 1e-6L - std::log(1e-6L + (1 - 1e-6L) * u);
        if (law[y] / wait > most) {
          most = law[y] / wait;
          row.tokens[l] = static_cast<token_t>(y);
        }
      }
    }
    row.time = step.to;
  };
}

// ---------------------------------------------------------------------------------------------- sites chosen by comparing

/// How many of n masks: the masks left over the steps left, rounded up, or the noise's share, rounded at random.
inline std::size_t count_of_step(TwinProcess const& p, TwinRow const& row, TwinStep const& step, std::string const& counts,
                                 std::size_t n, StreamKey key) {
  if (step.forced) return n;
  if (counts == "uniform") return divided(n, step.remaining());
  long double const share =
      std::min(static_cast<long double>(n), n * step.phi * StepNoise(p.noise, step.from, step.to).reveal);
  long double const whole = std::floor(share);
  return static_cast<std::size_t>(whole) + (uniform_of(key.draw(row.sample, Role::order, 0).event) < share - whole);
}

/// A§9.1, 17.12.
inline Twin top_k_twin(std::string const& score, double temperature, double noise, std::string const& counts) {
  return [=](TwinProcess const& p, TwinRow& row, TwinStep const& step, StreamKey key) {
    key = key.at(static_cast<std::uint32_t>(step.index));
    Numbers const numbers = asked(p, row);
    auto const sites = masked_sites(p, row);
    // MaskGIT: Gumbel noise that falls to 0 with the steps.
    long double const scale = noise * (1 - (step.index + 1.0L) / step.steps);
    Reals keys;
    std::vector<token_t> tokens;
    for (std::size_t const l : sites) {
      RandomPair const random = numbers_of(key, row, l);
      Guess const g = guess(clean_law(p, numbers[l], step.power), score, temperature, random.target);
      long double const logarithm = score == "entropy" ? g.sure : std::log(g.sure);
      keys.push_back(scale > 0 ? -(logarithm + scale * gumbel_of(random.event)) : -g.sure);
      tokens.push_back(g.token);
    }
    for (std::size_t const i : soonest(sites, keys, count_of_step(p, row, step, counts, sites.size(), key)))
      row.tokens[sites[i]] = tokens[i];
    row.time = step.to;
  };
}

/// LLaDA: blocks of sites from left to right, the steps shared out among them as evenly as can be.
inline Twin semi_autoregressive_twin(int block, std::string const& order, double temperature) {
  return [=](TwinProcess const& p, TwinRow& row, TwinStep const& step, StreamKey key) {
    key = key.at(static_cast<std::uint32_t>(step.index));
    Numbers const numbers = asked(p, row);
    int const length = static_cast<int>(row.tokens.size()), blocks = (length + block - 1) / block;
    int last = 0, left = 1;  // the last block that is open, and the steps that it still has
    if (step.steps <= blocks) {
      last = (step.index + 1) * blocks / step.steps - 1;
    } else {
      while ((last + 1) * step.steps / blocks <= step.index) ++last;
      left = (last + 1) * step.steps / blocks - step.index;
    }
    std::vector<std::size_t> sites;
    for (std::size_t const l : masked_sites(p, row)) {
      if (static_cast<int>(l) < (last + 1) * block) sites.push_back(l);
    }
    Reals keys;
    std::vector<token_t> tokens;
    for (std::size_t const l : sites) {
      RandomPair const random = numbers_of(key, row, l);
      Guess const g = guess(clean_law(p, numbers[l], step.power), order, temperature, random.target);
      keys.push_back(order == "random" ? uniform_of(random.event) : -g.sure);
      tokens.push_back(g.token);
    }
    for (std::size_t const i : soonest(sites, keys, divided(sites.size(), left))) row.tokens[sites[i]] = tokens[i];
    row.time = step.to;
  };
}

/// A§9.2, 17.13.
inline Twin entropy_bound_twin(double gamma, std::string const& score, double temperature) {
  return [=](TwinProcess const& p, TwinRow& row, TwinStep const& step, StreamKey key) {
    key = key.at(static_cast<std::uint32_t>(step.index)).derived();
    for (std::uint32_t round = 0;; ++round) {
      auto const sites = masked_sites(p, row);
      if (sites.empty()) break;
      Numbers const numbers = asked(p, row);
      Reals keys, entropies;
      std::vector<token_t> tokens;
      for (std::size_t const l : sites) {
        Reals const law = clean_law(p, numbers[l], step.power);
        Guess const g = guess(law, score, temperature, numbers_of(key.at(round), row, l).target);
        keys.push_back(-g.sure);
        tokens.push_back(g.token);
        entropies.push_back(entropy_of(law));
      }
      auto const order = soonest(sites, keys, sites.size());
      std::size_t count = 0;
      long double sum = 0, largest = 0;
      for (std::size_t const i : order) {
        sum += entropies[i];
        largest = std::max(largest, entropies[i]);
        if (sum - largest > gamma) break;
        ++count;
      }
      count = std::max<std::size_t>(count, 1);
      for (std::size_t j = 0; j < count; ++j) row.tokens[sites[order[j]]] = tokens[order[j]];
    }
    row.time = step.to;
  };
}

/// A§6.5: the k sites whose frozen rates ring first, at the row's own time; k: the masks left over the steps left.
inline Twin k_gillespie_twin() {
  return [](TwinProcess const& p, TwinRow& row, TwinStep const& step, StreamKey key) {
    key = key.at(static_cast<std::uint32_t>(step.index));
    Numbers const numbers = asked(p, row);
    auto const sites = masked_sites(p, row);
    StepNoise const now(p.noise, row.time, 0);
    Reals waits;
    std::vector<token_t> tokens;
    for (std::size_t const l : sites) {
      RandomPair const random = numbers_of(key, row, l);
      long double mass = 0;
      Reals const law = clean_law(p, numbers[l], step.power, &mass);
      long double const rate = step.phi * (p.scheduled() ? now.hazard : now.sigma * mass);
      // inversion at the middle of an interval of 2^-52
      long double const wait = -std::log((static_cast<long double>(random.event >> 12) + 0.5L) / (1ull << 52));
      waits.push_back(wait / rate);
      tokens.push_back(draw_from(law, uniform_of(random.target)));
    }
    auto const chosen = soonest(sites, waits, divided(sites.size(), step.remaining()));
    for (std::size_t const i : chosen) row.tokens[sites[i]] = tokens[i];
    if (chosen.empty()) row.time = std::min(row.time, step.to);
    if (chosen.empty()) return;
    double const earliest = 1e-5 * p.noise.end;
    row.time = std::max(earliest, static_cast<double>(row.time - waits[chosen.back()]));
  };
}

// --------------------------------------------------------------------------------------------------------- adaptive steps

/// The law of a site's clean token given everything seen, A§4: pL of a mask; under uniform noise pL(y) P(y, own) with
/// alpha pL + (1 - alpha)/S = s / sum(s).
inline Reals seen_law(TwinProcess const& p, Numbers const& numbers, TwinRow const& row, std::size_t l, StepNoise const& now,
                      long double power) {
  if (p.mask) return clean_law(p, numbers[l], power);
  Reals law = uniform_scores({.kind = p.kind, .row = numbers[l], .own = row.tokens[l], .mask = {}, .power = power}, now);
  long double const off = now.lost_from / p.states, sum = std::accumulate(law.begin(), law.end(), 0.0L);
  long double total = 0;
  for (std::size_t y = 0; y < law.size(); ++y) {
    law[y] = std::max(law[y] / sum - off, 0.0L) * (off + (static_cast<token_t>(y) == row.tokens[l] ? now.alpha_from : 0));
    total += law[y];
  }
  for (long double& x : law) x /= total;
  return law;
}

/// A§7.7: steps in which no site is expected to jump more than `change` times, and the row no more than `jumps` times.
/// With `error`, steps start at this share of reveals; after one in which a token changed, the share is error over the
/// largest total variation that the clean law of a site which kept its token has moved by, at most twice the last one.
inline Twin adaptive_twin(std::string const& method, double change, double jumps, double shortest, double error = 0) {
  return [=](TwinProcess const& p, TwinRow& row, TwinStep const& whole, StreamKey key) {
    key = key.at(static_cast<std::uint32_t>(whole.index)).derived();
    auto const may_move = [&] {  // a row of which nothing can become has arrived
      for (std::size_t l = 0; l < row.tokens.size(); ++l) {
        if (!row.is_frozen(l) && (!p.mask || row.tokens[l] == *p.mask)) return true;
      }
      return false;
    };
    std::vector<Reals> laws(row.tokens.size());
    std::vector<token_t> before;
    long double share = error;
    for (std::uint32_t round = 0; row.time > whole.to && may_move(); ++round) {
      Numbers const numbers = asked(p, row);
      StepNoise const now(p.noise, row.time, whole.to);
      long double largest = 0, total = 0;
      for (std::size_t l = 0; l < row.tokens.size(); ++l) {
        if (row.is_frozen(l) || (p.mask && row.tokens[l] != *p.mask)) continue;
        long double rate = 0;
        if (p.mask) {
          long double mass = 0;
          clean_law(p, numbers[l], whole.power, &mass);
          rate = whole.phi * (p.scheduled() ? now.hazard : now.sigma * mass);
        } else {
          Site const site{.kind = p.kind, .row = numbers[l], .own = row.tokens[l], .mask = {}, .power = whole.power};
          rate = whole.phi * now.sigma / p.states * sum_without(uniform_scores(site, now), site.own);
        }
        largest = std::max(largest, rate);
        total += rate;
      }
      long double apart = 0;
      for (std::size_t l = 0; error > 0 && l < row.tokens.size(); ++l) {
        if (row.is_frozen(l) || (p.mask && row.tokens[l] != *p.mask)) continue;
        Reals const law = seen_law(p, numbers, row, l, now, whole.power);
        long double sum = 0;
        for (std::size_t y = 0; y < law.size() && round > 0; ++y) sum += std::abs(law[y] - laws[l][y]);
        if (round > 0 && before[l] == row.tokens[l]) apart = std::max(apart, sum / 2);
        laws[l] = law;
      }
      if (round > 0 && before != row.tokens) share = std::min(2 * share, error / apart);
      before = row.tokens;
      long double h = change / largest;
      if (jumps > 0) h = std::min(h, jumps / total);
      if (error > 0 && share < 1)
        h = std::min<long double>(h, row.time - p.noise.schedule().time_at_lost(static_cast<double>(now.lost_from * (1 - share))));
      h = std::max(h, static_cast<long double>(shortest * p.noise.end));
      bool const arrives = !(row.time - h > whole.to);
      TwinStep step = whole;
      step.from = row.time;
      step.to = arrives ? whole.to : static_cast<double>(row.time - h);
      step.forced = arrives && whole.forced;
      share = StepNoise(p.noise, step.from, step.to).reveal;
      independent(p, method, row, numbers, step, key.at(round));
    }
    row.time = whole.to;
  };
}

// ------------------------------------------------------------------------------------------------------------ correctors

/// A§8.4, 17.11 with variant=confidence, around tweedie: sigma_max times the softmax over psi = -(probability at the reveal).
inline Twin remasking_confidence_twin() {
  auto const psi = std::make_shared<Reals>();
  return [=](TwinProcess const& p, TwinRow& row, TwinStep const& step, StreamKey key) {
    if (psi->empty()) psi->assign(row.tokens.size(), -1);  // tokens that were there from the start are sure
    Numbers const numbers = asked(p, row);
    auto const before = row.tokens;
    independent(p, "tweedie", row, numbers, step, key.at(static_cast<std::uint32_t>(step.index)));
    StepNoise const noise(p.noise, step.from, step.to);
    long double const sigma = step.forced ? 0 : std::min(1.0L, noise.lost_to / noise.alpha_from);
    long double total = 0;
    for (std::size_t l = 0; l < before.size(); ++l) {
      auto const y = static_cast<std::size_t>(row.tokens[l]);
      if (before[l] == *p.mask && row.tokens[l] != *p.mask) (*psi)[l] = -clean_law(p, numbers[l], step.power)[y];
      if (before[l] != *p.mask && !row.is_frozen(l)) total += std::exp((*psi)[l]);
    }
    StreamKey const own = key.at(static_cast<std::uint32_t>(step.index)).derived(2);
    for (std::size_t l = 0; l < before.size(); ++l) {
      if (before[l] == *p.mask || row.is_frozen(l)) continue;
      if (uniform_of(numbers_of(own, row, l).event) < sigma * std::exp((*psi)[l]) / total)
        row.tokens[l] = static_cast<token_t>(*p.mask);
    }
  };
}

/// A§8.2, 17.10 around tweedie.
inline Twin informed_twin(int k, int rounds, double temperature, std::string const& score) {
  return [=](TwinProcess const& p, TwinRow& row, TwinStep const& step, StreamKey key) {
    plain_twin("tweedie")(p, row, step, key);
    for (int i = 0; i < rounds; ++i) {
      auto const index = static_cast<std::uint32_t>(step.index);
      StreamKey const own = key.at(index).derived(16 + static_cast<std::uint32_t>(i)).at(index);
      Numbers const numbers = asked(p, row);
      std::vector<std::size_t> sites;
      Reals keys;
      std::vector<token_t> tokens;
      for (std::size_t l = 0; l < row.tokens.size(); ++l) {
        if (row.tokens[l] == *p.mask || row.is_frozen(l)) continue;
        Reals const law = clean_law(p, numbers[l], 1);
        auto const mine = static_cast<std::size_t>(row.tokens[l]);
        long double other = 0;
        for (std::size_t y = 0; y < law.size(); ++y) other = y == mine ? other : std::max(other, law[y]);
        long double const c = std::log(law[mine]) - (score == "margin" ? std::log(other) : 0);
        RandomPair const random = numbers_of(own, row, l);
        sites.push_back(l);
        keys.push_back(c / temperature - gumbel_of(random.event));
        tokens.push_back(draw_from(law, uniform_of(random.target)));
      }
      for (std::size_t const j : soonest(sites, keys, static_cast<std::size_t>(k))) row.tokens[sites[j]] = tokens[j];
    }
  };
}

}  // namespace saltus::reference
