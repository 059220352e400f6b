// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/io/generator_files.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/ctmc/io/npy.hpp>
#include <saltus/ctmc/io/table.hpp>

namespace saltus {
namespace {

constexpr double row_tolerance = 1e-5;  // of the exit rate: files have five digits or more
constexpr int most_states_of_mean = 1024;  // above, a stationary law takes too long for a note

std::string text_of(std::size_t number) { return std::to_string(number); }

/// A file and what its states are called.
struct Source {
  std::string path;
  std::vector<std::string> names;  ///< empty: no names

  std::string file() const { return "'" + path + "'"; }
  std::string line(std::size_t number) const { return file() + ", line " + text_of(number); }
  /// "3", or "3 ('C')": a row or column counted from 1.
  std::string place(std::size_t i) const {
    return text_of(i + 1) + (names.empty() ? "" : " ('" + names[i] + "')");
  }
  std::string entry(std::size_t x, std::size_t y) const {
    return file() + ", row " + place(x) + ", column " + place(y);
  }
  std::string state(std::size_t x) const {
    return names.empty() ? text_of(x) + " (row " + text_of(x + 1) + " of the file)" : "'" + names[x] + "'";
  }
};

/// Checks a diagonal against the sum of the other rates of its row.
void check_row(Source const& source, std::size_t x, double diagonal, double exit) {
  require(std::abs(diagonal + exit) <= row_tolerance * std::max(exit, std::abs(diagonal)),
          source.file() + ", row " + source.place(x) + ": the rates of a row sum to 0, this one to " +
              to_text(diagonal + exit) + " (the diagonal is " + to_text(diagonal) + ", the other rates sum to " +
              to_text(exit) + "); correct it, or --fix-diagonal sets the diagonal to minus the sum of the row");
}

bool is_rate(double rate) { return rate >= 0 && std::isfinite(rate); }

// Messages are made only where something is wrong: a file can have a million entries.
[[noreturn]] void refuse_rate(std::string const& where, double rate) {
  if (!std::isfinite(rate)) throw UserError(where + ": expected a finite rate, got " + to_text(rate));
  throw UserError(where + ": rates off the diagonal are >= 0, got " + to_text(rate) +
                  "; rows are where a jump starts, columns where it ends");
}

/// The alphabet of the names of a file; tells in `notes` if they cannot be written as words.
Alphabet alphabet_of(Source const& source, int states, std::vector<std::string>& notes) {
  auto const& names = source.names;
  bool plain = true, words = true;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < names.size(); ++i) {
    require(seen.insert(names[i]).second,
            source.file() + ": two states are called '" + names[i] + "'; names must differ");
    plain &= names[i] == std::to_string(i);
    words &= names[i].size() == names[0].size() && std::all_of(names[i].begin(), names[i].end(), is_symbol);
  }
  if (plain) return Alphabet::numbered(states);
  if (words) return Alphabet::words(names, source.path);
  std::string note = "states are written as numbers in the order of the file, since their names differ in width:";
  for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 5); ++i) {
    note += (i == 0 ? " " : ", ") + std::to_string(i) + " is '" + names[i] + "'";
  }
  notes.push_back(note + (names.size() > 5 ? ", ..." : ""));
  return Alphabet::numbered(states);
}

/// What is worth a word about the chain of a file.
void describe(Source const& source, NamedGenerator& g, GeneratorOptions const& options) {
  auto const& jumps = g.generator.jumps();
  std::size_t absorbing = 0, first = 0;
  for (std::size_t x = 0; x + 1 < jumps.row_begin.size(); ++x) {
    if (jumps.row_begin[x] == jumps.row_begin[x + 1] && absorbing++ == 0) first = x;
  }
  if (absorbing == 1) g.notes.push_back("state " + source.state(first) + " is absorbing: no jump leaves it");
  if (absorbing > 1) {
    g.notes.push_back(text_of(absorbing) + " states are absorbing, no jump leaves them; the first is " +
                      source.state(first));
  }
  int const classes = g.generator.closed_classes();
  if (classes > 1) {
    g.notes.push_back("there are " + std::to_string(classes) +
                      " closed classes of states: where the chain ends depends on where it starts");
  } else if (!g.generator.irreducible()) {
    g.notes.push_back("some states cannot be reached from the others: the stationary law is 0 there");
  }
  if (options.normalise || classes > 1 || g.generator.states() > most_states_of_mean) return;
  double const mean = g.generator.mean_rate();
  if (mean > 0 && std::abs(mean - 1) > row_tolerance) {
    g.notes.push_back("not normalised: mean rate " + to_text(mean) +
                      " jumps per unit time in the stationary law (--normalise makes it 1)");
  }
}

NamedGenerator dense_generator(Source const& source, std::size_t n, std::vector<double> rates,
                               GeneratorOptions const& options) {
  for (std::size_t x = 0; x < n; ++x) {
    double exit = 0;
    for (std::size_t y = 0; y < n; ++y) {
      if (x == y) continue;
      double const rate = rates[x * n + y];
      if (!is_rate(rate)) refuse_rate(source.entry(x, y), rate);
      exit += rate;
    }
    if (!options.fix_diagonal) check_row(source, x, rates[x * n + x], exit);
    rates[x * n + x] = -exit;
  }
  std::vector<std::string> notes;
  auto const states = static_cast<int>(n);
  auto alphabet = alphabet_of(source, states, notes);
  NamedGenerator g{Generator::dense(source.path, states, std::move(rates)), std::move(alphabet),
                   "matrix of rates from " + source.file(), std::move(notes)};
  describe(source, g, options);
  return g;
}

NamedGenerator read_npy_matrix(std::string const& path, GeneratorOptions const& options) {
  auto array = read_npy(path);
  std::string shape;
  for (std::size_t const extent : array.shape) shape += (shape.empty() ? "" : ", ") + text_of(extent);
  require(array.shape.size() == 2 && array.shape[0] == array.shape[1] && array.shape[0] >= 1,
          "'" + path + "' has shape [" + shape + "]; a generator is a square matrix");
  return dense_generator({path, {}}, array.shape[0], std::move(array.values), options);
}

/// A line of a matrix as text.
struct Line {
  std::size_t number;
  std::vector<std::string_view> fields;
};

/// The names of the columns, if the first line has them; it is then taken out of `lines`.
std::vector<std::string> take_header(std::vector<Line>& lines) {
  auto fields = lines.front().fields;
  if (fields.front().empty()) fields.erase(fields.begin());
  auto const is_number = [](std::string_view field) { return parse_number(field).has_value(); };
  auto const is_plain = [](std::string_view field) { return field.find_first_not_of("0123456789") == field.npos; };
  // Names can be numbers, and a row can begin with a name: then the number of lines tells.
  bool header;
  if (std::all_of(fields.begin(), fields.end(), is_number)) {
    header = fields.size() + 1 == lines.size() && std::all_of(fields.begin(), fields.end(), is_plain);
  } else {
    bool const named_row = !is_number(fields.front()) && std::all_of(fields.begin() + 1, fields.end(), is_number);
    header = !(named_row && fields.size() == lines.size() + 1);
  }
  if (!header) return {};
  lines.erase(lines.begin());
  return {fields.begin(), fields.end()};
}

NamedGenerator read_text_matrix(std::string const& path, std::vector<Line> lines, GeneratorOptions const& options) {
  Source source{path, take_header(lines)};
  bool const header = !source.names.empty();
  std::size_t const n = lines.size();
  require(n >= 1, source.file() + " has names but no rates; expected a row of rates for each state");
  std::size_t const width = lines.front().fields.size();
  for (std::size_t x = 0; x < n; ++x) {
    require(lines[x].fields.size() == width, source.line(lines[x].number) + ": row " + text_of(x + 1) + " has " +
                                                 text_of(lines[x].fields.size()) + " entries, expected " +
                                                 text_of(width) + " as in row 1");
  }
  bool const named_rows = width == n + 1 || !parse_number(lines.front().fields.front());
  std::size_t const columns = width - (named_rows ? 1 : 0);
  require(columns == n, source.file() + " has " + text_of(n) + " rows and " + text_of(columns) +
                            " columns of rates; a generator is square");
  if (source.names.size() == n + 1) source.names.erase(source.names.begin());  // what names are called
  require(!header || source.names.size() == n, source.file() + ": the first line has " + text_of(source.names.size()) +
                                                   " names, expected " + text_of(n) + ", one for each column");
  std::vector<double> rates;
  rates.reserve(n * n);
  std::vector<std::string> row_names;
  for (std::size_t x = 0; x < n && named_rows; ++x) {
    row_names.emplace_back(lines[x].fields[0]);
    lines[x].fields.erase(lines[x].fields.begin());
    require(!header || row_names[x] == source.names[x],
            source.line(lines[x].number) + ": row " + text_of(x + 1) + " is called '" + row_names[x] + "', column " +
                source.place(x) + "; rows and columns come in the same order");
  }
  if (named_rows) source.names = std::move(row_names);
  for (std::size_t x = 0; x < n; ++x) {
    for (std::size_t y = 0; y < n; ++y) {
      auto const field = lines[x].fields[y];
      auto const value = parse_number(field);
      if (!value) {
        throw UserError(source.line(lines[x].number) + ", row " + source.place(x) + ", column " + source.place(y) +
                        ": expected a number, got '" + std::string(field) + "'");
      }
      rates.push_back(*value);
    }
  }
  return dense_generator(source, n, std::move(rates), options);
}

/// The lower triangle of exchangeabilities of amino acids and their frequencies, as PAML has it; the rest is notes.
NamedGenerator read_paml(std::string const& path, std::vector<Line> const& lines) {
  constexpr std::string_view order = "ARNDCQEGHILKMFPSTWYV";
  constexpr std::size_t n = 20, pairs = n * (n - 1) / 2;
  Source const source{path, {}};
  std::vector<double> numbers;
  for (auto const& line : lines) {
    for (auto const field : line.fields) {
      if (numbers.size() == pairs + n) break;
      auto const value = parse_number(field);
      std::string const what = numbers.size() < pairs ? "exchangeability " + text_of(numbers.size() + 1) + " of 190"
                                                      : "frequency " + text_of(numbers.size() - pairs + 1) + " of 20";
      require(value && std::isfinite(*value) && *value >= 0 && (numbers.size() < pairs || *value > 0),
              source.line(line.number) + ": expected " + what + " as in files of PAML, a number " +
                  (numbers.size() < pairs ? ">= 0" : "above 0") + ", got '" + std::string(field) + "'");
      numbers.push_back(*value);
    }
  }
  require(numbers.size() == pairs + n, source.file() + " ends after " + text_of(numbers.size()) +
                                           " numbers; files of PAML have " +
                                           "a lower triangle of 190 exchangeabilities and 20 frequencies");
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += numbers[pairs + i];
  require(std::abs(sum - 1) <= 1e-2, source.file() + ": the 20 frequencies sum to " + to_text(sum) + ", expected 1");
  auto const alphabet = Alphabet::amino_acids();
  std::vector<double> exchangeability(n * n), frequencies(n);
  for (std::size_t i = 0, at = 0; i < n; ++i) {
    auto const x = static_cast<std::size_t>(*alphabet.find(order[i]));
    frequencies[x] = numbers[pairs + i] / sum;
    for (std::size_t j = 0; j < i; ++j) {
      auto const y = static_cast<std::size_t>(*alphabet.find(order[j]));
      exchangeability[x * n + y] = exchangeability[y * n + x] = numbers[at++];
    }
  }
  require(*std::max_element(exchangeability.begin(), exchangeability.end()) > 0,
          source.file() + ": all exchangeabilities are 0");
  return reversible_model(path, alphabet, exchangeability, frequencies,
                          "replacement of amino acids from " + source.file());
}

struct Entry {
  token_t row, column;
  double rate;
};

/// A whole number from 1 to `most`, less 1; nothing if the text is anything else.
std::optional<token_t> index_of(std::string_view field, std::int64_t most) {
  std::int64_t value = 0;
  auto const [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  bool const good = error == std::errc() && end == field.data() + field.size() && value >= 1 && value <= most;
  return good ? std::optional(static_cast<token_t>(value - 1)) : std::nullopt;
}

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

/// Whether a Matrix Market file holds one triangle only.
bool is_symmetric(Source const& source, std::string_view bytes) {
  auto const banner = lower(std::string(bytes.substr(0, bytes.find('\n'))));
  auto const words = split_fields(banner);
  bool const known = words.size() == 5 && words[0] == "%%matrixmarket" && words[1] == "matrix" &&
                     words[2] == "coordinate" && (words[3] == "real" || words[3] == "integer") &&
                     (words[4] == "general" || words[4] == "symmetric");
  require(known, source.line(1) + ": expected '%%MatrixMarket matrix coordinate', then 'real' or 'integer', then " +
                     "'general' or 'symmetric'; got '" +
                     std::string(bytes.substr(0, std::min<std::size_t>(banner.size(), 80))) + "'");
  return words[4] == "symmetric";
}

NamedGenerator read_matrix_market(std::string const& path, std::string_view bytes, GeneratorOptions const& options) {
  Source const source{path, {}};
  bool const symmetric = is_symmetric(source, bytes);
  std::int64_t states = 0, count = 0, lines = 0;
  std::vector<Entry> entries;
  for_each_line(bytes, [&](std::string_view line, std::size_t number) {
    if (line.front() == '%') return;
    auto const refuse = [&](std::string const& what) { throw UserError(source.line(number) + ": " + what); };
    auto const fields = split_fields(line);
    if (fields.size() != 3) {
      refuse(std::string(states == 0 ? "expected the numbers of rows, columns and entries"
                                     : "expected row, column and rate") +
             ", got " + text_of(fields.size()) + " numbers");
    }
    std::int64_t const most = states == 0 ? std::numeric_limits<token_t>::max() : states;
    std::optional<token_t> place[2];
    for (std::size_t i = 0; i < 2; ++i) {
      place[i] = index_of(fields[i], most);
      if (!place[i])
        refuse("expected a whole number from 1 to " + std::to_string(most) + ", got '" + std::string(fields[i]) + "'");
    }
    auto const value = parse_number(fields[2]);
    if (states == 0) {
      if (*place[0] != *place[1]) refuse(std::string(line.substr(0, 80)) + ": a generator has as many rows as columns");
      if (!value || !(*value >= 0 && *value <= 1e15))
        refuse("expected the number of entries, got '" + std::string(fields[2]) + "'");
      states = *place[0] + std::int64_t{1};
      count = static_cast<std::int64_t>(*value);
      return;
    }
    ++lines;
    if (!value) refuse("expected a rate, got '" + std::string(fields[2]) + "'");
    Entry const entry{*place[0], *place[1], *value};
    entries.push_back(entry);
    if (entry.row == entry.column) return;
    if (!is_rate(entry.rate)) {
      refuse_rate(source.line(number) + ", row " + std::string(fields[0]) + ", column " + std::string(fields[1]),
                  entry.rate);
    }
    if (!symmetric) return;
    if (entry.row < entry.column)
      refuse("this entry is above the diagonal; a symmetric file has the lower triangle only");
    entries.push_back({entry.column, entry.row, entry.rate});
  });
  require(states > 0, source.file() + " has no line with the numbers of rows, columns and entries");
  require(lines == count,
          source.file() + " has " + std::to_string(lines) + " entries, expected " + std::to_string(count));
  constexpr std::int64_t plenty = 1'000'000;  // what a header may ask for by itself
  require(states <= std::max(plenty, 2 * count),
          source.file() + " has " + std::to_string(states) + " states, of which its " + std::to_string(count) +
              " entries can name but a few; leave the others out");
  std::sort(entries.begin(), entries.end(),
            [](Entry const& a, Entry const& b) { return std::tie(a.row, a.column) < std::tie(b.row, b.column); });

  SparseRates rates;
  rates.row_begin.reserve(static_cast<std::size_t>(states) + 1);
  rates.row_begin.push_back(0);
  for (std::size_t at = 0; rates.row_begin.size() <= static_cast<std::size_t>(states);) {
    std::size_t const x = rates.row_begin.size() - 1;
    double exit = 0;
    std::optional<double> diagonal;
    for (; at < entries.size() && entries[at].row == static_cast<token_t>(x); ++at) {
      auto const& [row, column, rate] = entries[at];
      if (at > 0 && entries[at - 1].row == row && entries[at - 1].column == column) {
        throw UserError(source.entry(x, static_cast<std::size_t>(column)) + " comes twice; add the rates up");
      }
      if (row == column) {
        diagonal = rate;
      } else if (rate > 0) {
        rates.column.push_back(column);
        rates.rate.push_back(rate);
        exit += rate;
      }
    }
    if (diagonal && !options.fix_diagonal) check_row(source, x, *diagonal, exit);
    rates.row_begin.push_back(static_cast<std::int64_t>(rates.column.size()));
  }
  auto generator = Generator::sparse(path, std::move(rates));
  NamedGenerator g{std::move(generator), Alphabet::numbered(static_cast<int>(states)),
                   "sparse matrix of rates from " + source.file(), {}};
  describe(source, g, options);
  return g;
}

}  // namespace

NamedGenerator parse_text_matrix(std::string_view text, std::string const& source, GeneratorOptions const& options) {
  std::vector<Line> lines;
  for_each_line(text,
                [&](std::string_view line, std::size_t number) { lines.push_back({number, split_fields(line)}); });
  require(!lines.empty(), source + " is empty; expected a row of rates for each state");
  return read_text_matrix(source, std::move(lines), options);
}

NamedGenerator read_generator_file(std::string const& path, GeneratorOptions const& options) {
  std::string const bytes = read_file(path);
  if (bytes.starts_with("\x93NUMPY") || path.ends_with(".npy")) return read_npy_matrix(path, options);
  require(bytes.find('\0') == bytes.npos,
          "'" + path + "' is a binary file; expected a matrix of rates as text, .npy or Matrix Market (if it is " +
              "compressed, unpack it first)");
  if (bytes.starts_with("%%") || path.ends_with(".mtx")) return read_matrix_market(path, bytes, options);
  std::vector<Line> lines;
  for_each_line(bytes,
                [&](std::string_view line, std::size_t number) { lines.push_back({number, split_fields(line)}); });
  require(!lines.empty(), "'" + path + "' is empty, but for comments; expected a row of rates for each state");
  // The first row of a triangle has one number, that of a generator as many as there are states.
  bool const triangle = lines.size() > 1 && lines.front().fields.size() == 1;
  return triangle ? read_paml(path, lines) : read_text_matrix(path, std::move(lines), options);
}

}  // namespace saltus
