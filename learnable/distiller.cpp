// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/distiller.hpp>

#include <algorithm>

#include <saltus/ctmc/error.hpp>

namespace saltus {
namespace {
struct Entry {
  char const* name;
  std::unique_ptr<Distiller> (*make)(Parameters const&);
};
std::vector<Entry> const& entries() {
  static std::vector<Entry> const list{
#define SALTUS_DISTILLER(name) {#name, &make_##name},
#include <saltus/learnable/distillers.def>
#undef SALTUS_DISTILLER
  };
  return list;
}
}  // namespace

std::vector<std::string> distiller_names() {
  std::vector<std::string> names;
  for (auto const& entry : entries()) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<Distiller> make_distiller(std::string_view text) {
  auto const parameters = Parameters::parse("method", text);
  for (auto const& entry : entries()) {
    if (parameters.name() == entry.name) return entry.make(parameters);
  }
  throw UserError(unknown_name("method", parameters.name(), distiller_names()));
}

}  // namespace saltus
