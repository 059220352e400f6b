// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <saltus/ctmc/error.hpp>
#include <saltus/ctmc/io/generators.hpp>
#include <saltus/ctmc/io/npy.hpp>

#include "reference/messages.hpp"

namespace saltus {
namespace {

namespace fs = std::filesystem;

using reference::message_of;

constexpr char const* residues = "ACDEFGHIKLMNPQRSTVWY";

bool mentions(NamedGenerator const& g, std::string const& part) {
  for (auto const& note : g.notes) {
    if (note.find(part) != note.npos) return true;
  }
  return false;
}

/// Detailed balance with the stationary law and one expected jump per unit time.
void expect_reversible_and_normalised(NamedGenerator const& g) {
  auto const pi = g.generator.stationary();
  double mean = 0, largest = 0;
  int const n = g.generator.states();
  for (int x = 0; x < n; ++x) {
    mean += pi[static_cast<std::size_t>(x)] * g.generator.exit_rate(x);
    for (int y = 0; y < x; ++y) {
      double const there = pi[static_cast<std::size_t>(x)] * g.generator.rate(x, y);
      largest = std::max(largest, std::abs(there - pi[static_cast<std::size_t>(y)] * g.generator.rate(y, x)));
    }
  }
  EXPECT_NEAR(mean, 1, 1e-12) << g.description;
  EXPECT_LE(largest, 1e-14) << g.description;
  EXPECT_TRUE(g.generator.reversible()) << g.description;
  EXPECT_TRUE(g.generator.irreducible());
  EXPECT_EQ(g.generator.kind(), Generator::Kind::dense);
  EXPECT_TRUE(mentions(g, "normalised to one expected jump"));
  EXPECT_EQ(g.alphabet.size(), n);
}

void expect_same_rates(Generator const& a, Generator const& b, double tolerance) {
  ASSERT_EQ(a.states(), b.states());
  for (token_t x = 0; x < a.states(); ++x) {
    for (token_t y = 0; y < a.states(); ++y) EXPECT_NEAR(a.rate(x, y), b.rate(x, y), tolerance) << x << ' ' << y;
  }
}

TEST(IoGenerators, Jc69IsItsClosedForm) {
  auto const g = read_generator("jc69");
  EXPECT_EQ(g.alphabet, Alphabet::nucleotides());
  expect_reversible_and_normalised(g);
  for (double const t : {0.01, 0.3, 2.0}) {
    auto const p = g.generator.transition_matrix(t);
    for (std::size_t i = 0; i < 16; ++i) {
      double const e = std::exp(-4 * t / 3);
      EXPECT_NEAR(p[i], i % 5 == 0 ? 0.25 + 0.75 * e : 0.25 - 0.25 * e, 1e-13);
    }
  }
}

TEST(IoGenerators, Hky85AndK80AreTheirClosedForms) {
  struct Case {
    std::string text;
    double kappa;
    std::vector<double> pi;  // A, C, G, T
  };
  for (auto const& [text, kappa, pi] :
       {Case{"hky85:kappa=3.5,freqs=0.1,0.2,0.3,0.4", 3.5, {0.1, 0.2, 0.3, 0.4}},
        Case{"hky85:freqs=0.4,0.1,0.15,0.35", 2, {0.4, 0.1, 0.15, 0.35}},
        Case{"k80:kappa=0.7", 0.7, {0.25, 0.25, 0.25, 0.25}}, Case{"k80", 2, {0.25, 0.25, 0.25, 0.25}}}) {
    auto const g = read_generator(text);
    expect_reversible_and_normalised(g);
    double const r = pi[0] + pi[2], y = pi[1] + pi[3];
    double const beta = 1 / (2 * (pi[0] * pi[2] + pi[1] * pi[3]) * kappa + 2 * r * y);
    for (double const t : {0.02, 0.5, 3.0}) {
      auto const p = g.generator.transition_matrix(t);
      for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t j = 0; j < 4; ++j) {
          double const of_class = j % 2 == 0 ? r : y, a = 1 + of_class * (kappa - 1);
          double const slow = std::exp(-beta * t), fast = std::exp(-beta * a * t);
          double expected = pi[j] * (1 - slow);
          if (i == j) expected = pi[j] + pi[j] * (1 / of_class - 1) * slow + (of_class - pi[j]) / of_class * fast;
          if (i != j && i % 2 == j % 2) expected = pi[j] + pi[j] * (1 / of_class - 1) * slow - pi[j] / of_class * fast;
          EXPECT_NEAR(p[4 * i + j], expected, 1e-12) << text << ' ' << i << j;
        }
      }
    }
  }
}

TEST(IoGenerators, Gtr) {
  expect_same_rates(read_generator("gtr:rates=1,3.5,1,1,3.5,1,freqs=0.1,0.2,0.3,0.4").generator,
                    read_generator("hky85:kappa=3.5,freqs=0.1,0.2,0.3,0.4").generator, 1e-14);
  auto const g = read_generator("gtr:rates=1,2,3,4,5,6,freqs=0.1,0.2,0.3,0.4");
  expect_reversible_and_normalised(g);
  // The ratio of two rates out of one state is that of s_ij pi_j.
  EXPECT_NEAR(g.generator.rate(0, 1) / g.generator.rate(0, 2), 1 * 0.2 / (2 * 0.3), 1e-13);  // AC to AG
  EXPECT_NEAR(g.generator.rate(0, 3) / g.generator.rate(0, 2), 3 * 0.4 / (2 * 0.3), 1e-13);  // AT
  EXPECT_NEAR(g.generator.rate(1, 2) / g.generator.rate(1, 3), 4 * 0.3 / (5 * 0.4), 1e-13);  // CG to CT
  EXPECT_NEAR(g.generator.rate(3, 2) / g.generator.rate(3, 0), 6 * 0.3 / (3 * 0.1), 1e-13);  // GT to AT
}

TEST(IoGenerators, AminoAcidModels) {
  for (std::string const name : {"lg", "wag", "jtt"}) {
    auto const g = read_generator(name);
    EXPECT_EQ(g.alphabet, Alphabet::amino_acids());
    EXPECT_EQ(g.generator.name(), name);
    expect_reversible_and_normalised(g);
  }
  // Other frequencies: exchangeabilities stay, the stationary law is the one given.
  std::string text = "lg:freqs=";
  std::vector<double> pi;
  for (int i = 1; i <= 20; ++i) {
    pi.push_back(i / 210.0);
    text += (i > 1 ? "," : "") + to_text(pi.back());
  }
  auto const g = read_generator(text);
  expect_reversible_and_normalised(g);
  auto const law = g.generator.stationary();
  for (std::size_t i = 0; i < 20; ++i) EXPECT_NEAR(law[i], pi[i], 1e-12);
  auto const lg = read_generator("lg").generator;
  auto const own = lg.stationary();
  double const ratio = g.generator.rate(0, 1) / pi[1] / (lg.rate(0, 1) / own[1]);
  for (token_t x = 0; x < 20; ++x) {
    for (token_t y = 0; y < 20; ++y) {
      if (x == y) continue;
      auto const to = static_cast<std::size_t>(y);
      EXPECT_NEAR(g.generator.rate(x, y) / pi[to] / (lg.rate(x, y) / own[to]), ratio, 1e-9);
    }
  }
}

TEST(IoGenerators, CodonsOfTheStandardCode) {
  auto const g = read_generator("codon");
  EXPECT_EQ(g.alphabet.width(), 3);
  EXPECT_EQ(g.alphabet.size(), 61);
  for (std::string const stop : {"TAA", "TAG", "TGA"}) EXPECT_FALSE(g.alphabet.find(stop)) << stop;
  EXPECT_EQ(g.alphabet.find("AAA"), 0);
  EXPECT_EQ(g.alphabet.find("AAC"), 1);
  EXPECT_EQ(g.alphabet.find("TTT"), 60);
  expect_reversible_and_normalised(g);
}

TEST(IoGenerators, CodonRatesByHand) {
  auto const flat = read_generator("codon:kappa=1,omega=1").generator;
  auto const words = read_generator("codon").alphabet;
  auto const rate = [&](Generator const& g, std::string const& from, std::string const& to) {
    return g.rate(words.find(from).value(), words.find(to).value());
  };
  // All single changes between sense codons at one rate: a graph walk, 526 of 61 * 9 = 549 changes avoid a stop codon.
  int edges = 0;
  for (token_t x = 0; x < 61; ++x) {
    for (token_t y = 0; y < 61; ++y) {
      if (x == y || flat.rate(x, y) == 0) continue;
      ++edges;
      EXPECT_NEAR(flat.rate(x, y), 61.0 / 526, 1e-13);
    }
  }
  EXPECT_EQ(edges, 526);
  auto const g = read_generator("codon:kappa=3,omega=0.2").generator;
  double const unit = rate(g, "GCC", "GCA");                          // Ala, synonymous transversion
  EXPECT_NEAR(rate(g, "GCC", "GCT") / unit, 3, 1e-12);                // synonymous transition
  EXPECT_NEAR(rate(g, "GCC", "TCC") / unit, 0.2, 1e-12);              // Ala -> Ser, transversion
  EXPECT_NEAR(rate(g, "GCC", "ACC") / unit, 0.6, 1e-12);              // Ala -> Thr, transition
  EXPECT_NEAR(rate(g, "CTA", "TTA") / unit, 3, 1e-12);                // Leu, first position
  EXPECT_NEAR(rate(g, "ATG", "ATA") / unit, 0.6, 1e-12);              // Met -> Ile
  EXPECT_NEAR(rate(g, "TGT", "TGG") / unit, 0.2, 1e-12);              // Cys -> Trp
  EXPECT_EQ(rate(g, "GCC", "GAA"), 0);                                // two changes
}

TEST(IoGenerators, CodonFrequencies) {
  auto const words = read_generator("codon").alphabet;
  std::vector<double> const one{0.1, 0.2, 0.3, 0.4}, two{0.25, 0.25, 0.25, 0.25}, three{0.4, 0.3, 0.2, 0.1};
  auto const expect_products = [&](NamedGenerator const& g, std::vector<std::vector<double>> const& of) {
    expect_reversible_and_normalised(g);
    std::vector<double> expected;
    for (token_t x = 0; x < 61; ++x) {
      std::string const word = words.text(std::vector<token_t>{x});
      double product = 1;
      for (std::size_t i = 0; i < 3; ++i) product *= of[i][std::string("ACGT").find(word[i])];
      expected.push_back(product);
    }
    double const sum = std::accumulate(expected.begin(), expected.end(), 0.0);
    auto const law = g.generator.stationary();
    for (std::size_t x = 0; x < 61; ++x) EXPECT_NEAR(law[x], expected[x] / sum, 1e-12);
  };
  expect_products(read_generator("codon:freqs=0.1,0.2,0.3,0.4,kappa=3"), {one, one, one});
  expect_products(read_generator("codon:freqs=0.1,0.2,0.3,0.4,0.25,0.25,0.25,0.25,0.4,0.3,0.2,0.1"), {one, two, three});
  std::string text = "codon:omega=0.5,freqs=";
  for (int i = 1; i <= 61; ++i) text += (i > 1 ? "," : "") + to_text(i / 1891.0);
  auto const law = read_generator(text).generator.stationary();
  for (int i = 1; i <= 61; ++i) EXPECT_NEAR(law[static_cast<std::size_t>(i - 1)], i / 1891.0, 1e-12);
}

TEST(IoGenerators, OtherNames) {
  EXPECT_EQ(read_generator("uniform:states=7").generator.kind(), Generator::Kind::uniform);
  EXPECT_EQ(read_generator("uniform:states=7").alphabet, Alphabet::numbered(7));
  EXPECT_EQ(read_generator("absorbing:states=7").generator.mask(), 6);
  auto const path = read_generator("path:states=5").generator;
  EXPECT_EQ(path.rate(2, 3), 1);
  EXPECT_TRUE(path.ordinal());
  EXPECT_EQ(read_generator("path:states=5").notes.size(), 0u);
  auto const gauss = read_generator("gaussian_target:states=8,rate_sigma=2,target_sigma=3").generator;
  expect_same_rates(gauss, Generator::gaussian_target(8, 2, 3), 0);
  auto const births = read_generator("birth_death:birth=0.5,death=2").generator;
  EXPECT_EQ(births.kind(), Generator::Kind::population);
  EXPECT_EQ(births.rate(4, 5), 2);
  EXPECT_EQ(births.rate(4, 3), 8);
  auto const arrivals = read_generator("immigration_death:immigration=3,death=2,batch=4");
  EXPECT_EQ(arrivals.generator.rate(1, 5), 3);
  EXPECT_EQ(arrivals.generator.rate(1, 0), 2);
  EXPECT_EQ(arrivals.alphabet, Alphabet::numbered(std::numeric_limits<token_t>::max()));
  for (auto const& name : generator_names()) {
    // Every name is known: what it lacks is parameters.
    try {
      read_generator(name);
    } catch (UserError const& error) {
      EXPECT_SAYS(std::string(error.what()), "generator '" + name + "'");
    }
  }
}

TEST(IoGenerators, NormalisesNames) {
  auto const g = read_generator("path:states=3", {.normalise = true});
  EXPECT_NEAR(g.generator.mean_rate(), 1, 1e-14);
  EXPECT_NEAR(g.generator.rate(0, 1), 0.75, 1e-14);  // (1 + 2 + 1) / 3 before
  EXPECT_TRUE(mentions(g, "normalised"));
  EXPECT_EQ(read_generator("jc69", {.normalise = true}).notes.size(), 1u);
  auto const message = message_of<UserError>([] { read_generator("uniform:states=3", {.normalise = true}); });
  EXPECT_SAYS(message, "its rates are fixed by its name");
}

TEST(IoGenerators, RefusesNames) {
  auto const refusal = [](std::string const& text) { return message_of<UserError>([&] { read_generator(text); }); };
  EXPECT_SAYS(refusal("hky:kappa=2"), "unknown generator (and no such file) 'hky'; did you mean");
  EXPECT_SAYS(refusal("/no/such/file.txt"), "/no/such/file.txt");
  for (std::string const name : {"uniform", "absorbing", "path", "gaussian_target"}) {
    EXPECT_SAYS(refusal(name), "needs the number of states");
  }
  EXPECT_SAYS(refusal("absorbing:states=1"), "'states' must be a whole number from 2");
  EXPECT_SAYS(refusal("uniform:states=2.5"), "got 2.5");
  EXPECT_SAYS(refusal("path:states=5000"), "to 4096");
  EXPECT_SAYS(refusal("path:states=5,rate=2"), "rate");
  EXPECT_SAYS(refusal("birth_death:birth=1"), "needs 'death'");
  EXPECT_SAYS(refusal("birth_death:birth=-1,death=1"), "at least 0, got -1");
  EXPECT_SAYS(refusal("immigration_death:death=1"), "needs 'immigration'");
  EXPECT_SAYS(refusal("immigration_death:immigration=1,death=1,batch=0"), "'batch' must be a whole number from 1");
  EXPECT_SAYS(refusal("jc69:kappa=2"), "kappa");
  EXPECT_SAYS(refusal("k80:kappa=0"), "'kappa' must be a number above 0, got 0");
  EXPECT_SAYS(refusal("k80:kappa=inf"), "'kappa' must be a number above 0");
  EXPECT_SAYS(refusal("hky85:kappa=2"), "'freqs' takes 4 numbers in the order A,C,G,T, got 0");
  EXPECT_SAYS(refusal("hky85:freqs=0.1,0.2,0.7"), "got 3");
  EXPECT_SAYS(refusal("hky85:freqs=0.1,0.2,0.3,0.5"), "must sum to 1, got 1.1");
  EXPECT_SAYS(refusal("hky85:freqs=0,0.2,0.3,0.5"), "must be above 0, got 0");
  EXPECT_SAYS(refusal("gtr:freqs=0.1,0.2,0.3,0.4"), "'rates' takes 6 numbers in the order AC,AG,AT,CG,CT,GT, got 0");
  EXPECT_SAYS(refusal("gtr:rates=1,1,-1,1,1,1,freqs=0.1,0.2,0.3,0.4"), "'rates' must be above 0, got -1");
  EXPECT_SAYS(refusal("gtr:rates=1,1,1,1,1,1"), "'freqs' takes 4 numbers");
  EXPECT_SAYS(refusal("lg:freqs=0.5,0.5"), "'freqs' takes 20 numbers in the order ACDEFGHIKLMNPQRSTVWY, got 2");
  EXPECT_SAYS(refusal("codon:omega=0"), "'omega' must be a number above 0");
  EXPECT_SAYS(refusal("codon:freqs=0.5,0.5"), "4 numbers (A,C,G,T), 12");
  EXPECT_SAYS(refusal("codon:freqs=0.1,0.2,0.3,0.4,0.25,0.25,0.25,0.25,0.4,0.3,0.2,0.6"), "must sum to 1, got 1.5");
}

class IoGeneratorFiles : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(directory_); }
  void TearDown() override { fs::remove_all(directory_); }
  std::string path(std::string const& name = "file") const { return (directory_ / name).string(); }
  NamedGenerator read(std::string const& bytes, GeneratorOptions const& options = {}) const {
    std::ofstream(path(), std::ios::binary) << bytes;
    return read_generator(path(), options);
  }
  std::string refusal(std::string const& bytes, GeneratorOptions const& options = {}) const {
    auto const message = message_of<UserError>([&] { read(bytes, options); });
    EXPECT_SAYS(message, path() + "'");
    return message;
  }
  fs::path directory_ = fs::temp_directory_path() / ("saltus-test-io-generators-" + std::to_string(::getpid()));
};

// The chain of all layouts below.
Generator three_states() { return Generator::dense("three", 3, {-3, 1, 2, 0.5, -0.5, 0, 0, 4, -4}); }

TEST_F(IoGeneratorFiles, LayoutsOfText) {
  for (std::string const text :
       {"\tX\tY\tZ\nX\t-3\t1\t2\nY\t0.5\t-0.5\t0\nZ\t0\t4\t-4\n",         // CherryML
        "state X Y Z\nX -3 1 2\nY 5e-1 -0.5 0\nZ 0 4 -4\n",               // a name of the names
        ",X,Y,Z\r\nX,-3,1,2\r\nY, 0.5,-0.5,0\r\nZ,0,+4,-4",               // CSV of pandas
        "X Y Z\n-3 1 2\n0.5 -0.5 0\n0 4 -4\n",                            // columns only
        "# made by hand\nX -3 1 2\n\nY 0.5 -0.5 0\nZ 0 4 -4\n"}) {        // rows only
    auto const g = read(text);
    expect_same_rates(g.generator, three_states(), 0);
    EXPECT_EQ(g.alphabet.symbols(), "XYZ") << text;
    EXPECT_EQ(g.generator.kind(), Generator::Kind::dense);
    EXPECT_FALSE(g.generator.ordinal());
  }
  for (std::string const text : {"-3 1 2\n0.5 -0.5 0\n0 4 -4\n", "0\t1\t2\n0\t-3\t1\t2\n1\t0.5\t-0.5\t0\n2\t0\t4\t-4\n",
                                 "0 1 2\n-3 1 2\n0.5 -0.5 0\n0 4 -4\n", ",0,1,2\n0,-3,1,2\n1,0.5,-0.5,0\n2,0,4,-4\n"}) {
    auto const g = read(text);
    expect_same_rates(g.generator, three_states(), 0);
    EXPECT_EQ(g.alphabet, Alphabet::numbered(3)) << text;
  }
  auto const words = read("AA AB BA\n-3 1 2\n0.5 -0.5 0\n0 4 -4\n");
  EXPECT_EQ(words.alphabet.width(), 2);
  EXPECT_EQ(words.alphabet.find("BA"), 2);
  auto const names = read("on off broken\n-3 1 2\n0.5 -0.5 0\n0 4 -4\n");
  EXPECT_EQ(names.alphabet, Alphabet::numbered(3));
  EXPECT_TRUE(mentions(names, "0 is 'on', 1 is 'off', 2 is 'broken'"));
}

TEST_F(IoGeneratorFiles, Npy) {
  std::vector<double> const rates = three_states().matrix();
  write_npy(path(), {3, 3}, rates);
  auto const g = read_generator(path());
  expect_same_rates(g.generator, three_states(), 0);
  EXPECT_EQ(g.alphabet, Alphabet::numbered(3));
  auto const refused = [&] { return message_of<UserError>([&] { read_generator(path()); }); };
  write_npy(path(), {1, 9}, rates);
  EXPECT_SAYS(refused(), "has shape [1, 9]; a generator is a square matrix");
  write_npy(path(), {9}, rates);
  EXPECT_SAYS(refused(), "has shape [9]");
}

TEST_F(IoGeneratorFiles, MatrixMarket) {
  std::string const head = "%%MatrixMarket matrix coordinate real general\n% a comment\n";
  for (std::string const body : {"3 3 5\n1 2 1\n1 3 2\n2 1 0.5\n3 2 4\n3 1 0\n",
                                 "3 3 7\n3 3 -4\n3 2 4\n\n1 1 -3\n2 1 .5\n2 2 -5e-1\n1 3 2\n1 2 1\n"}) {
    auto const g = read(head + body);
    expect_same_rates(g.generator, three_states(), 0);
    EXPECT_EQ(g.generator.kind(), Generator::Kind::sparse);
    EXPECT_EQ(g.alphabet, Alphabet::numbered(3));
  }
  auto const symmetric =
      read("%%matrixmarket MATRIX coordinate integer symmetric\n3 3 4\n2 1 1\n3 2 5\n1 1 -1\n2 2 -6\n").generator;
  expect_same_rates(symmetric, Generator::dense("s", 3, {-1, 1, 0, 1, -6, 5, 0, 5, -5}), 0);
  EXPECT_EQ(read(head + "2 2 0\n").generator.max_exit_rate(), 0);
}

TEST_F(IoGeneratorFiles, RefusesMatrixMarket) {
  std::string const head = "%%MatrixMarket matrix coordinate real general\n";
  for (std::string const bad :
       {"%%MatrixMarket matrix array real general\n", "%%MatrixMarket matrix coordinate pattern general\n",
        "%%MatrixMarket matrix coordinate real skew-symmetric\n", "%%Matrix\n"}) {
    EXPECT_SAYS(refusal(bad + "2 2 0\n"), "line 1: expected '%%MatrixMarket matrix coordinate'");
  }
  EXPECT_SAYS(refusal(head), "has no line with the numbers of rows, columns and entries");
  EXPECT_SAYS(refusal(head + "2 2\n"), "line 2: expected the numbers of rows, columns and entries, got 2 numbers");
  EXPECT_SAYS(refusal(head + "2 3 0\n"), "line 2: 2 3 0: a generator has as many rows as columns");
  EXPECT_SAYS(refusal(head + "0 0 0\n"), "line 2: expected a whole number from 1 to 2147483647, got '0'");
  EXPECT_SAYS(refusal(head + "2 2 x\n"), "expected the number of entries, got 'x'");
  EXPECT_SAYS(refusal(head + "2 2 2\n1 2 1\n"), "has 1 entries, expected 2");
  EXPECT_SAYS(refusal(head + "2147483647 2147483647 1\n1 2 1\n"), "has 2147483647 states, of which its 1 entries can name but a few");
  EXPECT_SAYS(refusal(head + "2 2 1\n1 3 1\n"), "line 3: expected a whole number from 1 to 2, got '3'");
  EXPECT_SAYS(refusal(head + "2 2 1\n1 2\n"), "line 3: expected row, column and rate, got 2 numbers");
  EXPECT_SAYS(refusal(head + "2 2 1\n1 2 x\n"), "line 3: expected a rate, got 'x'");
  EXPECT_SAYS(refusal(head + "2 2 1\n1 2 -1\n"), "line 3, row 1, column 2: rates off the diagonal are >= 0, got -1");
  EXPECT_SAYS(refusal(head + "2 2 1\n1 2 nan\n"), "line 3, row 1, column 2: expected a finite rate");
  EXPECT_SAYS(refusal(head + "2 2 2\n1 2 1\n1 2 2\n"), "row 1, column 2 comes twice");
  EXPECT_SAYS(refusal(head + "2 2 2\n2 2 0\n2 2 0\n"), "row 2, column 2 comes twice");
  std::string const unbalanced = head + "2 2 2\n1 1 -2\n1 2 1\n";
  EXPECT_SAYS(refusal(unbalanced), "row 1: the rates of a row sum to 0, this one to -1");
  EXPECT_EQ(read(unbalanced, {.fix_diagonal = true}).generator.exit_rate(0), 1);
  EXPECT_SAYS(refusal(head + "1 1 1\n1 1 nan\n"), "row 1: the rates of a row sum to 0");
  EXPECT_SAYS(refusal("%%MatrixMarket matrix coordinate real symmetric\n2 2 1\n1 2 1\n"),
              "line 3: this entry is above the diagonal");
}

TEST_F(IoGeneratorFiles, LargeMatrixMarket) {
  // Ten jumps a state round a ring of a hundred thousand.
  int const states = 100000, jumps = 10;
  std::string text = "%%MatrixMarket matrix coordinate real general\n100000 100000 1000000\n";
  for (int x = 0; x < states; ++x) {
    for (int k = jumps; k >= 1; --k)
      text += std::to_string(x + 1) + ' ' + std::to_string((x + k) % states + 1) + " 0." + std::to_string(k) + '\n';
  }
  auto const g = read(text);
  EXPECT_EQ(g.generator.states(), states);
  EXPECT_EQ(g.generator.jumps().rate.size(), 1000000u);
  EXPECT_EQ(g.generator.rate(99999, 4), 0.5);
  EXPECT_TRUE(g.notes.empty());
  EXPECT_SAYS(message_of<UserError>([&] { read_generator(path(), {.normalise = true}); }),
              "at most 4096 states, it has 100000");
}

TEST_F(IoGeneratorFiles, RefusesText) {
  EXPECT_SAYS(refusal(""), "is empty");
  EXPECT_SAYS(refusal("# nothing\n"), "is empty");
  EXPECT_SAYS(refusal("A B C\n"), "has names but no rates");
  EXPECT_SAYS(refusal(std::string("-1 1\n1 -1\n\0", 11)), "is a binary file");
  EXPECT_SAYS(refusal("-1 1\n1 -1\n0 0\n"), "has 3 rows and 2 columns of rates; a generator is square");
  EXPECT_SAYS(refusal("A B\nA -1 1\nB 1 -1\nC 0 0\n"), "has 3 rows and 2 columns of rates");
  EXPECT_SAYS(refusal("-1 1\n1\n"), "line 2: row 2 has 1 entries, expected 2 as in row 1");
  EXPECT_SAYS(refusal("A B C D\n-1 1\n1 -1\n"), "the first line has 4 names, expected 2");
  EXPECT_SAYS(refusal("A B\nB -1 1\nA 1 -1\n"), "line 2: row 1 is called 'B', column 1 ('A')");
  EXPECT_SAYS(refusal("A A\n-1 1\n1 -1\n"), "two states are called 'A'");
  EXPECT_SAYS(refusal("A B\nA -1 1\nB x -1\n"), "line 3, row 2 ('B'), column 1 ('A'): expected a number, got 'x'");
  EXPECT_SAYS(refusal("-1,1\n,-1\n"), "line 2, row 2, column 1: expected a number, got ''");
  EXPECT_SAYS(refusal("A B\nA -1 nan\nB 1 -1\n"), "row 1 ('A'), column 2 ('B'): expected a finite rate, got nan");
  EXPECT_SAYS(refusal("1 -1\n1 -1\n"), "row 1, column 2: rates off the diagonal are >= 0, got -1");
  EXPECT_SAYS(refusal("nan 1\n1 -1\n"), "row 1: the rates of a row sum to 0");
  auto const message = refusal("A B\nA -1 1\nB 1 -1.5\n");
  EXPECT_SAYS(message, "row 2 ('B'): the rates of a row sum to 0, this one to -0.5");
  EXPECT_SAYS(message, "--fix-diagonal sets the diagonal");
}

TEST_F(IoGeneratorFiles, RowSumsAreComparedWithTheExitRate) {
  EXPECT_EQ(read("-1000 1000.009\n1 -1\n").generator.rate(0, 0), -1000.009);
  EXPECT_SAYS(refusal("-1000 1000.011\n1 -1\n"), "row 1");
  EXPECT_EQ(read("-1e-9 1.000009e-9\n1 -1\n").generator.exit_rate(0), 1.000009e-9);
  EXPECT_SAYS(refusal("-1e-9 2e-9\n1 -1\n"), "row 1");
  auto const fixed = read("7 1\n3 nan\n", {.fix_diagonal = true}).generator;
  EXPECT_EQ(fixed.rate(0, 0), -1);
  EXPECT_EQ(fixed.rate(1, 1), -3);
  EXPECT_SAYS(refusal("7 -1\n3 0\n", {.fix_diagonal = true}), "row 1, column 2");
}

TEST_F(IoGeneratorFiles, Notes) {
  EXPECT_TRUE(mentions(read("A B\n-1 1\n0 0\n"), "state 'B' is absorbing"));
  EXPECT_TRUE(mentions(read("-1 1\n0 0\n"), "state 1 (row 2 of the file) is absorbing"));
  auto const two = read("A B C\n-2 1 1\n0 0 0\n0 0 0\n");
  EXPECT_TRUE(mentions(two, "2 states are absorbing, no jump leaves them; the first is 'B'"));
  EXPECT_TRUE(mentions(two, "there are 2 closed classes"));
  auto const left = read("-1 1 0\n0 -1 1\n0 1 -1\n");
  EXPECT_TRUE(mentions(left, "some states cannot be reached from the others"));
  EXPECT_FALSE(mentions(left, "not normalised"));
  // Stationary law (1/4, 3/4): mean rate 2 * 3 / 4.
  auto const fast = read("-3 3\n1 -1\n");
  EXPECT_TRUE(mentions(fast, "not normalised: mean rate 1.5 jumps per unit time"));
  auto const normalised = read("-3 3\n1 -1\n", {.normalise = true});
  EXPECT_NEAR(normalised.generator.rate(0, 1), 2, 1e-14);
  EXPECT_TRUE(mentions(normalised, "normalised to one expected jump"));
  EXPECT_EQ(normalised.notes.size(), 1u);
  EXPECT_TRUE(read("-1 1\n1 -1\n").notes.empty());
  EXPECT_SAYS(refusal("-1 1\n0 0\n", {.normalise = true}), "comes to rest in an absorbing state");
  EXPECT_SAYS(refusal("-2 1 1\n0 0 0\n0 0 0\n", {.normalise = true}), "2 closed classes");
}

/// A file of PAML with equal exchangeabilities but one, and the frequencies given for the order of PAML.
std::string paml(std::string const& frequencies, std::string const& end = "\nnotes 1 2 3\n") {
  std::string text = "\n";
  for (int i = 1; i < 20; ++i) {
    for (int j = 0; j < i; ++j) text += i == 1 ? "7 " : "1 ";
    text += '\n';
  }
  return text + '\n' + frequencies + end;
}

TEST_F(IoGeneratorFiles, Paml) {
  std::string frequencies;
  std::vector<double> pi;
  for (int i = 1; i <= 20; ++i) {
    pi.push_back(i / 210.0);
    frequencies += to_text(pi.back()) + (i == 10 ? "\n" : " ");
  }
  auto const g = read(paml(frequencies));
  EXPECT_EQ(g.alphabet, Alphabet::amino_acids());
  expect_reversible_and_normalised(g);
  auto const law = g.generator.stationary();
  std::string const order = "ARNDCQEGHILKMFPSTWYV";
  for (std::size_t i = 0; i < 20; ++i) EXPECT_NEAR(law[std::string(residues).find(order[i])], pi[i], 1e-12);
  auto const token = [&](char c) { return g.alphabet.find(c).value(); };
  EXPECT_NEAR(g.generator.rate(token('A'), token('R')) / g.generator.rate(token('A'), token('V')), 7 * pi[1] / pi[19],
              1e-10);
}

TEST_F(IoGeneratorFiles, RefusesPaml) {
  std::string equal;
  for (int i = 0; i < 20; ++i) equal += "0.05 ";
  EXPECT_SAYS(refusal("1\n1 x\n"),
              "line 2: expected exchangeability 3 of 190 as in files of PAML, a number >= 0, got 'x'");
  EXPECT_SAYS(refusal("1\n1 -2\n"), "exchangeability 3 of 190");
  EXPECT_SAYS(refusal("1\n1 2\n"), "ends after 3 numbers");
  EXPECT_SAYS(refusal(paml("0.5 notes")), "expected frequency 2 of 20");
  EXPECT_SAYS(refusal(paml("0 0.5")), "expected frequency 1 of 20 as in files of PAML, a number above 0, got '0'");
  EXPECT_SAYS(refusal(paml(equal.substr(5) + "0.5 ")), "the 20 frequencies sum to 1.45");
  EXPECT_NO_THROW(read(paml(equal, "")));
}

/// What the maintainers keep beside the checkout; not part of it.
std::string rates_folder() { return std::string(SALTUS_SOURCE_DIR) + "/../shared/data/proteins/rates/"; }

TEST(IoGeneratorData, ShippedModelsAreThePublishedOnes) {
  if (!fs::exists(rates_folder())) GTEST_SKIP() << "no " << rates_folder();
  auto const compare = [](std::string const& name, std::string const& file, double tolerance) {
    expect_same_rates(read_generator(name).generator, read_generator(rates_folder() + file).generator, tolerance);
  };
  compare("lg", "lg.dat", 1e-6);
  compare("wag", "wag.dat", 1e-6);
  compare("jtt", "jones.dat", 3e-6);  // its source has six decimals: 5e-7 for each rate, 19 of which make an exit rate
}

TEST(IoGeneratorData, AllFilesOfPaml) {
  if (!fs::exists(rates_folder())) GTEST_SKIP() << "no " << rates_folder();
  int files = 0;
  for (auto const& entry : fs::directory_iterator(rates_folder())) {
    if (entry.path().extension() != ".dat") continue;
    ++files;
    expect_reversible_and_normalised(read_generator(entry.path().string()));
  }
  EXPECT_EQ(files, 12);
}

TEST(IoGeneratorData, FilesOfCherryMl) {
  if (!fs::exists(rates_folder())) GTEST_SKIP() << "no " << rates_folder();
  for (std::string const name : {"lg", "wag", "jtt"}) {
    auto const g = read_generator(rates_folder() + "cherryml_" + name + ".txt");
    EXPECT_EQ(g.alphabet.symbols(), "ARNDCQEGHILKMFPSTWYV");
    EXPECT_NEAR(g.generator.mean_rate(), 1, 1e-5);
    auto const shipped = read_generator(name);
    for (token_t x = 0; x < 20; ++x) {
      for (token_t y = 0; y < 20; ++y) {
        auto const a = *shipped.alphabet.find(g.alphabet.symbol(x)), b = *shipped.alphabet.find(g.alphabet.symbol(y));
        EXPECT_NEAR(g.generator.rate(x, y), shipped.generator.rate(a, b), 3e-6);
      }
    }
  }
  EXPECT_EQ(read_generator(rates_folder() + "cherryml_lg_with_gaps.txt").alphabet.symbols().back(), '-');
  EXPECT_EQ(read_generator(rates_folder() + "cherryml_equ.txt").generator.states(), 20);
}

TEST_F(IoGeneratorFiles, FourHundredPairsOfCherryMl) {
  std::string const packed = rates_folder() + "cherryml_coevolution400.txt.xz";
  if (!fs::exists(packed)) GTEST_SKIP() << "no " << packed;
  EXPECT_SAYS(message_of<UserError>([&] { read_generator(packed); }), "is a binary file");
  if (std::system(("xz -dc '" + packed + "' > '" + path() + "' 2> /dev/null").c_str()) != 0) GTEST_SKIP() << "no xz";
  auto const g = read_generator(path());
  EXPECT_EQ(g.generator.states(), 400);
  EXPECT_EQ(g.alphabet.width(), 2);
  EXPECT_EQ(g.alphabet.find("AR"), 1);
  auto const stationary = g.generator.stationary();
  std::ifstream published(rates_folder() + "cherryml_coevolution400_stationary.txt");
  std::string name, value;
  published >> name >> value;
  for (std::size_t x = 0; published >> name >> value; ++x) {
    ASSERT_LT(x, 400u);
    EXPECT_EQ(g.alphabet.find(name), static_cast<token_t>(x));
    EXPECT_NEAR(stationary[x], std::stod(value), 1e-6);
  }
}

}  // namespace
}  // namespace saltus
