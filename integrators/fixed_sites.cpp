// SPDX-License-Identifier: BSD-3-Clause
#include "fixed_sites.hpp"

#include <algorithm>
#include <string>

#include <saltus/ctmc/device.hpp>
#include <saltus/ctmc/error.hpp>

namespace saltus::detail {
namespace {

struct PutKernel {
  Tokens tokens;
  Frozen frozen;
  Kokkos::View<token_t const*, MemorySpace> values;
  KOKKOS_FUNCTION void operator()(int b, int l) const {
    if (frozen(b, l)) tokens(b, l) = values(l);
  }
};

void check(Template const& fixed, SamplePlan const& plan, Process const& process) {
  auto const length = static_cast<std::size_t>(plan.length);
  require(fixed.tokens.size() == length && fixed.fixed.size() == length,
          "the template has " + std::to_string(fixed.tokens.size()) + " sites, but the sequences have " +
              std::to_string(length));
  for (std::size_t l = 0; l < length; ++l) {
    token_t const x = fixed.tokens[l];
    require(fixed.fixed[l] == 0 || (x >= 0 && x < process.generator().states() && process.generator().mask() != x),
            "site " + std::to_string(l) + " of the template holds token " + std::to_string(x) +
                ", which is no token of the model");
  }
}

}  // namespace

FixedSites::FixedSites(ExecSpace const& exec, Process const& process, SamplePlan const& plan, std::size_t batch) {
  if (!plan.fixed) return;
  check(*plan.fixed, plan, process);
  auto const& fixed = plan.fixed->fixed;
  frozen_ = Frozen("saltus::integrators::frozen", batch, fixed.size());
  auto const host = Kokkos::create_mirror_view(frozen_);
  for (std::size_t b = 0; b < batch; ++b) std::copy(fixed.begin(), fixed.end(), &host(b, 0));
  Kokkos::deep_copy(exec, frozen_, host);
  exec.fence("saltus::integrators: the host mirror of the template is about to be freed");
  tokens_ = to_device(exec, plan.fixed->tokens, "saltus::integrators::template");
}

Frozen FixedSites::frozen(int rows) const {
  return frozen_.size() == 0 ? Frozen{} : Frozen(Kokkos::subview(frozen_, std::make_pair(0, rows), Kokkos::ALL));
}

void FixedSites::put(ExecSpace const& exec, State const& state) const {
  if (frozen_.size() == 0) return;
  Kokkos::parallel_for("saltus::integrators::template",
                       Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(
                           exec, {0, 0}, {state.batch(), state.length()}),
                       PutKernel{state.tokens, state.frozen, tokens_});
}

}  // namespace saltus::detail
