// SPDX-License-Identifier: BSD-3-Clause
#include "decoration.hpp"

#include <cmath>

#include <saltus/ctmc/error.hpp>
#include <saltus/models/decorators.hpp>

#include "problem.hpp"

namespace saltus::app {
namespace {

void require_same(Model const& guide, Model const& model, std::string const& name) {
  auto const symbols = [](Alphabet const& alphabet) {
    if (alphabet.numbered()) return std::to_string(alphabet.size()) + " numbers";
    std::string all;
    for (token_t y = 0; y < alphabet.size(); ++y) all += alphabet.shown(y);
    return "'" + all + "'";
  };
  require(guide.length == model.length,
          "--guide " + name + " has sequences of length " + std::to_string(guide.length) +
              " but the model's have length " + std::to_string(model.length));
  require(same_tokens(guide.alphabet, model.alphabet),
          "--guide " + name + " has the alphabet " + symbols(guide.alphabet) + " but the model has " +
              symbols(model.alphabet));
}

double number(Options const& options, char const* name, double otherwise) {
  return options.has(name) ? options.number(name) : otherwise;
}

}  // namespace

std::shared_ptr<ScoreModel> Decoration::denoiser(Model const& plain, Generator const& generator, bool at_revealed) const {
  std::shared_ptr<ScoreModel> model = plain.denoiser(generator, at_revealed);
  if (guide) {
    auto const other = guide->denoiser(generator, at_revealed);
    model = classifier_free ? saltus::classifier_free(model, other, weight) : product_of({model, other}, {1, weight});
  }
  model = saltus::temperature(model, temperature);
  if (top_tokens > 0) model = saltus::top_tokens(model, top_tokens);
  return saltus::nucleus(model, nucleus);
}

Decoration read_decoration(Options const& options, Model const& model) {
  Decoration decoration;
  auto const add = [&](std::string const& what) { decoration.text += (decoration.text.empty() ? "" : ", ") + what; };
  std::string const guidance = options.has("guidance") ? options.text("guidance") : "product";
  if (guidance != "product" && guidance != "classifier_free")
    throw UserError(unknown_name("guidance", guidance, {"classifier_free", "product"}));
  if (options.has("guide")) {
    std::string const& name = options.text("guide");
    decoration.guide = read_stored_model(name, options);
    // --condition is the model's, and the guide's where it takes one.
    if (auto& network = decoration.guide->network; network && network->condition_size == 0) decoration.guide->how.condition.clear();
    require_same(*decoration.guide, model, name);
    decoration.classifier_free = guidance == "classifier_free";
    decoration.weight = number(options, "guide-weight", 1);
    require(std::isfinite(decoration.weight),
            "--guide-weight must be a finite number, got " + options.text("guide-weight"));
    add((decoration.classifier_free ? "guided away from " : "guided by ") + name + " (" + guidance + ", weight " +
        to_text(decoration.weight) + ")");
  } else {
    for (char const* const name : {"guide-weight", "guidance"})
      require(!options.has(name), "--" + std::string(name) + " is for --guide MODEL");
  }
  decoration.temperature = number(options, "temperature", 1);
  require(decoration.temperature > 0 && std::isfinite(decoration.temperature),
          "--temperature must be a number above 0, got " + options.text("temperature"));
  if (decoration.temperature != 1) add("temperature " + to_text(decoration.temperature));
  if (options.has("top-tokens")) {
    decoration.top_tokens = static_cast<int>(options.integer("top-tokens", 1, 1 << 30));
    if (decoration.top_tokens < model.tokens()) add("top " + options.text("top-tokens") + " tokens");
  }
  decoration.nucleus = number(options, "nucleus", 1);
  require(decoration.nucleus > 0 && decoration.nucleus <= 1,
          "--nucleus must be a share above 0 and at most 1, got " + options.text("nucleus"));
  if (decoration.nucleus != 1) add("nucleus " + to_text(decoration.nucleus));
  return decoration;
}

}  // namespace saltus::app
