// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "transformer.hpp"

namespace saltus::torch_adapter {

/// A transformer that learns: AdamW with clipped gradients, and an exponential average of the weights, which is what is
/// evaluated and kept. Everything random (batches, noise) comes from the caller, so that a restored trainer goes on bit
/// for bit, with the same number of threads.
class Trainer {
 public:
  /// bf16: learn in mixed precision; losses are evaluated in single precision all the same.
  Trainer(saltus_network const& network, saltus_training_options const& options, torch::Device device, bool bf16);

  void step(saltus_training_batch const& batch, double rate, double& loss, double& norm);
  void evaluate(saltus_training_batch const& batch, double* losses);
  /// The averaged weights by name; with `everything` also "weights.", "first." and "second." (the weights and their
  /// moments) and "steps".
  std::vector<saltus_tensor> const& tensors(bool everything);
  /// Throws std::invalid_argument for a tensor that is missing or of another shape.
  void restore(saltus_tensor const* tensors, std::int64_t count);

 private:
  torch::Tensor losses(Transformer const& network, saltus_training_batch const& batch, bool mixed) const;

  saltus_training_options options_;
  torch::Device device_;
  bool bf16_;
  Transformer network_, average_;
  std::vector<torch::Tensor> first_, second_, steps_;
  std::vector<std::string> names_;      // of the tensors that were handed out
  std::vector<torch::Tensor> handed_;
  std::vector<saltus_tensor> list_;
};

}  // namespace saltus::torch_adapter
