// SPDX-License-Identifier: BSD-3-Clause
#include "by_ranks.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include <saltus/ctmc/error.hpp>

#include "problem.hpp"

namespace saltus::app {
namespace {

constexpr std::size_t most_bytes = std::size_t{64} << 20;  // of the sequences of a portion

// What a rank found in a portion, put one after the other.
class Packer {
 public:
  template <class T>
  void put(T const* values, std::size_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    auto const* const bytes = reinterpret_cast<std::byte const*>(values);
    bytes_.insert(bytes_.end(), bytes, bytes + count * sizeof(T));
  }
  template <class T>
  void put(T const& value) {
    put(&value, 1);
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

class Unpacker {
 public:
  explicit Unpacker(std::span<std::byte const> bytes) : rest_(bytes) {}
  template <class T>
  void get(T* values, std::size_t count) {
    SALTUS_ASSERT(rest_.size() >= count * sizeof(T));
    if (count > 0) std::memcpy(values, rest_.data(), count * sizeof(T));
    rest_ = rest_.subspan(count * sizeof(T));
  }
  template <class T>
  T get() {
    T value;
    get(&value, 1);
    return value;
  }
  bool empty() const { return rest_.empty(); }

 private:
  std::span<std::byte const> rest_;
};

// A run of `plan`, dealt out. `work(plan of a portion, packer)` packs what the portion gives and returns its report;
// `take(packed, report of the portion)` hands it over at the first rank.
template <class Plan, class Work, class Take>
SampleReport by_ranks(Ranks& ranks, Plan const& plan, std::size_t bytes_a_sample, Work const& work, Take const& take, Progress const& progress) {
  double const start = now();
  auto const batch = static_cast<std::size_t>(plan.batch);
  SampleReport report;
  ranks.deal(
      plan.first_sample, plan.samples, batch, std::max<std::size_t>(most_bytes / bytes_a_sample / batch, 1) * batch,
      [&](std::uint64_t first, std::size_t count) {
        Plan part = plan;
        part.first_sample = first;
        part.samples = count;
        Packer packer;
        packer.put(work(part, packer));  // the report comes last
        return packer.take();
      },
      [&](std::span<std::byte const> result) {
        std::size_t const body = result.size() - sizeof(SampleReport);
        auto const found = Unpacker(result.subspan(body)).get<SampleReport>();
        SampleReport sum = together(report, found);
        sum.seconds = now() - start;
        report = sum;
        take(result.first(body), report);
        if (progress) progress(report.samples);
      });
  return report;
}

template <class T>
using Cube = Kokkos::View<T***, Kokkos::LayoutRight, HostSpace>;

template <class T>
void put_rows(Packer& packer, Cube<T const> const& values, std::size_t rows) {
  for (std::size_t i = 0; i < values.extent(0); ++i) packer.put(&values(i, 0, 0), rows * values.extent(2));
}

template <class T>
Cube<T> get_rows(Unpacker& unpacker, std::size_t first, std::size_t rows, std::size_t length) {
  Cube<T> values(Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::apps::rows"), first, rows, length);
  unpacker.get(values.data(), values.size());
  return values;
}

}  // namespace

SampleReport together(SampleReport const& one, SampleReport const& other) {
  SampleReport sum = one;
  sum.samples += other.samples;
  auto const all = static_cast<double>(std::max<std::size_t>(sum.samples, 1));
  sum.evaluations = (one.evaluations * static_cast<double>(one.samples) + other.evaluations * static_cast<double>(other.samples)) / all;
  sum.max_evaluations = std::max(one.max_evaluations, other.max_evaluations);
  sum.jumps += other.jumps;
  sum.clamps += other.clamps;
  sum.violations += other.violations;
  sum.seconds += other.seconds;
  return sum;
}

SampleReport sample_by_ranks(Ranks& ranks, Process& process, Integrator& integrator, SamplePlan const& plan, Sink const& sink,
                             Progress const& progress, std::int64_t* network_rows, std::function<void(SampleReport const&)> const& after) {
  auto const rows_now = [&] { return process.model() ? std::max<std::int64_t>(process.model()->rows_evaluated(), 0) : 0; };
  std::int64_t const before = rows_now();
  if (!ranks.several() && !after) {
    SampleReport const report = sample(ExecSpace(), process, integrator, plan, sink, {}, progress);
    if (network_rows) *network_rows += rows_now() - before;
    return report;
  }
  auto const length = static_cast<std::size_t>(plan.length);
  std::uint64_t next = plan.first_sample;
  return by_ranks(
      ranks, plan, length * sizeof(token_t),
      [&](SamplePlan const& part, Packer& packer) {
        std::int64_t const evaluated = rows_now();
        SampleReport const report = sample(ExecSpace(), process, integrator, part,
                                           [&](std::uint64_t, HostTokens const& rows) { packer.put(rows.data(), rows.size()); });
        packer.put(rows_now() - evaluated);
        return report;
      },
      [&](std::span<std::byte const> result, SampleReport const& report) {
        auto const count = static_cast<std::size_t>(plan.first_sample + report.samples - next);
        HostTokens const rows(Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::apps::rows"), count, length);
        Unpacker unpacker(result);
        unpacker.get(rows.data(), rows.size());
        auto const evaluated = unpacker.get<std::int64_t>();
        if (network_rows) *network_rows += evaluated;
        sink(next, rows);
        next += count;
        if (after) after(report);
      },
      progress);
}

SampleReport simulate_by_ranks(Ranks& ranks, Process& process, Integrator& integrator, SimulationPlan const& plan,
                               SightSink const& sink, Progress const& progress, std::function<void(SampleReport const&)> const& after) {
  if (!ranks.several() && !after) return simulate(ExecSpace(), process, integrator, plan, sink, progress);
  auto const times = plan.times.size(), length = static_cast<std::size_t>(plan.length);
  return by_ranks(
      ranks, plan, times * length * (sizeof(token_t) + (plan.count_jumps ? sizeof(std::int64_t) : 0)),
      [&](SimulationPlan const& part, Packer& packer) {
        return simulate(ExecSpace(), process, integrator, part, [&](Sight const& sight) {
          packer.put(sight.first_sample);
          packer.put(std::uint64_t{sight.rows});
          packer.put(std::uint64_t{sight.records.size()});
          put_rows(packer, sight.tokens, sight.rows);
          if (plan.count_jumps) put_rows(packer, sight.jumps, sight.rows);
          packer.put(sight.records.data(), sight.records.size());
        });
      },
      [&](std::span<std::byte const> result, SampleReport const& report) {
        for (Unpacker unpacker(result); !unpacker.empty();) {
          Sight sight{};
          sight.first_sample = unpacker.get<std::uint64_t>();
          sight.rows = unpacker.get<std::uint64_t>();
          sight.records.resize(unpacker.get<std::uint64_t>());
          sight.tokens = get_rows<token_t>(unpacker, times, sight.rows, length);
          if (plan.count_jumps) sight.jumps = get_rows<std::int64_t>(unpacker, times, sight.rows, length);
          unpacker.get(sight.records.data(), sight.records.size());
          sink(sight);
        }
        if (after) after(report);
      },
      progress);
}

SampleReport simulate_tree_by_ranks(Ranks& ranks, Process& process, Integrator& integrator, Branches const& tree,
                                    TreePlan const& plan, TreeSink const& sink, Progress const& progress,
                                    std::function<void(SampleReport const&)> const& after) {
  if (!ranks.several() && !after) return simulate_tree(ExecSpace(), process, integrator, tree, plan, sink, progress);
  auto const length = static_cast<std::size_t>(plan.length);
  auto const kept = std::max<std::size_t>(static_cast<std::size_t>(std::ranges::count(plan.keep, true)), 1);
  return by_ranks(
      ranks, plan, kept * length * sizeof(token_t),
      [&](TreePlan const& part, Packer& packer) {
        return simulate_tree(ExecSpace(), process, integrator, tree, part,
                             [&](std::uint64_t first, std::size_t rows, std::vector<int> const& nodes, Cube<token_t const> const& tokens) {
                               packer.put(first);
                               packer.put(std::uint64_t{rows});
                               packer.put(std::uint64_t{nodes.size()});
                               packer.put(nodes.data(), nodes.size());
                               put_rows(packer, tokens, rows);
                             });
      },
      [&](std::span<std::byte const> result, SampleReport const& report) {
        for (Unpacker unpacker(result); !unpacker.empty();) {
          auto const first = unpacker.get<std::uint64_t>(), rows = unpacker.get<std::uint64_t>();
          std::vector<int> nodes(unpacker.get<std::uint64_t>());
          unpacker.get(nodes.data(), nodes.size());
          sink(first, rows, nodes, get_rows<token_t>(unpacker, nodes.size(), rows, length));
        }
        if (after) after(report);
      },
      progress);
}

namespace {

class EvaluatedByRanks final : public ScoreModel {
 public:
  EvaluatedByRanks(Ranks& ranks, std::shared_ptr<ScoreModel> model) : ranks_(ranks), model_(std::move(model)) {}

  ModelInfo info() const override { return model_->info(); }
  std::int64_t rows_evaluated() const override { return model_->rows_evaluated(); }

  void reserve(Extents extents, int slots) override {
    model_->reserve({most_rows(extents.batch), extents.length}, slots);
    all_.resize(std::max(all_.size(), static_cast<std::size_t>(slots)));
  }

  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    int const batch = static_cast<int>(query.tokens.extent(0)), length = static_cast<int>(query.tokens.extent(1));
    auto const size = static_cast<std::int64_t>(ranks_.size());
    auto const begin = [&](std::int64_t r) { return static_cast<std::size_t>(batch * r / size); };
    auto const mine = std::make_pair(begin(ranks_.rank()), begin(ranks_.rank() + 1));
    std::size_t const count = mine.second - mine.first;
    Evaluation e{};
    if (count > 0) {
      Query part{Kokkos::subview(query.tokens, mine, Kokkos::ALL), {}, {}};
      if (query.time.size() > 0) part.time = Kokkos::subview(query.time, mine);
      if (query.only_site.size() > 0) part.only_site = Kokkos::subview(query.only_site, mine);
      e = model_->evaluate(exec, part, slot);
      exec.fence("saltus::apps: what a rank evaluated is about to be sent");
    }
    // What every rank's evaluation is like: a rank without rows does not know it yet.
    Form const form = agreed({e.type, e.kind, e.normalised, e.states});
    std::size_t const scalar = scalar_size(form.type), site = static_cast<std::size_t>(form.states) * scalar,
                      row = static_cast<std::size_t>(length) * site;
    auto& all = all_[static_cast<std::size_t>(slot)];
    if (all.size() != static_cast<std::size_t>(batch) * row) all.resize(static_cast<std::size_t>(batch) * row);
    mine_.resize(count * row);
    auto const* const from = static_cast<std::byte const*>(e.data);
    for (std::size_t b = 0; b < count; ++b) {
      for (std::size_t l = 0; l < static_cast<std::size_t>(length); ++l) {
        auto const at = (static_cast<std::int64_t>(b) * e.row_stride + static_cast<std::int64_t>(l) * e.site_stride) * static_cast<std::int64_t>(scalar);
        std::memcpy(mine_.data() + b * row + l * site, from + at, site);
      }
    }
    std::vector<std::int64_t> counts;
    for (std::int64_t r = 0; r < size; ++r) counts.push_back(static_cast<std::int64_t>((begin(r + 1) - begin(r)) * row));
    ranks_.gather_all(mine_, all, counts);
    return {form.type, all.data(), static_cast<std::int64_t>(length) * form.states, form.states, form.states, form.kind, form.normalised};
  }

 private:
  struct Form {
    ScalarType type;
    ScoreKind kind;
    bool normalised;
    int states;
  };

  int most_rows(int batch) const { return (batch + ranks_.size() - 1) / ranks_.size(); }

  // Of the last rank, which has rows if any has.
  Form agreed(Form mine) {
    std::vector<Form> all(static_cast<std::size_t>(ranks_.size()));
    ranks_.gather_all(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)),
                      std::vector<std::int64_t>(all.size(), static_cast<std::int64_t>(sizeof mine)));
    return all.back();
  }

  Ranks& ranks_;
  std::shared_ptr<ScoreModel> model_;
  std::vector<std::vector<std::byte>> all_;  // of each slot
  std::vector<std::byte> mine_;
};

}  // namespace

std::shared_ptr<ScoreModel> evaluated_by_ranks(Ranks& ranks, std::shared_ptr<ScoreModel> model) {
  if (!ranks.several()) return model;
  require(Kokkos::SpaceAccessibility<HostSpace, MemorySpace>::accessible,
          "ranks share evaluations in host memory, and this build keeps its data on a device: run this command as one rank");
  return std::make_shared<EvaluatedByRanks>(ranks, std::move(model));
}

}  // namespace saltus::app
