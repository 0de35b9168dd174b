#include "simt/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#if defined(LEXISCOPE_SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(LEXISCOPE_SIMT_TSAN)
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace lexiscope::simt {
namespace {

constexpr std::size_t kGuardBytes = 4096;

#if defined(__x86_64__)
// Saves what a function must preserve on the old stack, then swaps the stacks. The rounding mode and the x87 control
// word stay: no kernel changes them.
[[gnu::naked, gnu::noinline]] void swap_stacks(void** /*save*/, void* /*load*/) {
  asm("pushq %rbp\n\t"
      "pushq %rbx\n\t"
      "pushq %r12\n\t"
      "pushq %r13\n\t"
      "pushq %r14\n\t"
      "pushq %r15\n\t"
      "movq %rsp, (%rdi)\n\t"
      "movq %rsi, %rsp\n\t"
      "popq %r15\n\t"
      "popq %r14\n\t"
      "popq %r13\n\t"
      "popq %r12\n\t"
      "popq %rbx\n\t"
      "popq %rbp\n\t"
      "ret");
}
constexpr std::size_t kSavedRegisters = 6;
#endif

#if defined(LEXISCOPE_SIMT_TSAN)
thread_local Fiber* running_fiber = nullptr;
#endif

}  // namespace

void prepare_fiber(Fiber& fiber, std::size_t reserved, void (*entry)()) {
#if defined(LEXISCOPE_SIMT_ASAN)
  ASAN_UNPOISON_MEMORY_REGION(fiber.stack, fiber.stack_bytes);  // frames that nobody returned from
#endif
  const std::size_t usable = (fiber.stack_bytes - reserved) & ~std::size_t{15};
#if defined(__x86_64__)
  auto* top = reinterpret_cast<void**>(fiber.stack + usable);
  *--top = nullptr;  // where entry would return to; keeps the stack aligned as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (std::size_t i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  fiber.stack_pointer = top;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = usable;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
#endif
#if defined(LEXISCOPE_SIMT_ASAN)
  fiber.fake_stack = nullptr;
  fiber.known_stack = fiber.stack;
  fiber.known_stack_bytes = fiber.stack_bytes;
#endif
#if defined(LEXISCOPE_SIMT_TSAN)
  if (fiber.sanitizer_fiber == nullptr) fiber.sanitizer_fiber = __tsan_create_fiber(0);
#endif
}

void adopt_os_thread([[maybe_unused]] Fiber& fiber) {
#if defined(LEXISCOPE_SIMT_ASAN)
  fiber.known_stack = nullptr;
  fiber.fake_stack = nullptr;
#endif
#if defined(LEXISCOPE_SIMT_TSAN)
  fiber.sanitizer_fiber = __tsan_get_current_fiber();
  running_fiber = nullptr;
#endif
}

void switch_fiber(Fiber& from, Fiber& to, [[maybe_unused]] bool from_is_done) {
#if defined(LEXISCOPE_SIMT_ASAN)
  __sanitizer_start_switch_fiber(from_is_done ? nullptr : &from.fake_stack, to.known_stack, to.known_stack_bytes);
#endif
#if defined(LEXISCOPE_SIMT_TSAN)
  running_fiber = &to;
  __tsan_switch_to_fiber(to.sanitizer_fiber, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(__x86_64__)
  swap_stacks(&from.stack_pointer, to.stack_pointer);
#else
  swapcontext(&from.context, &to.context);
#endif
#if defined(LEXISCOPE_SIMT_ASAN)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void finish_first_switch([[maybe_unused]] Fiber& main) {
#if defined(LEXISCOPE_SIMT_ASAN)
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
  if (main.known_stack == nullptr) {
    main.known_stack = bottom;
    main.known_stack_bytes = bytes;
  }
#endif
}

void ignore_accesses_begin() {
#if defined(LEXISCOPE_SIMT_TSAN)
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  if (running_fiber != nullptr) ++running_fiber->ignores;
#endif
}

void ignore_accesses_end() {
#if defined(LEXISCOPE_SIMT_TSAN)
  if (running_fiber != nullptr) --running_fiber->ignores;
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
}

void release_fiber([[maybe_unused]] Fiber& fiber, [[maybe_unused]] void* meeting) {
#if defined(LEXISCOPE_SIMT_TSAN)
  if (fiber.sanitizer_fiber == nullptr) return;
  void* const here = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(fiber.sanitizer_fiber, __tsan_switch_to_fiber_no_sync);
  for (; fiber.ignores > 0; --fiber.ignores) {  // of a computation that was abandoned
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
  __tsan_release(meeting);
  __tsan_switch_to_fiber(here, __tsan_switch_to_fiber_no_sync);
  __tsan_destroy_fiber(fiber.sanitizer_fiber);
  fiber.sanitizer_fiber = nullptr;
#endif
}

FiberStacks::~FiberStacks() {
  if (mapping_ != nullptr) munmap(mapping_, count_ * (kStackBytes + kGuardBytes));
}

void FiberStacks::reserve(std::size_t count) {
  if (count <= count_) return;
  constexpr std::size_t kEach = kStackBytes + kGuardBytes;
  void* mapping =
      mmap(nullptr, count * kEach, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  if (mapping_ != nullptr) munmap(mapping_, count_ * kEach);
  mapping_ = static_cast<std::byte*>(mapping);
  count_ = count;
  for (std::size_t i = 0; i < count; ++i) mprotect(mapping_ + i * kEach, kGuardBytes, PROT_NONE);
}

std::byte* FiberStacks::stack(std::size_t index) const {
  return mapping_ + index * (kStackBytes + kGuardBytes) + kGuardBytes;
}

}  // namespace lexiscope::simt
