// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/coupled.hpp>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>

namespace saltus {
namespace {

using Index = Kokkos::IndexType<std::int64_t>;
constexpr char const* names[] = {"full", "masks", "independent"};

// What a site remembers between steps.
struct Clock {
  double survival = 1;
  std::uint32_t jumps = 0;
  std::uint32_t bad = 0;
};
using Clocks = Kokkos::View<Clock*, MemorySpace>;

struct NumberSites {
  Kokkos::View<std::int64_t*, Kokkos::LayoutRight, MemorySpace> sites;
  KOKKOS_FUNCTION void operator()(std::int64_t i) const { sites(i) = i; }
};

struct CoupledKernel {
  Tokens tokens;
  Times time;
  SiteProbabilities laws;
  Clocks clocks;
  Kokkos::View<double*, MemorySpace> jumps;
  token_t mask;  // -1: none
  Kokkos::View<StepCoeff const*, MemorySpace> coefficients;
  std::uint64_t times, targets, first_sample;
  int length, states;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(item / length), l = static_cast<int>(item % length);
    if (l == 0) time(b) = coefficients(coefficients.extent(0) == 1 ? 0 : b).to;
    token_t const own = tokens(b, l);
    double const stay = laws(item, own);
    jumps(item) = mask < 0 || own == mask ? 1 - stay : -1;
    Clock& clock = clocks(item);
    if (!(stay >= 0)) {
      ++clock.bad;
      return;
    }
    if (stay == 1) return;
    clock.survival *= stay;
    std::uint64_t const sample = first_sample + static_cast<std::uint64_t>(b);
    auto const site = static_cast<std::uint32_t>(l);
    if (uniform53(StreamKey{times, clock.jumps}.draw(sample, Role::coupled, site).event) < clock.survival) return;
    double const uniform = uniform53(StreamKey{targets, clock.jumps}.draw(sample, Role::coupled, site).target);
    double total = 0;
    for (int y = 0; y < states; ++y) total += y == own ? 0 : laws(item, y);
    double rest = uniform * total;
    int found = own;
    for (int y = 0; y < states; ++y) {
      double const p = laws(item, y);
      if (y == own || !(p > 0)) continue;
      found = y;
      rest -= p;
      if (rest < 0) break;
    }
    tokens(b, l) = found;
    clock.survival = 1;
    ++clock.jumps;
  }
};

}  // namespace

Coupling parse_coupling(std::string const& name) {
  for (std::size_t i = 0; i < std::size(names); ++i) {
    if (name == names[i]) return static_cast<Coupling>(i);
  }
  throw UserError(unknown_name("coupling", name, {std::begin(names), std::end(names)}));
}
std::string coupling_name(Coupling coupling) { return names[static_cast<std::size_t>(coupling)]; }

CoupledSeeds coupled_seeds(Coupling coupling, std::uint64_t seed, int which) {
  std::uint64_t const common = StreamKey{seed, 0}.derived(0xC0).seed,
                      own = StreamKey{seed, 0}.derived(0xC1 + static_cast<std::uint32_t>(which)).seed;
  return {coupling == Coupling::independent ? own : common, coupling == Coupling::full ? common : own};
}

struct CoupledStepper::Work {
  std::unique_ptr<Integrator> integrator;
  Kokkos::View<std::int64_t*, Kokkos::LayoutRight, MemorySpace> sites;
  SiteProbabilities laws;
  Clocks clocks;  // [rows x length]
  Kokkos::View<double*, MemorySpace> jumps;
  std::uint64_t times = 0, tokens = 0;
};

CoupledStepper::CoupledStepper(std::string const& integrator, Process const& process)
    : work_(std::make_unique<Work>()) {
  work_->integrator = make_integrator(integrator, process);
  auto const& info = work_->integrator->info();
  require(
      info.has_site_law && info.stages == 1 && info.evaluations == 1 && info.selection == Selection::by_site,
      "runs are coupled by methods of one evaluation a step whose sites move on their own, as euler or tweedie, got '" +
          integrator + "'");
}
CoupledStepper::~CoupledStepper() = default;
CoupledStepper::CoupledStepper(CoupledStepper&&) noexcept = default;

Integrator const& CoupledStepper::integrator() const { return *work_->integrator; }

void CoupledStepper::reserve(Process const& process, Extents extents, std::size_t rows) {
  Work& w = *work_;
  std::size_t const sites = static_cast<std::size_t>(extents.batch) * static_cast<std::size_t>(extents.length);
  w.sites = decltype(w.sites)("saltus::learnable::sites", sites);
  Kokkos::parallel_for("saltus::learnable::sites",
                       Kokkos::RangePolicy<ExecSpace, Index>(0, static_cast<std::int64_t>(sites)),
                       NumberSites{w.sites});
  w.laws = SiteProbabilities("saltus::learnable::laws", sites, static_cast<std::size_t>(process.generator().states()));
  w.jumps = decltype(w.jumps)("saltus::learnable::jumps", sites);
  w.clocks = Clocks("saltus::learnable::clocks", rows * static_cast<std::size_t>(extents.length));
  Kokkos::fence("saltus::learnable: memory of coupled steps is ready");
}

void CoupledStepper::start(ExecSpace const& exec, CoupledSeeds seeds) {
  Work& w = *work_;
  w.times = seeds.times;
  w.tokens = seeds.tokens;
  Kokkos::deep_copy(exec, w.clocks, Clock{});
}

void CoupledStepper::move(ExecSpace const& exec, Process& process, State const& state, Step const& step,
                          std::size_t first) {
  Work& w = *work_;
  std::size_t const sites = static_cast<std::size_t>(state.batch()) * static_cast<std::size_t>(state.length());
  std::size_t const from = first * static_cast<std::size_t>(state.length());
  SiteList const list = Kokkos::subview(w.sites, std::make_pair(std::size_t{0}, sites));
  w.integrator->site_probabilities(exec, process, state, step, list, w.laws);
  Kokkos::parallel_for(
      "saltus::learnable::coupled", Kokkos::RangePolicy<ExecSpace, Index>(exec, 0, static_cast<std::int64_t>(sites)),
      CoupledKernel{state.tokens, state.time, w.laws, Kokkos::subview(w.clocks, std::make_pair(from, from + sites)),
                    w.jumps, process.generator().mask().value_or(-1), step.coefficients, w.times, w.tokens,
                    state.first_sample, state.length(), process.generator().states()});
}

Kokkos::View<double const*, MemorySpace> CoupledStepper::jumps() const { return work_->jumps; }

std::int64_t CoupledStepper::bad_sites(ExecSpace const& exec) const {
  auto const host = Kokkos::create_mirror_view(work_->clocks);
  Kokkos::deep_copy(exec, host, work_->clocks);
  exec.fence("saltus::learnable: clocks are read on the host");
  std::int64_t bad = 0;
  for (std::size_t i = 0; i < host.extent(0); ++i) bad += host(i).bad;
  return bad;
}

}  // namespace saltus
