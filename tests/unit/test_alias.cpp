// SPDX-License-Identifier: BSD-3-Clause
// Alias tables are finite: the probability of every column follows exactly from the entries.
#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include <saltus/ctmc/alias.hpp>

#include "reference/harness.hpp"

namespace saltus {
namespace {

using namespace reference;

struct Row {
  std::vector<token_t> columns;
  std::vector<double> weights;
  double own = 0;
};

struct HostTable {
  explicit HostTable(AliasTable const& table)
      : row_begin(Kokkos::create_mirror_view_and_copy(HostSpace(), table.row_begin)),
        entries(Kokkos::create_mirror_view_and_copy(HostSpace(), table.entries)),
        weight(Kokkos::create_mirror_view_and_copy(HostSpace(), table.weight)),
        total(Kokkos::create_mirror_view_and_copy(HostSpace(), table.total)),
        own(Kokkos::create_mirror_view_and_copy(HostSpace(), table.own)) {}
  Kokkos::View<std::int64_t const*, HostSpace> row_begin;
  Kokkos::View<AliasTable::Entry const*, HostSpace> entries;
  Kokkos::View<double const*, HostSpace> weight, total, own;

  std::map<token_t, long double> law(std::int64_t row) const {
    std::map<token_t, long double> p;
    auto const begin = row_begin(row), n = row_begin(row + 1) - begin;
    for (std::int64_t k = begin; k < begin + n; ++k) {
      long double const accept = entries(k).accept;
      EXPECT_TRUE(accept >= 0 && accept <= 1);
      p[entries(k).column()] += accept / static_cast<long double>(n);
      if (accept < 1) p[static_cast<token_t>(entries(k).target >> 32)] += (1 - accept) / static_cast<long double>(n);
    }
    return p;
  }
  token_t draw(std::int64_t row, double uniform) const {
    return static_cast<token_t>(AliasTable::draw(row_begin.data(), entries.data(), row, uniform));
  }
};

HostTable build(std::vector<Row> const& rows) {
  AliasBuilder builder;
  for (auto const& row : rows) builder.add_row(row.columns, row.weights, row.own);
  return HostTable(builder.build(ExecSpace()));
}

Row random_row(int n, std::uint64_t seed, double decades, double zeros = 0.2) {
  Row row;
  for (int i = 0; i < n; ++i) {
    auto const at = seed * 1'000'003 + static_cast<std::uint64_t>(i);
    row.columns.push_back(3 * i + 1);
    row.weights.push_back(scramble(2 * at) < zeros ? 0 : std::pow(10.0, decades * (scramble(2 * at + 1) - 0.5)));
  }
  row.own = scramble(seed + 9);
  return row;
}

TEST(Alias, ProbabilitiesAreTheWeights) {
  std::vector<Row> rows;
  std::uint64_t seed = 0;
  for (int const n : {1, 2, 3, 4, 5, 7, 8, 20, 61, 64, 333, 2000}) {
    for (double const decades : {0.0, 1.0, 6.0, 24.0}) rows.push_back(random_row(n, ++seed, decades));
    rows.push_back({});  // ragged: rows without weights between others
  }
  rows.push_back({{4, 8}, {0, 0}, 1});  // every weight 0
  rows.push_back({{0, 1, 2}, {1e-12, 1, 1e12}, 0});
  rows.push_back({{0, 1, 2, 3}, {1, 1, 1, 1}, 0});
  HostTable const table = build(rows);
  ASSERT_EQ(table.row_begin.extent(0), rows.size() + 1);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    SCOPED_TRACE(r);
    long double total = 0;
    std::map<token_t, double> positive;
    for (std::size_t i = 0; i < rows[r].columns.size(); ++i) {
      total += rows[r].weights[i];
      if (rows[r].weights[i] > 0) positive[rows[r].columns[i]] = rows[r].weights[i];
    }
    auto const row = static_cast<std::int64_t>(r);
    EXPECT_EQ(table.own(r), rows[r].own);
    EXPECT_NEAR(table.total(r), static_cast<double>(total), 1e-13 * static_cast<double>(total));
    ASSERT_EQ(table.row_begin(r + 1) - table.row_begin(r), static_cast<std::int64_t>(positive.size()));
    auto const law = table.law(row);
    EXPECT_LE(law.size(), positive.size());
    for (auto const& [column, weight] : positive) {
      auto const found = law.find(column);
      double const p = found == law.end() ? 0 : static_cast<double>(found->second);
      EXPECT_NEAR(p, static_cast<double>(weight / total),
                  2e-15 * std::max(1.0, std::sqrt(static_cast<double>(positive.size()))))
          << column;
    }
    for (std::int64_t k = table.row_begin(r); k < table.row_begin(r + 1); ++k) {
      EXPECT_EQ(table.weight(static_cast<std::size_t>(k)),
                positive.at(table.entries(static_cast<std::size_t>(k)).column()));
    }
  }
}

// The law from the entries is the law of draw(): an even comb of uniforms counts it out.
TEST(Alias, DrawsFollowTheEntries) {
  HostTable const table = build({random_row(3, 5, 1, 0), random_row(6, 6, 1, 0)});
  constexpr int comb = 3 << 18;
  for (std::int64_t row = 0; row < 2; ++row) {
    std::map<token_t, int> count;
    for (int i = 0; i < comb; ++i) ++count[table.draw(row, (i + 0.5) / comb)];
    for (auto const& [column, p] : table.law(row)) {
      EXPECT_NEAR(static_cast<double>(count[column]) / comb, static_cast<double>(p), 13.0 / comb) << column;
    }
  }
}

// The largest uniform falls into the last entry and never beyond, whatever the length.
TEST(Alias, EndsOfTheUnitInterval) {
  std::vector<Row> rows;
  std::vector<int> sizes;
  for (int n = 1; n <= 70; ++n) sizes.push_back(n);
  for (int k = 7; k <= 16; ++k) sizes.insert(sizes.end(), {(1 << k) - 1, 1 << k, (1 << k) + 1});
  for (int const n : sizes) rows.push_back(random_row(n, static_cast<std::uint64_t>(n), 3, 0));
  HostTable const table = build(rows);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    auto const row = static_cast<std::int64_t>(r);
    for (double const u : {0.0, 0x1p-53, 0.5, 1 - 0x1p-53}) {
      double const scaled = u * static_cast<double>(rows[r].columns.size());
      EXPECT_LT(static_cast<std::size_t>(scaled), rows[r].columns.size());
      token_t const y = table.draw(row, u);
      EXPECT_TRUE(y >= 1 && y <= rows[r].columns.back() && y % 3 == 1) << sizes[r] << " " << u;
    }
  }
}

}  // namespace
}  // namespace saltus
