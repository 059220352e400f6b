// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/fast_log.hpp>
#include <saltus/integrators/methods.hpp>
#include <saltus/integrators/select.hpp>

#include "../own_steps.hpp"

namespace saltus {
namespace {

// The k sites that would be revealed first if their rates stayed as they are; time goes on to the last of them.
struct EarliestSites {
  Times time;
  Kokkos::View<StepCoeff const*, MemorySpace> grid;
  double earliest;  // time stays above this: rates are infinite at 0
  int remaining;
  static constexpr double never = 1e280;

  KOKKOS_FUNCTION bool open(int, int) const { return true; }
  template <class Field>
  KOKKOS_FUNCTION Candidate rank(Field const& field, int b, int l, StreamKey key, std::uint64_t sample) const {
    StepCoeff const& c = field.coeff(b);
    double rate = c.phi * c.hazard;
    if (!field.jump_known()) {
      auto const row = field.row(b, l);
      typename Field::Row::Scratch scratch;
      RowSums const sums = row.scan(field.tokens(b, l), scratch);
      rate = row.weigh(field.tokens(b, l), field.rates(c, sums), sums, scratch);
    }
    std::uint64_t const bits = key.draw(sample, Role::step, static_cast<std::uint32_t>(l)).event;
    // Where no rate is known, all of them 0 at the end of some noises, the draws themselves say which comes first.
    double const drawn = exponential_from(bits), wait = drawn / rate;
    return {wait < never ? wait : never * (1 + drawn), 0, -1};
  }
  KOKKOS_FUNCTION int count(int, int n, std::uint64_t, StreamKey) const { return (n + remaining - 1) / remaining; }
  KOKKOS_FUNCTION void clock(int b, double wait) const {
    if (!(wait < never)) return arrived(b);  // for want of a better one, the time of the grid
    time(b) = time(b) - wait > earliest ? time(b) - wait : earliest;
  }
  KOKKOS_FUNCTION void arrived(int b) const {
    double const to = grid(grid.extent(0) == 1 ? 0 : b).to;
    if (to < time(b)) time(b) = to;
  }
};

class KGillespie final : public Integrator {
 public:
  IntegratorInfo const& info() const override { return info_; }
  std::string refuses(Process const& process) const override { return needs_mask(info_, process); }

  std::size_t reserve(Process const&, Extents extents) override {
    ranking_.reserve(label_, extents);
    auto const batch = static_cast<std::size_t>(extents.batch);
    if (now_.extent(0) < batch) now_ = detail::RowCoeffs(label_ + "::now", batch);
    return batch * static_cast<std::size_t>(extents.length);
  }

  void advance(ExecSpace const& exec, Process& process, State const& state, Step const& step, StreamKey key,
               CounterView const& counters) override {
    if (state.batch() == 0) return;
    key = key.at(static_cast<std::uint32_t>(step.index));
    process.refresh(exec, state, 0);
    auto const now = Kokkos::subview(now_, std::make_pair(0, state.batch()));
    // Rows take the time of their last reveal, not that of the grid.
    detail::own_coefficients(exec, label_ + "::own_time", state, step, process.noise(), now);
    Step const own{step.index, now};
    choose_sites(exec, label_, process, state, own, key,
                 EarliestSites{state.time, step.coefficients, 1e-5 * process.noise().end(), step.remaining}, ranking_);
    draw_chosen(exec, label_, process, state, own, key, ranking_, counters);
  }

  void site_probabilities(ExecSpace const& exec, Process const& process, State const& state, Step const& step,
                          SiteList const& sites, SiteProbabilities const& out) const override {
    require(process.normalised(), "k_gillespie has a law by site only where the schedule alone gives the rates; these scores are not normalised");
    share_probabilities(exec, label_, process, state, step, Counts::uniform, step.remaining, sites, out);
  }

 private:
  Ranking ranking_;
  detail::RowCoeffs now_;
  std::string const label_ = "saltus::integrators::k_gillespie";
  IntegratorInfo const info_{
      .name = "k_gillespie",
      .summary = "first order: in each step the k sites that jump first at frozen rates, k the same in all steps",
      .reference = "Park et al. 2024 (Jump Your Steps), arXiv:2410.07761, k-Gillespie",
      .weak_order = 1,
      .has_site_law = true,
      .selection = Selection::fixed_count,
      .takes_phi = false,
      .needs = "a masked reverse process"};
};

}  // namespace

std::unique_ptr<Integrator> make_k_gillespie(Parameters const& parameters) {
  parameters.allow({});
  return std::make_unique<KGillespie>();
}

}  // namespace saltus
