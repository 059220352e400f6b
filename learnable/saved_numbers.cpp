// SPDX-License-Identifier: BSD-3-Clause
#include <saltus/learnable/saved_numbers.hpp>

#include <charconv>

#include <saltus/ctmc/error.hpp>

namespace saltus {

void save_numbers(std::string& text, std::span<double const> numbers) {
  for (double const x : numbers) text += " " + to_text(x);
}

void require_whole(bool whole) { require(whole, "the state to resume from is cut off; start anew"); }

std::vector<double> restore_numbers(std::string const& text, std::string const& head, std::string const& method) {
  require(text.starts_with(head + " "), "the state to resume from is of another run of " + method + ": expected '" + head +
                                            "', got '" + text.substr(0, head.size()) + "'; start anew");
  std::vector<double> numbers;
  char const* place = text.data() + head.size();
  char const* const end = text.data() + text.size();
  while (place < end) {
    double x = 0;
    auto const [next, error] = std::from_chars(place + 1, end, x);
    require_whole(error == std::errc());
    numbers.push_back(x);
    place = next;
  }
  return numbers;
}

}  // namespace saltus
