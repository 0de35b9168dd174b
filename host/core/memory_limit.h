// How much memory a job may still take: asked before it starts, so that a refusal costs nothing.
#pragma once

#include <cstdint>
#include <string_view>

namespace lexiscope {

/// The lesser of what the system has available (MemAvailable) and what the process's address-space limit leaves it. The
/// largest value where neither is known.
std::uint64_t available_memory();

/// All of the machine's memory, 0 where it is not known.
std::uint64_t total_memory();

/// The most that this process has held at once.
std::uint64_t peak_memory();

/// Throws Error{kOutOfMemory} naming the work, the bytes needed and those available, where they do not fit.
void require_memory(std::string_view work, std::uint64_t needed);

}  // namespace lexiscope
