// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "table.h"

namespace saltus::torch_adapter {

/// The library's own backbone: a bidirectional transformer with pre-normalised blocks, learned positions beside rotary
/// ones (Su et al. 2021), and, with a time input, blocks whose normalisations are scaled, shifted and gated by an
/// embedding of alpha = exp(-sigma_bar) (adaptive layer norm, Peebles and Xie 2023).
class Transformer {
 public:
  /// Weights from `network.seed`, or copied from `network.tensors`; throws std::invalid_argument that names the tensor
  /// that is missing, one too many or of another shape.
  Transformer(saltus_network const& network, torch::Device device);

  /// [batch, length, states] from tokens [batch, length] (int64) and sigma_bar [batch] (or undefined). mixed: of weights in
  /// single precision, the large matrix products in bfloat16.
  torch::Tensor forward(torch::Tensor const& tokens, torch::Tensor const& total, bool mixed = false) const;

  /// Turns the weights into another scalar type, for evaluation.
  void convert(torch::ScalarType type);

  using Named = std::vector<std::pair<std::string, torch::Tensor>>;
  /// In a fixed order; leaves that require gradients.
  Named const& parameters() const { return parameters_; }
  /// A matrix rather than a bias, a gain or a position: what weight decay applies to.
  static bool decays(std::string const& name, torch::Tensor const& value);

 private:
  struct Linear {
    torch::Tensor weight, bias;
  };
  struct Block {
    Linear norm1, qkv, out, norm2, up, down, modulation;
  };
  torch::Tensor add(std::string const& name, at::IntArrayRef shape, double deviation, double mean = 0);
  Linear add_linear(std::string const& name, std::int64_t in, std::int64_t out, double deviation);
  Linear add_norm(std::string const& name);

  std::int64_t length_, width_, heads_;
  bool timed_;
  Named parameters_;
  torch::Tensor embedding_, position_, cosine_, sine_;
  Linear time1_, time2_, norm_, head_;
  std::vector<Block> blocks_;
};

/// A tensor in host memory as LibTorch sees it (borrowed, in its own scalar type).
torch::Tensor borrow(saltus_tensor const& tensor);

}  // namespace saltus::torch_adapter
