#pragma once

#include <cstddef>

#include "kernels/cpu/context.h"
#include "kernels/cpu/packed_weights.h"
#include "lexiscope/ops/certainty.h"

namespace lexiscope::cpu {

/// Tokens whose distribution is reduced together, whatever the number of threads: partial results are combined in the
/// order of these segments.
inline constexpr std::size_t kSegmentPanels = 64;

/// Bytes of Context::workspace that certainty needs: those of at most 256 rows, O(k V / 3072) each.
std::size_t certainty_workspace(const CertaintyArgs& args, const PackedWeights& head);

/// args.head is not read: `head` is what it holds.
void certainty(const CertaintyArgs& args, const PackedWeights& head, const Context& context);

}  // namespace lexiscope::cpu
