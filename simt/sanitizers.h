// What the sanitizers are told, each function empty where its sanitizer is not in the build.
#pragma once

#include <cstddef>

#include "simt/fiber.h"
#include "simt/shadow.h"

#if defined(LEXISCOPE_SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#endif
#if defined(LEXISCOPE_SIMT_TSAN)
#include <sanitizer/tsan_interface.h>
extern "C" {
void __tsan_read_range(void* address, unsigned long size);
void __tsan_write_range(void* address, unsigned long size);
}
#endif

namespace lexiscope::simt {

inline void poison([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(LEXISCOPE_SIMT_ASAN)
  ASAN_POISON_MEMORY_REGION(begin, bytes);
#endif
}

inline void unpoison([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(LEXISCOPE_SIMT_ASAN)
  ASAN_UNPOISON_MEMORY_REGION(begin, bytes);
#endif
}

/// An access that the emulator makes in a CUDA thread's name.
inline void sanitizer_access([[maybe_unused]] const void* address, [[maybe_unused]] std::size_t bytes,
                             [[maybe_unused]] Access access) {
#if defined(LEXISCOPE_SIMT_TSAN)
  if (access == Access::kRead)
    __tsan_read_range(const_cast<void*>(address), bytes);
  else if (access == Access::kWrite)
    __tsan_write_range(const_cast<void*>(address), bytes);
#endif
}

/// What happened before a release of `meeting` happens before what follows an acquire of it.
inline void sanitizer_release([[maybe_unused]] void* meeting) {
#if defined(LEXISCOPE_SIMT_TSAN)
  __tsan_release(meeting);
#endif
}

inline void sanitizer_acquire([[maybe_unused]] void* meeting) {
#if defined(LEXISCOPE_SIMT_TSAN)
  __tsan_acquire(meeting);
#endif
}

/// Meetings at one place alternate between two objects: what a thread releases at the next one must not reach a thread
/// that has yet to acquire this one.
inline unsigned sanitizer_phase(unsigned& meetings) { return meetings++ % 2; }

}  // namespace lexiscope::simt
