// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/model_file.hpp>

#include <filesystem>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/ctmc/io/npy.hpp>
#include <saltus/models/hidden_markov.hpp>
#include <saltus/models/json_file.hpp>
#include <saltus/models/markov_chain.hpp>
#include <saltus/models/markov_tree.hpp>
#include <saltus/models/product.hpp>
#include <saltus/models/table.hpp>

namespace saltus {
namespace {

using Json = nlohmann::ordered_json;
constexpr char const* format_name = "saltus-native";
constexpr int format_version = 1;

template <class T>
T value(Json const& json, char const* key, std::string const& path) {
  require(json.contains(key), path + ": the key '" + key + "' is missing");
  try {
    return json.at(key).get<T>();
  } catch (Json::exception const&) {
    throw UserError(path + ": the key '" + std::string(key) + "' has the wrong type: " + json.at(key).dump().substr(0, 60));
  }
}

int positive(Json const& json, char const* key, std::string const& path) {
  auto const number = value<double>(json, key, path);
  require(json.at(key).is_number_integer() && number >= 1 && number <= 1e9,
          path + ": the key '" + key + "' must be a whole number from 1 to 1e9, got " + json.at(key).dump());
  return static_cast<int>(number);
}

}  // namespace

void save_law(std::string const& folder, NamedLaw const& named, std::string const& source) {
  require(named.alphabet.numbered() || named.alphabet.width() == 1, "a model file holds alphabets of single characters, not words (" + named.alphabet.name() + ")");
  Json json{{"format", format_name},
            {"version", format_version},
            {"law", named.law->name()},
            {"source", source},
            {"length", named.law->length()},
            {"states", named.law->states()},
            {"alphabet", named.alphabet.numbered() ? Json(nullptr) : Json(named.alphabet.symbols())},
            {"alphabet_name", named.alphabet.name()}};
  if (auto const* const chain = dynamic_cast<MarkovChain const*>(named.law.get())) {
    json["kind"] = "chain";
    json["initial"] = chain->initial();
    json["transitions"] = chain->transitions();
  } else if (auto const* const hidden = dynamic_cast<HiddenMarkov const*>(named.law.get())) {
    json["kind"] = "hidden_markov";
    json["initial"] = hidden->initial();
    json["transitions"] = hidden->transitions();
    json["emissions"] = hidden->emissions();
  } else if (auto const* const tree = dynamic_cast<MarkovTree const*>(named.law.get())) {
    json["kind"] = "tree";
    json["parents"] = tree->parents();
    json["initial"] = tree->initial();
    json["transitions"] = tree->transitions();
  } else if (auto const* const product = dynamic_cast<ProductLaw const*>(named.law.get())) {
    json["kind"] = "product";
    json["probabilities"] = product->site_marginals();
  } else if (auto const* const table = dynamic_cast<TableLaw const*>(named.law.get())) {
    json["kind"] = "table";
    json["probabilities"] = table->probabilities();
  } else {
    throw UserError("the law '" + named.law->name() +
                    "' has no file format; chain, hidden_markov, product, table and tree have");
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw OutputError("cannot make the folder '" + folder + "': " + error.message());
  AtomicFile file(folder + "/model.json");
  file.write(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  file.commit();
}

NamedLaw load_law(std::string const& folder) {
  std::string const path = folder + "/model.json";
  require(std::filesystem::exists(path), "cannot read '" + path + "': No such file; expected a folder with the model.json that 'saltus compare' writes");
  Json const json = read_json(path, format_name, format_version);
  int const length = positive(json, "length", path), states = positive(json, "states", path);
  require(json.contains("alphabet"), path + ": the key 'alphabet' is missing");
  auto const kind = value<std::string>(json, "kind", path);
  try {
    Alphabet alphabet = json["alphabet"].is_null() ? Alphabet::numbered(states)
                                                   : Alphabet(value<std::string>(json, "alphabet", path),
                                                              value<std::string>(json, "alphabet_name", path));
    require(alphabet.size() == states, path + ": 'alphabet' has " + std::to_string(alphabet.size()) + " symbols but 'states' is " + std::to_string(states));
    using Numbers = std::vector<double>;
    if (kind == "chain") {
      return {std::make_shared<MarkovChain>(length, states, value<Numbers>(json, "initial", path),
                                            value<Numbers>(json, "transitions", path), value<std::string>(json, "law", path)),
              std::move(alphabet)};
    }
    if (kind == "hidden_markov") {
      return {std::make_shared<HiddenMarkov>(length, states, value<Numbers>(json, "initial", path),
                                             value<Numbers>(json, "transitions", path),
                                             value<Numbers>(json, "emissions", path),
                                             value<std::string>(json, "law", path)),
              std::move(alphabet)};
    }
    if (kind == "tree") {
      auto parents = value<std::vector<int>>(json, "parents", path);
      require(static_cast<int>(parents.size()) == length, path + ": 'parents' has " + std::to_string(parents.size()) +
                                                              " entries but 'length' is " + std::to_string(length));
      return {std::make_shared<MarkovTree>(std::move(parents), states, value<Numbers>(json, "initial", path),
                                           value<Numbers>(json, "transitions", path),
                                           value<std::string>(json, "law", path)),
              std::move(alphabet)};
    }
    if (kind == "product") {
      return {std::make_shared<ProductLaw>(length, states, value<Numbers>(json, "probabilities", path)), std::move(alphabet)};
    }
    if (kind == "table") {
      return {std::make_shared<TableLaw>(length, states, value<Numbers>(json, "probabilities", path)), std::move(alphabet)};
    }
  } catch (UserError const& e) {
    std::string const what = e.what();
    throw UserError(what.starts_with(path) ? what : path + ": " + what);
  }
  throw UserError(path + ": " + unknown_name("kind of law", kind, {"chain", "hidden_markov", "product", "table", "tree"}));
}

NamedLaw read_table_law(std::string const& path) {
  NpyArray array = read_npy(path);
  std::vector<std::size_t> const& shape = array.shape;
  require(!shape.empty() && shape.front() > 0,
          path + ": expected an array with one axis for each site, got one without entries or a single number");
  for (std::size_t l = 1; l < shape.size(); ++l) {
    require(shape[l] == shape.front(), path + ": expected one axis for each site, all of the same extent; axis 0 has " +
                                           std::to_string(shape.front()) + " entries and axis " + std::to_string(l) +
                                           " has " + std::to_string(shape[l]));
  }
  require(array.values.size() <= 100'000'000, path + ": expected at most 1e8 probabilities, got " +
                                                  std::to_string(array.values.size()));
  int const length = static_cast<int>(shape.size()), states = static_cast<int>(shape.front());
  try {
    return {std::make_shared<TableLaw>(length, states, std::move(array.values)), Alphabet::numbered(states)};
  } catch (UserError const& e) {
    throw UserError(path + ": " + e.what());
  }
}

}  // namespace saltus
