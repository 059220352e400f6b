// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/ctmc/generator.hpp>

#include <algorithm>
#include <cmath>
#include <mutex>

#define EIGEN_NO_CUDA  // nothing of it runs on a device
#include <Eigen/Dense>
#include <unsupported/Eigen/MatrixFunctions>

#include <saltus/ctmc/error.hpp>

namespace saltus {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
constexpr int most_dense_states = 4096;
constexpr double row_tolerance = 1e-6;
constexpr double balance_tolerance = 1e-9;

std::size_t index(int i) { return static_cast<std::size_t>(i); }

// The number of each state's strongly connected component (Tarjan's algorithm without recursion); components are numbered
// so that jumps only lead to equal or smaller numbers.
std::vector<int> components(SparseRates const& rates, int& count) {
  int const n = rates.states();
  std::vector<int> component(index(n), -1), order(index(n), -1), low(index(n)), stack, path;
  std::vector<std::int64_t> next(rates.row_begin.begin(), rates.row_begin.end() - 1);
  int visited = 0;
  count = 0;
  for (int root = 0; root < n; ++root) {
    if (order[index(root)] >= 0) continue;
    path.push_back(root);
    while (!path.empty()) {
      int const x = path.back();
      if (order[index(x)] < 0) {
        order[index(x)] = low[index(x)] = visited++;
        stack.push_back(x);
      }
      bool descended = false;
      for (std::int64_t& i = next[index(x)]; i < rates.row_begin[index(x) + 1]; ++i) {
        int const y = rates.column[static_cast<std::size_t>(i)];
        if (order[index(y)] < 0) {
          path.push_back(y);
          descended = true;
          break;
        }
        if (component[index(y)] < 0) low[index(x)] = std::min(low[index(x)], low[index(y)]);
      }
      if (descended) continue;
      path.pop_back();
      if (!path.empty()) low[index(path.back())] = std::min(low[index(path.back())], low[index(x)]);
      if (low[index(x)] != order[index(x)]) continue;
      for (int y = -1; y != x;) {
        y = stack.back();
        stack.pop_back();
        component[index(y)] = count;
      }
      ++count;
    }
  }
  return component;
}

// Which components no jump leaves.
std::vector<bool> closed(SparseRates const& rates, std::vector<int> const& component, int count) {
  std::vector<bool> is_closed(index(count), true);
  for (int x = 0; x < rates.states(); ++x) {
    for (std::int64_t i = rates.row_begin[index(x)]; i < rates.row_begin[index(x) + 1]; ++i) {
      if (component[index(rates.column[static_cast<std::size_t>(i)])] != component[index(x)])
        is_closed[index(component[index(x)])] = false;
    }
  }
  return is_closed;
}

// Stationary law of an irreducible generator by the elimination of Grassmann, Taksar and Heyman (1985), which subtracts
// nothing and so keeps full relative accuracy however far apart the rates are.
std::vector<double> eliminate(Matrix q) {
  auto const n = q.rows();
  for (Eigen::Index k = n - 1; k > 0; --k) {
    double const leave = q.row(k).head(k).sum();
    q.col(k).head(k) /= leave;
    for (Eigen::Index i = 0; i < k; ++i) q.row(i).head(k) += q(i, k) * q.row(k).head(k);
  }
  std::vector<double> law(static_cast<std::size_t>(n));
  law[0] = 1;
  double sum = 1;
  for (Eigen::Index k = 1; k < n; ++k) {
    double p = 0;
    for (Eigen::Index i = 0; i < k; ++i) p += law[static_cast<std::size_t>(i)] * q(i, k);
    law[static_cast<std::size_t>(k)] = p;
    sum += p;
  }
  for (double& p : law) p /= sum;
  return law;
}

// Entries that rounding has pushed below 0 become 0, and rows sum to 1 again.
std::vector<double> as_stochastic(Matrix const& p) {
  auto const n = p.rows();
  std::vector<double> out(static_cast<std::size_t>(n * n));
  for (Eigen::Index x = 0; x < n; ++x) {
    double sum = 0;
    double* const row = out.data() + x * n;
    for (Eigen::Index y = 0; y < n; ++y) sum += row[y] = std::max(0.0, p(x, y));
    for (Eigen::Index y = 0; y < n; ++y) row[y] /= sum;
  }
  return out;
}

void check_rate(std::string const& name, int x, int y, double rate) {
  require(std::isfinite(rate) && rate >= 0, "generator '" + name + "': the rate from state " + std::to_string(x) +
                                                " to state " + std::to_string(y) +
                                                " must be finite and at least 0, got " + to_text(rate));
}

}  // namespace

struct Generator::Tables {
  std::vector<double> matrix;  // dense
  SparseRates jumps;
  std::vector<double> exit;    // [S]
  // Of a dense generator, made when first asked for, since it costs O(S^3).
  mutable std::once_flag once;
  mutable bool reversible = false;
  mutable Spectrum spectrum;

  void decompose() const;
};

// Detailed balance makes D^(1/2) Q D^(-1/2) symmetric, D = diag(pi) (A§3.4).
void Generator::Tables::decompose() const {
  int const states = jumps.states();
  std::size_t const n = index(states);
  int count = 0;
  components(jumps, count);
  if (count != 1) return;
  Eigen::Map<Matrix const> const q(matrix.data(), states, states);
  std::vector<double> const pi = eliminate(q);
  bool balanced = true;
  for (std::size_t x = 0; x < n; ++x) {
    for (std::size_t y = 0; y < x; ++y) {
      double const there = pi[x] * matrix[x * n + y], back = pi[y] * matrix[y * n + x];
      balanced &= std::abs(there - back) <= balance_tolerance * std::max(there, back);
    }
  }
  if (!balanced || *std::min_element(pi.begin(), pi.end()) <= 0) return;
  Eigen::VectorXd const root = Eigen::Map<Eigen::VectorXd const>(pi.data(), states).cwiseSqrt();
  Matrix symmetric = root.asDiagonal() * q * root.cwiseInverse().asDiagonal();
  symmetric = (symmetric + symmetric.transpose()).eval() / 2;
  Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> const solver(symmetric);
  SALTUS_ASSERT(solver.info() == Eigen::Success);
  Matrix const left = root.cwiseInverse().asDiagonal() * solver.eigenvectors();
  Matrix const right = solver.eigenvectors().transpose() * root.asDiagonal();
  reversible = true;
  spectrum.left.assign(left.data(), left.data() + n * n);
  spectrum.right.assign(right.data(), right.data() + n * n);
  spectrum.values.assign(solver.eigenvalues().data(), solver.eigenvalues().data() + n);
  for (double& value : spectrum.values) value = std::min(value, 0.0);
  spectrum.values.back() = 0;  // exactly: values come in rising order, and the stationary law does not decay
}

Generator Generator::absorbing(int states, std::optional<token_t> mask) {
  require(states >= 2, "an absorbing generator needs at least 2 states (one token and the mask), got " +
                           std::to_string(states));
  token_t const index = mask.value_or(states - 1);
  require(index >= 0 && index < states, "the mask must be one of the states 0 to " + std::to_string(states - 1) +
                                            ", got " + std::to_string(index));
  Generator g(Kind::absorbing, "absorbing", states, false);
  g.mask_ = index;
  return g;
}

Generator Generator::uniform(int states) {
  require(states >= 1, "a uniform generator needs at least 1 state, got " + std::to_string(states));
  return {Kind::uniform, "uniform", states, false};
}

Generator Generator::dense(std::string name, int states, std::vector<double> rates, bool ordinal) {
  require(states >= 1 && states <= most_dense_states, "generator '" + name + "': a dense matrix has 1 to " +
                                                          std::to_string(most_dense_states) + " states, got " +
                                                          std::to_string(states) + "; a sparse one may be larger");
  std::size_t const n = index(states);
  require(rates.size() == n * n, "generator '" + name + "': " + std::to_string(states) + " states need " +
                                     std::to_string(n * n) + " rates, got " + std::to_string(rates.size()));
  auto tables = std::make_shared<Tables>();
  tables->exit.resize(n);
  tables->jumps.row_begin.push_back(0);
  for (int x = 0; x < states; ++x) {
    double sum = 0;
    for (int y = 0; y < states; ++y) {
      double const rate = rates[index(x) * n + index(y)];
      if (x == y || rate == 0) continue;
      check_rate(name, x, y, rate);
      sum += rate;
      tables->jumps.column.push_back(y);
      tables->jumps.rate.push_back(rate);
    }
    tables->jumps.row_begin.push_back(static_cast<std::int64_t>(tables->jumps.column.size()));
    double& diagonal = rates[index(x) * n + index(x)];
    require(std::abs(diagonal + sum) <= row_tolerance * sum,
            "generator '" + name + "': the rates of state " + std::to_string(x) +
                " must sum to 0 with the diagonal, got " + to_text(diagonal + sum));
    diagonal = -sum;
    tables->exit[index(x)] = sum;
  }
  tables->matrix = std::move(rates);

  Generator g(Kind::dense, std::move(name), states, ordinal);
  g.tables_ = tables;
  return g;
}

Generator Generator::sparse(std::string name, SparseRates rates, bool ordinal) {
  require(!rates.row_begin.empty() && rates.row_begin.front() == 0 && rates.column.size() == rates.rate.size() &&
              rates.row_begin.back() == static_cast<std::int64_t>(rates.column.size()),
          "generator '" + name + "': the rows of a sparse matrix must cover its entries");
  int const states = rates.states();
  require(states >= 1, "generator '" + name + "': a sparse matrix needs at least 1 state");
  auto tables = std::make_shared<Tables>();
  tables->exit.resize(index(states));
  for (int x = 0; x < states; ++x) {
    require(rates.row_begin[index(x)] <= rates.row_begin[index(x) + 1],
            "generator '" + name + "': row " + std::to_string(x) + " ends before it begins");
    double sum = 0;
    token_t before = -1;
    for (auto i = static_cast<std::size_t>(rates.row_begin[index(x)]);
         i < static_cast<std::size_t>(rates.row_begin[index(x) + 1]); ++i) {
      token_t const y = rates.column[i];
      require(y > before && y < states && y != x, "generator '" + name + "': the columns of row " + std::to_string(x) +
                                                      " must be states other than itself, in order, got " +
                                                      std::to_string(y));
      check_rate(name, x, y, rates.rate[i]);
      before = y;
      sum += rates.rate[i];
    }
    tables->exit[index(x)] = sum;
  }
  tables->jumps = std::move(rates);
  Generator g(Kind::sparse, std::move(name), states, ordinal);
  g.tables_ = tables;
  return g;
}

Generator Generator::population(PopulationRates rates) {
  std::string const name = rates.immigration > 0 ? "immigration_death" : "birth_death";
  for (double const rate : {rates.immigration, rates.birth, rates.death}) {
    require(std::isfinite(rate) && rate >= 0,
            "generator '" + name + "': rates must be finite and at least 0, got " + to_text(rate));
  }
  require(rates.batch >= 1,
          "generator '" + name + "': the batch must be at least 1, got " + std::to_string(rates.batch));
  Generator g(Kind::population, name, std::numeric_limits<token_t>::max(), true);
  g.population_ = rates;
  return g;
}

Generator Generator::path(int states) {
  require(states >= 2, "a path needs at least 2 states, got " + std::to_string(states));
  std::size_t const n = index(states);
  std::vector<double> q(n * n, 0.0);
  for (std::size_t x = 0; x + 1 < n; ++x) q[x * n + x + 1] = q[(x + 1) * n + x] = 1;
  for (std::size_t x = 0; x < n; ++x) q[x * n + x] = x == 0 || x + 1 == n ? -1 : -2;
  return dense("path", states, std::move(q), true);
}

Generator Generator::gaussian_target(int states, double rate_sigma, double target_sigma) {
  require(states >= 2, "a Gaussian target needs at least 2 states, got " + std::to_string(states));
  require(rate_sigma > 0 && target_sigma > 0, "a Gaussian target needs rate_sigma and target_sigma above 0, got " +
                                                  to_text(rate_sigma) + " and " + to_text(target_sigma));
  std::size_t const n = index(states);
  std::vector<double> q(n * n, 0.0);
  auto const log_pi = [&](int i) {
    double const d = (i + 1) - states / 2.0;
    return -d * d / (2 * target_sigma * target_sigma);
  };
  auto const set = [&](int i, int j, int k) {
    double const rate = std::exp(-static_cast<double>(k) * k / (rate_sigma * rate_sigma));
    q[index(i) * n + index(j)] = rate;
    q[index(j) * n + index(i)] = rate * std::exp(log_pi(i) - log_pi(j));  // detailed balance
  };
  for (int i = 0; i < states; ++i) {
    if (i < states / 2) {
      for (int j = i + 1; j < states - i; ++j) set(i, j, j - i - 1);
    } else if (i > states / 2) {
      for (int j = states - i; j < i; ++j) set(i, j, i - j - 1);
    }
  }
  for (std::size_t x = 0; x < n; ++x) {
    double sum = 0;
    for (std::size_t y = 0; y < n; ++y) sum += q[x * n + y];
    q[x * n + x] = -sum;
  }
  return dense("gaussian_target", states, std::move(q), true);
}

double Generator::rate(token_t x, token_t y) const {
  switch (kind_) {
    case Kind::absorbing:
      if (x == mask_) return 0;
      return y == mask_ ? 1 : (x == y ? -1 : 0);
    case Kind::uniform: return x == y ? 1.0 / states_ - 1 : 1.0 / states_;
    case Kind::population:
      if (x == y) return -(population_.up(x) + population_.down(x));
      return (y == x + population_.batch ? population_.up(x) : 0) + (y == x - 1 ? population_.down(x) : 0);
    default: break;
  }
  if (x == y) return -tables_->exit[index(x)];
  auto const& jumps = tables_->jumps;
  auto const begin = jumps.column.begin() + jumps.row_begin[index(x)],
             end = jumps.column.begin() + jumps.row_begin[index(x) + 1];
  auto const found = std::lower_bound(begin, end, y);
  return found != end && *found == y ? jumps.rate[static_cast<std::size_t>(found - jumps.column.begin())] : 0;
}

double Generator::max_exit_rate() const {
  switch (kind_) {
    case Kind::absorbing: return 1;
    case Kind::uniform: return (states_ - 1.0) / states_;
    case Kind::population: return std::numeric_limits<double>::infinity();
    default: return *std::max_element(tables_->exit.begin(), tables_->exit.end());
  }
}

double Generator::transition(token_t x, token_t y, double alpha, double lost) const {
  if (kind_ == Kind::absorbing) {
    if (x == mask_) return x == y ? 1 : 0;
    return y == mask_ ? lost : (x == y ? alpha : 0);
  }
  SALTUS_ASSERT(kind_ == Kind::uniform);
  return (x == y ? alpha : 0) + lost / states_;
}

std::vector<double> Generator::dense_form() const {
  require(is_bounded(),
          "generator '" + name_ + "' has no largest state, so it has no matrix; 'gillespie' simulates it exactly");
  require(states_ <= most_dense_states, "generator '" + name_ + "' has " + std::to_string(states_) +
                                            " states; a matrix of transition probabilities is made for at most " +
                                            std::to_string(most_dense_states) +
                                            ": 'gillespie' and 'uniformization' need none");
  if (kind_ == Kind::dense) return tables_->matrix;
  std::size_t const n = index(states_);
  std::vector<double> q(n * n);
  for (int x = 0; x < states_; ++x) {
    for (int y = 0; y < states_; ++y) q[index(x) * n + index(y)] = rate(x, y);
  }
  return q;
}

std::vector<double> Generator::transition_matrix(double total) const {
  return transition_matrix(std::exp(-total), -std::expm1(-total), total);
}

std::vector<double> Generator::transition_matrix(double alpha, double lost, double total) const {
  SALTUS_ASSERT(total >= 0);
  std::size_t const n = index(states_);
  if (kind_ == Kind::absorbing || kind_ == Kind::uniform) {
    require(states_ <= most_dense_states, "generator '" + name_ + "' has " + std::to_string(states_) +
                                              " states, too many for a matrix of at most " +
                                              std::to_string(most_dense_states));
    std::vector<double> p(n * n);
    for (int x = 0; x < states_; ++x) {
      for (int y = 0; y < states_; ++y) p[index(x) * n + index(y)] = transition(x, y, alpha, lost);
    }
    return p;
  }
  if (!std::isfinite(total)) {  // only the stationary law is left
    std::vector<double> const pi = stationary();
    std::vector<double> p;
    for (std::size_t x = 0; x < n; ++x) p.insert(p.end(), pi.begin(), pi.end());
    return p;
  }
  // Entries are good to about 1e-16 of the largest exit rate times the total.
  require(
      !is_bounded() || max_exit_rate() * total <= 1e10,
      "generator '" + name_ + "': its largest exit rate " + to_text(max_exit_rate()) + " times the time (" +
          to_text(total) +
          ") is above 1e10, where a matrix of transition probabilities loses too many digits; 'gillespie' does without");
  if (reversible()) {
    auto const& s = tables_->spectrum;
    Eigen::Map<Matrix const> const left(s.left.data(), states_, states_), right(s.right.data(), states_, states_);
    Eigen::VectorXd const decay = (total * Eigen::Map<Eigen::VectorXd const>(s.values.data(), states_)).array().exp();
    return as_stochastic(left * decay.asDiagonal() * right);
  }
  std::vector<double> const q = dense_form();
  Matrix const scaled = total * Eigen::Map<Matrix const>(q.data(), states_, states_);
  return as_stochastic(scaled.exp());
}

std::vector<double> Generator::push(std::vector<double> const& law, double total) const {
  SALTUS_ASSERT(law.size() == index(states_) && total >= 0);
  std::size_t const n = index(states_);
  if (kind_ != Kind::sparse) {
    std::vector<double> const p = transition_matrix(total);
    std::vector<double> out(n, 0.0);
    for (std::size_t x = 0; x < n; ++x) {
      if (law[x] == 0) continue;
      for (std::size_t y = 0; y < n; ++y) out[y] += law[x] * p[x * n + y];
    }
    return out;
  }
  // sum over k of Pois(k; L t) law (I + Q/L)^k, in pieces so short that e^(-L t) does not underflow (A§3.5 (b)).
  double const bound = max_exit_rate();
  std::vector<double> now = law;
  if (bound == 0) return now;
  int const pieces = std::max(1, static_cast<int>(std::ceil(bound * total / 500)));
  double const mean = bound * total / pieces;
  auto const& jumps = tables_->jumps;
  std::vector<double> term(n), next(n), sum(n);
  for (int piece = 0; piece < pieces; ++piece) {
    term = now;
    double weight = std::exp(-mean), covered = weight;
    for (std::size_t x = 0; x < n; ++x) sum[x] = weight * term[x];
    for (int k = 1; covered < 1 - 1e-16 && k < mean + 60 * std::sqrt(mean) + 100; ++k) {
      for (std::size_t x = 0; x < n; ++x) next[x] = term[x] * (1 - tables_->exit[x] / bound);
      for (std::size_t x = 0; x < n; ++x) {
        if (term[x] == 0) continue;
        double const flow = term[x] / bound;
        for (auto i = static_cast<std::size_t>(jumps.row_begin[x]);
             i < static_cast<std::size_t>(jumps.row_begin[x + 1]); ++i) {
          next[static_cast<std::size_t>(jumps.column[i])] += flow * jumps.rate[i];
        }
      }
      std::swap(term, next);
      weight *= mean / k;
      covered += weight;
      for (std::size_t x = 0; x < n; ++x) sum[x] += weight * term[x];
    }
    double norm = 0, mass = 0;
    for (std::size_t x = 0; x < n; ++x) {
      norm += sum[x];
      mass += now[x];
    }
    for (std::size_t x = 0; x < n; ++x) now[x] = sum[x] * (mass / norm);
  }
  return now;
}

int Generator::closed_classes() const {
  SALTUS_ASSERT(is_bounded());
  if (kind_ == Kind::absorbing || kind_ == Kind::uniform) return 1;
  int count = 0;
  auto const component = components(tables_->jumps, count);
  auto const is_closed = closed(tables_->jumps, component, count);
  return static_cast<int>(std::count(is_closed.begin(), is_closed.end(), true));
}

bool Generator::irreducible() const {
  if (kind_ == Kind::uniform) return true;
  if (kind_ == Kind::absorbing) return false;
  if (kind_ == Kind::population) return population_.immigration > 0 && population_.death > 0;
  int count = 0;
  components(tables_->jumps, count);
  return count == 1;
}

std::vector<double> Generator::stationary() const {
  require(is_bounded(), "generator '" + name_ + "' has no largest state: give the start as a state or a file");
  std::size_t const n = index(states_);
  if (kind_ == Kind::uniform) return std::vector<double>(n, 1.0 / states_);
  if (kind_ == Kind::absorbing) {
    std::vector<double> law(n, 0.0);
    law[index(mask_)] = 1;
    return law;
  }
  int count = 0;
  auto const component = components(tables_->jumps, count);
  auto const is_closed = closed(tables_->jumps, component, count);
  auto const classes = std::count(is_closed.begin(), is_closed.end(), true);
  require(
      classes == 1,
      "generator '" + name_ + "' has " + std::to_string(classes) +
          " closed classes of states, so its stationary law is not one; give the start as a state, a file or a table");
  std::vector<int> members;
  for (int x = 0; x < states_; ++x) {
    if (is_closed[index(component[index(x)])]) members.push_back(x);
  }
  auto const size = static_cast<int>(members.size());
  require(size <= most_dense_states, "generator '" + name_ + "' has " + std::to_string(size) +
                                         " recurrent states; the stationary law is computed for at most " +
                                         std::to_string(most_dense_states) +
                                         ": give the start as a state, a file or a table");
  Matrix q(size, size);
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j < size; ++j) q(i, j) = rate(members[index(i)], members[index(j)]);
  }
  std::vector<double> const part = eliminate(std::move(q));
  std::vector<double> law(n, 0.0);
  for (int i = 0; i < size; ++i) law[index(members[index(i)])] = part[index(i)];
  return law;
}

double Generator::mean_rate() const {
  auto const pi = stationary();
  double sum = 0;
  for (int x = 0; x < states_; ++x) sum += pi[index(x)] * exit_rate(x);
  return sum;
}

Generator Generator::scaled(double factor) const {
  require(std::isfinite(factor) && factor > 0,
          "generator '" + name_ + "': the factor of the rates must be above 0, got " + to_text(factor));
  SALTUS_ASSERT(tables_ != nullptr);
  auto tables = std::make_shared<Tables>();
  tables->matrix = tables_->matrix;
  tables->jumps = tables_->jumps;
  tables->exit = tables_->exit;
  for (auto* const values : {&tables->matrix, &tables->exit, &tables->jumps.rate}) {
    for (double& value : *values) value *= factor;
  }
  Generator g = *this;
  g.tables_ = std::move(tables);
  return g;
}

bool Generator::reversible() const {
  if (kind_ != Kind::dense) return false;
  std::call_once(tables_->once, [this] { tables_->decompose(); });
  return tables_->reversible;
}

Spectrum const& Generator::spectrum() const {
  require(reversible(), "generator '" + name_ + "' is not a reversible matrix, which this needs");
  return tables_->spectrum;
}

std::vector<double> const& Generator::matrix() const {
  SALTUS_ASSERT(kind_ == Kind::dense);
  return tables_->matrix;
}

SparseRates const& Generator::jumps() const {
  SALTUS_ASSERT(tables_ != nullptr);
  return tables_->jumps;
}

}  // namespace saltus
