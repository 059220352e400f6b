// SPDX-License-Identifier: BSD-3-Clause
#include "methods.hpp"

#include <algorithm>
#include <cctype>

#include <saltus/ctmc/error.hpp>
#include <saltus/integrators/registry.hpp>

namespace saltus::app {
namespace {

// "tweedie+remasking" with the parameter becomes "tweedie:categorical=gumbel32+remasking".
std::string with_categorical(std::string const& method, std::string const& value) {
  auto const plus = method.find('+');
  std::string const name = method.substr(0, plus);
  return name + (name.find(':') == name.npos ? ":" : ",") + "categorical=" + value +
         (plus == method.npos ? "" : method.substr(plus));
}

}  // namespace

std::vector<std::string> read_methods(Options const& options) {
  std::vector<std::string> methods = options.command() == command_compare
                                         ? options.list("integrators", split_integrators)
                                         : std::vector{options.text("integrator")};
  for (auto& method : methods) {
    make_integrator(method);
    if (options.text("categorical") == "exact") continue;
    method = with_categorical(method, options.text("categorical"));
    make_integrator(method);
  }
  return methods;
}

bool read_revealed_sites(std::vector<std::string> const& methods) {
  return std::ranges::any_of(methods, [](auto const& method) { return method.find("+informed") != method.npos; });
}

std::string file_name(std::string method) {
  auto const plain = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '.' || c == '-' || c == '+'; };
  std::ranges::replace_if(method, [&](char c) { return !plain(static_cast<unsigned char>(c)); }, '_');
  return method;
}

}  // namespace saltus::app
