#include "simt/block.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

#include "simt/sanitizers.h"
#include "simt/source_lookup.h"
#include "simt/text.h"

namespace lexiscope::simt {
namespace {

thread_local Block* current_block = nullptr;

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

void leave_kernel() {
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
  const Kernel& kernel = *block.launch_->kernel;
  checked_block = &block;
  kernel.call(kernel.function, block.running_->arguments);
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
  for (Thread& thread : threads_) release_fiber(thread.fiber, &tsan_end_);
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
  if (!fault_ && live_ > 0) stalled();
  current_block = nullptr;
  if (fault_)
    for (Thread& thread : threads_) release_fiber(thread.fiber, &tsan_end_);
  sanitizer_acquire(&tsan_end_);
  if (!fault_) return std::nullopt;
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
  thread.block_barriers = thread.warp_barriers = 0;
  std::fill(std::begin(thread.named_barriers), std::end(thread.named_barriers), 0u);
  thread.fiber.stack = stacks_.stack(number);
  thread.fiber.stack_bytes = FiberStacks::kStackBytes;
  // Stacks lie whole pages apart: without an offset of its own the top of each would fall into the same few sets of the
  // processor's cache.
  constexpr std::size_t kCacheLine = 64, kOffsets = 64, kLinesApart = 5;
  const std::size_t reserved = argument_bytes_ + number * kLinesApart % kOffsets * kCacheLine;
  prepare_fiber(thread.fiber, reserved, thread_main);

  // Pointers to the arguments, then the arguments: on the fiber's own stack the kernel may read them.
  const KernelArguments& arguments = launch_->arguments;
  std::byte* pointers = thread.fiber.stack + FiberStacks::kStackBytes - reserved;
  std::byte* values = pointers + argument_bytes_ - arguments.size();
  if (arguments.size() > 0) std::memcpy(values, arguments.data(), arguments.size());
  for (std::size_t i = 0; i < arguments.offsets().size(); ++i) {
    const void* value = values + arguments.offsets()[i];
    std::memcpy(pointers + i * sizeof(void*), &value, sizeof(void*));
  }
  thread.arguments = reinterpret_cast<void* const*>(pointers);
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

void Block::abandon() {
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
