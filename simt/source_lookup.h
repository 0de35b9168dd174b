#pragma once

#include <string>

namespace lexiscope::simt {

/// "FILE:LINE" of the call that returns to `program_counter`, as the debug information has it (addr2line reads it); the
/// module and the offset in it where there is none.
std::string source_line_of(const void* program_counter);

}  // namespace lexiscope::simt
