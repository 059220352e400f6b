// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <exception>
#include <string>
#include <vector>

#include <gtest/gtest.h>

/// What exceptions say; needs nothing of the library.
namespace saltus::reference {

template <class Error, class Action>
std::string message_of(Action const& action) {
  try {
    action();
  } catch (Error const& error) {
    return error.what();
  } catch (std::exception const& error) {
    ADD_FAILURE() << "another exception was thrown: " << error.what();
    return {};
  }
  ADD_FAILURE() << "the expected exception was not thrown";
  return {};
}

/// Whether `message` holds every one of `parts`.
inline testing::AssertionResult says(std::string const& message, std::vector<std::string> const& parts) {
  for (auto const& part : parts) {
    if (message.find(part) == std::string::npos) {
      return testing::AssertionFailure() << "'" << part << "' is not in: " << message;
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace saltus::reference

#define EXPECT_SAYS(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)
