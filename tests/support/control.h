// What every operation with a Control owes it.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <stop_token>

#include "lexiscope/control.h"
#include "lexiscope/error.h"

namespace lexiscope::testing {

/// call(const Control*) reports progress up to 1, and ends with Error{kCancelled} once a stop was asked for.
template <typename Call>
void expect_control_is_honoured(Call&& call) {
  double done = 0;
  Control control{.stop = {}, .progress = [&](double share) { done = share; }};
  call(&control);
  EXPECT_EQ(done, 1);

  std::stop_source source;
  source.request_stop();
  control.stop = source.get_token();
  std::optional<ErrorCode> code;
  try {
    call(&control);
  } catch (const Error& error) {
    code = error.code();
  }
  EXPECT_EQ(code, ErrorCode::kCancelled);
}

}  // namespace lexiscope::testing
