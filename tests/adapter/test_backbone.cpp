// SPDX-License-Identifier: BSD-3-Clause
// Networks as score models, with the library's own transformer; exported ones are in test_exports.py.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include <gtest/gtest.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>
#include <saltus/models/backbone.hpp>
#include <saltus/models/safetensors.hpp>

#include "reference/messages.hpp"

namespace saltus {
namespace {

namespace fs = std::filesystem;
using reference::message_of;
using reference::says;

struct Tensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
  std::string type = "F32";
};

// A folder with a transformer of random weights.
class Backbones : public testing::Test {
 protected:
  void SetUp() override {
    if (!SALTUS_HAS_TORCH) GTEST_SKIP() << "this build has no LibTorch";
    fs::create_directories(folder_);
    manifest_.name = "small";
    manifest_.file = "weights.safetensors";
    manifest_.width = 8;
    manifest_.layers = 1;
    manifest_.heads = 2;
    manifest_.alphabet = Alphabet::numbered(3);
    manifest_.length = 6;
    manifest_.states = manifest_.columns = 4;
    manifest_.output = "x0_logits_leave_one_out";
    manifest_.noise = "linear";
    manifest_.generator = "absorbing";
  }
  void TearDown() override { fs::remove_all(folder_); }

  void add(std::string const& name, std::vector<std::int64_t> shape) {
    std::int64_t size = 1;
    for (auto const extent : shape) size *= extent;
    std::normal_distribution<float> normal(0, 0.5f);
    Tensor tensor{name, std::move(shape), {}};
    for (std::int64_t i = 0; i < size; ++i) tensor.values.push_back(normal(random_));
    tensors_.push_back(std::move(tensor));
  }
  void add_linear(std::string const& name, std::int64_t in, std::int64_t out) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  }
  void make_tensors() {
    tensors_.clear();
    std::int64_t const d = manifest_.width, states = manifest_.states;
    bool const timed = manifest_.time != TimeInput::none;
    add("embedding", {states, d});
    add("position", {manifest_.length, d});
    if (timed) {
      add_linear("time1", 17, d);
      add_linear("time2", d, d);
    }
    for (int i = 0; i < manifest_.layers; ++i) {
      std::string const block = "blocks." + std::to_string(i) + ".";
      for (auto const* const norm : {"norm1", "norm2"}) {
        add(block + norm + ".weight", {d});
        add(block + norm + ".bias", {d});
      }
      add_linear(block + "qkv", d, 3 * d);
      add_linear(block + "out", d, d);
      add_linear(block + "up", d, 4 * d);
      add_linear(block + "down", 4 * d, d);
      if (timed) add_linear(block + "modulation", d, 6 * d);
    }
    add("norm.weight", {d});
    add("norm.bias", {d});
    add_linear("head", d, states);
  }
  Tensor& tensor(std::string const& name) {
    return *std::find_if(tensors_.begin(), tensors_.end(), [&](auto const& t) { return t.name == name; });
  }
  void write() const {
    write_manifest(folder_, manifest_);
    std::vector<StoredTensor> stored;
    for (auto const& t : tensors_) stored.push_back({t.name, t.type, t.shape, std::as_bytes(std::span(t.values))});
    write_tensors((fs::path(folder_) / manifest_.file).string(), stored, {});
  }
  std::shared_ptr<Backbone> open(BackboneOptions const& options = {}) const { return std::make_shared<Backbone>(folder_, options); }
  std::string refusal() const {
    write();
    return message_of<UserError>([&] { open(); });
  }

  // Scores of some tokens [batch, length], row by row; `stored`, if given, gets what they are stored as.
  static std::vector<std::vector<float>> scores(Backbone& backbone, std::vector<std::vector<token_t>> const& x, double time = 0.5,
                                                std::vector<int> const& only_site = {}, ScalarType* stored = nullptr) {
    std::size_t const length = x[0].size();
    Tokens const tokens("x", x.size(), length);
    auto const host = Kokkos::create_mirror_view(tokens);
    for (std::size_t b = 0; b < x.size(); ++b) {
      for (std::size_t l = 0; l < length; ++l) host(b, l) = x[b][l];
    }
    Kokkos::deep_copy(tokens, host);
    Times const times("t", x.size());
    Kokkos::deep_copy(times, time);
    Kokkos::View<int*, MemorySpace> const only("only", only_site.size());
    auto const host_only = Kokkos::create_mirror_view(only);
    for (std::size_t b = 0; b < only_site.size(); ++b) host_only(b) = only_site[b];
    Kokkos::deep_copy(only, host_only);
    ExecSpace const exec;
    Evaluation const e = backbone.evaluate(exec, {tokens, times, only}, 0);
    exec.fence();
    if (stored) *stored = e.type;
    std::vector<std::vector<float>> rows;
    for (std::size_t b = 0; b < x.size(); ++b) {
      auto& row = rows.emplace_back();
      for (std::size_t l = 0; l < length; ++l) {
        visit_numbers(e.data, e.type, [&](auto const* from) {
          auto const* const v = from + static_cast<std::int64_t>(b) * e.row_stride + static_cast<std::int64_t>(l) * e.site_stride;
          for (int y = 0; y < e.states; ++y) row.push_back(static_cast<float>(v[y]));
        });
      }
    }
    return rows;
  }
  static void expect_near(std::vector<float> const& a, std::vector<float> const& b, std::string const& where, double tolerance = 1e-5) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << where << ", entry " << i;
  }

  std::string const folder_ = (fs::temp_directory_path() / ("saltus_backbone_" + std::to_string(getpid()))).string();
  BackboneManifest manifest_;
  std::vector<Tensor> tensors_;
  std::mt19937 random_{7};
};

// Rows that changed in a step and still have masks, and all changes: counted from outside.
class Changes final : public StepObserver {
 public:
  explicit Changes(token_t mask) : mask_(mask) {}
  void observe(ExecSpace const& exec, StepEvent const& event, State const& state) override {
    auto const now = Kokkos::create_mirror_view_and_copy(HostSpace(), state.tokens);
    exec.fence();
    if (event.step == 0) masks_.assign(now.extent(0), static_cast<int>(now.extent(1)));
    for (std::size_t b = 0; b < now.extent(0); ++b) {
      int masks = 0;
      for (std::size_t l = 0; l < now.extent(1); ++l) masks += now(b, l) == mask_;
      changes += masks < masks_[b];
      and_left += masks < masks_[b] && masks > 0;
      masks_[b] = masks;
    }
  }
  std::int64_t changes = 0, and_left = 0;

 private:
  token_t mask_;
  std::vector<int> masks_;
};

// A§13.12, with the network's own count.
TEST_F(Backbones, RowsAreEvaluatedAsOftenAsTheReferenceSays) {
  constexpr int length = 32, steps = 48, samples = 640, batch = 64;
  manifest_.length = length;
  make_tensors();
  write();
  double expected = 0, variance = 0;  // sum_k [1 - (1 - (alpha_{k+1} - alpha_k))^L], linear noise
  for (int k = 0; k < steps; ++k) {
    double const changed = 1 - std::pow(1 - 1.0 / steps, length);
    expected += changed;
    variance += changed * (1 - changed);
  }
  double const tolerance = 5 * std::sqrt(variance / samples);
  auto const backbone = open();
  Process process = Process::reverse(Generator::absorbing(4), NoiseSchedule::linear(), backbone);
  auto const tweedie = make_integrator("tweedie", process);
  SamplePlan plan = make_plan(process, *tweedie, steps, length);
  plan.samples = samples;
  plan.batch = batch;
  Changes changes(3);
  StepObserver* const observers[] = {&changes};
  sample(ExecSpace(), process, *tweedie, plan, [](std::uint64_t, HostTokens const&) {}, observers);
  EXPECT_EQ(backbone->rows_evaluated(), samples + changes.and_left);
  EXPECT_EQ(backbone->rows_evaluated(), changes.changes);  // the last change leaves nothing to ask for
  double const mean = static_cast<double>(backbone->rows_evaluated()) / samples;
  EXPECT_NEAR(mean, expected, tolerance);
  EXPECT_GT(std::abs(0.95 * expected - mean), tolerance);  // 5 % off would be seen
  EXPECT_LT(mean, 0.6 * steps);                            // without remembering it would be nearly all steps
}

TEST_F(Backbones, RememberedRowsAreThoseOfAFullEvaluation) {
  struct Case {
    bool masked;
    TimeInput time;
    int fixed_batch;
    bool bf16 = false;
  };
  for (auto const& [masked, time, fixed_batch, bf16] :
       {Case{true, TimeInput::none, 0}, Case{true, TimeInput::none, 3}, Case{false, TimeInput::none, 0}, Case{false, TimeInput::none, 3},
        Case{true, TimeInput::total, 0}, Case{false, TimeInput::total, 4}, Case{true, TimeInput::none, 0, true}, Case{true, TimeInput::none, 3, true},
        Case{false, TimeInput::total, 4, true}}) {
    manifest_.masked = masked;
    manifest_.alphabet = Alphabet::numbered(masked ? 3 : 4);
    manifest_.time = time;
    manifest_.fixed_batch = fixed_batch;
    manifest_.generator = masked ? "absorbing" : "uniform";
    make_tensors();
    write();
    BackboneOptions options;
    options.bf16 = bf16;
    auto const remembering = open(options), fresh = open(options);
    constexpr int batch = 7;
    remembering->reserve({batch, manifest_.length}, 1);
    std::vector<std::vector<token_t>> x(batch, std::vector<token_t>(6, masked ? 3 : 0));  // 0 is no token that is remembered
    std::vector<std::vector<token_t>> last(batch);                                        // as evaluated
    std::uniform_int_distribution<int> percent(0, 99), site(0, 5), token(0, 3);
    for (int round = 0; round < 25; ++round) {
      double const t = 0.1 + 0.05 * round;
      std::vector<int> only(batch, Query::all_sites);
      std::int64_t expected = 0;
      for (int b = 0; b < batch; ++b) {
        auto const row = static_cast<std::size_t>(b);
        bool const first_read = b == 6 && round < 2;  // asked for unchanged, having been left out before
        if (round > 0 && !first_read && percent(random_) < 60) x[row][static_cast<std::size_t>(site(random_))] = token(random_);
        if (round == 20) x[row].assign(6, 1);  // nothing masked
        if (first_read ? round == 0 : percent(random_) < 20) only[row] = Query::no_site;
        bool const masks = !masked || std::count(x[row].begin(), x[row].end(), 3) > 0;
        if (round == 0 && fixed_batch == 0) only[row] = Query::all_sites;  // the first evaluation is of all rows
        bool const wanted = only[row] != Query::no_site && masks && (time != TimeInput::none || x[row] != last[row]);
        expected += wanted;
        if (wanted) last[row] = x[row];
      }
      auto const before = remembering->rows_evaluated();
      ScalarType stored{};
      auto const got = scores(*remembering, x, t, only, &stored);
      EXPECT_EQ(stored, bf16 ? ScalarType::bf16 : ScalarType::f32) << "round " << round;
      EXPECT_EQ(remembering->rows_evaluated() - before, expected) << "round " << round;
      for (int b = 0; b < batch; ++b) {
        auto const row = static_cast<std::size_t>(b);
        bool const masks = !masked || std::count(x[row].begin(), x[row].end(), 3) > 0;
        if (only[row] == Query::no_site || !masks) continue;  // not to be read
        fresh->reserve({1, manifest_.length}, 1);
        fresh->reserve({1 + round % 2 + b, manifest_.length}, 1);
        auto const alone = scores(*fresh, {x[row]}, t);
        expect_near(got[row], alone[0], "round " + std::to_string(round) + ", row " + std::to_string(b), bf16 ? 0.02 : 1e-5);
      }
    }
  }
}

TEST_F(Backbones, TailsAndOtherLengthsOfABatch) {
  make_tensors();
  write();
  auto const backbone = open();
  std::vector<std::vector<token_t>> const many{{3, 3, 3, 3, 3, 3}, {0, 3, 1, 3, 2, 3}, {1, 1, 1, 3, 3, 3}, {2, 3, 3, 3, 3, 0}};
  backbone->reserve({4, 6}, 2);
  auto const all = scores(*backbone, many);
  for (std::size_t rows : {1u, 3u, 2u, 4u}) {
    std::vector<std::vector<token_t>> const some(many.rbegin(), many.rbegin() + static_cast<std::ptrdiff_t>(rows));
    auto const got = scores(*backbone, some);
    for (std::size_t b = 0; b < rows; ++b) expect_near(got[b], all[3 - b], std::to_string(rows) + " rows");
  }
}

TEST_F(Backbones, ScoresDoNotDependOnHowWeightsAreStored) {
  make_tensors();
  for (auto& t : tensors_) {
    for (auto& v : t.values) v = std::round(v * 64) / 64;  // exact in half precision
  }
  write();
  std::vector<std::vector<token_t>> const x{{3, 0, 1, 3, 2, 3}};
  auto const one = open();
  one->reserve({1, 6}, 1);
  auto const expected = scores(*one, x);
  std::vector<StoredTensor> stored;
  std::vector<std::vector<std::uint16_t>> halves;
  for (auto const& t : tensors_) halves.push_back(as_half(t.values));
  for (std::size_t i = 0; i < tensors_.size(); ++i)
    stored.push_back({tensors_[i].name, "F16", tensors_[i].shape, std::as_bytes(std::span(halves[i]))});
  write_tensors((fs::path(folder_) / manifest_.file).string(), stored, {});
  auto const two = open();
  two->reserve({1, 6}, 1);
  EXPECT_EQ(scores(*two, x), expected);
}

TEST_F(Backbones, WeightsThatDoNotFitNameTheTensor) {
  make_tensors();
  auto const good = tensors_;
  manifest_.length = 7;
  EXPECT_TRUE(says(refusal(), {"'position'", "[7, 8]", "[6, 8]"}));
  manifest_.length = 6;
  manifest_.alphabet = Alphabet::numbered(4);
  manifest_.states = manifest_.columns = 5;
  EXPECT_TRUE(says(refusal(), {"'embedding'", "[5, 8]", "[4, 8]"}));
  manifest_.alphabet = Alphabet::numbered(3);
  manifest_.states = manifest_.columns = 4;
  manifest_.layers = 2;
  EXPECT_TRUE(says(refusal(), {"'blocks.1.", "missing"}));
  manifest_.layers = 1;
  manifest_.time = TimeInput::total;
  EXPECT_TRUE(says(refusal(), {"'time1.weight'", "missing"}));
  manifest_.time = TimeInput::none;
  add("extra", {1});
  EXPECT_TRUE(says(refusal(), {"'extra'", "no such network"}));
  tensors_ = good;
  tensor("norm.bias").type = "I32";
  EXPECT_TRUE(says(refusal(), {"'norm.bias'", "I32"}));
  tensors_ = good;
  tensor("norm.bias").shape = {2, 1, 1, 1, 1, 1, 1, 1, 4};
  EXPECT_TRUE(says(refusal(), {"'norm.bias'", "9 axes"}));
  tensors_ = good;
  tensor("head.bias").shape = {2, 2};
  EXPECT_TRUE(says(refusal(), {"'head.bias'", "[4]", "[2, 2]"}));
}

TEST_F(Backbones, ManifestsThatDoNotFitAreRefused) {
  make_tensors();
  manifest_.output = "x0_leave_in";  // it gives logits, some of them negative
  EXPECT_TRUE(says(refusal(), {"x0_leave_in", "never negative", "-", "site"}));
  manifest_.output = "x0_logits_leave_one_out";
  manifest_.condition_size = 2;
  EXPECT_TRUE(says(refusal(), {"condition of 2 numbers", "got 0"}));
  manifest_.condition_size = 0;
  write();
  EXPECT_TRUE(says(message_of<UserError>([&] { open({.condition = {1.0f}}); }), {"no condition", "got 1"}));
  EXPECT_TRUE(says(message_of<UserError>([&] { open({.device = "cuda:0"}); }), {"cuda:0"}));
}

TEST_F(Backbones, NetworkFilesThatDoNotLoad) {
  manifest_.file = "network.pt";
  for (auto const format : {BackboneManifest::Format::torchscript, BackboneManifest::Format::aoti}) {
    manifest_.format = format;
    write_manifest(folder_, manifest_);
    bool const wary = message_of<UserError>([&] { open(); }).find("--trust") != std::string::npos;
    EXPECT_EQ(wary, format == BackboneManifest::Format::aoti);
    fs::remove(fs::path(folder_) / "network.pt");
    EXPECT_TRUE(says(message_of<UserError>([&] { open({.trusted = true}); }), {"network.pt", "No such file"}));
    for (auto const* const content : {"", "this is no network", "PK\x03\x04 nor is this"}) {
      std::ofstream(fs::path(folder_) / "network.pt") << content;
      auto const message = message_of<UserError>([&] { open({.trusted = true}); });
      EXPECT_TRUE(says(message, {folder_, "does not load: "}));
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      EXPECT_GT(message.size(), folder_.size() + 50) << message;  // LibTorch says more than nothing
    }
  }
}

TEST_F(Backbones, NumbersThatAreNoneStopARun) {
  make_tensors();
  tensor("head.bias").values[1] = NAN;
  write();
  Process process = Process::reverse(Generator::absorbing(4), NoiseSchedule::linear(), open());
  for (auto const* const name : {"tweedie", "euler", "gillespie"}) {
    auto const integrator = make_integrator(name, process);
    SamplePlan plan = make_plan(process, *integrator, 8, 6);
    plan.samples = 3;
    auto const message = message_of<NumericalError>([&] { sample(ExecSpace(), process, *integrator, plan); });
    EXPECT_TRUE(says(message, {"'small'", "not finite", "first in step 0, sample 0, site "})) << name;
  }
}

// Batches before the one that fails have been handed over: the state that the network cannot stand comes late.
TEST_F(Backbones, FinishedBatchesAreKept) {
  make_tensors();
  auto& embedding = tensor("embedding");
  std::fill_n(embedding.values.begin() + 8, 8, NAN);  // token 1
  tensor("head.bias").values = {0, -4, 0, 0};         // rarely drawn
  write();
  Process process = Process::reverse(Generator::absorbing(4), NoiseSchedule::linear(), open());
  auto const tweedie = make_integrator("tweedie", process);
  SamplePlan plan = make_plan(process, *tweedie, 6, 6);
  plan.samples = 100000;
  plan.batch = 2;
  std::size_t kept = 0;
  auto const message = message_of<NumericalError>(
      [&] { sample(ExecSpace(), process, *tweedie, plan, [&](std::uint64_t first, HostTokens const& x) { kept = first + x.extent(0); }); });
  EXPECT_GT(kept, 0u);
  EXPECT_TRUE(says(message, {"sample "}));
  auto const named = std::stoul(message.substr(message.find("sample ") + 7));
  EXPECT_TRUE(named == kept || named == kept + 1) << message << " after " << kept;
}

}  // namespace
}  // namespace saltus
