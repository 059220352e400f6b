// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/teacher_paths.hpp>

#include <algorithm>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/parameters.hpp>
#include <saltus/integrators/registry.hpp>
#include <saltus/integrators/sampler.hpp>

#include "../integrators/run_detail.hpp"

namespace saltus {
namespace {

StepTable table_of(ExecSpace const& exec, Process const& process, Integrator const& integrator, TimeGrid const& grid,
                   bool forced_last) {
  StepOptions options = step_options(integrator, process);
  options.forced_last = forced_last;
  return {exec, process, grid, options};
}

bool is_exact(Process const& process, Integrator const& integrator) {
  return process.is_reverse() && process.is_masked() && integrator.info().exact;
}

// The reverse process at a time, given its end: a site is still masked with probability lost / (lost at the start).
struct HideKernel {
  Tokens clean, tokens;
  Times time;
  StreamKey key;
  std::uint64_t first_sample;
  token_t mask;
  double share, now;

  KOKKOS_FUNCTION void operator()(int b, int l) const {
    double const u = uniform53(
        key.draw(first_sample + static_cast<std::uint64_t>(b), Role::noise, static_cast<std::uint32_t>(l)).event);
    tokens(b, l) = u < share ? mask : clean(b, l);
    if (l == 0) time(b) = now;
  }
};

}  // namespace

StepLaw path_law(std::string_view base) {
  StepLaw const law = step_law(base);
  auto const parameters = Parameters::parse("base", base);
  std::string const rule = parameters.text("rule", "first");
  require(parameters.name() != "tau_leaping" || rule == "first",
          "path KLs of tau_leaping are known with rule=first, not with rule=" + rule);
  return law;
}

TeacherPaths::TeacherPaths(ExecSpace const& exec, Process& process, std::string const& integrator, TimeGrid const& grid,
                           int length, int batch, std::uint64_t seed, bool forced_last)
    : exec_(exec),
      process_(process),
      integrator_(make_integrator(integrator, process)),
      law_(is_exact(process, *integrator_) ? StepLaw::tweedie : path_law(integrator)),
      exact_(is_exact(process, *integrator_)),
      table_(table_of(exec, process, *integrator_, grid, forced_last)),
      seed_(seed) {
  require(exact_ || (integrator_->info().stages == 1 && integrator_->info().has_site_law),
          "a teacher must be of one stage with a law by site, which '" + integrator +
              "' is not; take tweedie or euler, or first_hitting for a masked process");
  require(process.is_reverse() && grid.decreasing(), "a teacher runs a reverse process, from the noise to the data");
  process.check_length(length);
  Extents const extents{batch, length};
  process.reserve(extents, 1);
  auto const rows = static_cast<std::size_t>(batch);
  tokens_ = Tokens("saltus::learnable::teacher::tokens", rows, static_cast<std::size_t>(length));
  time_ = Times("saltus::learnable::teacher::time", rows);
  if (exact_) {
    clean_ = Tokens("saltus::learnable::teacher::clean", rows, static_cast<std::size_t>(length));
    whole_.emplace(table_of(exec, process, *integrator_, TimeGrid::from_points({grid.point(0), 0}), true));
  }
  counters_ = CounterView("saltus::learnable::teacher::counters", integrator_->reserve(process, extents));
  host_counters_ = Kokkos::create_mirror_view(counters_);
}

void TeacherPaths::follow(std::uint64_t first, int rows, Look const& look) {
  auto const range = std::make_pair(std::size_t{0}, static_cast<std::size_t>(rows));
  State const state{Kokkos::subview(tokens_, range, Kokkos::ALL), Kokkos::subview(time_, range), {}, first};
  detail::reset(exec_, counters_, state.time, host(0).from);
  draw_prior(exec_, process_, state, seed_);
  if (exact_) {
    integrator_->advance(exec_, process_, state, whole_->step(0), StreamKey{seed_, 0}, counters_);
    Kokkos::deep_copy(exec_, clean_, tokens_);
  }
  for (int j = 0; j < steps(); ++j) {
    if (exact_) {
      Kokkos::parallel_for(
          "saltus::learnable::teacher::hide",
          Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(exec_, {0, 0},
                                                                                    {rows, state.length()}),
          HideKernel{clean_, state.tokens, state.time, StreamKey{seed_, 0}, first, *process_.generator().mask(),
                     host(j).lost_from / host(0).lost_from, host(j).from});
    }
    process_.refresh(exec_, state, 0);
    look(state, j);
    if (!exact_) integrator_->move(exec_, process_, state, step(j), StreamKey{seed_, 0}, counters_);
  }
  std::int64_t most = 0;
  detail::collect(exec_, counters_, host_counters_, process_, first, most);
}

int rows_that_fit(std::string const& what, double bytes, std::size_t memory, int batch) {
  require(batch >= 1, "the batch must hold at least 1 sample, got " + std::to_string(batch));
  auto const limit = static_cast<double>(memory);
  require(bytes <= limit, what + " needs " + to_text(bytes) + " bytes for one trajectory, more than the " +
                              to_text(limit) + " allowed; allow more memory");
  return static_cast<int>(std::min(limit / bytes, static_cast<double>(batch)));
}

}  // namespace saltus
