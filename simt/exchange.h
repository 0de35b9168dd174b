// The common ground of operations in which the lanes of a warp exchange values. Internal to simt/.
#pragma once

#include <cstdint>

#include "simt/block.h"

namespace lexiscope::simt {

struct Exchange {};

template <typename Visit>
void for_each_lane(std::uint32_t mask, const Visit& visit) {
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) visit(static_cast<unsigned>(__builtin_ctz(rest)));
}

}  // namespace lexiscope::simt
