// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>

#include <saltus/integrators/integrator.hpp>

namespace saltus {

/// The second stage of a method of two evaluations a step: weights that combine the evaluation at the start of the step
/// with the one between the stages, w(y) = [c0 w0(y) + c1 w1(y)]_+ (A§7.4-7.6).
struct SecondStage {
  bool rates = true;      ///< combine rates, and let sites jump at them; else laws of the token, and jumps like tweedie's
  bool restart = false;   ///< from the state at the start over the whole step; else on from the state between
  bool repair = false;    ///< with restart: sites that moved in the first stage keep the first rates
  bool reject = false;    ///< with rates: a site with more than one jump stays
  bool fixed = false;     ///< without rates: the second part's share of the masks, chosen at random
};

/// A method of two stages: `first`, a method of one stage, over the first part of the step, and `second` after it.
class TwoStage : public Integrator {
 public:
  TwoStage(IntegratorInfo info, std::string const& first, SecondStage second);
  ~TwoStage() override;

  IntegratorInfo const& info() const override { return info_; }
  std::size_t reserve(Process const& process, Extents extents) override;
  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override;
  void site_probabilities(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                          SiteList const& sites, SiteProbabilities const& out) const override;
  void second_probabilities(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                            Kokkos::View<int const* [2], Kokkos::LayoutRight, MemorySpace> const& pairs,
                            SiteList const& sites, SiteProbabilities const& out) const override;

 protected:
  struct Factors {
    double c0, c1;
  };
  /// Of the step with these parts; on the host.
  virtual Factors factors(Step const& step) const = 0;

 private:
  struct Work;
  IntegratorInfo info_;
  SecondStage second_;
  std::string label_;
  std::unique_ptr<Integrator> first_;
  std::unique_ptr<Work> work_;
};

}  // namespace saltus
