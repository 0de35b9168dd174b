#pragma once

#include <string_view>

namespace lexiscope {

/// The widest target that the cpu engine's kernels use at present.
std::string_view simd_target();

/// Applies LEXISCOPE_SIMD once. Throws as set_simd_target does.
void apply_simd_environment();

}  // namespace lexiscope
