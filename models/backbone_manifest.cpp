// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/backbone_manifest.hpp>

#include <algorithm>
#include <filesystem>
#include <span>

#include <nlohmann/json.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/ctmc/io/generators.hpp>
#include <saltus/models/json_file.hpp>

namespace saltus {
namespace {

using Json = nlohmann::ordered_json;
constexpr char const* format_name = "saltus-backbone";
constexpr int format_version = 1;
constexpr char const* formats[] = {"transformer", "torchscript", "aoti"};
constexpr char const* times[] = {"none", "time", "total"};

// A JSON object that knows where it stands.
class Reader {
 public:
  Reader(Json const& json, std::string where) : json_(json), where_(std::move(where)) {
    require(json.is_object(), where_ + ": expected a JSON object, got " + json.dump().substr(0, 60));
  }
  bool has(char const* key) const { return json_.contains(key) && !json_.at(key).is_null(); }
  std::string text(char const* key) const {
    require(at(key).is_string(), wrong(key, "a text"));
    return at(key).get<std::string>();
  }
  std::string text(char const* key, std::string fallback) const { return has(key) ? text(key) : fallback; }
  int whole(char const* key, int least) const {
    require(at(key).is_number_integer() && at(key).get<double>() >= least && at(key).get<double>() <= 1e9,
            wrong(key, "a whole number from " + std::to_string(least) + " to 1e9"));
    return at(key).get<int>();
  }
  int whole(char const* key, int least, int fallback) const { return has(key) ? whole(key, least) : fallback; }
  bool truth(char const* key) const {
    if (!has(key)) return false;
    require(at(key).is_boolean(), wrong(key, "true or false"));
    return at(key).get<bool>();
  }
  template <class T>
  std::vector<T> list(char const* key, char const* what) const {
    try {
      return at(key).get<std::vector<T>>();
    } catch (Json::exception const&) {
      throw UserError(wrong(key, what));
    }
  }
  Reader inner(char const* key) const { return {at(key), where_ + ", " + key}; }
  int choice(char const* key, std::span<char const* const> known) const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < known.size(); ++i) {
      if (text(key) == known[i]) return static_cast<int>(i);
      names.emplace_back(known[i]);
    }
    throw UserError(where_ + ": " + unknown_name(key, text(key), names));
  }
  /// UserError for a key that is none of `known`.
  void allow(std::vector<std::string> const& known) const {
    for (auto const& [key, value] : json_.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end())
        throw UserError(where_ + ": " + unknown_name("key", key, known));
    }
  }
  std::string const& where() const { return where_; }

 private:
  Json const& at(char const* key) const {
    require(json_.contains(key), where_ + ": the key '" + key + "' is missing");
    return json_.at(key);
  }
  std::string wrong(char const* key, std::string const& expected) const {
    return where_ + ": '" + key + "' should be " + expected + ", got " + at(key).dump().substr(0, 60);
  }
  Json const& json_;
  std::string where_;
};

Alphabet read_alphabet(Reader const& tokens) {
  tokens.allow({"tokenizer", "name", "names", "pad", "states", "symbols", "width"});
  auto const tokenizer = tokens.text("tokenizer");
  if (tokenizer == "numbers") return Alphabet::numbered(tokens.whole("states", 1));
  auto const name = tokens.text("name", tokenizer);
  if (tokenizer == "symbols") {
    auto const symbols = tokens.text("symbols");
    auto const width = static_cast<std::size_t>(tokens.whole("width", 1, 1));
    require(symbols.size() % width == 0, tokens.where() + ": 'symbols' should be of " + std::to_string(width) +
                                             " characters each (width), got " + std::to_string(symbols.size()) + " characters");
    std::vector<std::string> words;
    for (std::size_t at = 0; at < symbols.size(); at += width) words.push_back(symbols.substr(at, width));
    return Alphabet::words(words, name);
  }
  if (tokenizer == "alphabet") return Alphabet::named(name);
  return Alphabet::tokens(tokens.list<std::string>("names", "a list of texts"), parse_tokenizer(tokenizer),
                          tokens.truth("pad"), name);
}

Json alphabet_json(Alphabet const& alphabet) {
  if (alphabet.numbered()) return {{"tokenizer", "numbers"}, {"states", alphabet.size()}};
  for (auto const* const name : {"protein", "dna", "rna", "amino_acids", "nucleotides"}) {
    if (alphabet == Alphabet::named(name)) return {{"tokenizer", "alphabet"}, {"name", name}};
  }
  if (!alphabet.tokenized()) {
    Json json{{"tokenizer", "symbols"}, {"name", alphabet.name()}, {"symbols", alphabet.symbols()}};
    if (alphabet.width() > 1) json["width"] = alphabet.width();
    return json;
  }
  Json names = Json::array();
  for (token_t y = 0; y < alphabet.size(); ++y) names.push_back(alphabet.shown(y));
  return {{"tokenizer", name_of(alphabet.tokenizer())},
          {"name", alphabet.name()},
          {"names", names},
          {"pad", alphabet.pad().has_value()}};
}

std::string path_of(std::string const& folder) { return (std::filesystem::path(folder) / "model.json").string(); }

}  // namespace

std::vector<OutputKind> const& output_kinds() {
  static std::vector<OutputKind> const kinds{
      {"x0_logits_leave_one_out", ScoreKind::x0_logits_leave_one_out},
      {"x0_logits_leave_in", ScoreKind::x0_logits_leave_in},
      {"x0_leave_one_out", ScoreKind::x0_leave_one_out},
      {"x0_leave_in", ScoreKind::x0_leave_in},
      {"log_score", ScoreKind::log_score},
      {"scaled_log_score", ScoreKind::log_score, true},
      {"score", ScoreKind::score}};
  return kinds;
}

bool is_backbone(std::string const& folder) {
  auto const path = path_of(folder);
  if (!std::filesystem::exists(path)) return false;
  Json const json = parse_json_file(path);
  return json.is_object() && json.contains("format") && json["format"] == format_name;
}

BackboneManifest read_manifest(std::string const& folder) {
  std::string const path = path_of(folder);
  require(std::filesystem::exists(path), "cannot read '" + path + "': No such file; expected the manifest of a backbone");
  Json const json = parse_json_file(path);
  Reader const root(json, path);
  require(root.text("format") == format_name,
          path + ": expected \"format\": \"" + format_name + "\", got \"" + root.text("format") + "\"");
  require(root.whole("version", 1) == format_version, path + ": this program reads version " +
                                                          std::to_string(format_version) + ", got " +
                                                          std::to_string(root.whole("version", 1)));
  root.allow({"format", "version", "name", "network", "tokens", "length", "mask", "generator", "noise", "about"});
  BackboneManifest m;
  m.name = root.text("name");
  Reader const network = root.inner("network");
  network.allow({"kind", "file", "output", "time", "columns", "token_ids", "any_length", "valid", "condition", "batch", "width",
                 "layers", "heads"});
  m.format = static_cast<BackboneManifest::Format>(network.choice("kind", formats));
  m.file = network.text("file");
  require(std::filesystem::path(m.file).filename() == m.file,
          network.where() + ": 'file' should be a name beside the manifest, got '" + m.file + "'");
  if (m.format == BackboneManifest::Format::transformer) {
    m.width = network.whole("width", 2);
    m.layers = network.whole("layers", 1);
    m.heads = network.whole("heads", 1);
    require(m.width % (2 * m.heads) == 0, network.where() + ": the width " + std::to_string(m.width) +
                                              " is no multiple of twice the number of heads, " + std::to_string(m.heads));
  }
  try {
    m.alphabet = read_alphabet(root.inner("tokens"));
  } catch (UserError const& e) {
    std::string const what = e.what();
    throw UserError(what.starts_with(path) ? what : path + ", tokens: " + what);
  }
  m.length = root.whole("length", 1);
  m.any_length = network.truth("any_length");
  require(!m.any_length || m.format != BackboneManifest::Format::transformer,
          network.where() + ": the library's own transformer works at one length");
  m.masked = root.truth("mask");
  m.states = m.alphabet.size() + (m.masked ? 1 : 0);
  if (network.has("token_ids")) {
    m.token_ids = network.list<std::int64_t>("token_ids", "a list of whole numbers");
    require(m.token_ids.size() == static_cast<std::size_t>(m.states),
            network.where() + ": 'token_ids' should have a number for each of the " + std::to_string(m.states) +
                " states, got " + std::to_string(m.token_ids.size()));
  }
  m.columns = network.whole("columns", 1, m.states);
  for (auto const id : m.token_ids) {
    require(id >= 0 && id < m.columns, network.where() + ": 'token_ids' should lie below the " + std::to_string(m.columns) +
                                           " columns, got " + std::to_string(id));
  }
  require(m.columns >= m.states || !m.token_ids.empty(),
          network.where() + ": the network has " + std::to_string(m.columns) + " columns, but there are " +
              std::to_string(m.states) + " states (the mask is one of them)");
  std::vector<char const*> outputs;
  for (auto const& kind : output_kinds()) outputs.push_back(kind.name);
  m.output = output_kinds()[static_cast<std::size_t>(network.choice("output", outputs))].name;
  m.time = static_cast<TimeInput>(network.choice("time", times));
  require(m.output != "scaled_log_score" || m.time == TimeInput::total,
          network.where() + ": the output scaled_log_score needs \"time\": \"total\"");
  m.takes_valid = network.truth("valid");
  require(!m.takes_valid || m.alphabet.pad(), network.where() + ": with \"valid\" the tokens need a pad");
  m.condition_size = network.whole("condition", 0, 0);
  m.fixed_batch = network.whole("batch", 0, 0);
  m.noise = root.text("noise", "log_linear");
  m.generator = root.text("generator", m.masked ? "absorbing" : "uniform");
  // A model may have come from anywhere: it opens no file outside its folder.
  require(m.noise.find("file=") == m.noise.npos, root.where() + ": 'noise' should name no file, got " + m.noise);
  auto const names = generator_names();
  auto const name = m.generator.substr(0, m.generator.find(':'));
  require(name.empty() || std::find(names.begin(), names.end(), name) != names.end(), root.where() + ": 'generator': " + unknown_name("generator", name, names));
  if (root.has("about")) root.inner("about");  // an object
  m.about = root.has("about") ? json["about"].dump() : "{}";
  return m;
}

void write_manifest(std::string const& folder, BackboneManifest const& m) {
  Json network{{"kind", formats[static_cast<int>(m.format)]}, {"file", m.file}, {"output", m.output},
               {"time", times[static_cast<int>(m.time)]}};
  if (m.format == BackboneManifest::Format::transformer) {
    network["width"] = m.width;
    network["layers"] = m.layers;
    network["heads"] = m.heads;
  }
  if (m.columns != m.states) network["columns"] = m.columns;
  if (!m.token_ids.empty()) network["token_ids"] = m.token_ids;
  if (m.any_length) network["any_length"] = true;
  if (m.takes_valid) network["valid"] = true;
  if (m.condition_size > 0) network["condition"] = m.condition_size;
  if (m.fixed_batch > 0) network["batch"] = m.fixed_batch;
  Json const json{{"format", format_name},
                  {"version", format_version},
                  {"name", m.name},
                  {"network", network},
                  {"tokens", alphabet_json(m.alphabet)},
                  {"length", m.length},
                  {"mask", m.masked},
                  {"generator", m.generator},
                  {"noise", m.noise},
                  {"about", Json::parse(m.about.empty() ? "{}" : m.about)}};
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw OutputError("cannot make the folder '" + folder + "': " + error.message());
  AtomicFile file(path_of(folder));
  file.write(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  file.commit();
}

}  // namespace saltus
