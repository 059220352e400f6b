// SPDX-License-Identifier: BSD-3-Clause
#include "forward.hpp"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/npy.hpp>
#include <saltus/ctmc/io/table.hpp>
#include <saltus/models/json_file.hpp>

namespace saltus::app {
namespace {

namespace fs = std::filesystem;
constexpr char const* format_name = "saltus-process";
constexpr int format_version = 1;
std::vector<std::string> const keys{"format",    "version", "alphabet",   "generator", "fix_diagonal",
                                    "normalise", "noise",   "site_rates", "start",     "length"};

// A process file's own files lie beside it.
std::string beside(std::string const& path, std::string const& name) {
  fs::path const candidate = fs::path(path).parent_path() / name;
  return !name.empty() && !fs::path(name).is_absolute() && fs::is_regular_file(candidate) ? candidate.string() : name;
}

template <class T>
T as(Json const& json, std::string const& key, std::string const& path, char const* wanted) {
  try {
    return json.get<T>();
  } catch (Json::exception const&) {
    throw UserError(path + ": the key '" + key + "' must be " + wanted + ", got " + json.dump().substr(0, 60));
  }
}

void check_keys(Json const& json, std::vector<std::string> const& known, std::string const& path) {
  for (auto const& [key, value] : json.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      throw UserError(path + ": " + unknown_name("key", key, known));
  }
}

ProcessText read_file_text(std::string const& path) {
  Json const json = read_json(path, format_name, format_version);
  check_keys(json, keys, path);
  require(json.contains("generator"), path + ": the key 'generator' is missing");
  ProcessText text;
  Json const& generator = json["generator"];
  if (generator.is_object()) {
    check_keys(generator, {"matrix", "names"}, path + ", generator");
    require(generator.contains("matrix"), path + ", generator: the key 'matrix' is missing");
    text.matrix =
        as<std::vector<std::vector<double>>>(generator["matrix"], "matrix", path, "a list of rows of numbers");
    std::size_t const n = text.matrix.size();
    require(n > 0, path + ", generator: the key 'matrix' must have a row for each state, got none");
    for (std::size_t x = 0; x < n; ++x) {
      require(text.matrix[x].size() == n, path + ", generator: the key 'matrix' must be square; row " +
                                              std::to_string(x + 1) + " has " + std::to_string(text.matrix[x].size()) +
                                              " entries, expected " + std::to_string(n));
    }
    if (generator.contains("names"))
      text.names = as<std::vector<std::string>>(generator["names"], "names", path, "a list of names");
    for (auto const& name : text.names) {
      // As in a file, where names and rates stand in one table.
      bool const whole = !name.empty() && name.find_first_not_of("0123456789") == name.npos;
      require(
          whole ||
              (!name.empty() && name[0] != '#' && name.find_first_of(" \t\r\n,") == name.npos && !parse_number(name)),
          path + ", generator: the name '" + name +
              "' of a state must be without blanks and commas, not begin with # and not be a number with a point or sign");
    }
  } else {
    text.generator =
        beside(path, as<std::string>(generator, "generator", path, "a name, a file or an object with a matrix"));
  }
  if (json.contains("fix_diagonal"))
    text.fix_diagonal = as<bool>(json["fix_diagonal"], "fix_diagonal", path, "true or false");
  if (json.contains("normalise")) text.normalise = as<bool>(json["normalise"], "normalise", path, "true or false");
  if (json.contains("alphabet") && !json["alphabet"].is_null())
    text.alphabet = as<std::string>(json["alphabet"], "alphabet", path, "a name or chars:ABC");
  if (json.contains("noise"))
    text.noise = as<std::string>(json["noise"], "noise", path, "a noise schedule as --noise takes it");
  if (json.contains("site_rates") && !json["site_rates"].is_null())
    text.site_rates =
        beside(path, as<std::string>(json["site_rates"], "site_rates", path, "text as --site-rates takes it"));
  if (json.contains("start") && !json["start"].is_null()) {
    if (json["start"].is_array()) {
      text.law =
          as<std::vector<double>>(json["start"], "start", path, "text as --start takes it, or a list of probabilities");
    } else {
      text.start =
          as<std::string>(json["start"], "start", path, "text as --start takes it, or a list of probabilities");
      constexpr std::string_view table = "table:";
      text.start = text.start.starts_with(table) ? std::string(table) + beside(path, text.start.substr(table.size()))
                                                 : beside(path, text.start);
    }
  }
  if (json.contains("length")) {
    auto const length = as<double>(json["length"], "length", path, "a whole number");
    require(json["length"].is_number_integer() && length >= 1 && length <= 1e9,
            path + ": the key 'length' must be a whole number from 1 to 1e9, got " + json["length"].dump());
    text.length = static_cast<int>(length);
  }
  return text;
}

NamedGenerator generator_of(ProcessText const& text) {
  if (text.matrix.empty()) return read_generator(text.generator, {text.fix_diagonal, text.normalise});
  // The same checks as for a file: written as one and read back.
  std::string lines;
  auto const n = text.matrix.size();
  require(
      text.names.empty() || text.names.size() == n,
      "the generator's matrix has " + std::to_string(n) + " rows but " + std::to_string(text.names.size()) + " names");
  for (std::size_t y = 0; y < text.names.size(); ++y) lines += "\t" + text.names[y];
  if (!text.names.empty()) lines += "\n";
  for (std::size_t x = 0; x < n; ++x) {
    if (!text.names.empty()) lines += text.names[x] + "\t";
    for (std::size_t y = 0; y < text.matrix[x].size(); ++y) lines += (y ? "\t" : "") + to_text(text.matrix[x][y]);
    lines += "\n";
  }
  return parse_generator(lines, "the generator's matrix", {text.fix_diagonal, text.normalise});
}

std::vector<token_t> tokens_of_npy(std::string const& path, int states, int& length) {
  auto const array = read_npy(path);
  require(array.shape.size() == 1 || array.shape.size() == 2,
          path + ": a start must be of one or two dimensions, [samples, length]");
  length = static_cast<int>(array.shape.back());
  std::vector<token_t> rows;
  for (std::size_t i = 0; i < array.values.size(); ++i) {
    double const x = array.values[i];
    require(x == std::floor(x) && x >= 0 && x < states, path + ": entry " + std::to_string(i) +
                                                            " must be a state from 0 to " + std::to_string(states - 1) +
                                                            ", got " + to_text(x));
    rows.push_back(static_cast<token_t>(x));
  }
  require(!rows.empty(), path + ": a start needs at least one sequence");
  return rows;
}

// A sequence on the command line: symbols, or numbers apart by blanks or commas.
std::vector<token_t> tokens_of_text(std::string const& text, Alphabet const& alphabet) {
  std::vector<token_t> row;
  if (!alphabet.numbered()) {
    auto const width = static_cast<std::size_t>(alphabet.width());
    require(!text.empty() && text.size() % width == 0, "--start: '" + text + "' is neither a file nor a sequence of " +
                                                           alphabet.name() + " (words of " + std::to_string(width) +
                                                           ")");
    for (std::size_t i = 0; i < text.size(); i += width) {
      auto const token = alphabet.find(std::string_view(text).substr(i, width));
      require(token.has_value(), "--start: '" + text + "' is neither a file nor a sequence of " + alphabet.name() +
                                     ": '" + text.substr(i, width) + "' at column " + std::to_string(i + 1) +
                                     " is not in the alphabet");
      row.push_back(*token);
    }
    return row;
  }
  std::string_view rest = text;
  while (!rest.empty()) {
    auto const end = std::min(rest.find_first_of(", \t"), rest.size());
    if (end == 0) {  // several separators in a row
      rest.remove_prefix(1);
      continue;
    }
    token_t value = 0;
    auto const [stop, error] = std::from_chars(rest.data(), rest.data() + end, value);
    require(error == std::errc() && stop == rest.data() + end && value >= 0 && value < alphabet.size(),
            "--start: '" + text + "' is neither a file nor states from 0 to " + std::to_string(alphabet.size() - 1));
    row.push_back(value);
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
  require(!row.empty(), "--start: '" + text + "' names no state");
  return row;
}

void read_start(ForwardProblem& problem) {
  std::string const& text = problem.text.start;
  int const states = problem.named.generator.states();
  Alphabet const& alphabet = problem.named.alphabet;
  int given = 0;  // length that the start itself has
  constexpr std::string_view table = "table:";
  if (!problem.text.law.empty()) {
    require(problem.text.law.size() == static_cast<std::size_t>(states),
            "the start's law has " + std::to_string(problem.text.law.size()) + " probabilities for " +
                std::to_string(states) + " states");
    problem.laws = problem.text.law;
    problem.start_text = "a law of every site";
  } else if (text == "stationary") {
    problem.laws = problem.named.generator.stationary();
    problem.start_text = "stationary law";
  } else if (text.starts_with(table)) {
    require(problem.named.generator.is_bounded(),
            "--start table: the generator has no largest state; give a state or a file");
    for (auto const& row : read_columns(text.substr(table.size()), states))
      problem.laws.insert(problem.laws.end(), row.begin(), row.end());
    auto const rows = problem.laws.size() / static_cast<std::size_t>(states);
    if (rows > 1) given = static_cast<int>(rows);
    problem.start_text = text;
  } else if (fs::is_regular_file(text)) {
    if (fs::path(text).extension() == ".npy") {
      problem.rows = tokens_of_npy(text, states, given);
    } else {
      auto set = read_sequences(text, alphabet);
      given = set.length;
      problem.rows = std::move(set.tokens);
    }
    problem.start_text =
        std::to_string(problem.rows.size() / static_cast<std::size_t>(given)) + " sequences from " + text;
  } else {
    require(!text.empty(), "a start is needed: --start with a state or sequence, a file, stationary, or table:FILE");
    problem.rows = tokens_of_text(text, alphabet);
    given = static_cast<int>(problem.rows.size());
    if (given == 1 && problem.text.length > 1) {
      problem.rows.assign(static_cast<std::size_t>(problem.text.length), problem.rows[0]);
      given = problem.text.length;
    }
    problem.start_text = "'" + text + "'";
  }
  for (std::size_t row = 0; row < problem.laws.size(); row += static_cast<std::size_t>(states)) {
    double sum = 0;
    for (std::size_t y = 0; y < static_cast<std::size_t>(states); ++y) {
      require(problem.laws[row + y] >= 0, "the start's law has a negative probability: state " + std::to_string(y));
      sum += problem.laws[row + y];
    }
    require(std::abs(sum - 1) < 1e-6, "the start's law must sum to 1, got " + to_text(sum));
  }
  int const asked = problem.text.length;
  require(asked == 0 || given == 0 || asked == given,
          "--length is " + std::to_string(asked) + " but the start has length " + std::to_string(given));
  problem.length = given > 0 ? given : std::max(asked, 1);
}

}  // namespace

ProcessText read_process_text(Options const& options) {
  ProcessText text;
  bool const from_file = options.has("process");
  require(from_file != options.has("generator"), from_file
                                                     ? "give --process or --generator, not both"
                                                     : "a process is needed: --generator NAME|FILE or --process FILE");
  if (from_file) text = read_file_text(options.text("process"));
  // What the command line says wins over the file.
  if (options.has("generator")) text.generator = options.text("generator");
  if (options.flag("fix-diagonal")) text.fix_diagonal = true;
  if (options.flag("normalise")) text.normalise = true;
  if (options.has("alphabet")) text.alphabet = options.text("alphabet");
  if (options.given("noise")) text.noise = options.text("noise");
  if (options.has("site-rates")) text.site_rates = options.text("site-rates");
  if (options.has("start")) {
    text.start = options.text("start");
    text.law.clear();
  }
  if (options.has("length")) text.length = static_cast<int>(options.integer("length", 1, 1'000'000'000));
  return text;
}

std::string process_json(ProcessText const& text) {
  Json json{{"format", format_name}, {"version", format_version}};
  json["alphabet"] = text.alphabet.empty() ? Json(nullptr) : Json(text.alphabet);
  if (text.matrix.empty()) {
    json["generator"] = text.generator;
  } else {
    json["generator"] = {{"matrix", text.matrix}};
    if (!text.names.empty()) json["generator"]["names"] = text.names;
  }
  json["fix_diagonal"] = text.fix_diagonal;
  json["normalise"] = text.normalise;
  json["noise"] = text.noise;
  json["site_rates"] = text.site_rates.empty() ? Json(nullptr) : Json(text.site_rates);
  json["start"] = !text.law.empty() ? Json(text.law) : text.start.empty() ? Json(nullptr) : Json(text.start);
  if (text.length > 0) json["length"] = text.length;
  return json_text(json);
}

ForwardProblem read_forward(Options const& options) {
  ProcessText text = read_process_text(options);
  NamedGenerator named = generator_of(text);
  NoiseSchedule const noise = NoiseSchedule::parse(text.noise);
  if (!text.alphabet.empty()) {
    named.alphabet = Alphabet::named(text.alphabet);
    require(named.alphabet.size() == named.generator.states(),
            "the alphabet " + named.alphabet.name() + " has " + std::to_string(named.alphabet.size()) +
                " symbols but the generator has " + std::to_string(named.generator.states()) + " states");
  }
  ForwardProblem problem{std::move(text), std::move(named), noise, {}, 1, {}, {}, {}};
  read_start(problem);
  if (!problem.text.site_rates.empty())
    problem.site_rates = read_site_rates(problem.text.site_rates, problem.length, options.seed("seed"));
  return problem;
}

Start ForwardProblem::start(std::uint64_t seed) const {
  return rows.empty() ? start_from_laws(laws, named.generator.states(), seed) : start_from_rows(rows, length);
}

std::vector<double> ForwardProblem::start_laws() const {
  auto const n = static_cast<std::size_t>(named.generator.states()), sites = static_cast<std::size_t>(length);
  std::vector<double> all;
  if (rows.empty()) {
    for (std::size_t l = 0; l < sites; ++l) {
      std::size_t const row = laws.size() == n ? 0 : l * n;
      all.insert(all.end(), laws.begin() + static_cast<std::ptrdiff_t>(row),
                 laws.begin() + static_cast<std::ptrdiff_t>(row + n));
    }
    return all;
  }
  require(rows.size() == sites, "an exact law needs one start, not " + std::to_string(rows.size() / sites) +
                                    "; give one sequence, stationary or a table");
  all.assign(sites * n, 0.0);
  for (std::size_t l = 0; l < sites; ++l) all[l * n + static_cast<std::size_t>(rows[l])] = 1;
  return all;
}

std::vector<double> read_times(Options const& options) {
  require(options.has("times"), "when to look is needed: --times T1,T2,... or FROM:TO:STEP");
  std::vector<double> times;
  for (auto const& item : options.list("times")) {
    std::vector<double> parts;
    std::string_view rest = item;
    while (true) {
      auto const part = rest.substr(0, rest.find(':'));
      auto const value = parse_number(part);
      require(value && std::isfinite(*value), "--times: '" + item + "' is neither a number nor FROM:TO:STEP");
      parts.push_back(*value);
      if (part.size() == rest.size()) break;
      rest.remove_prefix(part.size() + 1);
    }
    require(
        parts.size() == 1 ||
            (parts.size() == 3 && parts[2] > 0 && parts[1] >= parts[0] && (parts[1] - parts[0]) / parts[2] < 1e7),
        "--times: '" + item + "' is neither a number nor FROM:TO:STEP with a step above 0 and fewer than 1e7 times");
    if (parts.size() == 1) {
      times.push_back(parts[0]);
    } else {
      auto const count = static_cast<int>(std::floor((parts[1] - parts[0]) / parts[2] + 1e-9));
      for (int i = 0; i <= count; ++i) times.push_back(parts[0] + parts[2] * i);
    }
  }
  require(times[0] >= 0, "--times must not lie before 0, got " + to_text(times[0]));
  for (std::size_t i = 1; i < times.size(); ++i) {
    require(times[i] > times[i - 1],
            "--times must increase, got " + to_text(times[i]) + " after " + to_text(times[i - 1]));
  }
  return times;
}

void print_notes(Options const& options, std::vector<std::string> const& notes) {
  if (options.flag("quiet")) return;
  for (auto const& note : notes) std::fprintf(stderr, "saltus: note: %s\n", note.c_str());
}

Json run_header(Options const& options, ForwardProblem const& problem) {
  Json header = run_header(options);
  header["parameters"]["noise"] = problem.text.noise;
  header["process"] = Json::parse(process_json(problem.text));
  header["generator"] = {{"description", problem.named.description},
                         {"states", problem.named.generator.states()},
                         {"notes", problem.named.notes}};
  header["start"] = problem.start_text;
  header["length"] = problem.length;
  return header;
}

}  // namespace saltus::app
