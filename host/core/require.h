// Checks of arguments. Host code only: nvcc does not take fmt's headers, so no .cu file includes this.
#pragma once

#include <fmt/format.h>

#include <utility>

#include "lexiscope/error.h"

namespace lexiscope {

/// Throws Error{code} with the formatted message.
template <typename... Values>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Values...> message, Values&&... values) {
  throw Error(code, fmt::format(message, std::forward<Values>(values)...));
}

/// Throws Error{kInvalidArgument} with the formatted message unless `holds`.
template <typename... Values>
void require(bool holds, fmt::format_string<Values...> message, Values&&... values) {
  if (!holds) fail(ErrorCode::kInvalidArgument, message, std::forward<Values>(values)...);
}

}  // namespace lexiscope
