// SPDX-License-Identifier: BSD-3-Clause
#include <cmath>
#include <cstdio>
#include <filesystem>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/atomic_file.hpp>
#include <saltus/ctmc/io/sequences.hpp>
#include <saltus/ctmc/version.hpp>
#include <saltus/models/model_hash.hpp>
#include <saltus/models/training.hpp>

#include "commands.hpp"
#include "problem.hpp"
#include "progress.hpp"

namespace saltus::app {
namespace {

// The options a resumed run keeps from its beginning, as text.
constexpr char const* lasting[] = {"data", "valid", "tokenizer", "length", "windows", "width", "layers", "heads", "time",
                                   "generator", "loss", "batch", "rate", "ema", "weight-decay", "clip", "precision",
                                   "checkpoint", "seed", "name", "weights", "source", "licence"};

// Options by name: those of the call, or those that the checkpoint remembers.
class Settings {
 public:
  Settings(Options const& options, Json const& remembered) : options_(options), remembered_(remembered) {}
  std::string text(char const* name) const {
    return remembered_.contains(name) ? remembered_.at(name).get<std::string>() : options_.text(name);
  }
  bool flag(char const* name) const { return text(name) == "true"; }
  double number(char const* name, double least, double most) const {
    double value = 0;
    try {
      std::size_t end = 0;
      value = std::stod(text(name), &end);
      if (end != text(name).size()) throw std::invalid_argument("more than a number");
    } catch (std::exception const&) {
      throw UserError("--" + std::string(name) + " must be a number, got '" + text(name) + "'");
    }
    require(value >= least && value <= most, "--" + std::string(name) + " must lie from " + to_text(least) + " to " +
                                                 to_text(most) + ", got " + text(name));
    return value;
  }
  int whole(char const* name, int least, int most) const {
    double const value = number(name, least, most);
    require(value == std::floor(value), "--" + std::string(name) + " must be a whole number, got " + text(name));
    return static_cast<int>(value);
  }
  /// The call that makes the same network from the same data.
  std::string command(std::int64_t steps) const {
    std::string text = "saltus train";
    for (auto const* const name : lasting) {
      auto value = this->text(name);
      if (value.empty() || std::string_view(name) == "source" || std::string_view(name) == "licence") continue;
      if (std::string_view(name) == "data" || std::string_view(name) == "valid") value = std::filesystem::path(value).filename().string();
      text += " --" + std::string(name) + (value == "true" ? "" : " " + value);
    }
    return text + " --steps " + std::to_string(steps);
  }
  Json remember() const {
    Json json;
    for (auto const* const name : lasting) json[name] = text(name);
    return json;
  }

 private:
  Options const& options_;
  Json const& remembered_;
};

Alphabet choose_alphabet(Settings const& settings) {
  auto const name = settings.text("tokenizer");
  if (name.empty()) return read_sequences(settings.text("data")).alphabet;
  for (auto const* const tokenizer : {"characters", "smiles", "words"}) {
    if (name != tokenizer) continue;
    Alphabet alphabet = learn_alphabet(settings.text("data"), parse_tokenizer(name));
    for (token_t y = 0; y < alphabet.size(); ++y) {
      std::string const token = alphabet.shown(y);
      bool const ascii = std::all_of(token.begin(), token.end(), [](unsigned char c) { return c < 128; });
      require(ascii || token.size() > 1, "'" + settings.text("data") + "' has characters beyond ASCII, of several bytes each, and the tokens of --tokenizer " +
                                             name + " are bytes: transcribe them, or take --tokenizer words");
    }
    return alphabet;
  }
  try {
    return Alphabet::named(name);
  } catch (UserError const&) {
    throw UserError(unknown_name("tokenizer", name, {"characters", "smiles", "words", "protein", "dna", "rna", "chars:XYZ"}));
  }
}

TrainingData read_rows(std::string const& path, Alphabet const& alphabet, int length) {
  auto set = read_sequences(path, alphabet, length);
  require(length == 0 || set.length == length, "'" + path + "' has sequences of length " + std::to_string(set.length) +
                                                   ", expected " + std::to_string(length));
  return {std::move(set.tokens), set.count, set.length, false};
}

// An alphabet with a pad, or without it.
Alphabet with_pad(Alphabet const& alphabet, bool pad) {
  std::vector<std::string> names;
  for (token_t y = 0; y < alphabet.size(); ++y) {
    if (y != alphabet.pad()) names.push_back(alphabet.shown(y));
  }
  if (pad) names.emplace_back("<pad>");
  return Alphabet::tokens(std::move(names), alphabet.tokenized() ? alphabet.tokenizer() : Tokenizer::characters, pad, alphabet.name());
}

// Running text: all lines after one another, whatever their lengths, and every place where a piece can begin.
TrainingData read_text(std::string const& path, Alphabet const& alphabet, int length) {
  Alphabet const padded = with_pad(alphabet, true);
  auto set = read_sequences(path, padded);
  std::erase(set.tokens, *padded.pad());
  require(set.tokens.size() > static_cast<std::size_t>(length), "'" + path + "' has " + std::to_string(set.tokens.size()) +
                                                                    " tokens, too few for pieces of " + std::to_string(length));
  std::size_t const count = set.tokens.size() - static_cast<std::size_t>(length) + 1;
  return {std::move(set.tokens), count, length, true};
}

// The last twentieth, taken away from what is learned from.
TrainingData split_off(TrainingData& data) {
  auto const length = static_cast<std::size_t>(data.length);
  std::size_t const all = data.windows ? data.tokens.size() : data.count, kept = all - std::max<std::size_t>(1, all / 20);
  std::size_t const cut = data.windows ? kept : kept * length;
  require(data.windows ? all / 20 > length : data.count >= 2, "too few sequences to set some aside: give others with --valid");
  TrainingData valid{{data.tokens.begin() + static_cast<std::ptrdiff_t>(cut), data.tokens.end()}, all - kept, data.length, data.windows};
  data.tokens.resize(cut);
  data.count = kept;
  if (data.windows) {
    data.count -= length - 1;
    valid.count -= length - 1;
  }
  return valid;
}

struct CurvePoint {
  std::int64_t step;
  double seconds, loss, nats, error;
};

std::string curve_text(std::vector<CurvePoint> const& curve, int length) {
  std::string text = "step,seconds,train_nats,valid_nats,valid_se,valid_nats_per_token\n";
  for (auto const& p : curve) {
    char line[160];
    std::snprintf(line, sizeof line, "%lld,%.1f,%.5f,%.5f,%.5f,%.6f\n", static_cast<long long>(p.step), p.seconds, p.loss,
                  p.nats, p.error, p.nats / length);
    text += line;
  }
  return text;
}

constexpr std::uint64_t validation_seed = 0x76616c6964ULL;  // the noise of every validation of every run
constexpr std::size_t validation_rows = 512;

}  // namespace

int run_train(Options const& options) {
  require(options.has("out"), "train needs --out FOLDER for the backbone");
  std::string const folder = options.text("out"), checkpoint = folder + "/checkpoint.safetensors";
  bool const resume = options.flag("resume");
  Json note = Json::object();
  if (resume) {
    require(std::filesystem::exists(checkpoint), "--resume: there is no '" + checkpoint + "'");
    note = Json::parse(Training::read_note(checkpoint));
    for (auto const* const name : lasting) {
      require(!options.given(name) || options.text(name) == note["options"].value(name, std::string()),
              "--resume goes on with the options that the run began with: leave --" + std::string(name) + " away");
    }
    require(!options.has("steps") && !options.has("minutes"), "--resume goes on to the step that the run began with: leave --steps and --minutes away");
  } else {
    require(!std::filesystem::exists(checkpoint), "'" + folder + "' already holds a run: go on with --resume, or choose another --out");
    require(!options.has("steps") || !options.has("minutes"), "give --steps or --minutes, not both");
  }
  Json const remembered = resume ? note["options"] : Json::object();
  Settings const settings(options, remembered);
  require(!settings.text("data").empty(), "train needs --data FILE");

  // The data.
  Alphabet alphabet = choose_alphabet(settings);
  bool const windows = settings.flag("windows");
  int const length_asked = settings.text("length").empty() ? 0 : settings.whole("length", 1, 1 << 20);
  require(!windows || length_asked > 0, "--windows needs --length");
  std::string hash = model_hash("", read_file(settings.text("data")));
  if (!settings.text("valid").empty()) hash = model_hash(hash, read_file(settings.text("valid")));
  require(!resume || note.value("data", hash) == hash, "--resume: the file of --data or --valid is not what the run began with; give it back, or train anew");
  if (windows && alphabet.pad()) alphabet = with_pad(alphabet, false);  // lines of a text are no sequences
  TrainingData data = windows ? read_text(settings.text("data"), alphabet, length_asked)
                              : read_rows(settings.text("data"), alphabet, length_asked);
  TrainingData const valid = settings.text("valid").empty() ? split_off(data)
                             : windows ? read_text(settings.text("valid"), alphabet, data.length)
                                       : read_rows(settings.text("valid"), alphabet, data.length);

  // The network.
  auto const generator = settings.text("generator"), loss = settings.text("loss");
  require(generator == "absorbing" || generator == "uniform", unknown_name("generator", generator, {"absorbing", "uniform"}));
  require(loss == "masked" || loss == "score_entropy", unknown_name("loss", loss, {"masked", "score_entropy"}));
  bool const masked = generator == "absorbing";
  BackboneManifest manifest;
  manifest.name = settings.text("name").empty() ? std::filesystem::path(folder).filename().string() : settings.text("name");
  manifest.file = "weights.safetensors";
  manifest.width = settings.whole("width", 2, 1 << 16);
  manifest.layers = settings.whole("layers", 1, 1000);
  manifest.heads = settings.whole("heads", 1, 1 << 12);
  require(manifest.width % (2 * manifest.heads) == 0, "--width must be a multiple of twice --heads, got " +
                                                          std::to_string(manifest.width) + " and " + std::to_string(manifest.heads));
  manifest.alphabet = alphabet;
  manifest.length = data.length;
  manifest.masked = masked;
  manifest.states = alphabet.size() + (masked ? 1 : 0);
  manifest.columns = manifest.states;
  manifest.output = !masked ? "x0_logits_leave_one_out" : loss == "masked" ? "x0_logits_leave_one_out" : "scaled_log_score";
  manifest.time = settings.flag("time") || !masked || loss == "score_entropy" ? TimeInput::total : TimeInput::none;
  manifest.noise = "log_linear";
  manifest.generator = generator;

  TrainingOptions training;
  training.loss = !masked ? Loss::uniform : loss == "masked" ? Loss::masked : Loss::score_entropy;
  training.batch = settings.whole("batch", 1, 1 << 20);
  training.rate = settings.number("rate", 0, 1e3);
  training.ema = settings.number("ema", 0, 1);
  training.weight_decay = settings.number("weight-decay", 0, 1e3);
  training.clip = settings.number("clip", 1e-9, 1e9);
  auto const precision = settings.text("precision");
  require(precision == "fp32" || precision == "bf16", unknown_name("precision", precision, {"bf16", "fp32"}));
  training.bf16 = precision == "bf16";
  training.seed = static_cast<std::uint64_t>(settings.number("seed", 0, 9e15));
  training.device = options.text("device");
  training.threads = thread_count(options);
  std::int64_t const every = settings.whole("checkpoint", 1, 1'000'000'000);
  auto const weights = settings.text("weights");
  require(weights == "f16" || weights == "f32", unknown_name("precision of weights", weights, {"f16", "f32"}));
  try {
    std::filesystem::create_directories(folder);
    check_writable(folder + "/model.json");
  } catch (std::exception const& e) {
    throw UserError(e.what());
  }

  if (resume) {
    training.steps = note["steps"].get<std::int64_t>();
  } else if (options.has("minutes")) {
    double const minutes = settings.number("minutes", 1e-3, 1e6);
    Training trial(manifest, training);  // thrown away: the run itself depends on the number of steps alone
    for (int i = 0; i < 5; ++i) trial.step(data);
    double const start = now();
    int timed = 0;
    while (timed < 10 || (now() - start < 5 && timed < 200)) trial.step(data), ++timed;
    training.steps = std::max<std::int64_t>(1, static_cast<std::int64_t>(minutes * 60 * timed / (now() - start)));
  } else {
    training.steps = options.has("steps") ? options.integer("steps", 1, 1'000'000'000'000) : 2000;
  }
  training.warmup = static_cast<int>(std::min<std::int64_t>(200, 1 + training.steps / 10));

  Training run(manifest, training);
  std::vector<CurvePoint> curve;
  double spent = 0;  // before this call
  if (resume) {
    run.restore(checkpoint);
    for (auto const& p : note["curve"]) curve.push_back({p[0], p[1], p[2], p[3], p[4]});
    if (!curve.empty()) spent = curve.back().seconds;
  }
  bool const shown = !options.flag("quiet");
  ProgressText progress(options);
  double const start = now();
  double sum = 0;
  std::int64_t counted = 0;
  auto const begun = run.done();
  while (run.done() < training.steps) {
    sum += run.step(data);
    ++counted;
    if (progress.due()) {
      double const rate = static_cast<double>(run.done() - begun) / (now() - start), mean = sum / static_cast<double>(counted);
      char line[256];
      std::snprintf(line, sizeof line, "  step %lld/%lld (%.0f%%)  loss %.4f nats a sequence, %.4f a token  %.3g steps/s  %s left",
                    static_cast<long long>(run.done()), static_cast<long long>(training.steps),
                    100.0 * static_cast<double>(run.done()) / static_cast<double>(training.steps), mean, mean / data.length, rate,
                    clock_text(static_cast<double>(training.steps - run.done()) / rate).c_str());
      progress.show(manifest.name + line);
    }
    if (run.done() % every == 0 || run.done() == training.steps) {
      auto const bound = run.bound(valid, validation_rows, 1, validation_seed);
      curve.push_back({run.done(), spent + now() - start, sum / static_cast<double>(counted), bound.nats, bound.error});
      Json points = Json::array();
      for (auto const& p : curve) points.push_back({p.step, p.seconds, p.loss, p.nats, p.error});
      run.save_checkpoint(checkpoint, Json{{"options", settings.remember()}, {"data", hash}, {"steps", training.steps}, {"curve", points}}.dump());
      write_text(folder + "/curve.csv", curve_text(curve, data.length));
      if (shown) {
        progress.wipe();
        std::fprintf(stderr, "step %lld/%lld  %s  train %.4f  valid %.4f +- %.4f nats a sequence, %.4f a token\n",
                     static_cast<long long>(run.done()), static_cast<long long>(training.steps),
                     clock_text(curve.back().seconds).c_str(), curve.back().loss, bound.nats, bound.error, bound.nats / data.length);
      }
      sum = 0;
      counted = 0;
    }
  }
  auto const final_bound = run.bound(valid, 1'000'000, 4, validation_seed);
  run.save_weights(folder, weights == "f16");
  Json about;
  about["data"] = {{"source", settings.text("source").empty() ? settings.text("data") : settings.text("source")},
                   {"licence", settings.text("licence")}};
  about["training"] = {{"command", settings.command(training.steps)},
                       {"version", version()},
                       {"loss", loss},
                       {"steps", training.steps},
                       {"batch", training.batch},
                       {"rate", training.rate},
                       {"ema", training.ema},
                       {"weight_decay", training.weight_decay},
                       {"precision", precision},
                       {"seed", training.seed},
                       {"threads", training.threads},
                       {"minutes", (spent + now() - start) / 60}};
  about["quality"] = {{"valid_nats_per_sequence", final_bound.nats},
                      {"standard_error", final_bound.error},
                      {"valid_nats_per_token", final_bound.nats / data.length}};
  manifest.about = about.dump();
  write_manifest(folder, manifest);
  std::printf("%s: %.4f +- %.4f nats a sequence, %.5f a token (bound on the validation data)\n", manifest.name.c_str(),
              final_bound.nats, final_bound.error, final_bound.nats / data.length);
  return 0;
}

}  // namespace saltus::app
