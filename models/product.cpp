// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/product.hpp>

#include <cmath>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/exact.hpp>
#include <saltus/models/native_model.hpp>

namespace saltus {
namespace {

struct ProductKernel {
  Kokkos::View<double***, Kokkos::LayoutRight, MemorySpace> out;
  Kokkos::View<double const*, MemorySpace> probabilities;
  int length, states;
  KOKKOS_FUNCTION void operator()(int b, int l) const {
    for (int y = 0; y < states; ++y) out(b, l, y) = probabilities(l * states + y);
  }
};

class ProductDenoiser final : public NativeModel {
 public:
  ProductDenoiser(ProductLaw const& law, Generator const& generator, bool at_revealed)
      : NativeModel(law.name(), generator, law.length(), at_revealed),
        probabilities_(to_device(law.site_marginals(), "saltus::models::product")) {}

  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    auto const batch = static_cast<int>(query.tokens.extent(0));
    if (batch > 0) {
      Kokkos::parallel_for(
          "saltus::models::product",
          Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>(exec, {0, 0}, {batch, length()}),
          ProductKernel{output(slot), probabilities_, length(), data_states()});
    }
    return evaluation(slot);
  }

 private:
  Kokkos::View<double const*, MemorySpace> probabilities_;
};

}  // namespace

ProductLaw::ProductLaw(int length, int states, std::vector<double> probabilities)
    : length_(length), states_(states), probabilities_(std::move(probabilities)) {
  auto const n = static_cast<std::size_t>(states);
  require(length >= 1 && states >= 1 && probabilities_.size() == n * static_cast<std::size_t>(length),
          "a product law of " + std::to_string(length) + " sites and " + std::to_string(states) + " states needs " +
              std::to_string(length) + " x " + std::to_string(states) + " probabilities, got " +
              std::to_string(probabilities_.size()));
  for (int l = 0; l < length; ++l) {
    double sum = 0;
    for (std::size_t y = 0; y < n; ++y) {
      double const p = probabilities_[static_cast<std::size_t>(l) * n + y];
      require(p >= 0, "probabilities must not be negative: site " + std::to_string(l));
      sum += p;
    }
    require(std::abs(sum - 1) < 1e-9, "the probabilities of site " + std::to_string(l) + " sum to " + std::to_string(sum) + ", not 1");
  }
}

ProductLaw ProductLaw::fit(std::span<token_t const> tokens, std::size_t count, int length, int states, double pseudo_count) {
  require(count >= 1, "fitting needs at least 1 sequence");
  require(pseudo_count > 0, "the pseudo-count must be above 0, got " + std::to_string(pseudo_count));
  auto const n = static_cast<std::size_t>(states), width = static_cast<std::size_t>(length);
  SALTUS_ASSERT(tokens.size() == count * width);
  std::vector<double> p(n * width, pseudo_count / states);
  for (std::size_t i = 0; i < tokens.size(); ++i) p[i % width * n + static_cast<std::size_t>(tokens[i])] += 1;
  for (double& value : p) value /= static_cast<double>(count) + pseudo_count;
  return {length, states, std::move(p)};
}

double ProductLaw::log_likelihood(std::span<token_t const> x) const {
  double sum = 0;
  for (std::size_t l = 0; l < x.size(); ++l) sum += std::log(probabilities_[l * static_cast<std::size_t>(states_) + static_cast<std::size_t>(x[l])]);
  return sum;
}

double ProductLaw::entropy() const { return saltus::entropy(probabilities_); }

std::vector<double> ProductLaw::pair_marginals() const {
  auto const n = static_cast<std::size_t>(states_);
  std::vector<double> pairs;
  pairs.reserve(static_cast<std::size_t>(length_ - 1) * n * n);
  for (std::size_t l = 0; l + 1 < static_cast<std::size_t>(length_); ++l) {
    for (std::size_t y = 0; y < n; ++y) {
      for (std::size_t z = 0; z < n; ++z) pairs.push_back(probabilities_[l * n + y] * probabilities_[(l + 1) * n + z]);
    }
  }
  return pairs;
}

std::vector<double> ProductLaw::triple_marginals() const {
  auto const n = static_cast<std::size_t>(states_);
  std::vector<double> const pairs = pair_marginals();
  std::vector<double> triples;
  for (std::size_t l = 0; l + 2 < static_cast<std::size_t>(length_); ++l) {
    for (std::size_t i = 0; i < n * n * n; ++i)
      triples.push_back(pairs[l * n * n + i / n] * probabilities_[(l + 2) * n + i % n]);
  }
  return triples;
}

void ProductLaw::draw(std::uint64_t seed, std::uint64_t sample, std::span<token_t> x) const {
  auto const n = static_cast<std::size_t>(states_);
  for (std::size_t l = 0; l < x.size(); ++l) {
    double const u = uniform53(StreamKey{seed, 0}.draw(sample, Role::ancestral, static_cast<std::uint32_t>(l)).event);
    x[l] = draw_index(std::span(probabilities_).subspan(l * n, n), u);
  }
}

std::shared_ptr<ScoreModel> ProductLaw::make_denoiser(Generator const& generator, bool at_revealed) const {
  return std::make_shared<ProductDenoiser>(*this, generator, at_revealed);
}

}  // namespace saltus
