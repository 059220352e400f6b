// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace saltus {

/// The caller asked for something that cannot be done: a wrong option, file or combination. Exit code 2.
/// The message says what was expected, what came, and how to mend it.
struct UserError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A check that the program made of itself did not hold. Exit code 3.
struct CheckError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Numbers went wrong (NaN or infinite scores, no possible target). Exit code 4.
struct NumericalError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// An output could not be written. Exit code 5 when it happens during a run, 2 when it is seen before one.
struct OutputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Something that must hold inside the library does not: a defect of Saltus.
struct InternalError : std::logic_error {
  using std::logic_error::logic_error;
};

/// Throws UserError with `message` unless `condition` holds.
inline void require(bool condition, std::string const& message) {
  if (!condition) throw UserError(message);
}

[[noreturn]] void internal_error(std::string_view what, std::source_location where = std::source_location::current());

/// The shortest text that reads back as the same double.
std::string to_text(double value);

/// The names of `known` that are nearest to `given` by edit distance (at most `count`), nearest first: those at most one
/// edit further than the nearest, and none that differs in more than half of its characters (2 are always allowed).
std::vector<std::string> nearest_names(std::string_view given, std::vector<std::string> const& known, int count = 3);

/// "unknown integrator 'tweedi'; did you mean tweedie? Known: euler, gillespie, tweedie."
std::string unknown_name(std::string_view kind, std::string_view given, std::vector<std::string> const& known);

}  // namespace saltus

/// Internal invariant on the host; on in every build, since it stands outside loops.
#define SALTUS_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::saltus::internal_error("assertion failed: " #condition))
