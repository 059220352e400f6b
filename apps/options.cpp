// SPDX-License-Identifier: BSD-3-Clause
#include "options.hpp"

#include <algorithm>
#include <charconv>
#include <sstream>

#include <boost/program_options.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/ctmc/io/generators.hpp>
#include <saltus/ctmc/noise_schedule.hpp>
#include <saltus/ctmc/version.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/learnable/distiller.hpp>

namespace saltus::app {
namespace {

namespace po = boost::program_options;
constexpr unsigned reverse = command_sample | command_compare, forward = command_simulate | command_compare,
                   runs = reverse | forward, models = reverse | command_distill,
                   every = runs | models | command_info | command_train | command_evaluate | command_bench;

std::string joined(std::vector<std::string> const& items, char const* separator) {
  std::string text;
  for (auto const& item : items) text += (text.empty() ? "" : separator) + item;
  return text;
}

char const* name_of(Command command) {
  for (auto const& spec : command_table()) {
    if (spec.command == command) return spec.name;
  }
  internal_error("a command without a name");
}

po::options_description description(Command command) {
  po::options_description options;
  for (auto const& spec : option_table()) {
    if (!(spec.commands & command)) continue;
    auto* const value = po::value<std::string>();
    if (!*spec.argument) value->implicit_value("true")->zero_tokens();
    options.add_options()(spec.name, value);
  }
  return options;
}

std::vector<std::string> names(Command command, char const* prefix) {
  std::vector<std::string> all;
  for (auto const& spec : option_table()) {
    if (spec.commands & command) all.push_back(prefix + std::string(spec.name));
  }
  return all;
}

// Help in two columns, wrapped to 80.
std::string two_columns(std::vector<std::pair<std::string, std::string>> const& rows, std::size_t left) {
  std::string text;
  for (auto const& [name, help] : rows) {
    std::string line = "  " + name;
    if (line.size() + 1 > left) {
      text += line + "\n";
      line.clear();
    }
    line.resize(left, ' ');
    std::size_t used = 0;
    for (std::size_t begin = 0; begin < help.size();) {
      std::size_t const end = std::min(help.find(' ', begin), help.size());
      if (used > 0 && left + used + 1 + (end - begin) > 80) {
        text += line + "\n";
        line.assign(left, ' ');
        used = 0;
      }
      line += (used ? " " : "") + help.substr(begin, end - begin);
      used = line.size() - left;
      begin = end + 1;
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace

std::vector<CommandSpec> const& command_table() {
  static std::vector<CommandSpec> const table{
      {command_sample, "sample", "draw sequences from a discrete diffusion model"},
      {command_simulate, "simulate", "run any Markov chain forwards: sequences, jumps, statistics, trees"},
      {command_compare, "compare", "rank integrators: error against number of evaluations, against the exact law"},
      {command_distill, "distill", "learn a schedule of few steps from a sampler of many"},
      {command_train, "train", "fit a small network to sequences of one's own: molecules, proteins, text"},
      {command_evaluate, "evaluate", "judge samples against reference sequences"},
      {command_bench, "bench", "how fast the steps are on this machine, and how near to the speed of reading"},
      {command_info, "info", "what this build has: backend, integrators, models"}};
  return table;
}

std::vector<OptionSpec> const& option_table() {
  static std::string const integrators = joined(integrator_names(), ", "),
                           noises = joined(NoiseSchedule::names(), ", ");
  static std::string const one = "method: " + integrators;
  static std::string const forward_one = one + "; with --tree: tweedie, where there are transition probabilities";
  static std::string const around =
      "; parameters and correctors (" + joined(corrector_names(), ", ") +
      ") as in top_k:score=margin,temperature=0.5 or tweedie+remasking:eta=0.02: see saltus info --integrators";
  static std::string const reverse_one = one + around;
  static std::string const many = "methods to compare, of: " + integrators + around;
  static std::string const learned =
      "how to learn, of: " + joined(distiller_names(), ", ") + "; parameters as in lsd:mode=paper,distance=l2: see saltus info";
  static std::string const noise_help =
      "noise schedule (of a network, that of its training), of: " + noises + "; parameters as in geometric:min=1e-3,max=20";
  static std::string const generators =
      "rate matrix, of: " + joined(generator_names(), ", ") +
      "; with parameters as in hky85:kappa=2,freqs=0.3,0.2,0.2,0.3; or a file (matrix as text or npy, PAML, Matrix Market)";
  static std::vector<OptionSpec> const table{
      {"Model", "model", "NAME|FOLDER", "chain", models,
       "chain (Markov chain of order 1, fitted to --data), product (independent sites, fitted), countdown (32 states, "
       "length 256), comb (images of 8 x 8 pixels of 16 ordered levels), a network that comes with the program (see saltus info), a folder with a model.json (a law or a "
       "network), or table:FILE (joint probabilities, NPY with an axis for each site)"},
      {"Model", "data", "FILE", "", models, "sequences to fit chain or product to: FASTA alignment, or one a line"},
      {"Model", "pseudo-count", "C", "1", models, "added to each row of counts, spread evenly over its states"},
      {"Model", "homogeneous", "", "", models, "chain: one matrix for all positions (default: one for each)"},
      {"Model", "guide", "MODEL", "", models,
       "a second model, of the same alphabet and length: a folder with a model.json or table:FILE"},
      {"Model", "guide-weight", "W", "", models, "how much --guide says, 1 if not given; see --guidance"},
      {"Model", "guidance", "FORM", "", models,
       "product (default): model x guide^W; classifier_free: model^(1+W) x guide^(-W), where the guide is the "
       "unconditional model"},
      {"Model", "temperature", "T", "", models,
       "laws of the clean token to the power 1/T, after --guide: below 1 sharper; 1 changes nothing"},
      {"Model", "top-tokens", "K", "", models, "then only the K likeliest tokens of each site"},
      {"Model", "nucleus", "P", "", models, "then only the likeliest tokens that reach the share P"},
      {"Model", "condition", "A,B,...|FILE", "", models, "networks that take a condition: its numbers, or an .npy file"},
      {"Model", "precision", "NAME", "fp32", models, "networks: fp32 or bf16"},
      {"Process", "generator", "NAME|FILE", "", runs | models, generators.c_str()},
      {"Process", "process", "FILE", "", forward,
       "the whole process from a JSON file, as simulate --print-config prints it"},
      {"Process", "noise", "NAME", "cosine", models, noise_help.c_str()},
      {"Process", "noise", "NAME", "constant:rate=1,end=inf", command_simulate, noise_help.c_str()},
      {"Process", "alphabet", "NAME", "", runs | models,
       "protein, dna, rna, amino_acids, nucleotides or chars:ABC...; default: from the data or the generator"},
      {"Process", "site-rates", "NAME|FILE", "", forward,
       "multipliers of the sites' rates: gamma:shape=0.5,categories=4,invariant=0.1, invariant:share=0.2, or a file"},
      {"Process", "fix-diagonal", "", "", forward, "generator file: set the diagonal to minus the sum of the row"},
      {"Process", "normalise", "", "", forward, "scale the generator to one expected jump per unit time"},
      {"Process", "start", "WHAT", "", forward,
       "a state or sequence, a file of sequences (FASTA, text, npy), stationary, or table:FILE (probabilities, a row a site or one for all)"},
      {"Process", "length", "L", "", forward, "sites; default: those of the start"},
      {"Sampling", "times", "T1,T2,...", "", forward,
       "when to look; also FROM:TO:STEP. compare: the one time to compare at"},
      {"Sampling", "tree", "FILE", "", command_simulate,
       "Newick tree to evolve down; branch lengths in expected substitutions"},
      {"Sampling", "ancestors", "", "", command_simulate, "with --tree: write the inner nodes too"},
      {"Sampling", "integrator", "NAME", "gillespie", command_simulate, forward_one.c_str()},
      {"Sampling", "integrator", "NAME", "tweedie", command_sample, reverse_one.c_str()},
      {"Sampling", "step", "H", "", command_simulate,
       "longest step of a fixed-step method; default: from look to look"},
      {"Sampling", "schedule", "FILE", "", command_sample,
       "a learned schedule (saltus distill): it brings integrator, times, factors and end"},
      {"Sampling", "schedule", "FILE,...", "", command_compare,
       "learned schedules (saltus distill), each a method beside --integrators, named by its file; may be given several times"},
      {"Sampling", "force", "", "", reverse, "--schedule: take one that was learned for another model or process"},
      {"Sampling", "steps", "K", "64", command_sample, "steps (exact event-driven methods choose their own)"},
      {"Sampling", "integrators", "A,B,...", "gillespie,euler,tweedie", command_compare, many.c_str()},
      {"Sampling", "nfe", "N,M,...", "4,8,16,32,64", command_compare,
       "numbers of network evaluations (forward processes: of steps) for the fixed-step methods; those that choose "
       "their own steps run once; --last sample and argmax take one more"},
      {"Sampling", "grid", "NAME|FILE", "uniform", reverse,
       "times of the steps: uniform, cosine, noise (equal shares of alpha), blocks (masked: the parallel-reveal blocks "
       "of least cost, from the information profile of the model, estimated where it has no closed form), or a file "
       "with a time a line, which brings its number of steps"},
      {"Sampling", "last", "WHAT", "", reverse,
       "fold: the last step reveals every remaining mask (default with a mask); none: steps end at t = 1e-5 (default "
       "without one; sample: masks that are left are written as ?); sample, argmax: the same, and one more evaluation "
       "draws each site from its law at 0, or takes the likeliest token"},
      {"Sampling", "template", "TEXT|FILE", "", command_sample,
       "a sequence with ? at the sites to be drawn; the others are kept (numbers: separated by blanks)"},
      {"Sampling", "categorical", "NAME", "exact", reverse,
       "gumbel32, gumbel_eps: the truncated noise of published code in every method; for reproducing published code "
       "only, it changes the law"},
      {"Sampling", "law", "HOW", "sampled", command_compare,
       "sampled: draw sequences and measure them; exact: compute the law of every method where the sequences can be "
       "enumerated (tv, kl, reverse_kl, path_kl), without noise"},
      {"Sampling", "most-transitions", "N", "2e10", command_compare,
       "--law exact: the most transitions that all laws together may need; 2e10 take about a minute on 2 cores"},
      {"Sampling", "reference", "STEPS", "", command_compare,
       "compare each run also with a reference run of so many tweedie steps of the same --grid and --last, by two-sample statistics (frequencies, words, a kernel test): for models whose law is not known, as decorated ones"},
      {"Sampling", "samples", "N", "1000", runs, "sequences (compare: for each row)"},
      {"Sampling", "seed", "S", "1", runs, "results depend on the seed, not on batch or threads"},
      {"Reweighting", "particles", "K", "", command_sample,
       "draw each sequence from K particles weighted by --reward or --power (sequential Monte Carlo): K times the cost"},
      {"Reweighting", "reward", "WHAT", "", command_sample,
       "count:TOKEN (sites that hold it) or table:FILE (npy, a number a token, or a row of them a site); the law is multiplied by exp(strength x reward)"},
      {"Reweighting", "strength", "L", "1", command_sample, "factor on the reward"},
      {"Reweighting", "power", "G", "1", command_sample, "of the law, masked models: p^G"},
      {"Reweighting", "selection", "", "", command_sample,
       "keep one particle after each step, drawn by its value (soft-value selection): greedy, its law is not the target"},
      {"Data", "data", "FILE", "", command_train, "sequences to learn from: FASTA, or one a line"},
      {"Data", "valid", "FILE", "", command_train, "sequences to judge by; default: the last twentieth of --data"},
      {"Data", "samples", "FILE", "", command_evaluate, "sequences to judge: FASTA, or one a line"},
      {"Data", "reference", "FILE", "", command_evaluate, "what they should be like: the training data"},
      {"Data", "valid", "FILE", "", command_evaluate,
       "held-out sequences that get every number too; default: a random part of --reference, at most a fifth"},
      {"Data", "kind", "NAME", "", command_evaluate,
       "sequences (a character is a token; an alignment where all have one length), smiles or words; default: smiles "
       "where --samples or --reference ends in .smi, else sequences"},
      {"Data", "windows", "", "", command_evaluate,
       "--reference (and --valid, --judge-data) is running text: compare with pieces of it as long as the samples"},
      {"Data", "tokenizer", "NAME", "", command_train,
       "characters, smiles (bracket atom, Br, Cl, %nn, or one character), words (between blanks), or an alphabet: protein, "
       "dna, rna; default: protein, dna or rna where the data fit, else characters. Sequences of different lengths are "
       "filled up with a pad, which is a token like others"},
      {"Data", "length", "L", "", command_train, "sites; default: the longest of --data"},
      {"Data", "windows", "", "", command_train, "--data is running text: learn from pieces of --length tokens of it"},
      {"Judge", "model", "NAME|FOLDER", "", command_evaluate,
       "also the likelihood that this model gives: its bound, for a network (see saltus info)"},
      {"Judge", "condition", "A,B,...|FILE", "", command_evaluate, "networks that take a condition: its numbers, or an .npy file"},
      {"Judge", "precision", "NAME", "fp32", command_evaluate, "networks: fp32 or bf16"},
      {"Judge", "judge", "", "", command_evaluate,
       "likelihood under a Kneser-Ney model of 6 tokens fitted to the reference, which no generator has seen"},
      {"Judge", "judge-data", "FILE", "", command_evaluate, "fit that model to these sequences instead"},
      {"Judge", "nearest", "N", "1000", command_evaluate,
       "most sequences whose nearest neighbours are looked for; fewer where they are long"},
      {"Judge", "seed", "S", "1", command_evaluate, "of what is held out"},
      {"Network", "width", "D", "128", command_train, "numbers a site inside the network"},
      {"Network", "layers", "N", "4", command_train, "blocks"},
      {"Network", "heads", "H", "4", command_train, "of attention"},
      {"Network", "time", "", "", command_train, "tell the network the noise level (always with uniform and score_entropy)"},
      {"Training", "generator", "NAME", "absorbing", command_train, "noise to learn to undo: absorbing or uniform"},
      {"Training", "loss", "NAME", "masked", command_train,
       "masked (cross-entropy of masked sites), score_entropy; uniform noise has a score entropy of its own"},
      {"Training", "steps", "K", "", command_train, "steps of the optimiser; default 2000"},
      {"Training", "minutes", "M", "", command_train, "instead of --steps: as many as fit, by a measurement beforehand"},
      {"Training", "batch", "N", "256", command_train, "sequences a step"},
      {"Training", "rate", "R", "2e-3", command_train, "of learning, at its highest"},
      {"Training", "ema", "E", "0.999", command_train, "how much of the average of the weights a step keeps"},
      {"Training", "weight-decay", "W", "0.01", command_train, "of AdamW, on matrices"},
      {"Training", "clip", "C", "1", command_train, "the norm that gradients are cut to"},
      {"Training", "precision", "NAME", "fp32", command_train,
       "fp32, or bf16: matrix products in bfloat16, about twice as fast where the processor has it"},
      {"Training", "checkpoint", "K", "500", command_train, "steps between checkpoints and validations"},
      {"Training", "resume", "", "", command_train, "go on with the run in --out, with the options that it began with"},
      {"Training", "seed", "S", "1", command_train, "of everything random; equal runs with equal threads agree bit for bit"},
      {"Timing", "model", "NAME|FOLDER", "", command_bench, "also a masked network beside the sampler's own time: see saltus info"},
      {"Timing", "condition", "A,B,...|FILE", "", command_bench, "networks that take a condition: its numbers, or an .npy file"},
      {"Timing", "precision", "NAME", "fp32", command_bench, "networks: fp32 or bf16"},
      {"Timing", "seconds", "S", "0.3", command_bench, "for each row of the table, and at least three rounds"},
      {"Learning", "method", "NAME", "lsd", command_distill, learned.c_str()},
      {"Learning", "base", "NAME", "euler", command_distill,
       "integrator of the steps to learn for: euler, exponential, tau_leaping, tweedie or tweedie_trapezoidal, as far as the method can"},
      {"Learning", "nfe", "N", "8", command_distill, "network evaluations of a sample that the schedule may take"},
      {"Learning", "teacher", "NAME", "tweedie", command_distill, "integrator to learn from: one evaluation a step, with a law by site"},
      {"Learning", "teacher-steps", "N", "256", command_distill, "its steps"},
      {"Learning", "trajectories", "N", "512", command_distill, "of the teacher, in each sweep"},
      {"Learning", "sweeps", "N", "3", command_distill, "with other random numbers each; what they find is averaged"},
      {"Learning", "relax", "SHARE|auto", "", command_distill,
       "methods that start from a disturbed state: the share of its sites that are, or chosen on trajectories kept back"},
      {"Learning", "seed", "S", "1", command_distill, "of everything random; results do not depend on batch or threads"},
      {"Machine", "batch", "N", "256", reverse, "sequences at a time"},
      {"Machine", "batch", "N", "64", command_distill, "trajectories at a time"},
      {"Machine", "memory", "MIB", "1024", command_distill, "for statistics, in MiB; batches are cut to fit"},
      {"Machine", "threads", "N", "0", command_train | command_evaluate | command_bench, "threads; 0: what OMP_NUM_THREADS says, or all cores"},
      {"Machine", "device", "NAME", "cpu", models | command_evaluate | command_bench, "networks: cpu or cuda:N"},
      {"Machine", "device", "NAME", "cpu", command_train, "cpu or cuda:N"},
      {"Machine", "trust", "", "", models | command_evaluate | command_bench,
       "networks: also load AOTInductor packages (.pt2), machine code that may do whatever you may"},
      {"Machine", "batch", "N", "", command_simulate,
       "samples at a time; default: what fits into 32 MB (trees: 256 MB)"},
      {"Machine", "threads", "N", "0", runs | models, "threads; 0: what OMP_NUM_THREADS says, or all cores"},
      {"Output", "out", "FOLDER", "", command_evaluate, "report.html, results.csv and results.json"},
      {"Output", "json", "FILE", "", command_evaluate | command_bench, "the results as JSON"},
      {"Output", "quiet", "", "", command_evaluate | command_bench, "no table"},
      {"Output", "out", "FOLDER", "", command_train, "the backbone: model.json and weights; checkpoint and curve beside them"},
      {"Output", "name", "NAME", "", command_train, "of the backbone; default: the folder's"},
      {"Output", "weights", "F16|F32", "f32", command_train, "precision of the stored weights"},
      {"Output", "source", "TEXT", "", command_train, "where the data come from, for the manifest"},
      {"Output", "licence", "TEXT", "", command_train, "of the data, for the manifest"},
      {"Output", "quiet", "", "", command_train, "no progress line"},
      {"Output", "out", "FILE", "", command_distill, "the schedule (JSON); until it is done, what --resume needs lies in FILE.partial"},
      {"Output", "report", "FOLDER", "", command_distill, "report.html with its plots; default: --out without .json, and _report"},
      {"Output", "resume", "", "", command_distill, "go on after the last sweep of a run that was broken off"},
      {"Output", "quiet", "", "", command_distill, "no progress line, no table"},
      {"Output", "out", "PATH", "", runs, "file for the sequences (default: standard output); compare: folder"},
      {"Output", "checkpoint", "FILE", "", command_sample | command_simulate,
       "keep what is finished, beside the outputs, and in FILE how much that is: now and then, and when told to stop (SIGTERM, SIGINT)"},
      {"Output", "checkpoint-minutes", "M", "", command_sample | command_simulate, "between two such times, 5 if not given; 0: as often as may be"},
      {"Output", "resume", "", "", command_sample | command_simulate, "go on with the run that --checkpoint kept; the result is that of a run that never stopped"},
      {"Output", "trajectory", "FILE", "", command_simulate, "every jump as CSV or .npy: sample, time, site, from, to"},
      {"Output", "statistics", "FILE", "", command_simulate,
       "CSV by time: mean and deviation of numeric states, jumps, shares of states, with standard errors"},
      {"Output", "format", "NAME", "", runs,
       "fasta, txt, csv or npy; default: by the ending of --out, else fasta (txt for numbers)"},
      {"Output", "summary", "FILE", "", runs, "JSON: version, every parameter, seed, NFE, jumps, clamps, timings"},
      {"Output", "check", "", "", command_compare,
       "bias check: exit code 3 when a method does not hold what it claims: to be exact or, with --law exact, an order"},
      {"Output", "quiet", "", "", runs, "no progress line, no notes; compare: no table"},
      {"Output", "integrators", "", "", command_info,
       "methods and correctors in full: exact or order, cost of a step, needs, reference"},
      {"Output", "json", "", "", command_info, "as JSON"},
      {"Output", "man", "", "", command_info, "the man page of this program: saltus info --man | man -l -"},
      {"Output", "completion", "SHELL", "", command_info,
       "what a shell reads to complete commands, options and names: bash, fish or zsh; in bash: source <(saltus info --completion bash)"},
      {"Other", "config", "FILE", "", models, "options from a file of 'name = value' lines; the command line wins"},
      {"Other", "print-config", "", "", models, "print what --config would read back, and stop"},
      {"Other", "print-config", "", "", command_simulate, "print what --process would read back, and stop"},
      {"Other", "help", "", "", every, "this text"}};
  return table;
}

namespace {

bool may_repeat(Command command, std::string_view name) {
  auto const is_it = [&](OptionSpec const& spec) { return spec.name == name && (spec.commands & command); };
  return std::string_view(std::find_if(option_table().begin(), option_table().end(), is_it)->argument) == "FILE,...";
}

// Lines 'name = value'; a line that begins with # is a comment. Values may hold anything but a line end.
std::vector<std::pair<std::string, std::string>> read_config(std::string const& path, Command command) {
  auto const trimmed = [](std::string_view text) {
    auto const begin = text.find_first_not_of(" \t\r"), end = text.find_last_not_of(" \t\r");
    return begin == text.npos ? std::string() : std::string(text.substr(begin, end - begin + 1));
  };
  std::vector<std::pair<std::string, std::string>> entries;
  auto const known = names(command, "");
  std::istringstream in(read_file(path));
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    std::string const where = path + ", line " + std::to_string(number) + ": ";
    std::string const text = trimmed(line);
    if (text.empty() || text[0] == '#') continue;
    auto const equals = text.find('=');
    require(equals != text.npos, where + "expected 'name = value', got '" + text + "'");
    std::string const key = trimmed(std::string_view(text).substr(0, equals));
    if (std::find(known.begin(), known.end(), key) == known.end())
      throw UserError(where + unknown_name("key", key, known));
    for (auto const& entry : entries) require(entry.first != key, where + "'" + key + "' is given twice");
    entries.emplace_back(key, trimmed(std::string_view(text).substr(equals + 1)));
  }
  return entries;
}

}  // namespace

Options Options::parse(Command command, std::vector<std::string> const& arguments) {
  Options options;
  options.command_ = command;
  std::string const see = "; see 'saltus " + std::string(name_of(command)) + " --help'";
  try {
    namespace style = po::command_line_style;
    int const rules = style::allow_long | style::long_allow_adjacent | style::long_allow_next;
    auto const described = description(command);
    for (auto const& option : po::command_line_parser(arguments).options(described).style(rules).run().options) {
      std::string const value = option.value.empty() ? "true" : option.value[0];
      require(option.position_key < 0, "stray argument '" + value + "': expected options only" + see);
      // '--out --quiet': the value was forgotten.
      bool const forgotten = value.empty() || (option.original_tokens.size() == 2 && value.starts_with("--"));
      require(!forgotten, "the option '--" + option.string_key + "' needs a value" + see);
      auto const [place, fresh] = options.values_.emplace(option.string_key, value);
      require(fresh || may_repeat(command, option.string_key), "the option '--" + option.string_key + "' is given twice");
      if (!fresh) place->second += "," + value;
    }
  } catch (po::unknown_option const& e) {
    throw UserError(unknown_name("option", e.get_option_name(), names(command, "--")));
  } catch (po::error const& e) {
    throw UserError(e.what() + see);
  }
  if (options.values_.contains("config")) {
    for (auto& [key, value] : read_config(options.values_["config"], command))
      options.values_.emplace(key, std::move(value));
  }
  for (auto const& [key, value] : options.values_) options.given_.insert(key);
  for (auto const& spec : option_table()) {
    if ((spec.commands & command) && *spec.default_value) options.values_.emplace(spec.name, spec.default_value);
  }
  return options;
}

bool Options::changed(std::string_view name) const {
  auto const is_it = [&](OptionSpec const& spec) { return spec.name == name && (spec.commands & command_); };
  auto const spec = std::find_if(option_table().begin(), option_table().end(), is_it);
  return spec != option_table().end() && text(name) != spec->default_value;
}

std::string const& Options::text(std::string_view name) const {
  static std::string const none;
  auto const found = values_.find(std::string(name));
  return found == values_.end() ? none : found->second;
}

bool Options::flag(std::string_view name) const {
  auto const& value = text(name);
  require(value.empty() || value == "true" || value == "false",
          "--" + std::string(name) + " is true or false, got '" + value + "'");
  return value == "true";
}

namespace {
template <class T>
bool read_number(std::string_view text, T& value) {
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::int64_t checked(std::string_view name, std::string_view text, std::int64_t least, std::int64_t most) {
  std::int64_t value = 0;
  require(read_number(text, value) && value >= least && value <= most,
          "--" + std::string(name) + " must be a whole number from " + std::to_string(least) + " to " +
              std::to_string(most) + ", got '" + std::string(text) + "'");
  return value;
}
}  // namespace

std::int64_t Options::integer(std::string_view name, std::int64_t least, std::int64_t most) const {
  return checked(name, text(name), least, most);
}

std::uint64_t Options::seed(std::string_view name) const {
  std::uint64_t value = 0;
  require(read_number(text(name), value),
          "--" + std::string(name) + " must be a whole number from 0 to 2^64 - 1, got '" + text(name) + "'");
  return value;
}

double Options::number(std::string_view name) const {
  double value = 0;
  require(read_number(text(name), value), "--" + std::string(name) + " must be a number, got '" + text(name) + "'");
  return value;
}

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> items;
  while (true) {
    auto const comma = text.find(',');
    items.emplace_back(text.substr(0, comma));
    if (comma == text.npos) return items;
    text.remove_prefix(comma + 1);
  }
}

std::vector<std::string> Options::list(std::string_view name, Split split) const {
  std::vector<std::string> const items = split(text(name));
  for (auto item = items.begin(); item != items.end(); ++item) {
    require(!item->empty(), "--" + std::string(name) +
                                " must be a list separated by commas without empty items, got '" + text(name) + "'");
    require(std::find(items.begin(), item, *item) == item, "--" + std::string(name) + " names '" + *item + "' twice");
  }
  return items;
}

std::vector<std::int64_t> Options::integers(std::string_view name, std::int64_t least, std::int64_t most) const {
  std::vector<std::int64_t> values;
  for (auto const& item : list(name)) values.push_back(checked(name, item, least, most));
  return values;
}

std::string Options::config() const {
  std::string text = "# saltus " + std::string(name_of(command_)) + ", version " + version() + "\n";
  for (auto const& spec : option_table()) {
    auto const found = values_.find(spec.name);
    std::string const name = spec.name;
    if (!(spec.commands & command_) || found == values_.end() || name == "config" || name == "print-config") continue;
    // A forward comparison has no model; its default, read back, would be one.
    bool const forward =
        command_ == command_compare && !given("model") && !given("data") && (has("generator") || has("process"));
    if (forward && (spec.commands & command_sample) && !(spec.commands & command_simulate) && !given(name)) continue;
    text += name + " = " + found->second + "\n";
  }
  return text;
}

std::vector<std::string> Options::call() const {
  auto const quoted = [](std::string const& text) {
    if (text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=,./:@%") == text.npos)
      return text;
    std::string out = "'";
    for (char const c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
  };
  std::vector<std::string> pieces{"saltus " + std::string(name_of(command_))};
  for (auto const& spec : option_table()) {
    std::string const name = spec.name;
    if (!(spec.commands & command_) || !given(name) || name == "config" || name == "print-config") continue;
    if (*spec.argument) {
      pieces.push_back("--" + name + " " + quoted(text(name)));
    } else if (flag(name)) {
      pieces.push_back("--" + name);
    }
  }
  return pieces;
}

std::string program_help() {
  std::vector<std::pair<std::string, std::string>> rows;
  for (auto const& spec : command_table()) rows.emplace_back(spec.name, spec.summary);
  return "saltus " + version() +
         ": continuous-time Markov chains on sequences\n\nUsage: saltus COMMAND [options]\n\nCommands:\n" +
         two_columns(rows, 12) +
         "\n'saltus COMMAND --help' lists the options of a command, 'saltus --version'\nprints the version. Options that begin with --kokkos- go to Kokkos.\n"
         "Exit codes: 0 fine, 2 usage or input, 3 a check failed, 4 numerical trouble,\n5 output trouble.\n";
}

std::string command_help(Command command) {
  std::string text;
  for (auto const& spec : command_table()) {
    if (spec.command == command)
      text = "Usage: saltus " + std::string(spec.name) + " [options]\n" + spec.summary + "\n";
  }
  std::string group;
  std::vector<std::pair<std::string, std::string>> rows;
  auto flush = [&] {
    if (!rows.empty()) text += "\n" + group + ":\n" + two_columns(rows, 26);
    rows.clear();
  };
  for (auto const& spec : option_table()) {
    if (!(spec.commands & command)) continue;
    if (group != spec.group) {
      flush();
      group = spec.group;
    }
    std::string const argument = *spec.argument ? " " + std::string(spec.argument) : "";
    std::string const preset = *spec.default_value ? " [" + std::string(spec.default_value) + "]" : "";
    rows.emplace_back("--" + std::string(spec.name) + argument, spec.help + preset);
  }
  flush();
  return text;
}

}  // namespace saltus::app
