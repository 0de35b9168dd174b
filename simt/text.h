// Pieces of messages. Internal to simt/.
#pragma once

#include <vector_types.h>

#include <cstdint>
#include <string>

namespace lexiscope::simt {

struct Site;

std::string text_of(uint3 index);       ///< "(1, 2, 3)"
std::string text_of(const Site& site);  ///< "__syncthreads at FILE:LINE"
std::string hexadecimal(std::uint64_t value);

}  // namespace lexiscope::simt
