// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/io/generators.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>
#include <utility>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/amino_acid_tables.hpp>
#include <saltus/ctmc/io/generator_files.hpp>
#include <saltus/ctmc/parameters.hpp>

namespace saltus {
namespace {

constexpr std::size_t nucleotides = 4;
constexpr int most_dense_states = 4096;

/// A number that has no default.
double needed(Parameters const& p, std::string_view key) {
  require(p.has(key),
          p.where() + " needs '" + std::string(key) + "', as in " + p.name() + ":" + std::string(key) + "=1");
  return p.number(key, 0);
}

int states(Parameters const& p, int least, int most) {
  require(p.has("states"),
          p.where() + " needs the number of states, as in " + p.name() + ":states=" + std::to_string(least + 2));
  return p.integer("states", least, least, most);
}

double positive(Parameters const& p, std::string_view key, double otherwise) {
  double const value = p.number(key, otherwise);
  require(std::isfinite(value) && value > 0,
          p.where() + ": '" + std::string(key) + "' must be a number above 0, got " + to_text(value));
  return value;
}

/// A law of `count` frequencies, made to sum to 1 exactly.
std::vector<double> law(Parameters const& p, std::vector<double> frequencies) {
  double sum = 0;
  for (double const f : frequencies) {
    require(std::isfinite(f) && f > 0, p.where() + ": every one of 'freqs' must be above 0, got " + to_text(f));
    sum += f;
  }
  require(std::abs(sum - 1) <= 1e-3, p.where() + ": " + std::to_string(frequencies.size()) +
                                         " of 'freqs' must sum to 1, got " + to_text(sum));
  for (double& f : frequencies) f /= sum;
  return frequencies;
}

std::vector<double> law_of(Parameters const& p, std::size_t count, std::string const& order) {
  auto const given = p.numbers("freqs");
  require(given.size() == count, p.where() + ": 'freqs' takes " + std::to_string(count) + " numbers in the order " +
                                     order + ", got " + std::to_string(given.size()));
  return law(p, given);
}

bool transition(std::size_t x, std::size_t y) { return (x ^ y) == 2; }  // A=0 <-> G=2, C=1 <-> T=3

/// Exchangeabilities in the order AC, AG, AT, CG, CT, GT.
NamedGenerator nucleotide_model(Parameters const& p, std::array<double, 6> const& rates,
                                std::vector<double> const& freqs) {
  std::vector<double> exchangeability(nucleotides * nucleotides);
  std::size_t pair = 0;
  for (std::size_t x = 0; x < nucleotides; ++x) {
    for (std::size_t y = x + 1; y < nucleotides; ++y) {
      exchangeability[x * nucleotides + y] = exchangeability[y * nucleotides + x] = rates[pair++];
    }
  }
  return reversible_model(p.name(), Alphabet::nucleotides(), exchangeability, freqs,
                          p.name() + ", replacement of nucleotides");
}

NamedGenerator gtr(Parameters const& p) {
  auto const given = p.numbers("rates");
  require(given.size() == 6, p.where() + ": 'rates' takes 6 numbers in the order AC,AG,AT,CG,CT,GT, got " +
                                 std::to_string(given.size()));
  std::array<double, 6> rates{};
  for (std::size_t i = 0; i < 6; ++i) {
    require(std::isfinite(given[i]) && given[i] > 0, p.where() + ": 'rates' must be above 0, got " + to_text(given[i]));
    rates[i] = given[i];
  }
  return nucleotide_model(p, rates, law_of(p, 4, "A,C,G,T"));
}

NamedGenerator amino_acid_model(Parameters const& p, AminoAcidTable const& table) {
  constexpr std::size_t n = 20;
  p.allow({"freqs"});
  std::vector<double> freqs(table.frequency, table.frequency + n);
  std::string description = p.name() + ", replacement of amino acids";
  if (p.has("freqs")) {
    freqs = law_of(p, n, Alphabet::amino_acids().symbols());
    description += " with other frequencies";
  } else {
    // The table has ten digits.
    double sum = 0;
    for (double const f : freqs) sum += f;
    for (double& f : freqs) f /= sum;
  }
  std::vector<double> exchangeability(n * n);
  std::size_t entry = 0;
  for (std::size_t x = 1; x < n; ++x) {
    for (std::size_t y = 0; y < x; ++y) {
      exchangeability[x * n + y] = exchangeability[y * n + x] = table.exchangeability[entry++];
    }
  }
  return reversible_model(p.name(), Alphabet::amino_acids(), exchangeability, freqs, description);
}

struct Codon {
  std::array<std::size_t, 3> letters;  ///< A=0, C=1, G=2, T=3
  char amino_acid;
};

/// The sense codons of the standard genetic code in alphabetical order.
std::vector<Codon> sense_codons() {
  constexpr std::string_view order = "ACGT";
  // Translation table 1 of the NCBI, which counts TTT, TTC, TTA, TTG, TCT, ...
  constexpr std::string_view code_order = "TCAG";
  constexpr std::string_view code = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG";
  std::vector<Codon> codons;
  for (std::size_t i = 0; i < 64; ++i) {
    std::array<std::size_t, 3> const letters{i / 16, i / 4 % 4, i % 4};
    std::size_t at = 0;
    for (std::size_t const letter : letters) at = 4 * at + code_order.find(order[letter]);
    if (code[at] != '*') codons.push_back({letters, code[at]});
  }
  return codons;
}

std::vector<double> codon_frequencies(Parameters const& p, std::vector<Codon> const& codons) {
  auto given = p.numbers("freqs");
  if (!p.has("freqs")) return std::vector<double>(codons.size(), 1.0 / static_cast<double>(codons.size()));
  if (given.size() == codons.size()) return law(p, given);
  require(given.size() == 4 || given.size() == 12,
          p.where() + ": 'freqs' takes 4 numbers (A,C,G,T), 12 (A,C,G,T for each position of the codon) or " +
              std::to_string(codons.size()) + " (codons in alphabetical order), got " + std::to_string(given.size()));
  std::vector<double> of_position;
  for (std::size_t position = 0; position < 3; ++position) {
    auto const from = given.begin() + (given.size() == 12 ? 4 * static_cast<std::ptrdiff_t>(position) : 0);
    auto const one = law(p, {from, from + 4});
    of_position.insert(of_position.end(), one.begin(), one.end());
  }
  std::vector<double> freqs;
  double sum = 0;
  for (auto const& [letters, amino_acid] : codons) {
    freqs.push_back(of_position[letters[0]] * of_position[4 + letters[1]] * of_position[8 + letters[2]]);
    sum += freqs.back();
  }
  for (double& f : freqs) f /= sum;  // without those of the stop codons
  return freqs;
}

NamedGenerator codon_model(Parameters const& p) {
  p.allow({"kappa", "omega", "freqs"});
  double const kappa = positive(p, "kappa", 2), omega = positive(p, "omega", 1);
  auto const codons = sense_codons();
  std::size_t const n = codons.size();
  std::vector<double> exchangeability(n * n);
  for (std::size_t x = 0; x < n; ++x) {
    for (std::size_t y = 0; y < n; ++y) {
      int changes = 0;
      double rate = codons[x].amino_acid == codons[y].amino_acid ? 1 : omega;
      for (std::size_t position = 0; position < 3; ++position) {
        std::size_t const from = codons[x].letters[position], to = codons[y].letters[position];
        if (from == to) continue;
        ++changes;
        if (transition(from, to)) rate *= kappa;
      }
      exchangeability[x * n + y] = changes == 1 ? rate : 0;
    }
  }
  std::vector<std::string> names;
  for (auto const& [letters, amino_acid] : codons) {
    names.push_back({"ACGT"[letters[0]], "ACGT"[letters[1]], "ACGT"[letters[2]]});
  }
  return reversible_model("codon", Alphabet::words(names, "codons"), exchangeability, codon_frequencies(p, codons),
                          "replacement of codons, kappa " + to_text(kappa) + ", omega " + to_text(omega));
}

NamedGenerator numbered(Generator generator, std::string description) {
  auto alphabet = Alphabet::numbered(generator.states());
  return {std::move(generator), std::move(alphabet), std::move(description), {}};
}

std::vector<double> const equal_frequencies(nucleotides, 0.25);

struct Named {
  char const* name;
  NamedGenerator (*make)(Parameters const&);
};

constexpr int any_number = std::numeric_limits<int>::max();

Named const named[] = {
    {"uniform",
     [](Parameters const& p) {
       p.allow({"states"});
       return numbered(Generator::uniform(states(p, 1, any_number)), "uniform: to every state at the same rate");
     }},
    {"absorbing",
     [](Parameters const& p) {
       p.allow({"states"});
       return numbered(Generator::absorbing(states(p, 2, any_number)),
                       "absorbing: to the mask, which is the last state");
     }},
    {"path",
     [](Parameters const& p) {
       p.allow({"states"});
       return numbered(Generator::path(states(p, 2, most_dense_states)), "path: to the neighbours at rate 1");
     }},
    {"gaussian_target",
     [](Parameters const& p) {
       p.allow({"states", "rate_sigma", "target_sigma"});
       int const count = states(p, 2, most_dense_states);
       return numbered(
           Generator::gaussian_target(count, positive(p, "rate_sigma", 6), positive(p, "target_sigma", 512)),
           "gaussian_target: jumps of an ordinal state, stationary law a discrete Gaussian");
     }},
    {"birth_death",
     [](Parameters const& p) {
       p.allow({"birth", "death"});
       return numbered(Generator::population({.birth = needed(p, "birth"), .death = needed(p, "death")}),
                       "birth_death: a population, births and deaths of each individual");
     }},
    {"immigration_death",
     [](Parameters const& p) {
       p.allow({"immigration", "death", "batch"});
       return numbered(Generator::population({.immigration = needed(p, "immigration"),
                                              .death = needed(p, "death"),
                                              .batch = p.integer("batch", 1, 1, any_number)}),
                       "immigration_death: a population, arrivals in batches and deaths of each individual");
     }},
    {"jc69",
     [](Parameters const& p) {
       p.allow({});
       return nucleotide_model(p, {1, 1, 1, 1, 1, 1}, equal_frequencies);
     }},
    {"k80",
     [](Parameters const& p) {
       p.allow({"kappa"});
       double const kappa = positive(p, "kappa", 2);
       return nucleotide_model(p, {1, kappa, 1, 1, kappa, 1}, equal_frequencies);
     }},
    {"hky85",
     [](Parameters const& p) {
       p.allow({"kappa", "freqs"});
       double const kappa = positive(p, "kappa", 2);
       return nucleotide_model(p, {1, kappa, 1, 1, kappa, 1}, law_of(p, 4, "A,C,G,T"));
     }},
    {"gtr",
     [](Parameters const& p) {
       p.allow({"rates", "freqs"});
       return gtr(p);
     }},
    {"lg", [](Parameters const& p) { return amino_acid_model(p, lg_table); }},
    {"wag", [](Parameters const& p) { return amino_acid_model(p, wag_table); }},
    {"jtt", [](Parameters const& p) { return amino_acid_model(p, jtt_table); }},
    {"codon", codon_model},
};

NamedGenerator normalised(NamedGenerator g) {
  if (std::find(g.notes.begin(), g.notes.end(), normalised_note) != g.notes.end()) return g;
  std::string const where = "generator '" + g.generator.name() + "' cannot be normalised: ";
  bool const matrix = g.generator.kind() == Generator::Kind::dense || g.generator.kind() == Generator::Kind::sparse;
  require(matrix, where + "its rates are fixed by its name; scale the noise instead");
  require(g.generator.states() <= most_dense_states,
          where + "the stationary law is computed for at most " + std::to_string(most_dense_states) +
              " states, it has " + std::to_string(g.generator.states()) + "; scale the noise instead");
  require(g.generator.closed_classes() == 1, where + "it has " + std::to_string(g.generator.closed_classes()) +
                                                 " closed classes of states, so there is no one stationary law");
  double const mean = g.generator.mean_rate();
  require(mean > 0, where + "it comes to rest in an absorbing state");
  g.generator = g.generator.scaled(1 / mean);
  g.notes.emplace_back(normalised_note);
  return g;
}

}  // namespace

NamedGenerator reversible_model(std::string const& name, Alphabet alphabet, std::vector<double> const& exchangeability,
                                std::vector<double> const& frequencies, std::string description) {
  std::size_t const n = frequencies.size();
  std::vector<double> rates(n * n);
  double mean = 0;
  for (std::size_t x = 0; x < n; ++x) {
    double exit = 0;
    for (std::size_t y = 0; y < n; ++y) {
      if (x != y) exit += rates[x * n + y] = exchangeability[x * n + y] * frequencies[y];
    }
    rates[x * n + x] = -exit;
    mean += frequencies[x] * exit;
  }
  for (double& rate : rates) rate /= mean;
  return {Generator::dense(name, static_cast<int>(n), std::move(rates)), std::move(alphabet), std::move(description),
          {normalised_note}};
}

NamedGenerator read_generator(std::string_view text, GeneratorOptions const& options) {
  auto const name = text.substr(0, text.find(':'));
  auto const known = std::find_if(std::begin(named), std::end(named), [&](Named const& n) { return n.name == name; });
  bool const is_name = known != std::end(named);
  std::string const path(text);
  if (!is_name && !std::filesystem::exists(path) && name.find_first_of("/.") == name.npos) {
    throw UserError(unknown_name("generator (and no such file)", name, generator_names()));
  }
  auto g = is_name ? known->make(Parameters::parse("generator", text)) : read_generator_file(path, options);
  return options.normalise ? normalised(std::move(g)) : g;
}

NamedGenerator parse_generator(std::string_view text, std::string const& source, GeneratorOptions const& options) {
  auto g = parse_text_matrix(text, source, options);
  return options.normalise ? normalised(std::move(g)) : g;
}

std::vector<std::string> generator_names() {
  std::vector<std::string> names;
  for (auto const& n : named) names.emplace_back(n.name);
  return names;
}

}  // namespace saltus
