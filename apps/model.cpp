// SPDX-License-Identifier: BSD-3-Clause
#include "model.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/npy.hpp>
#include <saltus/ctmc/io/sequences.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/markov_tree.hpp>
#include <saltus/models/product.hpp>

namespace saltus::app {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view table_prefix = "table:";

// Where the networks that come with the program lie: SALTUS_MODELS, beside the installed program, in the source tree.
std::vector<std::string> shelves() {
  std::vector<std::string> places;
  if (char const* const given = std::getenv("SALTUS_MODELS"); given && *given) places.emplace_back(given);
  std::error_code error;
  auto const program = fs::read_symlink("/proc/self/exe", error);
  if (!error) places.push_back((program.parent_path().parent_path() / "share" / "saltus" / "models").string());
  places.emplace_back(SALTUS_BACKBONES);
  return places;
}

std::string shelved(std::string const& name) {
  if (name.find('/') != name.npos) return "";
  for (auto const& place : shelves()) {
    if (fs::exists(place + "/" + name + "/model.json")) return place + "/" + name;
  }
  return "";
}

Model of_law(NamedLaw named, std::string source) {
  int const length = named.law->length();
  return {std::move(named.law), {}, {}, {}, std::move(named.alphabet), length, std::move(source)};
}

Model of_network(std::string const& folder, Options const& options) {
  Model model{nullptr, read_manifest(folder), folder, {}, Alphabet::numbered(1), 0, "the network " + folder};
  model.alphabet = model.network->alphabet;
  model.length = model.network->length;
  model.how.device = options.text("device");
  model.how.trusted = options.flag("trust");
  auto const& precision = options.text("precision");
  if (precision != "fp32" && precision != "bf16") throw UserError(unknown_name("precision", precision, {"bf16", "fp32"}));
  model.how.bf16 = precision == "bf16";
  if (options.has("condition")) {
    std::string const& text = options.text("condition");
    if (text.ends_with(".npy")) {
      for (double const v : read_npy(text).values) model.how.condition.push_back(static_cast<float>(v));
    } else {
      for (auto const& item : split_at_commas(text)) {
        char* end = nullptr;
        model.how.condition.push_back(std::strtof(item.c_str(), &end));
        require(!item.empty() && *end == '\0', "--condition is numbers separated by commas, or an .npy file; got '" + item + "'");
      }
    }
  }
  return model;
}

Model fitted(Options const& options, std::string const& model) {
  require(options.has("data"), "--model " + model + " is fitted to sequences: give them with --data FILE");
  double const pseudo_count = options.number("pseudo-count");
  require(pseudo_count > 0 && pseudo_count < 1e9,
          "--pseudo-count must be above 0, got " + options.text("pseudo-count"));
  std::optional<Alphabet> alphabet;
  if (options.has("alphabet")) alphabet = Alphabet::named(options.text("alphabet"));
  auto const set = read_sequences(options.text("data"), alphabet);
  bool const homogeneous = options.flag("homogeneous");
  std::string source = model + " fitted to " + std::to_string(set.count) + " sequences of length " + std::to_string(set.length) +
                       " (" + set.alphabet.name() + ") from " + options.text("data") + ", pseudo-count " +
                       options.text("pseudo-count");
  if (model == "product") {
    return of_law({std::make_shared<ProductLaw>(
                       ProductLaw::fit(set.tokens, set.count, set.length, set.alphabet.size(), pseudo_count)),
                   set.alphabet},
                  std::move(source));
  }
  source += homogeneous ? ", one matrix" : ", a matrix per position";
  return of_law({std::make_shared<MarkovChain>(
                     MarkovChain::fit(set.tokens, set.count, set.length, set.alphabet.size(), pseudo_count, homogeneous)),
                 set.alphabet},
                std::move(source));
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names{"chain", "comb", "countdown", "product"};
  for (auto const& place : shelves()) {
    std::error_code error;
    for (auto const& entry : fs::directory_iterator(place, error)) {
      auto const name = entry.path().filename().string();
      if (fs::exists(entry.path() / "model.json") && std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
  }
  std::ranges::sort(names);
  return names;
}

Model read_stored_model(std::string const& name, Options const& options) {
  if (name.starts_with(table_prefix)) return of_law(read_table_law(name.substr(table_prefix.size())), "the joint " + name);
  std::string const folder = fs::is_directory(name) ? name : shelved(name);
  if (folder.empty()) {
    throw UserError(unknown_name("model", name, model_names()) + " A folder with a model.json or table:FILE would do too.");
  }
  return is_backbone(folder) ? of_network(folder, options) : of_law(load_law(folder), "the folder " + name);
}

Model read_model(Options const& options) {
  auto const& model = options.text("model");
  auto const refuse_of_networks = [&] {
    require(!options.has("condition") && !options.changed("precision") && !options.changed("device"),
            "--condition, --precision and --device are for networks; " + model + " is a law");
  };
  if (model == "chain" || model == "product") {
    refuse_of_networks();
    return fitted(options, model);
  }
  require(!options.changed("pseudo-count") && !options.flag("homogeneous") && !options.has("alphabet"),
          "--pseudo-count, --homogeneous and --alphabet are for the models chain and product, which are fitted; --model is " + model);
  require(!options.has("data"),
          "--data is for the models chain and product, which are fitted to it; --model is " + model);
  if (model == "countdown" || model == "comb") refuse_of_networks();
  if (model == "countdown") {
    auto chain = std::make_shared<MarkovChain>(MarkovChain::countdown());
    int const states = chain->states();
    std::string source = "countdown of " + std::to_string(states) + " states, length " + std::to_string(chain->length());
    return of_law({std::move(chain), Alphabet::numbered(states)}, std::move(source));
  }
  if (model == "comb") {
    auto tree = std::make_shared<MarkovTree>(MarkovTree::comb());
    int const states = tree->states();
    return of_law({std::move(tree), Alphabet::numbered(states)}, "comb: images of 8 x 8 pixels of 16 ordered levels");
  }
  Model stored = read_stored_model(model, options);
  if (!stored.network) refuse_of_networks();
  return stored;
}

std::shared_ptr<ScoreModel> Model::denoiser(Generator const& generator, bool at_revealed) const {
  if (law) return law->denoiser(generator, at_revealed);
  require(!at_revealed, "informed correctors read the laws of revealed sites given the others, which the network '" + name() +
                            "' does not give; forward_backward and remasking would do");
  return std::make_shared<Backbone>(folder, how);
}

std::optional<token_t> token_of(std::string_view item, Alphabet const& alphabet) {
  if (!alphabet.numbered()) return alphabet.find(item);
  token_t token = -1;
  auto const [end, error] = std::from_chars(item.data(), item.data() + item.size(), token);
  bool const fine = error == std::errc{} && end == item.data() + item.size() && token >= 0 && token < alphabet.size();
  return fine ? std::optional(token) : std::nullopt;
}

std::optional<std::vector<token_t>> encode(Model const& model, std::string_view text) {
  Alphabet const& alphabet = model.alphabet;
  auto const length = static_cast<std::size_t>(model.length);
  std::vector<token_t> tokens;
  auto const width = static_cast<std::size_t>(alphabet.width());
  std::vector<std::string_view> pieces;
  if (alphabet.tokenized() || alphabet.numbered()) {
    pieces = split(alphabet.numbered() ? Tokenizer::words : alphabet.tokenizer(), text);
  } else {
    for (std::size_t at = 0; at < text.size(); at += width) pieces.push_back(text.substr(at, width));
  }
  for (auto const& piece : pieces) {
    auto const token = token_of(piece, alphabet);
    if (!token) return std::nullopt;
    tokens.push_back(*token);
  }
  if (auto const pad = alphabet.pad(); pad && tokens.size() < length) tokens.resize(length, *pad);
  if (tokens.size() != length) return std::nullopt;
  return tokens;
}

bool same_tokens(Alphabet const& one, Alphabet const& other) {
  if (one.size() != other.size()) return false;
  for (token_t y = 0; y < one.size(); ++y) {
    if (one.shown(y) != other.shown(y)) return false;
  }
  return true;
}

}  // namespace saltus::app
