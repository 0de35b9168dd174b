// Whose turn it is: which of a block's ready threads runs on when one has to wait.
#include "simt/block.h"

namespace lexiscope::simt {

std::uint32_t Block::random() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return static_cast<std::uint32_t>(random_ >> 32);
}

void Block::set_ready(Thread& thread) {
  thread.state = Thread::State::kReady;
  warps_[thread.warp()].ready |= 1u << thread.lane();
  ready_warps_ |= 1u << thread.warp();
}

Thread* Block::lowest_ready_from(unsigned number) {
  if (ready_warps_ == 0) return nullptr;
  unsigned warp = number / kWarpSize % kMaxWarps;
  std::uint32_t lanes = warps_[warp].ready & (~0u << number % kWarpSize);
  if (lanes == 0) {  // the next warp upwards, or round to the first
    const std::uint32_t above = ready_warps_ & ~((2u << warp) - 1);
    warp = static_cast<unsigned>(__builtin_ctz(above != 0 ? above : ready_warps_));
    lanes = warps_[warp].ready;
  }
  return &threads_[warp * kWarpSize + static_cast<unsigned>(__builtin_ctz(lanes))];
}

Thread* Block::highest_ready_below(unsigned number) {
  if (ready_warps_ == 0) return nullptr;
  unsigned warp = number / kWarpSize % kMaxWarps;
  std::uint32_t lanes = warps_[warp].ready & ((1u << number % kWarpSize) - 1);
  if (lanes == 0) {
    const std::uint32_t below = ready_warps_ & ((1u << warp) - 1);
    warp = 31 - static_cast<unsigned>(__builtin_clz(below != 0 ? below : ready_warps_));
    lanes = warps_[warp].ready;
  }
  return &threads_[warp * kWarpSize + 31 - static_cast<unsigned>(__builtin_clz(lanes))];
}

Thread* Block::random_ready() {
  if (ready_warps_ == 0) return nullptr;
  const auto pick = [this](std::uint32_t among) {
    const unsigned turn = random() % 32;
    const std::uint32_t turned = among >> turn | among << (32 - turn) % 32;
    return (turn + static_cast<unsigned>(__builtin_ctz(turned))) % 32;
  };
  const unsigned warp = pick(ready_warps_);
  return &threads_[warp * kWarpSize + pick(warps_[warp].ready)];
}

Thread* Block::first_ready() {
  switch (schedule_) {
    case ThreadSchedule::kReverse:
      return highest_ready_below(0);
    case ThreadSchedule::kRandom:
      return random_ready();
    default:
      return lowest_ready_from(0);
  }
}

Thread* Block::next_ready() {
  const unsigned me = running_->number;
  switch (schedule_) {
    case ThreadSchedule::kReverse:
      return highest_ready_below(me);
    case ThreadSchedule::kRandom:
      return random_ready();
    case ThreadSchedule::kGreedyWarps:
      if (warps_[me / kWarpSize].ready != 0) return lowest_ready_from(me / kWarpSize * kWarpSize);
      return lowest_ready_from(me + 1);
    default:
      return lowest_ready_from(me + 1);
  }
}

void Block::yield_to(Thread* next, bool done) {
  Thread& me = *running_;
  if (next == &me) return;
  running_ = next;  // nobody: back to run(), which sees who is stuck
  switch_fiber(me.fiber, next != nullptr ? next->fiber : main_, done);
}

void Block::park(Thread::State state) {
  Thread& me = *running_;
  me.state = state;
  Warp& warp = warps_[me.warp()];
  warp.ready &= ~(1u << me.lane());
  if (warp.ready == 0) ready_warps_ &= ~(1u << me.warp());
  yield_to(next_ready());
}

}  // namespace lexiscope::simt
