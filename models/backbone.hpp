// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <saltus/ctmc/score_model.hpp>
#include <saltus/models/backbone_manifest.hpp>

namespace saltus {

struct BackboneOptions {
  std::string device = "cpu";    ///< or cuda:N, in a build of Kokkos and LibTorch with CUDA
  int threads = 0;               ///< 0: as many as Kokkos has
  bool bf16 = false;             ///< run the network in bfloat16; scores are single precision all the same
  std::vector<float> condition{};  ///< for networks that take one
  bool trusted = false;          ///< may hold machine code: an AOTInductor package is loaded (UserError if not)
};

/// A network that lies in a folder (docs/backbones.md), through the LibTorch adapter. Scores are the network's own output,
/// borrowed. In host memory it is asked only for the rows that are needed: of masked models those with a mask left, and
/// without a time input those that changed since they were last evaluated (Ou et al. 2025, row by row), which waits for the
/// queries' tokens; in device memory every row, without waiting but for networks of a fixed batch. Row by row the numbers may
/// differ in the last bits with the number of rows that are evaluated together, since LibTorch orders its sums by it.
class Backbone final : public ScoreModel {
 public:
  /// Reads the manifest and the weights, and evaluates one sequence as a probe. Needs Kokkos. Throws UserError for a folder
  /// that cannot be read, a manifest that does not fit the network (with both numbers), a condition of another size.
  Backbone(std::string const& folder, BackboneOptions const& options);
  ~Backbone() override;

  ModelInfo info() const override { return info_; }
  BackboneManifest const& manifest() const { return manifest_; }
  void reserve(Extents extents, int slots) override;
  /// Throws UserError with LibTorch's message if it fails.
  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override;
  std::int64_t rows_evaluated() const override { return rows_evaluated_; }

 private:
  struct Slot;
  struct Adapter;
  void probe();
  void check_kind(Evaluation const& e) const;

  BackboneManifest manifest_;
  ModelInfo info_;
  bool scaled_;
  std::unique_ptr<Adapter> adapter_;
  std::vector<Slot> slots_;
  std::int64_t rows_evaluated_ = 0;
};

}  // namespace saltus
