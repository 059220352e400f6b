// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <saltus/models/backbone_manifest.hpp>

namespace saltus {

/// Clean sequences to learn from.
struct TrainingData {
  std::vector<token_t> tokens;  ///< rows of `length`, or with `windows` one long text
  std::size_t count = 0;        ///< rows; with windows the number of places where one can begin
  int length = 0;
  bool windows = false;
};

/// The losses of A§4.5, each a bound on minus the logarithm of the likelihood of a sequence, in nats.
enum class Loss {
  masked,         ///< cross-entropy of the masked sites; the network gives logits of the clean token
  score_entropy,  ///< score entropy under absorbing noise; the network gives log-scores
  uniform         ///< score entropy under uniform noise; the network gives logits of pL, the law of the clean token given
                  ///< the other sites
};

struct TrainingOptions {
  Loss loss = Loss::masked;
  std::int64_t steps = 1000;
  int batch = 256;
  double rate = 1e-3;         ///< of learning, the highest: it rises over `warmup` steps, then falls as a cosine to rate / 50
  int warmup = 100;
  double ema = 0.999, weight_decay = 0.01, clip = 1, beta1 = 0.9, beta2 = 0.98;
  std::uint64_t seed = 1;
  int threads = 0;
  std::string device = "cpu";
  bool bf16 = false;  ///< matrix products in bfloat16 while learning; bounds are in single precision all the same
};

/// Trains the library's own transformer. All random numbers are drawn here, by step and row (StreamKey), so that a run that
/// is resumed from a checkpoint goes on bit for bit, with the same number of threads.
class Training {
 public:
  /// Throws UserError if the manifest describes no such network.
  Training(BackboneManifest const& manifest, TrainingOptions const& options);
  ~Training();

  /// The next step on rows of `data`; the mean loss of its rows, in nats a sequence. Throws NumericalError if it is not finite.
  double step(TrainingData const& data);
  std::int64_t done() const { return done_; }
  double rate() const;

  struct Bound {
    double nats = 0;   ///< a sequence, mean
    double error = 0;  ///< its standard error
  };
  /// The bound on `rows` rows of `data` with the averaged weights, each with `draws` noises, drawn from the seed `seed`
  /// alone: an upper bound on the cross-entropy, in nats a sequence. Stratified in the noise.
  Bound bound(TrainingData const& data, std::size_t rows, int draws, std::uint64_t seed);

  /// The averaged weights as FOLDER/<manifest.file> (half: in half precision), beside the manifest, which is not written.
  void save_weights(std::string const& folder, bool half);
  /// Everything, with `note` beside it, and back. Throws OutputError, or UserError if it is of another network.
  void save_checkpoint(std::string const& path, std::string const& note);
  static std::string read_note(std::string const& path);
  void restore(std::string const& path);

 private:
  struct Batch;
  // The level of row i lies where `level_of(i, u)` says, modulo 1; u is uniform.
  void fill(TrainingData const& data, Batch& batch, std::uint64_t seed, std::uint32_t step, std::function<double(int, double)> const& level_of,
            std::function<std::size_t(int)> const& row_of) const;

  BackboneManifest manifest_;
  TrainingOptions options_;
  std::int64_t done_ = 0;
  std::unique_ptr<Batch> batch_;
  struct Adapter;
  std::unique_ptr<Adapter> adapter_;
  std::vector<std::uint32_t> order_;  // of the rows in the present epoch
  std::int64_t epoch_ = -1;
};

}  // namespace saltus
