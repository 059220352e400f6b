// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/backbone.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include <saltus/ctmc/error.hpp>
#include <saltus/models/network_tensors.hpp>
#include <saltus/models/safetensors.hpp>
#include <saltus/models/torch_library.hpp>

namespace saltus {
namespace {

constexpr bool on_host = Kokkos::SpaceAccessibility<HostSpace, MemorySpace>::accessible;

OutputKind const& output_kind(std::string const& name) {
  return *std::find_if(output_kinds().begin(), output_kinds().end(), [&](auto const& kind) { return name == kind.name; });
}

void* stream_of([[maybe_unused]] ExecSpace const& exec) {
#ifdef KOKKOS_ENABLE_CUDA
  if constexpr (std::is_same_v<ExecSpace, Kokkos::Cuda>) return exec.cuda_stream();
#endif
  return nullptr;
}

// Which rows have to be evaluated: 1 in `wanted`.
struct WantRows {
  Tokens tokens, last;
  Kokkos::View<int const*, MemorySpace> only_site;
  Kokkos::View<int*, MemorySpace> wanted;
  token_t mask;  // -1: none
  bool timeless;
  KOKKOS_FUNCTION void operator()(int b) const {
    bool masked = mask < 0, changed = !timeless;
    int const length = static_cast<int>(tokens.extent(1));
    for (int l = 0; l < length; ++l) {
      masked = masked || tokens(b, l) == mask;
      changed = changed || tokens(b, l) != last(b, l);
    }
    bool const read = only_site.size() == 0 || only_site(b) != Query::no_site;
    wanted(b) = masked && changed && read;
  }
};

struct Validity {
  Tokens tokens;
  token_t pad;
  Kokkos::View<std::uint8_t**, Kokkos::LayoutRight, MemorySpace> valid;
  KOKKOS_FUNCTION void operator()(int b) const {
    for (int l = 0; l < static_cast<int>(tokens.extent(1)); ++l) valid(b, l) = tokens(b, l) != pad;
  }
};

ScalarType scalar_type(std::int32_t scalar) {
  return scalar == SALTUS_F16 ? ScalarType::f16 : scalar == SALTUS_BF16 ? ScalarType::bf16 : ScalarType::f32;
}

// Copies evaluated rows to their places.
template <class Number>
struct Scatter {
  Number const* from;
  Number* to;
  std::int64_t from_row, from_site, to_row, to_site;
  int const* rows;
  int length, states;
  KOKKOS_FUNCTION void operator()(int i, int l) const {
    Number const* const in = from + i * from_row + l * from_site;
    Number* const out = to + rows[i] * to_row + l * to_site;
    for (int y = 0; y < states; ++y) out[y] = in[y];
  }
};

}  // namespace

struct Backbone::Adapter {
  saltus_torch_table const& table = torch_library();
  saltus_model* model = nullptr;
  ~Adapter() {
    if (model) table.close(model);
  }
};

// What a slot holds: scores of all rows, and the tokens that each row of them was evaluated at.
struct Backbone::Slot {
  Tokens last, some;                  // [batch, length]; `some`: the rows of a partial evaluation, one after another
  Times some_time;
  Kokkos::View<int*, MemorySpace> wanted;
  Kokkos::View<std::uint8_t**, Kokkos::LayoutRight, MemorySpace> valid;
  Kokkos::View<int*, MemorySpace> rows;  // the numbers of those that are evaluated by parts: all on a device
  Kokkos::View<float***, Kokkos::LayoutRight, MemorySpace> own;  // room for the scores of networks that take fixed batches only
  saltus_scores scores{};             // of all rows; data null: none yet
  int batch = 0, length = 0;          // of the scores
};

Backbone::Backbone(std::string const& folder, BackboneOptions const& options)
    : manifest_(read_manifest(folder)), adapter_(std::make_unique<Adapter>()) {
  OutputKind const& kind = output_kind(manifest_.output);
  scaled_ = kind.scaled;
  info_.name = manifest_.name;
  info_.states = manifest_.states;
  if (manifest_.masked) info_.mask = manifest_.states - 1;
  info_.kind = kind.kind;
  info_.time = manifest_.time;
  info_.length = manifest_.any_length ? 0 : manifest_.length;
  std::string const path = (std::filesystem::path(folder) / manifest_.file).string();
  require(manifest_.condition_size == static_cast<int>(options.condition.size()),
          "the backbone '" + manifest_.name + "' takes " +
              (manifest_.condition_size ? "a condition of " + std::to_string(manifest_.condition_size) + " numbers" : "no condition") +
              ", got " + std::to_string(options.condition.size()) + " (--condition)");
  require(options.trusted || manifest_.format != BackboneManifest::Format::aoti,
          "'" + path + "' is an AOTInductor package: machine code that may do whatever you may. Look where it comes from; if you "
          "trust it, --trust loads it");
  require(options.device == "cpu" || !on_host, "this build of Kokkos keeps its data in host memory: --device must be cpu, got " + options.device);

  saltus_network network{};
  network.format = static_cast<std::int32_t>(manifest_.format);
  network.path = path.c_str();
  network.columns = manifest_.columns;
  network.states = manifest_.states;
  network.token_ids = manifest_.token_ids.empty() ? nullptr : manifest_.token_ids.data();
  network.length = manifest_.length;
  network.width = manifest_.width;
  network.layers = manifest_.layers;
  network.heads = manifest_.heads;
  network.time = static_cast<std::int32_t>(manifest_.time);
  network.output = scaled_ ? SALTUS_OUTPUT_SCALED_LOG_SCORE : SALTUS_OUTPUT_AS_IT_IS;
  network.takes_valid = manifest_.takes_valid;
  network.forbidden = manifest_.takes_valid ? manifest_.alphabet.pad().value_or(-1) : -1;
  network.forbidden_value = is_logarithmic(kind.kind) ? -std::numeric_limits<float>::infinity() : 0.0f;
  network.condition_size = manifest_.condition_size;
  network.condition = options.condition.data();
  network.fixed_batch = manifest_.fixed_batch;
  std::optional<TensorFile> weights;
  std::vector<saltus_tensor> tensors;
  if (manifest_.format == BackboneManifest::Format::transformer) {
    weights.emplace(path);
    tensors = network_tensors(weights->tensors(), path);
    network.tensors = tensors.data();
    network.tensor_count = static_cast<std::int64_t>(tensors.size());
  } else {
    require(std::filesystem::exists(path), "cannot read '" + path + "': No such file; the manifest names it");
  }
  int const threads = options.threads > 0 ? options.threads : on_host ? ExecSpace().concurrency() : 0;
  saltus_torch_options const torch{options.device.c_str(), threads, options.bf16};
  adapter_->model = adapter_->table.open(&network, &torch);
  if (!adapter_->model) throw_torch_error("the backbone '" + folder + "' does not load");
  probe();
}

Backbone::~Backbone() = default;

void Backbone::reserve(Extents extents, int slots) {
  auto const batch = static_cast<std::size_t>(extents.batch), length = static_cast<std::size_t>(extents.length);
  if (static_cast<int>(slots_.size()) < slots) slots_.resize(static_cast<std::size_t>(slots));
  for (auto& slot : slots_) {
    if (slot.last.extent(0) >= batch && slot.last.extent(1) == length) continue;
    slot = Slot{};
    slot.last = Tokens("saltus::models::last", batch, length);
    Kokkos::deep_copy(slot.last, -1);  // like no sequence
    slot.wanted = Kokkos::View<int*, MemorySpace>("saltus::models::wanted", batch);
    slot.rows = Kokkos::View<int*, MemorySpace>("saltus::models::rows", batch);
    auto const numbers = Kokkos::create_mirror_view(slot.rows);
    for (int b = 0; b < extents.batch; ++b) numbers(b) = b;
    Kokkos::deep_copy(slot.rows, numbers);
    if (on_host) {
      slot.some = Tokens("saltus::models::some", batch, length);
      slot.some_time = Times("saltus::models::some_time", batch);
    }
    if (manifest_.takes_valid)
      slot.valid = Kokkos::View<std::uint8_t**, Kokkos::LayoutRight, MemorySpace>("saltus::models::valid", batch, length);
    if (manifest_.fixed_batch > 0)
      slot.own = Kokkos::View<float***, Kokkos::LayoutRight, MemorySpace>(
          "saltus::models::scores", batch, length, static_cast<std::size_t>(manifest_.states));
  }
}

// One sequence: whatever does not fit is said before anything runs.
void Backbone::probe() {
  reserve({1, manifest_.length}, 1);
  Tokens const tokens("saltus::models::probe", 1, static_cast<std::size_t>(manifest_.length));
  Kokkos::deep_copy(tokens, info_.mask.value_or(0));
  Times const time("saltus::models::probe_time", 1);
  Kokkos::deep_copy(time, info_.time == TimeInput::total ? std::log(2.0) : 0.5);
  ExecSpace const exec;
  Evaluation const e = [&] {
    try {
      return evaluate(exec, {tokens, time, {}}, 0);
    } catch (UserError const& error) {
      static constexpr char const* times[] = {"no time", "the time", "the total noise"};
      throw UserError(std::string(error.what()) + " (asked with what the manifest says: " + std::to_string(manifest_.states) +
                      " states, length " + std::to_string(manifest_.length) + ", " + times[static_cast<int>(info_.time)] + ")");
    }
  }();
  exec.fence("saltus::models: a probe is looked at on the host");
  if (on_host) check_kind(e);
  slots_.clear();
  rows_evaluated_ = 0;
}

// Numbers of one sequence that cannot be of the kind that the manifest says.
void Backbone::check_kind(Evaluation const& e) const {
  bool laws = true;  // all rows
  for (int l = 0; l < manifest_.length; ++l) {
    double sum = 0;
    for (int y = 0; y < e.states; ++y) {
      float const v = Stored<float>(e.data, e.type).from(l * e.site_stride)[y];
      require(is_logarithmic(e.kind) || !(v < 0),
              "the manifest of '" + manifest_.name + "' says that the network gives '" + manifest_.output +
                  "', which is never negative, but it gives " + to_text(v) + " for state " + std::to_string(y) + " of site " +
                  std::to_string(l));
      laws = laws && v >= 0;
      sum += v;
    }
    laws = laws && std::abs(sum - 1) < 1e-3;
  }
  require(!is_logarithmic(e.kind) || !laws, "the manifest of '" + manifest_.name + "' says that the network gives '" +
                                                manifest_.output + "', but its rows are probabilities: they sum to 1; say "
                                                "x0_leave_one_out or x0_leave_in");
}

Evaluation Backbone::evaluate(ExecSpace const& exec, Query const& query, int number) {
  auto& slot = slots_[static_cast<std::size_t>(number)];
  int const batch = static_cast<int>(query.tokens.extent(0)), length = static_cast<int>(query.tokens.extent(1));
  using Range = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>;
  double const* const time = info_.time == TimeInput::none ? nullptr : query.time.data();
  auto const mark_valid = [&](Tokens const& tokens, int rows) {
    if (!manifest_.takes_valid) return;
    Kokkos::parallel_for("saltus::models::valid", Range(exec, 0, rows),
                         Validity{tokens, manifest_.alphabet.pad().value_or(-1), slot.valid});
    if (on_host) exec.fence("saltus::models: LibTorch reads which sites are real on the host");
  };
  // The scores of `rows` rows of tokens from `first` on, in LibTorch's memory.
  auto const ask = [&](int where, Tokens const& tokens, double const* times, int first, int rows) {
    auto const stride = static_cast<std::int64_t>(tokens.stride(0));
    saltus_batch const asked{tokens.data() + first * stride,
                             stride,
                             times ? times + first : nullptr,
                             manifest_.takes_valid ? slot.valid.data() + std::int64_t{first} * length : nullptr,
                             rows,
                             length,
                             stream_of(exec)};
    saltus_scores scores{};
    if (adapter_->table.evaluate(adapter_->model, where, &asked, &scores)) {
      slot.scores = {};  // nothing of what it holds is remembered
      throw_torch_error("the backbone '" + manifest_.name + "' cannot be evaluated");
    }
    rows_evaluated_ += rows;
    return scores;
  };
  auto const evaluation = [&] {
    return Evaluation{scalar_type(slot.scores.scalar), slot.scores.data, slot.scores.row_stride, slot.scores.site_stride, manifest_.states, info_.kind};
  };
  // All rows: the network's own output.
  auto const whole = [&] {
    mark_valid(query.tokens, batch);
    slot.scores = ask(number, query.tokens, time, 0, batch);
    return evaluation();
  };
  // `count` rows of tokens, those with the numbers slot.rows: evaluated at most a fixed batch at a time, and put among the others.
  auto const parts = [&](Tokens const& tokens, double const* times, int count) {
    mark_valid(tokens, count);
    int const most = manifest_.fixed_batch > 0 ? manifest_.fixed_batch : count;
    for (int first = 0; first < count; first += most) {
      int const rows = std::min(most, count - first);
      auto const part = ask(static_cast<int>(slots_.size()) + number, tokens, times, first, rows);
      slot.scores.scalar = part.scalar;
      visit_numbers(part.data, scalar_type(part.scalar), [&]<class Number>(Number const* from) {
        Kokkos::parallel_for(
            "saltus::models::scatter",
            Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(exec, {0, 0}, {rows, length}),
            Scatter<Number>{from, const_cast<Number*>(static_cast<Number const*>(slot.scores.data)), part.row_stride, part.site_stride,
                            slot.scores.row_stride, slot.scores.site_stride, slot.rows.data() + first, length, manifest_.states});
      });
      // On a device LibTorch's next work comes after this on the same stream.
      if constexpr (on_host) exec.fence("saltus::models: LibTorch's own memory is about to be used again");
    }
    return evaluation();
  };
  bool const fresh = slot.scores.data == nullptr || slot.batch != batch || slot.length != length;
  slot.batch = batch;
  slot.length = length;
  if (slot.own.size() > 0)
    slot.scores = {slot.own.data(), slot.scores.scalar, static_cast<std::int64_t>(slot.own.stride(0)), static_cast<std::int64_t>(slot.own.stride(1))};
  if constexpr (!on_host) return slot.own.size() > 0 ? parts(query.tokens, time, batch) : whole();

  // Rows of an evaluation of other sequences are of no use, but for those that are equal by chance.
  Kokkos::parallel_for("saltus::models::wanted", Range(exec, 0, batch),
                       WantRows{query.tokens, slot.last, query.only_site, slot.wanted, info_.mask.value_or(-1),
                                info_.time == TimeInput::none && !fresh});
  exec.fence("saltus::models: LibTorch reads the tokens on the host");
  auto const copy_row = [&](Tokens const& to, int at, int b) { std::copy_n(&query.tokens(b, 0), length, &to(at, 0)); };
  int count = 0;
  for (int b = 0; b < batch; ++b) {
    if (!slot.wanted(b)) continue;
    slot.rows(count++) = b;
    copy_row(slot.last, b, b);
  }
  if (slot.own.size() == 0 && (fresh || count == batch)) {
    for (int b = 0; b < batch; ++b) copy_row(slot.last, b, b);
    return whole();
  }
  for (int i = 0; i < count; ++i) {
    copy_row(slot.some, i, slot.rows(i));
    if (time) slot.some_time(i) = time[slot.rows(i)];
  }
  return parts(slot.some, time ? slot.some_time.data() : nullptr, count);
}

}  // namespace saltus
