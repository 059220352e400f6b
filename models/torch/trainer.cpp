// SPDX-License-Identifier: BSD-3-Clause
#include "trainer.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <stdexcept>

namespace saltus::torch_adapter {
Trainer::Trainer(saltus_network const& network, saltus_training_options const& options, torch::Device device, bool bf16)
    : options_(options), device_(device), bf16_(bf16), network_(network, device), average_(network, device) {
  torch::NoGradGuard const no_grad;
  for (auto const& [name, value] : average_.parameters()) {
    auto v = value;
    v.requires_grad_(false);
  }
  for (auto const& [name, value] : network_.parameters()) {
    first_.push_back(torch::zeros_like(value));
    second_.push_back(torch::zeros_like(value));
    steps_.push_back(torch::zeros({}, torch::kFloat32));
  }
}

torch::Tensor Trainer::losses(Transformer const& network, saltus_training_batch const& batch, bool mixed) const {
  std::int64_t const rows = batch.batch, length = batch.length;
  auto const tokens = [&](std::int32_t const* data) {
    return torch::from_blob(const_cast<std::int32_t*>(data), {rows, length}, torch::kInt32).to(device_, torch::kInt64);
  };
  auto const numbers = [&](double const* data) {
    return torch::from_blob(const_cast<double*>(data), {rows}, torch::kFloat64).to(device_);
  };
  auto const noisy = tokens(batch.noisy), clean = tokens(batch.clean);
  torch::Tensor total;
  if (batch.time != nullptr) total = numbers(batch.time).to(torch::kFloat32);
  auto const out = network.forward(noisy, total, mixed).to(torch::kFloat32);
  auto const weight = numbers(batch.weight);
  auto const target = clean.unsqueeze(-1);
  torch::Tensor sites;
  if (options_.loss == SALTUS_LOSS_UNIFORM) {
    // The logits are those of pL, the law of the clean token given the other sites. Scores s_y = (pL P)_y / (pL P)_x and
    // those of the clean token c, r_y = P(c, y) / P(c, x), differ by sum_y s_y - r_y ln s_y + r_y (ln r_y - 1) (A§4.5).
    auto const states = out.size(-1);
    auto const alpha = numbers(batch.alpha).view({rows, 1, 1}).to(torch::kFloat32);
    auto const kept = alpha, each = (1 - alpha) / static_cast<double>(states);
    auto const law = kept * torch::softmax(out, -1) + each;  // (pL P)_y
    auto const own = noisy.unsqueeze(-1);
    auto const logs = torch::log(law), log_own = logs.gather(-1, own);
    auto const truth = torch::zeros_like(law).scatter_(-1, target, 1.0) * kept + each;  // P(c, y)
    auto const log_truth = torch::log(truth), log_truth_own = log_truth.gather(-1, own);
    auto const log_s = logs - log_own, log_r = log_truth - log_truth_own;
    auto const r = torch::exp(log_r);
    auto const terms = torch::exp(log_s) - r * log_s + r * (log_r - 1);
    sites = terms.sum(-1) - terms.gather(-1, own).squeeze(-1);
  } else {
    auto const masked = noisy.eq(options_.mask);
    auto const tokens_only = out.narrow(-1, 0, options_.mask);  // the mask is the last state
    auto const at_target = tokens_only.gather(-1, torch::where(masked, clean, torch::zeros_like(clean)).unsqueeze(-1)).squeeze(-1);
    if (options_.loss == SALTUS_LOSS_MASKED) {
      sites = torch::logsumexp(tokens_only, -1) - at_target;
    } else {  // s = r exp(o): r (sum_y exp(o_y) - o_c - 1); r is in the weight
      sites = torch::exp(tokens_only).sum(-1) - at_target - 1;
    }
    sites = torch::where(masked, sites, torch::zeros_like(sites));
  }
  return sites.sum(-1).to(torch::kFloat64) * weight;
}

void Trainer::step(saltus_training_batch const& batch, double rate, double& loss, double& norm) {
  auto const mean = losses(network_, batch, bf16_).mean();
  mean.backward();
  torch::NoGradGuard const no_grad;
  double squares = 0;
  auto const& parameters = network_.parameters();
  for (auto const& [name, value] : parameters) squares += value.grad().square().sum().item<double>();
  norm = std::sqrt(squares);
  loss = mean.item<double>();
  if (!std::isfinite(norm)) {
    for (auto const& [name, value] : parameters) value.mutable_grad() = torch::Tensor();
    return;
  }
  double const scale = norm > options_.clip ? options_.clip / norm : 1;
  struct Group {
    std::vector<torch::Tensor> values, gradients, first, second, steps;
  };
  std::array<Group, 2> groups;  // without and with decay
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto const& [name, value] = parameters[i];
    if (scale != 1) value.mutable_grad().mul_(scale);
    steps_[i] += 1;
    Group& group = groups[Transformer::decays(name, value)];
    group.values.push_back(value);
    group.gradients.push_back(value.grad());
    group.first.push_back(first_[i]);
    group.second.push_back(second_[i]);
    group.steps.push_back(steps_[i]);
  }
  for (std::size_t decays = 0; decays < groups.size(); ++decays) {
    auto& [values, gradients, first, second, steps] = groups[decays];
    at::_fused_adamw_(values, gradients, first, second, {}, steps, rate, options_.beta1, options_.beta2,
                      decays ? options_.weight_decay : 0, options_.epsilon, false, false);
  }
  // Short runs average over a tenth of their past, long ones over 1 / (1 - ema) steps.
  double const done = steps_[0].item<double>();
  double const keep = std::min(options_.ema, (1 + done) / (10 + done));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto average = average_.parameters()[i].second;
    average.lerp_(parameters[i].second, 1 - keep);
    parameters[i].second.mutable_grad() = torch::Tensor();
  }
}

void Trainer::evaluate(saltus_training_batch const& batch, double* out) {
  torch::NoGradGuard const no_grad;
  auto const values = losses(average_, batch, false).to(torch::kCPU).contiguous();
  std::copy_n(values.const_data_ptr<double>(), batch.batch, out);
}

std::vector<saltus_tensor> const& Trainer::tensors(bool everything) {
  torch::NoGradGuard const no_grad;
  names_.clear();
  handed_.clear();
  list_.clear();
  auto const hand = [&](std::string name, torch::Tensor const& value) {
    names_.push_back(std::move(name));
    handed_.push_back(value.detach().to(torch::kCPU).contiguous());
  };
  auto const& parameters = network_.parameters();
  for (auto const& [name, value] : average_.parameters()) hand(name, value);
  for (std::size_t i = 0; everything && i < parameters.size(); ++i) {
    hand("weights." + parameters[i].first, parameters[i].second);
    hand("first." + parameters[i].first, first_[i]);
    hand("second." + parameters[i].first, second_[i]);
  }
  if (everything) hand("steps", steps_[0]);
  for (std::size_t i = 0; i < names_.size(); ++i) {
    saltus_tensor& t = list_.emplace_back();
    t.name = names_[i].c_str();
    t.scalar = SALTUS_F32;
    t.rank = static_cast<std::int32_t>(handed_[i].dim());
    for (std::int64_t d = 0; d < handed_[i].dim(); ++d) t.shape[d] = handed_[i].size(d);
    t.data = handed_[i].const_data_ptr();
  }
  return list_;
}

void Trainer::restore(saltus_tensor const* tensors, std::int64_t count) {
  torch::NoGradGuard const no_grad;
  std::map<std::string, saltus_tensor const*> given;
  for (std::int64_t i = 0; i < count; ++i) given[tensors[i].name] = &tensors[i];
  auto const take = [&](std::string const& name, torch::Tensor value) {
    auto const found = given.find(name);
    if (found == given.end()) throw std::invalid_argument("the tensor '" + name + "' is missing");
    auto const stored = borrow(*found->second);
    if (stored.sizes() != value.sizes()) throw std::invalid_argument("the tensor '" + name + "' has another shape");
    value.copy_(stored);
  };
  auto const& parameters = network_.parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto const& name = parameters[i].first;
    take(name, average_.parameters()[i].second);
    take("weights." + name, parameters[i].second);
    take("first." + name, first_[i]);
    take("second." + name, second_[i]);
    take("steps", steps_[i]);
  }
}

}  // namespace saltus::torch_adapter
