#include "simt/device_memory.h"

#include <link.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <shared_mutex>

#include "simt/global_memory.h"

namespace lexiscope::simt {
namespace {

struct Registry {
  std::shared_mutex mutex;
  std::map<std::uintptr_t, std::uintptr_t> allocations;  // begin, end
};

Registry& registry() {
  static auto* const kept = new Registry;  // for threads that outlive main
  return *kept;
}

// Segments that cannot be written, and those that cannot any more once the program runs (relocated constants).
int collect_constants(dl_phdr_info* module, std::size_t, void* into) {
  auto& ranges = *static_cast<std::vector<GlobalMemory::Range>*>(into);
  for (int i = 0; i < module->dlpi_phnum; ++i) {
    const auto& segment = module->dlpi_phdr[i];
    const bool constant =
        (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) == 0) || segment.p_type == PT_GNU_RELRO;
    const std::uintptr_t begin = module->dlpi_addr + segment.p_vaddr;
    if (constant) ranges.push_back({begin, begin + segment.p_memsz});
  }
  return 0;
}

}  // namespace

void add_device_allocation(void* begin, std::size_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  const std::unique_lock lock(registry().mutex);
  registry().allocations[address] = address + bytes;
}

void remove_device_allocation(void* begin) {
  const std::unique_lock lock(registry().mutex);
  registry().allocations.erase(reinterpret_cast<std::uintptr_t>(begin));
}

std::optional<DeviceAllocation> find_device_allocation(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  const std::shared_lock lock(registry().mutex);
  auto after = registry().allocations.upper_bound(wanted);
  if (after == registry().allocations.begin()) return std::nullopt;
  const auto [begin, end] = *--after;
  if (wanted >= end) return std::nullopt;
  return DeviceAllocation{reinterpret_cast<std::byte*>(begin), end - begin};
}

GlobalMemory GlobalMemory::now() {
  GlobalMemory memory;
  const std::shared_lock lock(registry().mutex);
  memory.allocations_.reserve(registry().allocations.size());
  for (const auto& [begin, end] : registry().allocations) memory.allocations_.push_back({begin, end});
  return memory;
}

const GlobalMemory::Range* GlobalMemory::allocation(std::uintptr_t address, std::size_t bytes) const {
  const auto after = std::upper_bound(allocations_.begin(), allocations_.end(), address,
                                      [](std::uintptr_t wanted, const Range& range) { return wanted < range.begin; });
  if (after == allocations_.begin() || !after[-1].holds(address, bytes)) return nullptr;
  return &after[-1];
}

std::string GlobalMemory::describe(std::uintptr_t address) const {
  const auto after = std::upper_bound(allocations_.begin(), allocations_.end(), address,
                                      [](std::uintptr_t wanted, const Range& range) { return wanted < range.begin; });
  constexpr std::uintptr_t kNear = 1 << 20;
  const auto size = [](const Range& range) { return std::to_string(range.end - range.begin); };
  if (after != allocations_.begin() && address - after[-1].begin < after[-1].end - after[-1].begin + kNear) {
    const Range& range = after[-1];
    if (address < range.end)
      return "byte " + std::to_string(address - range.begin) + " of a device allocation of " + size(range) + " bytes";
    return std::to_string(address - range.end) + " bytes past the end of a device allocation of " + size(range) +
           " bytes";
  }
  if (after != allocations_.end() && after->begin - address < kNear)
    return std::to_string(after->begin - address) + " bytes before a device allocation of " + size(*after) + " bytes";
  return "in no device allocation";
}

bool in_program_constants(std::uintptr_t address, std::size_t bytes) {
  static const std::vector<GlobalMemory::Range> kRanges = [] {
    std::vector<GlobalMemory::Range> ranges;
    dl_iterate_phdr(collect_constants, &ranges);
    return ranges;
  }();
  for (const GlobalMemory::Range& range : kRanges)
    if (range.holds(address, bytes)) return true;
  return false;
}

}  // namespace lexiscope::simt
