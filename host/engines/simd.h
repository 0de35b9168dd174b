#pragma once

#include <string_view>

namespace lexiscope {

/// The widest target that the cpu engine's kernels use at present.
std::string_view simd_target();

/// Whether they use the processor's tile registers beside it.
bool tiles_in_use();

/// Applies LEXISCOPE_SIMD once. Throws as set_simd_target does.
void apply_simd_environment();

}  // namespace lexiscope
