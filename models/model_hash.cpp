// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/models/model_hash.hpp>

#include <cstdio>
#include <filesystem>
#include <string_view>

#include <saltus/ctmc/io/atomic_file.hpp>

namespace saltus {
namespace {

class Hash {
 public:
  void add(std::string_view bytes) {
    for (char const c : bytes) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    state_ *= 0x100000001b3u;  // an end, so that pieces do not run together
  }
  void add(std::int64_t number) { add(std::to_string(number)); }
  void add(double number) {
    char text[32];
    // Below 1e-12 of a probability there is only rounding.
    std::snprintf(text, sizeof text, "%.12g", number > -1e-12 && number < 1e-12 ? 0.0 : number);
    add(std::string_view(text));
  }
  std::string text() const {
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(state_));
    return digits;
  }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

constexpr std::uint64_t seed = 0x4A54'1E50'0016;
constexpr std::uint64_t draws = 16;

}  // namespace

std::string model_hash(SequenceLaw const& law) {
  Hash hash;
  hash.add(law.name());
  hash.add(std::int64_t{law.length()});
  hash.add(std::int64_t{law.states()});
  for (double const p : law.site_marginals()) hash.add(p);
  std::vector<token_t> x(static_cast<std::size_t>(law.length()));
  for (std::uint64_t i = 0; i < draws; ++i) {
    law.draw(seed, i, x);
    hash.add(law.log_likelihood(x));
  }
  return hash.text();
}

std::string model_hash(BackboneManifest const& manifest, std::string const& folder) {
  Hash hash;
  hash.add(std::int64_t{manifest.states});
  hash.add(std::int64_t{manifest.columns});
  for (std::int64_t const id : manifest.token_ids) hash.add(id);
  for (token_t y = 0; y < manifest.alphabet.size(); ++y) hash.add(manifest.alphabet.shown(y));
  hash.add(manifest.output);
  hash.add(std::int64_t{static_cast<int>(manifest.time)});
  hash.add(read_file((std::filesystem::path(folder) / manifest.file).string()));
  return hash.text();
}

std::string model_hash(std::string const& hash, std::string const& change) {
  Hash changed;
  changed.add(hash);
  changed.add(change);
  return changed.text();
}

}  // namespace saltus
