// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/bound.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

#include <saltus/ctmc/error.hpp>

namespace saltus {
namespace {

constexpr double least_lost = 1e-5, most_lost = 1 - 1e-3;

// A row of scores as numbers v_y >= 0 up to a factor.
template <class Scalar>
void read_row(Scalar const* row, int states, ScoreKind kind, std::vector<double>& out) {
  double top = 0;
  if (is_logarithmic(kind)) {
    top = -INFINITY;
    for (int y = 0; y < states; ++y) top = std::max(top, static_cast<double>(row[y]));
  }
  for (int y = 0; y < states; ++y) {
    auto const v = static_cast<double>(row[y]);
    out[static_cast<std::size_t>(y)] = is_logarithmic(kind) ? std::exp(v - top) : v < 0 ? 0.0 : v;
  }
}

struct SiteTerm {
  int states;
  token_t mask;
  ScoreKind kind;
  // The bound's term of one site, from its row; `v` is changed.
  double operator()(std::vector<double>& v, token_t noisy, token_t clean, double alpha) const {
    double norm = 0;
    auto const at = [&](token_t y) -> double& { return v[static_cast<std::size_t>(y)]; };
    if (mask >= 0) {
      if (noisy != mask) return 0;
      for (token_t y = 0; y < mask; ++y) norm += at(y);
      return std::log(norm) - std::log(at(clean));
    }
    double const each = (1 - alpha) / states;
    if (is_leave_in(kind)) at(noisy) *= each / (alpha + each);  // pL is proportional to pI(k) / P(k, noisy)
    for (token_t y = 0; y < states; ++y) norm += at(y);
    double const own = alpha * at(noisy) / norm + each, truth_own = (clean == noisy ? alpha : 0.0) + each;
    double sum = 0;
    for (token_t y = 0; y < states; ++y) {
      if (y == noisy) continue;
      double const log_s = std::log((alpha * at(y) / norm + each) / own);
      double const r = ((y == clean ? alpha : 0.0) + each) / truth_own;
      sum += std::exp(log_s) - r * log_s + r * (std::log(r) - 1);
    }
    return sum;
  }
};

}  // namespace

RowNoiser::RowNoiser(int length, int states, token_t mask)
    : states_(states), mask_(mask), u_(static_cast<std::size_t>(length)), sorted_(u_) {}

RowNoise RowNoiser::operator()(StreamKey key, std::uint64_t row, double level, std::span<token_t const> clean,
                               std::span<token_t> noisy) {
  auto const length = static_cast<int>(u_.size());
  for (int l = 0; l < length; ++l)
    u_[static_cast<std::size_t>(l)] = uniform53(key.draw(row, Role::noise, static_cast<std::uint32_t>(l)).event);
  RowNoise noise{};
  double lost = 0;
  if (mask_ >= 0) {
    int const n = 1 + std::min(length - 1, static_cast<int>(level * length));
    sorted_ = u_;
    std::nth_element(sorted_.begin(), sorted_.begin() + (n - 1), sorted_.end());
    lost = sorted_[static_cast<std::size_t>(n - 1)];
    for (std::size_t l = 0; l < u_.size(); ++l) noisy[l] = u_[l] <= lost ? mask_ : clean[l];
    noise.weight = static_cast<double>(length) / n;
  } else {
    double const low = std::sqrt(least_lost), high = std::sqrt(most_lost), v = low + (high - low) * level;
    lost = v * v;
    for (std::size_t l = 0; l < u_.size(); ++l) {
      bool const drawn = u_[l] < lost;  // and then u / lost is uniform again
      noisy[l] = drawn ? std::min(states_ - 1, static_cast<token_t>(u_[l] / lost * states_)) : clean[l];
    }
    noise.weight = 2 * v * (high - low) / ((1 - lost) * states_);
  }
  lost = std::min(lost, 1 - 1e-9);
  noise.alpha = 1 - lost;
  noise.total = -std::log1p(-lost);
  return noise;
}

namespace {
// Scores where the host can read them: in place, or copied from a device with their strides.
class HostScores {
 public:
  void const* operator()(ExecSpace const& exec, Evaluation const& e, std::int64_t rows) {
    if constexpr (Kokkos::SpaceAccessibility<HostSpace, MemorySpace>::accessible) {
      exec.fence("saltus::models: scores are read on the host");
      return e.data;
    } else {
      auto const size = static_cast<std::size_t>(rows * e.row_stride) * scalar_size(e.type);
      if (copy_.size() < size) copy_ = Kokkos::View<std::byte*, HostSpace>("saltus::models::bound_scores", size);
      using Device = Kokkos::View<std::byte const*, MemorySpace, Kokkos::MemoryUnmanaged>;
      Kokkos::deep_copy(exec, Kokkos::subview(copy_, std::make_pair(std::size_t{0}, size)), Device(static_cast<std::byte const*>(e.data), size));
      exec.fence("saltus::models: scores are read on the host");
      return copy_.data();
    }
  }

 private:
  Kokkos::View<std::byte*, HostSpace> copy_;
};
}  // namespace

std::vector<BoundEstimate> likelihood_bounds(ScoreModel& model, Generator const& generator, NoiseSchedule const& noise,
                                             std::span<token_t const> tokens, std::size_t count, int draws, int batch,
                                             std::uint64_t seed, std::optional<token_t> fixed) {
  auto const info = model.info();
  SALTUS_ASSERT(count > 0 && tokens.size() % count == 0);
  int const length = static_cast<int>(tokens.size() / count);
  token_t const mask = generator.mask().value_or(-1);
  require(generator.kind() == Generator::Kind::absorbing || (generator.kind() == Generator::Kind::uniform && is_x0(info.kind)),
          "bounds are known for absorbing noise, and for uniform noise with models that give laws of the clean token");
  auto const rows_of_batch = static_cast<std::size_t>(batch);
  ExecSpace const exec;
  model.reserve({batch, length}, 1);
  Tokens const noisy("saltus::models::bound", rows_of_batch, static_cast<std::size_t>(length));
  Times const time("saltus::models::bound_time", rows_of_batch);
  auto const host_noisy = Kokkos::create_mirror_view(noisy);
  auto const host_time = Kokkos::create_mirror_view(time);
  HostScores host_scores;
  std::vector<RowNoise> levels(rows_of_batch);
  std::vector<std::size_t> places;  // of a row that are not fixed
  std::vector<token_t> real;        // what they hold
  std::vector<double> sums(count, 0.0), squares(count, 0.0), row(static_cast<std::size_t>(info.states));
  SiteTerm const term{info.states, mask, info.kind};
  StreamKey const key{seed, 0};
  std::size_t const all = count * static_cast<std::size_t>(draws);
  for (std::size_t first = 0; first < all; first += rows_of_batch) {
    std::size_t const rows = std::min(rows_of_batch, all - first);
    for (std::size_t i = 0; i < rows; ++i) {
      // Draw d of sequence b: its strata are turned by the golden section from sequence to sequence.
      std::size_t const b = (first + i) / static_cast<std::size_t>(draws), d = (first + i) % static_cast<std::size_t>(draws);
      double const turned = (static_cast<double>(d) + uniform53(key.draw(first + i, Role::order, 0).event)) / draws +
                            static_cast<double>(b) * (std::numbers::phi - 1);
      auto const clean = tokens.subspan(b * static_cast<std::size_t>(length), static_cast<std::size_t>(length));
      std::span<token_t> const out{&host_noisy(i, 0), clean.size()};
      double const level = turned - std::floor(turned);
      places.clear();
      for (std::size_t l = 0; l < clean.size(); ++l) {
        if (clean[l] != fixed) places.push_back(l);
      }
      real.resize(places.size());
      for (std::size_t n = 0; n < places.size(); ++n) real[n] = clean[places[n]];
      levels[i] = real.empty() ? RowNoise{1, 0, 0}  // nothing to say
                               : RowNoiser(static_cast<int>(real.size()), info.states, mask)(key, first + i, level, real, real);
      std::copy(clean.begin(), clean.end(), out.begin());
      for (std::size_t n = 0; n < places.size(); ++n) out[places[n]] = real[n];
      host_time(i) = info.time == TimeInput::total ? levels[i].total : noise.time_at_lost(1 - levels[i].alpha);
    }
    auto const part = std::make_pair(std::size_t{0}, rows);
    Kokkos::deep_copy(exec, noisy, host_noisy);
    Kokkos::deep_copy(exec, time, host_time);
    Evaluation const e = model.evaluate(exec, {Kokkos::subview(noisy, part, Kokkos::ALL), Kokkos::subview(time, part), {}}, 0);
    void const* const scores = host_scores(exec, e, static_cast<std::int64_t>(rows));
    for (std::size_t i = 0; i < rows; ++i) {
      std::size_t const b = (first + i) / static_cast<std::size_t>(draws);
      double sum = 0;
      for (int l = 0; l < length; ++l) {
        token_t const seen = host_noisy(i, static_cast<std::size_t>(l));
        if (mask >= 0 ? seen != mask : fixed == tokens[b * static_cast<std::size_t>(length) + static_cast<std::size_t>(l)]) continue;
        std::int64_t const place = static_cast<std::int64_t>(i) * e.row_stride + l * e.site_stride;
        visit_numbers(scores, e.type, [&](auto const* numbers) { read_row(numbers + place, info.states, info.kind, row); });
        sum += term(row, seen, tokens[b * static_cast<std::size_t>(length) + static_cast<std::size_t>(l)], levels[i].alpha);
      }
      sums[b] += sum * levels[i].weight;
      squares[b] += sum * levels[i].weight * sum * levels[i].weight;
    }
  }
  std::vector<BoundEstimate> bounds(count);
  for (std::size_t b = 0; b < count; ++b) {
    double const mean = sums[b] / draws, variance = std::max(0.0, squares[b] / draws - mean * mean);
    bounds[b] = {mean, draws > 1 ? std::sqrt(variance / (draws - 1)) : 0.0};
  }
  return bounds;
}

}  // namespace saltus
