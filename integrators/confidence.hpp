// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <saltus/integrators/select.hpp>

namespace saltus {

/// How sure a row is: what decoders that plan their order compare (A§9.1).
enum class Score {
  confidence,  ///< probability of the proposed token
  margin,      ///< between the two most probable tokens
  entropy      ///< less is surer
};
Score parse_score(Parameters const& parameters, Score otherwise);

/// Ranks masked sites by how sure the model is, the surest first, and proposes a token for each; value: the entropy.
struct Confidence {
  Score score = Score::confidence;
  double temperature = 1;  ///< of the proposed tokens: p^(1/temperature); 0: the most probable one
  double noise = 0;        ///< Gumbel noise on ln(score), in units of this, falling to 0 with the steps (MaskGIT)

  template <class Field>
  KOKKOS_FUNCTION Candidate rank(Field const& field, int b, int l, StreamKey key, std::uint64_t sample) const {
    auto row = field.row(b, l);
    token_t const own = field.tokens(b, l);
    typename Field::Row::Scratch scratch;
    RowSums const sums = row.scan(own, scratch);
    RandomPair const random = key.draw(sample, Role::step, static_cast<std::uint32_t>(l));
    // A row that is no law is chosen first, and found out when its token is drawn.
    if (!Kokkos::isfinite(sums.others) || !(sums.others > 0)) return {-1e300, 0, -1};
    RowShape const shape = row.shape(own, scratch);
    int token = shape.best;
    if (temperature == 1) {
      token = row.draw(own, {1, 0, 0}, uniform53(random.target), scratch);
    } else if (temperature > 0) {
      token = tempered(row, own, shape.largest * sums.others, uniform53(random.target), scratch);
    }
    double sure = score == Score::confidence ? row.value(token, scratch) / sums.others
                  : score == Score::margin   ? shape.largest - shape.second
                                             : Kokkos::exp(-shape.entropy);
    if (noise > 0) {
      double const gumbel = -Kokkos::log(exponential(uniform53(random.event)));
      sure = Kokkos::log(sure) + noise * gumbel;
    }
    if (!(sure > -1e300)) sure = -1e300;  // a margin of 0: last, but not out of the question
    return {-sure, shape.entropy, static_cast<token_t>(token)};
  }

 private:
  // A token y != own with probability proportional to (v_y / largest)^(1/temperature), which no temperature makes
  // underflow for all of them.
  template <class Row>
  KOKKOS_FUNCTION int tempered(Row const& row, int own, double largest, double uniform,
                               typename Row::Scratch const& scratch) const {
    double total = 0;
    for (int y = 0; y < row.size; ++y) {
      if (y != own) total += Kokkos::pow(row.value(y, scratch) / largest, 1 / temperature);
    }
    double rest = uniform * total;
    int found = -1;
    for (int y = 0; y < row.size; ++y) {
      double const w = y == own ? 0 : Kokkos::pow(row.value(y, scratch) / largest, 1 / temperature);
      if (!(w > 0)) continue;
      found = y;
      rest -= w;
      if (rest < 0) break;
    }
    return found;
  }
};

}  // namespace saltus
