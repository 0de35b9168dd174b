// Which memory kernels may touch: the emulated runtime says what it allocates and frees, the emulator checks every
// access of a kernel against it.
#pragma once

#include <cstddef>
#include <optional>

namespace lexiscope::simt {

struct DeviceAllocation {
  std::byte* begin = nullptr;
  std::size_t bytes = 0;
};

/// Makes [begin, begin + bytes) accessible to kernels. Overlapping a live allocation is a mistake of the caller.
void add_device_allocation(void* begin, std::size_t bytes);

/// Undoes add_device_allocation. No kernel that uses the memory may be running.
void remove_device_allocation(void* begin);

/// The live allocation that holds `address`, or none. Safe from any thread.
std::optional<DeviceAllocation> find_device_allocation(const void* address);

}  // namespace lexiscope::simt
