// SPDX-License-Identifier: BSD-3-Clause
// The LibTorch adapter: networks that are evaluated, and the table of functions. Compiled without Kokkos.
#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include <ATen/autocast_mode.h>
#include <c10/core/StreamGuard.h>
#include <torch/script.h>
#include <torch/torch.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/version.h>

#include "trainer.hpp"
#include "transformer.hpp"

using namespace saltus::torch_adapter;

namespace {

std::string error_text;

// A message in one line, without the traces of calls that LibTorch adds before and after it.
std::string one_line(std::string text) {
  text = text.substr(0, text.find("\nException raised"));
  if (auto const at = text.rfind("\nRuntimeError: "); at != std::string::npos) text = text.substr(at + 15);
  for (auto& c : text) {
    if (c == '\n') c = ' ';
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text.substr(0, 600);
}

template <class Function>
auto guarded(Function&& function) -> decltype(function()) {
  using Result = decltype(function());
  auto const failed = [](std::string const& text) -> Result {
    error_text = one_line(text);
    if constexpr (std::is_pointer_v<Result>) return nullptr;
    else return 1;
  };
  try {
    return function();
  } catch (c10::Error const& e) {
    return failed(e.what_without_backtrace());
  } catch (std::exception const& e) {
    return failed(e.what());
  } catch (...) {
    return failed("unknown exception");
  }
}

void prepare(saltus_torch_options const& options) {
  if (options.threads > 0 && at::get_num_threads() != options.threads) at::set_num_threads(options.threads);
  // Tensors of some megabytes come and go at every layer: given back to the system each time, their pages would be made
  // anew each time, which costs more than the arithmetic (docs/performance.md).
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  // Without this a package that gets other shapes than it was exported for reads beyond its inputs.
  setenv("AOTI_RUNTIME_CHECK_INPUTS", "1", 0);
}

// LibTorch's work goes to the caller's stream, so that it follows the kernels that made the tokens, and those that read the scores follow
// it, without a word from the host. A stream from elsewhere is named by its pointer (c10/cuda/CUDAStream.cpp, getStreamFromExternal),
// here by types that a LibTorch without CUDA has, too.
std::optional<c10::Stream> stream_of(torch::Device device, void* stream) {
  if (device.is_cpu()) return {};
  return c10::Stream(c10::Stream::UNSAFE, device, static_cast<c10::StreamId>(reinterpret_cast<std::intptr_t>(stream)));
}

// Runs a TorchScript network in bfloat16 as autocast does it: products in bfloat16, sums and what needs it in single
// precision. Turning its weights over would not do, since traced networks hold scalar types.
class Autocast {
 public:
  Autocast(torch::Device device, bool on) : type_(device.type()), on_(on) {
    if (!on_) return;
    at::autocast::set_autocast_enabled(type_, true);
    at::autocast::set_autocast_dtype(type_, torch::kBFloat16);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    if (!on_) return;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(type_, false);
  }

 private:
  at::DeviceType type_;
  bool on_;
};

}  // namespace

struct saltus_model {
  saltus_network network{};
  torch::Device device;
  bool bf16;
  std::unique_ptr<Transformer> transformer;
  std::unique_ptr<torch::jit::Module> script;
  std::unique_ptr<torch::inductor::AOTIModelPackageLoader> package;
  torch::Tensor ids;                      // [states] the network's token of each state, or undefined
  torch::Tensor condition_row;            // [1, condition_size], or undefined
  std::map<int, torch::Tensor> outputs;   // by slot

  saltus_model(saltus_network const& n, saltus_torch_options const& options)
      : network(n), device(options.device), bf16(options.bf16 != 0) {
    torch::NoGradGuard const no_grad;
    switch (n.format) {
      case SALTUS_NETWORK_TRANSFORMER:
        transformer = std::make_unique<Transformer>(n, device);
        if (bf16) transformer->convert(torch::kBFloat16);
        break;
      case SALTUS_NETWORK_TORCHSCRIPT:
        script = std::make_unique<torch::jit::Module>(torch::jit::load(n.path, device));
        script->eval();
        break;
      default:
        if (bf16) throw std::invalid_argument("an AOTInductor package computes in the precision that it was exported with");
        package = std::make_unique<torch::inductor::AOTIModelPackageLoader>(n.path, "model", false, 1, device.index());
        break;
    }
    if (n.token_ids != nullptr) {
      ids = torch::from_blob(const_cast<std::int64_t*>(n.token_ids), {n.states}, torch::kInt64).clone().to(device);
    }
    if (n.condition_size > 0) {
      condition_row = torch::from_blob(const_cast<float*>(n.condition), {1, n.condition_size}, torch::kFloat32).clone().to(device);
    }
    network.token_ids = nullptr;  // borrowed: not to be used again
    network.tensors = nullptr;
    network.path = nullptr;
    network.condition = nullptr;
  }

  torch::Tensor run(saltus_batch const& batch) {
    c10::OptionalStreamGuard const guard(stream_of(device, batch.stream));
    std::int64_t const rows = batch.batch, length = batch.length;
    auto const on = torch::TensorOptions().device(device);
    auto const borrowed = [&](void const* data, at::IntArrayRef shape, at::IntArrayRef strides, torch::ScalarType type) {
      return torch::from_blob(const_cast<void*>(data), shape, strides, on.dtype(type));
    };
    auto tokens = borrowed(batch.tokens, {rows, length}, {batch.row_stride, 1}, torch::kInt32).to(torch::kInt64);
    if (ids.defined()) tokens = ids.index({tokens});
    torch::Tensor time, valid, condition;
    if (network.time != SALTUS_TIME_NONE) time = borrowed(batch.time, {rows}, {1}, torch::kFloat64).to(torch::kFloat32);
    if (network.takes_valid) {
      valid = batch.valid ? borrowed(batch.valid, {rows, length}, {length, 1}, torch::kUInt8).to(torch::kBool)
                          : torch::ones({rows, length}, on.dtype(torch::kBool));
    }
    if (condition_row.defined()) condition = condition_row.expand({rows, network.condition_size}).contiguous();
    // Packages for any batch take two rows or more: torch.export holds a size of 1 for a constant.
    std::int64_t const least = network.fixed_batch > 0 ? network.fixed_batch : package ? 2 : 0;
    std::int64_t const extra = std::max<std::int64_t>(least - rows, 0);
    auto const pad = [&](torch::Tensor const& x) {
      return extra == 0 ? x : torch::cat({x, x.narrow(0, rows - 1, 1).expand([&] {
        auto shape = x.sizes().vec();
        shape[0] = extra;
        return shape;
      }())});
    };

    torch::Tensor out;
    if (transformer) {
      out = transformer->forward(tokens, time);
    } else {
      std::vector<torch::Tensor> inputs{pad(tokens)};
      if (time.defined()) inputs.push_back(pad(time));
      if (valid.defined()) inputs.push_back(pad(valid));
      if (condition.defined()) inputs.push_back(pad(condition));
      if (script) {
        Autocast const autocast(device, bf16);
        out = script->forward(std::vector<torch::jit::IValue>(inputs.begin(), inputs.end())).toTensor();
      } else {
        out = package->run(inputs, batch.stream).at(0);
      }
      std::int64_t const expected[] = {rows + extra, length, network.columns};
      if (out.sizes() != at::IntArrayRef(expected)) {
        throw std::invalid_argument("the network should give [batch, length, columns] = " + text_of(expected) + ", got " +
                                    text_of(out.sizes()));
      }
      if (extra) out = out.narrow(0, 0, rows);
    }
    // Numbers of 16 bits are handed over as they are, unless something has to be added to them.
    bool const narrow = out.scalar_type() == torch::kBFloat16 || out.scalar_type() == torch::kFloat16;
    if (out.scalar_type() != torch::kFloat32 && !(narrow && network.output == SALTUS_OUTPUT_AS_IT_IS)) out = out.to(torch::kFloat32);
    if (ids.defined()) out = out.index_select(-1, ids);
    // What comes back is written to (below, and by the caller, who puts rows among others): it must be the network's no
    // longer, nor the same memory twice.
    if (out.stride(-1) != 1 || out.storage().use_count() > 1 || !distinct(out)) out = out.clone(at::MemoryFormat::Contiguous);
    if (network.forbidden >= 0) out.select(-1, network.forbidden).fill_(network.forbidden_value);
    if (network.output == SALTUS_OUTPUT_SCALED_LOG_SCORE) {
      // A network with normalised log-ratios: the factor alpha / (1 - alpha) of A§4.2 is added.
      out = out.sub_(torch::log(torch::expm1(borrowed(batch.time, {rows}, {1}, torch::kFloat64)))
                         .to(out.scalar_type())
                         .view({rows, 1, 1}));
    }
    return out;
  }

  static bool distinct(torch::Tensor const& x) {
    for (std::int64_t i = 0; i < x.dim(); ++i) {
      if (x.size(i) > 1 && x.stride(i) == 0) return false;
    }
    return true;
  }

  static std::string text_of(at::IntArrayRef shape) {
    std::string text = "[";
    for (auto const extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
    return text + "]";
  }
};

struct saltus_trainer : Trainer {
  using Trainer::Trainer;
};

namespace {

saltus_torch_table const table = {
    SALTUS_TORCH_ABI,
    [] { return TORCH_VERSION; },
    [] { return error_text.c_str(); },
    [](saltus_network const* network, saltus_torch_options const* options) {
      return guarded([&] {
        prepare(*options);
        return new saltus_model(*network, *options);
      });
    },
    [](saltus_model* model, std::int32_t slot, saltus_batch const* batch, saltus_scores* scores) {
      return guarded([&] {
        torch::InferenceMode const inference;
        auto& out = model->outputs[slot];
        out = torch::Tensor();  // its memory serves the new one
        out = model->run(*batch);
        std::int32_t const scalar = out.scalar_type() == torch::kFloat32 ? SALTUS_F32 : out.scalar_type() == torch::kFloat16 ? SALTUS_F16 : SALTUS_BF16;
        *scores = {out.const_data_ptr(), scalar, out.stride(0), out.stride(1)};
        return 0;
      });
    },
    [](saltus_model* model) { delete model; },
    [](saltus_network const* network, saltus_training_options const* training, saltus_torch_options const* options) {
      return guarded([&] {
        prepare(*options);
        return new saltus_trainer(*network, *training, torch::Device(options->device), options->bf16 != 0);
      });
    },
    [](saltus_trainer* trainer, saltus_training_batch const* batch, double rate, double* loss, double* norm) {
      return guarded([&] {
        trainer->step(*batch, rate, *loss, *norm);
        return 0;
      });
    },
    [](saltus_trainer* trainer, saltus_training_batch const* batch, double* losses) {
      return guarded([&] {
        trainer->evaluate(*batch, losses);
        return 0;
      });
    },
    [](saltus_trainer* trainer, std::int32_t everything, saltus_tensor const** tensors, std::int64_t* count) {
      return guarded([&] {
        auto const& list = trainer->tensors(everything != 0);
        *tensors = list.data();
        *count = static_cast<std::int64_t>(list.size());
        return 0;
      });
    },
    [](saltus_trainer* trainer, saltus_tensor const* tensors, std::int64_t count) {
      return guarded([&] {
        trainer->restore(tensors, count);
        return 0;
      });
    },
    [](saltus_trainer* trainer) { delete trainer; }};

}  // namespace

extern "C" __attribute__((visibility("default"))) saltus_torch_table const* saltus_torch() { return &table; }
