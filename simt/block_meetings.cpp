// Where a block's threads wait for each other: its barriers, and the operations of a warp.
#include <cstring>
#include <iterator>

#include "simt/block.h"
#include "simt/sanitizers.h"
#include "simt/text.h"

namespace lexiscope::simt {
namespace {

bool same_line(SourceLine a, SourceLine b) { return a.line == b.line && std::strcmp(a.file, b.file) == 0; }

}  // namespace

// ---- barriers ----

void Block::forget_stamps_if(bool wrapped) {
  if (!wrapped) return;
  shared_shadow_.forget_stamps();
  global_shadow_.forget_stamps();
}

unsigned Block::sync_block(unsigned value, const char* operation, SourceLine line) {
  const InsideEmulator inside;
  Thread& me = *running_;
  me.site = {operation, line};
  if (live_ < thread_count_) {
    for (unsigned i = 0; i < thread_count_; ++i)
      if (threads_[i].state == Thread::State::kReturned)
        fail(
            FaultKind::kExitBeforeBarrier,
            [&] {
              return "waits at " + text_of(me.site) + ", but thread " + text_of(threads_[i].index) + " has returned";
            },
            line);
  }
  if (at_barrier_ == 0) {
    barrier_site_ = me.site;
    barrier_votes_ = 0;
  } else if (!same_line(barrier_site_.line, line)) {
    fail(
        FaultKind::kDivergentBarrier,
        [&] { return "waits at " + text_of(me.site) + " while others wait at " + text_of(barrier_site_); }, line);
  }
  barrier_votes_ += value != 0 ? 1 : 0;
  const unsigned phase = sanitizer_phase(me.block_barriers);
  sanitizer_release(&tsan_barrier_[phase]);
  if (++at_barrier_ < thread_count_) {
    park(Thread::State::kAtBlockBarrier);
  } else {
    at_barrier_ = 0;
    barrier_result_ = barrier_votes_;
    forget_stamps_if(clocks_.sync_block());
    for (unsigned i = 0; i < thread_count_; ++i) set_ready(threads_[i]);
    if (schedule_ != ThreadSchedule::kGreedyWarps) yield_to(first_ready());
  }
  sanitizer_acquire(&tsan_barrier_[phase]);
  return barrier_result_;
}

void Block::sync_named(unsigned number, unsigned threads, SourceLine line) {
  const InsideEmulator inside;
  Thread& me = *running_;
  me.site = {"bar.sync", line};
  me.named_barrier = number;
  const auto which = [&] { return "bar.sync " + std::to_string(number) + ", " + std::to_string(threads); };
  if (number >= std::size(named_) || threads == 0 || threads % kWarpSize != 0 || threads > thread_count_)
    fail(
        FaultKind::kDivergentBarrier,
        [&] {
          return which() + ": there are barriers 0 to 15, for a multiple of 32 threads of the " +
                 std::to_string(thread_count_) + " that the block has";
        },
        line);
  NamedBarrier& barrier = named_[number];
  if (barrier.arrived == 0) barrier.expected = threads;
  if (barrier.expected != threads)
    fail(
        FaultKind::kDivergentBarrier,
        [&] { return which() + ", but others wait there for " + std::to_string(barrier.expected) + " threads"; }, line);
  const unsigned phase = sanitizer_phase(me.named_barriers[number]);
  sanitizer_release(&tsan_named_[number][phase]);
  barrier.waiting.push_back(me.number);
  barrier.warps |= 1u << me.warp();
  if (++barrier.arrived == threads) {
    release_named(barrier);
  } else {
    park(Thread::State::kAtNamedBarrier);
  }
  sanitizer_acquire(&tsan_named_[number][phase]);
}

void Block::release_named(NamedBarrier& barrier) {
  const auto warps = static_cast<unsigned>(__builtin_popcount(barrier.warps));
  if (warps * kWarpSize != barrier.arrived)
    fail(
        FaultKind::kDivergentBarrier,
        [&] {
          return "bar.sync counts whole warps, but " + std::to_string(barrier.arrived) + " threads of " +
                 std::to_string(warps) + " warps are at it";
        },
        running_->site.line);
  forget_stamps_if(clocks_.sync_warps(barrier.warps));
  for (const unsigned number : barrier.waiting) set_ready(threads_[number]);
  barrier = {};
}

// ---- operations of a warp ----

void Block::check_lanes_agree(std::uint32_t mask) {
  const Thread& me = *running_;
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const Thread& other = threads_[me.warp() * kWarpSize + static_cast<unsigned>(__builtin_ctz(rest))];
    if (other.mask == me.mask && other.operation == me.operation && same_line(other.site.line, me.site.line)) continue;
    fail(
        FaultKind::kDivergentWarp,
        [&] {
          return text_of(me.site) + " with mask " + hexadecimal(me.mask) + " meets thread " + text_of(other.index) +
                 " in " + text_of(other.site) + " with mask " + hexadecimal(other.mask);
        },
        me.site.line);
  }
}

void Block::meet_in_warp(std::uint32_t mask, WarpOperation operation, Exchange* exchange, Site site,
                         bool orders_memory) {
  Thread& me = *running_;
  Warp& warp = warps_[me.warp()];
  me.site = site;
  me.mask = mask;
  me.operation = operation;
  warp.exchanges[me.lane()] = exchange;
  if ((mask >> me.lane() & 1) == 0)
    fail(
        FaultKind::kDivergentWarp,
        [&] {
          return std::string(site.operation) + ": lane " + std::to_string(me.lane()) + " is not in its own mask " +
                 hexadecimal(mask);
        },
        site.line);
  if ((mask & ~warp.live) != 0)
    fail(
        FaultKind::kDivergentWarp,
        [&] {
          return std::string(site.operation) + ": mask " + hexadecimal(mask) +
                 " names lanes that have returned or do not exist: " + hexadecimal(mask & ~warp.live);
        },
        site.line);
  warp.arrived |= 1u << me.lane();
  if ((warp.arrived & mask) != mask) {
    park(Thread::State::kInWarpOperation);
    return;
  }
  check_lanes_agree(mask);
  if (operation != nullptr) operation(warp.exchanges, mask);
  if (orders_memory) forget_stamps_if(clocks_.sync_warp(me.warp(), mask));
  warp.arrived &= ~mask;
  warp.ready |= mask;
  ready_warps_ |= 1u << me.warp();
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1)
    threads_[me.warp() * kWarpSize + static_cast<unsigned>(__builtin_ctz(rest))].state = Thread::State::kReady;
}

void Block::warp_operation(std::uint32_t mask, WarpOperation operation, Exchange* exchange, const char* name,
                           SourceLine line) {
  const InsideEmulator inside;
  meet_in_warp(mask, operation, exchange, {name, line}, false);
}

void Block::sync_warp(std::uint32_t mask, SourceLine line) {
  const InsideEmulator inside;
  const unsigned phase = sanitizer_phase(running_->warp_barriers);
  char* meeting = &tsan_warp_[running_->warp()][phase];
  sanitizer_release(meeting);
  meet_in_warp(mask, nullptr, nullptr, {"__syncwarp", line}, true);
  sanitizer_acquire(meeting);
}

}  // namespace lexiscope::simt
