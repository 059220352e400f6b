// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/integrators/confidence.hpp>

#include <saltus/ctmc/error.hpp>

#include "run_detail.hpp"

namespace saltus {
namespace {

template <class Field>
struct ShareKernel {
  Field field;
  SiteList sites;
  SiteProbabilities out;
  Counts counts;
  int remaining, length, states;

  KOKKOS_FUNCTION void operator()(std::int64_t item) const {
    int const b = static_cast<int>(sites(item) / length), l = static_cast<int>(sites(item) % length);
    token_t const own = field.tokens(b, l);
    for (int y = 0; y < states; ++y) out(item, y) = y == own ? 1 : 0;
    if (!field.active(b, l)) return;
    int n = 0;
    for (int d = 0; d < length; ++d) n += field.active(b, d);
    double const p = count_of(counts, field.coeff(b), n, remaining) / n;
    auto const row = field.row(b, l);
    typename Field::Row::Scratch scratch;
    row.scan(own, scratch);
    double total = 0;  // in double, whatever the precision of the scores
    for (int y = 0; y < states; ++y) total += y == own ? 0 : row.value(y, scratch);
    for (int y = 0; y < states; ++y) out(item, y) = y == own ? 1 - p : p * (row.value(y, scratch) / total);
  }
};

}  // namespace

std::string needs_mask(IntegratorInfo const& info, Process const& process) {
  return process.is_reverse() && process.is_masked() ? "" : "needs " + info.needs;
}

std::size_t ChoosingMethod::reserve(Process const&, Extents extents) {
  ranking_.reserve(label_, extents);
  return static_cast<std::size_t>(extents.batch) * static_cast<std::size_t>(extents.length);
}

void ChoosingMethod::finish(ExecSpace const& exec, State const& state, Step const& step) const {
  detail::finish(exec, label_ + "::finish", state, step);
}

Counts parse_counts(Parameters const& parameters, Counts otherwise) {
  std::string const text = parameters.text("counts", otherwise == Counts::share ? "share" : "uniform");
  if (text == "share") return Counts::share;
  if (text == "uniform") return Counts::uniform;
  throw UserError(unknown_name("value of counts", text, {"share", "uniform"}));
}

Score parse_score(Parameters const& parameters, Score otherwise) {
  constexpr char const* names[] = {"confidence", "margin", "entropy"};
  std::string const text = parameters.text("score", names[static_cast<int>(otherwise)]);
  for (Score const score : {Score::confidence, Score::margin, Score::entropy}) {
    if (text == names[static_cast<int>(score)]) return score;
  }
  throw UserError(unknown_name("score", text, {"confidence", "entropy", "margin"}));
}

void share_probabilities(ExecSpace const& exec, std::string const& label, Process const& process, State const& state,
                         Step const& step, Counts counts, int remaining, SiteList const& sites,
                         SiteProbabilities const& out) {
  visit_field(process, state, step, 0, false, [&]<class Field>(Field const& field) {
    if constexpr (requires { field.normalised; }) {
      Kokkos::parallel_for(label + "::law",
                           Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>(
                               exec, 0, static_cast<std::int64_t>(sites.extent(0))),
                           ShareKernel<Field>{field, sites, out, counts, remaining, state.length(),
                                              process.generator().states()});
    }
  });
}

}  // namespace saltus
