#include "simt/fault.h"

#include <utility>

#include "simt/text.h"

namespace lexiscope::simt {
const char* name_of(FaultKind kind) {
  switch (kind) {
    case FaultKind::kInvalidLaunch:
      return "invalid launch";
    case FaultKind::kDivergentBarrier:
      return "divergent barrier";
    case FaultKind::kExitBeforeBarrier:
      return "exit before a barrier";
    case FaultKind::kDivergentWarp:
      return "divergent warp";
    case FaultKind::kInactiveLane:
      return "inactive lane";
    case FaultKind::kUninitializedShared:
      return "uninitialized shared memory";
    case FaultKind::kPendingCopy:
      return "missing wait for cp.async";
    case FaultKind::kMisaligned:
      return "misaligned access";
    case FaultKind::kOutOfBounds:
      return "access out of bounds";
    case FaultKind::kRace:
      return "race";
  }
  return "fault";
}

Fault::Fault(FaultKind kind, std::string kernel, uint3 block, uint3 thread, const std::string& message)
    : std::runtime_error(std::string(name_of(kind)) + " in kernel " + kernel + ", block " + text_of(block) +
                         ", thread " + text_of(thread) + ": " + message),
      kind_(kind),
      kernel_(std::move(kernel)),
      block_(block),
      thread_(thread) {}

}  // namespace lexiscope::simt
