// Which accesses of a block's threads are ordered by its barriers. An access is a 32-bit stamp, cheap enough to keep
// for each word of memory; a race is two stamps of which neither is ordered before the other.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace lexiscope::simt {

constexpr unsigned kWarpSize = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr unsigned kMaxWarps = kMaxThreads / kWarpSize;

/// Who accessed and when: epoch (barriers of the whole block since the worker's clocks began), thread of the block, and
/// the thread's own clock (its other barriers since). 0 is no access.
class Stamp {
 public:
  static constexpr unsigned kEpochs = 1u << 13, kClocks = 1u << 8;

  constexpr Stamp() = default;
  constexpr Stamp(unsigned epoch, unsigned thread, unsigned clock, bool atomic)
      : bits_(epoch << 19 | thread << 9 | clock << 1 | (atomic ? 1 : 0)) {}

  constexpr unsigned epoch() const { return bits_ >> 19; }
  constexpr unsigned thread() const { return bits_ >> 9 & (kMaxThreads - 1); }
  constexpr unsigned clock() const { return bits_ >> 1 & (kClocks - 1); }
  constexpr bool atomic() const { return (bits_ & 1) != 0; }
  constexpr Stamp as_atomic() const {
    Stamp stamp = *this;
    stamp.bits_ |= 1;
    return stamp;
  }
  constexpr explicit operator bool() const { return bits_ != 0; }
  constexpr bool operator==(const Stamp&) const = default;

 private:
  std::uint32_t bits_ = 0;
};

/// Vector clocks, thinned out by what CUDA's barriers are: __syncthreads orders everything, so it just begins an epoch;
/// __syncwarp orders lanes of one warp; a named barrier orders whole warps. Shuffles and votes order nothing.
class BlockClocks {
 public:
  /// A new block: nothing of the last one counts any more. True where the epochs were used up and begin again: then
  /// every stamp that was kept must be forgotten.
  [[nodiscard]] bool begin_block(unsigned threads);

  /// All threads of the block have met. The result is begin_block's.
  [[nodiscard]] bool sync_block();

  /// The lanes of `mask` of one warp have met. The result is begin_block's.
  [[nodiscard]] bool sync_warp(unsigned warp, std::uint32_t mask);

  /// The whole warps in `warps` have met. The result is begin_block's.
  [[nodiscard]] bool sync_warps(std::uint32_t warps);

  Stamp now(unsigned thread) const { return now_[thread]; }

  /// Does `earlier` happen before whatever `thread` does next?
  bool ordered(Stamp earlier, unsigned thread) const {
    if (earlier.epoch() != epoch_) return true;
    const unsigned other = earlier.thread();
    if (other == thread) return true;
    const unsigned warp = thread / kWarpSize, other_warp = other / kWarpSize;
    const unsigned lane = thread % kWarpSize, other_lane = other % kWarpSize;
    if (warp == other_warp) return earlier.clock() < within_[warp].seen[lane][other_lane];
    return across_ != nullptr && earlier.clock() < (*across_)[warp][other_warp][other_lane];
  }

 private:
  using LaneClocks = std::array<std::uint8_t, kWarpSize>;
  struct WarpClocks {
    std::array<LaneClocks, kWarpSize> seen;  // [lane][other lane]: every clock below it has been seen
    bool used;
  };
  using Across = std::array<std::array<LaneClocks, kMaxWarps>, kMaxWarps>;  // [warp][other warp][other lane]

  bool begin_epoch();
  bool tick(unsigned thread);

  unsigned epoch_ = 0, threads_ = 0;
  std::array<Stamp, kMaxThreads> now_;
  std::array<WarpClocks, kMaxWarps> within_{};
  std::unique_ptr<Across> across_;  // where named barriers have been used in this epoch
};

}  // namespace lexiscope::simt
