// The calls that -fsanitize=kernel-address and -fsanitize=alignment put before the loads and stores of kernels. Linux's
// kernel implements them for itself; here they lead to the checks of the block that runs.
#include <cstddef>
#include <cstdint>

#include "simt/block.h"

#if !defined(LEXISCOPE_SIMT_ASAN) && !defined(LEXISCOPE_SIMT_TSAN)

using lexiscope::simt::Access;
using lexiscope::simt::Block;
using lexiscope::simt::checked_block;

// As the compiler describes the access: <ubsan/ubsan_handlers.h> has no public counterpart.
struct UbsanTypeMismatch {
  const char* file;
  std::uint32_t line, column;
  const void* type;
  unsigned char log_alignment;
  unsigned char kind;
};

extern "C" {

#define LEXISCOPE_SIMT_CALLBACKS(bytes)                                                     \
  void __asan_load##bytes##_noabort(std::uintptr_t address) {                               \
    if (Block* block = checked_block)                                                       \
      block->check_raw_access(address, bytes, Access::kRead, __builtin_return_address(0));  \
  }                                                                                         \
  void __asan_store##bytes##_noabort(std::uintptr_t address) {                              \
    if (Block* block = checked_block)                                                       \
      block->check_raw_access(address, bytes, Access::kWrite, __builtin_return_address(0)); \
  }
LEXISCOPE_SIMT_CALLBACKS(1)
LEXISCOPE_SIMT_CALLBACKS(2)
LEXISCOPE_SIMT_CALLBACKS(4)
LEXISCOPE_SIMT_CALLBACKS(8)
LEXISCOPE_SIMT_CALLBACKS(16)
#undef LEXISCOPE_SIMT_CALLBACKS

void __asan_loadN_noabort(std::uintptr_t address, std::size_t bytes) {
  if (Block* block = checked_block) block->check_raw_access(address, bytes, Access::kRead, __builtin_return_address(0));
}

void __asan_storeN_noabort(std::uintptr_t address, std::size_t bytes) {
  if (Block* block = checked_block)
    block->check_raw_access(address, bytes, Access::kWrite, __builtin_return_address(0));
}

// Around calls that never return, and around the construction of a file's variables: nothing to do.
void __asan_handle_no_return() {}
void __asan_before_dynamic_init(const char*) {}
void __asan_after_dynamic_init() {}

void __ubsan_handle_type_mismatch_v1(const UbsanTypeMismatch* access, std::uintptr_t address) {
  if (Block* block = checked_block)
    block->fail_misaligned(address, std::size_t{1} << access->log_alignment, access->file,
                           static_cast<int>(access->line));
}

void __ubsan_handle_type_mismatch_v1_abort(const UbsanTypeMismatch* access, std::uintptr_t address) {
  __ubsan_handle_type_mismatch_v1(access, address);
}

}  // extern "C"

#endif
