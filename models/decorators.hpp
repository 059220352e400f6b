// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <vector>

#include <saltus/ctmc/score_model.hpp>

/// Models that change what other models say: sharper or flatter laws, laws cut to their likeliest tokens, products of
/// models (guidance). Each takes any kind of scores that its text does not exclude and gives the same kind and scalar
/// type; rows and sites that the inner model leaves undefined, or that nobody asked for, stay undefined. Reserved
/// memory is one output of 8 bytes an entry for each slot, and one slot of each inner model. Results of rows do not
/// depend on the batch or on Query::only_site. The mask's entry is not a token: it is neither read into a sum nor
/// changed by the first three. All of them throw UserError for a missing model and for a parameter outside its range.
namespace saltus {

/// The law of the clean token to the power 1/T (T > 0; below 1 sharper, above 1 flatter). x0 kinds: p^(1/T), in units
/// where the largest entry is 1. Score kinds of a masked model: the tokens' scores in proportion to their power, with
/// their sum as it was, so that the hazard stays that of the model. UserError for score kinds without a mask: there a
/// score also holds what the noise does. T = 1 is the model itself.
std::shared_ptr<ScoreModel> temperature(std::shared_ptr<ScoreModel> model, double T);

/// The smallest set of likeliest tokens whose mass reaches the share P of the row (0 < P <= 1), tokens that are exactly
/// as likely as the last of them included; the others get 0 (log_score: -infinity). Score kinds keep their sum;
/// UserError without a mask, as for temperature(). P = 1 is the model itself. The threshold is exact: a bisection on
/// the bits of positive numbers, 31 (f32) or 63 (f64) passes over the row.
std::shared_ptr<ScoreModel> nucleus(std::shared_ptr<ScoreModel> model, double P);

/// The same with the K >= 1 likeliest tokens, ties with the last of them included. The model itself if it has no more
/// than K tokens.
std::shared_ptr<ScoreModel> top_tokens(std::shared_ptr<ScoreModel> model, int K);

/// The product of models to given powers, entry by entry: p proportional to prod_i p_i^(w_i) (x0 kinds; in units where
/// the largest entry is 1, the mask's entry 0) or prod_i s_i^(w_i) (score kinds: rates multiply, A§10). A token to
/// which any factor gives 0 gets 0 whatever the sign of its exponent: a ratio to 0 is not defined, and taking it as
/// infinite would give all mass to what a model has rounded to 0. A row in which no token is left is all 0, which
/// samplers report. Factors with exponent 0 are left out, and never evaluated; a single factor with exponent 1 is the
/// model itself. UserError unless there are as many exponents as models, all finite and not all 0, and the models agree
/// on states, mask, kind, length and what they want to know of the time (any length goes with any, and no time with
/// any).
std::shared_ptr<ScoreModel> product_of(std::vector<std::shared_ptr<ScoreModel>> const& models,
                                       std::vector<double> const& exponents);

/// Classifier-free guidance of strength w (A§10): conditional^(1 + w) * unconditional^(-w). w = 0 is the conditional
/// model, w = -1 the unconditional one.
std::shared_ptr<ScoreModel> classifier_free(std::shared_ptr<ScoreModel> conditional,
                                            std::shared_ptr<ScoreModel> unconditional, double w);

}  // namespace saltus
