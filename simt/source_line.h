// The place in a kernel's source that a call was made from, for messages. std::source_location would do, but clang 14
// does not have it.
#pragma once

namespace lexiscope::simt {

struct SourceLine {
  const char* file = "";
  int line = 0;

  /// As a default argument this is the caller's line.
  static constexpr SourceLine current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

}  // namespace lexiscope::simt
