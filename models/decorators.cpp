// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/decorators.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <type_traits>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/fast_exp.hpp>

namespace saltus {
namespace {

using RowPolicy = Kokkos::MDRangePolicy<ExecSpace, Kokkos::Rank<2>, Kokkos::IndexType<int>>;

template <class Scalar>
constexpr Scalar lowest = -Kokkos::Experimental::infinity_v<Scalar>;

template <class Scalar>
KOKKOS_FORCEINLINE_FUNCTION Scalar exponential_of(Scalar x) {
  if constexpr (std::is_same_v<Scalar, float>) {
    return exp_bounded(x);
  } else {
    return Kokkos::exp(x);
  }
}

// Numbers order like these integers; a NaN lies beyond them, on the side of its sign. Loops over integers are
// vectorised where a maximum of numbers that may be NaN is not. The map of the bits is its own inverse.
template <class Scalar>
using Key = std::conditional_t<std::is_same_v<Scalar, float>, std::int32_t, std::int64_t>;
template <class Scalar>
KOKKOS_FORCEINLINE_FUNCTION Key<Scalar> key_of(Scalar x) {
  auto const bits = Kokkos::bit_cast<Key<Scalar>>(x);
  return bits ^ ((bits >> (8 * sizeof(Scalar) - 1)) & Kokkos::Experimental::finite_max_v<Key<Scalar>>);
}
template <class Scalar>
KOKKOS_FORCEINLINE_FUNCTION Scalar number_of(Key<Scalar> key) {
  return Kokkos::bit_cast<Scalar>(key_of(Kokkos::bit_cast<Scalar>(key)));
}

template <class Scalar>
KOKKOS_FORCEINLINE_FUNCTION Scalar largest(Scalar const* v, int n) {
  Key<Scalar> top = key_of(lowest<Scalar>);
#pragma omp simd reduction(max : top)
  for (int y = 0; y < n; ++y) top = top > key_of(v[y]) ? top : key_of(v[y]);
  return number_of<Scalar>(top);
}

// What the kernels know of the rows they read and write.
template <class Scalar>
struct RowsOf {
  Tokens tokens;
  Kokkos::View<int const*, MemorySpace> only_site;
  Scalar* out;  // [batch, length, states]
  int states;
  token_t mask;  // -1: none
  bool at_revealed;
  bool logarithmic, x0;

  KOKKOS_FORCEINLINE_FUNCTION bool wanted(int b, int l) const {
    int const only = only_site.size() == 0 ? Query::all_sites : only_site(b);
    return (only == Query::all_sites || only == l) && (at_revealed || mask < 0 || tokens(b, l) == mask);
  }
  KOKKOS_FORCEINLINE_FUNCTION Scalar* row(int b, int l) const {
    return out + (static_cast<std::int64_t>(b) * tokens.extent_int(1) + l) * states;
  }
  /// The entry of a token that cannot be.
  KOKKOS_FORCEINLINE_FUNCTION Scalar nothing() const { return logarithmic ? lowest<Scalar> : Scalar(0); }
  /// Row `from` into `to`, without negative entries and without the mask's.
  KOKKOS_FORCEINLINE_FUNCTION void load(Stored<Scalar> const& row, Scalar* to) const {
    bool const any_sign = logarithmic;
    Scalar const* const from = row.load(0, states, to);
#pragma omp simd
    for (int y = 0; y < states; ++y) to[y] = any_sign || !(from[y] < 0) ? from[y] : Scalar(0);
    if (mask >= 0) to[mask] = nothing();
  }
};

template <class Scalar>
struct ScoresIn {
  Stored<Scalar> data;
  std::int64_t row_stride, site_stride;
  explicit ScoresIn(Evaluation const& e) : data(e.data, e.type), row_stride(e.row_stride), site_stride(e.site_stride) {}
  KOKKOS_FORCEINLINE_FUNCTION Stored<Scalar> row(int b, int l) const { return data.from(b * row_stride + l * site_stride); }
};

/// Calls the visitor with the scores in the precision that they are computed with.
template <class Visitor>
decltype(auto) with_scores(Evaluation const& e, Visitor&& visitor) {
  return e.type == ScalarType::f64 ? visitor(ScoresIn<double>(e)) : visitor(ScoresIn<float>(e));
}

template <class Scalar>
struct TemperatureKernel {
  RowsOf<Scalar> rows;
  ScoresIn<Scalar> in;
  Scalar power;

  KOKKOS_FUNCTION void operator()(int b, int l) const {
    if (!rows.wanted(b, l)) return;
    auto const from = in.row(b, l);
    Scalar* const to = rows.row(b, l);
    int const n = rows.states;
    rows.load(from, to);
    Scalar const top = largest(to, n);
    if (top != rows.nothing()) {
      double before = 0, after = 0;
      if (rows.logarithmic) {
#pragma omp simd reduction(+ : before, after)
        for (int y = 0; y < n; ++y) {
          Scalar const v = to[y] - top;
          to[y] = power * v;
          before += static_cast<double>(exponential_of(v));
          after += static_cast<double>(exponential_of(to[y]));
        }
        auto const shift = static_cast<Scalar>(static_cast<double>(top) + Kokkos::log(before / after));
        for (int y = 0; y < n; ++y) to[y] += shift;
      } else {
        for (int y = 0; y < n; ++y) {
          before += static_cast<double>(to[y]);
          to[y] = Kokkos::pow(to[y] / top, power);
          after += static_cast<double>(to[y]);
        }
        auto const factor = rows.x0 ? Scalar(1) : static_cast<Scalar>(before / after);
        for (int y = 0; y < n; ++y) to[y] *= factor;
      }
    }
    if (rows.mask >= 0) to[rows.mask] = from[rows.mask];
  }
};

// Cuts a row to its likeliest tokens: those not under a threshold, the largest that leaves enough.
template <class Scalar>
struct TruncationKernel {
  RowsOf<Scalar> rows;
  ScoresIn<Scalar> in;
  double share;  // of the mass that is enough, or
  int count;     // how many tokens are enough; 0: the share counts

  KOKKOS_FUNCTION void operator()(int b, int l) const {
    if (!rows.wanted(b, l)) return;
    auto const from = in.row(b, l);
    Scalar* const to = rows.row(b, l);
    int const n = rows.states;
    rows.load(from, to);
    Scalar const top = largest(to, n);
    if (top != rows.nothing()) {
      bool const weights = !rows.logarithmic || count == 0;  // `to` holds weights, not their logarithms
      if (rows.logarithmic && weights) {
#pragma omp simd
        for (int y = 0; y < n; ++y) to[y] = exponential_of(to[y] - top);
      }
      Scalar const threshold = threshold_of(to);
      double before = 0, after = 0;
#pragma omp simd reduction(+ : before, after)
      for (int y = 0; y < n; ++y) {
        Scalar const w = weights ? to[y] : exponential_of(to[y] - top);
        before += static_cast<double>(w);
        after += static_cast<double>(to[y] < threshold ? Scalar(0) : w);
      }
      double const gain = rows.x0 ? 1 : before / after;
      auto const factor = static_cast<Scalar>(gain), shift = static_cast<Scalar>(Kokkos::log(gain));
      Scalar const nothing = rows.nothing();
      bool const logarithmic = rows.logarithmic;
#pragma omp simd
      for (int y = 0; y < n; ++y) {
        Scalar const kept = logarithmic ? from[y] + shift : to[y] * factor;
        to[y] = to[y] < threshold ? nothing : kept;
      }
    }
    if (rows.mask >= 0) to[rows.mask] = from[rows.mask];
  }

 private:
  // By bisection on the keys, which are integers. Entries that are not under the threshold stay, so a NaN does.
  KOKKOS_FORCEINLINE_FUNCTION Scalar threshold_of(Scalar const* v) const {
    using Unsigned = std::make_unsigned_t<Key<Scalar>>;
    bool const by_share = count == 0;
    double const enough = by_share ? share * mass_from(v, 0) : count;
    Key<Scalar> low = key_of(by_share ? Scalar(0) : rows.nothing()), high = key_of(largest(v, rows.states)) + 1;
    while (high - 1 > low) {
      auto const middle = static_cast<Key<Scalar>>(
          static_cast<Unsigned>(low) + (static_cast<Unsigned>(high) - static_cast<Unsigned>(low)) / 2);
      Scalar const threshold = number_of<Scalar>(middle);
      bool const reached = (by_share ? mass_from(v, threshold) : number_from(v, threshold)) >= enough;
      (reached ? low : high) = middle;
    }
    return number_of<Scalar>(low);
  }
  KOKKOS_FORCEINLINE_FUNCTION double mass_from(Scalar const* v, Scalar threshold) const {
    double mass = 0;
#pragma omp simd reduction(+ : mass)
    for (int y = 0; y < rows.states; ++y) mass += static_cast<double>(v[y] < threshold ? Scalar(0) : v[y]);
    return mass;
  }
  KOKKOS_FORCEINLINE_FUNCTION int number_from(Scalar const* v, Scalar threshold) const {
    int number = 0;
#pragma omp simd reduction(+ : number)
    for (int y = 0; y < rows.states; ++y) number += v[y] < threshold ? 0 : 1;
    return number;
  }
};

// out (+)= exponent * ln factor; -infinity wherever a factor is 0.
template <class Scalar, class In>
struct FactorKernel {
  RowsOf<Scalar> rows;
  ScoresIn<In> in;
  Scalar exponent;
  bool first;

  KOKKOS_FUNCTION void operator()(int b, int l) const {
    if (!rows.wanted(b, l)) return;
    auto const from = in.row(b, l);
    Scalar* const to = rows.row(b, l);
    for (int y = 0; y < rows.states; ++y) {
      std::common_type_t<Scalar, In> const v = from[y];
      auto const ln = rows.logarithmic ? static_cast<Scalar>(v)
                                       : (v < 0 ? lowest<Scalar> : static_cast<Scalar>(Kokkos::log(v)));
      Scalar const term = ln == lowest<Scalar> ? ln : exponent * ln;
      to[y] = first ? term : to[y] + term;
    }
  }
};

// Logarithms to numbers; laws in units where the largest is 1.
template <class Scalar>
struct NumbersKernel {
  RowsOf<Scalar> rows;

  KOKKOS_FUNCTION void operator()(int b, int l) const {
    if (!rows.wanted(b, l)) return;
    Scalar* const to = rows.row(b, l);
    Scalar shift = 0;
    if (rows.x0) {
      if (rows.mask >= 0) to[rows.mask] = lowest<Scalar>;
      Scalar const top = largest(to, rows.states);
      shift = top == lowest<Scalar> ? 0 : top;
    }
    for (int y = 0; y < rows.states; ++y) to[y] = Kokkos::exp(to[y] - shift);
  }
};

// What decorators share: an output for each slot, and one slot of the models inside.
class Decorator : public ScoreModel {
 public:
  ModelInfo info() const final { return info_; }

  void reserve(Extents extents, int slots) override {
    for (auto const& model : models_) model->reserve(extents, 1);
    auto const size = static_cast<std::size_t>(extents.batch) * static_cast<std::size_t>(extents.length) *
                      static_cast<std::size_t>(info_.states);
    outputs_.resize(std::max(outputs_.size(), static_cast<std::size_t>(slots)));
    for (auto& output : outputs_) {
      if (output.size() < size) {
        output = decltype(outputs_)::value_type(
            Kokkos::view_alloc(Kokkos::WithoutInitializing, "saltus::models::decorators::output"), size);
      }
    }
  }

 protected:
  Decorator(ModelInfo info, std::vector<std::shared_ptr<ScoreModel>> models)
      : info_(std::move(info)), models_(std::move(models)) {}

  // Models are evaluated into their slot 0: what they give is copied before the next evaluation.
  Evaluation inner(ExecSpace const& exec, Query const& query, std::size_t i) const {
    return models_[i]->evaluate(exec, query, 0);
  }
  std::size_t count() const { return models_.size(); }

  template <class Scalar>
  RowsOf<Scalar> rows(Query const& query, int slot) const {
    return {query.tokens,
            query.only_site,
            reinterpret_cast<Scalar*>(outputs_[static_cast<std::size_t>(slot)].data()),
            info_.states,
            info_.mask.value_or(-1),
            info_.leave_one_out_at_revealed,
            is_logarithmic(info_.kind),
            is_x0(info_.kind)};
  }
  template <class Scalar>
  Evaluation result(RowsOf<Scalar> const& rows) const {
    std::int64_t const site = info_.states;
    return {std::is_same_v<Scalar, float> ? ScalarType::f32 : ScalarType::f64, rows.out,
            site * rows.tokens.extent_int(1), site, info_.states, info_.kind};
  }
  static RowPolicy policy(ExecSpace const& exec, Query const& query) {
    return {exec, {0, 0}, {query.tokens.extent_int(0), query.tokens.extent_int(1)}};
  }

 private:
  ModelInfo info_;
  std::vector<std::shared_ptr<ScoreModel>> models_;
  std::vector<Kokkos::View<double*, MemorySpace>> outputs_;  // also of f32: the type is known only when a model answers
};

// One model, one kernel: kernel<Scalar>(rows, scores) makes it.
template <class MakeKernel>
class RowDecorator final : public Decorator {
 public:
  RowDecorator(ModelInfo info, std::shared_ptr<ScoreModel> model, char const* label, MakeKernel kernel)
      : Decorator(std::move(info), {std::move(model)}), label_(label), kernel_(kernel) {}

  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    return with_scores(inner(exec, query, 0), [&]<class Scalar>(ScoresIn<Scalar> const& scores) {
      auto const to = rows<Scalar>(query, slot);
      if (query.tokens.size() > 0) Kokkos::parallel_for(label_, policy(exec, query), kernel_(to, scores));
      return result(to);
    });
  }

 private:
  char const* label_;
  MakeKernel kernel_;
};

class Product final : public Decorator {
 public:
  Product(ModelInfo info, std::vector<std::shared_ptr<ScoreModel>> models, std::vector<double> exponents)
      : Decorator(std::move(info), std::move(models)), exponents_(std::move(exponents)) {}

  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    Evaluation const first = inner(exec, query, 0);
    return with_scores(first, [&]<class Scalar>(ScoresIn<Scalar> const&) {
      return run<Scalar>(exec, query, first, slot);
    });
  }

 private:
  template <class Scalar>
  Evaluation run(ExecSpace const& exec, Query const& query, Evaluation const& first, int slot) const {
    auto const to = rows<Scalar>(query, slot);
    for (std::size_t i = 0; i < count(); ++i) {
      Evaluation const factor = i == 0 ? first : inner(exec, query, i);
      auto const exponent = static_cast<Scalar>(exponents_[i]);
      if (query.tokens.size() == 0) continue;
      with_scores(factor, [&]<class In>(ScoresIn<In> const& scores) {
        Kokkos::parallel_for("saltus::models::decorators::factor", policy(exec, query),
                             FactorKernel<Scalar, In>{to, scores, exponent, i == 0});
      });
    }
    if (!to.logarithmic && query.tokens.size() > 0) {
      Kokkos::parallel_for("saltus::models::decorators::numbers", policy(exec, query), NumbersKernel<Scalar>{to});
    }
    return result(to);
  }

  std::vector<double> exponents_;
};

ModelInfo info_of(std::shared_ptr<ScoreModel> const& model, std::string const& decorator) {
  require(model != nullptr, decorator + " needs a model, got none");
  return model->info();
}

ModelInfo info_of_laws(std::shared_ptr<ScoreModel> const& model, std::string const& decorator) {
  ModelInfo info = info_of(model, decorator);
  require(is_x0(info.kind) || info.mask,
          decorator + " needs laws of the clean token; the scores of '" + info.name +
              "', a model without a mask, also hold what the noise does: give x0_leave_in or x0_leave_one_out rows");
  return info;
}

std::shared_ptr<ScoreModel> truncated(ModelInfo info, std::shared_ptr<ScoreModel> model, double share, int count) {
  auto const kernel = [=]<class Scalar>(RowsOf<Scalar> const& rows, ScoresIn<Scalar> const& in) {
    return TruncationKernel<Scalar>{rows, in, share, count};
  };
  return std::make_shared<RowDecorator<decltype(kernel)>>(std::move(info), std::move(model),
                                                          "saltus::models::decorators::truncation", kernel);
}

}  // namespace

std::shared_ptr<ScoreModel> temperature(std::shared_ptr<ScoreModel> model, double T) {
  ModelInfo info = info_of_laws(model, "a temperature");
  require(T > 0 && std::isfinite(T), "the temperature must be above 0, got " + to_text(T));
  if (T == 1) return model;
  info.name += ", temperature " + to_text(T);
  auto const kernel = [=]<class Scalar>(RowsOf<Scalar> const& rows, ScoresIn<Scalar> const& in) {
    return TemperatureKernel<Scalar>{rows, in, static_cast<Scalar>(1 / T)};
  };
  return std::make_shared<RowDecorator<decltype(kernel)>>(std::move(info), std::move(model),
                                                          "saltus::models::decorators::temperature", kernel);
}

std::shared_ptr<ScoreModel> nucleus(std::shared_ptr<ScoreModel> model, double P) {
  ModelInfo info = info_of_laws(model, "a nucleus");
  require(P > 0 && P <= 1, "the share of a nucleus must lie above 0 and not above 1, got " + to_text(P));
  if (P == 1) return model;
  info.name += ", nucleus " + to_text(P);
  return truncated(std::move(info), std::move(model), P, 0);
}

std::shared_ptr<ScoreModel> top_tokens(std::shared_ptr<ScoreModel> model, int K) {
  ModelInfo info = info_of_laws(model, "a cut to the likeliest tokens");
  require(K >= 1, "the number of likeliest tokens must be at least 1, got " + std::to_string(K));
  if (K >= info.states - (info.mask ? 1 : 0)) return model;
  info.name += ", top " + std::to_string(K);
  return truncated(std::move(info), std::move(model), 0, K);
}

std::shared_ptr<ScoreModel> product_of(std::vector<std::shared_ptr<ScoreModel>> const& models,
                                       std::vector<double> const& exponents) {
  require(!models.empty() && models.size() == exponents.size(),
          "a product needs models and as many exponents, got " + std::to_string(models.size()) + " and " +
              std::to_string(exponents.size()));
  ModelInfo info = info_of(models.front(), "a product");
  std::string const first = info.name;
  std::vector<std::shared_ptr<ScoreModel>> factors;
  std::vector<double> powers;
  info.name.clear();
  info.evaluations = 0;
  for (std::size_t i = 0; i < models.size(); ++i) {
    ModelInfo const other = info_of(models[i], "a product");
    auto const agree = [&](bool equal, std::string const& what) {
      require(equal, "the models of a product must agree on " + what + "; '" + first + "' and '" + other.name +
                         "' do not");
    };
    agree(other.states == info.states, "their states (" + std::to_string(info.states) + " and " +
                                           std::to_string(other.states) + ")");
    agree(other.mask == info.mask, "their mask");
    agree(other.kind == info.kind, "the kind of their scores");
    agree(other.length == info.length || other.length == 0 || info.length == 0,
          "their length (" + std::to_string(info.length) + " and " + std::to_string(other.length) + ")");
    agree(other.time == info.time || other.time == TimeInput::none || info.time == TimeInput::none,
          "what they are told of the time (t or sigma_bar)");
    if (info.length == 0) info.length = other.length;
    if (info.time == TimeInput::none) info.time = other.time;
    require(std::isfinite(exponents[i]), "exponents must be finite, got " + to_text(exponents[i]));
    if (exponents[i] == 0) continue;
    info.leave_one_out_at_revealed =
        other.leave_one_out_at_revealed && (factors.empty() || info.leave_one_out_at_revealed);
    info.evaluations += other.evaluations;
    info.name += (factors.empty() ? "" : " * ") + other.name + "^" + to_text(exponents[i]);
    factors.push_back(models[i]);
    powers.push_back(exponents[i]);
  }
  require(!factors.empty(), "a product needs an exponent that is not 0");
  if (factors.size() == 1 && powers.front() == 1) return factors.front();
  return std::make_shared<Product>(std::move(info), std::move(factors), std::move(powers));
}

std::shared_ptr<ScoreModel> classifier_free(std::shared_ptr<ScoreModel> conditional,
                                            std::shared_ptr<ScoreModel> unconditional, double w) {
  return product_of({std::move(conditional), std::move(unconditional)}, {1 + w, -w});
}

}  // namespace saltus
