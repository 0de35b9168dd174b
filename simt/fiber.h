// A fiber: a stack with a suspended computation on it. Switching costs a few nanoseconds, which is what makes one fiber
// a CUDA thread affordable; the sanitizers are told of every switch.
#pragma once

#include <cstddef>

// LEXISCOPE_SIMT_ASAN and LEXISCOPE_SIMT_TSAN: the build's sanitizer, which not all of simt/ is compiled with.
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace lexiscope::simt {

/// A suspended computation; the owner keeps its address while it is suspended.
struct Fiber {
  std::byte* stack = nullptr;  // its lowest byte; of an OS thread: unknown
  std::size_t stack_bytes = 0;
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t context{};
#endif
#if defined(LEXISCOPE_SIMT_ASAN)
  void* fake_stack = nullptr;
  const void* known_stack = nullptr;  // of the OS thread's fiber: filled in by the first switch away from it
  std::size_t known_stack_bytes = 0;
#endif
#if defined(LEXISCOPE_SIMT_TSAN)
  void* sanitizer_fiber = nullptr;
  unsigned ignores = 0;  // of accesses, that have begun and not ended
#endif
};

/// Makes `fiber`, whose stack is set, begin in `entry` when it is first switched to; the topmost `reserved` bytes of
/// the stack are left alone. `entry` must never return.
void prepare_fiber(Fiber& fiber, std::size_t reserved, void (*entry)());

/// For a fiber that stands for the calling OS thread, before the first switch away from it.
void adopt_os_thread(Fiber& fiber);

/// Suspends `from`, which is running, and resumes `to`. A fiber that is done is never switched to again.
void switch_fiber(Fiber& from, Fiber& to, bool from_is_done);

/// The first thing `entry` does. `main` is the OS thread's fiber.
void finish_first_switch(Fiber& main);

/// Lets go of what the sanitizers hold for the fiber, wherever it stands. What it did so far happens before an acquire
/// of `meeting` (simt/sanitizers.h).
void release_fiber(Fiber& fiber, void* meeting);

/// What the running fiber reads and writes from here on is not looked at by ThreadSanitizer, until as many ends follow.
void ignore_accesses_begin();
void ignore_accesses_end();

/// Stacks for many fibers, each with an inaccessible page below it.
class FiberStacks {
 public:
  FiberStacks() = default;
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;
  ~FiberStacks();

  static constexpr std::size_t kStackBytes =
#if defined(LEXISCOPE_SIMT_ASAN) || defined(LEXISCOPE_SIMT_TSAN) || !defined(__OPTIMIZE__)
      256 * 1024;  // frames are larger
#else
      128 * 1024;
#endif

  void reserve(std::size_t count);
  std::byte* stack(std::size_t index) const;

 private:
  std::byte* mapping_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace lexiscope::simt
