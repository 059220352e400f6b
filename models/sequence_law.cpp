// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/sequence_law.hpp>

#include <cmath>

#include <saltus/ctmc/device.hpp>
#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/exact.hpp>
#include <saltus/models/native_model.hpp>

namespace saltus {

std::vector<double> enumerate(SequenceLaw const& law) {
  StateSpace const space(law.states(), law.length());
  std::vector<double> p(space.size());
  std::vector<token_t> x(static_cast<std::size_t>(law.length()));
  for (std::size_t i = 0; i < p.size(); ++i) {
    space.tokens(i, x.data());
    p[i] = std::exp(law.log_likelihood(x));
  }
  return p;
}

int draw_index(std::span<double const> weights, double uniform) {
  double total = 0;
  for (double const w : weights) total += w;
  double rest = uniform * total;
  int last = -1;
  for (std::size_t y = 0; y < weights.size(); ++y) {
    if (!(weights[y] > 0)) continue;
    last = static_cast<int>(y);
    if (rest < weights[y]) return last;
    rest -= weights[y];
  }
  SALTUS_ASSERT(last >= 0);
  return last;
}

void require_law(std::span<double const> p, std::string const& what) {
  double sum = 0;
  for (double const value : p) {
    require(value >= 0, what + " has a negative probability");
    sum += value;
  }
  require(std::abs(sum - 1) < 1e-9, what + " sums to " + std::to_string(sum) + ", not 1");
}

void require_fitting(Generator const& generator, int states, std::string const& name) {
  bool const fits = generator.kind() == Generator::Kind::absorbing || generator.kind() == Generator::Kind::uniform ||
                    generator.reversible();
  require(fits, "the law '" + name + "' has exact posteriors under generators that are absorbing (mask last), uniform, or " +
                    "dense and reversible; got '" + generator.name() + "'");
  require(generator.data_states() == states, "the law '" + name + "' has " + std::to_string(states) +
                                                 " states but the generator (" + generator.name() + ") has " +
                                                 std::to_string(generator.data_states()) + " besides a mask");
  require(!generator.mask() || *generator.mask() == states,
          "exact laws need the mask to be the last state, " + std::to_string(states));
}

std::shared_ptr<ScoreModel> SequenceLaw::denoiser(Generator const& generator, bool at_revealed) const {
  require_fitting(generator, states(), name());
  return make_denoiser(generator, at_revealed);
}

NativeModel::NativeModel(std::string name, Generator const& generator, int length, bool at_revealed) {
  info_.name = std::move(name);
  info_.states = generator.states();
  info_.mask = generator.mask();
  info_.kind = ScoreKind::x0_leave_one_out;
  // Under absorbing noise the posterior depends on the revealed tokens alone (A§4.2).
  info_.time = generator.mask() ? TimeInput::none : TimeInput::total;
  info_.length = length;
  info_.leave_one_out_at_revealed = at_revealed && generator.mask();
}

void NativeModel::reserve(Extents extents, int slots) {
  require(extents.length == info_.length, "the model '" + info_.name + "' has length " + std::to_string(info_.length) +
                                              ", asked for " + std::to_string(extents.length));
  outputs_.resize(std::max(outputs_.size(), static_cast<std::size_t>(slots)));
  for (auto& output : outputs_) {
    if (output.extent(0) >= static_cast<std::size_t>(extents.batch)) continue;
    // Zero-filled, so that the mask's column, which no kernel writes, is 0.
    output = Output("saltus::models::output", static_cast<std::size_t>(extents.batch),
                    static_cast<std::size_t>(info_.length), static_cast<std::size_t>(info_.states));
  }
}

Evaluation NativeModel::evaluation(int slot) const {
  Output const& out = output(slot);
  return {ScalarType::f64, out.data(), static_cast<std::int64_t>(out.stride(0)),
          static_cast<std::int64_t>(out.stride(1)), info_.states, info_.kind, true};
}

Kokkos::View<double const*, MemorySpace> to_device(std::vector<double> const& values, char const* label) {
  return to_device(ExecSpace(), values, label);
}

}  // namespace saltus
