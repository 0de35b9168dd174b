// What a call that should fail says.
#pragma once

#include <string>

#include "lexiscope/error.h"

namespace lexiscope::testing {

/// The message of the Error{kInvalidArgument} that the call throws; "no error" without one.
template <typename Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code() == ErrorCode::kInvalidArgument ? error.what() : "another code";
  }
  return "no error";
}

}  // namespace lexiscope::testing
