// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <vector>

#include <saltus/ctmc/generator.hpp>
#include <saltus/ctmc/score_model.hpp>

namespace saltus {

/// What the exact denoisers share: outputs in double, one [batch, length, states] view a slot.
class NativeModel : public ScoreModel {
 public:
  ModelInfo info() const final { return info_; }
  void reserve(Extents extents, int slots) override;

 protected:
  /// `at_revealed`: the rows of revealed sites are leave-one-out laws too.
  NativeModel(std::string name, Generator const& generator, int length, bool at_revealed);
  using Output = Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace>;
  Output const& output(int slot) const { return outputs_[static_cast<std::size_t>(slot)]; }
  Evaluation evaluation(int slot) const;
  int data_states() const { return info_.mask ? info_.states - 1 : info_.states; }
  /// -1 without a mask.
  token_t mask() const { return info_.mask.value_or(-1); }
  int length() const { return info_.length; }

 private:
  ModelInfo info_;
  std::vector<Output> outputs_;
};

/// A host vector on the device.
Kokkos::View<double const*, MemorySpace> to_device(std::vector<double> const& values, char const* label);

}  // namespace saltus
