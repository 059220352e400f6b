// SPDX-License-Identifier: BSD-3-Clause
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include <saltus/models/markov_chain.hpp>
#include <saltus/models/model_hash.hpp>
#include <saltus/models/product.hpp>

namespace saltus {
namespace {

namespace fs = std::filesystem;

TEST(ModelHash, LawsAreToldApartByTheirNumbers) {
  std::vector<double> const initial{0.25, 0.75}, rows{0.5, 0.5, 0.125, 0.875};
  MarkovChain const chain(4, 2, initial, rows);
  std::string const hash = model_hash(chain);
  EXPECT_EQ(hash.size(), 16u);
  EXPECT_EQ(hash.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(model_hash(MarkovChain(4, 2, initial, rows)), hash);
  std::vector<double> near = rows;
  near[0] += 1e-9;
  near[1] -= 1e-9;
  std::vector<double> const sites = chain.site_marginals();
  std::set<std::string> const all{hash,
                                  model_hash(MarkovChain(4, 2, initial, near)),
                                  model_hash(MarkovChain(5, 2, initial, rows)),
                                  model_hash(MarkovChain(4, 2, initial, rows, "another")),
                                  model_hash(MarkovChain(4, 2, {0.75, 0.25}, rows)),
                                  model_hash(ProductLaw(4, 2, sites)),  // the same laws of sites
                                  model_hash(hash, "temperature 0.5"),
                                  model_hash(hash, "temperature 0.6")};
  EXPECT_EQ(all.size(), 8u);
  // Sequences fitted to.
  std::vector<token_t> const some{0, 1, 0, 1, 1, 0, 0, 0}, others{0, 1, 0, 1, 1, 0, 0, 1};
  EXPECT_EQ(model_hash(MarkovChain::fit(some, 2, 4, 2, 1, false)), model_hash(MarkovChain::fit(some, 2, 4, 2, 1, false)));
  EXPECT_NE(model_hash(MarkovChain::fit(some, 2, 4, 2, 1, false)), model_hash(MarkovChain::fit(others, 2, 4, 2, 1, false)));
}

TEST(ModelHash, NetworksAreToldApartByTheirBytes) {
  fs::path const folder = fs::temp_directory_path() / ("saltus_model_hash_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  auto const write = [&](std::string const& bytes) { std::ofstream(folder / "w", std::ios::binary) << bytes; };
  BackboneManifest manifest;
  manifest.name = "net";
  manifest.file = "w";
  manifest.alphabet = Alphabet("ACGT", "chars:ACGT");
  manifest.states = 5;
  write(std::string("a\0b", 3));
  std::string const hash = model_hash(manifest, folder.string());
  manifest.name = "another name";
  manifest.about = "{}";
  EXPECT_EQ(model_hash(manifest, folder.string()), hash) << "what a model is called does not matter";
  write(std::string("a\0c", 3));
  EXPECT_NE(model_hash(manifest, folder.string()), hash);
  write(std::string("a\0b", 3));
  manifest.alphabet = Alphabet("AGCT", "chars:AGCT");
  EXPECT_NE(model_hash(manifest, folder.string()), hash);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace saltus
