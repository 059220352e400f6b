// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/markov_tree.hpp>

#include <cmath>

#include <saltus/ctmc/device.hpp>
#include <saltus/ctmc/error.hpp>
#include <saltus/models/emissions.hpp>
#include <saltus/models/native_model.hpp>

namespace saltus {
namespace {

// Leave-one-out laws of one row by messages up and down the tree, on the host or the device.
struct TreeMessages {
  int const *parents, *first_child, *next_sibling;  // [length]; -1: none
  double const *initial, *matrices;
  int length, states, matrix_stride;

  static std::size_t scratch_size(int length, int states) {
    return (2 * static_cast<std::size_t>(length) + 1) * static_cast<std::size_t>(states);
  }

  // out(l, .) at out + l * stride, from what is seen, [length, states].
  KOKKOS_FUNCTION void run(double const* seen, double* scratch, double* out, int stride) const {
    double* const up = scratch;                      // [length]: from a site to its parent
    double* const down = scratch + length * states;  // [length]: from its parent to a site
    double* const t = down + length * states;
    for (int l = length; l-- > 1;) {
      for (int k = 0; k < states; ++k) t[k] = seen[l * states + k];
      times_children(l, -1, up, t);
      double const* const m = matrix(l);
      for (int j = 0; j < states; ++j) {
        double sum = 0;
        for (int k = 0; k < states; ++k) sum += m[j * states + k] * t[k];
        up[l * states + j] = sum;
      }
    }
    for (int l = 0; l < length; ++l) {
      double* const d = down + l * states;
      if (l == 0) {
        for (int k = 0; k < states; ++k) d[k] = initial[k];
      } else {
        int const p = parents[l];
        for (int j = 0; j < states; ++j) t[j] = down[p * states + j];
        times(seen + p * states, t);
        times_children(p, l, up, t);
        double const* const m = matrix(l);
        for (int k = 0; k < states; ++k) d[k] = 0;
        for (int j = 0; j < states; ++j) {
          for (int k = 0; k < states; ++k) d[k] += t[j] * m[j * states + k];
        }
      }
      double* const law = out + l * stride;
      for (int k = 0; k < states; ++k) law[k] = d[k];
      times_children(l, -1, up, law);
      scale(law);
    }
  }

 private:
  KOKKOS_FORCEINLINE_FUNCTION double const* matrix(int l) const {
    return matrices + static_cast<std::int64_t>(l - 1) * matrix_stride;
  }
  KOKKOS_FORCEINLINE_FUNCTION void scale(double* v) const {
    double sum = 0;
    for (int k = 0; k < states; ++k) sum += v[k];
    for (int k = 0; k < states; ++k) v[k] /= sum;
  }
  // t times a message, as a law; t as it is where the two contradict each other (a context that the field cannot have).
  KOKKOS_FORCEINLINE_FUNCTION void times(double const* message, double* t) const {
    double sum = 0;
    for (int k = 0; k < states; ++k) sum += t[k] * message[k];
    if (!(sum > 0)) return;
    for (int k = 0; k < states; ++k) t[k] *= message[k] / sum;
  }
  KOKKOS_FORCEINLINE_FUNCTION void times_children(int l, int without, double const* up, double* t) const {
    for (int c = first_child[l]; c >= 0; c = next_sibling[c]) {
      if (c != without) times(up + c * states, t);
    }
  }
};

// The children of every site, as lists.
struct Children {
  explicit Children(std::vector<int> const& parents) : first(parents.size(), -1), next(parents.size(), -1) {
    for (std::size_t l = parents.size(); l-- > 1;) {
      auto const p = static_cast<std::size_t>(parents[l]);
      next[l] = first[p];
      first[p] = static_cast<int>(l);
    }
  }
  std::vector<int> first, next;
};

int stride_of(MarkovTree const& tree) {
  auto const size = static_cast<std::size_t>(tree.states()) * static_cast<std::size_t>(tree.states());
  return tree.transitions().size() == size ? 0 : static_cast<int>(size);
}

struct TreeKernel {
  TreeMessages messages;
  Emissions::Table seen, out;
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> scratch;
  Kokkos::View<int const*, MemorySpace> only_site;
  KOKKOS_FUNCTION void operator()(int b) const {
    if (only_site.size() != 0 && only_site(b) == Query::no_site) return;
    messages.run(&seen(b, 0, 0), &scratch(b, 0), &out(b, 0, 0), static_cast<int>(out.stride(1)));
  }
};

class TreeDenoiser final : public NativeModel {
 public:
  TreeDenoiser(MarkovTree const& tree, Generator const& generator, bool at_revealed)
      : NativeModel(tree.name(), generator, tree.length(), at_revealed), noise_(generator), stride_(stride_of(tree)) {
    Children const children(tree.parents());
    parents_ = to_device(ExecSpace(), tree.parents(), "saltus::models::tree::parents");
    first_ = to_device(ExecSpace(), children.first, "saltus::models::tree::first_child");
    next_ = to_device(ExecSpace(), children.next, "saltus::models::tree::next_sibling");
    initial_ = to_device(tree.initial(), "saltus::models::tree::initial");
    matrices_ = to_device(tree.transitions(), "saltus::models::tree::matrices");
  }

  void reserve(Extents extents, int slots) override {
    NativeModel::reserve(extents, slots);
    noise_.reserve(extents);
    auto const batch = static_cast<std::size_t>(extents.batch);
    if (scratch_.extent(0) >= batch) return;
    scratch_ = decltype(scratch_)("saltus::models::tree::scratch", batch,
                                  TreeMessages::scratch_size(extents.length, data_states()));
  }

  Evaluation evaluate(ExecSpace const& exec, Query const& query, int slot) override {
    int const batch = static_cast<int>(query.tokens.extent(0));
    if (batch == 0) return evaluation(slot);
    auto const seen = noise_.evaluate(exec, query.tokens, query.time);
    TreeMessages const messages{parents_.data(), first_.data(), next_.data(), initial_.data(), matrices_.data(),
                                length(), data_states(), stride_};
    Kokkos::parallel_for("saltus::models::tree", Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<int>>(exec, 0, batch),
                         TreeKernel{messages, seen, output(slot), scratch_, query.only_site});
    return evaluation(slot);
  }

 private:
  Emissions noise_;
  int stride_;
  Kokkos::View<int const*, MemorySpace> parents_, first_, next_;
  Kokkos::View<double const*, MemorySpace> initial_, matrices_;
  Kokkos::View<double**, Kokkos::LayoutRight, MemorySpace> scratch_;
};

}  // namespace

MarkovTree::MarkovTree(std::vector<int> parents, int states, std::vector<double> initial, std::vector<double> transitions,
                       std::string name)
    : states_(states), parents_(std::move(parents)), initial_(std::move(initial)), transitions_(std::move(transitions)),
      name_(std::move(name)) {
  auto const n = static_cast<std::size_t>(states), length = parents_.size();
  require(length >= 1 && states >= 1, "a tree needs at least 1 site and 1 state");
  require(parents_[0] == -1, "the parent of site 0 must be -1 (none), got " + std::to_string(parents_[0]));
  for (std::size_t l = 1; l < length; ++l) {
    require(parents_[l] >= 0 && parents_[l] < static_cast<int>(l),
            "the parent of site " + std::to_string(l) + " must be an earlier site, got " + std::to_string(parents_[l]));
  }
  require(initial_.size() == n,
          "the initial law needs " + std::to_string(states) + " probabilities, got " + std::to_string(initial_.size()));
  std::size_t const count = transitions_.size() / (n * n);
  require(transitions_.size() == count * n * n && (count == 1 || count == length - 1),
          "a tree of " + std::to_string(length) + " sites and " + std::to_string(states) + " states needs 1 or " +
              std::to_string(length - 1) + " matrices of " + std::to_string(states) + " x " + std::to_string(states) +
              ", got " + std::to_string(transitions_.size()) + " numbers");
  require_law(initial_, "the initial law");
  for (std::size_t row = 0; row < count * n; ++row) {
    require_law(std::span(transitions_).subspan(row * n, n),
                "row " + std::to_string(row % n) + " of matrix " + std::to_string(row / n));
  }
}

MarkovTree MarkovTree::comb(int rows, int columns, int states, double width) {
  require(rows >= 1 && columns >= 1 && states >= 1 && width > 0, "a comb needs rows, columns, states and a width above 0");
  std::vector<int> parents;
  for (int l = 0; l < rows * columns; ++l) parents.push_back(l == 0 ? -1 : l % columns == 0 ? l - columns : l - 1);
  std::vector<double> transitions;
  for (int x = 0; x < states; ++x) {
    double sum = 0;
    std::vector<double> row;
    for (int y = 0; y < states; ++y) sum += row.emplace_back(std::exp(-(x - y) * (x - y) / (2 * width * width)));
    for (double const p : row) transitions.push_back(p / sum);
  }
  return {std::move(parents), states, std::vector<double>(static_cast<std::size_t>(states), 1.0 / states),
          std::move(transitions), "comb"};
}

double MarkovTree::log_likelihood(std::span<token_t const> x) const {
  double sum = std::log(initial_[static_cast<std::size_t>(x[0])]);
  for (std::size_t l = 1; l < x.size(); ++l) {
    sum += std::log(matrix(l)[x[static_cast<std::size_t>(parents_[l])] * states_ + x[l]]);
  }
  return sum;
}

std::vector<double> MarkovTree::site_marginals() const {
  auto const n = static_cast<std::size_t>(states_);
  std::vector<double> p(parents_.size() * n, 0.0);
  std::copy(initial_.begin(), initial_.end(), p.begin());
  for (std::size_t l = 1; l < parents_.size(); ++l) {
    double const* const from = p.data() + static_cast<std::size_t>(parents_[l]) * n;
    for (std::size_t x = 0; x < n; ++x) {
      for (std::size_t y = 0; y < n; ++y) p[l * n + y] += from[x] * matrix(l)[x * n + y];
    }
  }
  return p;
}

double MarkovTree::entropy() const {
  auto const n = static_cast<std::size_t>(states_);
  auto const sites = site_marginals();
  auto const of = [](double p) { return p > 0 ? -p * std::log(p) : 0; };
  double sum = 0;
  for (double const p : initial_) sum += of(p);
  for (std::size_t l = 1; l < parents_.size(); ++l) {
    for (std::size_t i = 0; i < n * n; ++i) sum += sites[static_cast<std::size_t>(parents_[l]) * n + i / n] * of(matrix(l)[i]);
  }
  return sum;
}

namespace {
// Laws of sites given the tokens of some, by the chain rule.
class Conditionals {
 public:
  explicit Conditionals(MarkovTree const& tree)
      : tree_(tree), children_(tree.parents()), n_(static_cast<std::size_t>(tree.states())),
        seen_(static_cast<std::size_t>(tree.length()) * n_, 1.0), out_(seen_.size()),
        scratch_(TreeMessages::scratch_size(tree.length(), tree.states())) {}
  void fix(std::size_t site, std::size_t token) {
    for (std::size_t k = 0; k < n_; ++k) seen_[site * n_ + k] = k == token ? 1 : 0;
  }
  void free(std::size_t site) { std::fill_n(seen_.begin() + static_cast<std::ptrdiff_t>(site * n_), n_, 1.0); }
  // The laws of all free sites given the fixed ones, [length, states].
  double const* laws() {
    TreeMessages{tree_.parents().data(), children_.first.data(), children_.next.data(), tree_.initial().data(),
                 tree_.transitions().data(), tree_.length(), tree_.states(), stride_of(tree_)}
        .run(seen_.data(), scratch_.data(), out_.data(), tree_.states());
    return out_.data();
  }

 private:
  MarkovTree const& tree_;
  Children children_;
  std::size_t n_;
  std::vector<double> seen_, out_, scratch_;
};
}  // namespace

std::vector<double> MarkovTree::pair_marginals() const {
  auto const n = static_cast<std::size_t>(states_);
  auto const sites = site_marginals();
  std::vector<double> pairs((parents_.size() - 1) * n * n, 0.0);
  Conditionals given(*this);
  for (std::size_t l = 0; l + 1 < parents_.size(); ++l) {
    for (std::size_t y = 0; y < n; ++y) {
      double const p = sites[l * n + y];
      if (p == 0) continue;
      given.fix(l, y);
      double const* const law = given.laws() + (l + 1) * n;
      for (std::size_t z = 0; z < n; ++z) pairs[(l * n + y) * n + z] = p * law[z];
    }
    given.free(l);
  }
  return pairs;
}

std::vector<double> MarkovTree::triple_marginals() const {
  auto const n = static_cast<std::size_t>(states_);
  if (parents_.size() < 3) return {};
  auto const pairs = pair_marginals();
  std::vector<double> triples((parents_.size() - 2) * n * n * n, 0.0);
  Conditionals given(*this);
  for (std::size_t l = 0; l + 2 < parents_.size(); ++l) {
    for (std::size_t i = 0; i < n * n; ++i) {
      double const p = pairs[l * n * n + i];
      if (p == 0) continue;
      given.fix(l, i / n);
      given.fix(l + 1, i % n);
      double const* const law = given.laws() + (l + 2) * n;
      for (std::size_t z = 0; z < n; ++z) triples[(l * n * n + i) * n + z] = p * law[z];
    }
    given.free(l);
    given.free(l + 1);
  }
  return triples;
}

void MarkovTree::draw(std::uint64_t seed, std::uint64_t sample, std::span<token_t> x) const {
  auto const n = static_cast<std::size_t>(states_);
  for (std::size_t l = 0; l < x.size(); ++l) {
    double const u = uniform53(StreamKey{seed, 0}.draw(sample, Role::ancestral, static_cast<std::uint32_t>(l)).event);
    double const* const weights =
        l == 0 ? initial_.data() : matrix(l) + static_cast<std::size_t>(x[static_cast<std::size_t>(parents_[l])]) * n;
    x[l] = draw_index({weights, n}, u);
  }
}

std::shared_ptr<ScoreModel> MarkovTree::make_denoiser(Generator const& generator, bool at_revealed) const {
  return std::make_shared<TreeDenoiser>(*this, generator, at_revealed);
}

}  // namespace saltus
