// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/distance.hpp>

#include <algorithm>
#include <cmath>

#include <saltus/ctmc/error.hpp>

namespace saltus {
namespace {

constexpr char const* names[] = {"gkl", "l2squared", "l2", "l1", "log_squared"};
constexpr std::size_t most_groups = 32;

double clip(double phi) { return std::clamp(phi, least_phi, most_phi); }

// One row of weights by ln(J / B), clipped to the range of phi; entries without B say nothing.
struct AddRatios {
  Tokens own;
  SiteMasses teacher, student;
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> out;  // [rows, bins + 2]
  double low, width;
  KOKKOS_FUNCTION void operator()(int b) const {
    int const bins = RatioHistogram::bins;
    for (int i = 0; i < bins + 2; ++i) out(b, i) = 0;
    for (std::size_t l = 0; l < student.extent(1); ++l) {
      for (std::size_t y = 0; y < student.extent(2); ++y) {
        double const m = student(b, l, y), t = teacher(b, l, y);
        if (!(m > 0) || static_cast<token_t>(y) == own(b, l)) continue;
        double const at = t > 0 ? (Kokkos::log(t / m) - low) / width : -1;
        out(b, at < 0 ? 0 : at < bins ? 1 + static_cast<int>(at) : bins + 1) += m;
      }
    }
  }
};

double median(std::vector<double> const& weights, std::size_t groups, std::size_t skip) {
  auto const bins = static_cast<std::size_t>(RatioHistogram::bins) + 2;
  std::vector<double> sum(bins, 0.0);
  double total = 0;
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t i = 0; g != skip && i < bins; ++i) sum[i] += weights[g * bins + i];
  }
  for (double const w : sum) total += w;
  double const low = std::log(least_phi), width = (std::log(most_phi) - low) / RatioHistogram::bins;
  double rest = total / 2;
  for (std::size_t i = 0; i < bins; ++i) {
    if (rest <= sum[i] && sum[i] > 0) {
      return clip(std::exp(low + width * (static_cast<double>(i) - 1 + rest / sum[i])));
    }
    rest -= sum[i];
  }
  return 1;
}

// Rows of all groups but `skip`.
double nearest(Distance distance, StepLaw law, std::vector<BlockSums> const& rows, std::size_t skip) {
  BlockSums s;
  auto const counts = [&](std::size_t b) { return group_of(b, rows.size()) != skip; };
  for (std::size_t b = 0; b < rows.size(); ++b) {
    if (counts(b)) s += rows[b];
  }
  bool const by_squares = distance == Distance::l2squared || distance == Distance::l2;
  // Logarithms, which mode code gives to squared distances, may have any sum.
  if (by_squares ? !(s.teacher_squared > 0 && s.student_squared > 0) : !(s.teacher > 0 && s.student > 0)) return 1;
  switch (distance) {
    case Distance::gkl: {
      if (law != StepLaw::two_stage || s.both == 0) return clip(s.teacher / s.student);
      // sum of 1 - (1 - phi u1)(1 - phi u2) = sum J
      double const linear = s.student + s.both, inside = linear * linear - 4 * s.teacher * s.both;
      return clip(2 * s.teacher / (linear + std::sqrt(std::max(inside, 0.0))));
    }
    case Distance::l2squared:
      return clip(s.product / s.student_squared);
    case Distance::log_squared:
      return s.entries > 0 ? clip(std::exp(s.logarithms / s.entries)) : 1;
    default:
      break;
  }
  double phi = clip(s.product / s.student_squared);
  for (int i = 0; i < 200; ++i) {
    double above = 0, below = 0;
    for (std::size_t b = 0; b < rows.size(); ++b) {
      BlockSums const& r = rows[b];
      if (!counts(b) || !(r.student_squared > 0)) continue;
      double const squared = r.teacher_squared - 2 * phi * r.product + phi * phi * r.student_squared;
      // A row that fits exactly would get all weight.
      double const weight = 1 / std::sqrt(std::max(squared, 1e-12 * (r.teacher_squared + r.student_squared)));
      above += weight * r.product;
      below += weight * r.student_squared;
    }
    double const next = clip(above / below);
    if (std::abs(next - phi) < 1e-12 * phi) return next;
    phi = next;
  }
  return phi;
}

}  // namespace

Distance parse_distance(std::string const& name) {
  for (std::size_t i = 0; i < std::size(names); ++i) {
    if (name == names[i]) return static_cast<Distance>(i);
  }
  throw UserError(unknown_name("distance", name, {std::begin(names), std::end(names)}));
}
std::string distance_name(Distance distance) { return names[static_cast<std::size_t>(distance)]; }

std::size_t group_count(std::size_t trajectories) { return std::min(trajectories, most_groups); }
std::size_t group_of(std::size_t trajectory, std::size_t trajectories) {
  return trajectory * group_count(trajectories) / trajectories;
}

void add_ratios(ExecSpace const& exec, Tokens const& own, SiteMasses const& teacher, SiteMasses const& student,
                std::size_t first, std::size_t trajectories, RatioHistogram& to) {
  constexpr std::size_t bins = RatioHistogram::bins + 2;
  std::size_t const rows = own.extent(0);
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> const out("saltus::learnable::ratios", rows, bins);
  double const low = std::log(least_phi), width = (std::log(most_phi) - low) / RatioHistogram::bins;
  Kokkos::parallel_for("saltus::learnable::ratios",
                       Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, static_cast<int>(rows)),
                       AddRatios{own, teacher, student, out, low, width});
  exec.fence("saltus::learnable: ratios of a batch are read on the host");
  auto const host = Kokkos::create_mirror_view_and_copy(HostSpace(), out);
  for (std::size_t b = 0; b < rows; ++b) {
    double* const group = to.weights.data() + group_of(first + b, trajectories) * bins;
    for (std::size_t i = 0; i < bins; ++i) group[i] += host(b, i);
  }
}

Factor nearest_factor(Distance distance, StepLaw law, std::vector<BlockSums> const& rows,
                      RatioHistogram const& ratios) {
  std::size_t const groups = group_count(rows.size());
  auto const without = [&](std::size_t skip) {
    return distance == Distance::l1 ? median(ratios.weights, groups, skip) : nearest(distance, law, rows, skip);
  };
  Factor factor{without(groups), 0};
  std::vector<double> left;
  double mean = 0;
  for (std::size_t g = 0; g < groups; ++g) left.push_back(without(g));
  for (double const v : left) mean += v / static_cast<double>(groups);
  for (double const v : left) factor.error += (v - mean) * (v - mean);
  factor.error = std::sqrt(factor.error * static_cast<double>(groups - 1) / static_cast<double>(groups));
  return factor;
}

}  // namespace saltus
