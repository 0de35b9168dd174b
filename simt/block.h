// A block in flight: its threads, who of them waits for what, and the checks of what they touch. Internal to simt/.
#pragma once

#include <vector_types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "simt/fault.h"
#include "simt/fiber.h"
#include "simt/global_memory.h"
#include "simt/grid.h"
#include "simt/happens_before.h"
#include "simt/shadow.h"
#include "simt/source_line.h"

namespace lexiscope::simt {

/// Are the kernel's own loads and stores reported to us? Under another sanitizer they are not, and that one's checks
/// stand in for ours: AddressSanitizer for bounds (of shared memory too), ThreadSanitizer for races.
#if defined(LEXISCOPE_SIMT_ASAN) || defined(LEXISCOPE_SIMT_TSAN) || defined(LEXISCOPE_SIMT_UNWATCHED)
constexpr bool kAccessesReported = false;
#else
constexpr bool kAccessesReported = true;
#endif

/// What one lane hands in to an operation of its warp, and gets back: on its own stack, since it waits there.
struct Exchange;
/// Does the operation for every lane of `mask`, once all of them have arrived.
using WarpOperation = void (*)(Exchange* const* lanes, std::uint32_t mask);

struct Site {
  const char* operation = "the kernel's beginning";
  SourceLine line;
};

/// A cp.async that has been issued and not been waited for.
struct PendingCopy {
  std::byte* destination;
  const std::byte* source;  // nullptr: zeros
  unsigned group;
};

struct Thread {
  enum class State : std::uint8_t { kReady, kAtBlockBarrier, kAtNamedBarrier, kInWarpOperation, kReturned };

  Fiber fiber;
  unsigned number = 0;  // in the block, x fastest
  uint3 index{};
  void* const* arguments = nullptr;  // the kernel's, on the fiber's stack
  State state = State::kReady;
  Site site;  // the emulator's operation that it is in, or was in last

  std::uint32_t mask = 0;  // of the warp operation
  WarpOperation operation = nullptr;
  unsigned named_barrier = 0;

  std::vector<PendingCopy> copies;
  unsigned copy_group = 0;  // the open one

  // Meetings so far, for ThreadSanitizer.
  unsigned block_barriers = 0, warp_barriers = 0, named_barriers[16] = {};

  unsigned warp() const { return number / kWarpSize; }
  unsigned lane() const { return number % kWarpSize; }
};

/// From here on, what the running thread does is the emulator's: it is on its way to a fault.
void leave_kernel();

class Block {
 public:
  Block();
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// Runs one block to its end; the fault that ended it, if any. The object is reused: its stacks, its shared memory
  /// and what its shadows have allocated serve one block after the other.
  std::optional<Fault> run(const GridLaunch& launch, uint3 block_index, const ScheduleOptions& schedule,
                           const GlobalMemory& memory);

  // What a running thread asks for.
  unsigned sync_block(unsigned value, const char* operation, SourceLine line);  // the number of threads with value != 0
  void sync_named(unsigned barrier, unsigned threads, SourceLine line);
  void warp_operation(std::uint32_t mask, WarpOperation operation, Exchange* exchange, const char* name,
                      SourceLine line);
  void sync_warp(std::uint32_t mask, SourceLine line);
  std::byte* shared_memory(std::size_t bytes, std::size_t alignment, SourceLine line);
  void issue_copy(std::byte* destination, const std::byte* source, SourceLine line);
  void commit_copies();
  void wait_for_copies(unsigned groups_left, SourceLine line);

  /// Checks an access that the emulator makes in the thread's name.
  void check_access(const void* address, std::size_t bytes, Access access, std::size_t alignment, const char* operation,
                    SourceLine line);
  /// The same for shared memory alone: ldmatrix reads nothing else.
  void check_shared_access(const void* address, std::size_t bytes, Access access, std::size_t alignment,
                           const char* operation, SourceLine line);
  /// Checks a load or store of the kernel's own, which returns to `program_counter`.
  void check_raw_access(std::uintptr_t address, std::size_t bytes, Access access, const void* program_counter);

  [[noreturn]] void fail_misaligned(std::uintptr_t address, std::size_t alignment, const char* file, int line);

  /// Ends the block: the running thread is never resumed, so whatever it holds is lost. Hence `describe`, which makes
  /// the message, and has let go of everything when the thread is left.
  template <typename Describe>
  [[noreturn]] void fail(FaultKind kind, const Describe& describe, SourceLine line = {},
                         const void* program_counter = nullptr) {
    leave_kernel();
    fault_.emplace(FaultRecord{kind, describe(), line, program_counter, running_->index});
    abandon();
  }

  Thread& running() { return *running_; }
  const GridLaunch& launch() const { return *launch_; }
  uint3 index() const { return index_; }

 private:
  friend void thread_main();

  struct Warp {
    std::uint32_t live = 0;     // lanes that have not returned
    std::uint32_t arrived = 0;  // lanes that wait in a warp operation
    std::uint32_t ready = 0;
    Exchange* exchanges[kWarpSize];
  };
  struct NamedBarrier {
    unsigned expected = 0, arrived = 0;  // threads
    std::uint32_t warps = 0;
    std::vector<unsigned> waiting;
  };
  struct FaultRecord {
    FaultKind kind;
    std::string message;
    SourceLine line;
    const void* program_counter;
    uint3 thread;
  };

  void begin(const ScheduleOptions& schedule);
  void begin_thread(unsigned number);
  void thread_returns();
  void stalled();
  Fault make_fault() const;

  Thread* first_ready();
  Thread* next_ready();
  Thread* lowest_ready_from(unsigned number);
  Thread* highest_ready_below(unsigned number);
  Thread* random_ready();
  std::uint32_t random();
  void set_ready(Thread& thread);
  void park(Thread::State state);
  void yield_to(Thread* next, bool done = false);
  void meet_in_warp(std::uint32_t mask, WarpOperation operation, Exchange* exchange, Site site, bool orders_memory);
  void release_named(NamedBarrier& barrier);

  void check_lanes_agree(std::uint32_t mask);
  void check_shared(std::uintptr_t address, std::size_t bytes, Access access, SourceLine line,
                    const void* program_counter);
  void check_global(std::uintptr_t address, std::size_t bytes, Access access, SourceLine line,
                    const void* program_counter);
  void forget_stamps_if(bool wrapped);
  template <typename What>
  [[noreturn]] void fail_access(const Finding& finding, Access access, const What& what, SourceLine line,
                                const void* program_counter);
  [[noreturn]] void abandon();
  bool in_arena(std::uintptr_t address) const {
    return address - reinterpret_cast<std::uintptr_t>(arena_) < kArenaBytes;
  }
  std::string describe_address(std::uintptr_t address) const;
  std::string describe(const Thread& thread) const;

  // Shared memory lies inside an arena that is larger than any architecture's, so that addresses somewhat before its
  // beginning or past its end are known for what they are.
  static constexpr unsigned kSharedAlignment = 1024;
  static constexpr int kPoison = 0xff;  // NaN in every floating-point type
  static constexpr std::size_t kArenaBytes = 512 * 1024, kSharedOffset = 128 * 1024, kMaxSharedBytes = 256 * 1024;

  const GridLaunch* launch_ = nullptr;
  const GlobalMemory* memory_ = nullptr;
  uint3 index_{};

  Fiber main_;
  FiberStacks stacks_;
  std::vector<Thread> threads_;
  unsigned thread_count_ = 0, live_ = 0;
  Thread* running_ = nullptr;
  ThreadSchedule schedule_{};
  std::uint64_t random_ = 1;

  Warp warps_[kMaxWarps];
  std::uint32_t ready_warps_ = 0;

  unsigned at_barrier_ = 0, barrier_votes_ = 0, barrier_result_ = 0;
  Site barrier_site_;
  NamedBarrier named_[16];

  std::size_t argument_bytes_ = 0;  // on each stack

  const GlobalMemory::Range* last_allocation_ = nullptr;  // where the last access to global memory went
  std::byte* arena_ = nullptr;
  std::uintptr_t shared_begin_ = 0;

  BlockClocks clocks_;
  SharedShadow shared_shadow_{kMaxSharedBytes};
  GlobalShadow global_shadow_;

  std::optional<FaultRecord> fault_;

  // Where threads meet, for ThreadSanitizer.
  char tsan_begin_ = 0, tsan_end_ = 0, tsan_barrier_[2] = {}, tsan_warp_[kMaxWarps][2] = {}, tsan_named_[16][2] = {};
};

/// Thread `number` of a block, x fastest.
inline uint3 position_of(unsigned number, dim3 block) {
  return {number % block.x, number / block.x % block.y, number / (block.x * block.y)};
}

/// The block that this OS thread runs; throws std::logic_error that names `function` where it runs none.
Block& running_block(const char* function);

/// The block to check raw accesses against: nullptr outside kernels and while the emulator itself runs.
extern thread_local Block* checked_block [[gnu::tls_model("initial-exec")]];

/// While one lives, the kernel stands still in the emulator: what happens is not the kernel's. Needed wherever the
/// emulator uses a template of the standard library (strings, for messages): its code may be the copy that was compiled
/// with kernels.
class InsideEmulator {
 public:
  InsideEmulator();
  ~InsideEmulator();
  InsideEmulator(const InsideEmulator&) = delete;
  InsideEmulator& operator=(const InsideEmulator&) = delete;

 private:
  Block* block_;
};

}  // namespace lexiscope::simt
