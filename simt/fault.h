// What a kernel did wrong. A real device would hang, give wrong numbers or report an error much later; here the kernel
// stops at once and the fault says where.
#pragma once

#include <vector_types.h>

#include <stdexcept>
#include <string>

namespace lexiscope::simt {

enum class FaultKind {
  kInvalidLaunch,      ///< no blocks, no threads, or more threads or shared memory than a block can have
  kDivergentBarrier,   ///< threads of a block wait at different barriers
  kExitBeforeBarrier,  ///< threads have returned while others of their block wait for them
  kDivergentWarp,      ///< lanes of a mask not all at the same shuffle, vote, mma, ...; or a lane outside its own mask
  kInactiveLane,       ///< a shuffle reads from a lane that is not in the mask
  kUninitializedShared,  ///< a read of shared memory that this block never wrote
  kPendingCopy,          ///< shared memory touched between cp.async and the wait for it
  kMisaligned,           ///< an address that is no multiple of the access's size
  kOutOfBounds,          ///< an address outside the launch's shared memory and every live device allocation
  kRace,                 ///< two threads of a block touch the same byte, one writes, and no barrier lies between
};

const char* name_of(FaultKind kind);

/// what() names kernel, block, thread, what happened and the source line where that is known.
class Fault : public std::runtime_error {
 public:
  Fault(FaultKind kind, std::string kernel, uint3 block, uint3 thread, const std::string& message);

  FaultKind kind() const noexcept { return kind_; }
  const std::string& kernel() const noexcept { return kernel_; }
  uint3 block() const noexcept { return block_; }
  uint3 thread() const noexcept { return thread_; }

 private:
  FaultKind kind_;
  std::string kernel_;
  uint3 block_;
  uint3 thread_;
};

}  // namespace lexiscope::simt
