// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/training.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numbers>
#include <numeric>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/random.hpp>
#include <saltus/models/bound.hpp>
#include <saltus/models/network_tensors.hpp>
#include <saltus/models/safetensors.hpp>
#include <saltus/models/torch_library.hpp>

namespace saltus {
namespace {

constexpr char const* note_key = "saltus_training";
constexpr char const* done_key = "saltus_step";


}  // namespace

struct Training::Batch {
  int rows = 0, length = 0;
  std::vector<std::int32_t> noisy, clean;
  std::vector<double> time, weight, alpha;

  Batch(int b, int l) : rows(b), length(l) {
    auto const cells = static_cast<std::size_t>(b) * static_cast<std::size_t>(l);
    noisy.resize(cells);
    clean.resize(cells);
    time.resize(static_cast<std::size_t>(b));
    weight = alpha = time;
  }
  saltus_training_batch view(bool timed, int n) const {
    return {noisy.data(), clean.data(), timed ? time.data() : nullptr, weight.data(), alpha.data(), n, length};
  }
};

struct Training::Adapter {
  saltus_torch_table const& table = torch_library();
  saltus_trainer* trainer = nullptr;
  ~Adapter() {
    if (trainer) table.train_close(trainer);
  }
};

Training::Training(BackboneManifest const& manifest, TrainingOptions const& options)
    : manifest_(manifest),
      options_(options),
      batch_(std::make_unique<Batch>(options.batch, manifest.length)),
      adapter_(std::make_unique<Adapter>()) {
  require(manifest.format == BackboneManifest::Format::transformer, "only the library's own transformer can be trained");
  require(manifest.masked == (options.loss != Loss::uniform), "the loss does not fit the noise");
  saltus_network network{};
  network.format = SALTUS_NETWORK_TRANSFORMER;
  network.columns = network.states = manifest.states;
  network.length = manifest.length;
  network.width = manifest.width;
  network.layers = manifest.layers;
  network.heads = manifest.heads;
  network.time = manifest.time == TimeInput::none ? SALTUS_TIME_NONE : SALTUS_TIME_TOTAL;
  network.seed = options.seed;
  saltus_training_options training{};
  training.loss = options.loss == Loss::masked          ? SALTUS_LOSS_MASKED
                  : options.loss == Loss::score_entropy ? SALTUS_LOSS_SCORE_ENTROPY
                                                        : SALTUS_LOSS_UNIFORM;
  training.mask = manifest.masked ? manifest.states - 1 : -1;
  training.beta1 = options.beta1;
  training.beta2 = options.beta2;
  training.epsilon = 1e-8;
  training.weight_decay = options.weight_decay;
  training.clip = options.clip;
  training.ema = options.ema;
  saltus_torch_options const torch{options.device.c_str(), options.threads, options.bf16};
  adapter_->trainer = adapter_->table.train_open(&network, &training, &torch);
  if (!adapter_->trainer) throw_torch_error("the network cannot be made");
}

Training::~Training() = default;

double Training::rate() const {
  auto const k = static_cast<double>(done_), last = static_cast<double>(options_.steps);
  if (done_ < options_.warmup) return options_.rate * (k + 1) / options_.warmup;
  double const share = std::min(1.0, (k - options_.warmup) / std::max(1.0, last - options_.warmup));
  return options_.rate * (0.02 + 0.98 * 0.5 * (1 + std::cos(std::numbers::pi * share)));
}

void Training::fill(TrainingData const& data, Batch& batch, std::uint64_t seed, std::uint32_t step,
                    std::function<double(int, double)> const& level_of, std::function<std::size_t(int)> const& row_of) const {
  auto const length = static_cast<std::size_t>(batch.length);
  StreamKey const key{seed, step};
  RowNoiser noiser(batch.length, manifest_.states, manifest_.masked ? manifest_.states - 1 : -1);
  for (int i = 0; i < batch.rows; ++i) {
    auto const b = static_cast<std::size_t>(i);
    double const level = level_of(i, uniform53(key.draw(b, Role::order, 0).event));
    std::size_t const from = row_of(i) * (data.windows ? 1 : length);
    std::span const clean(batch.clean.data() + b * length, length);
    std::copy_n(data.tokens.begin() + static_cast<std::ptrdiff_t>(from), length, clean.begin());
    RowNoise const noise = noiser(key, b, level - std::floor(level), clean, {batch.noisy.data() + b * length, length});
    batch.alpha[b] = noise.alpha;
    batch.time[b] = noise.total;
    batch.weight[b] = noise.weight;
  }
}

double Training::step(TrainingData const& data) {
  auto const first = done_ * options_.batch;
  // Row i from stratum i; the strata are turned from step to step, so that a row's draws fall into different ones.
  auto const level_of = [&](int i, double u) { return (i + u) / batch_->rows + static_cast<double>(done_) * (std::numbers::phi - 1); };
  fill(data, *batch_, options_.seed, static_cast<std::uint32_t>(done_), level_of, [&](int i) -> std::size_t {
    if (data.windows) {
      double const u = uniform53(StreamKey{options_.seed, static_cast<std::uint32_t>(done_)}
                                     .draw(static_cast<std::uint64_t>(i), Role::permute, 0).event);
      return std::min(data.count - 1, static_cast<std::size_t>(u * static_cast<double>(data.count)));
    }
    auto const place = first + i;
    auto const epoch = place / static_cast<std::int64_t>(data.count);
    if (epoch != epoch_) {  // every row once an epoch, in an order of its own
      epoch_ = epoch;
      order_.resize(data.count);
      std::iota(order_.begin(), order_.end(), 0u);
      StreamKey const key{options_.seed, static_cast<std::uint32_t>(epoch)};
      for (std::size_t n = data.count; n > 1; --n) {
        double const u = uniform53(key.draw(n, Role::permute, 1).event);
        std::swap(order_[n - 1], order_[std::min(n - 1, static_cast<std::size_t>(u * static_cast<double>(n)))]);
      }
    }
    return order_[static_cast<std::size_t>(place % static_cast<std::int64_t>(data.count))];
  });
  double loss = 0, norm = 0;
  auto const view = batch_->view(manifest_.time != TimeInput::none, batch_->rows);
  if (adapter_->table.train_step(adapter_->trainer, &view, rate(), &loss, &norm)) throw_torch_error("training stopped");
  if (!std::isfinite(loss) || !std::isfinite(norm))
    throw NumericalError("the loss is " + to_text(loss) + " at step " + std::to_string(done_) +
                         "; a lower --rate may help. The last checkpoint is kept");
  ++done_;
  return loss;
}

Training::Bound Training::bound(TrainingData const& data, std::size_t rows, int draws, std::uint64_t seed) {
  rows = std::min(rows, data.windows ? std::max<std::size_t>(1, (data.count - 1) / static_cast<std::size_t>(data.length)) : data.count);
  auto const spaced = [&](std::size_t r) {
    return data.windows ? (data.count - 1) / rows * r : data.count * r / rows;
  };
  std::vector<double> sums(rows, 0.0), losses(static_cast<std::size_t>(batch_->rows));
  std::size_t const all = rows * static_cast<std::size_t>(draws), size = losses.size();
  std::uint32_t number = 0;
  for (std::size_t first = 0; first < all; first += size, ++number) {
    auto const row_of = [&](int i) { return (first + static_cast<std::size_t>(i)) % rows; };
    // Each of a row's draws from a stratum of its own, which are turned from row to row, as likelihood_bounds() does it.
    auto const level_of = [&](int i, double u) {
      auto const draw = static_cast<double>((first + static_cast<std::size_t>(i)) / rows);
      return (draw + u) / draws + static_cast<double>(row_of(i)) * (std::numbers::phi - 1);
    };
    fill(data, *batch_, seed, number, level_of, [&](int i) { return spaced(row_of(i)); });
    auto const view = batch_->view(manifest_.time != TimeInput::none, batch_->rows);
    if (adapter_->table.train_evaluate(adapter_->trainer, &view, losses.data())) throw_torch_error("validation stopped");
    for (std::size_t i = 0; i < size && first + i < all; ++i) sums[row_of(static_cast<int>(i))] += losses[i] / draws;
  }
  Bound bound;
  for (double const s : sums) bound.nats += s / static_cast<double>(rows);
  double squares = 0;
  for (double const s : sums) squares += (s - bound.nats) * (s - bound.nats);
  if (rows > 1) bound.error = std::sqrt(squares / static_cast<double>(rows - 1) / static_cast<double>(rows));
  return bound;
}

namespace {
std::vector<StoredTensor> stored(saltus_tensor const* tensors, std::int64_t count) {
  std::vector<StoredTensor> list;
  for (std::int64_t i = 0; i < count; ++i) {
    auto const& t = tensors[i];
    std::size_t size = 4;
    for (int d = 0; d < t.rank; ++d) size *= static_cast<std::size_t>(t.shape[d]);
    list.push_back({t.name, "F32", {t.shape, t.shape + t.rank}, {static_cast<std::byte const*>(t.data), size}});
  }
  return list;
}
}  // namespace

void Training::save_weights(std::string const& folder, bool half) {
  saltus_tensor const* tensors = nullptr;
  std::int64_t count = 0;
  if (adapter_->table.train_tensors(adapter_->trainer, 0, &tensors, &count)) throw_torch_error("the weights cannot be read");
  auto list = stored(tensors, count);
  std::vector<std::vector<std::uint16_t>> halves;
  halves.reserve(list.size());
  for (auto& t : list) {
    if (!half) break;
    halves.push_back(as_half({reinterpret_cast<float const*>(t.bytes.data()), t.bytes.size() / 4}));
    t.type = "F16";
    t.bytes = std::as_bytes(std::span(halves.back()));
  }
  write_tensors((std::filesystem::path(folder) / manifest_.file).string(), list, {{"format", "pt"}});
}

void Training::save_checkpoint(std::string const& path, std::string const& note) {
  saltus_tensor const* tensors = nullptr;
  std::int64_t count = 0;
  if (adapter_->table.train_tensors(adapter_->trainer, 1, &tensors, &count)) throw_torch_error("the weights cannot be read");
  write_tensors(path, stored(tensors, count), {{note_key, note}, {done_key, std::to_string(done_)}});
}

std::string Training::read_note(std::string const& path) {
  TensorFile const file(path);
  auto const found = file.metadata().find(note_key);
  require(found != file.metadata().end(), "'" + path + "' is no checkpoint of 'saltus train'");
  return found->second;
}

void Training::restore(std::string const& path) {
  TensorFile const file(path);
  auto const list = network_tensors(file.tensors(), path);
  if (adapter_->table.train_restore(adapter_->trainer, list.data(), static_cast<std::int64_t>(list.size())))
    throw_torch_error("'" + path + "' is of another network");
  auto const found = file.metadata().find(done_key);
  require(found != file.metadata().end(), "'" + path + "' is no checkpoint of 'saltus train'");
  done_ = std::stoll(found->second);
  epoch_ = -1;
}

}  // namespace saltus
