#include "simt/block.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#include "simt/sanitizers.h"
#include "simt/source_lookup.h"

namespace lexiscope::simt {
namespace {

thread_local Block* current_block = nullptr;

constexpr unsigned kSharedAlignment = 1024;
constexpr int kPoison = 0xff;  // NaN in every floating-point type

std::string text_of(uint3 index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) + ")";
}

std::string text_of(const Site& site) {
  std::string text = site.operation;
  if (site.line.line > 0) text += std::string(" at ") + site.line.file + ":" + std::to_string(site.line.line);
  return text;
}

std::string hexadecimal(std::uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

bool same_line(SourceLine a, SourceLine b) { return a.line == b.line && std::strcmp(a.file, b.file) == 0; }

uint3 position_of(unsigned number, dim3 block) {
  return {number % block.x, number / block.x % block.y, number / (block.x * block.y)};
}

const char* name_of(Access access) {
  return access == Access::kRead ? "read" : access == Access::kWrite ? "write" : "atomic";
}

}  // namespace

thread_local Block* checked_block = nullptr;

Block& running_block(const char* function) {
  if (current_block == nullptr) throw std::logic_error(std::string(function) + " is called outside a kernel");
  return *current_block;
}

InsideEmulator::InsideEmulator() : block_(checked_block) {
  checked_block = nullptr;
  ignore_accesses_begin();
}

InsideEmulator::~InsideEmulator() {
  ignore_accesses_end();
  checked_block = block_;
}

// Where every fiber begins.
void thread_main() {
  Block& block = *current_block;
  finish_first_switch(block.main_);
  sanitizer_acquire(&block.tsan_begin_);
  // The arguments lie on the fiber's own stack, where the kernel may read them.
  const std::byte* top = block.running_->fiber.stack + FiberStacks::kStackBytes;
  auto* const* arguments = reinterpret_cast<void* const*>(top - block.argument_bytes_);
  const Kernel& kernel = *block.launch_->kernel;
  checked_block = &block;
  kernel.call(kernel.function, arguments);
  checked_block = nullptr;
  sanitizer_release(&block.tsan_end_);
  block.thread_returns();
}

Block::Block() : threads_(kMaxThreads) {
  void* arena = mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED) throw std::bad_alloc();
  arena_ = static_cast<std::byte*>(arena);
  shared_begin_ = reinterpret_cast<std::uintptr_t>(arena_) + kSharedOffset;
}

Block::~Block() {
  unpoison(arena_, kArenaBytes);
  munmap(arena_, kArenaBytes);
  for (Thread& thread : threads_) release_fiber(thread.fiber);
}

std::optional<Fault> Block::run(const GridLaunch& launch, uint3 block_index, const ScheduleOptions& schedule,
                                const GlobalMemory& memory) {
  const InsideEmulator inside;
  launch_ = &launch;
  memory_ = &memory;
  last_allocation_ = nullptr;
  index_ = block_index;
  current_block = this;
  begin(schedule);
  running_ = first_ready();
  switch_fiber(main_, running_->fiber, false);
  sanitizer_acquire(&tsan_end_);
  if (!fault_ && live_ > 0) stalled();
  current_block = nullptr;
  if (!fault_) return std::nullopt;
  for (Thread& thread : threads_) release_fiber(thread.fiber);
  return make_fault();
}

void Block::begin(const ScheduleOptions& schedule) {
  fault_.reset();
  schedule_ = schedule.threads;
  random_ = (schedule.seed + 1) * 0x9e3779b97f4a7c15u ^ (index_.x + index_.y * 7919ull + index_.z * 104729ull + 1);
  thread_count_ = live_ = launch_->block.x * launch_->block.y * launch_->block.z;
  at_barrier_ = 0;
  for (NamedBarrier& barrier : named_) barrier = {};
  for (Warp& warp : warps_) warp.live = warp.arrived = warp.ready = 0;
  ready_warps_ = 0;

  auto* shared = reinterpret_cast<std::byte*>(shared_begin_);
  unpoison(arena_, kArenaBytes);
  std::memset(shared, kPoison, launch_->shared_bytes);
  poison(arena_, kSharedOffset);
  poison(shared + launch_->shared_bytes, kArenaBytes - kSharedOffset - launch_->shared_bytes);
  shared_shadow_.begin_block();
  forget_stamps_if(clocks_.begin_block(thread_count_));

  adopt_os_thread(main_);
  sanitizer_release(&tsan_begin_);
  const std::size_t pointers = launch_->arguments.offsets().size() * sizeof(void*);
  argument_bytes_ = (launch_->arguments.size() + pointers + 63) / 64 * 64;
  stacks_.reserve(thread_count_);
  for (unsigned number = 0; number < thread_count_; ++number) begin_thread(number);
}

void Block::begin_thread(unsigned number) {
  Thread& thread = threads_[number];
  thread.number = number;
  thread.index = position_of(number, launch_->block);
  thread.site = {};
  thread.copies.clear();
  thread.copy_group = 0;
  thread.fiber.stack = stacks_.stack(number);
  thread.fiber.stack_bytes = FiberStacks::kStackBytes;
  prepare_fiber(thread.fiber, argument_bytes_, thread_main);

  // Pointers to the arguments, then the arguments, at the top of the stack.
  const KernelArguments& arguments = launch_->arguments;
  std::byte* pointers = thread.fiber.stack + FiberStacks::kStackBytes - argument_bytes_;
  std::byte* values = thread.fiber.stack + FiberStacks::kStackBytes - arguments.size();
  if (arguments.size() > 0) std::memcpy(values, arguments.data(), arguments.size());
  for (std::size_t i = 0; i < arguments.offsets().size(); ++i) {
    const void* value = values + arguments.offsets()[i];
    std::memcpy(pointers + i * sizeof(void*), &value, sizeof(void*));
  }
  warps_[thread.warp()].live |= 1u << thread.lane();
  set_ready(thread);
}

void Block::thread_returns() {
  ignore_accesses_begin();
  Thread& me = *running_;
  me.state = Thread::State::kReturned;
  me.site = {"its end", {}};
  Warp& warp = warps_[me.warp()];
  warp.live &= ~(1u << me.lane());
  warp.ready &= ~(1u << me.lane());
  if (warp.ready == 0) ready_warps_ &= ~(1u << me.warp());
  --live_;
  Thread* next = next_ready();
  ignore_accesses_end();
  yield_to(next, true);
}

// ---- whose turn it is ----

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
        fail(FaultKind::kExitBeforeBarrier,
             "waits at " + text_of(me.site) + ", but thread " + text_of(threads_[i].index) + " has returned", line);
  }
  if (at_barrier_ == 0) {
    barrier_site_ = me.site;
    barrier_votes_ = 0;
  } else if (!same_line(barrier_site_.line, line)) {
    fail(FaultKind::kDivergentBarrier,
         "waits at " + text_of(me.site) + " while others wait at " + text_of(barrier_site_), line);
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
  const std::string which = "bar.sync " + std::to_string(number) + ", " + std::to_string(threads);
  if (number >= std::size(named_) || threads == 0 || threads % kWarpSize != 0 || threads > thread_count_)
    fail(FaultKind::kDivergentBarrier,
         which + ": there are barriers 0 to 15, for a multiple of 32 threads of the " + std::to_string(thread_count_) +
             " that the block has",
         line);
  NamedBarrier& barrier = named_[number];
  if (barrier.arrived == 0) barrier.expected = threads;
  if (barrier.expected != threads)
    fail(FaultKind::kDivergentBarrier,
         which + ", but others wait there for " + std::to_string(barrier.expected) + " threads", line);
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
    fail(FaultKind::kDivergentBarrier,
         "bar.sync counts whole warps, but " + std::to_string(barrier.arrived) + " threads of " +
             std::to_string(warps) + " warps are at it",
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
    fail(FaultKind::kDivergentWarp,
         text_of(me.site) + " with mask " + hexadecimal(me.mask) + " meets thread " + text_of(other.index) + " in " +
             text_of(other.site) + " with mask " + hexadecimal(other.mask),
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
    fail(FaultKind::kDivergentWarp,
         std::string(site.operation) + ": lane " + std::to_string(me.lane()) + " is not in its own mask " +
             hexadecimal(mask),
         site.line);
  if ((mask & ~warp.live) != 0)
    fail(FaultKind::kDivergentWarp,
         std::string(site.operation) + ": mask " + hexadecimal(mask) +
             " names lanes that have returned or do not exist: " + hexadecimal(mask & ~warp.live),
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

// ---- memory ----

std::byte* Block::shared_memory(std::size_t bytes, std::size_t alignment, SourceLine line) {
  const InsideEmulator inside;
  if (bytes > launch_->shared_bytes)
    fail(FaultKind::kOutOfBounds,
         "shared_memory asks for " + std::to_string(bytes) + " bytes, but the launch gave the block " +
             std::to_string(launch_->shared_bytes),
         line);
  if (alignment > kSharedAlignment)
    fail(FaultKind::kMisaligned,
         "shared memory is aligned to " + std::to_string(kSharedAlignment) + " bytes, not to " +
             std::to_string(alignment),
         line);
  return reinterpret_cast<std::byte*>(shared_begin_);
}

std::string Block::describe_address(std::uintptr_t address) const {
  if (!in_arena(address)) return hexadecimal(address) + ", " + memory_->describe(address);
  const auto offset = static_cast<std::ptrdiff_t>(address - shared_begin_);
  return "byte " + std::to_string(offset) + " of the block's " + std::to_string(launch_->shared_bytes) +
         " bytes of shared memory";
}

void Block::fail_access(const Finding& finding, Access access, const std::string& what, SourceLine line,
                        const void* program_counter) {
  switch (finding.verdict) {
    case Verdict::kUninitialized:
      fail(FaultKind::kUninitializedShared, what + ", which this block has never written", line, program_counter);
    case Verdict::kPending:
      fail(FaultKind::kPendingCopy, what + ", for which a cp.async is under way that nobody has waited for", line,
           program_counter);
    default:
      fail(FaultKind::kRace,
           "race: " + what + " and " + (finding.other_wrote ? "a write" : "a read") + " by thread " +
               text_of(position_of(finding.other.thread(), launch_->block)) + " have no barrier between them" +
               (access == Access::kAtomic || finding.other.atomic() ? " (only one is atomic)" : ""),
           line, program_counter);
  }
}

void Block::check_shared(std::uintptr_t address, std::size_t bytes, Access access, SourceLine line,
                         const void* program_counter) {
  const std::uintptr_t offset = address - shared_begin_;
  const auto what = [&] {
    checked_block = nullptr;  // strings are nothing of the kernel's
    return std::string(name_of(access)) + " of " + std::to_string(bytes) + " bytes at " + describe_address(address);
  };
  if (offset > launch_->shared_bytes || bytes > launch_->shared_bytes - offset)
    fail(FaultKind::kOutOfBounds, what(), line, program_counter);
  if (!kAccessesReported) return;
  const Finding finding = shared_shadow_.access(offset, bytes, access, running_->number, clocks_);
  if (finding.verdict != Verdict::kFine) fail_access(finding, access, what(), line, program_counter);
}

void Block::check_global(std::uintptr_t address, std::size_t bytes, Access access, SourceLine line,
                         const void* program_counter) {
  const auto what = [&] {
    checked_block = nullptr;  // strings are nothing of the kernel's
    return std::string(name_of(access)) + " of " + std::to_string(bytes) + " bytes at " + describe_address(address);
  };
  if (last_allocation_ == nullptr || !last_allocation_->holds(address, bytes)) {
    const GlobalMemory::Range* found = memory_->allocation(address, bytes);
    if (found == nullptr) {
      if (access == Access::kRead && in_program_constants(address, bytes)) return;
      fail(FaultKind::kOutOfBounds, what(), line, program_counter);
    }
    last_allocation_ = found;
  }
  if (!kAccessesReported) return;
  const Finding finding = global_shadow_.access(address, bytes, access, running_->number, clocks_);
  if (finding.verdict != Verdict::kFine) fail_access(finding, access, what(), line, program_counter);
}

void Block::check_raw_access(std::uintptr_t address, std::size_t bytes, Access access, const void* program_counter) {
  if (address - reinterpret_cast<std::uintptr_t>(running_->fiber.stack) < FiberStacks::kStackBytes) return;
  if (in_arena(address))
    check_shared(address, bytes, access, {}, program_counter);
  else
    check_global(address, bytes, access, {}, program_counter);
}

void Block::fail_misaligned(std::uintptr_t address, std::size_t alignment, const char* file, int line) {
  const InsideEmulator inside;
  fail(FaultKind::kMisaligned,
       "an access at " + describe_address(address) + " needs a multiple of " + std::to_string(alignment), {file, line});
}

void Block::check_access(const void* pointer, std::size_t bytes, Access access, std::size_t alignment,
                         const char* operation, SourceLine line) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  running_->site = {operation, line};
  if (address % alignment != 0) {
    const InsideEmulator inside;
    fail(FaultKind::kMisaligned,
         std::string(operation) + " of " + std::to_string(bytes) + " bytes at " + describe_address(address) +
             " needs a multiple of " + std::to_string(alignment),
         line);
  }
  if (in_arena(address))
    check_shared(address, bytes, access, line, nullptr);
  else
    check_global(address, bytes, access, line, nullptr);
  sanitizer_access(pointer, bytes, access);
}

void Block::check_shared_access(const void* pointer, std::size_t bytes, Access access, std::size_t alignment,
                                const char* operation, SourceLine line) {
  if (!in_arena(reinterpret_cast<std::uintptr_t>(pointer))) {
    const InsideEmulator inside;
    fail(FaultKind::kOutOfBounds,
         std::string(operation) + " at " + describe_address(reinterpret_cast<std::uintptr_t>(pointer)) +
             ", which is not shared memory",
         line);
  }
  check_access(pointer, bytes, access, alignment, operation, line);
}

// ---- cp.async ----

constexpr std::size_t kCopyBytes = 16;

void Block::issue_copy(std::byte* destination, const std::byte* source, SourceLine line) {
  constexpr const char* kName = "cp.async";
  check_shared_access(destination, kCopyBytes, Access::kWrite, kCopyBytes, kName, line);
  if (source != nullptr) check_access(source, kCopyBytes, Access::kRead, kCopyBytes, kName, line);
  std::memset(destination, kPoison, kCopyBytes);
  shared_shadow_.set_pending(reinterpret_cast<std::uintptr_t>(destination) - shared_begin_, kCopyBytes, true);
  running_->copies.push_back({destination, source, running_->copy_group});
}

void Block::commit_copies() { ++running_->copy_group; }

void Block::wait_for_copies(unsigned groups_left, SourceLine line) {
  Thread& me = *running_;
  me.site = {"cp.async.wait_group", line};
  std::size_t kept = 0;
  for (const PendingCopy copy : me.copies) {
    if (copy.group + groups_left >= me.copy_group) {
      me.copies[kept++] = copy;
      continue;
    }
    shared_shadow_.set_pending(reinterpret_cast<std::uintptr_t>(copy.destination) - shared_begin_, kCopyBytes, false);
    check_shared(reinterpret_cast<std::uintptr_t>(copy.destination), kCopyBytes, Access::kWrite, line, nullptr);
    sanitizer_access(copy.destination, kCopyBytes, Access::kWrite);
    if (copy.source != nullptr)
      std::memcpy(copy.destination, copy.source, kCopyBytes);
    else
      std::memset(copy.destination, 0, kCopyBytes);
  }
  me.copies.resize(kept);
}

// ---- faults ----

void Block::fail(FaultKind kind, const std::string& message, SourceLine line, const void* program_counter) {
  checked_block = nullptr;
  fault_ = FaultRecord{kind, message, line, program_counter, running_->index};
  Thread& me = *running_;
  running_ = nullptr;
  switch_fiber(me.fiber, main_, false);
  std::abort();  // nobody resumes a thread that has failed
}

std::string Block::describe(const Thread& thread) const {
  if (thread.state == Thread::State::kReturned) return "thread " + text_of(thread.index) + " has returned";
  return "thread " + text_of(thread.index) + " is in " + text_of(thread.site);
}

// Nobody is ready, and some have not returned: says who waits for whom.
void Block::stalled() {
  using State = Thread::State;
  const auto first = [this](State state) -> const Thread* {
    for (unsigned i = 0; i < thread_count_; ++i)
      if (threads_[i].state == state) return &threads_[i];
    return nullptr;
  };
  const auto stop = [this](FaultKind kind, const Thread& at, const std::string& message) {
    fault_ = FaultRecord{kind, message, at.site.line, nullptr, at.index};
  };
  if (const Thread* waits = first(State::kInWarpOperation)) {
    const std::uint32_t missing = waits->mask & ~warps_[waits->warp()].arrived;
    const Thread& other = threads_[waits->warp() * kWarpSize + static_cast<unsigned>(__builtin_ctz(missing))];
    stop(FaultKind::kDivergentWarp, *waits,
         text_of(waits->site) + " with mask " + hexadecimal(waits->mask) + " waits for lanes " + hexadecimal(missing) +
             ", but " + describe(other));
  } else if (const Thread* named = first(State::kAtNamedBarrier)) {
    const NamedBarrier& barrier = named_[named->named_barrier];
    stop(FaultKind::kDivergentBarrier, *named,
         "bar.sync " + std::to_string(named->named_barrier) + " waits for " + std::to_string(barrier.expected) +
             " threads, and " + std::to_string(barrier.arrived) + " have come");
  } else {
    const Thread& waiting = *first(State::kAtBlockBarrier);
    stop(FaultKind::kExitBeforeBarrier, waiting,
         "waits at " + text_of(waiting.site) + ", but " + describe(*first(State::kReturned)));
  }
}

Fault Block::make_fault() const {
  std::string message = fault_->message;
  if (fault_->line.line > 0) {
    const std::string line = std::string(fault_->line.file) + ":" + std::to_string(fault_->line.line);
    if (message.find(line) == std::string::npos) message += ", at " + line;
  } else if (fault_->program_counter != nullptr) {
    message += ", at " + source_line_of(fault_->program_counter);
  }
  return Fault(fault_->kind, launch_->kernel->name, index_, fault_->thread, message);
}

}  // namespace lexiscope::simt
