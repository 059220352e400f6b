// SPDX-License-Identifier: BSD-3-Clause
#include "transformer.hpp"

#include <cmath>
#include <map>
#include <stdexcept>

namespace saltus::torch_adapter {
namespace {

constexpr std::int64_t time_features = 16;  // sines and cosines of alpha, at 8 frequencies

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "[";
  for (auto const extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

torch::ScalarType scalar_type(int scalar) {
  switch (scalar) {
    case SALTUS_F32: return torch::kFloat32;
    case SALTUS_F64: return torch::kFloat64;
    case SALTUS_F16: return torch::kFloat16;
    default: return torch::kBFloat16;
  }
}

}  // namespace

torch::Tensor borrow(saltus_tensor const& tensor) {
  return torch::from_blob(const_cast<void*>(tensor.data), at::IntArrayRef(tensor.shape, static_cast<std::size_t>(tensor.rank)),
                          torch::TensorOptions().dtype(scalar_type(tensor.scalar)));
}

bool Transformer::decays(std::string const& name, torch::Tensor const& value) {
  return value.dim() == 2 && name != "position" && name != "embedding";
}

torch::Tensor Transformer::add(std::string const& name, at::IntArrayRef shape, double deviation, double mean) {
  torch::NoGradGuard const no_grad;
  auto value = torch::empty(shape);
  if (deviation > 0) {
    value.normal_(mean, deviation);
  } else {
    value.fill_(mean);
  }
  parameters_.emplace_back(name, value);
  return value;
}

Transformer::Linear Transformer::add_linear(std::string const& name, std::int64_t in, std::int64_t out, double deviation) {
  return {add(name + ".weight", {out, in}, deviation), add(name + ".bias", {out}, 0)};
}

Transformer::Linear Transformer::add_norm(std::string const& name) {
  return {add(name + ".weight", {width_}, 0, 1), add(name + ".bias", {width_}, 0)};
}

Transformer::Transformer(saltus_network const& network, torch::Device device)
    : length_(network.length), width_(network.width), heads_(network.heads), timed_(network.time != SALTUS_TIME_NONE) {
  torch::manual_seed(network.seed);
  std::int64_t const d = width_, hidden = 4 * d;
  double const in = 1 / std::sqrt(static_cast<double>(d)), out = in / std::sqrt(2.0 * network.layers);
  embedding_ = add("embedding", {network.states, d}, 0.5);
  position_ = add("position", {length_, d}, 0.1);
  if (timed_) {
    time1_ = add_linear("time1", time_features + 1, d, 0.3);
    time2_ = add_linear("time2", d, d, in);
  }
  for (int i = 0; i < network.layers; ++i) {
    std::string const name = "blocks." + std::to_string(i) + ".";
    Block& block = blocks_.emplace_back();
    block.norm1 = add_norm(name + "norm1");
    block.qkv = add_linear(name + "qkv", d, 3 * d, in);
    block.out = add_linear(name + "out", d, d, out);
    block.norm2 = add_norm(name + "norm2");
    block.up = add_linear(name + "up", d, hidden, in);
    block.down = add_linear(name + "down", hidden, d, out / 2);
    if (timed_) block.modulation = add_linear(name + "modulation", d, 6 * d, 0);
  }
  norm_ = add_norm("norm");
  head_ = add_linear("head", d, network.states, 0.02);

  if (network.tensors != nullptr) {
    std::map<std::string, saltus_tensor const*> given;
    for (std::int64_t i = 0; i < network.tensor_count; ++i) given[network.tensors[i].name] = &network.tensors[i];
    for (auto const& [name, value] : parameters_) {
      auto const found = given.find(name);
      if (found == given.end()) throw std::invalid_argument("the tensor '" + name + "' is missing");
      auto const stored = borrow(*found->second);
      if (stored.sizes() != value.sizes()) {
        throw std::invalid_argument("the tensor '" + name + "' should have the shape " + shape_text(value.sizes()) +
                                    ", got " + shape_text(stored.sizes()));
      }
      value.copy_(stored);
      given.erase(found);
    }
    if (!given.empty()) throw std::invalid_argument("the tensor '" + given.begin()->first + "' belongs to no such network");
  }
  // The members share storage with the list: moved and marked as leaves together.
  for (auto& [name, value] : parameters_) value.set_data(value.to(device)), value.requires_grad_();

  std::int64_t const half = d / heads_ / 2;
  auto const frequency = torch::pow(10000.0, -torch::arange(half, torch::kFloat64) / static_cast<double>(half));
  auto const angle = torch::outer(torch::arange(length_, torch::kFloat64), frequency);
  cosine_ = torch::cos(angle).to(torch::kFloat32).to(device);
  sine_ = torch::sin(angle).to(torch::kFloat32).to(device);
}

void Transformer::convert(torch::ScalarType type) {
  for (auto& [name, value] : parameters_) value.set_data(value.to(type));
}

torch::Tensor Transformer::forward(torch::Tensor const& tokens, torch::Tensor const& total, bool mixed) const {
  namespace F = torch::nn::functional;
  std::int64_t const batch = tokens.size(0), length = tokens.size(1), size = width_ / heads_;
  auto const linear = [&](torch::Tensor const& x, Linear const& w) {
    if (!mixed) return torch::linear(x, w.weight, w.bias);
    return torch::linear(x.to(torch::kBFloat16), w.weight.to(torch::kBFloat16), w.bias.to(torch::kBFloat16));
  };
  auto const normalise = [&](torch::Tensor const& x, Linear const& w) {
    return torch::layer_norm(x, {width_}, w.weight, w.bias);
  };
  auto const cosine = cosine_.narrow(0, 0, length).unsqueeze(1), sine = sine_.narrow(0, 0, length).unsqueeze(1);
  auto const rotate = [&](torch::Tensor const& x) {  // [batch, length, heads, size]
    auto const halves = x.chunk(2, -1);
    auto const c = cosine.to(x.scalar_type()), s = sine.to(x.scalar_type());
    return torch::cat({halves[0] * c - halves[1] * s, halves[1] * c + halves[0] * s}, -1).transpose(1, 2);
  };

  auto x = torch::embedding(embedding_, tokens) + position_.narrow(0, 0, length);
  torch::Tensor about;
  if (timed_) {
    auto const alpha = torch::exp(-total).unsqueeze(1);
    auto const angles = alpha * torch::pow(2.0, torch::arange(time_features / 2, total.options())) * M_PI;
    // Near t = 0 alpha says little: there its logarithm does.
    auto const late = torch::log(torch::clamp_min(-torch::expm1(-total), 1e-6)).unsqueeze(1) / 4;
    auto const features = torch::cat({torch::sin(angles), torch::cos(angles), late}, 1).to(x.scalar_type());
    about = torch::silu(linear(torch::silu(linear(features, time1_)), time2_)).unsqueeze(1);
  }
  for (auto const& block : blocks_) {
    std::vector<torch::Tensor> m;
    if (timed_) m = linear(about, block.modulation).chunk(6, -1);
    auto h = normalise(x, block.norm1);
    if (timed_) h = h * (1 + m[0]) + m[1];
    h = linear(h, block.qkv);
    // Heads are small: their many small products are slower in bfloat16.
    auto const parts = (mixed ? h.to(torch::kFloat32) : h).view({batch, length, 3, heads_, size}).unbind(2);
    auto const attended = at::scaled_dot_product_attention(rotate(parts[0]), rotate(parts[1]), parts[2].transpose(1, 2));
    h = linear(attended.transpose(1, 2).reshape({batch, length, width_}), block.out);
    x = x + (timed_ ? h * (1 + m[2]) : h);
    h = normalise(x, block.norm2);
    if (timed_) h = h * (1 + m[3]) + m[4];
    h = linear(torch::gelu(linear(h, block.up), "tanh"), block.down);
    x = x + (timed_ ? h * (1 + m[5]) : h);
  }
  return torch::linear(normalise(x, norm_), head_.weight, head_.bias);
}

}  // namespace saltus::torch_adapter
