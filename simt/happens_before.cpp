#include "simt/happens_before.h"

namespace lexiscope::simt {

bool BlockClocks::begin_block(unsigned threads) {
  threads_ = (threads + kWarpSize - 1) / kWarpSize * kWarpSize;
  return begin_epoch();
}

bool BlockClocks::sync_block() { return begin_epoch(); }

bool BlockClocks::begin_epoch() {
  const bool again = ++epoch_ == Stamp::kEpochs;
  if (again) epoch_ = 1;
  for (unsigned thread = 0; thread < threads_; ++thread) now_[thread] = Stamp(epoch_, thread, 0, false);
  for (WarpClocks& warp : within_)
    if (warp.used) warp = {};
  across_.reset();
  return again;
}

// The thread's next clock. False where there is none: then the whole block moves to a new epoch, as if it had met, and
// accesses that race across this point are missed; none is invented.
bool BlockClocks::tick(unsigned thread) {
  const Stamp now = now_[thread];
  if (now.clock() + 1 == Stamp::kClocks) return false;
  now_[thread] = Stamp(epoch_, thread, now.clock() + 1, false);
  return true;
}

bool BlockClocks::sync_warp(unsigned warp, std::uint32_t mask) {
  WarpClocks& clocks = within_[warp];
  clocks.used = true;
  LaneClocks joined{};
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<unsigned>(__builtin_ctz(rest));
    if (!tick(warp * kWarpSize + lane)) return begin_epoch();
    for (unsigned other = 0; other < kWarpSize; ++other)
      joined[other] = std::max(joined[other], clocks.seen[lane][other]);
  }
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<unsigned>(__builtin_ctz(rest));
    joined[lane] = static_cast<std::uint8_t>(now_[warp * kWarpSize + lane].clock());
  }
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) clocks.seen[__builtin_ctz(rest)] = joined;
  return false;
}

bool BlockClocks::sync_warps(std::uint32_t warps) {
  if (across_ == nullptr) across_ = std::make_unique<Across>();  // all zero: nothing seen
  for (std::uint32_t rest = warps; rest != 0; rest &= rest - 1)
    if (sync_warp(static_cast<unsigned>(__builtin_ctz(rest)), 0xffffffffu)) return true;
  if (across_ == nullptr) return false;  // a clock was used up, and all is ordered
  std::array<LaneClocks, kMaxWarps> joined{};
  for (std::uint32_t rest = warps; rest != 0; rest &= rest - 1) {
    const auto warp = static_cast<unsigned>(__builtin_ctz(rest));
    for (unsigned other = 0; other < kMaxWarps; ++other)
      for (unsigned lane = 0; lane < kWarpSize; ++lane)
        joined[other][lane] = std::max(joined[other][lane], (*across_)[warp][other][lane]);
  }
  for (std::uint32_t rest = warps; rest != 0; rest &= rest - 1) {
    const auto warp = static_cast<unsigned>(__builtin_ctz(rest));
    joined[warp] = within_[warp].seen[0];
  }
  for (std::uint32_t rest = warps; rest != 0; rest &= rest - 1) (*across_)[__builtin_ctz(rest)] = joined;
  return false;
}

}  // namespace lexiscope::simt
