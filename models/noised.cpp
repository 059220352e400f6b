// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/noised.hpp>

#include <cmath>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/exact.hpp>
#include <saltus/models/hidden_markov.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

namespace saltus {
namespace {

// rows * kernel, rows of `n` numbers.
std::vector<double> push_rows(std::vector<double> const& rows, std::vector<double> const& kernel, std::size_t n) {
  std::vector<double> out(rows.size(), 0.0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    double* const row = out.data() + i / n * n;
    for (std::size_t y = 0; y < n; ++y) row[y] += rows[i] * kernel[i % n * n + y];
  }
  return out;
}

}  // namespace

std::shared_ptr<SequenceLaw> noised(std::shared_ptr<SequenceLaw const> const& law, Generator const& generator,
                                    NoiseSchedule const& noise, double t) {
  int const states = law->states(), length = law->length();
  require(!generator.mask() && generator.is_bounded(),
          "a law is noised by generators without a mask and with a last state (uniform, dense, sparse); got '" +
              generator.name() + "'");
  require(generator.states() == states, "the law '" + law->name() + "' has " + std::to_string(states) +
                                            " states but the generator (" + generator.name() + ") has " +
                                            std::to_string(generator.states()));
  require(t >= 0 && t <= noise.end(), "the time must lie between 0 and the end of the noise, " + to_text(noise.end()) +
                                          ", got " + to_text(t));
  double const total = noise.total(t);
  require(std::isfinite(total) || generator.kind() == Generator::Kind::uniform,
          "sigma_bar is infinite at t = " + to_text(t) + "; take an earlier time under the generator '" +
              generator.name() + "'");
  std::vector<double> kernel = generator.transition_matrix(total);
  auto const n = static_cast<std::size_t>(states);

  if (auto const* const product = dynamic_cast<ProductLaw const*>(law.get())) {
    return std::make_shared<ProductLaw>(length, states, push_rows(product->site_marginals(), kernel, n));
  }
  if (auto const* const chain = dynamic_cast<MarkovChain const*>(law.get())) {
    return std::make_shared<HiddenMarkov>(length, states, chain->initial(), chain->transitions(), std::move(kernel));
  }
  if (auto const* const hidden = dynamic_cast<HiddenMarkov const*>(law.get())) {
    return std::make_shared<HiddenMarkov>(length, states, hidden->initial(), hidden->transitions(),
                                          push_rows(hidden->emissions(), kernel, n));
  }
  if (auto const* const table = dynamic_cast<TableLaw const*>(law.get())) {
    return std::make_shared<TableLaw>(length, states,
                                      push_sites(StateSpace(states, length), table->probabilities(), kernel));
  }
  throw UserError("the law '" + law->name() + "' has no noised form; chain, hidden_markov, product and table have");
}

}  // namespace saltus
