// The device memory that one grid may touch: a picture of the live allocations, taken when the grid begins, and the
// program's constants.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lexiscope::simt {

class GlobalMemory {
 public:
  struct Range {
    std::uintptr_t begin, end;
    bool holds(std::uintptr_t address, std::size_t bytes) const {
      return address >= begin && bytes <= end - begin && address - begin <= end - begin - bytes;
    }
  };

  /// The allocations of simt/device_memory.h as they are now.
  static GlobalMemory now();

  /// The allocation with [address, address + bytes), or nullptr.
  const Range* allocation(std::uintptr_t address, std::size_t bytes) const;

  /// "12 bytes past the end of an allocation of 400 bytes" and the like.
  std::string describe(std::uintptr_t address) const;

 private:
  std::vector<Range> allocations_;  // ascending
};

/// Is it in the program's code or constants? Tables that a kernel reads lie there.
bool in_program_constants(std::uintptr_t address, std::size_t bytes);

}  // namespace lexiscope::simt
