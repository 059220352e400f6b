// SPDX-License-Identifier: BSD-3-Clause
#include "evaluation.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <numeric>

#include <boost/math/distributions/students_t.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/random.hpp>
#include <saltus/models/bound.hpp>
#include <saltus/models/kneser_ney.hpp>

#include "model.hpp"

namespace saltus::app {
namespace {

constexpr std::size_t most_parts = 20;  // of held-out sequences and of samples
constexpr std::size_t least_reference = 10;
constexpr double nearest_budget = 1e9;  // of nearest_cost(): a few seconds
constexpr int bound_draws = 8, bound_batch = 256;  // of the model's bound: noises a sequence, rows at a time
constexpr int longest_word = 4, judge_order = 6;
constexpr std::size_t most_bars = 64, named_bars = 12, drawings = 12;
enum Which : std::uint32_t { which_held = 1, which_nearest_samples = 2, which_nearest_held = 3 };  // of permutations

// `count` of the sequences, at random.
Sequences some(Sequences sequences, std::size_t count, std::uint64_t seed, Which which) {
  StreamKey const key{seed, 0};
  std::size_t const size = sequences.size();
  for (std::size_t i = 0; i < count; ++i) {
    double const u = uniform53(key.draw(i, Role::permute, which).event);
    std::swap(sequences[i], sequences[i + static_cast<std::size_t>(u * static_cast<double>(size - i))]);
  }
  sequences.resize(count);
  return sequences;
}

Sequences all_of(RaggedSequences const& set) {
  Sequences sequences;
  for (std::size_t b = 0; b < set.count(); ++b) sequences.push_back(set.row(b));
  return sequences;
}

// All lines of a text after one another, in pieces; what is left over at the end is dropped.
RaggedSequences pieces_of(RaggedSequences text, std::size_t length, std::string const& path) {
  text.offsets = {0};
  while (text.offsets.back() + length <= text.tokens.size()) text.offsets.push_back(text.offsets.back() + length);
  text.tokens.resize(text.offsets.back());
  require(text.count() > 0, "'" + path + "' is shorter than one piece of " + std::to_string(length) + " tokens");
  return text;
}

// Refuses samples that consist of other things than the reference. Broken molecules may: they are to be counted.
void refuse_strangers(EvaluationData const& data, Options const& options) {
  std::vector<char> known(static_cast<std::size_t>(data.files.alphabet.size()), 0);
  for (std::size_t f = 1; f < data.files.sets.size(); ++f) {
    for (token_t const token : data.files.sets[f].tokens) known[static_cast<std::size_t>(token)] = 1;
  }
  for (std::size_t b = 0; b < data.samples.size(); ++b) {
    for (token_t const token : data.samples[b]) {
      if (known[static_cast<std::size_t>(token)]) continue;
      throw UserError("the alphabets do not fit: '" + data.files.alphabet.shown(token) + "' in sequence " +
                      std::to_string(b + 1) + " of '" + options.text("samples") + "' does not occur in '" +
                      options.text("reference") + "'; give the reference that the samples belong to, or choose --kind");
    }
  }
}

std::vector<Sequences> parts_of(Sequences const& sequences, std::size_t size) {
  std::vector<Sequences> parts;
  for (std::size_t r = 0; r < std::min(most_parts, sequences.size() / size); ++r) {
    auto const begin = sequences.begin() + static_cast<std::ptrdiff_t>(r * size);
    parts.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(size));
  }
  return parts;
}

std::string counted(std::size_t count, std::string const& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

Estimate plain(double value) { return {value, value, value}; }

// Of values of parts: their mean, with a 95 % interval by Student's t of the mean, or (`next`) of one more part.
// Without an interval for one part.
Estimate parts_estimate(std::vector<double> const& values, bool next) {
  Estimate const mean = mean_of(values);
  if (values.size() < 2) return mean;
  double const n = static_cast<double>(values.size());
  double squares = 0;
  for (double const v : values) squares += (v - mean.value) * (v - mean.value);
  boost::math::students_t const student(n - 1);
  double const half = boost::math::quantile(student, 0.975) * std::sqrt(squares / (n - 1) * ((next ? 1 : 0) + 1 / n));
  return {mean.value, mean.value - half, mean.value + half};
}

class Judgement {
 public:
  Judgement(EvaluationData const& data, Options const& options)
      : data_(data), options_(options), states_(data.files.alphabet.size()), seed_(options.seed("seed")) {}

  Evaluation run() {
    describe();
    likelihood();
    sequences();
    words();
    nearest();
    if (data_.aligned) alignment();
    if (data_.kind == "smiles") molecules();
    return std::move(out_);
  }

 private:
  template <class Function>
  void row(std::string section, std::string name, std::string title, Function const& of, int decimals = 4) {
    out_.rows.push_back(
        {std::move(section), std::move(name), std::move(title), of(data_.samples), of(data_.held), decimals});
  }

  void describe() {
    auto const file = [&](char const* option) {
      return std::filesystem::path(options_.text(option)).filename().string();
    };
    out_.title = counted(data_.samples.size(), "sample") + " of " + file("samples") + " against " +
                 counted(data_.reference.size(), options_.flag("windows") ? "piece" : "sequence") + " of " +
                 file("reference");
    out_.remarks.push_back("Held out: " + (data_.held_is_reference
                                               ? counted(data_.held.size(), "random sequence") +
                                                     " of the reference, judged as the samples are, against the others."
                                               : counted(data_.held.size(), "sequence") + " of " + file("valid") +
                                                     ", judged as the samples are, against the reference."));
    auto const parts = [](std::size_t n) { return std::to_string(n) + (n == 1 ? " part" : " parts"); };
    out_.remarks.push_back(
        "Brackets hold 95 % intervals. Total variation and divergence, which grow smaller the more "
        "sequences there are, are means over parts of " +
        counted(data_.held_parts[0].size(), "sequence") + " (" + parts(data_.sample_parts.size()) +
        " of the samples, " + parts(data_.held_parts.size()) +
        " held out), with the interval for one more part held out.");
  }

  // Likelihood under models, and beside it the entropy without which it means little.
  void likelihood() {
    std::string const section = "likelihood and entropy";
    if (options_.has("model")) bound(section);
    if (options_.flag("judge") || options_.has("judge-data")) judge(section);
    row(section, "sequence_entropy", "entropy of a sequence's own tokens, nats",
        [&](Sequences const& s) { return mean_of(token_entropies(s, states_)); });
    row(section, "pooled_entropy", "entropy of all tokens, nats",
        [&](Sequences const& s) { return plain(entropy_of(word_histogram(s, states_, 1))); });
  }

  std::vector<std::string> texts(Sequences const& sequences) const {
    std::vector<std::string> lines;
    for (auto const& sequence : sequences) lines.push_back(data_.files.alphabet.text(sequence));
    return lines;
  }

  // What the model itself says: exact where its law is known, else the bound of its diffusion.
  void bound(std::string const& section) {
    Model const model = read_stored_model(options_.text("model"), options_);
    std::shared_ptr<ScoreModel> scores;
    bool const masked = !model.network || model.network->masked;
    require(masked || model.network->generator.empty() || model.network->generator.starts_with("uniform"),
            "the bound is known for masked and for uniform noise; " + model.name() + " was trained with '" + (masked ? "" : model.network->generator) +
                "': leave --model away");
    Generator const generator = masked ? Generator::absorbing(model.tokens() + 1) : Generator::uniform(model.tokens());
    if (model.network) scores = model.denoiser(generator, false);
    std::size_t strange = 0;
    struct Bits {
      std::vector<double> nats, tokens;
    };
    auto const bits = [&](Sequences const& sequences) {
      Bits b;
      std::vector<token_t> rows;
      std::size_t count = 0;
      for (auto const& text : texts(sequences)) {
        auto const tokens = encode(model, text);
        if (!tokens) {
          ++strange;
          continue;
        }
        ++count;
        if (model.law) b.nats.push_back(-model.law->log_likelihood(*tokens));
        rows.insert(rows.end(), tokens->begin(), tokens->end());
      }
      if (model.network && count > 0) {
        auto const bounds = likelihood_bounds(*scores, generator, NoiseSchedule::parse(model.network->noise), rows, count,
                                              bound_draws, bound_batch, seed_,
                                              model.network->takes_valid ? model.network->alphabet.pad() : std::nullopt);
        for (auto const& bound : bounds) b.nats.push_back(bound.nats);
      }
      b.tokens.assign(b.nats.size(), static_cast<double>(model.length));
      return b;
    };
    Bits const own = bits(data_.samples), real = bits(data_.held);
    auto const of = [&](Bits const& b, auto const& estimate) {
      return b.nats.empty() ? std::optional<Estimate>() : std::optional<Estimate>(estimate(b));
    };
    std::string const name = model.network ? "bound" : "model";
    std::string const title = model.network ? "bound of " + model.name() : "-ln p of " + model.name();
    auto const a_sequence = [](Bits const& b) { return mean_of(b.nats); };
    auto const a_token = [](Bits const& b) { return ratio_of(b.nats, b.tokens); };
    out_.rows.push_back({section, name + "_sequence", title + ", nats a sequence", of(own, a_sequence), of(real, a_sequence)});
    out_.rows.push_back({section, name + "_token", title + ", nats a site", of(own, a_token), of(real, a_token)});
    if (strange > 0)
      out_.remarks.push_back(counted(strange, "sequence") + " cannot be " + (strange == 1 ? "one" : "some") + " of the model " +
                             model.name() + " (other tokens, or another length) and did not count for its likelihood.");
  }

  void judge(std::string const& section) {
    int const order = std::min(judge_order, KneserNey::largest_order(states_));
    auto const& learned = data_.judge_data.empty() ? data_.rest : data_.judge_data;
    bool const ends = !data_.one_length;
    KneserNey const model = KneserNey::fit(learned, states_, order, ends);
    struct Bits {
      std::vector<double> nats, tokens;
    };
    auto const bits = [&](Sequences const& sequences) {
      Bits b;
      for (auto const& sequence : sequences) {
        b.nats.push_back(-model.log_probability(sequence));
        b.tokens.push_back(static_cast<double>(sequence.size()) + (ends ? 1 : 0));
      }
      return b;
    };
    Bits const own = bits(data_.samples), real = bits(data_.held);
    auto const add = [&](char const* name, char const* title, auto const& of) {
      out_.rows.push_back({section, name, title, of(own), of(real)});
    };
    add("judge_sequence", "judge, nats a sequence", [](Bits const& b) { return mean_of(b.nats); });
    add("judge_token", "judge, nats a token", [](Bits const& b) { return ratio_of(b.nats, b.tokens); });
    add("judge_perplexity", "judge, perplexity a token", [](Bits const& b) {
      Estimate const e = ratio_of(b.nats, b.tokens);
      return Estimate{std::exp(e.value), std::exp(e.low), std::exp(e.high)};
    });
    out_.remarks.push_back("The judge is an interpolated Kneser-Ney model of " + std::to_string(order) +
                           " tokens, fitted to " +
                           (data_.judge_data.empty() ? "the reference without what is held out" : "--judge-data") +
                           " (" + counted(learned.size(), "sequence") + ")" +
                           (ends ? "; the end of a sequence counts as a token."
                                 : "; all sequences have one length, so their ends are not predicted."));
  }

  void sequences() {
    std::string const section = "sequences";
    row(section, "count", "number", [](Sequences const& s) { return plain(static_cast<double>(s.size())); }, 0);
    row(
        section, "length", "length, tokens",
        [](Sequences const& s) {
          std::vector<double> lengths;
          for (auto const& sequence : s) lengths.push_back(static_cast<double>(sequence.size()));
          return mean_of(lengths);
        },
        3);
    if (!data_.one_length) {
      distances(section, "length", "lengths", length_histogram(data_.reference), length_histogram);
      length_chart();
    }
    row(section, "distinct", "different ones among them",
        [](Sequences const& s) { return plain(static_cast<double>(distinct(s)) / static_cast<double>(s.size())); });
    out_.rows.push_back({section, "novel", "not in the reference",
                         share_of(novel(data_.samples, data_.reference), data_.samples.size()),
                         share_of(novel(data_.held, data_.rest), data_.held.size())});
  }

  void words() {
    std::string const section = "tokens and words";
    auto const base = static_cast<std::uint64_t>(states_);
    for (int k = 1; k <= longest_word && k * std::bit_width(base) <= 63; ++k) {
      std::string const number = std::to_string(k);
      auto const count = [&](Sequences const& s) { return word_histogram(s, states_, k); };
      Histogram const all = count(data_.reference);
      if (all.total == 0) break;
      distances(section, "words_" + number, k == 1 ? "tokens" : "words of " + number, all, count);
      if (k <= 3) word_chart(k, count(data_.samples), all);
    }
  }

  // Total variation and divergence of parts of the samples, and of held-out parts, from the rest of the reference.
  template <class Count>
  void distances(std::string const& section, std::string const& name, std::string const& title, Histogram const& all,
                 Count const& count) {
    std::vector<Histogram> left;
    std::vector<double> tv[2], js[2];
    auto const add = [&](int which, Histogram const& part, Histogram const& others) {
      tv[which].push_back(total_variation(part, others));
      js[which].push_back(jensen_shannon(part, others));
    };
    for (auto const& part : data_.held_parts) {
      Histogram const own = count(part);
      left.push_back(data_.held_is_reference ? without(all, own) : all);
      add(1, own, left.back());
    }
    for (std::size_t r = 0; r < data_.sample_parts.size(); ++r)
      add(0, count(data_.sample_parts[r]), left[r % left.size()]);
    out_.rows.push_back({section, name + "_tv", title + ": total variation", parts_estimate(tv[0], false),
                         parts_estimate(tv[1], true)});
    out_.rows.push_back({section, name + "_js", title + ": divergence (Jensen-Shannon), nats",
                         parts_estimate(js[0], false), parts_estimate(js[1], true), 6});
  }

  void nearest() {
    std::string const section = "nearest neighbour in the reference";
    bool const sites = data_.one_length && !options_.flag("windows");
    std::size_t const asked = static_cast<std::size_t>(options_.integer("nearest", 1, 1'000'000'000));
    auto const chosen = [&](Sequences const& from, Sequences const& others, Which which) {
      double const each = nearest_cost(from, others, sites) / static_cast<double>(from.size());
      auto const afforded = static_cast<std::size_t>(std::max(20.0, nearest_budget / std::max(each, 1.0)));
      return some(from, std::min({from.size(), asked, afforded}), seed_, which);
    };
    Sequences const queries[2] = {chosen(data_.samples, data_.rest, which_nearest_samples),
                                  chosen(data_.held, data_.rest, which_nearest_held)};
    std::vector<double> found[2] = {nearest_distances(queries[0], data_.rest, states_, sites),
                                    nearest_distances(queries[1], data_.rest, states_, sites)},
                        shares[2];
    for (int w = 0; w < 2; ++w) {
      for (std::size_t q = 0; q < queries[w].size(); ++q)
        shares[w].push_back(found[w][q] / std::max(1.0, static_cast<double>(queries[w][q].size())));
    }
    std::string const what = sites ? "differing sites" : "edits";
    out_.rows.push_back({section, "nearest", what + ", mean", mean_of(found[0]), mean_of(found[1]), 3});
    out_.rows.push_back(
        {section, "nearest_median", what + ", median", plain(median_of(found[0])), plain(median_of(found[1])), 1});
    out_.rows.push_back(
        {section, "nearest_share", what + " of the length, mean", mean_of(shares[0]), mean_of(shares[1])});
    if (queries[0].size() < data_.samples.size() || queries[1].size() < data_.held.size())
      out_.remarks.push_back("Nearest neighbours are those of " + std::to_string(queries[0].size()) +
                             " random samples and " + std::to_string(queries[1].size()) + " held-out sequences.");
    auto const histogram = [](std::vector<double> const& values) {
      std::map<std::uint64_t, std::int64_t> counts;
      for (double const v : values) ++counts[static_cast<std::uint64_t>(v)];
      return Histogram{{counts.begin(), counts.end()}, static_cast<std::int64_t>(values.size())};
    };
    range_chart("nearest neighbour, " + what, what, histogram(found[0]), histogram(found[1]));
  }

  void alignment() {
    std::string const section = "alignment";
    int const length = static_cast<int>(data_.samples[0].size());
    out_.fit = compare_alignments(data_.samples, data_.rest, length, states_);
    AlignmentFit const held = compare_alignments(data_.held, data_.rest, length, states_);
    // Halves that do not depend on the order of the file.
    Sequences const mixed = some(data_.reference, data_.reference.size(), seed_, which_held);
    auto const middle = mixed.begin() + static_cast<std::ptrdiff_t>(mixed.size() / 2);
    AlignmentFit const halves = compare_alignments({mixed.begin(), middle}, {middle, mixed.end()}, length, states_);
    out_.rows.push_back(
        {section, "site_r", "frequencies of single sites, Pearson r", out_.fit->sites, held.sites, 4, true});
    out_.rows.push_back(
        {section, "pair_r", "connected pair correlations, Pearson r", out_.fit->pairs, held.pairs, 4, true});
    out_.rows.push_back({section, "pair_r_halves", "  the same between halves of the reference", {}, halves.pairs});
    out_.rows.push_back({section, "pair_slope", "connected pair correlations, slope", out_.fit->slope, held.slope});
  }

  void molecules() {
    out_.molecules =
        judge_molecules(texts(data_.samples), texts(data_.rest), texts(data_.held), data_.held_is_reference, drawings);
    Molecules const& found = *out_.molecules;
    auto const add = [&](char const* name, char const* title, auto const& of) {
      EvaluationRow row{"molecules", name, title, {}, {}};
      row.note = found.missing;
      if (found.missing.empty()) {
        row.samples = of(found.samples);
        row.held = of(found.held);
      }
      out_.rows.push_back(std::move(row));
    };
    auto const none = [](std::size_t n) { return n == 0; };
    add("valid", "valid", [](MoleculeCounts const& c) { return std::optional(share_of(c.valid, c.count)); });
    add("valid_distinct", "different ones among the valid", [&](MoleculeCounts const& c) {
      return none(c.valid) ? std::nullopt
                           : std::optional(plain(static_cast<double>(c.distinct) / static_cast<double>(c.valid)));
    });
    add("valid_novel", "new ones among these", [&](MoleculeCounts const& c) {
      return none(c.distinct) ? std::nullopt : std::optional(share_of(c.novel, c.distinct));
    });
    if (found.missing.empty())
      out_.remarks.push_back("Molecules by RDKit " + found.rdkit + ", compared as canonical SMILES.");
  }

  std::string shown(token_t token) const {
    std::string const name = data_.files.alphabet.shown(token);
    return name == " " ? "\u2423" : name;
  }

  void word_chart(int k, Histogram const& own, Histogram const& real) {
    auto cells = real.cells;
    std::ranges::stable_sort(cells, [](auto const& a, auto const& b) { return a.second > b.second; });
    cells.resize(std::min(cells.size(), k == 1 ? most_bars : named_bars));
    std::string const title = k == 1 ? "tokens" : "words of " + std::to_string(k) + ", the most frequent ones";
    BarChart chart{title, k == 1 ? "token" : "word",  title + ", samples and reference", "var(--c0)", {}, {}, {},
                   1e-9,  k > 1 || cells.size() <= 24};
    for (auto const& [key, count] : cells) {
      std::string name;
      std::uint64_t left = key;
      for (int i = 0; i < k; ++i, left /= static_cast<std::uint64_t>(states_)) {
        bool const spaced = data_.kind == "words" && i > 0;
        name = shown(static_cast<token_t>(left % static_cast<std::uint64_t>(states_))) + (spaced ? " " : "") + name;
      }
      chart.names.push_back(std::move(name));
      chart.shares.push_back(own.share(key));
      chart.outline.push_back(real.share(key));
      chart.most = std::max({chart.most, chart.shares.back(), chart.outline.back()});
    }
    out_.charts.push_back(std::move(chart));
  }

  void length_chart() {
    range_chart("lengths", "length", length_histogram(data_.samples), length_histogram(data_.reference));
  }

  // Numbers from the smallest to the largest, several of them in a bar where they are many.
  void range_chart(std::string const& title, std::string const& x_label, Histogram const& own, Histogram const& real) {
    std::uint64_t const low = std::min(own.cells.front().first, real.cells.front().first),
                        high = std::max(own.cells.back().first, real.cells.back().first);
    std::uint64_t const wide = (high - low) / most_bars + 1, bars = (high - low) / wide + 1;
    BarChart chart{title,
                   x_label,
                   title + ", samples and reference",
                   "var(--c0)",
                   {},
                   std::vector<double>(bars),
                   std::vector<double>(bars),
                   0};
    for (std::uint64_t b = 0; b < bars; ++b) chart.names.push_back(std::to_string(low + b * wide));
    for (auto const& [key, count] : own.cells) chart.shares[(key - low) / wide] += own.share(key);
    for (auto const& [key, count] : real.cells) chart.outline[(key - low) / wide] += real.share(key);
    chart.most = std::max(*std::ranges::max_element(chart.shares), *std::ranges::max_element(chart.outline));
    out_.charts.push_back(std::move(chart));
  }

  EvaluationData const& data_;
  Options const& options_;
  int states_;
  std::uint64_t seed_;
  Evaluation out_{};
};

}  // namespace

bool EvaluationRow::apart() const {
  if (!samples || !held || !held->has_interval()) return false;
  return samples->high < held->low || (samples->low > held->high && !more_is_fine);
}

EvaluationData read_evaluation(Options const& options) {
  std::vector<std::string> const kinds{"sequences", "smiles", "words"};
  EvaluationData data{.files = {Alphabet::dna(), {}},
                      .kind = options.text("kind"),
                      .samples = {},
                      .reference = {},
                      .held = {},
                      .rest = {},
                      .held_parts = {},
                      .sample_parts = {},
                      .judge_data = {}};
  std::vector<std::string> paths{options.text("samples"), options.text("reference")};
  if (data.kind.empty()) {
    auto const molecules = [](std::string const& path) { return path.ends_with(".smi"); };
    data.kind = std::ranges::any_of(paths, molecules) ? "smiles" : "sequences";
  }
  require(std::ranges::find(kinds, data.kind) != kinds.end(), unknown_name("kind", data.kind, kinds));
  std::uint64_t const seed = options.seed("seed");
  bool const valid = options.has("valid"), judge_data = options.has("judge-data"), windows = options.flag("windows");
  if (valid) paths.push_back(options.text("valid"));
  if (judge_data) paths.push_back(options.text("judge-data"));
  std::optional<Tokenizer> tokenizer;
  if (data.kind != "sequences") tokenizer = parse_tokenizer(data.kind);
  data.files = read_sequence_files(paths, tokenizer);
  auto& sets = data.files.sets;
  if (windows) {
    std::size_t longest = 0;
    for (auto const& sequence : all_of(sets[0])) longest = std::max(longest, sequence.size());
    require(longest > 0, "'" + paths[0] + "' has only empty sequences");
    for (std::size_t f = 1; f < sets.size(); ++f) sets[f] = pieces_of(std::move(sets[f]), longest, paths[f]);
  }
  data.samples = all_of(sets[0]);
  data.reference = all_of(sets[1]);
  require(data.reference.size() >= least_reference, "'" + paths[1] + "' has " +
                                                        counted(data.reference.size(), "sequence") +
                                                        ", expected at least " + std::to_string(least_reference));
  for (std::size_t f = 0; f < sets.size(); ++f)
    require(!sets[f].tokens.empty(), "'" + paths[f] + "' has only empty sequences");
  if (data.kind != "smiles") refuse_strangers(data, options);
  auto const length = data.samples[0].size();
  data.one_length = std::ranges::all_of(sets, [&](RaggedSequences const& set) {
    for (std::size_t b = 0; b < set.count(); ++b) {
      if (set.row(b).size() != length) return false;
    }
    return true;
  });
  data.aligned = data.one_length && data.kind == "sequences" && !windows && length >= 2;
  if (judge_data) data.judge_data = all_of(sets.back());

  data.held_is_reference = !valid;
  Sequences mixed = valid ? all_of(sets[2]) : data.reference;
  mixed = some(mixed, mixed.size(), seed, which_held);
  std::size_t const part = std::min(data.samples.size(), valid ? mixed.size() : mixed.size() / 5);
  data.held_parts = parts_of(mixed, part);
  data.sample_parts = parts_of(data.samples, part);
  auto const cut = mixed.begin() + static_cast<std::ptrdiff_t>(part);
  data.held = valid ? mixed : Sequences(mixed.begin(), cut);
  data.rest = valid ? data.reference : Sequences(cut, mixed.end());
  return data;
}

Evaluation evaluate(EvaluationData const& data, Options const& options) { return Judgement(data, options).run(); }

}  // namespace saltus::app
